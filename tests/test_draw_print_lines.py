"""How lines in print hand are drawn: one hand for a line, and never a writer who is left out."""

import json
import zipfile

import draw_print_lines
import numpy as np
import pytest
from draw_print_lines import Hand, draw_file, draw_print_line, draw_text, read_writers

from lab_utils import sample_strokes
from text_recognizer.mapping import PADDING, text_of


class Words:
    """Stands for the texts of `draw_joined_lines.py`."""

    def draw(self, _rng):
        return "to be or not"

    def _words(self, _rng):
        yield "look"


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Return a folder with two writers, of whom one is left out and writes half as large."""
    folder = tmp_path_factory.mktemp("people")
    for source in ("ujipenchars1", "pendigits"):
        characters = "0123456789" if source == "pendigits" else "aeonuxcsvzlgA"
        items = [
            {
                "label": label,
                "writer": writer,
                "strokes": [
                    [(x * size, y * size) for x, y, *_ in s] for s in sample_strokes(label)
                ],
            }
            for label in characters
            for writer, size in (("w01", 3.0), (draw_print_lines.LEFT_OUT[0], 1.0))
        ]
        with zipfile.ZipFile(folder / f"{source}.zip", "w") as archive:
            archive.writestr("strokes.jsonl", "\n".join(map(json.dumps, items)))
    return folder


def test_writers_are_scaled_by_their_small_letters_and_some_are_left_out(people):
    (writer,) = read_writers(people)
    heights = [np.ptp(np.concatenate(s)[:, 1]) for c in "aeonux" for s in writer[c]]
    assert np.median(heights) == pytest.approx(1, abs=0.1)
    assert (
        np.concatenate(writer["l"][0])[:, 1].min()
        < -1.6
        < 0.3
        < (np.concatenate(writer["g"][0])[:, 1].max())
    )


def test_a_hand_writes_a_character_alike_each_time_and_another_hand_differently():
    def write(seed):
        hand = Hand([], np.random.default_rng(seed))
        hand.careless = hand.jitter = 0.0
        return [np.concatenate(hand.write("k")) for _ in range(2)]

    first, second = write(1)
    np.testing.assert_allclose(first, second, atol=1e-9)
    assert first.shape != write(2)[0].shape or not np.allclose(first, write(2)[0])


def test_the_letters_of_a_line_follow_each_other(people):
    hand = Hand(read_writers(people), np.random.default_rng(0))
    for text, longer in (("no", "noon"), ("noon", "noon noon")):
        short, long = (np.concatenate(hand.write_line(t)) for t in (text, longer))
        assert np.ptp(short[:, 0]) < np.ptp(long[:, 0])
    with pytest.raises(KeyError):
        hand.write("\N{EURO SIGN}")


def test_a_file_has_lines_with_their_texts_the_same_for_the_same_number(
    people, tmp_path, monkeypatch
):
    monkeypatch.setattr(draw_print_lines, "FONT_SHARE", 0.0)
    for name in ("one", "two"):
        draw_file(3, Words(), read_writers(people), tmp_path / f"{name}.npz", 12)
    with np.load(tmp_path / "one.npz") as one, np.load(tmp_path / "two.npz") as two:
        assert all(np.array_equal(one[name], two[name]) for name in one.files)
        assert len(one["widths"]) == 12 and one["columns"].shape == (one["widths"].sum(), 28)
        texts = [text_of(label[label != PADDING]) for label in one["labels"]]
        for text, width in zip(texts, one["widths"], strict=True):
            assert text and width > 2 * len(text), "CTC has an answer for two columns"


def test_texts_are_words_numbers_and_single_letters():
    rng = np.random.default_rng(0)
    texts = [draw_text(Words(), rng) for _ in range(300)]
    assert {"look", "LOOK", "to be or not"} <= set(texts)
    assert 30 < sum(text.replace(".", "").isdigit() for text in texts) < 90


def test_a_line_may_be_drawn_in_a_font(monkeypatch):
    monkeypatch.setattr(draw_print_lines, "FONT_SHARE", 1.0)
    monkeypatch.setattr(draw_print_lines, "read_print_fonts", lambda: [["one", "two"]])
    monkeypatch.setattr(draw_print_lines, "draw_line", lambda text, _rng, files: (text, files))
    assert draw_print_line("look", [], np.random.default_rng(0)) == ("look", ["one", "two"])
