"""Says things in the student's language: `_` takes a sentence as it stands in the code.

The catalogue is `labs/ko/lab.po`, one for each language; `make translations` extracts the sentences
and compiles it for gettext.
"""

import functools
import gettext
import os
import re
import sys
from pathlib import Path

LOCALE = Path(__file__).with_name("locale")
LANGUAGES = ("en", *sorted(path.name for path in LOCALE.iterdir()))
VALUE = re.compile(r"\{(\d*)\}")  # in a catalogue, the place of a value


def _(sentence: str, language: str | None = None) -> str:
    """Return a sentence, its values filled in, in a language: the student's, or the one named.

    The student's is what `LAB_LANGUAGE` says, which a translated notebook sets; in a terminal else
    that of the environment. Values may be sentences. What is in no catalogue stays as it is.
    """
    inside = "en" if "ipykernel" in sys.modules else ""
    named = language or os.environ.get("LAB_LANGUAGE") or inside
    catalogue, patterns = read_catalogue(LOCALE, named)
    if found := catalogue.get(sentence):
        return found
    for pattern, translation in patterns:
        if match := pattern.fullmatch(sentence):
            values = [_(v, named) if " " in v else v for v in match.groups()]
            places = iter(range(len(values)))
            return VALUE.sub(lambda v: values[int(v[1] or next(places))], translation)  # noqa: B023
    return sentence


@functools.cache
def read_catalogue(locale: Path, language: str) -> tuple[dict, list[tuple[re.Pattern, str]]]:
    """Return the translations, and patterns for those with values: what says most comes first."""
    found = gettext.translation("lab", locale, [language] if language else None, fallback=True)
    catalogue = {
        english: said for english, said in getattr(found, "_catalog", {}).items() if english
    }
    ordered = sorted(filter(VALUE.search, catalogue), key=lambda e: -len(VALUE.sub("", e)))
    parts = [map(re.escape, english.split("{}")) for english in ordered]
    patterns = [re.compile("(.*?)".join(p), re.DOTALL) for p in parts]
    return catalogue, list(zip(patterns, map(catalogue.get, ordered), strict=True))
