// Finds ink of a line that was read as no character: what text_recognizer/reading/unread.py does.

import { C } from "./pen.js";

/** Find where ink as wide as a letter, apart from all other ink, got no character; the last comes
 * first. `place` is that in the text, `blank` and `chances` say what it may be. */
function findUnread({ width, data }, steps, places, special) {
  const darkest = data.reduce((most, value) => Math.max(most, value), 0);
  const hasInk = new Array(width + 2).fill(false); // with a column on each side
  data.forEach((value, i) => {
    if (value / 255 > (C.INK / 255) * (darkest / 255)) hasInk[1 + (i % width)] = true;
  });
  const columns = ({ step }) => C.COLUMNS_A_STEP * step;
  const read = places.filter(({ label }) => label !== C.SPACE).map(columns);
  const found = [];
  for (let start = 0; start < width; start += 1) {
    if (!hasInk[start + 1] || hasInk[start]) continue;
    let end = start;
    while (hasInk[end + 1]) end += 1;
    if (end - start < C.MIN_COLUMNS) continue;
    if (read.some((at) => at >= start - C.REACH && at <= end + C.REACH)) continue;
    const [first, last] = [Math.floor(start / C.COLUMNS_A_STEP), Math.ceil(end / C.COLUMNS_A_STEP)];
    const said = averageSteps(steps.slice(first, last));
    const place = places.filter((other) => columns(other) < start).length;
    const blank = said.slice(0, special).reduce((sum, p) => sum + p, 0);
    found.unshift({ place, blank, chances: said.slice(special) });
  }
  return found;
}

/** Return the mean of the probabilities that some steps give to each class. */
function averageSteps(steps) {
  const mean = new Array(steps[0].length).fill(0);
  for (const logits of steps) {
    const largest = Math.max(...logits);
    const powers = logits.map((logit) => Math.exp(logit - largest));
    const sum = powers.reduce((all, power) => all + power, 0);
    powers.forEach((power, i) => (mean[i] += power / sum / steps.length));
  }
  return mean;
}

export { findUnread };
