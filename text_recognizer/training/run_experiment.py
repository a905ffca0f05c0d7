"""Trains any network on any data from the terminal: python training/run_experiment.py --help."""

import signal
import sys

from text_recognizer.threads import keep_freed_memory, limit_threads

if __name__ == "__main__":  # before the imports that take seconds
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # ignored in the background
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing is to be put in order: it just ends
    limit_threads()
    keep_freed_memory()

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from text_recognizer.counter_rng import SEED
from text_recognizer.data.base_data_module import BaseDataModule
from text_recognizer.data.emnist_lines import EMNISTLines
from text_recognizer.errors import LabError, cannot_write, check_int, shorten
from text_recognizer.language import _
from text_recognizer.lit_models import BaseLitModel
from text_recognizer.models.registry import NETWORKS, reads_lines
from text_recognizer.models.weights import read_checkpoint
from text_recognizer.training.arguments import DATA_MODULES, choose_lit_class, parse

LOGS = "logs"
LOGGERS = {"csv": CSVLogger, "tensorboard": TensorBoardLogger, "wandb": WandbLogger}
# What a run and the one that it resumes must have in common.
SAME = ("model_class", "model_arguments", "data_class", "optimizer", "lr", "one_cycle_max_lr")
say = rank_zero_only(print)  # once, however many processes train


def experiment(
    model_class: str = "CNN",
    data_class: str = "MNIST",
    gpus: int | None = None,
    load_checkpoint: Path | None = None,
    stop_early: int | None = None,
    logger: Literal["csv", "tensorboard", "wandb", "none"] = "csv",
    **groups,
) -> None:
    """Train a network, keep its best checkpoint, test that, and say where it is.

    Parameters
    ----------
    model_class : str
        The network; `--help` together with it shows its arguments.
    data_class : str
        The data module, likewise.
    gpus : int, optional
        Train on so many GPUs, -1 for all; where there is none, on the CPU.
    load_checkpoint : Path, optional
        Resume from this checkpoint of an earlier run, until max_epochs in all.
    stop_early : int, optional
        Stop once the validation loss has not improved for so many epochs.
    logger : {"csv", "tensorboard", "wandb", "none"}
        Where the metrics go, beside the terminal.
    **groups
        The arguments of each class, such as `CNN`, `MNIST`, `BaseLitModel`, `Trainer`, in a dict.
    """
    pl.seed_everything(SEED, workers=True, verbose=False)
    arguments = groups["Trainer"] | _choose_hardware(gpus, groups["Trainer"])
    data, lit_model = _build(model_class, data_class, groups)
    _check_end(arguments, stop_early)
    if load_checkpoint is not None:
        _check_resumable(load_checkpoint, lit_model)
    arguments |= _choose_precision(arguments)
    # What is learned by heart reads other images worse and worse: the first epoch would be best.
    has_best = not arguments["overfit_batches"] and arguments["limit_val_batches"] != 0
    # What is resumed stays in its folder, so that "best" is the best of both runs.
    folder = load_checkpoint.resolve().parent if load_checkpoint else None
    options: dict = {"dirpath": folder, "enable_version_counter": folder is None}
    best = ModelCheckpoint(filename="best", monitor="val_loss", **options)
    last = ModelCheckpoint(filename="last", save_on_exception=True, **options)
    callbacks: list[pl.Callback] = [best, last] if has_best else [last]
    if stop_early is not None:
        callbacks.append(EarlyStopping("val_loss", patience=stop_early))
    named = {"project" if logger == "wandb" else "name": f"{model_class}_{data_class}"}
    # An absolute path, since a checkpoint remembers the folder that it may be resumed in.
    logs = logger != "none" and LOGGERS[logger](save_dir=Path(LOGS).absolute(), **named)
    trainer = _make_trainer(arguments, callbacks=callbacks, logger=logs)
    # So that the summary counts what the layers compute; without it, it says 0.
    image = torch.ones(1, *data.dims)
    lit_model.example_input_array = trainer.precision_plugin.convert_input(image)
    try:
        trainer.fit(lit_model, datamodule=data, ckpt_path=load_checkpoint, weights_only=True)
        if trainer.is_global_zero:  # one process tests: several would take the odd image twice
            _test(arguments, lit_model, data, trainer, best if has_best else last)
    except SystemExit:  # so Lightning ends after Ctrl-C
        path = last.best_model_path and os.path.relpath(last.best_model_path)
        where = _(f" To go on, repeat with --load_checkpoint={path}") if path else ""
        raise KeyboardInterrupt(where) from None


def _build(
    model_class: str, data_class: str, groups: Mapping[str, dict]
) -> tuple[BaseDataModule, BaseLitModel]:
    """Return the data and the network to train, which remembers what a checkpoint must tell."""
    if reads_lines(NETWORKS[model_class]) != (data_class == EMNISTLines.__name__):
        readers = [name for name, network in NETWORKS.items() if reads_lines(network)]
        raise LabError(
            f"--model_class={model_class} does not read --data_class={data_class}: "
            f"{_(' and ').join(readers)} read lines, the others characters."
        )
    data = DATA_MODULES[data_class](**groups[data_class])
    model = NETWORKS[model_class](data.config(), **groups[model_class])
    lit_class = choose_lit_class(model_class)
    lit_model = lit_class(model, **groups[lit_class.__name__])
    described = {"model_class": model_class, "model_arguments": groups[model_class]}
    described |= {"data_class": data_class, "max_epochs": groups["Trainer"]["max_epochs"]}
    lit_model.save_hyperparameters(data.config() | described | groups[lit_class.__name__])
    return data, lit_model


def _test(
    arguments: dict, lit_model: BaseLitModel, data: BaseDataModule, trainer, kept: ModelCheckpoint
) -> None:
    """Test what was kept in this process alone: before what is new, what was learned by heart."""
    if not kept.best_model_path:
        raise LabError("No epoch was trained: raise --max_epochs, or what limits them.")
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    lit_model.load_state_dict(read_checkpoint(kept.best_model_path)["state_dict"])
    alone = arguments | {"devices": 1, "num_nodes": 1, "strategy": "auto", "overfit_batches": 0.0}
    if batches := arguments["overfit_batches"]:
        tester = _make_trainer(alone | {"limit_test_batches": batches}, logger=False)
        (metrics,) = tester.test(lit_model, trainer.train_dataloader, verbose=False)
        found = ", ".join(f"{name} {value:.4f}" for name, value in sorted(metrics.items()))
        say(_(f"On the images that it learned by heart: {found}. On others:"))
    if arguments["limit_test_batches"] != 0:
        tester = _make_trainer(alone, logger=trainer.logger or False)
        tester.test(lit_model, datamodule=data)
    has_best, path = kept.monitor is not None, os.path.relpath(kept.best_model_path)
    loss = _(f" (validation loss {kept.best_model_score:.4f})") if has_best else ""
    say(_(f"{'Best' if has_best else 'Last'} checkpoint{loss}: {path}"))


def _check_end(arguments: dict, stop_early: int | None) -> None:
    if arguments["max_epochs"] != -1 or arguments["max_time"] is None:
        check_int("--max_epochs", arguments["max_epochs"], 1)
    if stop_early is not None:
        check_int("--stop_early", stop_early, 0)
        if arguments["limit_val_batches"] == 0:
            raise LabError("--stop_early goes by validation: leave out --limit_val_batches=0.")


def _choose_hardware(gpus: int | None, arguments: dict) -> dict:
    """Turn --gpus into Lightning's arguments."""
    if gpus is None:
        return {}
    if (arguments["accelerator"], arguments["devices"]) != ("auto", "auto"):
        raise LabError("--gpus means --accelerator=gpu --devices=N: give either, not both.")
    check_int("--gpus", gpus, -1)
    if gpus and not (torch.cuda.device_count() or torch.mps.device_count()):
        say(_("No GPU found: training on the CPU."))
        gpus = 0
    return {"accelerator": "gpu" if gpus else "cpu", "devices": gpus or 1}


def _choose_precision(arguments: dict) -> dict:
    """Take bfloat16 where a CPU trains that multiplies it, unless a precision was asked for."""
    has_gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
    on_cpu = ("cpu",) if has_gpu else ("cpu", "auto")
    if arguments["precision"] is not None or arguments["accelerator"] not in on_cpu:
        return {}
    known: Mapping = getattr(torch.cpu, "get_capabilities", dict)()  # older PyTorch has none
    has_bfloat16 = known.get("avx512_bf16") or known.get("amx_bf16")
    # Characters and lines are read as well with it: benchmarks/README.md.
    precision = "bf16-mixed" if has_bfloat16 else "32-true"
    say(_(f"Training on the CPU with --precision={precision}."))
    return {"precision": precision}


def _check_resumable(path: Path, lit_model: BaseLitModel) -> None:
    """Raise a LabError where a checkpoint is damaged, or does not fit these arguments."""
    checkpoint, asked = read_checkpoint(path), lit_model.hparams
    trained, progress = checkpoint["hyper_parameters"], checkpoint["loops"]["fit_loop"]
    # A one-cycle schedule is over after as many epochs as were planned.
    same = SAME if asked["one_cycle_max_lr"] is None else (*SAME, "max_epochs")
    for name in same:
        if trained.get(name) != asked[name]:
            raise LabError(
                f"{path} was trained with {name}={trained.get(name)}, this is {asked[name]}: "
                "give the same arguments."
            )
    # An interrupted epoch does not count.
    epochs = checkpoint["epoch"] + progress["epoch_loop.batch_progress"]["is_last_batch"]
    if 0 <= asked["max_epochs"] <= epochs:
        raise LabError(
            f"{path} has had {epochs} epochs: --max_epochs={asked['max_epochs']} leaves none."
        )


def _make_trainer(arguments: dict, **more) -> pl.Trainer:
    try:
        return pl.Trainer(**arguments, **more, default_root_dir=LOGS, log_every_n_steps=1)
    except Exception as error:  # noqa: BLE001 - as many kinds as there are accelerators
        raise LabError(
            f"Lightning's Trainer does not take these arguments: {shorten(error)}."
        ) from None


def main(argv: list[str] | None = None) -> None:
    """Run the command line; a student's mistake is one line, and exit status 1."""
    try:
        experiment(**parse(sys.argv[1:] if argv is None else argv, experiment))
    except LabError as error:
        sys.exit(_(f"Error: {error}"))
    except (MisconfigurationException, ImportError, OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not re.search("^Missing folder|memory", str(error)):
            raise
        problem = f"{shorten(error)}."
        if isinstance(error, OSError) and error.filename:
            problem = str(cannot_write(Path(error.filename), error, "run this in another folder"))
        sys.exit(_(f"Error: {problem}"))


def run_as_program() -> None:
    """Run the command line as a process of its own, which Ctrl-C ends with one last line."""
    try:
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        main()
    except KeyboardInterrupt as interrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        say(f"\n{_('Stopped.')}{interrupt}", flush=True)
        sys.exit(1)


if __name__ == "__main__":
    run_as_program()
