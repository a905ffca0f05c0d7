// What is confused with what: a confusion matrix; a click on a cell shows its images.

import { make } from "../../canvas/static/elements.js";
import { followTheme } from "../../canvas/static/theme.js";
import { makeBox } from "../../canvas/static/box.js";

const [CELL, MARGIN, SIDE, PER_ROW] = [10, 18, 28, 12]; // pixels, and images in a row
const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
const RAMPS = {
  light: [
    [255, 255, 255],
    [250, 190, 110],
    [190, 60, 90],
    [40, 10, 90],
  ],
  dark: [
    [28, 32, 38],
    [120, 40, 110],
    [225, 100, 70],
    [252, 235, 150],
  ],
};

/** Return the colour of a share from 0 to 1 on a ramp. */
function colourOf(ramp, share) {
  const place = share * (ramp.length - 1);
  const before = Math.min(ramp.length - 2, Math.floor(place));
  const mixed = ramp[before].map((a, i) => a + (place - before) * (ramp[before + 1][i] - a));
  return `rgb(${mixed.map(Math.round).join(" ")})`;
}

class Confusions {
  constructor(model, el) {
    Object.assign(this, model.get("shown"));
    this.say = (text, ...values) =>
      (model.get("labels")[text] ?? text).replace(/\{\}/g, () => values.shift());
    this.count = this.names.length;
    this.most = Math.max(...this.counts);
    this.makeElements(el);
    this.choose(this.pairs[0] ?? 0);
  }

  makeElements(el) {
    const { count } = this;
    const size = MARGIN + count * CELL;
    const attributes = {
      tabindex: 0,
      role: "application",
      "aria-label": this.say("confusion matrix"),
    };
    this.matrix = make("canvas", { width: size, height: size, class: "ex-matrix", ...attributes });
    this.matrix.addEventListener("click", (event) => this.onPointer(event));
    this.matrix.addEventListener("pointermove", (event) => this.onPointer(event));
    this.matrix.addEventListener("pointerleave", () => this.tell(this.chosen));
    this.matrix.addEventListener("keydown", (event) => this.onKey(event));
    this.said = make("div", { class: "ex-sum", role: "status" });
    this.images = make("canvas", {
      class: "ex-images",
      role: "img",
      "aria-label": this.say("images of the chosen cell"),
    });
    const often = this.pairs.map((cell) =>
      make(
        "button",
        { onclick: () => this.choose(cell) },
        `${this.nameOf(cell)} ${this.counts[cell]}`,
      ),
    );
    this.root = make(
      "div",
      { class: "ex-root hw-ui", role: "group", "aria-label": this.say("") },
      makeBox(
        "ex-help",
        this.say("Click into the matrix, or press the arrow keys, to see the images of a cell."),
      ),
      makeBox(
        "ex-row",
        makeBox(
          "",
          makeBox("ex-label", `${this.say("truth")} ↓ ${this.say("read as")} →`),
          this.matrix,
        ),
        makeBox(
          "ex-side",
          this.said,
          this.images,
          makeBox("ex-label", this.say("Most often:")),
          make("div", { class: "ex-buttons", translate: "no" }, ...often),
        ),
      ),
    );
    el.append(this.root);
    this.unfollow = followTheme(this.root, () => this.paint());
  }

  nameOf(cell) {
    return `${this.names[Math.floor(cell / this.count)]} → ${this.names[cell % this.count]}`;
  }

  onPointer(event) {
    const box = this.matrix.getBoundingClientRect();
    const scale = this.matrix.width / box.width;
    const place = [event.clientY - box.top, event.clientX - box.left];
    const [row, column] = place.map((pixel) => Math.floor((pixel * scale - MARGIN) / CELL));
    if (row < 0 || column < 0 || row >= this.count || column >= this.count) return;
    const cell = row * this.count + column;
    if (event.type === "click") this.choose(cell);
    else this.tell(cell);
  }

  onKey(event) {
    const step = MOVES[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation(); // the notebook has these keys, too
    const inside = (place) => Math.max(0, Math.min(this.count - 1, place));
    const row = inside(Math.floor(this.chosen / this.count) + step[0]);
    this.choose(row * this.count + inside((this.chosen % this.count) + step[1]));
  }

  choose(cell) {
    this.chosen = cell;
    this.tell(cell);
    this.paint();
    this.showImages();
  }

  tell(cell) {
    const [row, column] = [Math.floor(cell / this.count), cell % this.count];
    const values = [this.names[row], this.names[column], this.counts[cell]];
    this.said.textContent = this.say("{} read as {}: {}", ...values);
  }

  showImages() {
    const chosen = this.cells.flatMap((cell, index) => (cell === this.chosen ? [index] : []));
    this.images.width = PER_ROW * SIDE;
    this.images.height = Math.max(1, Math.ceil(chosen.length / PER_ROW)) * SIDE;
    const paper = this.images.getContext("2d");
    chosen.forEach((index, place) => {
      const image = paper.createImageData(SIDE, SIDE);
      for (let i = 0; i < SIDE * SIDE; i++) {
        const grey = this.pixels.getUint8(index * SIDE * SIDE + i);
        image.data.set([grey, grey, grey, 255], 4 * i);
      }
      paper.putImageData(image, (place % PER_ROW) * SIDE, Math.floor(place / PER_ROW) * SIDE);
    });
  }

  paint() {
    const paper = this.matrix.getContext("2d");
    const style = getComputedStyle(this.root);
    const ramp = RAMPS[this.root.dataset.theme] ?? RAMPS.light;
    const at = (place) => MARGIN + place * CELL;
    paper.clearRect(0, 0, this.matrix.width, this.matrix.height);
    this.counts.forEach((count, cell) => {
      // Logarithmic, so that even single mistakes show.
      paper.fillStyle = colourOf(ramp, Math.log(1 + count) / Math.log(1 + this.most));
      paper.fillRect(at(cell % this.count), at(Math.floor(cell / this.count)), CELL, CELL);
    });
    const [row, column] = [Math.floor(this.chosen / this.count), this.chosen % this.count];
    paper.textAlign = "center";
    paper.textBaseline = "middle";
    this.names.forEach((name, i) => {
      for (const [isChosen, x, y] of [
        [i === column, at(i) + CELL / 2, MARGIN / 2],
        [i === row, MARGIN / 2, at(i) + CELL / 2],
      ]) {
        paper.font = `${isChosen ? "bold 16px" : "11px"} ui-monospace, Menlo, "DejaVu Sans Mono", monospace`;
        paper.fillStyle = style.getPropertyValue(isChosen ? "--ex-warm" : "--hw-quiet");
        paper.fillText(name, x, y);
      }
    });
    paper.strokeStyle = style.getPropertyValue("--ex-mark");
    paper.lineWidth = 2;
    paper.strokeRect(at(column) - 1, at(row) - 1, CELL + 2, CELL + 2);
  }
}

function render({ model, el }) {
  const view = new Confusions(model, el);
  return () => view.unfollow();
}

export default { render };
