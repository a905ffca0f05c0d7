"""From the answers of a CTC network to text."""

import itertools
import math

import numpy as np
import pytest
import torch

from lab_utils import SentenceGenerator
from text_recognizer.errors import LabError
from text_recognizer.mapping import BLANK, MAPPING
from text_recognizer.models.ctc import (
    CharacterLanguageModel,
    align,
    beam_search,
    greedy,
    greedy_path,
)

A, B = MAPPING.index("a"), MAPPING.index("b")
SPACE = MAPPING.index(" ")


def saying(*answers, sure=9.0):
    """Return logits, (83, S), of a network that is sure of one answer a step."""
    logits = torch.zeros(len(MAPPING), len(answers))
    for step, name in enumerate(answers):
        logits[0 if name == "_" else MAPPING.index(name), step] = sure
    return logits


@pytest.mark.parametrize(
    ("answers", "text"),
    [("hh__e_ll_l_oo", "hello"), ("heello", "helo"), ("___", ""), ("a_a a", "aa a"), ("a", "a")],
)
def test_repeats_are_merged_and_blanks_dropped(answers, text):
    assert greedy(saying(*answers)) == text
    assert beam_search(saying(*answers)) == text


def test_special_tokens_are_no_text():
    logits = saying("a", "_", "b")
    logits[3, 1] = 20.0
    assert greedy(logits) == "ab"
    assert beam_search(logits) == "ab"


def test_a_path_names_the_surest_step_of_each_character():
    logits = saying("_", "a", "a", "a", "_", "b")
    logits[A, 2] = 12.0
    assert greedy_path(logits) == ([A, B], [2, 5])


def test_beams_find_the_text_whose_paths_have_most_probability_together():
    for seed in range(20):
        torch.manual_seed(seed)
        logits = torch.full((len(MAPPING), 5), -30.0)
        logits[[0, A, B]] = torch.randn(3, 5)
        probabilities = logits.softmax(0)
        totals = {}
        for path in itertools.product((0, A, B), repeat=5):
            merged = [k for k, _ in itertools.groupby(path)]
            text = "".join(MAPPING[k] for k in merged if k)
            p = math.prod(probabilities[k, i].item() for i, k in enumerate(path))
            totals[text] = totals.get(text, 0) + p
        assert beam_search(logits, beams=100) == max(totals, key=totals.get)


@pytest.fixture(scope="module")
def english():
    return CharacterLanguageModel(SentenceGenerator("train", source="own").text)


def test_probabilities_sum_to_one_and_prefer_what_was_seen(english):
    for context in ((), (SPACE,), tuple(MAPPING.index(c) for c in "the"), (A, A, A, A, A)):
        probabilities = english.probabilities(context)
        assert probabilities.sum() == pytest.approx(1)
        assert probabilities[4:].min() > 0
    q, u, x = (MAPPING.index(name) for name in "qux")
    assert english.log_probability(u, (q,)) > english.log_probability(x, (q,)) + 3


def test_an_order_of_one_counts_characters():
    model = CharacterLanguageModel("aaab", order=1)
    kinds, uniform = 2, 1 / len(MAPPING)
    assert math.exp(model.log_probability(A, (B,))) == pytest.approx((3 + kinds * uniform) / 6)


def test_english_mends_what_the_network_is_unsure_of(english):
    logits = saying(*"t_h_e_ _t_n_e", sure=12.0)
    logits[MAPPING.index("h"), 10] = 11.5  # n, or perhaps h
    assert greedy(logits) == "the tne"
    assert beam_search(logits) == "the tne"
    assert beam_search(logits, english) == "the the"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("abc", 0), "order=0 must be a whole number from 1 to 9"),
        (("abc", "3"), "order='3' must be a whole number"),
        (("", 3), "text has no characters"),
        ((None, 3), "text=None must be a text"),
    ],
)
def test_a_wrong_argument_is_named(arguments, says):
    with pytest.raises(LabError, match=says):
        CharacterLanguageModel(*arguments)


def test_a_language_model_keeps_what_it_knows_in_a_file(tmp_path):
    text = "the cat and the dog and the cow " * 3
    model = CharacterLanguageModel(text, 4)
    model.save(tmp_path / "all.npz")
    kept = CharacterLanguageModel.load(tmp_path / "all.npz")
    context = tuple(MAPPING.index(c) for c in "the ")
    for name in "cdz":
        label = MAPPING.index(name)
        assert kept.log_probability(label, context) == model.log_probability(label, context)
    model.save(tmp_path / "frequent.npz", min_count=100)
    rare = CharacterLanguageModel.load(tmp_path / "frequent.npz")
    label = MAPPING.index("c")
    assert rare.log_probability(label, context) == rare.log_probability(label, ())


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04", "other"])
def test_a_damaged_file_of_a_language_model_is_one_error(tmp_path, content):
    path = tmp_path / "model.npz"
    if content == "other":
        np.savez(path, steps_0=np.arange(3), counts_0=np.arange(2))
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(LabError, match=r"model\.npz"):
        CharacterLanguageModel.load(path)


@pytest.mark.parametrize("text", ["aab", "a", "abba", ""])
def test_each_character_is_aligned_with_the_step_at_which_it_is_surest(text):
    """Each character stands at two steps, the second surer, with a blank after it."""
    labels = [MAPPING.index(c) for c in text]
    logits = torch.zeros(len(MAPPING), max(3 * len(text), 1))
    logits[BLANK, 2::3] = 9
    for place, label in enumerate(labels):
        logits[label, 3 * place], logits[label, 3 * place + 1] = 7, 9
    assert align(logits, labels) == [3 * place + 1 for place in range(len(labels))]


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ({"beams": 0}, "beams=0 must be a whole number from 1 to 1000"),
        ({"weight": math.nan}, "weight=nan must be a number of 0 or more"),
        ({"bonus": "0"}, "bonus='0' must be a number"),
    ],
)
def test_a_wrong_argument_of_the_search_is_named(argument, says):
    with pytest.raises(LabError, match=says):
        beam_search(saying(*"a_b"), **argument)
