// What all pages share, as globalThis.herald. Data becomes text nodes and attributes, never markup.

const KEY = "herald-key";
const FIRST_PAUSE = 1000; // ms, doubled up to LONGEST_PAUSE while the server is away
const LONGEST_PAUSE = 10_000;
const HIDDEN_FACTOR = 5;
const ANSWER_WITHIN = 15_000; // ms
const CLOCKS_DIFFER = 5000; // ms; less is the answer's own way
const TOAST_SHOWN = 5000; // ms

// Elements -----------------------------------------------------------------------------------------

// el("button", {class: "small", onclick: act, "aria-label": "Copy"}, "Copy"): children are elements or texts.
function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key.startsWith("aria-") && typeof value === "boolean") element.setAttribute(key, String(value));
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

const find = (selector, within = document) => within.querySelector(selector);

// Numbers and times --------------------------------------------------------------------------------

const numbers = new Intl.NumberFormat("en");
const localTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const UNITS = [[86_400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

const number = (value, unknown = "–") => (value === null || value === undefined ? unknown : numbers.format(value));

// 75 -> "1 min", 100_000 -> "1 d": the largest unit alone, which is enough to decide by.
function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [size, unit] = UNITS.find(([each]) => whole >= each) ?? [1, "s"];
  return `${Math.floor(whole / size)} ${unit}`;
}

// How far this machine's clock is before the server's, in ms; 0 where nobody would see it.
let ahead = 0;

function compareClocks(response) {
  const difference = Date.now() - Date.parse(response.headers.get("date"));
  ahead = Math.abs(difference) > CLOCKS_DIFFER ? difference : 0;
}

function ago(at) {
  const seconds = (Date.now() - ahead - new Date(at).getTime()) / 1000;
  return seconds < 5 ? "now" : `${duration(seconds)} ago`;
}

// A <time> that keeps saying how long ago it was; the exact time in its tooltip.
function timeAgo(at) {
  return el("time", { datetime: at, title: localTime.format(new Date(at)), "data-ago": true }, ago(at));
}

setInterval(() => {
  for (const time of document.querySelectorAll("time[data-ago]")) {
    const words = ago(time.dateTime);
    if (time.textContent !== words) time.textContent = words;
  }
}, 1000);

// Asking the server --------------------------------------------------------------------------------

// The server gave no answer.
class Away extends Error {}

// The server refused; `status`, and `message` is what it said.
class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

function showBanner(words) {
  let banner = find("#banner");
  if (!banner) {
    banner = el("div", { id: "banner", class: "banner", role: "alert", hidden: true });
    document.body.prepend(banner);
  }
  if (banner.textContent !== words) banner.textContent = words;
  banner.hidden = !words;
}

function forgetKey() {
  sessionStorage.removeItem(KEY);
  location.reload();
}

async function saidBy(response) {
  try {
    const problem = await response.json();
    if (problem.detail || problem.title) return problem.detail || problem.title;
  } catch {
    // A proxy's own page.
  }
  return `Herald answered ${response.status}.`;
}

// fetch with the key. Throws `Away` or `Refused`; a key that is not known any more leads to signing in.
async function ask(path, { method = "GET", json, headers = {} } = {}) {
  const key = sessionStorage.getItem(KEY);
  const all = { ...headers };
  if (key) all.Authorization = `Bearer ${key}`;
  if (json !== undefined) all["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: all,
      body: json === undefined ? undefined : JSON.stringify(json),
      cache: "no-store",
      signal: AbortSignal.timeout(ANSWER_WITHIN),
    });
  } catch {
    showBanner("Herald does not answer. This page goes on by itself once it does.");
    throw new Away("Herald does not answer.");
  }
  showBanner("");
  compareClocks(response);
  if (response.status === 401) location.reload();
  if (!response.ok) throw new Refused(response.status, await saidBy(response));
  return response;
}

// The same for JSON. An answer that breaks off counts as none.
async function askJson(path, options) {
  const response = await ask(path, options);
  try {
    return await response.json();
  } catch {
    throw new Away("The answer broke off.");
  }
}

// Calls `work` now and every `seconds` after it ended; while it fails, with growing pauses; less often while the page
// is hidden. Returns {now}: looks at once.
function every(seconds, work) {
  let timer = 0;
  let pause = FIRST_PAUSE;
  let running = false;
  let again = false;
  async function run() {
    clearTimeout(timer);
    if (running) {
      again = true;
      return;
    }
    running = true;
    let next = seconds * 1000;
    try {
      await work();
      pause = FIRST_PAUSE;
    } catch (error) {
      if (!(error instanceof Away || error instanceof Refused)) console.error(error);
      if (error instanceof Refused) showBanner(error.message);
      next = Math.max(next, pause);
      pause = Math.min(pause * 2, LONGEST_PAUSE);
    }
    running = false;
    timer = setTimeout(run, again ? 0 : document.hidden ? next * HIDDEN_FACTOR : next);
    again = false;
  }
  document.addEventListener("visibilitychange", () => document.hidden || run());
  run();
  return { now: run };
}

// Telling and asking the person --------------------------------------------------------------------

// There from the start: what comes into being together with its words is not read out.
const toasts = el("div", { id: "toasts", class: "toasts", role: "status", "aria-live": "polite" });
document.body.append(toasts);

function toast(words, kind = "") {
  const shown = el("div", { class: `toast ${kind}` }, words);
  toasts.append(shown);
  setTimeout(() => shown.remove(), TOAST_SHOWN);
}

// Shows a dialog of these elements; gives what `close(value)` was called with, or undefined after Escape.
function inDialog(title, build) {
  return new Promise((resolve) => {
    const dialog = el("dialog", { "aria-label": title }, el("h2", {}, title));
    let answer;
    dialog.append(...build((value) => {
      answer = value;
      dialog.close();
    }));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

// Whether the person said yes. The harmless answer has the focus.
async function confirmed({ title, text, act, danger = false }) {
  const answer = await inDialog(title, (close) => [
    el("p", {}, text),
    el("div", { class: "acts" },
      el("button", { type: "button", autofocus: true, onclick: () => close(false) }, "Cancel"),
      el("button", { type: "button", class: danger ? "danger" : "primary", onclick: () => close(true) }, act)),
  ]);
  return answer === true;
}

// `text` may be a function that gives it. `what` tells what was copied; `label` is needed where several stand together.
function copyButton(text, what, label = "Copy") {
  const name = label === "Copy" ? `Copy ${what}` : null;
  const button = el("button", { type: "button", class: "small", "aria-label": name }, label);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(typeof text === "function" ? await text() : text);
      toast(`Copied ${what}.`);
    } catch {
      toast("The browser did not allow copying.", "bad");
    }
  });
  return button;
}

// Keyboard -----------------------------------------------------------------------------------------

// [["j", "next", act], …]: single keys, not while typing or in a dialog. "?" shows them all.
function shortcuts(list) {
  const help = () => inDialog("Keyboard", (close) => [
    el("dl", { class: "facts" }, [...list, ["?", "this help"]].map(([key, words]) => [
      el("dt", {}, el("kbd", {}, key)), el("dd", {}, words),
    ])),
    el("div", { class: "acts" }, el("button", { type: "button", autofocus: true, onclick: () => close() }, "Close")),
  ]);
  const acts = new Map([...list.map(([key, , act]) => [key, act]), ["?", help]]);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (find("dialog[open]")) return;
    const typing = event.target.closest("input, textarea, select");
    if (typing && event.key !== "Escape") return;
    // Enter and blanks belong to the control that has the focus.
    if (event.key === "Enter" && event.target.closest("button, a")) return;
    const act = acts.get(event.key);
    if (!act) return;
    event.preventDefault();
    act();
  });
}

for (const button of document.querySelectorAll("[data-forget-key]")) {
  button.hidden = sessionStorage.getItem(KEY) === null;
  button.addEventListener("click", forgetKey);
}

globalThis.herald = Object.freeze({
  Away, Refused, ago, ask, askJson, confirmed, copyButton, duration, el, every, find, inDialog, number, shortcuts,
  timeAgo, toast,
});
