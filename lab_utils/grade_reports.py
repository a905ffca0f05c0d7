"""What comes out of grading: gradebook, a page a student, a report, JSON and JUnit XML."""

import csv
import hashlib
import html
import io
import json
import re
import statistics
import xml.etree.ElementTree as ET
from pathlib import Path

from lab_utils.assignment import write_whole

LONGEST = 1000  # characters of a message that a student is shown
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]")  # not allowed in XML
FOR_STUDENTS = ("running", "file")  # kinds of flags; the others are the instructor's business
STYLE = """
:root { color-scheme: light dark; --faint: #5b6370; --line: #d0d5dd; --good: #17693a;
  --bad: #a3260f; --bar: #2b6cb0; }
@media (prefers-color-scheme: dark) { :root { --faint: #a5adba; --line: #444c58;
  --good: #6fcf97; --bad: #ff9b85; --bar: #7fb2e5; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { line-height: 1.2; } h2 { margin-top: 2.2rem; }
table { border-collapse: collapse; } .wide { overflow-x: auto; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; vertical-align: top;
  border-bottom: 1px solid var(--line); }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; border-left: 3px solid var(--line);
  padding-left: .8rem; margin: .4rem 0; font-size: .9rem; }
.passed { color: var(--good); } .missed { color: var(--bad); } .faint { color: var(--faint); }
svg text { fill: currentColor; font: 12px system-ui, sans-serif; } svg rect { fill: var(--bar); }
"""
HIDDEN_HINT = (
    "Hidden checks test the same behaviour as the visible one, with other values: think of cases "
    "that the visible check does not try."
)


def write_reports(results: dict, out: Path) -> None:
    """Write `gradebook.csv`, `feedback/`, `report.html`, `results.json` and `junit.xml`.

    Parameters
    ----------
    results : dict
        `assignment`, `max_points` and `students`: a list of results as `grade_results` makes them.
    out : Path
        A folder that exists.
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


def clean(message: str) -> str:
    """Return a message without colours and without characters that no file may hold."""
    return CONTROL.sub("", ANSI.sub("", message))


def message_for_student(message: str, secrets: list[str]) -> str:
    """Return a message that is clean, not too long, and without what hidden checks say."""
    message = clean(message)
    for secret in secrets:
        message = message.replace(secret, "[withheld]")
    return message if len(message) <= LONGEST else message[:LONGEST] + " ..."


def page_names(students: list[str]) -> dict[str, str]:
    """Return a file name for each student's page: safe on every system, and never the same."""
    names, taken = {}, set()
    for student in students:
        name = re.sub(r"[^\w.-]+", "_", student).strip("._")[:80] or "student"
        reserved = re.fullmatch(r"(?i)con|prn|aux|nul|com\d|lpt\d", name.split(".")[0])
        if name != student or reserved or name.lower() in taken:
            name += "-" + hashlib.sha256(student.encode()).hexdigest()[:8]
        taken.add(name.lower())
        names[student] = f"{name}.html"
    return names


def gradebook(results: dict) -> str:
    """Return the CSV: a row a student, a column a question, safe to open in a spreadsheet."""
    questions = _questions(results["students"])
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["student", "points", "of", *questions, "to look at", "file"])
    for student in results["students"]:
        earned = [_sum(student["checks"], question)[0] for question in questions]
        notes = [student["problem"], *(flag["text"] for flag in student["flags"])]
        row = [student["student"], student["points"], student["max_points"], *earned]
        row += ["; ".join(note for note in notes if note), student["file"]]
        writer.writerow([_cell(value) for value in row])
    return "\ufeff" + file.getvalue()  # so that Excel reads UTF-8


def feedback_page(assignment: str, student: dict) -> str:
    """Return a student's page: each question explained, hidden checks not given away."""
    parts = [f"<p>{_points(student)}</p>"]
    if student["problem"]:
        parts.append(f"<p class=missed>Nothing could be run: {_text(student['problem'])}.</p>")
    notes = [flag["text"] for flag in student["flags"] if flag["kind"] in FOR_STUDENTS]
    if notes:
        parts.append("<h2>While it ran</h2><ul>")
        parts += [f"<li>{_text(note[0].upper() + note[1:])}.</li>" for note in notes] + ["</ul>"]
    for question in _questions([student]):
        checks = [check for check in student["checks"] if check["question"] == question]
        earned, points = _sum(checks, question)
        parts.append(f"<h2>Question {question[1:]}: {earned:g} of {points:g}</h2>")
        parts += [_explained(check) for check in checks if not check["hidden"]]
        hidden = [check for check in checks if check["hidden"]]
        missed = sum(check["outcome"] != "passed" for check in hidden)
        if hidden and not missed:
            parts.append("<p><span class=passed>✓</span> Hidden checks passed.</p>")
        elif hidden:
            parts.append(
                f"<p><span class=missed>✗</span> {missed} of {len(hidden)} hidden checks did not "
                f"pass. <span class=faint>{HIDDEN_HINT}</span></p>"
            )
    if student["cells"]:
        parts.append("<h2>Cells with trouble</h2><ul>")
        for cell in student["cells"]:
            first = f"<code>{_text(cell['first_line'])}</code>"
            parts.append(f"<li>Cell {cell['number']}, {first}")
            parts.append(f"<pre>{_text(cell['message'])}</pre></li>")
        parts.append("</ul>")
    return _page(f"{assignment}: {student['student']}", parts)


def report_page(results: dict, pages: dict[str, str]) -> str:
    """Return the instructor's page: distribution, hardest questions, whom to look at, everybody."""
    students, most = results["students"], results["max_points"]
    totals = [student["points"] for student in students]
    parts = [
        f"<p>{len(students)} submissions, {most:g} points; median {statistics.median(totals):g}, "
        f"mean {statistics.fmean(totals):.1f}.</p>",
        "<h2>Totals</h2>",
        _histogram(totals, most),
        "<h2>Questions, the hardest first</h2><table><tr><th>question<th class=number>points"
        "<th class=number>mean share<th class=number>full points</tr>",
    ]
    questions = []
    for question in _questions(students):
        sums = [_sum(student["checks"], question) for student in students]
        shares = [earned / points for earned, points in sums if points]
        full = sum(share == 1 for share in shares)
        questions.append((statistics.fmean(shares or [0]), question, sums[0][1], full))
    for share, question, points, full in sorted(questions):
        parts.append(
            f"<tr><td>{_text(question)}<td class=number>{points:g}<td class=number>{share:.0%}"
            f"<td class=number>{full} of {len(students)}</tr>"
        )
    parts.append("</table><h2>To look at</h2>")
    parts.append(
        "<p class=faint>Flags never cost a point: what stands here may have an honest reason. "
        "Tampering and copies are not shown to students.</p><ul>"
    )
    for student in students:
        notes = [f"<b>{_text(student['problem'])}</b>"] if student["problem"] else []
        notes += [f"{flag['kind']}: {_text(flag['text'])}" for flag in student["flags"]]
        if notes:
            parts.append(f"<li>{_link(student, pages)}<br>{'<br>'.join(notes)}</li>")
    names = [question for _, question, _, _ in sorted(questions, key=lambda q: int(q[1][1:]))]
    header = "".join(f"<th class=number>{_text(name)}" for name in names)
    parts.append(
        "</ul><h2>Everybody</h2><div class=wide><table><tr><th>student<th class=number>points"
        f"{header}<th class=number>seconds</tr>"
    )
    for student in students:
        earned = (_sum(student["checks"], name)[0] for name in names)
        row = "".join(f"<td class=number>{points:g}" for points in earned)
        parts.append(
            f"<tr><td>{_link(student, pages)}<td class=number><b>{student['points']:g}</b>{row}"
            f"<td class=number>{student['seconds']:.0f}</tr>"
        )
    parts.append("</table></div><h2>Hidden checks that did not pass</h2><ul>")
    for student in students:
        for check in student["checks"]:
            if check["hidden"] and check["outcome"] not in ("passed", "not run"):
                said = f"{check['outcome']} {check['message'][:LONGEST]}"
                parts.append(
                    f"<li>{_link(student, pages)}, {check['question']}: {_text(said)}</li>"
                )
    return _page(f"{results['assignment']}: report", [*parts, "</ul>"])


def junit(results: dict) -> str:
    """Return JUnit XML: a suite a student, a case a check."""
    root = ET.Element("testsuites", name=results["assignment"])
    for student in results["students"]:
        name = CONTROL.sub("", student["student"])
        checks = student["checks"]
        wrong = [check for check in checks if check["outcome"] != "passed"]
        suite = ET.SubElement(root, "testsuite", name=name, time=str(student["seconds"]))
        suite.set("tests", str(len(checks)))
        suite.set("failures", str(len(wrong)))
        for check in checks:
            title = CONTROL.sub("", check["title"])
            case = ET.SubElement(suite, "testcase", classname=name, name=title)
            if check["outcome"] != "passed":
                message = CONTROL.sub("", check["message"] or student["problem"])
                ET.SubElement(case, "failure", type=check["outcome"], message=message)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _questions(students: list[dict]) -> list[str]:
    return list(dict.fromkeys(check["question"] for s in students for check in s["checks"]))


def _sum(checks: list[dict], question: str) -> tuple[float, float]:
    """Return the points that were earned for a question, and those that it is worth."""
    its = [check for check in checks if check["question"] == question]
    return sum(check["earned"] for check in its), sum(check["points"] for check in its)


def _cell(value: object) -> str:
    """Return a cell of a CSV file that no spreadsheet takes for a formula."""
    text = f"{value:g}" if isinstance(value, int | float) else CONTROL.sub(" ", str(value))
    return "'" + text if text.lstrip().startswith(("=", "+", "-", "@")) else text


def _text(text: str) -> str:
    return html.escape(clean(text))


def _points(student: dict) -> str:
    return f"<b>{student['points']:g} of {student['max_points']:g} points</b>"


def _explained(check: dict) -> str:
    if check["outcome"] == "passed":
        return "<p><span class=passed>✓</span> Passed.</p>"
    why = {
        "not run": "It was not reached.",
        "timeout": "It ran for too long.",
        "died": "The kernel died.",
        "memory": "It took too much memory.",
        "output": "It printed too much.",
        "forged": "It could not be confirmed that the check ran.",
    }.get(check["outcome"], "It did not pass:")
    message = f"<pre>{_text(check['message'])}</pre>" if why.endswith(":") else ""
    return f"<p><span class=missed>✗</span> {why}</p>{message}"


def _link(student: dict, pages: dict[str, str]) -> str:
    page = pages[student["student"]]
    return f'<a href="feedback/{html.escape(page)}">{_text(student["student"])}</a>'


def _histogram(totals: list[float], most: float) -> str:
    """Return the distribution of totals as a picture of ten bars."""
    bars = [0] * 10
    for total in totals:
        bars[min(9, int(10 * total / most))] += 1
    drawn = []
    for i, count in enumerate(bars):
        height = 100 * count / max(bars)
        x, top = 50 * i, 115 - height
        drawn.append(
            f'<rect x="{x + 4}" y="{top:.0f}" width="42" height="{height:.0f}"/>'
            f'<text x="{x + 25}" y="{top - 4:.0f}" text-anchor="middle">{count or ""}</text>'
            f'<text x="{x}" y="132">{most * i / 10:g}</text>'
        )
    said = "Submissions by points: " + ", ".join(map(str, bars))
    return (
        f'<svg role="img" aria-label="{said}" viewBox="0 0 520 140" width="100%" '
        f'style="max-width:36rem">{"".join(drawn)}</svg>'
    )


def _page(title: str, parts: list[str]) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{_text(title)}</title><style>{STYLE}</style></head>\n"
        f"<body><h1>{_text(title)}</h1>\n" + "\n".join(parts) + "\n</body></html>\n"
    )
