"""Write the sample strokes that `lab_utils.sample_strokes` returns: data/sample_strokes.json.

    python tools/assets/make_sample_strokes.py

For each of the 62 characters it takes, of our own `stroke_templates.json`, the variants that the
shipped network is surest of, and writes them as a hand would: a smooth curve between corners,
points close together, with times and a pressure that rises and falls.
"""

import json
import math
from pathlib import Path

import numpy as np
from shapes import read_templates, trace

from lab_utils import Recognizer
from text_recognizer.mapping import CHARACTERS
from text_recognizer.strokes import CAP_LINE, Stroke, decode, encode

DATA = Path(__file__).resolve().parents[2] / "data"
MAX_VARIANTS = 5  # of each character
SPACING = 4.0  # units between two points
SPEED = 0.35  # units per millisecond


def write_stroke(template: list) -> Stroke:
    """Write one stroke of a template: points every `SPACING` units, with times and pressures."""
    points = np.array([point[:2] for point in template], float)
    way = trace(template, points, steps=16)
    length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(way, axis=0).T))])
    count = max(2, math.ceil(length[-1] / SPACING) + 1)
    at = np.linspace(0, length[-1], count)
    x, y = (np.interp(at, length, way[:, axis]) for axis in (0, 1))
    pressure = 0.35 + 0.3 * np.sin(np.linspace(0.15, 0.9, count) * math.pi)
    return Stroke(np.stack([x, y + CAP_LINE, at / SPEED, pressure], 1).tolist(), "pen")


def main() -> None:
    reader = Recognizer.pretrained(equal_classes=True)
    samples = {}
    for character in CHARACTERS:
        unique = {json.dumps(variant): variant for variant in read_templates()[character]}
        ways = [[encode(write_stroke(stroke)) for stroke in variant] for variant in unique.values()]
        sure = [
            dict(reader.predict([decode(text) for text in way], top_k=62))[character]
            for way in ways
        ]
        best = sorted(range(len(ways)), key=lambda i: -round(sure[i], 4))[:MAX_VARIANTS]
        samples[character] = [ways[i] for i in best]
        print(character, " ".join(f"{sure[i]:.2f}" for i in best))
    about = "character -> variants -> strokes, as text_recognizer.strokes.encode writes them"
    text = json.dumps({"format": about, "characters": samples}, indent=0)
    (DATA / "sample_strokes.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
