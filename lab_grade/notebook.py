"""An assignment's notebook: its questions, checks and solutions, and what students get of it."""

import ast
import functools
import io
import os
import re
import symtable
import textwrap
import tokenize
from dataclasses import dataclass
from pathlib import Path

import nbformat
from IPython.core.inputtransformer2 import TransformerManager

from lab_utils.friendly_errors import UNANSWERED
from text_recognizer.errors import LabError

POINTS = r"\s*\(\s*(\d+(?:\.\d+)?)\s+points?\s*\)\s*$"
CHECK = re.compile(rf"#\s*CHECK\s+(q\d+)(\s+hidden)?{POINTS}")
MANUAL = re.compile(rf"#+\s*MANUAL\s+(q\d+){POINTS}")
# Its number and its points are not part of what a heading says.
HEADING = re.compile(r"^#+ +(?:\d+\. +)?(.+?)(?: *\([\d.]+ points?\))?\s*$", re.MULTILINE)
# Recognizes a check whose points or form were edited, too.
ANY_CHECK = re.compile(r"#\s*CHECK\s+(q\d+)\b(\s+hidden\b)?", re.IGNORECASE)
ANY_MANUAL = re.compile(r"#+\s*MANUAL\s+(q\d+)\b", re.IGNORECASE)
# Lines that front ends put before a check, which change nothing in it.
BEFORE_CHECK = re.compile(r"\s*(?:(?:%%(?:time|capture)\b|#\s*@title\b|#\s*%%).*\n\s*)*")
PASSED = re.compile(r'^(print\()f?".*"\)$', re.MULTILINE)  # which says it in its language
FSTRING_MIDDLE = getattr(tokenize, "FSTRING_MIDDLE", -1)  # from Python 3.12 on
DEFINES = re.compile(r"^\f*(?:(?:async )?def|class)\s+(\w+)|^\f*(\w+)\s*=(?!=)", re.MULTILINE)
CHANGEABLE = {ast.List, ast.Dict, ast.Set}  # values in place
WRITTEN_OUT = CHANGEABLE | {ast.Constant, ast.Tuple, ast.Load, ast.UnaryOp, ast.USub}
NOT_PYTHON = (SyntaxError, ValueError, RecursionError, MemoryError)  # of what is parsed
BEGIN, STUDENT, END = "### BEGIN SOLUTION", "### STUDENT", "### END SOLUTION"
# What is taken for these marks: a solution that is released by a slip of the pen is lost.
MARK = re.compile(r"\W*(BEGIN|END)[\W_]+SOLUTIONS?\W*", re.IGNORECASE)
LIKE_MARK = re.compile(r"\b(?:BEGIN|END)[\W_]+(?:SOLUTION|HIDDEN)")  # also nbgrader's
# May be a magic, which takes time to tell.
MAGIC = re.compile(r"^\s*[%!?]|=\s*[%!]|\?\s*$", re.MULTILINE)
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
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
class Manual:
    """A question that the instructor grades by hand."""

    question: str
    points: float
    title: str


@dataclass(frozen=True)
class Cell:
    """A cell of a reference; `released` is what students get.

    `check` or `manual` is set where it is one.
    """

    kind: str  # "code" or "markdown"
    source: str
    released: str
    check: Check | None = None
    manual: Manual | None = None

    @property
    def is_answer(self) -> bool:
        """Whether students write code here."""
        return self.kind == "code" and self.released != self.source

    @property
    def is_given(self) -> bool:
        """Whether it is code that students get as it is, and that is neither check nor answer."""
        return self.kind == "code" and not (self.is_answer or self.check or self.manual)


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
        If it can't be read, has no checks, two visible checks of a question or two cells of it to
        grade by hand, one without points, a solution without an end, or released cells that are
        not Python.
    """

    def __init__(self, path: str | os.PathLike, needs_checks: bool = True):
        self.path = Path(path)
        self.notebook = _read(self.path)
        self.cells = [self._cell(i, cell) for i, cell in enumerate(self.notebook.cells, start=1)]
        self.checks = [cell.check for cell in self.cells if cell.check]
        self.manual = [cell.manual for cell in self.cells if cell.manual]
        visible = [check.question for check in self.checks if not check.hidden]
        by_hand = [manual.question for manual in self.manual]
        if needs_checks and not self.checks + self.manual:
            raise LabError(f"{path} has no check: begin a cell with  # CHECK q1 (2 points)")
        for question in by_hand:
            if by_hand.count(question) > 1:
                raise LabError(f"{path} has {by_hand.count(question)} cells  # MANUAL {question}.")
        for question in dict.fromkeys(check.question for check in self.checks):
            if visible.count(question) != 1:
                raise LabError(
                    f"{path} has {visible.count(question)} visible checks of {question}: "
                    "each question needs one; add  hidden  to the marker of the others."
                )

    @property
    def max_points(self) -> float:
        """The sum of the points of all checks, and of what is graded by hand."""
        return sum(part.points for part in self.checks + self.manual)

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

    def collect_constants(self) -> str:
        """Return the data of the given cells that a check must not find changed in a notebook.

        Those are values written out, assigned once, that nothing but checks could change later.
        """
        code = [c for c in self.cells if c.kind == "code" and not c.check]
        trees = [(cell.is_given, ast.parse(drop_magics(cell.source))) for cell in code]
        names = [n for _, tree in trees for n in ast.walk(tree) if isinstance(n, ast.Name)]
        lines = []
        for node in [node for is_given, tree in trees if is_given for node in tree.body]:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                uses = [type(n.ctx) for n in names if n.id == node.targets[0].id]
                kinds = set(map(type, ast.walk(node.value)))
                is_lasting = uses.count(ast.Store) == 1 and not (uses[1:] and kinds & CHANGEABLE)
                lines += [ast.unparse(node)] * (is_lasting and kinds <= WRITTEN_OUT)
        return "\n".join(lines)

    def find_topic(self, question: str) -> str:
        """Return the last heading before a question's checks."""
        topic = ""
        for cell in self.cells:
            if (part := cell.check or cell.manual) and part.question == question:
                break
            if cell.kind == "markdown" and not cell.manual:
                topic = [topic, *HEADING.findall(cell.released)][-1]
        return topic

    def release(self, answers: bool = True) -> nbformat.NotebookNode:
        """Return the student's notebook: no solutions, no hidden checks, no outputs.

        Without `answers`, those that unfold under questions to think about are left out as well.
        Of its metadata, nothing is left but the cells' tags and whether they are folded. Instead,
        it and that of the first cell, which stands at the top of the file and of a `git diff`, say
        which reference it was released from.
        """
        notebook = nbformat.from_dict(self.notebook)
        notebook.metadata = nbformat.from_dict(
            {"kernelspec": KERNEL, "language_info": {"name": "python"}}
        )
        kept = []
        for node, cell in zip(notebook.cells, self.cells, strict=True):
            if cell.check and cell.check.hidden:
                continue
            node.source = cell.released
            about = {k: v for k, v in node.metadata.items() if k in ("tags", "jupyter") and v}
            node.metadata = nbformat.from_dict(about)  # the latter tells whether code is folded
            shown = {k: v for k, v in node.pop("attachments", {}).items() if k in node.source}
            if shown:  # not the images of a solution
                node.attachments = shown
            if cell.kind == "markdown" and not answers:
                node.source = ANSWER.sub("", node.source)
            if cell.kind == "code":
                node.outputs, node.execution_count = [], None
            kept.append(node)
        notebook.cells = kept
        folder = self.path.resolve().parent.name  # another one may be somebody's name
        made_from = f"{'instructor/' if folder == 'instructor' else ''}{self.path.name}"
        notebook.metadata["released_from"] = made_from
        kept[0].metadata["released_from"] = f"{made_from}: edit that one, then release it again"
        return notebook

    def _cell(self, number: int, node: nbformat.NotebookNode) -> Cell:
        source, where = end_lines(node.source), f"{self.path}, cell {number}"
        is_code, title, manual = node.cell_type == "code", find_first_line(source), None
        form = CHECK.match(title) if is_code else None
        if marked := ANY_MANUAL.match(title) or (is_code and ANY_CHECK.match(title)):
            form = form or MANUAL.match(title)
            if not form:
                raise LabError(
                    f"{where}: {title!r} must read like  # CHECK {marked[1].lower()} (2 points)  "
                    f"or  # CHECK {marked[1].lower()} hidden (1 point)  "
                    f"or  # MANUAL {marked[1].lower()} (2 points)"
                )
            if form.re is CHECK:
                _parse(source, where)
                check = Check(form[1], bool(form[2]), float(form[3]), source)
                return Cell("code", source, source, check)
            manual = Manual(form[1], float(form[2]), title)
        released = _strip_solutions(source, where, is_code)
        if found := LIKE_MARK.search(released):
            raise LabError(f"{where}: {found[0]!r} must be alone in its line, as {BEGIN!r}.")
        if is_code:
            _parse(drop_magics(source), where)
            _parse(drop_magics(released), f"{where}, as released")
        return Cell("code" if is_code else "markdown", source, released, None, manual)


def _guard_defaults(function: ast.FunctionDef) -> ast.Try:
    """Return a definition that is left out where a default needs what the notebook makes later."""
    otherwise = ast.ExceptHandler(ast.Name("NameError"), None, [ast.Pass()])
    return ast.fix_missing_locations(ast.Try([function], [otherwise], [], []))


def end_lines(source: str) -> str:
    """Return code whose lines end with a line feed: of all that ends a line, Python knows three."""
    return re.sub(r"\r\n?", "\n", source)


def find_first_line(source: str) -> str:
    """Return the first line that is not empty."""
    return next((line.strip() for line in source.split("\n") if line.strip()), "")


def strip_spaces(source: str) -> str:
    """Return code without blanks at the ends of lines, and blank lines around it."""
    return "\n".join(line.rstrip() for line in source.strip().split("\n"))


def normalize_check(source: str) -> str:
    """Return what makes a check the same as another: its question and code, not its points."""
    first, newline, code = strip_spaces(BEFORE_CHECK.sub("", source, count=1)).partition("\n")
    if marked := CHECK.match(first):
        first = f"# CHECK {marked[1]}{' hidden' if marked[2] else ''}"
    return first + newline + PASSED.sub(r"\1)", code)


@functools.lru_cache(maxsize=4096)
def drop_texts(source: str) -> str:
    """Return code without comments and what its texts say, in which translations differ."""
    try:
        parts = list(tokenize.generate_tokens(io.StringIO(drop_magics(source)).readline))
    except (SyntaxError, tokenize.TokenError):
        return strip_spaces(source)
    left_out = tokenize.COMMENT, tokenize.NL, tokenize.STRING, FSTRING_MIDDLE
    return " ".join(part.string.strip() for part in parts if part.type not in left_out)


@functools.lru_cache(maxsize=4096)
def parse_cell(source: str) -> ast.Module | None:
    """Return a cell's code as a tree, without its magics; None if it is not Python."""
    try:
        return ast.parse(drop_magics(source))
    except NOT_PYTHON:
        return None


@functools.lru_cache(maxsize=4096)
def find_definitions(source: str, imports: bool = False) -> frozenset[str]:
    """Return the names that a cell defines or assigns at its top level, or imports as well."""
    try:
        names = symtable.symtable(drop_magics(source), "", "exec").get_symbols()
    except NOT_PYTHON:
        return frozenset(function or name for function, name in DEFINES.findall(source))
    return frozenset(
        s.get_name() for s in names if s.is_assigned() or (imports and s.is_imported())
    )


def _read(path: Path) -> nbformat.NotebookNode:
    try:
        return nbformat.read(path, as_version=4)
    except OSError as error:
        raise LabError(f"{path} cannot be read ({error.strerror or error}).") from None
    except Exception as error:  # noqa: BLE001 - what nbformat makes of what is not a notebook
        raise LabError(f"{path} is not a notebook ({str(error).partition(chr(10))[0]}).") from None


def drop_magics(source: str) -> str:
    """Return IPython's code with its magics and shell commands left out, so that it is Python."""
    if not MAGIC.search(source):
        return source
    source = re.sub(r"^\s*%%(?:time|timeit|capture|prun)\b.*\n", "\n", source)
    python = TransformerManager().transform_cell(source)
    return re.sub(
        r"^(\s*)(?:[\w, ]+ *= *)?get_ipython\(\)\.(?:run_\w+_magic|system|getoutput)\(.*$",
        r"\1pass",
        python,
        flags=re.MULTILINE,
    )


def _parse(source: str, where: str) -> None:
    try:
        ast.parse(source)
    except SyntaxError as error:
        raise LabError(f"{where}, is not Python (line {error.lineno}: {error.msg}).") from None


def _strip_solutions(source: str, where: str, is_code: bool) -> str:
    """Replace each solution by what students start from."""
    lines, indent = source.split("\n"), ""
    kept: list[str] = []
    block: list[str] | None = None
    for line in lines:
        marked = MARK.fullmatch(line.strip())
        mark = f"### {marked[1].upper()} SOLUTION" if marked else ""
        if mark == BEGIN and block is None:
            block, indent = [], line[: len(line) - len(line.lstrip())]
        elif mark == END and block is not None:
            stub = _make_stub(block, bool(indent), is_code)
            kept += [indent + text if text else "" for text in stub]
            block = None
        elif mark in (BEGIN, END):
            raise LabError(f"{where}: {mark!r} without its counterpart.")
        elif block is None:
            kept.append(line)
        else:
            block.append(line)
    if block is not None:
        raise LabError(f"{where}: {BEGIN!r} without {END!r}.")
    return "\n".join(kept)


def _make_stub(block: list[str], in_function: bool, is_code: bool) -> list[str]:
    marks, given = [line.strip() for line in block], None
    if STUDENT in marks:
        given = textwrap.dedent("\n".join(block[marks.index(STUDENT) + 1 :]))
    if not is_code:
        return [given or "*Your answer here.*"]
    if given is not None:
        return ["# YOUR CODE HERE", *(re.sub(r"^# ?", "", line) for line in given.split("\n"))]
    unsolved = [f'raise NotImplementedError("{UNANSWERED}")'] if in_function else []
    return ["# YOUR CODE HERE", *unsolved]
