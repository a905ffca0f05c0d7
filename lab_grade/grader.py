"""Grading a class: every submission in a process of its own, several at once, here or elsewhere."""

import concurrent.futures
import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from lab_grade.notebook import Assignment
from lab_grade.placement import Step, hash_code, plan_steps
from lab_grade.process import (
    Limits,
    close_servers,
    hash_packages,
    run_elsewhere,
    run_submission,
)
from lab_grade.report import write_reports
from lab_grade.results import flag_copies, score
from lab_grade.submissions import Submission, find_submissions, read_submission
from text_recognizer.errors import LabError
from text_recognizer.paths import is_fast, write_whole

MAX_WAITING = 2  # submissions for each one that runs: the others need no memory yet
REFERENCE, RELEASED = ".reference", ".released"


def grade(
    reference: Path,
    submissions: Path,
    out: Path,
    jobs: int = 0,
    only: str | None = None,
    allow: tuple[str, ...] = (),
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
        A folder of notebooks, or of one folder for each student.
    out : Path
        Where gradebook and reports go; results found there are kept where nothing has changed.
    jobs : int
        Submissions at once; 0 for as many as there are CPU cores.
    only : str, optional
        The one student to grade again.
    allow : tuple of str
        Patterns of files next to it, in the student's folder, that a notebook may read.
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
    handed_in = [
        submission
        for submission in find_submissions(submissions, reference.name)
        if submission.path is None or submission.path.resolve() != reference.resolve()
        if (submissions / submission.student).resolve() != out.resolve()
    ]
    if only and only not in [submission.student for submission in handed_in]:
        names = ", ".join(submission.student for submission in handed_in)
        raise LabError(f"--only {only}: no such student; there are {names}.")
    try:
        (out / "results").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LabError(f"-o {out} cannot be written ({error.strerror or error}).") from None
    for submission in handed_in:  # all of them before any code runs that could change others
        read_submission(submission)
    with contextlib.closing(Pool(scheduler, jobs or os.cpu_count() or 1)) as pool:
        grader = Grader(assignment, submissions, out, limits, sandbox, allow, pool)
        results = grader.run(handed_in, only)
    solution = [cell.source for cell in assignment.cells if cell.is_answer]
    flag_copies(results, hash_code(assignment, solution))
    everything = {
        "assignment": reference.stem,
        "max_points": assignment.max_points,
        "sandbox": sandbox,
        "students": results,
    }
    write_reports(everything, out)
    return everything


class Pool:
    """Where submissions run: in processes of this machine, or on a cluster's workers."""

    executor: Executor

    def __init__(self, scheduler: str | None, jobs: int):
        self.scheduler, self.client = scheduler, None
        if scheduler is None:
            self.executor = ThreadPoolExecutor(jobs)
            self.count_slots: Callable[[], int] = lambda: jobs
            return
        try:
            from distributed import Client
        except ImportError:
            raise LabError('--scheduler needs Dask: pip install -e ".[cluster]"') from None
        try:
            client = self.client = Client(scheduler, timeout=10, set_as_default=False)
        except (OSError, ValueError) as error:
            raise LabError(f"--scheduler {scheduler}: no answer ({error}).") from None
        self.executor = client.get_executor(pure=False)
        self.count_slots = lambda: sum(client.nthreads().values())

    def submit(self, *arguments) -> Future:
        """Run a submission, when there is room."""
        if self.client is None:
            return self.executor.submit(run_submission, *arguments)
        return self.executor.submit(run_elsewhere, hash_packages(), *arguments)

    def result(self, future: Future) -> tuple[list[dict], dict]:
        """Return what a submission came to, once it is done."""
        with self.explain_loss():
            return future.result()

    def has_room(self, running: int) -> bool:
        """Tell whether one more submission may wait for those that run."""
        with self.explain_loss():
            return running < MAX_WAITING * max(1, self.count_slots())

    @contextlib.contextmanager
    def explain_loss(self) -> Iterator[None]:
        """Say in one sentence that a scheduler no longer answers."""
        try:
            yield
        except (concurrent.futures.CancelledError, OSError, TimeoutError) as error:
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


class Grader:
    """Runs submissions of one assignment, and keeps their results."""

    def __init__(
        self,
        assignment: Assignment,
        submissions: Path,
        out: Path,
        limits: Limits,
        sandbox: bool,
        allow: tuple[str, ...],
        pool: Pool,
    ):
        self.assignment, self.submissions, self.out = assignment, submissions, out
        self.limits, self.sandbox, self.allow, self.pool = limits, sandbox, allow, pool
        self.prelude = assignment.collect_prelude()
        self.kept: dict = {}  # what the reference's cached functions return

    def run(self, handed_in: list[Submission], only: str | None) -> list[dict]:
        """Return the results of all submissions, in the order of their names."""
        if only:
            self.find_kept(only).unlink(missing_ok=True)
        own = [self.read_reference(name) for name in (REFERENCE, RELEASED)]
        with tqdm(total=len(handed_in) + 2, unit="notebook", desc="the reference first") as bar:
            done = dict(self.run_all(own, bar))
            for submission in own:
                self.check_reference(done[submission.student], submission.student == REFERENCE)
            self.kept = done[REFERENCE]["kept"]
            bar.set_description("")
            results = dict(self.run_all(handed_in, bar))
        # Again: without a sandbox, a submission may have overwritten those of others.
        for name, result in results.items():
            self.keep(name, result)
        return [results[submission.student] for submission in handed_in]

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
            if is_solved == (check["outcome"] == "passed"):
                continue
            why = "passes on the released notebook, before anybody has solved anything"
            if is_solved:
                why = f"does not pass on the reference itself ({check['message']})"
            raise LabError(f"{self.assignment.path}: {check['title']!r} {why}.")

    def run_all(self, handed_in: list[Submission], bar: tqdm) -> Iterator[tuple[str, dict]]:
        """Yield names and results as they come: the kept one, where nothing has changed since."""
        running: dict[Future, tuple[Submission, list[Step], str]] = {}
        waiting = list(reversed(handed_in))
        while waiting or running:
            while waiting and self.pool.has_room(len(running)):
                submission = waiting.pop()
                steps = [] if submission.problem else plan_steps(self.assignment, submission)
                files = self.read_allowed_files(submission) if steps else {}
                digest = self.hash_work(steps, files)
                known = self.read_kept(submission.student, digest) if steps else ([], {})
                if known is None:
                    job = {"prelude": self.prelude, "kept": self.kept}
                    job["steps"] = [describe_step(step) for step in steps]
                    future = self.pool.submit(job, files, self.limits, self.sandbox)
                    running[future] = submission, steps, digest
                else:
                    yield submission.student, self.score(submission, steps, *known, digest)
                    bar.update()
            done, _ = concurrent.futures.wait(running, None, concurrent.futures.FIRST_COMPLETED)
            for future in done:
                submission, steps, digest = running.pop(future)
                try:
                    result = self.score(submission, steps, *self.pool.result(future), digest)
                except LabError:
                    raise
                except Exception as error:  # noqa: BLE001 - one student's must not stop the others
                    submission.problem = f"grading it failed ({type(error).__name__}: {error})"
                    result = self.score(submission, [], [], {}, "")
                yield submission.student, result
                bar.update()

    def score(
        self, submission: Submission, steps: list[Step], outcomes: list, kept: dict, digest: str
    ) -> dict:
        """Return a result, and keep it for the next time."""
        result = score(self.assignment, self.submissions, submission, steps, outcomes)
        result |= {"fingerprint": digest, "outcomes": outcomes, "kept": kept}
        self.keep(submission.student, result)
        return result

    def read_allowed_files(self, submission: Submission) -> dict[str, bytes]:
        """Return the files that a notebook may read, by their names next to it."""
        folder = submission.path.parent if submission.path else self.submissions
        if folder.resolve() == self.submissions.resolve():  # everybody's
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
        for step in map(describe_step, steps):
            source = step["source"] if step["kind"] == "cell" else drop_title(step["source"])
            content += [[step["kind"], source]]
        content += [[name, hashlib.sha256(held).hexdigest()] for name, held in files.items()]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def find_kept(self, student: str) -> Path:
        return self.out / "results" / f"{student}.json"

    def read_kept(self, student: str, digest: str) -> tuple[list, dict] | None:
        """Return the outcomes of an earlier time, if they are of the same work."""
        try:
            found = json.loads(self.find_kept(student).read_text(encoding="utf-8"))
            return (found["outcomes"], found["kept"]) if found["fingerprint"] == digest else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, student: str, result: dict) -> None:
        """Write a result for the next time, unless it stands there."""
        path, text = self.find_kept(student), json.dumps(result, indent=1, ensure_ascii=False)
        if not path.exists() or path.read_bytes() != text.encode(errors="replace"):
            write_whole(path, text)


def describe_step(step: Step) -> dict:
    """Return a step as `process.run_submission` takes it."""
    kind = "cell" if step.check is None else "hidden" if step.check.hidden else "check"
    return {"kind": kind, "source": step.source}


def drop_title(source: str) -> str:
    """Return a check without the line that says its points."""
    lines = source.split("\n")
    first = next(i for i, line in enumerate(lines) if line.strip())
    return "\n".join([*lines[:first], "", *lines[first + 1 :]])
