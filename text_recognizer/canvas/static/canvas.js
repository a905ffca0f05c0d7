// The browser's side of HandwritingCanvas: draws the ink, sends each finished stroke to Python in
// one message, and shows what Python read; on a shared page, page.js is in the place of Python.
// `strokes` (encoded) is the single source of truth: every view draws it, so a second view or a
// reloaded page has the same ink.

const BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const RESOLUTION = [4, 4, 1, 100]; // steps per unit of x and y, per millisecond, per full pressure
const POINTERS = { m: "mouse", p: "pen", t: "touch" };
const CANVAS_HEIGHT = 220; // units, as in Python
const PEN_WIDTH = 5; // units, at half pressure
const MIN_SPACING = 1.5; // units between two points of a stroke
const FOLLOW = 0.7; // how much of the way to the pen a new point goes: takes out jitter
const LIVE_INTERVAL = 80; // milliseconds
const MIN_SURE = 0.6; // probability: less sure characters of a line are marked
const NEXT_LABELS = { character: "Next character", line: "Next line" };

// Strokes as text: see text_recognizer/strokes.py.

function encode(pointer, points) {
  let text = pointer[0];
  let before = [0, 0, 0, 0];
  for (const point of points) {
    const now = point.map((value, i) => Math.floor(value * RESOLUTION[i] + 0.5));
    now.forEach((value, i) => {
      let rest = (Math.abs(value - before[i]) << 1) | (value < before[i]);
      for (; rest > 31; rest >>= 5) text += BASE64[32 | (rest & 31)];
      text += BASE64[rest];
    });
    before = now;
  }
  return text;
}

function decode(text) {
  const sums = [0, 0, 0, 0];
  const points = [];
  let [number, shift, count] = [0, 0, 0];
  for (const digit of text.slice(1)) {
    const value = BASE64.indexOf(digit);
    number |= (value & 31) << shift;
    shift += 5;
    if (value > 31) continue;
    sums[count % 4] += number & 1 ? -(number >> 1) : number >> 1;
    count += 1;
    if (count % 4 === 0) points.push(sums.map((sum, i) => sum / RESOLUTION[i]));
    number = shift = 0;
  }
  return { pointer: POINTERS[text[0]], points };
}

const countLetters = (strokes) => strokes.reduce((sum, stroke) => sum + stroke.length, 0);
const formatPercent = (p) => (p < 0.01 ? "<1%" : `${Math.round(100 * p)}%`);

/** Make an element: attributes, `on...` handlers, and children. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

const ICONS = {
  undo: "M9 7 4 12l5 5M4 12h10a6 6 0 0 1 6 6",
  redo: "m15 7 5 5-5 5M20 12H10a6 6 0 0 0-6 6",
  clear: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  next: "m5 13 4 4L19 7",
};

function makeIcon(name) {
  const span = make("span", { class: "hw-icon", "aria-hidden": "true" });
  span.innerHTML = `<svg viewBox="0 0 24 24"><path d="${ICONS[name]}"/></svg>`;
  return span;
}

class View {
  constructor(model, el) {
    this.model = model;
    this.mode = model.get("mode");
    this.width = model.get("width");
    const lang = model.get("lang") || navigator.language.slice(0, 2);
    this.words = model.get("_words")[lang] ?? {}; // labels, by the English ones
    this.lang = lang in model.get("_words") ? lang : "en";
    this.keeps = model.get("_keeps") ?? true; // whether drawings can be saved
    this.drawn = []; // the encoded strokes that the canvas shows
    this.active = null; // the stroke under the pen
    this.penOnly = false;
    this.cleanups = [];
    this.build(el);

    this.listen("change:strokes", () => this.showInk());
    this.listen("change:number", () => this.showPending());
    this.listen("change:result", () => this.showResult());
    this.listen("change:_undone change:_cleared change:strokes", () => this.showTools());
    this.listen("change:text change:ask", () => this.showText());
    this.listen("change:status", () => this.say(this.model.get("status")));
    this.listen("change:models change:model", () => this.showModels());
    this.listen("change:live change:pause change:guides change:language", () => this.showOptions());
    this.listen("msg:custom", (content) => content.live && this.showLive(content.live));
    this.watch();
    this.showTools();
    this.showText();
    this.showModels();
    this.showOptions();
    this.showResult();
    this.status.textContent = this.translate(this.model.get("status"));
  }

  /** Return a label in the reader's language, with a value in the place of {}. */
  word(label, value = "") {
    return (this.words[label] ?? label).replace("{}", () => value);
  }

  /** Return a sentence of Python's in the reader's language, if its words are known. */
  translate(sentence) {
    for (const [english, said] of Object.entries(this.words)) {
      const parts = english.split("{}").map((part) => part.replace(/[.*+?^$()|[\]\\]/g, "\\$&"));
      const values = sentence.match(new RegExp(`^${parts.join("(.+?)")}$`))?.slice(1);
      if (values) return said.replace(/\{\}/g, () => values.shift());
    }
    return sentence;
  }

  listen(events, handler) {
    for (const event of events.split(" ")) {
      this.model.on(event, handler);
      this.cleanups.push(() => this.model.off(event, handler));
    }
  }

  destroy() {
    clearTimeout(this.timer);
    for (const cleanup of this.cleanups) cleanup();
  }

  // Elements of the page.

  build(el) {
    const isLine = this.mode === "line";
    const button = (name, label, keys, onclick) =>
      make(
        "button",
        {
          type: "button",
          class: `hw-${name}`,
          title: `${this.word(label)} (${keys})`,
          "aria-label": this.word(label),
          onclick,
        },
        makeIcon(name),
      );
    this.ink = make("canvas", {
      class: "hw-ink",
      tabindex: "0",
      role: "application",
      "aria-roledescription": this.word("drawing area"),
      onpointerdown: (e) => this.onDown(e),
      onpointermove: (e) => this.onMove(e),
      onpointerup: (e) => this.onUp(e),
      onpointercancel: (e) => this.onCancel(e),
      onlostpointercapture: (e) => this.onUp(e),
      oncontextmenu: (e) => e.preventDefault(),
      ontouchstart: (e) => e.preventDefault(), // no scrolling, no selection
    });
    this.context = this.ink.getContext("2d");
    this.leave = make(
      "button",
      { type: "button", class: "hw-leave", hidden: true, onclick: () => this.setPenOnly(false) },
      this.word("Pen only. Tap to draw with a finger too"),
    );
    const hint = make("div", { class: "hw-hint", "aria-hidden": "true" });
    hint.textContent = this.word(isLine ? "Write a word or a line" : "Write a letter or a digit");
    this.paper = make("div", { class: "hw-paper" }, hint, this.ink, this.leave);
    this.paper.style.aspectRatio = `${this.width} / ${CANVAS_HEIGHT}`;
    const [top, bottom] = this.model.get("_guides");
    this.paper.style.setProperty("--hw-x-height", `${(100 * top) / CANVAS_HEIGHT}%`);
    this.paper.style.setProperty("--hw-baseline", `${(100 * bottom) / CANVAS_HEIGHT}%`);

    this.undoButton = button("undo", "Undo", "Ctrl+Z", () => this.undo());
    this.redoButton = button("redo", "Redo", "Ctrl+Shift+Z", () => this.redo());
    this.clearButton = button("clear", "Clear", "Delete", () => this.clear());
    this.nextButton = button("next", NEXT_LABELS[this.mode], "Enter", () => this.commit());
    this.nextButton.append(this.word(isLine ? "Next line" : "Next"));
    const tools = make("div", { class: "hw-tools", role: "group", "aria-label": this.word("Ink") });
    tools.append(this.undoButton, this.redoButton, this.clearButton, this.nextButton);

    this.models = make("select", { onchange: (e) => this.set("model", e.target.value) });
    this.modelRow = make("label", { class: "hw-model" }, this.word("Read by "), this.models);
    this.prompt = make("div", { class: "hw-prompt" });
    this.reading = make("div", { class: "hw-reading" });
    this.text = make("div", { class: "hw-text" });
    this.status = make("div", { class: "hw-status" });
    this.spoken = make("div", { class: "hw-spoken", role: "status", "aria-live": "polite" });

    this.root = make(
      "div",
      {
        class: "hw-root",
        "data-mode": this.mode,
        "data-lm-suppress-shortcuts": "true", // JupyterLab looks at keys before any listener here
        role: "group",
        lang: this.lang,
        "aria-label": this.word("Handwriting canvas"),
        onkeydown: (e) => this.onKey(e),
        onkeyup: (e) => e.stopPropagation(),
        onkeypress: (e) => e.stopPropagation(),
      },
      this.prompt,
      make("div", { class: "hw-board" }, this.paper, tools),
      make("div", { class: "hw-side" }, this.modelRow, this.reading, this.text),
      this.buildOptions(isLine),
      this.status,
      this.spoken,
    );
    el.append(make("div", { class: "hw-frame" }, this.root));
  }

  buildOptions(isLine) {
    const check = (label, onchange) => {
      const box = make("input", { type: "checkbox", onchange: () => onchange(box.checked) });
      return [box, make("label", {}, box, ` ${this.word(label)}`)];
    };
    const [live, liveLabel] = check("Read while the pen moves", (on) => this.set("live", on));
    const [pen, penLabel] = check("Pen only", (on) => this.setPenOnly(on));
    const [guides, guidesLabel] = check("Guide lines", (on) => this.set("guides", on));
    const [language, languageLabel] = check("English sentences", (on) => this.set("language", on));
    this.live = live;
    this.pen = pen;
    this.guides = guides;
    this.language = language;
    this.pause = make("select", { onchange: (e) => this.set("pause", Number(e.target.value)) });
    const pauseLabel = make("label", {}, this.word("Go on "), this.pause);
    const sample = make("input", {
      type: "text",
      value: isLine ? "hello" : "a",
      maxlength: isLine ? 12 : 1,
      "aria-label": this.word("Sample to insert"),
    });
    const insert = make("form", { class: "hw-sample" }, this.word("Sample "), sample);
    insert.append(make("button", { type: "submit" }, this.word("Insert")));
    insert.addEventListener("submit", (e) => {
      e.preventDefault();
      this.send("sample", { text: sample.value });
    });
    const more = make("details", { class: "hw-more" }, make("summary", {}, this.word("Options")));
    const ofLine = isLine ? [guidesLabel, languageLabel] : [];
    const rows = [this.keeps && insert, pauseLabel, liveLabel, ...ofLine, penLabel];
    more.append(make("div", {}, ...rows.filter(Boolean)));
    return more;
  }

  /** Follow the size of the cell, the sharpness of the screen and the theme of the page. */
  watch() {
    const resize = new ResizeObserver(() => this.resize());
    resize.observe(this.paper);
    const theme = new MutationObserver(() => this.followTheme());
    const attributes = ["class", "style", "data-theme", "theme", "data-jp-theme-light"];
    for (const element of [document.documentElement, document.body]) {
      theme.observe(element, { attributes: true, attributeFilter: attributes });
    }
    const media = matchMedia("(prefers-color-scheme: dark)");
    const onMedia = () => this.followTheme();
    media.addEventListener("change", onMedia);
    this.cleanups.push(
      () => resize.disconnect(),
      () => theme.disconnect(),
      () => media.removeEventListener("change", onMedia),
    );
  }

  followTheme() {
    // The page's own background decides, as each notebook names its themes differently.
    let element = this.root;
    let colour = null;
    for (; element; element = element.parentElement) {
      const parts = getComputedStyle(element).backgroundColor.match(/[\d.]+/g)?.map(Number);
      if (parts && (parts.length < 4 || parts[3] > 0.5) && element !== this.root) {
        colour = parts;
        break;
      }
    }
    const dark = colour
      ? 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] < 128
      : matchMedia("(prefers-color-scheme: dark)").matches;
    const theme = dark ? "dark" : "light";
    if (this.root.dataset.theme === theme) return false;
    this.root.dataset.theme = theme;
    this.redraw();
    return true;
  }

  resize() {
    const scale = window.devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.paper;
    const [width, height] = [Math.round(clientWidth * scale), Math.round(clientHeight * scale)];
    if (!width || !height) return;
    const same = this.ink.width === width && this.ink.height === height;
    if (!same) Object.assign(this.ink, { width, height });
    if (!this.followTheme() && !same) this.redraw();
  }

  // Ink.

  redraw() {
    const { width, height } = this.ink;
    this.context.setTransform(1, 0, 0, 1, 0, 0);
    this.context.clearRect(0, 0, width, height);
    this.drawn = [];
    this.showInk();
    if (this.active) this.trace(this.active.points, 0);
  }

  showInk() {
    const strokes = this.model.get("strokes");
    if (strokes.length < this.drawn.length || this.drawn.some((s, i) => s !== strokes[i])) {
      this.redraw();
      return;
    }
    for (const stroke of strokes.slice(this.drawn.length)) {
      const { points } = decode(stroke);
      this.trace(points, 0);
      this.trace(points, points.length);
    }
    this.drawn = strokes;
    const count = strokes.length === 1 ? "1 stroke" : this.word("{} strokes", strokes.length);
    this.ink.setAttribute("aria-label", `${this.word("Drawing area")}, ${this.word(count)}`);
    this.root.dataset.strokes = strokes.length;
    this.root.classList.toggle("hw-empty", strokes.length === 0 && !this.active);
  }

  /** Draw a stroke from its point number `from` on: a curve through the midpoints between points.
   * With `from` at its end, draw what is left: from the last midpoint to the last point. */
  trace(points, from) {
    const c = this.context;
    const scale = this.ink.width / this.width;
    c.setTransform(scale, 0, 0, scale, 0, 0);
    c.strokeStyle = c.fillStyle = getComputedStyle(this.root).getPropertyValue("--hw-ink");
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
      c.lineTo(...points[points.length - 1].slice(0, 2));
      c.stroke();
    }
  }

  // The pen.

  onDown(event) {
    if (event.pointerType === "mouse" && event.button !== 0) return;
    event.preventDefault();
    if (event.pointerType === "pen" && !this.penOnly) this.setPenOnly(true);
    if (this.penOnly && event.pointerType === "touch") return; // a palm
    if (this.active) {
      // A pen takes over from a palm that landed first; any other second pointer is ignored.
      if (event.pointerType !== "pen" || this.active.pointer === "pen") return;
      this.dropStroke();
    }
    clearTimeout(this.timer);
    this.root.classList.remove("hw-waiting", "hw-empty");
    try {
      this.ink.setPointerCapture(event.pointerId);
    } catch {
      // the pointer is gone already
    }
    this.ink.focus({ preventScroll: true });
    this.active = {
      id: event.pointerId,
      pointer: POINTERS[event.pointerType[0]] ?? "mouse",
      points: [],
      start: event.timeStamp,
      box: this.ink.getBoundingClientRect(),
    };
    this.liveUntil = 0;
    this.addSamples([event], 1);
  }

  onMove(event) {
    if (event.pointerId !== this.active?.id) return;
    const samples = event.getCoalescedEvents?.() ?? [];
    this.addSamples(samples.length ? samples : [event], FOLLOW);
    this.readLive();
  }

  onUp(event) {
    if (event.pointerId !== this.active?.id) return;
    if (event.type === "pointerup") this.addSamples([event], 1);
    const { pointer, points } = this.active;
    if (points.length > 1) this.trace(points, points.length);
    this.active = null;
    const stroke = encode(pointer, points);
    const strokes = [...this.model.get("strokes"), stroke];
    const cleared = this.model.get("_cleared");
    const limit = this.model.get("_max_ink");
    if (countLetters(strokes) > limit) {
      this.say("The canvas is full: clear it first.");
      this.redraw();
      return;
    }
    this.drawn = strokes; // this view has it on its canvas already
    const changes = { strokes, _undone: [] };
    if (countLetters(strokes) + countLetters(cleared.strokes ?? []) > limit) changes._cleared = {};
    this.edit(changes);
    this.showInk();
  }

  onCancel(event) {
    if (event.pointerId === this.active?.id) this.dropStroke();
  }

  dropStroke() {
    this.active = null;
    this.redraw();
  }

  addSamples(samples, follow) {
    const { points, pointer, start, box } = this.active;
    const from = points.length;
    for (const sample of samples) {
      const clamp = (value, max) => Math.min(Math.max(value, 0), max);
      let x = clamp(((sample.clientX - box.left) / box.width) * this.width, this.width);
      let y = clamp(((sample.clientY - box.top) / box.height) * CANVAS_HEIGHT, CANVAS_HEIGHT);
      const last = points[points.length - 1];
      if (last) {
        x = last[0] + (x - last[0]) * follow;
        y = last[1] + (y - last[1]) * follow;
        if (Math.hypot(x - last[0], y - last[1]) < MIN_SPACING) continue;
      }
      const pressure = pointer === "pen" ? sample.pressure : 0.5;
      points.push([x, y, Math.max(0, sample.timeStamp - start), pressure]);
    }
    if (points.length > from) this.trace(points, from);
  }

  setPenOnly(on) {
    this.penOnly = on;
    this.leave.hidden = !on;
    this.pen.checked = on;
    if (on && this.active?.pointer === "touch") this.dropStroke();
  }

  // To Python.

  set(name, value) {
    this.model.set(name, value);
    this.model.save_changes();
  }

  /** Change the ink: one message, with a new number for the new strokes. */
  edit(changes) {
    for (const [name, value] of Object.entries(changes)) this.model.set(name, value);
    this.set("number", this.model.get("number") + 1);
  }

  send(what, content = {}) {
    this.model.send({ do: what, number: this.model.get("number"), ...content });
  }

  undo() {
    const strokes = this.model.get("strokes");
    const cleared = this.model.get("_cleared");
    if (strokes.length) {
      const undone = [...this.model.get("_undone"), strokes[strokes.length - 1]];
      this.edit({ strokes: strokes.slice(0, -1), _undone: undone });
    } else if (cleared.is_saved) {
      this.send("undo"); // Python removes it from the file
    } else if (cleared.strokes) {
      this.edit({ strokes: cleared.strokes, text: cleared.text, _cleared: {}, _undone: [] });
    }
  }

  redo() {
    const undone = this.model.get("_undone");
    if (!undone.length) return;
    const strokes = [...this.model.get("strokes"), undone[undone.length - 1]];
    this.edit({ strokes, _undone: undone.slice(0, -1) });
  }

  clear() {
    const strokes = this.model.get("strokes");
    if (!strokes.length) return;
    this.edit({ strokes: [], _undone: [], _cleared: { strokes, text: this.model.get("text") } });
  }

  commit(label) {
    if (this.model.get("strokes").length) this.send("commit", label ? { label } : {});
  }

  readLive() {
    const now = performance.now();
    const { pointer, points } = this.active;
    // One question at a time, so that nothing queues up while Python is busy.
    if (!this.model.get("live") || points.length < 3 || now < this.liveUntil) return;
    this.liveUntil = now + 2000;
    this.liveSince = now;
    this.send("live", { stroke: encode(pointer, points) });
  }

  onKey(event) {
    event.stopPropagation();
    const command = event.ctrlKey || event.metaKey;
    const key = event.key.toLowerCase();
    const typing = event.target.tagName === "INPUT" && event.target.type === "text";
    const act = (action) => {
      event.preventDefault();
      action();
    };
    if (typing) return;
    if (command && key === "z") act(() => (event.shiftKey ? this.redo() : this.undo()));
    else if (command && key === "y") act(() => this.redo());
    else if (event.target !== this.ink) return;
    else if (key === "enter") act(() => this.commit());
    else if (key === "delete") act(() => this.clear());
    else if (key === "backspace") act(() => this.undo());
    else if (key === "escape" && this.active) act(() => this.dropStroke());
  }

  // From Python.

  showTools() {
    const none = !this.model.get("strokes").length;
    this.undoButton.disabled = none && !this.model.get("_cleared").strokes;
    this.redoButton.disabled = !this.model.get("_undone").length;
    this.clearButton.disabled = this.nextButton.disabled = none;
  }

  showText() {
    const [text, ask] = [this.model.get("text"), this.model.get("ask")];
    this.text.replaceChildren();
    if (text) this.text.append(make("span", { class: "hw-label" }, this.word("Text")), text);
    this.prompt.replaceChildren();
    if (!ask) return;
    const kind = /\d/.test(ask[0]) ? "digit" : ask[0] === ask[0].toLowerCase() ? "small" : "capital";
    const count = ask.length - 1;
    const left = count ? this.word("{} more after it", count) : this.word("the last one");
    this.prompt.append(
      make("span", {}, this.word("Write ")),
      make("strong", {}, ask[0]),
      make("span", { class: "hw-label" }, `${this.word(kind)}, ${left}`),
    );
  }

  showModels() {
    const [names, chosen] = [this.model.get("models"), this.model.get("model")];
    const option = (name) => make("option", { value: name, selected: name === chosen }, name);
    this.models.replaceChildren(...names.map(option));
    this.models.value = chosen;
    this.modelRow.hidden = names.length < 2;
  }

  showOptions() {
    this.live.checked = this.model.get("live");
    this.guides.checked = this.model.get("guides");
    this.language.checked = this.model.get("language");
    const show = this.mode === "line" && this.model.get("guides");
    this.paper.classList.toggle("hw-guided", show);
    const pause = this.model.get("pause");
    const pauses = [...new Set([0, 0.7, 1, 1.5, 2, 3, pause])].sort((a, b) => a - b);
    const label = (s) => (s ? this.word("after {} s", s) : this.word("by the button"));
    this.pause.replaceChildren(...pauses.map((s) => make("option", { value: s }, label(s))));
    this.pause.value = pause;
  }

  showPending() {
    clearTimeout(this.timer);
    this.root.classList.remove("hw-waiting");
    const pending = this.model.get("result").number !== this.model.get("number");
    this.root.classList.toggle("hw-pending", pending);
  }

  showResult() {
    const result = this.model.get("result");
    if (result.number !== this.model.get("number")) return; // of strokes that have changed since
    this.showPending();
    this.show(result);
    this.root.dataset.number = result.number;
    const pause = this.model.get("pause");
    if (result.text) this.announce(result);
    if (result.text && pause > 0 && !this.active) {
      this.root.style.setProperty("--hw-pause", `${pause}s`);
      this.root.classList.add("hw-waiting");
      this.timer = setTimeout(() => this.commit(), 1000 * pause);
    }
  }

  showLive(result) {
    if (!this.active || result.number !== this.model.get("number")) return;
    this.liveUntil = this.liveSince + LIVE_INTERVAL;
    this.show(result);
  }

  show(result) {
    this.root.classList.toggle("hw-failed", "error" in result);
    if ("error" in result) {
      this.spoken.textContent = this.translate(result.error);
      this.reading.replaceChildren(make("p", { class: "hw-error" }, this.spoken.textContent));
    } else if (this.mode === "line") {
      this.showLine(result);
    } else {
      this.showCharacter(result);
    }
  }

  announce(result) {
    const sure = result.answers ? `, ${formatPercent(result.answers[0][1])}` : "";
    this.spoken.textContent = `${this.word("Read as {}", result.text)}${sure}`;
  }

  say(message) {
    this.status.textContent = this.spoken.textContent = this.translate(message);
  }

  showCharacter(result) {
    const answers = result.answers ?? [];
    if (!this.bars) this.buildBars();
    const rows = [...this.bars.children];
    rows.forEach((row, i) => {
      const [character, probability] = answers[i] ?? ["", 0];
      const button = row.firstChild;
      const [name, track, share] = button.children;
      button.disabled = !character;
      button.dataset.character = name.textContent = character;
      track.firstChild.style.width = `${100 * probability}%`;
      share.textContent = character ? formatPercent(probability) : "";
      const action = this.keeps ? "Save the drawing as {}" : "Take {}";
      const label = character ? this.word(action, character) : "";
      const said = `${character}, ${formatPercent(probability)}. ${label}`;
      button.setAttribute("aria-label", character ? said : this.word("no answer"));
      button.title = label;
    });
    for (const [image, name] of [[this.seen, "seen"], [this.nearest, "nearest"]]) {
      image.parentElement.classList.toggle("hw-none", !result[name]);
      if (result[name]) image.src = result[name];
      image.alt = name === "seen" ? this.word("28 by 28 pixels") : this.word("images of {}", result.text);
      if (name === "nearest") {
        image.nextSibling.textContent = this.word("The nearest images of {}", result.text);
      }
    }
    if (this.bars.parentElement !== this.reading) {
      this.reading.replaceChildren(this.bars, this.other, this.pictures);
    }
  }

  buildBars() {
    this.bars = make("ol", { class: "hw-bars" });
    for (let i = 0; i < 5; i += 1) {
      const bar = make(
        "button",
        { type: "button", onclick: () => this.commit(bar.dataset.character) },
        make("span", { class: "hw-character" }),
        make("span", { class: "hw-track" }, make("span", { class: "hw-share" })),
        make("span", { class: "hw-percent" }),
      );
      this.bars.append(make("li", {}, bar));
    }
    const label = make("input", { type: "text", maxlength: 1, size: 2, autocomplete: "off" });
    this.other = make("form", { class: "hw-other", hidden: !this.keeps });
    const wording = this.word("Tap the right one to keep it, or type it: ");
    const save = make("button", { type: "submit" }, this.word("Save"));
    this.other.append(make("label", {}, wording, label), save);
    this.other.addEventListener("submit", (e) => {
      e.preventDefault();
      this.commit(label.value);
      label.value = "";
    });
    this.seen = make("img", { class: "hw-pixels" });
    this.nearest = make("img", { class: "hw-pixels" });
    this.pictures = make(
      "div",
      { class: "hw-pictures" },
      make("figure", {}, this.seen, make("figcaption", {}, this.word("What it sees"))),
      make("figure", {}, this.nearest, make("figcaption")),
    );
  }

  showLine(result) {
    const { text = "", confidences = [], alternatives = [] } = result;
    const had = this.root.contains(document.activeElement) && document.activeElement.dataset.index;
    const characters = [...text].map((character, i) => {
      const unsure = confidences[i] < MIN_SURE;
      const name = character === " " ? this.word("space") : character;
      const label = `${name}, ${formatPercent(confidences[i])}`;
      const place = make(
        "button",
        {
          type: "button",
          class: unsure ? "hw-letter hw-unsure" : "hw-letter",
          tabindex: i === 0 ? "0" : "-1",
          "data-index": i,
          "aria-label": unsure ? `${label}, ${this.word("unsure")}` : label,
          "aria-haspopup": "listbox",
          "aria-expanded": "false",
          onclick: () => this.showAlternatives(place, alternatives[i]),
          onkeydown: (e) => this.walk(e, place),
        },
        character === " " ? "\u00a0" : character,
      );
      return place;
    });
    const said = this.word("What was read");
    const row = make("div", { class: "hw-letters", role: "group", "aria-label": said });
    row.append(...characters);
    this.reading.replaceChildren(row);
    if (had) row.children[had]?.focus();
  }

  /** Move along a line by arrow keys; Enter or the down arrow opens the alternatives. */
  walk(event, place) {
    const goal = { ArrowLeft: place.previousSibling, ArrowRight: place.nextSibling }[event.key];
    if (goal?.dataset?.index) {
      place.tabIndex = -1;
      goal.tabIndex = 0;
      goal.focus();
    } else if (event.key === "ArrowDown") {
      place.click();
    } else {
      return;
    }
    event.preventDefault();
  }

  showAlternatives(place, alternatives) {
    const wasOpen = place.getAttribute("aria-expanded") === "true";
    this.closeAlternatives();
    if (wasOpen) return;
    const index = Number(place.dataset.index);
    const entries = alternatives.map(([character, probability]) =>
      make(
        "button",
        {
          type: "button",
          role: "option",
          "aria-selected": String(character === place.textContent),
          "data-character": character,
          onclick: () => {
            this.send("choose", { index, character });
            this.closeAlternatives(place);
          },
        },
        make("span", { class: "hw-character" }, character === " " ? this.word("space") : character),
        make("span", { class: "hw-percent" }, formatPercent(probability)),
      ),
    );
    const list = make(
      "div",
      {
        class: "hw-alternatives",
        role: "listbox",
        "aria-label": this.word("Alternatives for {}", place.textContent),
        onkeydown: (e) => {
          const step = { ArrowRight: "nextSibling", ArrowLeft: "previousSibling" }[e.key];
          if (step) document.activeElement[step]?.focus();
          else if (["Escape", "ArrowUp"].includes(e.key)) this.closeAlternatives(place);
          else return;
          e.preventDefault();
        },
      },
      ...entries,
    );
    place.setAttribute("aria-expanded", "true");
    this.reading.append(list);
    entries[0]?.focus();
  }

  closeAlternatives(place) {
    this.reading.querySelector(".hw-alternatives")?.remove();
    for (const open of this.reading.querySelectorAll("[aria-expanded=true]")) {
      open.setAttribute("aria-expanded", "false");
    }
    place?.focus();
  }
}

export { encode, decode }; // for tests

export default {
  render({ model, el }) {
    const view = new View(model, el);
    return () => view.destroy();
  },
};
