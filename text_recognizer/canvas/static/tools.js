// The buttons below the paper, and their keys.

import { disable, make, makeIcon } from "./elements.js";
import { History } from "./history.js";

const NEXT_LABELS = { character: ["Next character", "Next"], line: ["Next line", "Next line"] };

class Tools {
  /** `does` has what to do: edit(changes), send(what), commit(), setPenOnly(on). */
  constructor(model, labels, hand, does) {
    this.model = model;
    this.labels = labels;
    this.hand = hand;
    this.ink = hand.paper.ink;
    this.history = new History(model);
    this.does = does;
    const [name, text] = NEXT_LABELS[model.get("mode")];
    this.buttons = {
      undo: this.makeButton("undo", "Undo", "Ctrl+Z", () => this.undo()),
      redo: this.makeButton("redo", "Redo", "Ctrl+Shift+Z", () => this.redo()),
      clear: this.makeButton("clear", "Clear", "Delete", () => this.clear()),
      next: this.makeButton("next", name, "Enter", () => does.commit()),
    };
    this.buttons.next.append(labels.word(text));
    const group = { class: "hw-tools", role: "group", "aria-label": labels.word("Ink") };
    this.element = make("div", group, ...Object.values(this.buttons));
    this.penOnly = make(
      "button",
      { type: "button", class: "hw-leave", hidden: true, onclick: () => does.setPenOnly(false) },
      labels.word("Pen only. Tap to draw with a finger too"),
    );
  }

  makeButton(name, label, keys, act) {
    const said = this.labels.word(label);
    const onclick = (event) => {
      act();
      // After a click, keys such as Ctrl+Z are for the ink; who uses keys stays on the button.
      if (event.detail) this.ink.focus({ preventScroll: true });
    };
    const attributes = { class: `hw-${name}`, title: `${said} (${keys})`, "aria-label": said };
    return make("button", { type: "button", ...attributes, onclick }, makeIcon(name));
  }

  undo() {
    const isSaved = this.history.wasSaved();
    const before = this.history.undo();
    if (isSaved) {
      this.history.future = [];
      this.does.send("take back"); // Python removes it from the file
    } else if (before) {
      this.does.edit(before);
    }
  }

  redo() {
    const after = this.history.redo();
    if (after) this.does.edit(after);
  }

  clear() {
    if (this.model.get("strokes").length) this.does.edit({ strokes: [] });
  }

  erase(place, reach) {
    const index = this.hand.paper.findStroke(place, reach);
    const strokes = this.model.get("strokes").filter((_, i) => i !== index);
    if (index >= 0) this.does.edit({ strokes });
  }

  show() {
    this.history.record();
    const isEmpty = !this.model.get("strokes").length;
    const { past, future } = this.history;
    disable(this.buttons.undo, isEmpty && !past.length && !this.history.wasSaved(), this.ink);
    disable(this.buttons.redo, !future.length, this.ink);
    disable(this.buttons.clear, isEmpty, this.ink);
    disable(this.buttons.next, isEmpty, this.ink);
  }

  /** Do what a key says; while a stroke is drawn, keys leave the ink alone. */
  onKey(event) {
    // By its place where the keyboard writes another alphabet.
    const key = /^[^ -~]$/.test(event.key) ? event.code.replace("Key", "") : event.key;
    const keys = [event.ctrlKey || event.metaKey ? "ctrl" : "", event.shiftKey ? "shift" : "", key];
    const combination = keys.filter(Boolean).join("+").toLowerCase();
    const everywhere = {
      "ctrl+z": () => this.undo(),
      "ctrl+shift+z": () => this.redo(),
      "ctrl+y": () => this.redo(),
    };
    const onInk = {
      enter: () => this.does.commit(),
      delete: () => this.clear(),
      backspace: () => this.undo(),
      escape: () => this.hand.active && this.hand.drop(),
    };
    const isTyping = event.target.tagName === "INPUT" && event.target.type === "text";
    const act = everywhere[combination] ?? (event.target === this.ink && onInk[combination]);
    if (isTyping || !act) return;
    event.preventDefault();
    if (!this.hand.active || combination === "escape") act();
  }
}

export { Tools };
