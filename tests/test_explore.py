"""Explorables without a browser: what Python gives their scripts, and their pictures."""

import math
import re
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, TensorDataset

from lab_utils import (
    CNN,
    EMNIST,
    MLP,
    BaseLitModel,
    LabError,
    LiveCurves,
    explore_confusions,
    explore_ctc,
    explore_filter,
    explore_network,
    prepare,
    sample_strokes,
)
from text_recognizer.explore import curves
from text_recognizer.explore.explorable import STATIC, Explorable

SCRIPTS = sorted(STATIC.glob("*.js"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_short_and_its_colours_are_in_the_style(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 200
    defined = re.findall(r"(--[\w-]+):", Explorable._css)
    assert set(re.findall(r'"(--[\w-]+)"', text)) <= set(defined)


def test_the_filters_are_given_and_named_in_the_students_language(monkeypatch):
    image = torch.zeros(1, 5, 7, dtype=torch.uint8)
    image[0, 2, 3] = 255
    shown = explore_filter(image).shown
    assert (shown["size"], max(shown["pixels"])) == ((5, 7), 1)
    assert shown["filters"]["vertical edges"] == [-1, 0, 1, -2, 0, 2, -1, 0, 1]
    monkeypatch.setenv("LAB_LANGUAGE", "ko")
    korean = explore_filter(image)
    assert "세로 경계선" in korean.shown["filters"]
    assert all(any("가" <= letter <= "힣" for letter in text) for text in korean.labels.values())


def test_without_a_browser_there_is_a_picture(monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    data, _ = explore_filter(np.eye(9))._repr_mimebundle_()
    assert data["image/png"].startswith(b"\x89PNG")
    assert data["text/plain"] == "A filter in your hand: 9 x 9 pixels, 3 x 3 weights"


@pytest.mark.parametrize(
    ("image", "says"),
    [
        ("A", r"image must be an array or tensor of numbers, \(H, W\)"),
        (np.zeros((2, 28, 28)), r"image must be an array or tensor of numbers, \(H, W\)"),
        (np.full((3, 3), np.nan), "image must be"),
        (np.zeros((65, 10)), r"image has shape \(65, 10\): at most 64 each way"),
    ],
)
def test_something_else_is_one_error(image, says):
    with pytest.raises(LabError, match=says):
        explore_filter(image)


def test_a_line_has_an_answer_every_two_columns_and_the_likeliest_path_is_among_the_rows():
    logits = torch.zeros(83, 6)
    logits[[7, 3], [1, 4]] = 9
    shown = explore_ctc(torch.zeros(28, 10), logits).shown
    assert shown["characters"][0] == "_"
    assert np.shape(shown["probabilities"]) == (len(shown["characters"]), 6)
    assert np.argmax(shown["probabilities"], axis=0)[[1, 4]].tolist() != [0, 0]
    with pytest.raises(LabError, match=r"logits=\(5, 6\) must have 83 rows"):
        explore_ctc(torch.zeros(28, 10), logits[:5])


def test_curves_grow_while_training_runs(monkeypatch):
    shown = []
    monkeypatch.setattr(curves, "display", lambda page, **how: shown.append((page.data, how)))
    monkeypatch.setattr(curves, "get_ipython", lambda: True)
    monkeypatch.setattr(curves, "PAUSE", 0)
    monkeypatch.setattr(curves, "MAX_SHARE", math.inf)
    live, images = LiveCurves(), TensorDataset(torch.rand(64, 1, 28, 28), torch.arange(64))
    quiet = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}
    trainer = pl.Trainer(accelerator="cpu", max_epochs=2, callbacks=live, **quiet)
    lit_model = BaseLitModel(MLP(EMNIST().config(), fc1_dim=8))
    trainer.fit(lit_model, DataLoader(images, 16), DataLoader(images, 32))
    assert [round(x, 2) for x, _ in live.curves["train_loss"]] == list(np.arange(0.25, 2.1, 0.25))
    wanted = [[i + 1, epoch["val_loss"]] for i, epoch in enumerate(lit_model.history)]
    assert live.curves["val_loss"] == wanted
    assert live.curves["train_acc"][-1] == [2, lit_model.history[-1]["train_acc"]]
    pages, how = zip(*shown, strict=True)
    assert [each["update"] for each in how] == [False] + 8 * [True]  # one page in the other's place
    assert len({each["display_id"] for each in how}) == 1
    assert "epoch 2 of 2, batch 1 of 4" in pages[4]
    assert "2 epochs are done" in pages[-1]
    assert all(ElementTree.fromstring(page) is not None for page in pages)


def test_an_accuracy_that_nobody_measures_is_not_drawn():
    live, trainer = LiveCurves(), SimpleNamespace(num_training_batches=2, current_epoch=0)
    trainer.world_size, lit_model = 1, BaseLitModel(MLP(EMNIST().config(), fc1_dim=4))
    live.on_train_batch_end(trainer, lit_model, {"loss": torch.tensor(2.0)}, None, 0)  # of a line
    assert dict(live.curves) == {"train_loss": [[0.5, 2.0]]}


def test_what_is_no_number_or_out_of_sight_stops_no_curve():
    page = curves.draw_curves({"train_loss": [[1, 4.0], [2, math.nan], [3, 1e9]]}, 3, "step", "")
    lines = [line.attrib["points"] for line in ElementTree.fromstring(page).iter("polyline")]
    assert lines == ["0.3333,1.0000 0.3333,1.0000 1.0000,1.0000 1.0000,1.0000", ""]


def test_a_cell_has_so_many_images_and_those_that_are_left_are_its_first():
    images = torch.arange(60, dtype=torch.uint8)[:, None, None].expand(-1, 28, 28)
    truth, read = torch.full((60,), 20), torch.full((60,), 20)
    read[50:] = 30
    shown = explore_confusions(images, truth, read).shown
    assert shown["counts"] == [50, 10, 0, 0]
    assert (shown["pairs"], shown["cells"]) == ([1], [0] * 24 + [1] * 10)
    first_pixels = np.frombuffer(shown["pixels"], np.uint8).reshape(-1, 784)[:, 0]
    assert first_pixels.tolist() == [*range(24), *range(50, 60)]
    with pytest.raises(LabError, match="predictions must be 60 whole numbers below 83"):
        explore_confusions(images, truth, read + 80)


def test_the_maps_are_those_of_the_network_and_the_canvas_reads_by_it():
    model = CNN(EMNIST().config(), conv_dim=4).train()
    inside = explore_network(model, EMNIST.mapping)
    image = prepare(sample_strokes("R"))[None, None] / 255
    with torch.no_grad():
        maps = model.conv1(image)[0]
        logits = model.eval()(image)[0]
    layer, shown = inside.shown["layers"][0], inside.shown
    strongest = maps[layer["chosen"][0]] / maps.max() * 127
    given = torch.frombuffer(bytearray(layer["maps"]), dtype=torch.int8)[:784].float()
    assert (given - strongest.flatten()).abs().max() <= 1
    assert [layer["name"] for layer in shown["layers"]] == ["conv1", "conv2", "max_pool"]
    assert shown["logits"][0] == (EMNIST.mapping[logits.argmax()], logits.max().item())


def test_each_part_of_a_network_keeps_its_mode_even_if_the_network_raises(monkeypatch):
    model = CNN(EMNIST().config(), conv_dim=4).train()
    model.conv1.eval()  # as a part that is not trained
    modes = [part.training for part in model.modules()]
    explore_network(model, EMNIST.mapping)
    assert [part.training for part in model.modules()] == modes
    monkeypatch.setattr(model, "forward", lambda x: x / "odd")
    with pytest.raises(TypeError):
        explore_network(model, EMNIST.mapping)
    assert [part.training for part in model.modules()] == modes


@pytest.mark.parametrize(
    ("model", "mapping", "says"),
    [
        (None, [], "model=None must be a network"),
        (MLP(EMNIST().config(), fc1_dim=4), ["a"], "mapping has 1 names, the network 83 logits"),
    ],
)
def test_a_network_that_does_not_fit_is_one_error(model, mapping, says):
    with pytest.raises(LabError, match=says):
        explore_network(model, mapping)


def test_drawing_takes_a_small_share_of_the_time(monkeypatch):
    now, drawn = [0.0], []
    monkeypatch.setattr(curves, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(curves, "get_ipython", lambda: True)

    def display(page, **how):
        now[0] += 0.5  # of a slow machine
        drawn.append(now[0])

    monkeypatch.setattr(curves, "display", display)
    live = LiveCurves(total=2000)
    for _ in range(2000):
        live.log(loss=1.0)
        now[0] += 0.1
    assert len(drawn) == 5  # every 50 seconds, and the last
