// Dead letters: how many of which reason, the list, one of them. Shared as globalThis.boardLetters.

const { el, askJson, copyButton, number, timeAgo, toast, Refused } = herald;
const { REASONS, capital, count, deadLetters, link } = boardWords;
const { replay } = boardReplay;

const PAGE_SIZE = 25;
const SUMMARY_MS = 4000;
const FILTERS = ["group", "topic", "reason"];
const WHOLE = ["value", "value_base64", "key", "key_base64", "headers"];

const queryOf = (fields) => new URLSearchParams(Object.entries(fields).filter(([, value]) => value)).toString();
const meaning = (reason) => REASONS[reason] ?? "";

// The summary ----------------------------------------------------------------------------------------

function summaryRow(row, filter, again) {
  const mine = { group: row.group, topic: row.topic, reason: row.reason };
  const chosen = FILTERS.every((name) => filter[name] === mine[name]);
  return el("tr", { class: chosen ? "chosen" : null },
    el("td", { class: "wide" }, el("a", { href: link("dead-letters", "", mine), "aria-current": chosen ? "true" : null }, row.reason),
      el("div", { class: "muted" }, meaning(row.reason))),
    el("td", { "data-title": "Group" }, row.group),
    el("td", { "data-title": "Topic" }, row.topic),
    el("td", { class: "number", "data-title": "Waiting" }, number(row.count), row.parked ? el("span", { class: "muted" }, ` + ${number(row.parked)} parked`) : null),
    el("td", { class: "acts-cell" }, row.count
      ? el("button", { type: "button", class: "small", onclick: () => replay(mine, again), "aria-label": `Send again: ${row.reason} of ${row.group} in ${row.topic}` }, "Send again …")
      : null));
}

function summaryTable(rows, filter, again) {
  if (!rows.length) return el("p", { class: "inner muted" }, "No dead letter waits.");
  return el("table", { class: "stacked" },
    el("caption", { class: "unseen" }, "Dead letters that wait, by reason"),
    el("thead", {}, el("tr", {}, ["Reason", "Group", "Topic"].map((name) => el("th", { scope: "col" }, name)),
      el("th", { scope: "col", class: "number" }, "Waiting"), el("td", {}))),
    el("tbody", {}, rows.map((row) => summaryRow(row, filter, again))));
}

// The list -------------------------------------------------------------------------------------------

const fate = (letter) => `sent again ${count(letter.replays, "time")} so far`;

function letterRow(letter, again) {
  return el("tr", {},
    el("td", { class: "nowrap" }, timeAgo(letter.failed_at)),
    el("td", { class: "wide wrap" }, el("a", { class: "mono", href: link("message", letter.request_id, { topic: letter.topic }) }, letter.request_id),
      letter.key === null ? null : el("div", { class: "muted" }, `key ${letter.key}`)),
    el("td", {}, letter.group, el("div", { class: "muted" }, letter.topic)),
    el("td", { class: "wide wrap" }, el("strong", {}, letter.reason), el("div", { class: "answer" }, letter.error)),
    el("td", { class: "nowrap" }, count(letter.attempts, "try", "tries")),
    el("td", { class: "acts-cell" }, letter.replays ? el("span", { class: "muted" }, fate(letter)) : null,
      el("a", { class: "button small", href: link("dead-letters", letter.id), "aria-label": `Show ${letter.id}` }, "Show"),
      el("button", { type: "button", class: "small", "aria-label": `Send ${letter.id} again`, onclick: () => replay({ ids: [letter.id] }, again) }, "Send again …")));
}

function filterForm(filter, topics) {
  const groups = [...new Set(topics.flatMap((topic) => topic.groups.map((group) => group.name)))];
  const values = { group: groups, topic: topics.map((topic) => topic.name), reason: Object.keys(REASONS).filter((reason) => reason !== "discarded") };
  const go = (event) => {
    const chosen = Object.fromEntries(new FormData(event.currentTarget.form ?? event.currentTarget));
    location.hash = link("dead-letters", "", { ...chosen, replayed: filter.replayed });
  };
  return el("form", { class: "filters", onsubmit: (event) => { event.preventDefault(); go(event); } },
    FILTERS.map((name) => el("span", { class: "filter" }, el("label", { for: `filter-${name}` }, capital(name)),
      el("select", { name, id: `filter-${name}`, onchange: go },
        el("option", { value: "" }, "all"),
        [...new Set([...values[name], ...(filter[name] ? [filter[name]] : [])])].map((value) =>
          el("option", { value, selected: filter[name] === value }, value))))));
}

const NONE = { false: "No dead letter waits.", true: "No dead letter was sent again." };

// Those that wait, or those that were sent again.
function whichLetters(narrow, replayed) {
  const choice = (words, value) => el("button", {
    type: "button", "aria-pressed": String((replayed === "true") === (value === "true")),
    onclick: () => { location.hash = link("dead-letters", "", { ...narrow, replayed: value }); },
  }, words);
  return el("div", { class: "choice", role: "group", "aria-label": "Which letters" }, choice("waiting", ""), choice("sent again", "true"));
}

// The letters of a filter, a page at a time. `tells` is called with how many are shown.
class LetterList {
  #next = "";
  #rows = el("tbody", {});
  #none = el("p", { class: "inner muted" }, "Looking …");
  #more = el("button", { type: "button", hidden: true, onclick: () => this.#read() }, "Show more");
  #table = el("table", { class: "stacked", hidden: true },
    el("caption", { class: "unseen" }, "Dead letters, the oldest failure first"),
    el("thead", {}, el("tr", {}, ["Failed", "Message", "Group", "Why", "Tries"].map((name) => el("th", { scope: "col" }, name)), el("td", {}))),
    this.#rows);

  constructor({ wanted, nothing, again, tells }) {
    Object.assign(this, { wanted, nothing, again, tells });
    this.elements = [this.#table, this.#none, el("div", { class: "more" }, this.#more)];
  }

  // What died since it was read comes behind; more than a page is read when it is asked for.
  get mayBeReadAnew() {
    return !this.#next && this.#rows.childElementCount <= PAGE_SIZE && !this.#rows.contains(document.activeElement);
  }

  readAnew() {
    this.#next = "";
    return this.#read(true);
  }

  async #read(anew = false) {
    this.#more.disabled = true;
    try {
      const found = await askJson(`/api/v1/dead-letters?${queryOf({ ...this.wanted, limit: PAGE_SIZE, after: this.#next })}`);
      if (anew) this.#rows.replaceChildren();
      this.#rows.append(...found.dead_letters.map((letter) => letterRow(letter, this.again)));
      this.#next = found.next ?? "";
      this.#said(this.nothing);
    } catch (error) {
      this.#said(error.message, true);
    }
    this.#more.disabled = false;
  }

  #said(words, isTrouble = false) {
    const shown = this.#rows.childElementCount;
    this.#table.hidden = !shown;
    this.#more.hidden = !this.#next;
    this.#none.hidden = shown > 0 && !isTrouble;
    this.#none.textContent = words;
    this.tells(shown);
  }
}

const waitingWords = ({ total, parked }) =>
  `${deadLetters(total)} ${total === 1 ? "waits" : "wait"}${parked ? `, ${number(parked)} parked` : ""}`;

// The view of all, narrowed by `filter`. `changed` is called once letters were sent again.
function lettersView(filter, board, changed) {
  const narrow = Object.fromEntries(FILTERS.map((name) => [name, filter[name] ?? ""]));
  const replayed = filter.replayed === "true" ? "true" : "false";
  const isNarrow = FILTERS.some((name) => narrow[name]);
  const sums = el("div", {});
  const total = el("span", { class: "muted", role: "status" });
  const all = el("button", { type: "button", hidden: true, onclick: () => replay(isNarrow ? narrow : { all: true }, again) },
    isNarrow ? "Send these again …" : "Send all again …");
  const list = new LetterList({
    wanted: { ...narrow, replayed },
    nothing: isNarrow ? "No dead letter is like that." : NONE[replayed],
    again: () => again(),
    tells: (shown) => { all.hidden = !shown || replayed === "true"; },
  });
  let shownSums = null;
  let filters = filterForm(filter, board?.topics ?? []);
  let knowsTopics = board !== null;

  async function again() {
    await list.readAnew();
    changed();
  }

  function showLetters(summary) {
    const text = JSON.stringify(summary);
    if (summary === null || text === shownSums) return;
    if (shownSums !== null && list.mayBeReadAnew) list.readAnew();
    shownSums = text;
    sums.replaceChildren(summaryTable(summary.dead_letters, narrow, again));
    total.textContent = waitingWords(summary);
  }

  list.readAnew();
  return {
    title: "Dead letters",
    element: el("div", {},
      el("div", { class: "heading" }, el("h2", { tabindex: "-1" }, "Dead letters"), total),
      el("section", { class: "panel", "aria-label": "By reason" }, el("header", {}, el("h3", {}, "By reason")), sums),
      el("section", { class: "panel", "aria-label": "The letters" },
        el("header", {}, el("h3", {}, "The letters"), whichLetters(narrow, replayed), filters, el("span", { class: "spacer" }), all),
        list.elements)),
    showLetters,
    // Opened by its address, it is there before the first board is.
    show(newer) {
      if (knowsTopics) return;
      knowsTopics = true;
      const known = filterForm(filter, newer.topics);
      filters.replaceWith(known);
      filters = known;
    },
    lettersMs: SUMMARY_MS,
  };
}

// One ------------------------------------------------------------------------------------------------

function parted(letter) {
  const facts = Object.entries(letter).filter(([name]) => !WHOLE.includes(name));
  return { facts, personal: Object.entries(letter).filter(([name]) => WHOLE.includes(name)) };
}

const shownFact = (name, value) => {
  if (value === null) return "–";
  if (name.endsWith("_at")) return timeAgo(value);
  if (name === "reason") return `${value}${meaning(value) ? `: ${meaning(value)}` : ""}`;
  return typeof value === "boolean" ? (value ? "yes" : "no") : String(value);
};

const factList = (facts) => el("dl", { class: "facts" }, facts.flatMap(([name, value]) => [
  el("dt", {}, name.replaceAll("_", " ")), el("dd", {}, shownFact(name, value)),
]));

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function personalList(personal) {
  return el("dl", { class: "facts" }, personal.flatMap(([name, value]) => [
    el("dt", {}, name.replaceAll("_", " ")),
    el("dd", {}, name === "headers"
      ? value.map((header) => el("div", { class: "mono" }, `${header.name}: ${header.value ?? header.value_base64}`))
      : el("pre", {}, value === null ? "–" : pretty(value))),
  ]));
}

// The view of one letter. What is personal is fetched anew when it is asked for, and kept nowhere before.
function letterView(id, changed) {
  const content = el("div", {}, el("p", { class: "muted" }, "Looking …"));
  const path = `/api/v1/dead-letters/${encodeURIComponent(id)}`;

  async function load() {
    try {
      show(await askJson(path));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      content.replaceChildren(el("div", { class: "panel empty" }, el("strong", {}, error.status === 404 ? "There is no dead letter of this id." : error.message),
        el("a", { href: "#dead-letters" }, "All dead letters")));
    }
  }

  async function again() {
    await load();
    changed();
  }

  async function reveal(button, place) {
    try {
      place.replaceChildren(personalList(parted(await askJson(path)).personal));
      button.remove();
    } catch (error) {
      toast(error.message, "bad");
    }
  }

  function show(letter) {
    const place = el("div", {}, el("p", { class: "muted" }, "The address, the body and the headers are not shown until you ask for them."));
    const reveals = el("button", { type: "button", onclick: () => reveal(reveals, place) }, "Show personal data");
    const sends = el("button", { type: "button", class: "primary", onclick: () => replay({ ids: [id] }, again) }, "Send again …");
    content.replaceChildren(
      el("section", { class: "panel", "aria-label": "What is known" },
        el("header", {}, el("h3", {}, "Why it failed"), el("span", { class: "spacer" }),
          el("a", { class: "button", href: link("message", letter.request_id, { topic: letter.topic }) }, "The message's story"), sends),
        el("div", { class: "inner" }, factList(parted(letter).facts))),
      el("section", { class: "panel", "aria-label": "The message" },
        el("header", {}, el("h3", {}, "The message"), el("span", { class: "spacer" }), reveals),
        el("div", { class: "inner" }, place)));
  }

  let asked = false;
  return {
    title: `Dead letter ${id}`,
    element: el("div", {},
      el("p", { class: "back" }, el("a", { href: "#dead-letters" }, "‹ All dead letters")),
      el("div", { class: "heading" }, el("h2", { tabindex: "-1" }, "Dead letter ", el("span", { class: "mono" }, id)), copyButton(id, "the id")), content),
    async refresh() {
      if (asked) return;
      await load();
      asked = true;
    },
  };
}

globalThis.boardLetters = Object.freeze({ lettersView, letterView });
