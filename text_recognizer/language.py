"""Says things in the student's language: gettext, with `_` as its mark in the code."""

import gettext
import os
from pathlib import Path

LOCALE = Path(__file__).with_name("locale")


def read_translations() -> gettext.NullTranslations:
    """Return the translations into the student's language; without any, the English stands.

    The language is what `LAB_LANGUAGE` says, else that of the notebook's folder, such as `labs/ko`.
    `make translations` compiles them from `labs/ko/checks.po`, and gettext reads a file once.
    """
    language = os.environ.get("LAB_LANGUAGE") or Path.cwd().name
    return gettext.translation("lab", LOCALE, [language], fallback=True)


def _(line: str) -> str:
    """Return a line in the student's language."""
    return read_translations().gettext(line)
