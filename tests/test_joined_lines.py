"""The joined-up style: the bundled lines, and variations of them by their numbers."""

import numpy as np
import pytest
import torch

from text_recognizer.data import emnist_lines
from text_recognizer.data.emnist_lines import EMNISTLines, read_joined_lines
from text_recognizer.errors import LabError
from text_recognizer.files import prepared
from text_recognizer.lines.batches import LineSettings
from text_recognizer.lines.joined import JoinedLineMaker
from text_recognizer.lines.render import find_used_columns
from text_recognizer.mapping import END, MAPPING, PADDING, PARTS, START, text_of
from text_recognizer.paths import bundled, data_dir

COUNTS = {"num_train": 40, "num_val": 10, "num_test": 10}


def settings(max_length=8, tokens=False):
    return LineSettings(max_length, 0, 0, tokens, True, "joined")


def make_lines(lengths, widths):
    """Return lines of so many letters a, which are bars as wide as asked."""
    images = torch.zeros((len(lengths), 28, max(widths)), dtype=torch.uint8)
    labels = np.full((len(lengths), 32), PADDING, np.uint8)
    for image, row, length, width in zip(images, labels, lengths, widths, strict=True):
        image[8:20, :width] = 255
        row[:length] = MAPPING.index("a")
    return images, labels


@pytest.fixture(scope="module")
def bundled_lines():
    return {part: read_joined_lines(part) for part in PARTS}


@pytest.fixture(scope="module")
def maker(bundled_lines):
    return JoinedLineMaker(settings(16), "train", *bundled_lines["train"])


def read_texts(lines):
    return [text_of(row) for row in lines[1]]


def test_the_file_holds_lines_of_all_parts(bundled_lines):
    assert bundled(prepared.JOINED_FILE).stat().st_size < 3_000_000
    for part, count in (("train", 2000), ("val", 300), ("test", 300)):
        images, labels = bundled_lines[part]
        assert images.shape[:2] == (count, 28) and labels.shape == (count, 32)
        assert images.amax((1, 2)).min() > 150 and images.median() == 0
        lengths = (labels != PADDING).sum(1)
        assert [len(text) for text in read_texts((0, labels))] == lengths.tolist()
        assert (find_used_columns(images.unsqueeze(1)).numpy() >= 2 * lengths).all()  # for CTC


def test_phrases_of_the_parts_are_disjoint(bundled_lines):
    """But for short ones and numbers, which anybody writes."""
    long = [
        {text for text in read_texts(bundled_lines[part]) if len(text) > 12 and " " in text}
        for part in PARTS
    ]
    assert min(map(len, long)) > 100
    assert not (long[0] & long[1] or long[0] & long[2] or long[1] & long[2])


def test_a_line_is_the_same_whatever_it_is_drawn_with(maker):
    count = len(maker.text)
    numbers = np.arange(count - 100, count + 100)
    images, labels = maker.draw(numbers)
    some = np.array([150, 3, 99, 100])
    assert torch.equal(maker.draw(numbers[some])[0], images[some])
    assert torch.equal(maker.draw(numbers[some])[1], labels[some])
    assert torch.equal(torch.from_numpy(maker.write_labels(numbers)).long(), labels)


def test_the_first_lines_are_those_of_the_file(maker, bundled_lines):
    images, labels = bundled_lines["train"]
    (fitting,) = np.nonzero((labels != PADDING).sum(1) <= 16)
    drawn, drawn_labels = maker.draw(np.arange(20))
    assert [text_of(row) for row in drawn_labels] == [text_of(labels[i]) for i in fitting[:20]]
    shared = min(drawn.shape[2], images.shape[2])
    assert torch.equal(drawn[..., :shared], images[fitting[:20], :, :shared])


def test_lines_never_end_and_each_round_varies_them(maker):
    count, first = len(maker.text), np.arange(50)
    rounds = [maker.draw(first + n * count) for n in (0, 1, 2, 10_000)]
    for images, labels in rounds:
        assert torch.equal(labels, rounds[0][1])
        ink = images.sum((1, 2)) / rounds[0][0].sum((1, 2))
        assert ink.min() > 0.3 and ink.max() < 2
    for a, b in ((0, 1), (1, 2), (0, 3)):
        assert (rounds[a][0] != rounds[b][0]).any(2).any(1).all()


def test_the_width_of_a_line_is_known_before_it_is_drawn(maker):
    numbers = np.arange(0, 10 * len(maker.text), 29)
    used = find_used_columns(maker.draw(numbers)[0].unsqueeze(1))
    beyond = maker.measure_widths(numbers) - used
    assert beyond.min() >= 0 and beyond.max() < 8


@pytest.mark.parametrize(("length", "tokens"), [(16, False), (18, True), (40, False), (3, True)])
def test_labels_are_padded_and_framed_and_no_longer_than_they_may_be(tokens, length):
    lines = make_lines([1, 2, 16, 17, 32], [10, 20, 80, 90, 160])
    maker = JoinedLineMaker(settings(length, tokens), "val", *lines)
    images, labels = maker.draw(np.arange(7))
    room = length - 2 * tokens
    lengths = [n for n in (1, 2, 16, 17, 32) if n <= room]
    assert images.shape == (7, 28, 28 * length) and labels.shape == (7, length)
    for number, row in enumerate(labels.tolist()):
        text = [MAPPING.index("a")] * lengths[number % len(lengths)]
        text = [START, *text, END] if tokens else text
        assert row == text + [PADDING] * (length - len(text))


def test_a_line_that_is_too_wide_is_left_out():
    lines = make_lines([2, 2, 2], [56, 40, 30])
    maker = JoinedLineMaker(settings(2), "val", *lines)
    assert maker.used.tolist() == [40, 30]
    assert maker.measure_widths(np.arange(1000)).max() <= 56


def test_a_variation_is_wider_slanted_thicker_or_fainter_and_loses_nothing():
    maker = JoinedLineMaker(settings(8), "train", *make_lines([4], [100]))
    images = maker.draw(np.arange(1, 400))[0].float()
    inked = images > 60
    columns, rows = inked.any(1).sum(1), inked.any(2).sum(1)
    assert columns.min() < 95 and columns.max() > 110
    assert set(rows.tolist()) == {12, 14}  # one row more above and below
    starts = inked.int().argmax(2)[:, [9, 18]]
    assert {-1, 0, 1} <= set((starts[:, 0] - starts[:, 1]).tolist())
    brightness = images.amax((1, 2))
    assert brightness.min() < 180 and brightness.max() > 240


@pytest.mark.parametrize("on_the_fly", [False, True])
def test_the_data_module_trains_on_them(on_the_fly):
    data = EMNISTLines(
        max_length=8, style="joined", on_the_fly=on_the_fly, augment=True, batch_size=8, **COUNTS
    )
    data.prepare_data()
    data.setup()
    images, labels = next(iter(data.train_dataloader()))
    assert images.shape == (8, 1, 28, 224) and images.dtype == torch.float32
    assert labels.shape == (8, 8) and labels.dtype == torch.int64
    assert [len(part) for part in (data.data_train, data.data_val, data.data_test)] == [40, 10, 10]
    assert str(data).endswith("Source: the bundled joined-up lines: rendered from script fonts")
    assert len(list(data_dir().glob("lines_8_joined_*.h5"))) == 1


def test_lines_that_are_too_short_for_all_of_the_file_are_one_sentence(monkeypatch):
    monkeypatch.setattr(
        emnist_lines, "read_joined_lines", lambda part: make_lines([4, 5], [40, 50])
    )
    data = EMNISTLines(max_length=3, style="joined", **COUNTS)
    with pytest.raises(LabError, match=r"max_length=3: no joined-up line of train is so short"):
        data.prepare_data()


@pytest.mark.parametrize("damage", ["missing", "cut off", "changed"])
def test_a_file_that_is_missing_or_damaged_is_named(damage, tmp_path, monkeypatch):
    path = tmp_path / prepared.JOINED_FILE
    content = bundled(prepared.JOINED_FILE).read_bytes()
    changed = {"cut off": content[:100_000], "changed": content[:-900] + b"x" + content[-899:]}
    if damage != "missing":
        path.write_bytes(changed[damage])
    for module in (emnist_lines, prepared):
        monkeypatch.setattr(module, "bundled", lambda name: tmp_path / name)
    with pytest.raises(
        LabError, match=r"joined_lines\.h5 is missing or damaged .* get the lab again"
    ):
        EMNISTLines(style="joined", **COUNTS).prepare_data()
