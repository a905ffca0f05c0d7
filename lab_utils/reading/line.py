"""Turns a picture or strokes of one handwritten line into an image as lines for training are."""

import math
from itertools import pairwise

import numpy as np
import torch
from PIL import Image, ImageFilter

from lab_utils.errors import LabError
from lab_utils.reading.masks import extent, otsu
from lab_utils.reading.pen import curves_of, draw
from lab_utils.reading.picture import as_thick_as_a_pen, ink_of

HEIGHT = 28  # pixels of a line
SCAN = 3  # times as large is a line scanned, so that a pen of 6 pixels there is 2 wide
X_HEIGHT, BASELINE = 10.0, 20.0  # rows of a line: how high small letters are, where they stand
FLAT = 0.75  # of the ink's height: a zone of small letters as high as this is all there is
FLAT_HEIGHT = 15.0  # rows for such a line, which is all small letters, all capitals or all digits
MOST_HEIGHT = 25.0  # rows for all ink
MARGIN = 4  # columns left and right of the ink
MOST_COLUMNS = 28 * 120
LARGEST = 4096  # pixels: the longer side of a picture
LEAST = 1e-6  # of an extent: a single dot has none


def prepare_line(image, guides: tuple[float, float] | None = None) -> torch.Tensor:
    """Prepare a picture or a drawing of one line.

    Parameters
    ----------
    image : path, PIL.Image.Image, array, tensor, or list of strokes
        As for `prepare`. A picture 28 pixels high and light on black is taken to be prepared.
    guides : tuple of float, optional
        The y of the top of small letters and of the baseline that was written on, in the units of
        the image. Without them both are estimated from where most ink is.

    Returns
    -------
    torch.Tensor
        uint8, (28, W), white ink on black.

    Raises
    ------
    LabError
        If the image cannot be read, there is no ink in it, or the guides are not two heights.
    """
    if guides is not None:
        guides = _heights(guides)
    if isinstance(image, list | tuple):
        return _from_strokes(list(image), guides)
    ink, is_prepared = ink_of(image, LARGEST)
    if is_prepared and len(ink) == HEIGHT:
        return torch.from_numpy(ink)
    return _from_picture(ink, guides)


def _heights(guides) -> tuple[float, float]:
    try:
        x_top, baseline = map(float, guides)
        if -math.inf < x_top < baseline < math.inf:
            return x_top, baseline
    except (TypeError, ValueError):
        pass
    raise LabError(f"guides={guides!r} must be the top of small letters and the baseline.")


def _from_strokes(strokes: list, guides: tuple[float, float] | None) -> torch.Tensor:
    curves = curves_of(strokes)
    points = np.concatenate(curves)
    (left, top), (right, bottom) = points.min(0), points.max(0)
    if guides is None:
        # How much ink there is at each height, by the length of the strokes there.
        steps = [np.linspace(a, b, 20) for curve in curves for a, b in pairwise(curve)]
        heights = np.concatenate([points, *steps])[:, 1]
        profile = np.histogram(heights, 60, (top, max(bottom, top + LEAST)))[0]
        guides = _estimated(profile, top, (bottom - top) / 60)
    scale, origin = _placed(guides, top, bottom, right - left)
    curves = [
        np.stack([(c[:, 0] - left) * scale + MARGIN, (c[:, 1] - origin) * scale], 1) * SCAN
        for c in curves
    ]
    width = int(np.ceil((right - left) * scale)) + 2 * MARGIN
    return _scaled_down(draw(curves, (width * SCAN, HEIGHT * SCAN)))


def _from_picture(ink: np.ndarray, guides: tuple[float, float] | None) -> torch.Tensor:
    mask = ink > otsu(ink)
    top, bottom, left, right = extent(mask)
    if guides is None:
        guides = _estimated(mask[top:bottom].sum(1), top, 1.0)
    scale, origin = _placed(guides, top, bottom, right - left)
    region = Image.fromarray(ink[top:bottom, left:right])
    size = [max(1, round(side * scale * SCAN)) for side in region.size]
    resized = np.asarray(region.resize(size, Image.Resampling.BICUBIC))
    # What is scaled down is fainter, so it has a threshold of its own.
    scan = as_thick_as_a_pen(resized > (otsu(resized) if size[1] < region.height else otsu(ink)))
    height, width = scan.shape
    sheet = np.zeros((HEIGHT * SCAN, width + 2 * MARGIN * SCAN), np.float32)
    # Thickening has added as much above as below.
    first = round((top - origin) * scale * SCAN) - (height - size[1]) // 2
    first = min(max(first, 0), max(len(sheet) - height, 0))
    part = scan[: len(sheet) - first]
    sheet[first : first + len(part), MARGIN * SCAN :][:, :width] = part
    return _scaled_down(sheet)


def _estimated(profile: np.ndarray, top: float, step: float) -> tuple[float, float]:
    """Return the top of small letters and the baseline, from how much ink there is at each height.

    Parameters
    ----------
    profile : numpy.ndarray
        Ink, (N,), from the top of all ink to its bottom.
    top, step : float
        The height of the first entry, and from one to the next.
    """
    smooth = np.convolve(profile, np.ones(3) / 3, "same")
    dense = np.flatnonzero(smooth >= smooth.max() / 2)
    first, last = dense[0], dense[-1] + 1
    if last - first > FLAT * len(profile):
        # One zone: so high that all of it becomes `FLAT_HEIGHT` rows.
        height = len(profile) * X_HEIGHT / FLAT_HEIGHT
        return top + (len(profile) - height) * step, top + len(profile) * step
    return top + first * step, top + last * step


def _placed(guides, top: float, bottom: float, width: float) -> tuple[float, float]:
    """Return rows by unit, and the y of the line's first row."""
    x_top, baseline = guides
    scale = X_HEIGHT / max(baseline - x_top, LEAST)
    height = max(bottom - top, LEAST)
    scale = min(scale, MOST_HEIGHT / height, MOST_COLUMNS / max(width, LEAST))
    origin = baseline - BASELINE / scale
    # All ink has its place, if need be off the baseline.
    origin = min(origin, top - 1 / scale)
    return scale, max(origin, bottom - (HEIGHT - 1) / scale)


def _scaled_down(scan: np.ndarray) -> torch.Tensor:
    """Return a scan, (3 * 28, 3 * W) from 0 to 1, as uint8 (28, W)."""
    sheet = Image.fromarray((scan * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1))
    return torch.from_numpy(np.array(sheet.reduce(SCAN)))
