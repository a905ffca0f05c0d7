"""Tells ink from paper, where light, shadows and the desk beside the sheet differ."""

import numpy as np
from PIL import Image

from text_recognizer.reading.masks import (
    Components,
    close,
    extent,
    highest_in_squares,
    lowest_in_squares,
    otsu,
    widen,
)

STROKE = 0.25  # of the longer side: what is wider than that is paper, however dark
STROKE_OF_HEIGHT = 0.6  # ... at most so much of the height, which is little in a line
SMALL = 128  # pixels: the longer side of the copy in which dark and light, and a sheet, are told
SMALL_SIDE = 48  # pixels: the shorter side of that copy is at least as long
CLEARLY = 0.8  # times as uneven is one kind of paper as the other, if that is to count
MIN_GRAINY = 100  # pixels: the shorter side of a picture that shows the paper's grain
DARKEST_PAPER = 0.3  # of the lightest: nothing is read where it is darker
LEAST_LIT = 0.2  # of the way from ink to paper: a shadow is that much lighter than ink
DARKEST_SHADOW = 0.45  # of a sheet's brightness: what is darker round it is a desk


def remove_paper(grey: np.ndarray) -> np.ndarray:
    """Return the ink of a picture, as if its paper were black and evenly lit.

    The paper is what stays when all that is narrower than a wide stroke is filled; ink is what is
    darker, as a share of the paper's own brightness there. A picture of light ink is inverted
    first.

    Parameters
    ----------
    grey : numpy.ndarray
        uint8, (H, W).

    Returns
    -------
    numpy.ndarray
        uint8, (H, W), light ink on black.
    """
    desk, darkness = find_desk(grey)
    if desk is None and not has_dark_ink(grey):
        grey = 255 - grey
    paper = estimate_paper(grey)
    ink = np.maximum(paper, grey) - grey
    if paper.min() < paper.max():
        white = np.percentile(paper[::4, ::4], 95)
        ink = (ink * (white / np.maximum(paper, 1, dtype=np.float32))).clip(0, 255).astype(np.uint8)
        ink[paper < DARKEST_PAPER * white] = 0
    if desk is not None and darkness < DARKEST_SHADOW:
        height, width = grey.shape
        ink[np.asarray(Image.fromarray(widen(desk, 2)).resize((width, height)))] = 0
    return ink


def estimate_paper(grey: np.ndarray) -> np.ndarray:
    """Return the paper without its dark ink: uint8 (H, W)."""
    stroke = max(3, round(min(STROKE * max(grey.shape), STROKE_OF_HEIGHT * len(grey))))
    white = int(grey.max())
    if min(grey.shape) >= MIN_GRAINY:
        # Else the brightest grain of the paper would be all that counts.
        dark = lowest_in_squares(np.pad(grey, 1, constant_values=255), 3)
        grey = highest_in_squares(np.pad(dark, 1), 3)
    # A shadow along an edge may go on beyond it.
    room = [[stroke * _is_shaded(side, grey) for side in pair] for pair in _edges(grey)]
    grey = np.pad(grey, room, "edge")
    paper = _fill_ink(grey, stroke, white)
    (top, bottom), (left, right) = room
    return paper[top : len(paper) - bottom, left : paper.shape[1] - right]


def _fill_ink(grey: np.ndarray, stroke: int, white: int) -> np.ndarray:
    """Fill what is dark and narrower than a stroke: uint8 (H, W)."""
    paper = close(grey, stroke, white)
    if paper.min() > 0.9 * white:
        return paper
    # What is as dark as ink is a desk if it is at the edge, and else where thick strokes meet.
    black = int(grey.min())
    dark = Components(paper <= black + LEAST_LIT * (white - black))
    desk = dark.draw(dark.touch_edge())
    paper[dark.draw(~dark.touch_edge())] = white
    # A square does not fill the corners of a shadow: let the shadow grow into them, but not along
    # what is as narrow as a stroke.
    lit = np.where(desk, white, paper).astype(np.uint8)
    fine = close(grey, max(2, stroke // 8), white)
    step = max(1, stroke // 16)
    while True:
        grown = lowest_in_squares(np.pad(lit, step, constant_values=255), 2 * step + 1)
        grown = np.maximum(np.minimum(grown, lit), fine)
        if np.array_equal(grown, lit):
            return np.where(desk, paper, lit)
        lit = grown


def _edges(grey: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the first and last row, and the first and last column."""
    return [(grey[0], grey[-1]), (grey[:, 0], grey[:, -1])]


def _is_shaded(side: np.ndarray, grey: np.ndarray) -> bool:
    """Tell whether all along an edge it is darker than paper, and lighter than ink."""
    white, black = int(grey.max()), int(grey.min())
    level = np.median(side)
    shaded = np.mean(side < 0.85 * white) > 0.95
    return bool(shaded and level > DARKEST_PAPER * white and level > black + LEAST_LIT * white)


def has_dark_ink(grey: np.ndarray) -> bool:
    """Tell whether a picture is dark on light: uint8 (H, W).

    The right guess leaves the paper more even when its ink is filled. Where both do, what is along
    the edges is paper; or, if much ink touches them, what there is more of.
    """
    small = _shrink(grey)
    stroke = max(3, round(STROKE * max(small.shape)))
    as_dark, as_light = _vary(close(small, stroke)), _vary(close(255 - small, stroke))
    if min(as_dark, as_light) < CLEARLY * max(as_dark, as_light):
        return as_dark < as_light
    threshold = otsu(grey)
    edges = np.concatenate([side for pair in _edges(grey) for side in pair]) > threshold
    if 0.1 < edges.mean() < 0.9:
        return bool((grey > threshold).mean() > 0.5)
    return bool(edges.mean() > 0.5)


def _vary(grey: np.ndarray) -> int:
    """Return the total variation: the sum of all steps from a pixel to the next."""
    levels = grey.astype(np.int16)
    return int(np.abs(np.diff(levels)).sum() + np.abs(np.diff(levels, axis=0)).sum())


def _shrink(grey: np.ndarray) -> np.ndarray:
    scale = min(1, max(SMALL / max(grey.shape), SMALL_SIDE / min(grey.shape)))
    size = [max(1, round(side * scale)) for side in grey.shape[::-1]]
    return np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BOX))


def find_desk(grey: np.ndarray) -> tuple[np.ndarray | None, float]:
    """Find what lies beyond the straight sides of a light sheet with something dark on it.

    Parameters
    ----------
    grey : numpy.ndarray
        uint8, (H, W).

    Returns
    -------
    desk : numpy.ndarray or None
        bool, of a small copy of the picture; None where there is no such sheet.
    darkness : float
        Its brightness as a share of the sheet's; 1 where there is none.
    """
    small = _shrink(grey)
    parts = Components(small > otsu(small))
    if not len(parts):
        return None, 1.0
    largest = parts.area.argmax()
    sheet = parts.draw(np.arange(len(parts)) == largest)
    beyond = Components(np.pad(~sheet, 1, constant_values=True))
    desk = beyond.draw(beyond.left == 0)[1:-1, 1:-1]
    top, bottom, left, right = (
        side[largest] for side in (parts.top, parts.bottom, parts.left, parts.right)
    )
    least = min(bottom - top, right - left)
    marks = ~sheet & ~desk
    if desk.mean() < 0.02 or least < 24 or sheet.mean() < 0.2 or not marks.any():
        return None, 1.0
    mark_top, mark_bottom, mark_left, mark_right = extent(marks)
    whole = ~desk[top:bottom, left:right]
    sides = (whole.argmax(0), whole[::-1].argmax(0), whole.argmax(1), whole[:, ::-1].argmax(1))
    if max(mark_bottom - mark_top, mark_right - mark_left) < 0.1 * least or not all(
        map(_is_straight, sides)
    ):
        return None, 1.0
    return desk, float(np.median(small[desk]) / max(np.median(small[sheet]), 1))


def _is_straight(side: np.ndarray) -> bool:
    """Tell whether the places of a side, int (N,), lie on a line, but for its ends."""
    middle = side[len(side) // 10 : len(side) - len(side) // 10]
    places = np.arange(len(middle))
    slope, start = np.polyfit(places, middle, 1)
    off = np.percentile(np.abs(middle - slope * places - start), 97)
    return bool(abs(slope) < 0.25 and off <= max(1.2, 0.015 * len(side)))
