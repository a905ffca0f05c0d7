"""Grading a class: every submission in a process of its own, several at once, here or elsewhere."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from lab_grade.adjustments import adjust
from lab_grade.copies import find_near_copies
from lab_grade.notebook import Assignment, normalize_check
from lab_grade.placement import Step, hash_code, plan_steps
from lab_grade.process import Limits, close_servers, hash_packages, run_elsewhere, run_submission
from lab_grade.reading import Submission
from lab_grade.report import write_reports
from lab_grade.results import BY_HAND, flag_copies, keep_best, score
from lab_grade.submissions import find_submissions
from text_recognizer.errors import LabError
from text_recognizer.paths import is_fast, write_whole

MAX_WAITING = 500  # submissions that are on a cluster: the others need no memory yet
MAX_CONNECT = 10  # seconds until a scheduler answers
REFERENCE, RELEASED = ".reference", ".released"


def grade(
    reference: Path,
    submissions: Path,
    out: Path,
    jobs: int = 0,
    only: str | None = None,
    allow: Sequence[str] = (),
    adjustments: Path | None = None,
    platform: str = "",
    limits: Limits = Limits(),  # noqa: B008 - it is frozen
    sandbox: bool = False,
    scheduler: str | None = None,
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
    allow : sequence of str
        Patterns of files next to it, in the student's folder, that a notebook may read.
    adjustments : Path, optional
        A table of points that are added by hand; `adjustments.csv` in `out`, if none is named.
    platform : str
        "canvas" or "moodle": write what it imports, too.
    limits : Limits
        For each submission.
    sandbox : bool
        Run the kernel of each in bubblewrap: no network, nothing writable but its own folder.
    scheduler : str, optional
        The address of a Dask scheduler, whose workers run the submissions.

    Returns
    -------
    dict
        What `results.json` holds.

    Raises
    ------
    LabError
        If the reference does not pass its own checks, there is nothing to grade, or the scheduler
        is not there.
    """
    assignment = Assignment(reference)
    unpacked = out / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    try:
        (out / "results").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LabError(f"-o {out} cannot be written ({error.strerror or error}).") from None
    try:
        handed_in = find_submissions(submissions, assignment, unpacked, [reference, out])
        names = [submission.student for submission in handed_in]
        if only and only not in names:
            raise LabError(f"--only {only}: no such student; there are {', '.join(names)}.")
        with contextlib.closing(Pool(scheduler, jobs or os.cpu_count() or 1)) as pool:
            prelude = f"{assignment.collect_prelude()}\n{assignment.collect_constants()}"
            grader = Grader(assignment, prelude, out, limits, sandbox, allow, pool)
            results = grader.run(handed_in, only)
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
    results = keep_best(results)
    solution = [cell.source for cell in assignment.cells if cell.is_answer]
    flag_copies(results, hash_code(assignment, solution))
    everything = {
        "assignment": reference.stem,
        "max_points": assignment.max_points,
        "sandbox": sandbox,
        "near_copies": find_near_copies(results, assignment),
        "students": results,
    }
    adjust(everything, adjustments, out / "adjustments.csv")
    write_reports(everything, out, platform)
    return everything


class Pool:
    """Where submissions run: in processes of this machine, or on a cluster's workers."""

    executor: futures.Executor

    def __init__(self, scheduler: str | None, jobs: int):
        self.scheduler, self.client, self.room = scheduler, None, MAX_WAITING
        if scheduler is None:
            self.executor = futures.ThreadPoolExecutor(jobs)
            self.room = 2 * jobs  # a next one for each process: results are kept as they come
            return
        try:
            from distributed import Client
        except ImportError:
            raise LabError('--scheduler needs Dask: pip install -e ".[cluster]"') from None
        try:
            self.client = Client(scheduler, timeout=MAX_CONNECT, set_as_default=False)
        except (OSError, ValueError) as error:
            raise LabError(f"--scheduler {scheduler}: no answer ({error}).") from None
        self.executor = self.client.get_executor(pure=False)

    def submit(self, *arguments) -> futures.Future:
        """Run a submission, when there is room."""
        if self.client is None:
            return self.executor.submit(run_submission, *arguments)
        return self.executor.submit(run_elsewhere, hash_packages(), *arguments)

    def result(self, future: futures.Future) -> tuple[list[dict], dict]:
        """Return what a submission came to, or say in one sentence that the scheduler is gone."""
        try:
            return future.result()
        except (futures.CancelledError, OSError, TimeoutError) as error:
            if self.client is None:
                raise
            raise LabError(
                f"--scheduler {self.scheduler}: it is gone. What is graded is kept: start it, and "
                "run this again."
            ) from error

    def close(self) -> None:
        if self.client is None:
            self.executor.shutdown(cancel_futures=True)
            close_servers()
        else:
            with contextlib.suppress(OSError, TimeoutError):  # it may be gone
                self.executor.shutdown(wait=False)
                self.client.close(timeout=5)


@dataclass
class Grader:
    """Runs submissions of one assignment, and keeps their results."""

    assignment: Assignment
    prelude: str
    out: Path
    limits: Limits
    sandbox: bool
    allow: Sequence[str]
    pool: Pool
    kept: dict = field(default_factory=dict)  # what the reference's cached functions return

    def run(self, handed_in: list[Submission], only: str | None) -> list[dict]:
        """Return the results of all submissions, in the order of their names."""
        for submission in handed_in:
            if submission.student == only:
                self.find_kept(submission.key).unlink(missing_ok=True)
        own = [self.read_reference(name) for name in (REFERENCE, RELEASED)]
        with tqdm(total=len(handed_in) + 2, unit="notebook", desc="the reference first") as bar:
            done = dict(self.run_all(own, bar))
            for submission in own:
                self.check_reference(done[submission.key], submission.student == REFERENCE)
            self.kept = done[REFERENCE]["kept"]
            bar.set_description("")
            results = dict(self.run_all(handed_in, bar))
        # Again: without a sandbox, a submission may have overwritten those of others.
        for key, result in results.items():
            self.keep(key, result)
            del result["outcomes"], result["kept"]
        return [results[submission.key] for submission in handed_in]

    def read_reference(self, name: str) -> Submission:
        """Return the reference as a submission: as it is, or as students get it."""
        cells = [cell for cell in self.assignment.cells if cell.kind == "code"]
        if name == RELEASED:
            cells = [cell for cell in cells if not (cell.check and cell.check.hidden)]
        code = [cell.source if name == REFERENCE else cell.released for cell in cells]
        return Submission(name, self.assignment.path, code=code)

    def check_reference(self, result: dict, is_solved: bool) -> None:
        """Make sure that the reference gets all points, and what students get none."""
        for check in result["checks"]:
            if check["outcome"] == BY_HAND or is_solved == (check["outcome"] == "passed"):
                continue
            why = "passes on the released notebook, before anybody has solved anything"
            if is_solved:
                why = f"does not pass on the reference itself ({check['message']})"
            raise LabError(f"{self.assignment.path}: {check['title']!r} {why}.")

    def run_all(self, handed_in: list[Submission], bar: tqdm) -> Iterator[tuple[str, dict]]:
        """Yield keys and results as they come: the kept one, where nothing has changed since."""
        running: dict[futures.Future, tuple[Submission, list[Step], str]] = {}
        waiting = list(reversed(handed_in))
        while waiting or running:
            while waiting and len(running) < self.pool.room:
                submission = waiting.pop()
                steps, files, digest = self.plan(submission)
                known = self.read_kept(submission.key, digest) if steps else ([], {})
                if known is None:
                    job = {"prelude": self.prelude, "kept": self.kept}
                    job["steps"] = [{"kind": step.kind, "source": step.source} for step in steps]
                    future = self.pool.submit(job, files, self.limits, self.sandbox)
                    running[future] = submission, steps, digest
                else:
                    yield submission.key, self.score(submission, steps, *known, digest)
                    bar.update()
            for future in futures.wait(running, None, futures.FIRST_COMPLETED).done:
                submission, steps, digest = running.pop(future)
                try:
                    result = self.score(submission, steps, *self.pool.result(future), digest)
                except LabError:
                    raise
                except Exception as error:  # noqa: BLE001 - one student's must not stop the others
                    submission.problem = explain_failure(error)
                    result = self.score(submission, [], [], {}, "")
                yield submission.key, result
                bar.update()

    def plan(self, submission: Submission) -> tuple[list[Step], dict[str, bytes], str]:
        """Return the steps and files of a submission, and their hash; none if it has a problem."""
        if submission.problem:
            return [], {}, ""
        try:
            steps = plan_steps(self.assignment, submission)
            files = self.read_allowed_files(submission)
            return steps, files, self.hash_work(steps, files)
        except Exception as error:  # noqa: BLE001 - one student's must not stop the others
            submission.problem = explain_failure(error)
            return [], {}, ""

    def score(
        self, submission: Submission, steps: list[Step], outcomes: list, kept: dict, digest: str
    ) -> dict:
        """Return a result, and keep it for the next time."""
        result = score(self.assignment, submission, steps, outcomes)
        result |= {"fingerprint": digest, "outcomes": outcomes, "kept": kept}
        self.keep(submission.key, result)
        return result

    def read_allowed_files(self, submission: Submission) -> dict[str, bytes]:
        """Return the files that a notebook may read, by their names next to it."""
        if (folder := submission.folder) is None:
            return {}
        found = sorted({path for pattern in self.allow for path in folder.glob(pattern)})
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in found
            if path.is_file() and path.resolve().is_relative_to(folder.resolve())
        }

    def hash_work(self, steps: list[Step], files: dict[str, bytes]) -> str:
        """Return the SHA-256 of what outcomes depend on, which titles and points are not."""
        content: list = [hash_packages(), str(self.limits), self.sandbox, is_fast(), self.prelude]
        content += [self.kept]
        content += [[s.kind, normalize_check(s.source) if s.check else s.source] for s in steps]
        content += [[name, hashlib.sha256(held).hexdigest()] for name, held in files.items()]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def find_kept(self, key: str) -> Path:
        return self.out / "results" / f"{key}.json"

    def read_kept(self, key: str, digest: str) -> tuple[list, dict] | None:
        """Return the outcomes of an earlier time, if they are of the same work."""
        try:
            found = json.loads(self.find_kept(key).read_text(encoding="utf-8"))
            return (found["outcomes"], found["kept"]) if found["fingerprint"] == digest else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, key: str, result: dict) -> None:
        """Write a result for the next time, unless it stands there."""
        path, text = self.find_kept(key), json.dumps(result, indent=1, ensure_ascii=False)
        path.parent.mkdir(exist_ok=True)
        if not path.exists() or path.read_bytes() != text.encode(errors="replace"):
            write_whole(path, text)


def explain_failure(error: Exception) -> str:
    """Return what a result says of an error in grading it."""
    return f"grading it failed ({type(error).__name__}: {error})"
