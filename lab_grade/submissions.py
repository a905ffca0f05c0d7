"""The submissions of a class: found, and read with care."""

import difflib
import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from text_recognizer.errors import LabError

MAX_NOTEBOOK = 100 * 2**20  # bytes; larger ones hold outputs that nobody wants to read
# What learning platforms make of a student's file or folder, of which `id` is unique.
PLATFORMS = [
    # Moodle: Jane Kim_12345_assignsubmission_file_homework.ipynb
    re.compile(r"(?P<name>[^_]+)_(?P<id>\d+)_assignsubmission_"),
    # Canvas: kimjane_LATE_12345_67890_07_homework-1.ipynb
    re.compile(r"(?P<name>[^_]+)_(?P<late>LATE_)?(?P<id>\d+)_\d+_."),
    # Blackboard: Homework 6_kimjane_attempt_2026-03-01-14-05-22_homework.ipynb
    re.compile(r"(?P<id>(?:.*_)?(?P<name>[^_]+))_attempt_(?P<date>\d[\d-]+)(?:_.|\.txt$|$)"),
    # Brightspace: 12345-67890 - Jane Kim - Mar 1, 2026 205 PM - homework.ipynb, or such a folder
    re.compile(
        r"(?P<id>\d+)-\d+ - (?P<name>.+?) - (?P<date>\w+ \d+, \d{4} [\d:_]+ [AP]M)(?: - .|$)"
    ),
]
MONTHS = "janfebmaraprmayjunjulaugsepoctnovdec"
ARCHIVES = (".zip", ".7z", ".rar", ".tar", ".gz", ".tgz")
PRINTS = (".pdf", ".html", ".htm", ".mhtml", ".docx")
# A browser or a mail program may have renamed a notebook to these.
RENAMED = ("", ".json", ".txt")


@dataclass(frozen=True)
class _Entry:
    """A file or folder of the submissions: whose it is, and which attempt.

    `id` tells students of the same name apart; `attempt` is the time that the name tells, in parts.
    """

    path: Path
    name: str
    id: str = ""
    attempt: tuple[int, ...] = ()
    is_late: bool = False


@dataclass
class Submission:
    """What one student handed in.

    Attributes
    ----------
    student : str
        A unique name, from the file or folder.
    path : Path or None
        The notebook, if there is one.
    problem : str
        Why it can't be run, or "".
    flags : list[dict]
        What an instructor should know: `kind` and `text`.
    code : list[str]
        The sources of its code cells.
    """

    student: str
    path: Path | None
    problem: str = ""
    flags: list[dict] = field(default_factory=list)
    code: list[str] = field(default_factory=list)

    def flag(self, kind: str, text: str) -> None:
        """Note something, once."""
        if {"kind": kind, "text": text} not in self.flags:
            self.flags.append({"kind": kind, "text": text})


def find_submissions(folder: Path, notebook: str) -> list[Submission]:
    """Return the submissions in a folder: notebooks, or one folder for each student, not yet read.

    Parameters
    ----------
    folder : Path
        As downloaded from Canvas, Moodle, Blackboard, Brightspace or Colab, or cloned from a git
        classroom. Whatever lies in it belongs to somebody, and has a submission.
    notebook : str
        The file name of the assignment.

    Raises
    ------
    LabError
        If there is nothing to grade.
    """
    if not folder.is_dir():
        raise LabError(f"{folder} is not a folder: give the one that holds the submissions.")
    by_student: dict[tuple[str, str], list[_Entry]] = defaultdict(list)
    for path in sorted(folder.iterdir()):
        if not path.name.startswith((".", "__")):
            entry = _read_name(path)
            by_student[entry.name, entry.id].append(entry)
    entries = [entry for own in by_student.values() for entry in own]
    if not any(entry.id or entry.path.is_dir() or _is_notebook(entry.path) for entry in entries):
        raise LabError(f"{folder} holds neither notebooks nor folders of students.")
    names = [_fold(name) for name, _ in by_student]
    found = [
        _choose_notebook(
            f"{name} ({number})" if number and names.count(_fold(name)) > 1 else name,
            own,
            notebook,
        )
        for (name, number), own in by_student.items()
    ]
    return sorted(found, key=lambda submission: submission.student)


def read_submission(submission: Submission) -> None:
    """Read a notebook's code cells, or say in `problem` why that can't be done."""
    path = submission.path
    if path is None or submission.problem:
        return
    try:
        size = path.stat().st_size
        if size > MAX_NOTEBOOK:
            raise ValueError(f"it has {size / 2**20:.0f} MB; clear its outputs")
        notebook = _parse_notebook(path.read_bytes())
        submission.code = list(_read_code(notebook))
        if not submission.code:
            raise ValueError("it has no code cells")
    except OSError as error:
        submission.problem = f"{path.name} cannot be read: {error.strerror or error}"
    except ValueError as error:
        submission.problem = f"{path.name} is not a notebook that can be run: {error}"
    else:
        metadata = notebook.get("metadata")
        kernel = metadata.get("kernelspec") if isinstance(metadata, dict) else None
        language = kernel.get("language", "python") if isinstance(kernel, dict) else "python"
        if str(language).lower() != "python":
            submission.flag("file", f"its kernel is for {language!r}; it was run with Python")


def _is_notebook(path: Path) -> bool:
    return re.search(r"\.ipynb(\.txt|\.json)?$", path.name, re.IGNORECASE) is not None


def _strip_suffix(path: Path) -> str:
    stem = re.sub(r"\.ipynb(\.txt|\.json)?$", "", path.name, flags=re.IGNORECASE)
    return path.stem if stem == path.name else stem


def _list_notebooks(folder: Path) -> list[Path]:
    found = [path for path in sorted(folder.rglob("*")) if _is_notebook(path) and path.is_file()]
    inside = [path.relative_to(folder).parts for path in found]
    hidden = [any(part.startswith((".", "__")) for part in parts) for parts in inside]
    root = folder.resolve()
    return [
        path
        for path, is_hidden in zip(found, hidden, strict=True)
        if not is_hidden and path.resolve().is_relative_to(root)
    ]


def _read_name(path: Path) -> _Entry:
    """Return whose a file or folder is, by its name."""
    text = unicodedata.normalize("NFC", path.name)
    for platform in PLATFORMS:
        if found := platform.match(text):
            parts = found.groupdict()
            attempt = _read_date(parts.get("date") or "")
            return _Entry(path, parts["name"], parts["id"], attempt, bool(parts.get("late")))
    return _Entry(path, path.name if path.is_dir() else _strip_suffix(path))


def _read_date(text: str) -> tuple[int, ...]:
    """Return the parts of a date, largest first, so that later ones are larger."""
    if found := re.match(r"(\w{3})\w* (\d+), (\d{4}) (\d{1,2}?)\D?(\d\d) ([AP])M", text):
        month = MONTHS.find(found[1].lower()) // 3 + 1
        hour = int(found[4]) % 12 + (12 if found[6] == "P" else 0)
        return int(found[3]), month, int(found[2]), hour, int(found[5])
    return tuple(map(int, re.findall(r"\d+", text)))


def _choose_notebook(student: str, entries: list[_Entry], notebook: str) -> Submission:
    """Take the last attempt, and of it the notebook whose name is most like the assignment's."""
    own = [entry for entry in entries if not entry.path.is_symlink()]
    if not own:
        return Submission(student, None, f"{entries[0].path.name} is a link, which is not followed")
    found = {
        entry: _list_notebooks(entry.path) if entry.path.is_dir() else [entry.path] for entry in own
    }
    notebooks = {
        entry: kept for entry, paths in found.items() if (kept := list(filter(_is_notebook, paths)))
    }
    renamed = [p for entry in own for p in found[entry] if p.suffix.lower() in RENAMED]
    if not notebooks and not renamed:
        return _explain(student, own)
    last = max((entry.attempt for entry in notebooks), default=())
    paths = [
        path for entry, kept in notebooks.items() if entry.attempt == last for path in kept
    ] or renamed

    def rank(path: Path) -> tuple:
        attempt = re.search(r"(?:-|\()(\d+)\)?\.ipynb", path.name)
        like = difflib.SequenceMatcher(None, path.name.lower(), notebook.lower()).ratio()
        in_name = Path(notebook).stem.lower() in path.name.lower()
        return in_name, 0 if in_name else like, int(attempt[1]) if attempt else 0, -len(path.parts)

    chosen = max(paths, key=rank)
    submission = Submission(student, chosen)
    attempts = {entry.attempt for entry in notebooks}
    if len(attempts) > 1:
        submission.flag("file", f"there are {len(attempts)} attempts; the last was graded")
    if len(paths) > 1:
        submission.flag("file", f"there are {len(paths)} notebooks; {chosen.name} was graded")
    if any(entry.is_late for entry in own if chosen.is_relative_to(entry.path)):
        submission.flag("file", "it was handed in late")
    return submission


def _explain(student: str, entries: list[_Entry]) -> Submission:
    """Return the submission of a student without a notebook, and why there is nothing to grade."""
    path = next((e.path for e in entries if e.path.is_file()), entries[0].path)
    if path.is_file():
        return Submission(student, path, f"{path.name} {_name_kind(path)}")
    others = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
    if not others:
        return Submission(student, None, "there is no notebook in the folder, nor anything else")
    first = next((p for p in others if p.suffix.lower() in ARCHIVES), others[0])
    why = f"there is no notebook in the folder; {first.name} {_name_kind(first)}"
    return Submission(student, None, why)


def _name_kind(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix in ARCHIVES:
        return "is an archive: unpack it, and grade again"
    if suffix in PRINTS:
        return "is a printout: the .ipynb file itself is needed"
    return "is not a notebook"


def _fold(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def _parse_notebook(content: bytes) -> dict:
    if not content.strip():
        raise ValueError("it is empty")
    text = content.decode("utf-8-sig", errors="replace").strip()
    if text.startswith("<"):
        raise ValueError("it is a web page; the .ipynb file itself is needed")
    try:
        notebook = json.loads(text)
    except RecursionError:
        raise ValueError("its JSON is nested too deeply") from None
    except ValueError as error:
        at_end = getattr(error, "pos", 0) >= len(text) - 1 or "Unterminated" in str(error)
        why = "it ends in the middle, as a half download does" if at_end else "it is not JSON"
        raise ValueError(why) from None
    cells = notebook.get("cells", notebook.get("worksheets")) if isinstance(notebook, dict) else 0
    if not isinstance(cells, list):
        raise ValueError("it is JSON, but has no cells")
    return notebook


def _read_code(notebook: dict) -> Iterator[str]:
    """Yield the code of a notebook of any version, whatever else is wrong with it."""
    cells = notebook.get("cells")
    if cells is None:  # versions before 4 have worksheets
        sheets = [sheet for sheet in notebook["worksheets"] if isinstance(sheet, dict)]
        cells = [cell for sheet in sheets for cell in sheet.get("cells") or []]
    for cell in cells:
        if isinstance(cell, dict) and cell.get("cell_type") == "code":
            source = cell.get("source", cell.get("input", ""))
            parts = source if isinstance(source, list) else [source]
            text = "".join(part for part in parts if isinstance(part, str))
            yield "\n".join(text.splitlines()).encode("utf-8", "replace").decode()
