// Turns strokes into a line, made level, more upright, and scaled by the height of small letters: what
// text_recognizer/reading/line.py does.

import { clip, draw, extent, fromUnit, range, reduce, round, sum, transpose } from "./pen.js";

const LINE_HEIGHT = 28; // pixels of a line
const LINE_SCAN = 3; // times as large is a line scanned
const BASELINE = 20; // the row of a line where small letters stand
const [X_HEIGHT, MIN_X_HEIGHT] = [10, 9]; // rows: how high small letters are, and at least
const MAX_HEIGHT = 25; // rows for all ink, where small letters are high enough then
const SHORTENED = 0.6; // of their length: loops above and below are at least as long
const MARGIN = 4; // columns left and right of the ink
const MAX_COLUMNS = 28 * 120;
const MIN_EXTENT = 1e-6; // a single dot has none
const MAX_POINTS = 4000; // that are looked at, to place a line
const [REACH, MIN_FITTING] = [1.5, 0.8]; // so much ink is so many x-heights round the guides
const [STEEPEST, LEVELLER] = [0.15, 1.03]; // rows a column, and times as dense along a slope
const [USUAL_SLANT, UPRIGHT] = [0.15, 0.7]; // columns a row, and how much letters lose of it
const [LEVELS, DENSE] = [80, 0.5]; // at which ink is counted, and so much is in small letters
const PARTED = 40; // levels at which ink is counted to tell two lines apart
const [MIN_VALLEY, MIN_SECOND] = [0.15, 0.35]; // of the ink: less is between them, more is a line
const [MIN_OVERLAP, MIN_LENGTH] = [0.5, 1.5]; // of widths, and times as wide as high
const [FLAT, FLAT_HEIGHT] = [0.75, 15]; // of the ink's height: then it becomes so many rows

/** Prepare strokes as a line, 28 pixels high. `guides` are the y of the top of small letters and of
 * the baseline that was written on; where they are null, both are estimated. */
function prepareLine(strokes, guides) {
  const curves = strokes.filter((stroke) => stroke.length);
  const layout = placeLine(crossStrokes(curves), curves.flat(), guides);
  const move = (point) => movePoint(layout, point).map((v) => v * LINE_SCAN);
  const width = Math.ceil((layout.right - layout.left) * layout.scale) + 2 * MARGIN;
  const moved = curves.map((curve) => curve.map(move));
  const scan = draw(moved, width * LINE_SCAN, LINE_HEIGHT * LINE_SCAN);
  const soft = { ...scan, data: scan.data.map((value) => Math.floor(fromUnit(value))) };
  return reduce(transpose(soften(transpose(soften(soft)))), LINE_SCAN);
}

/** Where a point of a layout is in the line: loops above and below are shortened. */
function movePoint({ slope, slant, baseline, letters, scale, left, above, below }, [x, y]) {
  const height = y - slope * x;
  let row = (height - baseline) * scale;
  if (row < -letters) row = (row + letters) * above - letters;
  if (row > 0) row *= below;
  return [(x + slant * height - left) * scale + MARGIN, row + BASELINE];
}

/** The points at which strokes cross rows, about 300 rows high. */
function crossStrokes(curves) {
  const points = curves.flat();
  const [low, high] = extent(curves);
  const step = Math.max(high[1] - low[1], (high[0] - low[0]) / 20, MIN_EXTENT) / 300;
  const crossed = [];
  for (const curve of curves) {
    for (let i = 1; i < curve.length; i += 1) {
      const [[x0, y0], [x1, y1]] = [curve[i - 1], curve[i]];
      const count = Math.min(round(Math.abs(y1 - y0) / step), 300);
      for (let k = 0; k < count; k += 1) {
        const share = (k + 0.5) / count;
        crossed.push([x0 + (x1 - x0) * share, y0 + (y1 - y0) * share]);
      }
    }
  }
  if (!curves.some((curve) => curve.length > 1)) return [...points, ...points]; // dots alone
  return crossed.length >= 30 ? crossed : [...crossed, ...points]; // what is flat crosses none
}

/** Find where a line stands, from points where ink crosses rows and those that reach farthest. */
function placeLine(crossed, reaching, guides) {
  const every = Math.max(1, Math.floor(crossed.length / MAX_POINTS));
  let points = crossed.filter((_, i) => i % every === 0);
  const written = guides && fitGuides(points, guides) ? guides : null;
  const slope = written ? 0 : findSlope(points);
  points = points.map(([x, y]) => [x, y - slope * x]);
  const ends = reaching.map(([x, y]) => [x, y - slope * x]);
  checkOneLine(points);
  const [top, bottom] = range(ends.map((point) => point[1]));
  const [letterTop, baseline] = written ?? findGuides(points, top, bottom);
  const height = Math.max(baseline - letterTop, MIN_EXTENT);
  const slant = UPRIGHT * findSlant(points, height);
  const [left, right] = range(ends.map(([x, y]) => x + slant * y));
  const scale = Math.min(
    Math.max(MAX_HEIGHT / Math.max(bottom - top, MIN_EXTENT), MIN_X_HEIGHT / height),
    X_HEIGHT / height,
    MAX_COLUMNS / Math.max(right - left, MIN_EXTENT),
  );
  const shorten = (room, need) =>
    Math.min(Math.max(room / Math.max(need * scale, MIN_EXTENT), SHORTENED), 1);
  const above = shorten(BASELINE - height * scale - 1, letterTop - top);
  const below = shorten(LINE_HEIGHT - BASELINE - 1, bottom - baseline);
  const letters = (baseline - letterTop) * scale;
  return { slope, slant, baseline, letters, scale, left, right, above, below };
}

/** The place of the first of the largest scores. */
function pickBest(candidates, score) {
  const scores = candidates.map(score);
  return candidates[scores.indexOf(Math.max(...scores))];
}

const spread = (low, high, count) =>
  Array.from({ length: count }, (_, i) => low + (i * (high - low)) / (count - 1));

/** Whether most ink is where text on the guides would be. */
function fitGuides(points, [top, baseline]) {
  const reach = REACH * (baseline - top);
  const fits = points.filter(([, y]) => y > top - reach && y < baseline + reach);
  return fits.length / points.length >= MIN_FITTING;
}

/** How many of some whole numbers, from 0 on, there are of each. */
function countEach(numbers) {
  const counts = new Array(range(numbers)[1] + 1).fill(0);
  for (const number of numbers) counts[number] += 1;
  return counts;
}

/** The numbers below which 5% and 95% of some numbers are. */
function bulk(numbers) {
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
  const [xs, ys] = [0, 1].map((axis) => points.map((point) => point[axis]));
  const [[left, right], [top, bottom]] = [range(xs), range(ys)];
  const height = bottom - top;
  if (right - left < MIN_LENGTH * height || height < MIN_EXTENT) return;
  const levels = ys.map((y) => Math.min(Math.floor(((y - top) / height) * PARTED), PARTED - 1));
  const ink = countEach(levels);
  const counts = ink.map((_, i) => ((ink[i - 1] ?? 0) + ink[i] + (ink[i + 1] ?? 0)) / 3);
  const most = Math.max(...counts);
  counts.forEach((count, valley) => {
    const [above, below] = [counts.slice(0, valley + 1), counts.slice(valley)];
    const fuller = Math.min(Math.max(...above), Math.max(...below));
    if (count > MIN_VALLEY * fuller || fuller < MIN_SECOND * most) return;
    const isOver = (y) => y < top + ((valley + 0.5) / PARTED) * height;
    const sides = [true, false].map((over) => xs.filter((_, i) => isOver(ys[i]) === over));
    if (sides.some((side) => side.length / xs.length < MIN_SECOND / 2)) return;
    const [[first, last], [otherFirst, otherLast]] = sides.map(bulk);
    const shared = Math.min(last, otherLast) - Math.max(first, otherFirst);
    const shorter = Math.min(last - first, otherLast - otherFirst);
    if (shorter > 0 && shared >= MIN_OVERLAP * shorter) {
      throw new Error("These are several lines of text, one below the other: write one.");
    }
  });
}

/** How much a line falls: the slope along which most ink is at the same heights. */
function findSlope(points) {
  const xs = points.map((point) => point[0]);
  const [first, last] = range(xs);
  const [high, low] = bulk(points.map((point) => point[1]));
  const height = Math.max(low - high, MIN_EXTENT);
  if (last - first < 3 * height || points.length < 20) return 0;
  const steepest = Math.min(STEEPEST, (2 * height) / (last - first));
  const middle = sum(xs) / xs.length;
  const concentrate = (slope) => {
    const heights = points.map(([x, y]) => y - slope * (x - middle));
    const [low] = range(heights);
    const counts = countEach(heights.map((value) => Math.floor(((value - low) / height) * 40)));
    const smooth = counts.map(
      (count, i) => 0.25 * (counts[i - 1] ?? 0) + 0.5 * count + 0.25 * (counts[i + 1] ?? 0),
    );
    return sum(smooth.map((count) => count ** 2)) * (1 - (0.02 * Math.abs(slope)) / STEEPEST);
  };
  const best = pickBest(spread(-steepest, steepest, 31), concentrate);
  return concentrate(best) > LEVELLER * concentrate(0) ? best : 0;
}

/** The top of small letters and the baseline, from the heights at which ink is. */
function findGuides(points, top, bottom) {
  const step = Math.max(bottom - top, MIN_EXTENT) / LEVELS;
  const levels = new Array(LEVELS).fill(0);
  for (const [, y] of points) {
    const level = Math.min(Math.floor((y - top) / step), LEVELS - 1);
    if (level >= 0) levels[level] += 1;
  }
  const counts = levels.map((_, i) =>
    sum([-2, -1, 0, 1, 2].map((k) => levels[clip(i + k, LEVELS - 1)] / 5)),
  );
  const most = Math.max(...counts);
  const isDense = counts.map((count) => count >= DENSE * most);
  let first = counts.indexOf(most);
  let last = first;
  // Some levels may have less, such as the middle of letters that are all o.
  while (first > 0 && isDense.slice(Math.max(first - 3, 0), first).some(Boolean)) first -= 1;
  while (last < LEVELS - 1 && isDense.slice(last + 1, last + 4).some(Boolean)) last += 1;
  last += 1;
  if (last - first > FLAT * LEVELS) {
    return [bottom - ((bottom - top) * X_HEIGHT) / FLAT_HEIGHT, bottom]; // one zone is all there is
  }
  return [top + first * step, top + last * step];
}

/** How far letters lean to the right: when set upright, most ink is in few columns. */
function findSlant(points, height) {
  if (points.length <= 10) return 0;
  return pickBest(spread(-0.6, 1.2, 37), (slant) => {
    const along = points.map(([x, y]) => x + slant * y);
    const [low] = range(along);
    const counts = countEach(along.map((value) => Math.floor(((value - low) / height) * 8)));
    const pairs = counts.length > 1 ? counts.slice(1).map((count, i) => count + counts[i]) : counts;
    const usual = 1 - 0.05 * Math.abs(slant - USUAL_SLANT);
    return sum(pairs.map((count) => count ** 2)) * usual;
  });
}

/** Blur rows as Pillow's Gaussian of 1 pixel does: three times the mean of neighbours. */
function soften({ width, height, data }) {
  const middle = Math.floor(2 ** 24 / 1.5);
  const side = Math.floor((2 ** 24 - middle) / 2);
  let now = data;
  for (let pass = 0; pass < 3; pass += 1) {
    const before = now;
    now = before.map((value, i) => {
      const x = i % width;
      const sides = before[x > 0 ? i - 1 : i] + before[x < width - 1 ? i + 1 : i];
      return Math.floor((value * middle + sides * side + 2 ** 23) / 2 ** 24);
    });
  }
  return { width, height, data: now };
}

export { prepareLine };
