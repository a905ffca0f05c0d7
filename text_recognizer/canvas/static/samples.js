// Sample strokes, to try a shared page without drawing: what text_recognizer/strokes.py does.

import { decode, encode } from "./strokes.js";

/** Return the strokes of a text, encoded: from the left of the paper, of one character in its middle;
 * smaller where they would not fit. `paper` has its width and the y of the line that they stand on. */
function writeSample(text, { characters, margin, gap, word_gap: wordGap }, paper) {
  const written = [];
  let end = 0;
  for (const character of text.trim()) {
    if (character === " ") {
      end += wordGap;
      continue;
    }
    if (!Object.hasOwn(characters, character)) {
      throw new Error(`There is no sample of '${character}': only letters, digits and spaces.`);
    }
    const strokes = characters[character].map(decode);
    const places = strokes.flatMap(({ points }) => points.map(([x]) => x));
    const shift = end - Math.min(...places);
    for (const { pointer, points } of strokes) {
      written.push([pointer, points.map(([x, ...rest]) => [x + shift, ...rest])]);
    }
    end = Math.max(...places) + shift + gap;
  }
  const length = end - gap;
  const scale = Math.min(1, (paper.width - 2 * margin) / length);
  const start = [...text.trim()].length === 1 ? (paper.width - length * scale) / 2 : margin;
  const place = ([x, y, ...rest]) => [
    start + x * scale,
    paper.line + (y - paper.line) * scale,
    ...rest,
  ];
  return written.map(([pointer, points]) => encode(pointer, points.map(place)));
}

export { writeSample };
