"""Folders and what ships: where they are looked for, and what is said where they cannot be used."""

import errno
from pathlib import Path

import pytest

from lab_utils import (
    CNN,
    EMNIST,
    LabError,
    LineLitModel,
    SentenceGenerator,
    sample_strokes,
)
from text_recognizer import paths, strokes
from text_recognizer.data import sentence_generator
from text_recognizer.files import download
from text_recognizer.models.weights import load_network

FULL = OSError(errno.ENOSPC, "No space left on device")


def fail(*args, **options):
    raise FULL


def test_a_relative_folder_counts_from_the_checkout(monkeypatch):
    monkeypatch.setenv("LAB_DATA_DIR", "build/relative")
    checkout = paths.bundled("sources.json").parents[1]
    assert paths.named_path("LAB_DATA_DIR") == checkout / "build" / "relative"


def test_outside_a_checkout_data_goes_to_the_user_s_cache(monkeypatch, tmp_path):
    monkeypatch.delenv("LAB_DATA_DIR")
    monkeypatch.setattr(paths, "_IN_CHECKOUT", False)
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache" / name)
    assert paths.data_dir() == tmp_path / "cache" / "handwriting-lab"
    assert paths.data_dir().is_dir()


def test_a_checkout_keeps_its_data_in_its_own_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("LAB_DATA_DIR")
    monkeypatch.setattr(paths, "_CHECKOUT_DATA", tmp_path)
    assert paths.data_dir() == tmp_path


def test_a_folder_that_is_a_file_is_named(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LAB_DATA_DIR", str(tmp_path / "file" / "data"))
    with pytest.raises(LabError, match="cannot be written"):
        paths.data_dir()


def test_a_notebook_shows_one_line_instead_of_a_traceback():
    from IPython.core.interactiveshell import InteractiveShell

    lines = []
    shell = InteractiveShell()
    shell._showtraceback = lambda kind, error, traceback: lines.extend(traceback)
    shell.run_cell("from lab_utils import EMNIST; EMNIST(source='nowhere')")
    assert lines == ["LabError: source='nowhere' must be one of auto, full, sample."]


@pytest.mark.parametrize("fetch", [download.download_mnist, download.download_brown])
def test_a_full_disk_is_named_not_a_mirror(fetch, monkeypatch, tmp_path, online):
    monkeypatch.setattr(download, "_fetch_file", fail)
    with pytest.raises(LabError, match=r"cannot be written \(No space left on device\)") as caught:
        fetch(tmp_path)
    assert not isinstance(caught.value, download.DownloadError)


def test_what_ships_and_is_damaged_is_named(monkeypatch, tmp_path):
    (tmp_path / "sample_strokes.json").write_text("{", encoding="utf-8")
    (tmp_path / "lab_text.txt").write_bytes(b"caf\xe9")
    for module, cached in (
        (strokes, strokes.read_samples),
        (sentence_generator, sentence_generator._read),
    ):
        monkeypatch.setattr(module, "bundled", lambda name: tmp_path / name)
        cached.cache_clear()
    try:
        with pytest.raises(LabError, match=r"sample_strokes\.json is missing or damaged"):
            sample_strokes("a")
        with pytest.raises(LabError, match=r"lab_text\.txt is missing or damaged"):
            SentenceGenerator(source="own")
    finally:
        strokes.read_samples.cache_clear()
        sentence_generator._read.cache_clear()


def test_nltk_s_folder_without_brown_is_as_good_as_none(monkeypatch, tmp_path):
    monkeypatch.setenv("NLTK_DATA", str(tmp_path))
    assert SentenceGenerator().source == "own"


def test_training_for_lines_refuses_a_network_for_characters():
    network = CNN({"input_dims": (1, 28, 28), "mapping": EMNIST.mapping})
    with pytest.raises(LabError, match="CNN reads characters: take BaseLitModel"):
        LineLitModel(network)


def test_a_checkpoint_of_another_shape_is_named(tmp_path):
    import torch

    described = {"input_dims": (1, 28, 28), "mapping": EMNIST.mapping}
    weights = {f"model.{name}": value for name, value in CNN(described).state_dict().items()}
    weights["model.fc2.bias"] = torch.zeros(3)
    path = Path(tmp_path) / "best.ckpt"
    named = described | {"model_class": "CNN", "model_arguments": {"conv_dim": 64, "fc_dim": 128}}
    torch.save({"hyper_parameters": named, "state_dict": weights}, path)
    with pytest.raises(LabError, match=r"best\.ckpt does not fit the network that it names"):
        load_network(path)


@pytest.mark.parametrize("name", ["a" * 250, "가" * 80])
def test_a_file_with_a_long_name_is_written_whole(tmp_path, name):
    path = tmp_path / f"{name}.txt"
    paths.write_whole(path, "one")
    paths.write_whole(path, b"two")
    assert path.read_bytes() == b"two"
    with pytest.raises(FileNotFoundError), paths.replace_whole(path) as partial:
        partial.with_name("gone").replace(partial)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"two"]
