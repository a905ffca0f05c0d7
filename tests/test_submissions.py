"""Submissions as they come: found, read, and their checks put back into place."""

import json

import links
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from lab_grade.notebook import Assignment
from lab_grade.placement import find_own_cells, hash_code, plan_steps
from lab_grade.submissions import Submission, find_submissions, read_submission
from text_recognizer.errors import LabError

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


@pytest.mark.parametrize(
    ("code", "left"),
    [
        ("from google.colab import files\nx = 1", "x = 1"),
        ("import google.colab\ngoogle.colab.drive.mount('/x')\nx = 1", "x = 1"),
        ("# mine\n\nfrom google.colab import drive as d\nd.mount('/x')\nx = 1", "x = 1"),
        ("%matplotlib widget\nx = 1", "x = 1"),
        ("import math\n%tensorflow_version 2.x\n!ls\n%load_ext tensorboard\nx = 1", "!ls x = 1"),
        ("%matplotlib inline\n%load_ext autoreload\n%autoreload 2\n%time x = 1", None),
        ("text = '''\n%matplotlib widget\nfrom google.colab import x\n'''", None),
        ("try:\n    from google.colab import drive\nexcept ImportError:\n    pass", None),
        ("%%tensorboard\n%matplotlib widget", None),
        ("files.upload()\nimport google", None),
    ],
)
def test_lines_for_other_front_ends_are_left_out(assignment, code, left):
    submission = Submission("kim", None, code=[code, *CHECKS])
    source = plan_steps(assignment, submission)[0].source
    assert source.count("\n") == code.count("\n")
    if left is None:
        assert source == code and not [f for f in submission.flags if f["kind"] == "file"]
    else:
        ours = ("pass  # left out", "#", "import math")
        kept = [line for line in source.split("\n") if line and not line.startswith(ours)]
        assert " ".join(kept) == left
        told = [flag["text"] for flag in submission.flags]
        assert all("was left out: it is for Colab or another front end" in text for text in told)
        assert len(told) == source.count("pass  # left out")


def test_only_what_a_student_wrote_is_compared(assignment):
    long = "\n".join(f"value_{i} = {i}" for i in range(30))
    unsolved = [cell.released for cell in assignment.cells]
    assert hash_code(assignment, unsolved) == ""
    assert find_own_cells(assignment, [*unsolved, "x = 1"]) == [(len(unsolved) + 1, "x = 1")]
    one = hash_code(assignment, [*unsolved, long])
    assert one == hash_code(assignment, [long + "  # mine", "# CHECK q1 (1 point)"])
    assert one != hash_code(assignment, [long + "\nvalue = 3"])


@pytest.mark.parametrize("address", ["", "https://github.com/somebody/handwriting"])
def test_the_cell_for_colab_is_not_compared_and_not_flagged(assignment, address):
    setup = links.make_setup(address)
    assert find_own_cells(assignment, [setup, setup.replace("\n", "\r\n") + "\n\n"]) == []
    own = [setup + "\nx = 1", setup + "\nelse:\n    x = 1", "x = 1\n" + setup]
    assert [source for _, source in find_own_cells(assignment, own)] == own
    submission = Submission("kim", None, code=[setup, A1, Q1, A2, Q2, A3, Q3])
    assert plan_steps(assignment, submission)[0].source == setup
    assert submission.flags == []


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


def hand_in(folder, *names):
    """Write files of these names, and return who is found to have handed in what."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    return {s.student: s for s in find_submissions(folder, "07_homework.ipynb")}


def list_flags(submission):
    return [flag["text"] for flag in submission.flags]


def test_submissions_are_found_as_canvas_colab_and_git_hand_them_out(tmp_path):
    found = hand_in(
        tmp_path,
        "kimjane_LATE_12345_67890_07_homework-2.ipynb",
        "kimjane_LATE_12345_67890_07_homework-1.ipynb",
        "김민수.ipynb",
        ".DS_Store",
        "git-ann/labs/07_homework.ipynb",
        "git-ann/labs/01_look.ipynb",
        "git-ann/.ipynb_checkpoints/07_homework.ipynb",
        "bob/Copy of 07_homework (1).ipynb",
        "bob/Copy of 07_homework.ipynb",
    )
    assert {student: s.path.name for student, s in found.items()} == {
        "kimjane": "kimjane_LATE_12345_67890_07_homework-2.ipynb",
        "김민수": "김민수.ipynb",
        "git-ann": "07_homework.ipynb",
        "bob": "Copy of 07_homework (1).ipynb",
    }
    assert found["git-ann"].path.parent.name == "labs"
    assert "2 notebooks" in list_flags(found["bob"])[0]
    assert list_flags(found["kimjane"])[1] == "it was handed in late"
    assert not list_flags(found["김민수"])


def test_students_of_the_same_name_are_told_apart(tmp_path):
    found = hand_in(
        tmp_path,
        "kimjane_11111_22222_homework.ipynb",
        "kimjane_33333_44444_homework.ipynb",
        "Kimjane.ipynb",
        "smithbob_55555_66666_homework.ipynb",
    )
    assert list(found) == ["Kimjane", "kimjane (11111)", "kimjane (33333)", "smithbob"]
    assert not any(submission.flags for submission in found.values())


@pytest.mark.parametrize(
    ("names", "students"),
    [
        (
            [
                "HW_6_ann_attempt_2026-03-01-14-05-22_homework.ipynb",
                "HW_6_ann_attempt_2026-03-01-14-05-22.txt",
                "HW_6_ann_attempt_2026-02-28-09-00-00_07_homework.ipynb",
                "HW_6_bo_attempt_2026-03-01-10-00-00.txt",
            ],
            {"ann": "HW_6_ann_attempt_2026-03-01-14-05-22_homework.ipynb", "bo": "not a notebook"},
        ),
        (
            [
                "123-9 - Jane Kim - Mar 1, 2026 205 PM - 07_homework.ipynb",
                "123-9 - Jane Kim - Mar 1, 2026 1046 AM - 07_homework.ipynb",
                "123-9 - Jane Kim - Feb 28, 2026 11_30 PM - 07_homework.ipynb",
                "124-9 - Jane Kim - Mar 1, 2026 1200 AM - 07_homework.ipynb",
                "125-9 - Bo Lee - Mar 1, 2026 200 PM/one.ipynb",
                "125-9 - Bo Lee - Mar 2, 2026 200 AM/two.ipynb",
            ],
            {
                "Bo Lee": "two.ipynb",
                "Jane Kim (123)": "123-9 - Jane Kim - Mar 1, 2026 205 PM - 07_homework.ipynb",
                "Jane Kim (124)": "124-9 - Jane Kim - Mar 1, 2026 1200 AM - 07_homework.ipynb",
            },
        ),
        (
            [
                "Jane Kim_12345_assignsubmission_file_07_homework.ipynb",
                "Jane Kim_12345_assignsubmission_onlinetext_onlinetext.html",
                "이 지은_12346_assignsubmission_file/homework.ipynb",
            ],
            {
                "Jane Kim": "Jane Kim_12345_assignsubmission_file_07_homework.ipynb",
                "이 지은": "homework.ipynb",
            },
        ),
    ],
    ids=["blackboard", "brightspace", "moodle"],
)
def test_other_platforms_names_and_attempts(tmp_path, names, students):
    found = hand_in(tmp_path, *names)
    for submission in found.values():
        if submission.path.suffix == ".txt":
            read_submission(submission)
    told = {student: s.problem or s.path.name for student, s in found.items()}
    assert told.keys() == students.keys()
    assert all(told[student].find(said) >= 0 for student, said in students.items())
    several = [s for s in found.values() if any("attempts; the last" in t for t in list_flags(s))]
    assert len(several) == {"HW": 1, "12": 2, "Ja": 0}[names[0][:2]]


def test_whatever_was_handed_in_has_a_row_that_says_why(tmp_path):
    found = hand_in(
        tmp_path,
        "ann.ipynb",
        "ann.pdf",
        "bob.zip",
        "cyd.py",
        "dan.pdf",
        "eve.html",
        "fay/homework.zip",
        "fay/readme.md",
        "gil/readme.md",
        "leebo_222_333_essay.pdf",
        "notes.txt",
        "__MACOSX/x",
    )
    (tmp_path / "outside").symlink_to("/")
    (tmp_path / "hal").mkdir()
    found = hand_in(tmp_path)
    for submission in found.values():
        read_submission(submission)
    told = {student: submission.problem for student, submission in found.items()}
    assert told == {
        "ann": "ann.ipynb is not a notebook that can be run: it is JSON, but has no cells",
        "bob": "bob.zip is an archive: unpack it, and grade again",
        "cyd": "cyd.py is not a notebook",
        "dan": "dan.pdf is a printout: the .ipynb file itself is needed",
        "eve": "eve.html is a printout: the .ipynb file itself is needed",
        "fay": "there is no notebook in the folder; homework.zip is an archive: unpack it, "
        "and grade again",
        "gil": "there is no notebook in the folder; readme.md is not a notebook",
        "hal": "there is no notebook in the folder, nor anything else",
        "leebo": "leebo_222_333_essay.pdf is a printout: the .ipynb file itself is needed",
        "notes": "notes.txt is not a notebook that can be run: it is JSON, but has no cells",
        "outside": "outside is a link, which is not followed",
    }


def test_nothing_to_grade_is_an_error(tmp_path):
    with pytest.raises(LabError, match="is not a folder"):
        find_submissions(tmp_path / "none", "a.ipynb")
    with pytest.raises(LabError, match="neither notebooks nor folders"):
        find_submissions(tmp_path, "a.ipynb")
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(LabError, match="neither notebooks nor folders"):
        find_submissions(tmp_path, "a.ipynb")
