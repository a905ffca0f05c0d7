"""The corpus: all submissions of a class, registered in `CASES`, and written as files."""

from collections.abc import Sequence
from pathlib import Path

import broken_files  # noqa: F401 - it registers its cases, as the others do
import edited_checks  # noqa: F401
import file_cheats  # noqa: F401
import forgeries  # noqa: F401
import honest  # noqa: F401
import kernel_cheats  # noqa: F401
import nbformat
import python_cheats  # noqa: F401
import trouble  # noqa: F401
from cases import CASES
from reference import Student

MISSING = "missing"


def hand_in_all(released: nbformat.NotebookNode, submissions: Path, chosen: Sequence[str]) -> None:
    """Write the submissions whose names are chosen into a folder, and perhaps an empty folder."""
    for case in CASES:
        if case.name in chosen:
            student = Student(released, case.student)
            student.hand_in(submissions, case.write(student))
    if MISSING in chosen:
        (submissions / MISSING).mkdir()
