"""Grading a class: every submission in a process of its own, several at once."""

import functools
import hashlib
import json
import os
import shutil
import sys
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from importlib.metadata import distributions
from pathlib import Path

from tqdm import tqdm

from lab_grade.adjustments import adjust
from lab_grade.copies import find_near_copies
from lab_grade.notebook import Assignment, drop_magics, normalize_check
from lab_grade.placement import Step, hash_code, plan_steps
from lab_grade.process import Limits, run_submission
from lab_grade.report import write_reports
from lab_grade.results import BY_HAND, flag_copies, keep_best, score
from lab_grade.submissions import Submission, find_submissions
from text_recognizer.errors import LabError
from text_recognizer.paths import is_fast, write_whole

PACKAGE = Path(__file__).resolve().parent
PACKAGES = tuple(PACKAGE.parent / name for name in ("lab_grade", "lab_utils", "text_recognizer"))


def grade(
    reference: Path,
    submissions: Path,
    out: Path,
    jobs: int = 0,
    only: str | None = None,
    allow: tuple[str, ...] = (),
    adjustments: Path | None = None,
    platform: str = "",
    limits: Limits = Limits(),  # noqa: B008 - it is frozen
    sandbox: bool = False,
) -> dict:
    """Grade a folder of submissions and write all reports.

    Parameters
    ----------
    reference : Path
        The instructor's notebook: `lab_grade.notebook.Assignment` says what it looks like.
    submissions : Path
        A folder of notebooks, or of one folder for each student; or a zip of these.
    out : Path
        Where gradebook and reports go; results found there are kept where nothing has changed.
    jobs : int
        Submissions at once; 0 for as many as there are CPU cores.
    only : str, optional
        The one student to grade again.
    allow : tuple of str
        Patterns of files next to it, in the student's folder, that a notebook may read.
    adjustments : Path, optional
        A table of points that are added by hand; `adjustments.csv` in `out`, if none is named.
    platform : str
        "canvas" or "moodle": write what it imports, too.
    limits : Limits
        For each submission.
    sandbox : bool
        Run each in bubblewrap: no network, nothing writable but a folder of its own.

    Returns
    -------
    dict
        What `results.json` holds.

    Raises
    ------
    LabError
        If the reference does not pass its own checks, or there is nothing to grade.
    """
    assignment = Assignment(reference)
    unpacked = out / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    _make_folder(out / "results", out)
    try:
        handed_in = find_submissions(submissions, assignment, unpacked, [reference, out])
        if only and only not in [submission.student for submission in handed_in]:
            names = ", ".join(submission.student for submission in handed_in)
            raise LabError(f"--only {only}: no such student; there are {names}.")
        grader = Grader(assignment, submissions, out, jobs or os.cpu_count() or 1, limits, sandbox)
        with tqdm(total=len(handed_in) + 1, unit="notebook", desc="the reference first") as bar:
            results = grader.run(handed_in, only, allow, bar)
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
    for submission, result in zip(handed_in, results, strict=True):
        grader.keep(grader.find_kept(submission), result)  # again: code may have overwritten it
        del result["outcomes"]
    results = keep_best(results)
    solution = [cell.source for cell in assignment.cells if cell.is_answer]
    flag_copies(results, hash_code(assignment, solution))
    everything = {
        "assignment": reference.stem,
        "max_points": assignment.max_points,
        "near_copies": find_near_copies(results, assignment),
        "students": results,
    }
    adjust(everything, adjustments, out / "adjustments.csv")
    write_reports(everything, out, platform)
    return everything


def merge(folders: list[Path], out: Path) -> dict:
    """Write the reports of a class that was graded in parts.

    Parameters
    ----------
    folders : list of Path
        What `grade` wrote for each part. Copies are flagged across all of them.
    out : Path
        Where gradebook and reports go.

    Returns
    -------
    dict
        What `results.json` holds.

    Raises
    ------
    LabError
        If a folder was not graded to its end, or for another assignment, or a student is in two.
    """
    parts = [_read_results(folder) for folder in folders]
    results: dict[str, dict] = {}
    where: dict[str, Path] = {}
    first = None
    for folder, part in zip(folders, parts, strict=True):
        for result in part["students"]:
            name = result["student"]
            checks = [[check["title"], check["question"]] for check in result["checks"]]
            first = first or (part["assignment"], part["max_points"], checks)
            if (part["assignment"], part["max_points"], checks) != first:
                raise LabError(f"{folder} was graded by another reference than {folders[0]}.")
            if name in results:
                raise LabError(
                    f"{name} is in {where[name]} and in {folder}: put each student into one part."
                )
            results[name], where[name] = result, folder
    _make_folder(out, out)
    students = [results[name] for name in sorted(results)]
    flag_copies(students)
    everything = parts[0] | {"students": students}
    write_reports(everything, out)
    return everything


def _make_folder(folder: Path, out: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LabError(f"-o {out} cannot be written ({error.strerror or error}).") from None


def _read_results(folder: Path) -> dict:
    path = folder / "results.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found["students"], list) and {"assignment", "max_points"} <= found.keys():
            return found
    except OSError as error:
        why = error.strerror or error
        raise LabError(f"{path} cannot be read ({why}): grade that part to its end.") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise LabError(f"{path} is not what lab-grade writes: grade that part again.")


@functools.cache
def hash_packages() -> str:
    """Return the SHA-256 of all that grading depends on: our packages' files, others' versions."""
    versions = sorted(f"{found.name} {found.version}" for found in distributions())
    content = hashlib.sha256("\n".join([sys.version, *versions]).encode())
    for package in PACKAGES:
        for path in sorted(package.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                name = path.relative_to(package.parent).as_posix()
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                content.update(f"{name} {digest}\n".encode())
    return content.hexdigest()


class Grader:
    """Runs submissions of one assignment, and keeps their results."""

    def __init__(
        self,
        assignment: Assignment,
        submissions: Path,
        out: Path,
        jobs: int,
        limits: Limits,
        sandbox: bool,
    ):
        self.assignment, self.submissions, self.out = assignment, submissions, out
        self.jobs, self.limits, self.sandbox = jobs, limits, sandbox
        self.threads = max(1, (os.cpu_count() or 1) // jobs)
        self.version = hash_packages()

    def try_reference(self) -> None:
        """Make sure that the reference gets all points, and what students get none."""
        code = [cell.source for cell in self.assignment.cells if cell.kind == "code"]
        submission = Submission("the reference", self.assignment.path, code=code)
        result = self.grade(submission, {}, self.out / "results" / ".reference.json")
        for check in result["checks"]:
            if check["message"].startswith("it passes without a solution"):
                why = "passes on the released notebook, before anybody has solved anything"
            elif check["outcome"] not in ("passed", BY_HAND):
                why = f"does not pass on the reference itself ({check['message']})"
            else:
                continue
            raise LabError(f"{self.assignment.path}: {check['title']!r} {why}.")

    def run(
        self, handed_in: list[Submission], only: str | None, allow: tuple, bar: tqdm
    ) -> list[dict]:
        """Return the results of all submissions, in the order of their names.

        The reference is tried alongside them: if it fails, what has not begun does not begin.
        """
        results = {}
        with ThreadPoolExecutor(self.jobs) as pool:
            reference = pool.submit(self.try_reference)
            futures = {}
            for submission in handed_in:
                kept = self.find_kept(submission)
                if only == submission.student:
                    kept.unlink(missing_ok=True)
                files = self.find_allowed_files(submission, allow)
                futures[pool.submit(self.grade, submission, files, kept)] = submission
            try:
                reference.result()
                bar.update()
                bar.set_description("")
                for future in as_completed(futures):
                    results[futures[future].key] = self.collect(future, futures[future])
                    bar.update()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return [results[submission.key] for submission in handed_in]

    def find_kept(self, submission: Submission) -> Path:
        """Return where the result of a submission is kept."""
        return self.out / "results" / f"{submission.key}.json"

    def collect(self, future: Future, submission: Submission) -> dict:
        """Return a result, even if grading failed: nothing of one student's stops the others."""
        try:
            return future.result()
        except Exception as error:  # noqa: BLE001 - whatever it is
            submission.problem = f"grading it failed ({type(error).__name__}: {error})"
            return score(self.assignment, submission, [], []) | {"outcomes": []}

    def find_allowed_files(self, submission: Submission, allow: tuple[str, ...]) -> dict[str, Path]:
        """Return the files that a notebook may read, by their names next to it."""
        folder = submission.folder
        if folder is None:
            return {}
        found = sorted({path for pattern in allow for path in folder.glob(pattern)})
        return {
            path.relative_to(folder).as_posix(): path
            for path in found
            if path.is_file() and path.resolve().is_relative_to(folder.resolve())
        }

    def grade(self, submission: Submission, files: dict[str, Path], kept: Path) -> dict:
        """Return one submission's result: the kept one, where nothing has changed since."""
        to_run = [] if submission.problem else plan_steps(self.assignment, submission)
        content = [self.version, vars(self.limits), self.sandbox, is_fast()]
        content += [self.assignment.collect_prelude()]
        content += [  # what checks are worth changes nothing in what they find
            [normalize_check(step.source), self.describe_step(step)["unsolved"], bool(step.check)]
            for step in to_run
        ]
        content += [
            [name, hashlib.sha256(path.read_bytes()).hexdigest()] for name, path in files.items()
        ]
        fingerprint = hashlib.sha256(json.dumps(content).encode()).hexdigest()
        try:
            found = json.loads(kept.read_text(encoding="utf-8"))
            outcomes = found["outcomes"] if found["fingerprint"] == fingerprint else None
        except (OSError, ValueError, KeyError, TypeError):
            outcomes = None
        if outcomes is None:
            outcomes = self.run_steps(to_run, files) if to_run else []
        result = score(self.assignment, submission, to_run, outcomes)
        result |= {"fingerprint": fingerprint, "outcomes": outcomes}
        self.keep(kept, result)
        return result

    def keep(self, path: Path, result: dict) -> None:
        """Write a result for the next time, unless it stands there."""
        text = json.dumps(result, indent=1, ensure_ascii=False)
        path.parent.mkdir(exist_ok=True)
        if not path.exists() or path.read_bytes() != text.encode(errors="replace"):
            write_whole(path, text)

    def run_steps(self, to_run: list[Step], files: dict[str, Path]) -> list[dict]:
        """Return what became of each step, as far as the submission got."""
        job = {
            "prelude": self.assignment.collect_prelude(),
            "steps": [self.describe_step(step) for step in to_run],
        }
        folders = [self.submissions, self.out, self.assignment.path.parent]
        hidden = [f if f.is_dir() else f.parent for f in folders] if self.sandbox else None
        return run_submission(job, files, self.limits, self.threads, hidden)

    def describe_step(self, step: Step) -> dict:
        """Return a step as `lab_grade.plugin` takes it."""
        unsolved = self.assignment.list_unsolved(step.check) if step.check else []
        return {
            "source": step.source,
            "is_check": step.check is not None,
            "unsolved": [drop_magics(source) for source in unsolved],
        }
