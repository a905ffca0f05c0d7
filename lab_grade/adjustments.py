"""What an instructor adds to the points of checks: grades by hand, days late, extra credit."""

import csv
import io
import math
import re
from pathlib import Path

from lab_grade.exports import format_cell
from lab_grade.platforms import decode_text, fold
from lab_grade.results import ADJUSTED, BY_HAND, list_questions
from text_recognizer.errors import LabError, nearest, shorten
from text_recognizer.paths import write_whole

COLUMNS = ["student", "question", "points", "comment"]


def adjust(results: dict, path: Path | None, kept: Path) -> None:
    """Add the points of a table to the results, and keep it with a row for all that is to grade.

    Parameters
    ----------
    results : dict
        As `write_reports` takes them; they are changed.
    path : Path or None
        A CSV file with `student`, `question`, `points` (added to what the checks gave) and
        `comment`. A question of another name than `q1` concerns the whole notebook, such as
        "late". None for `kept`, if it is there.
    kept : Path
        Where it is kept for the next time. Rows that wait for points are added to it.

    Raises
    ------
    LabError
        If it can't be read or has a row for nobody, for a question that is none, or without a
        number.
    """
    path = path or (kept if kept.exists() else None)
    text, rows, delimiter, columns = "", [], ",", COLUMNS
    if path is not None:
        try:
            text = decode_text(path.read_bytes()).lstrip("\ufeff")
            text = re.sub(r"\Asep=.\s+", "", text)  # for Excel
            head = text.partition("\n")[0]
            delimiter = max(",;\t", key=head.count)
            header, *lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        except (OSError, ValueError, csv.Error) as error:
            raise LabError(f"{path} cannot be read ({shorten(error)}).") from None
        columns = [name.strip().lower() for name in header]
        if missing := [name for name in COLUMNS[:3] if name not in columns]:
            raise LabError(f"{path} has no column {missing[0]!r}: it needs {', '.join(COLUMNS)}.")
        for number, line in enumerate(lines, start=2):
            found = dict(zip(columns, map(str.strip, line), strict=False))
            rows.append({name: found.get(name, "") for name in COLUMNS})
            rows[-1]["question"] = rows[-1]["question"].lower()
            _add(results, rows[-1], f"{path}, row {number}")
    for student in results["students"]:
        student["points"] = max(0.0, student["points"])
    known = {(fold(row["student"].removeprefix("'")), row["question"]) for row in rows}
    waiting = [
        {"student": format_cell(student["student"]), "question": check["question"]}
        for student in results["students"]
        for check in student["checks"]
        if check["outcome"] == BY_HAND and not student["problem"]
        if not {(fold(student[key]), check["question"]) for key in ("student", "id")} & known
    ]
    if waiting or path not in (None, kept):
        file = io.StringIO()
        writer = csv.DictWriter(file, columns, delimiter=delimiter, lineterminator="\n")
        if not text:
            writer.writeheader()
        writer.writerows(waiting)
        text = text.rstrip("\r\n") + "\n" if text else ""
        write_whole(kept, f"\ufeff{text}{file.getvalue()}")


def _add(results: dict, row: dict[str, str], where: str) -> None:
    """Add a row to a student's result, unless it still waits for its points."""
    if not row["points"]:
        return
    try:
        points = float(row["points"].replace(",", ".").replace("\u2212", "-"))
    except ValueError:
        points = math.nan
    if not math.isfinite(points):
        raise LabError(f"{where}: points must be a number, not {row['points']!r}.")
    name, question = fold(row["student"].removeprefix("'")), row["question"]
    found = [s for s in results["students"] if name and name in (fold(s["student"]), fold(s["id"]))]
    if len(found) != 1:
        names = [student["student"] for student in results["students"]]
        raise LabError(f"{where}: no student {row['student']!r}: {nearest(row['student'], names)}")
    (student,) = found
    if question in (questions := list_questions(results["students"])):
        check = next(c for c in student["checks"] if c["question"] == question)
        about = {"hidden": False, "points": 0.0, "earned": points, "title": "adjusted by hand"}
        about |= {"outcome": ADJUSTED, "message": row["comment"], "topic": check["topic"]}
        student["checks"].append({"question": question} | about)
    elif re.fullmatch(r"q?\d+", question):
        raise LabError(f"{where}: no question {question}: {nearest(question, questions)}")
    else:
        student["adjustments"].append(row | {"points": points})
    student["points"] += points
