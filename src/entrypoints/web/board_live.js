// The board's first view: a tile for each group, a panel for each topic. Shared as globalThis.boardLive.
// What is there is built once and then kept up to date in place: focus, selection and screen readers are left alone.

const { el, number, duration, timeAgo } = herald;
const { clockTime, count, groupsOf, link, rate, startCommand, sum } = boardWords;
const { topicCharts } = boardCharts;

const MANY_TOPICS = 4; // beyond that charts are drawn when they are asked for
const TO_BE_SEARCHED = 6; // and beyond that topics can be narrowed
const LATE_SECONDS = 60;

function say(element, words) {
  if (element.textContent !== words) element.textContent = words;
}

// A value that stands out while it is something to look at.
function mark(element, words, kind = "") {
  say(element, words);
  if (element.dataset.kind !== kind) element.dataset.kind = kind;
}

function age({ oldest_unfinished_seconds: seconds, lag, deferred }) {
  if (seconds === null || !(lag || deferred)) return "–";
  return seconds < 1 ? "< 1 s" : duration(seconds);
}
const processWords = (group) => (group.processes === 0 ? "none" : number(group.processes));

function channelWords({ state, since, reason }) {
  const when = since ? ` since ${clockTime(since)}` : "";
  return { up: `up${when}`, down: `down${when}`, unknown: reason || "no process told anything lately" }[state];
}

function showChannel(chip, group) {
  const { state } = group.channel;
  const orphan = group.processes === 0 && state !== "down";
  const partly = state === "down" && group.partly;
  say(chip, orphan ? "no consumer" : partly ? "partly down" : state);
  chip.className = `chip ${orphan ? "down" : partly ? "warn" : state}`;
}

// A figure with its name below --------------------------------------------------------------------

function figure(name, href = null) {
  const value = href ? el("a", { href }) : el("span", {});
  return { element: el("div", { class: "figure" }, el("dt", {}, name), el("dd", {}, value)), value };
}

// A tile ---------------------------------------------------------------------------------------------

function groupTile(name) {
  const chip = el("span", { class: "chip unknown" }, "unknown");
  const why = el("p", { class: "why" });
  const parts = {
    waiting: figure("waiting"), oldest: figure("oldest"), rate: figure("out a second"), deferred: figure("deferred"),
    letters: figure("dead letters", link("dead-letters", "", { group: name })), processes: figure("processes", link("consumers")),
  };
  const element = el("section", { class: "panel tile", "aria-label": `Channel ${name}` },
    el("header", {}, el("h2", {}, name), chip),
    el("div", { class: "inner" }, why, el("dl", { class: "figures" }, Object.values(parts).map((part) => part.element))));
  function show(group, letters) {
    showChannel(chip, group);
    say(why, whyWords(group));
    mark(parts.waiting.value, number(group.lag), lagKind(group));
    mark(parts.oldest.value, age(group), oldestKind(group));
    say(parts.rate.value, rate(group.rate_out));
    mark(parts.deferred.value, number(group.deferred), group.deferred ? "warn" : "");
    mark(parts.letters.value, letters === null ? "–" : number(letters), letters ? "warn" : "");
    mark(parts.processes.value, processWords(group), group.processes === 0 ? "bad" : "");
  }
  return { element, show };
}

function whyWords(group) {
  const { state, since, reason } = group.channel;
  if (group.processes === 0 && state !== "down") return `no consumer runs: start ${startCommand(group.name)}`;
  const when = since ? `since ${clockTime(since)}` : "";
  if (state === "down" && group.partly) return `${number(group.processes_down)} of ${count(group.processes, "process", "processes")} cannot reach it ${when}: ${reason}`;
  if (state === "down") return [when, reason].filter(Boolean).join(": ");
  return state === "up" ? `works ${when}` : reason || "no process told anything lately";
}

const lagKind = (group) => (group.lag && (group.channel.state !== "up" || group.processes === 0) ? "bad" : "");
const oldestKind = (group) => ((group.oldest_unfinished_seconds ?? 0) >= LATE_SECONDS ? "warn" : "");

// A topic --------------------------------------------------------------------------------------------

const COLUMNS = [
  ["group", "Group"], ["channel", "Channel"], ["rate", "Out/s"], ["lag", "Lag"], ["oldest", "Oldest unfinished"],
  ["deferred", "Deferred"], ["letters", "Dead letters"], ["processes", "Processes"],
];

function groupRow(topic, name) {
  const chip = el("span", { class: "chip unknown" }, "unknown");
  const since = el("span", { class: "muted since" });
  const cells = {
    rate: el("span", {}), lag: el("span", {}), oldest: el("span", {}), deferred: el("span", {}),
    letters: el("a", { href: link("dead-letters", "", { group: name, topic }) }), processes: el("span", {}),
  };
  const content = { channel: [chip, " ", since], ...Object.fromEntries(Object.entries(cells)) };
  const element = el("tr", {}, el("th", { scope: "row" }, name), COLUMNS.slice(1).map(([key, title]) =>
    el("td", { class: key === "channel" ? "channel" : "number", "data-title": title }, content[key])));
  function show(group, letters) {
    showChannel(chip, group);
    say(since, group.processes === 0 && group.channel.state !== "down" ? "" : channelWords(group.channel).replace(/^(up|down) ?/, ""));
    say(cells.rate, rate(group.rate_out));
    mark(cells.lag, number(group.lag), lagKind(group));
    mark(cells.oldest, age(group), oldestKind(group));
    mark(cells.deferred, number(group.deferred), group.deferred ? "warn" : "");
    mark(cells.letters, letters === null ? "–" : number(letters), letters ? "warn" : "");
    mark(cells.processes, processWords(group), group.processes === 0 ? "bad" : "");
  }
  return { element, show };
}

function groupTable(topic, rows) {
  if (!topic.groups.length) return el("p", { class: "inner muted" }, "No group takes messages of this topic.");
  return el("table", { class: "groups" },
    el("caption", { class: "unseen" }, `The groups of ${topic.name}`),
    el("thead", {}, el("tr", {}, COLUMNS.map(([key, title]) =>
      el("th", { scope: "col", class: key === "group" || key === "channel" ? null : "number" }, title)))),
    el("tbody", {}, [...rows.values()].map((row) => row.element)));
}

// `alone`: the tiles tell all of its groups already.
function topicPanel(topic, { open, alone }) {
  const rows = new Map(topic.groups.map((group) => [group.name, groupRow(topic.name, group.name)]));
  const charts = topicCharts();
  const rateIn = el("strong", {});
  const details = el("details", { class: "hour", open }, el("summary", {}, "The last hour"), charts.element);
  let history = null;
  const draw = () => details.open && history && charts.show(history.topic, history.times);
  details.addEventListener("toggle", draw);
  const element = el("section", { class: "panel topic", "aria-label": `Topic ${topic.name}` },
    el("header", {}, el("h2", {}, topic.name), el("span", { class: "muted" }, count(topic.partitions, "partition")),
      el("span", { class: "spacer" }), el("span", { class: "rate-in" }, "in ", rateIn, " a second")),
    alone ? null : groupTable(topic, rows),
    details);
  return {
    name: topic.name,
    element,
    show(now, letters, groups) {
      say(rateIn, rate(now.rate_in));
      for (const group of now.groups) {
        const { partly } = groups.find((one) => one.name === group.name);
        rows.get(group.name).show({ ...group, partly }, letters(now.name, group.name));
      }
    },
    showHistory(topicHistory, times) {
      history = { topic: topicHistory, times };
      draw();
    },
  };
}

// All of it ------------------------------------------------------------------------------------------

const outline = (topics) => JSON.stringify(topics.map((topic) => [topic.name, topic.partitions, topic.groups.map((group) => group.name)]));
const isTroubled = (topic) => topic.groups.some((group) =>
  group.lag || group.deferred || group.processes === 0 || group.channel.state !== "up");

function liveView() {
  const tiles = el("div", { class: "tiles" });
  const panels = el("div", { class: "topics" });
  const wanted = el("input", { type: "search", "aria-label": "Only topics whose name has", placeholder: "Only topics with …", oninput: () => narrow() });
  const waitingOnly = el("input", { type: "checkbox", onchange: () => narrow() });
  const narrowed = el("span", { class: "muted", role: "status" });
  const narrowing = el("div", { class: "narrowing", hidden: true }, wanted,
    el("label", { class: "check" }, waitingOnly, "only where something waits or fails"), narrowed);
  const updated = el("p", { class: "muted updated" });
  let built = null;
  let shownOutline = "";
  let lastBoard = null;

  function build(board) {
    built = {
      tiles: new Map(groupsOf(board).map((group) => [group.name, groupTile(group.name)])),
      topics: new Map(board.topics.map((topic) => [topic.name, topicPanel(topic, { open: board.topics.length <= MANY_TOPICS, alone: board.topics.length === 1 })])),
    };
    tiles.replaceChildren(...[...built.tiles.values()].map((tile) => tile.element));
    panels.replaceChildren(...[...built.topics.values()].map((panel) => panel.element));
    if (!board.topics.length) panels.append(noTopics());
    narrowing.hidden = board.topics.length <= TO_BE_SEARCHED;
  }

  function narrow() {
    if (!lastBoard) return;
    const text = wanted.value.trim().toLowerCase();
    let shown = 0;
    for (const topic of lastBoard.topics) {
      const fits = topic.name.toLowerCase().includes(text) && (!waitingOnly.checked || isTroubled(topic));
      built.topics.get(topic.name).element.hidden = !fits;
      shown += fits ? 1 : 0;
    }
    say(narrowed, shown === lastBoard.topics.length ? count(shown, "topic") : `${shown} of ${count(lastBoard.topics.length, "topic")}`);
  }

  function show(board, summary) {
    if (shownOutline !== outline(board.topics)) {
      shownOutline = outline(board.topics);
      build(board);
    }
    lastBoard = board;
    const letters = (topic, group) => (summary === null ? null : sum(summary.dead_letters
      .filter((row) => (topic === "" || row.topic === topic) && row.group === group).map((row) => row.count)) ?? 0);
    const groups = groupsOf(board);
    for (const group of groups) built.tiles.get(group.name).show(group, letters("", group.name));
    for (const topic of board.topics) built.topics.get(topic.name).show(topic, letters, groups);
    narrow();
    updated.replaceChildren(`Herald ${board.version} on ${LOGS[board.log] ?? board.log}, as of `, timeAgo(board.as_of));
  }

  function showHistory(history) {
    for (const topic of history.topics) built?.topics.get(topic.name)?.showHistory(topic, history);
  }

  return { element: el("div", {}, tiles, narrowing, panels, updated), show, showHistory };
}

const LOGS = { sqlite: "SQLite", kafka: "Kafka", memory: "a log in memory" };

function noTopics() {
  return el("div", { class: "panel empty" }, el("strong", {}, "No topic to show"),
    "None is configured, or this key is for none of them. ", el("a", { href: "/docs" }, "The API's page"), " says more.");
}

globalThis.boardLive = Object.freeze({ liveView });
