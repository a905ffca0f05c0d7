"""What the canvas asks of a model, and the examples that it shows beside the answer."""

import contextlib
import functools
import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import nn

from text_recognizer.canvas.pictures import encode_data_uri
from text_recognizer.errors import LabError
from text_recognizer.files import prepared
from text_recognizer.mapping import MAPPING
from text_recognizer.paths import bundled, data_dir
from text_recognizer.reading.character import mark_prepared, prepare
from text_recognizer.reading.recognizer import LineRecognizer, Recognizer
from text_recognizer.strokes import Stroke, sample_strokes

MAX_ANSWERS = 5  # bars of a character, alternatives of a character in a line
MAX_NEAREST = 5
MAX_CLASSES = 1000  # answers that are looked at
MAX_NAME, MAX_LINE = 20, 1000  # letters of a character's name, and characters of a line
MAX_TOTAL = 1.01  # of probabilities, rounded as they may be
MAX_MESSAGE = 300  # letters of an error
MAX_EXAMPLES = 100  # of each class, among which the nearest are looked for
SHIPPED = "shipped network"


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
# What the canvas makes a reader of: a path is that of a checkpoint.
Readable = Reader | str | os.PathLike


def make_readers(
    recognizer: Readable | Mapping[str, Readable] | None, mode: str
) -> dict[str, Reader]:
    """Return what reads, by name, ready to do so at once.

    Raises
    ------
    LabError
        If there is nothing, or something that cannot read in this mode.
    """
    if recognizer is None:
        shipped = Recognizer.pretrained(equal_classes=True) if mode == "character" else None
        recognizer = {SHIPPED: shipped or LineRecognizer.pretrained()}
    if not isinstance(recognizer, Mapping):
        recognizer = {"model": recognizer}
    if not recognizer:
        raise LabError("recognizer is empty: name at least one.")
    return {str(name): _make_reader(model, mode) for name, model in recognizer.items()}


def _make_reader(model: Readable, mode: str) -> Reader:
    if isinstance(model, str | os.PathLike):
        model = LineRecognizer(model) if mode == "line" else Recognizer(model)
    protocol, method = (
        (LineReader, "predict_line") if mode == "line" else (CharacterReader, "predict")
    )
    # A network is callable, but does not read: it needs a mapping to do so.
    if isinstance(model, nn.Module) or not (isinstance(model, protocol) or callable(model)):
        raise LabError(
            f"recognizer={type(model).__name__} cannot read in {mode!r} mode: give a Recognizer, "
            f"something else with a method {method}, or a function."
        )
    # The very first answer takes a second: this one comes before the first stroke. A model that
    # fails shows on the canvas what is wrong.
    with contextlib.suppress(Exception):
        if isinstance(model, LineRecognizer):
            model.predict_line(sample_strokes("a"))
        elif isinstance(model, Recognizer):
            read_character(model, prepare(sample_strokes("a")))
    return model


def describe_error(error: Exception) -> str:
    """Return what went wrong, in one line that any message to a browser can hold."""
    try:
        said = " ".join(str(error)[: MAX_MESSAGE + 1].split())
    except Exception:  # noqa: BLE001 - an exception of a student's own
        said = ""
    if len(said) > MAX_MESSAGE:
        said = f"{said[:MAX_MESSAGE]}..."
    said = make_sendable(said)
    if isinstance(error, LabError):
        return said
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def make_sendable(text: str) -> str:
    """Return a text without halves of characters, which no message to a browser can hold."""
    return text.encode("utf-8", "replace").decode()


def check_image(image) -> torch.Tensor:
    """Return what a preparation made, as the network gets it and the canvas shows it.

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
    if isinstance(image, np.ndarray | torch.Tensor):
        found = f"{str(image.dtype).removeprefix('torch.')} of shape {tuple(image.shape)}"
        if image.shape in ((28, 28), (1, 28, 28)):
            # NumPy's and torch's rarer types and layouts are those that fail here.
            with contextlib.suppress(TypeError, ValueError, RuntimeError):
                if isinstance(image, np.ndarray):
                    image = torch.from_numpy(np.ascontiguousarray(image))
                pixels = image.detach().cpu().reshape(28, 28)
                if pixels.dtype == torch.uint8:
                    return pixels.clone()
                if pixels.is_floating_point():
                    low, high = pixels.min().item(), pixels.max().item()
                    if low >= 0 and high <= 1:
                        return pixels.float().mul(255).round().to(torch.uint8)
                    found = f"values from {low:.3g} to {high:.3g}"
    raise LabError(
        f"prepare= returned {found}: it must return an image of shape (28, 28), uint8 or float "
        "from 0 to 1, white ink on black."
    )


def read_character(model: Reader, image: torch.Tensor, among: str = "") -> dict:
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

    Raises
    ------
    LabError
        If the model returns anything else than characters and probabilities.
    """
    # What is shown is what the model got, whatever it does with it.
    given = mark_prepared(image.clone())
    read: Any = getattr(model, "predict", model)
    answers = read(given, **({"among": among} if among and isinstance(model, Recognizer) else {}))
    try:
        named = _parse_answers(answers, MAX_CLASSES)
        character = named[0][0]
    except (TypeError, ValueError, IndexError):
        raise LabError(
            f"The model returned {answers!r:.60}, not a list of (character, probability)."
        ) from None
    _check_distribution(named)
    if among:
        named = _choose_among(named, among)
        character = named[0][0]
    result = {
        "text": character,
        "answers": [list(pair) for pair in named[:MAX_ANSWERS]],
        "seen": encode_data_uri(image.numpy()),
    }
    with contextlib.suppress(LabError):  # a damaged file of images takes no answer away
        nearest = find_nearest_examples(image, character)
        if len(nearest):
            result["nearest"] = encode_data_uri(np.concatenate(list(nearest.numpy()), axis=1))
    return result


def _choose_among(named: list[tuple[str, float]], among: str) -> list[tuple[str, float]]:
    """Return those answers that are among some characters, with probabilities of sum 1."""
    chosen = [(name, probability) for name, probability in named if name in set(among)]
    total = sum(probability for _, probability in chosen)
    if not total > 0:
        raise LabError(f"The model's answers have none of among={among!r}: {named!r:.60}.")
    return [(name, probability / total) for name, probability in chosen]


def read_line(
    model: Reader,
    strokes: list[Stroke],
    guides: tuple[float, float] | None,
    choices: Mapping[int, tuple[str, str]],
    language: bool = False,
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
        What has been corrected by hand: at which place, which character, and by which.
    language : bool
        Whether a language model has a say; the model is called with `language_model=True`.

    Returns
    -------
    dict
        `text`, `confidences` and `alternatives`.

    Raises
    ------
    LabError
        If the model returns anything else than `LineReader.predict_line` does, or it takes no
        `language_model`.
    """
    read: Any = getattr(model, "predict_line", model)
    if language and not _takes_language(read):
        raise LabError("This model takes no language_model=, as LineRecognizer does.")
    reading = read(strokes, guides=guides, **({"language_model": True} if language else {}))
    try:
        text, confidences, alternatives = reading
        characters = list("".join(text).encode().decode())
        if not len(characters) == len(confidences) == len(alternatives):
            raise ValueError
        count = len(characters)
        if count > MAX_LINE:
            raise LabError(f"The model returned {count:,} characters: a line has {MAX_LINE:,}.")
        confidences = [float(value) for value in confidences]
        alternatives = [_parse_answers(found, MAX_ANSWERS) for found in alternatives]
    except (TypeError, ValueError):
        raise LabError(
            f"The model returned {reading!r:.60}, not a text with a confidence and alternatives "
            "for each of its characters."
        ) from None
    _check_probabilities(confidences)
    for found in alternatives:
        _check_distribution(found)
    for place, (wrong, chosen) in choices.items():
        if characters[place : place + 1] == [wrong]:
            characters[place], confidences[place] = chosen, 1.0
    return {
        "text": "".join(characters),
        "confidences": confidences,
        "alternatives": [[list(pair) for pair in found] for found in alternatives],
    }


def _takes_language(read: Callable) -> bool:
    names = inspect.signature(read).parameters.values()
    return any(p.name == "language_model" or p.kind is p.VAR_KEYWORD for p in names)


def _parse_answers(answers: Iterable, count: int) -> list[tuple[str, float]]:
    """Return the first answers of a model as names and numbers; raise if they are none."""
    parsed = []
    for name, probability in islice(answers, count):
        if not isinstance(name, str | int | np.integer) or len(str(name)) > MAX_NAME:
            raise ValueError("not the name of a character")
        parsed.append((str(name).encode().decode(), float(probability)))
    return parsed


def _check_distribution(answers: Sequence[tuple[str, float]]) -> None:
    _check_probabilities(probability for _, probability in answers)
    total = sum(probability for _, probability in answers)
    if total > MAX_TOTAL:
        raise LabError(
            f"The model returned probabilities that sum to {total:.3g}, which must be 1 at most: "
            "give logits to softmax first."
        )


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
    # In NumPy: torch would wake its threads for this, which takes longer on a busy machine.
    label = MAPPING.index(character) if character in MAPPING else -1
    chosen = images.numpy()[labels.numpy() == label]
    difference = chosen.astype(np.int32) - image.numpy()
    distance = np.square(difference).sum((1, 2))
    return torch.from_numpy(chosen[distance.argsort(kind="stable")[:MAX_NEAREST]])


def _find_prepared_file() -> Path:
    """Return the file of images that is there already: nothing is fetched for a canvas."""
    real = data_dir() / "emnist.h5"
    return real if real.exists() else bundled(prepared.SAMPLE_FILE)


@functools.lru_cache(maxsize=1)
def read_examples(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Return some test images of each class: uint8 (N, 28, 28), and their labels, int64 (N,)."""
    with prepared.open_prepared(path) as file:
        labels = file.read_labels("test").astype(np.int64)
        indices = [np.flatnonzero(labels == label)[:MAX_EXAMPLES] for label in np.unique(labels)]
        chosen = np.concatenate(indices)
        return file.read_images("test", chosen), torch.from_numpy(labels[chosen])
