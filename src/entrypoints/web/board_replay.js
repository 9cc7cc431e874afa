// Sending dead letters again: how many it would be, the question, the progress, what came of it. A call does at most
// 1,000, so it is called until nothing remains. Shared as globalThis.boardReplay.

const { el, askJson, inDialog, number } = herald;
const { capital, deadLetters } = boardWords;

const PATH = "/api/v1/dead-letters/replay";
const COUNTS = ["replayed", "already", "parked", "failed"];

const wanted = (choice) => Object.fromEntries(Object.entries(choice).filter(([, value]) => value));
const call = (choice, dryRun) => askJson(PATH, { method: "POST", json: { ...wanted(choice), dry_run: dryRun } });
const done = (counts) => COUNTS.reduce((total, name) => total + counts[name], 0);

// What came of it: "12 sent again, 2 are parked, 1 failed".
function outcome(counts) {
  const words = [
    [counts.replayed, "sent again"], [counts.already, "had been sent again before"],
    [counts.parked, "parked (died three times: produce it anew once its cause is mended)"], [counts.failed, "failed"],
    [counts.unknown?.length ?? 0, "not there any more"],
  ];
  const said = words.filter(([n]) => n).map(([n, what]) => `${number(n)} ${what}`);
  return said.length ? said.join(", ") : "nothing to send again";
}

const described = (choice) => {
  if (choice.ids) return choice.ids.join(", ");
  const filters = ["reason", "group", "topic"].filter((name) => choice[name]).map((name) => `${name} ${choice[name]}`);
  return filters.length ? filters.join(", ") : "all of them";
};

// What is asked before anything is done. `survey`: the dry run's answer.
function question(survey) {
  const sent = survey.replayed + survey.remaining;
  const others = [[survey.parked, "parked"], [survey.already, "sent again before"]].filter(([n]) => n);
  const left = others.length ? ` Left alone: ${others.map(([n, what]) => `${number(n)} ${what}`).join(", ")}.` : "";
  return sent
    ? {
      sent,
      title: `Send ${deadLetters(sent)} again?`,
      text: `Each goes back to the group that could not deliver it and to no other, behind what waits already.${left}`,
    }
    : { sent, title: "Nothing to send again", text: `${capital(outcome(survey))}.` };
}

// Asks, sends and tells; `after` is called once something was done.
async function replay(choice, after) {
  let survey;
  try {
    survey = await call(choice, true);
  } catch (error) {
    await notice("That did not work", error.message);
    return;
  }
  const asked = question(survey);
  if (!asked.sent) {
    await notice(asked.title, asked.text);
    return;
  }
  // What dies again meanwhile is not meant.
  const meant = { ...choice, until: survey.until };
  const worked = await inDialog(asked.title, (close) => steps(meant, asked, close));
  if (worked) await after();
}

const notice = (title, text) => inDialog(title, (close) => [
  el("p", {}, text),
  el("div", { class: "acts" }, el("button", { type: "button", autofocus: true, onclick: () => close() }, "Close")),
]);

// One dialog: the question, then the progress in its place, then what came of it.
function steps(choice, asked, close) {
  const text = el("p", {}, asked.text);
  const which = el("p", { class: "muted which" }, described(choice));
  const bar = el("progress", { max: asked.sent, value: 0, hidden: true, "aria-label": "Sent again" });
  const said = el("p", { role: "status" });
  const cancel = el("button", { type: "button", autofocus: true, onclick: () => close(false) }, "Cancel");
  const act = el("button", { type: "button", class: "primary", onclick: () => go() }, `Send ${number(asked.sent)} again`);

  async function go() {
    let stopped = false;
    act.remove();
    text.hidden = true;
    bar.hidden = false;
    cancel.replaceWith(stop);
    stop.addEventListener("click", () => { stopped = true; });
    stop.focus();
    const result = await sendAll(choice, () => stopped, (counts) => {
      bar.value = Math.min(asked.sent, done(counts));
      said.textContent = `${number(counts.replayed)} of ${number(asked.sent)} sent again`;
    });
    said.textContent = `${capital(outcome(result.counts))}.${result.why ? ` ${result.why}` : ""}`;
    bar.hidden = true;
    stop.replaceWith(closes);
    closes.focus();
  }

  const stop = el("button", { type: "button" }, "Stop");
  const closes = el("button", { type: "button", class: "primary", onclick: () => close(true) }, "Close");
  return [text, which, bar, said, el("div", { class: "acts" }, cancel, act)];
}

// Calls until nothing remains, it is stopped, or it does not get on. What was sent stays sent: beginning anew goes on.
async function sendAll(choice, isStopped, tell) {
  const counts = { replayed: 0, already: 0, parked: 0, failed: 0, unknown: [] };
  for (;;) {
    let answer;
    try {
      answer = await call(choice, false);
    } catch (error) {
      return { counts, why: `${error.message} Begin anew: it goes on where it stopped.` };
    }
    counts.replayed += answer.replayed;
    counts.failed += answer.failed;
    counts.already = Math.max(counts.already, answer.already);
    counts.parked = Math.max(counts.parked, answer.parked);
    counts.unknown = answer.unknown;
    tell(counts);
    if (answer.failed) return { counts, why: `${answer.trouble} Mend that and begin anew: it goes on.` };
    if (!answer.remaining) return { counts, why: "" };
    if (isStopped()) return { counts, why: "Stopped; the others stay dead letters." };
    if (!answer.replayed) return { counts, why: "It does not get on; begin anew in a moment." };
  }
}

globalThis.boardReplay = Object.freeze({ outcome, question, replay, sendAll });
