// Reads the strokes of a line over a lattice: neighbouring strokes are grouped into characters. It
// does what text_recognizer/reading/lattice.py does, which explains it, without a language model.

import { C, round } from "./pen.js";

const most = (values) => Math.max(...values);
const least = (values) => Math.min(...values);
const total = (values) => values.reduce((sum, value) => sum + value, 0);
const accumulate = (values, pick) => {
  let [last] = values;
  return values.map((value) => (last = pick(last, value)));
};

/** Return the logarithm of the sum of two numbers' exponentials. */
function addLogs(a, b) {
  const larger = Math.max(a, b);
  return larger === -Infinity ? larger : larger + Math.log1p(Math.exp(-Math.abs(a - b)));
}

/** Return the logarithms of a step's probabilities. */
function logSoftmax(logits) {
  const largest = most(logits);
  const sum = Math.log(total(logits.map((logit) => Math.exp(logit - largest))));
  return logits.map((logit) => logit - largest - sum);
}

/** Return how likely each character is, blank and the like left out. */
function toChances(scores) {
  const said = logSoftmax(scores.slice(C.FIRST_CHARACTER)).map(Math.exp);
  return [...new Array(C.FIRST_CHARACTER).fill(0), ...said];
}

/** Sort strokes along a line: their extents in x-heights, and the steps at which they part. */
function sortStrokes(curves, layout, steps) {
  const { slope, slant, baseline, left: start, xHeight, scale, stretch } = layout;
  const height = xHeight / scale;
  const strokes = curves.map((curve) => {
    const above = curve.map(([x, y]) => y - slope * x);
    const along = curve.map(([x], i) => (x + slant * above[i] - start) / height);
    const [top, bottom] = [least(above), most(above)].map((side) => (baseline - side) / height);
    const [left, right] = [least(along), most(along)];
    return { curve, middle: total(along) / along.length, left, right, top, bottom };
  });
  strokes.sort((a, b) => a.middle - b.middle);
  const reach = accumulate(strokes.map((stroke) => stroke.right), Math.max);
  const next = accumulate(strokes.map((stroke) => stroke.left).reverse(), Math.min).reverse();
  const inner = strokes.slice(1).map((_, i) => {
    const share = next[i + 1] > reach[i] ? 0.25 : 0.5;
    const parted = reach[i] + share * (next[i + 1] - reach[i]);
    const step = round((parted * xHeight * stretch + C.MARGIN) / C.COLUMNS_A_STEP);
    return Math.min(Math.max(step, 0), steps);
  });
  return { strokes, reach, cuts: [0, ...accumulate(inner, Math.max), steps] };
}

/** Find how much is empty between strokes, in all. */
function measureGaps(strokes) {
  const sorted = [...strokes].sort((a, b) => a.left - b.left);
  const reach = accumulate(sorted.map((stroke) => stroke.right), Math.max);
  return total(sorted.slice(1).map(({ left }, i) => Math.max(left - reach[i], 0)));
}

/** Find the neighbours that may be a character: [first stroke, after the last]. */
function findGroups(strokes) {
  const groups = [];
  for (let first = 0; first < strokes.length; first += 1) {
    for (let size = 1; size <= C.MAX_GROUP && first + size <= strokes.length; size += 1) {
      const some = strokes.slice(first, first + size);
      const width = most(some.map((s) => s.right)) - least(some.map((s) => s.left));
      if (size === 1 || (width <= C.MAX_WIDTH && measureGaps(some) <= C.MAX_GAP)) {
        groups.push([first, first + size]);
      }
    }
  }
  return groups;
}

/** Find which share of the ink beside a group, two strokes on each side, is above it. */
function measureOverlap(strokes, first, last) {
  const some = strokes.slice(first, last);
  const [left, right] = [least(some.map((s) => s.left)), most(some.map((s) => s.right))];
  const beside = [...strokes.slice(Math.max(first - 2, 0), first), ...strokes.slice(last, last + 2)];
  return total(
    beside.map((other) => {
      const overlap = Math.min(right, other.right) - Math.max(left, other.left);
      const shortest = Math.max(Math.min(right - left, other.right - other.left), 0.08);
      return Math.min(Math.max(overlap, 0) / shortest, 1);
    }),
  );
}

/** Find how well each class fits a group, of which `found` has the probabilities of characters. */
function scoreShapes(strokes, first, last, found) {
  const some = strokes.slice(first, last);
  const [top, bottom] = [most(some.map((s) => s.top)), least(some.map((s) => s.bottom))];
  const cost = C.GAP * measureGaps(some) + C.OVERLAP * measureOverlap(strokes, first, last);
  const shapes = C.SHARES.map((_, to) =>
    Math.log(total(found.map((p, from) => p * C.SHARES[from][to])) + C.MIN_PROBABILITY),
  );
  const marks = C.MARKS.map(Math.log);
  const none = new Array(C.FIRST_CHARACTER).fill(-Infinity);
  return [...none, ...shapes, ...marks].map((score, label) => {
    if (label === C.SPACE) return -Infinity;
    const heights = (top - C.TOPS[label]) ** 2 + (bottom - C.BOTTOMS[label]) ** 2;
    const off = Math.min(heights / (2 * C.HEIGHT_SPREAD ** 2), C.MAX_OFF);
    return score * (last - first) ** 0.5 - off - cost;
  });
}

/** Find how likely CTC reads each class alone in some steps: without a space before it, and with. */
function scoreColumns(said) {
  const classes = said[0].length;
  let [nothing, space, afterSpace] = [0, -Infinity, -Infinity];
  let [one, afterOne, two, afterTwo] = [0, 1, 2, 3].map(() => new Array(classes).fill(-Infinity));
  for (const step of said) {
    const [blank, spaced] = [step[C.BLANK], step[C.SPACE]];
    const spaces = addLogs(space, afterSpace);
    [one, afterOne, two, afterTwo] = [
      one.map((p, i) => addLogs(p, nothing) + step[i]),
      one.map((p, i) => addLogs(p, afterOne[i]) + blank),
      two.map((p, i) => addLogs(p, spaces) + step[i]),
      two.map((p, i) => addLogs(p, afterTwo[i]) + blank),
    ];
    [nothing, space, afterSpace] = [nothing + blank, addLogs(space, nothing) + spaced, spaces + blank];
  }
  const join = (a, b) => a.map((p, i) => addLogs(p, b[i]));
  return [join(one, afterOne), join(two, afterTwo)];
}

/** Find how likely CTC reads a text in some steps: a logarithm. */
function scoreText(said, text) {
  const states = [C.BLANK, ...text.flatMap((label) => [label, C.BLANK])];
  let scores = states.map((_, i) => (i < 2 ? said[0]?.[states[i]] ?? -Infinity : -Infinity));
  for (const step of said.slice(1)) {
    scores = scores.map((score, i) => {
      const maySkip = i > 1 && states[i] !== C.BLANK && states[i] !== states[i - 2];
      const before = addLogs(score, i ? scores[i - 1] : -Infinity);
      return addLogs(before, maySkip ? scores[i - 2] : -Infinity) + step[states[i]];
    });
  }
  return addLogs(scores.at(-1), scores.at(-2) ?? -Infinity);
}

/** Count strokes by themselves, as high as a letter, where no character was read. */
function countLost({ strokes, cuts }, first, last, places) {
  let lost = 0;
  for (let i = first; i < last; i += 1) {
    const isRead = places.some((at) => at >= cuts[i] - 1 && at <= cuts[i + 1]);
    const isHigh = strokes[i].top - strokes[i].bottom > C.MIN_HEIGHT;
    lost += isHigh && !isRead && measureOverlap(strokes, i, i + 1) < 0.5;
  }
  return lost;
}

/** Find the words, and parts of words, that CTC reads by itself, as edges over their strokes. */
function findWords(steps, said, read, line) {
  const { strokes, cuts } = line;
  const middles = cuts.slice(1).map((cut, i) => (cuts[i] + cut) / 2);
  const isSpace = (i) => read[i]?.label === C.SPACE;
  const spaces = [...read.keys()].filter(isSpace);
  const before = (places, step) => places.filter((place) => place < step).length;
  const bounds = [0, ...spaces.map((i) => before(middles, read[i].step)), strokes.length];
  const ends = [-1, ...spaces, read.length];
  const spans = bounds.slice(1).map((last, k) => {
    const [i, j] = [ends[k] + 1, ends[k + 1]];
    const isJoined = j - i > C.MIN_JOINED * (last - bounds[k]);
    return [bounds[k], last, i, j, isJoined ? C.JOINED : C.WORD];
  });
  const starts = cuts.map((cut) => before(read.map(({ step }) => step), cut));
  const joins = strokes.map(({ left, right }, k) => {
    const letters = read.slice(starts[k], starts[k + 1]).filter(({ label }) => label !== C.SPACE);
    return letters.length > 1 && right - left >= C.MIN_JOINING;
  });
  for (let first = 0; first < strokes.length; first += 1) {
    for (let last = first + 1; last <= Math.min(first + C.MAX_GROUP, strokes.length); last += 1) {
      const [i, j] = [starts[first] + isSpace(starts[first]), starts[last]];
      const hasJoin = joins.slice(first, last).includes(true);
      if (hasJoin && !spaces.some((k) => k >= i && k < j)) spans.push([first, last, i, j, C.PART]);
    }
  }
  return spans.flatMap(([first, last, i, j, cost]) => {
    if (i === j || first >= last) return [];
    const places = read.slice(i, j).map(({ step }) => step);
    const text = read.slice(first && isSpace(i - 1) ? i - 1 : i, j).map(({ label }) => label);
    const likely = scoreText(said.slice(cuts[first], cuts[last]), text);
    const shape = cost * text.length + C.LOST * countLost(line, first, last, places);
    const score = C.CTC_SHARE * likely + (1 - C.CTC_SHARE) * shape;
    const chances = places.map((step) => toChances(steps[step]));
    return [{ first, last, texts: [[score, text]], places, chances }];
  });
}

/** Find the groups of strokes with the characters that both networks see in them. */
function findEdges(steps, said, line, readCharacter) {
  const { strokes, reach, cuts } = line;
  return findGroups(strokes).map(([first, last]) => {
    const some = strokes.slice(first, last);
    const shapes = scoreShapes(strokes, first, last, readCharacter(some.map((s) => s.curve)));
    const gap = first ? least(some.map((s) => s.left)) - reach[first - 1] : -Infinity;
    const wide = (gap - C.SPACE_GAP) / C.SPACE_SPREAD;
    const start = Math.min(cuts[first], said.length - 1);
    const columns = said.slice(start, Math.max(cuts[last], start + 1));
    const ways = scoreColumns(columns).map((scores, i) => {
      const spaced = -addLogs(0, i ? -wide : wide);
      return scores.map((score, label) => {
        const shape = shapes[label] + spaced;
        return C.CTC_SHARE * Math.max(score, C.MISSED) + (1 - C.CTC_SHARE) * shape;
      });
    });
    const texts = ways.flatMap((scores, i) =>
      scores
        .map((score, label) => [score, i ? [C.SPACE, label] : [label]])
        .sort((a, b) => b[0] - a[0])
        .slice(0, C.CHOICES),
    );
    const best = most(texts.map(([score]) => score));
    const chances = [toChances(ways[0].map((score, label) => addLogs(score, ways[1][label])))];
    const places = [Math.min(Math.floor((cuts[first] + cuts[last]) / 2), steps.length - 1)];
    const likely = texts.filter(([score]) => score > best - C.MAX_BEHIND);
    const [unspaced, withSpace] = ways.map((scores) => scores.reduce(addLogs));
    const spaced = Math.exp(-addLogs(0, unspaced - withSpace)); // how likely a space is before it
    return { first, last, texts: likely, places, chances, spaced };
  });
}

/** Find the best edges from the first of so many strokes to the last, with their texts. */
function findWay(edges, count) {
  const kept = Array.from({ length: count + 1 }, () => new Map());
  kept[0].set("", { score: 0, text: [], way: null });
  for (let stroke = 0; stroke < count; stroke += 1) {
    const best = [...kept[stroke].values()].sort((a, b) => b.score - a.score).slice(0, C.BEAMS);
    const starting = edges.filter((edge) => edge.first === stroke);
    for (const { score, text, way } of best) {
      for (const edge of starting) {
        for (const [said, more] of edge.texts) {
          const longer = [...text, ...more];
          const kinds = longer.slice(-more.length - 1).map((label) => C.KINDS[label]);
          const switches = kinds.slice(1).filter((kind, i) => kind * kinds[i] < 0).length;
          const sum = score + said + C.BONUS * more.length - C.SWITCH * switches;
          const name = String.fromCharCode(...longer);
          if (sum <= (kept[edge.last].get(name)?.score ?? -Infinity)) continue;
          kept[edge.last].set(name, { score: sum, text: longer, way: { before: way, edge, more } });
        }
      }
    }
  }
  const ends = [...kept[count].values()];
  const found = [];
  let { way } = ends.reduce((best, end) => (end.score > best.score ? end : best));
  for (; way; way = way.before) found.unshift(way);
  return found;
}

/** Read the strokes of a line, lists of [x, y], with both networks.
 *
 * `steps` are the logits of the network with CTC, and `read` what it reads by itself: places with
 * a label and a step; `readCharacter` returns the probabilities of characters in some strokes.
 * Returned are places, with how likely each class is there. */
function readStrokes(curves, layout, steps, read, readCharacter) {
  const said = steps.map(logSoftmax);
  const line = sortStrokes(curves, layout, steps.length);
  const edges = [
    ...findEdges(steps, said, line, readCharacter),
    ...findWords(steps, said, read, line),
  ];
  return findWay(edges, curves.length).flatMap(({ edge, more }) => {
    const { first, places, chances, spaced } = edge;
    const found = more.slice(-places.length).map((label, i) => {
      return { label, step: places[i], chances: chances[i] };
    });
    if (more.length === places.length) return found;
    const start = Math.max(line.cuts[first] - 1, 0); // of a space before them
    const near = steps.slice(start, start + 3).map((logits) => logits[C.SPACE]);
    const step = start + near.indexOf(most(near));
    let ofSpace = toChances(steps[step]);
    if (spaced !== undefined) {
      const rest = (1 - spaced) / (1 - ofSpace[C.SPACE]);
      ofSpace = ofSpace.map((chance, label) => (label === C.SPACE ? spaced : chance * rest));
    }
    return [{ label: C.SPACE, step, chances: ofSpace }, ...found];
  });
}

export { readStrokes };
