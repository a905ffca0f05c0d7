"""How the bundled sample is made: here with one font, which matplotlib brings."""

import json
import subprocess
import sys
from pathlib import Path

import h5py
import make_sample
import matplotlib
import numpy as np
import pytest
from PIL import Image

from text_recognizer.files import prepared
from text_recognizer.mapping import MAPPING
from text_recognizer.paths import bundled

pytestmark = pytest.mark.slow

FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


@pytest.fixture
def one_font(monkeypatch):
    rows = [{"family": "dejavu", "part": part, "style": "print"} for part in ("train", "test")]
    monkeypatch.setattr(make_sample, "read_font_table", lambda: rows)
    monkeypatch.setattr(make_sample, "find_font_files", lambda family: [FONT])


@pytest.mark.parametrize(("part", "character"), [("train", "R"), ("test", "g"), ("train", ",")])
def test_a_class_is_drawn_the_same_each_time_in_few_grey_levels(one_font, part, character):
    task = (part, character, 4, 42)
    _, _, images = make_sample.draw_class(task)
    assert images.shape == (4, 28, 28)
    assert len(np.unique(images.reshape(4, -1), axis=0)) == 4
    assert not (images % 17).any()
    assert images.max(axis=(1, 2)).min() > 150
    np.testing.assert_array_equal(make_sample.draw_class(task)[2], images)


def test_the_style_comes_to_follow_emnist(one_font):
    artist = make_sample.Artist("o", "test", 42)
    target = make_sample.read_statistics()["o"]
    found = np.nanmean([make_sample.measure(artist.draw(i)) for i in range(60)], axis=0)
    for value, name, tolerance in zip(found, ("stroke", "aspect"), (0.1, 0.15), strict=False):
        assert value == pytest.approx(target[name][0], abs=tolerance)


def test_the_bundled_sample_has_as_many_of_each_as_the_script_says():
    counts = make_sample.count_train_images()
    with prepared.open_prepared(bundled(prepared.SAMPLE_FILE)) as file:
        found = np.bincount(file.read_labels("train"), minlength=len(MAPPING))
    assert {c: found[MAPPING.index(c)] for c in counts} == counts


@pytest.mark.parametrize("character", ["&", "?", ","])
def test_the_bundled_sample_is_what_the_script_draws(one_font, monkeypatch, character):
    # Punctuation drawn from templates depends on no font but those that an image is drawn from.
    templates, write_shape = [], make_sample.write_shape
    monkeypatch.setattr(
        make_sample, "write_shape", lambda *args: templates.append(args) or write_shape(*args)
    )
    artist = make_sample.Artist(character, "train", 42)
    with prepared.open_prepared(bundled(prepared.SAMPLE_FILE)) as file:
        first = np.flatnonzero(file.read_labels("train") == MAPPING.index(character))[:24]
        shipped = file.read_images("train", first).numpy()
    same = []
    for number, image in enumerate(shipped):
        count = len(templates)
        drawn = make_sample.reduce_greys(artist.draw(number))
        if len(templates) > count:
            same.append(np.array_equal(drawn, image))
    assert len(same) > 6
    assert np.mean(same) > 0.9  # all of them on the processor that drew the sample


def test_the_file_is_whole_and_the_same_for_the_same_images(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (50, 28, 28)).astype(np.uint8)
    sample = {f"{k}_{part}": v for part in ("train", "test") for k, v in (("x", images),)}
    sample |= {f"y_{part}": np.full(50, 4, np.uint8) for part in ("train", "test")}
    for name in ("a.h5", "b.h5"):
        make_sample.write_sample(sample, 42, tmp_path / name)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "b.h5"]
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["x_train"][:], images)
        assert file.attrs["synthetic"]


def test_without_npm_it_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(make_sample, "FONTS", tmp_path / "fonts")
    monkeypatch.setattr(make_sample.shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match="npm is needed"):
        make_sample.fetch_fonts()


def test_fonts_are_fetched_again_where_the_table_names_another_version(tmp_path, monkeypatch):
    monkeypatch.setattr(make_sample, "FONTS", tmp_path / "fonts")
    monkeypatch.setattr(make_sample.shutil, "which", lambda name: name)
    ran = []

    def npm(command, cwd, check):
        wanted = json.loads((cwd / "package.json").read_text(encoding="utf-8"))["dependencies"]
        for package, version in wanted.items():
            folder = cwd / "node_modules" / package
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "package.json").write_text(json.dumps({"version": version}), "utf-8")
        ran.append(len(wanted))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(make_sample.subprocess, "run", npm)
    rows = make_sample.read_font_table()
    make_sample.fetch_fonts()
    make_sample.fetch_fonts()
    assert ran == [len(rows)]
    newer = [{**rows[0], "version": "99.0.0"}, *rows[1:]]
    monkeypatch.setattr(make_sample, "read_font_table", lambda: newer)
    make_sample.fetch_fonts()
    assert ran == [len(rows)] * 2


def test_a_failing_npm_ends_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(make_sample, "FONTS", tmp_path / "fonts")
    monkeypatch.setattr(make_sample.shutil, "which", lambda name: name)
    failed = subprocess.CompletedProcess([], 1)
    monkeypatch.setattr(make_sample.subprocess, "run", lambda command, **options: failed)
    with pytest.raises(SystemExit, match="npm could not fetch the fonts"):
        make_sample.fetch_fonts()


def test_the_whole_script_writes_the_sample_and_its_picture(one_font, tmp_path, monkeypatch):
    # One process: a pool's workers would not know the one font.
    class Pool:
        def __init__(self, processes):
            assert processes == 1

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        imap_unordered = staticmethod(map)

    monkeypatch.setattr(make_sample, "Pool", Pool)
    monkeypatch.setattr(make_sample, "fetch_fonts", lambda: None)
    monkeypatch.setattr(make_sample, "CHARACTERS", ["7", "R"])
    monkeypatch.setattr(make_sample, "PUNCTUATION", [" ", ","])
    monkeypatch.setattr(make_sample, "count_train_images", lambda: dict.fromkeys("7R ,", 16))
    monkeypatch.setattr(make_sample, "PER_CLASS_TEST", 2)
    output = tmp_path / "sample.h5"
    arguments = ["make_sample.py", "--processes", "1", "--output", str(output)]
    monkeypatch.setattr(sys, "argv", arguments)
    make_sample.main()
    with h5py.File(output) as file:
        assert file["x_train"].shape == (64, 28, 28)
        assert np.bincount(file["y_test"][:], minlength=8).tolist() == [0] * 4 + [2] * 4
        blank = file["y_train"][:] == 6
        assert not file["x_train"][:][blank].any()
        assert file["x_train"][:][~blank].max(axis=(1, 2)).all()
    with Image.open(tmp_path / "sample.png") as picture:
        assert np.asarray(picture).min() < 50


def test_every_font_is_pinned_openly_licensed_and_on_one_side_of_the_split():
    rows = make_sample.read_font_table()
    assert len({row["family"] for row in rows}) == len(rows)
    for row in rows:
        assert row["licence"] in ("OFL-1.1", "Apache-2.0", "MIT"), row
        assert row["part"] in ("train", "test"), row
        assert row["style"] in make_sample.STYLE_WEIGHT, row
        assert row["version"][0].isdigit(), row
    assert {row["part"] for row in rows} == {"train", "test"}
