"""Finds the ink in any picture: dark on light or light on dark, of any size and depth."""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageFilter, ImageOps, UnidentifiedImageError

from text_recognizer.errors import LabError, shorten
from text_recognizer.paths import open_regular
from text_recognizer.reading.clutter import remove_clutter
from text_recognizer.reading.light import remove_background
from text_recognizer.reading.masks import Ink

MAX_SIDE = 512  # pixels: pictures with a longer side are scaled down first
MIN_CONTRAST = 25  # of 255 grey levels, between ink and background
BRIGHTNESS = np.array([0.299, 0.587, 0.114])  # of red, green and blue, as Pillow weighs them
MIN_COLOUR_SPREAD = 2  # times as far apart are colours as their brightness, if they matter
MIN_LONE_DOTS = 0.01  # of all pixels: so many make a grey of black and white
REASONS = (  # why other files are not read, and what to do, by what they begin with
    (b"%PDF", "it is a PDF: take a screenshot of it"),
    (b"ftyp", "phones save such HEIC pictures: export it as JPEG"),
)


class Step(NamedTuple):
    """What a step of the preparation did, and the picture that it made."""

    name: str
    picture: np.ndarray  # uint8 or bool, (H, W)
    ink: Ink | None = None  # what the step hands on, where it has found the ink


def find_ink(image, max_side: int = MAX_SIDE, is_line: bool = False) -> Iterator[Step]:
    """Find the ink of a line or of one character; the last step has it without any clutter."""
    grey = read_grey(image, max_side)
    yield Step("picture", grey)
    grey = remove_background(grey)
    yield Step("paper removed", grey)
    ink = Ink.measure(grey)
    yield Step("ink found", ink.mask)
    ink = remove_clutter(ink, is_line)
    if ink.grey.max() < MIN_CONTRAST:
        raise LabError(f"{_quote(image)} shows no ink on its paper: write something, and darker.")
    yield Step("rules, specks removed", ink.grey, ink)


def has_black_edges(grey: np.ndarray) -> bool:
    """Tell whether at least half of what lies along the edges is black: uint8 (H, W)."""
    edges = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    return bool(np.median(edges) == 0)


def _quote(image) -> str:
    """Return what an error message calls an image: its path, or its kind."""
    return str(image) if isinstance(image, str | os.PathLike) else f"image ({type(image).__name__})"


def read_grey(image, max_side: int = MAX_SIDE) -> np.ndarray:
    """Return any image in grey: uint8 (H, W), the longer side at most `max_side` pixels."""
    try:
        picture = _open(image, max_side)
        if min(picture.size, default=0) >= 2:
            return _convert_to_grey(picture, max_side)
    except Exception as error:  # noqa: BLE001 - decoders raise whatever they stumble on
        raise LabError(f"{_quote(image)} cannot be read as a picture: {shorten(error)}.") from None
    raise LabError(f"{_quote(image)} has {picture.size[0]} x {picture.size[1]} pixels: too few.")


def _open(image, max_side: int) -> Image.Image:
    """Return any image as a PIL image, upright."""
    if isinstance(image, str | os.PathLike):
        with open_regular(Path(image)) as file:
            try:
                opened = Image.open(file)
            except UnidentifiedImageError:
                file.seek(0)
                head = file.read(16)
                kinds = [advice for start, advice in REASONS if start in head]
                raise ValueError(*kinds or ["give a JPEG or PNG file"]) from None
            opened.draft(None, (2 * max_side, 2 * max_side))  # reads large JPEGs at a smaller size
            return ImageOps.exif_transpose(opened)
    if isinstance(image, Image.Image):
        return ImageOps.exif_transpose(image)
    return Image.fromarray(_read_array(image))


def _convert_to_grey(picture: Image.Image, max_side: int) -> np.ndarray:
    """Return a picture of any mode in grey: uint8 (H, W), the longer side at most `max_side`."""
    if picture.mode == "F" or picture.mode.startswith("I"):
        picture = Image.fromarray(_convert_to_8_bits(np.asarray(picture)))
    elif picture.mode == "LAB":
        picture = picture.getchannel("L")
    elif picture.has_transparency_data:  # what is transparent is paper, and shows the ink
        layer = picture.convert("RGBA")
        opacity = np.asarray(layer.getchannel("A")) + 1e-6  # not 0 everywhere
        is_light = np.average(np.asarray(layer.convert("L")), weights=opacity) > 127
        paper = "black" if is_light else "white"
        picture = Image.alpha_composite(Image.new("RGBA", layer.size, paper), layer)
    contrast = None if picture.mode in ("1", "L") else _find_colours(picture)
    if contrast is None:
        grey = picture.convert("L")
        grey.thumbnail((max_side, max_side), reducing_gap=1.0)
        is_dithered = _is_dithered(grey)
        return np.asarray(grey.filter(ImageFilter.GaussianBlur(1.5)) if is_dithered else grey)
    picture = picture.convert("RGB")
    picture.thumbnail((max_side, max_side), reducing_gap=1.0)
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
    return bool((black & (around == 1)).mean() > MIN_LONE_DOTS)


def _find_colours(picture: Image.Image) -> np.ndarray | None:
    """Return how much red, green and blue count, float32 (3,); None if brightness is enough."""
    sample = picture.resize((128, 128), Image.Resampling.NEAREST).convert("RGB")
    spread = np.cov(np.asarray(sample).reshape(-1, 3), rowvar=False)
    variances, directions = np.linalg.eigh(spread)
    brightness = math.sqrt(max(BRIGHTNESS @ spread @ BRIGHTNESS, 0))
    # Of grey levels, the distance as colours is the square root of 3 times that in brightness.
    if math.sqrt(max(variances[-1], 0) / 3) <= MIN_COLOUR_SPREAD * brightness + 1:
        return None
    return directions[:, -1].astype(np.float32)


def _read_array(image) -> np.ndarray:
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
    return _convert_to_8_bits(pixels)


def _convert_to_8_bits(pixels: np.ndarray) -> np.ndarray:
    """Return pixels of any depth as uint8: up to 1 they are shares of white, up to 255 levels."""
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
        # From the darkest to the brightest; halved, as the difference may be infinite.
        values, white = values / 2 - darkest / 2, brightest / 2 - darkest / 2
    elif brightest <= 255:
        white = 1.0 if brightest <= 1 else 255.0
    else:  # the highest value of as many bits as the brightest pixel has
        white = 2.0 ** min(math.ceil(math.log2(brightest + 1)), 1023) - 1
    values /= white or 1  # in place, as a large picture takes 8 bytes a pixel here
    values *= 255
    return np.rint(values, out=values).clip(0, 255, out=values).astype(np.uint8)
