"""The examples in the docstrings of what notebooks import: they run, and say what they print."""

import doctest
import re
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import pytest

import lab_utils

STUB = Path(lab_utils.__file__).with_suffix(".pyi").read_text(encoding="utf-8")
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def find_notebooks():
    """Return the number of the notebook that introduces each name."""
    found = {}
    for title, name in re.findall(r"^# (\d)\. |^from .* as (\w+)$", STUB, re.MULTILINE):
        number = title or number  # noqa: F821 - the stub begins with a title
        if name:
            found[name] = number
    return found


WRITTEN = ("lab_utils.start_page", "lab_utils.plots")
NAMES = [name for name in lab_utils.__all__ if lab_utils._MODULES[name] in WRITTEN]


@pytest.mark.parametrize("name", NAMES)
def test_the_example_of_a_name_runs(name, tmp_path, monkeypatch, capsys):
    matplotlib.use("agg")
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    monkeypatch.setenv("LAB_FAST", "1")
    (tmp_path / "labs").mkdir()
    monkeypatch.chdir(tmp_path / "labs")
    value = getattr(lab_utils, name)
    assert f"Taught in notebook {find_notebooks()[name]}." in value.__doc__
    found = doctest.DocTestFinder(recurse=False).find(value, name, globs={})
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    for test in found:
        runner.run(test)
    failed, tried = runner.summarize(verbose=False)
    assert (failed, tried > 0) == (0, True), capsys.readouterr().out
    assert [*Path().iterdir()] == []  # an example leaves nothing beside the notebook
