"""Strokes of a pen: what they are, how they travel to the browser, and samples to try.

All coordinates are those of `HandwritingCanvas`: `CANVAS_HEIGHT` units high, y downwards. Between
the guide lines capitals stand on `BASE_LINE` and reach up to `CAP_LINE`.
"""

import functools
import json
import math
import string

import numpy as np

from text_recognizer.errors import LabError, check_int, missing_or_damaged, show
from text_recognizer.paths import bundled

CANVAS_HEIGHT = 220
CAP_LINE, X_LINE, BASE_LINE = 50, 96, 150  # y of the tops of capitals and of x, and the baseline
MAX_DOT = 8  # units: so large are the strokes of a dot at most, which no character is
POINTERS = ("mouse", "pen", "touch")
RESOLUTION = (4, 4, 1, 100)  # steps per unit of x and y, per millisecond, per full pressure
MAX_STEPS = 2**29  # of a number of a point: a difference of two then fits JavaScript's 32 bits
SAMPLES_FILE = "sample_strokes.json"
LETTER_GAP, WORD_GAP, SAMPLE_MARGIN = 18, 55, 30  # units
BASE64 = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
MAX_SHIFT = 30  # bits before the last digit of an encoded number


class Stroke(tuple):
    """The path of a pen from where it touches the paper to where it leaves it.

    A tuple of points (x, y, time, pressure), which `prepare` and `Recognizer.predict` take as is:
    x and y in units of the canvas, kept to a quarter; time in whole milliseconds since the
    stroke began; pressure from 0 to 1, kept to a hundredth.

    Parameters
    ----------
    points : sequence of sequence of float
        (x, y), (x, y, time) or (x, y, time, pressure); the time is 0 and the pressure 0.5 where
        they are missing.
    pointer : {"mouse", "pen", "touch"}
        What drew it.
    """

    pointer: str
    _text: str | None = None  # what `encode` made of it: a canvas asks at each new stroke

    def __new__(cls, points, pointer: str = "mouse"):
        missing = (0.0, 0.5)
        whole = [(*map(float, point), *missing[len(point) - 2 :]) for point in points]
        if not whole or any(len(p) != 4 or not all(map(math.isfinite, p)) for p in whole):
            raise ValueError("a point must be (x, y), or with time and pressure")
        numbers = np.array(whole)
        if (abs(numbers) >= MAX_STEPS / np.array(RESOLUTION)).any():
            raise ValueError("a number of a point is too large")
        if pointer not in POINTERS:
            raise ValueError(f"pointer={pointer!r} must be one of {', '.join(POINTERS)}")
        kept = np.floor(numbers * RESOLUTION + 0.5) / RESOLUTION
        stroke = super().__new__(cls, map(tuple, kept.tolist()))
        stroke.pointer = pointer
        return stroke

    def __repr__(self) -> str:
        return f"Stroke({len(self)} points, pointer={self.pointer!r})"


def to_strokes(drawing) -> list[Stroke]:
    """Return a drawing, in any form that `prepare` takes for strokes, as a list of `Stroke`."""
    try:
        return [s if isinstance(s, Stroke) else Stroke(s) for s in drawing if len(s)]
    except (OverflowError, TypeError, ValueError) as error:
        raise LabError(
            f"strokes must be a list of strokes, each a list of points (x, y): {error}."
        ) from None


def is_dot(strokes) -> bool:
    """Tell whether strokes have no extent to speak of, as a tap of the pen."""
    points = np.concatenate([np.asarray(stroke, float)[:, :2] for stroke in strokes])
    return bool(np.ptp(points, axis=0).max() <= MAX_DOT)


def encode(stroke: Stroke) -> str:
    """Write a stroke in about five characters per point: its pointer's first letter, then numbers.

    Each number of a point is its difference from the point before, in steps of `RESOLUTION`, as
    the Base64 VLQ of JavaScript's source maps. The canvas's script reads and writes the same.
    """
    if stroke._text is None:
        stroke._text = _write(stroke)
    return stroke._text


def _write(stroke: Stroke) -> str:
    steps = np.rint(np.array(stroke) * RESOLUTION).astype(int)
    text = stroke.pointer[0]
    for change in np.diff(steps, axis=0, prepend=0).flatten().tolist():
        rest = abs(change) << 1 | (change < 0)
        while rest > 31:
            text += BASE64[32 | rest & 31]
            rest >>= 5
        text += BASE64[rest]
    return text


@functools.lru_cache(maxsize=4096)
def decode(text: str) -> Stroke:
    """Read what `encode` wrote; anything else is a ValueError, KeyError or TypeError."""
    numbers, number, shift = [], 0, 0
    for digit in text[1:]:
        value = BASE64.index(digit)
        if shift > MAX_SHIFT:
            raise ValueError("a number is too large")
        number |= (value & 31) << shift
        shift += 5
        if value < 32:
            numbers.append(-(number >> 1) if number & 1 else number >> 1)
            number = shift = 0
    points = np.cumsum(np.reshape(numbers, (-1, 4)), axis=0) / RESOLUTION
    (pointer,) = (name for name in POINTERS if name[0] == text[0])
    stroke = Stroke(points.tolist(), pointer)
    stroke._text = text
    return stroke


def fit_strokes(strokes: list[Stroke], width: float) -> list[Stroke]:
    """Return strokes that lie on a canvas `width` wide: scaled and moved if they reach beyond."""
    points = np.array([point[:2] for stroke in strokes for point in stroke])
    low, high = points.min(0), points.max(0)
    if (low >= 0).all() and (high <= (width, CANVAS_HEIGHT)).all():
        return strokes
    room = np.array([width, CANVAS_HEIGHT]) - 2 * SAMPLE_MARGIN
    scale = (room / np.maximum(high - low, 1e-9)).min()
    start = (np.array([width, CANVAS_HEIGHT]) - (high - low) * scale) / 2
    return [_move(stroke, start, scale, low) for stroke in strokes]


def _move(stroke: Stroke, start, scale: float = 1.0, origin=(0.0, 0.0)) -> Stroke:
    (a, b), (u, v) = origin, start
    points = [((x - a) * scale + u, (y - b) * scale + v, *rest) for x, y, *rest in stroke]
    return Stroke(points, stroke.pointer)


@functools.cache
def read_samples() -> dict[str, list[list[str]]]:
    """Return the sample strokes: character -> ways to write it -> encoded strokes."""
    path = bundled(SAMPLES_FILE)
    try:
        return json.loads(path.read_text(encoding="utf-8"))["characters"]
    except (OSError, ValueError, LookupError) as error:
        raise missing_or_damaged(path, error) from None


def sample_strokes(text: str, variant: int = 0) -> list[Stroke]:
    """Return the strokes of a character or a few words, to try the canvas without drawing.

    Taught in notebook 5. LabError if there is no sample of a character.

    Parameters
    ----------
    text : str
        Digits, letters and spaces. A single character stands in the middle of the square canvas,
        words begin at the left of the wide one.
    variant : int
        How it is written: each character has several ways, which repeat after the last.

    Examples
    --------
    >>> from lab_utils import sample_strokes
    >>> sample_strokes("l")
    [Stroke(60 points, pointer='pen')]
    """
    if not isinstance(text, str) or not text.strip():
        raise LabError(f"text={show(text)} must be a character or a few words.")
    check_int("variant", variant, 0)
    written, x = [], SAMPLE_MARGIN
    for character in text:
        if character == " ":
            x += WORD_GAP
            continue
        if character not in read_samples():
            raise LabError(f"There is no sample of {character!r}: only letters, digits and spaces.")
        variants = read_samples()[character]
        strokes = [decode(stroke) for stroke in variants[variant % len(variants)]]
        xs = [point[0] for stroke in strokes for point in stroke]
        written += [_move(stroke, (x - min(xs), 0)) for stroke in strokes]
        x += max(xs) - min(xs) + LETTER_GAP
    if len(text.strip()) == 1:
        middle = (CANVAS_HEIGHT - (x - LETTER_GAP - SAMPLE_MARGIN)) / 2 - SAMPLE_MARGIN
        written = [_move(stroke, (middle, 0)) for stroke in written]
    return written
