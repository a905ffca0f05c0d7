"""What other graders make of the tests' corpus: points not earned, points lost, time.

    python benchmarks/graders.py --nbgrader NBGRADER_VENV/bin --otter OTTER_VENV/bin

Each grader is in a virtual environment of its own, with ipykernel, numpy, matplotlib and tqdm;
that of nbgrader also has nbval. Linux with bubblewrap: what students hand in here is not harmless.
Each gets 10 seconds for a cell and 1 GiB, where it has such limits, as lab-grade does in the tests;
whatever takes 120 seconds for one notebook is ended.
"""

import argparse
import ast
import copy
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "grading"))

CELL, NOTEBOOK, BATCH = 10, 120, 1200  # seconds
MEMORY = 2**30  # bytes
READ_GRADEBOOK = """
import json
from nbgrader.api import Gradebook

with Gradebook("sqlite:///gradebook.db") as gradebook:
    print(json.dumps({
        each.student.id: [g.name for n in each.notebooks for g in n.grades if g.score]
        for each in gradebook.assignment_submissions("ps1")
    }))
"""


def run(folder: Path, limit: float, *command) -> subprocess.CompletedProcess:
    """Run a command that writes only in a folder; its status is -1 if it had to be ended."""
    inside = ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]
    inside += ["--tmpfs", "/tmp", "--unshare-pid", "--unshare-ipc", "--die-with-parent"]
    for kept in {Path(command[0]).parents[1], ROOT}:
        inside += ["--ro-bind", str(kept), str(kept)]
    inside += ["--bind", str(folder), str(folder), "--chdir", str(folder)]
    environment = {"PATH": f"{Path(command[0]).parent}:/usr/bin:/bin", "HOME": str(folder)}
    try:
        return subprocess.run(
            [*inside, *map(str, command)],
            env=environment | {"OMP_NUM_THREADS": "1", "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limit,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY)),
        )
    except subprocess.TimeoutExpired as error:
        return subprocess.CompletedProcess(command, -1, error.stdout, error.stderr)


def write_class(released: nbformat.NotebookNode, folder: Path) -> dict[str, Path]:
    """Write each submission into a folder of its own; return the notebooks by case."""
    from reference import NAME, Student
    from submissions import CASES

    found = {}
    for case in CASES:
        student = Student(released, case.name)
        content = case.write(student)
        student.files.setdefault("notes.txt", "")  # so that it gets a folder
        student.hand_in(folder, content)
        found[case.name] = folder / case.name / NAME
    return found


def run_each(notebooks: dict[str, Path], grade) -> tuple[dict, int]:
    """Grade two at a time, each in a process of its own; return titles and failures by name."""
    with ThreadPoolExecutor(2) as pool:
        graded = dict(zip(notebooks, pool.map(grade, notebooks.values()), strict=True))
    return {k: v or set() for k, v in graded.items()}, sum(v is None for v in graded.values())


def grade_by_lab_grade(folder: Path, assignment) -> tuple[dict, int]:
    """Return for each submission the titles of the checks that passed."""
    submissions = folder / "submissions"
    submissions.mkdir()
    write_class(assignment.release(), submissions)
    command = [sys.executable, "-m", "lab_grade", assignment.path, submissions, "-o", "grades"]
    limits = ["--jobs", "2", "--cell-timeout", CELL, "--memory", MEMORY // 2**20]
    allowed = ["--allow", "*.py", "--allow", "*.csv"]
    subprocess.run(
        [*map(str, command), *map(str, limits), *allowed],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
    )
    students = json.loads((folder / "grades" / "results.json").read_text())["students"]
    return {
        each["student"]: {c["title"] for c in each["checks"] if c["outcome"] == "passed"}
        for each in students
    }, 0


def grade_by_nbval(folder: Path, assignment, programs: Path) -> tuple[dict, int]:
    """Run the students' notebooks, hidden checks at their end: a check passes if its cell does."""
    from lab_grade.notebook import find_first_line

    released = assignment.release()
    for cell in released.cells:  # the tag tells nbval to expect that a check fails
        cell.metadata["tags"] = ["nbval-ignore-output"]
    notebooks = write_class(released, folder)
    hidden = [check for check in assignment.checks if check.hidden]
    titles = {check.title for check in assignment.checks}

    def grade(path: Path) -> set[str] | None:
        try:
            notebook = nbformat.read(path, as_version=4)
        except Exception:  # noqa: BLE001 - it is not one
            notebook = None
        if notebook:
            tags = {"tags": ["nbval-ignore-output"]}
            notebook.cells += [
                nbformat.v4.new_code_cell(check.source, metadata=tags) for check in hidden
            ]
            nbformat.write(notebook, path)
        limit = f"--nbval-cell-timeout={CELL}"
        flags = ["--nbval", limit, "-p", "no:cacheprovider", "--junitxml", "junit.xml"]
        command = [programs / "python", "-m", "pytest", *flags, path.name]
        ended = run(path.parent, NOTEBOOK, *command)
        if ended.returncode == -1 or not (path.parent / "junit.xml").exists() or notebook is None:
            return None
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        first = [find_first_line(cell.source) for cell in code]
        passed = [
            int(case.get("name", "").split()[-1])
            for case in ET.parse(path.parent / "junit.xml").iter("testcase")
            if len(case) == 0 and case.get("name", "").split()[-1].isdigit()
        ]
        return {first[i] for i in passed if i < len(first)} & titles

    return run_each(notebooks, grade)


def grade_by_nbgrader(folder: Path, assignment, programs: Path) -> tuple[dict, int]:
    """Make the assignment nbgrader's, and grade the class in one command, as often as it takes."""
    notebook = copy.deepcopy(assignment.notebook)
    titles = {}
    for i, (node, cell) in enumerate(zip(notebook.cells, assignment.cells, strict=True)):
        about = {"schema_version": 3, "grade_id": f"cell-{i}", "locked": False, "task": False}
        if cell.check:
            titles[f"cell-{i}"] = cell.check.title
            about |= {"grade": True, "solution": False, "locked": True}
            node.metadata["nbgrader"] = about | {"points": cell.check.points}
            if cell.check.hidden:
                node.source = f"### BEGIN HIDDEN TESTS\n{node.source}\n### END HIDDEN TESTS"
        elif cell.is_answer:
            node.metadata["nbgrader"] = about | {"grade": False, "solution": True}
    source = folder / "source" / "ps1" / assignment.path.name
    source.parent.mkdir(parents=True)
    nbformat.write(notebook, source)
    settings = f"c = get_config()\nc.ExecutePreprocessor.timeout = {CELL}\n"
    settings += f"c.CourseDirectory.root = {str(folder)!r}\n"
    (folder / "nbgrader_config.py").write_text(settings)
    nbgrader = programs / "nbgrader"
    made = run(folder, NOTEBOOK, nbgrader, "generate_assignment", "ps1")
    assert made.returncode == 0, made.stderr.decode()[-2000:]
    released = nbformat.read(folder / "release" / "ps1" / source.name, as_version=4)
    handed_in = folder / "handed-in"
    handed_in.mkdir()
    stops, waiting = 0, []
    for name, path in write_class(released, handed_in).items():
        (folder / "submitted" / name).mkdir(parents=True)
        path.parent.rename(folder / "submitted" / name / "ps1")
        waiting.append(name)
    while waiting:
        ended = run(folder, BATCH, nbgrader, "autograde", "ps1")
        if ended.returncode in (0, 1):
            break
        stops += 1
        text = (ended.stderr or b"").decode(errors="replace")
        names = re.findall(r"updating student with ID '(\w+)'", text)
        name = names[-1] if names and names[-1] in waiting else waiting[0]
        shutil.move(folder / "submitted" / name, folder / f"stopped-{stops}")
        waiting.remove(name)
    (folder / "read.py").write_text(READ_GRADEBOOK)
    told = run(folder, NOTEBOOK, programs / "python", "read.py")
    assert told.returncode == 0, told.stderr.decode()[-2000:]
    return {k: {titles[g] for g in v} for k, v in json.loads(told.stdout).items()}, stops


def write_doctest(source: str) -> str:
    """Return a check as otter's tests hold it, without what it prints."""
    lines = []
    for node in ast.parse(source).body:
        text = ast.unparse(node)
        if not text.startswith("print("):
            first, *others = text.split("\n")
            lines += [f">>> {first}", *(f"... {line}" for line in others)]
            lines += ["... "] if others else []
    return "\n".join(lines)


def grade_by_otter(folder: Path, assignment, programs: Path) -> tuple[dict, int]:
    """Keep the checks as otter's tests, and run each submission by `otter run`."""
    tests = folder / "tests"
    tests.mkdir()
    for question in dict.fromkeys(check.question for check in assignment.checks):
        own = [check for check in assignment.checks if check.question == question]
        cases = [
            {
                "code": write_doctest(c.source),
                "hidden": c.hidden,
                "locked": False,
                "points": c.points,
            }
            for c in own
        ]
        suite = {"cases": cases, "scored": True, "setup": "", "teardown": "", "type": "doctest"}
        test = {"name": question, "points": None, "suites": [suite]}
        (tests / f"{question}.py").write_text(f"OK_FORMAT = True\ntest = {test!r}\n")
    made = run(folder, NOTEBOOK, programs / "otter", "generate", "-t", tests, "--no-environment")
    zips = sorted(folder.glob("*.zip"))
    assert zips, made.stdout.decode()[-500:] + made.stderr.decode()[-2000:]
    submissions = folder / "submissions"
    submissions.mkdir()
    notebooks = write_class(assignment.release(), submissions)

    def grade(path: Path) -> set[str] | None:
        (path.parent / "autograder.zip").write_bytes(zips[0].read_bytes())
        command = [programs / "otter", "run", "-a", "autograder.zip", "-o", ".", path.name]
        run(path.parent, NOTEBOOK, *command)
        try:
            told = json.loads((path.parent / "results.json").read_text())
        except (OSError, ValueError):
            return None
        found = set()
        for question in told["tests"]:
            own = [c for c in assignment.checks if c.question in question["name"].split()]
            score = question.get("score", 0)
            if own and score == sum(c.points for c in own):
                found |= {c.title for c in own}
            elif own and score:  # a part of its checks: those of these points
                found |= {c.title for c in own if c.points == score}
        return found

    return run_each(notebooks, grade)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--nbgrader", type=Path, help="the bin folder of nbgrader and nbval")
    parser.add_argument("--otter", type=Path, help="the bin folder of otter-grader")
    parser.add_argument("--only", help="lab-grade, nbval, nbgrader or otter")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only each Nth notebook")
    options = parser.parse_args()
    from reference import NAME, reference
    from submissions import CASES

    from lab_grade.notebook import Assignment

    CASES[:] = CASES[:: options.every]
    ways = {"lab-grade": grade_by_lab_grade}
    if options.nbgrader:
        ways["nbval"] = lambda *a: grade_by_nbval(*a, options.nbgrader)
        ways["nbgrader"] = lambda *a: grade_by_nbgrader(*a, options.nbgrader)
    if options.otter:
        ways["otter"] = lambda *a: grade_by_otter(*a, options.otter)
    for way, grade in ways.items():
        if options.only not in (None, way):
            continue
        with tempfile.TemporaryDirectory(prefix="graders-") as name:
            folder = Path(name).resolve()
            path = folder / NAME
            nbformat.write(reference(), path)
            assignment = Assignment(path)
            worth = {check.title: check.points for check in assignment.checks}
            work = folder / "work"
            work.mkdir()
            start = time.perf_counter()
            passed, stops = grade(work, assignment)
            seconds = time.perf_counter() - start
        unearned, lost, who = 0.0, 0.0, []
        for case in CASES:
            earned = {c.title for c in assignment.checks if c.question in case.earns}
            got = passed.get(case.name, set())
            more, less = (sum(worth[t] for t in some) for some in (got - earned, earned - got))
            unearned, lost = unearned + more, lost + less
            if more or less:
                who.append(f"{case.name} +{more:g} -{less:g}")
        print(f"{way}: {unearned:g} points not earned, {lost:g} points lost")
        print(f"  {len(CASES)} submissions, {stops} that stopped it without a result")
        print(f"  {seconds:.0f} s")
        print("  " + ", ".join(who))


if __name__ == "__main__":
    main()
