// What was on the canvas before, for undo and redo: each view remembers what it has seen.

const MAX_PAST = 500; // changes

class History {
  constructor(model) {
    this.model = model;
    this.past = [];
    this.future = [];
    this.now = this.read();
  }

  read() {
    return { strokes: this.model.get("strokes"), text: this.model.get("text") };
  }

  /** Remember a change of the ink, whoever made it. */
  record() {
    const now = this.read();
    if (now.strokes.join() === this.now.strokes.join()) return;
    this.past = [...this.past.slice(1 - MAX_PAST), this.now];
    this.future = [];
    this.now = now;
  }

  /** Return what there was before, or null; of ink that was there from the start, a stroke less. */
  undo() {
    const { strokes, text } = this.now;
    const before = this.past.pop();
    if (!before && !strokes.length) return null;
    this.future.push(this.now);
    this.now = before ?? { strokes: strokes.slice(0, -1), text };
    return this.now;
  }

  /** Return what there was before it was undone, or null. */
  redo() {
    const after = this.future.pop();
    if (!after) return null;
    this.past.push(this.now);
    this.now = after;
    return after;
  }

  /** Tell whether undoing takes back what was saved last. */
  wasSaved() {
    const saved = this.model.get("_saved");
    const before = this.past.at(-1)?.strokes ?? saved;
    return saved.length > 0 && !this.now.strokes.length && before.join() === saved.join();
  }
}

export { History };
