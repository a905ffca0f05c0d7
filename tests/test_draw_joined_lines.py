"""How joined-up lines are drawn: here with one font, which matplotlib brings, and few words."""

import re
from pathlib import Path

import draw_joined_lines
import matplotlib
import numpy as np
import pytest
from draw_joined_lines import (
    Texts,
    draw_file,
    draw_line,
    draw_number,
    draw_sample,
    take_part,
    write_sample,
)

from text_recognizer.files import prepared
from text_recognizer.mapping import PARTS, text_of

FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
PROSE = [f"{word}{i}" for i in range(600) for word in ("sea", "ship", "whale", "captain")]


@pytest.fixture
def words(tmp_path, monkeypatch):
    """Return a folder with a few words, beside some prose and one font for all parts."""
    monkeypatch.setattr(draw_joined_lines, "fetch", lambda: None)
    monkeypatch.setattr(draw_joined_lines, "FETCHED", tmp_path)
    families = [[FONTS / "DejaVuSans.ttf"]], np.ones(1)
    monkeypatch.setattr(draw_joined_lines, "read_fonts", lambda part=None: families)
    texts = tmp_path / "node_modules" / "@stdlib" / "datasets-moby-dick" / "data"
    texts.mkdir(parents=True)
    (texts / "moby.txt").write_text(" ".join(PROSE), encoding="ascii")
    folder = tmp_path / "words"
    folder.mkdir()
    for name in ("english-words.10", "british-words.40", "english-upper.35"):
        content = "".join(f"{name[:3]}{letter}\n" for letter in "abcdefghij")
        (folder / name).write_text(f"{content}not one word\n", encoding="latin-1")
    return folder


def read(path):
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def test_a_line_is_28_rows_high_and_the_same_for_the_same_seed(words):
    line, same, other = (draw_line("the sea", np.random.default_rng(n)) for n in (1, 1, 2))
    assert line.dtype == np.uint8 and line.shape[0] == 28 and line.max() > 200
    np.testing.assert_array_equal(line, same)
    assert not np.array_equal(line, other)


def test_a_line_without_ink_is_none(words):
    assert draw_line(" ", np.random.default_rng(0)) is None


def test_numbers_look_like_those_of_prose():
    rng = np.random.default_rng(0)
    known = r"\d+|\d+th \w+|\d+,\d{3}|[\w.]+ \d+[.,]?|\d+:\d\d|\d{4}-\d\d"
    assert all(re.fullmatch(known, draw_number(rng)) for _ in range(200))


def test_the_parts_of_a_list_are_disjoint_and_together_all_of_it():
    numbers = list(range(100))
    parts = [take_part(numbers, part, block=5) for part in PARTS]
    assert [len(part) for part in parts] == [60, 20, 20]
    assert sorted(parts[0] + parts[1] + parts[2]) == take_part(numbers, None) == numbers


def test_texts_of_the_parts_are_disjoint_and_no_longer_than_they_may_be(words):
    drawn = {}
    for part in PARTS:
        texts, rng = Texts(words, part, max_length=20), np.random.default_rng(0)
        phrases = [texts.draw(rng) for _ in range(300)]
        assert 15 < max(map(len, phrases)) <= 20
        drawn[part] = set(" ".join(phrases).split()) & set(PROSE)
        assert len(drawn[part]) > 100
        assert {word for found in texts.lists for word in found}.isdisjoint({"not", "one"})
    assert not (drawn["train"] & drawn["val"] or drawn["train"] & drawn["test"])
    assert not drawn["val"] & drawn["test"]


def test_a_folder_without_words_is_named(words, tmp_path):
    with pytest.raises(SystemExit, match=r"has none of english-words\.10, .*: install scowl"):
        Texts(tmp_path)


def test_a_file_holds_lines_with_widths_and_labels_and_appears_whole(words, tmp_path, monkeypatch):
    monkeypatch.setattr(draw_joined_lines, "LINES", 3)
    texts, folder = Texts(words), tmp_path / "lines"
    folder.mkdir()
    for name in ("000.npz", "again.npz"):
        draw_file(0, texts, folder / name)
    found, again = (read(folder / name) for name in ("000.npz", "again.npz"))
    assert all(np.array_equal(found[name], again[name]) for name in found)
    assert found["columns"].shape == (found["widths"].sum(), 28)
    assert found["labels"].shape == (3, 34)
    assert all(len(text_of(row)) >= 1 for row in found["labels"])

    monkeypatch.setattr(draw_joined_lines, "draw_line", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        draw_file(1, texts, folder / "001.npz")
    assert sorted(path.name for path in folder.iterdir()) == ["000.npz", "again.npz"]


def test_the_sample_has_the_same_bytes_each_time_and_appears_whole(words, tmp_path, monkeypatch):
    monkeypatch.setattr(draw_joined_lines, "SAMPLE_LINES", {"train": 3, "val": 1, "test": 1})
    folder = tmp_path / "sample"
    folder.mkdir()
    for name in ("a.h5", "b.h5"):
        write_sample(draw_sample(words), folder / name)
    assert (folder / "a.h5").read_bytes() == (folder / "b.h5").read_bytes()
    with prepared.open_prepared(folder / "a.h5") as file:
        assert file.read_labels("train").shape == (3, 32)
        images = file.read_images("train", np.arange(3))
    assert len(images.unique()) <= 8

    with pytest.raises(TypeError):
        write_sample({"x_train": images.numpy(), "y_train": None}, folder / "c.h5")
    assert sorted(path.name for path in folder.iterdir()) == ["a.h5", "b.h5"]


def test_a_text_that_is_not_for_class_is_left_out_of_the_sample(words, monkeypatch):
    texts = Texts(words, "train")
    phrases = iter(["what the fuck", "the sea"])
    monkeypatch.setattr(texts, "draw", lambda rng: next(phrases))
    rng = np.random.default_rng(0)
    _, labels = draw_joined_lines.draw_lines(1, texts, rng, "train")
    assert text_of(labels[0]) == "the sea"


def test_a_font_whose_letters_stand_apart_does_not_join():
    assert not draw_joined_lines.joins(FONTS / "DejaVuSans.ttf")


def test_families_of_one_design_are_in_one_part(monkeypatch):
    names = [f"{design}-{kind}" for design in "abcdefghij" for kind in ("one", "two")]
    rows = [{"family": name, "share": "1"} for name in [*names, "apart"]]
    monkeypatch.setattr(draw_joined_lines, "read_families", lambda: rows)
    monkeypatch.setattr(draw_joined_lines, "find_files", lambda family: [Path(family)])
    monkeypatch.setattr(draw_joined_lines, "joins", lambda path: path.name != "apart")
    draw_joined_lines.read_fonts.cache_clear()
    found = {part: draw_joined_lines.read_fonts(part) for part in (*PARTS, None)}
    draw_joined_lines.read_fonts.cache_clear()
    of_part = {part: [files[0].name for files in found[part][0]] for part in found}
    assert of_part[None] == [*names, "apart"]
    assert sorted(of_part["train"] + of_part["val"] + of_part["test"]) == sorted(names)
    designs = [{name[0] for name in of_part[part]} for part in PARTS]
    assert [len(of) for of in designs] == [6, 2, 2]
    assert all(np.isclose(shares.sum(), 1) for _, shares in found.values())
