"""Turns any picture of a character, or the strokes of a pen, into an image as EMNIST has them.

EMNIST was made of binary scans (Cohen et al. 2017): blur, cut to the ink, centre in a square with a
border, scale to 28x28. A picture or a drawing first becomes such a scan, of the usual size and pen.
"""

import numpy as np
import torch
from PIL import Image

from lab_utils.reading.pen import FINE, PEN, curves_of, draw
from lab_utils.reading.picture import as_thick_as_a_pen, extent, ink_of, otsu

SCAN = 60  # pixels: the longer side of a character in a scan
BORDER = 2  # pixels round a scan, before it is scaled down
BLUR = np.exp(-(np.arange(-4, 5) ** 2) / 2)  # a Gaussian of 1 pixel
LEAST_SIZE = 0.3  # of the picture's shorter side: the smallest ink that is taken for a character


def prepare(image) -> torch.Tensor:
    """Prepare a picture or a drawing of one character as EMNIST's images were.

    Parameters
    ----------
    image : path, PIL.Image.Image, array, tensor, or list of strokes
        A picture of any size, dark on light or light on dark; as an array or tensor (H, W), or with
        1, 3 or 4 channels first or last, uint8, bool, or float from 0 to 1. Or strokes: a list with
        one sequence of points a stroke, each point (x, y) or longer, y downwards, in any unit.
        A picture of 28x28 that is light on black is taken to be prepared already.

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
    if isinstance(image, list | tuple):
        return as_emnist(_scan_of_strokes(image))
    ink, is_prepared = ink_of(image)
    if is_prepared and ink.shape == (28, 28):
        return torch.from_numpy(ink)
    return as_emnist(_scan_of_picture(ink))


def _scan_of_picture(ink: np.ndarray) -> np.ndarray:
    """Scan a picture: uint8 (H, W), ink on black, to a bitmap of `SCAN` pixels."""
    threshold = otsu(ink)
    mask = ink > threshold
    from_edge = _ink_from_the_edge(mask)
    if _longer_side(mask & ~from_edge) > LEAST_SIZE * min(mask.shape):
        # What touches the edge is a ruled line or a part of a neighbour, not the character.
        ink = np.where(from_edge, 0, ink).astype(np.uint8)
        threshold = otsu(ink)
        mask = ink > threshold
    top, bottom, left, right = extent(mask)
    scale = SCAN / _longer_side(mask)
    region = Image.fromarray(ink[max(top - 1, 0) : bottom + 1, max(left - 1, 0) : right + 1])
    size = [max(1, round(side * scale)) for side in region.size]
    bitmap = np.asarray(region.resize(size, Image.Resampling.BICUBIC)) > threshold
    return as_thick_as_a_pen(bitmap)


def _ink_from_the_edge(mask: np.ndarray) -> np.ndarray:
    """Mark the ink that is connected to the edge of the picture: bool (H, W)."""
    reached = np.zeros_like(mask)
    reached[[0, -1]] = mask[[0, -1]]
    reached[:, [0, -1]] = mask[:, [0, -1]]
    count = 0
    while (now := np.count_nonzero(reached)) > count:
        count = now
        wider = reached.copy()
        wider[1:] |= reached[:-1]
        wider[:-1] |= reached[1:]
        reached = wider.copy()
        reached[:, 1:] |= wider[:, :-1]
        reached[:, :-1] |= wider[:, 1:]
        reached &= mask
    return reached


def _longer_side(mask: np.ndarray) -> int:
    """Return the longer side of the ink, in pixels; 0 where there is none."""
    if not mask.any():
        return 0
    top, bottom, left, right = extent(mask)
    return max(bottom - top, right - left)


def _scan_of_strokes(strokes: list) -> np.ndarray:
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
    height, width = blurred.shape
    side = max(height, width) + 2 * BORDER
    square = np.zeros((side, side), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = blurred
    image = Image.fromarray(square).resize((28, 28), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(image))
