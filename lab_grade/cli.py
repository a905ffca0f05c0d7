"""The commands lab-grade and lab-release: what they need is imported once arguments are right."""

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

from lab_grade import leave_out_unused_formats
from text_recognizer.errors import LabError

REQUIRED = ("jinja2", "nbval", "psutil")


def grade_main(arguments: list[str] | None = None) -> int:
    """Run `lab-grade`."""
    options = vars(_make_grade_parser().parse_args(arguments))
    cell, notebook = options.pop("cell_timeout"), options.pop("notebook_timeout")
    memory, output = options.pop("memory") * 2**20, options.pop("output") * 2**10
    try:
        if missing := [name for name in REQUIRED if find_spec(name) is None]:
            raise LabError(f'{missing[0]} is not installed: pip install -e ".[grade]"')
        leave_out_unused_formats()
        from lab_grade import sandbox
        from lab_grade.grader import grade
        from lab_grade.process import Limits

        if min(cell, notebook, memory, output) <= 0 or options["jobs"] < 0:
            raise LabError("limits must be above 0, and --jobs 0 or more.")
        if options["sandbox"]:
            sandbox.require()
        elif options["sandbox"] is None:
            options["sandbox"] = sandbox.is_available()
        everything = grade(**options, limits=Limits(cell, notebook, memory, output))
    except LabError as error:
        print(f"lab-grade: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("lab-grade: stopped. What is graded is kept: run it again.", file=sys.stderr)
        return 130
    flagged = sum(bool(r["flags"] or r["problem"]) for r in everything["students"])
    print(f"{len(everything['students'])} submissions, {flagged} to look at")
    print(f"{options['out'] / 'gradebook.csv'}\n{options['out'] / 'report.html'}")
    if name := options["platform"]:
        known = sum(r["platform"] == name and r["id"].isdigit() for r in everything["students"])
        print(f"{options['out'] / name}.csv: {known} students, whose files have a number of {name}")
    return 0


def _make_grade_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "lab-grade",
        description="Grade a folder of notebooks by the checks of a reference.",
        epilog="Checks run outside of the student's kernel. Without the sandbox, that kernel runs "
        "with your rights, and could reach them.",
    )
    parser.add_argument("reference", type=Path, help="the instructor's notebook")
    parser.add_argument(
        "submissions", type=Path, help="a folder of notebooks or of students, or a zip"
    )
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for all reports")
    parser.add_argument("--jobs", type=int, default=0, help="submissions at once (all cores)")
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="grade on the workers of a Dask cluster, such as tcp://10.0.0.1:8786",
    )
    parser.add_argument("--only", metavar="NAME", help="grade this student again")
    parser.add_argument(
        "--allow",
        metavar="PATTERN",
        action="append",
        default=[],
        help="files next to a notebook that it may read, such as '*.png'",
    )
    parser.add_argument(
        "--adjust",
        dest="adjustments",
        type=Path,
        metavar="CSV",
        help="points to add by hand: student, question, points, comment (adjustments.csv in --out)",
    )
    parser.add_argument(
        "--for",
        dest="platform",
        choices=("canvas", "moodle"),
        default="",
        help="write the gradebook and the feedback that it imports, too",
    )
    parser.add_argument("--cell-timeout", type=float, default=120, metavar="SECONDS")
    parser.add_argument("--notebook-timeout", type=float, default=900, metavar="SECONDS")
    parser.add_argument(
        "--memory", type=int, default=4096, metavar="MiB", help="for each submission (4096)"
    )
    parser.add_argument(
        "--output",
        type=int,
        default=65536,
        metavar="KiB",
        help="after which a cell that is still printing is stopped (65536)",
    )
    parser.add_argument(
        "--sandbox",
        action=argparse.BooleanOptionalAction,
        help="in bubblewrap: no network, nothing else writable (default: where it works, on Linux)",
    )
    return parser


def release_main(arguments: list[str] | None = None) -> int:
    """Run `lab-release`: write the student's version of a reference."""
    parser = argparse.ArgumentParser(
        "lab-release", description="Make the student's notebook: no solutions, no hidden checks."
    )
    parser.add_argument("reference", type=Path, help="the instructor's notebook")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="STUDENT.ipynb")
    parser.add_argument(
        "--without-answers",
        action="store_true",
        help="leave out the answers that unfold under questions to think about",
    )
    options = parser.parse_args(arguments)
    try:
        if options.output.resolve() == options.reference.resolve():
            raise LabError(f"-o {options.output} is the reference itself: name another file.")
        leave_out_unused_formats()
        import nbformat

        from lab_grade.notebook import Assignment
        from text_recognizer.paths import write_whole

        # Answers to think about are all there is to leave out of some notebooks.
        assignment = Assignment(options.reference, needs_checks=not options.without_answers)
        notebook = assignment.release(answers=not options.without_answers)
        write_whole(options.output, nbformat.writes(notebook) + "\n")
    except LabError as error:
        print(f"lab-release: {error}", file=sys.stderr)
        return 2
    hidden = sum(check.hidden for check in assignment.checks)
    print(
        f"{options.output}: {len(assignment.checks) - hidden} checks, "
        f"{assignment.max_points:g} points with {hidden} hidden checks left out"
    )
    return 0
