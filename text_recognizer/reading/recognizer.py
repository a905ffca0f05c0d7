"""Reads a character or a line, in a picture or a drawing, with a shipped network or one's own."""

import functools
import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple, cast

import torch
from torch import nn

from text_recognizer.errors import LabError, check_bool, check_int, check_number, show
from text_recognizer.mapping import BLANK, FIRST_CHARACTER, MAPPING, SPECIAL_TOKENS, decode_labels
from text_recognizer.models.ctc import CharacterLanguageModel, align, beam_search
from text_recognizer.models.registry import LineNetwork, reads_lines
from text_recognizer.models.weights import load_network, load_shipped
from text_recognizer.paths import bundled
from text_recognizer.reading.character import prepare
from text_recognizer.reading.lattice import read_strokes
from text_recognizer.reading.line import check_guides, draw_line, place_strokes, prepare_line
from text_recognizer.reading.pen import read_curves
from text_recognizer.reading.unread import UNREAD, find_unread
from text_recognizer.strokes import is_dot
from text_recognizer.threads import one_thread

CHARACTER_WEIGHTS, LINE_WEIGHTS = "character_weights.safetensors", "line_weights.safetensors"
WEIGHT, BONUS, BEAMS = 0.5, 1.5, 16  # of the language model: see `beam_search`
N_ANSWERS = 5  # answers to each character, alone or in a line


class Recognizer:
    """Tells which character a picture shows, and how sure it is.

    Taught in notebook 6.

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

    Examples
    --------
    >>> from lab_utils import Recognizer, sample_photo
    >>> Recognizer.pretrained().predict(sample_photo(), top_k=1)
    [('R', 0.9...)]
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
            mapping = own_mapping if mapping is None else mapping
        if not isinstance(model, nn.Module):
            raise LabError(f"model={show(model)} must be a network or the path of a checkpoint.")
        _check_float32(model)
        has_names = isinstance(mapping, list | tuple) and all(isinstance(n, str) for n in mapping)
        if not has_names or not mapping:
            raise LabError(f"mapping={show(mapping)} must be a list of names: give data.mapping.")
        expected = [1.0] * len(mapping) if expected is None else expected
        if not isinstance(expected, list | tuple) or len(expected) != len(mapping):
            raise LabError(f"expected={show(expected)} must be a list of {len(mapping)} numbers.")
        shares = [check_number(f"expected[{i}]", value) for i, value in enumerate(expected)]
        self.model, self.mapping = model, list(mapping)
        self.temperature = check_number("temperature", temperature, 1e-6, wanted="more than 0")
        # How frequent each class is, float32 (number of classes,): 0 for what is no answer.
        is_character = torch.tensor([name not in SPECIAL_TOKENS for name in mapping])
        self.expected = torch.tensor(shares) * is_character
        self.refuses: float | None = None  # the share of the energy: see `is_known`

    @classmethod
    def pretrained(cls, equal_classes: bool = False):
        """Return a recogniser with the network that ships with the lab.

        It reads the 62 characters of EMNIST; `data/MODEL_CARD.md` says how well.

        Parameters
        ----------
        equal_classes : bool
            Whether all characters are equally frequent in what is read. Otherwise they are as
            frequent as in EMNIST, where O is more likely than o before anything is seen. It suits
            letters of both cases, mixed (photographs of all 62 characters: 0.774 against 0.747
            read), and costs on digits (0.886 against 0.916); where only digits are written,
            `predict(image, among="0123456789")` is better than either (0.998).
        """
        model, described = load_shipped(CHARACTER_WEIGHTS)
        expected = None
        if check_bool("equal_classes", equal_classes):
            expected = [1 / share if share else 0.0 for share in described["frequencies"]]
        recognizer = cls(model, described["mapping"], described["temperature"], expected)
        recognizer.refuses = described["refuses"]
        return recognizer

    @one_thread()
    def predict(
        self, image, top_k: int = N_ANSWERS, among: Iterable[str] | None = None
    ) -> list[tuple[str, float]]:
        """Return the likeliest characters with their probabilities, the likeliest first.

        Parameters
        ----------
        image : path, PIL.Image.Image, array, tensor, or list of strokes
            As for `prepare`, which takes what it has returned as it is.
        top_k : int
            How many of the likeliest characters to return, or all where there are fewer.
        among : str or list of str, optional
            The only characters to consider, such as "0123456789".

        Raises
        ------
        LabError
            If the image cannot be read or shows no ink, the mapping does not fit the network, or
            `among` has what is not in the mapping.
        """
        check_int("top_k", top_k, 1, max(int(self.expected.count_nonzero()), N_ANSWERS))
        prepared = prepare(image)
        if not prepared.any():
            raise LabError("The prepared image shows no ink: is there any in the drawing?")
        found = self.probabilities(prepared[None], among)[0]
        count = int(self._weigh_classes(among).count_nonzero())
        likely, best = (part.tolist() for part in found.topk(min(top_k, count)))
        return [(self.mapping[i], share) for i, share in zip(best, likely, strict=True)]

    @one_thread()
    @torch.inference_mode()
    def is_known(self, prepared: torch.Tensor, strokes: Sequence = ()) -> bool:
        """Tell whether an image shows one character, and no drawing, scribble or pair of letters.

        The image is uint8, (28, 28), as `prepare` returns it; of the strokes that it was made of,
        in units of the canvas, a dot is no character. The shipped network's answer for `<B>`, which
        no image has, and its energy (how large its answers are in all) are above 0 together for
        doodles (`tools/assets/fit_unknown.py`). Any other network knows everything.
        """
        if self.refuses is None:
            return True
        if strokes and is_dot(strokes):
            return False
        logits = _compute_logits(self.model, prepared[None])[0]
        energy = logits[FIRST_CHARACTER:].logsumexp(0)
        return bool(logits[BLANK] + self.refuses * energy <= 0)

    @torch.inference_mode()
    def probabilities(
        self, images: torch.Tensor, among: Iterable[str] | None = None
    ) -> torch.Tensor:
        """Return how likely each class is: float32, (B, number of classes), each row with sum 1.

        The images are uint8, (B, 28, 28), as `prepare` returns one, and `among` is as for
        `predict`. Special tokens, and what is not in `among`, have 0.
        """
        expected = self._weigh_classes(among)
        # In parts, which a core's cache holds: all test images at once would take gigabytes.
        logits = torch.cat([_compute_logits(self.model, part) for part in images.split(32)])
        if logits.shape != (len(images), len(self.mapping)):
            raise LabError(
                f"mapping has {len(self.mapping)} entries, but the network's output has the shape "
                f"{tuple(logits.shape)}: give the mapping it was trained with."
            )
        return torch.softmax(logits / self.temperature + expected.log(), dim=1)

    def _weigh_classes(self, among: Iterable[str] | None) -> torch.Tensor:
        """Return how frequent each class is, but 0 for what is not among some characters."""
        if among is None:
            return self.expected
        chosen = list(among) if isinstance(among, str | list | tuple | set | frozenset) else []
        known = [self.mapping[i] for i in self.expected.nonzero().flatten().tolist()]
        unknown = [show(name) for name in chosen if not isinstance(name, str) or name not in known]
        if unknown or not chosen:
            raise LabError(
                f"among={show(among)} has {', '.join(unknown) or 'no characters'}: "
                f"it takes those that are read, {''.join(known)}."
            )
        return self.expected * torch.tensor([float(name in chosen) for name in self.mapping])


class LineReading(NamedTuple):
    """What a line says.

    `confidences` tells how likely each character is, and `alternatives` has, for each, the
    likeliest ones with their probabilities, itself first. `□` (`UNREAD`) stands in the text for
    ink that was not read.
    """

    text: str
    confidences: list[float]
    alternatives: list[list[tuple[str, float]]]


class LineRecognizer:
    """Reads a line of handwriting.

    Taught in notebook 5.

    Parameters
    ----------
    model : torch.nn.Module or path
        A network that was trained on `EMNISTLines` and offers what `LineNetwork` says, as `LineCNN`
        does; or a checkpoint of `run_experiment`.
    temperature : float
        As for `Recognizer`.
    characters : Recognizer, optional
        What reads groups of strokes, too, where a line is drawn: see `reading/lattice.py`.

    Examples
    --------
    >>> from lab_utils import LineRecognizer, sample_photo
    >>> LineRecognizer.pretrained().predict_line(sample_photo("line")).text
    'read my hand'
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
        _check_float32(model)
        self.model, self.characters = model, characters
        self.temperature = check_number("temperature", temperature, 1e-6, wanted="more than 0")

    @classmethod
    def pretrained(cls):
        """Return a recogniser with the network that ships with the lab.

        It reads EMNIST's characters and punctuation; `data/MODEL_CARD.md` says how well.
        """
        model, described = load_shipped(LINE_WEIGHTS)
        characters = Recognizer.pretrained(equal_classes=True)
        return cls(model, described["temperature"], characters)

    @one_thread()
    @torch.inference_mode()
    def predict_line(
        self, image, guides: tuple[float, float] | None = None, language_model: bool = False
    ) -> LineReading:
        """Read one line.

        Parameters
        ----------
        image, guides
            As for `prepare_line`.
        language_model : bool
            Whether a language model of English, which ships with the lab, has a say: it helps with
            prose, joined-up writing above all, and takes longer. Confidences are the network's own.

        Raises
        ------
        LabError
            If the image cannot be read or shows no ink, or with `language_model=True` the network
            was not trained with CTC.
        """
        check_bool("language_model", language_model)
        if language_model and not getattr(self.model, "uses_ctc", False):
            raise LabError(
                f"language_model=True needs a network trained with CTC, such as LineCNN, "
                f"not {type(self.model).__name__}."
            )
        strokes = read_curves(list(image)) if isinstance(image, list | tuple) else []
        if strokes:
            layout = place_strokes(strokes, check_guides(guides))
            prepared = draw_line(strokes, layout)
        else:
            prepared = prepare_line(image, guides)
        logits = _compute_logits(self.model, prepared[None])[0] / self.temperature
        x = prepared[None, None].float().div_(255)
        english = _load_language_model(bundled("language_model.npz")) if language_model else None
        if english:
            labels = list(map(MAPPING.index, beam_search(logits, english, WEIGHT, BONUS, BEAMS)))
            read = labels, align(logits, labels)
        else:
            read = cast(LineNetwork, self.model).find_characters(logits[None], x)[0]
        if self.characters and strokes:
            found = read_strokes(strokes, layout, logits, read, self.characters, english)
            labels, steps, probabilities = found
        else:  # blank and the other special tokens are no alternatives to a character
            labels, steps = read
            probabilities = logits[FIRST_CHARACTER:, steps].softmax(0)
        alternatives = list(map(_list_alternatives, labels, probabilities.T))
        text = list(decode_labels(labels))
        if getattr(self.model, "uses_ctc", False):
            for place, likely in find_unread(x[0, 0], logits, labels, steps, N_ANSWERS):
                text.insert(place, UNREAD)
                alternatives.insert(place, likely)
        confidences = [likely[0][1] for likely in alternatives]
        return LineReading("".join(text), confidences, alternatives)


_load_language_model = functools.cache(CharacterLanguageModel.load)


def _compute_logits(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return what a network answers, without dropout, to images, uint8 (B, 28, W): float32."""
    if model.training:  # `eval` visits all parts, which takes as long as a small network answers
        model.eval()
    device = next((weight.device for weight in model.parameters()), "cpu")
    return model(images.to(device).unsqueeze(1).float().div_(255)).float().cpu()


def _check_float32(model: nn.Module) -> None:
    for kind in {weight.dtype for weight in model.parameters()} - {torch.float32}:
        network = type(model).__name__
        raise LabError(f"model={network} computes in {kind}: write model.float() first.")


def _list_alternatives(label: int, probabilities: torch.Tensor) -> list[tuple[str, float]]:
    """Return a character and the likeliest others: a language model may prefer one of these."""
    likely, best = (part.tolist() for part in probabilities.topk(N_ANSWERS))
    named = [(MAPPING[FIRST_CHARACTER + i], p) for i, p in zip(best, likely, strict=True)]
    others = [pair for pair in named if pair[0] != MAPPING[label]]
    return [(MAPPING[label], probabilities[label - FIRST_CHARACTER].item()), *others][:N_ANSWERS]
