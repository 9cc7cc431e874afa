// The outage switches: what the mail server and the SMS provider do with what is sent to them.

const { ask, el, find, inDialog, toast } = globalThis.herald;

const NAMES = { email: "Mail server", sms: "SMS provider" };
const STATES = {
  up: { look: "up", words: { email: "takes every mail", sms: "takes every text" } },
  down: { look: "down", words: { email: "its port is closed", sms: "its port is closed" } },
  slow: { look: "warn", words: { email: "answers after 30 seconds", sms: "answers after 30 seconds" } },
  busy: { look: "warn", words: { email: "asks to come again later (451)", sms: "asks to come again later (429)" } },
  reject: { look: "down", words: { email: "refuses each recipient for good (550)", sms: "refuses each number for good (400)" } },
};

const shown = {}; // the state of each service as it is on the page
let changing = 0; // requests under way: what a listing says meanwhile may be older than they are

function chip(state) {
  return el("span", { class: `chip ${STATES[state].look}` }, state);
}

const inWords = (service, state) => `${NAMES[service]} is ${state}: ${STATES[state].words[service]}.`;

function show(states) {
  if (Object.entries(states).every(([service, state]) => shown[service] === state)) return;
  Object.assign(shown, states);
  for (const [service, state] of Object.entries(shown)) {
    const button = find(`[data-service="${service}"]`);
    button.disabled = false;
    button.title = `${inWords(service, state)} Press to change it.`;
    find(".chip", button).replaceWith(chip(state));
  }
  find("#outages").replaceChildren(...Object.entries(shown).filter(([, state]) => state !== "up").map(outage));
}

function outage([service, state]) {
  return el("div", { class: "outage" },
    el("p", {}, `${inWords(service, state)} This is how an outage looks to Herald.`),
    el("button", { type: "button", class: "small", onclick: () => change(service, "up") }, "Bring it up"));
}

async function change(service, state) {
  changing += 1;
  try {
    const states = await (await ask("/api/v1/inbox/outage", { method: "PUT", json: { [service]: state } })).json();
    show(states);
    toast(inWords(service, states[service]));
  } catch (error) {
    toast(`${NAMES[service]} stays ${shown[service]}. ${error.message}`, "bad");
  } finally {
    changing -= 1;
  }
}

async function choose(service) {
  const state = await inDialog(NAMES[service], (close) => [
    el("p", { class: "muted" }, "Let it fail on purpose, and watch what Herald does."),
    el("div", { class: "states" }, Object.entries(STATES).map(([each, { words }]) =>
      el("button", { type: "button", "aria-pressed": each === shown[service], autofocus: each === shown[service],
        onclick: () => close(each) }, chip(each), el("span", {}, words[service])))),
    el("div", { class: "acts" }, el("button", { type: "button", onclick: () => close() }, "Cancel")),
  ]);
  if (state && state !== shown[service]) await change(service, state);
}

for (const service of Object.keys(NAMES)) find(`[data-service="${service}"]`).addEventListener("click", () => choose(service));

// `services` of a listing.
globalThis.showServices = (services) => {
  if (changing === 0) show(Object.fromEntries(Object.entries(services).map(([service, { state }]) => [service, state])));
};
