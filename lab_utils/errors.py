"""The one kind of error that students see, and sentences that errors share."""

import difflib
from collections.abc import Iterable
from pathlib import Path


class LabError(Exception):
    """A mistake or a missing file that a student can mend: one sentence, no traceback.

    Raised for bad arguments, unreadable files and failed downloads. The message names the file
    or the argument and says what to do.
    """

    def _render_traceback_(self):
        # IPython shows this instead of a traceback (its documented hook for custom exceptions).
        return [f"{type(self).__name__}: {self}"]


def nearest(name: str, names: Iterable[str]) -> str:
    """Return what to tell somebody who misspelt a name: the nearest right ones, else all."""
    names = sorted(names)
    lower = {known.lower(): known for known in names}
    close = [lower[match] for match in difflib.get_close_matches(name.lower(), lower)]
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"it must be one of {', '.join(names)}."


def cannot_write(path: Path, error: OSError) -> LabError:
    """Return the error that says what to do when a file or folder can't be written."""
    return LabError(
        f"{path} cannot be written ({error.strerror or error}): "
        "free some space, or set LAB_DATA_DIR to another folder."
    )


def check_int(name: str, value: object, least: int) -> int:
    """Return the value of an argument that must be a whole number of `least` or more.

    Raises
    ------
    LabError
        If it is anything else.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise LabError(f"{name}={value!r} must be a whole number of {least} or more.")
    return value


def check_choice(name: str, value: object, choices: Iterable[str]) -> str:
    """Return the value of an argument that must be one of some words.

    Raises
    ------
    LabError
        If it is another one.
    """
    choices = tuple(choices)
    if value not in choices:
        raise LabError(f"{name}={value!r} must be one of {', '.join(choices)}.")
    return str(value)
