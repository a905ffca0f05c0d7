"""The canvas's script, made of the files in `static`, and the constants that Python gives it."""

import re
from pathlib import Path

import numpy as np

from text_recognizer import strokes
from text_recognizer.language import LANGUAGES, LOCALE, read_catalogue
from text_recognizer.reading import character, lattice, line, pen, unread
from text_recognizer.strokes import BASE_LINE, CANVAS_HEIGHT, MAX_DOT, X_LINE

STATIC = Path(__file__).parent / "static"
WIDTHS = {"character": CANVAS_HEIGHT, "line": 4 * CANVAS_HEIGHT}
MAX_INK = 45_000  # letters that all strokes may take (`encode`): some 400 strokes of a hand
MAX_ANSWERS = 5  # bars of a character, alternatives of a character in a line
IMPORT = re.compile(r'^import [^;]*? from "([./\w]+)";\n', re.MULTILINE)
FIELD = re.compile(r"\{[^{}\"\n]*\}")  # of an f-string
EXPORT = re.compile(r"^export \{(.*)\};\n", re.MULTILINE)
DEFAULT = re.compile(r"^export default .*\n", re.MULTILINE)


def read_static(name: str) -> str:
    """Return the text of a file in `static`."""
    return (STATIC / name).read_text(encoding="utf-8")


def join_modules(name: str) -> str:
    """Return a module as one script, which needs no other file: those that it imports come first.

    Each of them becomes a function that returns what the module exports, so that their other names
    stay apart.
    """
    parts: dict[Path, str] = {}
    entry = (STATIC / name).resolve()

    def add(path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        for other in IMPORT.findall(text):
            if (imported := (STATIC / other).resolve()) not in parts:
                add(imported)
        text = IMPORT.sub("", text)
        if path != entry:
            (exported,) = EXPORT.findall(text)
            text = EXPORT.sub(r"return {\1};\n", DEFAULT.sub("", text))
            text = f"const {{{exported}}} = (() => {{\n{text}}})();\n"
        parts[path] = text

    add(entry)
    return "\n".join(parts.values())


def describe_canvas(keeps: bool = True, languages: tuple[str, ...] = LANGUAGES) -> dict:
    """Return the constants of the script: `keeps` says whether drawings can be saved, and `labels`
    has, for each language but English, the labels by the English ones.
    """
    return {
        "height": CANVAS_HEIGHT,
        "guides": [X_LINE, BASE_LINE],
        "max_ink": MAX_INK,
        "max_answers": MAX_ANSWERS,
        "max_dot": MAX_DOT,
        "unread": unread.UNREAD,
        "keeps": keeps,
        "labels": {name: read_labels(name) for name in languages if name != "en"},
    }


def read_labels(language: str) -> dict[str, str]:
    """Return the translations of what stands in the scripts or in Python's part of the canvas."""
    files = [*STATIC.glob("*.[jh]*"), *STATIC.parent.glob("*.py"), Path(strokes.__file__)]
    said = FIELD.sub("{}", "".join(path.read_text(encoding="utf-8") for path in files))
    catalogue = read_catalogue(LOCALE, language)[0].items()
    return {e: label for e, label in catalogue if f'"{e}"' in said or f">{e}<" in said}


def list_constants(reads: str = "character") -> dict[str, float | list[float]]:
    """Return the constants of pen.js, and for lines of lattice.js and unread.js, by their names."""
    modules = [pen, character, line] + ([lattice, unread] if reads == "line" else [])
    named = [item for module in modules for item in vars(module).items()]
    kinds = int | float | np.ndarray | list
    return {n: np.asarray(v).tolist() for n, v in named if n.isupper() and isinstance(v, kinds)}
