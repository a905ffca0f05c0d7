"""The first cell of the notebooks: it installs the lab on Colab, and does nothing elsewhere."""

import builtins
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import links
import pytest
from IPython.core.events import EventManager

from lab_utils import colab

ROOT = links.ROOT
WHEEL = "handwriting_lab-0.1.0-py3-none-any.whl"
NOTEBOOKS = sorted(ROOT.glob("labs/**/[0-9]*.ipynb"))


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


def run_cell(source, is_colab=True):
    """Run a cell in a shell of its own; return what it would have called, and its names."""
    commands = []

    class Shell:
        def __str__(self):
            return "<google.colab._shell.Shell>" if is_colab else "<ipykernel.zmqshell.Shell>"

        def system(self, command):
            commands.append(command)

        def getoutput(self, command):
            return subprocess.run(command, shell=True, capture_output=True, text=True).stdout.split(
                "\n"
            )[:-1]

    python = "\n".join(
        f"{line[: len(line) - len(line.lstrip())]}get_ipython().system(f'''{line.strip()[1:]}''')"
        if line.strip().startswith("!")
        else line
        for line in source.splitlines()
    )
    names = {"get_ipython": Shell}
    exec(compile(python, "<cell>", "exec"), names)
    return commands, names


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: "/".join(path.parts[-2:]))
def test_it_is_the_first_code_cell_of_each_notebook(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    first = next(cell for cell in cells if cell["cell_type"] == "code")
    assert first["id"] == "setup"
    assert "".join(first["source"]) == links.make_setup(links.read_address(ROOT))
    assert first["outputs"] == []


@pytest.mark.parametrize("address", ["", "https://github.com/somebody/handwriting"])
def test_elsewhere_it_does_nothing(address, capsys):
    commands, names = run_cell(links.make_setup(address), is_colab=False)
    assert commands == []
    assert {*names} - {"__builtins__", "get_ipython"} <= {"REPOSITORY", "colab", "wheel"}
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("address", ["", "https://github.com/somebody/handwriting"])
def test_it_is_three_lines(address):
    assert len(links.make_setup(address).splitlines()) == 3


def test_with_an_address_the_lab_comes_from_there():
    address = "https://github.com/somebody/handwriting"
    source = links.make_setup(address)
    commands, _ = run_cell(source)
    assert commands == [
        f"curl -fsSL {address}/raw/main/lab_utils/colab.py | python - {address}",
    ]
    assert colab.BRANCH == links.BRANCH == "main"


def test_it_takes_the_newest_wheel_beside_the_notebook(google, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("handwriting_lab-0.0.9-py3-none-any.whl", WHEEL, "whl.txt"):
        Path(name).touch()
    commands, _ = run_cell(links.make_setup(""))
    assert commands == [f"PYTHONPATH='{WHEEL}' python -m lab_utils.colab '{WHEEL}'"]
    assert google.calls == []


def test_without_a_wheel_it_asks_for_one(google, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(google.files, "upload", lambda: {"my wheel.whl": b""})
    commands, _ = run_cell(links.make_setup(""))
    assert commands == ["PYTHONPATH='my wheel.whl' python -m lab_utils.colab 'my wheel.whl'"]
    monkeypatch.setattr(google.files, "upload", dict)  # nothing was chosen
    (command,) = run_cell(links.make_setup(""))[0]
    assert command.endswith(" 'none'")  # which Python says it cannot find


def test_the_file_runs_by_itself_and_loads_only_python_s_own_modules(tmp_path):
    script = (ROOT / "lab_utils" / "colab.py").read_bytes()
    options = {"capture_output": True, "cwd": tmp_path}
    done = subprocess.run([sys.executable, "-I", "-S", "-", "no.whl"], input=script, **options)
    assert done.stdout.decode().startswith("The lab is not installed: run this cell again and")
    assert done.stderr == b""


@pytest.fixture
def pip(monkeypatch, tmp_path):
    """Return what pip was called with, and let it succeed or fail as told."""
    called = types.SimpleNamespace(command=None, constraints="", returncode=0, stdout="", stderr="")

    def run(command, **options):
        called.command = command
        called.constraints = Path(command[command.index("--constraint") + 1]).read_text()
        return called

    versions = iter(
        [
            {"torch": "2.9.0+cpu", "odd": "unknown", "handwriting-lab": "0.0.9"},
            {
                "torch": "2.9.0+cpu",
                "odd": "unknown",
                "handwriting-lab": "0.1.0",
                "remotezip": "0.12.3",
            },
        ]
    )
    monkeypatch.setattr(colab.subprocess, "run", run)
    monkeypatch.setattr(colab, "list_versions", lambda: next(versions))
    monkeypatch.chdir(tmp_path)
    Path(WHEEL).touch()
    return called


def test_pip_must_keep_what_is_there(pip):
    told = colab.install(WHEEL)
    assert pip.command[-1] == WHEEL
    assert pip.constraints == "torch==2.9.0+cpu\n"
    assert told.startswith("The lab is installed in ")
    assert told.endswith(" s, with remotezip; nothing that was there has changed.")


def test_from_an_address_it_takes_the_main_branch(pip):
    colab.install("https://github.com/somebody/handwriting")
    assert pip.command[-1].endswith("/somebody/handwriting/archive/refs/heads/main.zip")


def test_a_change_of_what_was_there_is_told(pip, monkeypatch):
    versions = iter([{"numpy": "2.0.2"}, {"numpy": "2.4.6", "handwriting-lab": "0.1.0"}])
    monkeypatch.setattr(colab, "list_versions", lambda: next(versions))
    assert colab.install(WHEEL) == ("The lab is installed, but numpy changed: restart the session.")


@pytest.mark.parametrize(
    ("log", "told"),
    [
        (
            "The conflict is caused by:\n    torch 2.13.0 depends on setuptools>=77.0.3\n"
            "    The user requested (constraint) setuptools==75.2.0\n\n"
            "ERROR: ResolutionImpossible: for help visit https://pip.pypa.io/",
            "does not go with setuptools==75.2.0: choose another runtime version",
        ),
        (
            "ERROR: Could not find a version that satisfies the requirement remotezip>=0.12.3 "
            "(from handwriting-lab) (from versions: none)\n"
            "ERROR: No matching distribution found for remotezip>=0.12.3",
            "there is no connection: run this cell again later",
        ),
        (
            "ERROR: HTTP error 404 while getting https://x/main.zip",
            f"(HTTP error 404 while getting https://x/main.zip): check {WHEEL}.",
        ),
        ("", f"(pip failed): check {WHEEL}."),
    ],
)
def test_a_failure_of_pip_is_one_sentence(pip, log, told):
    pip.returncode, pip.stderr = 1, log
    found = colab.install(WHEEL)
    assert found.startswith("The lab is not installed")
    assert told in found
    assert "\n" not in found


def test_list_versions_has_what_pip_lists():
    pip = [sys.executable, "-m", "pip", "list", "--format=json"]
    listed = json.loads(subprocess.run(pip, capture_output=True, check=True).stdout)
    found = colab.list_versions()
    assert found.items() >= {
        (entry["name"].lower().replace("_", "-").replace(".", "-"), entry["version"])
        for entry in listed
    }


@pytest.fixture
def shell():
    shell = types.SimpleNamespace()
    shell.events = EventManager(shell, {"pre_run_cell": lambda info: None})
    return shell


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


def test_data_are_kept_on_drive_if_the_student_says_yes(drive, shell, google, monkeypatch, capsys):
    colab.set_up(shell)
    assert os.environ["LAB_DATA_DIR"] == str(drive)
    assert drive.is_dir()
    assert capsys.readouterr().out == f"Drawings and prepared data are kept in {drive}.\n"
    assert google.calls == [("enable_custom_widget_manager",)]
    # After a restart it is not asked again.
    del os.environ["LAB_DATA_DIR"]
    monkeypatch.setattr(builtins, "input", pytest.fail)
    colab.set_up(shell)
    assert os.environ["LAB_DATA_DIR"] == str(drive)


@pytest.mark.parametrize("answer", ["", "n", "No"])
def test_data_stay_where_they_are_if_not(drive, shell, google, monkeypatch, capsys, answer):
    monkeypatch.setattr(google.drive, "mount", pytest.fail)
    monkeypatch.setattr(builtins, "input", lambda question: answer)
    colab.set_up(shell)
    assert "LAB_DATA_DIR" not in os.environ
    assert capsys.readouterr().out == ""


def fail(error):
    def raise_it(*args):
        raise error

    return raise_it


def test_after_a_restart_the_first_cell_asks(drive, shell, monkeypatch):
    monkeypatch.setattr(builtins, "input", len)  # Python's own, with which no kernel asks
    colab.set_up(shell)
    assert "LAB_DATA_DIR" not in os.environ
    monkeypatch.setattr(builtins, "input", lambda question: "y")
    shell.events.trigger("pre_run_cell", None)
    assert os.environ["LAB_DATA_DIR"] == str(drive)
    monkeypatch.setattr(colab, "choose_folder", pytest.fail)
    shell.events.trigger("pre_run_cell", None)  # once


def test_nobody_is_asked_who_cannot_answer(drive, shell, monkeypatch, capsys):
    monkeypatch.setattr(builtins, "input", fail(NotImplementedError("no stdin")))
    colab.set_up(shell)
    assert "LAB_DATA_DIR" not in os.environ
    assert capsys.readouterr() == ("", "")


def test_a_drive_that_is_refused_is_one_sentence(drive, shell, google, monkeypatch, capsys):
    monkeypatch.setattr(google.drive, "mount", fail(ValueError("mount\nfailed")))
    colab.set_up(shell)
    assert capsys.readouterr().out.startswith("Drive cannot be used (mount failed): what you make")
    assert "LAB_DATA_DIR" not in os.environ


def test_a_folder_that_is_set_is_taken(drive, shell, monkeypatch):
    os.environ["LAB_DATA_DIR"] = "/elsewhere"
    monkeypatch.setattr(builtins, "input", pytest.fail)
    colab.set_up(shell)
    assert os.environ["LAB_DATA_DIR"] == "/elsewhere"
