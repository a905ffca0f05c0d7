"""What the canvas asks of a model, and the examples it shows beside the answer."""

import functools
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn

from lab_utils.canvas.pictures import _data_uri
from lab_utils.data import hdf5
from lab_utils.errors import LabError
from lab_utils.mapping import MAPPING
from lab_utils.paths import bundled, data_dir
from lab_utils.reading.character import prepare
from lab_utils.reading.recognizer import LineRecognizer, Recognizer
from lab_utils.strokes import Stroke, sample_strokes

ANSWERS = 5  # bars of a character, alternatives of a character in a line
NEAREST = 5
SHIPPED = "shipped network"
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
    return real if real.exists() else bundled(hdf5.SAMPLE)


@functools.lru_cache(maxsize=1)
def examples(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Return some test images of each class: uint8 (N, 28, 28), and their labels, int64 (N,)."""
    labels = hdf5.read_labels(path, "test").astype(np.int64)
    indices = [np.flatnonzero(labels == label)[:EXAMPLES] for label in np.unique(labels)]
    chosen = np.concatenate(indices)
    return hdf5.read_images(path, "test", chosen), torch.from_numpy(labels[chosen])
