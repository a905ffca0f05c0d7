// Turns what mouse, pen and fingers do on the paper into strokes.

import { POINTERS } from "./strokes.js";

const MIN_SPACING = 1.5; // units between two points of a stroke
const MAX_STROKE_POINTS = 2000; // more of them are thinned out
const FOLLOW = 0.7; // how much of the way to the pen a new point goes: takes out jitter
const REACH = 8; // units round an eraser
const PINCH_TIME = 300; // milliseconds after one finger in which a second one begins a pinch
const PINCH_WAY = 12; // units that the first finger may have moved by then
const [BARREL_BUTTON, ERASER_BUTTON] = [2, 32]; // bits of `event.buttons`

class Hand {
  /** `does` has what to do: begin(), draw(stroke), end(stroke), erase(place), setPenOnly(on). */
  constructor(paper, does) {
    this.paper = paper;
    this.does = does;
    this.active = null; // the stroke under the pen
    this.erasing = null; // the number of the pointer that erases
    this.touches = new Set(); // the numbers of the fingers on the paper
    this.penOnly = false;
    const handlers = {
      pointerdown: (event) => this.onDown(event),
      pointermove: (event) => this.onMove(event),
      pointerup: (event) => this.onUp(event),
      pointercancel: (event) => this.onCancel(event),
      lostpointercapture: (event) => this.onUp(event),
      contextmenu: (event) => {
        event.preventDefault();
        event.stopPropagation(); // JupyterLab has a menu of its own
      },
    };
    for (const [name, handler] of Object.entries(handlers)) {
      paper.ink.addEventListener(name, handler);
    }
    // The browser makes nothing else of a stroke. Where one finger has only just come down, a second
    // one may still zoom.
    const keepStill = (event) => {
      const mayZoom = event.type === "touchstart" && this.active?.pointer === "touch";
      if (this.active && !(mayZoom && event.touches.length === 1)) event.preventDefault();
    };
    for (const name of ["touchstart", "touchmove"]) {
      paper.ink.addEventListener(name, keepStill, { passive: false });
    }
  }

  onDown(event) {
    const isTouch = event.pointerType === "touch";
    if (isTouch && event.isPrimary) this.touches.clear(); // the first finger
    if (isTouch) this.touches.add(event.pointerId);
    if (event.pointerType === "pen" && !this.penOnly) this.does.setPenOnly(true);
    if (isTouch && this.penOnly) return; // a palm, or a finger that scrolls
    const isEraser = event.buttons & ERASER_BUTTON || event.button === 5;
    if (!isEraser && (event.button !== 0 || event.buttons & BARREL_BUTTON)) return;
    event.preventDefault();
    if (isTouch && this.touches.size > 1) {
      if (this.active && this.isYoung(event)) this.drop(); // two fingers zoom the page
      return;
    }
    if (this.active) {
      // A pen takes over from a palm that landed first; any other second pointer is ignored.
      if (event.pointerType !== "pen" || this.active.pointer === "pen") return;
      this.drop();
    }
    try {
      this.paper.ink.setPointerCapture(event.pointerId);
    } catch {
      // the pointer is gone already
    }
    this.paper.ink.focus({ preventScroll: true });
    this.does.begin();
    if (isEraser) {
      this.erasing = event.pointerId;
      this.does.erase(this.paper.place(event), REACH);
      return;
    }
    this.active = {
      id: event.pointerId,
      pointer: POINTERS[event.pointerType[0]] ?? "mouse",
      points: [],
      start: event.timeStamp,
      spacing: MIN_SPACING,
    };
    this.paper.current = this.active.points;
    this.addSamples([event], 1);
  }

  /** Tell whether the stroke has only just begun. */
  isYoung(event) {
    const { points, start } = this.active;
    const [first, last] = [points[0], points.at(-1)];
    const way = Math.hypot(last[0] - first[0], last[1] - first[1]);
    return event.timeStamp - start < PINCH_TIME && way < PINCH_WAY;
  }

  onMove(event) {
    const samples = event.getCoalescedEvents?.() ?? [];
    if (!samples.length) samples.push(event);
    if (event.pointerId === this.erasing) {
      for (const sample of samples) this.does.erase(this.paper.place(sample), REACH);
    } else if (event.pointerId === this.active?.id) {
      this.addSamples(samples, FOLLOW);
      this.does.draw(this.active);
    }
  }

  onUp(event) {
    this.touches.delete(event.pointerId);
    if (event.pointerId === this.erasing) this.erasing = null;
    if (event.pointerId !== this.active?.id) return;
    if (event.type === "pointerup") this.addSamples([event], 1);
    const stroke = this.active;
    this.active = this.paper.current = null;
    if (stroke.points.length > 1) this.paper.trace(stroke.points, stroke.points.length);
    this.does.end(stroke);
  }

  onCancel(event) {
    this.touches.delete(event.pointerId);
    if (event.pointerId === this.erasing) this.erasing = null;
    if (event.pointerId === this.active?.id) this.drop();
  }

  /** Take away the stroke under the pen. */
  drop() {
    this.active = this.paper.current = null;
    this.paper.redraw();
  }

  addSamples(samples, follow) {
    const { points, pointer, start } = this.active;
    const from = points.length;
    for (const sample of samples) {
      let [x, y] = this.paper.place(sample);
      const last = points.at(-1);
      if (last) {
        x = last[0] + (x - last[0]) * follow;
        y = last[1] + (y - last[1]) * follow;
        if (Math.hypot(x - last[0], y - last[1]) < this.active.spacing) continue;
      }
      // A pen that is lifted has no pressure any more: the stroke ends as thick as it was.
      const pressure = pointer === "pen" ? sample.pressure || last?.[3] || 0 : 0.5;
      points.push([x, y, Math.max(0, sample.timeStamp - start), pressure]);
    }
    if (points.length > from) this.paper.trace(points, from);
    if (points.length > MAX_STROKE_POINTS) this.thinOut();
  }

  /** Leave out every other point, and take new ones half as often. */
  thinOut() {
    const { points } = this.active;
    const kept = points.filter((_, i) => i % 2 === 0 || i === points.length - 1);
    points.splice(0, points.length, ...kept);
    this.active.spacing *= 2;
  }

  setPenOnly(isOn) {
    this.penOnly = isOn;
    this.paper.element.classList.toggle("hw-pen-only", isOn);
    if (isOn && this.active?.pointer === "touch") this.drop();
  }
}

export { Hand };
