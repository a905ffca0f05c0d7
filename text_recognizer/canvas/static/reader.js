// Reads strokes with a network, in a shared page: prepares them (pen.js), runs the network
// (network.js), and turns what comes out into characters.

import { loadNetwork, runNetwork } from "./network.js";
import { prepareCharacter, prepareLine, setConstants } from "./pen.js";

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
    const { mapping, expected, canvas } = this.shared;
    const pixels = this.prepare(strokes);
    const answers = this.probabilities(pixels)
      .map((probability, i) => [mapping[i], probability, i])
      .filter(([, , i]) => expected[i])
      .sort((a, b) => b[1] - a[1])
      .slice(0, canvas.max_answers);
    return { text: answers[0][0], answers, seen: toPicture(pixels, 28) };
  }

  /** Return a line of strokes as the network sees it: its width, and pixels from 0 to 255. */
  prepareLine(strokes, guides) {
    return prepareLine(strokes, guides);
  }

  readLine(strokes, guides) {
    const { mapping, temperature, special, canvas } = this.shared;
    const { width, data } = this.prepareLine(strokes, guides);
    const { shape, data: logits } = runNetwork(this.network, data, width).at(-1);
    const [, classes, count] = shape;
    const steps = Array.from({ length: count }, (_, step) =>
      Array.from({ length: classes }, (_, i) => logits[i * count + step] / temperature),
    );
    const found = decodeGreedily(steps, special);
    const alternatives = found.map((place) =>
      softmax(place.logits.slice(special))
        .map((probability, i) => [mapping[i + special], probability])
        .sort((a, b) => b[1] - a[1])
        .slice(0, canvas.max_answers),
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
 * Of a repeat, the step counts at which it is surest. Classes below `special` are no characters. */
function decodeGreedily(steps, special) {
  const found = [];
  let before = 0;
  for (const logits of steps) {
    const label = argmax(logits);
    const place = { label, sure: softmax(logits)[label], logits };
    if (label >= special && label !== before) found.push(place);
    else if (label >= special && place.sure > found.at(-1).sure) found[found.length - 1] = place;
    before = label;
  }
  return found;
}

export { Reader };
