"""Reads a character or a line, in a picture or a drawing, with a shipped network or one's own."""

import functools
import json
import os
from collections.abc import Iterable
from typing import NamedTuple, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from text_recognizer.errors import (
    LabError,
    check_bool,
    check_choice,
    check_int,
    check_number,
    missing_or_damaged,
    show,
)
from text_recognizer.mapping import BLANK, MAPPING, SPECIAL_TOKENS, text_of
from text_recognizer.models.ctc import CharacterLanguageModel, align, beam_search
from text_recognizer.models.registry import LineNetwork, build_network, reads_lines
from text_recognizer.models.weights import UNREADABLE, compute_checksum, load_network
from text_recognizer.paths import bundled
from text_recognizer.reading.character import prepare
from text_recognizer.reading.lattice import read_strokes
from text_recognizer.reading.line import place_strokes, prepare_line
from text_recognizer.reading.pen import curves_of
from text_recognizer.reading.unread import UNREAD, find_unread

WEIGHTS = {"character": "character_weights.safetensors", "line": "line_weights.safetensors"}
LANGUAGE = "language_model.npz"
WEIGHT, BONUS, BEAMS = 0.5, 1.5, 16  # of the language model: see `beam_search`
SMALLEST = 1e-6  # temperature
ALTERNATIVES = 5  # for each character of a line
MAX_BATCH = 500  # images that a network reads at a time


class Recognizer:
    """Tells which character a picture shows, and how sure it is.

    Parameters
    ----------
    model : torch.nn.Module or path
        A network that maps float32 (B, 1, 28, 28) in [0, 1] to logits (B, number of classes), or a
        checkpoint of `run_experiment`.
    mapping : list of str, optional
        The character of each class; a checkpoint brings its own.
    temperature : float
        What logits are divided by, so that a probability of 0.8 is right in 8 cases of 10.
    expected : list of float, optional
        How many times as frequent each class is in what is read as it was in what was trained on.

    References
    ----------
    Guo et al., "On calibration of modern neural networks", 2017, for the temperature.
    """

    def __init__(
        self,
        model: nn.Module | str | os.PathLike,
        mapping: list[str] | None = None,
        temperature: float = 1.0,
        expected: list[float] | None = None,
    ):
        if isinstance(model, str | os.PathLike):
            model, own_mapping = load_network(model)
            mapping = mapping or own_mapping
        if not isinstance(model, nn.Module):
            raise LabError(f"model={show(model)} must be a network or the path of a checkpoint.")
        is_list = isinstance(mapping, list | tuple)
        if mapping is None or (is_list and not mapping):
            raise LabError("mapping is missing: give the one of the data, such as data.mapping.")
        if not is_list or not all(isinstance(name, str) for name in mapping):
            raise LabError(
                f"mapping={show(mapping)} must be a list of characters, such as data.mapping."
            )
        temperature = check_number("temperature", temperature, SMALLEST, wanted="more than 0")
        if expected is not None:
            if not isinstance(expected, list | tuple):
                raise LabError(
                    f"expected={show(expected)} must be a list with a number for each class."
                )
            if len(expected) != len(mapping):
                raise LabError(
                    f"expected has {len(expected)} entries, but mapping has {len(mapping)}."
                )
            for i, value in enumerate(expected):
                check_number(f"expected[{i}]", value)
        self.model = model
        self.mapping = list(mapping)
        self.temperature = temperature
        is_character = torch.tensor([float(name not in SPECIAL_TOKENS) for name in self.mapping])
        self.refuses = False  # the shipped network does: it has learned what is no character
        self._expected = is_character * torch.tensor(expected or [1.0] * len(self.mapping))

    @property
    def expected(self) -> torch.Tensor:
        """How frequent each class is, (number of classes,), float32: 0 for what is no answer."""
        return self._expected

    @classmethod
    def pretrained(cls, kind: str = "character", equal_classes: bool = False):
        """Return a recogniser with a network that ships with the lab.

        It reads the 62 characters of EMNIST, or lines of them and punctuation;
        `data/MODEL_CARD.md` says how well.

        Parameters
        ----------
        kind : {"character", "line"}
            What it reads.
        equal_classes : bool
            Whether all characters are equally frequent in what is read. Otherwise they are as
            frequent as in EMNIST, where O is more likely than o before anything is seen. It suits
            letters of both cases, mixed (photographs of all 62 characters: 0.774 against 0.747
            read), and costs on digits (0.886 against 0.916); where only digits are written,
            `predict(image, among="0123456789")` is better than either (0.998).

        Returns
        -------
        Recognizer or LineRecognizer
        """
        check_choice("kind", kind, WEIGHTS)
        check_bool("equal_classes", equal_classes)
        model, described = _shipped(WEIGHTS[kind])
        if kind == "line":
            characters = cls.pretrained(equal_classes=True)
            return LineRecognizer(model, described["temperature"], characters)
        shares = described["frequencies"]
        expected = [1 / share if share else 0.0 for share in shares] if equal_classes else None
        recognizer = cls(model, described["mapping"], described["temperature"], expected)
        recognizer.refuses = described.get("refuses", False)
        return recognizer

    def predict(
        self, image, top_k: int = 5, among: Iterable[str] | None = None
    ) -> list[tuple[str, float]]:
        """Read one character.

        Parameters
        ----------
        image : path, PIL.Image.Image, array, tensor, or list of strokes
            As for `prepare`.
        top_k : int
            How many of the likeliest characters to return.
        among : str or list of str, optional
            The only characters to consider, such as "0123456789". If there are fewer than `top_k`,
            all of them are returned.

        Returns
        -------
        list of tuple[str, float]
            Characters with their probabilities, the likeliest first.

        Raises
        ------
        LabError
            If the image cannot be read or shows no ink, the mapping does not fit the network, or
            `among` has what is not in the mapping.
        """
        return self.rank(prepare(image), top_k, among)

    def rank(
        self, prepared: torch.Tensor, top_k: int = 5, among: Iterable[str] | None = None
    ) -> list[tuple[str, float]]:
        """Read one character from an image that is prepared already.

        Parameters
        ----------
        prepared : torch.Tensor
            uint8, (28, 28), as `prepare` returns it.
        top_k, among
            As for `predict`.

        Returns
        -------
        list of tuple[str, float]
            As of `predict`.

        Raises
        ------
        LabError
            If the image shows no ink, the mapping does not fit the network, or `among` has what is
            not in the mapping.
        """
        most = int(self._expected.count_nonzero())
        check_int("top_k", top_k, 1, most)
        if not prepared.any():
            raise LabError("The prepared image shows no ink: is there any in the drawing?")
        expected = self._expect(among)
        found = self.probabilities(prepared.unsqueeze(0), among)[0]
        best = found.topk(min(top_k, int(expected.count_nonzero())))
        return [
            (self.mapping[i], p) for p, i in zip(*(part.tolist() for part in best), strict=True)
        ]

    @torch.inference_mode()
    def is_known(self, prepared: torch.Tensor) -> bool:
        """Tell whether an image shows one character, and no drawing, scribble or pair of letters.

        The shipped network has learned to say so: its answer for `<B>`, which no image has, is
        above 0 for doodles (`tools/assets/fit_unknown.py`). Any other network knows everything.

        Parameters
        ----------
        prepared : torch.Tensor
            uint8, (28, 28), as `prepare` returns it.
        """
        image = prepared[None, None].float().div_(255)
        return not self.refuses or bool(self.model.eval()(image)[0, BLANK] <= 0)

    @torch.inference_mode()
    def probabilities(
        self, images: torch.Tensor, among: Iterable[str] | None = None
    ) -> torch.Tensor:
        """Return how likely each class is.

        Parameters
        ----------
        images : torch.Tensor
            uint8, (B, 28, 28), as `prepare` returns one.
        among
            As for `predict`.

        Returns
        -------
        torch.Tensor
            float32, (B, number of classes), each row with sum 1; special tokens, and what is not
            in `among`, have 0.
        """
        expected = self._expect(among)
        self.model.eval()
        device = next((p.device for p in self.model.parameters()), torch.device("cpu"))
        # In parts: all test images at once would take gigabytes.
        logits = torch.cat(
            [
                self.model(part.to(device).unsqueeze(1).float().div_(255)).float().cpu()
                for part in images.split(MAX_BATCH)
            ]
        )
        if logits.shape != (len(images), len(self.mapping)):
            raise LabError(
                f"mapping has {len(self.mapping)} entries, but the network's output has the shape "
                f"{tuple(logits.shape)}: give the mapping it was trained with."
            )
        return torch.softmax(logits / self.temperature + expected.log(), dim=1)

    def _expect(self, among: Iterable[str] | None) -> torch.Tensor:
        """Return how frequent each class is, but 0 for what is not among some characters."""
        if among is None:
            return self._expected
        chosen = self.check_among(among)
        return self._expected * torch.tensor([float(name in chosen) for name in self.mapping])

    def check_among(self, among: Iterable[str]) -> list[str]:
        """Return the only characters to consider, as a list.

        Raises
        ------
        LabError
            If there are none, or some that are never an answer.
        """
        chosen = list(among) if isinstance(among, str | list | tuple | set | frozenset) else []
        known = [self.mapping[i] for i in self._expected.nonzero().flatten().tolist()]
        unknown = [show(name) for name in chosen if not isinstance(name, str) or name not in known]
        if chosen and not unknown:
            return chosen
        raise LabError(
            f"among={show(among)} has {', '.join(unknown) or 'no characters'}: "
            f"it takes those that are read, {''.join(known)}."
        )


class LineReading(NamedTuple):
    """What a line says.

    Attributes
    ----------
    text : str
        Its characters; `□` (`UNREAD`) stands for ink that was not read.
    confidences : list of float
        How likely each character is.
    alternatives : list of list of tuple[str, float]
        For each character, the likeliest ones with their probabilities, itself first.
    """

    text: str
    confidences: list[float]
    alternatives: list[list[tuple[str, float]]]


class LineRecognizer:
    """Reads a line of handwriting.

    Parameters
    ----------
    model : torch.nn.Module or path
        A network that was trained on `EMNISTLines` and offers what `LineNetwork` says, as `LineCNN`
        does; or a checkpoint of `run_experiment`.
    temperature : float
        As for `Recognizer`.
    characters : Recognizer, optional
        What reads groups of strokes, too, where a line is drawn: see `reading/lattice.py`.
    """

    def __init__(
        self,
        model: nn.Module | str | os.PathLike,
        temperature: float = 1.0,
        characters: Recognizer | None = None,
    ):
        if isinstance(model, str | os.PathLike):
            model, _ = load_network(model)
        if not isinstance(model, nn.Module) or not reads_lines(model):
            raise LabError(
                f"model={type(model).__name__} does not read lines: give a LineCNN, a network with "
                "the same methods, or a checkpoint of one."
            )
        self.model = model
        self.temperature = check_number("temperature", temperature, SMALLEST, wanted="more than 0")
        self.characters = characters

    @torch.inference_mode()
    def predict_line(
        self, image, guides: tuple[float, float] | None = None, language: bool = False
    ) -> LineReading:
        """Read one line.

        Parameters
        ----------
        image, guides
            As for `prepare_line`.
        language : bool
            Whether a language model of English, which ships with the lab, has a say: it helps with
            prose, joined-up writing above all, and takes longer. Confidences are the network's own.

        Raises
        ------
        LabError
            If the image cannot be read or shows no ink, or with `language=True` the network was
            not trained with CTC.
        """
        check_bool("language", language)
        if language and not getattr(self.model, "uses_ctc", False):
            raise LabError(
                f"language=True needs a network trained with CTC, such as LineCNN, "
                f"not {type(self.model).__name__}."
            )
        self.model.eval()
        device = next(self.model.parameters()).device
        line = prepare_line(image, guides).to(device).float().div_(255)
        logits = self.model(line[None, None])[0].float().cpu() / self.temperature
        if language:
            text = beam_search(logits, _shipped_language(), WEIGHT, BONUS, BEAMS)
            labels = [MAPPING.index(character) for character in text]
            steps = align(logits, labels)
        else:
            labels, steps = cast(LineNetwork, self.model).find_characters(
                logits[None], line[None, None]
            )[0]
        # Blank and the other special tokens are no alternatives to a character.
        characters = logits[len(SPECIAL_TOKENS) :, steps].softmax(0)
        if self.characters and isinstance(image, list | tuple):
            curves = curves_of(list(image))
            labels, steps, chances = read_strokes(
                *(curves, place_strokes(curves, guides), logits, (labels, steps)),
                *(self.characters, _shipped_language() if language else None),
            )
            characters = chances[len(SPECIAL_TOKENS) :]
        likely, best = characters.topk(ALTERNATIVES, dim=0)
        names = [[MAPPING[i + len(SPECIAL_TOKENS)] for i in column] for column in best.T.tolist()]
        alternatives = [
            list(zip(column, p, strict=True))
            for column, p in zip(names, likely.T.tolist(), strict=True)
        ]
        # The language model, or the other network, may prefer another character.
        for place, label in enumerate(labels):
            alternatives[place] = _put_first(
                MAPPING[label],
                characters[label - len(SPECIAL_TOKENS), place].item(),
                alternatives[place],
            )
        text = list(text_of(labels))
        if getattr(self.model, "uses_ctc", False):
            for place, likely in find_unread(line, logits, labels, steps, ALTERNATIVES):
                text.insert(place, UNREAD)
                alternatives.insert(place, likely)
        confidences = [found[0][1] for found in alternatives]
        return LineReading("".join(text), confidences, alternatives)


def _put_first(
    name: str, probability: float, alternatives: list[tuple[str, float]]
) -> list[tuple[str, float]]:
    others = [pair for pair in alternatives if pair[0] != name]
    return [(name, probability), *others][:ALTERNATIVES]


@functools.cache
def _shipped_language() -> CharacterLanguageModel:
    return CharacterLanguageModel.load(bundled(LANGUAGE))


def _shipped(name: str) -> tuple[nn.Module, dict]:
    """Return a network that ships with the lab, and what its file says of it."""
    path = bundled(name)
    try:
        with safe_open(path, framework="pt") as file:
            described = {key: json.loads(text) for key, text in file.metadata().items()}
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        checksum = described.pop("checksum", None)  # files of an earlier version have none
        if checksum not in (None, compute_checksum(described, weights)):
            raise ValueError("other bytes than were written")
        model = build_network(described, weights)
        described["temperature"]
    except (*UNREADABLE, SafetensorError) as error:
        raise missing_or_damaged(path, error) from None
    return model, described
