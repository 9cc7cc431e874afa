// Small charts of the last hour, drawn as SVG: no library. Shared as globalThis.boardCharts.

const { el, number, inDialog } = herald;
const { clockTime, clockWithSeconds, rate } = boardWords;

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 360;
const HEIGHT = 80;
const LEAST_TOP = 1; // of a scale
const SHADES = 4; // as many series colours as board.css has
const MINUTE_ROWS = 60;
const WINDOWS = [[600, ["10 min ago", "5 min"]], [3600, ["1 h ago", "30 min"]]]; // s, and the marks below

function svg(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

// The scale's end: 1, 2 or 5 times a power of ten, so that its half can be read as well.
function niceTop(wanted) {
  const power = 10 ** Math.floor(Math.log10(wanted));
  return [1, 2, 5, 10].map((step) => step * power).find((top) => top >= wanted * 0.999);
}

// The line through the values; null breaks it, and one alone between two gaps is a dot.
function pathOf(values, top) {
  const step = values.length > 1 ? WIDTH / (values.length - 1) : 0;
  let path = "";
  let drawing = false;
  values.forEach((value, at) => {
    if (value === null) {
      drawing = false;
      return;
    }
    const place = `${(at * step).toFixed(1)} ${(HEIGHT - (value / top) * HEIGHT).toFixed(1)}`;
    path += drawing ? `L${place}` : `M${place}h0.1`;
    drawing = true;
  });
  return path;
}

// An API that was started lately knows less than an hour: then less is shown.
const windowOf = (values, stepSeconds) => WINDOWS.find(([seconds]) => values.length * stepSeconds <= seconds) ?? WINDOWS.at(-1);
const filledUp = (values, steps) => [...Array(Math.max(0, steps - values.length)).fill(null), ...values.slice(-steps)];

const known = (values) => values.filter((value) => value !== null);
const last = (values) => values.findLast((value) => value !== null) ?? null;

// One chart: `title`, how its values are written, whether they are whole, and which colour its first line has.
class Chart {
  constructor({ title, format, whole, firstShade }) {
    Object.assign(this, { title, format, whole, firstShade });
    this.lines = [];
    this.series = [];
    this.at = null; // the step that is looked at
    this.top = el("span", {});
    this.middle = el("span", {});
    this.grid = [0, 0.5, 1].map((part) => svg("line", {
      class: "grid", x1: 0, x2: WIDTH, y1: HEIGHT * part, y2: HEIGHT * part, "vector-effect": "non-scaling-stroke",
    }));
    this.cross = svg("line", { class: "cross", y1: 0, y2: HEIGHT, "vector-effect": "non-scaling-stroke", visibility: "hidden" });
    this.drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    this.drawing.append(...this.grid, this.cross);
    this.plot = el("div", { class: "plot", tabindex: "0", role: "img" }, this.drawing);
    this.legend = el("div", { class: "legend" });
    this.marks = [el("span", {}), el("span", {})];
    this.when = el("span", { class: "muted" });
    this.spoken = el("span", { class: "unseen", role: "status" });
    this.element = el("figure", { class: "chart" },
      el("figcaption", {}, el("strong", {}, title), this.when),
      el("div", { class: "scale", "aria-hidden": "true" }, this.top, this.middle, el("span", {}, "0")),
      this.plot,
      el("div", { class: "times", "aria-hidden": "true" }, this.marks, el("span", {}, "now")),
      this.legend, this.spoken);
    this.#listen();
  }

  #listen() {
    this.plot.addEventListener("pointermove", (event) => {
      const box = this.plot.getBoundingClientRect();
      this.#look(Math.round(((event.clientX - box.left) / box.width) * (this.steps - 1)));
    });
    this.plot.addEventListener("pointerleave", () => this.#look(null));
    this.plot.addEventListener("blur", () => this.#look(null));
    this.plot.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -6, ArrowRight: 6, Home: -Infinity, End: Infinity }[event.key]; // 6 steps: a minute
      if (by === undefined || !this.steps) return;
      event.preventDefault();
      this.#look((this.at ?? this.steps - 1) + by);
      this.spoken.textContent = `${this.when.textContent}: ${this.legend.textContent}`;
    });
  }

  // `series`: [{name, values}], all of one length and oldest first.
  show(series, { step_seconds: stepSeconds, ends_at: endsAt }) {
    this.stepSeconds = stepSeconds;
    this.endsAt = new Date(endsAt).getTime();
    const [seconds, marks] = windowOf(series[0]?.values ?? [], stepSeconds);
    this.steps = Math.round(seconds / stepSeconds);
    this.series = series.map(({ name, values }) => ({ name, values: filledUp(values, this.steps) }));
    marks.forEach((words, at) => { this.marks[at].textContent = words; });
    const top = niceTop(Math.max(LEAST_TOP, ...this.series.flatMap((one) => known(one.values))));
    this.top.textContent = this.format(top);
    this.middle.textContent = this.whole && top === 1 ? "" : this.format(top / 2);
    while (this.lines.length < series.length) this.#addLine();
    this.series.forEach((one, at) => this.lines[at].path.setAttribute("d", pathOf(one.values, top)));
    this.plot.setAttribute("aria-label", `${this.title}, the last hour: ${this.series.map((one) => this.#summary(one)).join("; ")}`);
    this.#look(this.at);
  }

  #addLine() {
    const shade = (this.firstShade + this.lines.length) % SHADES;
    const path = svg("path", { class: `line shade-${shade}`, "vector-effect": "non-scaling-stroke" });
    const sample = svg("svg", { viewBox: "0 0 18 8", class: "sample", "aria-hidden": "true" });
    sample.append(svg("path", { class: `line shade-${shade}`, d: "M0 4h18" }));
    const words = el("span", {});
    this.lines.push({ path, words });
    this.drawing.append(path);
    this.legend.append(el("span", { class: "series" }, sample, words), " ");
  }

  #summary({ name, values }) {
    const all = known(values);
    return all.length ? `${name} now ${this.format(last(values))}, highest ${this.format(Math.max(...all))}` : `${name} not measured`;
  }

  // Shows the values of that step; null: the newest.
  #look(at) {
    this.at = at === null || !this.steps ? null : Math.min(Math.max(at, 0), this.steps - 1);
    const looking = this.at !== null;
    this.cross.setAttribute("visibility", looking ? "visible" : "hidden");
    if (looking) {
      const x = this.steps > 1 ? (this.at / (this.steps - 1)) * WIDTH : 0;
      this.cross.setAttribute("x1", x);
      this.cross.setAttribute("x2", x);
    }
    this.when.textContent = looking ? this.#time(this.at) : "";
    this.series.forEach((one, index) => {
      const value = looking ? one.values[this.at] : last(one.values);
      this.lines[index].words.textContent = `${one.name} ${this.format(value)}`;
    });
  }

  #time(at) {
    return clockWithSeconds.format(new Date(this.endsAt - (this.steps - 1 - at) * this.stepSeconds * 1000));
  }
}

// The three charts of a topic, and their values as a table.
function topicCharts() {
  const rates = new Chart({ title: "Messages a second", format: rate, whole: false, firstShade: 0 });
  const lag = new Chart({ title: "Lag", format: number, whole: true, firstShade: 1 });
  const deferred = new Chart({ title: "Deferred", format: number, whole: true, firstShade: 1 });
  let shown = null;
  const table = el("button", { type: "button", class: "small", onclick: () => showTable(shown) }, "Values as a table");
  function show(topic, times) {
    shown = { topic, times };
    const of = (field, suffix = "") => topic.groups.map((group) => ({ name: `${group.name}${suffix}`, values: group[field] }));
    rates.show([{ name: "in", values: topic.rate_in }, ...of("rate_out", " out")], times);
    lag.show(of("lag"), times);
    deferred.show(of("deferred"), times);
  }
  return { element: el("div", { class: "charts" }, rates.element, lag.element, deferred.element, el("div", { class: "as-table" }, table)), show };
}

function showTable(shown) {
  if (shown === null) return;
  const { topic, times } = shown;
  const columns = [["In/s", topic.rate_in, rate], ...topic.groups.flatMap((group) => [
    [`${group.name} out/s`, group.rate_out, rate], [`${group.name} lag`, group.lag, number], [`${group.name} deferred`, group.deferred, number],
  ])];
  const end = new Date(times.ends_at).getTime();
  const perMinute = Math.max(1, Math.round(60 / times.step_seconds));
  const rows = [];
  const steps = topic.rate_in.length;
  for (let at = steps - 1; at >= 0 && rows.length < MINUTE_ROWS; at -= perMinute) {
    const time = clockTime(end - (steps - 1 - at) * times.step_seconds * 1000);
    rows.push(el("tr", {}, el("th", { scope: "row" }, time), columns.map(([, values, format]) => el("td", { class: "number" }, format(values[at] ?? null)))));
  }
  inDialog(`${topic.name}: the last hour`, (close) => [
    el("div", { class: "scroll" }, el("table", {},
      el("caption", {}, "A row a minute, newest first."),
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Time"), columns.map(([name]) => el("th", { scope: "col", class: "number" }, name)))),
      el("tbody", {}, rows))),
    el("div", { class: "acts" }, el("button", { type: "button", autofocus: true, onclick: () => close() }, "Close")),
  ]);
}

globalThis.boardCharts = Object.freeze({ niceTop, pathOf, topicCharts });
