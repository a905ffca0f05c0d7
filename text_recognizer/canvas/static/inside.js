// Inside the network of a shared page: the strongest maps of its layers, and the highest logits,
// while one writes: what a kernel shows in a notebook (explore/network.py).

import { Maps } from "./maps.js";

const MAX_SHOWN = 8; // maps of a layer, and logits
const STRONGEST = 127; // a map's number with the fullest colour
const LAYERS = ["relu", "max_pool"]; // the steps whose maps are shown

/** Return the places of the largest numbers, the largest first. */
const findLargest = (values) =>
  [...values.keys()].sort((a, b) => values[b] - values[a]).slice(0, MAX_SHOWN);

/** Return the strongest maps of a result, (1, C, H, W), as whole numbers in one scale. */
function describeMaps(name, { shape: [, count, height, width], data }) {
  const size = height * width;
  const sums = Array.from({ length: count }, () => 0);
  data.forEach((value, i) => (sums[Math.floor(i / size)] += Math.abs(value)));
  const chosen = findLargest(sums);
  const most = data.reduce((largest, value) => Math.max(largest, Math.abs(value)), 1e-9);
  const maps = new Int8Array(chosen.length * size);
  chosen.forEach((number, i) => {
    const map = data.subarray(number * size, (number + 1) * size);
    maps.set(map.map((value) => Math.round((value / most) * STRONGEST)), i * size);
  });
  return { name, count, height, width, chosen, maps: new DataView(maps.buffer) };
}

class Inside {
  constructor(model, reader, labels) {
    this.model = model;
    this.reader = reader;
    this.labels = labels;
    this.element = document.getElementById("inside");
    this.place = this.element.querySelector("div");
    this.shown = { layers: [], logits: [] };
    this.element.addEventListener("toggle", () => {
      model.set("live", this.element.open); // while the pen moves, too
      this.show();
    });
    model.on("change:result", () => this.show());
    model.on("msg:custom", () => this.show());
  }

  show() {
    const { results } = this.reader;
    if (!this.element.open || !results) return;
    this.shown = { layers: this.describeLayers(results), logits: this.describeLogits(results) };
    this.view ??= new Maps(
      {
        get: (name) => ({ shown: this.shown, labels: this.labels.words })[name],
        on: () => {},
      },
      this.place,
    );
    this.view.show();
  }

  describeLayers(results) {
    return this.reader.network.flatMap(({ do: name }, i) => {
      const result = results[i + 1];
      if (!LAYERS.includes(name) || !(result.shape.length === 4 && result.shape[2] > 1)) return [];
      return [describeMaps(`${i + 1} ${this.labels.word(name.replace("_", "-"))}`, result)];
    });
  }

  describeLogits(results) {
    const { reads, mapping } = this.reader.shared;
    const { data } = results.at(-1);
    if (reads === "line") return []; // of each step
    return findLargest(data).map((i) => [mapping[i], data[i]]);
  }
}

export { Inside };
