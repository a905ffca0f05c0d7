"""Draws strokes with a round pen."""

from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageDraw

from text_recognizer.errors import LabError
from text_recognizer.reading.masks import measure_pen_width, widen

PEN_WIDTH = 6  # pixels of a scan
Curves = list[np.ndarray]  # strokes, float64 (N, 2) each
OVERSAMPLING = 4  # strokes are drawn so many times as large and scaled down, for smooth edges


def read_curves(strokes: Iterable) -> Curves:
    """Return strokes as arrays, without those that have no points."""
    try:
        curves = [np.asarray(stroke, float)[:, :2] for stroke in strokes if len(stroke)]
    except (TypeError, ValueError, IndexError):
        curves = [np.empty(0)]  # which is no stroke
    if not curves:
        raise LabError("image is an empty list of strokes: draw something first.")
    if not all(curve.shape[1:] == (2,) and np.isfinite(curve).all() for curve in curves):
        raise LabError("image must be a list of strokes, each a list of points (x, y).")
    return curves


def draw(curves: Curves, size, pen_width: float = PEN_WIDTH) -> np.ndarray:
    """Draw curves on a sheet of a width and height: float32 (H, W) from 0 to 1."""
    width, height = (int(side) * OVERSAMPLING for side in size)
    sheet = Image.new("L", (width, height))
    pen, radius = ImageDraw.Draw(sheet), pen_width * OVERSAMPLING / 2
    for curve in curves:
        path = curve * OVERSAMPLING
        pen.line(path.ravel().tolist(), fill=255, width=round(pen_width * OVERSAMPLING))
        # The pen is round at ends and corners.
        for corners in np.hstack([path - radius, path + radius]).tolist():
            pen.ellipse(corners, fill=255)
    return np.asarray(sheet.reduce(OVERSAMPLING), np.float32) / 255


def thicken(bitmap: np.ndarray, pen: float = PEN_WIDTH, grow: bool = True) -> np.ndarray:
    """Widen strokes, bool (H, W), that are thinner than a pen; the bitmap may grow with them."""
    missing = max(0, round((pen - measure_pen_width(bitmap)) / 2))
    return widen(np.pad(bitmap, missing) if grow else bitmap, missing) if missing else bitmap
