// CTC, step by step: answers along a line, a path through them, and the text it collapses to.

import { make } from "../../canvas/static/elements.js";
import { followTheme } from "../../canvas/static/theme.js";
import { makeBox } from "../../canvas/static/box.js";

const [CELL, ROW, PACE] = [9, 17, 180]; // pixels of an answer, and milliseconds between two
const BLANK = 0;
const [DARK, BRIGHT] = ["0 0 4", "252 226 150"].map((colour) => colour.split(" ").map(Number));

/** Return the logarithm of a sum of numbers whose logarithms are given. */
function addLogs(...logs) {
  const known = logs.filter((log) => log > -Infinity);
  const most = Math.max(...known);
  return most + Math.log(known.reduce((sum, log) => sum + Math.exp(log - most), 0));
}

/** Return the rows of a path that are left when repeats are merged and blanks dropped. */
const collapse = (path) => path.filter((row, i) => row !== path[i - 1] && row !== BLANK);

class Ctc {
  constructor(model, el) {
    Object.assign(this, model.get("shown"));
    this.say = (text, ...values) =>
      (model.get("labels")[text] ?? text).replace(/\{\}/g, () => values.shift());
    [this.steps, this.step] = [this.probabilities[0].length, 0];
    this.makeElements(el);
    this.reset();
  }

  makeElements(el) {
    const { steps } = this;
    const [width, height] = [steps * CELL, (this.names.length + 1) * ROW];
    const attributes = {
      tabindex: 0,
      role: "application",
      "aria-label": this.say("probability of each answer"),
    };
    this.table = make("canvas", { width, height, ...attributes });
    this.table.addEventListener("click", (event) => this.onClick(event));
    this.table.addEventListener("keydown", (event) => this.onKey(event));
    const line = make("img", { src: this.picture, alt: "", class: "ex-line", width, height: 62 });
    const names = [...this.names, this.say("path")].map((name) => makeBox("", name));
    this.said = make("div", { role: "status" });
    this.text = make("div", { class: "ex-text", translate: "no" });
    this.loss = make("div", { class: "ex-help" });
    const button = (label, onclick) => make("button", { onclick }, label);
    this.playing = button(this.say("Play"), () => this.play());
    this.root = make(
      "div",
      { class: "ex-root hw-ui", role: "group", "aria-label": this.say("") },
      makeBox("ex-help", this.say("Step along. ↑, ↓ or a click into the table change the path.")),
      makeBox(
        "ex-table",
        make("div", { class: "ex-names", "aria-hidden": "true" }, ...names),
        (this.scroll = makeBox("ex-scroll", line, this.table)),
      ),
      makeBox(
        "ex-buttons",
        button(`◀ ${this.say("Back")}`, () => this.go(this.step - 1)),
        button(`${this.say("Forward")} ▶`, () => this.go(this.step + 1)),
        this.playing,
        button(this.say("Likeliest path"), () => this.reset()),
      ),
      this.said,
      makeBox("ex-label", this.say("The text so far")),
      this.text,
      this.loss,
    );
    el.append(this.root);
    this.unfollow = followTheme(this.root, () => this.show());
  }

  /** Take the likeliest answer at each step. */
  reset() {
    const columns = [...Array(this.steps).keys()].map((step) =>
      this.probabilities.map((row) => row[step]),
    );
    this.path = columns.map((column) => column.indexOf(Math.max(...column)));
    this.show();
  }

  go(step) {
    this.step = Math.max(0, Math.min(this.steps - 1, step));
    const { scrollLeft, clientWidth } = this.scroll;
    const x = this.step * CELL;
    if (x < scrollLeft || x > scrollLeft + clientWidth - CELL) {
      this.scroll.scrollLeft = x - clientWidth / 2;
    }
    this.show();
  }

  play() {
    const isOn = this.timer !== undefined;
    this.stop();
    if (isOn) return;
    if (this.step === this.steps - 1) this.step = -1;
    this.playing.setAttribute("aria-pressed", true);
    this.timer = setInterval(() => {
      this.go(this.step + 1);
      if (this.step === this.steps - 1) this.stop();
    }, PACE);
  }

  stop() {
    clearInterval(this.timer);
    this.timer = undefined;
    this.playing.setAttribute("aria-pressed", false);
  }

  onClick(event) {
    const row = Math.floor(event.offsetY / ROW);
    const step = Math.floor(event.offsetX / CELL);
    if (row < this.names.length) this.path[step] = row;
    this.go(step);
  }

  onKey(event) {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    event.stopPropagation(); // the notebook has these keys, too
    const count = this.names.length;
    this.path[this.step] = (this.path[this.step] + move[1] + count) % count;
    this.go(this.step + move[0]);
  }

  log(row, step) {
    return Math.log(this.probabilities[row][step]);
  }

  /** Return the logarithm of the probability of all paths that say a text: CTC's forward table. */
  addAllPaths(text) {
    const states = [BLANK, ...text.flatMap((row) => [row, BLANK])];
    let table = states.map((row, i) => (i < 2 ? this.log(row, 0) : -Infinity));
    for (let step = 1; step < this.steps; step++) {
      table = states.map((row, i) => {
        const skips = i > 1 && row !== BLANK && row !== states[i - 2];
        const before = [table[i], table[i - 1] ?? -Infinity, skips ? table[i - 2] : -Infinity];
        return this.log(row, step) + addLogs(...before);
      });
    }
    return addLogs(table.at(-1), table.at(-2) ?? -Infinity);
  }

  show() {
    const { step, path, characters } = this;
    const write = (rows) => rows.map((row) => characters[row]).join("");
    const percent = (log) => `${(100 * Math.exp(log)).toPrecision(3)}%`;
    const text = collapse(path);
    const all = this.addAllPaths(text);
    const own = path.reduce((sum, row, i) => sum + this.log(row, i), 0);
    const answer = [this.names[path[step]], percent(this.log(path[step], step))];
    this.said.textContent = this.say("answer {} of {}: {}, {}", step + 1, this.steps, ...answer);
    this.text.textContent = write(collapse(path.slice(0, step + 1))) || " ";
    const sums = [percent(own), write(text), percent(all), (-all).toFixed(2)];
    this.loss.textContent = this.say("This path: {}. All paths of “{}”: {}, loss {}.", ...sums);
    this.paint();
  }

  paint() {
    const paper = this.table.getContext("2d");
    const style = getComputedStyle(this.root);
    const [mark, quiet, ink] = ["--ex-mark", "--hw-quiet", "--hw-text"].map((name) =>
      style.getPropertyValue(name),
    );
    paper.clearRect(0, 0, this.table.width, this.table.height);
    paper.font = "13px ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace";
    paper.textAlign = "center";
    this.path.forEach((chosen, step) => {
      const x = step * CELL;
      this.probabilities.forEach((row, y) => {
        paper.fillStyle = `rgb(${DARK.map((d, i) => d + row[step] * (BRIGHT[i] - d)).join(" ")})`;
        paper.fillRect(x, y * ROW, CELL, ROW);
      });
      const isKept = chosen !== BLANK && chosen !== this.path[step - 1];
      paper.globalAlpha = step <= this.step ? 1 : 0.35;
      paper.strokeStyle = mark;
      paper.strokeRect(x + 1, chosen * ROW + 1, CELL - 2, ROW - 2);
      paper.fillStyle = isKept ? ink : quiet;
      if (isKept) paper.fillRect(x, this.table.height - 2, CELL, 2);
      paper.fillText(this.characters[chosen], x + CELL / 2, this.table.height - 5);
      paper.globalAlpha = 1;
    });
    paper.fillStyle = mark;
    paper.fillRect(this.step * CELL, 0, 1, this.table.height);
    paper.fillRect((this.step + 1) * CELL - 1, 0, 1, this.table.height);
  }
}

function render({ model, el }) {
  const view = new Ctc(model, el);
  return () => {
    view.stop();
    view.unfollow();
  };
}

export default { render };
