"""Training: it learns, it repeats bit for bit, and it logs what it did."""

import math
import os
import re
import signal
import sys
from collections import defaultdict

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from jupyter_client.manager import start_new_kernel
from mac import Mac
from torch import nn
from torch.utils.data import DataLoader

from lab_utils import (
    CNN,
    MLP,
    MNIST,
    SEED,
    BaseLitModel,
    EMNISTLines,
    LabError,
    LineCNN,
    LineCNNSimple,
    LineLitModel,
    ResNet,
)
from text_recognizer.lit_models.base import OPTIMIZERS
from text_recognizer.lit_models.callbacks import TrainingInterrupted
from text_recognizer.mapping import MAPPING

pytestmark = pytest.mark.slow


def few_digits():
    """Return a few hundred digits of the sample, enough to learn something in seconds."""
    data = MNIST(source="sample", batch_size=64)
    data.setup()
    for name, count in (("data_train", 1024), ("data_val", 128), ("data_test", 256)):
        dataset = getattr(data, name)
        dataset.images, dataset.labels = dataset.images[:count], dataset.labels[:count]
    return data


@pytest.fixture
def digits():
    return few_digits()


def trained(build, data, max_epochs, **options):
    """Return what `build` makes of a configuration, trained from the seed, and its trainer."""
    pl.seed_everything(SEED, verbose=False)
    lit_model = build(data.config())
    trainer = pl.Trainer(
        max_epochs=max_epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        **({"enable_progress_bar": False} | options),
    )
    trainer.fit(lit_model, datamodule=data)
    return lit_model, trainer


def fit(data, network=CNN, max_epochs=2, **kwargs):
    return trained(lambda config: BaseLitModel(network(config), **kwargs), data, max_epochs)


@pytest.fixture(scope="module")
def learned():
    return fit(few_digits(), network=MLP)[0]


@pytest.mark.xdist_group("learned")
def test_training_learns(learned):
    first, last = learned.history[0], learned.history[-1]
    assert last["train_loss"] < first["train_loss"]
    assert last["val_acc"] > 0.5


@pytest.mark.xdist_group("learned")
def test_history_has_one_entry_an_epoch(learned):
    assert [entry["epoch"] for entry in learned.history] == [0, 1]
    names = {"epoch", "train_loss", "train_acc", "val_loss", "val_acc"}
    assert all(set(entry) == names for entry in learned.history)


def test_logged_accuracy_is_that_of_all_images_not_the_mean_of_batches(digits):
    digits.batch_size = 100  # 256 test images: the last batch is smaller
    lit_model, trainer = fit(digits, network=MLP, max_epochs=1)
    (metrics,) = trainer.test(lit_model, datamodule=digits, verbose=False)
    x, y = digits.data_test.__getitems__(range(256))
    lit_model.eval()
    with torch.no_grad():
        correct = (lit_model(x).argmax(1) == y).float().mean().item()
    assert metrics["test_acc"] == pytest.approx(correct, abs=1e-6)


def test_same_seed_same_weights(digits):
    def small(config):
        return CNN(config, conv_dim=16)

    first, second = (fit(digits, small, max_epochs=1)[0].state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_one_cycle_ends_near_zero_after_all_steps(digits):
    _, trainer = fit(digits, network=MLP, one_cycle_max_lr=1e-2)
    (optimizer,) = trainer.optimizers
    assert optimizer.param_groups[0]["lr"] < 1e-2 / 100
    assert trainer.global_step == 2 * 16


def test_saved_weights_give_the_same_answers(learned, digits, tmp_path):
    torch.save(learned.model.state_dict(), tmp_path / "weights.pt")
    reloaded = MLP(digits.config())
    reloaded.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    x, _ = next(iter(digits.val_dataloader()))
    with torch.no_grad():
        assert torch.equal(reloaded.eval()(x), learned.model.eval()(x))


def test_a_class_instead_of_a_network_is_one_clear_error():
    with pytest.raises(LabError, match="model="):
        BaseLitModel(model=CNN)


# In a notebook.


class Kernel:
    """A kernel in which cells are run, and what each shows."""

    def __init__(self):
        self.manager, self.client = start_new_kernel(kernel_name="python3")

    def run(self, source, interrupt_at=None):
        """Return outputs by kind, and the states that each progress bar went through."""
        number, outputs, bars = self.client.execute(source), defaultdict(list), {}
        while True:
            message = self.client.get_iopub_msg(timeout=120)
            kind, content = message["msg_type"], message["content"]
            if kind == "comm_open" and content["data"]["state"]["_model_name"].startswith("FloatP"):
                bars[content["comm_id"]] = [content["data"]["state"]]
            elif kind == "comm_msg" and content["comm_id"] in bars:
                states = bars[content["comm_id"]]
                states.append(states[-1] | content["data"].get("state", {}))
            elif kind == "status" and content["execution_state"] == "idle":
                if message["parent_header"]["msg_id"] == number:
                    return outputs, [*bars.values()]
            else:
                outputs[kind].append(content)
            if interrupt_at and interrupt_at in content.get("text", ""):
                self.manager.interrupt_kernel()


@pytest.fixture(scope="module")
def kernel():
    kernel = Kernel()
    kernel.run(
        """\
import signal
import pytorch_lightning as pl
from lab_utils import MLP, MNIST, BaseLitModel, plot_history

class Loud(BaseLitModel):
    def on_train_epoch_start(self):
        print(f"epoch {self.current_epoch} begins")

def new_trainer(max_epochs):
    return pl.Trainer(max_epochs=max_epochs, limit_train_batches=5, limit_val_batches=2,
        logger=False, enable_checkpointing=False, enable_model_summary=False)

data = MNIST(source="sample", batch_size=16)
data.setup()
lit_model = Loud(MLP(data.config(), 8, 8))"""
    )
    yield kernel
    kernel.client.stop_channels()
    kernel.manager.shutdown_kernel(now=True)


def test_a_bar_in_a_notebook_fills_with_the_batches(kernel):
    source = "new_trainer(1).fit(Loud(MLP(data.config(), 8, 8)), datamodule=data)"
    _, (training,) = kernel.run(source)  # and no bar of a validation
    shown = [(state["value"], state["max"]) for state in training]
    assert shown[-1] == (5, 5)
    assert {(batch, 5) for batch in range(6)} <= set(shown)
    outputs, (testing,) = kernel.run("_ = new_trainer(1).test(lit_model, data)")
    assert not outputs["error"]
    assert (testing[-1]["value"], testing[-1]["max"]) == (40, 40)


def test_an_interrupted_training_says_what_is_kept_and_goes_on_when_asked(kernel):
    fit = "new_trainer(1000).fit(lit_model, datamodule=data)"
    outputs, _ = kernel.run(fit, interrupt_at="epoch 2 begins")
    (error,) = outputs["error"]
    assert error["ename"] == "TrainingInterrupted"
    (line,) = error["traceback"]
    (count,) = re.findall(r"keeps what it has learned, and history has (\d+) whole epochs: ", line)
    outputs, _ = kernel.run("plot_history(lit_model.history)")
    assert "image/png" in outputs["display_data"][0]["data"]
    kernel.run("new_trainer(1).fit(lit_model, datamodule=data)")
    outputs, _ = kernel.run("print([entry['epoch'] for entry in lit_model.history])")
    assert outputs["stream"][0]["text"] == f"{[*range(int(count) + 1)]}\n"


@pytest.fixture
def interruptible(monkeypatch):
    """Let SIGINT do what it does in a notebook, also where these tests run in the background."""
    monkeypatch.setattr(sys, "ps1", "", raising=False)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("moment", ["prepare_data", "val_dataloader", "teardown"])
def test_an_interrupt_is_a_sentence_from_preparing_data_on(moment, digits, interruptible):
    def interrupt(**given):
        os.kill(os.getpid(), signal.SIGINT)
        return getattr(MNIST, moment)(digits, **given)

    setattr(digits, moment, interrupt)
    with pytest.raises(TrainingInterrupted, match=r"history has [01] whole epochs?:"):
        fit(digits, network=MLP, max_epochs=1)
    delattr(digits, moment)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert len(fit(digits, network=MLP, max_epochs=1)[0].history) == 1


def test_an_interrupted_epoch_is_no_part_of_the_next(digits, interruptible):
    class Interrupted(BaseLitModel):
        def on_train_batch_end(self, outputs, batch, batch_idx):
            if not self.history and batch_idx == 3:
                self.train_acc.update(torch.zeros(10_000).int(), torch.ones(10_000).int())
                self.history = [{"epoch": 0}]
                os.kill(os.getpid(), signal.SIGINT)

    lit_model = Interrupted(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), lr=0.0)
    with pytest.raises(TrainingInterrupted):
        trained(lambda config: lit_model, digits, 1)
    trained(lambda config: lit_model, digits, 1)
    x, y = digits.data_train.__getitems__(range(1024))
    accuracy = (lit_model(x).argmax(1) == y).float().mean().item()
    assert lit_model.history[-1]["train_acc"] == pytest.approx(accuracy)


# The optimiser and the loss.


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_that_is_offered_lowers_the_loss(optimizer):
    torch.manual_seed(0)
    x, y = torch.rand(64, 1, 4, 4), torch.arange(64) % 4
    lit_model = BaseLitModel(nn.Sequential(nn.Flatten(), nn.Linear(16, 4)), optimizer, lr=0.05)
    chosen = lit_model.configure_optimizers()
    assert type(chosen) is getattr(torch.optim, optimizer)

    def closure():
        chosen.zero_grad()
        loss = F.cross_entropy(lit_model(x), y)
        loss.backward()
        return loss

    first = closure().item()
    for _ in range(5):
        chosen.step(closure)
    assert closure().item() < first


def test_the_usual_optimizer_is_adam_and_lr_is_its_learning_rate():
    optimizer = BaseLitModel(nn.Linear(2, 2), lr=0.25).configure_optimizers()
    assert type(optimizer) is torch.optim.Adam
    assert optimizer.param_groups[0]["lr"] == 0.25


def test_label_smoothing_is_for_training_only(digits):
    x, y = digits.data_val.__getitems__(range(128))
    logits = torch.randn(128, 10, generator=torch.Generator().manual_seed(0))
    lit_model, logged = BaseLitModel(MLP(digits.config()), label_smoothing=0.3), {}
    lit_model.forward = lambda images: logits
    lit_model.log = lambda name, value, **how: logged.update({name: value})
    lit_model.training_step((x, y), 0)
    lit_model.validation_step((x, y), 0)
    lit_model.test_step((x, y), 0)
    plain = F.cross_entropy(logits, y)
    assert logged["val_loss"] == logged["test_loss"] == plain
    smoothed = 0.7 * plain + 0.3 * -logits.log_softmax(1).mean()
    torch.testing.assert_close(logged["train_loss"], smoothed)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"optimizer": "adamw"}, "^optimizer='adamw': did you mean AdamW"),
        ({"optimizer": "SDG"}, "^optimizer='SDG': did you mean SGD"),
        ({"optimizer": "Optimizer"}, "^optimizer='Optimizer': "),
        ({"optimizer": "gradient descent"}, "it must be one of .*Adam.*SGD"),
        ({"label_smoothing": 1.0}, "^label_smoothing=1.0 must be from 0 to below 1"),
        ({"label_smoothing": -0.1}, "^label_smoothing=-0.1 must be from 0 to below 1"),
        ({"label_smoothing": math.nan}, "^label_smoothing=nan must be from 0 to below 1"),
        ({"lr": 1e30}, "^lr=1e[+]30 must be from 0 to 1000"),
        ({"lr": "0.1"}, "^lr='0.1' must be from 0 to 1000"),
        ({"one_cycle_max_lr": -1}, "^one_cycle_max_lr=-1 must be from 0 to 1000"),
    ],
)
def test_a_bad_argument_is_named(arguments, says):
    with pytest.raises(LabError, match=says):
        BaseLitModel(nn.Linear(2, 2), **arguments)


# Lines.


class Clerk(nn.Module):
    """Reads lines from a list: the number of each line is its first pixel."""

    def __init__(self, answers):
        super().__init__()
        self.answers = answers

    def forward(self, x):
        return x

    def loss(self, logits, labels):
        return logits.sum() * 0

    def find_characters(self, logits, x):
        texts = [self.answers[int(line[0, 0, 0])] for line in x]
        return [([MAPPING.index(c) for c in text], [*range(len(text))]) for text in texts]


@pytest.mark.parametrize("batch_size", [1, 3, 4])
@pytest.mark.parametrize("framed", [False, True], ids=["plain", "start and end tokens"])
def test_error_rates_are_those_of_all_lines_together(batch_size, framed):
    pairs = [("The cat", "the cat"), ("sat", "sat"), ("on it", "o it"), ("Hello", "Hallo!")]
    labels = torch.full((4, 12), MAPPING.index("<P>"))
    for row, (text, _) in zip(labels, pairs, strict=True):
        tokens = ["<S>", *text, "<E>"] if framed else text
        row[: len(tokens)] = torch.tensor([MAPPING.index(token) for token in tokens])
    x = torch.arange(4.0)[:, None, None, None].expand(4, 1, 28, 28)
    loader = DataLoader(list(zip(x, labels, strict=True)), batch_size)
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    lit_model = LineLitModel(Clerk([read for _, read in pairs]))
    (metrics,) = trainer.test(lit_model, loader, verbose=False)
    # 20 characters: T for t, n lost, a for e and ! too many. 6 words, 4 lines.
    assert metrics["test_cer"] == pytest.approx(4 / 20)
    assert metrics["test_cer_caseless"] == pytest.approx(3 / 20)
    assert metrics["test_wer"] == pytest.approx(3 / 6)
    assert metrics["test_exact"] == pytest.approx(1 / 4)
    (metrics,) = trainer.validate(lit_model, loader, verbose=False)
    assert metrics["val_cer"] == pytest.approx(4 / 20)


@pytest.fixture
def lines():
    sizes = {"num_train": 40, "num_val": 8, "num_test": 8, "batch_size": 8}
    data = EMNISTLines(max_length=4, source="sample", text="own", **sizes)
    data.setup()
    return data


def fit_lines(data, max_epochs=2):
    def build(config):
        return LineLitModel(LineCNN(config, width=4, sequence_dim=16))

    return trained(build, data, max_epochs)[0]


def test_history_of_lines_has_losses_and_the_error_rate(lines):
    lit_model = fit_lines(lines)
    names = {"epoch", "train_loss", "val_loss", "val_cer"}
    assert [set(entry) for entry in lit_model.history] == [names, names]


def test_training_on_lines_repeats_bit_for_bit(lines):
    first, second = (fit_lines(lines, max_epochs=1).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_gradients_of_lines_are_never_steeper_than_five(lines, monkeypatch):
    steepness = []
    step = torch.optim.AdamW.step

    def recorded(self, closure=None):
        if closure is not None:
            closure()
        slopes = [p.grad.norm() for group in self.param_groups for p in group["params"]]
        steepness.append(torch.stack(slopes).norm().item())
        return step(self)

    monkeypatch.setattr(torch.optim.AdamW, "step", recorded)
    monkeypatch.setattr(LineCNN, "loss", lambda self, logits, labels: 1e4 * logits.square().mean())
    fit_lines(lines, max_epochs=1)
    assert len(steepness) == 5
    assert steepness == pytest.approx([5.0] * 5, rel=1e-3)


# On a Mac.

SMALL = {CNN: (4, 4), MLP: (4, 4), ResNet: (4,), LineCNN: (4, 8), LineCNNSimple: (28, 28, 4, 8)}


@pytest.mark.parametrize("network", SMALL)
def test_each_network_trains_and_is_tested_on_the_gpu_of_a_mac(network, lines, digits):
    data, lit = (
        (lines, LineLitModel) if network in (LineCNN, LineCNNSimple) else (digits, BaseLitModel)
    )
    lit_model = lit(network(data.config(), *SMALL[network]))
    lit_model.log = lambda *given, **how: None
    x, y = next(iter(data.val_dataloader()))
    losses = [lit_model.eval().training_step((x, y), 0).item()]
    with Mac():
        lit_model.to("mps")
        batch = x.to("mps"), y.to("mps")
        loss = lit_model.training_step(batch, 0)
        assert loss.device.type == "mps"
        loss.backward()
        losses.append(loss.item())
        lit_model.validation_step(batch, 0)
        lit_model.test_step(batch, 0)
    assert losses[0] == pytest.approx(losses[1])
    assert all(parameter.grad is not None for parameter in lit_model.parameters())


@pytest.mark.parametrize(
    ("refused", "error"),
    [
        (
            lambda x: F.ctc_loss(x, x[0].int(), x[:, 0, 0].int(), x[:, 0, 0].int()),
            NotImplementedError,
        ),
        (lambda x: x.double(), TypeError),
        (lambda x: x.numpy(), TypeError),
        (lambda x: x + torch.ones(3, 3, 3), RuntimeError),
    ],
    ids=["CTC", "float64", "NumPy", "CPU"],
)
def test_the_stand_in_for_a_mac_refuses(refused, error):
    with Mac(), pytest.raises(error):
        refused(torch.ones(3, 3, 3).to("mps"))
