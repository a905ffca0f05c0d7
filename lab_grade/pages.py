"""The pages of grading: feedback for a student, and a report for the instructor."""

import html
import re
import statistics
from collections import defaultdict
from pathlib import Path

LONGEST = 1000  # characters of a message that anybody is shown
ESCAPES = re.compile(r"\x1b(?:\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|\[[0-?]*[ -/]*[@-~]?|[@-Z\\^_])")
# Not allowed in XML, or turning the direction of the text that follows.
CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
FOR_STUDENTS = ("running", "file")  # kinds of flags; the others are the instructor's business
STYLE = (Path(__file__).parent / "templates" / "pages.css").read_text(encoding="utf-8")
EXPLAINED = {  # outcomes that need no message
    "timeout": "took too long, so it was stopped.",
    "died": "did not finish: the kernel ended while it ran.",
    "memory": "needed more memory than there is.",
    "output": "printed too much, so it was stopped.",
    "forged": "could not be confirmed. Please ask your instructor to look at it with you.",
    "not run": "was not reached, because of what happened before it.",
}


def clean(message: str) -> str:
    """Return a message without colours and without characters that no file may hold."""
    return CONTROL.sub("", ESCAPES.sub("", message))


def shortened(message: str) -> str:
    """Return a message of `LONGEST` characters at most, and a sign that there was more."""
    return message if len(message) <= LONGEST else message[:LONGEST].rstrip() + " ..."


def questions_of(students: list[dict]) -> dict[str, float]:
    """Return the questions, in the reference's order, and the points each is worth."""
    checks = students[0]["checks"] if students else []
    return {check["question"]: scored(checks, check["question"])[1] for check in checks}


def scored(checks: list[dict], question: str) -> tuple[float, float]:
    """Return the points that were earned for a question, and those that it is worth."""
    its = [check for check in checks if check["question"] == question]
    return sum(check["earned"] for check in its), sum(check["points"] for check in its)


def feedback_page(assignment: str, student: dict) -> str:
    """Return a student's page: each question explained, hidden checks not given away."""
    points, most = student["points"], student["max_points"]
    parts = [
        f"<header><p class='quiet'>{_text(assignment)}</p><h1>{_text(student['student'])}</h1>"
        f"<p class='total'><strong>{points:g}</strong> of {most:g} points</p>"
        f"{_bar(points, most)}</header>"
    ]
    if student["problem"]:
        parts.append(
            "<section class='card trouble'><h2>Your notebook could not be run</h2>"
            f"<p>{_sentence(student['problem'])}</p><p>Please talk to your instructor about "
            "handing it in again.</p></section>"
        )
    if notes := [flag["text"] for flag in student["flags"] if flag["kind"] in FOR_STUDENTS]:
        listed = "".join(f"<li>{_sentence(note)}</li>" for note in notes)
        parts.append(f"<h2>Good to know</h2><ul>{listed}</ul>")
    if not student["problem"]:
        parts += [_question(student["checks"], name) for name in questions_of([student])]
        if any(check["hidden"] for check in student["checks"]):
            parts.append(
                "<p class='quiet' id='hidden'>Hidden checks stand in no notebook. They test what "
                "the task asks for, as the visible checks do, with other values and cases: read "
                "the task once more, and try cases that the visible check does not.</p>"
            )
    if student["cells"]:
        parts.append("<h2>Cells with trouble</h2>")
        for cell in student["cells"]:
            why = EXPLAINED.get(cell["outcome"])
            parts.append(
                f"<section class='card'><h3>Code cell {cell['number']} "
                f"<code>{_text(cell['first_line'])}</code></h3>"
                f"{f'<p>It {why}</p>' if why else _message(cell['message'])}</section>"
            )
    return _page(f"{assignment}: {student['student']}", parts, "narrow")


def report_page(results: dict, pages: dict[str, str]) -> str:
    """Return the instructor's page; `pages` are the files in `feedback/` of the students."""
    students, most = results["students"], results["max_points"]
    totals = [student["points"] for student in students]
    facts = {
        "submissions": len(students),
        "median": f"{statistics.median(totals or [0]):g} of {most:g}",
        "mean": f"{statistics.fmean(totals or [0]):.1f}",
        "full points": sum(total == most for total in totals),
        "to look at": sum(bool(student["flags"] or student["problem"]) for student in students),
        "could not be run": sum(bool(student["problem"]) for student in students),
    }
    listed = "".join(f"<div><dt>{name}</dt><dd>{fact}</dd></div>" for name, fact in facts.items())
    parts = [
        f"<header><p class='quiet'>Report for the instructor</p>"
        f"<h1>{_text(results['assignment'])}</h1></header><dl class='facts'>{listed}</dl>",
        f"<h2>Points</h2>{_histogram(totals, most)}",
        f"<h2>Questions, the hardest first</h2>{_hardest(students)}",
        f"<h2>To look at</h2>{_to_look_at(students, pages)}",
        f"<h2>Identical submissions</h2>{_identical(students, pages)}",
        f"<h2>Everybody</h2>{_everybody(students, pages)}",
        f"<h2>What did not pass</h2>{_messages(students, pages)}",
    ]
    return _page(f"{results['assignment']}: report", parts)


def _question(checks: list[dict], question: str) -> str:
    """Return the card that explains one question to a student."""
    earned, points = scored(checks, question)
    its = [check for check in checks if check["question"] == question]
    title = f"Question {question[1:]}: {_text(its[0]['topic'])}".removesuffix(": ")
    parts = [f"<h2>{title} <span>{earned:g} of {points:g} points</span></h2>"]
    for check in its:
        if check["hidden"]:
            continue
        if check["outcome"] == "passed":
            parts.append("<p><span class='good'>✓</span> The visible check passed.</p>")
        else:
            why, message = EXPLAINED.get(check["outcome"]), check["message"]
            why = why or ("did not pass:" if message else "did not pass.")
            parts.append(f"<p><span class='bad'>✗</span> The visible check {why}</p>")
            parts.append(_message(message) if why.endswith(":") else "")
    hidden = [check for check in its if check["hidden"]]
    if missed := sum(check["outcome"] != "passed" for check in hidden):
        count = "The" if len(hidden) == 1 else f"{missed} of {len(hidden)}"
        noun = "check" if len(hidden) == 1 else "checks"
        parts.append(
            f"<p><span class='bad'>✗</span> {count} <a href='#hidden'>hidden {noun}</a> "
            "of this question did not pass.</p>"
        )
    elif hidden:
        said = "The hidden check" if len(hidden) == 1 else f"All {len(hidden)} hidden checks"
        parts.append(f"<p><span class='good'>✓</span> {said} passed.</p>")
    return f"<section class='card'>{''.join(parts)}</section>"


def _hardest(students: list[dict]) -> str:
    rows = []
    for name, worth in questions_of(students).items():
        earned = [scored(student["checks"], name)[0] for student in students]
        its = [[c for c in student["checks"] if c["question"] == name] for student in students]
        only_hidden = sum(
            {check["hidden"] for check in checks if check["outcome"] != "passed"} == {True}
            for checks in its
        )
        share = statistics.fmean(earned) / (worth or 1)
        full = sum(points == worth for points in earned)
        title = f"{name} {_text(its[0][0]['topic'])}".rstrip()
        rows.append((share, int(name[1:]), title, worth, full, only_hidden))
    head = ["question", "mean share", "%", "worth", "full points", "missed hidden checks only"]
    table = [
        _row(title, _bar(share, 1), f"{share * 100:.0f}", f"{worth:g}", full, only_hidden)
        for share, _, title, worth, full, only_hidden in sorted(rows)
    ]
    return _table("Questions", head, table)


def _to_look_at(students: list[dict], pages: dict[str, str]) -> str:
    order = ["tampering", "copy", "problem", "file", "running"]
    rows = []
    for student in students:
        flags = [(flag["kind"], flag["text"]) for flag in student["flags"]]
        flags += [("problem", student["problem"])] if student["problem"] else []
        if flags := sorted(flags, key=lambda flag: order.index(flag[0])):
            notes = "".join(
                f"<li><b>{kind}</b>: {_text(shortened(text))}</li>" for kind, text in flags
            )
            row = f"<tr><th scope='row'>{_link(student, pages)}</th><td><ul>{notes}</ul></td></tr>"
            rows.append((order.index(flags[0][0]), row))
    if not rows:
        return "<p>Nobody.</p>"
    body = "".join(row for _, row in sorted(rows, key=lambda row: row[0]))
    return (
        "<p class='quiet'>Flags never cost a point, and may have an honest reason. Students are "
        "shown only those of the kinds file and running.</p>"
        "<table class='stack'><thead><tr><th scope='col'>student</th><th scope='col'>why</th>"
        f"</tr></thead><tbody>{body}</tbody></table>"
    )


def _identical(students: list[dict], pages: dict[str, str]) -> str:
    groups = defaultdict(list)
    for student in students:
        if student["code_hash"]:
            groups[student["code_hash"]].append(_link(student, pages))
    items = "".join(f"<li>{', '.join(links)}</li>" for links in groups.values() if len(links) > 1)
    if not items:
        return "<p>None.</p>"
    note = "The same code, but for comments and layout; what was handed out is left out."
    return f"<p class='quiet'>{note}</p><ul>{items}</ul>"


def _everybody(students: list[dict], pages: dict[str, str]) -> str:
    questions = questions_of(students)
    rows = []
    for student in students:
        cells = [f"<strong>{student['points']:g}</strong>"]
        for name, worth in questions.items():
            earned = scored(student["checks"], name)[0]
            cells.append(f"<span{'' if earned == worth else ' class=bad'}>{earned:g}</span>")
        notes = len(student["flags"]) + bool(student["problem"])
        cells += [f"{student['seconds']:.0f}", notes or ""]
        rows.append(_row(_link(student, pages), *cells))
    return _table("Everybody", ["student", "points", *questions, "seconds", "to look at"], rows)


def _messages(students: list[dict], pages: dict[str, str]) -> str:
    """Return what checks said, hidden ones, too: what many have in common comes first."""
    said: dict[tuple, list[str]] = defaultdict(list)
    titles = {}
    for student in students:
        for number, check in enumerate(student["checks"]):
            if check["outcome"] not in ("passed", "not run"):
                titles[number] = check["title"].lstrip("# ").removeprefix("CHECK ")
                key = number, check["outcome"], shortened(clean(check["message"]))
                said[key].append(_link(student, pages))
    parts = []
    for number, title in sorted(titles.items()):
        parts.append(f"<h3>{_text(title)}</h3>")
        groups = [(key, links) for key, links in said.items() if key[0] == number]
        for (_, outcome, message), links in sorted(groups, key=lambda group: -len(group[1])):
            parts.append(
                f"<section class='card'><p><b>{len(links)} {outcome}</b>: {', '.join(links)}</p>"
                f"{_message(message) if message else ''}</section>"
            )
    return "".join(parts) or "<p>Everything passed.</p>"


def _histogram(totals: list[float], most: float) -> str:
    """Return the distribution of totals as a picture of ten bars."""
    bars = [0] * 10
    for total in totals:
        bars[min(9, int(10 * total / (most or 1)))] += 1
    drawn = ["<line x1='10' x2='590' y1='160.5' y2='160.5'/>"]
    for i, count in enumerate(bars):
        height = 130 * count / max(1, *bars)
        x, top = 20 + 56 * i, 160 - height
        if count:
            drawn.append(f"<rect x='{x + 4}' y='{top:.1f}' width='48' height='{height:.1f}'/>")
            drawn.append(f"<text x='{x + 28}' y='{top - 6:.1f}'>{count}</text>")
        drawn.append(f"<text x='{x}' y='182'>{most * i / 10:g}</text>")
    drawn.append(f"<text x='580' y='182'>{most:g}</text>")
    said = ", ".join(f"{count} from {most * i / 10:g}" for i, count in enumerate(bars) if count)
    label = f"Number of submissions by points: {said or 'none'}"
    return f"<svg role='img' aria-label='{label}' viewBox='0 0 600 190'>{''.join(drawn)}</svg>"


def _table(label: str, head: list[str], rows: list[str]) -> str:
    first, *others = (f"<th scope='col'>{html.escape(name)}</th>" for name in head)
    columns = "".join(others).replace("'col'", "'col' class='number'")
    return (
        f"<div class='wide' role='region' aria-label='{label}' tabindex='0'><table>"
        f"<thead><tr>{first}{columns}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _row(first: str, *cells: object) -> str:
    others = "".join(f"<td class='number'>{cell}</td>" for cell in cells)
    return f"<tr><th scope='row'>{first}</th>{others}</tr>"


def _bar(value: float, most: float) -> str:
    width = min(100, 100 * value / (most or 1))
    return f"<span class='bar' aria-hidden='true'><span style='width: {width:.0f}%'></span></span>"


def _text(text: str) -> str:
    return html.escape(clean(text))


def _sentence(text: str) -> str:
    text = clean(text).strip().rstrip(".")
    return html.escape(text[:1].upper() + text[1:]) + "."


def _message(message: str) -> str:
    return f"<pre>{_text(shortened(message.removeprefix('AssertionError: ')))}</pre>"


def _link(student: dict, pages: dict[str, str]) -> str:
    page = html.escape(pages[student["student"]])
    return f"<a href='feedback/{page}'>{_text(student['student']) or '(no name)'}</a>"


def _page(title: str, parts: list[str], kind: str = "") -> str:
    return (
        "<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{_text(title)}</title>\n<style>\n{STYLE}</style></head>\n"
        f"<body class='{kind}'><main>\n" + "\n".join(parts) + "\n</main></body></html>\n"
    )
