"""How the bundled sample is made: here with one font, which matplotlib brings."""

import sys
from pathlib import Path

import h5py
import matplotlib
import numpy as np
import pytest

from lab_utils.data import hdf5
from lab_utils.mapping import MAPPING
from lab_utils.paths import bundled

sys.path.insert(0, str(bundled("stroke_templates.json").parent))
import make_sample

FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


@pytest.fixture
def one_font(monkeypatch):
    rows = [{"family": "dejavu", "part": part, "style": "print"} for part in ("train", "test")]
    monkeypatch.setattr(make_sample, "read_font_table", lambda: rows)
    monkeypatch.setattr(make_sample, "font_files", lambda family: [FONT])


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
    found = np.nanmean([make_sample.measure(artist.image(i)) for i in range(60)], axis=0)
    for value, name, tolerance in zip(found, ("stroke", "aspect"), (0.1, 0.15), strict=False):
        assert value == pytest.approx(target[name][0], abs=tolerance)


def test_the_bundled_sample_has_as_many_of_each_as_the_script_says():
    counts = make_sample.train_counts()
    with hdf5.open_prepared(bundled(hdf5.SAMPLE_FILE)) as file:
        found = np.bincount(file.read_labels("train"), minlength=len(MAPPING))
    assert {c: found[MAPPING.index(c)] for c in counts} == counts


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
