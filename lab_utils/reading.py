"""What the canvas shows of its ink: a model's answers, and pictures of what it sees."""

import base64
import functools
import io
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import nn

from lab_utils import prepared
from lab_utils.data import MAPPING
from lab_utils.preparation import prepare
from lab_utils.recognizer import LineRecognizer, Recognizer
from lab_utils.settings import LabError, bundled, data_dir
from lab_utils.strokes import HEIGHT, Stroke, sample_strokes

ANSWERS = 5  # bars of a character, alternatives of a character in a line
NEAREST = 5
SHIPPED = "shipped network"
INK = "#1f2328"
EXAMPLES = 100  # of each class, among which the nearest are looked for


def readers(recognizer, mode: str) -> dict[str, object]:
    """Return what reads, by name, ready to do so at once."""
    if recognizer is None:
        recognizer = {SHIPPED: Recognizer.pretrained(mode, equal_classes=True)}
    if not isinstance(recognizer, Mapping):
        recognizer = {"model": recognizer}
    if not recognizer:
        raise LabError("recognizer is empty: name at least one.")
    return {str(name): _reader(model, mode) for name, model in recognizer.items()}


def _reader(model, mode: str):
    method = "predict_line" if mode == "line" else "predict"
    if isinstance(model, str | os.PathLike):
        model = LineRecognizer(model) if mode == "line" else Recognizer(model)
    if isinstance(model, nn.Module) or not (hasattr(model, method) or callable(model)):
        raise LabError(
            f"recognizer={type(model).__name__} cannot read in {mode!r} mode: give a Recognizer, "
            f"something else with a method {method}, or a function."
        )
    # The first answer of all takes a second, so it is not that to the first stroke.
    if isinstance(model, LineRecognizer):
        model.predict_line(sample_strokes("a"))
    elif isinstance(model, Recognizer):
        read_character(model, prepare(sample_strokes("a")))
    return model


def read_character(model, image: torch.Tensor) -> dict:
    """Read one character and find the images that are nearest to it.

    Parameters
    ----------
    model : object or callable
        Has a method `predict`, or is called: either takes the image and returns a list of
        (character, probability), the likeliest first.
    image : torch.Tensor
        uint8, (28, 28).

    Returns
    -------
    dict
        `text`, the likeliest character; `answers`, a list of [character, probability]; `seen` and
        `nearest`, PNGs as data URIs: the image, and images of the likeliest class side by side.
    """
    answers = getattr(model, "predict", model)(image)
    try:
        answers = [[str(name), float(probability)] for name, probability in answers][:ANSWERS]
        character = answers[0][0]
    except (TypeError, ValueError, IndexError):
        raise LabError(
            f"The model returned {answers!r:.60}, not a list of (character, probability)."
        ) from None
    result = {"text": character, "answers": answers, "seen": _data_uri(image.numpy())}
    nearest = nearest_examples(image, character)
    if len(nearest):
        result["nearest"] = _data_uri(np.concatenate(list(nearest.numpy()), axis=1))
    return result


def read_line(
    model,
    strokes: list[Stroke],
    guides: tuple[float, float] | None,
    choices: Mapping[int, tuple[str, str]],
) -> dict:
    """Read a line.

    Parameters
    ----------
    model : object or callable
        Has a method `predict_line`, or is called: either takes the strokes and `guides`, and
        returns the text, a confidence for each character, and for each character a list of
        (character, probability), the likeliest first.
    strokes : list of Stroke
    guides : tuple of float or None
        y of the x-height and of the baseline, where the line was written between guide lines.
    choices : mapping of int to tuple of str
        What a reader of the line has put right: at which place which character stands for which.

    Returns
    -------
    dict
        `text`, `confidences` and `alternatives`.
    """
    reading = getattr(model, "predict_line", model)(strokes, guides=guides)
    try:
        text, confidences, alternatives = reading
        confidences = [float(value) for value in confidences]
        alternatives = [
            [[str(name), float(probability)] for name, probability in found[:ANSWERS]]
            for found in alternatives
        ]
        if not len(text) == len(confidences) == len(alternatives):
            raise ValueError
    except (TypeError, ValueError):
        raise LabError(
            f"The model returned {reading!r:.60}, not a text with a confidence and alternatives "
            "for each of its characters."
        ) from None
    characters = list(text)
    for place, (read, chosen) in choices.items():
        if characters[place : place + 1] == [read]:
            characters[place], confidences[place] = chosen, 1.0
    text = "".join(characters)
    return {"text": text, "confidences": confidences, "alternatives": alternatives}


def nearest_examples(image: torch.Tensor, character: str) -> torch.Tensor:
    """Return the test images of a character that differ least from an image, pixel by pixel.

    They are EMNIST's where it has been prepared, else the bundled sample's.

    Parameters
    ----------
    image : torch.Tensor
        uint8, (28, 28).
    character : str
        Whose images to compare with.

    Returns
    -------
    torch.Tensor
        uint8, (at most 5, 28, 28), the nearest first; none where the data has no such character.
    """
    images, labels = examples(_prepared_file())
    chosen = images[labels == (MAPPING.index(character) if character in MAPPING else -1)]
    distance = (chosen.float() - image).square().sum((1, 2))
    return chosen[distance.argsort()[:NEAREST]]


def _prepared_file() -> Path:
    """Return the file of images that is there already: nothing is fetched for a canvas."""
    real = data_dir() / "emnist.h5"
    return real if real.exists() else bundled(prepared.SAMPLE)


@functools.lru_cache(maxsize=1)
def examples(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Return some test images of each class: uint8 (N, 28, 28), and their labels, int64 (N,)."""
    labels = prepared.read_labels(path, "test").astype(np.int64)
    indices = [np.flatnonzero(labels == label)[:EXAMPLES] for label in np.unique(labels)]
    chosen = np.concatenate(indices)
    return prepared.read_images(path, "test", chosen), torch.from_numpy(labels[chosen])


def _data_uri(pixels: np.ndarray) -> str:
    return "data:image/png;base64," + base64.b64encode(_png(Image.fromarray(pixels))).decode()


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, format="PNG", optimize=True)
    return file.getvalue()


def still(strokes: list[Stroke], width: int, result: dict) -> bytes:
    """Draw the ink and what was read, for where there is no browser to show the canvas.

    Parameters
    ----------
    strokes : list of Stroke
    width : int
        Of the canvas, in its units.
    result : dict
        The canvas's result.

    Returns
    -------
    bytes
        A PNG, twice as large as the canvas's units.
    """
    size = (width + 260, HEIGHT) if "answers" in result else (width, HEIGHT + 60)
    # Drawn four times as large and then halved, for smooth edges.
    sheet = Image.new("RGB", tuple(4 * side for side in size), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(60)
    frame = (2, 2, 4 * width - 3, 4 * HEIGHT - 3)
    pen.rounded_rectangle(frame, radius=32, outline="#d0d7de", width=4)
    for stroke in strokes:
        points = [(4 * x, 4 * y) for x, y, *_ in stroke]
        pen.line(points, fill=INK, width=20, joint="curve")
        for x, y in (points[0], points[-1]):
            pen.ellipse((x - 10, y - 10, x + 10, y + 10), fill=INK)
    for row, (character, probability) in enumerate(result.get("answers", [])):
        left, y = 4 * width + 80, 88 + 152 * row
        pen.text((left, y), character, font=font, fill=INK)
        bar = (left + 100, y + 12, left + 108 + 560 * probability, y + 60)
        pen.rounded_rectangle(bar, radius=12, fill="#1f5fbf" if row == 0 else "#a9c5ef")
        share = "<1%" if probability < 0.01 else f"{probability:.0%}"
        pen.text((left + 700, y), share, font=font, fill="#57606a")
    if "answers" not in result:
        told = result.get("error") or result.get("text", "")
        colour = "#b3261e" if "error" in result else INK
        pen.text((32, 4 * HEIGHT + 60), told, font=font.font_variant(size=96), fill=colour)
    return _png(sheet.reduce(2).quantize(64))
