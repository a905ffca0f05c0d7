"""The result of one submission: points, what went wrong, and what to look at."""

from pathlib import Path

from lab_utils.assignment import Assignment, Check
from lab_utils.grade_reports import message_for_student
from lab_utils.grade_steps import Step, code_hash
from lab_utils.submissions import Submission, look_for_oddities

TROUBLE = {
    "timeout": "ran for too long",
    "died": "ended the kernel",
    "output": "printed too much",
    "memory": "took too much memory",
}


def judged(
    assignment: Assignment,
    submissions: Path,
    submission: Submission,
    to_run: list[Step],
    outcomes: list[dict],
) -> dict:
    """Return a submission's result: points, what went wrong, and what to look at."""
    hidden = [check.source for check in assignment.checks if check.hidden]
    look_for_oddities(submission)
    nothing = {"outcome": "not run", "message": "", "seconds": 0}
    outcomes = outcomes + [nothing] * (len(to_run) - len(outcomes))
    by_check: dict[Check, dict] = {}
    cells = []
    for step, outcome in zip(to_run, outcomes, strict=True):
        message = outcome["message"]
        if step.check is None:
            if outcome["outcome"] not in ("ok", "not run"):
                cells.append(
                    {
                        "number": step.number,
                        "first_line": step.source.strip().split("\n")[0][:120],
                        "outcome": outcome["outcome"],
                        "message": message_for_student(message, hidden),
                    }
                )
            if outcome["outcome"] in TROUBLE:
                submission.flag("running", f"cell {step.number} {TROUBLE[outcome['outcome']]}")
            continue
        by_check[step.check] = outcome
        if outcome["outcome"] == "forged":
            submission.flag(
                "tampering", f"{step.check.question}: what ran was not the check ({message})"
            )
        for name in outcome.get("replaced", []):
            submission.flag("tampering", f"{name} was replaced; it was put back")
    checks = [
        _judged_check(check, by_check.get(check, nothing), hidden) for check in assignment.checks
    ]
    path = submission.path
    return {
        "student": submission.student,
        "file": path.relative_to(submissions).as_posix()
        if path and path.is_relative_to(submissions)
        else "",
        "points": sum(check["earned"] for check in checks),
        "max_points": assignment.max_points,
        "problem": submission.problem,
        "flags": submission.flags,
        "checks": checks,
        "cells": cells,
        "seconds": round(sum(outcome["seconds"] for outcome in outcomes), 1),
        "code_hash": code_hash(assignment, submission),
    }


def _judged_check(check: Check, outcome: dict, hidden: list[str]) -> dict:
    """Return one check's part of a result."""
    message = outcome["message"]
    if outcome.get("line") and message.endswith(": "):  # an assert without a message
        message += check.source.splitlines()[outcome["line"] - 1].strip()
    return {
        "question": check.question,
        "hidden": check.hidden,
        "points": check.points,
        "earned": check.points if outcome["outcome"] == "passed" else 0.0,
        "outcome": outcome["outcome"],
        "message": message if check.hidden else message_for_student(message, hidden),
        "title": check.title,
    }


def flag_copies(results: list[dict]) -> None:
    """Flag students whose own code is the same; kept results may hold flags of other classes."""
    for result in results:
        others = [
            other["student"]
            for other in results
            if other is not result and result["code_hash"] == other["code_hash"] != ""
        ]
        result["flags"] = [flag for flag in result["flags"] if flag["kind"] != "copy"]
        if others:
            text = f"the code is the same as that of {', '.join(others)}"
            result["flags"].append({"kind": "copy", "text": text})
