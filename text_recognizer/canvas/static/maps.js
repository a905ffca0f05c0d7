// The strongest feature maps of each layer of a network, and its highest logits.

import { make } from "./elements.js";
import { followTheme } from "./theme.js";
import { makeBox } from "./box.js";

const STRONGEST = 127; // the number with the fullest colour
const COLOURS = {
  light: { paper: [255, 255, 255], above: [30, 90, 180], below: [190, 60, 50] },
  dark: { paper: [28, 32, 38], above: [130, 177, 255], below: [255, 120, 105] },
};

class Maps {
  constructor(model, el) {
    this.model = model;
    this.say = (text, ...values) =>
      (model.get("labels")[text] ?? text).replace(/\{\}/g, () => values.shift());
    this.layers = make("div");
    this.logits = make("div", { class: "ex-logits", translate: "no" });
    this.root = make(
      "div",
      { class: "ex-root hw-ui", role: "group", "aria-label": this.say("") },
      makeBox(
        "ex-row",
        this.layers,
        makeBox("", makeBox("ex-label", this.say("the highest logits")), this.logits),
      ),
    );
    el.append(this.root);
    this.unfollow = followTheme(this.root, () => this.show());
    this.onChange = () => this.show();
    model.on("change:shown", this.onChange);
    this.show();
  }

  show() {
    const { layers, logits } = this.model.get("shown");
    this.colours = COLOURS[this.root.dataset.theme] ?? COLOURS.light;
    const rows = layers.map((layer) => {
      const { height, width, chosen, maps } = layer;
      const pictures = chosen.map((number, i) => {
        const picture = this.drawMap(maps, i * height * width, height, width);
        picture.setAttribute("aria-label", this.say("map {}", number));
        picture.title = picture.getAttribute("aria-label");
        return picture;
      });
      const values = [layer.name, layer.count, height, width, chosen.length];
      const title = this.say("{}: of {} maps ({} x {}) the {} strongest", ...values);
      return makeBox("ex-layer", makeBox("ex-label", title), makeBox("ex-maps", ...pictures));
    });
    this.layers.replaceChildren(...rows);
    this.showLogits(logits);
  }

  drawMap(maps, start, height, width) {
    const { paper, above, below } = this.colours;
    const shape = width > height ? "ex-wide" : "";
    const canvas = make("canvas", { width, height, role: "img", class: shape });
    const image = new ImageData(width, height);
    for (let i = 0; i < width * height; i++) {
      const value = maps.getInt8(start + i) / STRONGEST;
      const full = value < 0 ? below : above;
      const mixed = paper.map((from, c) => from + Math.abs(value) * (full[c] - from));
      image.data.set([...mixed, 255], 4 * i);
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  }

  showLogits(logits) {
    const [least, most] = [
      Math.min(0, ...logits.map((l) => l[1])),
      Math.max(...logits.map((l) => l[1])),
    ];
    const rows = logits.flatMap(([name, value]) => {
      const share = (value - least) / (most - least || 1);
      return [
        make("strong", {}, name),
        make("span", { class: "ex-bar", style: `width: ${Math.round(160 * share)}px` }),
        make("span", {}, value.toFixed(1).replace("-", "−")),
      ];
    });
    this.logits.replaceChildren(...rows);
    this.logits.parentElement.hidden = !rows.length;
  }

  destroy() {
    this.unfollow();
    this.model.off("change:shown", this.onChange);
  }
}

export { Maps };
