"""The submissions of a class: found, and read with care."""

import ast
import base64
import contextlib
import json
import re
import stat
import tempfile
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from lab_grade.notebook import (
    ANY_CHECK,
    ANY_MANUAL,
    Assignment,
    drop_magics,
    end_lines,
    find_definitions,
    find_first_line,
    normalize_check,
    strip_spaces,
)
from lab_grade.platforms import (
    ADDED,
    AROUND,
    BESIDE,
    COPY,
    Owner,
    decode_name,
    decode_text,
    fold,
    read_owner,
    tidy_name,
)
from text_recognizer.errors import LabError

MAX_NOTEBOOK = 100 * 2**20  # bytes; larger ones hold outputs that nobody wants to read
MAX_UNPACKED, MAX_MEMBERS = 8 * 2**30, 50_000  # bytes and files of one archive
MAX_GRADED = 3  # notebooks of one student, where none is better than the others
ENOUGH = 0.25  # of 2: what a notebook may be worse than the best of a student's to be graded, too
# Of a question that is graded by hand: characters, and pictures with their bytes.
MAX_TEXT, MAX_FIGURES, MAX_FIGURE = 20_000, 6, 2 * 2**20
PICTURES = {"image/png": b"\x89PNG", "image/jpeg": b"\xff\xd8\xff"}
ARCHIVES = (".zip", ".7z", ".rar", ".tar", ".gz", ".tgz")
PRINTS = (".pdf", ".html", ".htm", ".mhtml", ".docx")
# A browser or a mail program may have renamed a notebook to these.
RENAMED = ("", ".json", ".txt")
# What is not a notebook tells by how it begins.
BEGINNINGS = {
    "<<<<<<<": "it has git's conflict marks: one of both sides must be chosen",
    "<": "it is a web page; the .ipynb file itself is needed",
    "version https://git-lfs": "it is a pointer of Git LFS; the notebook itself was not uploaded",
    "%PDF": "it is a printout; the .ipynb file itself is needed",
    "PK\x03\x04": "it is an archive",
}


@dataclass
class Submission:
    """A notebook that a student handed in: one of several, perhaps.

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
    owner : Owner
        The student, as the platform names them.
    file : str
        The notebook's name among all submissions.
    folder : Path or None
        The student's own, where there is one.
    by_hand : dict[str, dict]
        For each question that is graded by hand: `text` and `figures`.
    quality : tuple
        Of which the best of a student's notebooks has most.
    number : int
        Of those of a student that are graded, counted from 1.
    """

    student: str
    path: Path | None
    problem: str = ""
    flags: list[dict] = field(default_factory=list)
    code: list[str] = field(default_factory=list)
    owner: Owner = Owner("")  # noqa: RUF009 - it is frozen
    file: str = ""
    folder: Path | None = None
    by_hand: dict[str, dict] = field(default_factory=dict)
    quality: tuple = (False, (), -1.0)
    number: int = 1

    def flag(self, kind: str, text: str) -> None:
        """Note something, once."""
        if {"kind": kind, "text": text} not in self.flags:
            self.flags.append({"kind": kind, "text": text})


@dataclass(frozen=True)
class _Entry:
    """A file or folder of the submissions, and what to call it."""

    path: Path
    owner: Owner
    name: str


def find_submissions(
    source: Path, assignment: Assignment, unpacked: Path, ignored: Iterable[Path] = ()
) -> list[Submission]:
    """Return the submissions in a folder or zip, read.

    Of several notebooks of a student, the one is taken that has most of the assignment and most
    work in it. Where others are as good, the list has them, too.

    Parameters
    ----------
    source : Path
        As downloaded from Canvas, Moodle, Blackboard, Brightspace, Gradescope, Sakai, Google
        Classroom, Teams or Colab, or cloned from a git classroom. Whatever lies in it belongs to
        somebody, and has a submission, but for what a platform adds.
    assignment : Assignment
        What was handed out.
    unpacked : Path
        A folder in which archives are unpacked.
    ignored : iterable of Path
        What is no submission.

    Raises
    ------
    LabError
        If there is nothing to grade.
    """
    folder = source
    if source.is_file():
        try:
            folder = _unpack(source, unpacked)
        except ValueError as error:
            raise LabError(f"{source} {error}: unpack it, and name the folder.") from None
    elif not source.is_dir():
        raise LabError(f"{source} is not a folder: give what holds the submissions, or its zip.")
    skipped = {path.resolve() for path in ignored}
    entries = list(
        _list_entries(folder, unpacked, skipped, source.stem if folder != source else "")
    )
    if not any(e.owner.id or e.path.is_dir() or _is_notebook(e.name) for e in entries):
        raise LabError(f"{source} holds neither notebooks nor folders of students.")
    by_student: dict[tuple[str, str], list[_Entry]] = defaultdict(list)
    for entry in _name_students(entries, assignment.path.stem):
        by_student[entry.owner.name, entry.owner.id].append(entry)
    names = [fold(name) for name, _ in by_student]
    found = []
    for (name, number), own in by_student.items():
        student = f"{name} ({number})" if number and names.count(fold(name)) > 1 else name
        found += _choose(_read_all(student, own, assignment, unpacked))
    return sorted(found, key=lambda submission: submission.student)


def _list_entries(
    folder: Path, unpacked: Path, skipped: set[Path], archive: str = ""
) -> Iterator[_Entry]:
    """Yield what belongs to students: past folders and archives around it, and added files."""
    names = _read_gradescope(folder / "submission_metadata.yml")
    entries = []
    for path in sorted(folder.iterdir()):
        name, is_folder = decode_name(path.name), path.is_dir()
        owner = read_owner(name, is_folder)
        is_added = BESIDE.fullmatch(name) if is_folder else ADDED.fullmatch(name) and not owner.id
        if not is_added and not name.startswith((".", "__")) and path.resolve() not in skipped:
            owner = replace(owner, name=names.get(path.name, owner.name))
            entries.append(_Entry(path, owner, name))
    for entry in entries:
        path, is_alone = entry.path, len(entries) == 1
        if entry.owner.id or path.is_symlink():
            yield entry
        elif path.is_dir():
            inside = [child.name for child in path.iterdir()]
            is_around = archive.startswith(entry.name) or _count_students(inside)
            if AROUND.fullmatch(entry.name) or (is_alone and is_around):
                yield from _list_entries(path, unpacked, skipped)
            else:
                yield entry
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as opened:
                students = _count_students(opened.namelist())
            try:
                if students > (0 if is_alone else 1):
                    yield from _list_entries(_unpack(path, unpacked), unpacked, skipped, path.stem)
                    continue
            except ValueError:
                pass  # said where the file is read
            yield entry
        else:
            yield entry


def _count_students(names: list[str]) -> int:
    """Return how many students a platform has named these files and folders after."""
    parts = [decode_name(part) for name in names for part in name.split("/")[:2]]
    return len({owner.id for p in parts if (owner := read_owner(p, is_folder="." not in p)).id})


def _read_gradescope(path: Path) -> dict[str, str]:
    """Return the students of the folders that Gradescope numbers."""
    try:
        known = yaml.load(path.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        return {
            folder: tidy_name(", ".join(str(one[":name"]) for one in submission[":submitters"]))
            for folder, submission in known.items()
        }
    except (OSError, yaml.YAMLError, LookupError, TypeError, AttributeError):
        return {}


def _name_students(entries: list[_Entry], assignment: str) -> Iterator[_Entry]:
    """Yield entries with names of students that only the other entries tell.

    Google Classroom writes "Jane Kim - Homework 7", and a second copy has a number. Files whose
    names tell nothing but the assignment are of different students.
    """
    assignment = fold(assignment)
    names = [fold(COPY.sub("", e.owner.name)) for e in entries if not e.owner.id]
    titles = [name.rpartition(" - ")[2] for name in names if " - " in name]
    for number, entry in enumerate(entries, start=1):
        name = entry.owner.name
        if not entry.owner.id:
            base = COPY.sub("", name)
            student, _, title = base.rpartition(" - ")
            if student and (fold(title) == assignment or titles.count(fold(title)) > 1):
                name = student
            elif fold(base) != assignment and names.count(fold(base)) > 1:
                name = base
        yield replace(entry, owner=replace(entry.owner, name=name or f"unnamed {number}"))


def _unpack(archive: Path, unpacked: Path) -> Path:
    """Unpack a zip into a new folder, and return it: no file outside it, no link, no bomb."""
    unpacked.mkdir(parents=True, exist_ok=True)
    target, left = Path(tempfile.mkdtemp(dir=unpacked)), MAX_UNPACKED
    try:
        with zipfile.ZipFile(archive) as opened:
            members = opened.infolist()
            if len(members) > MAX_MEMBERS or any(member.flag_bits & 1 for member in members):
                raise ValueError("is encrypted, or holds too many files")
            for member in members:
                parts = re.split(r"[/\\]", decode_name(member.filename))
                path = target.joinpath(*(_make_safe(p) for p in parts if p not in ("", ".", "..")))
                if member.is_dir():
                    path.mkdir(parents=True, exist_ok=True)
                elif path != target and not stat.S_ISLNK(member.external_attr >> 16):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    if path.exists():
                        path = path.with_stem(f"{path.stem} ({member.header_offset})")
                    left -= _unpack_member(opened, member, path, min(left, MAX_NOTEBOOK + 1))
    except (zipfile.BadZipFile, NotImplementedError, OSError) as error:
        raise ValueError(f"is an archive that cannot be unpacked ({error})") from None
    return target


def _unpack_member(opened: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path, most: int) -> int:
    """Unpack a file as far as it is whole, and return its size."""
    if most <= 0:
        raise ValueError(f"is an archive of more than {MAX_UNPACKED / 2**30:g} GB")
    broken = (zipfile.BadZipFile, zlib.error, EOFError)
    with path.open("wb") as file, contextlib.suppress(*broken), opened.open(member) as source:
        while file.tell() < most and (block := source.read(2**16)):
            file.write(block)
    return path.stat().st_size


def _make_safe(name: str) -> str:
    """Return a file's name that every system takes."""
    name = re.sub(r'[\x00-\x1f:*?"<>|]', "_", name)
    return name if len(name.encode()) <= 200 else name[:40] + name[-24:]


def _is_notebook(name: str) -> bool:
    return re.search(r"\.ipynb(\.txt|\.json)?$", name, re.IGNORECASE) is not None


def _list_files(entry: _Entry, unpacked: Path) -> list[_Entry]:
    """Return the files of a student's file, folder or archive."""
    if entry.path.is_file():
        if entry.path.suffix.lower() != ".zip":
            return [entry]
        entry = replace(entry, path=_unpack(entry.path, unpacked))
    root, found = entry.path.resolve(), []
    for path in sorted(entry.path.rglob("*")):
        parts = [decode_name(part) for part in path.relative_to(entry.path).parts]
        hidden = [p for p in parts if p.startswith((".", "__")) or BESIDE.fullmatch(p)]
        if path.is_file() and not hidden and path.resolve().is_relative_to(root):
            found.append(replace(entry, path=path, name="/".join([entry.name, *parts])))
    if not any(_is_notebook(file.name) for file in found):
        for file in [file for file in found if zipfile.is_zipfile(file.path)]:
            inside = replace(file, path=_unpack(file.path, unpacked))
            found += [f for f in _list_files(inside, unpacked) if _is_notebook(f.name)]
    return found


def _read_all(
    student: str, entries: list[_Entry], assignment: Assignment, unpacked: Path
) -> list[Submission]:
    """Return all notebooks of a student, read; or one that says why there is none."""
    own = [entry for entry in entries if not entry.path.is_symlink()]
    if not own:
        why = f"{entries[0].name} is a link, which is not followed"
        return [Submission(student, None, why, owner=entries[0].owner)]
    files: list[_Entry] = []
    folders: dict[Path, Path | None] = {}
    why = ""
    for entry in own:
        try:
            listed = _list_files(entry, unpacked)
        except ValueError as error:
            why = f"{entry.name} {error}"
            continue
        files += listed
        folders |= {f.path: f.path.parent if f.path != entry.path else None for f in listed}
    notebooks = [file for file in files if _is_notebook(file.name)] or [
        file for file in files if file.path.suffix.lower() in RENAMED
    ]
    if not notebooks:
        return [_explain(student, own[0], files, why)]
    found = []
    for file in notebooks:
        submission = Submission(
            student, file.path, owner=file.owner, file=file.name, folder=folders[file.path]
        )
        read_submission(submission, assignment)
        if file.owner.is_late:
            submission.flag("file", "it was handed in late")
        found.append(submission)
    return found


def _choose(found: list[Submission]) -> list[Submission]:
    """Return the best notebook of a student, and those that are as good."""
    best = max(found, key=lambda submission: submission.quality)
    has_work, attempt, score = best.quality
    as_good = [
        s
        for s in found
        if has_work and s.quality[:2] == best.quality[:2] and s.quality[2] >= score - ENOUGH
    ]
    different = {tuple(s.code): s for s in sorted(as_good, key=lambda s: s.quality)}
    chosen = sorted(different.values(), key=lambda s: s.quality, reverse=True)[:MAX_GRADED] or [
        best
    ]
    attempts = {submission.owner.attempt for submission in found}
    last = "the last" if attempt == max(attempts) else "the last with an answer in it"
    for number, submission in enumerate(chosen, start=1):
        submission.number = number
        if len(attempts) > 1:
            submission.flag("file", f"there are {len(attempts)} attempts; {last} was graded")
        if len(found) > 1 and len(chosen) == 1:
            text = f"there are {len(found)} notebooks; {submission.file} was graded"
            submission.flag("file", text)
    return chosen


def read_submission(submission: Submission, assignment: Assignment) -> None:
    """Read a notebook, or say in `problem` why that can't be done."""
    path = submission.path
    submission.quality = False, submission.owner.attempt, -1.0
    if path is None or submission.problem:
        return
    name = submission.file or path.name
    try:
        size = path.stat().st_size
        if size > MAX_NOTEBOOK:
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
        submission.quality = (work > 0, submission.owner.attempt, fit + work)
        if fit + work == 0:
            submission.flag("file", "nothing in it is of this assignment: is it another notebook?")
        metadata = notebook.get("metadata")
        kernel = metadata.get("kernelspec") if isinstance(metadata, dict) else None
        language = kernel.get("language", "python") if isinstance(kernel, dict) else "python"
        if str(language).lower() != "python":
            submission.flag("file", f"its kernel is for {language!r}; it was run with Python")


def _explain(student: str, entry: _Entry, files: list[_Entry], why: str) -> Submission:
    """Return the submission of a student without a notebook, and why there is nothing to grade."""
    submission = Submission(student, None, why, owner=entry.owner, file=entry.name)
    if not why and not files:
        submission.problem = "there is no notebook in the folder, nor anything else"
    elif not why:
        first = next((f for f in files if f.path.suffix.lower() in ARCHIVES), files[0])
        where = "" if first.path == entry.path else "there is no notebook in the folder; "
        submission.problem = f"{where}{first.name.rpartition('/')[2]} {_name_kind(first.name)}"
    return submission


def _name_kind(name: str) -> str:
    suffix = Path(name.lower()).suffix
    if re.search(r"_(?:link|text|onlinetext)\.html$", name):
        return "is a text or a link: the .ipynb file itself is needed"
    if suffix == ".zip":
        return "is an archive that holds no notebook, or is damaged"
    if suffix in ARCHIVES:
        return "is an archive: unpack it, and grade again"
    if suffix in PRINTS:
        return "is a printout: the .ipynb file itself is needed"
    return "is not a notebook"


def _parse_notebook(content: bytes) -> dict:
    text = decode_text(content).strip("\ufeff \t\r\n")
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
            why = BEGINNINGS["<<<<<<<"]
        raise ValueError(why) from None
    cells = notebook.get("cells", notebook.get("worksheets")) if isinstance(notebook, dict) else 0
    if not isinstance(cells, list):
        raise ValueError("it is JSON, but has no cells")
    return notebook


def _list_cells(notebook: dict) -> Iterator[tuple[str, str, dict]]:
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


def _recover_code(
    cells: list[tuple[str, str, dict]], assignment: Assignment, submission: Submission
) -> list[tuple[str, str, dict]]:
    """Return cells, with those for code again that a stray key has turned into text.

    That is text which defines what a code cell of the assignment did, and no code cell does.
    """
    code = [source for kind, source, _ in cells if kind == "code"]
    defined = {name for source in code for name in find_definitions(source, imports=True)}
    checked = {found[1] for source in code for found in ANY_CHECK.finditer(source)}
    released = {strip_spaces(cell.released) for cell in assignment.cells if cell.kind != "code"}
    wanted = [
        names
        for cell in assignment.cells
        if cell.kind == "code" and not cell.check
        if not (names := find_definitions(cell.source, imports=True)) & defined
    ]
    found = []
    for kind, source, cell in cells:
        is_code = kind == "code"
        if not is_code and strip_spaces(source) not in released:
            first = find_first_line(source)
            check = ANY_CHECK.match(first)
            names = find_definitions(source, imports=True) if _is_python(source) else frozenset()
            if (check and check[1] not in checked) or any(names & one for one in wanted):
                is_code = True
                text = f"the cell {first[:60]!r} had become {kind} text; it was run as code"
                submission.flag("file", text)
        found.append(("code" if is_code else kind, source, cell))
    return found


def _is_python(source: str) -> bool:
    try:
        ast.parse(drop_magics(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _strip_stub(source: str) -> str:
    """Return code without comments, and without what says that an answer is missing."""
    code = re.sub(r"#.*|raise NotImplementedError.*|^\s*pass$", "", source, flags=re.MULTILINE)
    return "\n".join(line.rstrip() for line in code.split("\n") if line.strip())


def _measure(submission: Submission, assignment: Assignment) -> tuple[float, float]:
    """Return how much of what was handed out is in a notebook, and how much of it is answered."""
    own = {normalize_check(source) for source in submission.code}
    released = {_strip_stub(cell.released) for cell in assignment.cells}
    answers = [s for s in submission.code if _strip_stub(s) not in released]
    defined = set().union(*map(find_definitions, answers))
    fixed, done = [], [bool(part["text"]) for part in submission.by_hand.values()]
    done += [False] * (len(assignment.manual) - len(done))
    for cell in assignment.cells:
        if cell.is_answer:
            names = find_definitions(cell.source)
            is_there = normalize_check(cell.released) in own
            done.append(bool(names & defined) if names else not is_there)
        elif cell.is_given or (cell.check and not cell.check.hidden):
            fixed.append(normalize_check(cell.source) in own)
    return sum(fixed) / max(1, len(fixed)), sum(done) / max(1, len(done))


def _collect_by_hand(
    cells: list[tuple[str, str, dict]], assignment: Assignment
) -> dict[str, dict[str, Any]]:
    """Return text and figures of what is graded by hand: from its mark to the next given cell."""
    lines = {line.strip() for cell in assignment.cells for line in cell.released.split("\n")}
    released = {strip_spaces(cell.released) for cell in assignment.cells}
    found: dict[str, dict[str, Any]] = {}
    part = None
    for _, source, cell in cells:
        if marked := ANY_MANUAL.match(find_first_line(source)):
            questions = [m.question for m in assignment.manual if m.question == marked[1].lower()]
            part = (
                found.setdefault(questions[0], {"text": "", "figures": []}) if questions else None
            )
        elif strip_spaces(source) in released or ANY_CHECK.match(find_first_line(source)):
            part = None
        if part is not None:
            own = [line for line in source.split("\n") if line.strip() not in lines - {""}]
            part["text"] = f"{part['text']}\n\n{chr(10).join(own)}".strip()[:MAX_TEXT]
            part["figures"] = (part["figures"] + list(_list_pictures(cell)))[:MAX_FIGURES]
    return found


def _list_pictures(cell: dict) -> Iterator[str]:
    """Yield the pictures of a cell's outputs and attachments as URIs that a page can show."""
    outputs, attached = cell.get("outputs"), cell.get("attachments")
    shown = (
        [o.get("data") for o in outputs if isinstance(o, dict)] if isinstance(outputs, list) else []
    )
    shown += list(attached.values()) if isinstance(attached, dict) else []
    for data in shown:
        for kind, beginning in PICTURES.items():
            coded = data.get(kind) if isinstance(data, dict) else None
            text = "".join(map(str, coded)) if isinstance(coded, list) else str(coded)
            try:
                content = base64.b64decode(text.replace("\n", ""), validate=True)
            except ValueError:
                continue
            if content.startswith(beginning) and len(content) <= MAX_FIGURE:
                yield f"data:{kind};base64,{base64.b64encode(content).decode()}"
