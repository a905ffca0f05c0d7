"""The notes that students come from run as they are written."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import torch
from helpers import run_in_fork
from nbclient import NotebookClient

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
# Cell by cell; only what Lightning no longer takes, gpus=1, is written as it is today.
CELLS = {
    "imports": """\
import matplotlib.pyplot as plt
import numpy as np
import pytorch_lightning as pl
from text_recognizer.data.emnist import EMNIST""",
    "data": """\
data = EMNIST()
data.prepare_data()
data.setup()
print(data)""",
    "batch": """\
x, y = next(iter(data.test_dataloader()))
print(x.shape, x.dtype, x.min(), x.mean(), x.std(), x.max())
print(y.shape, y.dtype, y.min(), y.max())""",
    "grid": """\
fig = plt.figure(figsize=(9, 9))
for i in range(9):
    ax = fig.add_subplot(3, 3, i + 1)
    rand_i = np.random.randint(len(data.data_test))
    image, label = data.data_test[rand_i]
    ax.imshow(image.reshape(28, 28), cmap="gray")
    ax.set_title(data.mapping[label])""",
    "model": """\
from text_recognizer.models import CNN
from text_recognizer.lit_models import BaseLitModel

model = CNN(data_config=data.config())
lit_model = BaseLitModel(model=model)""",
    "training": """\
trainer = pl.Trainer(accelerator="auto", devices=1, max_epochs=5)
trainer.fit(lit_model, datamodule=data)""",
    "logits": """\
logits = model(x)
print(logits.shape, [entry["epoch"] for entry in lit_model.history])""",
    "predictions": """\
fig = plt.figure(figsize=(9, 9))
for i in range(9):
    ax = fig.add_subplot(3, 3, i + 1)
    rand_i = np.random.randint(len(data.data_test))
    image, label = data.data_test[rand_i]
    logits = model(image.unsqueeze(0))
    pred = data.mapping[logits.argmax(dim=1)]
    ax.imshow(image.reshape(28, 28), cmap="gray")
    ax.set_title(f"Correct: {data.mapping[label]}, Pred: {pred}")
print(pred in data.mapping[4:])""",
    "other imports": """\
from text_recognizer.data import EMNIST, EMNISTLines, MNIST
from text_recognizer.data.base_data_module import BaseDataModule
from text_recognizer.data.emnist_lines import EMNISTLines
from text_recognizer.data.mnist import MNIST
from text_recognizer.data.sentence_generator import SentenceGenerator
from text_recognizer.models import CNN, LineCNNSimple, MLP
from text_recognizer.models.cnn import CNN
from text_recognizer.models.line_cnn_simple import LineCNNSimple
from text_recognizer.models.mlp import MLP
print(MNIST(), SentenceGenerator().generate(max_length=16))""",
    "2021": "import lab_utils\npl.Trainer(gpus=1)",
}
COMMAND = "python3 training/run_experiment.py --model_class=CNN --data_class="
COMMANDS = [
    COMMAND + "MNIST --max_epochs=5 --gpus=1",
    COMMAND + "EMNIST --max_epochs=5 --gpus=1",
    COMMAND + "EMNIST --max_epochs=50 --gpus=1 --overfit_batches=2",
    COMMAND + "EMNIST --max_epochs=5 --gpus=1 --num_workers=4",
]


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    """Train a few batches, without a GPU, with the Python of these tests, in an empty folder."""
    monkeypatch.setenv("LAB_FAST", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.defpath]))
    monkeypatch.chdir(tmp_path)


def test_the_notebooks_of_the_notes_run_in_a_fresh_kernel(monkeypatch):
    monkeypatch.delenv("JUPYTER_PATH", raising=False)  # no fork, which has imported PyTorch
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS.values()]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, allow_errors=True, timeout=200).execute()
    outputs = dict(zip(CELLS, [cell.outputs for cell in notebook.cells], strict=True))
    texts = {}
    for name, shown in outputs.items():
        assert not [o for o in shown if o.output_type == "error"], (name, shown)
        texts[name] = "".join(o.text for o in shown if o.output_type == "stream")
    assert "EMNIST Dataset\nNum classes: 83\n" in texts["data"]
    assert "torch.Size([128, 1, 28, 28]) torch.float32 tensor(0.) tensor(0." in texts["batch"]
    assert "torch.Size([128]) torch.int64" in texts["batch"]
    assert texts["logits"] == "torch.Size([128, 83]) [0, 1, 2, 3, 4]\n"
    assert texts["predictions"] == "True\n"
    for name in ("grid", "predictions"):
        assert any("image/png" in o.get("data", {}) for o in outputs[name])
    assert "MNIST Dataset\nNum classes: 10\n" in texts["other imports"]
    assert texts["2021"] == (
        'Lightning\'s Trainer has no gpus= any more: write accelerator="auto", devices=1.\n'
    )


@pytest.mark.parametrize("command", COMMANDS, ids=["MNIST", "EMNIST", "overfit", "workers"])
def test_a_command_of_the_notes_runs_as_it_is_written(command, tmp_path):
    (tmp_path / "training").symlink_to(ROOT / "training")  # what is written lies here
    status, said, errors = run_in_fork(command, tmp_path)
    assert status == 0, errors
    assert said.count("No GPU found: training on the CPU.\n") == 1
    assert said.count("Test metric") == 1
    ((kind, path),) = re.findall(r"^(Best|Last) checkpoint.*: (\S+)$", said, re.M)
    assert kind == ("Last" if "overfit" in command else "Best")
    if kind == "Best":
        names = {file.name for file in (tmp_path / path).parent.iterdir()}
        assert names == {"best.ckpt", "last.ckpt"}
    described = torch.load(tmp_path / path, weights_only=True)["hyper_parameters"]
    assert described["model_class"] == "CNN"
    assert len(described["mapping"]) == (83 if "EMNIST" in command else 10)
    (accuracy,) = re.findall(r"test_acc +│? *(\d\.\d+)", said.split("On others:")[-1])
    assert 0 < float(accuracy) <= 1


@pytest.mark.parametrize(
    ("typed", "folder"),
    [
        ("python training/run_experiment.py", ROOT),
        ("python -m lab_utils.run_experiment", ROOT),
        ("python -m lab_utils.run_experiment", "."),
        ("python -m text_recognizer.training.run_experiment", "."),
    ],
)
def test_help_says_what_was_typed_from_the_checkout_and_from_elsewhere(
    typed, folder, tmp_path, monkeypatch
):
    monkeypatch.chdir(folder)
    status, said, errors = run_in_fork(f"{typed} --help", tmp_path)
    assert status == 0, errors
    assert said.startswith(f"usage: {typed}")


def test_the_library_loads_nothing_until_it_is_used():
    script = "import sys, text_recognizer, text_recognizer.data; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert found.stdout == "False\n", found.stderr
