// Reads strokes with a network, in a shared page: prepares them (pen.js), runs the network
// (network.js), and turns what comes out into characters.

import { readStrokes } from "./lattice.js";
import { loadNetwork, runNetwork } from "./network.js";
import { prepareCharacter, prepareLine, setConstants } from "./pen.js";
import { findUnread } from "./unread.js";

const MAX_GROUPS = 2000; // of strokes, whose answers are kept

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
    const { characters } = shared; // the network that reads groups of strokes in a line
    this.characters = characters && loadNetwork(characters.steps, characters.weights);
    this.groups = new Map();
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
    const { mapping, expected, refuses, temperature, canvas } = this.shared;
    const pixels = this.prepare(strokes);
    this.results = runNetwork(this.network, pixels); // of all steps: inside.js shows them
    const logits = this.results.at(-1).data;
    const answers = softmax(logits, temperature, expected)
      .map((probability, i) => [mapping[i], probability, i])
      .filter(([, , i]) => expected[i])
      .sort((a, b) => b[1] - a[1])
      .slice(0, canvas.max_answers);
    const unknown = refuses !== null && (isDot(strokes, canvas.max_dot) || this.isUnknown(logits));
    return { text: answers[0][0], answers, unknown, seen: toPicture(pixels, 28) };
  }

  /** Tell whether the answers of a network that has learned it are those to no character. */
  isUnknown(logits) {
    const { special, refuses, blank } = this.shared;
    const powers = [...logits].slice(special).map(Math.exp);
    return logits[blank] + refuses * Math.log(powers.reduce((sum, power) => sum + power, 0)) > 0;
  }

  /** Return a line of strokes as the network sees it: its width, and pixels from 0 to 255. */
  prepareLine(strokes, guides) {
    return prepareLine(strokes, guides);
  }

  readLine(strokes, guides) {
    const { mapping, temperature, special, characters, canvas } = this.shared;
    const { width, data, curves, layout } = this.prepareLine(strokes, guides);
    this.results = runNetwork(this.network, data, width);
    const { shape, data: logits } = this.results.at(-1);
    const [, classes, count] = shape;
    const steps = Array.from({ length: count }, (_, step) =>
      Array.from({ length: classes }, (_, i) => logits[i * count + step] / temperature),
    );
    let places = decodeGreedily(steps, special);
    if (characters) {
      const read = (group) => this.readGroup(group);
      places = readStrokes(curves, layout, steps, places, read);
    }
    const name = (probability, i) => [mapping[i + special], probability];
    const answers = places.map(({ label, chances }) => {
      const named = chances.slice(special).map(name);
      const [own] = named.splice(label - special, 1);
      return [own, ...named.sort((a, b) => b[1] - a[1]).slice(0, canvas.max_answers - 1)];
    });
    for (const { place, chances, blank } of findUnread({ width, data }, steps, places, special)) {
      const others = chances.map(name).sort((a, b) => b[1] - a[1]);
      answers.splice(place, 0, [[canvas.unread, blank], ...others.slice(0, canvas.max_answers - 1)]);
    }
    return {
      text: answers.map(([[character]]) => character).join(""),
      confidences: answers.map(([[, probability]]) => probability),
      alternatives: answers,
    };
  }

  /** Return the probabilities of characters in a group of strokes, which are read once. */
  readGroup(strokes) {
    const { temperature, expected, order } = this.shared.characters;
    const key = strokes.join(";");
    if (this.groups.size > MAX_GROUPS) this.groups.clear();
    if (!this.groups.has(key)) {
      const logits = runNetwork(this.characters, this.prepare(strokes)).at(-1).data;
      const found = softmax(logits, temperature, expected);
      this.groups.set(key, order.map((label) => found[label]));
    }
    return this.groups.get(key);
  }
}

/** Tell whether strokes have no extent to speak of. */
function isDot(strokes, extent) {
  const points = strokes.flat();
  const sides = [0, 1].map((axis) => points.map((point) => point[axis]));
  return sides.every((side) => Math.max(...side) - Math.min(...side) <= extent);
}

/** Return the place of the largest number. */
const argmax = (values) => values.reduce((best, value, i) => (value > values[best] ? i : best), 0);

/** Take the likeliest class at each step; repeats and blanks are left out (CTC).
 * Of a repeat, the step counts at which it is surest. Classes below `special` are no characters. */
function decodeGreedily(steps, special) {
  const found = [];
  let before = 0;
  for (const [step, logits] of steps.entries()) {
    const label = argmax(logits);
    const chances = [...new Array(special).fill(0), ...softmax(logits.slice(special))];
    const place = { label, step, sure: softmax(logits)[label], chances };
    if (label >= special && label !== before) found.push(place);
    else if (label >= special && place.sure > found.at(-1).sure) found[found.length - 1] = place;
    before = label;
  }
  return found;
}

export { Reader };
