// The paper: shows strokes, sharp at any size, and finds the place of an event on it.

import { make } from "./elements.js";
import { decode } from "./strokes.js";

const PEN_WIDTH = 5; // units, at half pressure

/** Return how far a place is from the line between two points. */
function measure([x, y], [ax, ay], [bx, by]) {
  const [dx, dy] = [bx - ax, by - ay];
  const along = ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy || 1);
  const share = Math.min(Math.max(along, 0), 1);
  return Math.hypot(x - ax - share * dx, y - ay - share * dy);
}

class Paper {
  constructor(model, labels) {
    const { height, guides } = model.get("_constants");
    this.model = model;
    this.labels = labels;
    [this.width, this.height] = [model.get("width"), height];
    this.shown = []; // the encoded strokes that are drawn already
    this.current = null; // the points of the stroke under the pen
    this.ink = make("canvas", {
      class: "hw-ink",
      tabindex: "0",
      role: "application",
      "aria-roledescription": labels.word("drawing area"),
    });
    this.context = this.ink.getContext("2d");
    const isLine = model.get("mode") === "line";
    const invitation = isLine ? "Write a word or a line" : "Write a letter or a digit";
    const hint = make("div", { class: "hw-hint", "aria-hidden": "true" }, labels.word(invitation));
    this.element = make("div", { class: "hw-paper" }, hint, this.ink);
    this.element.style.setProperty("--hw-ratio", this.width / height);
    const [top, bottom] = guides.map((y) => `${(100 * y) / height}%`);
    this.element.style.setProperty("--hw-x-height", top);
    this.element.style.setProperty("--hw-baseline", bottom);
    // When the page is zoomed, the paper has other pixels, even where its size stays the same.
    this.observer = new ResizeObserver(() => this.resize());
    try {
      this.observer.observe(this.element, { box: "device-pixel-content-box" });
    } catch {
      this.observer.observe(this.element); // Safari, where zooming the page resizes the window
    }
    this.onResize = () => this.resize();
    window.addEventListener("resize", this.onResize);
  }

  destroy() {
    this.observer.disconnect();
    window.removeEventListener("resize", this.onResize);
  }

  resize() {
    const { clientWidth, clientHeight } = this.element;
    const [width, height] = [clientWidth, clientHeight].map((v) => Math.round(v * devicePixelRatio));
    const isSame = this.ink.width === width && this.ink.height === height;
    if (!width || !height || isSame) return;
    Object.assign(this.ink, { width, height });
    this.redraw();
  }

  /** Return where an event is, in units of the canvas; the page may have moved since the last one. */
  place(event) {
    const box = this.ink.getBoundingClientRect();
    const clamp = (value, max) => Math.min(Math.max(value, 0), max);
    return [
      clamp(((event.clientX - box.left) / box.width) * this.width, this.width),
      clamp(((event.clientY - box.top) / box.height) * this.height, this.height),
    ];
  }

  /** Return the number of the last stroke within some units of a place, or -1. */
  findStroke(place, reach) {
    const isNear = ({ points }) =>
      points.some((point, i) => measure(place, points[Math.max(0, i - 1)], point) < reach);
    return this.model.get("strokes").findLastIndex((stroke) => isNear(decode(stroke)));
  }

  redraw() {
    this.context.setTransform(1, 0, 0, 1, 0, 0);
    this.context.clearRect(0, 0, this.ink.width, this.ink.height);
    this.shown = [];
    this.show();
    if (this.current) this.trace(this.current, 0);
  }

  /** Show the model's strokes: new ones are drawn, and all of them only where one has gone. */
  show() {
    const strokes = this.model.get("strokes");
    if (strokes.length < this.shown.length || this.shown.some((s, i) => s !== strokes[i])) {
      this.redraw();
      return;
    }
    for (const stroke of strokes.slice(this.shown.length)) {
      const { points } = decode(stroke);
      this.trace(points, 0);
      this.trace(points, points.length);
    }
    this.shown = strokes;
    const said = strokes.length === 1 ? "1 stroke" : "{} strokes";
    const counted = this.labels.word(said, strokes.length);
    this.ink.setAttribute("aria-label", `${this.labels.word("Drawing area")}, ${counted}`);
  }

  /** Draw a stroke from its point number `from` on: a curve through the midpoints between points.
   * With `from` at its end, draw what is left: from the last midpoint to the last point. */
  trace(points, from) {
    const c = this.context;
    const scale = this.ink.width / this.width;
    c.setTransform(scale, 0, 0, scale, 0, 0);
    c.strokeStyle = c.fillStyle = getComputedStyle(this.ink).getPropertyValue("--hw-ink");
    c.lineCap = c.lineJoin = "round";
    const middle = (i) => [0, 1].map((axis) => (points[i - 1][axis] + points[i][axis]) / 2);
    const width = (i) => PEN_WIDTH * (0.55 + 0.9 * points[i][3]);
    if (points.length === 1) {
      c.beginPath();
      c.arc(points[0][0], points[0][1], width(0) / 2, 0, 2 * Math.PI);
      c.fill();
      return;
    }
    for (let i = Math.max(1, from); i < points.length; i += 1) {
      c.lineWidth = width(i);
      c.beginPath();
      if (i === 1) c.moveTo(points[0][0], points[0][1]);
      else c.moveTo(...middle(i - 1));
      c.quadraticCurveTo(points[i - 1][0], points[i - 1][1], ...middle(i));
      c.stroke();
    }
    if (from >= points.length) {
      c.lineWidth = width(points.length - 1);
      c.beginPath();
      c.moveTo(...middle(points.length - 1));
      c.lineTo(...points.at(-1).slice(0, 2));
      c.stroke();
    }
  }
}

export { Paper };
