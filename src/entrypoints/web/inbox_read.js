// Which messages were read: a matter of this browser alone, kept over reloads.

const KEPT = "herald-inbox-read";

let run = ""; // the inbox whose numbers these are
let below = 0; // everything up to it was read,
let numbers = new Set(); // and these

function keep() {
  try {
    localStorage.setItem(KEPT, JSON.stringify({ run, below, numbers: [...numbers] }));
  } catch {
    // Not allowed or no room: then it is known until the page is left.
  }
}

globalThis.readMarks = Object.freeze({
  // From now on the numbers are those of this inbox.
  begin(ofRun) {
    [run, below, numbers] = [ofRun, 0, new Set()];
    try {
      const kept = JSON.parse(localStorage.getItem(KEPT));
      if (kept?.run === run) [below, numbers] = [Number(kept.below), new Set(kept.numbers)];
    } catch {
      // Not ours, or not allowed: everything counts as unread.
    }
  },
  has: (number) => number <= below || numbers.has(number),
  add(number) {
    numbers.add(number);
    if (run) keep();
  },
  addAll(upTo) {
    [below, numbers] = [upTo, new Set()];
    keep();
  },
});
