// A shared page: in the place of Python, it keeps the state of the canvas (canvas.js), prepares the
// strokes (pen.js) and runs the network (network.js).

const MAX_INK = 45_000; // letters that all strokes may take, as in Python
const MAX_ANSWERS = 5;
const WIDE = 4 * CANVAS_HEIGHT; // units: a line
const PHONE = 560; // pixels: narrower screens get half of it
const SPECIAL = 4; // classes that are no characters come first, among them CTC's blank

/** Turn logits into probabilities; `expected` says how frequent each class is, 0 for never. */
function softmax(logits, temperature = 1, expected = null) {
  const scores = Array.from(logits, (logit, i) => {
    return logit / temperature + (expected ? Math.log(expected[i]) : 0);
  });
  const largest = Math.max(...scores);
  const powers = scores.map((score) => Math.exp(score - largest));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => power / total);
}

/** Return pixels as the address of a picture. */
function toPicture(pixels, width) {
  const height = pixels.length / width;
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const image = new ImageData(width, height);
  pixels.forEach((value, i) => image.data.set([value, value, value, 255], 4 * i));
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas.toDataURL();
}

class Reader {
  constructor(shared, weights) {
    this.shared = shared;
    this.network = loadNetwork(shared.steps, weights);
    setConstants(shared.preparation);
  }

  /** Return strokes, lists of [x, y], as the network sees them: 28 by 28 pixels from 0 to 255. */
  prepare(strokes) {
    return prepareCharacter(strokes);
  }

  /** Return the probability of each class of such an image. */
  probabilities(pixels) {
    const { temperature, expected } = this.shared;
    return softmax(runNetwork(this.network, pixels).at(-1).data, temperature, expected);
  }

  read(strokes, guides) {
    return this.shared.reads === "line" ? this.readLine(strokes, guides) : this.readOne(strokes);
  }

  readOne(strokes) {
    const pixels = this.prepare(strokes);
    const answers = this.probabilities(pixels)
      .map((probability, i) => [this.shared.mapping[i], probability, i])
      .filter(([, , i]) => this.shared.expected[i])
      .sort((a, b) => b[1] - a[1])
      .slice(0, MAX_ANSWERS);
    return { text: answers[0][0], answers, seen: toPicture(pixels, 28) };
  }

  /** Return a line of strokes as the network sees it: its width, and pixels from 0 to 255. */
  prepareLine(strokes, guides) {
    return prepareLine(strokes, guides);
  }

  readLine(strokes, guides) {
    const { mapping, temperature } = this.shared;
    const { width, data } = this.prepareLine(strokes, guides);
    const { shape, data: logits } = runNetwork(this.network, data, width).at(-1);
    const [, classes, count] = shape;
    const steps = Array.from({ length: count }, (_, step) =>
      Array.from({ length: classes }, (_, i) => logits[i * count + step] / temperature),
    );
    const found = decodeGreedily(steps);
    const alternatives = found.map((place) =>
      softmax(place.logits.slice(SPECIAL))
        .map((probability, i) => [mapping[i + SPECIAL], probability])
        .sort((a, b) => b[1] - a[1])
        .slice(0, MAX_ANSWERS),
    );
    return {
      text: found.map((place) => mapping[place.label]).join(""),
      confidences: alternatives.map((answers) => answers[0][1]),
      alternatives,
    };
  }
}

/** Return the place of the largest number. */
const argmax = (values) => values.reduce((best, value, i) => (value > values[best] ? i : best), 0);

/** Take the likeliest class at each step; repeats and blanks are left out (CTC).
 * Of a repeat, the step counts at which it is surest. */
function decodeGreedily(steps) {
  const found = [];
  let before = 0;
  for (const logits of steps) {
    const label = argmax(logits);
    const place = { label, sure: softmax(logits)[label], logits };
    if (label >= SPECIAL && label !== before) found.push(place);
    else if (label >= SPECIAL && place.sure > found.at(-1).sure) found[found.length - 1] = place;
    before = label;
  }
  return found;
}

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
      _undone: [],
      _cleared: {},
      _max_ink: MAX_INK,
      _keeps: false, // there is no file to save drawings in
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
    const guides = this.values.guides ? this.values._guides : null;
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
      this.set("_cleared", { strokes, text });
      this.set("_undone", []);
      const end = this.values.mode === "line" ? "\n" : "";
      this.set("text", text + (content.label ?? result.text ?? "") + end);
      this.set("strokes", []);
      this.set("number", number + 1);
      this.save_changes();
    } else if (content.do === "choose") {
      const { index, character } = content;
      this.choices[index] = [result.alternatives[index][0][0], character];
      this.set("result", { number, ...this.read(strokes) });
    }
  }
}

/** Show what each step does, with the sizes of its result and how many weights it has. */
function listSteps(reader, word) {
  const width = reader.shared.reads === "line" ? 280 : 28; // of an empty image
  const results = runNetwork(reader.network, new Float32Array(28 * width), width).slice(1);
  const rows = reader.network.map((step, i) => {
    const [, ...sizes] = results[i].shape;
    const kernel = step.kernel ? ` ${step.kernel.join("×")}` : "";
    const weights = (step.weights?.length ?? 0) + (step.bias?.length ?? 0);
    const name = word(step.do.replace("_", "-")) + kernel;
    const cells = [i + 1, name, sizes.join("×"), weights ? weights.toLocaleString() : ""];
    return make("li", {}, ...cells.map((cell) => make("span", {}, String(cell))));
  });
  document.getElementById("steps").replaceChildren(...rows);
}

function open() {
  const shared = JSON.parse(document.getElementById("reader").textContent);
  const lang = shared.language ?? navigator.language.slice(0, 2);
  const words = shared.words[lang] ?? {};
  const word = (label, value = "") => (words[label] ?? label).replace("{}", () => value);
  const reader = new Reader(shared, document.getElementById("weights").textContent.trim());
  const model = new Model(reader, {
    mode: shared.reads,
    width: shared.reads === "line" ? (innerWidth < PHONE ? WIDE / 2 : WIDE) : CANVAS_HEIGHT,
    _guides: shared.guides,
    lang,
    _words: shared.words,
  });
  document.documentElement.lang = lang in shared.words ? lang : "en";
  document.title = word(document.title);
  for (const element of document.querySelectorAll("[data-word]")) {
    element.textContent = word(element.textContent);
  }
  const lead = "Read by {}, in this page: nothing that you write leaves it.";
  document.getElementById("lead").textContent = word(lead, shared.name);
  canvas.render({ model, el: document.getElementById("canvas") });
  setTimeout(() => listSteps(reader, word)); // which also makes the first answer as fast as others
  window.reader = reader; // to play with in the browser's console
}

open();
