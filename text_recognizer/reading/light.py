"""Tells ink from its background, where light, shadows and the desk beside the sheet differ."""

import numpy as np
from PIL import Image

from text_recognizer.reading.masks import Components, Ink, close, dilate, erode, find_extent, widen

MAX_STROKE = 0.25  # of the longer side: what is wider than that is background, however dark
MAX_STROKE_OF_HEIGHT = 0.6  # ... and of the height, which is little in a picture of a line
MIN_GRAINY_SIDE = 100  # pixels: the shorter side of a picture that shows the paper's grain
MIN_BACKGROUND = 0.3  # of the lightest background: nothing is read where it is darker
MIN_SHADOW = 0.2  # of the way from ink to background: a shadow is lighter than that
MAX_SHADOW = 0.85  # of the lightest background: a shadow along an edge is darker than that
MAX_UNEVENNESS = 0.8  # of the other's: the background that is so much more even is the right one
COPY_SIDE, MIN_COPY_SIDE = 128, 48  # pixels: the longer side of a small copy; its shorter one
MIN_DESK, MIN_SHEET = 0.02, 0.2  # of the picture: a dark border is no desk, a label no sheet
MAX_DESK = 0.45  # of the sheet's brightness: a desk is erased where it is darker


def remove_background(grey: np.ndarray) -> np.ndarray:
    """Return the ink of a picture, uint8 (H, W), light on an evenly lit black background."""
    # The background is what stays when all that is narrower than a wide stroke is filled; ink is
    # what is darker, as a share of the background's own brightness there.
    desk, brightness = find_desk(grey)
    if desk is None and not has_dark_ink(grey):
        grey = 255 - grey
    background = estimate_background(grey)
    ink = np.maximum(background, grey) - grey
    if background.min() < background.max():
        white = np.percentile(background[::4, ::4], 95)
        light = white / np.maximum(background, 1, dtype=np.float32)
        ink = (ink * light).clip(0, 255).astype(np.uint8)
        ink[background < MIN_BACKGROUND * white] = 0
    if desk is not None and brightness < MAX_DESK:
        ink[np.asarray(Image.fromarray(widen(desk, 2)).resize(grey.shape[::-1]))] = 0
    return ink


def estimate_background(grey: np.ndarray) -> np.ndarray:
    """Return a picture without its dark ink: uint8 (H, W)."""
    stroke = max(3, round(min(MAX_STROKE * max(grey.shape), MAX_STROKE_OF_HEIGHT * len(grey))))
    white = int(grey.max())
    if min(grey.shape) >= MIN_GRAINY_SIDE:
        # Without this, the brightest grain of the paper would be taken for the background.
        grey = dilate(np.pad(erode(np.pad(grey, 1, constant_values=255), 3), 1), 3)
    # A shadow along an edge may go on beyond it.
    room = [[stroke * _is_shaded(side, grey) for side in pair] for pair in _list_edges(grey)]
    background = _fill_ink(np.pad(grey, room, "edge"), stroke, white)
    (top, bottom), (left, right) = room
    return background[top : len(background) - bottom, left : background.shape[1] - right]


def _fill_ink(grey: np.ndarray, stroke: int, white: int) -> np.ndarray:
    """Fill what is dark and narrower than a stroke: uint8 (H, W)."""
    background = close(grey, stroke, white)
    if background.min() > 0.9 * white:
        return background
    # What is as dark as ink is a desk if it is at the edge, and else where thick strokes meet.
    black = int(grey.min())
    desk = is_dark = background <= black + MIN_SHADOW * (white - black)
    if is_dark.any():
        parts = Components(is_dark)
        desk = parts.keep(parts.touch_edge()).draw()
        background[is_dark & ~desk] = white
    # A square does not fill the corners of a shadow: let the shadow grow into them, but not along
    # what is as narrow as a stroke.
    step = max(1, stroke // 16)
    framed = np.pad(np.where(desk, white, background).astype(np.uint8), step, constant_values=255)
    lit = framed[step:-step, step:-step]
    fine = close(grey, max(2, stroke // 8), white)
    top, left, (bottom, right) = 0, 0, lit.shape
    while True:
        inside = slice(top, bottom), slice(left, right)
        around = framed[top : bottom + 2 * step, left : right + 2 * step]
        grown = np.maximum(np.minimum(erode(around, 2 * step + 1), lit[inside]), fine[inside])
        changed = grown != lit[inside]
        if not changed.any():
            return np.where(desk, background, lit)
        lit[inside] = grown
        # Only what is near to a change can change next.
        first, last, leftmost, rightmost = find_extent(changed)
        top, bottom = max(top + first - step, 0), top + last + step
        left, right = max(left + leftmost - step, 0), left + rightmost + step


def _list_edges(grey: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the first and last row, and the first and last column."""
    return [(grey[0], grey[-1]), (grey[:, 0], grey[:, -1])]


def _is_shaded(side: np.ndarray, grey: np.ndarray) -> bool:
    """Tell whether all along an edge it is darker than the background, and lighter than ink."""
    white, black = int(grey.max()), int(grey.min())
    level = np.median(side)
    shaded = np.mean(side < MAX_SHADOW * white) > 0.95  # but for a few bright pixels
    return bool(shaded and level > MIN_BACKGROUND * white and level > black + MIN_SHADOW * white)


def has_dark_ink(grey: np.ndarray) -> bool:
    """Tell whether a picture, uint8 (H, W), is dark on light."""
    # The right guess leaves a more even background when its ink is filled. Where both do, what is
    # along the edges is background; or, if much ink touches them, what there is more of.
    small = _shrink(grey)
    stroke = max(3, round(MAX_STROKE * max(small.shape)))
    as_dark, as_light = (_measure_unevenness(close(way, stroke)) for way in (small, 255 - small))
    if min(as_dark, as_light) < MAX_UNEVENNESS * max(as_dark, as_light):
        return as_dark < as_light
    light = Ink.measure(grey).mask
    edges = np.concatenate([side for pair in _list_edges(light) for side in pair])
    return bool((light if 0.1 < edges.mean() < 0.9 else edges).mean() > 0.5)


def _measure_unevenness(grey: np.ndarray) -> int:
    """Return the total variation: the sum of all steps from a pixel to the next."""
    levels = grey.astype(np.int16)
    return int(np.abs(np.diff(levels)).sum() + np.abs(np.diff(levels, axis=0)).sum())


def _shrink(grey: np.ndarray) -> np.ndarray:
    """Return a small copy, in which dark is told from light, and a sheet from a desk."""
    scale = min(1, max(COPY_SIDE / max(grey.shape), MIN_COPY_SIDE / min(grey.shape)))
    size = [max(1, round(side * scale)) for side in grey.shape[::-1]]
    return np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BOX))


def find_desk(grey: np.ndarray) -> tuple[np.ndarray | None, float]:
    """Find a desk round a straight, light sheet with something dark on it.

    Returns bool, of a small copy of the picture, or None; and its share of the sheet's brightness.
    """
    small = _shrink(grey)
    parts = Ink.measure(small).parts
    if not len(parts.area):
        return None, 1.0
    sheet = parts.keep(np.arange(len(parts.area)) == parts.area.argmax()).draw()
    top, bottom, left, right = find_extent(sheet)
    beyond = Components(~sheet)
    desk = beyond.keep(beyond.touch_edge()).draw()
    shorter, marks = min(bottom - top, right - left), ~sheet & ~desk
    is_sheet = shorter >= 24 and sheet.mean() >= MIN_SHEET  # pixels of the copy
    if not (is_sheet and desk.mean() >= MIN_DESK and marks.any()):
        return None, 1.0
    mark_top, mark_bottom, mark_left, mark_right = find_extent(marks)
    whole = ~desk[top:bottom, left:right]
    sides = (whole.argmax(0), whole[::-1].argmax(0), whole.argmax(1), whole[:, ::-1].argmax(1))
    is_written_on = max(mark_bottom - mark_top, mark_right - mark_left) >= 0.1 * shorter
    if not (is_written_on and all(map(_is_straight, sides))):
        return None, 1.0
    return desk, float(np.median(small[desk]) / max(np.median(small[sheet]), 1))


def _is_straight(side: np.ndarray) -> bool:
    """Tell whether the places of a side, int (N,), lie on a line, but for its ends."""
    middle = side[len(side) // 10 : len(side) - len(side) // 10]
    places = np.arange(len(middle))
    slope, start = np.polyfit(places, middle, 1)
    off = np.percentile(np.abs(middle - slope * places - start), 97)  # a few may lie elsewhere
    return bool(abs(slope) < 0.25 and off <= max(1.2, 0.015 * len(side)))
