// What was read of a line: its characters, each of which shows its alternatives.

import { formatPercent, make } from "./elements.js";

const MIN_SURE = 0.6; // probability: less sure characters are marked

class LineReading {
  /** `does` has what to do: choose(index, character), focus(). */
  constructor(model, labels, does) {
    const { unread } = model.get("_constants"); // what stands for ink that was not read
    this.unread = unread;
    this.names = { " ": labels.word("space"), [unread]: labels.word("not read") };
    this.labels = labels;
    this.does = does;
    const said = labels.word("What was read");
    this.row = make("div", { class: "hw-letters", role: "group", "aria-label": said });
    this.list = null; // the alternatives that are shown
  }

  show({ text = "", confidences = [], alternatives = [] }) {
    const { index } = document.activeElement?.closest(".hw-letter, .hw-alternatives")?.dataset ?? {};
    const hadFocus = this.row.parentElement?.contains(document.activeElement);
    this.close();
    this.row.replaceChildren(
      ...[...text].map((c, i) => this.makeLetter(c, i, confidences[i], alternatives[i])),
    );
    if (hadFocus) (this.row.children[index] ?? this.does).focus();
    return [this.row];
  }

  makeLetter(character, index, confidence, alternatives) {
    const isUnsure = confidence < MIN_SURE || character === this.unread;
    const label = `${this.name(character)}, ${formatPercent(confidence)}`;
    const letter = make(
      "button",
      {
        type: "button",
        class: isUnsure ? "hw-letter hw-unsure" : "hw-letter",
        tabindex: index === 0 ? "0" : "-1",
        "data-index": index,
        "aria-label": isUnsure ? `${label}, ${this.labels.word("unsure")}` : label,
        "aria-haspopup": "listbox",
        "aria-expanded": "false",
        onclick: () => this.toggle(letter, alternatives),
        onkeydown: (event) => this.walk(event, letter),
      },
      character === " " ? "\u00a0" : character,
    );
    return letter;
  }

  name(character) {
    return this.names[character] ?? character;
  }

  /** Move along a line by arrow keys; the down arrow opens the alternatives, as Enter does. */
  walk(event, letter) {
    const goal = { ArrowLeft: letter.previousSibling, ArrowRight: letter.nextSibling }[event.key];
    if (goal) {
      letter.tabIndex = -1;
      goal.tabIndex = 0;
      goal.focus();
    } else if (event.key === "ArrowDown") {
      letter.click();
    } else {
      return;
    }
    event.preventDefault();
  }

  toggle(letter, alternatives) {
    const wasOpen = letter.getAttribute("aria-expanded") === "true";
    this.close();
    if (wasOpen) return;
    const { index } = letter.dataset;
    const entries = alternatives.map((answer) => this.makeEntry(letter, ...answer));
    this.list = make(
      "div",
      {
        class: "hw-alternatives",
        role: "listbox",
        "data-index": index,
        "aria-label": this.labels.word("Alternatives for {}", letter.textContent),
        onkeydown: (event) => this.walkEntries(event, letter),
      },
      ...entries,
    );
    letter.setAttribute("aria-expanded", "true");
    this.row.after(this.list);
    entries[0]?.focus();
  }

  makeEntry(letter, character, probability) {
    return make(
      "button",
      {
        type: "button",
        role: "option",
        "aria-selected": String(character === letter.textContent),
        "data-character": character,
        onclick: () => {
          this.does.choose(Number(letter.dataset.index), character);
          this.close(letter);
        },
      },
      make("span", { class: "hw-character" }, this.name(character)),
      make("span", { class: "hw-percent" }, formatPercent(probability)),
    );
  }

  walkEntries(event, letter) {
    const step = { ArrowRight: "nextSibling", ArrowLeft: "previousSibling" }[event.key];
    if (step) document.activeElement[step]?.focus();
    else if (["Escape", "ArrowUp"].includes(event.key)) this.close(letter);
    else return;
    event.preventDefault();
  }

  close(letter) {
    this.list?.remove();
    this.list = null;
    for (const open of this.row.querySelectorAll("[aria-expanded=true]")) {
      open.setAttribute("aria-expanded", "false");
    }
    letter?.focus();
  }
}

export { LineReading };
