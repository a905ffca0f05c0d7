"""The course's own homework: its reference gets all points, what students get none."""

import json
import re
from pathlib import Path

import nbformat
import pytest

from lab_grade import cli
from lab_grade.notebook import Assignment
from lab_grade.placement import plan_steps
from lab_grade.reading import Submission, read_submission

pytestmark = pytest.mark.slow

LABS = Path(__file__).parents[2] / "labs"
NAME = "07_homework_resnet.ipynb"


def test_the_reference_scores_everything_and_the_released_notebook_nothing(tmp_path):
    notebook = nbformat.read(LABS / "instructor" / NAME, as_version=4)
    for cell in notebook.cells:  # outside of checks, how long to train is everybody's choice
        if not cell.source.startswith("# CHECK"):
            cell.source = re.sub(r"(train\(network, .*steps)=100", r"\1=30", cell.source)
    nbformat.write(notebook, tmp_path / NAME)
    (tmp_path / "submissions").mkdir()
    (tmp_path / "submissions" / "nobody.ipynb").touch()
    out = tmp_path / "grades"
    # lab-grade itself refuses a reference that does not get all points
    assert (
        cli.grade_main([str(tmp_path / NAME), str(tmp_path / "submissions"), "-o", str(out)]) == 0
    )
    kept = json.loads((out / "results" / ".released.json").read_text(encoding="utf-8"))
    assert (kept["points"], kept["max_points"]) == (0, 21)
    assert kept["flags"] == [] and all(check["message"] for check in kept["checks"])
    names = ["validation images", "sample drawings", "parameters", "seconds"]
    assert list(kept["figures"]) == names
    assert kept["figures"]["parameters"] == 414_723  # of the CNN, which is there to beat
    assert kept["figures"]["validation images"] > 0.1


def test_the_released_file_is_what_the_grader_takes_for_it():
    assignment = Assignment(LABS / "instructor" / NAME)
    submission = Submission("unanswered", LABS / NAME)
    read_submission(submission, assignment)
    steps = [step.source for step in plan_steps(assignment, submission) if not step.check]
    released = [cell.released for cell in assignment.cells if cell.kind == "code"]
    assert steps == [source for source in released if not source.startswith("# CHECK")]
    assert submission.flags == []
