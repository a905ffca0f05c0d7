"""Trains any network on any data from the terminal: python training/run_experiment.py --help."""

import sys

from text_recognizer.threads import limit_threads
from text_recognizer.training.interrupts import end_on_interrupt

if __name__ == "__main__":  # before the imports that take seconds
    end_on_interrupt()
    limit_threads()
    if "--version" in sys.argv:
        from importlib.metadata import version

        print("handwriting-lab", version("handwriting-lab"))
        sys.exit()

import contextlib
import signal
import tempfile
from collections.abc import Iterator, Mapping
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
from text_recognizer.lit_models.callbacks import InterruptHandler
from text_recognizer.models.registry import NETWORKS, reads_lines
from text_recognizer.models.weights import UNREADABLE, read_checkpoint
from text_recognizer.training.arguments import DATA_MODULES, choose_lit_class, parse

LOGS = "logs"
LOGGERS = {"csv": CSVLogger, "tensorboard": TensorBoardLogger, "wandb": WandbLogger}
MIN_SPACE = 1 << 20  # bytes
ELSEWHERE = "run this in another folder"
TRAINER_REFUSES = "Lightning's Trainer does not take these arguments"
# What a run and the one that it resumes must have in common, and what resuming takes.
SAME = ("model_class", "model_arguments", "data_class", "optimizer", "lr", "one_cycle_max_lr")
RESUMED = ("optimizer_states", "lr_schedulers", "global_step", "callbacks")
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
        The arguments of the data module, the network, `BaseLitModel` and Lightning's `Trainer`,
        each a dict under the name of its class (`LineLitModel` for networks that read lines).
    """
    pl.seed_everything(SEED, workers=True, verbose=False)
    arguments = groups["Trainer"] | _choose_hardware(gpus, groups["Trainer"])
    data, lit_model = _build(model_class, data_class, groups)
    _check_end(arguments, stop_early, lit_model.one_cycle_max_lr)
    if load_checkpoint is not None:
        _check_resumable(load_checkpoint, lit_model)
    arguments |= _choose_precision(arguments, lit_model.model)
    data.setup("fit")
    arguments["overfit_batches"] = _count_overfit_batches(arguments, data)
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
    with _explain_end(last):
        _check_writable(folder or Path(LOGS))
        run_logger = _make_logger(logger, f"{model_class}_{data_class}")
        trainer = _make_trainer(arguments, callbacks=callbacks, logger=run_logger)
        # So that the summary counts what the layers compute; without it, it says 0.
        image = torch.ones(1, *data.dims)
        lit_model.example_input_array = trainer.precision_plugin.convert_input(image)
        trainer.fit(lit_model, datamodule=data, ckpt_path=load_checkpoint, weights_only=True)
        if torch.distributed.is_initialized():
            # One process tests: several would each take a share, and the odd image twice.
            torch.distributed.destroy_process_group()
        if trainer.is_global_zero:
            kept = best if has_best else last
            if not kept.best_model_path:
                raise LabError("No epoch was trained: raise --max_epochs, or what limits them.")
            lit_model.load_state_dict(read_checkpoint(kept.best_model_path)["state_dict"])
            _test(arguments, lit_model, data, trainer)
            loss = _(f" (validation loss {best.best_model_score:.4f})") if has_best else ""
            say(_(f"{'Best' if has_best else 'Last'} checkpoint{loss}: {_shorten(kept)}"))


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


def _test(arguments: dict, lit_model: BaseLitModel, data: BaseDataModule, trainer) -> None:
    """Test in this process alone: before what is new, what was learned by heart."""
    alone = {"devices": 1, "num_nodes": 1, "strategy": "auto", "overfit_batches": 0.0}
    if batches := arguments["overfit_batches"]:
        tester = _make_trainer(arguments | alone | {"limit_test_batches": batches}, logger=False)
        (metrics,) = tester.test(lit_model, trainer.train_dataloader, verbose=False)
        found = ", ".join(f"{name} {value:.4f}" for name, value in sorted(metrics.items()))
        say(_(f"On the images that it learned by heart: {found}. On others:"))
    if arguments["limit_test_batches"] != 0:
        tester = _make_trainer(arguments | alone, logger=trainer.logger or False)
        tester.test(lit_model, datamodule=data)


@contextlib.contextmanager
def _explain_end(last: ModelCheckpoint) -> Iterator[None]:
    """Turn how Lightning ends after Ctrl-C, and what a full disk or memory raises, into a line."""
    try:
        yield
    except SystemExit:  # after Ctrl-C
        path = last.best_model_path
        where = _(f" To go on, repeat with --load_checkpoint={_shorten(last)}") if path else ""
        raise KeyboardInterrupt(where) from None
    except OSError as error:
        if error.errno is None:  # of a network, not of a file
            raise
        raise cannot_write(Path(error.filename or LOGS), error, ELSEWHERE) from None
    except RuntimeError as error:
        if str(error).startswith("Missing folder"):  # so Lightning calls one that has disappeared
            raise LabError(f"{shorten(error)}: {ELSEWHERE}.") from None
        if not (isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)):
            raise
        raise LabError("There is not enough memory: lower --batch_size.") from None
    except MisconfigurationException as error:
        raise LabError(f"{TRAINER_REFUSES}: {shorten(error)}.") from None


def _shorten(checkpoint: ModelCheckpoint) -> Path:
    path = Path(checkpoint.best_model_path)
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _check_end(arguments: dict, stop_early: int | None, one_cycle: float | None) -> None:
    """Raise a LabError where training would have no end, or could not tell when to stop."""
    is_bounded = stop_early is not None or arguments["max_time"] is not None
    if arguments["max_epochs"] != -1 or not is_bounded or one_cycle is not None:
        check_int("--max_epochs", arguments["max_epochs"], 1)
    if stop_early is not None:
        check_int("--stop_early", stop_early, 0)
        if arguments["limit_val_batches"] == 0:
            raise LabError("--stop_early goes by validation: leave out --limit_val_batches=0.")


def _check_writable(folder: Path) -> None:
    """Raise an OSError where nothing can be written into a folder, before hours of training."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(MIN_SPACE))


def _choose_hardware(gpus: int | None, arguments: dict) -> dict:
    """Turn --gpus into Lightning's arguments."""
    if gpus is None:
        return {}
    if (arguments["accelerator"], arguments["devices"]) != ("auto", "auto"):
        raise LabError("--gpus means --accelerator=gpu --devices=N: give either, not both.")
    check_int("--gpus", gpus, -1)
    found = torch.cuda.device_count() or torch.mps.device_count()
    if gpus and not found:
        say(_("No GPU found: training on the CPU."))
    elif gpus > found:
        say(_(f"--gpus={gpus}, but there are {found}: training on {found}."))
    used = found if gpus == -1 else min(gpus, found)
    return {"accelerator": "gpu" if used else "cpu", "devices": used or 1}


def _choose_precision(arguments: dict, model: torch.nn.Module) -> dict:
    """Take bfloat16 where a CPU trains that multiplies it, unless a precision was asked for."""
    has_gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
    chosen, on_cpu = arguments["accelerator"], ("cpu",) if has_gpu else ("cpu", "auto")
    if arguments["precision"] is not None or chosen not in on_cpu:
        return {}
    known: Mapping = getattr(torch.cpu, "get_capabilities", dict)()  # older PyTorch has none
    has_bfloat16 = known.get("avx512_bf16") or known.get("amx_bf16")
    # Characters are read as well with it: benchmarks/README.md. Lines have not been measured.
    precision = "bf16-mixed" if has_bfloat16 and not reads_lines(model) else "32-true"
    say(_(f"Training on the CPU with --precision={precision}."))
    return {"precision": precision}


def _count_overfit_batches(arguments: dict, data: BaseDataModule) -> int:
    """Turn a fraction of the training batches into their number, at least one."""
    overfit_batches = arguments["overfit_batches"]
    if isinstance(overfit_batches, int) or not 0 < overfit_batches <= 1:
        return overfit_batches
    total = len(data.train_dataloader())
    # Lightning would take the fraction of the validation batches too, and fail at less than one.
    count = max(1, int(overfit_batches * total))
    say(_(f"Overfitting {count} of {total} batches."))
    return count


def _check_resumable(path: Path, lit_model: BaseLitModel) -> None:
    """Raise a LabError where a checkpoint is damaged, or does not fit these arguments."""
    checkpoint, asked = read_checkpoint(path), lit_model.hparams
    try:
        trained = checkpoint["hyper_parameters"]
        for name in SAME:
            if trained[name] != asked[name]:
                raise LabError(
                    f"{path} was trained with {name}={trained[name]}, this is {asked[name]}: "
                    "give the same arguments."
                )
        lit_model.load_state_dict(checkpoint["state_dict"])
        # An interrupted epoch does not count.
        is_whole = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["is_last_batch"]
        epochs, planned = checkpoint["epoch"] + is_whole, trained["max_epochs"]
        for name in RESUMED:
            checkpoint[name]
    except UNREADABLE as error:
        raise LabError(
            f"{path} cannot be resumed ({shorten(error)}): "
            "give another checkpoint of run_experiment, or start again."
        ) from None
    if asked["one_cycle_max_lr"] is not None and planned != asked["max_epochs"]:
        raise LabError(
            f"{path} follows a one-cycle schedule of {planned} epochs: "
            "give the same --max_epochs, or start again."
        )
    if 0 <= asked["max_epochs"] <= epochs:
        raise LabError(
            f"{path} has had {epochs} epochs: --max_epochs={asked['max_epochs']} leaves none."
        )


def _make_logger(kind: str, name: str):
    if kind == "none":
        return False
    named = {"project": name} if kind == "wandb" else {"name": name}
    try:
        # An absolute path, since a checkpoint remembers the folder that it may be resumed in.
        return LOGGERS[kind](save_dir=Path(LOGS).resolve(), **named)
    except ModuleNotFoundError:
        raise LabError(
            f"--logger={kind} needs a package that is not installed: "
            f'pip install -c constraints.txt -e ".[{kind}]".'
        ) from None


def _make_trainer(arguments: dict, **more) -> pl.Trainer:
    try:
        return pl.Trainer(**arguments, **more, default_root_dir=LOGS, log_every_n_steps=1)
    except Exception as error:  # noqa: BLE001 - as many kinds as there are accelerators
        raise LabError(f"{TRAINER_REFUSES}: {shorten(error)}.") from None


def main(argv: list[str] | None = None) -> None:
    """Run the command line; a student's mistake is one line, and exit status 1."""
    try:
        experiment(**parse(sys.argv[1:] if argv is None else argv, experiment))
    except LabError as error:
        sys.exit(_(f"Error: {error}"))


def run_as_program() -> None:
    """Run the command line as a process of its own, which Ctrl-C ends with one last line."""
    handler = InterruptHandler()
    sys.unraisablehook = lambda _: None  # what breaks while all ends is of no use to anybody
    try:
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, handler)  # which it calls at once if Ctrl-C was pressed
        main()
    except BaseException as error:
        if not (isinstance(error, KeyboardInterrupt) or handler.was_called):
            raise
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        where = str(error) if isinstance(error, KeyboardInterrupt) else ""
        say(f"\n{_('Stopped.')}{where}", flush=True)
        sys.exit(1)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing is left to be stopped


if __name__ == "__main__":
    run_as_program()
