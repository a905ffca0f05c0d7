"""What comes out of grading: gradebook, a page for each student, a report, JSON and JUnit XML."""

import base64
import functools
import hashlib
import json
import math
import re
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

import jinja2

from lab_grade.copies import compare_lines
from lab_grade.exports import format_gradebook, format_grades, format_junit, pack_feedback
from lab_grade.platforms import fold
from lab_grade.results import ADJUSTED, BY_HAND, HAND, clean, list_questions, shorten, sum_points
from text_recognizer.language import _
from text_recognizer.paths import write_whole

TEMPLATES = Path(__file__).parent / "templates"
RESERVED = re.compile(r"(con|prn|aux|nul|com[\d¹²³]|lpt[\d¹²³])(\..*)?", re.IGNORECASE)
FOR_STUDENTS = ("running", "file")  # kinds of flags; the others are the instructor's business
URGENCY = ["tampering", "copy", "problem", "file", "running"]
EXPLAINED = {  # outcomes that need no message
    "timeout": "took too long, so it was stopped.",
    "died": "did not finish: the kernel ended while it ran.",
    "memory": "needed more memory than there is.",
    "output": "printed without end, so it was stopped.",
    "not run": "was not reached, because of what happened before it.",
}
NUM_BARS = 10
BEST = "test images"  # what the leaderboard is sorted by, the largest first


def write_reports(results: dict, out: Path, platform: str = "") -> None:
    """Write `gradebook.csv`, `feedback/`, `report.html`, `results.json` and `junit.xml`.

    And `leaderboard.html`, where notebooks left figures for it.

    Parameters
    ----------
    results : dict
        `assignment`, `max_points`, `near_copies` and `students`: a list of what `score` returns.
    out : Path
        A folder that exists.
    platform : str
        "canvas" or "moodle": write its gradebook and feedback files, too.
    """
    (out / "feedback").mkdir(exist_ok=True)
    pages = name_pages([student["student"] for student in results["students"]])
    rendered = {}
    for student in results["students"]:
        page = rendered[student["student"]] = render_feedback(results["assignment"], student)
        write_whole(out / "feedback" / pages[student["student"]], page)
        for check in student["checks"]:
            if "pictures" in check:  # from here on, they are files
                check["pictures"] = [_store(uri, out / "pictures") for uri in check["pictures"]]
    if platform:
        write_whole(out / f"{platform}.csv", format_grades(results, platform))
        pack_feedback(results, rendered, platform, out / f"{platform}-feedback.zip")
    write_whole(out / "gradebook.csv", format_gradebook(results))
    write_whole(out / "report.html", render_report(results, pages))
    if board := render_leaderboard(results):
        write_whole(out / "leaderboard.html", board)
    else:  # not that of an earlier time
        (out / "leaderboard.html").unlink(missing_ok=True)
    write_whole(out / "junit.xml", format_junit(results))
    write_whole(out / "results.json", json.dumps(results, indent=1, ensure_ascii=False) + "\n")


def _store(uri: str, folder: Path) -> str:
    """Write a picture into a folder, and return its name there."""
    kind, _, coded = uri.partition(";base64,")
    content = base64.b64decode(coded)
    name = f"{hashlib.sha256(content).hexdigest()[:16]}.{kind.rpartition('/')[2]}"
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    return f"{folder.name}/{name}"


def name_pages(students: list[str]) -> dict[str, str]:
    """Return a file name for each student's page: safe on every system, and never the same."""
    names, taken = {}, set()
    for student in students:
        stem = re.sub(r"[^\w.-]+", "_", student).strip("._-")[:50] or "student"
        digest = hashlib.sha256(student.encode(errors="replace")).hexdigest()
        if RESERVED.fullmatch(stem):  # also before a dot
            stem = stem.replace(".", "_") + "_"
        choices = [stem] * (stem == student) + [f"{stem}-{digest[:8]}", f"{stem}-{digest}"]
        name = next(choice for choice in choices if fold(choice) not in taken)
        taken.add(fold(name))
        names[student] = f"{name}.html"
    return names


def render_feedback(assignment: str, student: dict) -> str:
    """Return a student's page: each question explained, hidden checks not given away."""
    questions = [] if student["problem"] else list_questions([student])
    language = student.get("language", "en")
    return _render(
        "feedback.html",
        language,
        assignment=assignment,
        student=student,
        notes=[flag["text"] for flag in student["flags"] if flag["kind"] in FOR_STUDENTS],
        questions=[_describe_question(student, question, language) for question in questions],
        explained=EXPLAINED,
    )


def render_report(results: dict, pages: dict[str, str]) -> str:
    """Return the instructor's page; `pages` are the files in `feedback/` of the students."""
    most = results["max_points"]
    questions = list_questions(results["students"])
    students: list[dict[str, Any]] = [
        student
        | {
            "page": pages[student["student"]],
            "by_question": [sum_points(student["checks"], question) for question in questions],
        }
        for student in results["students"]
    ]
    by_code = defaultdict(list)
    for student in students:
        if student["code_hash"]:
            by_code[student["code_hash"]].append(student)
    totals = [student["points"] for student in students]
    extra = ["adjusted"] if any(student.get("adjustments") for student in students) else []
    return _render(
        "report.html",
        assignment=results["assignment"],
        max_points=most,
        sandbox=results.get("sandbox", False),
        facts={
            "submissions": len(students),
            "median": f"{statistics.median(totals or [0]):g} of {most:g}",
            "mean": f"{statistics.fmean(totals or [0]):.1f}",
            "full points": sum(total >= most for total in totals),
            "to look at": sum(bool(student["flags"] or student["problem"]) for student in students),
            "could not be run": sum(bool(student["problem"]) for student in students),
            "to grade by hand": sum(
                _waits(student, question) for student in students for question in questions
            ),
        },
        histogram=_count_totals(totals, most),
        questions=_rank_questions(students, questions),
        columns=["student", "points", *questions, *extra, "seconds", "to look at"],
        flagged=_list_flags(students),
        identical=[group for group in by_code.values() if len(group) > 1],
        near_copies=results.get("near_copies", []),
        known={student["student"]: student for student in students},
        by_hand=[c for s in students[:1] for c in s["checks"] if c["outcome"] == BY_HAND],
        students=students,
        messages=_group_messages(students),
    )


def render_leaderboard(results: dict) -> str | None:
    """Return a page for the class with the figures that notebooks left; None if none did."""
    rows = [(s["student"], s["figures"]) for s in results["students"] if s.get("figures")]
    if not rows:
        return None
    columns = list(dict.fromkeys(name for _, figures in rows for name in figures))
    first = BEST if BEST in columns else columns[0]
    rows.sort(key=lambda row: row[1].get(first, -math.inf), reverse=True)
    return _render("leaderboard.html", assignment=results["assignment"], columns=columns, rows=rows)


def _render(template: str, language: str = "en", **values: Any) -> str:
    said = {"_": functools.partial(_, language=language), "language": language}
    return _load_templates().get_template(template).render(values | said)


@functools.cache
def _load_templates() -> jinja2.Environment:
    """Return the templates: whatever a student wrote is cleaned, then escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: clean(value) if type(value) is str else value,
    )
    environment.filters |= {
        "clean": clean,
        "compare": compare_lines,
        "g": lambda number: f"{number:g}",
        "percent": lambda value, most: f"{min(100, 100 * value / (most or 1)):.0f}",
        "sentence": _make_sentence,
        "shorten": shorten,
        "waits": _waits,
    }
    return environment


def _waits(student: dict, question: str) -> bool:
    """Tell whether a question of a student is still to be graded by hand."""
    own = {c["outcome"] for c in student["checks"] if c["question"] == question}
    return BY_HAND in own and ADJUSTED not in own and not student["problem"]


def _describe_question(student: dict, question: str, language: str) -> dict[str, Any]:
    """Return what a student is told of one question."""
    earned, points = sum_points(student["checks"], question)
    own = [check for check in student["checks"] if check["question"] == question]
    hidden = [check for check in own if check["hidden"]]
    topic = own[0]["topic"] and f": {_(own[0]['topic'], language)}"
    return {
        "title": f"{_(f'Question {question[1:]}', language)}{topic}",
        "earned": earned,
        "points": points,
        "visible": [c for c in own if not c["hidden"] and c["outcome"] not in HAND],
        "hidden": len(hidden),
        "missed": sum(check["outcome"] != "passed" for check in hidden),
        "answers": [check for check in own if check["outcome"] == BY_HAND],
        "waits": _waits(student, question),
        "adjusted": [check for check in own if check["outcome"] == ADJUSTED],
    }


def _count_totals(totals: list[float], most: float) -> dict[str, Any]:
    """Return the distribution of totals as a picture of ten bars."""
    counts = [0] * NUM_BARS
    for total in totals:
        counts[min(NUM_BARS - 1, int(NUM_BARS * total / (most or 1)))] += 1
    tops = [160 - 130 * count / max(1, *counts) for count in counts]
    bars = [
        {"count": count, "points": most * i / NUM_BARS, "x": 20 + 56 * i, "top": top}
        for i, (count, top) in enumerate(zip(counts, tops, strict=True))
    ]
    said = [f"{bar['count']} from {bar['points']:g}" for bar in bars if bar["count"]]
    return {"bars": bars, "label": ", ".join(said) or "none"}


def _rank_questions(students: list[dict], questions: dict[str, float]) -> list[dict[str, Any]]:
    """Return what the class made of each question, the hardest first."""
    rows = []
    for i, (name, points) in enumerate(questions.items()):
        own = [[c for c in student["checks"] if c["question"] == name] for student in students]
        earned = [student["by_question"][i][0] for student in students]
        failed = [
            {c["hidden"] for c in checks if c["outcome"] not in ("passed", *HAND)} for checks in own
        ]
        rows.append(
            {
                "name": name,
                "topic": own[0][0]["topic"],
                "share": statistics.fmean(earned) / (points or 1),
                "points": points,
                "full": sum(total >= points for total in earned),
                "only_hidden": failed.count({True}),
            }
        )
    return sorted(rows, key=lambda row: (row["share"], int(row["name"][1:])))


def _list_flags(students: list[dict]) -> list[tuple[dict, list[tuple[str, str]]]]:
    """Return whom to look at and why: the most urgent first."""
    flagged = []
    for student in students:
        flags = [(flag["kind"], flag["text"]) for flag in student["flags"]]
        flags += [("problem", student["problem"])] if student["problem"] else []
        if flags:
            flagged.append((student, sorted(flags, key=lambda flag: URGENCY.index(flag[0]))))
    return sorted(flagged, key=lambda item: URGENCY.index(item[1][0][0]))


def _group_messages(students: list[dict]) -> list[tuple[str, list[tuple[str, str, list[dict]]]]]:
    """Return what each check said, hidden ones too: what many have in common comes first."""
    said: dict[int, dict[tuple[str, str], list[dict]]] = defaultdict(lambda: defaultdict(list))
    titles = {}
    for student in students:
        for number, check in enumerate(student["checks"]):
            if check["outcome"] not in ("passed", "not run", *HAND):
                titles[number] = check["title"].lstrip("# ").removeprefix("CHECK ")
                key = check["outcome"], shorten(clean(check["message"]))
                said[number][key].append(student)
    return [
        (
            title,
            sorted(
                ((outcome, text, group) for (outcome, text), group in said[number].items()),
                key=lambda item: -len(item[2]),
            ),
        )
        for number, title in sorted(titles.items())
    ]


def _make_sentence(text: str) -> str:
    text = clean(text).strip().rstrip(".")
    return text[:1].upper() + text[1:] + "."
