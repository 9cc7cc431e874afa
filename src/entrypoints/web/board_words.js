// What the board says, in words: pure functions of what the API told. Shared as globalThis.boardWords.

const { number, duration } = herald;

const REASON_SHOWN = 120; // characters in the sentence
const LONG_WAIT = 60; // s: who waits longer than that is more than on its way

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const clockWithSeconds = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dayAndClock = new Intl.DateTimeFormat("en-GB", {
  day: "numeric", month: "short", hour: "2-digit", minute: "2-digit",
});

// The time of day, with the day where it was not within the last 18 hours.
function clockTime(at, now = Date.now()) {
  const moment = new Date(at);
  return (Math.abs(now - moment) < 64_800_000 ? clock : dayAndClock).format(moment);
}

const count = (n, one, many = `${one}s`) => `${number(n)} ${n === 1 ? one : many}`;
const messages = (n) => count(n, "message");
const deadLetters = (n) => count(n, "dead letter");

// A rate that can be read at a glance: 0, 0.03, 4.2, 118.
function rate(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  if (value < 0.095) return value.toFixed(2);
  return value < 9.95 ? value.toFixed(1) : number(Math.round(value));
}

// The groups over all topics, in the order they come -----------------------------------------------

const sum = (values) => {
  const known = values.filter((value) => value !== null && value !== undefined);
  return known.length ? known.reduce((total, value) => total + value, 0) : null;
};
const highest = (values) => values.reduce((most, value) => (value === null ? most : Math.max(most ?? value, value)), null);
const WORST_FIRST = ["down", "unknown", "up"];

const worstOf = (parts) => parts.map((part) => part.channel).sort(
  (one, other) => WORST_FIRST.indexOf(one.state) - WORST_FIRST.indexOf(other.state))[0];

// Who has nothing to do does not know whether the channel works: standing by, or without a partition.
const worksElsewhere = (name, consumers) => consumers.some((process) =>
  process.group === name && process.channel.state === "up" && process.topics.some((topic) => topic.partitions > 0));

// A channel is down for its group where it is down for one process; `partly`: not for all that have work.
function groupsOf({ topics, consumers }) {
  const byName = new Map();
  for (const topic of topics) {
    for (const group of topic.groups) byName.set(group.name, [...(byName.get(group.name) ?? []), { ...group, topic: topic.name }]);
  }
  return [...byName].map(([name, parts]) => ({
    name,
    rate_out: sum(parts.map((part) => part.rate_out)),
    lag: sum(parts.map((part) => part.lag)),
    deferred: sum(parts.map((part) => part.deferred)),
    oldest_unfinished_seconds: highest(parts.map((part) => part.oldest_unfinished_seconds)),
    // One process works for many topics.
    processes: Math.max(...parts.map((part) => part.processes)),
    processes_down: Math.max(...parts.map((part) => part.processes_down)),
    untaken: parts.filter((part) => part.processes === 0).map((part) => part.topic),
    channel: worstOf(parts.some((part) => part.processes) ? parts.filter((part) => part.processes) : parts),
    partly: parts.every((part) => part.processes_down < part.processes) && worksElsewhere(name, consumers),
  }));
}

// The one sentence ---------------------------------------------------------------------------------

const startCommand = (group) => `herald consumer ${group}`;

function waiting(group) {
  if (group.lag === null) return "how many messages wait is not known";
  return group.lag === 0 ? "no message waits" : `${messages(group.lag)} ${group.lag === 1 ? "waits" : "wait"}`;
}

// What a program says of its network, in words; the whole of it stands in the group's tile.
const IN_WORDS = [
  [/^refuses-everything$/, "it refuses everything"],
  [/Errno 111|Errno 61|connection refused/i, "connection refused"],
  [/Errno -|name or service|name resolution|getaddrinfo/i, "its host's name is not known"],
  [/timed ?out|time-?out/i, "no answer in time"],
];

function brief(reason) {
  const words = IN_WORDS.find(([said]) => said.test(reason))?.[1] ?? reason;
  return words.length > REASON_SHOWN ? `${words.slice(0, REASON_SHOWN)}…` : words;
}

function down(group, now) {
  const { since, reason } = group.channel;
  const when = since ? ` since ${clockTime(since, now)}` : "";
  const then = group.lag ? `${group.lag === 1 ? "; it is" : "; they are"} sent when it is back` : "";
  return `${group.name} is down${when}${reason ? ` (${brief(reason)})` : ""}: ${waiting(group)}${then}.`;
}

// A consumer that was started before a topic was configured does not take it.
const nobody = (group) => (group.processes === 0
  ? `No ${group.name} consumer runs: ${waiting(group)}. Start “${startCommand(group.name)}”.`
  : `No ${group.name} consumer takes ${group.untaken.join(", ")}: start “${startCommand(group.name)}” anew.`);

const untold = (group) => `How ${group.name} is, no process told lately; ${waiting(group)}.`;

const partly = (group) =>
  `${number(group.processes_down)} of ${count(group.processes, `${group.name} process`, `${group.name} processes`)}` +
  ` cannot reach the provider${group.channel.reason ? ` (${brief(group.channel.reason)})` : ""}; the others go on.`;

function backlog(groups) {
  const lag = sum(groups.map((group) => group.lag));
  if (lag === null) return { level: "unknown", text: "All channels up; how many messages wait is not known yet.", brief: "all up" };
  const oldest = highest(groups.map((group) => group.oldest_unfinished_seconds)) ?? 0;
  const deferred = sum(groups.map((group) => group.deferred)) ?? 0;
  const late = lag > 0 && oldest >= LONG_WAIT;
  const first = late
    ? `All channels up; ${messages(lag)} ${lag === 1 ? "waits" : "wait"}, the oldest for ${duration(oldest)}.`
    : lag > 0
      ? `All channels up; ${messages(lag)} ${lag === 1 ? "is" : "are"} on the way.`
      : deferred > 0 ? "All channels up." : "All channels up, nothing waits.";
  const second = deferred > 0
    ? ` ${messages(deferred)} that ${deferred === 1 ? "keeps" : "keep"} failing ${deferred === 1 ? "is" : "are"} put off and tried again.`
    : "";
  return { level: late ? "warn" : "ok", text: first + second, brief: late ? `${number(lag)} wait` : "all up" };
}

const capital = (text) => text.slice(0, 1).toUpperCase() + text.slice(1);

function ofChannels(groups, now) {
  const broken = groups.filter((group) => group.channel.state === "down" && !group.partly);
  const orphans = groups.filter((group) => (group.processes ? group.untaken.length : group.channel.state !== "down"));
  const silent = groups.filter((group) => group.processes && group.channel.state === "unknown");
  const halved = groups.filter((group) => group.channel.state === "down" && group.partly);
  if (broken.length || orphans.length) {
    return {
      level: "bad",
      text: [...broken.map((group) => down(group, now)), ...orphans.map(nobody)].map(capital).join(" "),
      brief: [...broken.map((group) => `${group.name} down`), ...orphans.map((group) => `no ${group.name} consumer`)].join(", "),
    };
  }
  if (silent.length) {
    return { level: "unknown", text: silent.map(untold).join(" "), brief: `${silent.map((group) => group.name).join(", ")} not known` };
  }
  if (halved.length) {
    return { level: "warn", text: halved.map(partly).join(" "), brief: `${halved.map((group) => group.name).join(", ")} partly down` };
  }
  return backlog(groups);
}

// How it is: {level: "ok" | "warn" | "bad" | "unknown", text, brief}. `brief` changes only when it matters: it is read
// aloud, and it is the tab's title. `away`, `troubleSince`: when this page first saw it. `refusal`: what was answered.
function howItIs({ board, letters = null, away = null, refusal = "", troubleSince = null, now = Date.now() }) {
  if (away) {
    const shown = board ? ` What is shown is of ${clockTime(board.as_of, now)}.` : "";
    const what = refusal ? "does not tell how it is" : "does not answer";
    const why = refusal ? ` (${brief(refusal)})` : "";
    return { level: "bad", text: `Herald's API ${what} since ${clockTime(away, now)}${why}.${shown}`, brief: "API does not answer" };
  }
  if (!board) return { level: "unknown", text: "Asking Herald how it is …", brief: "" };
  if (board.trouble) {
    const since = troubleSince ? ` (seen since ${clockTime(troubleSince, now)})` : "";
    return { level: "bad", text: `The log does not answer${since}: ${board.trouble}`, brief: "log does not answer" };
  }
  if (!board.topics.length) {
    return { level: "unknown", text: "There is no topic here, or none that this key is for.", brief: "no topics" };
  }
  const state = ofChannels(groupsOf(board), now);
  const dead = letters?.total ? ` ${deadLetters(letters.total)} to look at.` : "";
  return { ...state, text: state.text + dead };
}

// A message's story --------------------------------------------------------------------------------

const STATES = {
  accepted: ["waiting", "In the log, not tried yet."],
  retrying: ["trying again", "It failed for now and is tried again, or waits behind an earlier message of its key."],
  uncertain: ["not certain", "The provider's last answer was lost: it may have arrived. It is sent again."],
  sent: ["sent", "The server accepted it. That is not yet the word that it was delivered."],
  dead: ["dead letter", "It could not be delivered. It is kept and can be sent again."],
  expired: ["expired", "Its time was over before it was sent; it is not sent any more."],
  skipped: ["not wanted", "The message has no address for this channel."],
};
const FINAL = new Set(["sent", "dead", "expired", "skipped"]);
const STATE_CHIP = { sent: "up", dead: "down", expired: "warn", uncertain: "warn", retrying: "warn" };

const REASONS = {
  refused: "the provider said: never",
  undecodable: "the record's bytes are no message",
  invalid: "its address or a text breaks a rule",
  "too-many-attempts": "it failed for now, again and again",
  uncertain: "the answer was lost too often",
  "request-id-reused": "another message had its id, with other content",
  discarded: "it was discarded by an operator",
};

const tries = (event) => (event.attempts ? `Try ${number(event.attempts)}` : "A try");
const EVENTS = {
  accepted: () => "Accepted: the log has it safely.",
  retrying: (event) => `${tries(event)} failed for now; it is tried again.`,
  uncertain: (event) => `The answer was lost (${count(event.uncertain_attempts || 1, "time")}); it may have arrived and is sent again.`,
  deferred: () => "Put off: kept apart, so that others need not wait for it; it is tried again.",
  sent: (event) => `Sent${event.attempts > 1 ? ` at try ${number(event.attempts)}` : ""}: the server accepted it.`,
  dead: (event) => `Given up${event.attempts ? ` after ${count(event.attempts, "try", "tries")}` : ""}: it is a dead letter now.`,
  expired: () => "Expired: its time was over before it was sent.",
  skipped: () => "Passed over: no address for this channel.",
  replayed: () => "Put back from the dead letters: it is sent again.",
};
const eventWords = (event) => EVENTS[event.event]?.(event) ?? event.event;

const isOver = (message) => Object.values(message.deliveries).every((delivery) => FINAL.has(delivery.state));

// Where on the page --------------------------------------------------------------------------------

// "#dead-letters/ID?topic=x" -> {view: "dead-letters", id: "ID", query: {topic: "x"}}
function place(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?");
  const [view, ...rest] = path.split("/");
  let id = rest.join("/");
  try {
    id = decodeURIComponent(id);
  } catch {
    // It stands there as it was typed.
  }
  return { view, id, query: Object.fromEntries(new URLSearchParams(query)) };
}

function link(view, id = "", query = {}) {
  const given = Object.entries(query).filter(([, value]) => value);
  const text = new URLSearchParams(given).toString();
  return `#${view}${id ? `/${encodeURIComponent(id)}` : ""}${text ? `?${text}` : ""}`;
}

globalThis.boardWords = Object.freeze({
  FINAL, REASONS, STATES, STATE_CHIP, capital, clockTime, clockWithSeconds, count, deadLetters, eventWords, groupsOf,
  howItIs, isOver, link, messages, place, rate, startCommand, sum,
});
