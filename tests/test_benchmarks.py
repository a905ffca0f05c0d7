"""The benchmarks: what they measure by, and that each still runs, on little data."""

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import data_loading
import h5py
import lightning_overhead
import line_drawing
import line_reading
import preparation
import pytest
import scores
import start_up
import torch
from torch.utils.data import DataLoader

from lab_utils import CNN, EMNIST, BaseLitModel
from text_recognizer.data.base_data_module import BatchedDataset
from text_recognizer.lines.glyphs import GlyphPool
from text_recognizer.mapping import MAPPING

pytestmark = pytest.mark.slow

BENCHMARKS = Path(scores.__file__).parent


@pytest.mark.parametrize("path", sorted(BENCHMARKS.glob("*.py")), ids=lambda path: path.stem)
def test_each_imports_what_there_is(path):
    module = importlib.import_module(path.stem)
    assert module.__file__ == str(path)
    assert hasattr(module, "main") or path.stem == "scores"


class Sure:
    """Answers with the classes it is told, 80% sure of each."""

    mapping = MAPPING

    def __init__(self, answers):
        self.answers = [MAPPING.index(name) for name in answers]

    def probabilities(self, images):
        found = torch.full((len(images), len(MAPPING)), 0.2 / (len(MAPPING) - 1))
        found[range(len(images)), self.answers] = 0.8
        return found


def test_scores_tell_case_and_calibration_apart():
    images = torch.zeros((5, 28, 28), dtype=torch.uint8)
    labels = torch.tensor([MAPPING.index(name) for name in "aBc1I"])
    found = scores.score(Sure("abc1l"), images, labels)
    assert found["accuracy"] == pytest.approx(3 / 5)
    assert found["caseless"] == pytest.approx(4 / 5)
    assert found["calibration_error"] == pytest.approx(0.2, abs=1e-5)


def test_errors_in_lines_are_counted_by_character_word_and_line():
    found = line_reading.count_errors(["The cat", "sat"], ["the cat", "sat"])
    assert found["cer"] == pytest.approx(1 / 10)
    assert found["cer_caseless"] == 0
    assert found["wer"] == pytest.approx(1 / 3)
    assert found["exact"] == 1 / 2


@pytest.fixture(scope="module")
def loader():
    images = torch.randint(0, 256, (64, 28, 28), dtype=torch.uint8)
    return DataLoader(
        data_loading.PerSample(images, torch.randint(4, 66, (64,))), batch_size=32, shuffle=False
    )


def test_the_plain_loader_gives_what_the_lab_s_gives(loader):
    usual = loader.dataset
    x, y = next(iter(loader))
    ours_x, ours_y = BatchedDataset(usual.images, usual.labels).__getitems__(range(32))
    assert torch.equal(x, ours_x)
    assert torch.equal(y, ours_y)
    assert data_loading.measure_rate(loader) > 0


@pytest.mark.filterwarnings("ignore:You defined a `validation_step`")
def test_both_loops_train(loader):
    config = {"input_dims": (1, 28, 28), "mapping": EMNIST.mapping}
    model = CNN(config)
    before = model.fc1.weight.detach().clone()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    assert lightning_overhead.time_bare_epoch(model, optimizer, loader) > 0
    assert not torch.equal(model.fc1.weight, before)
    assert lightning_overhead.time_lightning_epoch(BaseLitModel(model=CNN(config)), loader) > 0


def test_glyph_after_glyph_draws_lines_of_the_same_size():
    labels = torch.tensor([MAPPING.index(name) for name in "thecas"])
    images = torch.full((len(labels), 28, 28), 200, dtype=torch.uint8)
    maker = SimpleNamespace(
        pool=GlyphPool(images, labels), sentences=SimpleNamespace(text=list("the cat sat"))
    )
    line = line_drawing.OneByOne(maker, MAPPING, 0.3).draw_line(16)
    assert line.shape == (28, 28 * 16)
    assert line[:, 0].unique().tolist() == [200]
    assert not line[:, -28:].any()


def test_archives_hold_as_many_images_as_they_say(monkeypatch, tmp_path):
    monkeypatch.setattr(preparation, "COUNTS", {"train": 9_000, "test": 20})
    preparation.make_gzip_archive(tmp_path / "gzip.zip")
    for script in (preparation.PLAIN, preparation.STREAMED):
        target = tmp_path / "prepared.h5"
        monkeypatch.setattr(sys, "argv", ["-c", str(tmp_path / "gzip.zip"), str(target)])
        exec(script, {})
        with h5py.File(target) as file:
            assert (len(file["x_train"]), len(file["x_test"])) == (9_000, 20)
            assert file["y_train"][:].max() < 62


def test_the_time_of_a_command_is_that_of_its_process():
    assert start_up.measure(["-c", "sum(range(3_000_000))"]) > 0
