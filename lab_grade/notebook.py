"""An assignment's notebook: its questions, checks and solutions, and what students get of it."""

import ast
import os
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

import nbformat

from lab_utils.friendly_errors import UNANSWERED
from text_recognizer.errors import LabError

CHECK = re.compile(r"#\s*CHECK\s+(q\d+)(\s+hidden)?\s*\(\s*(\d+(?:\.\d+)?)\s+points?\s*\)\s*$")
# Its number and its points are not part of what a heading says.
HEADING = re.compile(r"^#+ +(?:\d+\. +)?(.+?)(?: *\([\d.]+ points?\))?\s*$", re.MULTILINE)
# Recognizes a check whose points or form were edited, too.
ANY_CHECK = re.compile(r"#\s*CHECK\s+(q\d+)\b(\s+hidden\b)?", re.IGNORECASE)
BEGIN, STUDENT, END = "### BEGIN SOLUTION", "### STUDENT", "### END SOLUTION"
# The answer to a question to think about, which unfolds under it.
ANSWER = re.compile(r"\n*<details>\s*<summary>(?:Answer|답)</summary>.*?</details>", re.DOTALL)


@dataclass(frozen=True)
class Check:
    """One check of a reference: a whole cell, worth its points if it runs and passes."""

    question: str
    hidden: bool
    points: float
    source: str

    @property
    def title(self) -> str:
        """The first line of the cell, which is its marker."""
        return find_first_line(self.source)


@dataclass(frozen=True)
class Cell:
    """A cell of a reference; `check` is set where it is one, `released` is what students get."""

    kind: str  # "code" or "markdown"
    source: str
    released: str
    check: Check | None = None

    @property
    def is_answer(self) -> bool:
        """Whether students write here."""
        return self.released != self.source

    @property
    def is_given(self) -> bool:
        """Whether it is code that students get as it is, and that is not a check."""
        return self.kind == "code" and not self.is_answer and self.check is None


class Assignment:
    """A reference notebook, read and checked.

    Parameters
    ----------
    path : path
        The instructor's notebook, with solutions between `### BEGIN SOLUTION` and
        `### END SOLUTION`, and checks that begin with `# CHECK q2 (2 points)` or
        `# CHECK q2 hidden (1 point)`.
    needs_checks : bool
        Whether a notebook without any check is an error.

    Raises
    ------
    LabError
        If it can't be read, has no checks, two visible checks of a question, a check without
        points, a solution without an end, or released cells that are not Python.
    """

    def __init__(self, path: str | os.PathLike, needs_checks: bool = True):
        self.path = Path(path)
        self.notebook = _read(self.path)
        self.cells = [self._cell(i, cell) for i, cell in enumerate(self.notebook.cells, start=1)]
        self.checks = [cell.check for cell in self.cells if cell.check]
        visible = [check.question for check in self.checks if not check.hidden]
        if needs_checks and not self.checks:
            raise LabError(f"{path} has no check: begin a cell with  # CHECK q1 (2 points)")
        for question in dict.fromkeys(check.question for check in self.checks):
            if visible.count(question) != 1:
                raise LabError(
                    f"{path} has {visible.count(question)} visible checks of {question}: "
                    "each question needs one; add  hidden  to the marker of the others."
                )

    @property
    def max_points(self) -> float:
        """The sum of all checks' points."""
        return sum(check.points for check in self.checks)

    def collect_prelude(self) -> str:
        """Return the imports and functions of the given cells, which checks may rely on."""
        lines = []
        for cell in self.cells:
            if cell.is_given:
                for node in ast.parse(drop_magics(cell.source)).body:
                    if isinstance(node, ast.Import | ast.ImportFrom):
                        lines.append(ast.unparse(node))
                    elif isinstance(node, ast.FunctionDef):
                        lines.append(ast.unparse(_guard_defaults(node)))
        return "\n".join(lines)

    def find_topic(self, question: str) -> str:
        """Return the last heading before a question's checks."""
        topic = ""
        for cell in self.cells:
            if cell.check and cell.check.question == question:
                break
            if cell.kind == "markdown":
                topic = [topic, *HEADING.findall(cell.source)][-1]
        return topic

    def list_unsolved(self, check: Check) -> list[str]:
        """Return what the answer cells before a check are in the student's version."""
        before = self.cells[: [cell.check for cell in self.cells].index(check)]
        return [cell.released for cell in before if cell.is_answer]

    def release(self, answers: bool = True) -> nbformat.NotebookNode:
        """Return the student's notebook: no solutions, no hidden checks, no outputs.

        Without `answers`, those that unfold under questions to think about are left out as well.
        Its metadata and that of its first cell, which stands at the top of the file and of a
        `git diff`, say which reference it was released from.
        """
        notebook = nbformat.from_dict(self.notebook)
        kept = []
        for node, cell in zip(notebook.cells, self.cells, strict=True):
            if cell.check and cell.check.hidden:
                continue
            node.source = cell.released
            if cell.kind == "markdown" and not answers:
                node.source = ANSWER.sub("", node.source)
            if cell.kind == "code":
                node.outputs, node.execution_count = [], None
            kept.append(node)
        notebook.cells = kept
        made_from = f"{self.path.resolve().parent.name}/{self.path.name}"
        notebook.metadata["released_from"] = made_from
        kept[0].metadata["released_from"] = f"{made_from}: edit that one, then release it again"
        return notebook

    def _cell(self, number: int, node: nbformat.NotebookNode) -> Cell:
        source = node.source
        if node.cell_type != "code":
            return Cell("markdown", source, source)
        title = find_first_line(source)
        if marked := ANY_CHECK.match(title):
            form = CHECK.match(title)
            if not form:
                raise LabError(
                    f"{self.path}, cell {number}: {title!r} must read like  "
                    f"# CHECK {marked[1].lower()} (2 points)  or  "
                    f"# CHECK {marked[1].lower()} hidden (1 point)"
                )
            _parse(source, f"{self.path}, cell {number}")
            check = Check(form[1], bool(form[2]), float(form[3]), source)
            return Cell("code", source, source, check)
        released = _strip_solutions(source, f"{self.path}, cell {number}")
        _parse(drop_magics(source), f"{self.path}, cell {number}")
        _parse(drop_magics(released), f"{self.path}, cell {number}, as released")
        return Cell("code", source, released)


def _guard_defaults(function: ast.FunctionDef) -> ast.Try:
    """Return a definition that is left out where a default needs what the notebook makes later."""
    otherwise = ast.ExceptHandler(ast.Name("NameError"), None, [ast.Pass()])
    return ast.fix_missing_locations(ast.Try([function], [otherwise], [], []))


def find_first_line(source: str) -> str:
    """Return the first line that is not empty."""
    return next((line.strip() for line in source.splitlines() if line.strip()), "")


def _read(path: Path) -> nbformat.NotebookNode:
    try:
        return nbformat.read(path, as_version=4)
    except OSError as error:
        raise LabError(f"{path} cannot be read ({error.strerror or error}).") from None
    except Exception as error:  # noqa: BLE001 - what nbformat makes of what is not a notebook
        raise LabError(f"{path} is not a notebook ({str(error).splitlines()[0]}).") from None


def drop_magics(source: str) -> str:
    """Return IPython's code with its magics and shell commands left out, so that it is Python."""
    return re.sub(r"^(\s*)[%!].*$", r"\1pass", source, flags=re.MULTILINE)


def _parse(source: str, where: str) -> None:
    try:
        ast.parse(source)
    except SyntaxError as error:
        raise LabError(f"{where}, is not Python (line {error.lineno}: {error.msg}).") from None


def _strip_solutions(source: str, where: str) -> str:
    """Replace each solution by what students start from."""
    lines, indent = source.splitlines(), ""
    kept: list[str] = []
    block: list[str] | None = None
    for line in lines:
        mark = line.strip()
        if mark == BEGIN and block is None:
            block, indent = [], line[: len(line) - len(line.lstrip())]
        elif mark == END and block is not None:
            kept += [indent + text if text else "" for text in _make_stub(block, bool(indent))]
            block = None
        elif mark in (BEGIN, END):
            raise LabError(f"{where}: {mark!r} without its counterpart.")
        elif block is None:
            kept.append(line)
        else:
            block.append(line)
    if block is not None:
        raise LabError(f"{where}: {BEGIN!r} without {END!r}.")
    return "\n".join(kept) if kept != lines else source


def _make_stub(block: list[str], in_function: bool) -> list[str]:
    marks = [line.strip() for line in block]
    if STUDENT in marks:
        given = textwrap.dedent("\n".join(block[marks.index(STUDENT) + 1 :])).splitlines()
        return ["# YOUR CODE HERE", *(re.sub(r"^# ?", "", line) for line in given)]
    unsolved = [f'raise NotImplementedError("{UNANSWERED}")'] if in_function else []
    return ["# YOUR CODE HERE", *unsolved]
