"""Says things in the student's language."""

import json
import os
from pathlib import Path


def read_translations() -> dict[str, str]:
    """Return these lines, those of the start page and the hints of checks, by the English ones.

    The language is what `LAB_LANGUAGE` says, else that of the notebook's folder, such as `labs/ko`.
    Each {} is a value. `make translations` writes the file.
    """
    language = os.environ.get("LAB_LANGUAGE") or Path.cwd().name
    path = Path(__file__).parent / f"language_{language}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def say(line: str, *values: object) -> str:
    """Return a line in the student's language, with the values of its {}.

    Parameters
    ----------
    line : str
        The English one, which `make translations` finds in a dict `LINES`.
    *values
        What stands for each {}.
    """
    return read_translations().get(line, line).format(*values)
