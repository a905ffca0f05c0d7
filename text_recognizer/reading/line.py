"""Turns a picture or strokes of one handwritten line into an image as lines for training are.

Small letters are what all lines have, so they set the scale: the line is made level, made more
upright, and scaled until small letters are as high as those of training. Long loops above and below
are shortened, and what sticks out even then is cut off.
"""

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageFilter

from text_recognizer.errors import LabError, show
from text_recognizer.reading.masks import measure_pen_width, otsu, widen
from text_recognizer.reading.pen import PEN, curves_of, draw
from text_recognizer.reading.picture import ink_of

HEIGHT = 28  # pixels of a line
SCAN = 3  # times as large is a line scanned, so that a pen of 6 pixels there is 2 wide
BASELINE = 20.0  # the row of a line where small letters stand
FLAT = 0.75  # of the ink's height: a zone of small letters as high as this is all there is
FLAT_HEIGHT = 15.0  # rows for such a line, which is all small letters, all capitals or all digits
FLAT_SPREAD = 0.3  # of their height: so much do tops and bottoms of digits differ at most
MIN_SHARED = 0.3  # of the narrower one's width: such strokes are of one character
MOST_HEIGHT = 25.0  # rows for all ink, where small letters are high enough then
SHORTENED = 0.6  # of their length: loops above and below are at least as long
MARGIN = 4  # columns left and right of the ink
MOST_COLUMNS = 28 * 120
LARGEST = 4096  # pixels: the longer side of a picture
LEAST = 1e-6  # of an extent: a single dot has none

LEVELS = 80  # at which the ink of a line is counted
DENSE = 0.5  # of the most ink at a level: so much there is in all of small letters
STEEPEST = 0.15  # rows a column: how much a line rises or falls at most
LEVELLER = 1.03  # times as dense is its ink along its slope, or it is level
SLANTS = np.linspace(-0.6, 1.2, 37)  # columns a row: how far letters may lean, to the right mostly
USUAL_SLANT = 0.15
MAX_POINTS = 4000  # that are looked at, to place a line
SLANT_LENGTH = 6  # x-heights: a longer line shows how far its letters lean
USUAL_WIDTH = 0.8  # x-heights, from one place to the next where strokes cross half of an x-height
MAX_STRETCH = 1.6  # times as wide do narrow letters become at most
REACH = 1.5  # x-heights above and below small letters: ink elsewhere is not written on guides
MIN_FITTING = 0.8  # of the ink: so much is where guides allow

PARTED = 40  # levels at which ink is counted to tell two lines apart
MIN_VALLEY = 0.15  # of the ink at the fuller levels: less is between two lines of text
MIN_SECOND = 0.35  # of the ink of the fuller line: so much has the other one at least
MIN_OVERLAP = 0.5  # of the shorter line's width: so much of it is above or below the other
MIN_LENGTH = 1.5  # times as wide as high are both lines together


@dataclass(frozen=True)
class Scale:
    """How large a line becomes; the defaults are what networks are made for.

    Attributes
    ----------
    x_height : float
        Rows: how high small letters are.
    min_x_height : float
        Rows: how high they are at least, where long loops leave no room.
    pen : float
        Pixels of a scan: how wide strokes are.
    upright : float
        How much of their slant letters lose. More is read better in photographs of joined-up
        writing, and worse in single words: 0.7 is the best of both.
    """

    x_height: float = 10.0
    min_x_height: float = 9.0
    pen: float = PEN
    upright: float = 0.7


SCALE = Scale()


class Layout(NamedTuple):
    """Where a line stands in a picture or a drawing, and how it is scaled.

    A point (x, y) has the height y - slope * x, and goes to the column of x + slant * height.

    Attributes
    ----------
    slope, slant : float
        How much the line falls, and letters lean.
    x_top, baseline : float
        Heights: the top of small letters, and where they stand.
    scale : float
        Rows a unit.
    left, right : float
        The extent of the ink along the line, upright, in units.
    above, below : float
        What is left of the length of loops above and below small letters.
    stretch : float
        How many times as wide letters become.
    """

    slope: float
    slant: float
    x_top: float
    baseline: float
    scale: float
    left: float
    right: float
    above: float
    below: float
    stretch: float = 1.0

    @property
    def x_height(self) -> float:
        """Rows of small letters."""
        return (self.baseline - self.x_top) * self.scale

    @property
    def columns(self) -> int:
        return math.ceil((self.right - self.left) * self.scale * self.stretch) + 2 * MARGIN

    def move(self, points: np.ndarray) -> np.ndarray:
        """Return where points, float64 (N, 2), are in the line: columns and rows."""
        x, y = points.T
        height = y - self.slope * x
        along = x + self.slant * height - self.left
        columns = along * self.scale * self.stretch + MARGIN
        rows = (height - self.baseline) * self.scale
        tall = rows < -self.x_height
        rows = np.where(tall, (rows + self.x_height) * self.above - self.x_height, rows)
        rows = np.where(rows > 0, rows * self.below, rows)
        return np.stack([columns, rows + BASELINE], 1)


def prepare_line(image, guides: tuple[float, float] | None = None) -> torch.Tensor:
    """Prepare a picture or a drawing of one line.

    Parameters
    ----------
    image : path, PIL.Image.Image, array, tensor, or list of strokes
        As for `prepare`. A picture 28 pixels high and light on black is taken to be prepared.
    guides : tuple of float, optional
        The y of the top of small letters and of the baseline that was written on, in the units of
        the image. Without them, or where most ink is elsewhere, both are estimated from where most
        ink is, as is how much the line rises or falls.

    Returns
    -------
    torch.Tensor
        uint8, (28, W), white ink on black.

    Raises
    ------
    LabError
        If the image cannot be read, there is no ink in it, it shows several lines below each
        other, or the guides are not two heights.
    """
    if guides is not None:
        guides = _heights(guides)
    if isinstance(image, list | tuple):
        return prepare_strokes(curves_of(list(image)), guides)
    ink, is_prepared = ink_of(image, LARGEST)
    if is_prepared and len(ink) == HEIGHT:
        return torch.from_numpy(ink)
    return prepare_ink(ink, guides)


def _heights(guides) -> tuple[float, float]:
    try:
        x_top, baseline = map(float, guides)
        if -math.inf < x_top < baseline < math.inf:
            return x_top, baseline
    except (TypeError, ValueError):
        pass
    raise LabError(f"guides={show(guides)} must be the top of small letters and the baseline.")


def prepare_strokes(
    curves: list[np.ndarray], guides: tuple[float, float] | None = None, scale: Scale = SCALE
) -> torch.Tensor:
    """Prepare the strokes of a line, float64 (N, 2) each: uint8 (28, W)."""
    layout = place_strokes(curves, guides, scale)
    moved = [layout.move(curve) * SCAN for curve in curves]
    return _scale_down(draw(moved, (layout.columns * SCAN, HEIGHT * SCAN), scale.pen))


def place_strokes(
    curves: list[np.ndarray], guides: tuple[float, float] | None = None, scale: Scale = SCALE
) -> Layout:
    """Find where the strokes of a line stand, float64 (N, 2) each, as `place_line` does.

    A slant counts fully only where a line is long enough to show it, and narrow letters are made
    wider: measured by `benchmarks/words.py`.
    """
    guides = guides or _find_flat_guides(curves)
    points, ends = _cross_strokes(curves), np.concatenate(curves)
    layout = place_line(points, ends, guides, scale)
    height = layout.baseline - layout.x_top
    length = (layout.right - layout.left) / height
    if length < SLANT_LENGTH + 1:
        upright = scale.upright * max(length - 1, 0) / SLANT_LENGTH
        layout = place_line(points, ends, guides, replace(scale, upright=upright))
    crossings = 0
    for curve in curves:
        is_above = curve[:, 1] - layout.slope * curve[:, 0] < layout.baseline - height / 2
        crossings += np.count_nonzero(np.diff(is_above))
    narrow = USUAL_WIDTH * crossings * height / max(layout.right - layout.left, LEAST)
    stretch = min(narrow, MAX_STRETCH, MOST_COLUMNS / layout.columns)
    return layout._replace(stretch=max(stretch, 1.0))


def prepare_ink(
    ink: np.ndarray, guides: tuple[float, float] | None = None, scale: Scale = SCALE
) -> torch.Tensor:
    """Prepare the ink of a line, uint8 (H, W), light on black: uint8 (28, W)."""
    threshold = otsu(ink)
    mask = ink > threshold
    points = _cross_mask(mask)
    layout = place_line(points, points, guides, scale)
    # Points are at the left of strokes.
    layout = layout._replace(right=layout.right + measure_pen_width(mask))
    image, units, threshold = _shrink(ink, mask, layout.scale * SCAN, threshold)
    scan = _thicken(_warp(image, units, layout) > threshold, scale.pen)
    return _scale_down(scan.astype(np.float32))


# Where a line stands.


def _cross_mask(mask: np.ndarray) -> np.ndarray:
    """Return the points at which rows enter ink, float64 (N, 2): x and y."""
    enters = mask.copy()
    enters[:, 1:] &= ~mask[:, :-1]
    y, x = np.nonzero(enters)
    return np.stack([x, y], 1) + 0.5


def _find_flat_guides(curves: list[np.ndarray]) -> tuple[float, float] | None:
    """Return the guides of strokes that are all about as high, as those of digits; or None."""
    sides = np.array([[*curve.min(0), *curve.max(0)] for curve in curves])
    sides = sides[sides[:, 0].argsort()]  # left, top, right and bottom
    groups = [sides[0]]  # of strokes above each other
    for left, top, right, bottom in sides[1:]:
        first, high, last, low = groups[-1]
        if min(right, last) - left > MIN_SHARED * min(right - left, last - first):
            groups[-1] = np.array([first, min(top, high), max(right, last), max(bottom, low)])
        else:
            groups.append(np.array([left, top, right, bottom]))
    tops, bottoms = np.array(groups)[:, 1], np.array(groups)[:, 3]
    top, bottom = np.median(tops), np.median(bottoms)
    spread = FLAT_SPREAD * (bottom - top)
    if len(groups) < 2 or max(np.ptp(tops), np.ptp(bottoms)) > spread:
        return None
    return bottom - (bottom - top) * SCALE.x_height / FLAT_HEIGHT, bottom


def _cross_strokes(curves: list[np.ndarray], rows: int = 300) -> np.ndarray:
    """Return the points at which strokes cross rows, float64 (N, 2), about so many rows high."""
    points = np.concatenate(curves)
    width, height = np.ptp(points, axis=0)
    step = max(height, width / 20, LEAST) / rows
    crossed = []
    for curve in curves:
        for start, end in pairwise(curve):
            count = min(round(abs(end[1] - start[1]) / step), rows)
            shares = (np.arange(count)[:, None] + 0.5) / max(count, 1)
            crossed.append(start + (end - start) * shares)
    found = np.concatenate(crossed) if crossed else points
    # What is flat crosses none.
    return found if len(found) >= 30 else np.concatenate([found, points])


def place_line(
    points: np.ndarray,
    ends: np.ndarray,
    guides: tuple[float, float] | None = None,
    scale: Scale = SCALE,
) -> Layout:
    """Find where a line stands.

    Parameters
    ----------
    points : numpy.ndarray
        float64, (N, 2): x and y where ink crosses rows.
    ends : numpy.ndarray
        float64, (M, 2): points that reach as far as the ink does.
    guides : tuple of float, optional
        As for `prepare_line`.
    scale : Scale
        How large it becomes.

    Raises
    ------
    LabError
        If there are several lines below each other.
    """
    points = points[:: max(1, len(points) // MAX_POINTS)]
    if guides is not None and not _fit_guides(points[:, 1], *guides):
        guides = None
    slope = _find_slope(points) if guides is None else 0.0
    points, ends = (
        np.stack([some[:, 0], some[:, 1] - slope * some[:, 0]], 1) for some in (points, ends)
    )
    _check_one_line(points)
    top, bottom = ends[:, 1].min(), ends[:, 1].max()
    x_top, baseline = guides or _find_guides(points[:, 1], top, bottom)
    x_height = max(baseline - x_top, LEAST)
    slant = scale.upright * _find_slant(points, x_height)
    along = ends[:, 0] + slant * ends[:, 1]
    left, right = along.min(), along.max()
    rows = max(MOST_HEIGHT / max(bottom - top, LEAST), scale.min_x_height / x_height)
    rows = min(rows, scale.x_height / x_height, MOST_COLUMNS / max(right - left, LEAST))
    room = BASELINE - x_height * rows - 1, HEIGHT - BASELINE - 1
    above, below = (
        min(max(have / max(need * rows, LEAST), SHORTENED), 1.0)
        for have, need in zip(room, (x_top - top, bottom - baseline), strict=True)
    )
    return Layout(slope, slant, x_top, baseline, rows, left, right, above, below)


def _fit_guides(heights: np.ndarray, x_top: float, baseline: float) -> bool:
    """Tell whether most ink, float64 (N,), is where text on the guides would be."""
    reach = REACH * (baseline - x_top)
    return bool(np.mean((heights > x_top - reach) & (heights < baseline + reach)) >= MIN_FITTING)


def _find_slope(points: np.ndarray) -> float:
    """Return how much a line falls: the slope along which most ink is at the same heights."""
    x, y = points.T
    width, height = np.ptp(x), max(np.quantile(y, 0.95) - np.quantile(y, 0.05), LEAST)
    if width < 3 * height or len(x) < 20:
        return 0.0
    steepest = min(STEEPEST, 2 * height / width)

    def concentrate(slope: float) -> float:
        heights = y - slope * (x - x.mean())
        places = ((heights - heights.min()) / height * 40).astype(int)
        counts = np.convolve(np.bincount(places), [0.25, 0.5, 0.25], "same")
        return (counts**2).sum() * (1 - 0.02 * abs(slope) / STEEPEST)

    best = max(np.linspace(-steepest, steepest, 31), key=concentrate)
    return best if concentrate(best) > LEVELLER * concentrate(0.0) else 0.0


def _find_guides(heights: np.ndarray, top: float, bottom: float) -> tuple[float, float]:
    """Return the top of small letters and the baseline, from the heights at which ink is.

    Parameters
    ----------
    heights : numpy.ndarray
        float64, (N,).
    top, bottom : float
        The extent of all ink.
    """
    step = max(bottom - top, LEAST) / LEVELS
    counts = np.histogram(heights, top + step * np.arange(LEVELS + 1))[0]
    counts = np.convolve(np.pad(counts, 2, "edge"), np.ones(5) / 5, "valid")
    is_dense = counts >= DENSE * counts.max()
    first = last = int(counts.argmax())
    # Some levels may have less, such as the middle of letters that are all o.
    while first > 0 and is_dense[max(first - 3, 0) : first].any():
        first -= 1
    while last < LEVELS - 1 and is_dense[last + 1 : last + 4].any():
        last += 1
    last += 1
    if last - first > FLAT * LEVELS:
        # One zone: so high that all of it becomes `FLAT_HEIGHT` rows.
        return bottom - (bottom - top) * SCALE.x_height / FLAT_HEIGHT, bottom
    return top + first * step, top + last * step


def _find_slant(points: np.ndarray, x_height: float) -> float:
    """Return how far letters lean to the right: when set upright, most ink is in few columns."""
    if len(points) <= 10:
        return 0.0
    x, y = points.T

    def concentrate(slant: float) -> float:
        along = x + slant * y
        counts = np.bincount(((along - along.min()) / x_height * 8).astype(int))
        counts = counts[:-1] + counts[1:] if len(counts) > 1 else counts
        return (counts.astype(float) ** 2).sum() * (1 - 0.05 * abs(slant - USUAL_SLANT))

    return max(SLANTS, key=concentrate)


def _check_one_line(points: np.ndarray) -> None:
    """Raise an error if a level with hardly any ink parts two lines of text.

    Parameters
    ----------
    points : numpy.ndarray
        float64, (N, 2): where level ink crosses rows.
    """
    x, y = points.T
    width, height = np.ptp(points, axis=0)
    if width < MIN_LENGTH * height or height < LEAST:
        return
    counts = np.histogram(y, PARTED)[0]
    counts = np.convolve(counts, np.ones(3) / 3, "same")
    over, under = np.maximum.accumulate(counts), np.maximum.accumulate(counts[::-1])[::-1]
    lower = np.minimum(over, under)
    valleys = np.flatnonzero((counts <= MIN_VALLEY * lower) & (lower >= MIN_SECOND * counts.max()))
    for valley in valleys:
        is_over = y < y.min() + (valley + 0.5) / PARTED * height
        if min(is_over.mean(), 1 - is_over.mean()) < MIN_SECOND / 2:
            continue
        (first, last), (other_first, other_last) = (
            np.quantile(x[chosen], (0.05, 0.95)) for chosen in (is_over, ~is_over)
        )
        shared = min(last, other_last) - max(first, other_first)
        if shared >= MIN_OVERLAP * min(last - first, other_last - other_first) > 0:
            raise LabError(
                "image shows several lines of text, one below the other: cut out one of them."
            )


# What it looks like.


def _shrink(
    ink: np.ndarray, mask: np.ndarray, scale: float, threshold: int
) -> tuple[Image.Image, tuple[float, float], int]:
    """Return ink about as large as the scan, so that a warp loses nothing.

    Parameters
    ----------
    ink, mask : numpy.ndarray
        uint8 and bool, (H, W): the ink, and what is above its threshold.
    scale : float
        How many times as large the scan is.
    threshold : int
        Of the ink.

    Returns
    -------
    tuple
        The picture, its pixels for each pixel of the ink, across and down, and its threshold.
    """
    height, width = ink.shape
    if scale >= 1:
        return Image.fromarray(ink), (1.0, 1.0), threshold
    whole = int(1 / scale)
    if whole >= 2 and measure_pen_width(mask) * scale < SCAN:
        # Thin strokes would be lost between the pixels.
        blocks = np.pad(mask, ((0, -height % whole), (0, -width % whole)))
        blocks = blocks.reshape(len(blocks) // whole, whole, -1, whole).max((1, 3))
        return Image.fromarray(blocks.astype(np.uint8) * 255), (1 / whole, 1 / whole), 127
    size = max(1, round(width * scale)), max(1, round(height * scale))
    image = Image.fromarray(ink).resize(size, Image.Resampling.BICUBIC)
    # What is scaled down is fainter, so it has a threshold of its own.
    return image, (size[0] / width, size[1] / height), otsu(np.asarray(image))


def _warp(image: Image.Image, units: tuple[float, float], layout: Layout) -> np.ndarray:
    """Return a picture level, upright and scaled: uint8 (3 * 28, 3 * W).

    Parameters
    ----------
    image : PIL.Image.Image
        Light ink on black.
    units : tuple of float
        Its pixels for each unit of the layout, across and down.
    layout : Layout
        Where the line stands.
    """
    middle = round(layout.x_height * SCAN)
    rest = round(BASELINE * SCAN) - middle, round((HEIGHT - BASELINE) * SCAN)
    # What lies above and below small letters is drawn in full length and then shortened.
    above = math.ceil(max(rest[0], 0) / layout.above)
    below = math.ceil(rest[1] / layout.below)
    tall = above + middle + below
    pixel = 1 / (layout.scale * SCAN)
    origin = layout.baseline - (above + middle) * pixel
    # From pixels of the scan to the picture: height = origin + v, x = u - slant * height.
    across = (pixel, -layout.slant * pixel, layout.left - MARGIN / layout.scale)
    across = (*across[:2], across[2] - layout.slant * origin)
    down = tuple(layout.slope * value for value in across)
    down = (down[0], down[1] + pixel, down[2] + origin)
    inverse = [value * units[0] for value in across] + [value * units[1] for value in down]
    width = layout.columns * SCAN
    sheet = image.transform(
        (width, tall), Image.Transform.AFFINE, inverse, Image.Resampling.BICUBIC
    )
    cuts = (0, above, above + middle, tall)
    parts = [
        np.asarray(sheet.resize((width, rows), Image.Resampling.BICUBIC, (0, start, width, end)))
        for (start, end), rows in zip(pairwise(cuts), (rest[0], middle, rest[1]), strict=True)
        if rows > 0 and end > start
    ]
    return np.concatenate(parts)[-HEIGHT * SCAN :]


def _thicken(bitmap: np.ndarray, pen: float) -> np.ndarray:
    """Thicken strokes that are thinner than a pen, in a bitmap that keeps its size."""
    missing = round((pen - measure_pen_width(bitmap)) / 2)
    return widen(bitmap, missing) if missing >= 1 else bitmap


def _scale_down(scan: np.ndarray) -> torch.Tensor:
    """Return a scan, (3 * 28, 3 * W) from 0 to 1, as uint8 (28, W)."""
    sheet = Image.fromarray((scan * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1))
    return torch.from_numpy(np.array(sheet.reduce(SCAN)))
