"""Shapes of characters: our stroke templates written as a hand would, and what a hand changes.

A template is a list of strokes, a stroke a list of points: x to the right, y downwards, from 0 at
the cap line to 100 at the baseline. A point with a third entry is a corner.
"""

import functools
import itertools
import json
import math
from pathlib import Path

import numpy as np

DATA = Path(__file__).resolve().parents[2] / "data"


@functools.cache
def read_templates(kind: str = "characters") -> dict[str, list]:
    """Return the templates of each character: the common shapes, or those of kind "rare"."""
    return json.loads((DATA / "stroke_templates.json").read_text(encoding="utf-8"))[kind]


def catmull_rom(points: np.ndarray, steps: int) -> np.ndarray:
    """Run a smooth curve through points: float (K, 2) to ((K - 1) * steps, 2)."""
    before, after = 2 * points[0] - points[1], 2 * points[-1] - points[-2]
    p = np.concatenate([[before], points, [after]])
    a, b, c, d = (p[i : len(p) - 3 + i, None] for i in range(4))
    t = np.linspace(0, 1, steps)[None, :, None]
    curve = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    return curve.reshape(-1, 2)


def trace(stroke: list, points: np.ndarray, steps: int) -> np.ndarray:
    """Run a curve through the points of a stroke, smooth between its corners: float (N, 2)."""
    corners = [i for i, point in enumerate(stroke) if len(point) > 2]
    ends = sorted({0, *corners, len(stroke) - 1})
    pieces = [catmull_rom(points[a : b + 1], steps) for a, b in itertools.pairwise(ends)]
    return np.concatenate(pieces) if pieces else points


def write_template(
    template: list, rng: np.random.Generator, jitter: float, steps: int
) -> list[np.ndarray]:
    """Write a template's strokes a little differently each time: a list of float (N, 2).

    Parameters
    ----------
    template : list
        Its strokes.
    rng : numpy.random.Generator
        All that is random follows from it.
    jitter : float
        Standard deviation of each point, in the template's units.
    steps : int
        Points of the curve for each point of the template.
    """
    curves = []
    for stroke in template:
        points = np.array([point[:2] for point in stroke], float)
        points += rng.normal(0, jitter, points.shape) + rng.normal(0, 0.8 * jitter, 2)
        curves.append(trace(stroke, points, steps))
    return curves


def smooth_field(rng: np.random.Generator, amplitude: float, max_frequency: float, terms: int = 3):
    """Return a random smooth function of the plane: the sum of a few sine waves."""
    heights = rng.normal(0, amplitude * math.sqrt(2 / terms), terms)
    angles, phases = rng.uniform(0, 2 * math.pi, (2, terms))
    frequencies = 2 * math.pi * rng.uniform(0.25, max_frequency, terms)

    def field(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        waves = zip(heights, angles, phases, frequencies, strict=True)
        return sum(h * np.sin(f * (math.cos(a) * x + math.sin(a) * y) + p) for h, a, p, f in waves)

    return field


def deform(
    points: np.ndarray,
    rng: np.random.Generator,
    middle: tuple[float, float],
    widen: tuple[float, float],
    slant: tuple[float, float],
) -> np.ndarray:
    """Change proportions, bend, widen, slant and rotate a shape.

    Parameters
    ----------
    points : numpy.ndarray
        (N, 2), y downwards.
    rng : numpy.random.Generator
        All that is random follows from it.
    middle : tuple of float
        Standard deviations of how far the middle of a shape moves, in x and y.
    widen : tuple of float
        Mean and standard deviation of the log of the horizontal scale.
    slant : tuple of float
        The same of the shear (dx / dy) to the right.

    Returns
    -------
    numpy.ndarray
        (N, 2), of about unit size, around the origin.
    """
    points = points - points.min(0)
    size = np.maximum(points.max(0), 1e-3)
    unit = points / size
    # Parabolas move the middle of a character: a large or small bowl, a high or low bar.
    unit = unit + np.clip(rng.normal(0, middle), -0.8, 0.8) * unit * (1 - unit)
    x, y = ((unit - 0.5) * size / size.max()).T
    x, y = x + smooth_field(rng, 0.03, 1.2)(x, y), y + smooth_field(rng, 0.03, 1.2)(x, y)
    x = x * math.exp(widen[0] + rng.normal(0, widen[1]))
    x = x - y * (slant[0] + rng.normal(0, slant[1]))
    angle = rng.normal(0, math.radians(6))
    cos, sin = math.cos(angle), math.sin(angle)
    return np.stack([cos * x - sin * y, sin * x + cos * y], axis=1)
