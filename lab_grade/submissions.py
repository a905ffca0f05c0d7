"""The submissions of a class: found, and read with care."""

import difflib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lab_utils.errors import LabError

MAX_NOTEBOOK = 100 * 2**20  # bytes; larger ones hold outputs that nobody wants to read
# Canvas: kimjane_LATE_12345_67890_06_homework-1.ipynb
CANVAS = re.compile(r"(?P<name>[^_]+)(?:_LATE)?_\d+_\d+_.")


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
        As downloaded from Canvas or Colab, or cloned from a git classroom.
    notebook : str
        The file name of the assignment.

    Raises
    ------
    LabError
        If there is nothing to grade.
    """
    if not folder.is_dir():
        raise LabError(f"{folder} is not a folder: give the one that holds the submissions.")
    by_student: dict[str, list[Path]] = {}
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith((".", "__")) or entry.is_symlink():
            continue
        canvas = CANVAS.match(entry.name)
        if entry.is_dir():
            by_student.setdefault(entry.name, []).extend(_list_notebooks(entry))
        elif canvas or _is_notebook(entry):
            by_student.setdefault(canvas["name"] if canvas else _strip_suffix(entry), []).append(
                entry
            )
    if not by_student:
        raise LabError(f"{folder} holds neither notebooks nor folders of students.")
    return [
        _choose_notebook(student, paths, notebook) for student, paths in sorted(by_student.items())
    ]


def read_submission(submission: Submission) -> None:
    """Read a notebook's code cells, or say in `problem` why that can't be done."""
    path = submission.path
    if path is None:
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
    return re.sub(r"\.ipynb(\.txt|\.json)?$", "", path.name, flags=re.IGNORECASE)


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


def _choose_notebook(student: str, paths: list[Path], notebook: str) -> Submission:
    """Take the notebook whose name is most similar to the assignment's; of attempts, the last."""
    if not paths:
        return Submission(student, None, "there is no notebook in the folder")

    def likeness(path: Path) -> tuple:
        attempt = re.search(r"(?:-|\()(\d+)\)?\.ipynb", path.name)
        like = difflib.SequenceMatcher(None, path.name.lower(), notebook.lower()).ratio()
        in_name = Path(notebook).stem.lower() in path.name.lower()
        return in_name, 0 if in_name else like, int(attempt[1]) if attempt else 0, -len(path.parts)

    chosen = max(paths, key=likeness)
    submission = Submission(student, chosen)
    if len(paths) > 1:
        submission.flag("file", f"there are {len(paths)} notebooks; {chosen.name} was graded")
    return submission


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
