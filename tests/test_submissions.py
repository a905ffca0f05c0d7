"""Submissions as they come: found, read, and their checks put back into place."""

import csv
import json
import os
import stat
import sys
import unicodedata
import zipfile

import links
import nbformat
import pytest
from helpers import run_here
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_raw_cell

from lab_grade import grader, submissions
from lab_grade.cli import grade_main
from lab_grade.notebook import Assignment, parse_cell
from lab_grade.placement import find_own_cells, hash_code, plan_steps
from lab_grade.platforms import decode_name, read_owner
from lab_grade.reading import Submission, read_submission
from lab_grade.results import score
from lab_grade.submissions import find_submissions
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
STUB = (
    'def f1():\n    # YOUR CODE HERE\n    raise NotImplementedError("your code is still missing")'
)
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
        # points are nothing that runs, and may have changed since the notebook was handed out
        ([GIVEN, A1, Q1, A2, Q2.replace("1 point", "9 points"), A3, Q3], AS_IT_SHOULD, []),
        ([GIVEN, A1, "%%time\n" + Q1, A2, "#@title x\n" + Q2, A3, Q3], AS_IT_SHOULD, []),
        (
            [GIVEN, A1, Q1, A2, "%%script false\n" + Q2, A3, Q3],
            "A1 q1 A2 + q2 h2 A3 q3",
            ["q2 was missing"],
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
        ([GIVEN, A1, STUB, Q1, A2, Q2, A3, Q3], "A1 + q1 A2 q2 h2 A3 q3", []),
        ([GIVEN, STUB, Q1, A1, A2, Q2, A3, Q3], "+ A1 q1 A2 q2 h2 A3 q3", ["q1 was moved"]),
    ],
)
def test_each_check_runs_once_and_after_its_answer(assignment, code, expected, flagged):
    found, flags = order(assignment, code)
    assert found == expected
    assert len(flags) == len(flagged)
    assert all(part in flag for part, flag in zip(flagged, flags, strict=True))


@pytest.mark.parametrize(
    ("code", "left"),
    [
        ("!pip install a \\\n  b\nx = 1\n  %pip install c\n!ls\npip = 3", "x = 1 !ls pip = 3"),
        ("pip install a", ""),
        ("log = !pip3 install a\nprint(log)", "print(log)"),
        ("!cd . && python3 -W ignore -m pip install a\n!pip list", "!pip list"),
        ("%sx pip install a\n!!conda install a\n%conda install a\nuv pip install a", ""),
        ("if True:\n    !apt-get -y install a", "if True:"),
        ("get_ipython().system('pip install a')\n!{sys.executable} -m pip install a", ""),
        ("%%bash\nls\npip install a\nuv add b", "%%bash ls"),
        ("%%script sh\npython -m pip install a", "%%script sh"),
        ("%%capture\n!pip install a", "%%capture"),
        ("%pip \\\n  install a\n! python -mpip install a \\\n  b\nx = 1", "x = 1"),
        ("get_ipython().run_line_magic('pip', 'install a')\n!sudo dnf -y install a", ""),
        ("# pip install a\npip = 'install'\nprint('pip install a')", None),
    ],
)
def test_nothing_is_installed(assignment, code, left):
    submission = Submission("kim", None, code=[code, *CHECKS])
    source = plan_steps(assignment, submission)[0].source
    assert source.count("\n") == code.count("\n")
    told = [flag["text"] for flag in submission.flags]
    if left is None:
        assert source == code and not told
    else:
        ours = "pass  # nothing is", ":  # nothing is"
        lines = [line for line in source.split("\n") if not line.strip().startswith(ours)]
        assert " ".join(lines) == left
        assert told == ["lines that install packages were left out"]


def test_what_stands_beside_an_install_of_two_lines_runs(assignment):
    submission = Submission("kim", None, code=["!pip install a \\\n  b\nx = 1"])
    assert parse_cell(plan_steps(assignment, submission)[0].source)


@pytest.mark.parametrize(
    ("code", "parts"),
    [
        ("name = input('?')\nimport math\nx = 1", ["name = input('?')", "import math", "x = 1"]),
        (
            "import a, b\n# c\nplt.switch_backend('Tk')",
            ["import a, b", "# c\nplt.switch_backend('Tk')"],
        ),
        (
            "import cv2\n\n@a\ndef f():\n    pass\n\ndef g():\n    pass",
            ["import cv2", "\n@a\ndef f():\n    pass\n\ndef g():\n    pass"],
        ),
        (
            "x = 1\nk = getpass.getpass()\ny = 2\nz = 3",
            ["x = 1\nk = getpass.getpass()", "y = 2\nz = 3"],
        ),
        (
            "x = 7\n# CHECK q1 (1 point)\nassert x == 1\ndef f2():\n    return 2",
            ["x = 7\n# CHECK q1 (1 point)\nassert x == 1", "def f2():\n    return 2"],
        ),
        ("k = 1\n%matplotlib qt\nx = 2", ["k = 1\n%matplotlib qt", "x = 2"]),
        (
            "os.chdir('/content')\nbreakpoint()\nx = 1",
            ["os.chdir('/content')", "breakpoint()", "x = 1"],
        ),
        ("def ask():\n    return input()\nx = 1", None),
        ("import no_such\ndef f1():\n    return 1", None),  # an answer needs what it imports
        ("import a; x = 1", None),
        ("import (", None),
    ],
)
def test_a_line_that_fails_here_does_not_take_others_with_it(assignment, code, parts):
    submission = Submission("kim", None, code=[code, *CHECKS])
    steps = [s for s in plan_steps(assignment, submission) if not s.check]
    assert [s.source.rstrip("\n") for s in steps] == (parts or [code])
    assert all(step.number == 1 for step in steps)


DATA = "sizes = [1, 2]\nscale = 2"


@pytest.fixture
def with_data(tmp_path):
    """Return an assignment whose checks need data that is given."""
    check = "# CHECK q1 (1 point)\nassert f1() == 1 and sizes == [1, 2] and halve(4) == 2"
    given = ["import math", DATA, "def halve(x):\n    return x / scale", "unused = 3"]
    cells = [*given, solution(A1), check, solution(A2), Q2]
    notebook = new_notebook(cells=[new_code_cell(source) for source in cells])
    nbformat.write(notebook, tmp_path / "homework.ipynb")
    return Assignment(tmp_path / "homework.ipynb")


def test_given_cells_are_put_back_where_a_check_or_the_student_needs_them(with_data):
    given = [cell.source for cell in with_data.cells if cell.is_given]
    check = with_data.checks[0].source

    def put_back(*code):
        submission = Submission("kim", None, code=list(code))
        sources = [step.source for step in plan_steps(with_data, submission)]
        back = [step.source for step in plan_steps(with_data, submission) if step.number == 0]
        kinds = {flag["kind"] for flag in submission.flags}
        return back, sources, kinds

    assert put_back(*given, A1, check, A2, Q2) == ([], [*given, A1, check, A2, Q2], set())
    own = "import math, os\nsizes = [1, 2]\nscale = 2", "def halve(x):\n    return x / 2"
    assert put_back(*own, A1, check, A2, Q2)[::2] == ([], set())  # written again, and the same
    back, sources, kinds = put_back(given[0], *given[2:], A1, check, A2, Q2)
    assert (back, kinds) == ([DATA], {"file"}) and sources.index(DATA) == 1
    smaller = "sizes = [1]\nscale = 2"
    back, sources, _ = put_back(given[0], smaller, *given[2:], A1, check, A2, Q2)
    assert back == [DATA] and sources.index(DATA) == sources.index(smaller) + 1
    back, *_ = put_back(*given[1:], "def f1():\n    return math.floor(1)", check, A2, Q2)
    assert back == ["import math"]
    assert put_back(*given[1:], A1, check, A2, Q2)[0] == []  # nobody needs it


@pytest.mark.parametrize(
    ("given", "old", "new"),
    [
        ("random.seed(1)\nsizes = [random.random()]", "seed(1)", "seed(2)"),
        ("sizes = []\nfor i in range(3):\n    sizes.append(i)", "range(3)", "range(1)"),
        ("if True:\n    sizes = [1, 2]", "True", "False"),
    ],
)
def test_given_data_are_put_back_however_they_were_made(tmp_path, given, old, new):
    check = "# CHECK q1 (1 point)\nassert f1() and sizes"
    cells = [new_code_cell(s) for s in (f"{given}\nprint(sizes)", solution(A1), check)]
    nbformat.write(new_notebook(cells=cells), tmp_path / "homework.ipynb")
    assignment = Assignment(tmp_path / "homework.ipynb")
    for changed, is_back in (
        (given + "  # mine\nplt.plot(sizes)", False),
        (given.replace(old, new), True),
    ):
        steps = plan_steps(assignment, Submission("kim", None, code=[changed, A1, check]))
        assert [s.source for s in steps if s.number == 0] == [f"{given}\nprint(sizes)"] * is_back


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
    source = "\n".join(s.source for s in plan_steps(assignment, submission) if not s.check)
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


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ('Path("opt_einsum.py").write_text("x = 1")', "writes a file of Python code"),
        ("open('a.py', 'w')", "writes a file of Python code"),
        ('open("/proc/" + pid + "/mem")', "looks at other processes"),
        ('getattr(sys, "_get" + "frame")()', "looks at the code that calls it"),
        ("getattr(os, 'ki' + 'll')(1, 9)", "ends the kernel"),
        ("print('a' + 'b')\nopen('a.csv', 'w')\nfrom helper import *  # helper.py", None),
    ],
)
def test_what_an_honest_answer_hardly_needs_is_flagged(assignment, code, why):
    submission = Submission("kim", None, code=[GIVEN, code, A1, Q1])
    told = [flag["text"] for flag in score(assignment, submission, [], [])["flags"]]
    assert [text.partition(" (")[0] for text in told] == ([f"cell 2 {why}"] if why else [])


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


def read(path, content, assignment):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    submission = Submission("kim", path)
    read_submission(submission, assignment)
    return submission


def test_code_is_read_from_whatever_is_a_notebook(tmp_path, assignment):
    path = tmp_path / "a.ipynb"
    assert read(path, notebook_text("x = 1\r\ny = 2"), assignment).code == ["x = 1\ny = 2"]
    lines = {"cells": [{"cell_type": "code", "source": ["x = 1\n", "y = 2"]}, 3, {"source": "z"}]}
    assert read(path, json.dumps(lines), assignment).code == ["x = 1\ny = 2"]
    old = {"worksheets": [{"cells": [{"cell_type": "code", "input": "x = 1"}]}]}
    assert read(path, json.dumps(old), assignment).code == ["x = 1"]
    odd = json.dumps({"cells": [{"cell_type": "code", "source": "\ud800"}]})
    read(path, odd, assignment).code[0].encode()  # a lone surrogate could not be sent to a kernel


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", "cp949"]
)
def test_a_notebook_is_read_in_whatever_encoding_it_was_saved(tmp_path, assignment, encoding):
    code = "# 원의 넓이: 반지름의 제곱\nx = '넓이'"
    text = json.dumps(json.loads(notebook_text(code)), ensure_ascii=False)
    assert read(tmp_path / "a.ipynb", text.encode(encoding), assignment).code == [code]


@pytest.mark.parametrize("mark", ["\u2028", "\x0b", "\x0c", "\x1c", "\x85"])
def test_a_line_ends_where_python_ends_it(tmp_path, assignment, mark):
    code = [f"{mark if mark == chr(12) else ''}def f1():\n    # a{mark}b\n    return 1", Q1]
    submission = read(tmp_path / "a.ipynb", notebook_text(*code, A2, Q2, A3, Q3), assignment)
    assert submission.code[0] == code[0]
    steps = plan_steps(assignment, submission)
    assert [step.source for step in steps[:2]] == code and steps[1].check
    assert submission.flags == []


def turned(*cells):
    """Return a notebook's text, of sources and of what stray keys made of some."""
    cells = [cell if isinstance(cell, dict) else new_code_cell(cell) for cell in cells]
    return json.dumps(new_notebook(cells=cells))


def test_code_that_became_text_runs_and_is_told(tmp_path, assignment):
    path = tmp_path / "a.ipynb"
    prose = new_markdown_cell("f1 is what I wrote above: f1 = 1, or so.")
    cells = [new_raw_cell(GIVEN), new_markdown_cell(A1), prose, new_markdown_cell(Q1)]
    found = read(path, turned(*cells, A2, Q2, A3, Q3), assignment)
    assert found.code == [GIVEN, A1, Q1, A2, Q2, A3, Q3]
    assert order(assignment, found.code) == (AS_IT_SHOULD, [])
    assert [flag["text"] for flag in found.flags] == [
        f"the cell {first!r} had become {kind} text; it was run as code"
        for first, kind in [
            (GIVEN, "raw"),
            ("def f1():", "markdown"),
            (Q1.split("\n")[0], "markdown"),
        ]
    ]
    head, body = A2.split("\n")  # split by another key
    found = read(path, turned(GIVEN, A1, Q1, head, body, Q2, A3, Q3), assignment)
    assert found.code == [GIVEN, A1, Q1, A2, Q2, A3, Q3]
    assert list_flags(found) == ["the cell 'def f2():' had been split; it was run as one"]
    earlier = new_raw_cell("def f1():\n    return 7")  # put away by the student, who wrote another
    found = read(path, turned(GIVEN, earlier, A1, Q1, A2, Q2, A3, Q3), assignment)
    assert found.code == [GIVEN, A1, Q1, A2, Q2, A3, Q3] and found.flags == []


def test_an_answer_that_a_given_cell_goes_on_with_is_found_in_text(tmp_path):
    answer, use = "x, y = 1, 2", "x = x + 1"
    solved = f"### BEGIN SOLUTION\n{answer}\n### END SOLUTION"
    check = "# CHECK q1 (1 point)\nassert y == 2"
    cells = [new_code_cell(source) for source in (solved, use, check)]
    nbformat.write(new_notebook(cells=cells), tmp_path / "homework.ipynb")
    assignment = Assignment(tmp_path / "homework.ipynb")
    found = read(tmp_path / "a.ipynb", turned(new_raw_cell(answer), use, check), assignment)
    assert found.code == [answer, use, check]


def test_an_answer_by_hand_may_have_lost_its_mark(tmp_path):
    why = "# MANUAL q4 (2 points)\nWhy?\n\n### BEGIN SOLUTION\nThus.\n### END SOLUTION"
    cells = [
        new_code_cell(GIVEN),
        new_markdown_cell(why),
        new_code_cell(solution(A1)),
        new_code_cell(Q1),
    ]
    nbformat.write(new_notebook(cells=cells), tmp_path / "homework.ipynb")
    assignment = Assignment(tmp_path / "homework.ipynb")
    found = read(tmp_path / "a.ipynb", turned(GIVEN, new_markdown_cell("So."), A1, Q1), assignment)
    assert found.by_hand["q4"]["text"].startswith("So.")
    found = read(tmp_path / "a.ipynb", turned(GIVEN, A1, Q1), assignment)
    assert "So." not in found.by_hand["q4"]["text"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "it is empty"),
        ("\0" * 300, "it is empty"),
        ("{\\rtf1\\ansi", "a printout"),
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
        ("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "pointer of Git LFS"),
        ("<<<<<<< HEAD\n{", "git's conflict marks"),
        ('{"cells": [\n<<<<<<< HEAD\n{},\n=======\n>>>>>>> main\n]}', "git's conflict marks"),
        ("%PDF-1.4", "a printout"),
        (b"PK\x03\x04rest", "an archive"),
    ],
)
def test_what_is_not_a_notebook_is_one_sentence(tmp_path, assignment, content, problem):
    submission = read(tmp_path / "kim.ipynb", content, assignment)
    assert problem in submission.problem and "kim.ipynb" in submission.problem
    assert "\n" not in submission.problem


def test_another_language_and_another_notebook_are_flagged(tmp_path, assignment):
    kernel = {"name": "ir", "language": "R", "display_name": "R"}
    path = tmp_path / "a.ipynb"
    flags = read(path, notebook_text(GIVEN, kernelspec=kernel), assignment).flags
    assert len(flags) == 1 and "'R'" in flags[0]["text"]
    kernel |= {"name": "conda-env-ml-py", "language": "python"}
    assert read(path, notebook_text(GIVEN, kernelspec=kernel), assignment).flags == []
    (flag,) = read(path, notebook_text("x = 1"), assignment).flags
    assert "nothing in it is of this assignment" in flag["text"]


SOLVED = notebook_text(GIVEN, A1, Q1, A2, Q2, A3, Q3)
HALF = notebook_text(GIVEN, A1, Q1)  # of an answer less, or of two


def hand_in(folder, assignment, *names, **contents):
    """Write files, solved notebooks if nothing else is said; return what is found of whom."""
    for name in [*names, *contents]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = contents.get(name, SOLVED if ".ipynb" in name else "x")
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return find(folder, assignment)


def find(source, assignment):
    return {s.student: s for s in find_submissions(source, assignment, source.parent / "unpacked")}


def list_flags(submission):
    return [flag["text"] for flag in submission.flags]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "submissions"


def test_submissions_are_found_as_canvas_colab_and_git_hand_them_out(folder, assignment):
    found = hand_in(
        folder,
        assignment,
        "kimjane_LATE_12345_67890_07_homework-2.ipynb",
        "김민수.ipynb",
        ".DS_Store",
        "git-ann/labs/07_homework.ipynb",
        "git-ann/.ipynb_checkpoints/07_homework.ipynb",
        "submission_metadata.yml",
        "git-ann/grades.csv",
        **{"git-ann/labs/01_look.ipynb": notebook_text("import torch", "# CHECK q1 (2 points)\n1")},
    )
    assert {student: s.path.name for student, s in found.items()} == {
        "kimjane": "kimjane_LATE_12345_67890_07_homework-2.ipynb",
        "김민수": "김민수.ipynb",
        "git-ann": "07_homework.ipynb",
    }
    assert found["git-ann"].folder == folder / "git-ann" / "labs"
    assert found["김민수"].folder is None  # it is everybody's
    assert "2 notebooks" in list_flags(found["git-ann"])[0]
    assert list_flags(found["kimjane"]) == ["it was handed in late"]
    assert not list_flags(found["김민수"])


def test_students_of_the_same_name_are_told_apart(folder, assignment):
    found = hand_in(
        folder,
        assignment,
        "kimjane_11111_22222_homework.ipynb",
        "kimjane_33333_44444_homework.ipynb",
        "Kimjane.ipynb",
        "smithbob_55555_66666_homework.ipynb",
    )
    assert list(found) == ["Kimjane", "kimjane (11111)", "kimjane (33333)", "smithbob"]
    assert not any(submission.flags for submission in found.values())


# Of each platform, the files of a download; and after those that say it, whose they are and the
# platform's number.
DOWNLOADS = {
    "canvas": """
kimjane_12345_67890_homework-1.ipynb | kimjane | 12345
kimjane_12345_67891_notes.pdf
lee_min_LATE_12346_67892_homework.ipynb | lee_min | 12346
parkso_12347_link.html | parkso | 12347""",
    "canvas, anonymous": """
anon_4tGsK_901_homework.ipynb | anon_4tGsK | anon_4tGsK
anon_4tGsK_902_report.pdf
anon_90125_904_x.ipynb | anon_90125 | anon_90125
LATE_anon_Zq81b_903_homework-1.ipynb | anon_Zq81b | anon_Zq81b
anon_aB3dE_text.html | anon_aB3dE | anon_aB3dE""",
    "moodle": """
Jane Kim_12345_assignsubmission_file_homework.ipynb | Jane Kim | 12345
Jane Kim_12345_assignsubmission_onlinetext_onlinetext.html
이 지은_12346_assignsubmission_file/homework.ipynb | 이 지은 | 12346
grades.csv
Participant_12347_assignsubmission_file_/homework.ipynb | Participant | 12347""",
    "blackboard": """
HW_6_ann_attempt_2026-03-01-14-05-22_homework.ipynb | ann | HW_6_ann
HW_6_ann_attempt_2026-03-01-14-05-22.txt
HW_6_bo_attempt_2026-03-01-10-00-00.txt | bo | HW_6_bo""",
    "brightspace": """
123-9 - Jane Kim - Mar 1, 2026 205 PM/homework.ipynb | Jane Kim | 123
index.html
124-9 - Bo Lee - 1 March, 2026 1405/homework.ipynb | Bo Lee | 124
125-9 - 김민준 - 2026년 3월 1일 오후 205/homework.ipynb | 김민준 | 125
126-9 - Cy Ro- Mar 1, 2026 205 PM/homework.ipynb | Cy Ro | 126
127-9 - Group 2026 - 1 févr. 2026 1405 - homework.ipynb | Group 2026 | 127""",
    "gradescope": """
assignment_1_export/submission_77/homework.ipynb | Jane Kim | 77
assignment_1_export/submission_78/homework.ipynb | Bo Lee, 김민준 | 78
assignment_1_export/submission_79/homework.ipynb | cy@x.edu | 79
assignment_1_export/submission_metadata.yml""",
    "sakai": """
Homework/Kim, Jane(kimjane)/Submission attachment(s)/homework.ipynb | Kim, Jane | kimjane
Homework/Kim, Jane(kimjane)/Feedback Attachment(s)/homework.ipynb
Homework/Kim, Jane(kimjane)/timestamp.txt
Homework/grades.csv
Homework/Park, Cy (C.)(cy@x.edu)/Submission attachment(s)/homework.ipynb | Park, Cy (C.) | cy@x.edu
Homework/Lee, Bo(bo12)/comments.txt | Lee, Bo | bo12""",
    "classroom": """
Homework/Jane Kim - Week 6.ipynb | Jane Kim |
Homework/김민준 - Week 6.ipynb | 김민준 |
Homework/Jane Kim - Week 6 (1).ipynb
Homework/Cy Ro - Copy of Week 6.ipynb | Cy Ro |
Homework/Bo - Lee - homework.ipynb | Bo - Lee |""",
    "teams": """
Submitted files/Jane Kim/Homework 6/Version 2/homework.ipynb | Jane Kim |
Submitted files/김민준/Homework 6/homework.ipynb | 김민준 |
Working files/Jane Kim/Homework 6/homework.ipynb""",
}
# The same for a whole class: of each student the file, and the name that is read from it.
PATTERNS = {
    "canvas": ("{login}_{id}_9{id}_homework.ipynb", "{login}"),
    "canvas, anonymous": ("anon_{code}_9{id}_homework.ipynb", "anon_{code}"),
    "moodle": ("{name}_{id}_assignsubmission_file/homework.ipynb", "{name}"),
    "blackboard": ("HW_6_{login}_attempt_2026-03-01-14-05-22_homework.ipynb", "{login}"),
    "brightspace": ("{id}-9 - {name} - Mar 1, 2026 205 PM/homework.ipynb", "{name}"),
    "gradescope": ("export/submission_{id}/homework.ipynb", "{name}"),
    "sakai": ("Homework/{name}, B.({login})/Submission attachment(s)/homework.ipynb", "{name}, B"),
    "classroom": ("Homework/{name} - Week 6.ipynb", "{name}"),
    "teams": ("Submitted files/{name}/Homework 6/Version 1/homework.ipynb", "{name}"),
    "mail": ("{name}.ipynb", "{name}"),
}
IDS = {"canvas, anonymous": "anon_{code}", "blackboard": "HW_6_{login}", "sakai": "{login}"}
CLASS = (
    "Jane Kim, 김민준, 이 지은, José García, Björn Größe, Máire O'Neill, Jean-Luc Picard, 山田 太郎"
)
CLASS += ", Nguyễn Văn An, Anne-Marie van der Berg, Late Kim, Link Lee, Copy Cat, Mar 1, Version 2"
CLASS += ", Con, Attempt Two, 선우은숙, Ὀδυσσεύς, Jo"
METADATA = """submission_77:
  :submitters:
  - :name: Jane Kim
    :sid: '1'
submission_78:
  :submitters:
  - :name: Bo Lee
  - :name: "\\uAE40\\uBBFC\\uC900"
submission_79:
  :submitters:
  - :name:
    :email: cy@x.edu
"""


@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("platform", DOWNLOADS)
def test_students_are_who_a_platform_says(folder, assignment, platform, zipped):
    lines = [line.split(" | ") for line in DOWNLOADS[platform].strip().split("\n")]
    lines = [[part.removesuffix(" |") for part in line] for line in lines]
    names = [line[0] for line in lines]
    students = {line[1]: "".join(line[2:]) for line in lines if len(line) > 1}
    metadata = {name: METADATA for name in names if name.endswith("metadata.yml")}
    source = folder / "Homework" if platform == "classroom" and not zipped else folder
    hand_in(folder, assignment, *names, **metadata)
    if zipped:
        source = (
            folder.with_suffix(".zip")
            if platform != "classroom"
            else folder.parent / "Homework.zip"
        )
        with zipfile.ZipFile(source, "w") as packed:
            for path in folder.rglob("*"):
                packed.write(path, path.relative_to(folder))
    found = find(source, assignment)
    assert {student: s.owner.id for student, s in found.items()} == students
    if students := [s for s in found.values() if s.owner.id]:
        assert {s.owner.platform for s in students} == {platform.partition(",")[0]}
    for student, submission in found.items():
        asks = student in ("parkso", "anon_aB3dE", "bo", "Lee, Bo")
        assert bool(submission.problem) == asks, student
        assert asks or submission.path.read_text() == SOLVED


def list_class(platform):
    """Return the file, the name and the platform's number of each of twenty students."""
    for i, name in enumerate(CLASS.split(", "), start=101):
        known = {"name": name, "login": name.lower().replace(" ", ""), "id": i, "code": f"aB{i}"}
        parts = (*PATTERNS[platform], IDS.get(platform, "{id}"))
        yield name, *(part.format(**known) for part in parts)


@pytest.mark.parametrize("platform", PATTERNS)
def test_a_class_of_twenty_is_who_a_platform_says(folder, assignment, platform):
    students = list(list_class(platform))
    has_ids = platform not in ("classroom", "teams", "mail")
    metadata = "".join(
        f"submission_{i}:\n  :submitters:\n  - :name: {name}\n" for name, *_, i in students
    )
    others = {"export/submission_metadata.yml": metadata} if platform == "gradescope" else {}
    source = folder / "Homework" if platform == "classroom" else folder
    hand_in(folder, assignment, *(path for _, path, *_ in students), **others)
    found = find(source, assignment)
    assert {s: f.owner.id for s, f in found.items()} == {
        name: number if has_ids else "" for _, _, name, number in students
    }
    assert not any(submission.problem or submission.flags for submission in found.values())


@pytest.mark.parametrize("platform", ["canvas", "moodle"])
def test_a_class_of_twenty_is_graded_for_its_platform(folder, assignment, platform, monkeypatch):
    monkeypatch.setattr(grader, "run_submission", run_here)
    students = list(list_class(platform))
    half = {path: HALF for _, path, *_ in students[::2]}
    hand_in(folder, assignment, *(path for _, path, *_ in students), **half)
    out = folder.parent / "grades"
    command = [assignment.path, folder, "-o", out, "--for", platform, "--no-sandbox"]
    assert grade_main([*map(str, command)]) == 0
    points = {number: 1 + 3 * (i % 2) for i, (*_, number) in enumerate(students)}
    rows = list(csv.DictReader((out / "gradebook.csv").read_text("utf-8-sig").splitlines()))
    assert {row["id"]: int(row["points"]) for row in rows} == points
    rows = list(csv.reader((out / f"{platform}.csv").read_text("utf-8").splitlines()))[1:]
    known = {row[1]: row[4] for row in rows[1:]}
    if platform == "moodle":
        known = {row[0].removeprefix("Participant "): row[2] for row in rows}
    assert {number: int(earned) for number, earned in known.items()} == points
    with zipfile.ZipFile(out / f"{platform}-feedback.zip") as packed:
        prefixes = [path.split("homework")[0].replace("/", "_") for _, path, *_ in students]
        assert sorted(packed.namelist()) == sorted(f"{one}feedback.html" for one in prefixes)


@pytest.mark.parametrize(
    ("names", "last"),
    [
        (
            [
                "HW_ann_attempt_2026-02-28-09-00-00_x.ipynb",
                "HW_ann_attempt_2026-03-01-14-05-22_x.ipynb",
            ],
            1,
        ),
        (
            [
                "123-9 - Jane Kim - Feb 28, 2026 11_30 PM - x.ipynb",
                "123-9 - Jane Kim - Mar 1, 2026 205 PM - x.ipynb",
                "123-9 - Jane Kim - Mar 1, 2026 1046 AM - x.ipynb",
            ],
            1,
        ),
        (["5-9 - Bo - 2 March, 2026 0905/x.ipynb", "5-9 - Bo - 1 March, 2026 1405/x.ipynb"], 0),
        (["5-9 - Bo - 30 avril 2026 0905/x.ipynb", "5-9 - Bo - 1 mai 2026 0805/x.ipynb"], 1),
        (
            [
                "5-9 - Bo - Mar 1, 2026 205 p. m./x.ipynb",
                "5-9 - Bo - Mar 1, 2026 1146 a. m./x.ipynb",
            ],
            0,
        ),
        (["5-9 - Bo - 28-02-2026 0905/x.ipynb", "5-9 - Bo - 01-03-2026 0805/x.ipynb"], 1),
    ],
)
def test_the_last_attempt_with_an_answer_counts(folder, assignment, names, last):
    (found,) = hand_in(folder, assignment, *names).values()
    assert found.file.startswith(names[last])
    assert f"{len(names)} attempts; the last was graded" in list_flags(found)[0]
    (found,) = hand_in(
        folder, assignment, **{names[last]: notebook_text(GIVEN, Q1, Q2, Q3)}
    ).values()
    assert not found.file.startswith(names[last])
    assert "the last with an answer in it" in list_flags(found)[0]


@pytest.mark.parametrize(
    "names",
    [
        ["homework.ipynb", "homework-Copy1.ipynb"],
        ["homework (1).ipynb", "homework.ipynb"],
        ["homework - Copy.ipynb", "homework.ipynb"],
        ["homework.ipynb", "homework_solved.ipynb"],
        ["Untitled.ipynb", "homework.ipynb"],
        ["homework (Kim's conflicted copy 2026-03-01).ipynb", "homework.ipynb"],
        ["backup/homework.ipynb", "homework.ipynb"],
        ["Version 1/homework.ipynb", "Version 2/homework.ipynb"],
        ["attempt_1.ipynb", "attempt_2.ipynb"],
    ],
)
@pytest.mark.parametrize("solved", [0, 1])
def test_the_notebook_with_answers_is_graded_whatever_its_name(folder, assignment, names, solved):
    released = nbformat.writes(assignment.release())
    stub = released.replace("your code is still missing", "answer me")  # of an earlier release
    for blank in (released, stub):
        contents = {f"kim/{name}": SOLVED if i == solved else blank for i, name in enumerate(names)}
        (found,) = find_all(folder, assignment, contents)
        assert found.path.read_text() == SOLVED
        assert list_flags(found) == [f"there are 2 notebooks; kim/{names[solved]} was graded"]


def find_all(folder, assignment, contents):
    hand_in(folder, assignment, **contents)
    return find_submissions(folder, assignment, folder.parent / "unpacked")


def test_notebooks_that_are_as_good_are_all_graded(folder, assignment):
    other = SOLVED.replace("return 3", "return 1 + 2")
    contents = {"kim/Version 1/a.ipynb": SOLVED, "kim/Version 2/a.ipynb": other}
    contents |= {"kim/half.ipynb": HALF, "kim/same.ipynb": SOLVED}
    found = find_all(folder, assignment, contents)
    assert sorted(s.path.read_text() for s in found) == sorted([SOLVED, other])
    assert [s.number for s in found] == [1, 2] and {s.student for s in found} == {"kim"}


def test_a_notebook_in_an_archive_is_one_of_several(folder, assignment):
    folder.mkdir()
    with zipfile.ZipFile(folder.parent / "a.zip", "w") as packed:
        packed.writestr("homework.ipynb", SOLVED)
    zipped = (folder.parent / "a.zip").read_bytes()
    blank = nbformat.writes(assignment.release())
    (found,) = find_all(
        folder,
        assignment,
        {"kim/a.zip": zipped, "kim/homework.ipynb": blank, "kim/b.zip": b"PK\3\4"},
    )
    assert found.file == "kim/a.zip/homework.ipynb"


def test_answers_count_more_than_what_was_given(folder, assignment):
    released = [
        cell.released for cell in assignment.cells if not (cell.check and cell.check.hidden)
    ]
    begun = notebook_text(*released[:1], A1, *released[2:])
    (found,) = find_all(
        folder,
        assignment,
        {"kim/homework.ipynb": begun, "kim/Untitled.ipynb": notebook_text(A1, A2, A3)},
    )
    assert found.file == "kim/Untitled.ipynb"


def test_one_person_has_one_row(folder, assignment):
    decomposed = unicodedata.normalize("NFD", "김민준")
    found = hand_in(
        folder,
        assignment,
        "김민준/homework.ipynb",
        f"{decomposed}.ipynb",
        "김철수 과제.ipynb",
        "김철수 과제 (1).ipynb",
        "이 지은 (2).ipynb",  # there is no other
        "homework.ipynb",  # of whom?
        "homework (1).ipynb",
        "\u200b.ipynb",
        ".ipynb",
        "Copy of homework.ipynb",
        "homework - Kopie.ipynb",
    )
    known = ["Copy of homework", "homework", "homework (1)", "homework - Kopie"]
    known += ["unnamed 1", "unnamed 7", "김민준", "김철수 과제", "이 지은 (2)"]
    assert list(found) == known


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("이서연", "cp949"),
        ("똠방각하", "cp949"),
        ("山田太郎", "cp932"),
        ("さくら", "cp932"),
        ("林 健", "cp932"),
        ("José", "cp437"),
        ("Björn Größe", "cp437"),
        ("Renée", "cp437"),
    ],
)
def test_names_in_zips_and_on_disks_are_decoded(folder, assignment, name, encoding):
    raw = f"{name}.ipynb".encode(encoding)
    folder.mkdir()
    zipped = folder.with_suffix(".zip")
    with zipfile.ZipFile(zipped, "w") as packed:  # as systems without UTF-8 write it
        placeholder = "x" * len(raw)
        packed.writestr(placeholder, SOLVED)
    zipped.write_bytes(zipped.read_bytes().replace(placeholder.encode(), raw))
    assert list(find(zipped, assignment)) == [name]
    assert decode_name(name) == decode_name(unicodedata.normalize("NFD", name)) == name
    if sys.platform == "linux":
        (folder / os.fsdecode(raw)).write_text(SOLVED)
        assert list(find(folder, assignment)) == [name]


def test_a_zip_is_unpacked_into_its_folder_and_within_bounds(folder, assignment, monkeypatch):
    folder.mkdir()
    hostile = folder / "kim.zip"
    with zipfile.ZipFile(hostile, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in ("../../outside.ipynb", "/absolute.ipynb", "a\\..\\..\\..\\b.ipynb"):
            packed.writestr(name, SOLVED)
        link = zipfile.ZipInfo("link.ipynb")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        packed.writestr(link, "/etc/passwd")
        packed.writestr("inner/x.ipynb", HALF)
        packed.writestr("bomb.ipynb", "0" * 10**6)
    lying = hostile.read_bytes().replace((10**6).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    hostile.write_bytes(lying)  # a bomb that says to be small
    before = set(folder.parent.rglob("*"))
    (found,) = find(folder, assignment).values()
    assert found.path.read_text() == SOLVED and "/inner/" not in found.file
    new = set(folder.parent.rglob("*")) - before
    unpacked = folder.parent / "unpacked"
    assert new and all(path == unpacked or path.is_relative_to(unpacked) for path in new)
    assert not any(path.is_symlink() for path in new)
    assert sum(path.stat().st_size for path in new if path.is_file()) < 10 * len(SOLVED)
    for limit in ("MAX_UNPACKED", "MAX_MEMBERS"):
        monkeypatch.setattr(submissions, limit, 3)
        (found,) = find(folder, assignment).values()
        assert found.problem == "kim.zip cannot be unpacked (it is too large)"
        monkeypatch.undo()


@pytest.mark.parametrize("damage", ["cut", "changed", "locked"])
def test_a_damaged_zip_is_one_sentence(folder, assignment, damage):
    folder.mkdir()
    with zipfile.ZipFile(folder / "kim.zip", "w") as packed:
        packed.writestr("homework.ipynb", SOLVED)
    content = (folder / "kim.zip").read_bytes()
    broken = {
        "cut": content[: len(content) // 2],
        "changed": content.replace(b"return 1", b"return 7"),
        "locked": content.replace(b"PK\x03\x04\x14\0\0", b"PK\x03\x04\x14\0\1").replace(
            b"PK\x01\x02\x14\x03\x14\0\0", b"PK\x01\x02\x14\x03\x14\0\1"
        ),
    }[damage]
    assert broken != content
    (folder / "kim.zip").write_bytes(broken)
    (found,) = find(folder, assignment).values()
    why = "/homework.ipynb is not" if damage == "changed" else " cannot be unpacked ("
    assert found.problem.startswith(f"kim.zip{why}") and "\n" not in found.problem


def test_whatever_was_handed_in_has_a_row_that_says_why(folder, assignment):
    hand_in(
        folder,
        assignment,
        "ann.pdf",
        "bob.zip",
        "cyd.py",
        "dan.pdf",
        "eve.html",
        "fay/homework.7z",
        "fay/readme.md",
        "gil/readme.md",
        "leebo_222_333_essay.pdf",
        "__MACOSX/x",
        "index.html",
        "Thumbs.db",
        "Icon\r",
        "$RECYCLE.BIN/x",
        "System Volume Information/x",
        "jan.ipynb.1",
        "kai.tar.xz",
        "grades.csv",
        "download-log.txt",
        **{"ann.ipynb": "{}", "notes.txt": "{}"},
    )
    (folder / "outside").symlink_to("/")
    (folder / "hal").mkdir()
    with zipfile.ZipFile(folder / "ida.zip", "w") as packed:
        packed.writestr("homework/homework.ipynb", SOLVED)
    told = {student: s.problem for student, s in find(folder, assignment).items()}
    assert told == {
        "ann": "ann.ipynb is not a notebook that can be run: it is JSON, but has no cells",
        "bob": "bob.zip cannot be unpacked (File is not a zip file)",
        "cyd": "cyd.py is not a notebook",
        "dan": "dan.pdf is a printout: the .ipynb file itself is needed",
        "eve": "eve.html is a printout: the .ipynb file itself is needed",
        "fay": "there is no notebook in the folder; homework.7z is an archive: unpack it, "
        "and grade again",
        "gil": "there is no notebook in the folder; readme.md is not a notebook",
        "hal": "there is no notebook in the folder, nor anything else",
        "ida": "",
        "jan": "",
        "kai.tar": "kai.tar.xz is an archive: unpack it, and grade again",
        "leebo": "leebo_222_333_essay.pdf is a printout: the .ipynb file itself is needed",
        "notes": "notes.txt is not a notebook that can be run: it is JSON, but has no cells",
        "outside": "outside is a link, which is not followed",
    }


def test_nothing_to_grade_is_an_error(folder, assignment):
    with pytest.raises(LabError, match="is not a folder"):
        find(folder, assignment)
    folder.mkdir()
    with pytest.raises(LabError, match="neither notebooks nor folders"):
        find(folder, assignment)
    (folder / "holiday.jpg").touch()
    with pytest.raises(LabError, match="neither notebooks nor folders"):
        find(folder, assignment)
    with pytest.raises(LabError, match="cannot be unpacked"):
        find(folder / "holiday.jpg", assignment)


def test_feedback_goes_back_under_the_name_it_came_with():
    prefixes = {
        "kimjane_LATE_12345_67890_homework-1.ipynb": "kimjane_LATE_12345_67890_",
        "LATE_anon_Zq81b_903_homework.ipynb": "LATE_anon_Zq81b_903_",
        "parkso_12347_link.html": "",
        "Kim_12345_assignsubmission_file_a_1_2_b.ipynb": "Kim_12345_assignsubmission_file_",
        "Jane Kim_12345_assignsubmission_file": "Jane Kim_12345_assignsubmission_file_",
        "kimjane_123_456_2026_03_01_x.ipynb": "kimjane_123_456_",
        "lee_min_LATE_123_456_x.ipynb": "lee_min_LATE_123_456_",
        "kim_2026_03_01_x.ipynb": "",  # a date is no number of Canvas
        "9-9 - Bo - Mar 2026 - x.ipynb": "",
        "kim.ipynb": "",
    }
    assert {name: read_owner(name, False).prefix for name in prefixes} == prefixes


def test_a_korean_notebook_is_as_it_was_handed_out():
    """What a translation changes, comments and texts, is nobody's work and no tampering."""
    root = links.ROOT
    for name in ("02_train_cnn", "07_homework_resnet"):
        assignment = Assignment(root / f"labs/instructor/{name}.ipynb")
        submission = Submission("kim", root / f"labs/ko/{name}.ipynb")
        read_submission(submission, assignment)
        plan_steps(assignment, submission)
        assert (submission.language, submission.flags) == ("ko", [])
        assert find_own_cells(assignment, submission.code) == []
