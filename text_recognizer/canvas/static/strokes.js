// Strokes as text: reads and writes what text_recognizer/strokes.py does.

const BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const RESOLUTION = [4, 4, 1, 100]; // steps per unit of x and y, per millisecond, per full pressure
const POINTERS = { m: "mouse", p: "pen", t: "touch" };

function encode(pointer, points) {
  let text = pointer[0];
  let before = [0, 0, 0, 0];
  for (const point of points) {
    const now = point.map((value, i) => Math.floor(value * RESOLUTION[i] + 0.5));
    now.forEach((value, i) => {
      let rest = (Math.abs(value - before[i]) << 1) | (value < before[i]);
      for (; rest > 31; rest >>= 5) text += BASE64[32 | (rest & 31)];
      text += BASE64[rest];
    });
    before = now;
  }
  return text;
}

function decode(text) {
  const sums = [0, 0, 0, 0];
  const points = [];
  let [number, shift, numbers] = [0, 0, 0];
  for (const digit of text.slice(1)) {
    const value = BASE64.indexOf(digit);
    number |= (value & 31) << shift;
    shift += 5;
    if (value > 31) continue;
    sums[numbers % 4] += number & 1 ? -(number >> 1) : number >> 1;
    numbers += 1;
    if (numbers % 4 === 0) points.push(sums.map((sum, i) => sum / RESOLUTION[i]));
    number = shift = 0;
  }
  return { pointer: POINTERS[text[0]], points };
}

export { POINTERS, decode, encode };
