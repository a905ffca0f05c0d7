"""Draw characters from our stroke templates, the rare shapes too, for `train_weights.py`.

EMNIST and the bundled sample show hardly any of the shapes that are taught in other places or at
other times: an r like a small capital, an x of two arches, a 1 on a base. Here each of them is
drawn in many ways, with a pen as thick as EMNIST's or thinner, and half of the drawings as coarse
as a photograph from afar.
"""

import json
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from shapes import deform, read_templates, write_template
from tqdm import tqdm

from text_recognizer.mapping import CHARACTERS
from text_recognizer.reading.character import convert_to_emnist
from text_recognizer.reading.pen import PEN_WIDTH, draw

DATA = Path(__file__).resolve().parents[2] / "data"
RARE_SHARE = 0.6  # of the drawings
JITTER = 3.0  # units of the templates: the standard deviation of each point
SIZES = (26, 90)  # pixels: the longer side of a scan
COARSE = (2.0, 3.6)  # pixels of a scan that make one of a coarse photograph
GREY = (90, 150)  # where a coarse photograph is split into ink and paper


def draw_template(variant: list, thinness: float, rng: np.random.Generator) -> torch.Tensor:
    """Draw a template: uint8 (28, 28).

    Parameters
    ----------
    variant : list
        A template's strokes.
    thinness : float
        How many pens' widths the character is long, in the middle of all drawings.
    rng : numpy.random.Generator
        All that is random follows from it.
    """
    curves = write_template(variant, rng, JITTER, steps=10)
    image = draw_strokes(curves, thinness, rng)
    return draw_template(variant, thinness, rng) if image is None else image


def draw_strokes(
    curves: list[np.ndarray], thinness: float, rng: np.random.Generator
) -> torch.Tensor | None:
    """Draw strokes, each float (N, 2): uint8 (28, 28), or None if nothing of them is left."""
    points = deform(np.concatenate(curves), rng, (0.14, 0.18), (-0.05, 0.18), (0.08, 0.17))
    low, high = points.min(0), points.max(0)
    size = float(np.clip(PEN_WIDTH * thinness * math.exp(rng.normal(0.12, 0.22)), *SIZES))
    points = (points - low) * (size - PEN_WIDTH) / max((high - low).max(), 1e-9) + PEN_WIDTH / 2
    sheet = np.rint(points.max(0) + PEN_WIDTH / 2).astype(int) + 1
    parts = np.split(points, np.cumsum([len(part) for part in curves])[:-1])
    scan = Image.fromarray(np.uint8(draw(parts, sheet) * 255))
    threshold = 127.0
    if rng.random() < 0.5:
        pixel, threshold = rng.uniform(*COARSE), rng.uniform(*GREY)
        coarse = [max(2, round(side / pixel)) for side in scan.size]
        photograph = scan.resize(coarse, Image.Resampling.BOX)
        scan = photograph.resize(scan.size, Image.Resampling.BICUBIC)
    bitmap = np.asarray(scan) > threshold
    return convert_to_emnist(bitmap) if bitmap.any() else None


def draw_templates(per_class: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return drawings of all 62 characters.

    Returns
    -------
    tuple of torch.Tensor
        uint8 (62 * per_class, 28, 28), and int64 (62 * per_class,), indices into `CHARACTERS`.
    """
    statistics = json.loads((DATA / "emnist_statistics.json").read_text(encoding="utf-8"))
    images = []
    for number, character in enumerate(tqdm(CHARACTERS, desc="drawings", delay=2)):
        rng = np.random.default_rng([seed, number])
        thinness = math.exp(-statistics["classes"][character]["stroke"][0])
        for _ in range(per_class):
            kind = "rare" if rng.random() < RARE_SHARE else "characters"
            variants = read_templates(kind)[character]
            images.append(draw_template(variants[rng.integers(len(variants))], thinness, rng))
    return torch.stack(images), torch.arange(len(CHARACTERS)).repeat_interleave(per_class)
