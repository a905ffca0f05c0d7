"""The course's own homework: its reference gets all points, what students get none."""

import json
import re
from pathlib import Path

import nbformat
import pytest

from lab_grade import cli

pytestmark = pytest.mark.slow

LABS = Path(__file__).parents[2] / "labs"
NAME = "07_homework_resnet.ipynb"


def test_the_reference_scores_everything_and_the_released_notebook_nothing(tmp_path):
    submissions = tmp_path / "submissions"
    submissions.mkdir()
    notebook = nbformat.read(LABS / NAME, as_version=4)
    for cell in notebook.cells:  # nothing is answered; how long to train is everybody's choice
        if not cell.source.startswith("# CHECK"):
            cell.source = re.sub(r"steps=100\b", "steps=30", cell.source)
    nbformat.write(notebook, submissions / "unanswered.ipynb")
    out = tmp_path / "grades"
    # lab-grade itself refuses a reference that does not get all points
    assert cli.grade_main([str(LABS / "instructor" / NAME), str(submissions), "-o", str(out)]) == 0
    (student,) = json.loads((out / "results.json").read_text(encoding="utf-8"))["students"]
    assert (student["points"], student["max_points"]) == (0, 21)
    assert student["flags"] == [] and all(check["message"] for check in student["checks"])
    assert list(student["figures"]) == [
        "validation images",
        "sample drawings",
        "parameters",
        "seconds",
    ]
    assert student["figures"]["parameters"] == 414_723  # of the CNN, which is there to beat
    assert student["figures"]["validation images"] > 0.1
    board = (out / "leaderboard.html").read_text(encoding="utf-8")
    assert "unanswered" in board and "414,723" in board
