"""Gradebooks and archives that other programs read."""

import csv
import io
import re
import unicodedata
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path

from lab_grade.results import HAND, clean, list_questions, sum_points


def format_cell(value: str | float) -> str:
    """Return a cell of a CSV file that no spreadsheet takes for a formula."""
    if isinstance(value, int | float):
        return f"{value:g}"
    text = clean(re.sub(r"[\t\r\n]+", " ", value))
    begin = unicodedata.normalize("NFKC", text).lstrip()[:1]
    return f"'{text}" if begin in ("=", "+", "-", "@") else text


def format_table(rows: list[list]) -> str:
    """Return a CSV file, safe in a spreadsheet."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([format_cell(v) for v in row] for row in rows)
    return file.getvalue()


def format_gradebook(results: dict) -> str:
    """Return the CSV: a row for each student, a column for each question."""
    students, questions = results["students"], list_questions(results["students"])
    extra = ["adjusted"] if any(student.get("adjustments") for student in students) else []
    ids = ["id"] if any(student.get("id") for student in students) else []
    rows: list[list] = [["student", *ids, "points", "of", *questions, *extra, "to look at", "file"]]
    for student in students:
        earned = [sum_points(student["checks"], question)[0] for question in questions]
        earned += [sum(row["points"] for row in student["adjustments"]) for _ in extra]
        notes = [student["problem"], *(flag["text"] for flag in student["flags"])]
        row = [student["student"], *(student["id"] for _ in ids)]
        row += [student["points"], student["max_points"], *earned]
        rows.append([*row, "; ".join(note for note in notes if note), student["file"]])
    return "\ufeff" + format_table(rows)  # so that Excel reads UTF-8


def format_junit(results: dict) -> str:
    """Return JUnit XML: a suite for each student, a case for each check."""
    root = ET.Element("testsuites", name=clean(results["assignment"]))
    for student in results["students"]:
        name = clean(student["student"])
        checks = [check for check in student["checks"] if check["outcome"] not in HAND]
        wrong = [check for check in checks if check["outcome"] != "passed"]
        suite = ET.SubElement(root, "testsuite", name=name, time=str(student["seconds"]))
        suite.set("tests", str(len(checks)))
        suite.set("failures", str(len(wrong)))
        for check in checks:
            case = ET.SubElement(suite, "testcase", classname=name, name=clean(check["title"]))
            if check["outcome"] != "passed":
                message = clean(check["message"] or student["problem"])
                ET.SubElement(case, "failure", type=check["outcome"], message=message)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def format_grades(results: dict, platform: str) -> str:
    """Return the CSV file that Canvas or Moodle imports: those whom it knows by its number."""
    known = [s for s in results["students"] if s["platform"] == platform and s["id"].isdigit()]
    if platform == "canvas":
        rows = [
            ["Student", "ID", "SIS Login ID", "Section", results["assignment"]],
            ["    Points Possible", "", "", "", results["max_points"]],
            *([s["student"], s["id"], "", "", s["points"]] for s in known),
        ]
    else:
        rows = [
            ["Identifier", "Full name", "Grade", "Maximum grade", "Last modified (grade)"],
            *(
                [f"Participant {s['id']}", s["student"], s["points"], results["max_points"], ""]
                for s in known
            ),
        ]
    return format_table(rows)


def pack_feedback(results: dict, pages: dict[str, str], platform: str, path: Path) -> None:
    """Write a zip of the students' pages under the names that Canvas or Moodle takes back."""
    temporary = path.with_name(path.name + ".part")
    with zipfile.ZipFile(temporary, "w") as packed:
        for student in results["students"]:
            if student["platform"] == platform and student["upload"]:
                name = zipfile.ZipInfo(f"{student['upload']}feedback.html")
                packed.writestr(name, pages[student["student"]], zipfile.ZIP_DEFLATED)
    temporary.replace(path)
