// The browser's side of HandwritingCanvas: draws the ink, sends each finished stroke to Python in
// one message, and shows what Python read; on a shared page, page.js is in the place of Python.
// `strokes` (encoded) is the single source of truth: every view draws it.

import { CharacterReading } from "./character.js";
import { Labels, formatPercent, make } from "./elements.js";
import { Hand } from "./hand.js";
import { Heartbeat } from "./heartbeat.js";
import { LineReading } from "./line.js";
import { Options } from "./options.js";
import { Paper } from "./paper.js";
import { encode } from "./strokes.js";
import { followTheme } from "./theme.js";
import { Tools } from "./tools.js";

const LIVE_INTERVAL = 80; // milliseconds between two answers while the pen moves
const LIVE_PATIENCE = 2000; // milliseconds until it is asked again without an answer
const FULL = "The canvas is full: clear it first.";
const SILENT = "The kernel does not answer: run this cell again.";

class View {
  constructor(model, el) {
    this.model = model;
    this.mode = model.get("mode");
    this.labels = new Labels(model.get("_constants").labels, model.get("language"));
    this.paper = new Paper(model, this.labels);
    this.hand = new Hand(this.paper, {
      begin: () => this.begin(),
      draw: (stroke) => this.readLive(stroke),
      end: (stroke) => this.addStroke(stroke),
      erase: (place, reach) => this.tools.erase(place, reach),
      setPenOnly: (isOn) => this.setPenOnly(isOn),
    });
    this.tools = new Tools(model, this.labels, this.hand, {
      edit: (changes) => this.edit(changes),
      send: (what) => this.send(what),
      commit: () => this.commit(),
      setPenOnly: (isOn) => this.setPenOnly(isOn),
    });
    const Reading = this.mode === "line" ? LineReading : CharacterReading;
    this.reading = new Reading(model, this.labels, {
      commit: (label) => this.commit(label),
      choose: (index, character) => this.send("choose", { index, character }),
      focus: () => this.paper.ink.focus({ preventScroll: true }),
    });
    this.options = new Options(model, this.labels, {
      set: (name, value) => this.set({ [name]: value }),
      insert: (text) => this.send("sample", { text }),
      setPenOnly: (isOn) => this.setPenOnly(isOn),
    });
    this.heartbeat = new Heartbeat(() => this.showError(SILENT));
    el.append(make("div", { class: "hw-frame" }, this.build()));
    this.stopFollowing = followTheme(this.root, () => this.paper.redraw());
    this.listeners = [];
    this.listenToAll();
  }

  listenToAll() {
    this.listen("change:strokes", () => this.showInk());
    this.listen("change:number", () => this.showPending());
    this.listen("change:result", () => this.showResult());
    this.listen("change:strokes change:_saved", () => this.tools.show());
    this.listen("change:text change:ask", () => this.showText());
    this.listen("change:status", () => this.say(this.model.get("status")));
    const options = ["models", "model", "live", "pause", "guides", "language_model"];
    this.listen(options.map((name) => `change:${name}`).join(" "), () => this.showOptions());
    this.listen("msg:custom", (content) => this.onMessage(content));
    this.listen("change:result change:status msg:custom", () => this.heartbeat.hear());
    this.showInk();
    this.tools.show();
    this.showText();
    this.showOptions();
    this.showResult();
    this.status.textContent = this.labels.translate(this.model.get("status"));
  }

  listen(events, handler) {
    for (const event of events.split(" ")) {
      this.model.on(event, handler);
      this.listeners.push([event, handler]);
    }
  }

  destroy() {
    clearTimeout(this.timer);
    this.heartbeat.hear();
    this.stopFollowing();
    this.paper.destroy();
    for (const [event, handler] of this.listeners) this.model.off(event, handler);
  }

  // Elements of the page.

  build() {
    const { paper, tools } = this;
    this.prompt = make("div", { class: "hw-prompt" });
    this.read = make("div", { class: "hw-reading", translate: "no" });
    this.text = make("div", { class: "hw-text", translate: "no" });
    this.status = make("div", { class: "hw-status" });
    const board = [paper.element, tools.element, tools.penOnly, this.status];
    this.spoken = make("div", { class: "hw-spoken", role: "status", "aria-live": "polite" });
    const stop = (event) => event.stopPropagation();
    const attributes = {
      class: "hw-root hw-ui",
      "data-mode": this.mode,
      "data-lm-suppress-shortcuts": "true", // JupyterLab looks at keys before any listener here
      role: "group",
      lang: this.labels.language,
      "aria-label": this.labels.word("Handwriting canvas"),
      onkeydown: (event) => {
        stop(event);
        tools.onKey(event);
      },
      onkeyup: stop,
      onkeypress: stop,
    };
    const side = make("div", { class: "hw-side" }, this.options.modelRow, this.read, this.text);
    const element = make("div", { class: "hw-board" }, ...board);
    const all = [this.prompt, element, side, this.options.element, this.spoken];
    this.root = make("div", attributes, ...all);
    return this.root;
  }

  // What a hand does.

  begin() {
    clearTimeout(this.timer);
    this.root.classList.remove("hw-waiting", "hw-empty");
    this.liveUntil = 0;
  }

  addStroke({ pointer, points }) {
    const strokes = [...this.model.get("strokes"), encode(pointer, points)];
    const letters = strokes.reduce((sum, stroke) => sum + stroke.length, 0);
    if (letters > this.model.get("_constants").max_ink) {
      this.say(FULL);
      this.paper.redraw();
      return;
    }
    this.paper.shown = strokes; // this view has it on its paper already
    this.edit({ strokes });
    this.showInk();
  }

  commit(label) {
    if (this.model.get("strokes").length) this.send("commit", label ? { label } : {});
  }

  setPenOnly(isOn) {
    this.tools.penOnly.hidden = !isOn;
    this.options.penOnly.checked = isOn;
    this.hand.setPenOnly(isOn);
  }

  // To Python.

  set(changes, callbacks) {
    for (const [name, value] of Object.entries(changes)) this.model.set(name, value);
    this.model.save_changes(callbacks);
  }

  /** Change the ink: one message, with a new number for the new strokes. */
  edit(changes) {
    const number = this.model.get("number") + 1;
    this.set({ ...changes, number }, this.heartbeat.expect());
  }

  send(what, content = {}) {
    const message = { do: what, number: this.model.get("number"), ...content };
    const callbacks = this.heartbeat.expect();
    try {
      this.model.send(message, callbacks);
    } catch {
      // there is no kernel to send it to, which the heartbeat notices
    }
  }

  readLive({ pointer, points }) {
    const now = performance.now();
    // One question at a time, so that nothing queues up while Python is busy.
    if (!this.model.get("live") || points.length < 3 || now < this.liveUntil) return;
    this.liveUntil = now + LIVE_PATIENCE;
    this.liveSince = now;
    this.send("live", { stroke: encode(pointer, points) });
  }

  // From Python.

  onMessage({ live }) {
    if (live) this.showLive(live);
  }

  showInk() {
    this.paper.show();
    const count = this.model.get("strokes").length;
    this.root.dataset.strokes = count;
    this.root.classList.toggle("hw-empty", count === 0 && !this.hand.active);
  }

  showText() {
    const word = (...given) => this.labels.word(...given);
    const [text, ask] = [this.model.get("text"), this.model.get("ask")];
    this.text.replaceChildren();
    if (text) this.text.append(make("span", { class: "hw-label" }, word("Text")), text);
    this.asked = Math.max(this.asked ?? 0, ask.length);
    this.prompt.replaceChildren();
    if (this.asked && !ask) this.prompt.append(word("All {} done: run the next cell", this.asked));
    if (!ask) return;
    const kind = /\d/.test(ask[0]) ? "digit" : ask[0] === ask[0].toLowerCase() ? "small" : "capital";
    const left = ask.length - 1;
    const more = left ? word("{} more after it", left) : word("the last one");
    this.prompt.append(
      make("span", {}, word("Write ")),
      make("strong", { translate: "no" }, ask[0]),
      make("span", { class: "hw-label" }, `${word(kind)}, ${more}`),
    );
  }

  showOptions() {
    this.options.show();
    const isGuided = this.mode === "line" && this.model.get("guides");
    this.paper.element.classList.toggle("hw-guided", isGuided);
  }

  showPending() {
    clearTimeout(this.timer);
    this.root.classList.remove("hw-waiting");
    const isPending = this.model.get("result").number !== this.model.get("number");
    this.root.classList.toggle("hw-pending", isPending);
  }

  showResult() {
    const result = this.model.get("result");
    if (result.number !== this.model.get("number")) return; // of strokes that have changed since
    this.showPending();
    this.show(result);
    this.root.dataset.number = result.number;
    if (!result.text) return;
    const sure = result.answers ? `, ${formatPercent(result.answers[0][1])}` : "";
    const unknown = result.unknown ? `${this.reading.unknown.textContent}. ` : "";
    this.spoken.textContent = `${unknown}${this.labels.word("Read as {}", result.text)}${sure}`;
    const pause = this.model.get("pause");
    if (pause > 0 && !this.hand.active) {
      this.root.style.setProperty("--hw-pause", `${pause}s`);
      this.root.classList.add("hw-waiting");
      this.timer = setTimeout(() => this.commit(), 1000 * pause);
    }
  }

  showLive(result) {
    if (!this.hand.active || result.number !== this.model.get("number")) return;
    this.liveUntil = this.liveSince + LIVE_INTERVAL;
    this.show(result);
  }

  show(result) {
    if ("error" in result) {
      this.showError(result.error);
      return;
    }
    const elements = this.reading.show(result);
    if (this.read.firstChild !== elements[0]) this.read.replaceChildren(...elements);
    this.root.classList.remove("hw-failed");
  }

  /** Show a sentence in the place of an answer. */
  showError(sentence) {
    this.root.classList.add("hw-failed");
    if (this.read.contains(document.activeElement)) this.paper.ink.focus({ preventScroll: true });
    this.spoken.textContent = this.labels.translate(sentence);
    this.read.replaceChildren(make("p", { class: "hw-error" }, this.spoken.textContent));
  }

  say(message) {
    this.status.textContent = this.spoken.textContent = this.labels.translate(message);
  }
}

function render({ model, el }) {
  const view = new View(model, el);
  return () => view.destroy();
}

export { render };
export default { render };
