"""What the grader's processes load and count, and what a kept grade depends on."""

import contextlib
import subprocess
import sys

import pytest
from tqdm import tqdm

from lab_grade import cli, grader, process, sandbox
from lab_grade.placement import Step
from lab_grade.process import Limits
from lab_grade.reading import Submission

HEAVY = {"jinja2", "jsonschema", "matplotlib", "nbformat", "numpy", "pooch", "psutil", "torch"}
TALK = """
import asyncio


async def talk():
    while True:
        print("x" * 50_000)
        await asyncio.sleep(0.01)


task = asyncio.create_task(talk())
"""


def run(steps, sandbox=False, prelude="", is_last=True, **limits):
    """Run steps, each a source or a pair of kind and source; return what became of each."""
    pairs = [("cell", step) if isinstance(step, str) else step for step in steps]
    job = {"prelude": prelude, "kept": {}}
    job["steps"] = [{"kind": kind, "source": source} for kind, source in pairs]
    limits = Limits(**{"cell": 60, "notebook": 120} | limits)
    try:
        return process.run_submission(job, {}, limits, sandbox)[0]
    finally:
        if is_last:
            process.close_servers()


def told(outcomes):
    return [outcome["outcome"] for outcome in outcomes]


def test_on_one_machine_two_submissions_a_process_are_under_way(monkeypatch, tmp_path):
    under_way, most, results = set(), [], []

    def plan(_grader, submission):
        under_way.add(submission.key)
        most.append(len(under_way))
        return [Step(1, "pass")], {}, ""

    monkeypatch.setattr(grader, "run_submission", lambda *_: ([], {}))
    monkeypatch.setattr(grader.Grader, "plan", plan)
    monkeypatch.setattr(grader.Grader, "score", lambda *_: {})
    handed_in = [Submission(f"student{i}", None) for i in range(12)]
    with contextlib.closing(grader.Pool(None, jobs=2)) as pool, tqdm(disable=True) as bar:
        here = grader.Grader(None, "", tmp_path, Limits(), False, (), pool)
        for key, _ in here.run_all(handed_in, bar):
            under_way.remove(key)
            results.append(key)
    assert max(most) == 4
    assert sorted(results) == sorted(submission.key for submission in handed_in)


@pytest.mark.slow
def test_output_counts_only_towards_the_cell_that_causes_it():
    cells = [
        TALK,
        "print('x' * 100_000)",
        "await asyncio.sleep(1)",
        "while True:\n  print(9**99)",
    ]
    assert told(run(cells, output=200_000)) == ["ok", "ok", "ok", "output"]


@pytest.mark.slow
def test_what_is_left_for_the_leaderboard_is_taken_before_hidden_checks():
    leave = "import os\nfile = os.environ['LAB_DATA_DIR'] + '/leaderboard.json'\n"
    leave += "def leave(text):\n    open(file, 'w').write(text)"
    steps = [leave, "leave('{}')", ("hidden", "leave('hidden')"), ("check", "leave('checked')")]
    outcomes = run([*steps, "pass"])
    assert told(outcomes) == ["ok", "ok", "passed", "passed", "ok"]
    assert [outcome.get("figures") for outcome in outcomes] == [None] * 4 + ["checked"]
    outcomes = run(["import os\nos.mkfifo(os.environ['LAB_DATA_DIR'] + '/leaderboard.json')"])
    assert told(outcomes) == ["ok"] and not outcomes[0]["figures"]


WORD = "word = 'before'\nseen = []\ndef say():\n    seen.append(word)\n    return seen[-1]"


@pytest.mark.slow
def test_hidden_checks_come_last_and_find_what_there_was_at_their_place():
    steps = [
        WORD,
        ("hidden", "assert say() == 'before' and word == 'before'"),
        "numbers = [1]",
        ("hidden", "assert numbers == [1] and len(numbers) == 1"),
        "word = 'after'; numbers.append(2); assert seen == []",
        ("check", "assert say() == 'after' and numbers == [1, 2]"),
        "del say, numbers",
    ]
    assert told(run(steps)) == ["ok", "passed", "ok", "passed", "ok", "passed", "ok"]


@pytest.mark.slow
def test_a_kernel_that_ends_is_started_anew_without_what_ended_it():
    steps = [
        WORD,
        ("hidden", "assert say() == 'before'"),
        "import os; open('left', 'w').close(); kept = os.listdir()",
        ("check", "assert kept == ['left'] and say() == 'before'"),
        "os._exit(3)",
        "word = 'after'",
        ("check", "leave()"),
        "def leave(): os._exit(0)",
        ("check", "leave()"),
        ("hidden", "leave()"),
        ("check", "assert say() == 'after' and kept == ['left']"),
    ]
    assert told(run(steps)) == [
        *("ok", "passed", "ok", "passed", "died", "ok", "error", "ok", "died", "died", "passed"),
    ]


@pytest.mark.slow
def test_what_a_cell_has_made_before_it_leaves_is_kept():
    steps = ["x = 1\nexit()\ny = 2", ("check", "assert x + y == 3"), "import os\nos._exit(0)"]
    steps.append(("check", "assert x + y == 3"))
    assert told(run(steps)) == ["died", "passed", "died", "passed"]


@pytest.mark.slow
def test_loops_in_a_check_end_with_its_time():
    loops = (
        "def loop():\n    while True: pass\ndef stubborn():\n    while True:\n        try: loop()\n"
    )
    loops += "        except BaseException: pass\ndef count():\n    return 10**12\nx = 5"
    steps = [
        loops,
        ("check", "loop()"),
        ("check", "for i in range(count()): pass"),
        ("check", "assert x == 5"),
        ("check", "stubborn()"),
        ("check", "assert x == 5"),
    ]
    outcomes = run(steps, cell=1.5)
    assert told(outcomes) == ["ok", "timeout", "timeout", "passed", "timeout", "passed"]
    assert outcomes[1]["message"] == "it ran for more than 1.5 s"


LOOK = """
import os, socket, sys
from pathlib import Path
own = Path.cwd().parent
def list_files(folder):
    found = [p for p in Path(folder).rglob('*') if p not in own.parents]
    return [str(p) for p in found if not p.is_relative_to(own)]
def is_there(path): return Path(path).exists()
def can(function, *arguments):
    try: function(*arguments)
    except OSError as error: return type(error).__name__
    return True
processes = len([name for name in os.listdir('/proc') if name.isdigit()])
network = can(socket.create_connection, ('127.0.0.1', 9), 1)
written = [can(Path(path, 'x').write_text, '') for path in ('/usr', sys.prefix, '/etc', '..')]
"""


@pytest.mark.slow
@pytest.mark.skipif(not sandbox.is_available(), reason="bubblewrap is not installed")
def test_a_sandbox_shows_packages_and_no_checkout(tmp_path):
    root = process.PACKAGE.parent
    (tmp_path / "secret.ipynb").write_text("{}")
    shown = ["lab_grade/bridge.py", "text_recognizer/paths.py", "lab_utils/__init__.py"]
    hidden = ["lab_grade/grader.py", "lab_grade/examiner.py", "labs", "tests", ".git", "docs"]
    check = f"""
assert all(is_there({str(root)!r} + '/' + name) for name in {shown!r})
assert not any(is_there({str(root)!r} + '/' + name) for name in {hidden!r})
assert not is_there({str(tmp_path / "secret.ipynb")!r}) and list_files('/tmp') == []
assert processes < 6 and network != True
assert written[3] is True and True not in written[:3]
"""
    (cell, outcome) = run([LOOK, ("check", check)], sandbox=True, prelude="import numpy")
    assert cell["outcome"] == "ok" and outcome["outcome"] == "passed", outcome


@pytest.mark.slow
def test_a_kernel_sees_one_half_of_the_test_images_with_one_thread_and_checks_the_other():
    load = "from lab_utils import EMNIST\ndef load():\n    data = EMNIST(balance=False)\n"
    load += "    data.prepare_data()\n    data.setup()\n    return data\n"
    found = "images = {image.numpy().tobytes() for image in load().data_test.images}\n"
    found += "train = {image.numpy().tobytes() for image in load().data_train.images}\n"
    found += "import torch\nthreads = torch.get_num_threads()"
    bundled = "import h5py\nfrom text_recognizer.paths import bundled\n"
    bundled += "whole = h5py.File(bundled('emnist_sample.h5'))\nthreads = 1\n"
    bundled += "images = {image.tobytes() for image in whole['x_test']}\n"
    bundled += "train = {image.tobytes() for image in whole['x_train']}"
    check = """
import torch
data = load()
theirs = {image.numpy().tobytes() for image in data.data_test.images}
assert 1800 < len(theirs) < 2000
assert all(image.numpy().tobytes() in train for image in data.data_train.images[:500])
assert len(set(data.data_test.labels.tolist())) == 62
assert 1800 < len(images) < 2600 and not theirs & images  # all kinds of characters are in a file
assert threads == 1 == torch.get_num_threads()
"""
    try:
        for is_sandboxed in {False, sandbox.is_available()}:
            mine = bundled if is_sandboxed else load + found
            outcomes = run([mine, ("check", check)], is_sandboxed, load, is_last=False)
            assert told(outcomes) == ["ok", "passed"], outcomes
    finally:
        process.close_servers()


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
        "lab_grade/bridge.py",
        "lab_grade/templates/a.html",
        "text_recognizer/canvas/static/x.js",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    found = [tmp_path / "text_recognizer"]
    monkeypatch.setattr(process, "PACKAGE", tmp_path / "lab_grade")
    monkeypatch.setattr(sandbox, "find_packages", lambda: found)
    count = process.hash_packages.__wrapped__
    seen = {count()}
    for path in sorted(tmp_path.rglob("*.*")):
        path.write_text("other")
        seen.add(count())
    path.rename(path.with_name("y.js"))
    seen.add(count())
    assert len(seen) == 5
    (tmp_path / "lab_grade" / "__pycache__").mkdir()
    (tmp_path / "lab_grade" / "__pycache__" / "bridge.pyc").write_text("")
    assert count() in seen
    (tmp_path / "sample.h5").write_text("")  # ships with the packages
    found.append(tmp_path / "sample.h5")
    assert count() not in seen
    monkeypatch.undo()
    hashed = [process.PACKAGE, *sandbox.find_packages()]
    assert {"lab_grade", "lab_utils", "text_recognizer"} < {package.name for package in hashed}
    assert all(package.exists() for package in hashed)


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
    monkeypatch.setattr(sandbox, "wrap", lambda *_: command)
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: name)
    told = []
    monkeypatch.setattr(grader, "grade", lambda **given: told.append(given) or {"students": []})
    assert cli.grade_main(["a.ipynb", "folder", "-o", str(tmp_path), *options]) == 0
    assert [(given["sandbox"], given["scheduler"]) for given in told] == [(expected, None)]


@pytest.mark.parametrize("installed", ["bwrap", None])
def test_a_sandbox_that_does_not_work_is_one_line(installed, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sandbox, "wrap", lambda *_: ["false"])
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: installed)
    assert cli.grade_main(["a.ipynb", "folder", "-o", str(tmp_path), "--sandbox"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("lab-grade: --sandbox") and said.count("\n") == 1
