// The consumer processes, as they tell of themselves. Shared as globalThis.boardConsumers.

const { el, number, timeAgo } = herald;
const { clockTime, count, startCommand } = boardWords;

const HEADS = ["Group", "Host", "Process", "Version", "Started", "Partitions", "In flight", "Channel", "Last told"];

const NARROW = new Set(["Started", "Last told"]);

const partitions = (topics) =>
  topics.map((topic) => `${topic.name} ${number(topic.partitions)}`).join(", ") || "none";

function channelCell({ state, since, reason }) {
  return [el("span", { class: `chip ${state}` }, state), " ", el("span", { class: "muted" },
    [since ? `since ${clockTime(since)}` : "", reason].filter(Boolean).join(": "))];
}

function row(process) {
  const cells = [
    process.host,
    [el("span", { class: "mono" }, String(process.pid)), process.waiting ? el("div", { class: "muted" }, process.waiting) : null],
    process.version, timeAgo(process.started_at), partitions(process.topics), number(process.in_flight),
    channelCell(process.channel), timeAgo(process.at),
  ];
  return el("tr", {}, el("th", { scope: "row" }, process.group),
    cells.map((cell, at) => el("td", { "data-title": HEADS[at + 1], class: NARROW.has(HEADS[at + 1]) ? "nowrap" : null }, cell)));
}

const steady = (process) => ({ ...process, at: null });

// The view of all processes. `show` takes each newer board.
function consumersView() {
  const body = el("tbody", {});
  const table = el("div", { class: "scroll" }, el("table", { class: "stacked" },
    el("caption", { class: "unseen" }, "Consumer processes"),
    el("thead", {}, el("tr", {}, HEADS.map((name) => el("th", { scope: "col" }, name)))), body));
  const missing = el("div", { class: "missing" });
  const total = el("span", { class: "muted" });
  let shown = "";

  function show(board) {
    const groups = [...new Set(board.topics.flatMap((topic) => topic.groups.map((group) => group.name)))];
    const absent = groups.filter((name) => !board.consumers.some((process) => process.group === name));
    const now = JSON.stringify([board.consumers.map(steady), absent]);
    if (now === shown) {
      board.consumers.forEach((process, at) => {
        body.rows[at].lastElementChild.firstElementChild.dateTime = process.at;
      });
      return;
    }
    shown = now;
    total.textContent = count(board.consumers.length, "process", "processes");
    body.replaceChildren(...board.consumers.map(row));
    table.hidden = !board.consumers.length;
    missing.replaceChildren(...absent.map((name) => el("p", { class: "panel inner" },
      el("span", { class: "chip down" }, "no consumer"), ` No ${name} consumer runs. Start one: `, el("code", {}, startCommand(name)))));
  }

  return {
    title: "Consumers",
    element: el("div", {}, el("div", { class: "heading" }, el("h2", { tabindex: "-1" }, "Consumers"), total), missing,
      el("section", { class: "panel", "aria-label": "Processes" }, table)),
    show,
  };
}

globalThis.boardConsumers = Object.freeze({ consumersView });
