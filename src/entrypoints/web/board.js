// The board: which view is shown, when the API is asked, and what the top line, the title and the icon say.

const { askJson, every, find, shortcuts, Refused } = herald;
const { howItIs, link, place } = boardWords;

const BOARD_SECONDS = 2;
const FURTHER_SECONDS = 2; // of which each part may have a longer pause of its own
const HISTORY_MS = 10_000;
const LETTERS_MS = 10_000;

const ICON_COLOURS = { ok: "#17803f", warn: "#b26a00", bad: "#c01c36", unknown: "#6b7280" };

const sentence = find("#state");
const spoken = find("#spoken");
const main = find("#view");
const live = boardLive.liveView();

let board = null;
let letters = null;
let away = null;
let refusal = ""; // what it, or a proxy before it, says instead of how it is
let firstVersion = null;
let troubleSince = null;
let view = null;
let lastSaid = null;
const asked = { history: 0, letters: 0 };

// What is told outside the views -------------------------------------------------------------------

function icon(level) {
  const sign = { bad: "<path d='M18 3v8M18 14v3' stroke='%23fff' stroke-width='3'/>", warn: "<path d='M18 4v7M18 14v2' stroke='%23fff' stroke-width='3'/>" }[level] ?? "";
  const badge = sign ? `<circle cx='18' cy='10' r='9' fill='${ICON_COLOURS[level].replace("#", "%23")}'/>${sign}` : "";
  const horn = ICON_COLOURS[level].replace("#", "%23");
  return `data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 27 24'><path d='M2 9v6h4l9 5V4L6 9z' fill='${horn}'/>${badge}</svg>`;
}

// A newer Herald may answer what this page does not understand: then nothing older may go on standing there.
function state() {
  const reload = `Herald is ${board?.version} now: reload this page.`;
  try {
    const told = howItIs({ board, letters, away, refusal, troubleSince });
    return board && board.version !== firstVersion ? { ...told, text: `${told.text} ${reload}` } : told;
  } catch (error) {
    console.error(error);
    return { level: "unknown", text: `This page does not understand the answer. ${reload}`, brief: "reload this page" };
  }
}

function tell() {
  const { level, text, brief } = state();
  if (sentence.textContent !== text) sentence.textContent = text;
  sentence.parentElement.className = `state ${level}`;
  const title = [view?.title, brief, "Herald"].filter(Boolean).join(" · ");
  if (document.title !== title) document.title = title;
  const said = `${level} ${brief}`;
  if (said === lastSaid || !(board || away)) return;
  // Read aloud only when it changes what to do; the first one is on the page already.
  if (lastSaid !== null) spoken.textContent = text;
  lastSaid = said;
  find("link[rel=icon]").href = icon(level);
}

function countLetters() {
  const badge = find("#letters-count");
  badge.textContent = letters?.total ? herald.number(letters.total) : "";
  badge.hidden = !letters?.total;
}

// Asking -------------------------------------------------------------------------------------------

const isDue = (name, ms) => Date.now() - asked[name] >= ms;

// Where the log does not answer the board says so itself, in words.
async function unlessRefused(path) {
  try {
    return await askJson(path);
  } catch (error) {
    if (error instanceof Refused) return null;
    throw error;
  }
}

async function newHistory() {
  if (view !== overview || !isDue("history", HISTORY_MS)) return;
  const history = await unlessRefused("/api/v1/history");
  asked.history = Date.now();
  if (history) live.showHistory(history);
}

async function newLetters() {
  if (!isDue("letters", view.lettersMs ?? LETTERS_MS)) return;
  asked.letters = Date.now();
  letters = await unlessRefused("/api/v1/dead-letters/summary");
  countLetters();
  view.showLetters?.(letters);
}

function lettersChanged() {
  asked.letters = 0;
  lookNow();
}

async function newBoard() {
  try {
    const newer = await askJson("/api/v1/board");
    firstVersion ??= newer.version;
    refusal = "";
    return newer;
  } catch (error) {
    // A proxy answers for an API that is away: what stood here before is no news any more.
    away ??= Date.now();
    refusal = error instanceof Refused ? error.message : "";
    throw error;
  }
}

async function look() {
  const isFirst = board === null;
  try {
    board = await newBoard();
    troubleSince = board.trouble ? troubleSince ?? Date.now() : null;
    away = null;
    tell();
    view.show?.(board);
    if (isFirst) further.now();
  } finally {
    tell();
  }
}

// Apart from the board: what is slow to read must not keep it from telling of an outage.
async function lookFurther() {
  if (!board) return;
  await view.refresh?.();
  await newLetters();
  await newHistory();
  tell();
}

function lookNow() {
  loop.now();
  further.now();
}

// Views --------------------------------------------------------------------------------------------

const showLive = () => live.show(board, letters);
const overview = { title: "", element: live.element, show: showLive, showLetters: showLive };

function viewAt({ view: name, id, query }) {
  if (name === "message" && id) return boardMessage.messageView(id, query.topic);
  if (name === "dead-letters") return id ? boardLetters.letterView(id, lettersChanged) : boardLetters.lettersView(query, board, lettersChanged);
  if (name === "consumers") return boardConsumers.consumersView();
  return overview;
}

function enter(isFirst = false) {
  const where = place(location.hash);
  view = viewAt(where);
  main.replaceChildren(view.element);
  for (const each of document.querySelectorAll("nav [data-view]")) {
    const isHere = each.dataset.view === (view === overview ? "" : where.view);
    if (isHere) each.setAttribute("aria-current", "page");
    else each.removeAttribute("aria-current");
  }
  if (where.view === "message") find("#request-id").value = where.id;
  if (board) view.show?.(board);
  if (letters) view.showLetters?.(letters);
  if (view.lettersMs) asked.letters = 0;
  if (!isFirst) {
    scrollTo(0, 0);
    (find("h2[tabindex]", main) ?? main).focus({ preventScroll: true });
    lookNow();
  }
  tell();
}

find("#search").addEventListener("submit", (event) => {
  event.preventDefault();
  const id = find("#request-id").value.trim();
  if (id) location.hash = link("message", id);
});
addEventListener("hashchange", () => enter());

const go = (hash) => () => { location.hash = hash; };
shortcuts([
  ["/", "find a message by its request id", () => { find("#request-id").focus(); find("#request-id").select(); }],
  ["b", "the board", go("#")],
  ["d", "dead letters", go("#dead-letters")],
  ["c", "consumers", go("#consumers")],
  ["Escape", "leave the search", () => find("#request-id").blur()],
]);

enter(true);
const loop = every(BOARD_SECONDS, look);
const further = every(FURTHER_SECONDS, lookFurther);
