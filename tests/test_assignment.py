"""References: what students get of them, and what is wrong with a bad one."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from lab_grade.cli import release_main
from lab_grade.notebook import Assignment
from text_recognizer.errors import LabError

GIVEN = (
    "import math\nfrom math import pi\n\n\ndef half(x):\n    return x / 2\n\n\nlimit = 3\n%time 1\n"
    "\n\ndef scaled(x, by=limit):\n    return by * x"
)
HEADING = "Read on.\n\n## 1. Title (3.5 points)\n\nText."
FUNCTION = """def area(r):
    ### BEGIN SOLUTION
    return pi * r**2
    ### END SOLUTION"""
CLASS = """### BEGIN SOLUTION
class Box:
    side = 2
### STUDENT
# class Box:
#     side = ...
#
# # how long is it?
### END SOLUTION
print("made")"""
CHECK = "# CHECK q1 (2 points)\nassert round(area(1), 2) == 3.14"
HIDDEN = "# CHECK q1 hidden (1.5 points)\nassert area(0) == 0"
CHECK_2 = "# CHECK q2 (1 point)\nassert Box().side == 2"


def write(folder, *sources):
    cells = [new_markdown_cell(HEADING), *map(new_code_cell, sources)]
    cells[-1].outputs = [new_output("stream", text="secret")]
    path = folder / "reference.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    return path


def test_students_get_neither_solutions_nor_hidden_checks_nor_outputs(tmp_path):
    path = write(tmp_path, GIVEN, FUNCTION, CHECK, HIDDEN, CLASS, CHECK_2)
    assert release_main([str(path), "-o", str(tmp_path / "student.ipynb")]) == 0
    student = nbformat.read(tmp_path / "student.ipynb", as_version=4)
    assert [cell.source for cell in student.cells] == [
        HEADING,
        GIVEN,
        "def area(r):\n    # YOUR CODE HERE\n"
        '    raise NotImplementedError("your code is still missing")',
        CHECK,
        '# YOUR CODE HERE\nclass Box:\n    side = ...\n\n# how long is it?\nprint("made")',
        CHECK_2,
    ]
    assert all(not cell.get("outputs") for cell in student.cells)
    assert "secret" not in (tmp_path / "student.ipynb").read_text()


def test_answers_to_think_about_can_be_left_out(tmp_path):
    texts = [
        "✏️ Why?\n\n<details>\n<summary>Answer</summary>\n\nThus.\n\n</details>\n\nRead on.",
        "✏️ And?\n\n<details><summary>Answer</summary>\n\nSo.\n</details>",
        "✏️ 왜 그럴까요?\n\n<details>\n<summary>답</summary>\n\n그래서.\n\n</details>",
        "<details>\n<summary>More</summary>\n\nStays.\n</details>",
    ]
    path, out = tmp_path / "reference.ipynb", tmp_path / "student.ipynb"
    nbformat.write(new_notebook(cells=[*map(new_markdown_cell, texts)]), path)
    assert release_main([str(path), "-o", str(out), "--without-answers"]) == 0
    released = [cell.source for cell in nbformat.read(out, as_version=4).cells]
    assert released == ["✏️ Why?\n\nRead on.", "✏️ And?", "✏️ 왜 그럴까요?", texts[3]]
    kept = [cell.source for cell in Assignment(path, needs_checks=False).release().cells]
    assert kept == texts


def test_an_assignment_knows_its_points_and_what_checks_may_rely_on(tmp_path):
    assignment = Assignment(write(tmp_path, GIVEN, FUNCTION, CHECK, HIDDEN, CLASS, CHECK_2))
    assert assignment.max_points == 4.5
    assert [check.hidden for check in assignment.checks] == [False, True, False]
    assert assignment.find_topic("q1") == assignment.find_topic("q2") == "Title"
    names = {}
    exec(assignment.collect_prelude(), names)
    assert names["half"](4) == 2 and "math" in names and "limit" not in names
    assert "scaled" not in names  # it needs more than imports
    assert len(assignment.list_unsolved(assignment.checks[1])) == 1
    assert len(assignment.list_unsolved(assignment.checks[2])) == 2


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([GIVEN], "has no check"),
        ([FUNCTION, CHECK, CHECK], "2 visible checks of q1"),
        ([FUNCTION, HIDDEN], "0 visible checks of q1"),
        ([FUNCTION, "# CHECK q1\nassert area"], "must read like"),
        ([FUNCTION, "# CHECK q1 (two points)\nassert area"], "must read like"),
        ([FUNCTION, "# CHECK q1 (2 points)\nassert ("], "cell 3, is not Python"),
        ([FUNCTION.replace("### END SOLUTION", ""), CHECK], "without '### END SOLUTION'"),
        ([FUNCTION.replace("### BEGIN SOLUTION", ""), CHECK], "without its counterpart"),
        ([FUNCTION + "\n" + "    ### BEGIN SOLUTION", CHECK], "without '### END SOLUTION'"),
        ([CLASS.replace("# class Box:", "# class Box"), CHECK], "as released, is not Python"),
    ],
)
def test_a_bad_reference_is_one_clear_error(tmp_path, sources, message):
    with pytest.raises(LabError) as caught:
        Assignment(write(tmp_path, *sources))
    assert message in str(caught.value)
    assert "reference.ipynb" in str(caught.value)


def test_lab_release_says_what_is_wrong_in_a_line(tmp_path, capsys):
    path = write(tmp_path, FUNCTION, CHECK)
    before = path.read_bytes()
    broken = tmp_path / "broken.ipynb"
    broken.write_text("{")
    for reference, output, message in [
        (path, path, "is the reference itself"),
        (tmp_path / "none.ipynb", tmp_path / "out.ipynb", "cannot be read"),
        (broken, tmp_path / "out.ipynb", "is not a notebook"),
        (path, tmp_path / "no" / "folder.ipynb", "cannot be written"),
    ]:
        assert release_main([str(reference), "-o", str(output)]) == 2
        said = capsys.readouterr().err
        assert message in said and said.count("\n") == 1
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["broken.ipynb", "reference.ipynb"]
