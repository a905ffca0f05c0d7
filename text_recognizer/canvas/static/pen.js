// Draws strokes as the networks were trained on: what text_recognizer/reading does in Python (pen.py,
// character.py), with the rounding of Pillow's drawing and scaling.

const PEN = 6; // pixels: the width of a pen in a scan
const FINE = 4; // strokes are drawn so many times as large and then scaled down
const SCAN = 60; // pixels: the longer side of a character in a scan
const BORDER = 2; // pixels round a scan, before it is scaled down
const BLUR = [-4, -3, -2, -1, 0, 1, 2, 3, 4].map((x) => Math.exp(-(x ** 2) / 2));

const roundUp = (v) => (v >= 0 ? Math.floor(v + 0.5) : -Math.floor(-v + 0.5));
const roundDown = (v) => (v >= 0 ? Math.ceil(v - 0.5) : -Math.ceil(-v - 0.5));
const clip = (v, most) => Math.min(Math.max(v, 0), most);
const sum = (values) => values.reduce((total, value) => total + value, 0);

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

function range(values) {
  const wider = ([low, high], value) => [Math.min(low, value), Math.max(high, value)];
  return values.reduce(wider, [Infinity, -Infinity]);
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

export { clip, draw, extent, fromUnit, prepareCharacter, range, reduce, round, sum, transpose };
