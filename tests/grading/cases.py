"""What students hand in: bad, dishonest and honest notebooks, and what each must get.

A submission is a function that works on a released notebook; it may return the text of the file
instead. Its docstring says what it tries.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass

from reference import QUESTIONS, Student

ALL = " ".join(QUESTIONS)
NOTHING = ""
KOREAN = "이 지은 (B반)"
LEFT = f"left-by-a-submission-of-{os.getpid()}"  # in the command of processes that must not stay

# A notebook's code that looks at whoever calls it, by a frame that no other code mentions: `use`
# gets the frames of checks.
WALK = """
from os.path import basename


def walk():
    while True:
        frame = held[0]
        while frame is not None:
            if 'check' in basename(frame.f_code.co_filename):
                use(frame)
            frame = frame.f_back
        yield


walker = walk()
held = [walker.gi_frame]
"""


@dataclass(frozen=True)
class Case:
    """A submission and what it must get.

    Attributes
    ----------
    kind : str
        "bad", "dishonest" or "honest".
    write : callable
        Does the student's work.
    earns : set[str]
        The questions whose checks pass, hidden ones included; all others must not.
    flag : str or None
        The kind of flag that it must get: "" for none at all, None where it does not matter.
    problem : str
        What the result must say if it can't be run.
    """

    kind: str
    write: Callable[[Student], str | None]
    earns: frozenset[str]
    flag: str | None
    problem: str

    @property
    def name(self) -> str:
        return self.write.__name__

    @property
    def student(self) -> str:
        return KOREAN if self.name == "with_a_korean_name" else self.name


CASES: list[Case] = []


def case(kind: str, earns: str, flag: str | None, problem: str = ""):
    """Register a submission."""

    def register(write):
        CASES.append(Case(kind, write, frozenset(earns.split()), flag, problem))
        return write

    return register
