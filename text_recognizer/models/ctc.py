"""Turns the answers of a CTC network into text: greedily, or with beams and a language model."""

import math
import os
import zipfile
import zlib
from collections import defaultdict
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view

from text_recognizer.errors import LabError, check_int, check_number, missing_or_damaged, show
from text_recognizer.mapping import BLANK, FIRST_CHARACTER, MAPPING, SPACE, decode_labels

LABEL_BITS = 7  # of a label: 83 fit
MAX_ORDER = 63 // LABEL_BITS  # labels that fit into a whole number
MAX_CACHED = 100_000  # contexts whose probabilities are kept
MAX_BEAMS = 1000
MAX_CANDIDATES = 10  # labels that the beam search considers at a step
MIN_PROBABILITY = 1e-3  # of a label that it considers
UNREADABLE = (OSError, ValueError, LookupError, EOFError, zlib.error, zipfile.BadZipFile)

# Of each line its labels, and the step of the logits at which each stands.
FoundCharacters = list[tuple[list[int], list[int]]]
Beams = dict[str, list[float]]  # by text, a letter chr(label) each: the hash of a str is kept


def greedy_path(logits: torch.Tensor) -> tuple[list[int], list[int]]:
    """Return the labels of the likeliest path of logits, (classes, S), and each one's step."""
    best, labels = logits.softmax(0).max(0)
    runs, lengths = torch.unique_consecutive(labels, return_counts=True)
    found, steps, start = [], [], 0
    for label, length in zip(runs.tolist(), lengths.tolist(), strict=True):
        if label >= FIRST_CHARACTER:
            found.append(label)
            steps.append(start + int(best[start : start + length].argmax()))
        start += length
    return found, steps


def _check_logits(logits: torch.Tensor) -> None:
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2 or len(logits) != len(MAPPING):
        shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else show(logits)
        raise LabError(
            f"logits={shape} must be a tensor of one line, ({len(MAPPING)}, S): "
            "of a batch, logits[0]."
        )


def greedy(logits: torch.Tensor) -> str:
    """Return the text of one line: the likeliest answer at each step, repeats and blanks left out.

    Taught in notebook 5.

    Parameters
    ----------
    logits : torch.Tensor
        float, (number of classes, S).

    Examples
    --------
    >>> import torch
    >>> from lab_utils import EMNIST, greedy
    >>> path = ["h", "h", "<B>", "i", "i"]
    >>> labels = torch.tensor([EMNIST.mapping.index(character) for character in path])
    >>> greedy(torch.nn.functional.one_hot(labels, 83).T)
    'hi'
    """
    _check_logits(logits)
    return decode_labels(torch.unique_consecutive(logits.argmax(0)).tolist())


class CharacterLanguageModel:
    """How likely each character is after the ones before it: n-grams with Witten-Bell smoothing.

    Taught in notebook 5.

    Parameters
    ----------
    text : str
        What it learns from, such as `SentenceGenerator("train").text`.
    order : int
        How many characters an n-gram has.

    References
    ----------
    Chen and Goodman, "An empirical study of smoothing techniques for language modeling", 1999.

    Examples
    --------
    >>> from lab_utils import EMNIST, CharacterLanguageModel
    >>> english = CharacterLanguageModel("the cat sat on the mat. " * 20)
    >>> t, h, x = map(EMNIST.mapping.index, "thx")
    >>> english.log_probability(h, (t,)) > english.log_probability(x, (t,))
    True
    """

    def __init__(self, text: str, order: int = 6):
        check_int("order", order, 1, MAX_ORDER)
        if not isinstance(text, str):
            raise LabError(f"text={show(text)} must be a text, such as SentenceGenerator().text.")
        known = {name: label for label, name in enumerate(MAPPING)}
        labels = np.array([known[c] for c in text if c in known], np.int64)
        if not len(labels):
            raise LabError("text has no characters of the mapping: give a text to learn from.")
        self.order = order
        self._ngrams = []  # sorted codes of the n-grams of each length, and how often each occurs
        codes = np.zeros(len(labels), np.int64)
        for length in range(order):
            codes = (codes[: len(codes) - bool(length)] << LABEL_BITS) | labels[length:]
            self._ngrams.append(np.unique(codes, return_counts=True))
        self.probabilities = lru_cache(maxsize=MAX_CACHED)(self._compute_probabilities)

    def save(self, path: str | os.PathLike, min_count: int = 1) -> None:
        """Write it to a file, whose name ends in `.npz`.

        N-grams of two characters or more are left out if they occur less than `min_count` times.
        """
        arrays = {}
        for length, (codes, counts) in enumerate(self._ngrams):
            kept = counts >= (min_count if length else 1)
            # Differences are small, so that they take little room when compressed.
            arrays[f"steps_{length}"] = np.diff(codes[kept], prepend=0)
            arrays[f"counts_{length}"] = counts[kept].astype(np.int32)
        np.savez_compressed(path, **arrays)  # type: ignore[arg-type] # it takes any arrays

    @classmethod
    def load(cls, path: str | os.PathLike) -> "CharacterLanguageModel":
        """Return the one that `save` wrote; LabError if the file is missing or damaged."""
        model = cls.__new__(cls)
        try:
            with open(path, "rb") as opened, np.load(opened) as file:
                model.order = len(file.files) // 2
                model._ngrams = [
                    (file[f"steps_{length}"].cumsum(), file[f"counts_{length}"])
                    for length in range(model.order)
                ]
            is_whole = all(len(codes) == len(counts) for codes, counts in model._ngrams)
            if not (is_whole and 1 <= model.order <= MAX_ORDER):
                raise ValueError("its arrays do not fit together")
        except UNREADABLE as error:
            raise missing_or_damaged(Path(path), error) from None
        model.probabilities = lru_cache(maxsize=MAX_CACHED)(model._compute_probabilities)
        return model

    def log_probability(self, label: int, context: tuple[int, ...]) -> float:
        """Return the logarithm of how likely a label is after the labels in `context`."""
        longest = self.order - 1
        recent = ((SPACE, *context))[-longest:] if longest else ()
        return math.log(self.probabilities(recent)[label])

    def _compute_probabilities(self, context: tuple[int, ...]) -> np.ndarray:
        uniform = 1 / len(MAPPING)
        shorter = self.probabilities(context[1:]) if context else np.full(len(MAPPING), uniform)
        code = 0
        for label in context:
            code = code << LABEL_BITS | label
        codes, counts = self._ngrams[len(context)]
        low, high = codes.searchsorted([code << LABEL_BITS, (code + 1) << LABEL_BITS]).tolist()
        if low == high:
            return shorter
        total = counts[low:high].sum() + high - low
        found = shorter * ((high - low) / total)
        found[codes[low:high] & ((1 << LABEL_BITS) - 1)] += counts[low:high] / total
        return found


def beam_search(
    logits: torch.Tensor,
    language_model: CharacterLanguageModel | None = None,
    weight: float = 0.5,
    bonus: float = 0.5,
    beams: int = 16,
) -> str:
    """Return the likeliest text of one line, over all paths that give it.

    Taught in notebook 5.

    Parameters
    ----------
    logits : torch.Tensor
        float, (number of classes, S).
    language_model : CharacterLanguageModel, optional
        What else speaks for a text.
    weight : float
        How much the language model's logarithm counts.
    bonus : float
        What each character adds, since a language model prefers short texts.
    beams : int
        How many texts are kept at each step.

    References
    ----------
    Hannun et al., "First-pass large vocabulary continuous speech recognition using bi-directional
    recurrent DNNs", 2014: prefix beam search.

    Examples
    --------
    >>> import torch
    >>> from lab_utils import EMNIST, CharacterLanguageModel, beam_search
    >>> path = ["c", "<B>", "a", "<B>", "t"]
    >>> labels = torch.tensor([EMNIST.mapping.index(character) for character in path])
    >>> logits = 9.0 * torch.nn.functional.one_hot(labels, 83).T
    >>> beam_search(logits, CharacterLanguageModel("the cat sat on the mat. " * 20))
    'cat'
    """
    _check_logits(logits)
    check_number("weight", weight, wanted="a number of 0 or more")
    check_number("bonus", bonus, -math.inf, wanted="a number")
    check_int("beams", beams, 1, MAX_BEAMS)
    probabilities = logits.float().softmax(0)
    likely = probabilities.topk(MAX_CANDIDATES, dim=0)
    # Of each text: the probability of all paths that end in blank, and of those that do not.
    kept: Beams = {"": [1.0, 0.0]}
    prior: dict[str, float] = {"": 0.0}  # what the language model says of each text
    steps = zip(
        probabilities[BLANK].tolist(), *(part.T.tolist() for part in likely[::-1]), strict=True
    )
    for blank, labels, values in steps:
        top = zip(map(chr, labels), values, strict=True)
        candidates = [(c, p) for c, p in top if p > MIN_PROBABILITY and ord(c) >= FIRST_CHARACTER]
        if not candidates:  # which changes no text's share
            kept = {text: [sum(ends), 0.0] for text, ends in kept.items()}
            continue
        following = _extend(kept, blank, candidates)
        for text in following:
            if text not in prior and language_model is not None:
                *before, label = map(ord, text[-language_model.order :])  # no more counts
                learned = language_model.log_probability(label, tuple(before))
                prior[text] = prior[text[:-1]] + weight * learned + bonus
        score = {
            text: math.log(ended + other + 1e-300) + prior.get(text, 0.0)
            for text, (ended, other) in following.items()
        }
        best = sorted(following, key=score.__getitem__, reverse=True)[:beams]
        total = sum(sum(following[text]) for text in best)
        kept = {text: [p / total for p in following[text]] for text in best}
    return decode_labels(map(ord, next(iter(kept))))


def _extend(kept: Beams, blank: float, candidates: list[tuple[str, float]]) -> Beams:
    """Return the texts after one more step, with a label of `candidates` added or not."""
    following: Beams = defaultdict(lambda: [0.0, 0.0])
    for text, (ends_in_blank, other) in kept.items():
        following[text][0] += (ends_in_blank + other) * blank
        for label, probability in candidates:
            before = ends_in_blank + other
            if text[-1:] == label:
                following[text][1] += other * probability
                before = ends_in_blank  # the same again needs a blank between
            if before > 0.0:
                following[text + label][1] += before * probability
    return following


def align(logits: torch.Tensor, labels: list[int]) -> list[int]:
    """Return the step at which each character of a text is surest, on the likeliest path.

    The logits are float, (number of classes, S), of one line; the text is no longer than S allows.
    """
    if not labels:
        return []
    states = np.full(2 * len(labels) + 1, BLANK)
    states[1::2] = labels
    scores = logits.float().log_softmax(0).numpy()[states]  # (states, S)
    best = np.full(len(states) + 2, -np.inf)
    best[2:4] = scores[:2, 0]
    before = sliding_window_view(best, len(states))[::-1]  # of each state: itself, the last, ...
    costs = np.zeros(before.shape)
    costs[2] = -np.inf  # but the blank before a character may be skipped, unless it is doubled
    costs[2, 3::2][states[3::2] != states[1:-2:2]] = 0
    moves = np.zeros(scores.shape, int)
    for step in range(1, scores.shape[1]):
        choices = before + costs
        moves[:, step] = choices.argmax(0)
        best[2:] = choices.max(0) + scores[:, step]
    state = len(states) - 1 - int(best[-1] < best[-2])
    surest: dict[int, int] = {}
    for step in range(scores.shape[1] - 1, -1, -1):
        if scores[state, step] > scores[state, surest.setdefault(state, step)]:
            surest[state] = step
        state -= moves[state, step]
    return [surest[2 * place + 1] for place in range(len(labels))]
