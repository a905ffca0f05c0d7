"""Turns any picture of a character, or the strokes of a pen, into an image as EMNIST has them.

EMNIST was made of binary scans (Cohen et al. 2017): blur, cut to the ink, centre in a square with a
border, scale to 28x28. A picture or a drawing first becomes such a scan, of the usual size and pen.
"""

from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image

from text_recognizer.reading.masks import extent, measure_pen_width, otsu, widen
from text_recognizer.reading.pen import FINE, PEN, curves_of, draw
from text_recognizer.reading.picture import Step, as_thick_as_a_pen, find_ink, is_black

SCAN = 60  # pixels: the longer side of a character in a scan
BORDER = 2  # pixels round a scan, before it is scaled down
BLUR = np.exp(-(np.arange(-4, 5) ** 2) / 2)  # a Gaussian of 1 pixel
MIN_SCANNED = 1.5  # pixels of a scan: thinner strokes are thickened before they are scaled down
MIN_PREPARED = 16  # pixels: the longer side of a character in an image that is prepared already
MIN_DOT = 0.6  # of its extent: how much of it a dot fills, which may be smaller
MAX_OFF_CENTRE = 3  # pixels: how far from the middle it is at most
MIN_SOFT = 0.1  # of its ink: how much is grey at least


def prepare(image) -> torch.Tensor:
    """Prepare a picture or a drawing of one character as EMNIST's images were.

    Parameters
    ----------
    image : path, PIL.Image.Image, array, tensor, or list of strokes
        A picture of any size, dark on light or light on dark, in any light, on any paper; as an
        array or tensor (H, W), or with 1, 3 or 4 channels first or last, of any numbers: from 0 to
        1, 8 bits, 16 bits, and so on. Or strokes: a list with one sequence of points a stroke, each
        point (x, y) or longer, y downwards, in any unit. A picture of 28x28 with a character as
        EMNIST has them, light on black, in the middle, with soft edges, passes unchanged.

    Returns
    -------
    torch.Tensor
        uint8, (28, 28), white ink on black.

    Raises
    ------
    LabError
        If the image cannot be read, or there is no ink in it.

    References
    ----------
    Cohen et al., "EMNIST: an extension of MNIST to handwritten letters", 2017.
    """
    *_, (_, image) = prepare_in_steps(image)
    return torch.tensor(image)


def prepare_in_steps(image) -> Iterator[Step]:
    """Prepare a picture or a drawing of one character, step by step.

    Parameters
    ----------
    image
        As for `prepare`, which takes the last step.

    Yields
    ------
    Step
        The last one is what the network sees: uint8, (28, 28), white ink on black.

    Raises
    ------
    LabError
        If the image cannot be read, or there is no ink in it.
    """
    if isinstance(image, list | tuple):
        scan = _draw_scan(list(image))
        yield Step("drawn with a pen", scan)
    else:
        for step in find_ink(image):
            yield step
            if _is_prepared(step.picture):
                return
        cut = _cut_to_ink(step.picture)
        yield Step("cut to the ink", cut)
        scan = _scan(cut)
        yield Step("as thick as a pen", scan)
    yield Step("as EMNIST has it", as_emnist(scan).numpy())


def _is_prepared(grey: np.ndarray) -> bool:
    """Tell whether a picture, uint8 (H, W), is one of EMNIST's, or might be."""
    if grey.shape != (28, 28) or grey.dtype != np.uint8 or not is_black(grey):
        return False
    ink = grey > 127
    if not ink.any():
        return False
    top, bottom, left, right = extent(ink)
    off_centre = max(abs(top + bottom - 28), abs(left + right - 28)) / 2
    soft = np.count_nonzero((grey > 10) & (grey < 245)) / np.count_nonzero(grey > 10)
    filled = ink[top:bottom, left:right].mean()
    is_whole = max(bottom - top, right - left) >= MIN_PREPARED or filled >= MIN_DOT
    return bool(is_whole and off_centre <= MAX_OFF_CENTRE and soft >= MIN_SOFT)


def _cut_to_ink(ink: np.ndarray) -> np.ndarray:
    """Return the part of a picture, uint8 (H, W), with ink, and a pixel round it."""
    top, bottom, left, right = extent(ink > otsu(ink))
    return ink[max(top - 1, 0) : bottom + 1, max(left - 1, 0) : right + 1]


def _scan(ink: np.ndarray) -> np.ndarray:
    """Scan ink: uint8 (H, W), light on black, to a bitmap of `SCAN` pixels with a pen's strokes."""
    threshold = otsu(ink)
    mask = ink > threshold
    top, bottom, left, right = extent(mask)
    scale = SCAN / max(bottom - top, right - left)
    # Thin strokes of large letters would be lost between the pixels of a scan.
    missing = round((MIN_SCANNED / scale - measure_pen_width(mask)) / 2)
    if scale < 1 and missing >= 1:
        ink = widen(np.pad(ink, missing), missing)
    size = [max(1, round(side * scale)) for side in ink.shape[::-1]]
    scan = np.asarray(Image.fromarray(ink).resize(size, Image.Resampling.BICUBIC))
    # What is scaled down is fainter, so it has a threshold of its own.
    return as_thick_as_a_pen(scan > (otsu(scan) if scale < 1 else threshold))


def _draw_scan(strokes: list) -> np.ndarray:
    """Draw strokes with a round pen: float32 (H, W) from 0 to 1, the ink at most `SCAN` pixels."""
    curves = curves_of(strokes)
    points = np.concatenate(curves)
    low, high = points.min(0), points.max(0)
    scale = (SCAN - PEN) / max((high - low).max(), 1e-9)
    size = np.rint((high - low) * scale * FINE).astype(int) + PEN * FINE
    return draw([(curve - low) * scale + PEN / 2 for curve in curves], -(-size // FINE))


def as_emnist(scan: np.ndarray) -> torch.Tensor:
    """Convert a scan as EMNIST's authors did: (H, W) from 0 to 1, to uint8 (28, 28)."""
    blurred = np.pad(scan.astype(np.float32) * 255, len(BLUR) // 2)
    for axis in (0, 1):
        blurred = np.apply_along_axis(np.convolve, axis, blurred, BLUR / BLUR.sum(), "same")
    return torch.from_numpy(shrink(blurred))


def shrink(blurred: np.ndarray) -> np.ndarray:
    """Centre a blurred scan in a square with a border: (H, W) from 0 to 255, to uint8 (28, 28)."""
    height, width = blurred.shape
    side = max(height, width) + 2 * BORDER
    square = np.zeros((side, side), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = blurred
    return np.array(Image.fromarray(square).resize((28, 28), Image.Resampling.BICUBIC))
