"""Trains any network on any data from the terminal: python -m lab_utils.run_experiment --help."""

import sys

from text_recognizer.training import interrupts

if __name__ == "__main__":  # before the imports that take seconds
    interrupts.end_on_interrupt()
    if "--version" in sys.argv:
        from importlib.metadata import version

        print("handwriting-lab", version("handwriting-lab"))
        sys.exit()

import argparse
import contextlib
import errno
import inspect
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import pytorch_lightning as pl
import torch
from jsonargparse import ArgumentParser
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from tqdm.auto import tqdm

from text_recognizer.counter_rng import SEED
from text_recognizer.data.base_data_module import BaseDataModule
from text_recognizer.data.emnist import EMNIST
from text_recognizer.data.emnist_lines import EMNISTLines
from text_recognizer.data.mnist import MNIST
from text_recognizer.errors import LabError, cannot_write, check_int, nearest, shorten
from text_recognizer.lit_models.base import BaseLitModel
from text_recognizer.lit_models.lines import LineLitModel
from text_recognizer.models.registry import NETWORKS, reads_lines
from text_recognizer.models.weights import UNREADABLE, read_checkpoint

DATA_MODULES: dict[str, type] = {module.__name__: module for module in (EMNIST, MNIST, EMNISTLines)}
LOGS = "logs"
LOGGERS = {"csv": CSVLogger, "tensorboard": TensorBoardLogger, "wandb": WandbLogger}
# The arguments of Lightning's Trainer that are offered, with Lightning's own help.
TRAINER_ARGUMENTS = {
    *("accelerator", "devices", "num_nodes", "strategy", "precision", "max_epochs", "max_time"),
    *("overfit_batches", "limit_train_batches", "limit_val_batches", "limit_test_batches"),
    "enable_progress_bar",
}
MAX_EPOCHS = 5
MIN_SPACE = 1 << 20  # bytes
ELSEWHERE = "run this in another folder"
CANNOT_WRITE = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM),
    *(errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOENT, errno.EIO),
)
TRAINER_REFUSES = "Lightning's Trainer does not take these arguments"
NEEDED_TO_GO_ON = ("optimizer_states", "lr_schedulers", "global_step", "callbacks")
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
        Go on from this checkpoint of an earlier run, until max_epochs in all.
    stop_early : int, optional
        Stop once the validation loss has not improved for so many epochs.
    logger : {"csv", "tensorboard", "wandb", "none"}
        Where the metrics go, beside the terminal.
    **groups
        The arguments of the data module, the network, `BaseLitModel` and Lightning's `Trainer`,
        each a dict under the name of its class (`LineLitModel` for networks that read lines).
    """
    pl.seed_everything(SEED, workers=True, verbose=False)
    if reads_lines(NETWORKS[model_class]) != (data_class == EMNISTLines.__name__):
        readers = [name for name, network in NETWORKS.items() if reads_lines(network)]
        raise LabError(
            f"--model_class={model_class} does not read --data_class={data_class}: "
            f"{' and '.join(readers)} read lines, the others characters."
        )
    data = DATA_MODULES[data_class](**groups[data_class])
    for name, value in groups[model_class].items():
        if value < 1:
            raise LabError(f"--{name}={value} must be 1 or more.")
    model = NETWORKS[model_class](data.config(), **groups[model_class])
    lit_class = _choose_lit_class(model_class)
    training_arguments = groups[lit_class.__name__]
    lit_model = lit_class(model, **training_arguments)
    trainer_arguments = groups["Trainer"] | _choose_hardware(gpus, groups["Trainer"])
    if stop_early is not None and stop_early < 0:
        raise LabError(f"--stop_early={stop_early} must be a number of epochs, 0 or more.")
    _check_trainer_arguments(trainer_arguments)
    max_epochs = trainer_arguments["max_epochs"]
    is_bounded = stop_early is not None or trainer_arguments["max_time"] is not None
    if max_epochs != -1 or not is_bounded or training_arguments["one_cycle_max_lr"] is not None:
        check_int("--max_epochs", max_epochs, 1)
    description = {
        "model_class": model_class,
        "model_arguments": groups[model_class],
        "input_dims": data.dims,
        "output_dims": data.output_dims,
        "mapping": data.mapping,
        "max_epochs": trainer_arguments["max_epochs"],
        **training_arguments,
    }
    lit_model.save_hyperparameters(description)
    if load_checkpoint is not None:
        _check_can_go_on(load_checkpoint, lit_model, description)

    data.prepare_data()
    data.setup()
    trainer_arguments["overfit_batches"] = _count_overfit_batches(trainer_arguments, data)

    # Going on continues in the same folder, so that "best" is the best of both runs.
    folder = load_checkpoint.resolve().parent if load_checkpoint else None
    _check_writable(folder or Path(LOGS))
    counted = folder is None
    best = ModelCheckpoint(
        folder, "best", monitor="val_loss", mode="min", enable_version_counter=counted
    )
    last = ModelCheckpoint(folder, "last", save_on_exception=True, enable_version_counter=counted)
    batches = trainer_arguments["overfit_batches"]
    # What is learned by heart reads other images worse and worse: the first epoch would be best.
    kept = last if batches else best
    callbacks: list[pl.Callback] = [last] if batches else [best, last]
    if stop_early is not None:
        callbacks.append(EarlyStopping("val_loss", patience=stop_early))
    run_logger = _make_logger(logger, f"{model_class}_{data_class}")
    trainer = _make_trainer(
        trainer_arguments, callbacks=callbacks, logger=run_logger, default_root_dir=LOGS
    )
    # So that the summary counts what the layers compute; without it, it says 0.
    image = torch.ones(1, *data.config()["input_dims"])
    lit_model.example_input_array = trainer.precision_plugin.convert_input(image)
    with _name_what_ends_training(trainer, last):
        trainer.fit(lit_model, datamodule=data, ckpt_path=load_checkpoint, weights_only=True)
    if torch.distributed.is_initialized():
        # One process tests: several would each take a share, and the odd image twice.
        torch.distributed.destroy_process_group()
    if trainer.is_global_zero:
        if not kept.best_model_path:
            raise LabError("No epoch was trained: raise --max_epochs or --max_time.")
        lit_model.load_state_dict(read_checkpoint(kept.best_model_path)["state_dict"])
        if batches:
            few = trainer_arguments | {"limit_test_batches": batches}
            metrics = _test(few, lit_model, last, False, trainer.train_dataloader, verbose=False)
            found = ", ".join(f"{name} {value:.4f}" for name, value in sorted(metrics.items()))
            say(f"On the images that it learned by heart: {found}. On others:")
        _test(trainer_arguments, lit_model, last, run_logger, datamodule=data)
        if batches:
            say(f"Last checkpoint: {_shorten(last)}")
        else:
            say(f"Best checkpoint (validation loss {best.best_model_score:.4f}): {_shorten(best)}")


def _test(
    arguments: dict, lit_model, last: ModelCheckpoint, logger, *images, **options
) -> Mapping[str, float]:
    """Test in this process alone, and return the metrics."""
    alone = {"devices": 1, "num_nodes": 1, "strategy": "auto", "overfit_batches": 0.0}
    tester = _make_trainer(arguments | alone, logger=logger, default_root_dir=LOGS)
    with _name_what_ends_training(tester, last):
        (metrics,) = tester.test(lit_model, *images, **options)
    return metrics


@contextlib.contextmanager
def _name_what_ends_training(trainer: pl.Trainer, last: ModelCheckpoint) -> Iterator[None]:
    """Turn how Lightning ends after Ctrl-C, and what a full disk or memory raises, into a line."""
    try:
        yield
    except SystemExit:  # after Ctrl-C
        for bar in vars(trainer.progress_bar_callback or last).values():
            if isinstance(bar, tqdm):
                bar.close()  # or it draws itself once more below the last line
        path = last.best_model_path
        where = f" To go on, repeat with --load_checkpoint={_shorten(last)}" if path else ""
        raise KeyboardInterrupt(where) from None
    except OSError as error:
        if error.errno not in CANNOT_WRITE:
            raise
        raise cannot_write(Path(error.filename or LOGS), error, ELSEWHERE) from None
    except RuntimeError as error:
        if not (isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)):
            raise
        raise LabError("There is not enough memory: lower --batch_size.") from None
    except MisconfigurationException as error:
        raise LabError(f"{TRAINER_REFUSES}: {shorten(error)}.") from None


def _choose_lit_class(model_class: str) -> type[BaseLitModel]:
    return LineLitModel if reads_lines(NETWORKS[model_class]) else BaseLitModel


def _shorten(checkpoint: ModelCheckpoint) -> Path:
    path = Path(checkpoint.best_model_path)
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _check_trainer_arguments(arguments: dict) -> None:
    """Raise a LabError for what Lightning takes, and then waits or fails."""
    if arguments["num_nodes"] > 1 and not {"MASTER_ADDR", "SLURM_NTASKS"} & set(os.environ):
        raise LabError(
            f"--num_nodes={arguments['num_nodes']} is for a cluster, and this process was not "
            "started as a part of one (by srun or torchrun): leave it out."
        )
    devices, most = str(arguments["devices"]), max(os.cpu_count() or 1, torch.cuda.device_count())
    if devices.isdigit() and int(devices) > most:
        raise LabError(f"--devices={devices} must be {most} or less: this machine has no more.")
    strategy = str(arguments["strategy"])
    if re.search("notebook|fork|spawn", strategy):
        raise LabError(f"--strategy={strategy} is for notebooks: give --strategy=ddp.")


def _check_writable(folder: Path) -> None:
    """Raise a LabError where nothing can be written into a folder, before training begins."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(MIN_SPACE))
    except OSError as error:
        raise cannot_write(folder, error, ELSEWHERE) from None


def _choose_hardware(gpus: int | None, trainer_arguments: dict) -> dict:
    """Turn --gpus into Lightning's arguments."""
    if gpus is None:
        return {}
    if (trainer_arguments["accelerator"], trainer_arguments["devices"]) != ("auto", "auto"):
        raise LabError("--gpus means --accelerator=gpu --devices=N: give either, not both.")
    if gpus < -1:
        raise LabError(f"--gpus={gpus} must be a number of GPUs, or -1 for all.")
    found = torch.cuda.device_count()
    if gpus and not found:
        say("No GPU found: training on the CPU.")
    if not gpus or not found:
        return {"accelerator": "cpu", "devices": 1}
    if gpus > found:
        say(f"--gpus={gpus}, but there are {found}: training on {found}.")
    return {"accelerator": "gpu", "devices": found if gpus == -1 else min(gpus, found)}


def _count_overfit_batches(trainer_arguments: dict, data: BaseDataModule) -> int:
    """Turn a fraction of the training batches into their number, at least one."""
    overfit_batches = trainer_arguments["overfit_batches"]
    if isinstance(overfit_batches, int) or not 0 < overfit_batches <= 1:
        return overfit_batches
    total = len(data.train_dataloader())
    # Lightning would take the fraction of the validation batches too, and fail at less than one.
    count = max(1, int(overfit_batches * total))
    say(f"Overfitting {count} of {total} batches.")
    return count


def _check_can_go_on(path: Path, lit_model: BaseLitModel, description: dict) -> None:
    """Raise a LabError where a checkpoint is damaged, or cannot go on with these arguments."""
    checkpoint = read_checkpoint(path)
    try:
        _check_fits(checkpoint, description, path)
        lit_model.load_state_dict(checkpoint["state_dict"])
        for name in NEEDED_TO_GO_ON:
            checkpoint[name]
    except UNREADABLE as error:
        raise LabError(
            f"{path} cannot be gone on from ({shorten(error)}): "
            "give another checkpoint of run_experiment, or start again."
        ) from None


def _check_fits(checkpoint: dict, description: dict, path: Path) -> None:
    """Raise a LabError where a checkpoint cannot go on with these arguments."""
    trained = checkpoint["hyper_parameters"]
    for name in (
        *("model_class", "model_arguments", "mapping"),
        *("optimizer", "lr", "one_cycle_max_lr"),
    ):
        if trained[name] != description[name]:
            differs = f"{name}={trained[name]}, this is {description[name]}"
            if name == "mapping":
                differs = f"{len(trained[name])} classes, this has {len(description[name])}"
            raise LabError(f"{path} was trained with {differs}: give the same arguments.")
    # An interrupted epoch does not count.
    is_whole = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["is_last_batch"]
    epochs, wanted = checkpoint["epoch"] + is_whole, description["max_epochs"]
    if trained["one_cycle_max_lr"] is not None and trained["max_epochs"] != wanted:
        raise LabError(
            f"{path} follows a one-cycle schedule of {trained['max_epochs']} epochs: "
            "give the same --max_epochs, or start again."
        )
    if 0 <= wanted <= epochs:
        raise LabError(f"{path} has had {epochs} epochs: --max_epochs={wanted} leaves none.")


def _make_logger(kind: str, name: str):
    if kind == "none":
        return False
    named = {"project": name} if kind == "wandb" else {"name": name}
    try:
        # An absolute path, since a checkpoint remembers the folder that it may go on in.
        return LOGGERS[kind](save_dir=Path(LOGS).resolve(), **named)
    except ModuleNotFoundError:
        raise LabError(
            f"--logger={kind} needs a package that is not installed: "
            f'pip install -c constraints.txt -e ".[{kind}]".'
        ) from None


def _make_trainer(arguments: dict, **more) -> pl.Trainer:
    try:
        return pl.Trainer(**arguments, **more, log_every_n_steps=1)
    except Exception as error:  # noqa: BLE001 - as many kinds as there are accelerators
        raise LabError(f"{TRAINER_REFUSES}: {shorten(error)}.") from None


def parse(argv: list[str]) -> dict:
    """Return the arguments of `experiment` from the command line.

    Each argument is defined once: in the signature and the docstring of the class it belongs to.

    Raises
    ------
    LabError
        If a class or a flag is misspelt or a value has the wrong type.
    """
    model_class = _choose_class("model_class", NETWORKS, argv)
    data_class = _choose_class("data_class", DATA_MODULES, argv)
    parser = ArgumentParser(
        prog="python -m lab_utils.run_experiment", allow_abbrev=False, exit_on_error=False
    )
    own = parser.add_function_arguments(experiment, skip={"groups"})
    trainer_names = set(inspect.signature(pl.Trainer).parameters)
    groups = [
        (data_class, set()),
        (model_class, {"data_config"}),
        (_choose_lit_class(model_class.__name__), {"model"}),
        (pl.Trainer, trainer_names - TRAINER_ARGUMENTS),
    ]
    added = {cls.__name__: parser.add_class_arguments(cls, skip=skip) for cls, skip in groups}
    parser.set_defaults(max_epochs=MAX_EPOCHS)
    try:
        options = parser.parse_args(argv)
    except argparse.ArgumentError as error:
        names = [*own, *(name for names in added.values() for name in names)]
        raise LabError(_explain(str(error), names)) from None
    named = {group: {name: options[name] for name in names} for group, names in added.items()}
    return {name: options[name] for name in own} | named


def _choose_class(name: str, known: Mapping[str, type], argv: list[str]) -> type:
    """Return the class that --model_class or --data_class names: it brings its own arguments."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    first.add_argument(f"--{name}", default=inspect.signature(experiment).parameters[name].default)
    try:
        chosen = getattr(first.parse_known_args(argv)[0], name)
    except argparse.ArgumentError:
        raise LabError(f"--{name} needs a value: one of {', '.join(known)}.") from None
    if chosen not in known:
        raise LabError(f"--{name}={chosen}: {nearest(chosen, known)}")
    return known[chosen]


def _explain(problem: str, names: list[str]) -> str:
    """Return what to tell the user of a problem that the parser found."""
    if problem.lower().startswith("unrecognized arguments:"):
        wrong = problem.split()[2].split("=", maxsplit=1)[0]
        if not wrong.startswith("--"):
            return f"{wrong}: arguments are given as --name=value."
        owners = [
            cls.__name__
            for cls in (*NETWORKS.values(), *DATA_MODULES.values())
            if wrong[2:] in inspect.signature(cls).parameters
        ]
        hint = f"it belongs to {' and '.join(owners)}." if owners else nearest(wrong[2:], names)
        return f"{wrong}: it is not an argument here; {hint}"
    named = re.match(r'Parser key "(\w+)"', problem)
    value = re.search(r"[Gg](?:ot|iven) value: (.*)", problem)
    if not (named and value):
        return problem
    types = re.findall(
        r"<class '(?!NoneType)(\w+)'>|Literal\[(.*?)\]", problem.partition("Given")[0]
    )
    wanted = " or ".join(dict.fromkeys(plain or choices for plain, choices in types))
    return f"--{named[1]}={value[1]}: it must be {wanted}."


def main(argv: list[str] | None = None) -> None:
    """Run the command line; a student's mistake is one line, and exit status 1."""
    try:
        experiment(**parse(sys.argv[1:] if argv is None else argv))
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) or interrupts.is_stopping():
            go_on = error if isinstance(error, KeyboardInterrupt) else ""
            say(f"\nStopped.{go_on}", flush=True)
            sys.exit(1)
        if isinstance(error, LabError):
            sys.exit(f"Error: {error}")
        raise


def run_as_program() -> None:
    """Run the command line as a process of its own, which Ctrl-C ends in good order."""
    interrupts.stop_on_interrupt()
    try:
        main()
    finally:
        interrupts.ignore_interrupts()


if __name__ == "__main__":
    run_as_program()
