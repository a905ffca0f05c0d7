"""The ink of a canvas: strokes as texts for the browser, and how much of it there may be."""

import contextlib
from collections.abc import Iterable

from text_recognizer.canvas.script import MAX_INK
from text_recognizer.errors import LabError
from text_recognizer.strokes import Stroke, decode, encode, to_strokes

FULL = "The canvas is full: clear it first."


def encode_all(strokes: Iterable[Stroke], _widget: object = None) -> list[str]:
    """Return strokes as texts."""
    return [encode(stroke) for stroke in strokes]


def decode_all(texts: list[str], _widget: object = None) -> list[Stroke]:
    """Return texts as strokes; raise where they are none, or more than a canvas can hold."""
    if sum(map(len, texts)) > MAX_INK:  # before the time is spent
        raise LabError(FULL)
    return [decode(text) for text in texts]


def check_strokes(drawing) -> list[Stroke]:
    """Return a drawing as strokes; raise where it is none, or more than a canvas can hold."""
    with contextlib.suppress(TypeError):  # `to_strokes` says what is wrong
        drawing = list(drawing)
        # A point takes four letters or more: millions of them are refused before they are read.
        if sum(map(len, drawing)) > MAX_INK / 4:
            raise LabError(FULL)
    strokes = to_strokes(drawing)
    if sum(map(len, encode_all(strokes))) > MAX_INK:
        raise LabError(FULL)
    return strokes
