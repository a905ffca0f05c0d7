// What was read of one character: bars to choose from, what the network sees, the nearest images.

import { disable, formatPercent, make } from "./elements.js";

class CharacterReading {
  /** `does` has what to do: commit(label), focus(). */
  constructor(model, labels, does) {
    const { keeps, max_answers: count } = model.get("_constants");
    this.labels = labels;
    this.does = does;
    this.keeps = keeps; // whether drawings can be saved
    this.bars = make("ol", { class: "hw-bars" });
    this.bars.append(...Array.from({ length: count }, () => make("li", {}, this.makeBar())));
    this.seen = make("img", { class: "hw-pixels", alt: labels.word("28 by 28 pixels") });
    this.nearest = make("img", { class: "hw-pixels" });
    this.caption = make("figcaption");
    this.unknown = make("p", { class: "hw-unknown" }, labels.word("Not a character that I know"));
    const pictures = make(
      "div",
      { class: "hw-pictures" },
      make("figure", {}, this.seen, make("figcaption", {}, labels.word("What it sees"))),
      make("figure", {}, this.nearest, this.caption),
    );
    this.elements = [this.unknown, this.bars, this.makeOther(), pictures];
  }

  makeBar() {
    const bar = make(
      "button",
      { type: "button", onclick: () => this.does.commit(bar.dataset.character) },
      make("span", { class: "hw-character" }),
      make("span", { class: "hw-track", "aria-hidden": "true" }, make("span", { class: "hw-share" })),
      make("span", { class: "hw-percent" }),
    );
    return bar;
  }

  /** Make a form for a character that is not among the bars. */
  makeOther() {
    const input = make("input", { type: "text", maxlength: 1, size: 2, autocomplete: "off" });
    const wording = this.labels.word("Tap the right one to keep it, or type it: ");
    const form = make(
      "form",
      { class: "hw-other", hidden: !this.keeps },
      make("label", {}, wording, input),
      make("button", { type: "submit" }, this.labels.word("Save")),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.does.commit(input.value);
      input.value = "";
    });
    return form;
  }

  show({ text = "", answers = [], seen, nearest, unknown = false }) {
    this.unknown.hidden = !unknown;
    [...this.bars.children].forEach((row, i) => this.showBar(row.firstChild, answers[i]));
    for (const [image, source] of [[this.seen, seen], [this.nearest, nearest]]) {
      image.parentElement.classList.toggle("hw-none", !source);
      if (source) image.src = source;
    }
    this.nearest.alt = this.labels.word("images of {}", text);
    this.caption.textContent = this.labels.word("The nearest images of {}", text);
    return this.elements;
  }

  showBar(bar, [character, probability] = ["", 0]) {
    const [name, track, share] = bar.children;
    disable(bar, !character, this.does);
    bar.dataset.character = name.textContent = character;
    track.firstChild.style.width = `${100 * probability}%`;
    share.textContent = character ? formatPercent(probability) : "";
    bar.title = character
      ? this.labels.word(this.keeps ? "Save the drawing as {}" : "Take {}", character)
      : "";
    // Else the name is what is seen, and the title its description.
    if (character) bar.removeAttribute("aria-label");
    else bar.setAttribute("aria-label", this.labels.word("no answer"));
  }
}

export { CharacterReading };
