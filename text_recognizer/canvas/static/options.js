// What can be set on the canvas: a model, when to read and to go on, guide lines, samples.

import { make } from "./elements.js";

const PAUSES = [0, 0.7, 1, 1.5, 2, 3]; // seconds

class Options {
  /** `does` has what to do: set(name, value), insert(text), setPenOnly(on). */
  constructor(model, labels, does) {
    this.model = model;
    this.labels = labels;
    this.does = does;
    this.isLine = model.get("mode") === "line";
    this.models = make("select", { onchange: () => does.set("model", this.models.value) });
    this.modelRow = make("label", { class: "hw-model" }, labels.word("Read by "), this.models);
    this.modelRow.translate = false;
    this.pause = make("select", { onchange: () => does.set("pause", Number(this.pause.value)) });
    this.boxes = {};
    const rows = [
      this.makeSample(),
      make("label", {}, labels.word("Go on "), this.pause),
      this.makeBox("live", "Read while the pen moves"),
      this.isLine && this.makeBox("guides", "Guide lines"),
      this.isLine && (this.english = this.makeBox("language_model", "English sentences")),
      this.makePenOnly(),
    ];
    const summary = make("summary", {}, labels.word("Options"));
    this.element = make("details", { class: "hw-more" }, summary);
    this.element.append(make("div", {}, ...rows.filter(Boolean)));
  }

  makeBox(name, label) {
    const box = make("input", { type: "checkbox", onchange: () => this.does.set(name, box.checked) });
    this.boxes[name] = box;
    return make("label", {}, box, ` ${this.labels.word(label)}`);
  }

  makePenOnly() {
    this.penOnly = make("input", {
      type: "checkbox",
      onchange: () => this.does.setPenOnly(this.penOnly.checked),
    });
    return make("label", {}, this.penOnly, ` ${this.labels.word("Pen only")}`);
  }

  makeSample() {
    const text = make("input", {
      type: "text",
      value: this.isLine ? "hello" : "a",
      maxlength: this.isLine ? 12 : 1,
      "aria-label": this.labels.word("Sample to insert"),
    });
    const form = make("form", { class: "hw-sample" }, this.labels.word("Sample "), text);
    form.append(make("button", { type: "submit" }, this.labels.word("Insert")));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.does.insert(text.value);
    });
    return form;
  }

  show() {
    for (const [name, box] of Object.entries(this.boxes)) box.checked = this.model.get(name);
    const pause = this.model.get("pause");
    const pauses = [...new Set([...PAUSES, pause])].sort((a, b) => a - b);
    const label = (s) => (s ? this.labels.word("after {} s", s) : this.labels.word("by the button"));
    this.pause.replaceChildren(...pauses.map((s) => make("option", { value: s }, label(s))));
    this.pause.value = pause;
    const names = this.model.get("models");
    this.models.replaceChildren(...names.map((name) => make("option", { value: name }, name)));
    this.models.value = this.model.get("model");
    this.modelRow.hidden = names.length < 2;
    const knowsEnglish = this.model.get("_english").includes(this.model.get("model"));
    if (this.isLine) this.english.hidden = !knowsEnglish;
  }
}

export { Options };
