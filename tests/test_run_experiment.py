"""Training from the terminal: the published commands, mistakes, going on, and several processes."""

import csv
import inspect
import os
import pickle
import re
import shlex
import shutil
import signal
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from helpers import run_in_fork

from lab_utils import HandwritingCanvas, LineRecognizer, sample_strokes
from text_recognizer.data.emnist_lines import FreshLines
from text_recognizer.errors import LabError
from text_recognizer.lit_models import base
from text_recognizer.lit_models.base import FAST_BATCHES, BaseLitModel
from text_recognizer.lit_models.lines import LineLitModel
from text_recognizer.mapping import MAPPING
from text_recognizer.models.registry import NETWORKS, reads_lines
from text_recognizer.models.weights import load_network
from text_recognizer.training import run_experiment
from text_recognizer.training.arguments import DATA_MODULES, TRAINER_ARGUMENTS, parse
from text_recognizer.training.run_experiment import experiment, main

pytestmark = pytest.mark.slow

LINE_NETWORKS = [name for name, network in NETWORKS.items() if reads_lines(network)]
CHARACTER_NETWORKS = [name for name in NETWORKS if name not in LINE_NETWORKS]
QUICK = ["--model_class=MLP", "--fc1_dim=16", "--source=sample", "--enable_progress_bar=false"]
CHECKPOINTS = Path("logs/MLP_MNIST/version_0/checkpoints")
# Lightning says so whenever training goes on in the folder of its checkpoint.
going_on = pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """Leave logs/ in an empty folder, find no GPU, and train four batches per epoch."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAB_FAST", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def run(*argv):
    main([*QUICK, *argv])


def checkpoint(name="last", folder=CHECKPOINTS):
    return torch.load(folder / f"{name}.ckpt", weights_only=True)


def metrics(version=0):
    """Return the values that the CSV logger wrote under each name."""
    text = Path(f"logs/MLP_MNIST/version_{version}/metrics.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    return {name: [float(row[name]) for row in rows if row[name]] for name in rows[0]}


def mistake(*argv):
    """Return the one line that the user reads; Python prints it and exits with status 1."""
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in argv])
    message = caught.value.code
    assert isinstance(message, str)
    assert message.startswith("Error: ")
    assert len(message.splitlines()) == 1
    return message


def terminal(*argv):
    return [sys.executable, "-m", "lab_utils.run_experiment", *QUICK, *argv]


# Overfitting, as published; `test_notes.py` has the other commands.


def test_the_published_overfitting_ends_with_what_it_learned_by_heart(monkeypatch, capsys):
    monkeypatch.delenv("LAB_FAST")
    published = "--model_class=CNN --data_class=EMNIST --max_epochs=50 --gpus=1 --overfit_batches=2"
    main([*published.split(), "--batch_size=16", "--conv_dim=16", "--lr=3e-3"])
    out = capsys.readouterr().out
    learned = "On the images that it learned by heart: test_acc 1.0000, test_loss 0."
    assert out.index(learned) < out.index("Test metric")
    assert out.count("Test metric") == 1
    (printed,) = re.findall(r"^Last checkpoint: (\S+)$", out, re.M)
    assert [path.name for path in Path(printed).parent.iterdir()] == ["last.ckpt"]
    assert checkpoint("last", Path(printed).parent)["epoch"] == 49
    (on_others,) = re.findall(r"test_acc +(0\.\d+)", out.split("On others:")[1])
    assert float(on_others) < 0.5


@pytest.mark.parametrize(
    ("gpus", "found", "trains_on", "says"),
    [
        (None, 2, {}, ""),
        (0, 2, {"accelerator": "cpu", "devices": 1}, ""),
        (1, 0, {"accelerator": "cpu", "devices": 1}, "No GPU found: training on the CPU.\n"),
        (-1, 0, {"accelerator": "cpu", "devices": 1}, "No GPU found: training on the CPU.\n"),
        (1, 2, {"accelerator": "gpu", "devices": 1}, ""),
        (-1, 3, {"accelerator": "gpu", "devices": -1}, ""),
    ],
)
def test_gpus_takes_what_is_there(gpus, found, trains_on, says, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: found)
    automatic = {"accelerator": "auto", "devices": "auto"}
    assert run_experiment._choose_hardware(gpus, automatic) == trains_on
    assert capsys.readouterr().out == says


# The arguments.


@pytest.mark.parametrize(
    ("model_class", "data_class"),
    [*product(CHARACTER_NETWORKS, ("MNIST", "EMNIST")), *product(LINE_NETWORKS, ("EMNISTLines",))],
)
def test_help_explains_each_argument_once_under_its_class(model_class, data_class, capsys):
    with pytest.raises(SystemExit) as caught:
        main([f"--model_class={model_class}", f"--data_class={data_class}", "--help"])
    assert caught.value.code == 0
    *_, text = re.split(r"^options:$", capsys.readouterr().out, flags=re.M)
    arguments = re.findall(r"^  --(\w+)[ ,]", text, re.M)
    assert len(arguments) == len(set(arguments))
    network, data = NETWORKS[model_class], DATA_MODULES[data_class]
    lit_class = LineLitModel if reads_lines(NETWORKS[model_class]) else BaseLitModel
    for cls in (network, data, lit_class, pl.Trainer):
        title = inspect.getdoc(cls) or inspect.getdoc(cls.__init__)
        assert f"\n{title.splitlines()[0].rstrip('.')}:\n  --" in text
    wanted = {*inspect.signature(network).parameters, *inspect.signature(lit_class).parameters}
    wanted |= {"source", "batch_size", "num_workers", "augment", *TRAINER_ARGUMENTS}
    wanted |= {"model_class", "data_class", "gpus", "load_checkpoint", "stop_early", "logger"}
    assert wanted - {"data_config", "model"} <= set(arguments)
    assert not re.findall(r"--(\w+) [A-Z_0-9]+\s+\(type", text)  # no explanation


def test_each_argument_reaches_the_class_it_belongs_to():
    argv = ["--model_class=MLP", "--data_class=EMNIST", "--gpus=2", "--fc1_dim=3"]
    argv += ["--balance=false", "--batch_size=7", "--lr=0.5", "--one_cycle_max_lr=1"]
    arguments = parse([*argv, "--max_epochs=9", "--precision=16-mixed"], experiment)
    assert arguments["model_class"] == "MLP"
    assert arguments["gpus"] == 2
    assert arguments["load_checkpoint"] is None
    assert arguments["MLP"] == {"fc1_dim": 3, "fc2_dim": 128}
    assert arguments["EMNIST"] == {
        **{"source": "auto", "balance": False, "batch_size": 7, "num_workers": 0},
        "augment": False,
    }
    assert arguments["BaseLitModel"] == {
        **{"optimizer": "Adam", "lr": 0.5, "one_cycle_max_lr": 1.0, "label_smoothing": 0.0},
    }
    assert set(arguments["Trainer"]) == TRAINER_ARGUMENTS
    assert arguments["Trainer"]["max_epochs"] == 9
    assert arguments["Trainer"]["precision"] == "16-mixed"


def test_without_arguments_it_is_the_first_published_command():
    arguments = parse([], experiment)
    assert (arguments["model_class"], arguments["data_class"]) == ("CNN", "MNIST")
    assert arguments["Trainer"]["max_epochs"] == 5


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ("--model_class=CN", "--model_class=CN: did you mean CNN?"),
        ("--data_class=Emnst", "--data_class=Emnst: did you mean EMNIST"),
        ("--model_class=Transformer", "one of CNN, LineCNN, LineCNNSimple, MLP, ResNet."),
        ("--model_class", "--model_class"),
        ("--model_class=", "--model_class=: it must be one of CNN, "),
        ("--max_epoch=3", "--max_epoch: .* did you mean max_epochs"),
        ("--model_clas=CNN", "--model_clas: .* did you mean model_class"),
        ("--fc1_dim=3", "--fc1_dim: it is not an argument here; did you mean fc_dim"),
        ("CNN", "CNN: arguments are given as --name=value."),
        ("--max_epochs=many", "--max_epochs=many: it must be int"),
        ("--max_epochs=1.5", "--max_epochs=1.5: it must be int"),
        ("--lr=fast", "--lr=fast: it must be float"),
        ("--gpus=two", "--gpus=two: it must be int"),
        ("--augment=maybe", "--augment=maybe: it must be bool"),
        ("--overfit_batches=few", "--overfit_batches=few: it must be int or float"),
        ("--logger=cvs", "--logger=cvs: it must be .*csv"),
        ("--batch_size", "--batch_size: expected one argument"),
        ("--batch_size=0", "batch_size=0 must be a whole number of 1 or more"),
        ("--source=internet", "source='internet' must be one of auto, full, sample"),
        ("--optimizer=Adm", "optimizer='Adm': did you mean Adam"),
        ("--label_smoothing=1", "label_smoothing=1.0 must be"),
        ("--gpus=1 --accelerator=cpu", "--gpus .* not both"),
        ("--gpus=1 --devices=1", "--gpus .* not both"),
        ("--accelerator=tpuu --source=sample", "tpuu"),
        ("--overfit_batches=1.5 --source=sample", "1.5 for overfit_batches"),
        ("--max_epochs=-1", "--max_epochs=-1 must be a whole number of 1 or more"),
        ("--max_epochs=null", "--max_epochs=None must be a whole number of 1 or more"),
        ("--max_epochs=-1 --stop_early=2 --one_cycle_max_lr=1", "--max_epochs=-1 must be"),
        ("--accelerator=tpu --source=sample", "does not take these arguments: .*torch_xla"),
        ("--num_workers=1000", "num_workers=1000 must be a whole number from 0 to"),
        ("--lr=1e30", "lr=1e[+]30 must be from 0 to 1000"),
        ("--one_cycle_max_lr=-1", "one_cycle_max_lr=-1.0 must be from 0 to 1000"),
        (
            "--model_class=LineCNN --data_class=EMNISTLines --max_length=100000",
            "max_length=100000 must be a whole number from 1 to 1000",
        ),
        ("--data_class=EMNISTLine", "did you mean EMNISTLines"),
        ("--data_class=EMNISTLines", "model_class=CNN does not read --data_class=EMNISTLines"),
        ("--model_class=LineCNN", "model_class=LineCNN does not read --data_class=MNIST"),
        ("--model_class=LineCNNSimple --data_class=EMNIST", "LineCNNSimple and LineCNN read lines"),
        ("--model_class=LineCNN --data_class=EMNISTLines --width=0", "width=0 must be a whole"),
        ("--model_class=LineCNN --data_class=EMNISTLines --max_length=0", "max_length=0 must be"),
        ("--model_class=LineCNN --data_class=EMNISTLines --style=round", "style='round' must be"),
        (
            "--model_class=LineCNNSimple --data_class=EMNISTLines --window_width=1000",
            "window_width=1000 must be a whole number from 2 to 896",
        ),
    ],
)
def test_a_mistake_is_one_line_that_names_what_is_wrong(argv, says):
    assert re.search(says, mistake(*argv.split()))


@pytest.mark.parametrize("argument", ["--lr=-1", "--max_epochs=0", "--stop_early=-3", "--gpus=-2"])
def test_a_number_out_of_range_is_named(argument):
    assert argument.partition("=")[0].removeprefix("--") in mistake(*QUICK, argument)


# Overfitting, stopping early, logging.


def test_overfitting_repeats_the_same_whole_batches(monkeypatch):
    batches, step = [], BaseLitModel.training_step

    def recorded(self, batch, batch_idx):
        batches.append(batch[0])
        return step(self, batch, batch_idx)

    monkeypatch.setattr(BaseLitModel, "training_step", recorded)
    run("--overfit_batches=2", "--max_epochs=3")
    assert len(batches) == 3 * 2
    for i, x in enumerate(batches):
        assert torch.equal(x, batches[i % 2])


@pytest.mark.parametrize(("argv", "epochs"), [(["--stop_early=1"], 2), ([], 4)])
def test_stop_early_ends_training_that_no_longer_improves(argv, epochs):
    run("--lr=0", "--max_epochs=4", *argv)
    assert checkpoint()["epoch"] == epochs - 1


def test_the_summary_counts_what_the_layers_compute(caplog):
    run("--data_class=MNIST", "--max_epochs=1")
    count, unit = re.search(r"([\d.]+) +([KM]?) +Total Flops", caplog.text).groups()
    layers = [(784, 16), (16, 128), (128, 10)]
    right = 2 * sum(inputs * outputs for inputs, outputs in layers)
    assert float(count) * {"": 1, "K": 1e3, "M": 1e6}[unit] == pytest.approx(right, rel=0.01)


def test_the_csv_logger_has_the_numbers_of_each_epoch_and_of_the_test(capsys):
    run("--max_epochs=2")
    values = metrics()
    for name in ("train_loss", "train_acc", "val_loss", "val_acc"):
        assert len(values[name]) == 2
    assert len(values["test_loss"]) == len(values["test_acc"]) == 1
    assert f"(validation loss {min(values['val_loss']):.4f})" in capsys.readouterr().out


def test_without_a_logger_there_are_checkpoints_only(capsys):
    run("--logger=none", "--max_epochs=1")
    files = sorted(path for path in Path("logs").rglob("*") if path.is_file())
    assert [path.name for path in files] == ["best.ckpt", "last.ckpt"]
    assert capsys.readouterr().out.endswith(f": {files[0]}\n")


@pytest.mark.parametrize("kind", ["tensorboard", "wandb"])
def test_a_logger_whose_package_is_missing_is_one_clear_error(kind, monkeypatch):
    def absent(**arguments):
        raise ModuleNotFoundError(f"No module named {kind}")

    monkeypatch.setitem(run_experiment.LOGGERS, kind, absent)
    assert mistake(*QUICK, f"--logger={kind}") == f"Error: No module named {kind}."


# Without a part.


def test_without_validation_the_last_checkpoint_is_tested(capsys):
    run("--max_epochs=2", "--limit_val_batches=0")
    out = capsys.readouterr().out
    assert out.endswith(f"Last checkpoint: {CHECKPOINTS}/last.ckpt\n")
    assert out.count("Test metric") == 1
    assert [path.name for path in CHECKPOINTS.iterdir()] == ["last.ckpt"]
    assert checkpoint()["epoch"] == 1
    assert "val_loss" not in metrics()


def test_without_a_test_the_best_checkpoint_is_named(capsys):
    run("--max_epochs=1", "--limit_test_batches=0")
    out = capsys.readouterr().out
    assert "Test metric" not in out
    assert out.endswith(f": {CHECKPOINTS}/best.ckpt\n")


def test_without_a_test_what_was_learned_by_heart_still_is_tested(capsys):
    run("--max_epochs=1", "--overfit_batches=2", "--limit_test_batches=0")
    out = capsys.readouterr().out
    assert "On the images that it learned by heart: test_acc 0." in out
    assert "Test metric" not in out
    assert "Last checkpoint" in out


def test_without_training_there_is_one_clear_error():
    assert "No epoch was trained" in mistake(*QUICK, "--limit_train_batches=0")


# Resuming.


@going_on
def test_going_on_continues_the_epochs_the_steps_and_the_optimizer():
    run("--max_epochs=2")
    run("--max_epochs=3", f"--load_checkpoint={CHECKPOINTS}/last.ckpt")
    last = checkpoint()
    assert (last["epoch"], last["global_step"]) == (2, 3 * FAST_BATCHES)
    (optimizer,) = last["optimizer_states"]
    assert all(state["step"] == 3 * FAST_BATCHES for state in optimizer["state"].values())
    assert metrics(version=1)["epoch"][0] == 2
    assert len(metrics(version=1)["val_loss"]) == 1


@going_on
def test_the_best_checkpoint_is_the_best_of_both_runs(monkeypatch, capsys):
    run("--max_epochs=1")
    best, loss = checkpoint("best"), base.F.cross_entropy
    monkeypatch.setattr(base.F, "cross_entropy", lambda *given, **more: loss(*given, **more) + 9)
    run("--max_epochs=2", f"--load_checkpoint={CHECKPOINTS}/last.ckpt")
    assert metrics(version=1)["val_loss"][0] > 9
    for name, weight in checkpoint("best")["state_dict"].items():
        assert torch.equal(weight, best["state_dict"][name])
    out = capsys.readouterr().out
    assert len(set(re.findall("^Best checkpoint.*", out, re.M))) == 1


@going_on
@pytest.mark.filterwarnings("ignore:The dirpath has changed")
@pytest.mark.parametrize("moved", [False, True], ids=["there", "moved"])
@pytest.mark.parametrize("name", ["best", "last"])
def test_going_on_leaves_one_best_and_one_last_checkpoint(name, moved):
    run("--max_epochs=1")
    folder = Path("elsewhere") if moved else CHECKPOINTS
    if moved:
        shutil.move(CHECKPOINTS, folder)
    run("--max_epochs=2", f"--load_checkpoint={folder}/{name}.ckpt")
    assert sorted(path.name for path in folder.iterdir()) == ["best.ckpt", "last.ckpt"]
    assert checkpoint(folder=folder)["epoch"] == 1


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ("--model_class=CNN", "model_class=MLP, this is CNN"),
        ("--model_class=MLP --fc1_dim=8", r"model_arguments=.*16.* this is .*8"),
        ("--model_class=MLP --fc1_dim=16 --data_class=EMNIST", "data_class=MNIST, this is EMNIST"),
        ("--model_class=MLP --fc1_dim=16 --optimizer=SGD", "optimizer=Adam, this is SGD"),
        ("--model_class=MLP --fc1_dim=16", "one_cycle_max_lr=0.1, this is None"),
        (
            "--model_class=MLP --fc1_dim=16 --one_cycle_max_lr=0.1 --max_epochs=3",
            "max_epochs=2, this is 3: give the same arguments",
        ),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(argv, says):
    run("--max_epochs=2", "--one_cycle_max_lr=0.1")
    path = CHECKPOINTS / "last.ckpt"
    message = mistake(*argv.split(), f"--load_checkpoint={path}")
    assert re.search(f"{path} .*{says}", message)


@going_on
@pytest.mark.parametrize("max_epochs", [1, 2])
def test_a_checkpoint_with_no_epoch_left_to_train_is_refused(max_epochs):
    run("--max_epochs=2")
    path = CHECKPOINTS / "last.ckpt"
    message = mistake(*QUICK, f"--max_epochs={max_epochs}", f"--load_checkpoint={path}")
    assert f"{path} has had 2 epochs: --max_epochs={max_epochs} leaves none." in message


UNREADABLE = {
    "missing": lambda path: None,
    "folder": lambda path: path.mkdir(),
    "text": lambda path: path.write_text("a checkpoint"),
    "empty": lambda path: path.touch(),
    "truncated": lambda path: path.write_bytes(saved(torch.rand(5000))[:9999]),
    "weights": lambda path: torch.save(torch.nn.Linear(2, 2).state_dict(), path),
    "tensor": lambda path: torch.save(torch.rand(3), path),
    "list": lambda path: torch.save([1, 2], path),
    "none": lambda path: torch.save(None, path),
    "nothing described": lambda path: torch.save({"hyper_parameters": None}, path),
    "another program's": lambda path: torch.save({"hyper_parameters": {"lr": 0.1}}, path),
}


def saved(thing):
    torch.save(thing, "saved")
    return Path("saved").read_bytes()


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_file_that_is_no_checkpoint_is_one_clear_error(kind):
    path = Path("other.ckpt")
    UNREADABLE[kind](path)
    message = mistake(*QUICK, f"--load_checkpoint={path}")
    assert message.startswith("Error: other.ckpt is not a checkpoint of run_experiment (")


class Trap:
    """When unpickled, makes a folder."""

    def __reduce__(self):
        return os.mkdir, ("sprung",)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: torch.save({"hyper_parameters": Trap()}, path),
        lambda path: path.write_bytes(pickle.dumps(Trap(), protocol=2)),
    ],
    ids=["checkpoint", "pickle"],
)
def test_code_in_a_checkpoint_is_never_executed(write):
    path = Path("trap.ckpt")
    write(path)
    message = mistake(*QUICK, f"--load_checkpoint={path}")
    assert "trap.ckpt is not a checkpoint" in message
    assert "weights_only" not in message  # torch's own advice is how to execute it
    assert not Path("sprung").exists()


@going_on
@pytest.mark.filterwarnings("ignore:.*ended before the epoch ended and your dataloader is not")
def test_after_ctrl_c_training_goes_on_from_where_it_stopped(monkeypatch, capsys):
    monkeypatch.delenv("LAB_FAST")
    short = ["--limit_train_batches=20", "--limit_val_batches=1", "--enable_progress_bar=true"]
    process = subprocess.Popen(
        terminal(*short, "--max_epochs=1000000"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Where tests run in the background, Ctrl-C is ignored, and so would a child.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    out = b""
    while b"Epoch 2:" not in out:
        out += process.stdout.read1() or pytest.fail(f"It ended: {process.communicate()}")
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate()
    assert process.returncode != 0
    assert b"Traceback" not in errors
    text = (out + rest).decode()
    (path,) = re.findall(r"^Stopped\. To go on, repeat with --load_checkpoint=(\S+)$", text, re.M)
    epoch = checkpoint(folder=Path(path).parent)["epoch"]
    run(*short, f"--max_epochs={epoch + 2}", f"--load_checkpoint={path}")
    assert "Best checkpoint" in capsys.readouterr().out
    assert checkpoint()["global_step"] == 20 * (epoch + 2)


# Lines.

LINES = [
    *("--data_class=EMNISTLines", "--source=sample", "--text=own", "--max_length=6"),
    *("--num_train=40", "--num_val=16", "--num_test=16", "--batch_size=8"),
    "--enable_progress_bar=false",
]
SIZES = {
    "LineCNN": ["--width=4", "--sequence_dim=16"],
    "LineCNNSimple": ["--conv_dim=4", "--fc_dim=8"],
}


def run_lines(model_class, *argv):
    main([f"--model_class={model_class}", *SIZES.get(model_class, []), *LINES, *argv])
    return Path(f"logs/{model_class}_EMNISTLines/version_0/checkpoints")


@pytest.mark.parametrize("model_class", LINE_NETWORKS)
def test_a_network_for_lines_is_trained_tested_and_loads_from_its_checkpoint(model_class, capsys):
    folder = run_lines(model_class, "--max_epochs=1")
    out = capsys.readouterr().out
    for name in ("test_cer", "test_cer_caseless", "test_wer", "test_exact", "Best checkpoint"):
        assert name in out
    assert "val_cer" in (folder.parent / "metrics.csv").read_text(encoding="utf-8")
    model, mapping = load_network(folder / "best.ckpt")
    assert type(model) is NETWORKS[model_class]
    assert mapping == MAPPING
    trained = checkpoint("best", folder)["state_dict"]
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, trained[f"model.{name}"])


class Columns(torch.nn.Module):
    """The least that reads lines: a linear layer over each stretch of 14 columns."""

    def __init__(self, data_config, depth: int = 1):
        super().__init__()
        self.fc = torch.nn.Linear(28 * 14, len(data_config["mapping"]))

    def forward(self, x):
        return self.fc(x.unfold(3, 14, 14).squeeze(1).transpose(1, 2).flatten(2)).transpose(1, 2)

    def loss(self, logits, labels):
        return torch.nn.functional.cross_entropy(logits[..., : labels.shape[1]], labels)

    def find_characters(self, logits, x):
        places = range(logits.shape[2])
        return [([4 + int(row[4:, i].argmax()) for i in places], [*places]) for row in logits]


def test_any_network_that_offers_what_the_protocol_says_is_trained_kept_and_reads(monkeypatch):
    monkeypatch.setitem(NETWORKS, "Columns", Columns)
    path = run_lines("Columns", "--max_epochs=1", "--depth=1") / "best.ckpt"
    reading = LineRecognizer(path).predict_line(sample_strokes("Hello you"))
    assert len(reading.text) == len(reading.confidences) > 5
    written = {"strokes": sample_strokes("Hello you"), "guides": False}
    canvas = HandwritingCanvas(path, mode="line", **written)
    assert canvas.result["text"] == reading.text


@going_on
def test_each_epoch_trains_on_fresh_lines_also_when_training_goes_on(monkeypatch):
    drawn, draw = [], FreshLines.fetch

    def recorded(self, chosen):
        drawn.append(set(chosen.tolist()))
        return draw(self, chosen)

    monkeypatch.setattr(FreshLines, "fetch", recorded)
    argv = ["--on_the_fly=true", "--one_cycle_max_lr=null"]  # a schedule would fix the epochs
    folder = run_lines("LineCNN", *argv, "--max_epochs=2")
    run_lines("LineCNN", *argv, "--max_epochs=3", f"--load_checkpoint={folder}/last.ckpt")
    numbers = [number for batch in drawn for number in batch]
    assert len(numbers) == len(set(numbers))
    assert {number // 40 for number in numbers} == {0, 1, 2}  # 40 lines an epoch


def test_overfitting_on_lines_repeats_the_same_whole_batches(monkeypatch):
    batches, step = [], LineLitModel.training_step

    def recorded(self, batch, batch_idx):
        batches.append(batch[0])
        return step(self, batch, batch_idx)

    monkeypatch.setattr(LineLitModel, "training_step", recorded)
    run_lines("LineCNN", "--overfit_batches=2", "--max_epochs=3")
    assert len(batches) == 3 * 2
    for i, x in enumerate(batches):
        assert torch.equal(x, batches[i % 2])
    assert not torch.equal(batches[0], batches[1])


# Several processes.


def test_two_processes_share_each_epoch_and_learn_as_much(monkeypatch, tmp_path):
    monkeypatch.delenv("LAB_FAST")
    argv = ["--max_epochs=1", "--accelerator=cpu", "--batch_size=256", "--model_class=MLP"]
    command = terminal(*argv, "--devices=2", "--strategy=ddp")
    status, said, errors = run_in_fork(shlex.join(command), tmp_path)
    assert status == 0, errors
    assert said.count("Test metric") == 1
    assert said.count("Best checkpoint") == 1
    run(*argv, "--devices=1")
    steps = checkpoint(folder=CHECKPOINTS.parents[1] / "version_1/checkpoints")["global_step"]
    assert checkpoint()["global_step"] == -(-steps // 2)
    accuracy = metrics(version=1)["test_acc"]
    assert metrics()["test_acc"] == pytest.approx(accuracy, abs=0.05)


def test_devices_that_are_not_there_are_one_clear_error():
    with pytest.raises(LabError, match="Lightning's Trainer does not take these arguments"):
        experiment(**parse([*QUICK, "--accelerator=gpu", "--devices=2"], experiment))


# Where nothing can be written.


@pytest.mark.parametrize("kind", ["a file", "in a file"])
def test_logs_that_cannot_be_written_are_one_error_before_training(kind):
    if kind == "a file":
        Path("logs").touch()
    else:
        Path("file").touch()
        Path("logs").symlink_to("file/logs")
    assert re.search("logs.* cannot be written .*run this in another folder", mistake(*QUICK))


@pytest.mark.parametrize("hook", ["on_fit_start", "on_train_start", "on_validation_end"])
def test_logs_that_disappear_while_training_are_one_error(hook, monkeypatch):
    monkeypatch.setattr(BaseLitModel, hook, lambda self: shutil.rmtree("logs", ignore_errors=True))
    assert re.search("logs.*(run this in another folder|version_0)", mistake(*QUICK))


@pytest.mark.parametrize("optimizer", ["Adagrad", "RMSprop", "Rprop"])
def test_one_cycle_goes_with_any_optimizer(optimizer, capsys):
    run("--max_epochs=1", f"--optimizer={optimizer}", "--one_cycle_max_lr=0.1")
    assert "Best checkpoint" in capsys.readouterr().out


@pytest.mark.parametrize("precision", ["64-true", "bf16-true"])
def test_the_summary_counts_in_any_precision(precision, capsys):
    run("--max_epochs=1", f"--precision={precision}")
    assert "Best checkpoint" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("known", "arguments", "taken"),
    [
        ({"avx512_bf16": True}, [], "bf16-mixed"),
        ({"amx_bf16": True}, ["--accelerator=cpu", "--devices=1"], "bf16-mixed"),
        ({"avx2": True, "avx512_bf16": False}, [], "32-true"),
        ({}, [], "32-true"),
        ({"avx512_bf16": True}, ["--precision=32-true"], "32-true"),
    ],
    ids=["AVX-512 BF16", "AMX", "has it not", "older PyTorch", "chosen"],
)
def test_a_cpu_trains_in_bfloat16_where_it_multiplies_it(
    known, arguments, taken, monkeypatch, capsys
):
    made = []
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known, raising=False)
    if not known:
        monkeypatch.delattr(torch.cpu, "get_capabilities")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(run_experiment, "_make_trainer", lambda given, **_: made.append(given))
    with pytest.raises(AttributeError):  # of the trainer that there is not
        run(*arguments)
    assert made[0]["precision"] == taken
    said = "--precision=" in capsys.readouterr().out
    assert said == ("--precision=32-true" not in arguments)


@pytest.mark.parametrize("typed", ["1", "1.0", "0.5"])
@pytest.mark.parametrize("between", ["=", " "])
def test_one_batch_is_not_all_of_them(typed, between):
    given = parse(f"--limit_val_batches{between}{typed}".split(" "), experiment)
    assert repr(given["Trainer"]["limit_val_batches"]) == typed


def test_epochs_without_end_need_another_end():
    run("--max_epochs=-1", "--max_time=00:00:00:01", "--batch_size=1024")
    assert CHECKPOINTS.exists()
