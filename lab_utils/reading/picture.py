"""Finds the ink in any picture: dark on light or light on dark, of any size."""

import os

import numpy as np
import torch
from PIL import Image, ImageFilter, ImageOps

from lab_utils.errors import LabError
from lab_utils.reading.pen import PEN

LARGEST = 512  # pixels: larger pictures are scaled down first
LEAST_CONTRAST = 25  # of 255 grey levels, between ink and paper


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


def otsu(ink: np.ndarray) -> int:
    """Return the threshold that splits the grey levels into two groups as far apart as can be."""
    counts = np.bincount(ink.ravel(), minlength=256).astype(float)
    below, sums = counts.cumsum(), (counts * np.arange(256)).cumsum()
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = (sums[-1] * below / below[-1] - sums) ** 2 / (below * above)
    return int(np.nanargmax(np.where(np.isfinite(gap), gap, -1)))


def extent(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Return the rows and columns with ink: top, bottom, left, right, the ends exclusive."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return rows[0], rows[-1] + 1, columns[0], columns[-1] + 1


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
