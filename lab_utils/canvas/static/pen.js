// Turns strokes into an image as the networks were trained on: what lab_utils/reading does in
// Python (pen.py, character.py, line.py), with the rounding of Pillow's drawing and scaling.

const PEN = 6; // pixels: the width of a pen in a scan
const FINE = 4; // strokes are drawn so many times as large and then scaled down
const SCAN = 60; // pixels: the longer side of a character in a scan
const BORDER = 2; // pixels round a scan, before it is scaled down
const LINE_HEIGHT = 28; // pixels of a line
const LINE_SCAN = 3; // times as large is a line scanned
const [X_HEIGHT, BASELINE] = [10, 20]; // rows of a line: how high small letters are, where they stand
const FLAT = 0.75; // of the ink's height: a zone of small letters as high as this is all there is
const FLAT_HEIGHT = 15; // rows for such a line
const MAX_HEIGHT = 25; // rows for all ink
const MARGIN = 4; // columns left and right of the ink
const MAX_COLUMNS = 28 * 120;
const MIN_EXTENT = 1e-6; // a single dot has none
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
  const points = curves.flat();
  const side = (pick, axis) => points.reduce((v, p) => pick(v, p[axis]), points[0][axis]);
  return [[0, 1].map((axis) => side(Math.min, axis)), [0, 1].map((axis) => side(Math.max, axis))];
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
  const total = BLUR.reduce((sum, value) => sum + value, 0);
  const along = ({ width, height, data }) => {
    const blurred = sheet(width, height, Float64Array);
    data.forEach((_, i) => {
      let sum = 0;
      for (let k = -margin; k <= margin; k += 1) {
        const x = (i % width) + k;
        if (x >= 0 && x < width) sum += data[i + k] * (BLUR[k + margin] / total);
      }
      blurred.data[i] = sum;
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
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    const steps = weights.map((weight) => {
      const exact = (weight / total) * 2 ** 22;
      return Math.trunc(exact < 0 ? exact - 0.5 : exact + 0.5);
    });
    for (let y = 0; y < height; y += 1) {
      let sum = 2 ** 21;
      steps.forEach((step, i) => (sum += step * data[y * width + first + i]));
      resized.data[y * size + x] = clip(Math.floor(sum / 2 ** 22), 255);
    }
  }
  return resized;
}

function cubic(x) {
  const d = Math.abs(x);
  if (d < 1) return (1.5 * d - 2.5) * d * d + 1;
  return d < 2 ? ((-0.5 * d + 2.5) * d - 4) * d + 2 : 0;
}

/** Prepare strokes as a line, 28 pixels high. `guides` are the y of the top of small letters and of
 * the baseline that was written on; where they are null, both are estimated. */
function prepareLine(strokes, guides) {
  const curves = strokes.filter((stroke) => stroke.length);
  const [[left, top], [right, bottom]] = extent(curves);
  const [scale, origin] = placeLine(guides ?? estimateGuides(curves, top, bottom), top, bottom, right - left);
  const move = ([x, y]) => [((x - left) * scale + MARGIN) * LINE_SCAN, (y - origin) * scale * LINE_SCAN];
  const width = Math.ceil((right - left) * scale) + 2 * MARGIN;
  const moved = curves.map((curve) => curve.map(move));
  const scan = draw(moved, width * LINE_SCAN, LINE_HEIGHT * LINE_SCAN);
  const soft = { ...scan, data: scan.data.map((value) => Math.floor(fromUnit(value))) };
  return reduce(transpose(soften(transpose(soften(soft)))), LINE_SCAN);
}

/** Where small letters end and stand, from how much ink there is at each height. */
function estimateGuides(curves, top, bottom) {
  const heights = curves.flat().map((point) => point[1]);
  for (const curve of curves) {
    for (let i = 1; i < curve.length; i += 1) {
      const [from, to] = [curve[i - 1][1], curve[i][1]];
      for (let k = 0; k < 20; k += 1) heights.push(k < 19 ? from + k * ((to - from) / 19) : to);
    }
  }
  const most = Math.max(bottom, top + MIN_EXTENT);
  const profile = Array(60).fill(0);
  for (const y of heights) profile[Math.min(Math.floor(((y - top) / (most - top)) * 60), 59)] += 1;
  const smooth = profile.map((_, i) => (profile[i - 1] ?? 0) + profile[i] + (profile[i + 1] ?? 0));
  const isDense = (value) => value >= Math.max(...smooth) / 2;
  const first = smooth.findIndex(isDense);
  const last = smooth.findLastIndex(isDense) + 1;
  const step = (bottom - top) / 60;
  if (last - first > FLAT * 60) {
    const height = (60 * X_HEIGHT) / FLAT_HEIGHT; // one zone, all of which becomes as many rows
    return [top + (60 - height) * step, top + 60 * step];
  }
  return [top + first * step, top + last * step];
}

/** Rows by unit, and the y of the line's first row: all ink has its place. */
function placeLine([letters, baseline], top, bottom, width) {
  const scale = Math.min(
    X_HEIGHT / Math.max(baseline - letters, MIN_EXTENT),
    MAX_HEIGHT / Math.max(bottom - top, MIN_EXTENT),
    MAX_COLUMNS / Math.max(width, MIN_EXTENT),
  );
  const origin = Math.min(baseline - BASELINE / scale, top - 1 / scale);
  return [scale, Math.max(origin, bottom - (LINE_HEIGHT - 1) / scale)];
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
      const sum = before[x > 0 ? i - 1 : i] + before[x < width - 1 ? i + 1 : i];
      return Math.floor((value * middle + sum * side + 2 ** 23) / 2 ** 24);
    });
  }
  return { width, height, data: now };
}

export { prepareCharacter, prepareLine };
