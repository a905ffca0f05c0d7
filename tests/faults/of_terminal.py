"""The command line: Ctrl-C at any moment, odd arguments, and logs that cannot be written."""

import atexit
import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import torch
from of_files import make_archives
from tries import FORK, Kind, pick

from text_recognizer.training import run_experiment

MODEL = ["--model_class=MLP", "--fc1_dim=8", "--fc2_dim=8"]
LINE_MODEL = [
    "--model_class=LineCNNSimple",
    "--conv_dim=4",
    "--fc_dim=8",
    "--data_class=EMNISTLines",
]
LINE_DATA = ["--max_length=6", "--num_train=40", "--num_val=16", "--num_test=16", "--text=own"]
CUT = ["--limit_train_batches=3", "--limit_val_batches=1", "--limit_test_batches=1"]
ROOT = Path(run_experiment.__file__).parents[2]


def start(argv: list[str], folder: Path):
    """Run the command line in a process of its own, without the seconds that imports take."""
    out = folder / "out"
    process = FORK.Process(target=_be_program, args=(argv, folder, out))
    process.start()
    return process, out


def _be_program(argv: list[str], folder: Path, out: Path) -> None:
    warnings.simplefilter("default")  # pytest makes errors of them, a program does not
    os.chdir(folder)
    with open(out, "wb", buffering=0) as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    sys.stdout, sys.stderr = (open(n, "w", buffering=1, closefd=False) for n in (1, 2))  # noqa: SIM115
    sys.argv = ["run_experiment", *argv]
    atexit._clear()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    status = 0
    os.setsid()  # from now on it can be interrupted
    try:
        run_experiment.run_as_program()
    except SystemExit as error:  # as the interpreter does it
        status = error.code if isinstance(error.code, int) else 1
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    except BaseException:  # noqa: BLE001 - as the interpreter does it
        sys.excepthook(*sys.exc_info())
        status = 1
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()
    os._exit(status or 0)


def read_lines(out: Path) -> list[str]:
    text = out.read_text(encoding="utf-8", errors="replace").replace("\r", "\n")
    return [line for line in text.splitlines() if line.strip()]


def find_last_line(status: int, lines: list[str]) -> str | None:
    """Return the sentence with which a command ended, or None where all went well."""
    traces = [i for i, line in enumerate(lines) if "Traceback" in line]
    if traces:
        raise RuntimeError(" / ".join(lines[traces[0] :])[:600])
    if (
        status == 0
        and lines
        and lines[-1].startswith(("Best checkpoint", "Last checkpoint", "usage"))
    ):
        return None
    if status != 0 and lines and lines[-1].startswith(("Error: ", "Stopped.")):
        return lines[-1].rstrip(".") + "."  # a path ends some of them
    raise RuntimeError(f"it ended with {status}, and says {lines[-2:]}")


# Ctrl-C.


def make_data(folder: Path) -> dict[str, str]:
    found = make_archives(folder)
    return {"EMNIST_ARCHIVE": str(found["gzip"]), "MNIST_DIR": str(found["mnist"])}


def interrupt(made, random, folder: Path):
    """Press Ctrl-C while data are read, prepared, trained on or tested with."""
    os.environ.update(made)
    argv = [*MODEL, "--data_class=EMNIST", "--max_epochs=100000", *CUT[1:], "--batch_size=16"]
    match pick(random, ["train", "prepare", "lines", "test", "workers"]):
        case "lines":
            argv = [*LINE_MODEL, *LINE_DATA, "--num_train=3000", "--source=sample"]
        case "test":
            argv += ["--max_epochs=1", "--limit_train_batches=3", "--limit_test_batches=1.0"]
        case "workers":
            argv += ["--num_workers=2"]
    if random.random() < 0.5:
        argv += ["--enable_progress_bar=false"]
    process, out = start(argv, folder)
    time.sleep(0.05 + float(random.random()) ** 2 * 2.5)
    _press(random, process.pid, process.is_alive)
    process.join(15)
    return _check_stopped(process.exitcode, read_lines(out), folder)


def _press(random, pid: int, is_alive) -> None:
    while is_alive() and os.getpgid(pid) != pid:
        time.sleep(0.005)
    for _ in range(int(random.integers(1, 4))):
        if is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGINT)
        time.sleep(float(random.choice([0, 0.01, 0.2])))


def _check_stopped(status: int | None, lines: list[str], folder: Path):
    if status is None:
        raise TimeoutError(f"it did not stop: {lines[-2:]}")
    if status == -signal.SIGINT and not lines:  # during imports it just ends
        return "Stopped."
    last = find_last_line(status, lines)
    if sum("Stopped." in line for line in lines) > 1:
        raise RuntimeError(f"it stopped twice: {lines[-3:]}")
    if list(folder.glob("data/*.partial")):
        return False
    for path in folder.glob("logs/*/*/checkpoints/*.ckpt"):
        torch.load(path, weights_only=True)  # whole
    return last


def interrupt_imports(made, random, folder: Path):
    """Press Ctrl-C while a whole program starts, reads its data and trains."""
    argv = [sys.executable, "-m", "lab_utils.run_experiment", *MODEL, "--source=sample", *CUT]
    out, path = folder / "out", os.pathsep.join([str(ROOT), *sys.path])
    with open(out, "wb") as file:
        process = subprocess.Popen(
            [*argv, "--max_epochs=100000"],
            **{"stdout": file, "stderr": file, "cwd": folder, "start_new_session": True},
            env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
        )
    # Until Python itself has started, nothing of ours can tell it what to do.
    while process.poll() is None and not _has_started(process.pid):
        time.sleep(0.005)
    time.sleep(float(random.random()) ** 2 * 9)
    _press(random, process.pid, lambda: process.poll() is None)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(15)
    status = process.poll()
    process.kill()
    process.wait()
    return _check_stopped(status, read_lines(out), folder)


def _has_started(pid: int) -> bool:
    """Tell whether a process is past its first lines: it has loaded a library for the others."""
    return "_socket" in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")


# Odd arguments.

WHOLE = (
    *("-2", "-1", "0", "1", "2", "1.5", "0.5", "1e9", "nan", "inf", "null", "x", "[0]", "1000"),
    "10000000000",
)
REAL = ("-1", "0", "0.001", "0.1", "1", "1e30", "nan", "inf", "null", "x", "true")
EMPTY = ("",)
WHOLE_NAMES = (
    *("max_epochs", "overfit_batches", "limit_train_batches", "gpus"),
    *("limit_val_batches", "limit_test_batches", "batch_size", "num_workers", "stop_early"),
    *("fc1_dim", "fc2_dim", "max_length"),
)
VALUES = {
    **dict.fromkeys(WHOLE_NAMES, WHOLE),
    **dict.fromkeys(("lr", "one_cycle_max_lr", "label_smoothing"), REAL),
    # What starts several processes, or waits for other machines, is Lightning's own affair.
    "devices": ["-2", "-1", "0", "1", "1.5", "nan", "null", "x", "[0]", ""],
    "accelerator": ["tpu", "mps", "hpu", "gpu", "cuda", "CPU", "auto", "x"],
    "strategy": ["fsdp", "deepspeed", "dp", "x", "auto"],
    "precision": ["8", "16", "16-mixed", "bf16-mixed", "32", "64", "64-true", "x", "16-true"],
    "max_time": ["00:00:00:01", "00:00:00:00", "x", "-1", "1", "{}", "99:99:99:99"],
    "optimizer": ["Adagrad", "SGD", "LBFGS", "Rprop", "ASGD", "SparseAdam", "x", "RMSprop"],
    "logger": ["csv", "none", "tensorboard", "wandb", "x"],
    "load_checkpoint": ["x", ".", "/dev/zero", "logs", "~nosuchuser", "\n"],
    "source": ["full", "auto", "x", "Sample"],
    "augment": ["true", "false", "1", "x"],
    "enable_progress_bar": ["true", "x", "2"],
    "model_class": ["CNN", "LineCNN", "ResNet", "x"],
    "data_class": ["EMNIST", "EMNISTLines", "x"],
    "nothing": ["1"],
}


def mistype(made, random, folder: Path):
    """Give one or two odd arguments, in a folder where logs may have no place."""
    os.environ.update(made, LAB_FAST="1")
    argv = [*MODEL, "--source=sample", "--max_epochs=1", "--enable_progress_bar=false", *CUT]
    for name in random.permutation(list(VALUES))[: int(random.integers(1, 3))]:
        argv.append(f"--{name}={pick(random, [*VALUES[name], ''])}")
    if random.random() < 0.1:
        argv.append(pick(random, ["--", "-x", "lr=1", "--lr", "--help=1", "--=", "=", "--lr 1"]))
    process, out = start(argv, folder)
    process.join(25)
    if process.is_alive():
        os.killpg(process.pid, signal.SIGKILL)
        time.sleep(30)  # which the harness counts as a hang
    return _show(argv, process.exitcode, out)


def _show(argv, status, out: Path):
    try:
        return find_last_line(status, read_lines(out))
    except RuntimeError as error:
        raise RuntimeError(f"{argv[8:]}: {error}") from None


def write_nowhere(made, random, folder: Path):
    """Train where logs is a file, cannot be written, disappears, or is on a disk that is full."""
    os.environ.update(LAB_FAST="1")
    argv = [*MODEL, "--source=sample", "--max_epochs=2", "--enable_progress_bar=false", *CUT]
    logs = folder / "logs"
    kind = pick(random, ["file", "link", "full", "full", "below", "gone"])
    match kind:
        case "file":
            logs.touch()
        case "link":
            logs.symlink_to(pick(random, ["/dev/null", "/proc", "nothing/there", "logs"]))
        case "below":
            (logs / "MLP_MNIST").mkdir(parents=True)
            (logs / "MLP_MNIST" / "version_0").touch()
        case "gone":
            argv += ["--max_epochs=20"]
        case "full":
            argv += ["--fc1_dim=512"]
            room = int(random.integers(6_000_000))
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    process, out = start(argv, folder)
    if kind == "gone":
        while process.is_alive() and not logs.exists():
            time.sleep(0.01)
        time.sleep(float(random.random()) * 2)
        shutil.rmtree(logs, ignore_errors=True)
    process.join(25)
    result = _show(argv, process.exitcode, out)
    if logs.is_symlink():  # what lies in /proc comes and goes
        return result
    for path in folder.glob("logs/*/*/checkpoints/*.ckpt"):
        try:
            torch.load(path, weights_only=True)
        except Exception:  # noqa: BLE001
            raise RuntimeError(f"{path.name} is damaged, and {result}") from None
    return result


KINDS = [
    Kind("Ctrl-C: data, preparation, training", interrupt, 1, 120, make_data, seconds=30),
    Kind("Ctrl-C: imports too", interrupt_imports, 1, 30, seconds=40),
    Kind("command line", mistype, 3, 200, make_data, seconds=40),
    Kind("logs that cannot be written", write_nowhere, 1, 40, seconds=40),
]
