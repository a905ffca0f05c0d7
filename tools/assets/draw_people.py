"""Draw what people wrote on tablets, each character in many ways, for `train_weights.py`.

UJI pen characters and pendigits show shapes that EMNIST's writers did not use: a crossed 7, an A of
one stroke, a looped g. There are few of them, so that each is bent, slanted and drawn with another
pen many times: half of them as the canvas prepares strokes, half like scans and photographs.
"""

import json
import math
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from draw_templates import draw_strokes
from shapes import deform
from tqdm import tqdm

from lab_utils import prepare
from text_recognizer.mapping import CHARACTERS

SOURCES = ("ujipenchars1", "pendigits")
THINNESS = (1.5, 2.2)  # log of how many pens' widths a character is long
SLANT, WIDEN, MIDDLE = (0.0, 0.12), (0.0, 0.14), (0.08, 0.08)  # of `deform`; they lean already


class Drawing(NamedTuple):
    """A character that somebody wrote: strokes of float (N, 2), y downwards, in any unit."""

    source: str
    writer: str
    label: str
    strokes: list[np.ndarray]


def read_people(folder: Path) -> list[Drawing]:
    """Return the drawings of all `SOURCES` in a folder."""
    drawings = []
    for source in SOURCES:
        with zipfile.ZipFile(folder / f"{source}.zip") as archive:
            for line in archive.read("strokes.jsonl").decode().splitlines():
                entry = json.loads(line)
                strokes = [np.asarray(stroke, float) for stroke in entry["strokes"]]
                drawings.append(Drawing(source, str(entry["writer"]), entry["label"], strokes))
    return drawings


def draw_again(strokes: list[np.ndarray], rng: np.random.Generator) -> torch.Tensor:
    """Draw a character in another way: uint8 (28, 28)."""
    if rng.random() < 0.5:
        points = deform(np.concatenate(strokes), rng, MIDDLE, WIDEN, SLANT)
        return prepare(np.split(points, np.cumsum([len(stroke) for stroke in strokes])[:-1]))
    image = draw_strokes(strokes, math.exp(rng.uniform(*THINNESS)), rng)
    return draw_again(strokes, rng) if image is None else image


def draw_people(
    drawings: list[Drawing], per_class: int, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images of all 62 characters, each drawn from somebody's drawing of it.

    Returns
    -------
    tuple of torch.Tensor
        uint8 (62 * per_class, 28, 28), and int64 (62 * per_class,), indices into `CHARACTERS`.
    """
    images = []
    for number, character in enumerate(tqdm(CHARACTERS, desc="people", delay=2)):
        rng = np.random.default_rng([seed, number])
        written = [drawing.strokes for drawing in drawings if drawing.label == character]
        images += [draw_again(written[rng.integers(len(written))], rng) for _ in range(per_class)]
    return torch.stack(images), torch.arange(len(CHARACTERS)).repeat_interleave(per_class)
