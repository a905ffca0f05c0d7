"""Solutions that are nearly the same: found by what they have in common, whatever its names.

As MOSS does it (Schleimer, Wilkerson and Aiken, "Winnowing", 2003): of all runs of tokens, a few
are kept as fingerprints, chosen so that the same code leaves the same ones.
"""

import builtins
import difflib
import keyword
import re
import zlib
from collections import defaultdict

import numpy as np

from lab_grade.notebook import Assignment

RUN, WINDOW = 6, 3  # tokens of a fingerprint; fingerprints of which one is kept
MIN_FINGERPRINTS = 15  # about fifty tokens: less than that, many write alike
MAX_LINES = 500  # of a solution that is shown beside another
MIN_SHARE = 0.6  # of two solutions that are shown as near copies; others have less than half
TOKEN = re.compile(
    r"#.*|\w{,2}(?:'''[\s\S]*?'''|\"\"\"[\s\S]*?\"\"\"|'(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\")"
    r"|\.?\w+|\S"
)
KEPT = {*keyword.kwlist, *vars(builtins)}


def find_near_copies(students: list[dict], assignment: Assignment) -> list[dict]:
    """Return groups of students whose code differs by a line or by names.

    Each has its `students`, and `pairs`: with whom each has most in common, and how much of it.
    """
    given = _take_fingerprints("\n".join(cell.released for cell in assignment.cells))
    prints = [_take_fingerprints(student["code"]) - given for student in students]
    owners = defaultdict(list)
    for i, own in enumerate(prints):
        for one in own if len(own) >= MIN_FINGERPRINTS else ():
            owners[one].append(i)
    shared = np.zeros((len(students), len(students)), np.int32)
    for have in owners.values():
        if len(have) > 1:
            shared[np.ix_(have, have)] += 1
    sizes = np.array([len(own) for own in prints])
    shares = 2 * shared / np.maximum(1, sizes[:, None] + sizes)
    np.fill_diagonal(shares, 0)
    groups: list[list[int]] = []
    for i in np.flatnonzero((shares >= MIN_SHARE).any(axis=1)).tolist():
        joined = [group for group in groups if (shares[i, group] >= MIN_SHARE).any()]
        groups = [group for group in groups if group not in joined]
        groups.append(sorted([i, *(member for group in joined for member in group)]))
    names = [student["student"] for student in students]
    found = []
    for members in sorted(groups):
        best = sorted({tuple(sorted((i, int(shares[i].argmax())))) for i in members})
        pairs = [[names[i], names[j], round(float(shares[i, j]), 2)] for i, j in best]
        found.append({"students": [names[i] for i in members], "pairs": pairs})
    return found


def compare_lines(one: str, other: str) -> list[tuple[bool, str, str]]:
    """Return two pieces of code side by side: whether lines are the same, and both."""
    left, right = one.split("\n")[:MAX_LINES], other.split("\n")[:MAX_LINES]
    matcher = difflib.SequenceMatcher(None, left, right, autojunk=False)
    return [
        (tag == "equal", "\n".join(left[a:b]), "\n".join(right[c:d]))
        for tag, a, b, c, d in matcher.get_opcodes()
    ]


def _take_fingerprints(code: str) -> set[int]:
    """Return the fingerprints of code: comments, texts and names of its own don't count."""
    tokens = []
    for token in TOKEN.findall(re.sub(r"\bself\s*\.\s*", "self_", code)):  # names of its own, too
        if token[-1] in "'\"":
            tokens.append(0)
        elif token[0] != "#":
            is_own = (token[0].isalpha() or token[0] == "_") and token not in KEPT
            tokens.append(1 if is_own else zlib.crc32(token.encode()))
    runs = [hash(run) for run in zip(*(tokens[i:] for i in range(RUN)), strict=False)]
    return {min(window) for window in zip(*(runs[i:] for i in range(WINDOW)), strict=False)}
