"""The notebooks of the course, and how far a student has come in them.

A check cell that passes is remembered in `progress.json` in the data folder: for each notebook, by
its number, the questions that passed. Jupyter says in `JPY_SESSION_NAME` which notebook a kernel
belongs to. A program that runs notebooks (`tools/course/execute.py`, nbval, lab-grade) doesn't, and
then nothing is remembered.
"""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab_utils.tables import BLUE, GREEN, Bar, Cell, Link, Table
from text_recognizer.errors import LabError
from text_recognizer.language import say
from text_recognizer.paths import data_dir, shorten_path, write_whole

PROGRESS_FILE = "progress.json"
LOCK_SECONDS = 1  # a check cell must not wait
LINES = {
    "title": "Checked questions that you have passed",
    "notebook": "notebook",
    "passed": "passed",
    "all": "all",
    "none": "no checked questions",
    "kept": "Kept in {} on this machine, and nowhere else: delete the file to start again.",
    "01": "Look at EMNIST",
    "02": "Train a CNN",
    "03": "Overfit on purpose",
    "04": "Build lines",
    "05": "Read lines",
    "06": "Draw your own",
    "07": "Homework: a ResNet",
}


@dataclass(frozen=True)
class Notebook:
    """A notebook of the course.

    Parameters
    ----------
    name : str
        Its file, without ".ipynb"; it begins with its number.
    minutes : tuple of int
        The least and the most that a student takes to read it and to think.
    seconds : int
        What its cells compute in all, on two CPU cores with the bundled sample.
    questions : int
        Its checked questions, q1 and so on.
    """

    name: str
    minutes: tuple[int, int]
    seconds: int
    questions: int

    @property
    def number(self) -> str:
        """The two digits that its name begins with."""
        return self.name[:2]

    @property
    def link(self) -> Link:
        """A link to it, with its title in the student's language."""
        return Link(f"{int(self.number)}. {say(LINES[self.number])}", f"{self.name}.ipynb")


COURSE = (
    Notebook("01_look_at_emnist", (20, 30), 30, 2),
    Notebook("02_train_cnn", (30, 40), 150, 3),
    Notebook("03_overfit", (20, 30), 80, 2),
    Notebook("04_build_lines", (25, 35), 70, 2),
    Notebook("05_read_lines", (25, 35), 180, 2),
    Notebook("06_draw_your_own", (25, 35), 40, 0),
    Notebook("07_homework_resnet", (60, 90), 60, 7),
)


def read_progress(path: Path) -> dict[str, set[str]]:
    """Return which questions have passed, by the number of the notebook.

    Parameters
    ----------
    path : Path
        The file. One that is missing or damaged counts as empty.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        kept = {number: {str(name) for name in found.get(number, [])} for number in _questions()}
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return {number: set() for number in _questions()}
    return {number: kept[number] & names for number, names in _questions().items()}


def _questions() -> dict[str, set[str]]:
    """Return the names of all checked questions, by the number of the notebook."""
    return {book.number: {f"q{i + 1}" for i in range(book.questions)} for book in COURSE}


def remember_pass(notebook: str, question: str) -> None:
    """Keep that a checked question has passed.

    Parameters
    ----------
    notebook : str
        The number that the notebook's name begins with, such as "02". Another is not kept.
    question : str
        Its name, such as "q1". Another is not kept.

    Raises
    ------
    LabError, OSError
        If it can't be written.
    """
    from filelock import FileLock

    if question not in _questions().get(notebook, ()):
        return
    path = data_dir() / PROGRESS_FILE
    if question in read_progress(path)[notebook]:
        return
    with FileLock(path.with_suffix(".lock"), timeout=LOCK_SECONDS):
        passed = read_progress(path)
        passed[notebook].add(question)
        kept = {number: sorted(names) for number, names in passed.items() if names}
        write_whole(path, json.dumps(kept, indent=1) + "\n")


def remember_passes(shell: Any) -> None:
    """Let an IPython shell remember each check cell that passes, in silence."""

    def remember(result):
        check = re.match(r"# CHECK (\w+)", result.info.raw_cell or "")
        notebook = re.match(r"\d\d(?=_)", Path(os.environ.get("JPY_SESSION_NAME", "")).name)
        if check and notebook and result.success:
            try:
                remember_pass(notebook[0], check[1])
            except (OSError, LabError):
                return  # whoever answers a question needn't know of a full disk

    shell.events.register("post_run_cell", remember)


def show_progress() -> Table:
    """Show how many checked questions of each notebook have passed on this machine.

    Returns
    -------
    Table
        A bar for each notebook. A notebook shows it as the last line of a cell.

    Raises
    ------
    LabError
        If there is no data folder, and none can be made.
    """
    path = data_dir() / PROGRESS_FILE
    passed = read_progress(path)
    rows: list[tuple[Cell, ...]] = []
    for book in COURSE:
        count = len(passed[book.number])
        if not book.questions:
            rows.append((book.link, say(LINES["none"])))
            continue
        is_done = count == book.questions
        text = f"{count} / {book.questions}" + (f", {say(LINES['all'])}" if is_done else "")
        color = GREEN if is_done else BLUE
        rows.append((book.link, Bar(count / book.questions, text, color)))
    header = (say(LINES["notebook"]), say(LINES["passed"]))
    return Table(say(LINES["title"]), header, rows, say(LINES["kept"], shorten_path(path)))
