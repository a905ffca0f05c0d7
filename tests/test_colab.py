"""The first cell of the notebooks, which installs the lab on Colab, and what the lab does there."""

import builtins
import json
import os
import re
import sys
import types
from pathlib import Path

import links
import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbclient import NotebookClient

from lab_utils import colab

ROOT = links.ROOT
WHEEL = "handwriting_lab-0.1.0-py3-none-any.whl"
ADDRESS = "https://github.com/somebody/handwriting"
NOTEBOOKS = [path for path in links.find_pages(ROOT) if path.suffix == ".ipynb"]


@pytest.fixture
def google(monkeypatch):
    """Return a stand-in for `google.colab`; what is called is kept in `calls`."""
    package = types.ModuleType("google.colab")
    package.calls = []
    for name, function in [
        ("drive", "mount"),
        ("files", "upload"),
        ("output", "enable_custom_widget_manager"),
    ]:
        module = types.ModuleType(f"google.colab.{name}")
        called = lambda *args, name=function: package.calls.append((name, *args))  # noqa: E731
        setattr(module, function, called)
        setattr(package, name, module)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    top = types.ModuleType("google")
    top.colab = package
    monkeypatch.setitem(sys.modules, "google", top)
    monkeypatch.setitem(sys.modules, "google.colab", package)
    return package


def run_cell(source, shell):
    """Run a cell as IPython would, in a shell of a class; return what pip was called with."""
    calls = []

    class Shell(shell):
        def run_line_magic(self, name, line, **_):
            assert name == "pip"
            variables = {k: v for k, v in names.items() if isinstance(v, str)}
            calls.append(line.format(**variables))

    names = {"get_ipython": Shell}
    exec(compile(TransformerManager().transform_cell(source), "<cell>", "exec"), names)
    return calls


class ColabShell:
    def __str__(self):
        return "<google.colab._shell.Shell object at 0x7f>"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: "/".join(path.parts[-2:]))
def test_it_is_the_first_code_cell_of_each_notebook(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    first = next(cell for cell in cells if cell["cell_type"] == "code")
    assert first["id"] == "setup"
    language = (
        "en" if path.parent.name == "labs" or "instructor" in path.parts else path.parent.name
    )
    assert "".join(first["source"]) == links.make_setup(links.read_address(ROOT), language)
    assert first["metadata"] == links.FOLDED
    assert first["outputs"] == []


@pytest.mark.parametrize("address", ["", ADDRESS])
def test_elsewhere_it_does_nothing(address, capsys):
    assert run_cell(links.make_setup(address), object) == []
    assert capsys.readouterr() == ("", "")


def test_with_an_address_the_lab_comes_from_there():
    archive = f"{ADDRESS}/archive/refs/heads/{links.BRANCH}.zip"
    assert run_cell(links.make_setup(ADDRESS), ColabShell) == [f"install --quiet {archive}"]


def test_it_takes_the_wheel_beside_the_notebook_and_else_asks_for_one(
    google, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(google.files, "upload", lambda: {"my wheel.whl": b""})
    cell = links.make_setup("")
    assert run_cell(cell, ColabShell) == ['install --quiet "my wheel.whl"']
    for name in (WHEEL, "handwriting_lab-0.0.9-py3-none-any.whl", "whl.txt"):
        Path(name).touch()
    assert run_cell(cell, ColabShell)[-1] == f'install --quiet "{WHEEL}"'
    for path in tmp_path.iterdir():
        path.unlink()
    monkeypatch.setattr(google.files, "upload", dict)  # nothing was chosen
    assert run_cell(cell, ColabShell) == []


@pytest.fixture
def drive(google, monkeypatch, tmp_path):
    """Return the folder on a Drive that can be mounted; its user says yes."""
    monkeypatch.delenv("LAB_DATA_DIR", raising=False)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(colab, "DRIVE", tmp_path / "drive")
    monkeypatch.setattr(colab, "ON_DRIVE", tmp_path / "drive" / "MyDrive" / "handwriting_lab")
    mount = lambda path: Path(path, "MyDrive").mkdir(parents=True)  # noqa: E731
    monkeypatch.setattr(google.drive, "mount", mount)
    monkeypatch.setattr(builtins, "input", lambda question: " Yes ")
    return colab.ON_DRIVE


def test_data_are_kept_on_drive_if_the_student_says_yes(drive, google, monkeypatch, capsys):
    colab.set_up()
    assert os.environ["LAB_DATA_DIR"] == str(drive)
    assert drive.is_dir()
    assert capsys.readouterr().out == f"Drawings and prepared data are kept in {drive}.\n"
    assert google.calls == [("enable_custom_widget_manager",)]
    # After a restart it is not asked again.
    del os.environ["LAB_DATA_DIR"]
    monkeypatch.setattr(builtins, "input", pytest.fail)
    colab.set_up()
    assert os.environ["LAB_DATA_DIR"] == str(drive)


@pytest.mark.parametrize("answer", ["", "n", "No"])
def test_data_stay_where_they_are_if_not(drive, google, monkeypatch, capsys, answer):
    monkeypatch.setattr(google.drive, "mount", pytest.fail)
    monkeypatch.setattr(builtins, "input", lambda question: answer)
    colab.set_up()
    assert "LAB_DATA_DIR" not in os.environ
    assert capsys.readouterr().out == ""


def fail(error):
    def raise_it(*args):
        raise error

    return raise_it


def test_nobody_is_asked_who_cannot_answer(drive, monkeypatch, capsys):
    monkeypatch.setattr(builtins, "input", fail(NotImplementedError("no stdin")))
    colab.set_up()
    assert "LAB_DATA_DIR" not in os.environ
    assert capsys.readouterr() == ("", "")


def test_a_drive_that_is_refused_is_one_sentence(drive, google, monkeypatch, capsys):
    monkeypatch.setattr(google.drive, "mount", fail(ValueError("mount\nfailed")))
    colab.set_up()
    assert capsys.readouterr().out.startswith("Drive cannot be used (mount failed): what you make")
    assert "LAB_DATA_DIR" not in os.environ


def test_a_folder_that_is_set_is_taken(drive, monkeypatch):
    os.environ["LAB_DATA_DIR"] = "/elsewhere"
    monkeypatch.setattr(builtins, "input", pytest.fail)
    colab.set_up()
    assert os.environ["LAB_DATA_DIR"] == "/elsewhere"


MISTAKES = [
    "EMNIST(source='smaple')",
    "EMNIST(batch_size=0)",
    "show_images([])",
    "plot_history([])",
    "Recognizer('logs/no.ckpt')",
    "Recognizer.pretrained().predict('nothing.png')",
    "MyHandwriting('mine.jsonl').setup()",
    "CNN()",
    "HandwritingCanvas(mod='line')",
    "EMNISTLines(num_train=10**6, max_length=100)",
    "raise TrainingInterrupted('The network keeps what it has learned, and history has 2 whole '"
    "'epochs: call fit again to go on, or make a new network first to start afresh.')",
    "check_machine()",
]


@pytest.mark.slow
def test_a_korean_notebook_speaks_korean_wherever_it_lies(tmp_path):
    """As on Colab, it lies in a folder with nothing else, and nobody says which notebook it is."""
    notebook = json.loads((ROOT / "labs/ko/01_look_at_emnist.ipynb").read_text(encoding="utf-8"))
    cells = {cell["id"]: "".join(cell["source"]) for cell in notebook["cells"]}
    sources = [cells["setup"], cells["code-01"], "from lab_utils import *"]
    sources += ["from text_recognizer.lit_models.callbacks import TrainingInterrupted"]
    sources += [cells["question-02"], cells["question-03"]]
    sources += ["def labels_to_text(labels, mapping):\n    return '?'", cells["question-03"]]
    book = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in sources + MISTAKES]
    )
    resources = {"metadata": {"path": tmp_path}}
    NotebookClient(book, allow_errors=True, timeout=120, resources=resources).execute()
    told = []
    for cell in book.cells:
        for output in cell.outputs:
            text = output.get("text") or "\n".join(output.get("traceback", []))
            told += (text or output["data"]["text/plain"]).strip().split("\n")
    assert len(told) >= 2 + len(MISTAKES)
    bare = [line for line in told if not re.search("[가-힣]", line)]
    assert [line for line in bare if re.search("[a-z]{2}", line)] == [], told
    assert any("아직 답을 쓰지 않았습니다" in line for line in told)


def test_what_is_asked_about_drive_is_korean(drive, monkeypatch, capsys):
    asked = []
    monkeypatch.setenv("LAB_LANGUAGE", "ko")
    monkeypatch.setattr(builtins, "input", lambda question: asked.append(question) or "네")
    colab.set_up()
    assert re.search("Drive에 저장할까요", *asked)
    assert capsys.readouterr().out.endswith("폴더에 저장합니다.\n")
