"""Submissions as they come: found, read, and their checks put back into place."""

import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from lab_grade.notebook import Assignment
from lab_grade.placement import find_own_cells, hash_code, plan_steps
from lab_grade.submissions import Submission, find_submissions, read_submission
from lab_utils.errors import LabError

GIVEN = "import math"
ANSWERS = [f"def f{i}():\n    return {i}" for i in (1, 2, 3)]
CHECKS = [f"# CHECK q{i} (1 point)\nassert f{i}() == {i}" for i in (1, 2, 3)]
HIDDEN = "# CHECK q2 hidden (1 point)\nassert f2() != 3"


def solution(source):
    head, body = source.split("\n")
    return f"{head}\n    ### BEGIN SOLUTION\n{body}\n    ### END SOLUTION"


@pytest.fixture
def assignment(tmp_path):
    sources = [GIVEN]
    for answer, check in zip(ANSWERS, CHECKS, strict=True):
        sources += [solution(answer), check]
    sources.insert(5, HIDDEN)
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    nbformat.write(notebook, tmp_path / "homework.ipynb")
    return Assignment(tmp_path / "homework.ipynb")


def order(assignment, code):
    """Return what runs, in short: A1 for an answer, q1 and h2 for checks, + for other code."""
    submission = Submission("kim", None, code=code)
    short = []
    for step in plan_steps(assignment, submission):
        if step.check:
            short.append(("h" if step.check.hidden else "q") + step.check.question[1:])
        elif step.source in ANSWERS:
            short.append(f"A{ANSWERS.index(step.source) + 1}")
        elif step.source != GIVEN:
            short.append("+")
    return " ".join(short), [flag["text"] for flag in submission.flags]


(A1, A2, A3), (Q1, Q2, Q3) = ANSWERS, CHECKS
AS_IT_SHOULD = "A1 q1 A2 q2 h2 A3 q3"


@pytest.mark.parametrize(
    ("code", "expected", "flagged"),
    [
        ([GIVEN, A1, Q1, A2, Q2, A3, Q3], AS_IT_SHOULD, []),
        ([GIVEN, A1, Q1 + "  \n", A2, Q2 + "\n\n", A3, Q3], AS_IT_SHOULD, []),
        ([GIVEN, A1, "x = 1", Q1, A2, Q2, A3, Q3], "A1 + q1 A2 q2 h2 A3 q3", []),
        ([GIVEN, A1, A2, A3], AS_IT_SHOULD, ["q1", "q2", "q3"]),
        ([GIVEN, A1, Q1, A2, A3, Q3], AS_IT_SHOULD, ["q2 was missing"]),
        ([GIVEN, A1, Q1, A2, A3, Q3, Q2], AS_IT_SHOULD, ["q2 was moved"]),
        ([GIVEN, Q2, A1, Q1, A2, A3, Q3], AS_IT_SHOULD, ["q2 was moved"]),
        ([GIVEN, A1, Q1, Q2, A2, A3, Q3], AS_IT_SHOULD, ["q2 was moved"]),
        ([GIVEN, A1, Q1, A2, Q2, Q2, A3, Q3], AS_IT_SHOULD, ["more than once"]),
        (
            [GIVEN, A1, Q1, A2, Q2.replace("assert", "0 and"), A3, Q3],
            "A1 q1 A2 + q2 h2 A3 q3",
            ["q2 was changed"],
        ),
        (
            [GIVEN, A1, Q1, A2, Q2.replace("1 point", "9 points"), A3, Q3],
            "A1 q1 A2 + q2 h2 A3 q3",
            ["q2 was changed"],
        ),
        (
            [GIVEN, A1, Q1, A2, "x = 1\n" + Q2, A3, Q3],
            "A1 q1 A2 + q2 h2 A3 q3",
            ["q2 was missing"],
        ),
        ([GIVEN, A1, Q1, A2, Q2, HIDDEN, A3, Q3], AS_IT_SHOULD, ["hidden check"]),
        (
            [GIVEN, A1, Q1, A2, Q2, A3, Q3, "# CHECK q9 (9 points)"],
            "A1 q1 A2 q2 h2 A3 q3 +",
            ["q9, which is not a question"],
        ),
        ([Q1, Q2, Q3], "q1 q2 h2 q3", []),
    ],
)
def test_each_check_runs_once_and_after_its_answer(assignment, code, expected, flagged):
    found, flags = order(assignment, code)
    assert found == expected
    assert len(flags) == len(flagged)
    assert all(part in flag for part, flag in zip(flagged, flags, strict=True))


def test_nothing_is_installed(assignment):
    code = """!pip install a \\
  b
x = 1
  %pip install c
!ls
!python -m pip install d
pip = 3"""
    submission = Submission("kim", None, code=[code, *CHECKS])
    lines = plan_steps(assignment, submission)[0].source.split("\n")
    left = [line for line in lines if not line.strip().startswith("pass")]
    assert left == ["x = 1", "!ls", "pip = 3"]
    assert len(lines) == 7
    assert [flag["text"] for flag in submission.flags] == [
        "lines that install packages were left out"
    ]


def test_only_what_a_student_wrote_is_compared(assignment):
    long = "\n".join(f"value_{i} = {i}" for i in range(30))
    unsolved = [cell.released for cell in assignment.cells]
    assert hash_code(assignment, unsolved) == ""
    assert find_own_cells(assignment, [*unsolved, "x = 1"]) == [(len(unsolved) + 1, "x = 1")]
    one = hash_code(assignment, [*unsolved, long])
    assert one == hash_code(assignment, [long + "  # mine", "# CHECK q1 (1 point)"])
    assert one != hash_code(assignment, [long + "\nvalue = 3"])


def notebook_text(*sources, **metadata):
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    notebook.metadata.update(metadata)
    return json.dumps(notebook)


def read(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    submission = Submission("kim", path)
    read_submission(submission)
    return submission


def test_code_is_read_from_whatever_is_a_notebook(tmp_path):
    path = tmp_path / "a.ipynb"
    assert read(path, notebook_text("x = 1\r\ny = 2")).code == ["x = 1\ny = 2"]
    assert read(path, b"\xef\xbb\xbf" + notebook_text("x = 1").encode()).code == ["x = 1"]
    lines = {"cells": [{"cell_type": "code", "source": ["x = 1\n", "y = 2"]}, 3, {"source": "z"}]}
    assert read(path, json.dumps(lines)).code == ["x = 1\ny = 2"]
    old = {"worksheets": [{"cells": [{"cell_type": "code", "input": "x = 1"}]}]}
    assert read(path, json.dumps(old)).code == ["x = 1"]
    odd = read(path, json.dumps({"cells": [{"cell_type": "code", "source": "\ud800"}]}))
    odd.code[0].encode()  # a lone surrogate could not be sent to a kernel


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "it is empty"),
        ("<!DOCTYPE html>", "a web page"),
        ('{"cells": [{"cell_type": "co', "ends in the middle"),
        ('{"cells": [', "ends in the middle"),
        ("cells: 3, x: 4", "not JSON"),
        ("[1]", "no cells"),
        ('{"a": 1}', "no cells"),
        ('{"cells": 3}', "no cells"),
        ('{"cells": []}', "no code cells"),
        ("[" * 100_000, "nested too deeply"),
        (b"\xff\xfe\x00", "not JSON"),
    ],
)
def test_what_is_not_a_notebook_is_one_sentence(tmp_path, content, problem):
    submission = read(tmp_path / "kim.ipynb", content)
    assert problem in submission.problem and "kim.ipynb" in submission.problem
    assert "\n" not in submission.problem


def test_another_language_is_flagged(tmp_path):
    kernel = {"name": "ir", "language": "R", "display_name": "R"}
    assert (
        "'R'" in read(tmp_path / "a.ipynb", notebook_text("x", kernelspec=kernel)).flags[0]["text"]
    )
    kernel |= {"name": "conda-env-ml-py", "language": "python"}
    assert read(tmp_path / "a.ipynb", notebook_text("x", kernelspec=kernel)).flags == []


def test_submissions_are_found_as_canvas_colab_and_git_hand_them_out(tmp_path):
    for name in [
        "kimjane_LATE_12345_67890_06_homework-2.ipynb",
        "kimjane_12345_67000_06_homework-1.ipynb",
        "leebo_222_333_essay.pdf",
        "김민수.ipynb",
        "notes.txt",
        ".DS_Store",
        "git-ann/labs/06_homework.ipynb",
        "git-ann/labs/01_look.ipynb",
        "git-ann/.ipynb_checkpoints/06_homework.ipynb",
        "bob/Copy of 06_homework (1).ipynb",
        "bob/Copy of 06_homework.ipynb",
        "eve/readme.md",
    ]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    (tmp_path / "outside").symlink_to("/")
    found = {s.student: s for s in find_submissions(tmp_path, "06_homework.ipynb")}
    names = {student: s.path and s.path.name for student, s in found.items()}
    assert names == {
        "kimjane": "kimjane_LATE_12345_67890_06_homework-2.ipynb",
        "leebo": "leebo_222_333_essay.pdf",
        "김민수": "김민수.ipynb",
        "git-ann": "06_homework.ipynb",
        "bob": "Copy of 06_homework (1).ipynb",
        "eve": None,
    }
    assert found["git-ann"].path.parent.name == "labs"
    assert "no notebook" in found["eve"].problem
    assert "2 notebooks" in found["bob"].flags[0]["text"]


def test_nothing_to_grade_is_an_error(tmp_path):
    with pytest.raises(LabError, match="is not a folder"):
        find_submissions(tmp_path / "none", "a.ipynb")
    with pytest.raises(LabError, match="neither notebooks nor folders"):
        find_submissions(tmp_path, "a.ipynb")
