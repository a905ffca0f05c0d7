"""Bad, dishonest and honest students: everybody gets what was earned, no more and no less."""

import csv
import hashlib
import html
import json
import os
import signal
import subprocess
import sys
import time

import nbformat
import psutil
import pytest
from cases import CASES, LEFT
from helpers import run_here
from reference import CHECKS, NAME, Student, reference
from submissions import MISSING, hand_in_all

from lab_grade import cli, grader, sandbox
from lab_grade.notebook import Assignment

pytestmark = pytest.mark.slow

LIMITS = ["--jobs", "2", "--cell-timeout", "10", "--memory", "1024"]  # in a sandbox, if it works
# What never ends would take most of the time, so that it gets less, next to an honest one.
HANGING = ("endless_loops", "endless_loops_in_functions", "endless_output", "half_done")
HANGING += ("messages_spoiled", "signals_and_threads")
SHORT = [*LIMITS, "--jobs", "1", "--cell-timeout", "2", "--output", "2048"]
ALLOWED = ["--allow", "*.py", "--allow", "*.csv"]
PARTS = ("submissions-grades", "hanging-grades")
SECRETS = ("the-hidden-check-of", "first, second = Mean()", "abs(weights - 208)")


def write_reference(folder, notebook=None):
    path = folder / NAME
    nbformat.write(notebook or reference(), path)
    return path


def hashes(*paths):
    files = [file for path in paths for file in [path, *path.rglob("*")] if file.is_file()]
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def still_running():
    found = []
    for process in psutil.process_iter():
        try:
            if LEFT in process.cmdline():
                found.append(" ".join(process.cmdline()))
                process.kill()
        except psutil.Error:
            continue
    return found


def grade_the_class(root, font_lists):
    """Grade a class in two parts at once: what hangs has less time."""
    root.mkdir(parents=True)
    path = write_reference(root)
    released = Assignment(path).release()
    surroundings = {"HOME": root / "home", "TMPDIR": root / "temporary"}
    for folder in surroundings.values():
        folder.mkdir()
    environment = os.environ | {k: str(v) for k, v in surroundings.items()}
    environment["MPLCONFIGDIR"] = str(font_lists)
    lab_grade = [sys.executable, "-m", "lab_grade"]
    parts = [root / "submissions", root / "hanging"]
    before, running = {}, []
    others = [name for name in [*(case.name for case in CASES), MISSING] if name not in HANGING]
    for folder, chosen, limits in zip(parts, (others, HANGING), (LIMITS, SHORT), strict=True):
        folder.mkdir()
        hand_in_all(released, folder, chosen)
        before |= hashes(path, folder)
        command = [*lab_grade, path, folder, "-o", root / f"{folder.name}-grades"]
        command += [*limits, *ALLOWED]
        running.append(subprocess.Popen(command, stderr=subprocess.PIPE, env=environment))
    said = [process.communicate()[1].decode()[-2000:] for process in running]
    status = [process.returncode for process in running]
    found = [path for folder in surroundings.values() for path in folder.rglob("*")]
    return {
        "status": status,
        "stderr": said,
        "unchanged": before == hashes(path, *parts),
        "processes": still_running(),
        "files": [path.relative_to(root).as_posix() for path in found],
    }


@pytest.fixture(scope="session")
def graded(tmp_path_factory, font_lists):
    """Return the folder of a graded class, and how grading it ended."""
    root = tmp_path_factory.mktemp("graded") / "class"
    return root, grade_the_class(root, font_lists)


@pytest.fixture(scope="session")
def results(graded):
    """Return the results of the class, by student."""
    found = {}
    for part in PARTS:
        text = (graded[0] / part / "results.json").read_text(encoding="utf-8")
        found |= {result["student"]: result for result in json.loads(text)["students"]}
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}-{case.name}")
def test_everybody_gets_what_was_earned(case, results):
    result = results[case.student]
    passed = {check["title"] for check in result["checks"] if check["outcome"] == "passed"}
    titles = {check["title"] for check in result["checks"] if check["question"] in case.earns}
    assert not passed - titles, "points that were not earned"
    assert not titles - passed, "points that were lost"
    assert result["points"] == sum(
        check["points"] for check in result["checks"] if check["title"] in titles
    )
    assert result["max_points"] == 13
    assert case.problem in result["problem"] and bool(case.problem) == bool(result["problem"])
    kinds = {flag["kind"] for flag in result["flags"]}
    if case.flag == "":
        assert not kinds
    elif case.flag:
        assert case.flag in kinds


def test_there_are_enough_of_each_kind():
    kinds = [case.kind for case in CASES]
    assert kinds.count("dishonest") >= 25 and kinds.count("bad") >= 20
    assert kinds.count("honest") >= 10


def test_the_batch_ends_well(graded):
    _, ended = graded
    assert ended["status"] == [0, 0], ended["stderr"]
    assert not ended["processes"]
    # What a submission writes outside its folder is its own affair; the grader leaves nothing.
    assert ended["files"] == ([] if sandbox.is_available() else ["temporary/gradebook.csv"])


def test_reference_and_submissions_are_as_they_were(graded):
    assert graded[1]["unchanged"]


def test_everybody_has_a_row_and_a_page(graded, results):
    expected = {case.student for case in CASES} | {MISSING}
    assert results.keys() == expected
    rows, pages = [], []
    for part in PARTS:
        with (graded[0] / part / "gradebook.csv").open(encoding="utf-8-sig", newline="") as file:
            rows += list(csv.reader(file))[1:]
        pages += (graded[0] / part / "feedback").glob("*.html")
    assert len(rows) == len(pages) == len(expected)
    assert {row[0] for row in rows} == expected
    assert results[MISSING]["points"] == 0 and "no notebook" in results[MISSING]["problem"]
    for student, result in results.items():
        part = PARTS[student in HANGING]
        kept = graded[0] / part / "results" / f"{student}.json"
        assert json.loads(kept.read_text(encoding="utf-8"))["points"] == result["points"]


def test_no_student_is_told_what_hidden_checks_hold(graded):
    for part in PARTS:
        for page in (graded[0] / part / "feedback").glob("*.html"):
            text = html.unescape(page.read_text(encoding="utf-8"))
            assert not [secret for secret in SECRETS if secret in text], page.name


def test_no_value_that_a_hidden_check_hands_over_comes_out_on_a_page(graded, results):
    """The visible check adds 1, 2 and 6, the hidden one 4 and -1."""
    cells = results["hidden_checks_told"]["cells"]
    assert [cell["message"] for cell in cells] == ["ValueError: [1, 2, 6]"]
    grades = graded[0] / PARTS[0]
    page = html.unescape((grades / "feedback" / "hidden_checks_told.html").read_text("utf-8"))
    board = html.unescape((grades / "leaderboard.html").read_text("utf-8"))
    assert "[1, 2, 6]" in page and "-1" not in page
    assert "<th" in board and "-1" not in board and ">6<" in board


def small_class(folder, names=("kim", "lee")):
    path = write_reference(folder)
    submissions = folder / "submissions"
    submissions.mkdir()
    for name in names:
        student = Student(Assignment(path).release(), name)
        student.solve()
        student.hand_in(submissions, None)
    return path, submissions


def kill_while_grading(path, submissions, out, home):
    """Grade one at a time, and kill the grader once the first results stand."""
    home.mkdir()
    command = [sys.executable, "-m", "lab_grade", path, submissions, "-o", out, *LIMITS]
    environment = os.environ | {"HOME": str(home), "TMPDIR": str(home)}
    process = subprocess.Popen([*command, "--jobs", "1"], env=environment, stderr=subprocess.PIPE)
    for _ in range(6000):
        if process.poll() is not None or (out / "results" / "kim.json").exists():
            break
        time.sleep(0.01)
    assert process.poll() is None, process.communicate()[1].decode()
    children = psutil.Process(process.pid).children(recursive=True)
    for one in [process, *children]:
        one.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    return list((out / "results").glob("*.json"))


def test_regrading_runs_only_what_has_changed_and_what_a_kill_cut_off(
    tmp_path, monkeypatch, capsys
):
    path, submissions = small_class(tmp_path)
    out, runs = tmp_path / "grades", []
    kept = kill_while_grading(path, submissions, out, tmp_path / "home")
    assert kept and not (out / "gradebook.csv").exists()

    def counted(*args):
        runs.append(args)
        return run_here(*args)

    def grade_again(*options):
        runs.clear()
        status = cli.grade_main([str(path), str(submissions), "-o", str(out), *LIMITS, *options])
        found = {file.name: file.stat().st_mtime_ns for file in (out / "results").iterdir()}
        return status, len(runs), found

    monkeypatch.setattr(grader, "run_submission", counted)
    status, count, first = grade_again()
    assert (status, count) == (0, 4 - len(kept))  # the reference, too, and what students get
    students = json.loads((out / "results.json").read_text())["students"]
    assert [student["points"] for student in students] == [13, 13]
    assert grade_again() == (0, 0, first)
    status, count, second = grade_again("--only", "lee")
    assert (status, count) == (0, 1)
    assert [name for name in first if first[name] != second[name]] == ["lee.json"]
    kim = Student(Assignment(path).release(), "kim")
    kim.solve("q1")
    kim.hand_in(submissions, None)
    status, count, third = grade_again()
    assert (status, count) == (0, 1)
    assert [name for name in second if second[name] != third[name]] == ["kim.json"]
    students = json.loads((out / "results.json").read_text())["students"]
    assert [student["points"] for student in students] == [2, 13]
    capsys.readouterr()
    assert grade_again("--only", "nobody") == (2, 0, third)
    assert "nobody" in capsys.readouterr().err


def doubled(notebook, answer, check):
    notebook.cells.append(nbformat.v4.new_code_cell(check.source))


def without_points(notebook, answer, check):
    check.source = check.source.replace(" (2 points)", "")


def without_end(notebook, answer, check):
    answer.source = answer.source.replace("### END SOLUTION", "")


def without_a_package(notebook, answer, check):
    notebook.cells.insert(1, nbformat.v4.new_code_cell("import not_installed"))


def passing_unsolved(notebook, answer, check):
    check.source = "# CHECK q1 (2 points)\nassert callable(area)"


def failing_solved(notebook, answer, check):
    answer.source = answer.source.replace("width * height", "width + height")


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (doubled, "2 visible checks of q1"),
        (without_points, "(2 points)"),
        (without_end, "### END SOLUTION"),
        (without_a_package, "imports failed: ModuleNotFoundError: No module named 'not_installed'"),
        (passing_unsolved, "before anybody has solved anything"),
        (failing_solved, "does not pass on the reference itself"),
    ],
)
def test_a_reference_with_a_mistake_is_one_line(tmp_path, monkeypatch, capsys, mistake, message):
    if mistake is not without_a_package:
        monkeypatch.setattr(grader, "run_submission", run_here)
    _, submissions = small_class(tmp_path, ["kim"])
    notebook = reference()
    at = next(i for i, cell in enumerate(notebook.cells) if cell.source == CHECKS["q1"])
    mistake(notebook, notebook.cells[at - 1], notebook.cells[at])
    path = write_reference(tmp_path, notebook)
    status = cli.grade_main([str(path), str(submissions), "-o", str(tmp_path / "grades"), *LIMITS])
    said = capsys.readouterr().err.split("\r")[-1].strip().splitlines()
    assert status == 2
    assert message in said[-1] and said[-1].startswith("lab-grade: ") and NAME in said[-1]
    assert not (tmp_path / "grades" / "gradebook.csv").exists()


@pytest.mark.skipif(not sandbox.is_available(), reason="bubblewrap is not installed")
def test_a_sandbox_keeps_everything_else_out_of_reach(tmp_path):
    path, submissions = small_class(tmp_path, ())
    out, kim = tmp_path / "grades", submissions / "kim.ipynb"
    kim.write_text("{}")
    targets = [str(path), str(kim), str(out / "gradebook.csv"), str(tmp_path / "new.txt")]
    eve = Student(Assignment(path).release(), "eve")
    eve.solve("q1")
    eve.fail("q2", "q3", "q4", "q5")
    eve.start_with(
        f"from pathlib import Path\n\nfor target in {targets!r}:\n"
        "    try:\n        Path(target).write_text('13 of 13')\n"
        "    except OSError as error:\n        print(error)"
    )
    eve.end_with(
        f"import json\n\nfor cell in json.load(open({str(path)!r}))['cells']:\n"
        "    if cell['cell_type'] == 'code':\n        exec(''.join(cell['source']))"
    )
    eve.end_with("import urllib.request\n\nurllib.request.urlopen('http://127.0.0.1')")
    for question in ("q2", "q3", "q4", "q5"):
        eve.add(eve.cells[-2].source, before=question)
    eve.hand_in(submissions, None)
    before = hashes(path, submissions)
    assert cli.grade_main([str(path), str(submissions), "-o", str(out), *LIMITS]) == 0
    assert hashes(path, submissions) == before
    assert not (tmp_path / "new.txt").exists()
    students = json.loads((out / "results.json").read_text())["students"]
    assert {student["student"]: student["points"] for student in students} == {
        "eve": 2,
        "kim": 0,
    }
