"""Draw the bundled sample: synthetic handwritten characters, prepared as EMNIST prepares its own.

    python tools/assets/make_sample.py         # writes data/emnist_sample.h5 and its picture

Each character is a shape made of points: the outline or the skeleton of a handwriting font's
glyph, or strokes of our own (`stroke_templates.json`). The points are bent, slanted and rotated,
a pen of random width inks them into a bitmap of 128x128 pixels, and the bitmap goes through the
conversion of Cohen et al. (2017). Pen width, aspect ratio and slant of each class follow those of
EMNIST (`emnist_statistics.json`: a few numbers per class), since a network takes letter case from
little else: an o and an O differ in the ratio of the pen's width to their size.

Needs opencv-python-headless and fonttools beside the lab, and `npm` to fetch the fonts of
`sample_fonts.tsv` (about 220 MB into the git-ignored folder `data/.fonts`): `make sample` brings
the first two.

References
----------
Cohen et al., "EMNIST: an extension of MNIST to handwritten letters", 2017.
"""

import argparse
import csv
import functools
import itertools
import json
import math
import os
import shutil
import subprocess
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path

import cv2
import numpy as np
from fontTools.ttLib import TTFont
from PIL import Image, ImageDraw, ImageFont
from shapes import deform, read_templates, smooth_field, write_template
from tqdm import tqdm

from text_recognizer.files import prepared, whole_file
from text_recognizer.mapping import CHARACTERS, FIRST_CHARACTER, PUNCTUATION
from text_recognizer.reading.character import shrink

DATA = Path(__file__).resolve().parents[2] / "data"
FONTS = DATA / ".fonts"
SAMPLE = DATA / "emnist_sample.h5"

SHEET = 128  # EMNIST's own source images (NIST SD 19) are 128x128
GLYPH_SIDE = 100  # longer side, in pixels, at which a font's glyph is read
GREY_LEVELS = 16  # so that 12 MB hold over 80,000 images
TRAIN_IMAGES = 78_500  # of the 62 characters
MIN_TRAIN, MAX_TRAIN = 315, 4_000  # images of a class
PUNCTUATION_TRAIN, PER_CLASS_TEST = 310, 64

# How often a character is drawn from each kind of shape.
TRAIN_MIX = {"template": 2.6, "outline": 1.2, "skeleton": 1.2}
# EMNIST's writers seldom write these as fonts do: 1, I and l without serifs, M and F like m and f.
OWN_MIX = {"template": 8.0, "outline": 1.0, "skeleton": 1.0}
TEST_MIX = {"outline": 1.0, "skeleton": 1.0}  # templates are for train only, as are its fonts
STYLE_WEIGHT = {"print": 1.0, "capitals": 1.0, "cursive": 0.4, "sans": 0.4}

MEAN_PEN = 5.7  # mean stroke width in pixels of the sheet: gives EMNIST's sharpness and margins


@dataclass
class Shape:
    """What a character is drawn from.

    Parameters
    ----------
    kind : {"outline", "strokes"}
        Whether the curves are closed outlines to fill, or strokes to draw with a pen.
    curves : list of numpy.ndarray
        float32, each (K, 2): x to the right, y downwards. A skeleton is one unordered curve.
    frame : tuple of float
        y of the cap line and of the baseline.
    """

    kind: str
    curves: list[np.ndarray]
    frame: tuple[float, float]


@dataclass
class Style:
    """How the characters of a class are drawn.

    Parameters
    ----------
    stroke, stroke_spread : float
        Mean and standard deviation of log(stroke width / longer side).
    widen : float
        Mean log of the factor by which shapes are widened.
    slant : float
        Mean slant that is added, dx / dy to the right.
    """

    stroke: float = -2.25
    stroke_spread: float = 0.25
    widen: float = 0.0
    slant: float = 0.15


# ---------------------------------------------------------------------------------------------
# Shapes from fonts


def read_font_table() -> list[dict[str, str]]:
    """Return the rows of `sample_fonts.tsv`: family, version, licence, part and style."""
    with open(DATA / "sample_fonts.tsv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def fetch_fonts() -> None:
    """Install the pinned font packages."""
    rows = read_font_table()
    install_packages(FONTS, {f"@fontsource/{row['family']}": row["version"] for row in rows})


def install_packages(folder: Path, wanted: dict[str, str]) -> None:
    """Have npm install packages of given versions into a folder, unless they are there already."""
    if all(read_version(folder, package) == version for package, version in wanted.items()):
        return
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("npm is needed to fetch the fonts: install Node.js, which brings it.")
    folder.mkdir(exist_ok=True)
    manifest = json.dumps({"private": True, "dependencies": wanted})
    (folder / "package.json").write_text(manifest, encoding="utf-8")
    command = [npm, "install", "--ignore-scripts", "--no-audit"]
    if subprocess.run(command, cwd=folder, check=False).returncode:
        raise SystemExit("npm could not fetch the fonts: its own message is above.")


def read_version(folder: Path, package: str) -> str | None:
    """Return which version of a package is installed in a folder, if it is."""
    path = folder / "node_modules" / package / "package.json"
    return json.loads(path.read_text(encoding="utf-8"))["version"] if path.exists() else None


@functools.cache
def find_font_files(family: str) -> list[Path]:
    """Return a family's upright files with Latin letters, at most three of its weights."""
    folder = FONTS / "node_modules" / "@fontsource" / family / "files"
    # "-latin-4" and the like, since "-latin-*" would match the latin-ext files without A-Z too.
    files = [
        path
        for weight in (300, 400, 700)
        for path in folder.glob(f"{family}-latin-{weight}-normal.woff")
    ]
    if not files:
        raise SystemExit(f"The font package {family} has no file of Latin letters.")
    return files


def render_glyph(path: Path, character: str) -> tuple[np.ndarray, tuple[float, float]] | None:
    """Draw a glyph as a mask.

    Returns
    -------
    tuple of numpy.ndarray and tuple, or None
        bool (H, W), and the frame of `Shape` in its pixels; None if the font lacks the glyph.
    """
    if ord(character) not in read_font_characters(path):
        return None
    font = load_font(path, 100)
    left, top, right, bottom = font.getbbox(character)
    size = max(right - left, bottom - top)
    if size == 0:
        return None
    if character not in PUNCTUATION:  # a full stop enlarged to a letter's size would lose its place
        font = load_font(path, min(round(100 * GLYPH_SIDE / size), 600))
        left, top, right, bottom = font.getbbox(character)
    mask = Image.new("L", (right - left + 8, bottom - top + 8))
    ImageDraw.Draw(mask).text((4 - left, 4 - top), character, font=font, fill=255)
    cap = font.getbbox("H")
    return np.asarray(mask) > 127, (cap[1] - top + 4.0, cap[3] - top + 4.0)


@functools.cache
def read_font_characters(path: Path) -> frozenset[int]:
    return frozenset(TTFont(path).getBestCmap())


@functools.lru_cache(maxsize=512)
def load_font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


def trace_outline(mask: np.ndarray) -> list[np.ndarray]:
    """Trace the contours of a mask, the holes' too: a list of float32 (K, 2)."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return [contour[:, 0].astype(np.float32) for contour in contours if len(contour) > 2]


def thin(mask: np.ndarray) -> np.ndarray:
    """Thin a mask to lines one pixel wide (Zhang and Suen, 1984); float32 (K, 2) points."""
    mask = np.pad(mask, 1).astype(np.uint8)
    removed = True
    while removed:
        removed = False
        for step in (0, 1):
            # The eight neighbours, clockwise from the north.
            n, ne, e, se, s, sw, w, nw = (
                np.roll(mask, shift, (0, 1))
                for shift in [(1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1)]
            )
            ring = [n, ne, e, se, s, sw, w, nw, n]
            count = sum(ring[:8])
            rises = sum((a < b).astype(np.uint8) for a, b in itertools.pairwise(ring))
            one, other = (n & e & s, e & s & w) if step == 0 else (n & e & w, n & s & w)
            border = mask & (count >= 2) & (count <= 6) & (rises == 1) & (one == 0) & (other == 0)
            if border.any():
                mask = mask & ~border & 1
                removed = True
    ys, xs = np.nonzero(mask[1:-1, 1:-1])
    return np.stack([xs, ys], axis=1).astype(np.float32)


def read_font_shapes(character: str, part: str) -> dict[str, list[tuple[float, list[Shape]]]]:
    """Read a character from all fonts of a part.

    Returns
    -------
    dict
        For "outline" and for "skeleton": a pair for each family, its weight and its shapes.
    """
    shapes = {"outline": [], "skeleton": []}
    for row in read_font_table():
        style = row["style"]
        if row["part"] != part or (style == "capitals" and character.islower()):
            continue
        outlines, skeletons = [], []
        for path in find_font_files(row["family"]):
            glyph = render_glyph(path, character)
            if glyph is None or glyph[0].sum() < 20:
                continue
            mask, frame = glyph
            outlines.append(Shape("outline", trace_outline(mask), frame))
            lines = thin(mask)
            thickness = 2 * cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3).max()
            # The skeleton of a bold glyph is no longer the path of a pen.
            if len(lines) and (character in PUNCTUATION or thickness < 0.2 * GLYPH_SIDE):
                skeletons.append(Shape("strokes", [lines], frame))
        if outlines and style != "sans":  # a printer's clean outlines look unlike handwriting
            shapes["outline"].append((STYLE_WEIGHT[style], outlines))
        if skeletons:
            shapes["skeleton"].append((STYLE_WEIGHT[style], skeletons))
    return shapes


# ---------------------------------------------------------------------------------------------
# Shapes from our own stroke templates


def write_shape(character: str, rng: np.random.Generator) -> Shape:
    """Choose one of a character's templates and write it a little differently each time."""
    variants = read_templates()[character]
    variant = variants[rng.integers(len(variants))]
    # A dot of a template is a few units wide: the usual jitter would tear it apart.
    jitter = 1.2 if character in ".:;,!'\"-" else 3.2
    curves = [resample(curve) for curve in write_template(variant, rng, jitter, steps=12)]
    return Shape("strokes", curves, (0.0, 100.0))


def resample(curve: np.ndarray, spacing: float = 0.7) -> np.ndarray:
    """Place points at equal distances along a curve, close enough for a pen to leave no gap."""
    length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(curve, axis=0).T))])
    at = np.arange(0, max(length[-1], spacing), spacing)
    points = [np.interp(at, length, curve[:, axis]) for axis in (0, 1)]
    return np.stack(points, axis=1).astype(np.float32)


# ---------------------------------------------------------------------------------------------
# Deformations and ink


def ink_shape(
    shape: Shape, style: Style, rng: np.random.Generator, in_line: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Ink a shape.

    Parameters
    ----------
    shape : Shape
        What to draw.
    style : Style
        The class's stroke width, widening and slant.
    in_line : bool
        Whether the size is that of the line, from cap line to baseline, not that of the ink.

    Returns
    -------
    tuple of numpy.ndarray
        bool (128, 128), the ink; float (2,), the y of the cap line and of the baseline.
    """
    cap, base = shape.frame
    ink = np.concatenate(shape.curves)
    middle = (ink[:, 0].min() + ink[:, 0].max()) / 2
    points = np.concatenate([ink, [[middle, cap], [middle, base]]]).astype(np.float64)
    if not in_line:
        points[-2:] = np.clip(points[-2:], ink.min(0), ink.max(0))
    points = deform(points, rng, (0.14, 0.21), (style.widen, 0.13), (style.slant, 0.19))
    extent = points if in_line else points[:-2]
    low, high = extent.min(0), extent.max(0)
    longer = max((high - low).max(), 1e-3)
    # A pen has one width and writes large and small characters: thick strokes mean a small
    # character, which the blur and the enlargement below then make less sharp, as in EMNIST.
    pen = math.exp(rng.normal(math.log(MEAN_PEN), 0.15))
    # Cut off at two deviations, where a thick pen would leave a blot.
    stroke = math.exp(style.stroke + style.stroke_spread * np.clip(rng.normal(), -2, 2))
    size = float(np.clip(pen / stroke, 24, 100))
    width = stroke * size
    pad = 0 if shape.kind == "outline" else width
    points = (points - (low + high) / 2) * (max(size - pad, 4) / longer) + SHEET / 2

    curves = np.split(points[:-2], np.cumsum([len(c) for c in shape.curves])[:-1])
    bitmap = np.zeros((SHEET, SHEET), np.uint8)
    grid = (np.arange(24) + 0.5) / 24 - 0.5
    wobble = smooth_field(rng, 0.10, 3.0)(*np.meshgrid(grid, grid)).astype(np.float32)
    wobble = 1 + cv2.resize(wobble, (SHEET, SHEET), interpolation=cv2.INTER_CUBIC)
    if shape.kind == "strokes":
        x, y = np.clip(np.rint(points[:-2]).astype(int), 0, SHEET - 1).T
        bitmap[y, x] = 1
        distance = cv2.distanceTransform(1 - bitmap, cv2.DIST_L2, 5)
        return distance < max(width / 2, 1.1) * wobble + 0.25, points[-2:, 1]
    cv2.fillPoly(bitmap, [np.rint(curve * 16).astype(np.int32) for curve in curves], 1, shift=4)
    inside = cv2.distanceTransform(bitmap, cv2.DIST_L2, 5)
    distance = np.where(bitmap, 0.5 - inside, cv2.distanceTransform(1 - bitmap, cv2.DIST_L2, 5))
    half = estimate_half_width(inside)
    drawn = distance < width / 2 * wobble - half
    # Outlines grow or shrink to the pen's width; their hairlines must not vanish.
    middle = cv2.dilate(mark_ridge(inside).astype(np.uint8), np.ones((3, 3), np.uint8))
    return drawn | (middle & bitmap).astype(bool), points[-2:, 1]


def mark_ridge(inside: np.ndarray) -> np.ndarray:
    """Mark where the distance to the background is greatest: the middle of the strokes."""
    return (inside > 0) & (inside >= cv2.dilate(inside, np.ones((3, 3), np.uint8)))


def estimate_half_width(inside: np.ndarray) -> float:
    """Estimate half the stroke width from the distances to the background."""
    distances = inside[mark_ridge(inside)]
    return float(np.median(distances)) if len(distances) else 1.0


def convert(ink: np.ndarray, rows: tuple[float, float] | None) -> np.ndarray:
    """Prepare a bitmap as EMNIST does.

    Parameters
    ----------
    ink : numpy.ndarray
        bool, (128, 128).
    rows : tuple of float or None
        Rows to keep beside those with ink: punctuation keeps its size and its place in the line.

    Returns
    -------
    numpy.ndarray
        uint8, (28, 28), white on black.
    """
    blurred = cv2.GaussianBlur(ink.astype(np.float32) * 255, (9, 9), 1.0)
    y, x = np.nonzero(blurred)  # with the blur's faint rim, 4 pixels wide: EMNIST's margin
    top, bottom, left, right = y.min(), y.max() + 1, x.min(), x.max() + 1
    if rows is not None:
        top, bottom = max(0, min(top, int(rows[0]))), min(SHEET, max(bottom, int(rows[1]) + 1))
    return shrink(np.clip(blurred[top:bottom, left:right], 0, 255))


# ---------------------------------------------------------------------------------------------
# Classes


class Artist:
    """Draws one character, from the shapes of one part, in the style that EMNIST's writers have.

    Parameters
    ----------
    character : str
        What to draw.
    part : {"train", "test"}
        Whose fonts to use.
    seed : int
        All images follow from it.
    """

    def __init__(self, character: str, part: str, seed: int):
        self.character = character
        self.seed = [seed, part == "test", ord(character)]
        self.in_line = character in PUNCTUATION
        self.shapes = read_font_shapes(character, part)
        mix = TRAIN_MIX if part == "train" else TEST_MIX
        if part == "train" and character in "1IlMF":
            mix = OWN_MIX
        self.kinds = list(mix)
        self.kind_share = np.array(list(mix.values())) / sum(mix.values())
        self.style = Style()
        if character in CHARACTERS:
            self.match_emnist(read_statistics()[character])

    def draw(self, number: int) -> np.ndarray:
        """Draw image `number` of the character: uint8, (28, 28)."""
        # Its own generator each, so that an image depends on nothing that was drawn before it.
        rng = np.random.default_rng([*self.seed, number])
        kind = self.kinds[rng.choice(len(self.kinds), p=self.kind_share)]
        if kind == "template":
            shape = write_shape(self.character, rng)
        else:
            families = self.shapes[kind]
            weights = np.array([weight for weight, _ in families])
            _, shapes = families[rng.choice(len(families), p=weights / weights.sum())]
            shape = shapes[rng.integers(len(shapes))]
        ink, rows = ink_shape(shape, self.style, rng, self.in_line)
        return convert(ink, rows if self.in_line else None)

    def match_emnist(self, target: dict[str, list[float]], rounds: int = 2, trials: int = 120):
        """Adjust the style until stroke width, aspect ratio and slant have EMNIST's means."""
        (stroke, self.style.stroke_spread), (aspect, _), (slant, _) = (
            target[name] for name in ("stroke", "aspect", "slant")
        )
        self.style.stroke = stroke
        for _ in range(rounds):
            means = np.nanmean([measure(self.draw(1_000_000 + i)) for i in range(trials)], axis=0)
            self.style.stroke += float(stroke - means[0])
            # Bounded: a straight line can be widened without end and stays a line.
            self.style.widen = float(np.clip(self.style.widen + aspect - means[1], -0.3, 0.3))
            self.style.slant = float(np.clip(self.style.slant + slant - means[2], -0.1, 0.4))


def measure(image: np.ndarray) -> tuple[float, float, float]:
    """Return log(stroke width / longer side), log(width / height) and slant of an image."""
    enlarged = cv2.resize(image, (112, 112), interpolation=cv2.INTER_CUBIC)
    ink = (enlarged > 127).astype(np.uint8)
    y, x = np.nonzero(ink)
    if len(y) < 20:
        return math.nan, math.nan, math.nan
    height, width = np.ptp(y) + 1, np.ptp(x) + 1
    half_width = estimate_half_width(cv2.distanceTransform(ink, cv2.DIST_L2, 5))
    stroke = 2 * half_width / max(height, width)
    x, y = x - x.mean(), y - y.mean()
    return math.log(stroke), math.log(width / height), -(x * y).sum() / max((y * y).sum(), 1)


@functools.cache
def read_statistics() -> dict[str, dict]:
    return json.loads((DATA / "emnist_statistics.json").read_text(encoding="utf-8"))["classes"]


def count_train_images() -> dict[str, int]:
    """Return how many train images each character gets.

    In the proportions of EMNIST ByClass, as far as the bounds allow: a network learns from them
    how often a round shape is an O rather than an o or a 0. What the balancing of
    `lab_utils.EMNIST` leaves then has EMNIST's proportions too.
    """
    share = {c: read_statistics()[c]["per_10000"] / 10_000 for c in CHARACTERS}

    def bounded(scale: float) -> dict[str, int]:
        return {c: round(min(max(scale * s, MIN_TRAIN), MAX_TRAIN)) for c, s in share.items()}

    low, high = 0.0, 4.0 * TRAIN_IMAGES
    while high - low > 1:
        scale = (low + high) / 2
        low, high = (scale, high) if sum(bounded(scale).values()) < TRAIN_IMAGES else (low, scale)
    counts = bounded(low)
    return counts | dict.fromkeys(PUNCTUATION, PUNCTUATION_TRAIN)


def draw_class(task: tuple[str, str, int, int]) -> tuple[str, str, np.ndarray]:
    """Draw all images of a class: (part, character, count, seed) to uint8 (count, 28, 28)."""
    cv2.setNumThreads(1)  # the processes of the pool are parallel enough
    part, character, count, seed = task
    if character == " ":
        return part, character, np.zeros((count, 28, 28), np.uint8)
    artist = Artist(character, part, seed)
    images = np.stack([artist.draw(number) for number in range(count)])
    return part, character, reduce_greys(images)


def reduce_greys(images: np.ndarray) -> np.ndarray:
    """Round uint8 images to `GREY_LEVELS` levels, which compress better."""
    step = 255 / (GREY_LEVELS - 1)
    return (np.rint(np.rint(images / step) * step)).astype(np.uint8)


def make_sample(seed: int, processes: int) -> dict[str, np.ndarray]:
    """Draw the whole sample.

    Returns
    -------
    dict of numpy.ndarray
        `x_train`, `x_test`: uint8, (N, 28, 28); `y_train`, `y_test`: uint8, (N,). Sorted by class.
    """
    counts = count_train_images()
    tasks = [("train", c, counts[c], seed) for c in CHARACTERS + PUNCTUATION]
    tasks += [("test", c, PER_CLASS_TEST, seed) for c in CHARACTERS + PUNCTUATION]
    drawn = {}
    with Pool(processes) as pool:
        for part, character, images in tqdm(
            pool.imap_unordered(draw_class, tasks), total=len(tasks), unit="class"
        ):
            drawn[part, character] = images
    sample = {}
    for part in ("train", "test"):
        classes = [drawn[part, c] for c in CHARACTERS + PUNCTUATION]
        labels = np.arange(len(classes), dtype=np.uint8) + FIRST_CHARACTER
        sample[f"x_{part}"] = np.concatenate(classes)
        sample[f"y_{part}"] = np.repeat(labels, [len(images) for images in classes])
    return sample


def write_sample(sample: dict[str, np.ndarray], seed: int, path: Path) -> None:
    """Write the HDF5 file: whole or not at all, and the same bytes for the same images."""
    with whole_file.create(path) as (file, _):
        prepared.set_texts(
            file,
            title="Synthetic handwritten characters in the form of EMNIST",
            source="the bundled sample: synthetic handwriting, not real EMNIST",
            licence="MIT, as the package. Drawn from our own stroke templates and from openly "
            "licensed fonts (OFL-1.1, Apache-2.0, MIT; data/sample_fonts.tsv); no image of EMNIST.",
        )
        file.attrs.update(synthetic=True, seed=seed)
        for name, values in sample.items():
            file.create_dataset(
                name,
                data=values,
                chunks=(min(1024, len(values)), *values.shape[1:]),
                compression="gzip",
                compression_opts=9,
                fletcher32=True,
            )


def draw_picture(sample: dict[str, np.ndarray], path: Path, per_class: int = 16) -> None:
    """Draw a picture of some images of each class, two classes to a row, each after its label."""
    rng = np.random.default_rng(0)
    classes = [c for c in CHARACTERS + PUNCTUATION if c != " "]
    rows = math.ceil(len(classes) / 2)
    cell, label, gap = 30, 40, 24
    column = label + per_class * cell + gap
    sheet = Image.new("L", (2 * column, rows * cell + 20), 255)
    font = load_font(find_font_files("patrick-hand")[0], 24)
    pen = ImageDraw.Draw(sheet)
    for place, character in enumerate(classes):
        left, top = (place // rows) * column + 10, (place % rows) * cell + 10
        pen.text((left + 4, top + 15), character, font=font, fill=120, anchor="lm")
        label_number = FIRST_CHARACTER + (CHARACTERS + PUNCTUATION).index(character)
        of_class = np.flatnonzero(sample["y_train"] == label_number)
        for k, index in enumerate(rng.choice(of_class, per_class, replace=False)):
            image = Image.fromarray(255 - sample["x_train"][index])
            sheet.paste(image, (left + label + k * cell, top + 1))
    partial = path.with_suffix(".partial")
    sheet.save(partial, format="PNG", optimize=True)
    partial.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--output", type=Path, default=SAMPLE)
    options = parser.parse_args()
    fetch_fonts()
    sample = make_sample(options.seed, options.processes)
    write_sample(sample, options.seed, options.output)
    draw_picture(sample, options.output.with_suffix(".png"))
    for name, values in sample.items():
        print(f"{name}: {values.shape}")
    print(f"{options.output.name}: {options.output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
