"""What the canvas asks of a model, and what it makes of the answer."""

import contextlib
import functools
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from text_recognizer.canvas.pictures import encode_data_uri
from text_recognizer.canvas.script import MAX_ANSWERS
from text_recognizer.errors import LabError, show
from text_recognizer.files import prepared
from text_recognizer.language import _
from text_recognizer.mapping import MAPPING
from text_recognizer.paths import bundled
from text_recognizer.reading.character import mark_prepared, prepare
from text_recognizer.reading.recognizer import LineRecognizer, Recognizer
from text_recognizer.strokes import Stroke, sample_strokes

METHODS = {"character": "predict", "line": "predict_line"}
MAX_NEAREST = 5  # images that are shown beside an answer
MAX_NAME, MAX_LINE = 20, 1000  # letters of a character's name, and characters of a line
MAX_TOTAL = 1.01  # of probabilities, rounded as they may be
MAX_MESSAGE = 300  # letters of an error


class Reader(Protocol):
    """What reads: a function, or an object whose method in `METHODS` is called in the same way.

    A character is an image, uint8 (28, 28); what comes back are (character, probability) pairs, the
    likeliest first. A line is a list of `Stroke`, with `guides=`, y of the x-height and of the
    baseline or None; what comes back is a `LineReading`, or a tuple of its parts.
    """

    def __call__(self, drawing: torch.Tensor | list[Stroke], /, **how: Any) -> Sequence: ...


def make_readers(recognizer: Any, mode: str) -> dict[str, Any]:
    """Return what reads, by name, ready to do so at once; raise if it cannot in this mode."""
    if recognizer is None:
        made = LineRecognizer.pretrained() if mode == "line" else Recognizer.pretrained(True)
        recognizer = {"shipped network": made}
    if not isinstance(recognizer, Mapping):
        recognizer = {"model": recognizer}
    if not recognizer:
        raise LabError("recognizer is empty: name at least one.")
    return {str(name): _make_reader(model, mode) for name, model in recognizer.items()}


def _make_reader(model: Any, mode: str) -> Any:
    if isinstance(model, str | os.PathLike):
        model = LineRecognizer(model) if mode == "line" else Recognizer(model)
    # A network is callable, but does not read: it needs a mapping to do so.
    if isinstance(model, nn.Module) or not callable(_find_method(model, mode)):
        raise LabError(
            f"recognizer={type(model).__name__} cannot read in {mode!r} mode: give a Recognizer, "
            f"something else with a method {METHODS[mode]}, or a function."
        )
    # The very first answer takes a second: this one comes before the first stroke. A model that
    # fails shows on the canvas what is wrong.
    with contextlib.suppress(Exception):
        if isinstance(model, LineRecognizer):
            model.predict_line(sample_strokes("a"))
        elif isinstance(model, Recognizer):
            read_character(model, prepare(sample_strokes("a")))
    return model


def _find_method(model: Any, mode: str) -> Reader:
    return getattr(model, METHODS[mode], model)


def knows_english(model: Any) -> bool:
    """Tell whether something reads lines with a language model of English."""
    return isinstance(model, LineRecognizer) and bool(getattr(model.model, "uses_ctc", False))


def describe_error(error: Exception) -> str:
    """Return what went wrong, in one line that any message to a browser can hold."""
    said = " ".join(str(error)[: MAX_MESSAGE + 1].split())
    said = said if len(said) <= MAX_MESSAGE else f"{said[:MAX_MESSAGE]}..."
    said = said.encode("utf-8", "replace").decode()  # no halves of characters
    name = type(error).__name__
    return said if isinstance(error, LabError) else f"{name}: {said}" if said else name


def check_image(image: Any) -> torch.Tensor:
    """Return an image that a preparation made as the network gets it: uint8, (28, 28).

    It may be uint8 or float from 0 to 1, of NumPy or torch, (28, 28) or (1, 28, 28).
    """
    with contextlib.suppress(TypeError):  # NumPy has types that torch has not, such as texts
        pixels = torch.from_numpy(image.copy()) if isinstance(image, np.ndarray) else image
        if isinstance(pixels, torch.Tensor) and pixels.shape in ((28, 28), (1, 28, 28)):
            pixels = pixels.detach().cpu().reshape(28, 28)
            if pixels.dtype == torch.uint8:
                return pixels.clone()
            if pixels.is_floating_point() and pixels.min() >= 0 and pixels.max() <= 1:
                return pixels.float().mul(255).round().to(torch.uint8)
    found = show(image)
    if isinstance(image, np.ndarray | torch.Tensor):
        found = _(f"{str(image.dtype).removeprefix('torch.')} of shape {tuple(image.shape)}")
    raise LabError(
        f"prepare= returned {found}: it must return an image of shape (28, 28), uint8 or float "
        "from 0 to 1, white ink on black."
    )


def read_character(
    model: Any, image: torch.Tensor, among: str = "", strokes: Sequence[Stroke] = ()
) -> dict:
    """Read one character in an image, uint8 (28, 28), only those in `among` if there are any.

    The result has `text`, the likeliest character; `answers`, a list of [character, probability];
    `unknown`, True where the image, or the strokes that it was made of, show no character; and PNGs
    as data URIs: `seen`, the image, and `nearest`, images of that character side by side.
    """
    given = mark_prepared(image.clone())  # what is shown is what the model got, whatever it does
    how = {"among": among} if among and isinstance(model, Recognizer) else {}
    returned: Any = _find_method(model, "character")(given, **how)
    try:
        answers = _parse_answers(returned)
        if not answers:
            raise ValueError
    except (TypeError, ValueError):
        raise LabError(
            f"The model returned {returned!r:.60}, not a list of (character, probability) with "
            "probabilities that sum to 1 at most: give logits to softmax first."
        ) from None
    if among:
        chosen = [(name, probability) for name, probability in answers if name in set(among)]
        total = sum(probability for _, probability in chosen)
        if not total > 0:
            raise LabError(f"The model's answers have none of among={among!r}: {answers!r:.60}.")
        answers = [[name, probability / total] for name, probability in chosen]
    result: dict[str, Any] = {
        "text": answers[0][0],
        "answers": answers[:MAX_ANSWERS],
        "seen": encode_data_uri(image.numpy()),
    }
    if isinstance(model, Recognizer) and not model.is_known(image, strokes):
        result["unknown"] = True
    if len(nearest := find_nearest_examples(image.numpy(), answers[0][0])):
        result["nearest"] = encode_data_uri(np.concatenate([*nearest], axis=1))
    return result


def find_nearest_examples(image: np.ndarray, character: str) -> np.ndarray:
    """Return the test images of a character that differ least from an image, pixel by pixel.

    They are the bundled sample's, uint8 (N, 28, 28), the nearest first.
    """
    images, names = _read_examples()
    # In NumPy: torch would wake its threads for this, which takes longer on a busy machine.
    chosen = images[names == character]
    distance = np.square(chosen.astype(np.int32) - image).sum((1, 2))
    return chosen[distance.argsort(kind="stable")[:MAX_NEAREST]]


@functools.cache
def _read_examples() -> tuple[np.ndarray, np.ndarray]:
    with prepared.open_prepared(bundled(prepared.SAMPLE_FILE)) as file:
        return file.read_images("test").numpy(), np.array(MAPPING)[file.read_labels("test")]


def read_line(
    model: Any,
    strokes: list[Stroke],
    guides: tuple[float, float] | None,
    choices: Mapping[int, tuple[str, str]],
    language_model: bool = False,
) -> dict:
    """Read a line; the result has `text`, `confidences` and `alternatives`.

    `choices` has what was corrected by hand: at which place, which character, and by which.
    """
    how = {"language_model": True} if language_model and knows_english(model) else {}
    returned: Any = _find_method(model, "line")(strokes, guides=guides, **how)
    try:
        text, confidences, alternatives = returned
        characters = list("".join(text).encode().decode())
        confidences = [_check_probability(value) for value in confidences]
        alternatives = [_parse_answers(answers)[:MAX_ANSWERS] for answers in alternatives]
        if not MAX_LINE >= len(characters) == len(confidences) == len(alternatives):
            raise ValueError
    except (TypeError, ValueError):
        raise LabError(
            f"The model returned {returned!r:.60}, not a text of at most {MAX_LINE:,} characters "
            "with a confidence and alternatives for each: probabilities, as softmax gives them."
        ) from None
    for place, (wrong, chosen) in choices.items():
        if characters[place : place + 1] == [wrong]:
            characters[place], confidences[place] = chosen, 1.0
    text = "".join(characters)
    return {"text": text, "confidences": confidences, "alternatives": alternatives}


def _parse_answers(answers: Iterable) -> list[list]:
    """Return the answers of a model, [name, probability]; raise if they are none."""
    parsed: list[list] = []
    for name, probability in answers:
        if not isinstance(name, str | int | np.integer) or len(str(name)) > MAX_NAME:
            raise ValueError("not the name of a character")
        parsed.append([str(name).encode().decode(), _check_probability(probability)])
    if sum(probability for _, probability in parsed) > MAX_TOTAL:
        raise ValueError("more than 1 in all")
    return parsed


def _check_probability(value: Any) -> float:
    if not 0 <= float(value) <= 1:  # and so is what is not a number
        raise ValueError("not a probability")
    return float(value)
