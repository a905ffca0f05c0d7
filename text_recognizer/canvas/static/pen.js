// Turns strokes into an image as the networks were trained on: what text_recognizer/reading does in
// Python (pen.py, character.py, line.py).

import { draw, findRange, makeSheet, reduce, resizeRows, soften, sum, turn } from "./pillow.js";

const C = {}; // the constants of those files and of lattice.py, by their names

/** Take over the constants, before anything is prepared. */
const setConstants = (constants) => Object.assign(C, constants);

const square = (values) => values.map((value) => value ** 2);
const axes = (points) => [0, 1].map((axis) => points.map((point) => point[axis]));
const spread = (low, high, count) =>
  Array.from({ length: count }, (_, i) => low + (i * (high - low)) / (count - 1));

/** Round as NumPy does: halves to the even number. */
function round(v) {
  const up = Math.round(v);
  return up - v === 0.5 && up % 2 ? up - 1 : up;
}

const fromUnit = (value) => Math.fround(Math.fround(value / 255) * 255); // as float32 from 0 to 1

/** Prepare strokes, lists of [x, y, ...], as one character: 28 by 28 pixels, white on black. */
function prepareCharacter(strokes) {
  const curves = strokes.filter((stroke) => stroke.length);
  const [[left, right], [top, bottom]] = axes(curves.flat()).map(findRange);
  const scale = (C.SCAN_SIZE - C.PEN_WIDTH) / Math.max(right - left, bottom - top, 1e-9);
  const fine = (length) => round(length * scale * C.OVERSAMPLING) + C.PEN_WIDTH * C.OVERSAMPLING;
  const [width, height] = [right - left, bottom - top].map(fine);
  const move = ([x, y]) => [x - left, y - top].map((v) => v * scale + C.PEN_WIDTH / 2);
  const moved = curves.map((curve) => curve.map(move));
  const sides = [width, height].map((length) => Math.ceil(length / C.OVERSAMPLING));
  return shrink(blur(draw(moved, ...sides, C.PEN_WIDTH, C.OVERSAMPLING))).data;
}

/** Blur a scan, which grows on each side by as much as the blur reaches. */
function blur(scan) {
  const margin = (C.BLUR.length - 1) / 2;
  const grown = makeSheet(scan.width + 2 * margin, scan.height + 2 * margin, Float64Array);
  scan.data.forEach((value, i) => {
    const [x, y] = [i % scan.width, Math.floor(i / scan.width)];
    grown.data[(y + margin) * grown.width + x + margin] = fromUnit(value);
  });
  const weights = C.BLUR.map((weight, _, all) => weight / sum(all));
  const along = ({ width, height, data }) => {
    const blurred = makeSheet(width, height, Float64Array);
    data.forEach((_, i) => {
      for (let k = -margin; k <= margin; k += 1) {
        const x = (i % width) + k;
        if (x >= 0 && x < width) blurred.data[i] += data[i + k] * weights[k + margin];
      }
    });
    return blurred;
  };
  return along(turn(along(turn(grown))));
}

/** Centre a blurred scan in a square with a border, and scale it to 28 by 28 pixels. */
function shrink({ width, height, data }) {
  const side = Math.max(width, height) + 2 * C.BORDER;
  const framed = makeSheet(side, side);
  const [top, left] = [height, width].map((length) => Math.floor((side - length) / 2));
  data.forEach((value, i) => {
    framed.data[(top + Math.floor(i / width)) * side + left + (i % width)] = Math.floor(value);
  });
  return turn(resizeRows(turn(resizeRows(framed, 28)), 28));
}

/** Prepare strokes as a line, 28 pixels high, and say how they were laid out. `guides` are the y of the top of small letters and of
 * the baseline that was written on; where they are null, both are estimated. */
function prepareLine(strokes, guides) {
  const curves = strokes.filter((stroke) => stroke.length);
  const layout = placeStrokes(curves, guides);
  return { ...drawLine(curves, layout), curves, layout };
}

/** Draw strokes where they stand. */
function drawLine(curves, layout) {
  const move = (point) => movePoint(layout, point).map((v) => v * C.LINE_SCAN);
  const width = countColumns(layout);
  const moved = curves.map((curve) => curve.map(move));
  const sides = [width, C.HEIGHT].map((length) => length * C.LINE_SCAN);
  const scan = draw(moved, ...sides, C.PEN_WIDTH, C.OVERSAMPLING);
  const soft = { ...scan, data: scan.data.map((value) => Math.floor(fromUnit(value))) };
  return reduce(turn(soften(turn(soften(soft)))), C.LINE_SCAN);
}

/** Move a point of a layout into the line: ascenders and descenders are shortened. */
function movePoint(layout, [x, y]) {
  const { slope, slant, baseline, xHeight, scale, left, above, below, stretch } = layout;
  const height = y - slope * x;
  let row = (height - baseline) * scale;
  if (row < -xHeight) row = (row + xHeight) * above - xHeight;
  if (row > 0) row *= below;
  return [(x + slant * height - left) * scale * stretch + C.MARGIN, row + C.BASELINE];
}

const countColumns = ({ left, right, scale, stretch }) =>
  Math.ceil((right - left) * scale * stretch) + 2 * C.MARGIN;

/** Find where strokes stand. A slant counts fully only where a line is long enough to show it, and
 * narrow letters are made wider. */
function placeStrokes(curves, guides) {
  const lines = guides ?? findFlatGuides(curves);
  const [crossed, ends] = [crossStrokes(curves), curves.flat()];
  let layout = placeLine(crossed, ends, lines, C.UPRIGHT);
  const height = layout.baseline - layout.xTop;
  const length = (layout.right - layout.left) / height;
  if (length < C.SLANT_LENGTH + 1) {
    const upright = (C.UPRIGHT * Math.max(length - 1, 0)) / C.SLANT_LENGTH;
    layout = placeLine(crossed, ends, lines, upright);
  }
  const { slope, baseline, left, right } = layout;
  const isAbove = ([x, y]) => y - slope * x < baseline - height / 2;
  const countChanges = (flags) => flags.filter((flag, i) => i && flag !== flags[i - 1]).length;
  const crossings = sum(curves.map((curve) => countChanges(curve.map(isAbove))));
  const narrow = (C.USUAL_WIDTH * crossings * height) / Math.max(right - left, C.MIN_EXTENT);
  const stretch = Math.min(narrow, C.MAX_STRETCH, C.MAX_COLUMNS / countColumns(layout));
  return { ...layout, stretch: Math.max(stretch, 1) };
}

/** Find the guides of strokes that are all about as high, as those of digits; or null. */
function findFlatGuides(curves) {
  const sides = curves.map((curve) => axes(curve).map(findRange));
  const groups = []; // of strokes above each other: [left, right], [top, bottom]
  for (const [[left, right], [top, bottom]] of sides.sort((a, b) => a[0][0] - b[0][0])) {
    const [[first, last], [high, low]] = groups.at(-1) ?? [[], []];
    const shared = Math.min(right, last) - left;
    if (groups.length && shared > C.MIN_SHARED * Math.min(right - left, last - first)) {
      groups[groups.length - 1] = [
        [first, Math.max(right, last)],
        [Math.min(top, high), Math.max(bottom, low)],
      ];
    } else groups.push([[left, right], [top, bottom]]);
  }
  const [tops, bottoms] = [0, 1].map((side) => groups.map((group) => group[1][side]));
  const [top, bottom] = [findMedian(tops), findMedian(bottoms)];
  const spread = Math.max(...[tops, bottoms].map(findRange).map(([low, high]) => high - low));
  if (groups.length < 2 || spread > C.FLAT_SPREAD * (bottom - top)) return null;
  return [bottom - ((bottom - top) * C.X_HEIGHT) / C.FLAT_HEIGHT, bottom];
}

function findMedian(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return (sorted[Math.ceil(middle) - 1] + sorted[Math.floor(middle)]) / 2;
}

/** Find the points at which strokes cross rows. */
function crossStrokes(curves) {
  const points = curves.flat();
  const [width, height] = axes(points).map(findRange).map(([low, high]) => high - low);
  const step = Math.max(height, width / 20, C.MIN_EXTENT) / C.CROSSED_ROWS;
  const crossed = [];
  for (const curve of curves) {
    for (let i = 1; i < curve.length; i += 1) {
      const [[x0, y0], [x1, y1]] = [curve[i - 1], curve[i]];
      const count = Math.min(round(Math.abs(y1 - y0) / step), C.CROSSED_ROWS);
      for (let k = 0; k < count; k += 1) {
        const share = (k + 0.5) / count;
        crossed.push([x0 + (x1 - x0) * share, y0 + (y1 - y0) * share]);
      }
    }
  }
  const found = curves.some((curve) => curve.length > 1) ? crossed : points; // of dots alone
  return found.length >= C.MIN_CROSSED ? found : [...found, ...points];
}

/** Find where a line stands, from points where ink crosses rows and those that reach farthest. */
function placeLine(crossed, reaching, guides, upright) {
  const every = Math.max(1, Math.floor(crossed.length / C.MAX_POINTS));
  let points = crossed.filter((_, i) => i % every === 0);
  const written = guides && fitGuides(points, guides) ? guides : null;
  const slope = written ? 0 : findSlope(points);
  const level = ([x, y]) => [x, y - slope * x];
  points = points.map(level);
  const ends = reaching.map(level);
  checkOneLine(points);
  const [top, bottom] = findRange(ends.map((point) => point[1]));
  const [xTop, baseline] = written ?? findGuides(points, top, bottom);
  const height = Math.max(baseline - xTop, C.MIN_EXTENT);
  const slant = upright * findSlant(points, height);
  const [left, right] = findRange(ends.map(([x, y]) => x + slant * y));
  const scale = Math.min(
    Math.max(C.MAX_INK_HEIGHT / Math.max(bottom - top, C.MIN_EXTENT), C.MIN_X_HEIGHT / height),
    C.X_HEIGHT / height,
    C.MAX_COLUMNS / Math.max(right - left, C.MIN_EXTENT),
  );
  const shorten = (room, need) =>
    Math.min(Math.max(room / Math.max(need * scale, C.MIN_EXTENT), C.MIN_SHORTENED), 1);
  const above = shorten(C.BASELINE - height * scale - 1, xTop - top);
  const below = shorten(C.HEIGHT - C.BASELINE - 1, bottom - baseline);
  const xHeight = (baseline - xTop) * scale;
  return { slope, slant, xTop, baseline, xHeight, scale, left, right, above, below, stretch: 1 };
}

/** Pick the first of those with the largest score. */
function pickBest(candidates, score) {
  const scores = candidates.map(score);
  return candidates[scores.indexOf(Math.max(...scores))];
}

/** Tell whether most ink is where text on the guides would be. */
function fitGuides(points, [top, baseline]) {
  const reach = C.MAX_REACH * (baseline - top);
  const fits = points.filter(([, y]) => y > top - reach && y < baseline + reach);
  return fits.length / points.length >= C.MIN_FITTING;
}

/** Count how many of some numbers are in each bin: from the least on, `bins` bins in a `length`. */
function countBins(values, length, bins, last = Infinity) {
  const [low] = findRange(values);
  const places = values.map((v) => Math.min(Math.floor(((v - low) / length) * bins), last));
  const counts = new Array(findRange(places)[1] + 1).fill(0);
  for (const place of places) counts[place] += 1;
  return counts;
}

/** Find the numbers below which 5% and 95% of some numbers are. */
function findBulk(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return [0.05, 0.95].map((share) => {
    const place = share * (sorted.length - 1);
    const below = Math.floor(place);
    const above = sorted[below + 1] ?? sorted[below];
    return sorted[below] + (place - below) * (above - sorted[below]);
  });
}

/** Throw an error if a level with hardly any ink parts two lines of text. */
function checkOneLine(points) {
  const [xs, ys] = axes(points);
  const [[left, right], [top, bottom]] = [xs, ys].map(findRange);
  const height = bottom - top;
  if (right - left < C.MIN_LENGTH * height || height < C.MIN_EXTENT) return;
  const ink = countBins(ys, height, C.GAP_LEVELS, C.GAP_LEVELS - 1);
  const counts = ink.map((_, i) => ((ink[i - 1] ?? 0) + ink[i] + (ink[i + 1] ?? 0)) / 3);
  const most = Math.max(...counts);
  counts.forEach((count, valley) => {
    const [above, below] = [counts.slice(0, valley + 1), counts.slice(valley)];
    const fuller = Math.min(Math.max(...above), Math.max(...below));
    if (count > C.MAX_VALLEY * fuller || fuller < C.MIN_SECOND * most) return;
    const isOver = (y) => y < top + ((valley + 0.5) / C.GAP_LEVELS) * height;
    const sides = [true, false].map((over) => xs.filter((_, i) => isOver(ys[i]) === over));
    if (sides.some((side) => side.length / xs.length < C.MIN_SECOND / 2)) return;
    const [[first, last], [otherFirst, otherLast]] = sides.map(findBulk);
    const shared = Math.min(last, otherLast) - Math.max(first, otherFirst);
    const shorter = Math.min(last - first, otherLast - otherFirst);
    if (shorter > 0 && shared >= C.MIN_OVERLAP * shorter) {
      throw new Error("These are several lines of text, one below the other: write one.");
    }
  });
}

/** Find how much a line falls: the slope along which most ink is at the same heights. */
function findSlope(points) {
  const [xs, ys] = axes(points);
  const [[first, last], [high, low]] = [findRange(xs), findBulk(ys)];
  const height = Math.max(low - high, C.MIN_EXTENT);
  if (last - first < 3 * height || points.length < 20) return 0;
  const steepest = Math.min(C.MAX_SLOPE, (2 * height) / (last - first));
  const middle = sum(xs) / xs.length;
  const concentrate = (slope) => {
    const heights = points.map(([x, y]) => y - slope * (x - middle));
    const counts = countBins(heights, height, C.SLOPE_LEVELS);
    const smooth = counts.map(
      (count, i) => 0.25 * (counts[i - 1] ?? 0) + 0.5 * count + 0.25 * (counts[i + 1] ?? 0),
    );
    return sum(square(smooth)) * (1 - (C.SLOPE_PENALTY * Math.abs(slope)) / C.MAX_SLOPE);
  };
  const best = pickBest(spread(-steepest, steepest, C.SLOPES), concentrate);
  return concentrate(best) > C.MIN_GAIN * concentrate(0) ? best : 0;
}

/** Find the top of small letters and the baseline, from the heights at which ink is. */
function findGuides(points, top, bottom) {
  const step = Math.max(bottom - top, C.MIN_EXTENT) / C.LEVELS;
  const levels = new Array(C.LEVELS).fill(0);
  for (const [, y] of points) {
    const level = Math.min(Math.floor((y - top) / step), C.LEVELS - 1);
    if (level >= 0) levels[level] += 1;
  }
  const padded = [levels[0], levels[0], ...levels, levels.at(-1), levels.at(-1)];
  const counts = levels.map((_, i) => sum(padded.slice(i, i + 5).map((count) => count * 0.2)));
  const most = Math.max(...counts);
  const isDense = counts.map((count) => count >= C.MIN_DENSITY * most);
  let first = counts.indexOf(most);
  let last = first;
  // Some levels may have less, such as the middle of letters that are all o.
  while (first > 0 && isDense.slice(Math.max(first - 3, 0), first).some(Boolean)) first -= 1;
  while (last < C.LEVELS - 1 && isDense.slice(last + 1, last + 4).some(Boolean)) last += 1;
  const isFlat = last + 1 - first > C.MIN_FLAT * C.LEVELS; // then one zone is all there is
  if (isFlat) return [bottom - ((bottom - top) * C.X_HEIGHT) / C.FLAT_HEIGHT, bottom];
  return [top + first * step, top + (last + 1) * step];
}

/** Find how far letters lean to the right: when set upright, most ink is in few columns. */
function findSlant(points, height) {
  if (points.length <= 10) return 0;
  return pickBest(C.SLANTS, (slant) => {
    const along = points.map(([x, y]) => x + slant * y);
    const counts = countBins(along, height, C.SLANT_COLUMNS);
    const pairs = counts.length > 1 ? counts.slice(1).map((count, i) => count + counts[i]) : counts;
    return sum(square(pairs)) * (1 - C.SLANT_PENALTY * Math.abs(slant - C.USUAL_SLANT));
  });
}

export { C, prepareCharacter, prepareLine, round, setConstants };
