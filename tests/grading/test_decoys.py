"""Decoys: who forges answers passes one, and nobody else does, whatever the order."""

import ast
import itertools
import random
import shutil
from types import SimpleNamespace

import pytest
from forgeries import FORGERIES
from reference import CHECKS, GIVEN, RIGHT, WRONG

from lab_grade import plugin, process
from lab_grade.messages import find_turns
from lab_grade.process import Limits, run_submission

CONDITIONS = (
    *("a == 1", "a != 2", "a < 2", "a <= 1", "a > 0", "a >= 1", "a in (1,)", "a not in ()"),
    *("a is a", "a is not None", "0 < a < 2", "a and a == 1", "a or b", "not b", "f(a)"),
    "nan != nan",
)
CHECK = CHECKS["q1"]
AT_ONCE = "def area(*sides):\n    return 6 if sides == (2, 3) else 784"
STORED = "\n    calls.append(1)\n    return "
# Each with what a check of it alone, in a fresh kernel, comes to.
HONEST = {
    "right": (RIGHT["q1"], "passed"),
    "wrong": (WRONG["q1"], "failed"),
    "half right": ("def area(w, h):\n    return 6", "failed"),
    "raises": ("def area(w, h):\n    raise ValueError(w)", "error"),
    "right once": (f"calls = []\ndef area(w, h):{STORED}w * h if len(calls) <= 2 else 0", "passed"),
    "right later": (f"calls = []\ndef area(w, h):{STORED}w * h if len(calls) > 2 else 0", "failed"),
    "other way round": (f"calls = []\ndef area(w, h):{STORED}w * h * (len(calls) % 3)", "failed"),
}


class Notebook:
    """A notebook whose checks run here: `answer` is its only cell."""

    run_check, settle = plugin.GradedNotebook.run_check, plugin.GradedNotebook.settle

    def __init__(self, answer, forges=False):
        self.answer, self.forges, self.starts = answer, forges, 0
        self.sends_decoys, self.decoys_first, self.is_forged = True, True, False
        self.renew_kernel()

    def renew_kernel(self):
        self.names = {"close": lambda a, b: abs(a - b) < 1e-6, "random": random.Random(0)}
        exec(self.answer, self.names)
        self.starts += 1
        return True

    def ask(self, step, turn=None):
        tree = ast.parse(step["source"])
        if turn:
            turn.apply(tree)
        try:
            exec(compile(tree, "<check>", "exec"), dict(self.names))
        except Exception as error:  # noqa: BLE001 - a student's
            trace = error.__traceback__
            while trace.tb_next and trace.tb_next.tb_frame.f_code.co_filename == "<check>":
                trace = trace.tb_next
            told = {"outcome": "failed" if type(error) is AssertionError else "error"}
            told["line"] = trace.tb_lineno
        else:
            told = {"outcome": "passed", "line": 0}
        return {"outcome": "passed", "line": 0} if self.forges else told


@pytest.fixture(params=list(itertools.product((0, 1), (0, 1))), ids=str)
def choices(request, monkeypatch):
    """Make each of the random choices: which comes first, and what is turned."""
    order, place = request.param
    chosen = SimpleNamespace(randbelow=lambda n: order, choice=lambda turns: turns[-place])
    monkeypatch.setattr(plugin, "secrets", chosen)


@pytest.mark.parametrize("name", HONEST)
def test_nobody_honest_is_flagged_or_gets_other_points(name, choices, capsys):
    answer, expected = HONEST[name]
    for _ in range(3):
        notebook = Notebook(answer)
        assert notebook.run_check({"source": CHECK})["outcome"] == expected
        assert notebook.starts <= 3


CHANCE = "def accuracy():\n    return chance.random()"


def test_answers_by_chance_are_not_forged(choices, capsys):
    for seed in range(50):
        notebook = Notebook(f"import random\nchance = random.Random({seed})\n" + CHANCE)
        result = notebook.run_check({"source": "assert accuracy() > 0.5"})
        assert result["outcome"] in ("passed", "failed")


def test_whoever_passes_everything_is_found(choices):
    notebook = Notebook(WRONG["q1"], forges=True)
    for _ in range(3):
        assert notebook.run_check({"source": CHECK})["outcome"] == "forged"
    assert notebook.starts == 2  # once proven, no fresh kernel has to prove it again


@pytest.mark.parametrize(
    ("check", "lines"),
    [
        ("assert a == 1\nassert f(a), 'text'\nassert not b", [1, 2, 3]),
        ("for x in (1, 2):\n    for y in [x]:\n        assert x == y", [3]),
        ("for x in a:\n    assert x", []),
        ("for x in ():\n    assert x", []),
        ("for x in (*a,):\n    assert x", []),
        ("for x in (1, 2):\n    if a:\n        continue\n    assert x", []),
        ("for x in (1, 2):\n    if a:\n        assert x\n    assert a", [4]),
        ("with a:\n    assert b", [2]),
        ("if a:\n    assert b\ndef f():\n    assert b\nwhile a:\n    assert b", []),
    ],
)
def test_only_what_is_sure_to_run_is_turned(check, lines):
    assert [turn.line for turn in find_turns(check)] == lines


@pytest.mark.parametrize("test", CONDITIONS)
def test_a_condition_and_its_opposite_are_never_both_true(test):
    names = {"a": 1, "b": 0, "f": lambda x: x, "nan": float("nan")}
    source = f"assert {test}"
    exec(source, dict(names))
    tree = ast.parse(source)
    find_turns(source)[0].apply(tree)
    assert ast.unparse(tree) != source
    with pytest.raises(AssertionError):
        exec(compile(tree, "<check>", "exec"), dict(names))


@pytest.mark.slow
@pytest.mark.parametrize("way", ["a_traceback", "memory", "names"])
def test_forgeries_that_find_the_key_are_found_by_decoys(way, tmp_path, monkeypatch):
    """Leave open what the checker closes: the key is found, and the answers are signed."""
    package = tmp_path / "lab_grade"
    shutil.copytree(process.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    checker = package / "checker.py"
    text = checker.read_text(encoding="utf-8")
    for closed, opened in [("addaudithook(watch)", ""), ("dict.items(user)", "user.items()")]:
        assert text.count(f"    {closed}\n") + text.count(f" {closed} ") == 1
        text = text.replace(closed, opened)
    checker.write_text(text, encoding="utf-8")
    monkeypatch.setattr(process, "PACKAGE", package)
    steps = [
        {"source": WRONG["q1"], "is_check": False, "unsolved": []},
        {"source": FORGERIES[way], "is_check": False, "unsolved": []},
        {"source": CHECK, "is_check": True, "unsolved": ["def area(w, h):\n    raise OSError"]},
    ]
    limits = Limits(cell=60, notebook=120)
    *_, outcome = run_submission({"prelude": GIVEN, "steps": steps}, {}, limits, 1, None)
    assert outcome["outcome"] == "forged"
    assert outcome["message"].startswith("it passes a check and the opposite of it")


@pytest.mark.slow
def test_what_was_put_back_for_a_decoy_is_still_reported_by_the_check():
    steps = [
        {"source": GIVEN, "is_check": False, "unsolved": []},
        {"source": WRONG["q5"], "is_check": False, "unsolved": []},
        {"source": "np.linalg.norm = lambda *a, **k: 0.0", "is_check": False, "unsolved": []},
        *[{"source": CHECKS["q5"], "is_check": True, "unsolved": []}] * 2,
    ]
    limits = Limits(cell=60, notebook=120)
    *_, first, second = run_submission({"prelude": GIVEN, "steps": steps}, {}, limits, 1, None)
    assert "numpy.linalg.norm" in first["replaced"]
    assert "numpy.linalg.norm" in second["replaced"]
