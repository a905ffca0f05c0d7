"""Reads the strokes of a line over a lattice: neighbouring strokes are grouped into characters.

A pen says what pixels do not: where letters can part. Strokes are sorted along the line, and each
group of up to `MAX_GROUP` neighbours is an edge of a lattice, which the network for *characters*
reads, all groups as one batch. The network for lines says what it has read in the columns of each
group, so that both have a say in each character; and each word that it reads by itself is one more
edge, and so is a part of one, for strokes that hold several letters. A beam finds the best way from
the first stroke to the last, in a time that grows as the number of strokes does.
"""

import functools
import heapq
import itertools
import math
import string
from collections import defaultdict
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from text_recognizer.mapping import BLANK, CHARACTERS, FIRST_CHARACTER, MAPPING, SPACE
from text_recognizer.models.ctc import CharacterLanguageModel
from text_recognizer.reading.character import prepare
from text_recognizer.reading.line import MARGIN, Layout
from text_recognizer.reading.pen import Curves
from text_recognizer.reading.unread import COLUMNS_A_STEP

if TYPE_CHECKING:
    from text_recognizer.reading.recognizer import Recognizer

MAX_GROUP = 4  # strokes of a character
MAX_WIDTH, MAX_GAP = 3.2, 0.4  # x-heights: of a group of several strokes, and between these
MIN_HEIGHT = 0.6  # x-heights: a stroke as high as this is more than a dot
MIN_PROBABILITY = 1e-2  # of a character, whatever the network says
BEAMS, CHOICES = 12, 6  # texts kept after each stroke, and characters tried for each group
MAX_BEHIND = 3.0  # of a character or a group: so far behind the best, it is not tried

# How the evidence counts; chosen on writers on whom nothing is measured.
CTC_SHARE = 0.5  # of the line network's say; the rest is the character network's
MISSED = -9.0  # the least that the line network says of a character: it may have overlooked it
WORD = -1.0  # for each character of a word that CTC reads by itself
LOST = -3.0  # for each stroke of such a word that it has lost
JOINED = 1.5  # for each character of a word that is joined up
MIN_JOINED = 1.5  # characters a stroke: a word with more of them is joined up
PART = -3.0  # for each character of a part of a word that CTC reads by itself
MIN_JOINING = 1.3  # x-heights: a stroke as wide as this may join letters
GAP, OVERLAP = 8.0, 2.0  # for each x-height between strokes of a group; for ink shared with others
HEIGHT_SPREAD, MAX_OFF = 0.9, 4.0  # x-heights: how careless heights are; the most it costs
SWITCH = 1.0  # for a digit beside a letter
BONUS, ENGLISH_BONUS, ENGLISH = 1.5, 1.8, 0.25  # for each character; what English says of it
SURE = 0.3  # of what English says, which does not count where the ink is quite sure
DIGIT, RARE = -2.0, -6.0  # what English says of any digit, and at least of any other character
SPACE_GAP, SPACE_SPREAD = 0.75, 0.08  # x-heights: a gap that is as likely a space as none

# What looks the same but for its size, and what looks similar, with its share.
TWINS = {name + name.upper(): 0.05 for name in string.ascii_lowercase}
TWINS |= {"cC": 0.9, "oO0": 0.9, "pP": 0.9, "sS": 0.9, "uU": 0.9, "vV": 0.9, "wW": 0.9, "xX": 0.9}
TWINS |= {"zZ": 0.9, "kK": 0.9, "Il1": 0.7, "iI": 0.2, "yY": 0.7, "fF": 0.3, "jJ": 0.7, "mM": 0.5}
TWINS |= {"2zZ": 0.3, "5sS": 0.3, "9qg": 0.3, "6b": 0.3, "tT": 0.3, "hn": 0.1, "DO0": 0.2}


class Edge(NamedTuple):
    """A way of reading some neighbouring strokes: those from `first` to before `last`."""

    first: int
    last: int
    texts: list[tuple[float, tuple[int, ...]]]  # scores, and labels that may begin with a space
    steps: list[int]  # where the characters of a text stand, but for a space before it
    scores: torch.Tensor  # float (classes, length): logits of the characters there
    sure: float = 0.0  # how likely the ink makes the best of several texts
    spaced: float | None = None  # ... and a space before them; None: as the line network says


class Strokes(NamedTuple):
    """The strokes of a line along it, in the order of their middles."""

    curves: Curves
    left: np.ndarray  # extents along the line, in x-heights: float64 (number of strokes,)
    right: np.ndarray
    top: np.ndarray  # x-heights above the baseline
    bottom: np.ndarray
    cuts: np.ndarray  # the steps of the line network at which strokes part: int64


def sort_strokes(curves: Curves, layout: Layout, steps: int) -> Strokes:
    """Sort strokes along a line, whose image the line network has read in so many steps."""
    height = layout.x_height / layout.scale
    placed = []
    for curve in curves:
        x, y = curve.T
        above = y - layout.slope * x
        along = (x + layout.slant * above - layout.left) / height
        placed.append((along.mean(), along.min(), along.max(), above.min(), above.max()))
    order = np.argsort(np.array(placed)[:, 0], kind="stable")
    _, left, right, top, bottom = np.array(placed)[order].T
    top, bottom = ((layout.baseline - side) / height for side in (top, bottom))
    # What lies between two strokes belongs to the right one, so that a space comes before it.
    reach = np.maximum.accumulate(right)[:-1]
    next_left = np.minimum.accumulate(left[::-1])[::-1][1:]
    parted = reach + np.where(next_left > reach, 0.25, 0.5) * (next_left - reach)
    columns = parted * layout.x_height * layout.stretch + MARGIN
    inner = np.rint(columns / COLUMNS_A_STEP).clip(0, steps).astype(int)
    cuts = np.concatenate([[0], np.maximum.accumulate(inner), [steps]])
    return Strokes([curves[i] for i in order], left, right, top, bottom, cuts)


def find_groups(strokes: Strokes) -> list[tuple[int, int]]:
    """Return the groups of neighbours that may be a character: first stroke, and after the last."""
    groups, count = [], len(strokes.curves)
    for first in range(count):
        for last in range(first + 1, min(first + MAX_GROUP, count) + 1):
            left, right = strokes.left[first:last], strokes.right[first:last]
            is_narrow = right.max() - left.min() <= MAX_WIDTH
            if last == first + 1 or (is_narrow and measure_gaps(left, right) <= MAX_GAP):
                groups.append((first, last))
    return groups


def measure_gaps(left: np.ndarray, right: np.ndarray) -> float:
    """Return how much is empty between strokes, in all."""
    gaps, reach = 0.0, float(left.min())
    for start, end in sorted(zip(left.tolist(), right.tolist(), strict=True)):
        gaps += max(start - reach, 0)
        reach = max(end, reach)
    return gaps


# What the network for characters says, and how large each character is.

SIZES = {"acemnorsuvwxz": (1.0, 0.0), "gpqy": (1.0, -0.75), "it": (1.6, 0.0), "j": (1.6, -0.75)}
SIZES |= {".": (0.1, 0.0), ",": (0.15, -0.3), ":": (0.8, 0.0), ";": (0.8, -0.3)}
SIZES |= {"-": (0.55, 0.45), "'\"": (1.85, 1.35), "+*": (1.1, 0.3)}
SIZE_OF = {name: size for names, size in SIZES.items() for name in names}
# Of each class, in x-heights above the baseline.
TOPS, BOTTOMS = np.array([SIZE_OF.get(name, (1.85, 0.0)) for name in MAPPING]).T
SHARES = np.eye(len(CHARACTERS))  # how much of a class's probability each class gets
for _names, _share in TWINS.items():
    for _pair in itertools.permutations(map(CHARACTERS.index, _names), 2):
        SHARES[_pair] = max(SHARES[_pair], _share)
# 1 for letters, -1 for digits, 0 for what stands beside either.
KINDS = [str.isalpha(name) - str.isdigit(name) if len(name) == 1 else 0 for name in MAPPING]
OTHER_CASE = [MAPPING.index(n.swapcase()) if len(n) == 1 else i for i, n in enumerate(MAPPING)]
PUNCTUATION = slice(FIRST_CHARACTER + len(CHARACTERS), len(MAPPING))
# The network for characters knows no marks: how likely each is, whatever a group looks like.
SMALL = {".": 0.5, ",": 0.3, "-": 0.3, "'": 0.3, ":": 0.1, ";": 0.1, '"': 0.2, "!": 0.05}
MARKS = np.array([SMALL.get(name, 0.01) for name in MAPPING[PUNCTUATION]])


def read_groups(
    strokes: Strokes, groups: list[tuple[int, int]], characters: "Recognizer"
) -> np.ndarray:
    """Return how well each character fits each group's shape, float64 (groups, classes): logs."""
    curves = [curve.tobytes() for curve in strokes.curves]
    images = torch.stack([_prepare_group(*curves[first:last]) for first, last in groups])
    found = characters.probabilities(images).double().numpy()
    order = [characters.mapping.index(name) for name in CHARACTERS]
    shapes = np.log(found[:, order] @ SHARES + MIN_PROBABILITY)
    scores = np.full((len(groups), len(MAPPING)), -np.inf)
    scores[:, FIRST_CHARACTER : PUNCTUATION.start] = shapes
    scores[:, PUNCTUATION] = np.log(MARKS)
    scores[:, SPACE] = -np.inf
    # A group stands for as many edges as it has strokes.
    return scores * [[(last - first) ** 0.5] for first, last in groups]


@functools.lru_cache(maxsize=2048)  # a canvas asks for the same strokes after each new one
def _prepare_group(*curves: bytes) -> torch.Tensor:
    return prepare([np.frombuffer(curve).reshape(-1, 2) for curve in curves])


def _measure_overlap(strokes: Strokes, first: int, last: int) -> float:
    """Return which share of the ink beside a group, two strokes on each side, is above it."""
    left, right = strokes.left[first:last].min(), strokes.right[first:last].max()
    beside = [*range(max(first - 2, 0), first), *range(last, min(last + 2, len(strokes.left)))]
    other_left, other_right = strokes.left[beside], strokes.right[beside]
    overlap = np.minimum(right, other_right) - np.maximum(left, other_left)
    shortest = np.minimum(right - left, other_right - other_left).clip(0.08)  # an l has no width
    return float((overlap.clip(0) / shortest).clip(max=1).sum())


def score_columns(
    logits: torch.Tensor, cuts: np.ndarray, groups: list[tuple[int, int]]
) -> tuple[np.ndarray, np.ndarray]:
    """Return how likely CTC reads each character alone in the columns of each group.

    Logarithms, float64 (groups, classes): without a space before it, and with one.
    """
    steps = logits.double().softmax(0).numpy().T  # (S, classes)
    starts, ends = np.array([(cuts[a], max(cuts[b], cuts[a] + 1)) for a, b in groups]).T
    order = np.argsort(starts - ends, kind="stable")  # those that have ended come last
    starts, lengths = starts[order], (ends - starts)[order]
    nothing = np.ones((len(groups), 1))  # only blanks so far
    space, after_space = np.zeros((2, len(groups), 1))
    one, after_one, two, after_two = np.zeros((4, len(groups), steps.shape[1]))
    for step in range(int(lengths.max())):
        on = slice(np.count_nonzero(lengths > step))
        said = steps[np.minimum(starts[on] + step, len(steps) - 1)]
        blank = said[:, [BLANK]]
        # Each from what was before: backwards.
        after_two[on] = (two[on] + after_two[on]) * blank
        two[on] = (two[on] + (space + after_space)[on]) * said
        after_one[on] = (one[on] + after_one[on]) * blank
        one[on] = (one[on] + nothing[on]) * said
        after_space[on] = (space[on] + after_space[on]) * blank
        space[on] = (space[on] + nothing[on]) * said[:, [SPACE]]
        nothing[on] *= blank
    back = np.argsort(order)
    with np.errstate(divide="ignore"):
        return np.log(one + after_one)[back], np.log(two + after_two)[back]


def find_words(
    logits: torch.Tensor, labels: list[int], steps: list[int], strokes: Strokes
) -> list[Edge]:
    """Return what the line network reads by itself: words, and parts around joined letters."""
    middles = (strokes.cuts[:-1] + strokes.cuts[1:]) / 2
    spaces = [i for i, label in enumerate(labels) if label == SPACE]
    bounds = [0, *np.searchsorted(middles, [steps[i] for i in spaces]).tolist(), len(middles)]
    ends = itertools.pairwise([-1, *spaces, len(labels)])
    spans = [
        (first, last, i + 1, j, JOINED if j - i - 1 > MIN_JOINED * (last - first) else WORD)
        for (first, last), (i, j) in zip(itertools.pairwise(bounds), ends, strict=True)
    ]
    starts = np.searchsorted(steps, strokes.cuts).tolist()  # the first label in each stroke
    letters = np.cumsum([0, *(label != SPACE for label in labels)])
    joins = (np.diff(letters[starts]) > 1) & (strokes.right - strokes.left >= MIN_JOINING)
    for first in range(len(joins)):
        for last in range(first + 1, min(first + MAX_GROUP, len(joins)) + 1):
            i, j = starts[first], starts[last]
            i += labels[i : i + 1] == [SPACE]
            if joins[first:last].any() and SPACE not in labels[i:j]:
                spans.append((first, last, i, j, PART))
    said, edges = logits.log_softmax(0).T, []
    for first, last, i, j, cost in spans:
        if i == j or first == last:
            continue
        text = (SPACE,) * (first > 0 and labels[i - 1 : i] == [SPACE]) + tuple(labels[i:j])
        inside = said[strokes.cuts[first] : strokes.cuts[last], None]
        lengths = torch.tensor([len(inside)]), torch.tensor([len(text)])
        likely = -F.ctc_loss(inside, torch.tensor([text]), *lengths, BLANK, "sum")
        lost = _count_lost(strokes, first, last, steps[i:j])
        score = CTC_SHARE * likely.item() + (1 - CTC_SHARE) * (cost * len(text) + LOST * lost)
        edges.append(Edge(first, last, [(score, text)], steps[i:j], logits[:, steps[i:j]]))
    return edges


def _count_lost(strokes: Strokes, first: int, last: int, places: list[int]) -> int:
    """Count strokes by themselves, as high as a letter, where no character was read."""
    return sum(
        strokes.top[i] - strokes.bottom[i] > MIN_HEIGHT
        and not any(strokes.cuts[i] - 1 <= place <= strokes.cuts[i + 1] for place in places)
        and _measure_overlap(strokes, i, i + 1) < 0.5
        for i in range(first, last)
    )


def _to_chances(scores: torch.Tensor) -> torch.Tensor:
    """Return how likely each character is, float32 (classes, N), blank and the like left out."""
    scores = scores.float()
    scores[:FIRST_CHARACTER] = -math.inf
    return scores.softmax(0)


def find_likely(groups: list[tuple[int, int]], scores: list[float]) -> list[bool]:
    """Tell which groups may be on the best way, where none has more than its score."""
    least = groups[-1][1] * [-math.inf]
    before, after = [0.0, *least], [*least, 0.0]
    scored = [(a, b, score + BONUS) for (a, b), score in zip(groups, scores, strict=True)]
    for a, b, score in scored:
        before[b] = max(before[b], before[a] + score)
    for a, b, score in reversed(scored):
        after[a] = max(after[a], after[b] + score)
    return [before[a] + score + after[b] > after[0] - MAX_BEHIND for a, b, score in scored]


def find_edges(strokes: Strokes, logits: torch.Tensor, characters: "Recognizer") -> list[Edge]:
    """Return the groups of strokes with the characters that both networks see in them."""
    groups = find_groups(strokes)
    reach = [-np.inf, *np.maximum.accumulate(strokes.right)]
    gaps = [strokes.left[a:b].min() - reach[a] if a else -np.inf for a, b in groups]
    wide = (np.array(gaps) - SPACE_GAP) / SPACE_SPREAD
    fits = zip(score_columns(logits, strokes.cuts, groups), (wide, -wide), strict=True)
    costs = np.empty((len(groups), len(MAPPING)))  # of each character, whatever its shape
    for i, (first, last) in enumerate(groups):
        top, bottom = strokes.top[first:last].max(), strokes.bottom[first:last].min()
        off = ((top - TOPS) ** 2 + (bottom - BOTTOMS) ** 2) / (2 * HEIGHT_SPREAD**2)
        costs[i] = np.minimum(off, MAX_OFF) + OVERLAP * _measure_overlap(strokes, first, last)
        costs[i] += GAP * measure_gaps(strokes.left[first:last], strokes.right[first:last])
    ways = [
        CTC_SHARE * np.maximum(line, MISSED)
        - (1 - CTC_SHARE) * (costs + np.logaddexp(0, unlike)[:, None])
        for line, unlike in fits
    ]
    read = find_likely(groups, np.maximum(*ways)[:, FIRST_CHARACTER:].max(1).tolist())
    groups = list(itertools.compress(groups, read))
    shapes = (1 - CTC_SHARE) * read_groups(strokes, groups, characters)
    ways = [way[read] + shapes for way in ways]
    scores = torch.from_numpy(np.logaddexp(*ways))
    unspaced, spaced = (np.logaddexp.reduce(way, axis=1) for way in ways)
    likely_spaced = np.exp(-np.logaddexp(0, unspaced - spaced)).tolist()
    likely = [np.argpartition(way, -CHOICES, axis=1)[:, -CHOICES:] for way in ways]
    edges = []
    for i, (first, last) in enumerate(groups):
        texts = [
            (float(way[i, label]), (*before, label))
            for way, labels, before in zip(ways, likely, ((), (SPACE,)), strict=True)
            for label in labels[i].tolist()
        ]
        best = max(score for score, _ in texts)
        sure = 1 / sum(math.exp(score - best) for score, _ in texts)
        texts = [(score, text) for score, text in texts if score > best - MAX_BEHIND]
        middle = int(strokes.cuts[first] + strokes.cuts[last]) // 2
        steps = [min(middle, logits.shape[1] - 1)]
        edges.append(Edge(first, last, texts, steps, scores[i, :, None], sure, likely_spaced[i]))
    return edges


def find_way(
    edges: list[Edge], count: int, language_model: CharacterLanguageModel | None = None
) -> list[tuple[Edge, tuple[int, ...]]]:
    """Return the best edges from the first of so many strokes to the last, with their texts."""
    # After each stroke: the scores of the best texts, these, and the best way to each.
    kept: dict[int, list[tuple[float, bytes, Any]]] = defaultdict(list, {0: [(0.0, b"", None)]})
    get_last = attrgetter("last")
    for stroke, ending in itertools.groupby(sorted(edges, key=get_last), get_last):
        choices = (
            (score + said + ENGLISH_BONUS * len(more), text, (way, edge, more))
            for edge in ending
            for said, more in edge.texts
            for score, text, way in kept[edge.first]
        )
        best: dict[bytes, tuple[float, bytes, Any]] = {}
        # No label gets more than the bonus, so those with the most by then are enough.
        for most, text, (way, edge, more) in heapq.nlargest(3 * BEAMS, choices, itemgetter(0)):
            total, longer = most - ENGLISH_BONUS * len(more), text
            for label in more:
                total += _score_next(longer, label, edge.sure, language_model)
                longer += bytes((label,))
            if longer not in best or best[longer][0] < total:
                best[longer] = total, longer, (way, edge, more)
        kept[stroke] = heapq.nlargest(BEAMS, best.values(), key=itemgetter(0))
    way, found = kept[count][0][2], []
    while way is not None:
        way, *step = way
        found.append(tuple(step))
    return found[::-1]


def _score_next(
    text: bytes, label: int, sure: float, language_model: CharacterLanguageModel | None
) -> float:
    """Return what speaks for a label after others, whatever the ink, but for how sure it is."""
    score = BONUS
    if language_model:
        recent = tuple(text[-language_model.order :])  # no more counts
        known = DIGIT if KINDS[label] < 0 else language_model.log_probability(label, recent)
        score += (1 - SURE * sure) * (ENGLISH * max(known, RARE) + ENGLISH_BONUS - BONUS)
    is_switch = text and KINDS[text[-1]] * KINDS[label] < 0
    return score - SWITCH if is_switch else score


def _keep_case(edge: Edge, text: tuple[int, ...], is_first: bool) -> tuple[int, ...]:
    """Return a text in the case that the ink prefers, where the other is not even usual.

    English knows no names: a small letter first and a capital inside a word are not its to decide.
    """
    *before, label = text
    scores = {text: score for score, text in edge.texts}
    other = (*before, OTHER_CASE[label])
    is_unusual = MAPPING[label].islower() == is_first
    return other if is_unusual and scores.get(other, -math.inf) > scores[text] else text


def read_strokes(
    curves: Curves,
    layout: Layout,
    logits: torch.Tensor,
    read: tuple[list[int], list[int]],
    characters: "Recognizer",
    language_model: CharacterLanguageModel | None = None,
) -> tuple[list[int], list[int], torch.Tensor]:
    """Read a line's strokes with both networks.

    The logits, float32 (classes, S), are the answers of a network with CTC, and `read` has the
    labels that it reads by itself, and their steps. Returned are labels, their steps, and how
    likely each character is at each place, float32 (79, length).
    """
    strokes = sort_strokes(curves, layout, logits.shape[1])
    edges = find_edges(strokes, logits, characters) + find_words(logits, *read, strokes)
    labels: list[int] = []
    steps: list[int] = []
    chances: list[torch.Tensor] = []
    for edge, found in find_way(edges, len(curves), language_model):
        is_first = not KINDS[(SPACE, *labels, *found[:-1])[-1]]
        text = _keep_case(edge, found, is_first) if language_model else found
        if len(text) > len(edge.steps):  # a space before it
            start = max(int(strokes.cuts[edge.first]) - 1, 0)
            steps.append(start + int(logits[SPACE, start : start + 3].argmax()))
            chances.append(_to_chances(logits[:, steps[-1:]]))
            if edge.spaced is not None:
                chances[-1][SPACE] = 0
                chances[-1] *= (1 - edge.spaced) / chances[-1].sum()
                chances[-1][SPACE] = edge.spaced
        labels += text
        steps += edge.steps
        chances.append(_to_chances(edge.scores))
    return labels, steps, torch.cat(chances, 1)[FIRST_CHARACTER:]
