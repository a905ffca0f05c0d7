"""Finds the ink in any picture: dark on light or light on dark, of any size and depth."""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageFilter, ImageOps

from text_recognizer.errors import LabError, shorten
from text_recognizer.paths import open_regular
from text_recognizer.reading.clutter import remove_clutter
from text_recognizer.reading.light import remove_paper
from text_recognizer.reading.masks import measure_pen_width, widen
from text_recognizer.reading.pen import PEN

LARGEST = 512  # pixels: larger pictures are scaled down first
LEAST_CONTRAST = 25  # of 255 grey levels, between ink and paper
BRIGHTNESS = np.array([0.299, 0.587, 0.114])  # of red, green and blue, as PIL weighs them
SAMPLED = 128  # pixels: the side of what is looked at to tell whether colours matter
DITHERED = 0.01  # of all pixels: how many lone dots make a grey
COLOURFUL = 2  # times as far apart are colours as their brightness, if they matter


class Step(NamedTuple):
    """What a step of the preparation made of a picture.

    Attributes
    ----------
    name : str
        What was done.
    picture : numpy.ndarray
        uint8 or bool, (H, W).
    """

    name: str
    picture: np.ndarray


def ink_of(image, largest: int = LARGEST) -> tuple[np.ndarray, bool]:
    """Return the ink of a picture of a line, and whether the picture has been prepared already.

    Parameters
    ----------
    image
        As for `prepare`, but no strokes.
    largest : int
        Pixels: a picture with a longer side is scaled down first.

    Returns
    -------
    ink : numpy.ndarray
        uint8, (H, W), light on black, without shadows, rules, specks and borders.
    is_prepared : bool
        Whether it is light on black already and as high as prepared lines are. Then the ink is
        the picture itself.

    Raises
    ------
    LabError
        If the image cannot be read, or there is no ink in it.
    """
    steps = find_ink(image, largest, is_line=True)
    grey = next(steps).picture
    if len(grey) == 28 and grey.max() >= LEAST_CONTRAST and is_black(grey):
        return grey.copy(), True
    *_, (_, ink) = steps
    return ink, False


def find_ink(image, largest: int = LARGEST, is_line: bool = False) -> Iterator[Step]:
    """Find the ink in a picture, step by step.

    Parameters
    ----------
    image, largest
        As for `ink_of`.
    is_line : bool
        Whether it shows a line of writing, or one character.

    Yields
    ------
    Step
        The last one is the ink: uint8, (H, W), light on black.

    Raises
    ------
    LabError
        If the image cannot be read, or there is no ink in it.
    """
    grey = read_grey(image, largest)
    yield Step("picture", grey)
    ink = _check_contrast(remove_paper(grey), image)
    yield Step("paper removed", ink)
    found, ink = remove_clutter(ink, is_line)
    yield Step("ink found", found)
    yield Step("rules, specks removed", _check_contrast(ink, image))


def _check_contrast(ink: np.ndarray, image) -> np.ndarray:
    if ink.max() < LEAST_CONTRAST:
        raise LabError(f"{_name(image)} shows no ink on its paper: write something, and darker.")
    return ink


def is_black(grey: np.ndarray) -> bool:
    """Tell whether at least half of what lies along the edges is black: uint8 (H, W)."""
    edges = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    return bool(np.median(edges) == 0)


def _name(image) -> str:
    """Return how an error message calls an image: its path, or its kind."""
    return str(image) if isinstance(image, str | os.PathLike) else f"image ({type(image).__name__})"


def read_grey(image, largest: int = LARGEST) -> np.ndarray:
    """Return any image in grey: uint8 (H, W), the longer side at most `largest`.

    Raises
    ------
    LabError
        If the image cannot be read.
    """
    try:
        picture = _open(image, largest)
        if min(picture.size, default=0) >= 2:
            return _grey(picture, largest)
    except Exception as error:  # noqa: BLE001 - decoders raise whatever they stumble on
        raise LabError(f"{_name(image)} cannot be read as a picture: {shorten(error)}.") from None
    raise LabError(f"{_name(image)} has {picture.size[0]} x {picture.size[1]} pixels: too few.")


def _open(image, largest: int) -> Image.Image:
    """Return any image as a PIL image, upright."""
    if isinstance(image, str | os.PathLike):
        with open_regular(Path(image)) as file, Image.open(file) as opened:
            opened.draft(None, (2 * largest, 2 * largest))  # large JPEGs are read at a smaller size
            return ImageOps.exif_transpose(opened)
    if isinstance(image, Image.Image):
        return ImageOps.exif_transpose(image)
    return Image.fromarray(_pixels(image))


def _grey(picture: Image.Image, largest: int) -> np.ndarray:
    """Return a picture of any mode in grey: uint8 (H, W), the longer side at most `largest`."""
    if picture.mode == "F" or picture.mode.startswith("I"):
        picture = Image.fromarray(_eight_bits(np.asarray(picture)))
    elif picture.mode == "LAB":
        picture = picture.getchannel("L")
    elif picture.has_transparency_data:  # what is transparent is paper, and shows the ink
        layer = picture.convert("RGBA")
        opacity = np.asarray(layer.getchannel("A")) + 1e-6
        is_light = np.average(np.asarray(layer.convert("L")), weights=opacity) > 127
        paper = "black" if is_light else "white"
        picture = Image.alpha_composite(Image.new("RGBA", layer.size, paper), layer)
    contrast = None if picture.mode in ("1", "L") else _find_colours(picture)
    if contrast is None:
        grey = picture.convert("L")
        grey.thumbnail((largest, largest), reducing_gap=1.0)
        return np.asarray(
            grey.filter(ImageFilter.GaussianBlur(1.5)) if _is_dithered(grey) else grey
        )
    picture = picture.convert("RGB")
    picture.thumbnail((largest, largest), reducing_gap=1.0)
    levels = np.asarray(picture, np.float32) @ contrast
    return np.rint(levels - levels.min()).clip(0, 255).astype(np.uint8)


def _is_dithered(grey: Image.Image) -> bool:
    """Tell whether grey levels are made of black and white dots."""
    counts = grey.histogram()
    if counts[0] + counts[255] < grey.width * grey.height or min(grey.size) < 3:
        return False
    black = np.asarray(grey) == 0
    black = black if black.mean() < 0.5 else ~black
    around = np.pad(black, 1).astype(np.int8)
    around = around[:-2] + around[1:-1] + around[2:]
    around = around[:, :-2] + around[:, 1:-1] + around[:, 2:]
    return bool((black & (around == 1)).mean() > DITHERED)


def _find_colours(picture: Image.Image) -> np.ndarray | None:
    """Return the direction from one colour to another, where they are about equally bright.

    Returns
    -------
    numpy.ndarray or None
        float32, (3,), how much red, green and blue count; None where brightness tells enough.
    """
    sample = picture.resize((SAMPLED, SAMPLED), Image.Resampling.NEAREST).convert("RGB")
    spread = np.cov(np.asarray(sample).reshape(-1, 3), rowvar=False)
    variances, directions = np.linalg.eigh(spread)
    brightness = math.sqrt(max(BRIGHTNESS @ spread @ BRIGHTNESS, 0))
    # Of grey levels, the distance as colours is the square root of 3 times that in brightness.
    if math.sqrt(max(variances[-1], 0) / 3) <= COLOURFUL * brightness + 1:
        return None
    return directions[:, -1].astype(np.float32)


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
    return _eight_bits(pixels)


def _eight_bits(pixels: np.ndarray) -> np.ndarray:
    """Return pixels of any depth as uint8.

    Values from 0 to 1 are shares of white, and those up to 255 grey levels. Else white is the
    highest value of as many bits as the brightest pixel has; where there are negative values, it
    is the brightest pixel, and black the darkest.
    """
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels)
    if pixels.dtype.kind not in "buif":
        raise ValueError(f"its {pixels.dtype} values are not numbers")
    if not pixels.size:
        raise ValueError("it has no pixels")
    values = pixels.astype(np.float64)
    darkest, brightest = values.min(), values.max()
    if not (np.isfinite(darkest) and np.isfinite(brightest)):
        raise ValueError("some of its values are not finite")
    if darkest < 0:
        # Halved, because the difference of the largest numbers is infinite.
        values, white = values / 2 - darkest / 2, brightest / 2 - darkest / 2
    elif brightest <= 1:
        white = 1.0
    elif brightest <= 255:
        white = 255.0
    else:
        white = 2.0 ** min(math.ceil(math.log2(brightest + 1)), 1023) - 1
    return np.rint(values / (white or 1) * 255).clip(0, 255).astype(np.uint8)


def as_thick_as_a_pen(bitmap: np.ndarray) -> np.ndarray:
    """Thicken strokes that are thinner than `PEN`: a pencil's, or those of large letters."""
    missing = round((PEN - measure_pen_width(bitmap)) / 2)
    return widen(np.pad(bitmap, missing), missing) if missing >= 1 else bitmap
