"""Write the sample strokes that `lab_utils.sample_strokes` returns: data/sample_strokes.json.

    python data/make_sample_strokes.py

For each of the 62 characters it takes, of our own `stroke_templates.json`, the variants that the
shipped network is surest of, and writes them as a hand would: a smooth curve between corners,
points close together, with times and a pressure that rises and falls.
"""

import itertools
import json
import math
from pathlib import Path

import numpy as np

from lab_utils import Recognizer
from lab_utils.mapping import CHARACTERS
from lab_utils.strokes import CAP_HEIGHT, Stroke, decode, encode

DATA = Path(__file__).resolve().parent
VARIANTS = 5  # of each character, at most
SPACING = 4.0  # units between two points
SPEED = 0.35  # units a millisecond


def curve(points: np.ndarray, steps: int = 16) -> np.ndarray:
    """Run a Catmull-Rom spline through points: float (K, 2) to ((K - 1) * steps, 2)."""
    before, after = 2 * points[0] - points[1], 2 * points[-1] - points[-2]
    padded = np.concatenate([[before], points, [after]])
    a, b, c, d = (padded[i : len(padded) - 3 + i, None] for i in range(4))
    t = np.linspace(0, 1, steps)[None, :, None]
    through = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    return through.reshape(-1, 2)


def written(template: list) -> Stroke:
    """Write one stroke of a template: points every `SPACING` units, with times and pressures."""
    points = np.array([point[:2] for point in template], float)
    corners = [i for i, point in enumerate(template) if len(point) > 2]
    ends = sorted({0, *corners, len(template) - 1})
    pieces = [curve(points[a : b + 1]) for a, b in itertools.pairwise(ends)]
    way = np.concatenate(pieces) if pieces else points
    length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(way, axis=0).T))])
    count = max(2, math.ceil(length[-1] / SPACING) + 1)
    at = np.linspace(0, length[-1], count)
    x, y = (np.interp(at, length, way[:, axis]) for axis in (0, 1))
    pressure = 0.35 + 0.3 * np.sin(np.linspace(0.15, 0.9, count) * math.pi)
    return Stroke(np.stack([x, y + CAP_HEIGHT, at / SPEED, pressure], 1).tolist(), "pen")


def main() -> None:
    templates = json.loads((DATA / "stroke_templates.json").read_text(encoding="utf-8"))
    reader = Recognizer.pretrained(equal_classes=True)
    samples = {}
    for character in CHARACTERS:
        unique = {json.dumps(variant): variant for variant in templates["characters"][character]}
        ways = [[encode(written(stroke)) for stroke in variant] for variant in unique.values()]
        sure = [
            dict(reader.predict([decode(text) for text in way], top_k=62))[character]
            for way in ways
        ]
        best = sorted(range(len(ways)), key=lambda i: -round(sure[i], 4))[:VARIANTS]
        samples[character] = [ways[i] for i in best]
        print(character, " ".join(f"{sure[i]:.2f}" for i in best))
    about = "character -> variants -> strokes, as lab_utils.strokes.encode writes them"
    text = json.dumps({"format": about, "characters": samples}, indent=0)
    (DATA / "sample_strokes.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
