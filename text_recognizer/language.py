"""Says things in the student's language: `_` takes a sentence, with its values, as it is shown.

`make translations` extracts the sentences into `labs/ko/lab.po` and compiles that for gettext.
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
    """Return a sentence in a language; what is in no catalogue stays. Values may be sentences.

    The language is the one named, else `LAB_LANGUAGE`, which a translated notebook sets, else, in
    a terminal, that of the environment.
    """
    named = language or os.environ.get("LAB_LANGUAGE") or "en" * ("ipykernel" in sys.modules)
    catalogue, patterns = read_catalogue(LOCALE, named)
    if sentence in catalogue:
        return catalogue[sentence]
    for pattern, parts in patterns:
        if match := pattern.fullmatch(sentence):
            values = [_(v, named) if " " in v else v for v in match.groups()]
            order = [int(place or i) for i, place in enumerate(parts[1::2])]
            return "".join(parts[::2][i] + values[v] for i, v in enumerate(order)) + parts[-1]
    return sentence


@functools.cache
def read_catalogue(locale: Path, language: str) -> tuple[dict[str, str], list]:
    """Return the translations, and patterns of those with values: what says most comes first."""
    found = gettext.translation("lab", locale, [language] if language else None, fallback=True)
    catalogue = {e: said for e, said in getattr(found, "_catalog", {}).items() if e}
    ordered = sorted(filter(VALUE.search, catalogue), key=lambda e: -len(VALUE.sub("", e)))
    made = [re.compile("(.*?)".join(map(re.escape, e.split("{}"))), re.DOTALL) for e in ordered]
    return catalogue, [(m, VALUE.split(catalogue[e])) for m, e in zip(made, ordered, strict=True)]
