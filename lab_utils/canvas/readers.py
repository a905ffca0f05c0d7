"""What the canvas asks of a model, and the read_examples it shows beside the answer."""

import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import nn

from lab_utils.canvas.pictures import encode_data_uri
from lab_utils.data import hdf5
from lab_utils.errors import LabError
from lab_utils.mapping import MAPPING
from lab_utils.paths import bundled, data_dir
from lab_utils.reading.character import prepare
from lab_utils.reading.recognizer import LineRecognizer, Recognizer
from lab_utils.strokes import Stroke, sample_strokes

MAX_ANSWERS = 5  # bars of a character, alternatives of a character in a line
MAX_NEAREST = 5
SHIPPED = "shipped network"
MAX_EXAMPLES = 100  # of each class, among which the nearest are looked for


@runtime_checkable
class CharacterReader(Protocol):
    """What reads in "character" mode: `Recognizer`, or anything with this method."""

    def predict(self, image: torch.Tensor, /) -> Sequence[tuple[str, float]]:
        """Return characters with their probabilities, the likeliest first.

        Parameters
        ----------
        image : torch.Tensor
            uint8, (28, 28), white ink on black, as the canvas shows it.
        """
        ...


@runtime_checkable
class LineReader(Protocol):
    """What reads in "line" mode: `LineRecognizer`, or anything with this method."""

    def predict_line(
        self, strokes: list[Stroke], /, *, guides: tuple[float, float] | None
    ) -> tuple[str, Sequence[float], Sequence[Sequence[tuple[str, float]]]]:
        """Return the text, a confidence for each character, and alternatives of each.

        Parameters
        ----------
        strokes : list of Stroke
            The ink.
        guides : tuple of float or None
            y of the x-height and of the baseline, if there are guide lines.
        """
        ...


Reader = CharacterReader | LineReader | Callable


def make_readers(recognizer, mode: str) -> dict[str, Reader]:
    """Return what reads, by name, ready to do so at once."""
    if recognizer is None:
        recognizer = {SHIPPED: Recognizer.pretrained(mode, equal_classes=True)}
    if not isinstance(recognizer, Mapping):
        recognizer = {"model": recognizer}
    if not recognizer:
        raise LabError("recognizer is empty: name at least one.")
    return {str(name): _make_reader(model, mode) for name, model in recognizer.items()}


def _make_reader(model, mode: str) -> Reader:
    if isinstance(model, str | os.PathLike):
        model = LineRecognizer(model) if mode == "line" else Recognizer(model)
    protocol, method = (
        (LineReader, "predict_line") if mode == "line" else (CharacterReader, "predict")
    )
    if isinstance(model, nn.Module) or not (isinstance(model, protocol) or callable(model)):
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


def check_image(image) -> torch.Tensor:
    """Return what a preparation made as the network gets it and the canvas shows it.

    Parameters
    ----------
    image : torch.Tensor or numpy.ndarray
        uint8, or float from 0 to 1; (28, 28) or (1, 28, 28).

    Returns
    -------
    torch.Tensor
        uint8, (28, 28).

    Raises
    ------
    LabError
        If it is anything else.
    """
    found = type(image).__name__
    if isinstance(image, np.ndarray):
        image = torch.from_numpy(np.ascontiguousarray(image)) if image.dtype.kind in "uf" else None
    if isinstance(image, torch.Tensor):
        pixels = image.detach().cpu()
        found = f"{str(pixels.dtype).removeprefix('torch.')} of shape {tuple(pixels.shape)}"
        if pixels.shape in ((28, 28), (1, 28, 28)):
            pixels = pixels.reshape(28, 28)
            if pixels.dtype == torch.uint8:
                return pixels
            if pixels.is_floating_point():
                low, high = pixels.min().item(), pixels.max().item()
                if low >= 0 and high <= 1:
                    return pixels.float().mul(255).round().to(torch.uint8)
                found = f"values from {low:.3g} to {high:.3g}"
    raise LabError(
        f"prepare= returned {found}: it must return an image of shape (28, 28), uint8 or float "
        "from 0 to 1, white ink on black."
    )


def read_character(model, image: torch.Tensor, among: str = "") -> dict:
    """Read one character and find the images that are nearest to it.

    Parameters
    ----------
    model : Recognizer, CharacterReader or callable
        A function takes the image and returns what `CharacterReader.predict` does.
    image : torch.Tensor
        uint8, (28, 28).
    among : str
        The only characters to consider, if there are any.

    Returns
    -------
    dict
        `text`, the likeliest character; `answers`, a list of [character, probability]; `seen` and
        `nearest`, PNGs as data URIs: the image, and images of the likeliest class side by side.
    """
    if isinstance(model, Recognizer):
        # Its predict would prepare the image a second time.
        answers = model.rank(image, MAX_ANSWERS, among or None)
    else:
        answers = getattr(model, "predict", model)(image)
    try:
        named = [(str(name), float(probability)) for name, probability in answers]
        named = _choose_among(named, among)[:MAX_ANSWERS] if among else named[:MAX_ANSWERS]
        character = named[0][0]
    except (TypeError, ValueError, IndexError):
        raise LabError(
            f"The model returned {answers!r:.60}, not a list of (character, probability)."
        ) from None
    _check_probabilities(probability for _, probability in named)
    result = {
        "text": character,
        "answers": [list(pair) for pair in named],
        "seen": encode_data_uri(image.numpy()),
    }
    nearest = find_nearest_examples(image, character)
    if len(nearest):
        result["nearest"] = encode_data_uri(np.concatenate(list(nearest.numpy()), axis=1))
    return result


def _choose_among(named: list[tuple[str, float]], among: str) -> list[tuple[str, float]]:
    """Return those answers that are among some characters, with probabilities of sum 1."""
    chosen = [(name, probability) for name, probability in named if name in among]
    total = sum(probability for _, probability in chosen)
    if not total > 0:
        raise LabError(f"The model's answers have none of among={among!r}: {named!r:.60}.")
    return [(name, probability / total) for name, probability in chosen]


def read_line(
    model,
    strokes: list[Stroke],
    guides: tuple[float, float] | None,
    choices: Mapping[int, tuple[str, str]],
) -> dict:
    """Read a line.

    Parameters
    ----------
    model : LineReader or callable
        A function takes and returns what `LineReader.predict_line` does.
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
            [[str(name), float(probability)] for name, probability in found[:MAX_ANSWERS]]
            for found in alternatives
        ]
        if not len(text) == len(confidences) == len(alternatives):
            raise ValueError
    except (TypeError, ValueError):
        raise LabError(
            f"The model returned {reading!r:.60}, not a text with a confidence and alternatives "
            "for each of its characters."
        ) from None
    _check_probabilities(confidences)
    _check_probabilities(probability for found in alternatives for _, probability in found)
    characters = list(text)
    for place, (read, chosen) in choices.items():
        if characters[place : place + 1] == [read]:
            characters[place], confidences[place] = chosen, 1.0
    text = "".join(characters)
    return {"text": text, "confidences": confidences, "alternatives": alternatives}


def _check_probabilities(values: Iterable[float]) -> None:
    wrong = [value for value in values if not 0 <= value <= 1]  # and so is what is not a number
    if wrong:
        raise LabError(
            f"The model returned {wrong[0]:.3g} as a probability, which must be from 0 to 1: give "
            "logits to softmax first."
        )


def find_nearest_examples(image: torch.Tensor, character: str) -> torch.Tensor:
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
    images, labels = read_examples(_find_prepared_file())
    chosen = images[labels == (MAPPING.index(character) if character in MAPPING else -1)]
    distance = (chosen.float() - image).square().sum((1, 2))
    return chosen[distance.argsort()[:MAX_NEAREST]]


def _find_prepared_file() -> Path:
    """Return the file of images that is there already: nothing is fetched for a canvas."""
    real = data_dir() / "emnist.h5"
    return real if real.exists() else bundled(hdf5.SAMPLE_FILE)


@functools.lru_cache(maxsize=1)
def read_examples(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Return some test images of each class: uint8 (N, 28, 28), and their labels, int64 (N,)."""
    with hdf5.open_prepared(path) as file:
        labels = file.read_labels("test").astype(np.int64)
        indices = [np.flatnonzero(labels == label)[:MAX_EXAMPLES] for label in np.unique(labels)]
        chosen = np.concatenate(indices)
        return file.read_images("test", chosen), torch.from_numpy(labels[chosen])
