"""The start page: does the lab run here, how long does it take, and how far have you come?

A check cell that passes is remembered in `progress.json` in the data folder. Jupyter says in
`JPY_SESSION_NAME` which notebook a kernel belongs to; a program that runs notebooks does not
(`tools/course/execute.py`, nbval, lab-grade), and then nothing is remembered.
"""

import json
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from text_recognizer.errors import LabError, cannot_write, shorten
from text_recognizer.language import _
from text_recognizer.paths import (
    data_dir,
    is_fast,
    is_offline,
    named_path,
    shorten_path,
    write_whole,
)
from text_recognizer.threads import count_cores, read_limits

MARKDOWN = r"([\\`*_\[\]<>|~$#])"  # characters that mean something in it
SIGNS = {"ok": "🟢", "note": "🟡", "problem": "🔴"}
# The largest notebook takes 1.5 GB, JupyterLab a few hundred MB: benchmarks/README.md.
MIN_MEMORY, ENOUGH_MEMORY = 0.9e9, 1.9e9  # bytes
MIN_DISK, ENOUGH_DISK = 0.1e9, 1.5e9  # bytes, of EMNIST's download and what is prepared of it
STEP_SECONDS = 0.14  # a training step where the notebooks were timed
MEASURE_SECONDS, FAST_SECONDS = 5, 0.5
PROGRESS_FILE = "progress.json"


class Notebook(NamedTuple):
    """A notebook of the course."""

    file: str  # without ".ipynb"; it begins with two digits
    title: str  # in English
    minutes: str  # that a student takes to read it and to think
    seconds: int  # that its cells compute in all, on two CPU cores with the bundled sample
    questions: int  # that are checked: q1 and so on

    @property
    def number(self) -> str:
        """The two digits that its file begins with."""
        return self.file[:2]

    @property
    def link(self) -> str:
        """A link to it, with its title in the student's language."""
        return f"[{int(self.number)}. {_(self.title)}]({self.file}.ipynb)"


COURSE = (
    Notebook("01_look_at_emnist", "Look at EMNIST", "20-30", 7, 2),
    Notebook("02_train_cnn", "Train a CNN", "30-40", 52, 3),
    Notebook("03_overfit", "Overfit on purpose", "20-30", 55, 2),
    Notebook("04_build_lines", "Build lines", "25-35", 37, 2),
    Notebook("05_read_lines", "Read lines", "25-35", 107, 2),
    Notebook("06_draw_your_own", "Draw your own", "40-50", 21, 2),
    Notebook("07_homework_resnet", "Homework: a ResNet", "60-90", 17, 7),
)
QUESTIONS = {f"{book.number} q{i + 1}" for book in COURSE for i in range(book.questions)}


@dataclass
class Table:
    """A table, of cells in Markdown: shown as one in a notebook, and printed a row a line."""

    title: str
    header: Sequence[str]
    rows: Sequence[tuple[str, ...]]
    foot: str = ""

    def _repr_markdown_(self) -> str:
        lines = [self.header, ["---"] * len(self.header), *self.rows]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"**{self.title}**\n\n{table}\n\n{self.foot}".rstrip()

    def __repr__(self) -> str:
        rows = ["  ".join(row).replace("<br>", "\n    ") for row in self.rows]
        text = "\n".join([self.title, *rows, self.foot]).rstrip()
        signs = "".join(SIGNS.values())
        return re.sub(rf"\[(.+?)\]\(\S+?\)|[{signs}] |\\{MARKDOWN}", r"\1\2", text)


class Finding(NamedTuple):
    """What was found of one thing that the lab needs, in the student's language."""

    name: str
    status: str  # "ok", "note" or "problem", which is in the way
    found: str
    advice: str = ""  # what to do about it, in a sentence


def check_machine() -> Table:
    """Look at what the lab needs of this machine; nothing is downloaded or prepared.

    Taught in notebook 0.

    Returns
    -------
    Table
        Python, memory, cores, PyTorch and GPU, the data folder and its disk, and where EMNIST and
        MNIST would come from. A notebook shows it as the last line of a cell.

    Examples
    --------
    >>> from lab_utils import check_machine
    >>> check_machine()
    Does the lab run on this machine?
    ok  Python  3...
    """
    rows = []
    for name, status, *said in inspect_machine():
        # As Markdown shows it letter by letter, such as the name of a folder.
        escaped = [re.sub(MARKDOWN, r"\\\1", text) for text in said if text]
        rows.append((f"{SIGNS[status]} {_(status)}", name, "<br>".join(escaped)))
    header = [_("result"), _("what"), _("what there is, and what to do")]
    return Table(_("Does the lab run on this machine?"), header, rows)


def inspect_machine() -> list[Finding]:
    """Return what `check_machine` shows."""
    close = _("The notebooks take up to 1.5 GB: close other programs, or work on Colab.")
    shut = _("Work on one notebook at a time: shut down the kernels of the others.")
    found = [
        Finding("Python", "ok", platform.python_version()),
        _check_size(_("memory"), measure_memory(), (MIN_MEMORY, close), (ENOUGH_MEMORY, shut)),
        _check_cores(),
        _check_torch(),
    ]
    try:
        folder = data_dir()
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, LabError) as error:
        advice = error if isinstance(error, LabError) else cannot_write(folder, error)
        unwritten = _("no file can be written")
        return [*found, Finding(_("data folder"), "problem", unwritten, str(advice))]
    written = _(f"{shorten_path(folder)} can be written")
    elsewhere = _("Free some space, or set LAB_DATA_DIR to a folder on another disk.")
    free = _("Real EMNIST takes 1.5 GB while it is prepared: free some space for it.")
    space = shutil.disk_usage(folder).free
    return [
        *found,
        Finding(_("data folder"), "ok", written),
        _check_size(_("free disk space"), space, (MIN_DISK, elsewhere), (ENOUGH_DISK, free)),
        _check_data("EMNIST", "EMNIST_ARCHIVE"),
        _check_data("MNIST", "MNIST_DIR"),
    ]


def _check_size(name: str, size: float, *limits: tuple[float, str]) -> Finding:
    """Return what is said of so many bytes: below the first limit they are a problem."""
    found = f"{size / 1e9:.1f} GB"
    for status, (limit, advice) in zip(("problem", "note"), limits, strict=True):
        if size < limit:
            return Finding(name, status, found, advice)
    return Finding(name, "ok", found)


def _check_cores() -> Finding:
    cores = count_cores()
    if cores >= 2:
        return Finding(_("CPU cores"), "ok", f"{cores:.3g}")
    advice = _("Everything works on one core; training takes about twice as long.")
    return Finding(_("CPU cores"), "note", f"{cores:.3g}", advice)


def _check_torch() -> Finding:
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a library of it that does not load
        return Finding("PyTorch", "problem", shorten(error), _("Install the lab again."))
    if torch.cuda.is_available():
        gpu = torch.cuda.get_device_name()
    elif torch.backends.mps.is_available():
        gpu = "MPS"
    else:
        found = _(f"version {torch.__version__}, on the CPU; a GPU is not needed")
        return Finding("PyTorch", "ok", found)
    return Finding("PyTorch", "ok", _(f"version {torch.__version__}, with {gpu}"))


def _check_data(name: str, variable: str) -> Finding:
    """Tell where a data set would come from, in the order of `prepared.locate`."""
    from text_recognizer.files import prepared

    try:
        target = data_dir() / f"{name.lower()}.h5"
        local = named_path(variable)
        if local and not local.exists():
            advice = _(f"Set {variable} to the path of files that exist, or remove it.")
            return Finding(name, "problem", _(f"{local} does not exist"), advice)
        if prepared.is_current(target, prepared.fingerprint(local) if local else None):
            with prepared.open_prepared(target) as file:
                return Finding(name, "ok", _(f"prepared: {file.source}"))
    except LabError as error:
        return Finding(name, "problem", _("damaged"), str(error))
    if local:
        return Finding(name, "ok", _(f"from {local.name}, when first used"))
    if is_offline():
        found = _("the bundled sample, as LAB_OFFLINE=1 forbids downloads")
    else:
        found = _("the download, when first used; offline, the bundled sample")
    return Finding(name, "ok", found)


def measure_memory(root: Path = Path("/")) -> int:
    """Return how many bytes this process may have: of the machine, or of its container."""
    import psutil

    limits = [int(text) for text in read_limits(root, "memory.max") if text.isdigit()]
    return min([psutil.virtual_memory().total, *limits])


def time_notebooks() -> Table:
    """Train the CNN for five seconds, and tell from its speed how long each notebook computes.

    Taught in notebook 0.

    The batch is random: it takes as long as one of characters. Training is measured on the CPU,
    also where there is a GPU, since a part of each notebook is computed there anyway.

    Returns
    -------
    Table
        The notebooks, how long you take to read them, and how long they compute here. A notebook
        shows it as the last line of a cell.

    Examples
    --------
    >>> from lab_utils import time_notebooks
    >>> time_notebooks()
    How long the notebooks take here
    1. Look at EMNIST  20-30  ...
    """
    step = measure_step()
    slowness = step / STEP_SECONDS
    rows = [(b.link, b.minutes, describe_seconds(b.seconds * slowness)) for b in COURSE]
    how = _("about as fast as where these notebooks were timed")
    if slowness > 1.25:
        how = _(f"{slowness:.1f} times as slow as where these notebooks were timed")
    elif slowness < 0.8:
        how = _(f"{1 / slowness:.1f} times as fast as where these notebooks were timed")
    foot = _(f"{step:.2g} s for a training step on the CPU: {how}.")
    header = [_("notebook"), _("you, minutes"), _("computing here")]
    return Table(_("How long the notebooks take here"), header, rows, foot)


def measure_step() -> float:
    """Return the seconds of a step of training the CNN on the CPU, on 128 images: a median."""
    import numpy as np
    import torch
    import torch.nn.functional as F
    from tqdm.auto import tqdm

    from text_recognizer.mapping import MAPPING
    from text_recognizer.models.cnn import CNN

    total = FAST_SECONDS if is_fast() else MEASURE_SECONDS
    line = {"desc": _("Training for five seconds"), "bar_format": "{desc} {bar}", "leave": False}
    durations: list[float] = []
    with torch.random.fork_rng(devices=[]), tqdm(total=total, **line) as bar:
        torch.manual_seed(0)  # forked: the notebook's random numbers stay as they are
        model = CNN({"input_dims": (1, 28, 28), "mapping": MAPPING})
        optimizer = torch.optim.Adam(model.parameters())
        x, y = torch.rand(128, 1, 28, 28), torch.randint(len(MAPPING), (128,))
        while bar.n < total or len(durations) < 4:
            start = time.perf_counter()
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            durations.append(time.perf_counter() - start)
            bar.update(min(durations[-1], total - bar.n))
    return float(np.median(durations[1:]))  # the first one also allocates


def describe_seconds(seconds: float) -> str:
    """Return a duration in words, as exactly as an estimate deserves."""
    if seconds < 20:  # most of which is starting up, which is not measured
        return _("some seconds")
    if seconds < 90:
        return _(f"{10 * round(seconds / 10)} seconds")
    return _(f"{round(seconds / 60)} minutes")


def show_progress() -> Table:
    """Show how many checked questions of each notebook have passed on this machine.

    Taught in notebook 0.

    Returns
    -------
    Table
        A row for each notebook. A notebook shows it as the last line of a cell.

    Raises
    ------
    LabError
        If there is no data folder, and none can be made.

    Examples
    --------
    >>> from lab_utils import show_progress
    >>> show_progress()
    Checked questions that you have passed
    1. Look at EMNIST  0 / 2
    2. Train a CNN  0 / 3
    ...
    """
    path = data_dir() / PROGRESS_FILE
    numbers = [question[:2] for question in read_progress(path)]
    rows = []
    for book in COURSE:
        count = numbers.count(book.number)
        passed = f"{count} / {book.questions}" + " ✓" * (count == book.questions)
        rows.append((book.link, passed))
    where = shorten_path(path)
    foot = _(f"Kept in {where} on this machine, and nowhere else: delete the file to start again.")
    title = _("Checked questions that you have passed")
    return Table(title, [_("notebook"), _("passed")], rows, foot)


def read_progress(path: Path) -> set[str]:
    """Return which questions have passed, such as "02 q1"; a damaged file counts as empty."""
    try:
        return QUESTIONS.intersection(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return set()


def remember_pass(question: str) -> None:
    """Keep that a checked question has passed, such as "02 q1"; another is not kept."""
    from filelock import FileLock

    path = data_dir() / PROGRESS_FILE
    if question in QUESTIONS - read_progress(path):
        with FileLock(path.with_suffix(".lock"), timeout=1):  # a check cell must not wait
            write_whole(path, json.dumps(sorted({*read_progress(path), question}), indent=1) + "\n")


def remember_passes(shell: Any) -> None:
    """Let an IPython shell remember each check cell that passes, in silence."""

    def remember(result):
        check = re.match(r"# CHECK (\w+)", result.info.raw_cell or "")
        notebook = re.match(r"\d\d(?=_)", Path(os.environ.get("JPY_SESSION_NAME", "")).name)
        if check and notebook and result.success:
            try:
                remember_pass(f"{notebook[0]} {check[1]}")
            except (OSError, LabError):
                return  # whoever answers a question needn't know of a full disk

    shell.events.register("post_run_cell", remember)
