// Elements of a page, and the labels on them.

const ICONS = {
  undo: "M9 7 4 12l5 5M4 12h10a6 6 0 0 1 6 6",
  redo: "m15 7 5 5-5 5M20 12H10a6 6 0 0 0-6 6",
  clear: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  next: "m5 13 4 4L19 7",
};

/** Make an element: attributes, `on...` handlers, and children. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

function makeIcon(name) {
  const span = make("span", { class: "hw-icon", "aria-hidden": "true" });
  span.innerHTML = `<svg viewBox="0 0 24 24"><path d="${ICONS[name]}"/></svg>`;
  return span;
}

/** Disable a button, or enable it; another element takes the focus that it would lose. */
function disable(button, isDisabled, other) {
  if (isDisabled && button === document.activeElement) other.focus({ preventScroll: true });
  button.disabled = isDisabled;
}

const formatPercent = (p) => (p < 0.01 ? "<1%" : `${Math.round(100 * p)}%`);

/** Labels in a language, the browser's if none is given, by the English ones. */
class Labels {
  constructor(languages, language) {
    const wanted = language || navigator.language.slice(0, 2);
    this.language = wanted in languages ? wanted : "en";
    this.words = languages[wanted] ?? {};
  }

  /** Return a label, with a value in the place of {}. */
  word(label, value = "") {
    return (this.words[label] ?? label).replace("{}", () => value);
  }

  /** Return a sentence of Python's, translated if it is one of the labels with values in it. */
  translate(sentence) {
    for (const [english, said] of Object.entries(this.words)) {
      const parts = english.split("{}").map((part) => part.replace(/[.*+?^$()|[\]\\]/g, "\\$&"));
      const values = sentence.match(new RegExp(`^${parts.join("(.+?)")}$`))?.slice(1);
      if (values) return said.replace(/\{\}/g, () => values.shift());
    }
    return sentence;
  }
}

export { Labels, disable, formatPercent, make, makeIcon };
