// The list: what arrives comes on top, older ones are loaded when asked for, the server searches.

const { Refused, ask, askJson, confirmed, copyButton, el, every, find, number, shortcuts, toast } = globalThis.herald;
const { openMessage, readMarks, showServices } = globalThis;

const PAGE = 50;
const MOST_ROWS = 1000; // the oldest rows go first; they can be loaded again

const EXAMPLE = JSON.stringify({
  topic_name: "transactions", email: "ada@example.com", phone: "+12025550143", message_body: "Your payment arrived.",
});

const rows = find("#rows");
const empty = find("#empty");
const older = find("#older");
const search = find("#search");
const opened = find("#opened");

let run = ""; // the inbox whose numbers we hold; another one when it was emptied or started again
let newest = 0; // what came after it is asked for
let next = null; // below it there may be more
let kind = "";
let words = "";
let generation = 0; // goes up when another list is wanted: answers for an older one are dropped
let services = {};
let openedNumber = 0;

// Read and unread ----------------------------------------------------------------------------------

function showRead() {
  let unread = 0;
  for (const row of rows.querySelectorAll(".row")) {
    const fresh = !readMarks.has(Number(row.dataset.number));
    row.classList.toggle("unread", fresh);
    row.querySelector(".state").textContent = fresh ? "Unread. " : "";
    unread += fresh;
  }
  document.title = unread ? `(${unread}) Herald inbox` : "Herald inbox";
}

// Rows ---------------------------------------------------------------------------------------------

const today = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const otherDay = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "short" });

function clock(at) {
  const time = new Date(at);
  const isToday = time.toDateString() === new Date().toDateString();
  return el("time", { datetime: at, title: time.toLocaleString() }, (isToday ? today : otherDay).format(time));
}

function rowOf(message) {
  return el("li", {}, el("a", { class: "row", href: `#${message.number}`, "data-number": message.number },
    el("span", { class: "dot" }),
    el("span", { class: "to" }, el("span", { class: "unseen state" }), message.to || "(nobody)"),
    clock(message.at),
    el("span", { class: "subject" }, message.subject || "(no subject)"),
    el("span", { class: "kind" }, message.kind === "email" ? "Mail" : "Text"),
    message.snippet ? el("span", { class: "snippet" }, message.snippet) : null));
}

const count = (many, one) => `${number(many)} ${one}${many === 1 ? "" : "s"}`;

function showEmpty() {
  const hasRows = rows.childElementCount > 0;
  empty.hidden = hasRows || next !== null;
  if (empty.hidden || empty.dataset.shown === `${kind} ${words}`) return;
  empty.dataset.shown = `${kind} ${words}`; // else a copy button would be replaced under the pointer
  if (words || kind) {
    empty.replaceChildren(el("strong", {}, words ? "Nothing matches" : "None of these"),
      words ? `No ${kind === "sms" ? "text" : kind === "email" ? "mail" : "message"} held here has “${words}”.` : "They will come here by themselves.");
    return;
  }
  const example = `curl http://${location.hostname}:8080/api/v1/produce -H 'Content-Type: application/json' -d '${EXAMPLE}'`;
  empty.replaceChildren(
    el("strong", {}, "Nothing has arrived yet"),
    `Mail is taken on port ${services.email?.port}, texts on port ${services.sms?.port}; they show up here at once. `
      + "Where herald run runs, send one of each:",
    el("pre", {}, example),
    el("p", {}, copyButton(example, "the command")));
}

function showStanding(answer) {
  services = answer.services;
  showServices(services);
  const { emails, sms } = answer.totals;
  find("#totals").textContent = `${count(emails, "mail")}, ${count(sms, "text")}`;
  find("#delete-all").disabled = emails + sms === 0;
}

function showNext(value) {
  next = value;
  older.hidden = next === null;
}

function markOpened() {
  for (const row of rows.querySelectorAll('[aria-current="true"]')) row.removeAttribute("aria-current");
  find(`[data-number="${openedNumber}"]`, rows)?.setAttribute("aria-current", "true");
}

function startAnew(answer) {
  run = answer.run;
  readMarks.begin(run);
  if (openedNumber) readMarks.add(openedNumber); // it was opened before the inbox had told which one it is
  rows.replaceChildren();
  newest = 0;
  showNext(null);
}

// Asking -------------------------------------------------------------------------------------------

function listing(parameters) {
  const query = new URLSearchParams({ limit: PAGE, ...parameters });
  if (kind) query.set("kind", kind);
  if (words) query.set("search", words);
  return askJson(`/api/v1/inbox/messages?${query}`);
}

async function look() {
  const mine = generation;
  let answer = await listing({ after: newest });
  if (mine !== generation) return;
  if (answer.run !== run) {
    // Emptied or started again: what we know of it is worth nothing.
    if (run !== "" && openedNumber) close();
    startAnew(answer);
    answer = await listing({ after: 0 });
    if (mine !== generation || answer.run !== run) return;
  }
  takeIn(answer);
  // A search looks through some thousands at a time.
  while (next !== null && words && rows.childElementCount < PAGE && mine === generation) await loadOlder();
  showEmpty();
}

function takeIn(answer) {
  const first = newest === 0;
  // More came than a page holds: what lies between would be a gap.
  if (answer.next !== null) rows.replaceChildren();
  if (first || answer.next !== null) showNext(answer.next);
  rows.prepend(...answer.messages.map(rowOf));
  newest = answer.newest;
  while (rows.childElementCount > MOST_ROWS) {
    rows.lastElementChild.remove();
    showNext(Number(find("li:last-child .row", rows).dataset.number));
  }
  showStanding(answer);
  if (answer.messages.length) {
    showRead();
    markOpened();
    if (!first) find("#told").textContent = `${answer.messages.length} new`;
  }
}

async function loadOlder() {
  const mine = generation;
  const asked = next;
  const answer = await listing({ before: asked });
  // Meanwhile another list may have been wanted, or this one have become another.
  if (mine !== generation || answer.run !== run || next !== asked) return;
  rows.append(...answer.messages.map(rowOf));
  showNext(answer.next);
  showRead();
  markOpened();
}

const loop = every(1, look);

function wantOther() {
  generation += 1;
  rows.replaceChildren();
  newest = 0;
  showNext(null);
  loop.now();
}

// Opening ------------------------------------------------------------------------------------------

function nothingOpened() {
  return el("div", { class: "empty" }, el("strong", {}, "No message is opened"), "Choose one, or press ",
    el("kbd", {}, "j"), " and ", el("kbd", {}, "Enter"), "; ", el("kbd", {}, "?"), " shows all keys.");
}

function close() {
  if (location.hash) history.pushState(null, "", location.pathname);
  follow();
}

async function follow() {
  const wanted = /^#\d{1,12}$/.test(location.hash) ? Number(location.hash.slice(1)) : 0;
  const before = openedNumber;
  openedNumber = wanted;
  document.body.classList.toggle("reading", wanted > 0);
  opened.classList.toggle("shown", wanted > 0);
  markOpened();
  if (!wanted) {
    opened.replaceChildren(nothingOpened());
    if (before) find(`[data-number="${before}"]`, rows)?.focus();
    return;
  }
  try {
    const { title, elements } = await openMessage(wanted);
    if (openedNumber !== wanted) return;
    opened.replaceChildren(
      el("header", {}, el("button", { type: "button", class: "back small", onclick: close }, "Back"), el("h1", {}, title)),
      ...elements);
    opened.scrollTop = 0;
    readMarks.add(wanted);
    showRead();
  } catch (error) {
    if (openedNumber !== wanted) return;
    const gone = error instanceof Refused && error.status === 404;
    opened.replaceChildren(el("div", { class: "empty" }, el("strong", {}, gone ? "It is not here any more" : "It could not be opened"),
      gone ? "The inbox was emptied, or holds newer ones in its place." : error.message,
      el("p", {}, el("button", { type: "button", onclick: close }, "Back to the list"))));
  }
}

window.addEventListener("hashchange", follow);

// Controls -----------------------------------------------------------------------------------------

function move(step) {
  const all = [...rows.querySelectorAll(".row")];
  const here = all.indexOf(document.activeElement.closest(".row") ?? find('[aria-current="true"]', rows));
  const row = all[here < 0 ? 0 : Math.min(Math.max(here + step, 0), all.length - 1)];
  if (!row) return;
  row.focus();
  row.scrollIntoView({ block: "nearest" });
  if (openedNumber) location.replace(row.hash);
}

function back() {
  if (document.activeElement === search && search.value) {
    search.value = "";
    searchFor();
  } else if (document.activeElement === search) search.blur();
  else close();
}

function searchFor() {
  if (search.value.trim() === words) return;
  words = search.value.trim();
  wantOther();
}

async function deleteAll() {
  const held = find("#totals").textContent;
  const yes = await confirmed({ title: "Delete everything?", text: `${held}: all of it goes from this inbox. Herald's log is not touched.`, act: "Delete all", danger: true });
  if (!yes) return;
  try {
    await ask("/api/v1/inbox", { method: "DELETE" });
    toast("Deleted. The inbox is empty.");
    loop.now();
  } catch (error) {
    toast(error.message, "bad");
  }
}

search.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" && event.key !== "ArrowDown") return;
  event.preventDefault();
  move(0);
});
let typing = 0;
search.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(searchFor, 200);
});
for (const button of document.querySelectorAll("[data-kind]")) {
  button.addEventListener("click", () => {
    kind = button.dataset.kind;
    for (const each of document.querySelectorAll("[data-kind]")) each.setAttribute("aria-pressed", each === button);
    wantOther();
  });
}
older.addEventListener("click", () => loadOlder().catch((error) => toast(error.message, "bad")));
find("#all-read").addEventListener("click", () => {
  readMarks.addAll(newest);
  showRead();
});
find("#delete-all").addEventListener("click", deleteAll);
shortcuts([
  ["j", "next message", () => move(1)],
  ["k", "message before", () => move(-1)],
  ["Enter", "open it", () => document.activeElement.click()],
  ["Escape", "back to the list", back],
  ["/", "search", () => search.focus()],
]);
follow();
