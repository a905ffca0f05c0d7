"""What runs when a submission is graded: the student's cells, and the reference's checks."""

import ast
import hashlib
import re
from dataclasses import dataclass

from lab_grade.notebook import ANY_CHECK, Assignment, Check, first_line
from lab_grade.submissions import Submission

DEFINES = re.compile(r"^(?:(?:async )?def|class)\s+(\w+)|^(\w+)\s*=(?!=)", re.MULTILINE)
INSTALLS = re.compile(
    r"\s*[!%]\s*(?:sudo\s+)?(?:\S*python\S*\s+-m\s+|\{.*\}\s+-m\s+)?(?:pip|conda|mamba|uv|apt)\b"
)
TOO_LITTLE = 200  # characters: two students may well write the same few lines


@dataclass(frozen=True)
class Step:
    """What runs next: a cell of the student's, or a check of the reference."""

    number: int  # the student's code cell, counted from 1
    source: str
    check: Check | None = None


def steps(assignment: Assignment, submission: Submission) -> list[Step]:
    """Return the student's cells with the reference's checks among them, each once.

    A check stands where the student has it, if that is after its answer and in order. Otherwise
    it is put back behind the cells that answer it. A changed check runs as the student's own
    code, which earns nothing, and is followed by the reference's.
    """
    code = [_without_installs(source, submission) for source in submission.code]
    places = _places(assignment, submission, code)
    originals = {_plain(check.source) for check in assignment.checks}
    done = []
    for i, source in enumerate(code):
        if not (ANY_CHECK.match(first_line(source)) and _plain(source) in originals):
            done.append(Step(i + 1, source))
        done += [Step(i + 1, check.source, check) for check in places.get(i, [])]
    return done


def own_cells(assignment: Assignment, sources: list[str]) -> list[tuple[int, str]]:
    """Return what a student wrote, with the numbers of the cells.

    That is all cells that are neither checks nor as they were handed out.
    """
    given = {_plain(cell.released) for cell in assignment.cells}
    return [
        (number, source)
        for number, source in enumerate(sources, start=1)
        if _plain(source) not in given and not ANY_CHECK.match(first_line(source))
    ]


def code_hash(assignment: Assignment, sources: list[str]) -> str:
    """Return the SHA-256 of what a student wrote, or "" where it is too little to compare.

    Comments and layout don't count.
    """
    written = []
    for _, source in own_cells(assignment, sources):
        try:
            written.append(ast.unparse(ast.parse(source)))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            written.append(_plain(source))
    text = "\n".join(written)
    return hashlib.sha256(text.encode()).hexdigest() if len(text) >= TOO_LITTLE else ""


def _places(
    assignment: Assignment, submission: Submission, code: list[str]
) -> dict[int, list[Check]]:
    """Return for each cell's index the checks that run after it."""
    visible = [check for check in assignment.checks if not check.hidden]
    answers = _answers(assignment)
    standing = _standing(visible, answers, submission, code)
    places, previous = {}, -1
    for k, check in enumerate(visible):
        ahead = [standing[c.question] for c in visible[k + 1 :] if c.question in standing]
        end = min([place for place in ahead if place > previous], default=len(code))
        names = answers[check.question]
        place = standing.get(check.question)
        answered = [i for i in range(previous + 1, end) if names & _defined(code[i])]
        if place is not None and (place <= previous or (answered and place < answered[0])):
            submission.flag("tampering", f"the check of {check.question} was moved")
            place = None
        if place is None:
            # Behind its answer, before anything that belongs to a later question.
            place = answered[0] if answered else max(previous, 0)
            behind = [cell.check for cell in assignment.cells].index(check) + 1
            later = {_plain(cell.released) for cell in assignment.cells[behind:]}
            others = set().union(*(answers[c.question] for c in visible[k + 1 :]))
            for i in range(place + 1, end):
                if others & _defined(code[i]) or _plain(code[i]) in later:
                    break
                place = i
        of_question = [c for c in assignment.checks if c.question == check.question]
        places.setdefault(place, []).extend(of_question)
        previous = place
    return places


def _standing(
    visible: list[Check], answers: dict[str, set[str]], submission: Submission, code: list[str]
) -> dict[str, int]:
    """Return the place of each question's check, of those that stand in the right order."""
    found: dict[str, list[int]] = {}
    for i, source in enumerate(code):
        marked = ANY_CHECK.match(first_line(source))
        if marked and marked[2]:
            submission.flag("tampering", f"it holds a hidden check of {marked[1]}")
        elif marked:
            found.setdefault(marked[1].lower(), []).append(i)
    known = {check.question: check for check in visible}
    for question in found.keys() - known.keys():
        submission.flag("tampering", f"there is a check of {question}, which is no question")
    order = []
    for question, check in known.items():
        places = found.get(question, [])
        same = [i for i in places if _plain(code[i]) == _plain(check.source)]
        if not places:
            submission.flag("tampering", f"the check of {question} was missing; it was put back")
        elif len(same) < len(places):
            submission.flag("tampering", f"the check of {question} was changed; it was put back")
        if len(places) > 1:
            submission.flag("tampering", f"the check of {question} stood there more than once")
        answered = [i for i, source in enumerate(code) if answers[question] & _defined(source)]
        behind = [i for i in same or places if i > min(answered, default=-1)]
        if behind:
            order.append((question, behind[0]))
    kept = _longest_rising(order)
    for question in known:
        if question in found and question not in kept:
            submission.flag("tampering", f"the check of {question} was moved")
    return kept


def _longest_rising(order: list[tuple[str, int]]) -> dict[str, int]:
    """Return the longest part of a list of places that rises."""
    chains: list[list[tuple[str, int]]] = []

    def worth(chain: list[tuple[str, int]]) -> tuple[int, int]:
        return len(chain), -chain[-1][1]  # of equals, the one that ends first

    for item in order:
        before = [chain for chain in chains if chain[-1][1] < item[1]]
        chains.append([*max(before, key=worth, default=[]), item])
    return dict(max(chains, key=worth, default=[]))


def _answers(assignment: Assignment) -> dict[str, set[str]]:
    """Return for each question the names that its answer cells define."""
    names: dict[str, set[str]] = {}
    new: set[str] = set()
    for cell in assignment.cells:
        if cell.is_answer:
            new |= _defined(cell.source)
        elif cell.check and cell.check.question not in names:
            names[cell.check.question], new = new, set()
    return names


def _defined(source: str) -> set[str]:
    return {function or name for function, name in DEFINES.findall(source)}


def _plain(source: str) -> str:
    return "\n".join(line.rstrip() for line in source.strip().splitlines())


def _without_installs(source: str, submission: Submission) -> str:
    """Leave out lines that install packages: they would change the instructor's machine."""
    kept, goes_on = [], False
    for line in source.split("\n"):
        if goes_on or INSTALLS.match(line[:300]):
            goes_on = line.endswith("\\")
            line = line[: len(line) - len(line.lstrip())] + "pass  # nothing is installed here"
            submission.flag("file", "lines that install packages were left out")
        kept.append(line)
    return "\n".join(kept)
