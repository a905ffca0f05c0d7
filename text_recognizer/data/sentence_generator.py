"""Sentences for lines of handwriting: whole words of the Brown corpus, or of a text of ours."""

import re
import zipfile
from functools import cache
from itertools import compress
from pathlib import Path

import numpy as np

from text_recognizer.counter_rng import SEED, draw_random
from text_recognizer.errors import LabError, check_choice, check_int, missing_or_damaged
from text_recognizer.files.download import DownloadError, download_brown
from text_recognizer.mapping import CHARACTERS, MAPPING, PARTS, PUNCTUATION, SPACE
from text_recognizer.paths import bundled, named_path, open_regular, own_dir

TEXT_SOURCES = ("auto", "brown", "own")
OWN_TEXT = "lab_text.txt"
MAX_BYTES = 100_000_000  # of a corpus; Brown has 10 MB
MAX_PHRASE = 10_000  # characters
TEXT_BLOCKS = 100  # a text is dealt out block by block, so that each part has some of every kind

_LABELS = np.zeros(128, np.uint8)  # of each ASCII character; 0 where it has none
for _name in CHARACTERS + PUNCTUATION:
    _LABELS[ord(_name)] = MAPPING.index(_name)
_UNKNOWN = re.compile(f"[^{re.escape(''.join(CHARACTERS + PUNCTUATION))}\n]")


class SentenceGenerator:
    """Draws phrases of whole words from a text.

    Taught in notebook 4.

    Train, val and test have disjoint parts of the text, cut out in blocks. The phrases come in a
    fixed order that depends on the seed alone: `write_labels` gives those of any numbers.

    Parameters
    ----------
    part : {"train", "val", "test"}
        Which part of the text.
    source : {"auto", "brown", "own"}
        `"brown"`: the Brown corpus as NLTK stores it, in the folder `NLTK_DATA` or downloaded
        (non-commercial use only). `"own"`: the text that ships with the lab. `"auto"`: Brown if it
        can be had, else the lab's own.
    seed : int
        Another seed draws other phrases.

    References
    ----------
    Francis and Kučera, "Brown corpus manual", 1979.

    Examples
    --------
    >>> from lab_utils import SentenceGenerator
    >>> text = SentenceGenerator("train", source="own").generate(32)
    >>> 0 < len(text) <= 32
    True
    """

    def __init__(self, part: str = "train", source: str = "auto", seed: int = SEED):
        check_choice("part", part, PARTS)
        check_choice("source", source, TEXT_SOURCES)
        self.source = "own" if source == "own" else _choose_source(source)
        self.seed = check_int("seed", seed, -(2**63), 2**63 - 1)
        lines = _read(self.source)
        block = np.arange(len(lines)) * TEXT_BLOCKS // len(lines) % 10
        wanted = {"train": block < 8, "val": block == 8, "test": block == 9}[part]
        self._use(" ".join(compress(lines, wanted)))

    @classmethod
    def from_text(cls, text: str, seed: int = SEED) -> "SentenceGenerator":
        """Return one that draws phrases from a text, whose characters the mapping has."""
        sentences = cls.__new__(cls)
        sentences.source, sentences.seed = "given", seed
        sentences._use(" ".join(_UNKNOWN.sub("", text).split()))
        return sentences

    def _use(self, text: str) -> None:
        self.text = text
        self._codes = _LABELS[np.frombuffer(self.text.encode("ascii"), np.uint8)]
        spaces = np.flatnonzero(self._codes == SPACE)
        self._starts = np.concatenate([[0], spaces + 1])
        self._ends = np.concatenate([spaces, [len(self._codes)]])
        # By max_length, since it takes as long as 1,000 phrases.
        self._fitting: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._generated = 0

    def generate(self, max_length: int = 16) -> str:
        """Return the next phrase, `max_length` characters at most; LabError if no word fits."""
        labels = self.write_labels(np.array([self._generated]), max_length)[0]
        self._generated += 1
        return "".join(MAPPING[label] for label in labels if label)

    def write_labels(self, numbers: np.ndarray, max_length: int) -> np.ndarray:
        """Return the phrases of the given numbers, (B,), all at once: uint8, (B, max_length).

        They are indices into the mapping, 0 after the end of a phrase.
        """
        check_int("max_length", max_length, 1, MAX_PHRASE)
        if max_length not in self._fitting:
            self._fitting[max_length] = self._fit(max_length)
        fitting, possible = self._fitting[max_length]
        draws = draw_random(self.seed, numbers, 2)
        first = possible[(draws[:, 0] * len(possible)).astype(int)]
        count = 1 + (draws[:, 1] * fitting[first]).astype(int)
        start, end = self._starts[first], self._ends[first + count - 1]
        positions = start[:, None] + np.arange(max_length)
        codes = self._codes[np.minimum(positions, len(self._codes) - 1)]
        return np.where(positions < end[:, None], codes, 0).astype(np.uint8)

    def _fit(self, max_length: int) -> tuple[np.ndarray, np.ndarray]:
        """Return how many words fit, from each word on, and the words from which any do."""
        last = np.searchsorted(self._ends, self._starts + max_length, side="right")
        fitting = last - np.arange(len(self._starts))
        possible = np.flatnonzero(fitting > 0)
        if not len(possible):
            raise LabError(f"max_length={max_length}: no word of the text is so short.")
        return fitting, possible


def _choose_source(source: str) -> str:
    try:
        _find_brown()
        return "brown"
    except DownloadError as error:
        if source == "brown":
            raise DownloadError(
                f"{error} Go online and run this again, or set NLTK_DATA to a folder that holds "
                "corpora/brown.zip, or take source='own'."
            ) from None
        return "own"


def _find_brown() -> Path:
    """Return the corpus of NLTK's data folder, or else the downloaded one."""
    if folder := named_path("NLTK_DATA"):
        for path in (folder / "corpora" / "brown.zip", folder / "corpora" / "brown"):
            if path.exists():
                return path
    return download_brown(own_dir() / "downloads")


@cache
def _read(source: str) -> list[str]:
    """Return the lines of a text, in characters that the mapping has."""
    if source == "brown":
        return _read_brown(_find_brown())
    try:
        return bundled(OWN_TEXT).read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise missing_or_damaged(bundled(OWN_TEXT), error) from None


def _read_brown(path: Path) -> list[str]:
    """Return the lines of the corpus, from a zip archive or a folder; refuse anything else."""
    try:
        tagged = [line.strip() for text in _read_texts(path) for line in text.splitlines()]
        text = re.sub(r"/[^/\s]+(?=\s|$)", "", "\n".join(tagged))
        lines = [line.strip() for line in restore_spacing(text).splitlines() if line.strip()]
        if not lines:
            raise ValueError("it holds no text of the Brown corpus")
    except Exception as error:  # noqa: BLE001 - a changed byte makes zipfile raise many kinds
        raise missing_or_damaged(path, error, "delete it and get it again") from None
    return lines


def _read_texts(path: Path) -> list[str]:
    if path.is_dir():
        texts = sorted(path.glob("c[a-r][0-9][0-9]"))
        return [text.read_text(encoding="ascii") for text in texts]
    with open_regular(path) as file, zipfile.ZipFile(file) as archive:
        members = sorted(archive.infolist(), key=lambda member: member.filename)
        if sum(member.file_size for member in members) > MAX_BYTES:
            raise ValueError("it is too large")
        # All are read, so that one whose name has changed is noticed.
        found = {member.filename: archive.read(member) for member in members}
        is_text = re.compile(r"(^|/)c[a-r]\d\d$").search
        return [text.decode("ascii") for name, text in found.items() if is_text(name)]


def restore_spacing(text: str) -> str:
    """Join the words and marks of a corpus, with `` and '' for quotes, as people write them."""
    text = re.sub(r"`` *| *''", '"', text).replace("--", "-")
    text = _UNKNOWN.sub("", text)
    text = re.sub(r"([!?;:,.])(?: \1)+", r"\1", text)  # Brown doubles some marks
    text = re.sub(r" +([!),.:;?])", r"\1", text)
    return re.sub(r" +", " ", re.sub(r"\( +", "(", text))
