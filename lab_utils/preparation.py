"""Turns any picture of a character, or the strokes of a pen, into an image as EMNIST has them.

EMNIST was made of binary scans (Cohen et al. 2017): blur, cut to the ink, centre in a square with a
border, scale to 28x28. A picture or a drawing first becomes such a scan, of the usual size and pen.
"""

import os

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from lab_utils.settings import LabError

SCAN = 60  # pixels: the longer side of a character in a scan
PEN = 6  # pixels: the width of a pen in a scan
BORDER = 2  # pixels round a scan, before it is scaled down
BLUR = np.exp(-(np.arange(-4, 5) ** 2) / 2)  # a Gaussian of 1 pixel
LARGEST = 512  # pixels: larger pictures are scaled down first
FINE = 4  # strokes are drawn so many times as large and then scaled down, for smooth edges
LEAST_SIZE = 0.3  # of the picture's shorter side: the smallest ink that is taken for a character
LEAST_CONTRAST = 25  # of 255 grey levels, between ink and paper


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


def ink_of(image, largest: int = LARGEST) -> tuple[np.ndarray, bool]:
    """Return the ink of a picture, uint8 (H, W), light on black, and whether that was its paper.

    Parameters
    ----------
    image
        As for `prepare`, but no strokes.
    largest : int
        Pixels: a picture with a longer side is scaled down first.

    Raises
    ------
    LabError
        If the image cannot be read, or there is no ink in it.
    """
    grey = np.asarray(_picture(image, largest), np.int16)
    edges = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    threshold = otsu(grey)
    bright = edges > threshold
    is_light = bright.mean() > 0.5
    if 0.1 < bright.mean() < 0.9:  # cut so tightly that much ink touches the edge
        is_light = (grey > threshold).mean() > 0.5
    paper = int(np.median(edges[bright == is_light]))
    ink = paper - grey if is_light else grey - paper
    ink = ink.clip(0).astype(np.uint8)
    if ink.max() < LEAST_CONTRAST:
        raise LabError(f"{_name(image)} shows no ink on its paper: write something, and darker.")
    return ink, paper == 0


def _name(image) -> str:
    """Return how an error message calls an image: its path, or its kind."""
    return str(image) if isinstance(image, str | os.PathLike) else f"image ({type(image).__name__})"


def _picture(image, largest: int) -> Image.Image:
    """Return any image as a PIL image in grey, the longer side at most `largest`."""
    try:
        if isinstance(image, str | os.PathLike):
            with Image.open(image) as opened:
                picture = ImageOps.exif_transpose(opened)
        elif isinstance(image, Image.Image):
            picture = ImageOps.exif_transpose(image)
        else:
            picture = Image.fromarray(_pixels(image))
        if picture.has_transparency_data:  # what is transparent is paper, and shows the ink
            layer = picture.convert("RGBA")
            opacity = np.asarray(layer.getchannel("A")) + 1e-6
            is_light = np.average(np.asarray(layer.convert("L")), weights=opacity) > 127
            paper = "black" if is_light else "white"
            picture = Image.alpha_composite(Image.new("RGBA", layer.size, paper), layer)
        picture = picture.convert("L")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise LabError(f"{_name(image)} cannot be read as a picture: {error}.") from None
    if min(picture.size, default=0) < 2:
        raise LabError(f"{_name(image)} has {picture.size[0]} x {picture.size[1]} pixels: too few.")
    picture.thumbnail((largest, largest))
    return picture


def _pixels(image) -> np.ndarray:
    """Return an array or tensor as uint8 (H, W) or (H, W, 3 or 4)."""
    if isinstance(image, torch.Tensor):
        image = image.detach().cpu()
        image = (image.float() if image.is_floating_point() else image).numpy()
    pixels = np.asarray(image)
    if pixels.ndim == 3 and pixels.shape[-1] not in (1, 3, 4):
        pixels = np.moveaxis(pixels, 0, -1)
    if pixels.ndim == 3 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    if not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[-1] in (3, 4))):
        raise ValueError(f"its shape is {pixels.shape}, not (H, W) with 1, 3 or 4 channels")
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels)
    if pixels.dtype.kind not in "bf" or not (pixels.min() >= 0 and pixels.max() <= 1):
        raise ValueError(f"its {pixels.dtype} values are neither uint8 nor from 0 to 1")
    return np.rint(pixels * np.float32(255)).astype(np.uint8)


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


def otsu(ink: np.ndarray) -> int:
    """Return the threshold that splits the grey levels into two groups as far apart as can be."""
    counts = np.bincount(ink.ravel(), minlength=256).astype(float)
    below, sums = counts.cumsum(), (counts * np.arange(256)).cumsum()
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = (sums[-1] * below / below[-1] - sums) ** 2 / (below * above)
    return int(np.nanargmax(np.where(np.isfinite(gap), gap, -1)))


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


def extent(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Return the rows and columns with ink: top, bottom, left, right, the ends exclusive."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return rows[0], rows[-1] + 1, columns[0], columns[-1] + 1


def _longer_side(mask: np.ndarray) -> int:
    """Return the longer side of the ink, in pixels; 0 where there is none."""
    if not mask.any():
        return 0
    top, bottom, left, right = extent(mask)
    return max(bottom - top, right - left)


def as_thick_as_a_pen(bitmap: np.ndarray) -> np.ndarray:
    """Thicken strokes that are thinner than `PEN`: a pencil's, or those of large letters."""
    framed = np.pad(bitmap, 1)
    outline = (framed[1:] != framed[:-1]).sum() + (framed[:, 1:] != framed[:, :-1]).sum()
    width = 2.5 * framed.sum() / outline  # a stroke has two sides; pixels' steps lengthen them
    missing = round((PEN - width) / 2)
    if missing < 1:
        return bitmap
    wider = Image.fromarray(np.pad(bitmap, missing)).convert("L")
    for _ in range(missing):
        wider = wider.filter(ImageFilter.MaxFilter(3))
    return np.asarray(wider) > 0


def _scan_of_strokes(strokes: list) -> np.ndarray:
    """Draw strokes with a round pen: float32 (H, W) from 0 to 1, the ink at most `SCAN` pixels."""
    curves = curves_of(strokes)
    points = np.concatenate(curves)
    low, high = points.min(0), points.max(0)
    scale = (SCAN - PEN) / max((high - low).max(), 1e-9)
    size = np.rint((high - low) * scale * FINE).astype(int) + PEN * FINE
    return draw([(curve - low) * scale + PEN / 2 for curve in curves], -(-size // FINE))


def curves_of(strokes: list) -> list[np.ndarray]:
    """Return strokes as arrays, float64 (N, 2); without those that have no points.

    Raises
    ------
    LabError
        If there are none, or they are no lists of points.
    """
    try:
        curves = [np.asarray(stroke, float)[:, :2] for stroke in strokes if len(stroke)]
        points = np.concatenate(curves) if curves else None
    except (TypeError, ValueError, IndexError):
        points = np.full((1, 2), np.nan)
    if points is None:
        raise LabError("image is an empty list of strokes: draw something first.")
    if points.ndim != 2 or points.shape[1] < 2 or not np.isfinite(points).all():
        raise LabError("image must be a list of strokes, each a list of points (x, y).")
    return curves


def draw(curves: list[np.ndarray], size) -> np.ndarray:
    """Draw curves, in pixels, with a round pen of `PEN` pixels: float32 (H, W) from 0 to 1.

    Parameters
    ----------
    curves : list of numpy.ndarray
        float64, (N, 2), x and y.
    size : sequence of int
        Width and height of the sheet.
    """
    sheet = Image.new("L", tuple(int(side) * FINE for side in size))
    pen, radius = ImageDraw.Draw(sheet), PEN * FINE / 2
    for curve in curves:
        path = curve * FINE
        pen.line([tuple(point) for point in path], fill=255, width=PEN * FINE)
        for x, y in path:  # the pen is round at ends and corners
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return np.asarray(sheet.reduce(FINE), np.float32) / 255


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
