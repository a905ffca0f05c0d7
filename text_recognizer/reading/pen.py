"""Draws strokes with a round pen."""

import numpy as np
from PIL import Image, ImageDraw

from text_recognizer.errors import LabError

PEN = 6  # pixels: the width of a pen in a scan
FINE = 4  # strokes are drawn so many times as large and then scaled down, for smooth edges


def curves_of(strokes: list) -> list[np.ndarray]:
    """Return strokes as arrays, float64 (N, 2); without those that have no points.

    Raises
    ------
    LabError
        If there are none, or they are no lists of points.
    """
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


def draw(curves: list[np.ndarray], size, pen_width: float = PEN) -> np.ndarray:
    """Draw curves, in pixels, with a round pen: float32 (H, W) from 0 to 1.

    Parameters
    ----------
    curves : list of numpy.ndarray
        float64, (N, 2), x and y.
    size : sequence of int
        Width and height of the sheet.
    pen_width : float
        Pixels of the sheet.
    """
    width, height = (int(side) * FINE for side in size)
    sheet = Image.new("L", (width, height))
    pen, radius = ImageDraw.Draw(sheet), pen_width * FINE / 2
    for curve in curves:
        path = curve * FINE
        pen.line([tuple(point) for point in path], fill=255, width=round(pen_width * FINE))
        for x, y in path:  # the pen is round at ends and corners
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return np.asarray(sheet.reduce(FINE), np.float32) / 255
