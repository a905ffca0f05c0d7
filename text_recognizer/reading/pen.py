"""Draws strokes with a round pen."""

import numpy as np
from PIL import Image, ImageDraw

from text_recognizer.errors import LabError
from text_recognizer.reading.masks import measure_pen_width, widen

PEN_WIDTH = 6  # pixels of a scan
OVERSAMPLING = 4  # strokes are drawn so many times as large and scaled down, for smooth edges


def read_curves(strokes: list) -> list[np.ndarray]:
    """Return strokes as arrays, float64 (N, 2); without those that have no points."""
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
    """Draw curves, float64 (N, 2), on a sheet of a width and height: float32 (H, W) from 0 to 1."""
    width, height = (int(side) * OVERSAMPLING for side in size)
    sheet = Image.new("L", (width, height))
    pen, radius = ImageDraw.Draw(sheet), PEN_WIDTH * OVERSAMPLING / 2
    for curve in curves:
        path = curve * OVERSAMPLING
        pen.line([tuple(point) for point in path], fill=255, width=PEN_WIDTH * OVERSAMPLING)
        for x, y in path:  # the pen is round at ends and corners
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return np.asarray(sheet.reduce(OVERSAMPLING), np.float32) / 255


def thicken(bitmap: np.ndarray, pen: float = PEN_WIDTH, grow: bool = True) -> np.ndarray:
    """Widen strokes, bool (H, W), that are thinner than a pen; the bitmap may grow with them."""
    missing = max(0, round((pen - measure_pen_width(bitmap)) / 2))
    return widen(np.pad(bitmap, missing) if grow else bitmap, missing) if missing else bitmap
