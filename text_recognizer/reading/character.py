"""Turns any picture of a character, or the strokes of a pen, into an image as EMNIST has them.

EMNIST was made of binary scans (Cohen et al. 2017): blur, crop to the ink, centre in a square with
a border, scale to 28x28. A picture or a drawing first becomes such a scan, of the usual size and
pen width.
"""

import functools
from collections.abc import Iterator
from typing import cast

import numpy as np
import torch
from PIL import Image

from text_recognizer.reading.masks import Ink, find_extent, measure_pen_width, widen
from text_recognizer.reading.pen import OVERSAMPLING, PEN_WIDTH, draw, read_curves, thicken
from text_recognizer.reading.picture import Step, find_ink, has_black_edges

SCAN_SIZE = 60  # pixels: the longer side of a character in a scan
BORDER = 2  # pixels round a scan, before it is scaled down
BLUR = np.exp(-(np.arange(-4, 5) ** 2) / 2)  # a Gaussian of 1 pixel
MIN_SCANNED_PEN = 1.5  # pixels of a scan: thinner strokes are thickened before they are scaled down
MIN_DOT_FILL = 0.6  # of its extent: a character that fills so much is a dot, and may be smaller
MIN_PREPARED_SIZE, MAX_OFF_CENTRE = 16, 3  # pixels, of a character in an image that is prepared
MIN_SOFT = 0.1  # of the ink of an image that is prepared: so much is neither black nor white


def prepare(image) -> torch.Tensor:
    """Return a picture or a drawing of one character as EMNIST's: uint8, (28, 28), white on black.

    Taught in notebook 6.

    Parameters
    ----------
    image : path, PIL.Image.Image, array, tensor, or list of strokes
        A picture of any size, dark on light or light on dark, in any light, on any paper; as an
        array or tensor (H, W), or with 1, 3 or 4 channels first or last, of any numbers: from 0 to
        1, 8 bits, 16 bits, and so on. Or strokes: a list with one sequence of points a stroke, each
        point (x, y) or longer, y downwards, in any unit. What `prepare` returned passes unchanged,
        and so does a picture of 28x28 with a character as EMNIST has them: light on black, in the
        middle, with soft edges.

    Raises
    ------
    LabError
        If the image cannot be read, or there is no ink in it.

    References
    ----------
    Cohen et al., "EMNIST: an extension of MNIST to handwritten letters", 2017.

    Examples
    --------
    >>> from lab_utils import prepare, sample_photo
    >>> prepare(sample_photo()).shape
    torch.Size([28, 28])
    """
    if getattr(image, "is_prepared", False):
        return image
    *_, step = prepare_in_steps(image)
    return mark_prepared(torch.tensor(step.picture))


def mark_prepared(image: torch.Tensor) -> torch.Tensor:
    """Mark an image as one that `prepare` takes as it is; what is computed from it has no mark."""
    image.is_prepared = True  # type: ignore[attr-defined]
    return image


def prepare_in_steps(image) -> Iterator[Step]:
    """Prepare a picture or a drawing of one character: the last step is what `prepare` returns."""
    if isinstance(image, list | tuple):
        scan = _draw_scan(list(image))
        yield Step("drawn with a pen", scan)
    else:
        for step in find_ink(image):
            yield step
            if _looks_prepared(step.picture):
                return
        ink = cast(Ink, step.ink).crop()
        yield Step("cut to the ink", ink.grey)
        scan = _scan(ink)
        yield Step("as thick as a pen", scan)
    yield Step("as EMNIST has it", convert_to_emnist(scan).numpy())


def _looks_prepared(grey: np.ndarray) -> bool:
    """Tell whether a picture may be one of EMNIST's: images of a data set have no mark."""
    ink = grey > 127
    if grey.shape != (28, 28) or grey.dtype != np.uint8 or not ink.any():
        return False
    top, bottom, left, right = find_extent(ink)
    is_centred = max(abs(top + bottom - 28), abs(left + right - 28)) / 2 <= MAX_OFF_CENTRE
    soft = np.count_nonzero((grey > 10) & (grey < 245)) / np.count_nonzero(grey > 10)
    is_dot = ink[top:bottom, left:right].mean() >= MIN_DOT_FILL
    is_whole = is_dot or max(bottom - top, right - left) >= MIN_PREPARED_SIZE
    return bool(is_whole and is_centred and soft >= MIN_SOFT and has_black_edges(grey))


def _scan(ink: Ink) -> np.ndarray:
    """Scan cropped ink to a bitmap, bool (H, W), of `SCAN_SIZE` pixels with a pen's strokes."""
    top, bottom, left, right = find_extent(ink.mask)
    scale = SCAN_SIZE / max(bottom - top, right - left)
    grey = ink.grey
    # Thin strokes of large letters would be lost between the pixels of a scan.
    missing = round((MIN_SCANNED_PEN / scale - measure_pen_width(ink.mask)) / 2)
    if scale < 1 and missing >= 1:
        grey = widen(np.pad(grey, missing), missing)
    size = [max(1, round(side * scale)) for side in grey.shape[::-1]]
    scan = np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BICUBIC))
    # What is scaled down is fainter, so it has a threshold of its own.
    return thicken(Ink.measure(scan).mask if scale < 1 else scan > ink.threshold)


def _draw_scan(strokes: list) -> np.ndarray:
    """Draw strokes with a pen: float32 (H, W) from 0 to 1, the ink at most `SCAN_SIZE` pixels."""
    curves = read_curves(strokes)
    points = np.concatenate(curves)
    low, high = points.min(0), points.max(0)
    scale = (SCAN_SIZE - PEN_WIDTH) / max((high - low).max(), 1e-9)
    size = np.rint((high - low) * scale * OVERSAMPLING).astype(int) + PEN_WIDTH * OVERSAMPLING
    moved = [(curve - low) * scale + PEN_WIDTH / 2 for curve in curves]
    return draw(moved, -(-size // OVERSAMPLING))


def convert_to_emnist(scan: np.ndarray) -> torch.Tensor:
    """Convert a scan as EMNIST's authors did: (H, W) from 0 to 1, to uint8 (28, 28)."""
    down, across = map(_make_blur, scan.shape)
    blurred = down @ (scan.astype(np.float32) * 255).astype(np.float64) @ across.T
    return torch.from_numpy(shrink(blurred + 1e-9))  # white stays white, however it is rounded


@functools.cache
def _make_blur(length: int) -> np.ndarray:
    """Return the matrix that blurs so many pixels: float64 (length + 8, length)."""
    return np.array([np.convolve(row, BLUR / BLUR.sum()) for row in np.eye(length)]).T


def shrink(blurred: np.ndarray) -> np.ndarray:
    """Centre a blurred scan in a square with a border: (H, W) from 0 to 255, to uint8 (28, 28)."""
    height, width = blurred.shape
    side = max(height, width) + 2 * BORDER
    square = np.zeros((side, side), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = blurred
    return np.array(Image.fromarray(square).resize((28, 28), Image.Resampling.BICUBIC))
