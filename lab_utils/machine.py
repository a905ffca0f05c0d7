"""What the start page shows of this machine: whether the lab runs here, and how fast."""

import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psutil

from lab_utils.course import COURSE
from lab_utils.tables import AMBER, GREEN, RED, Bar, Pill, Table
from text_recognizer.errors import LabError, cannot_write, shorten
from text_recognizer.language import say
from text_recognizer.paths import bundled, data_dir, is_fast, is_offline, named_path, shorten_path

OLDEST, NEWEST = (3, 11), (3, 13)  # Python, as pyproject.toml asks for
# The largest notebook takes 1.5 GB, JupyterLab a few hundred MB: benchmarks/README.md.
ENOUGH_MEMORY, LEAST_MEMORY = 1.9e9, 0.9e9
ENOUGH_DISK, LEAST_DISK = 1.5e9, 0.1e9  # EMNIST's download and what is prepared of it; networks
WIDGETS = ("anywidget", "ipywidgets")
BATCH_SECONDS = 13.4 / 40  # a training step where the notebooks were timed: benchmarks/README.md
MEASURE_SECONDS, FAST_SECONDS = 5, 0.5
SHORT_SECONDS = 20  # below this, a notebook's time is that of starting, and says nothing exact
COLORS = {"ok": GREEN, "note": AMBER, "problem": RED}
LINES = {
    "machine": "Does the lab run on this machine?",
    "what": "what",
    "status": "result",
    "found": "what there is, and what to do",
    "ok": "ok",
    "note": "note",
    "problem": "problem",
    "memory": "memory",
    "cores": "CPU cores",
    "disk": "free disk space",
    "folder": "data folder",
    "canvas": "canvas",
    "old": "Install Python 3.11, 3.12 or 3.13, then the lab again.",
    "new": "The lab is tested with Python 3.11 to 3.13: if something fails, take one of these.",
    "little memory": "Work on one notebook at a time: shut down the kernels of the others.",
    "no memory": "The notebooks take up to 1.5 GB: close other programs, or work on Colab.",
    "one core": "Everything works on one core; training takes about twice as long.",
    "CPU": "version {}, on the CPU; a GPU is not needed",
    "GPU": "version {}, with {}",
    "no torch": "It cannot be loaded ({}): install the lab again.",
    "little disk": "Real EMNIST takes 1.5 GB while it is prepared: free some space for it.",
    "no disk": "Free some space, or set LAB_DATA_DIR to a folder on another disk.",
    "writable": "{} can be written",
    "not writable": "no file can be written",
    "prepared": "prepared: {}",
    "local": "from {}, when first used",
    "gone": "Set {} to the path of files that exist, or remove it.",
    "not there": "{} does not exist",
    "download": "the download, when first used; offline, the bundled sample",
    "sample": "the bundled sample, as LAB_OFFLINE=1 forbids downloads",
    "damaged": "damaged",
    "incomplete": "the bundled sample is missing",
    "get again": "Get the lab again.",
    "ready": "its packages are installed",
    "missing": "missing: {}",
    "install": "Install what is missing: pip install {}",
    "times": "How long the notebooks take here",
    "notebook": "notebook",
    "reading": "you, minutes",
    "computing": "computing here",
    "measuring": "Training for five seconds",
    "short": "some seconds",
    "seconds": "{} seconds",
    "minutes": "{} minutes",
    "speed": "{} s for a training step on the CPU: {}.",
    "as fast": "about as fast as where these notebooks were timed",
    "slower": "{} times as slow as where these notebooks were timed",
    "faster": "{} times as fast as where these notebooks were timed",
}


@dataclass(frozen=True)
class Finding:
    """What was found of one thing that the lab needs.

    Parameters
    ----------
    name : str
        The thing, in the student's language.
    status : {"ok", "note", "problem"}
        Whether it is as it should be, worth knowing, or in the way.
    found : str
        What there is.
    advice : str
        What to do about it, in a sentence; empty if nothing.
    """

    name: str
    status: str
    found: str
    advice: str = ""


class Findings(list[Finding]):
    """What `check_machine` has found: a table in a notebook, lines in a terminal."""

    @property
    def is_in_the_way(self) -> bool:
        """Tell whether something keeps the lab from working."""
        return any(finding.status == "problem" for finding in self)

    def __str__(self) -> str:
        lines = []
        for finding in self:
            lines.append(f"[{say(LINES[finding.status])}] {finding.name}: {finding.found}")
            if finding.advice:
                lines.append(f"    {finding.advice}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        rows = [
            (
                finding.name,
                Pill(say(LINES[finding.status]), COLORS[finding.status]),
                "\n".join(filter(None, [finding.found, finding.advice])),
            )
            for finding in self
        ]
        header = [say(LINES[name]) for name in ("what", "status", "found")]
        return Table(say(LINES["machine"]), header, rows)._repr_html_()


def check_machine() -> Findings:
    """Look at what the lab needs of this machine; nothing is downloaded or prepared.

    Returns
    -------
    Findings
        A list of `Finding`: Python, memory, cores, PyTorch and GPU, disk, data folder, where
        EMNIST and MNIST would come from, and the canvas. A notebook shows it as a table.
    """
    findings = [
        _check_python(),
        _check_size("memory", measure_memory(), LEAST_MEMORY, ENOUGH_MEMORY),
        _check_cores(),
        _check_torch(),
        _check_canvas(),
    ]
    try:
        folder = data_dir()
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        advice = str(cannot_write(folder, error))
    except LabError as error:
        advice = str(error)
    else:
        disk = shutil.disk_usage(folder).free
        findings += [
            _find("folder", "ok", say(LINES["writable"], shorten_path(folder))),
            _check_size("disk", disk, LEAST_DISK, ENOUGH_DISK),
            _check_data("EMNIST", "EMNIST_ARCHIVE"),
            _check_data("MNIST", "MNIST_DIR"),
        ]
        return Findings(findings)
    unwritten = Finding(say(LINES["folder"]), "problem", say(LINES["not writable"]), advice)
    return Findings([*findings, unwritten])


def _find(name: str, status: str, found: str, advice: str = "", *values: object) -> Finding:
    """Return a finding; advice is a key of `LINES`, or empty, and a name may be one."""
    told = say(LINES[advice], *values) if advice else ""
    return Finding(say(LINES.get(name, name)), status, found, told)


def _check_python() -> Finding:
    version = sys.version_info[:2]
    found = platform.python_version()
    if version < OLDEST:
        return _find("Python", "problem", found, "old")
    if version > NEWEST:
        return _find("Python", "note", found, "new")
    return _find("Python", "ok", found)


def _check_size(name: str, size: float, least: float, enough: float) -> Finding:
    """Tell whether there is enough of memory or disk, in bytes."""
    found = f"{size / 1e9:.1f} GB"
    if size < least:
        return _find(name, "problem", found, f"no {name}")
    if size < enough:
        return _find(name, "note", found, f"little {name}")
    return _find(name, "ok", found)


def _check_cores() -> Finding:
    cores = count_cores()
    found = f"{cores:.3g}"
    return _find("cores", "ok", found) if cores >= 2 else _find("cores", "note", found, "one core")


def _check_torch() -> Finding:
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a library of it that does not load
        return _find(
            "PyTorch", "problem", say(LINES["missing"], "torch"), "no torch", shorten(error)
        )
    if torch.cuda.is_available():
        found = say(LINES["GPU"], torch.__version__, torch.cuda.get_device_name())
    elif torch.backends.mps.is_available():
        found = say(LINES["GPU"], torch.__version__, "MPS")
    else:
        found = say(LINES["CPU"], torch.__version__)
    return _find("PyTorch", "ok", found)


def _check_data(name: str, variable: str) -> Finding:
    """Tell where a data set would come from, in the order of `prepared.locate`."""
    from text_recognizer.files import prepared

    try:
        target = data_dir() / f"{name.lower()}.h5"
        local = named_path(variable)
        if local and not local.exists():
            return _find(name, "problem", say(LINES["not there"], local), "gone", variable)
        if prepared.is_current(target, prepared.fingerprint(local) if local else None):
            with prepared.open_prepared(target) as file:
                return _find(name, "ok", say(LINES["prepared"], file.source))
    except LabError as error:
        return Finding(name, "problem", say(LINES["damaged"]), str(error))
    if local:
        return _find(name, "ok", say(LINES["local"], local.name))
    if not bundled(prepared.SAMPLE_FILE).exists():
        return _find(name, "problem", say(LINES["incomplete"]), "get again")
    return _find(name, "ok", say(LINES["sample" if is_offline() else "download"]))


def _check_canvas() -> Finding:
    missing = [package for package in WIDGETS if find_spec(package) is None]
    if missing:
        found = say(LINES["missing"], ", ".join(missing))
        return _find("canvas", "problem", found, "install", " ".join(missing))
    return _find("canvas", "ok", say(LINES["ready"]))


def measure_memory(root: Path = Path("/")) -> int:
    """Return how many bytes this process may have: of the machine, or of its container.

    Parameters
    ----------
    root : Path
        The file system in which the limits of control groups lie (Linux).
    """
    limits = [psutil.virtual_memory().total]
    for text in _read_limits(root, "memory", "memory.max", "memory.limit_in_bytes"):
        if text.isdigit():  # "max" is no limit
            limits.append(int(text))
    return min(limits)


def count_cores(root: Path = Path("/")) -> float:
    """Return how many cores this process may use; a container may have a part of one.

    Parameters
    ----------
    root : Path
        The file system in which the limits of control groups lie (Linux).
    """
    has_affinity = hasattr(os, "sched_getaffinity")  # Linux
    limits: list[float] = [len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1]
    for text in _read_limits(root, "cpu", "cpu.max"):
        quota, _, period = text.partition(" ")
        if quota.isdigit() and period.isdigit():
            limits.append(int(quota) / int(period))
    quotas = _read_limits(root, "cpu", None, "cpu.cfs_quota_us")
    periods = _read_limits(root, "cpu", None, "cpu.cfs_period_us")
    for quota, period in zip(quotas, periods, strict=False):
        if quota.isdigit() and period.isdigit():  # "-1" is no limit
            limits.append(int(quota) / int(period))
    return min(limits)


def _read_limits(root: Path, controller: str, new: str | None, old: str | None = None) -> list[str]:
    """Return what the control groups of this process say, each and those around it.

    Parameters
    ----------
    root : Path
        Where `proc` and `sys` lie.
    controller : str
        Its name in version 1, whose groups have a folder for each controller.
    new, old : str or None
        The file in version 2, and in version 1.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []  # not Linux
    top = root / "sys/fs/cgroup"
    found = []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers:
            folder, name = top / controller, old
            if controller not in controllers.split(","):
                continue
        else:
            folder, name = top, new
        if name is None:
            continue
        # In a container the path is often that outside of it, and only the top is there.
        inner = folder / group.lstrip("/")
        for place in [inner, *(p for p in inner.parents if p.is_relative_to(folder))]:
            try:
                found.append((place / name).read_text(encoding="utf-8").strip())
            except OSError:
                continue
    return found


def time_notebooks() -> Table:
    """Train the CNN for five seconds, and tell from its speed how long each notebook computes.

    The batch is random: it takes as long as one of characters. Training is measured on the CPU,
    also where there is a GPU, since a part of each notebook is computed there anyway.

    Returns
    -------
    Table
        The notebooks, how long you take to read them, and how long they compute here. A notebook
        shows it as the last line of a cell.
    """
    slowness = measure_step() / BATCH_SECONDS
    here = [book.seconds * slowness for book in COURSE]
    rows = [
        (
            book.link,
            f"{book.minutes[0]}-{book.minutes[1]}",
            Bar(seconds / max(here), describe_seconds(seconds)),
        )
        for book, seconds in zip(COURSE, here, strict=True)
    ]
    header = [say(LINES[name]) for name in ("notebook", "reading", "computing")]
    how = say(LINES["as fast"])
    if slowness > 1.25:
        how = say(LINES["slower"], f"{slowness:.1f}")
    elif slowness < 0.8:
        how = say(LINES["faster"], f"{1 / slowness:.1f}")
    foot = say(LINES["speed"], f"{slowness * BATCH_SECONDS:.2g}", how)
    return Table(say(LINES["times"]), header, rows, foot)


def measure_step() -> float:
    """Return the seconds of a step of training the CNN on the CPU, on 128 images: a median."""
    import torch
    import torch.nn.functional as F
    from tqdm.auto import tqdm

    from text_recognizer.mapping import MAPPING
    from text_recognizer.models.cnn import CNN

    with torch.random.fork_rng(devices=[]):  # the notebook's random numbers stay as they are
        torch.manual_seed(0)
        model = CNN({"input_dims": (1, 28, 28), "mapping": MAPPING})
        optimizer = torch.optim.Adam(model.parameters())
        x, y = torch.rand(128, 1, 28, 28), torch.randint(len(MAPPING), (128,))

        def step():
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()

        step()  # the first one also allocates
        return statistics.median(_time(step, FAST_SECONDS if is_fast() else MEASURE_SECONDS, tqdm))


def _time(step: Callable[[], None], seconds: float, tqdm: Callable) -> list[float]:
    """Return the durations of a function that is called, three times or more, for some seconds."""
    durations: list[float] = []
    with tqdm(total=100, desc=say(LINES["measuring"]), bar_format="{desc} {bar}", leave=False) as b:
        while sum(durations) < seconds or len(durations) < 3:
            start = time.perf_counter()
            step()
            durations.append(time.perf_counter() - start)
            b.update(min(100, round(100 * sum(durations) / seconds)) - b.n)
    return durations


def describe_seconds(seconds: float) -> str:
    """Return a duration in words, as exactly as an estimate deserves."""
    if seconds < SHORT_SECONDS:
        return say(LINES["short"])
    if seconds < 90:
        return say(LINES["seconds"], f"{round(seconds, -1):.0f}")
    return say(LINES["minutes"], round(seconds / 60))
