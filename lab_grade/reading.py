"""One notebook as it was handed in: read with care, and understood by what was handed out."""

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from lab_grade.notebook import (
    ANY_CHECK,
    ANY_MANUAL,
    Assignment,
    drop_texts,
    end_lines,
    find_definitions,
    find_first_line,
    normalize_check,
    parse_cell,
    strip_spaces,
)
from lab_grade.platforms import Owner, decode_text
from text_recognizer.language import LANGUAGES

MAX_NOTEBOOK = 100 * 2**20  # bytes; larger ones hold outputs that nobody wants to read
# Of a question that is graded by hand: characters, and pictures with their bytes.
MAX_TEXT, MAX_FIGURES, MAX_FIGURE = 20_000, 6, 2 * 2**20
PICTURES = {"image/png": b"\x89PNG", "image/jpeg": b"\xff\xd8\xff"}
CONFLICT = "it has git's conflict marks: one of both sides must be chosen"
# What is not a notebook tells by how it begins.
BEGINNINGS = {
    "<<<<<<<": CONFLICT,
    "<": "it is a web page; the .ipynb file itself is needed",
    "version https://git-lfs": "it is a pointer of Git LFS; the notebook itself was not uploaded",
    "%PDF": "it is a printout; the .ipynb file itself is needed",
    "{\\rtf": "it is a printout; the .ipynb file itself is needed",
    "PK\x03\x04": "it is an archive",
}
LANGUAGE = re.compile(r'^os\.environ\["LAB_LANGUAGE"\] = "(\w+)"', re.MULTILINE)
Cell = tuple[str, str, dict]  # kind, source, and all of it as JSON


@dataclass
class Submission:
    """A notebook that a student handed in: one of several, perhaps."""

    student: str  # a unique name, from the file or folder
    path: Path | None
    problem: str = ""  # why it can't be run
    owner: Owner = Owner("")  # noqa: RUF009 - it is frozen
    file: str = ""  # the notebook's name among all submissions
    folder: Path | None = None  # the student's own, where there is one
    flags: list[dict] = field(default_factory=list)  # for the instructor: `kind` and `text`
    code: list[str] = field(default_factory=list)  # the sources of its code cells
    by_hand: dict[str, dict] = field(default_factory=dict)  # `text` and `figures` by question
    quality: tuple = (False, (), -1.0)  # of which the best of a student's notebooks has most
    number: int = 1  # of those of a student that are graded
    language: str = "en"  # in which its student is told what became of it

    @property
    def key(self) -> str:
        """What no other notebook has: the student, with a number before it from the second on."""
        return f"{self.number}/{self.student}" if self.number > 1 else self.student

    def flag(self, kind: str, text: str) -> None:
        """Note something, once."""
        if {"kind": kind, "text": text} not in self.flags:
            self.flags.append({"kind": kind, "text": text})


def read_submission(submission: Submission, assignment: Assignment) -> None:
    """Read a notebook, or say in `problem` why that can't be done."""
    path = submission.path
    submission.quality = False, submission.owner.attempt, -1.0
    if path is None or submission.problem:
        return
    name = submission.file or path.name
    try:
        if (size := path.stat().st_size) > MAX_NOTEBOOK:
            raise ValueError(f"it has {size / 2**20:.0f} MB or more; clear its outputs")
        notebook = _parse_notebook(path.read_bytes())
        cells = _recover_code(list(_list_cells(notebook)), assignment, submission)
        submission.code = [source for kind, source, _ in cells if kind == "code"]
        if not submission.code:
            raise ValueError("it has no code cells")
    except OSError as error:
        submission.problem = f"{name} cannot be read: {error.strerror or error}"
    except ValueError as error:
        submission.problem = f"{name} is not a notebook that can be run: {error}"
    else:
        submission.by_hand = _collect_by_hand(cells, assignment)
        fit, work = _measure(submission, assignment)
        # What is answered counts most: it may have been pasted into a notebook of one's own.
        submission.quality = (work > 0, submission.owner.attempt, fit / 4 + work)
        if fit + work == 0:
            submission.flag("file", "nothing in it is of this assignment: is it another notebook?")
        metadata = _get_table(notebook, "metadata")
        named = [metadata.get("language"), *LANGUAGE.findall("\n".join(submission.code[:2]))]
        submission.language = next((name for name in named if name in LANGUAGES), "en")
        language = _get_table(metadata, "kernelspec").get("language", "python")
        if str(language).lower() != "python":
            submission.flag("file", f"its kernel is for {language!r}; it was run with Python")


def _get_table(held: dict, name: str) -> dict:
    """Return what stands under a name, where it is a table: files are damaged in all ways."""
    found = held.get(name)
    return found if isinstance(found, dict) else {}


def _parse_notebook(content: bytes) -> dict:
    text = decode_text(content).strip("\0\ufeff \t\r\n")
    if not text:
        raise ValueError("it is empty")
    for beginning, what in BEGINNINGS.items():
        if text.startswith(beginning):
            raise ValueError(what)
    try:
        notebook = json.loads(text)
    except RecursionError:
        raise ValueError("its JSON is nested too deeply") from None
    except ValueError as error:
        at_end = getattr(error, "pos", 0) >= len(text) - 1 or "Unterminated" in str(error)
        why = "it ends in the middle, as a half download does" if at_end else "it is not JSON"
        if re.search(r"^(?:<<<<<<<|>>>>>>>)", text, re.MULTILINE):
            why = CONFLICT
        raise ValueError(why) from None
    cells = notebook.get("cells", notebook.get("worksheets")) if isinstance(notebook, dict) else 0
    if not isinstance(cells, list):
        raise ValueError("it is JSON, but has no cells")
    return notebook


def _list_cells(notebook: dict) -> Iterator[Cell]:
    """Yield kind, source and all of each cell of a notebook of any version, however damaged."""
    cells = notebook.get("cells")
    if cells is None:  # versions before 4 have worksheets
        sheets = [sheet for sheet in notebook["worksheets"] if isinstance(sheet, dict)]
        cells = [cell for sheet in sheets for cell in sheet.get("cells") or []]
    for cell in cells:
        if isinstance(cell, dict):
            source = cell.get("source", cell.get("input", ""))
            parts = source if isinstance(source, list) else [source]
            text = "".join(part for part in parts if isinstance(part, str))
            text = end_lines(text).encode("utf-8", "replace").decode()
            yield str(cell.get("cell_type")), text, cell


def _recover_code(cells: list[Cell], assignment: Assignment, submission: Submission) -> list[Cell]:
    """Return cells, with those for code again that a stray key has turned into text or split.

    That is text which defines what a code cell of the assignment did, and no code cell does; and
    what is Python only together with the cell below.
    """
    code = [source for kind, source, _ in cells if kind == "code"]
    given = {drop_texts(cell.source) for cell in assignment.cells if cell.is_given}
    defined = {name for source in code for name in find_definitions(source, imports=True)}
    written = set().union(*(find_definitions(s) for s in code if drop_texts(s) not in given))
    checked = {found[1] for source in code for found in ANY_CHECK.finditer(source)}
    released = {strip_spaces(cell.released) for cell in assignment.cells if cell.kind != "code"}
    wanted = [
        names
        for cell in assignment.cells
        if cell.kind == "code" and not cell.check
        if not (names := find_definitions(cell.source, imports=True))
        & (written if cell.is_answer else defined)
    ]
    found: list[Cell] = []
    for kind, source, cell in cells:
        is_code = kind == "code"
        if not is_code and strip_spaces(source) not in released:
            first = find_first_line(source)
            check = ANY_CHECK.match(first)
            names = find_definitions(source, imports=True) if parse_cell(source) else frozenset()
            if (check and check[1] not in checked) or any(names & one for one in wanted):
                is_code = True
                text = f"the cell {first[:60]!r} had become {kind} text; it was run as code"
                submission.flag("file", text)
        before = found[-1][1] if found and is_code and found[-1][0] == "code" else ""
        whole = f"{before}\n{source}"
        if before and not (parse_cell(before) or ANY_CHECK.search(whole)) and parse_cell(whole):
            text = f"the cell {find_first_line(before)[:60]!r} had been split; it was run as one"
            submission.flag("file", text)
            found[-1] = "code", whole, cell
        else:
            found.append(("code" if is_code else kind, source, cell))
    return found


def strip_stub(source: str) -> str:
    """Return code without comments, and without what says that an answer is missing."""
    code = re.sub(r"#.*|raise NotImplementedError.*|^\s*pass$", "", source, flags=re.MULTILINE)
    return "\n".join(line.rstrip() for line in code.split("\n") if line.strip())


def _measure(submission: Submission, assignment: Assignment) -> tuple[float, float]:
    """Return how much of what was handed out is in a notebook, and how much of it is answered."""
    own = {drop_texts(normalize_check(source)) for source in submission.code}
    released = {strip_stub(cell.released) for cell in assignment.cells}
    answers = [s for s in submission.code if strip_stub(s) not in released]
    defined = set().union(*map(find_definitions, answers))
    fixed, done = [], [bool(part["text"]) for part in submission.by_hand.values()]
    for cell in assignment.cells:
        if cell.is_answer:
            names = find_definitions(cell.source)
            is_there = drop_texts(normalize_check(cell.released)) in own
            done.append(bool(names & defined) if names else not is_there)
        elif cell.is_given or (cell.check and not cell.check.hidden):
            fixed.append(drop_texts(normalize_check(cell.source)) in own)
    return sum(fixed) / max(1, len(fixed)), sum(done) / max(1, len(done))


def _collect_by_hand(cells: list[Cell], assignment: Assignment) -> dict[str, dict[str, Any]]:
    """Return text and figures of what is graded by hand: from its mark to the next given cell."""
    lines = {line.strip() for cell in assignment.cells for line in cell.released.split("\n")} - {""}
    released = {strip_spaces(cell.released) for cell in assignment.cells}
    found: dict[str, dict[str, Any]] = {
        m.question: {"text": "", "figures": []} for m in assignment.manual
    }
    pairs = pairwise(assignment.cells)  # where a mark was written over, what stands before it tells
    before = {strip_spaces(a.released): b.manual.question for a, b in pairs if b.manual}
    question = ""
    for _, source, cell in cells:
        first = find_first_line(source)
        if marked := ANY_MANUAL.match(first):
            question = marked[1].lower()
        elif strip_spaces(source) in released or ANY_CHECK.match(first):
            question = before.get(strip_spaces(source), "")
            continue
        if part := found.get(question):
            own = "\n".join(line for line in source.split("\n") if line.strip() not in lines)
            part["text"] = f"{part['text']}\n\n{own}".strip()[:MAX_TEXT]
            part["figures"] = [*part["figures"], *_list_pictures(cell)][:MAX_FIGURES]
    return found


def _list_pictures(cell: dict) -> Iterator[str]:
    """Yield the pictures of a cell's outputs and attachments as URIs that a page can show."""
    outputs, attached = cell.get("outputs"), _get_table(cell, "attachments")
    outputs = outputs if isinstance(outputs, list) else []
    shown = [_get_table(output, "data") for output in outputs if isinstance(output, dict)]
    for data in [*shown, *(_get_table(attached, name) for name in attached)]:
        for kind, beginning in PICTURES.items():
            coded = data.get(kind)
            text = "".join(map(str, coded)) if isinstance(coded, list) else str(coded)
            try:
                content = base64.b64decode(text.replace("\n", ""), validate=True)
            except ValueError:
                continue
            if content.startswith(beginning) and len(content) <= MAX_FIGURE:
                yield f"data:{kind};base64,{base64.b64encode(content).decode()}"
