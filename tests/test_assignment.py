"""References: what students get of them, and what is wrong with a bad one."""

import nbformat
import pytest
from nbformat.v4 import (
    new_code_cell,
    new_markdown_cell,
    new_notebook,
    new_output,
    new_raw_cell,
)

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


def test_nothing_that_tells_of_the_instructor_is_released(tmp_path):
    person = {
        "user": {"displayName": "Prof. Example", "userId": "0123"},
        "timestamp": 1700000000000,
    }
    text = new_markdown_cell(
        "Why? ![](attachment:task.png)\n\n<!-- ### Begin solution -->\n"
        "Because. ![](attachment:solution.png)\n#### END SOLUTION\nRead on.",
        attachments={name: {"image/png": "YQ=="} for name in ("task.png", "solution.png")},
    )
    start = "### BEGIN SOLUTION\nSecret.\n### STUDENT\n# Plan\n- step\n### END SOLUTION"
    code = [new_code_cell(source) for source in (FUNCTION.replace("\n", "\r\n"), CHECK)]
    cells = [text, new_raw_cell("### BEGIN SOLUTION\nraw secret\n### END SOLUTION"), *code]
    cells.append(new_markdown_cell(start))
    for cell in cells:
        cell.metadata = {"executionInfo": person, "id": "x1", "execution": {"iopub": "2026-03-01"}}
    code[1].metadata.update(tags=["raises-exception"], collapsed=True)
    notebook = new_notebook(cells=cells, metadata={"colab": {"provenance": [person]}})
    state = {"state": {"aa": {"model_name": "HTMLModel", "state": {"value": "pi * r**2"}}}}
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": state}
    notebook.metadata["kernelspec"] = {"name": "conda-prof", "display_name": "prof [conda]"}
    (tmp_path / "prof").mkdir()
    path, out = tmp_path / "prof" / "reference.ipynb", tmp_path / "student.ipynb"
    nbformat.write(notebook, path)
    assert release_main([str(path), "-o", str(out)]) == 0
    released = out.read_text(encoding="utf-8")
    for told in (
        "rof",
        "0123",
        "17000",
        "2026-03",
        "widget",
        "ecret",
        "Because",
        "pi *",
        "solution.",
    ):
        assert told not in released
    student = nbformat.reads(released, as_version=4)
    why, raw, _, check, plan = student.cells
    assert why.source == "Why? ![](attachment:task.png)\n\n*Your answer here.*\nRead on."
    assert list(why.attachments) == ["task.png"]
    assert (raw.source, plan.source) == ("*Your answer here.*", "# Plan\n- step")
    assert check.metadata == {"tags": ["raises-exception"]}
    assert student.metadata["kernelspec"]["name"] == "python3"


@pytest.mark.parametrize("mark", ["\u2028", "\x0b", "\x0c", "\x85"])
def test_what_is_no_end_of_a_line_stays_as_it_is(tmp_path, mark):
    source = f'def area(r):\n    """Area.{mark}Of a circle."""\n    ### BEGIN SOLUTION\n'
    source += f"    return 'a{mark}b'\n    ### END SOLUTION"
    check = f"# CHECK q1 (2 points)\nassert area(1) == 'a{mark}b'"
    assignment = Assignment(write(tmp_path, source, check))
    released = assignment.release().cells[1].source
    assert released.startswith(f'def area(r):\n    """Area.{mark}Of a circle."""\n    # YOUR CODE')
    assert mark not in released[40:] and assignment.checks[0].source == check


@pytest.mark.parametrize(
    "mark",
    [
        "<!-- {} SOLUTION -->",
        "**{} SOLUTION**",
        "{} SOLUTION",
        "> ### {} solutions:",
        "#\t{}_SOLUTION",
    ],
)
def test_a_solution_is_replaced_however_it_is_marked(tmp_path, mark):
    notebook = nbformat.read(write(tmp_path, FUNCTION, CHECK), as_version=4)
    text = f"Why?\n{mark.format('BEGIN')}\nThus.\n{mark.format('END')}"
    notebook.cells.append(new_markdown_cell(text))
    nbformat.write(notebook, tmp_path / "reference.ipynb")
    released = Assignment(tmp_path / "reference.ipynb").release()
    assert released.cells[-1].source == "Why?\n*Your answer here.*"


def test_data_that_only_checks_use_are_the_references(tmp_path):
    given = "sizes, a = [1], b = 2\ntable = {'a': (1, -2)}\nused = [3]\nscale = 4\nagain = 5"
    given = given.replace("sizes, a = [1], b = 2", "sizes = [1]\na, b = 1, 2\nmade = len('a')")
    use = "def f(x):\n    used.append(x)\n    return scale * x\nagain = 6"
    assignment = Assignment(write(tmp_path, given, use, FUNCTION, CHECK))
    names: dict = {}
    exec(assignment.collect_constants(), {}, names)
    assert names == {"sizes": [1], "table": {"a": (1, -2)}, "scale": 4}


def test_a_question_may_be_graded_by_hand(tmp_path):
    why = "# MANUAL q5 (3 points)\nWhy?\n\n### BEGIN SOLUTION\nThus.\n### END SOLUTION"
    path = write(tmp_path, FUNCTION, CHECK, "# MANUAL q6 (1.5 points)\nx = 1")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells += [new_markdown_cell("## 5. Reasons\n"), new_markdown_cell(why)]
    nbformat.write(notebook, path)
    assignment = Assignment(path)
    assert assignment.max_points == 6.5
    assert [(m.question, m.points) for m in assignment.manual] == [("q6", 1.5), ("q5", 3)]
    assert assignment.find_topic("q5") == "Reasons" and assignment.find_topic("q6") == "Title"
    assert (
        assignment.release().cells[-1].source
        == "# MANUAL q5 (3 points)\nWhy?\n\n*Your answer here.*"
    )
    assert assignment.collect_prelude() == ""


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


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([GIVEN], "has no check"),
        ([FUNCTION, CHECK, CHECK], "2 visible checks of q1"),
        ([FUNCTION, HIDDEN], "0 visible checks of q1"),
        ([FUNCTION, "# CHECK q1\nassert area"], "must read like"),
        ([FUNCTION, "# CHECK q1 (two points)\nassert area"], "must read like"),
        ([FUNCTION, CHECK, "# MANUAL q2\nx = 1"], "# MANUAL q2 (2 points)"),
        ([FUNCTION, *["# MANUAL q2 (1 point)\nx = 1"] * 2], "2 cells  # MANUAL q2"),
        ([FUNCTION, "# CHECK q1 (2 points)\nassert ("], "cell 3, is not Python"),
        ([FUNCTION.replace("### END SOLUTION", ""), CHECK], "without '### END SOLUTION'"),
        ([FUNCTION.replace("### BEGIN SOLUTION", ""), CHECK], "without its counterpart"),
        ([FUNCTION.replace("SOLUTION", "SOLUTION of q1"), CHECK], "must be alone in its line"),
        (["### BEGIN HIDDEN TESTS\nx = 1", FUNCTION, CHECK], "must be alone in its line"),
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
