"""Turns a picture or strokes of one handwritten line into an image as lines for training are.

Small letters are what all lines have, so they set the scale: the line is deskewed, made more
upright, and scaled until its x-height is that of training. Long ascenders and descenders are
shortened, and what sticks out even then is cut off.
"""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple, cast

import numpy as np
import torch
from PIL import Image, ImageFilter

from text_recognizer.errors import LabError, show
from text_recognizer.reading.masks import Ink, find_runs, measure_pen_width
from text_recognizer.reading.pen import PEN_WIDTH, Curves, draw, read_curves, thicken
from text_recognizer.reading.picture import MIN_CONTRAST, Step, find_ink, has_black_edges

HEIGHT = 28  # rows of a line
LINE_SCAN = 3  # times its size: a line is scanned so large, and a pen of 6 pixels becomes 2 wide
BASELINE = 20.0  # the row of a line where small letters stand
X_HEIGHT = 10.0  # rows of small letters, where ascenders and descenders leave room
MIN_X_HEIGHT = 9.0  # rows of small letters, however long ascenders and descenders are
MAX_INK_HEIGHT = 25.0  # rows of all ink, unless the x-height would be too low then
MIN_FLAT = 0.75  # of the ink's height: a dense zone as high as this is all there is
FLAT_HEIGHT = 15.0  # rows of ink that is all small letters, all capitals or all digits
FLAT_SPREAD = 0.3  # of the height of digits: so much do their tops and bottoms differ at most
MIN_SHARED = 0.3  # of the narrower stroke's width: such strokes are of one character
MIN_SHORTENED = 0.6  # of the length of ascenders and descenders: so much is left of them
UPRIGHT = 0.7  # of their slant: so much of it letters lose
MARGIN = 4  # columns left and right of the ink
MAX_COLUMNS = 28 * 120  # of ink
MAX_LINE_SIDE = 4096  # pixels: pictures with a longer side are scaled down first
MIN_EXTENT = 1e-6  # units, instead of the extent of a single dot, which is 0

CROSSED_ROWS = 300  # rows that are laid across strokes: ink is where they meet
MIN_CROSSED = 30  # points where rows meet strokes: flat strokes have fewer, and add their own
MAX_POINTS = 4000  # points of ink that place a line
LEVELS = 80  # of the ink's height, at which ink is counted to find the x-height
MIN_DENSITY = 0.5  # of the most ink at a level: so much is at all levels of small letters
MAX_SLOPE = 0.15  # rows a column: how much a line rises or falls
SLOPES = 31  # slopes that are tried
SLOPE_LEVELS = 40  # of the ink's height, at which ink is counted to find the slope
SLOPE_PENALTY = 0.02  # of the score, for the steepest slope
MIN_GAIN = 1.03  # times the score of a level line, or it is level
SLANTS = np.linspace(-0.6, 1.2, 37)  # columns a row: how far letters may lean, to the right mostly
USUAL_SLANT = 0.15  # columns a row
SLANT_COLUMNS = 8  # columns an x-height, in which ink is counted to find the slant
SLANT_PENALTY = 0.05  # of the score, for each column a row from the usual slant
SLANT_LENGTH = 6  # x-heights: a longer line shows how far its letters lean
USUAL_WIDTH = 0.8  # x-heights, between places where strokes cross half of an x-height
MAX_STRETCH = 1.6  # times: how much wider narrow letters become
MAX_REACH = 1.5  # x-heights above and below small letters: other ink was not written on the guides
MIN_FITTING = 0.8  # of the ink: so much is where guides allow

GAP_LEVELS = 40  # of the ink's height, at which ink is counted to tell two lines apart
MAX_VALLEY = 0.15  # of the ink at the fuller levels: more is not a gap between two lines
MIN_SECOND = 0.35  # of the ink of the fuller line: so much has the other one at least
MIN_OVERLAP = 0.5  # of the shorter line's width: so much of it is above or below the other
MIN_LENGTH = 1.5  # times as wide as high: two lines are that together at least


class Scale(NamedTuple):
    """How large a line becomes; the defaults are what networks are made for.

    The x-heights are in rows. The pen, in pixels of a scan, is how wide strokes are at least.
    `upright` is how much of their slant letters lose: more is read better in photographs of
    joined-up writing, and worse in single words, and 0.7 is the best of both.
    """

    x_height: float = X_HEIGHT
    min_x_height: float = MIN_X_HEIGHT
    pen: float = PEN_WIDTH
    upright: float = UPRIGHT


SCALE = Scale()
Guides = tuple[float, float] | None  # y of the top of small letters and of the baseline


class Layout(NamedTuple):
    """Where a line stands in a picture or a drawing, and how it is scaled.

    A point (x, y) has the height y - slope * x, and goes to the column of x + slant * height.
    """

    slope: float  # how much the line falls
    slant: float  # how much letters lean
    x_top: float  # the height of the top of small letters
    baseline: float  # the height at which they stand
    scale: float  # rows a unit
    left: float  # the extent of the ink along the line, upright, in units
    right: float
    above: float  # what is left of the length of ascenders
    below: float  # ... and of descenders
    stretch: float = 1.0  # how many times as wide letters become

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


def prepare_line(image, guides: Guides = None) -> torch.Tensor:
    """Return a picture or a drawing of one line as networks get it: uint8, (28, W), white on black.

    Taught in notebook 5.

    Parameters
    ----------
    image : path, PIL.Image.Image, array, tensor, or list of strokes
        As for `prepare`. A picture 28 pixels high and light on black is taken to be prepared.
    guides : tuple of float, optional
        The y of the top of small letters and of the baseline that was written on, in the units of
        the image. Without them, or where most ink is elsewhere, both are estimated from where most
        ink is, as is how much the line rises or falls.

    Raises
    ------
    LabError
        If the image cannot be read, there is no ink in it, it shows several lines below each
        other, or the guides are not two heights.

    Examples
    --------
    >>> from lab_utils import prepare_line, sample_photo
    >>> prepare_line(sample_photo("line")).shape
    torch.Size([28, 165])
    """
    *_, step = prepare_line_in_steps(image, guides)
    return torch.tensor(step.picture)


def prepare_line_in_steps(image, guides: Guides = None) -> Iterator[Step]:
    """Prepare a picture or a drawing of one line: the last step is what `prepare_line` returns."""
    guides = check_guides(guides)
    if isinstance(image, list | tuple):
        line = prepare_strokes(read_curves(list(image)), guides)
    else:
        steps = find_ink(image, MAX_LINE_SIDE, is_line=True)
        yield (step := next(steps))
        grey = step.picture
        if len(grey) == HEIGHT and grey.max() >= MIN_CONTRAST and has_black_edges(grey):
            return  # as high as prepared lines are, and light on black
        for step in steps:
            yield step
        line = prepare_ink(cast(Ink, step.ink), guides)
    yield Step("as the network sees it", line.numpy())


def check_guides(guides) -> Guides:
    """Return the top of small letters and the baseline, or None; raise if they are neither."""
    if guides is None:
        return None
    try:
        x_top, baseline = map(float, guides)
        if -math.inf < x_top < baseline < math.inf:
            return x_top, baseline
    except (TypeError, ValueError):
        pass
    raise LabError(f"guides={show(guides)} must be the top of small letters and the baseline.")


def prepare_strokes(curves: Curves, guides: Guides = None, scale: Scale = SCALE) -> torch.Tensor:
    """Prepare the strokes of a line: uint8 (28, W)."""
    return draw_line(curves, place_strokes(curves, guides, scale), scale.pen)


def draw_line(curves: Curves, layout: Layout, pen_width: float = PEN_WIDTH) -> torch.Tensor:
    """Draw the strokes of a line where they stand: uint8 (28, W)."""
    moved = [layout.move(curve) * LINE_SCAN for curve in curves]
    return _scale_down(draw(moved, (layout.columns * LINE_SCAN, HEIGHT * LINE_SCAN), pen_width))


def place_strokes(curves: Curves, guides: Guides = None, scale: Scale = SCALE) -> Layout:
    """Find where the strokes of a line stand.

    A slant counts fully only where a line is long enough to show it, and narrow letters are made
    wider: measured by `benchmarks/words.py`.
    """
    ends = np.concatenate(curves)
    line = _find_line(_cross_strokes(curves), ends, guides or _find_flat_guides(curves))
    layout = _scale_line(line, ends, scale)
    height = layout.baseline - layout.x_top
    length = (layout.right - layout.left) / height
    if length < SLANT_LENGTH + 1:
        upright = scale.upright * max(length - 1, 0) / SLANT_LENGTH
        layout = _scale_line(line, ends, scale._replace(upright=upright))
    middle = layout.baseline - height / 2
    above = (curve[:, 1] - layout.slope * curve[:, 0] < middle for curve in curves)
    crossings = sum(int(np.count_nonzero(np.diff(is_above))) for is_above in above)
    narrow = USUAL_WIDTH * crossings * height / max(layout.right - layout.left, MIN_EXTENT)
    stretch = min(narrow, MAX_STRETCH, MAX_COLUMNS / layout.columns)
    return layout._replace(stretch=max(stretch, 1.0))


def prepare_ink(ink: Ink, guides: Guides = None, scale: Scale = SCALE) -> torch.Tensor:
    """Prepare the ink of a line: uint8 (28, W)."""
    y, x, _ = find_runs(ink.mask)
    points = np.stack([x, y], 1) + 0.5
    # A single row of pixels has no height: scaled by that, the line would fill the memory.
    ends = points if np.ptp(points[:, 1]) else np.concatenate([points - 0.5, points + 0.5])
    layout = _scale_line(_find_line(points, ends, guides), ends, scale)
    # Points are at the left of strokes.
    layout = layout._replace(right=layout.right + measure_pen_width(ink.mask))
    small, units = _shrink(ink, layout.scale * LINE_SCAN)
    scan = _warp(small.grey, units, layout) > small.threshold
    return _scale_down(thicken(scan, scale.pen, grow=False).astype(np.float32))


def _find_flat_guides(curves: Curves) -> Guides:
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


def _cross_strokes(curves: Curves) -> np.ndarray:
    """Return the points at which strokes cross rows, float64 (N, 2)."""
    points = np.concatenate(curves)
    width, height = np.ptp(points, axis=0)
    step = max(height, width / 20, MIN_EXTENT) / CROSSED_ROWS
    starts = np.concatenate([curve[:-1] for curve in curves])
    ends = np.concatenate([curve[1:] for curve in curves])
    rows = np.rint(np.abs(ends[:, 1] - starts[:, 1]) / step).clip(max=CROSSED_ROWS).astype(int)
    which = np.repeat(np.arange(len(rows)), rows)  # the piece of a stroke that each row crosses
    row = np.arange(len(which)) - np.repeat(rows.cumsum() - rows, rows)
    shares = ((row + 0.5) / rows[which])[:, None]
    found = starts[which] + (ends - starts)[which] * shares
    found = found if len(starts) else points
    return found if len(found) >= MIN_CROSSED else np.concatenate([found, points])


def _find_line(points: np.ndarray, ends: np.ndarray, guides: Guides) -> tuple[float, ...]:
    """Find a line's slope, the slant of its letters, the top of small ones, and the baseline."""
    points = points[:: max(1, len(points) // MAX_POINTS)]
    if guides:
        reach = MAX_REACH * (guides[1] - guides[0])
        fits = (points[:, 1] > guides[0] - reach) & (points[:, 1] < guides[1] + reach)
        guides = guides if np.mean(fits) >= MIN_FITTING else None
    slope = 0.0 if guides else _find_slope(points)
    points = np.stack([points[:, 0], points[:, 1] - slope * points[:, 0]], 1)
    _check_one_line(points)
    heights = ends[:, 1] - slope * ends[:, 0]
    x_top, baseline = guides or _find_guides(points[:, 1], heights.min(), heights.max())
    slant = _find_slant(points, max(baseline - x_top, MIN_EXTENT))
    return slope, slant, x_top, baseline


def _scale_line(line: tuple[float, ...], ends: np.ndarray, scale: Scale) -> Layout:
    """Scale a line so that its farthest points fit, and make it as upright as the scale says."""
    slope, slant, x_top, baseline = line
    slant *= scale.upright
    heights = ends[:, 1] - slope * ends[:, 0]
    along = ends[:, 0] + slant * heights
    (left, right), (top, bottom) = ((side.min(), side.max()) for side in (along, heights))
    x_height = max(baseline - x_top, MIN_EXTENT)
    rows = max(MAX_INK_HEIGHT / max(bottom - top, MIN_EXTENT), scale.min_x_height / x_height)
    rows = min(rows, scale.x_height / x_height, MAX_COLUMNS / max(right - left, MIN_EXTENT))
    room = BASELINE - x_height * rows - 1, HEIGHT - BASELINE - 1
    above, below = (
        min(max(have / max(need * rows, MIN_EXTENT), MIN_SHORTENED), 1.0)
        for have, need in zip(room, (x_top - top, bottom - baseline), strict=True)
    )
    return Layout(slope, slant, x_top, baseline, rows, left, right, above, below)


def _find_slope(points: np.ndarray) -> float:
    """Return how much a line falls: the slope along which most ink is at the same heights."""
    x, y = points.T
    width, height = np.ptp(x), max(np.quantile(y, 0.95) - np.quantile(y, 0.05), MIN_EXTENT)
    if width < 3 * height or len(x) < 20:  # too little to tell
        return 0.0
    steepest = min(MAX_SLOPE, 2 * height / width)

    def concentrate(slope: float) -> float:
        heights = y - slope * (x - x.mean())
        places = ((heights - heights.min()) / height * SLOPE_LEVELS).astype(int)
        counts = np.convolve(np.bincount(places), [0.25, 0.5, 0.25], "same")
        return (counts**2).sum() * (1 - SLOPE_PENALTY * abs(slope) / MAX_SLOPE)

    best = max(np.linspace(-steepest, steepest, SLOPES), key=concentrate)
    return best if concentrate(best) > MIN_GAIN * concentrate(0.0) else 0.0


def _find_guides(heights: np.ndarray, top: float, bottom: float) -> tuple[float, float]:
    """Return the top of small letters and the baseline, from the heights at which ink is."""
    step = max(bottom - top, MIN_EXTENT) / LEVELS
    counts = np.histogram(heights, top + step * np.arange(LEVELS + 1))[0]
    counts = np.convolve(np.pad(counts, 2, "edge"), np.ones(5) / 5, "valid")
    is_dense = counts >= MIN_DENSITY * counts.max()
    first, last = int(counts.argmax()), int(counts.argmax()) + 1
    # Some levels may have less, such as the middle of letters that are all o.
    while first > 0 and is_dense[max(first - 3, 0) : first].any():
        first -= 1
    while last < LEVELS and is_dense[last : last + 3].any():
        last += 1
    if last - first > MIN_FLAT * LEVELS:
        # One zone: so high that all of it becomes `FLAT_HEIGHT` rows.
        return bottom - (bottom - top) * X_HEIGHT / FLAT_HEIGHT, bottom
    return top + first * step, top + last * step


def _find_slant(points: np.ndarray, x_height: float) -> float:
    """Return how far letters lean to the right: when set upright, most ink is in few columns."""
    if len(points) <= 10:  # too few to tell
        return 0.0
    x, y = points.T

    def concentrate(slant: float) -> float:
        along = x + slant * y
        counts = np.bincount(((along - along.min()) / x_height * SLANT_COLUMNS).astype(int))
        counts = counts[:-1] + counts[1:] if len(counts) > 1 else counts
        return (counts.astype(float) ** 2).sum() * (1 - SLANT_PENALTY * abs(slant - USUAL_SLANT))

    return max(SLANTS, key=concentrate)


def _check_one_line(points: np.ndarray) -> None:
    """Raise an error if a level with hardly any ink parts two lines of text."""
    x, y = points.T
    width, height = np.ptp(points, axis=0)
    if width < MIN_LENGTH * height or height < MIN_EXTENT:
        return
    counts = np.histogram(y, GAP_LEVELS)[0]
    counts = np.convolve(counts, np.ones(3) / 3, "same")
    over, under = np.maximum.accumulate(counts), np.maximum.accumulate(counts[::-1])[::-1]
    lower = np.minimum(over, under)
    valleys = np.flatnonzero((counts <= MAX_VALLEY * lower) & (lower >= MIN_SECOND * counts.max()))
    for valley in valleys:
        is_over = y < y.min() + (valley + 0.5) / GAP_LEVELS * height
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


def _shrink(ink: Ink, scale: float) -> tuple[Ink, tuple[float, float]]:
    """Return ink about as large as its scan, and its pixels for each one before, across and down.

    A warp to a scan `scale` times as large looks at few pixels, and would lose what lies between.
    """
    height, width = ink.grey.shape
    if scale >= 1:
        return ink, (1.0, 1.0)
    whole = int(1 / scale)
    if whole >= 2 and measure_pen_width(ink.mask) * scale < LINE_SCAN:
        # Thin strokes would be lost between the pixels.
        blocks = np.pad(ink.mask, ((0, -height % whole), (0, -width % whole)))
        blocks = blocks.reshape(len(blocks) // whole, whole, -1, whole).max((1, 3))
        return Ink.measure(blocks.astype(np.uint8) * 255), (1 / whole, 1 / whole)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = Image.fromarray(ink.grey).resize(size, Image.Resampling.BICUBIC)
    # What is scaled down is fainter, so it has a threshold of its own.
    return Ink.measure(np.asarray(small)), (size[0] / width, size[1] / height)


def _warp(grey: np.ndarray, units: tuple[float, float], layout: Layout) -> np.ndarray:
    """Deskew and scale ink, so many pixels a unit of the layout: uint8 (3 * 28, 3 * W)."""
    middle = round(layout.x_height * LINE_SCAN)
    rest = round(BASELINE * LINE_SCAN) - middle, round((HEIGHT - BASELINE) * LINE_SCAN)
    # Ascenders and descenders are drawn in full length and then shortened.
    above = math.ceil(max(rest[0], 0) / layout.above)
    below = math.ceil(rest[1] / layout.below)
    tall = above + middle + below
    pixel = 1 / (layout.scale * LINE_SCAN)
    origin = layout.baseline - (above + middle) * pixel
    # From pixels of the scan to the picture: height = origin + v, x = u - slant * height.
    left = layout.left - MARGIN / layout.scale - layout.slant * origin
    across = np.array([pixel, -layout.slant * pixel, left])
    down = layout.slope * across + (0, pixel, origin)
    inverse = [*(across * units[0]), *(down * units[1])]
    width = layout.columns * LINE_SCAN
    sheet = Image.fromarray(grey).transform(
        (width, tall), Image.Transform.AFFINE, inverse, Image.Resampling.BICUBIC
    )
    cuts = (0, above, above + middle, tall)
    parts = [
        np.asarray(sheet.resize((width, rows), Image.Resampling.BICUBIC, (0, start, width, end)))
        for (start, end), rows in zip(pairwise(cuts), (rest[0], middle, rest[1]), strict=True)
        if rows > 0 and end > start
    ]
    return np.concatenate(parts)[-HEIGHT * LINE_SCAN :]


def _scale_down(scan: np.ndarray) -> torch.Tensor:
    """Return a scan, (3 * 28, 3 * W) from 0 to 1, as uint8 (28, W)."""
    sheet = Image.fromarray((scan * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1))
    return torch.from_numpy(np.array(sheet.reduce(LINE_SCAN)))
