"""What comes out of grading: gradebook, a page a student, a report, JSON and JUnit XML."""

import csv
import hashlib
import io
import json
import re
import unicodedata
import xml.etree.ElementTree as ET
from pathlib import Path

from lab_grade.pages import clean, feedback_page, questions_of, report_page, scored, shortened
from lab_utils.paths import write_whole

RESERVED = re.compile(r"(con|prn|aux|nul|com[\d¹²³]|lpt[\d¹²³])(\..*)?", re.IGNORECASE)


def write_reports(results: dict, out: Path) -> None:
    """Write `gradebook.csv`, `feedback/`, `report.html`, `results.json` and `junit.xml`.

    Parameters
    ----------
    results : dict
        `assignment`, `max_points` and `students`: a list of what `judged` returns.
    out : Path
        A folder that exists.

    Raises
    ------
    LabError
        If a file cannot be written.
    """
    (out / "feedback").mkdir(exist_ok=True)
    pages = page_names([student["student"] for student in results["students"]])
    for student in results["students"]:
        page = feedback_page(results["assignment"], student)
        write_whole(out / "feedback" / pages[student["student"]], page)
    write_whole(out / "gradebook.csv", gradebook(results))
    write_whole(out / "report.html", report_page(results, pages))
    write_whole(out / "junit.xml", junit(results))
    write_whole(out / "results.json", json.dumps(results, indent=1, ensure_ascii=False) + "\n")


def message_for_student(message: str, secrets: list[str]) -> str:
    """Return a message that is clean, not too long, and without what hidden checks say."""
    message = clean(message)
    for secret in secrets:
        message = message.replace(secret, "[withheld]")
    return shortened(message)


def page_names(students: list[str]) -> dict[str, str]:
    """Return a file name for each student's page: safe on every system, and never the same."""
    names, taken = {}, set()
    for student in students:
        stem = re.sub(r"[^\w.-]+", "_", student).strip("._-")[:50] or "student"
        digest = hashlib.sha256(student.encode(errors="replace")).hexdigest()
        if RESERVED.fullmatch(stem):  # also before a dot
            stem = stem.replace(".", "_") + "_"
        choices = [f"{stem}-{digest[:8]}", f"{stem}-{digest}"]
        if stem == student:
            choices.insert(0, stem)
        name = next(choice for choice in choices if _same(choice) not in taken)
        taken.add(_same(name))
        names[student] = f"{name}.html"
    return names


def gradebook(results: dict) -> str:
    """Return the CSV: a row a student, a column a question, safe to open in a spreadsheet."""
    questions = questions_of(results["students"])
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["student", "points", "of", *questions, "to look at", "file"])
    for student in results["students"]:
        earned = [scored(student["checks"], question)[0] for question in questions]
        notes = [student["problem"], *(flag["text"] for flag in student["flags"])]
        row = [student["student"], student["points"], student["max_points"], *earned]
        row += ["; ".join(note for note in notes if note), student["file"]]
        writer.writerow([_cell(value) for value in row])
    return "\ufeff" + file.getvalue()  # so that Excel reads UTF-8


def junit(results: dict) -> str:
    """Return JUnit XML: a suite a student, a case a check."""
    root = ET.Element("testsuites", name=clean(results["assignment"]))
    for student in results["students"]:
        name, checks = clean(student["student"]), student["checks"]
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


def _same(name: str) -> str:
    """Return what names have in common that some file systems take for one."""
    return unicodedata.normalize("NFKC", name).casefold()


def _cell(value: object) -> str:
    """Return a cell of a CSV file that no spreadsheet takes for a formula."""
    if isinstance(value, int | float):
        return f"{value:g}"
    text = clean(re.sub(r"[\t\r\n]+", " ", value))
    begin = unicodedata.normalize("NFKC", text).lstrip()[:1]
    return f"'{text}" if begin in ("=", "+", "-", "@") else text
