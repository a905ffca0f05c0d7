// What Pillow does with grey pictures: draws lines and dots, scales and blurs, with its rounding.

const roundUp = (v) => (v >= 0 ? Math.floor(v + 0.5) : -Math.floor(-v + 0.5));
const roundDown = (v) => (v >= 0 ? Math.ceil(v - 0.5) : -Math.ceil(-v - 0.5));
const clip = (v, most) => Math.min(Math.max(v, 0), most);
const sum = (values) => values.reduce((total, value) => total + value, 0);

/** Find the smallest and the largest of some numbers, which may be too many for Math.min. */
function findRange(values) {
  const wider = ([low, high], value) => [Math.min(low, value), Math.max(high, value)];
  return values.reduce(wider, [Infinity, -Infinity]);
}

/** Make grey pixels, from 0 to 255 (whole, or floats to calculate with). */
function makeSheet(width, height, Kind = Uint8Array) {
  return { width, height, data: new Kind(width * height) };
}

/** Draw curves, lists of [x, y] in pixels, with a round pen of some width, `times` as large, and
 * scale the picture down. */
function draw(curves, width, height, penWidth, times) {
  const fine = makeSheet(width * times, height * times);
  const fill = (x0, x1, y) => {
    if (y < 0 || y >= fine.height || x1 < 0 || x0 >= fine.width || x0 > x1) return;
    const row = y * fine.width;
    fine.data.fill(255, row + clip(x0, fine.width - 1), row + clip(x1, fine.width - 1) + 1);
  };
  const pen = penWidth * times;
  for (const curve of curves) {
    const path = curve.map(([x, y]) => [x * times, y * times]);
    path.forEach((point, i) => {
      if (i) drawLine(fill, path[i - 1].map(Math.trunc), point.map(Math.trunc), pen);
    });
    for (const point of path) {
      const [low, high] = [-pen / 2, pen / 2].map((r) => point.map((v) => Math.trunc(v + r)));
      drawEllipse(fill, low, high);
    }
  }
  return reduce(fine, times);
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
  const [top, bottom] = findRange(corners.map((corner) => corner[1]));
  for (let y = top; y <= bottom; y += 1) {
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

/** Scale down by a whole number: each pixel is the mean of a square, in whole numbers. */
function reduce({ width, height, data }, times) {
  const small = makeSheet(Math.ceil(width / times), Math.ceil(height / times));
  const sums = new Float64Array(small.data.length);
  for (let y = 0; y < height; y += 1) {
    const row = Math.floor(y / times) * small.width;
    for (let x = 0; x < width; x += 1) sums[row + Math.floor(x / times)] += data[y * width + x];
  }
  const half = Math.floor(times ** 2 / 2);
  const factor = Math.floor(2 ** 24 / times ** 2);
  small.data.set(sums.map((sum) => Math.floor(((sum + half) * factor) / 2 ** 24)));
  return small;
}

/** Turn a picture on its side: what works along rows works along columns, too. */
function turn({ width, height, data }) {
  const turned = makeSheet(height, width, data.constructor);
  data.forEach((value, i) => {
    turned.data[(i % width) * height + Math.floor(i / width)] = value;
  });
  return turned;
}

/** Scale each row by Pillow's bicubic filter, which is as wide as what it scales down. */
function resizeRows({ width, height, data }, size) {
  const resized = makeSheet(size, height);
  const scale = width / size;
  const widening = Math.max(scale, 1);
  for (let x = 0; x < size; x += 1) {
    const centre = (x + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - 2 * widening + 0.5), 0);
    const last = Math.min(Math.trunc(centre + 2 * widening + 0.5), width);
    const weights = [];
    for (let i = first; i < last; i += 1) weights.push(cubic((i - centre + 0.5) / widening));
    const total = sum(weights);
    const steps = weights.map((weight) => roundUp((weight / total) * 2 ** 22));
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

/** Blur rows as Pillow's Gaussian of 1 pixel does: three times the mean of neighbours. */
function soften({ width, height, data }) {
  const middle = Math.fround(2 ** 24 / 1.5);
  const side = Math.floor((2 ** 24 - middle) / 2);
  const blurOnce = (before) =>
    before.map((value, i) => {
      const x = i % width;
      const sides = before[x > 0 ? i - 1 : i] + before[x < width - 1 ? i + 1 : i];
      return Math.floor((value * middle + sides * side + 2 ** 23) / 2 ** 24);
    });
  return { width, height, data: blurOnce(blurOnce(blurOnce(data))) };
}

export { draw, findRange, makeSheet, reduce, resizeRows, soften, sum, turn };
