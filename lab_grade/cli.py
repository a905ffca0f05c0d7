"""The commands lab-grade and lab-release."""

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

import nbformat

from lab_grade.grader import grade
from lab_grade.notebook import Assignment
from lab_grade.process import Limits, require_sandbox
from lab_utils.errors import LabError
from lab_utils.paths import write_whole


def grade_main(arguments: list[str] | None = None) -> int:
    """Run `lab-grade`."""
    parser = argparse.ArgumentParser(
        "lab-grade",
        description="Grade a folder of notebooks by the checks of a reference.",
        epilog="Checks share the kernel with the student's code: forging is made hard and is "
        "flagged, but this is no sandbox. For one, use --sandbox.",
    )
    parser.add_argument("reference", type=Path, help="the instructor's notebook")
    parser.add_argument("submissions", type=Path, help="a folder of notebooks or of students")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder of all reports")
    parser.add_argument("--jobs", type=int, default=0, help="submissions at once (all cores)")
    parser.add_argument("--only", metavar="NAME", help="grade this student anew")
    parser.add_argument(
        "--allow",
        metavar="PATTERN",
        action="append",
        default=[],
        help="files beside a notebook that it may read, such as '*.png'",
    )
    parser.add_argument("--cell-timeout", type=float, default=120, metavar="SECONDS")
    parser.add_argument("--notebook-timeout", type=float, default=900, metavar="SECONDS")
    parser.add_argument("--memory", type=int, default=4096, metavar="MiB", help="a submission")
    parser.add_argument("--output", type=int, default=1024, metavar="KiB", help="a cell")
    parser.add_argument("--sandbox", action="store_true", help="in bubblewrap (Linux): no network")
    options = parser.parse_args(arguments)
    limits = Limits(
        options.cell_timeout,
        options.notebook_timeout,
        options.memory * 2**20,
        options.output * 2**10,
    )
    try:
        if min(vars(limits).values()) <= 0 or options.jobs < 0:
            raise LabError("limits must be above 0, and --jobs 0 or more.")
        if find_spec("nbval") is None:
            raise LabError('nbval is not installed: pip install -e ".[grade]"')
        if options.sandbox:
            require_sandbox()
        everything = grade(
            options.reference,
            options.submissions,
            options.out,
            options.jobs,
            options.only,
            tuple(options.allow),
            limits,
            options.sandbox,
        )
    except LabError as error:
        print(f"lab-grade: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("lab-grade: stopped. What is graded is kept: run it again.", file=sys.stderr)
        return 130
    flagged = sum(bool(result["flags"]) for result in everything["students"])
    print(f"{len(everything['students'])} submissions, {flagged} to look at")
    print(f"{options.out / 'gradebook.csv'}\n{options.out / 'report.html'}")
    return 0


def release_main(arguments: list[str] | None = None) -> int:
    """Run `lab-release`: write the student's version of a reference."""
    parser = argparse.ArgumentParser(
        "lab-release", description="Make the student's notebook: no solutions, no hidden checks."
    )
    parser.add_argument("reference", type=Path, help="the instructor's notebook")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="STUDENT.ipynb")
    options = parser.parse_args(arguments)
    try:
        if options.output.resolve() == options.reference.resolve():
            raise LabError(f"-o {options.output} is the reference itself: name another file.")
        assignment = Assignment(options.reference)
        write_whole(options.output, nbformat.writes(assignment.release()) + "\n")
    except LabError as error:
        print(f"lab-release: {error}", file=sys.stderr)
        return 2
    hidden = sum(check.hidden for check in assignment.checks)
    print(
        f"{options.output}: {len(assignment.checks) - hidden} checks, "
        f"{assignment.max_points:g} points with {hidden} hidden checks left out"
    )
    return 0
