// A filter in your hand: a 3x3 window follows the pointer; its sum is a pixel of the feature map.

import { make } from "../../canvas/static/elements.js";
import { followTheme } from "../../canvas/static/theme.js";
import { makeBox } from "../../canvas/static/box.js";

const SCALE = 9; // of a pixel on the screen
const STRONGEST = 4; // the value with the fullest colour
const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

const format = (value) => value.toFixed(2).replace("-", "−").replace("−0.00", "0.00");

/** Return a colour from red (negative) over the paper to blue (positive). */
function colourOf(value, isDark) {
  const share = Math.min(1, Math.abs(value) / STRONGEST);
  const paper = isDark ? [28, 32, 38] : [255, 255, 255];
  const full = value > 0 ? [49, 110, 200] : [200, 70, 55];
  return `rgb(${paper.map((p, i) => Math.round(p + share * (full[i] - p))).join(" ")})`;
}

class Filter {
  constructor(model, el) {
    Object.assign(this, model.get("shown"));
    [this.height, this.width] = this.size;
    this.say = (text, ...values) =>
      (model.get("labels")[text] ?? text).replace(/\{\}/g, () => values.shift());
    this.place = [Math.floor(this.height / 2), Math.floor(this.width * 0.3)];
    this.visited = new Set();
    this.makeElements(el);
    this.choose(Object.keys(this.filters)[0]);
  }

  makeElements(el) {
    this.image = this.makeSheet(this.say("the image"), {
      class: "ex-hand",
      tabindex: 0,
      role: "application",
    });
    this.map = this.makeSheet(this.say("the feature map"), { role: "img" });
    for (const kind of ["pointerenter", "pointermove", "pointerdown"]) {
      this.image.addEventListener(kind, (event) => this.onPointer(event));
    }
    this.image.addEventListener("keydown", (event) => this.onKey(event));
    this.weights = [];
    this.pixelsShown = [];
    this.products = [];
    const nine = make("div", { class: "ex-nine" });
    for (let n = 0; n < 9; n++) {
      const label = this.say("weight {} of 9", n + 1);
      const attributes = { type: "number", step: "any", "aria-label": label };
      this.weights.push(make("input", { ...attributes, oninput: () => this.show() }));
      this.pixelsShown.push(make("span"));
      this.products.push(make("span"));
      nine.append(makeBox("", this.pixelsShown[n], this.weights[n], this.products[n]));
    }
    this.sum = make("div", { class: "ex-sum", role: "status" });
    this.presets = Object.keys(this.filters).map((name) =>
      make("button", { onclick: () => this.choose(name) }, name),
    );
    this.root = make(
      "div",
      { class: "ex-root hw-ui", role: "group", "aria-label": this.say("") },
      makeBox(
        "ex-help",
        this.say("Move over the image, or press the arrow keys. The weights can be changed."),
      ),
      makeBox(
        "ex-row",
        makeBox("", makeBox("ex-label", this.say("the image")), this.image),
        makeBox("ex-between", makeBox("ex-label", this.say("pixel × weight")), nine, this.sum),
        makeBox("", makeBox("ex-label", this.say("the feature map")), this.map),
      ),
      makeBox(
        "ex-buttons",
        ...this.presets,
        make("button", { onclick: () => this.fill() }, this.say("Fill in the rest")),
        make("button", { onclick: () => this.empty() }, this.say("Empty the map")),
      ),
    );
    el.append(this.root);
    this.unfollow = followTheme(this.root, () => this.show());
  }

  makeSheet(label, attributes) {
    const size = { width: this.width * SCALE, height: this.height * SCALE };
    return make("canvas", { ...size, "aria-label": label, ...attributes });
  }

  choose(name) {
    this.filters[name].forEach((weight, n) => (this.weights[n].value = Number(weight.toFixed(3))));
    this.show();
  }

  fill() {
    for (let n = 0; n < this.height * this.width; n++) this.visited.add(n);
    this.show();
  }

  empty() {
    this.visited.clear();
    this.show();
  }

  onPointer(event) {
    const box = this.image.getBoundingClientRect();
    const row = Math.floor(((event.clientY - box.top) / box.height) * this.height);
    const column = Math.floor(((event.clientX - box.left) / box.width) * this.width);
    if (event.type === "pointerenter") this.place = [row, column]; // from outside: nothing between
    this.move(row, column);
  }

  onKey(event) {
    const step = MOVES[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation(); // the notebook has these keys, too
    this.move(this.place[0] + step[0], this.place[1] + step[1]);
  }

  /** Move the window, and over all places between: a fast hand skips some. */
  move(row, column) {
    const inside = (value, count) => Math.max(0, Math.min(count - 1, value));
    const [fromRow, fromColumn] = this.place;
    this.place = [inside(row, this.height), inside(column, this.width)];
    const [down, right] = [this.place[0] - fromRow, this.place[1] - fromColumn];
    const steps = Math.max(Math.abs(down), Math.abs(right));
    for (let i = 1; i < steps; i++) {
      const between = [fromRow + (i * down) / steps, fromColumn + (i * right) / steps];
      this.visited.add(Math.round(between[0]) * this.width + Math.round(between[1]));
    }
    this.show();
  }

  pixel(row, column) {
    const isOutside = row < 0 || column < 0 || row >= this.height || column >= this.width;
    return isOutside ? 0 : this.pixels[row * this.width + column];
  }

  /** Return the nine pixels round a place; outside of the image are zeros. */
  around(row, column) {
    return [...Array(9).keys()].map((n) =>
      this.pixel(row - 1 + Math.floor(n / 3), column - 1 + (n % 3)),
    );
  }

  show() {
    const [row, column] = this.place;
    this.visited.add(row * this.width + column);
    this.kernel = this.weights.map((input) => Number(input.value) || 0);
    this.isDark = this.root.dataset.theme === "dark";
    this.around(row, column).forEach((pixel, n) => {
      const product = pixel * this.kernel[n];
      this.pixelsShown[n].textContent = `${format(pixel)} ×`;
      this.products[n].textContent = `= ${format(product)}`;
      this.products[n].parentElement.style.background = colourOf(product, this.isDark);
    });
    const place = this.say("row {}, column {}", row, column);
    this.sum.textContent = `${this.say("the sum")} (${place}): ${format(this.convolve(row, column))}`;
    this.presets.forEach((button) => {
      const filter = this.filters[button.textContent];
      const isChosen = filter.every((weight, n) => Math.abs(weight - this.kernel[n]) < 0.001);
      button.setAttribute("aria-pressed", isChosen);
    });
    this.paint();
  }

  convolve(row, column) {
    return this.around(row, column).reduce((sum, pixel, n) => sum + pixel * this.kernel[n], 0);
  }

  paint() {
    const image = this.image.getContext("2d");
    const map = this.map.getContext("2d");
    map.clearRect(0, 0, this.map.width, this.map.height);
    for (let n = 0; n < this.height * this.width; n++) {
      const [row, column] = [Math.floor(n / this.width), n % this.width];
      const square = [column * SCALE, row * SCALE, SCALE, SCALE];
      const grey = Math.round(255 * this.pixels[n]);
      image.fillStyle = `rgb(${grey} ${grey} ${grey})`;
      image.fillRect(...square);
      if (!this.visited.has(n)) continue;
      map.fillStyle = colourOf(this.convolve(row, column), this.isDark);
      map.fillRect(...square);
    }
    const [row, column] = this.place;
    image.lineWidth = map.lineWidth = 2;
    image.strokeStyle = map.strokeStyle = this.isDark ? "#ffb454" : "#e07b00";
    image.strokeRect((column - 1) * SCALE, (row - 1) * SCALE, 3 * SCALE, 3 * SCALE);
    map.strokeRect(column * SCALE, row * SCALE, SCALE, SCALE);
  }
}

function render({ model, el }) {
  const view = new Filter(model, el);
  return () => view.unfollow();
}

export default { render };
