"""Cheats in the notebook itself: checks edited, moved, skipped."""

from cases import ALL, NOTHING, case
from reference import CHECKS


def _edit_checks(student):
    student.edit_check("q1", CHECKS["q1"], "# CHECK q1 (2 points)\npass")
    student.edit_check("q2", "2 points", "20 points")
    student.edit_check("q3", "# CHECK", "mean = None\n# CHECK")
    student.add(CHECKS["q4"], before="q4")
    del student.cells[student.place("q5")]


@case("dishonest", NOTHING, "tampering")
def checks_edited(student):
    """Empty a check, give another more points, put code before, double and delete."""
    student.fail()
    _edit_checks(student)


@case("dishonest", ALL, "tampering")
def checks_edited_although_solved(student):
    """Do the same with right answers: they earn the reference's points."""
    student.solve()
    _edit_checks(student)


@case("dishonest", "q1 q2 q3", "tampering")
def checks_moved(student):
    """Move checks before their answers, to the end and into text."""
    student.solve("q1", "q2", "q3")
    student.fail("q4", "q5")
    for question, place in [("q1", 2), ("q2", None), ("q4", 3)]:
        cell = student.cells.pop(student.place(question))
        student.cells.insert(len(student.cells) if place is None else place, cell)
    cell = student.cells[student.place("q3")]
    cell.cell_type = "markdown"
    for key in ("outputs", "execution_count"):
        del cell[key]


@case("dishonest", NOTHING, "tampering")
def checks_for_other_questions(student):
    """Move checks of later questions up, where an easier answer stands; invent questions."""
    student.fail()
    student.edit_check("q5", "(1 point)", "(1 point) ")
    student.edit_check("q4", "# CHECK q4 (2 points)", "# CHECK q6 (40 points)")
    student.end_with("# CHECK q2 hidden (100 points)\nassert True")
    student.end_with("# CHECK q7 (100 points)\nassert True")


@case("dishonest", NOTHING, "tampering")
def skip_tags(student):
    """Tell nbval to skip checks, by tags, metadata and comments."""
    student.fail()
    for i, cell in enumerate(student.cells):
        cell.metadata["tags"] = ["nbval-skip", "raises-exception", "nbval-raises-exception"]
        cell.metadata["nbgrader"] = {"grade": True, "points": 50, "locked": False}
        if i % 2 and cell.source in CHECKS.values():
            cell.source = "# NBVAL_SKIP\n" + cell.source
    student.edit_check("q3", "mean = Mean()", "# NBVAL_RAISES_EXCEPTION\nmean = Mean()")


@case("dishonest", NOTHING, "tampering")
def magics_before_checks(student):
    """Keep checks from running with cell magics and indentation."""
    student.fail()
    for question, magic in [
        ("q1", "%%script false\n"),
        ("q2", "%%capture\n"),
        ("q3", "%%html\n"),
        ("q4", "if False:\n  "),
        ("q5", "'''\n"),
    ]:
        student.edit_check(question, "# CHECK", magic + "# CHECK")
