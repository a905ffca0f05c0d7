"""What the grader's processes load and count, and what a kept grade depends on."""

import subprocess
import sys

import pytest

from lab_grade import cli, grader, process
from lab_grade.process import Limits, run_submission

HEAVY = {"jinja2", "jsonschema", "matplotlib", "nbformat", "numpy", "pooch", "psutil", "torch"}
TALK = """
import asyncio


async def talk():
    while True:
        print("x" * 50_000)
        await asyncio.sleep(0.01)


task = asyncio.create_task(talk())
"""


@pytest.mark.slow
def test_output_counts_only_towards_the_cell_that_causes_it():
    cells = [
        TALK,
        "print('x' * 100_000)",
        "await asyncio.sleep(1)",
        "while True:\n  print(9**99)",
    ]
    steps = [{"source": cell, "is_check": False, "unsolved": []} for cell in cells]
    limits = Limits(cell=60, notebook=120, output=200_000)
    outcomes = run_submission({"prelude": "", "steps": steps}, {}, limits, 1, None)
    assert [outcome["outcome"] for outcome in outcomes] == ["ok", "ok", "ok", "output"]


@pytest.mark.slow
def test_what_is_left_for_the_leaderboard_is_taken_by_the_cell_that_left_it():
    leave = "import os\nfile = os.environ['LAB_DATA_DIR'] + '/leaderboard.json'\n"
    cells = [leave + "open(file, 'w').write('{}')", "1", "os.mkfifo(file)", "2"]
    steps = [{"source": cell, "is_check": False, "unsolved": []} for cell in cells]
    limits = Limits(cell=60, notebook=120)
    outcomes = run_submission({"prelude": "", "steps": steps}, {}, limits, 1, None)
    assert [outcome["outcome"] for outcome in outcomes] == ["ok"] * 4
    assert [outcome.get("figures") for outcome in outcomes] == ["{}", None, None, None]


@pytest.mark.parametrize(
    "call",
    [
        "from lab_grade.cli import grade_main as main",
        "from lab_grade.cli import release_main as main",
        "import runpy\nmain = lambda _: runpy.run_module('lab_grade', run_name='__main__')",
    ],
)
def test_help_loads_nothing_heavy(call):
    code = f"import sys\nsys.argv = ['lab-grade', '--help']\n{call}\ntry:\n    main(['--help'])\n"
    code += "except SystemExit as end:\n    print(end.code, *sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    status, *loaded = told.stdout.splitlines()[-1].split()
    assert told.stdout.startswith("usage: lab-") and status == "0"
    assert not {name.split(".")[0] for name in loaded} & HEAVY


@pytest.mark.slow
def test_grading_loads_nothing_heavy(tmp_path):
    grade = "from lab_grade.cli import grade_main\ngrade_main(sys.argv[1:])"
    code = f"import sys\n{grade}\nprint(*sys.modules)"
    missing, out = tmp_path / "none.ipynb", tmp_path / "out"
    command = [sys.executable, "-c", code, missing, tmp_path, "-o", out]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "none.ipynb" in told.stderr
    loaded = {name.split(".")[0] for name in told.stdout.split()}
    assert {"lab_grade", "nbformat", "jsonschema"} <= loaded
    assert not loaded & {"torch", "pytorch_lightning", "matplotlib", "h5py", "lark"}


def test_every_file_of_the_packages_decides_whether_grades_are_kept(tmp_path, monkeypatch):
    for name in (
        "lab_grade/checker.py",
        "lab_grade/templates/a.html",
        "text_recognizer/canvas/static/x.js",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(grader, "PACKAGES", (tmp_path / "lab_grade", tmp_path / "text_recognizer"))
    count = grader.hash_packages.__wrapped__
    seen = {count()}
    for path in sorted(tmp_path.rglob("*.*")):
        path.write_text("other")
        seen.add(count())
    path.rename(path.with_name("y.js"))
    seen.add(count())
    assert len(seen) == 5
    (tmp_path / "lab_grade" / "__pycache__").mkdir()
    (tmp_path / "lab_grade" / "__pycache__" / "checker.pyc").write_text("")
    assert count() in seen
    monkeypatch.undo()
    assert {package.name for package in grader.PACKAGES} == {
        "lab_grade",
        "lab_utils",
        "text_recognizer",
    }
    assert all(package.is_dir() for package in grader.PACKAGES)


@pytest.mark.parametrize(
    ("options", "works", "expected"),
    [
        ([], True, True),
        ([], False, False),
        (["--sandbox"], True, True),
        (["--no-sandbox"], True, False),
    ],
)
def test_the_sandbox_is_the_default_where_it_works(options, works, expected, monkeypatch, tmp_path):
    command = ["true"] if works else ["false"]
    monkeypatch.setattr(process, "_sandbox_command", lambda base, hidden: command)
    monkeypatch.setattr(process.shutil, "which", lambda name: name)
    told = []
    monkeypatch.setattr(grader, "grade", lambda *args: told.append(args[-1]) or {"students": []})
    assert cli.grade_main(["a.ipynb", "folder", "-o", str(tmp_path), *options]) == 0
    assert told == [expected]


@pytest.mark.parametrize("installed", ["bwrap", None])
def test_a_sandbox_that_does_not_work_is_one_line(installed, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(process, "_sandbox_command", lambda base, hidden: ["false"])
    monkeypatch.setattr(process.shutil, "which", lambda name: installed)
    assert cli.grade_main(["a.ipynb", "folder", "-o", str(tmp_path), "--sandbox"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("lab-grade: --sandbox") and said.count("\n") == 1
