"""A class from its download to what its platform takes back: graded by hand, too, and again."""

import base64
import csv
import html
import io
import json
import shutil
import zipfile

import nbformat
import pytest
from helpers import run_here
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from lab_grade import cli, grader
from lab_grade.notebook import Assignment

pytestmark = pytest.mark.slow

ANSWER = """def area(radius):
    ### BEGIN SOLUTION
    return math.pi * radius**2
    ### END SOLUTION"""
CHECK = "# CHECK q1 (2 points)\nassert abs(area(1) - 3.14159) < 1e-4"
HIDDEN = "# CHECK q1 hidden (1 point)\nassert area(0) == 0"
WHY = """# MANUAL q2 (3 points)
Why is it squared?

### BEGIN SOLUTION
It grows both ways.
### END SOLUTION"""
PLOT = "# MANUAL q3 (2 points)\nsizes = [1, 2]"
PICTURE = base64.b64encode(b"\x89PNG a picture of kim's").decode()
OPTIONS = ["--no-sandbox", "--jobs", "2", "--cell-timeout", "30"]


def write_reference(folder, check=CHECK, heading="## Circles"):
    cells = [new_code_cell("import math"), new_markdown_cell(heading), new_code_cell(ANSWER)]
    cells += [new_code_cell(check), new_code_cell(HIDDEN)]
    cells += [new_markdown_cell(WHY), new_code_cell(PLOT)]
    path = folder / "circle.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    return path


def solve(released, right=True, text="", picture=""):
    """Return a student's notebook."""
    notebook = nbformat.from_dict(json.loads(json.dumps(released)))
    body = "math.pi * radius**2" if right else "radius"
    notebook.cells[2].source = f"def area(radius):\n    return {body}"
    why = notebook.cells[4]
    why.source = why.source.replace("*Your answer here.*", text or "*Your answer here.*")
    if picture:
        data = {"image/png": picture, "text/html": "<script>alert(1)</script>"}
        notebook.cells[5].outputs = [new_output("display_data", data)]
    return nbformat.writes(notebook)


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """Return a folder with a reference, what Moodle has downloaded of its class, and grades."""
    root = tmp_path_factory.mktemp("class")
    path = write_reference(root)
    released = Assignment(path).release()
    download = root / "Homework 6-download.zip"
    kim = "Jane Kim_101_assignsubmission_file"
    with zipfile.ZipFile(download, "w") as packed:
        packed.writestr(
            f"{kim}/circle.ipynb", solve(released, True, "Scale it by <b>2</b>.", PICTURE)
        )
        packed.writestr(f"{kim}/circle (1).ipynb", nbformat.writes(released))
        lee = solve(released, True, "Because.")
        packed.writestr("이 지은_102_assignsubmission_file_circle.ipynb", lee)
        wrong = solve(released, False, "Because, too.")
        packed.writestr("이 지은_102_assignsubmission_file_circle_v2.ipynb", wrong)
        packed.writestr("Bo Park_103_assignsubmission_onlinetext_onlinetext.html", "<p>Sorry</p>")
        packed.writestr("index.html", "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grader, "run_submission", run_here)
        assert grade(path, download, root / "grades", "--for", "moodle") == 0
    return root


@pytest.fixture
def handed_in(graded, tmp_path, monkeypatch):
    """Return a reference, its class and the grades; nothing runs again."""
    root = tmp_path / "class"
    shutil.copytree(graded, root)
    monkeypatch.setattr(grader, "run_submission", None)
    return root / "circle.ipynb", root / "Homework 6-download.zip", root / "grades"


def grade(*arguments):
    return cli.grade_main([*map(str, arguments[:2]), "-o", *map(str, arguments[2:]), *OPTIONS])


def read_rows(path):
    text = path.read_text("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def read_page(out, name):
    (page,) = (out / "feedback").glob(f"{name}*")
    return page.read_text("utf-8")


def test_a_class_goes_from_moodle_through_grading_by_hand_and_back(handed_in):
    path, download, out = handed_in
    assert not (out / "unpacked").exists()
    rows = {row["student"]: row for row in read_rows(out / "gradebook.csv")}
    assert {name: (row["id"], row["points"], row["of"]) for name, row in rows.items()} == {
        "Jane Kim": ("101", "3", "8"),
        "Bo Park": ("103", "0", "8"),
        "이 지은": ("102", "3", "8"),
    }
    assert "2 notebooks are as good" in rows["이 지은"]["to look at"]
    assert "is a text or a link" in rows["Bo Park"]["to look at"]

    report = html.unescape((out / "report.html").read_text("utf-8"))
    assert "Scale it by <b>2</b>." in report and "<script>" not in report
    (picture,) = (out / "pictures").iterdir()
    assert (
        picture.read_bytes() == base64.b64decode(PICTURE) and f"pictures/{picture.name}" in report
    )
    page = read_page(out, "Jane")
    assert f'src="data:image/png;base64,{PICTURE}"' in page and "not graded yet" in page

    waiting = read_rows(out / "adjustments.csv")
    assert [(row["student"], row["question"], row["points"]) for row in waiting] == [
        ("Jane Kim", "q2", ""),
        ("Jane Kim", "q3", ""),
        ("이 지은", "q2", ""),
        ("이 지은", "q3", ""),
    ]
    text = (out / "adjustments.csv").read_text("utf-8-sig")
    text = text.replace("Jane Kim,q2,,", "Jane Kim,q2,2.5,A nice thought")
    text = text.replace("이 지은,q3,,", "이 지은,q3,1,") + "102,late,-1,two days\n"
    (out / "adjustments.csv").write_text(text, "utf-8-sig")

    assert grade(path, download, out, "--for", "moodle") == 0
    rows = {row["student"]: row for row in read_rows(out / "gradebook.csv")}
    assert rows["Jane Kim"]["points"] == "5.5" and rows["Jane Kim"]["q2"] == "2.5"
    assert (rows["이 지은"]["points"], rows["이 지은"]["adjusted"]) == ("3", "-1")
    assert "A nice thought" in read_page(out, "Jane")
    page = read_page(out, "이")
    assert "two days" in page and "-1 points" in page
    assert (out / "adjustments.csv").read_text("utf-8-sig") == text

    moodle = read_rows(out / "moodle.csv")
    assert {"Identifier", "Full name", "Grade", "Last modified (grade)"} <= moodle[0].keys()
    assert {row["Identifier"]: row["Grade"] for row in moodle} == {
        "Participant 101": "5.5",
        "Participant 102": "3",
        "Participant 103": "0",
    }
    with zipfile.ZipFile(out / "moodle-feedback.zip") as packed:
        assert sorted(packed.namelist()) == [
            "Bo Park_103_assignsubmission_onlinetext_feedback.html",
            "Jane Kim_101_assignsubmission_file_feedback.html",
            "이 지은_102_assignsubmission_file_feedback.html",
        ]
        content = packed.read("Jane Kim_101_assignsubmission_file_feedback.html").decode()
        assert "A nice thought" in content


def test_other_points_and_titles_are_scored_without_running(handed_in, monkeypatch):
    path, download, out = handed_in
    monkeypatch.chdir(path.parent)
    write_reference(path.parent, CHECK.replace("(2 points)", "(5 points)"), "## Round things")
    assert grade(path.name, download, out.name) == 0  # a path typed otherwise is the same, too
    results = json.loads((out / "results.json").read_text("utf-8"))
    found = {s["student"]: (s["points"], s["max_points"]) for s in results["students"]}
    assert found == {"Jane Kim": (6, 11), "Bo Park": (0, 11), "이 지은": (6, 11)}
    assert not [f for s in results["students"] for f in s["flags"] if f["kind"] == "tampering"]
    assert results["students"][0]["checks"][0]["topic"] == "Round things"


def test_an_error_in_grading_one_student_stops_no_other(handed_in, monkeypatch):
    path, download, out = handed_in
    plan = grader.plan_steps

    def fail(assignment, submission):
        if submission.student == "Jane Kim":
            raise RuntimeError("odd")
        return plan(assignment, submission)

    monkeypatch.setattr(grader, "plan_steps", fail)
    assert grade(path, download, out) == 0
    rows = {row["student"]: row for row in read_rows(out / "gradebook.csv")}
    assert {name: row["points"] for name, row in rows.items()} == {
        "Jane Kim": "0",
        "Bo Park": "0",
        "이 지은": "3",
    }
    assert "grading it failed (RuntimeError: odd)" in rows["Jane Kim"]["to look at"]
