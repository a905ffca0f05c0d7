// Runs a network that text_recognizer/canvas/to_javascript.py has described: a list of steps, each
// of which makes a tensor of those before it. A tensor is its shape, (1, channels, height, width)
// for images, and its numbers, row by row. This is all that a CNN or a ResNet computes.

/** Turn base64 into the weights: 16-bit floats, the lowest byte first. */
function decodeWeights(base64) {
  const bytes = atob(base64);
  const weights = new Float32Array(bytes.length / 2);
  for (let i = 0; i < weights.length; i += 1) {
    weights[i] = decodeHalf(bytes.charCodeAt(2 * i) | (bytes.charCodeAt(2 * i + 1) << 8));
  }
  return weights;
}

/** A 16-bit float has a sign, 5 bits of exponent and 10 bits of fraction. */
function decodeHalf(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = (bits & 1023) / 1024;
  return sign * (exponent ? (1 + fraction) * 2 ** (exponent - 15) : fraction * 2 ** -14);
}

const count = (shape) => shape.reduce((product, size) => product * size, 1);
const tensor = (shape) => ({ shape, data: new Float32Array(count(shape)) });

/** Multiply matrices: `out[m, n]` is the sum over k of `a[m, k] * b[n, k]`, plus `bias[m]`.
 * Four rows of `a` by two of `b` at once: each number that is fetched is used more than once. */
function multiply(a, b, bias, out, rows, columns, depth) {
  for (let n = 0; n < columns; n += 2) {
    const n1 = Math.min(n + 1, columns - 1); // beyond the last, the last again
    const b0 = n * depth;
    const b1 = n1 * depth;
    for (let m = 0; m < rows; m += 4) {
      const m1 = Math.min(m + 1, rows - 1);
      const m2 = Math.min(m + 2, rows - 1);
      const m3 = Math.min(m + 3, rows - 1);
      const a0 = m * depth;
      const a1 = m1 * depth;
      const a2 = m2 * depth;
      const a3 = m3 * depth;
      let s00 = bias ? bias[m] : 0;
      let s10 = bias ? bias[m1] : 0;
      let s20 = bias ? bias[m2] : 0;
      let s30 = bias ? bias[m3] : 0;
      let s01 = s00;
      let s11 = s10;
      let s21 = s20;
      let s31 = s30;
      for (let k = 0; k < depth; k += 1) {
        const x = b[b0 + k];
        const y = b[b1 + k];
        const u = a[a0 + k];
        const v = a[a1 + k];
        const w = a[a2 + k];
        const z = a[a3 + k];
        s00 += u * x;
        s10 += v * x;
        s20 += w * x;
        s30 += z * x;
        s01 += u * y;
        s11 += v * y;
        s21 += w * y;
        s31 += z * y;
      }
      out[m * columns + n] = s00;
      out[m1 * columns + n] = s10;
      out[m2 * columns + n] = s20;
      out[m3 * columns + n] = s30;
      out[m * columns + n1] = s01;
      out[m1 * columns + n1] = s11;
      out[m2 * columns + n1] = s21;
      out[m3 * columns + n1] = s31;
    }
  }
}

/** Size of what a window sees when it slides over `size` pixels. */
function slide(size, kernel, stride, padding, dilation) {
  return Math.floor((size + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1;
}

/** Call `visit` with each place of a window on an image, (1, C, H, W), and its top left corner. */
function slideOver(shape, { kernel, stride, padding, dilation }, visit) {
  const [height, width] = [0, 1].map((i) =>
    slide(shape[2 + i], kernel[i], stride[i], padding[i], dilation[i]),
  );
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      visit(y * width + x, y * stride[0] - padding[0], x * stride[1] - padding[1]);
    }
  }
  return [height, width];
}

/** Return the convolution of a sequence as one of an image that is one pixel high. */
function convolveSequence(step, { shape: [, channels, width], data }) {
  const lead = { kernel: 1, stride: 1, padding: 0, dilation: 1 };
  const window = Object.entries(lead).map(([name, first]) => [name, [first, ...step[name]]]);
  const image = { shape: [1, channels, 1, width], data };
  const result = STEPS.convolution({ ...step, ...Object.fromEntries(window) }, image);
  return { shape: [1, result.shape[1], result.shape[3]], data: result.data };
}

const STEPS = {
  /** A convolution: what each place of the window sees, in a row, times the filters. */
  convolution(step, input) {
    if (input.shape.length === 3) return convolveSequence(step, input);
    const { kernel, dilation, groups } = step;
    const [, channels, height, width] = input.shape;
    const [seen, filters] = [channels / groups, step.channels / groups]; // of each group
    const size = [0, 1].map((i) =>
      slide(input.shape[2 + i], kernel[i], step.stride[i], step.padding[i], dilation[i]),
    );
    const [places, depth] = [count(size), seen * count(kernel)];
    const result = tensor([1, step.channels, ...size]);
    const patches = new Float32Array(places * depth);
    for (let group = 0; group < groups; group += 1) {
      slideOver(input.shape, step, (place, top, left) => {
        let at = place * depth;
        for (let c = group * seen; c < (group + 1) * seen; c += 1) {
          for (let i = 0; i < kernel[0]; i += 1) {
            const y = top + i * dilation[0];
            for (let j = 0; j < kernel[1]; j += 1) {
              const x = left + j * dilation[1];
              const inside = y >= 0 && y < height && x >= 0 && x < width;
              patches[at] = inside ? input.data[(c * height + y) * width + x] : 0;
              at += 1;
            }
          }
        }
      });
      const [first, last] = [group * filters, (group + 1) * filters];
      multiply(
        step.weights.subarray(first * depth, last * depth),
        patches,
        step.bias?.subarray(first, last),
        result.data.subarray(first * places, last * places),
        filters,
        places,
        depth,
      );
    }
    return result;
  },

  /** The largest number in each window. */
  max_pool(step, input) {
    const [, channels, height, width] = input.shape;
    const { kernel, dilation } = step;
    const size = slideOver(input.shape, step, () => {});
    const result = tensor([1, channels, ...size]);
    for (let c = 0; c < channels; c += 1) {
      slideOver(input.shape, step, (place, top, left) => {
        let largest = -Infinity;
        for (let i = 0; i < kernel[0]; i += 1) {
          for (let j = 0; j < kernel[1]; j += 1) {
            const [y, x] = [top + i * dilation[0], left + j * dilation[1]];
            if (y < 0 || y >= height || x < 0 || x >= width) continue;
            largest = Math.max(largest, input.data[(c * height + y) * width + x]);
          }
        }
        result.data[c * count(size) + place] = largest;
      });
    }
    return result;
  },

  linear(step, input) {
    const result = tensor([1, step.features]);
    const depth = input.data.length;
    multiply(step.weights, input.data, step.bias, result.data, step.features, 1, depth);
    return result;
  },

  /** A BatchNorm that follows neither a convolution nor a linear layer, which would contain it. */
  scale(step, input) {
    const result = tensor(input.shape);
    const each = input.data.length / input.shape[1];
    result.data.forEach((_, i) => {
      const channel = Math.floor(i / each);
      result.data[i] = input.data[i] * step.weights[channel] + step.bias[channel];
    });
    return result;
  },

  relu: (_step, input) => ({ shape: input.shape, data: input.data.map((v) => Math.max(v, 0)) }),

  add: (_step, a, b) => ({ shape: a.shape, data: a.data.map((v, i) => v + b.data[i]) }),

  mean(step, input) {
    const { shape, data } = input;
    const kept = shape.map((size, axis) => (step.axes.includes(axis) ? 1 : size));
    const result = tensor(kept);
    const share = count(kept) / data.length;
    data.forEach((value, i) => {
      let [rest, place, stride] = [i, 0, 1];
      for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
        if (kept[axis] > 1) place += (rest % shape[axis]) * stride;
        stride *= kept[axis];
        rest = Math.floor(rest / shape[axis]);
      }
      result.data[place] += value * share;
    });
    const left = shape.filter((_, axis) => !step.axes.includes(axis));
    return { shape: step.keep ? kept : left, data: result.data };
  },

  /** Flattening and the like: the same numbers in the same order; -1 is what is left. */
  reshape(step, input) {
    const left = input.data.length / Math.abs(count(step.shape));
    return { shape: step.shape.map((size) => (size < 0 ? left : size)), data: input.data };
  },

  permute(step, input) {
    const strides = input.shape.map((_, axis) => count(input.shape.slice(axis + 1)));
    const result = tensor(step.axes.map((axis) => input.shape[axis]));
    result.data.forEach((_, i) => {
      let [rest, from] = [i, 0];
      for (let axis = step.axes.length - 1; axis >= 0; axis -= 1) {
        from += (rest % result.shape[axis]) * strides[step.axes[axis]];
        rest = Math.floor(rest / result.shape[axis]);
      }
      result.data[i] = input.data[from];
    });
    return result;
  },
};

/** Give each step its weights, which the description only has the places of: [first, count]. */
function loadNetwork(steps, base64) {
  const all = decodeWeights(base64);
  const part = (place) => place && all.subarray(place[0], place[0] + place[1]);
  return steps.map((step) => ({ ...step, weights: part(step.weights), bias: part(step.bias) }));
}

/** Run a network on an image, whose pixels are from 0 to 255; return the results of all steps. */
function runNetwork(network, pixels, width = 28) {
  const shape = [1, 1, pixels.length / width, width];
  const results = [{ shape, data: Float32Array.from(pixels, (value) => value / 255) }];
  for (const step of network) {
    results.push(STEPS[step.do](step, ...step.of.map((number) => results[number])));
  }
  return results;
}

export { loadNetwork, runNetwork };
