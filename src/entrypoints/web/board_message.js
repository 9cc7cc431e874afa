// A message's story: what became of it in each channel, and each step. Shared as globalThis.boardMessage.

const { el, askJson, copyButton, duration, number, timeAgo, Refused } = herald;
const { REASONS, STATES, STATE_CHIP, clockTime, clockWithSeconds, eventWords, isOver, link } = boardWords;

const OVER_MS = 10_000; // it may still be sent again

const dateAndTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

function later(at, since) {
  const seconds = (new Date(at) - new Date(since)) / 1000;
  if (seconds < 0.001) return "";
  if (seconds < 10) return `+${seconds.toFixed(seconds < 1 ? 2 : 1)} s`;
  return `+${duration(seconds)}`;
}

function deliveryCard(message, [group, delivery]) {
  const [word, meaning] = STATES[delivery.state] ?? [delivery.state, ""];
  const facts = [
    ["tries", delivery.attempts ? number(delivery.attempts) : null],
    ["answers lost", delivery.uncertain_attempts ? number(delivery.uncertain_attempts) : null],
    ["reason", delivery.reason ? withMeaning(delivery.reason) : null],
    ["provider's id", delivery.provider_id],
    ["since", timeAgo(delivery.updated_at ?? message.accepted_at)],
  ].filter(([, value]) => value !== null);
  const letter = delivery.state === "dead" ? lettersOf(message, group).at(-1)?.dead_letter : null;
  return el("section", { class: "panel delivery", "aria-label": `Delivery by ${group}` },
    el("header", {}, el("h3", {}, group), el("span", { class: `chip ${STATE_CHIP[delivery.state] ?? ""}` }, word)),
    el("div", { class: "inner" }, el("p", {}, meaning),
      el("dl", { class: "facts" }, facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
      letter ? el("p", { class: "act" }, letterLink(letter)) : null));
}

const letterLink = (id) => el("a", { href: link("dead-letters", id) }, "Its dead letter");
const lettersOf = (message, group) => message.story.filter((event) => event.group === group && event.dead_letter);

const withMeaning = (reason) => (REASONS[reason] ? `${reason}: ${REASONS[reason]}` : reason);

function step(event, first) {
  return el("li", { class: `step ${event.event}` },
    el("time", { datetime: event.at, title: dateAndTime.format(new Date(event.at)) },
      clockWithSeconds.format(new Date(event.at)), " ", el("span", { class: "muted" }, later(event.at, first))),
    el("div", {},
      el("strong", {}, event.group ?? "log"), " ", eventWords(event),
      event.reason ? el("div", { class: "answer" }, withMeaning(event.reason)) : null,
      event.provider_id ? el("div", { class: "answer" }, `the provider's answer: ${event.provider_id}`) : null,
      event.due_at ? el("div", { class: "answer" }, `next try at ${clockTime(event.due_at)}`) : null,
      event.dead_letter ? el("div", { class: "answer" }, letterLink(event.dead_letter)) : null));
}

function whole(message) {
  const first = message.story[0]?.at ?? message.accepted_at;
  return [
    el("dl", { class: "facts panel head" },
      el("dt", {}, "topic"), el("dd", {}, message.topic_name),
      el("dt", {}, "place"), el("dd", {}, `partition ${message.partition}, offset ${message.offset}`),
      el("dt", {}, "accepted"), el("dd", {}, dateAndTime.format(new Date(message.accepted_at)), " (", timeAgo(message.accepted_at), ")")),
    el("div", { class: "deliveries" }, Object.entries(message.deliveries).map((each) => deliveryCard(message, each))),
    el("section", { class: "panel", "aria-label": "Its story" },
      el("header", {}, el("h3", {}, "Its story")),
      el("ol", { class: "inner story" }, message.story.map((event) => step(event, first)))),
  ];
}

function unknown(words) {
  return [el("div", { class: "panel empty" }, el("strong", {}, words), "This page asks again by itself.")];
}

// The view of one message; `refresh` asks again until the message is over.
function messageView(requestId, topic) {
  const content = el("div", {});
  const said = el("p", { class: "muted asking", role: "status" });
  const path = `/api/v1/messages/${encodeURIComponent(requestId)}/story${topic ? `?topic_name=${encodeURIComponent(topic)}` : ""}`;
  let shown = "";
  let quietUntil = 0;

  function put(message) {
    const states = JSON.stringify([message.deliveries, message.story]);
    if (states !== shown) content.replaceChildren(...whole(message));
    shown = states;
    const over = isOver(message);
    quietUntil = over ? Date.now() + OVER_MS : 0;
    say(said, over ? "Nothing more is to come, unless it is sent again." : "Not over yet: this page looks again by itself.");
  }

  function tell(words) {
    if (shown !== words) content.replaceChildren(...unknown(words));
    shown = words;
    say(said, "");
  }

  async function refresh() {
    if (Date.now() < quietUntil) return;
    try {
      put(await askJson(path));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      tell(error.status === 404 ? "No message with this id is known, or not yet." : error.message);
    }
  }

  const heading = el("h2", { tabindex: "-1" }, "Message ", el("span", { class: "mono" }, requestId));
  return {
    title: `Message ${requestId}`,
    element: el("div", {}, el("div", { class: "heading" }, heading, copyButton(requestId, "the id")), content, said),
    refresh,
  };
}

function say(element, words) {
  if (element.textContent !== words) element.textContent = words;
}

globalThis.boardMessage = Object.freeze({ messageView });
