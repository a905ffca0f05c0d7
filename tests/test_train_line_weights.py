"""How the shipped network for lines is trained: its batches, and training that was cut off."""

import numpy as np
import pytest
import torch
import train_line_weights
from train_line_weights import DrawnLines, SyntheticLines, draw_batch, find_rate, train

from lab_utils import EMNISTLines, LineCNN
from text_recognizer.data.sentence_generator import SentenceGenerator
from text_recognizer.lines.batches import LineMaker
from text_recognizer.lines.glyphs import GlyphPool
from text_recognizer.mapping import MAPPING, PADDING, text_of

TEXT = "a few words are enough to write many lines, and so is one more"


@pytest.fixture
def folder(tmp_path):
    """Return joined-up lines as the script draws them: here a stripe as wide as its text."""
    words = TEXT.split()
    for number in range(2):
        widths = np.array([20 * len(word) for word in words])
        labels = np.full((len(words), 34), PADDING, np.uint8)
        for label, word in zip(labels, words, strict=True):
            label[: len(word)] = [MAPPING.index(character) for character in word]
        columns = np.zeros((widths.sum(), 28), np.uint8)
        columns[:, 12 + number] = 200
        np.savez(tmp_path / f"{number:03}.npz", columns=columns, widths=widths, labels=labels)
    for name in ("text.txt", "val_text.txt"):
        (tmp_path / name).write_text(TEXT, encoding="ascii")
    return tmp_path


@pytest.fixture
def one_glyph_each(folder, monkeypatch):
    """Draw lines of both styles with one glyph of each character."""

    def make_kinds():
        images = torch.zeros(len(MAPPING), 28, 28, dtype=torch.uint8)
        images[:, 4:24, 4:24] = torch.arange(len(MAPPING)).view(-1, 1, 1)
        pool, sentences = (
            GlyphPool(images, torch.arange(len(MAPPING))),
            SentenceGenerator.from_text(TEXT),
        )
        drawn = {"joined": DrawnLines(folder), "print": DrawnLines(folder, (1.0, 1.0))}
        return drawn | {
            style: SyntheticLines(
                LineMaker(EMNISTLines(style=style).settings, "train", pool, sentences)
            )
            for style in ("realistic", "plain")
        }

    monkeypatch.setattr(
        train_line_weights, "LINES", {"joined": 2, "print": 2, "realistic": 2, "plain": 2}
    )
    return make_kinds


def test_joined_lines_are_read_from_all_files(folder):
    joined = DrawnLines(folder)
    count = len(TEXT.split())
    assert len(joined.widths) == 2 * count
    images, labels = joined.draw(np.array([0, count]), np.random.default_rng(0))
    assert images.dtype == torch.uint8 and images.shape[:2] == (2, 28)
    assert [text_of(label) for label in labels] == ["a", "a"]
    ink = images.float().sum(2).argmax(1)
    assert ink[1] > ink[0], "the second line is of the second file"


def test_a_folder_without_lines_is_one_error(tmp_path):
    for name in ("joined_lines", "print_lines"):
        with pytest.raises(SystemExit, match=rf"run draw_{name}\.py first"):
            DrawnLines(tmp_path / name)


def test_a_batch_has_lines_of_all_kinds_and_the_same_ones_again(one_glyph_each):
    kinds = one_glyph_each()
    x, y = draw_batch(5, kinds)
    assert x.shape[:3] == (8, 1, 28) and y.shape == (8, 34)
    assert x.dtype == torch.float32 and 0 < x.max() <= 1
    assert all(text_of(label) in TEXT for label in y)
    again, labels = draw_batch(5, one_glyph_each())
    assert torch.equal(again, x) and torch.equal(labels, y)
    assert draw_batch(6, kinds)[0].shape != x.shape


def test_the_rate_rises_and_falls():
    rates = [find_rate(step, 100) for step in range(100)]
    assert max(rates) == rates[10] == train_line_weights.MAX_LR
    assert rates[:11] == sorted(rates[:11]) and rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 0.01 * max(rates)


@pytest.mark.slow
def test_training_that_was_cut_off_goes_on_as_if_it_had_not_been(
    tmp_path, one_glyph_each, monkeypatch
):
    monkeypatch.setattr(train_line_weights, "SAVED_EVERY", 2)

    def learn(path):
        torch.manual_seed(1)
        model = LineCNN({"input_dims": (1, 28, 896), "mapping": MAPPING}, width=2, sequence_dim=4)
        return train(model, one_glyph_each(), 8, path).state_dict()

    whole = learn(tmp_path / "whole.pt")

    def stop_at(step, kinds):
        if step == 5:
            raise KeyboardInterrupt
        return draw_batch(step, kinds)

    monkeypatch.setattr(train_line_weights, "draw_batch", stop_at)
    with pytest.raises(KeyboardInterrupt):
        learn(tmp_path / "cut_off.pt")
    monkeypatch.setattr(train_line_weights, "draw_batch", draw_batch)
    assert torch.load(tmp_path / "cut_off.pt", weights_only=True)["step"] == 4
    gone_on = learn(tmp_path / "cut_off.pt")
    assert all(torch.equal(whole[name], gone_on[name]) for name in whole)


def test_the_mean_of_two_trainings_leaves_counts_as_they_are():
    before = {"weight": torch.zeros(2), "batches": torch.tensor(3)}
    after = {"weight": torch.ones(2), "batches": torch.tensor(9), "new": torch.ones(1)}
    mixed = train_line_weights.mix(before, after)
    assert mixed["weight"].tolist() == pytest.approx([1 - train_line_weights.KEPT] * 2)
    assert mixed["batches"] == 9 and mixed["new"] == 1
    assert train_line_weights.mix({}, after) == after
