"""The one kind of error that students see, and sentences that errors share."""

import difflib
import math
from argparse import Namespace
from collections.abc import Collection, Iterable
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from text_recognizer.language import _

MAX_REASON, MAX_QUOTED = 200, 60  # letters


class LabError(Exception):
    """A mistake or a missing file that a student can mend: one sentence, no traceback.

    Taught in notebook 6.

    Raised for bad arguments, unreadable files and failed downloads. The message names the file
    or the argument and says what to do.

    Examples
    --------
    >>> from lab_utils import EMNIST, LabError
    >>> try:
    ...     EMNIST(source="smaple")
    ... except LabError as error:
    ...     print(error)
    source='smaple' must be one of auto, full, sample.
    """

    def __str__(self) -> str:
        return _(" ".join(super().__str__().splitlines()))  # a path or a library may bring lines

    def _render_traceback_(self):
        # IPython shows this instead of a traceback (its documented hook for custom exceptions).
        return [f"{type(self).__name__}: {self}"]


class WrongFileError(LabError):
    """A file that was named or fetched is damaged, or another than expected."""


def shorten(error: BaseException) -> str:
    """Return what an error says, or is, in one line that stands in brackets in another."""
    text = " ".join(str(error).split()) or type(error).__name__
    return (text if len(text) <= MAX_REASON else f"{text[:MAX_REASON]}...").rstrip(".:")


def show(value: object) -> str:
    """Return a value that somebody gave as a sentence can quote it: in one short line."""
    text = " ".join(repr(value).split())
    if isinstance(value, str | bytes):
        return text if len(text) <= MAX_QUOTED else f"{text[:MAX_QUOTED]}..."
    is_short = len(text) <= MAX_QUOTED and " at 0x" not in text
    return text if is_short else f"<{type(value).__name__}>"


def nearest(name: str, names: Iterable[str]) -> str:
    """Return what to tell somebody who misspelt a name: the nearest right ones, else all."""
    names = sorted(names)
    lower = {known.lower(): known for known in names}
    if close := [lower[match] for match in difflib.get_close_matches(name.lower(), lower)]:
        return _(f"did you mean {_(' or ').join(close)}?")
    return _(f"it must be one of {', '.join(names)}.")


def cannot_write(
    path: Path, error: OSError, otherwise: str = "set LAB_DATA_DIR to another folder"
) -> LabError:
    """Return the error that says what to do when a file or folder can't be written."""
    return LabError(
        f"{path} cannot be written ({error.strerror or error}): free some space, or {otherwise}."
    )


def missing_or_damaged(
    path: Path, error: BaseException, remedy: str = "get the lab again"
) -> LabError:
    """Return the error of a file that ships with the lab, or that it has made."""
    return LabError(f"{path} is missing or damaged ({shorten(error)}): {remedy}.")


def _wrong_value(name: str, value: object, wanted: str) -> LabError:
    if isinstance(value, Namespace):  # the 2021 course passed its arguments in one
        return LabError("Arguments have names here: instead of a Namespace write **vars(args).")
    return LabError(f"{name}={show(value)} must be {wanted}.")


def check_int(name: str, value: Any, least: int, most: int | None = None) -> int:
    """Return an argument that must be a whole number from `least` to `most`; else LabError."""
    is_int = isinstance(value, Integral) and not isinstance(value, bool)
    if not is_int or value < least or (most is not None and value > most):
        if most is None:
            raise _wrong_value(name, value, f"a whole number of {least} or more")
        raise _wrong_value(name, value, f"a whole number from {least} to {most}")
    return int(value)


def check_number(
    name: str, value: Any, least: float = 0, most: float = math.inf, wanted: str = "0 or more"
) -> float:
    """Return a finite number from `least` to `most` (in words: `wanted`); else LabError."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not least <= value <= most:
        raise _wrong_value(name, value, wanted)
    return float(value)


def check_bool(name: str, value: object) -> bool:
    """Return an argument that must be True or False; else LabError, as for the text "false"."""
    if not isinstance(value, bool):
        raise _wrong_value(name, value, "True or False")
    return value


def check_choice(name: str, value: object, choices: Collection[str]) -> str:
    """Return an argument that must be one of some words; else LabError."""
    if not isinstance(value, str) or value not in choices:
        raise _wrong_value(name, value, f"one of {', '.join(choices)}")
    return str(value)
