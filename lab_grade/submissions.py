"""The submissions of a class: whatever a platform has made of them, each student's found."""

import contextlib
import re
import tempfile
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from lab_grade import platforms
from lab_grade.notebook import Assignment
from lab_grade.platforms import NOTEBOOK, Owner, decode_name, fold, read_owner, tidy_name
from lab_grade.reading import Submission, read_submission
from text_recognizer.errors import LabError

MAX_UNPACKED, MAX_MEMBERS = 8 * 2**30, 50_000  # bytes and files of one archive
MAX_GRADED = 3  # notebooks of one student, where none is better than the others
ENOUGH = 0.25  # of 2: what a notebook may be worse than the best of a student's to be graded, too
ARCHIVES = (".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".xz", ".bz2", ".zst", ".alz", ".egg")
PRINTS = (".pdf", ".html", ".htm", ".mhtml", ".docx")
# A browser or a mail program may have renamed a notebook to these.
RENAMED = ("", ".json", ".txt")


@dataclass(frozen=True)
class _Entry:
    """A file or folder of the submissions, what to call it, and the student's folder around it."""

    path: Path
    owner: Owner
    name: str
    folder: Path | None = None


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
    if not source.exists():
        raise LabError(f"{source} is not a folder: give what holds the submissions, or its zip.")
    skipped = {path.resolve() for path in ignored}
    archive = source.stem if source.is_file() else ""
    try:
        folder = _unpack(source, unpacked) if archive else source
        entries = list(_list_entries(folder, unpacked, skipped, archive))
    except ValueError as error:
        raise LabError(f"{source}: what holds the submissions {error}.") from None
    handed_in = (".ipynb", ".zip", ".json", ".txt")
    if not any(e.owner.id or e.path.is_dir() or e.name.endswith(handed_in) for e in entries):
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
        is_added = (
            platforms.BESIDE.fullmatch(name)
            if is_folder
            else platforms.ADDED.fullmatch(name) and not owner.id
        )
        is_added = is_added or platforms.HIDDEN.match(name)
        if not is_added and path.resolve() not in skipped:
            owner = replace(owner, name=names.get(path.name, owner.name))
            entries.append(_Entry(path, owner, name))
    for entry in entries:
        path, inside, is_alone = entry.path, 0, len(entries) == 1
        if not entry.owner.id and not path.is_symlink():
            inside = _count_students(path)
        if path.is_dir() and (
            platforms.AROUND.fullmatch(entry.name)
            or (is_alone and (inside or archive.startswith(entry.name)))
        ):
            yield from _list_entries(path, unpacked, skipped)
        elif path.is_file() and inside > (0 if is_alone else 1):
            yield from _list_entries(_unpack(path, unpacked), unpacked, skipped, path.stem)
        else:
            yield entry


def _count_students(path: Path) -> int:
    """Return how many students a platform has named the files of a folder or archive after."""
    children = path.iterdir() if path.is_dir() else ()
    names = [f"{child.name}/" if child.is_dir() else child.name for child in children]
    with contextlib.suppress(zipfile.BadZipFile, OSError), zipfile.ZipFile(path) as opened:
        names = opened.namelist()
    parts = set()
    for name in names:
        *folders, file = name.split("/")
        parts |= {(part, True) for part in folders[:2]} | (
            {(file, False)} if len(folders) < 2 else set()
        )
    owners = [read_owner(decode_name(part[:255]), is_folder) for part, is_folder in parts]
    return len({owner.id for owner in owners} - {""})


def _read_gradescope(path: Path) -> dict[str, str]:
    """Return the students of the folders that Gradescope numbers."""
    try:
        known = yaml.load(path.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        return {
            folder: tidy_name(
                ", ".join(str(p.get(":name") or p.get(":email")) for p in of[":submitters"])[:80]
            )
            for folder, of in known.items()
        }
    except (OSError, yaml.YAMLError, LookupError, TypeError, AttributeError):
        return {}


def _name_students(entries: list[_Entry], assignment: str) -> Iterator[_Entry]:
    """Yield entries with names of students that only the other entries tell.

    Google Classroom writes "Jane Kim - Homework 7", and a second copy has a number. Files whose
    names tell nothing but the assignment are of different students.
    """
    assignment = fold(assignment)
    names = [fold(platforms.COPY.sub("", e.owner.name)) for e in entries if not e.owner.id]
    titles = [platforms.COPY.sub("", n.rpartition(" - ")[2]) for n in names if " - " in n]
    for number, entry in enumerate(entries, start=1):
        name = entry.owner.name
        if not entry.owner.id:
            base = platforms.COPY.sub("", name)
            student, _, title = base.rpartition(" - ")
            title = platforms.COPY.sub("", title)
            if student and (fold(title) == assignment or titles.count(fold(title)) > 1):
                name = student
            elif fold(base) != assignment and names.count(fold(base)) > 1:
                name = base
        yield replace(entry, owner=replace(entry.owner, name=name or f"unnamed {number}"))


def _unpack(archive: Path, unpacked: Path) -> Path:
    """Unpack a zip into a new folder, and return it; `zipfile` keeps to that and to the sizes."""
    try:
        with zipfile.ZipFile(archive) as opened:
            members = opened.infolist()
            if len(members) > MAX_MEMBERS or sum(m.file_size for m in members) > MAX_UNPACKED:
                raise ValueError("cannot be unpacked (it is too large)")
            unpacked.mkdir(parents=True, exist_ok=True)
            target = Path(tempfile.mkdtemp(dir=unpacked))
            for member in members:
                member.filename = decode_name(member.filename).replace("\\", "/")
                with contextlib.suppress(zipfile.BadZipFile, zlib.error, EOFError):
                    opened.extract(member, target)  # what is damaged is cut there
            return target
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError) as error:
        raise ValueError(f"cannot be unpacked ({str(error).rstrip('.')})") from None


def _list_files(entry: _Entry, unpacked: Path, depth: int = 2) -> list[_Entry]:
    """Return the files of a student's file, folder or archive, and of archives in it."""
    if entry.path.is_file():
        if entry.path.suffix.lower() != ".zip":
            return [entry]
        entry = replace(entry, path=_unpack(entry.path, unpacked))
    root, found = entry.path.resolve(), []
    for path in sorted(entry.path.rglob("*")):
        parts = [decode_name(part) for part in path.relative_to(entry.path).parts]
        hidden = [p for p in parts if platforms.HIDDEN.match(p) or platforms.BESIDE.fullmatch(p)]
        if path.is_file() and not hidden and path.resolve().is_relative_to(root):
            name = "/".join([entry.name, *parts])
            found.append(_Entry(path, entry.owner, name, path.parent))
    has_notebook, inner = any(NOTEBOOK.search(file.name) for file in found), []
    for archive in filter(lambda file: depth and zipfile.is_zipfile(file.path), found):
        with contextlib.suppress(*[ValueError] * has_notebook):  # then it may be damaged
            inner += _list_files(archive, unpacked, depth - 1)
    inner = [file for file in inner if NOTEBOOK.search(file.name)]
    return (found if has_notebook else []) + inner or found


def _read_all(
    student: str, entries: list[_Entry], assignment: Assignment, unpacked: Path
) -> list[Submission]:
    """Return all notebooks of a student, read; or one that says why there is none."""
    own, files, problem = [entry for entry in entries if not entry.path.is_symlink()], [], ""
    if not own:
        problem = f"{entries[0].name} is a link, which is not followed"
    for entry in own:
        try:
            files += _list_files(entry, unpacked)
        except ValueError as error:
            problem = f"{entry.name} {error}"
    notebooks = [file for file in files if NOTEBOOK.search(file.name)] or [
        file for file in files if file.path.suffix.lower() in RENAMED
    ]
    found = [Submission(student, f.path, "", f.owner, f.name, f.folder) for f in notebooks]
    if not found:
        problem = problem or _explain(entries[0], files)
        found = [Submission(student, None, problem, entries[0].owner, entries[0].name)]
    for submission in found:
        read_submission(submission, assignment)
        if submission.owner.is_late:
            submission.flag("file", "it was handed in late")
    return found


def _choose(found: list[Submission]) -> list[Submission]:
    """Return the best notebook of a student, and those that are as good."""
    found = sorted(found, key=lambda submission: submission.quality, reverse=True)
    has_work, attempt, score = found[0].quality
    as_good = {  # of the same code, the first
        tuple(submission.code): submission
        for submission in reversed(found)
        if submission.quality[:2] == (has_work, attempt)
        if submission.quality[2] >= score - (ENOUGH if has_work else 0)
    }
    chosen = [*reversed(as_good.values())][: MAX_GRADED if has_work else 1]
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


def _explain(entry: _Entry, files: list[_Entry]) -> str:
    """Return why there is nothing to grade of a student without a notebook."""
    if not files:
        return "there is no notebook in the folder, nor anything else"
    first = next((f for f in files if f.path.suffix.lower() in ARCHIVES), files[0])
    kind = _name_kind(first.name.rpartition("/")[2])
    return kind if first.path == entry.path else f"there is no notebook in the folder; {kind}"


def _name_kind(name: str) -> str:
    suffix = Path(name.lower()).suffix
    if re.search(r"_(?:link|text|onlinetext)\.html$", name):
        return f"{name} is a text or a link: the .ipynb file itself is needed"
    if suffix == ".zip":
        return f"{name} is an archive that holds no notebook, or is damaged"
    if suffix in ARCHIVES:
        return f"{name} is an archive: unpack it, and grade again"
    if suffix in PRINTS:
        return f"{name} is a printout: the .ipynb file itself is needed"
    return f"{name} is not a notebook"
