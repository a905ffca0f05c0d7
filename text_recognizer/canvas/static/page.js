// A shared page: in the place of Python, it keeps the state of the canvas (canvas.js) and reads its
// strokes (reader.js).

import { render } from "./canvas.js";
import { Labels, make } from "./elements.js";
import { Inside } from "./inside.js";
import { runNetwork } from "./network.js";
import { Reader } from "./reader.js";
import { writeSample } from "./samples.js";
import { decode } from "./strokes.js";

const PHONE = 560; // pixels: in narrower windows, lines are half as long

/** What canvas.js asks of a notebook's widget: values by name, and messages. */
class Model {
  constructor(reader, values) {
    this.reader = reader;
    this.handlers = {};
    this.choices = {}; // by hand, of characters of a line: [what was read, what it is]
    this.values = {
      strokes: [],
      number: 0,
      result: { number: 0 },
      text: "",
      ask: "",
      models: [],
      model: "",
      live: false,
      pause: 0,
      guides: true,
      status: "",
      _saved: [],
      _english: [],
      ...values,
    };
  }

  get(name) {
    return this.values[name];
  }

  set(name, value) {
    this.values[name] = value;
    this.tell(`change:${name}`);
  }

  on(event, handler) {
    (this.handlers[event] ??= new Set()).add(handler);
  }

  off(event, handler) {
    this.handlers[event]?.delete(handler);
  }

  tell(event, content) {
    for (const handler of this.handlers[event] ?? []) handler(content);
  }

  save_changes() {
    clearTimeout(this.timer);
    const { number, result, strokes, guides } = this.values;
    if (!strokes.length) this.choices = {};
    const seen = `${number} ${guides}`;
    if (seen === this.seen && number === result.number) return;
    this.seen = seen;
    // Later, so that the ink is on the screen first.
    this.timer = setTimeout(() => this.set("result", { number, ...this.read(strokes) }));
  }

  read(strokes) {
    if (!strokes.length) return {};
    const guides = this.values.guides ? this.values._constants.guides : null;
    let result;
    try {
      result = this.reader.read(strokes.map((text) => decode(text).points), guides);
    } catch (error) {
      return { error: error.message };
    }
    const characters = [...result.text];
    for (const [index, [wrong, chosen]] of Object.entries(this.choices)) {
      if (characters[index] !== wrong) continue;
      characters[index] = chosen;
      result.confidences[index] = 1;
    }
    return { ...result, text: characters.join("") };
  }

  send(content) {
    const { number, strokes, result, text } = this.values;
    if (content.do === "live") {
      const live = { number, ...this.read([...strokes, content.stroke]) };
      setTimeout(() => this.tell("msg:custom", { live }));
    } else if (content.do === "commit") {
      const end = this.values.mode === "line" ? "\n" : "";
      this.set("text", text + (content.label ?? result.text ?? "") + end);
      this.set("strokes", []);
      this.set("number", number + 1);
      this.save_changes();
    } else if (content.do === "sample") {
      this.insert(content.text);
    } else if (content.do === "choose") {
      const { index, character } = content;
      this.choices[index] = [result.alternatives[index][0][0], character];
      this.set("result", { number, ...this.read(strokes) });
    }
  }

  insert(text) {
    const { strokes, number, width, _constants: constants } = this.values;
    if (!text.trim()) return;
    this.set("status", ""); // so that the same sentence is said twice
    try {
      const paper = { width, line: constants.guides[1] };
      const written = writeSample(text, this.reader.shared.samples, paper);
      this.set("strokes", [...strokes, ...written]);
      this.set("number", number + 1);
      this.save_changes();
    } catch (error) {
      this.set("status", error.message);
    }
  }
}

/** Show what each step does, with the sizes of its result and how many weights it has. */
function listSteps(reader, labels) {
  const width = reader.shared.reads === "line" ? 280 : 28; // of an empty image
  const results = runNetwork(reader.network, new Float32Array(28 * width), width).slice(1);
  const rows = reader.network.map((step, i) => {
    const [, ...sizes] = results[i].shape;
    const kernel = step.kernel ? ` ${step.kernel.join("×")}` : "";
    const weights = (step.weights?.length ?? 0) + (step.bias?.length ?? 0);
    const name = labels.word(step.do.replace("_", "-")) + kernel; // labels: "convolution" "linear" "max-pool" "relu" "add" "mean" "scale" "reshape" "permute"
    const cells = [i + 1, name, sizes.join("×"), weights ? weights.toLocaleString() : ""];
    return make("li", {}, ...cells.map((cell) => make("span", {}, String(cell))));
  });
  document.getElementById("steps").replaceChildren(...rows);
}

function open() {
  const shared = JSON.parse(document.getElementById("reader").textContent);
  const labels = new Labels(shared.canvas.labels, shared.language);
  const reader = new Reader(shared, document.getElementById("weights").textContent.trim());
  const isNarrow = shared.reads === "line" && innerWidth < PHONE;
  const model = new Model(reader, {
    mode: shared.reads,
    width: isNarrow ? shared.width / 2 : shared.width,
    language: shared.language,
    _constants: shared.canvas,
  });
  document.documentElement.lang = labels.language;
  document.title = labels.word(document.title);
  for (const element of document.querySelectorAll("[data-word]")) {
    element.textContent = labels.word(element.textContent);
  }
  new Inside(model, reader, labels);
  const lead = "Read by {}, in this page: nothing that you write leaves it."; // label
  document.getElementById("lead").textContent = labels.word(lead, shared.name);
  render({ model, el: document.getElementById("canvas") });
  setTimeout(() => listSteps(reader, labels)); // which also makes the first answer fast
  window.reader = reader; // to play with in the browser's console
}

open();
