"""The result of one submission: points, what went wrong, and what to look at."""

import ast
import functools
import json
import math
import re

from lab_grade.notebook import Assignment, Check, find_definitions
from lab_grade.placement import Step, find_own_cells, hash_code
from lab_grade.reading import Submission

MAX_COLUMNS, MAX_NAME = 8, 30  # of the leaderboard; characters of a column's name
MAX_MESSAGE = 1000  # characters of a message that anybody is shown
ESCAPES = re.compile(r"\x1b(?:\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|\[[0-?]*[ -/]*[@-~]?|[@-Z\\^_])")
# Not allowed in XML, or turning the direction of the text that follows.
CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
# What an honest answer hardly ever needs. Nobody loses a point for it: somebody looks at it.
SUSPICIOUS = {
    "set_custom_exc": "handles exceptions in IPython's place",
    "excepthook": "handles exceptions in Python's place",
    "ast_transformers": "rewrites code before it runs",
    "input_transformer": "rewrites code before it runs",
    r"\brun_cell": "reaches into how cells are run",
    "do_execute": "reaches into how cells are run",
    r"\.kernel\b": "reaches into the kernel",
    r"sys\.set(trace|profile)": "traces the running code",
    r"\bf_(back|globals|locals|trace|lineno)\b": "looks at the code that calls it",
    r"_getframe|currentframe|inspect\.stack": "looks at the code that calls it",
    r"gc\.get_": "searches the kernel's memory",
    r"\bctypes\b": "reaches into the interpreter",
    r"__(eq|ne|lt|le|gt|ge|instancecheck)__": "decides for itself what it is equal to",
    r"__(array|torch)_\w+__": "answers in the place of numpy or torch",
    r"\bbuiltins\b|__builtins__": "touches Python's built-in functions",
    r"os\._exit|os\.kill|os\.abort|getattr\(os\b": "ends the kernel",
    r"/proc\b|getppid|psutil": "looks at other processes",
    r"\.py[\"'](?:, *[\"'][wax]|\)\.write)": "writes a file of Python code",
    r"import signal|AssertionError": "handles signals or failed checks",
    r"\.ipynb": "names a notebook",
}
JOINED = re.compile(r"""["']\s*\+\s*[fr]?["']""")  # between parts of a text that avoids a word
UNDEFINED = re.compile(r"NameError: name '(\w+)' is not defined")
BY_HAND, ADJUSTED = HAND = "by hand", "adjusted"  # outcomes of what no check has graded
TROUBLE = {
    "timeout": "ran for too long",
    "died": "ended the kernel",
    "output": "printed without end",
    "memory": "took too much memory",
}


def clean(message: str) -> str:
    """Return a message without colours and without characters that no file may hold."""
    return CONTROL.sub("", ESCAPES.sub("", message))


def shorten(message: str) -> str:
    """Return a message of at most `MAX_MESSAGE` characters, and a sign that there was more."""
    return message if len(message) <= MAX_MESSAGE else message[:MAX_MESSAGE].rstrip() + " ..."


def redact(message: str, secrets: list[str]) -> str:
    """Return a message for a student: clean, not too long, and without what hidden checks say."""
    message = clean(message)
    for secret in secrets:
        message = message.replace(secret, "[withheld]")
    return shorten(message)


def sum_points(checks: list[dict], question: str) -> tuple[float, float]:
    """Return the points that were earned for a question, and those that it is worth."""
    own = [check for check in checks if check["question"] == question]
    return sum(check["earned"] for check in own), sum(check["points"] for check in own)


def list_questions(students: list[dict]) -> dict[str, float]:
    """Return the questions, in the reference's order, and the points each is worth."""
    checks = students[0]["checks"] if students else []
    return {check["question"]: sum_points(checks, check["question"])[1] for check in checks}


def score(
    assignment: Assignment, submission: Submission, to_run: list[Step], outcomes: list[dict]
) -> dict:
    """Return a submission's result: points, what went wrong, and what to look at."""
    secrets = _find_secrets(assignment)
    for number, source in find_own_cells(assignment, submission.code):
        for pattern, what in SUSPICIOUS.items():
            if found := re.search(pattern, JOINED.sub("", source)):
                submission.flag("tampering", f"cell {number} {what} ({found[0]})")
    by_check: dict[Check, dict] = {}
    cells: dict[int, dict] = {}
    for step, outcome in zip(to_run, outcomes, strict=False):
        if step.number == 0:  # a given cell that was put back is not the student's
            continue
        what, message = outcome["outcome"], outcome["message"]
        if step.kind != "hidden" and (undefined := UNDEFINED.search(message)):
            _flag_order(submission, step, undefined[1])
        if step.check is None:
            if what in TROUBLE:
                submission.flag("running", f"cell {step.number} {TROUBLE[what]}")
            if what not in ("ok", "not run"):
                first = step.source.strip().split("\n")[0][:120]
                told = {"number": step.number, "first_line": first, "outcome": what}
                cells.setdefault(step.number, told | {"message": redact(message, secrets)})
            continue
        by_check[step.check] = outcome
        if what == "died" and step.check.hidden:  # of which no student is told
            submission.flag("tampering", f"the hidden check of {step.check.question} was ended")
        elif what == "died":
            submission.flag("running", f"the check of {step.check.question} ended the kernel")
    checks = []
    for cell in assignment.cells:
        if part := cell.check or cell.manual:
            about = {"question": part.question, "hidden": False, "points": part.points}
            about |= {"title": part.title, "topic": assignment.find_topic(part.question)}
            if cell.check:
                about |= _score_check(cell.check, by_check.get(cell.check), secrets)
            else:
                answer = submission.by_hand.get(part.question, {"text": "", "figures": []})
                about |= {"earned": 0.0, "outcome": BY_HAND, "message": ""}
                about |= {"answer": clean(answer["text"]), "pictures": answer["figures"]}
            checks.append(about)
    owner = submission.owner
    return {
        "student": submission.student,
        "platform": owner.platform,
        "id": owner.id,
        "upload": owner.prefix,
        "file": submission.file,
        "points": sum(check["earned"] for check in checks),
        "max_points": assignment.max_points,
        "problem": submission.problem,
        "flags": submission.flags,
        "checks": checks,
        "adjustments": [],
        "cells": list(cells.values()),
        "seconds": round(sum(outcome["seconds"] for outcome in outcomes), 1),
        "figures": _read_figures(outcomes),
        "code": "\n".join(source for _, source in find_own_cells(assignment, submission.code)),
        "code_hash": hash_code(assignment, submission.code),
        "language": submission.language,
    }


def _read_figures(outcomes: list[dict]) -> dict[str, float]:
    """Return the last figures that a notebook left for the leaderboard: names, each with a number.

    They are the student's own and count for nothing, so whatever else was left is left out.
    """
    left = [outcome["figures"] for outcome in outcomes if "figures" in outcome]
    try:
        figures = json.loads(left[-1])
        kept = {clean(name)[:MAX_NAME]: float(value) for name, value in figures.items()}
    except (LookupError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return {}
    is_fit = len(kept) <= MAX_COLUMNS and all(map(math.isfinite, kept.values()))
    return kept if is_fit else {}


def _flag_order(submission: Submission, step: Step, name: str) -> None:
    """Flag a name that is defined below its use: it worked for whoever ran the cells that way."""
    for number, source in enumerate(submission.code[step.number :], start=step.number + 1):
        if name in find_definitions(source):
            text = f"{name} is used before cell {number} defines it: define it above its use"
            submission.flag("running", f"{text}, restart the kernel and run all cells")
            return


@functools.cache
def _find_secrets(assignment: Assignment) -> list[str]:
    """Return the lines and texts of hidden checks that are in no visible one, longest first."""
    visible = "\n".join(check.source for check in assignment.checks if not check.hidden)
    found = set()
    for check in assignment.checks:
        if check.hidden:
            lines = [line.strip() for line in check.source.split("\n")]
            nodes = ast.walk(ast.parse(check.source))
            texts = [n.value for n in nodes if isinstance(n, ast.Constant) and type(n.value) is str]
            found.update([line for line in lines if len(line) >= 20])
            found.update([text for text in texts if len(text) >= 8])
    return sorted((secret for secret in found if secret not in visible), key=len, reverse=True)


def _score_check(check: Check, outcome: dict | None, secrets: list[str]) -> dict:
    """Return one check's part of a result."""
    outcome = outcome or {"outcome": "not run", "message": ""}
    message = outcome["message"]
    if outcome.get("line") and message.endswith(": "):  # an assert without a message
        message += check.source.split("\n")[outcome["line"] - 1].strip()
    return {
        "hidden": check.hidden,
        "earned": check.points if outcome["outcome"] == "passed" else 0.0,
        "outcome": outcome["outcome"],
        "message": clean(message) if check.hidden else redact(message, secrets),
    }


def flag_copies(results: list[dict], solution: str = "") -> None:
    """Flag students whose own code is the same as somebody else's, or as `solution` by its hash."""
    for result in filter(lambda result: result["code_hash"], results):
        if result["code_hash"] == solution:
            text = "the code is the same as the reference's"
            result["flags"].append({"kind": "copy", "text": text})
        same = [r for r in results if r is not result and r["code_hash"] == result["code_hash"]]
        if same:
            text = f"the code is the same as that of {', '.join(r['student'] for r in same)}"
            result["flags"].append({"kind": "copy", "text": text})


def keep_best(results: list[dict]) -> list[dict]:
    """Return one result for each student: of several notebooks, the one with most points."""
    by_student: dict[str, list[dict]] = {}
    for result in results:
        by_student.setdefault(result["student"], []).append(result)
    best = [max(own, key=lambda result: result["points"]) for own in by_student.values()]
    for result in best:
        own = by_student[result["student"]]
        if len(own) > 1:
            points = ", ".join(f"{other['file']} {other['points']:g}" for other in own)
            text = f"{len(own)} notebooks are as good; the one with most points counts: {points}"
            result["flags"].append({"kind": "file", "text": text})
    return best
