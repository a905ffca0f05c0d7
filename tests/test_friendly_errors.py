"""Under a check cell stands one calm line; a mistake inside an answer keeps its traceback."""

import inspect
import json
import sys

import nbformat
import pytest
import pytorch_lightning as pl
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient

from lab_utils.friendly_errors import (
    OLD_ARGUMENTS,
    choose_language,
    describe_failure,
    find_cell,
)
from text_recognizer.language import _, read_catalogue

pytestmark = pytest.mark.slow

ANSWER = "def double(x):\n    {}"
CHECK = """\
# CHECK q1 (1 point)
assert float(double(2)) == 4, f"double(2) is {double(2)}"
print("q1: passed")"""
FAILURES = {
    "unanswered": (
        'raise NotImplementedError("your code is still missing")',
        "q1: not answered yet",
    ),
    "wrong": ("return x + 1", "q1, not yet: double(2) is 3"),
    "right": ("return x + x", "q1: passed"),
    "below": (
        'raise NotImplementedError("your code is still missing")\n\n    return x + x',
        "q1, not yet: delete the line `raise ...`",
    ),
    "given below": (
        'raise NotImplementedError("your code is still missing")\n    return x',
        "q1: not answered yet",
    ),
    "no return": ("print(x + x)", "4\nq1, not yet: your function returns None"),
    "mistake": ("return x + None", "TypeError"),
    "own todo": ('raise NotImplementedError("later")', "NotImplementedError"),
    "own assert": ('assert x > 5, "x is small"', "AssertionError"),
}


@pytest.fixture(scope="module")
def shown():
    """Return the output of the check after each answer, of one kernel for all."""
    cells = ["import lab_utils"]
    for answer, _said in FAILURES.values():
        cells += [ANSWER.format(answer), CHECK]
    cells += ["assert 1 == 2, 'no check'", "undefined_name"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    NotebookClient(notebook, allow_errors=True, timeout=60).execute()
    outputs = [cell.outputs for cell in notebook.cells]
    return {**dict(zip(FAILURES, outputs[2:-2:2], strict=True)), "others": outputs[-2:]}


@pytest.mark.parametrize(
    "name", ["unanswered", "wrong", "right", "below", "given below", "no return"]
)
def test_a_check_says_one_line(shown, name):
    assert {(output.output_type, output.name) for output in shown[name]} == {("stream", "stdout")}
    text = "".join(output.text for output in shown[name])  # a busy kernel may send it in pieces
    assert text.startswith(FAILURES[name][1])
    assert text.count("\n") == 1 + FAILURES[name][1].count("\n")


@pytest.mark.parametrize("name", ["mistake", "own todo", "own assert"])
def test_a_mistake_inside_an_answer_keeps_its_traceback(shown, name):
    (output,) = shown[name]
    assert (output.output_type, output.ename) == ("error", FAILURES[name][1])
    assert any("double" in line for line in output.traceback)


NOTEBOOK = [
    "import lab_utils\nimport json",
    "%matplotlib inline\ndata = 5\n\n\ndef double(x):\n    hidden = 2\n    return hidden * x",
    "not Python at all",
    "for index in range(3):\n    total: int = index",
]


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("json", "import lab_utils"),
        ("data", "%matplotlib inline"),
        ("double", "%matplotlib inline"),
        ("index", "for index in range(3):"),
        ("total", "for index in range(3):"),
        ("hidden", None),
        ("x", None),
        ("dta", None),
    ],
)
def test_the_first_cell_that_defines_a_name_is_found(name, cell, tmp_path, monkeypatch):
    path = tmp_path / "a.ipynb"
    cells = [nbformat.v4.new_code_cell(source) for source in NOTEBOOK]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    monkeypatch.setenv("JPY_SESSION_NAME", str(path))
    assert find_cell(name) == cell


@pytest.mark.parametrize(
    ("running", "cell"),
    [("print(a)", "a = 2"), ("print(a, 1)", "a = 3"), ("a = 1", "a = 2"), ("", "a = 1")],
)
def test_of_several_cells_that_define_a_name_the_nearest_above_is_named(
    running, cell, tmp_path, monkeypatch
):
    path = tmp_path / "a.ipynb"
    sources = ["a = 1", "a = 2", "print(a)", "a = 3", "print(a, 1)"]
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    monkeypatch.setenv("JPY_SESSION_NAME", str(path))
    assert find_cell("a", running) == cell


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[]", b'{"cells": [1]}', b"\xff"])
def test_without_a_notebook_no_cell_is_found(content, tmp_path, monkeypatch):
    path = tmp_path / "a.ipynb"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("JPY_SESSION_NAME", str(path))
    assert find_cell("data") is None
    monkeypatch.delenv("JPY_SESSION_NAME")
    assert find_cell("data") is None


def test_a_cell_run_too_early_says_in_one_line_which_to_run_first(tmp_path):
    path = tmp_path / "a.ipynb"
    cells = ["import lab_utils", "data = 5", "data + 1", "dta + 1"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    nbformat.write(notebook, path)
    del notebook.cells[1]
    notebook.cells[0].source += f"\nimport os; os.environ['JPY_SESSION_NAME'] = {str(path)!r}"
    NotebookClient(notebook, allow_errors=True, timeout=60).execute()
    (early,), (mistyped,) = (cell.outputs for cell in notebook.cells[1:])
    assert early.text == (
        "data is not defined yet: run the cell that begins with  data = 5  first, "
        "or all cells above this one.\n"
    )
    assert mistyped.ename == "NameError"


def test_a_notebook_that_never_imports_the_lab_keeps_its_tracebacks(tmp_path, monkeypatch):
    """In a kernel of an environment that has the lab, and beside a notebook of Jupyter's."""
    path = tmp_path / "a.ipynb"
    cells = [nbformat.v4.new_code_cell(source) for source in ("data = 5", "data + 1")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    monkeypatch.setenv("JPY_SESSION_NAME", str(path))
    failing = ["data + 1", CHECK.replace("double(2)", "3")]
    failing.append("from pytorch_lightning import Trainer\nTrainer(gpus=1)")
    manager, client = start_new_kernel()
    try:
        before = [execute(client, cell) for cell in failing]
        loaded = execute(
            client, "import sys; print([m for m in sys.modules if m.startswith('lab_')])"
        )
        assert execute(client, "import lab_utils") == []
        after = [execute(client, cell) for cell in failing]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    errors = [[(kind, content["ename"]) for kind, content in shown] for shown in before]
    assert errors == [[("error", name)] for name in ("NameError", "AssertionError", "TypeError")]
    assert all(len(shown[0][1]["traceback"]) > 1 for shown in before)
    assert loaded[0][1]["text"] == "[]\n"
    assert [read_text(shown) for shown in after] == [
        "data is not defined yet: run the cell that begins with  data = 5  first, "
        "or all cells above this one.\n",
        "q1, not yet: 3 is 3\n",
        'Lightning\'s Trainer has no gpus= any more: write accelerator="auto", devices=1.\n',
    ]


def execute(client, source):
    """Run a cell in a kernel; return what it shows: the kinds of messages, and their contents."""
    shown = []
    client.execute_interactive(source, allow_stdin=False, timeout=60, output_hook=shown.append)
    return [(m["msg_type"], m["content"]) for m in shown if m["msg_type"] in ("error", "stream")]


def read_text(shown):
    return "".join(content["text"] for _kind, content in shown)


def test_other_cells_keep_theirs(shown):
    assert [outputs[0].ename for outputs in shown["others"]] == ["AssertionError", "NameError"]


@pytest.mark.parametrize("name", OLD_ARGUMENTS)
def test_an_argument_of_2021_is_one_line_that_says_what_to_write(name):
    with pytest.raises(TypeError) as raised:
        pl.Trainer(**{name: 1})
    line = describe_failure(raised.value, raised.tb)
    assert line.startswith(f"Lightning's Trainer has no {name}= any more: write ")
    (today, *_rest) = OLD_ARGUMENTS[name].split("=")
    assert (
        today == "trainer.fit(..., ckpt_path" or today in inspect.signature(pl.Trainer).parameters
    )


def test_another_argument_keeps_its_traceback():
    with pytest.raises(TypeError) as raised:
        pl.Trainer(gpu=1)
    assert describe_failure(raised.value, raised.tb) is None


@pytest.mark.parametrize(
    ("hint", "said"),
    [
        (
            "ResidualBlock(8, 16, 2) gives (4, 8), not (4, 16, 7, 7)",
            "ResidualBlock(8, 16, 2): 출력의 모양이 (4, 8)입니다. 정답은 (4, 16, 7, 7)입니다",
        ),
        (
            "image 2: the feature map is off by 0.50: "
            "only the border is wrong: what is next to an edge pixel?",
            "이미지 2: 특징 맵이 0.50만큼 다릅니다. "
            "테두리만 틀렸습니다. 가장자리 픽셀의 옆에는 무엇이 있나요?",
        ),
        ("a hint of\nanother notebook", "a hint of\nanother notebook"),
        ("", ""),
    ],
)
def test_hints_are_korean_where_that_is_the_language(hint, said, monkeypatch):
    monkeypatch.setenv("LAB_LANGUAGE", "ko")
    assert _(hint) == said
    assert _(hint, "en") == hint


def test_a_notebook_says_its_language_and_then_the_environment_does(tmp_path, monkeypatch):
    path = tmp_path / "notebook.ipynb"
    monkeypatch.setenv("JPY_SESSION_NAME", str(path))
    for metadata, variable, said in (
        ({"language": "ko"}, "en", "통과"),
        ({}, "ko", "통과"),
        ({"language": "xx"}, "", "passed"),
    ):
        monkeypatch.setenv("LAB_LANGUAGE", variable)
        monkeypatch.setenv("LANG", "C")
        path.write_text(json.dumps({"metadata": metadata, "cells": []}), encoding="utf-8")
        choose_language()
        assert _("passed") == said
    monkeypatch.delenv("LAB_LANGUAGE")
    monkeypatch.delenv("LANGUAGE", raising=False)
    monkeypatch.setenv("LC_ALL", "ko_KR.UTF-8")
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    read_catalogue.cache_clear()  # which does not ask the environment again
    assert _("passed") == "통과"  # in a terminal
    monkeypatch.setitem(sys.modules, "ipykernel", None)
    assert _("passed") == "passed"  # in a notebook that says nothing
    read_catalogue.cache_clear()
