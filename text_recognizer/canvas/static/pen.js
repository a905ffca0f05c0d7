// Turns strokes into an image as the networks were trained on: what text_recognizer/reading does in
// Python (pen.py, character.py, line.py), with the rounding of Pillow's drawing and scaling.

const PEN = 6; // pixels: the width of a pen in a scan
const FINE = 4; // strokes are drawn so many times as large and then scaled down
const SCAN = 60; // pixels: the longer side of a character in a scan
const BORDER = 2; // pixels round a scan, before it is scaled down
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
const BLUR = [-4, -3, -2, -1, 0, 1, 2, 3, 4].map((x) => Math.exp(-(x ** 2) / 2));

const roundUp = (v) => (v >= 0 ? Math.floor(v + 0.5) : -Math.floor(-v + 0.5));
const roundDown = (v) => (v >= 0 ? Math.ceil(v - 0.5) : -Math.ceil(-v - 0.5));
const clip = (v, most) => Math.min(Math.max(v, 0), most);

/** Round as NumPy does: halves to the even number. */
function round(v) {
  const up = Math.round(v);
  return up - v === 0.5 && up % 2 ? up - 1 : up;
}

/** Grey pixels, from 0 to 255 (whole, or floats to calculate with). */
function sheet(width, height, Kind = Uint8Array) {
  return { width, height, data: new Kind(width * height) };
}

/** Draw curves, lists of [x, y] in pixels, with a round pen. */
function draw(curves, width, height) {
  const fine = sheet(width * FINE, height * FINE);
  const fill = (x0, x1, y) => {
    if (y < 0 || y >= fine.height || x1 < 0 || x0 >= fine.width || x0 > x1) return;
    const row = y * fine.width;
    fine.data.fill(255, row + clip(x0, fine.width - 1), row + clip(x1, fine.width - 1) + 1);
  };
  const radius = (PEN * FINE) / 2;
  for (const curve of curves) {
    const path = curve.map(([x, y]) => [x * FINE, y * FINE]);
    for (let i = 1; i < path.length; i += 1) {
      drawLine(fill, path[i - 1].map(Math.trunc), path[i].map(Math.trunc), PEN * FINE);
    }
    for (const point of path) {
      const [low, high] = [-radius, radius].map((r) => point.map((v) => Math.trunc(v + r)));
      drawEllipse(fill, low, high);
    }
  }
  return reduce(fine, FINE);
}

/** Fill the rectangle round a line from `[x0, y0]` to `[x1, y1]`, row by row. */
function drawLine(fill, [x0, y0], [x1, y1], width) {
  const [dx, dy] = [x1 - x0, y1 - y0];
  if (!dx && !dy) return;
  const half = (width - 1) / 2;
  const [most, least] = [roundUp(half), roundDown(half)].map((v) => v / Math.hypot(dx, dy));
  const corners = [
    [x0 - roundDown(least * dy), y0 + roundDown(most * dx)],
    [x1 - roundDown(least * dy), y1 + roundDown(most * dx)],
    [x1 + roundDown(most * dy), y1 - roundDown(least * dx)],
    [x0 + roundDown(most * dy), y0 - roundDown(least * dx)],
  ];
  const rows = corners.map((corner) => corner[1]);
  for (let y = Math.min(...rows); y <= Math.max(...rows); y += 1) {
    let [left, right] = [Infinity, -Infinity];
    corners.forEach(([ax, ay], i) => {
      const [bx, by] = corners[(i + 1) % 4];
      if (y < Math.min(ay, by) || y > Math.max(ay, by)) return;
      if (ay === by) {
        fill(Math.min(ax, bx), Math.max(ax, bx), y);
        return;
      }
      const x = Math.fround(Math.fround((y - ay) * Math.fround((bx - ax) / (by - ay))) + ax);
      [left, right] = [Math.min(left, x), Math.max(right, x)];
    });
    fill(roundUp(left), roundDown(right), y);
  }
}

/** Fill the ellipse between two corners: the pen, a pixel wider where rounding makes it so. */
function drawEllipse(fill, [left, top], [right, bottom]) {
  const [width, height] = [right - left + 1, bottom - top + 1];
  for (let y = top; y <= bottom; y += 1) {
    const share = Math.sqrt(1 - ((2 * y - top - bottom) / height) ** 2);
    // The last pixel of the row whose middle is inside: on the same grid as `right`.
    const last = Math.ceil((right + left + width * share) / 2) - 1;
    fill(left + right - last, last, y);
  }
}

/** Scale down by a whole number: each pixel is the mean of a square. */
function reduce({ width, height, data }, times) {
  const small = sheet(Math.ceil(width / times), Math.ceil(height / times));
  const sums = new Float64Array(small.data.length);
  for (let y = 0; y < height; y += 1) {
    const row = Math.floor(y / times) * small.width;
    for (let x = 0; x < width; x += 1) sums[row + Math.floor(x / times)] += data[y * width + x];
  }
  const area = times ** 2;
  small.data.set(sums.map((sum) => Math.floor((sum + Math.floor(area / 2)) / area)));
  return small;
}

/** Turn a picture on its side: what works along rows works along columns, too. */
function transpose({ width, height, data }) {
  const turned = sheet(height, width, data.constructor);
  data.forEach((value, i) => {
    turned.data[(i % width) * height + Math.floor(i / width)] = value;
  });
  return turned;
}

/** The smallest and the largest x and y of curves. */
function extent(curves) {
  const [[left, right], [top, bottom]] = [0, 1].map((a) => range(curves.flat().map((p) => p[a])));
  return [[left, top], [right, bottom]];
}

/** Prepare strokes, lists of [x, y, ...], as one character: 28 by 28 pixels, white on black. */
function prepareCharacter(strokes) {
  const curves = strokes.filter((stroke) => stroke.length);
  const [low, high] = extent(curves);
  const scale = (SCAN - PEN) / Math.max(high[0] - low[0], high[1] - low[1], 1e-9);
  const move = (point) => [0, 1].map((axis) => (point[axis] - low[axis]) * scale + PEN / 2);
  const [width, height] = [0, 1].map((axis) =>
    Math.ceil((round((high[axis] - low[axis]) * scale * FINE) + PEN * FINE) / FINE),
  );
  return shrink(blur(draw(curves.map((curve) => curve.map(move)), width, height))).data;
}

/** Blur a scan by a Gaussian of 1 pixel; it grows by 4 pixels on each side. */
function blur(scan) {
  const margin = (BLUR.length - 1) / 2;
  const grown = sheet(scan.width + 2 * margin, scan.height + 2 * margin, Float64Array);
  scan.data.forEach((value, i) => {
    const [x, y] = [i % scan.width, Math.floor(i / scan.width)];
    // Python's scan has numbers from 0 to 1, of 32 bits.
    grown.data[(y + margin) * grown.width + x + margin] = fromUnit(value);
  });
  const total = sum(BLUR);
  const along = ({ width, height, data }) => {
    const blurred = sheet(width, height, Float64Array);
    data.forEach((_, i) => {
      for (let k = -margin; k <= margin; k += 1) {
        const x = (i % width) + k;
        if (x >= 0 && x < width) blurred.data[i] += data[i + k] * (BLUR[k + margin] / total);
      }
    });
    return blurred;
  };
  return along(transpose(along(transpose(grown))));
}

const fromUnit = (value) => Math.fround(Math.fround(value / 255) * 255);

/** Centre a blurred scan in a square with a border, and scale it to 28 by 28 pixels. */
function shrink({ width, height, data }) {
  const side = Math.max(width, height) + 2 * BORDER;
  const square = sheet(side, side);
  const [top, left] = [height, width].map((length) => Math.floor((side - length) / 2));
  data.forEach((value, i) => {
    square.data[(top + Math.floor(i / width)) * side + left + (i % width)] = Math.floor(value);
  });
  return transpose(resizeRows(transpose(resizeRows(square, 28)), 28));
}

/** Scale each row by Pillow's bicubic filter, which is as wide as what it scales down. */
function resizeRows({ width, height, data }, size) {
  const resized = sheet(size, height);
  const scale = width / size;
  const widening = Math.max(scale, 1);
  const support = 2 * widening;
  for (let x = 0; x < size; x += 1) {
    const centre = (x + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - support + 0.5), 0);
    const last = Math.min(Math.trunc(centre + support + 0.5), width);
    const weights = [];
    for (let i = first; i < last; i += 1) weights.push(cubic((i - centre + 0.5) / widening));
    const total = sum(weights);
    const steps = weights.map((weight) => {
      const exact = (weight / total) * 2 ** 22;
      return Math.trunc(exact < 0 ? exact - 0.5 : exact + 0.5);
    });
    for (let y = 0; y < height; y += 1) {
      const seen = sum(steps.map((step, i) => step * data[y * width + first + i]));
      resized.data[y * size + x] = clip(Math.floor((seen + 2 ** 21) / 2 ** 22), 255);
    }
  }
  return resized;
}

function cubic(x) {
  const d = Math.abs(x);
  if (d < 1) return (1.5 * d - 2.5) * d * d + 1;
  return d < 2 ? ((-0.5 * d + 2.5) * d - 4) * d + 2 : 0;
}

// A line: made level, made more upright, and scaled by the height of small letters.

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

function range(values) {
  const wider = ([low, high], value) => [Math.min(low, value), Math.max(high, value)];
  return values.reduce(wider, [Infinity, -Infinity]);
}

const sum = (values) => values.reduce((total, value) => total + value, 0);

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

export { prepareCharacter, prepareLine };
