// One opened message. Nothing of it becomes markup here: its HTML is shown in a frame that may do nothing.

const { ask, askJson, copyButton, el, number, timeAgo, toast } = globalThis.herald;

const LONGEST_TEXT = 200_000; // characters shown at once; more would make the page slow
const VIEW = "herald-inbox-view";

function fact(name, ...value) {
  return [el("dt", {}, name), el("dd", {}, value)];
}

function size(bytes) {
  if (bytes < 1024) return `${bytes} bytes`;
  return bytes < 1_048_576 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / 1_048_576).toFixed(1)} MiB`;
}

function text(whole, attributes = {}) {
  const shown = el("pre", attributes, whole.slice(0, LONGEST_TEXT));
  if (whole.length <= LONGEST_TEXT) return [shown];
  const note = `The first ${number(LONGEST_TEXT)} of ${number(whole.length)} characters; copied, it is whole.`;
  return [el("p", { class: "note" }, note), shown];
}

// Views of a mail: name, whether it is there, and what fills the body (it may have to be fetched).
const VIEWS = [
  ["HTML", (mail) => mail.has_html, (mail) => [
    // No scripts, no forms, an origin of its own; a link that is followed opens beside the inbox.
    el("iframe", { sandbox: "allow-popups allow-popups-to-escape-sandbox", src: `${mail.path}/html`,
      title: "The mail's HTML", referrerpolicy: "no-referrer" }),
  ]],
  ["Text", (mail) => mail.text !== "", (mail) => text(mail.text, { class: "text-body" })],
  ["Source", () => true, async (mail) => text(await source(mail))],
  ["Headers", () => true, (mail) => [
    el("div", { class: "scroll" }, el("table", {},
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Header"), el("th", { scope: "col" }, "Value"))),
      el("tbody", {}, mail.headers.map(([name, value]) => el("tr", {},
        el("th", { scope: "row", class: "mono" }, name), el("td", { class: "mono" }, value)))))),
    mail.headers_left_out ? el("p", { class: "note" }, `${number(mail.headers_left_out)} more; see the source.`) : null,
  ]],
];

async function source(mail) {
  const bytes = await (await ask(`${mail.path}/source`)).arrayBuffer();
  return new TextDecoder().decode(bytes);
}

function views(mail) {
  const body = el("div", { class: "body" });
  const there = VIEWS.filter(([, isThere]) => isThere(mail));
  const buttons = new Map();
  let chosen;
  async function show(name) {
    chosen = name;
    for (const [each, button] of buttons) button.setAttribute("aria-pressed", each === name);
    try {
      const [, , build] = there.find(([each]) => each === name);
      const filling = await build(mail);
      if (chosen === name) body.replaceChildren(...filling.filter(Boolean));
    } catch (error) {
      toast(error.message, "bad");
    }
  }
  for (const [name] of there) {
    buttons.set(name, el("button", { type: "button", onclick: () => {
      sessionStorage.setItem(VIEW, name);
      show(name);
    } }, name));
  }
  const kept = sessionStorage.getItem(VIEW);
  show(buttons.has(kept) ? kept : there[0][0]);
  return [
    el("div", { class: "views" },
      el("div", { class: "choice", role: "group", "aria-label": "View" }, [...buttons.values()]),
      el("span", { class: "spacer" }),
      mail.text ? copyButton(mail.text, "the text", "Copy text") : null,
      copyButton(() => source(mail), "the source", "Copy source"),
      el("a", { class: "button small", href: `${mail.path}/source`, download: `${mail.number}.eml` }, "Download")),
    body,
  ];
}

function mailShown(mail) {
  return [
    el("dl", { class: "facts" },
      fact("From", el("span", {}, mail.from), mail.from.includes(mail.sender) ? null
        : el("span", { class: "muted" }, `sent by ${mail.sender || "<>"}`)),
      fact("To", el("span", {}, mail.to), copyButton(mail.to, "the recipient")),
      fact("Arrived", timeAgo(mail.at), el("span", { class: "muted" }, size(mail.bytes))),
      mail.message_id ? fact("Message-ID", el("span", { class: "mono" }, mail.message_id), copyButton(mail.message_id, "the Message-ID")) : null,
      mail.attachments.length ? fact("Attached", mail.attachments.map((each) =>
        el("span", {}, `${each.name || "without a name"} (${each.type}, ${size(each.bytes)})`))) : null),
    ...views(mail),
  ];
}

function smsShown(sms) {
  const parts = sms.segments === 1 ? "1 segment" : `${number(sms.segments)} segments`;
  return [
    el("dl", { class: "facts" },
      fact("From", el("span", {}, sms.from)),
      fact("To", el("span", {}, sms.to), copyButton(sms.to, "the recipient")),
      fact("Arrived", timeAgo(sms.at)),
      fact("Length", el("span", {}, `${parts}: ${number(sms.units)} characters of ${sms.alphabet}`)),
      fact("Idempotency-Key", sms.idempotency_key === null ? el("span", { class: "muted" }, "none was sent")
        : [el("span", { class: "mono" }, sms.idempotency_key), copyButton(sms.idempotency_key, "the key")]),
      fact("Sid", el("span", { class: "mono" }, sms.sid))),
    el("div", { class: "views" }, el("span", { class: "spacer" }), copyButton(sms.body, "the text", "Copy text")),
    el("p", { class: "bubble" }, sms.body),
  ];
}

// What fills the pane: {title, elements}. Throws what `ask` throws.
async function openMessage(messageNumber) {
  const path = `/api/v1/inbox/messages/${messageNumber}`;
  const message = await askJson(path);
  const isMail = message.kind === "email";
  return {
    title: isMail ? message.subject || "(no subject)" : `Text to ${message.to}`,
    elements: isMail ? mailShown({ ...message, path }) : smsShown(message),
  };
}

globalThis.openMessage = openMessage;
