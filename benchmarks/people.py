"""How well people's handwriting is read, by source and by kind of picture.

    PEOPLE=people PHOTOS=photos.zip CASES=cases python benchmarks/people.py

`people` is a folder with `ujipenchars1.zip`, `pendigits.zip` (strokes of tablet pens) and
`students.zip` (photographs, scans and drawings), `photos.zip` holds photographs of single
characters, and `cases/pictures` pictures whose names begin with the character they show. What is
not given is left out. The kinds of picture are drawn here, from the people's strokes.

`--lines` measures lines instead: `iam_lines.zip`, `iam_ondb_styles.zip` and `gw_online.zip` of
`people`. `--tesseract` and `--rapidocr PYTHON`, a Python that has `rapidocr-onnxruntime`, read the
same pictures with other programs.

None of it was trained on, except where data/MODEL_CARD.md says so.
"""

import argparse
import csv
import io
import json
import os
import random
import re
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter
from torchmetrics.functional.text import char_error_rate
from tqdm import tqdm

from lab_utils import LabError, LineRecognizer, Recognizer, prepare

DIGITS = "0123456789"
SIDE = 300  # pixels of a clean picture
PAPER, INK = 250, 20  # grey levels
LINE_SOURCES = ("iam_lines", "iam_ondb_styles", "gw_online")
LINE_PEN, LINE_INK, LINE_MARGIN = 3, 64, 24  # pixels: of strokes that are drawn as a picture
STACKED = 60  # pairs of lines, one below the other
SURE = 0.9  # how confident an answer is that should be right in 97% of cases


class Item(NamedTuple):
    """A drawing or a picture, and the character it shows."""

    label: str
    image: object


class Score(NamedTuple):
    """What came of a number of items; what is refused or crashes counts as read wrongly."""

    count: int
    exact: float
    caseless: float
    refused: int
    crashed: int
    sure: int
    sure_and_right: float


# Sources.


def read_strokes(path: Path) -> list[Item]:
    """Return the drawings of an archive with a `strokes.jsonl`."""
    with zipfile.ZipFile(path) as archive:
        lines = archive.read("strokes.jsonl").decode().splitlines()
    return [Item(entry["label"], entry["strokes"]) for entry in map(json.loads, lines)]


def read_pictures(path: Path) -> list[Item]:
    """Return the pictures of an archive with a `labels.csv`, each as it opens."""
    items = []
    with zipfile.ZipFile(path) as archive:
        for row in csv.DictReader(io.TextIOWrapper(archive.open("labels.csv"), "utf-8")):
            picture = Image.open(io.BytesIO(archive.read(row["file"])))
            items.append(Item(row["label"], picture))
    return items


def read_cases(folder: Path) -> list[Item]:
    """Return the pictures of single characters, whose names begin with what they show."""
    paths = sorted(path for path in folder.rglob("?_*") if path.is_file())
    return [Item(path.name[0], path) for path in paths]


# Kinds of picture. Each is drawn from strokes, with its own random numbers.


class Sheet:
    """Where and how a character is drawn: the same for all kinds of picture.

    Parameters
    ----------
    strokes : list
        Of one character.
    rng : numpy.random.Generator
        Chooses the place and the pen.
    """

    def __init__(self, strokes: list, rng: np.random.Generator):
        curves = [np.array(stroke, float)[:, :2] for stroke in strokes if len(stroke)]
        points = np.concatenate(curves)
        low = points.min(0)
        extent = max((points.max(0) - low).max(), 1e-9)
        self.curves = [(curve - low) / extent for curve in curves]
        self.size = (points.max(0) - low) / extent
        self.share = rng.uniform(0.5, 0.65)  # of the picture's side
        self.pen = rng.uniform(0.07, 0.13)  # of the character's size
        self.at = rng.uniform(0.3, 0.7, 2)  # of the room that is left

    def draw(
        self,
        side: int = SIDE,
        pen: float | None = None,
        share: float | None = None,
        smooth: bool = True,
    ) -> np.ndarray:
        """Return how much ink covers each pixel, float64 (side, side) from 0 to 1."""
        fine = 3 if smooth else 1
        share = share or self.share
        length = side * share
        width = pen or self.pen * length
        first = (side - self.size * length) * self.at
        sheet = Image.new("L", (side * fine, side * fine))
        brush, radius = ImageDraw.Draw(sheet), width * fine / 2
        for curve in self.curves:
            path = [tuple(point) for point in (curve * length + first) * fine]
            brush.line(path, fill=255, width=max(1, round(width * fine)))
            for x, y in path:
                if radius >= 1:
                    brush.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
                else:
                    brush.point((x, y), fill=255)
        return np.asarray(sheet.reduce(fine) if smooth else sheet) / 255


def grey_picture(cover: np.ndarray, paper=PAPER, ink=INK) -> np.ndarray:
    """Return grey levels, uint8 (H, W), of how much ink covers each pixel."""
    return (paper + (np.asarray(ink) - paper) * cover).clip(0, 255).round().astype(np.uint8)


def across(rng: np.random.Generator, side: int) -> np.ndarray:
    """Return how far each pixel is along a random direction, from 0 to 1: float64 (side, side)."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:side, :side] / (side - 1) - 0.5
    far = x * np.cos(angle) + y * np.sin(angle)
    return (far - far.min()) / (far.max() - far.min())


def shade(cover: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Return a grey picture in which light, from 0 to 1, is missing here and there."""
    return grey_picture(cover, PAPER * light, INK * light)


def thin(side: int, pen: int, smooth: bool):
    return lambda sheet, _rng: grey_picture(sheet.draw(side, pen, 0.85, smooth))


def thick(pen: float):
    return lambda sheet, _rng: grey_picture(sheet.draw(pen=pen * sheet.share * SIDE))


def gradient(depth: float):
    return lambda sheet, rng: shade(sheet.draw(), 1 - depth * across(rng, SIDE))


def shadow(width: float):
    """Half of the light is missing beyond an edge, so wide as a share of the picture."""

    def draw(sheet, rng):
        far = (across(rng, SIDE) - rng.uniform(0.3, 0.7)) / max(width, 1e-9)
        return shade(sheet.draw(), 1 - 0.5 * (far + 0.5).clip(0, 1))

    return draw


def draw_pencil(sheet, rng):
    picture = Image.fromarray(grey_picture(sheet.draw(pen=4), 225, 150))
    blurred = np.asarray(picture.filter(ImageFilter.GaussianBlur(1)), float)
    return (blurred + rng.normal(0, 6, blurred.shape)).clip(0, 255).astype(np.uint8)


def ruled(grey: int, squared: bool = False, degrees: float = 0.0):
    """Rules of a grey on the paper, the ink over them."""

    def draw(sheet, rng):
        spacing, first = rng.uniform(0.08, 0.2) * SIDE, rng.uniform(0, 0.2) * SIDE
        width = int(rng.integers(1, 4))
        margin = round(0.1 * SIDE)  # so that turned rules reach every side
        paper = Image.new("L", (SIDE + 2 * margin,) * 2, PAPER)
        pen = ImageDraw.Draw(paper)
        for place in np.arange(first, paper.width, spacing):
            pen.line([(0, place), (paper.width, place)], fill=grey, width=width)
            if squared:
                pen.line([(place, 0), (place, paper.width)], fill=grey, width=width)
        paper = paper.rotate(rng.uniform(-degrees, degrees), Image.Resampling.BICUBIC)
        paper = paper.crop((margin, margin, margin + SIDE, margin + SIDE))
        return grey_picture(sheet.draw(), np.asarray(paper, float))

    return draw


def specks(side: int):
    def draw(sheet, rng):
        ink = sheet.draw(side, smooth=False) > 0.5
        return Image.fromarray(~(ink ^ (rng.random(ink.shape) < 0.001)))

    return draw


def draw_one_speck(sheet, rng):
    cover = sheet.draw(share=0.3)
    place, radius = rng.uniform(0.03, 0.08, 2) * SIDE, rng.integers(1, 3)
    y, x = np.mgrid[:SIDE, :SIDE]
    cover[np.hypot(y - place[0], x - place[1]) <= radius] = 1
    return grey_picture(cover)


def desk(sides: int, widths: tuple[float, float], grey: int, noise: float = 4):
    """Something dark beyond so many sides, so wide as a share of the sheet."""

    def draw(sheet, rng):
        chosen = np.zeros(4, int)
        chosen[rng.permutation(4)[:sides]] = np.rint(rng.uniform(*widths, sides) * SIDE)
        picture = np.pad(grey_picture(sheet.draw()), chosen.reshape(2, 2), constant_values=grey)
        return (picture + rng.normal(0, noise, picture.shape)).clip(0, 255).astype(np.uint8)

    return draw


def draw_desk_all_round(sheet, rng):
    """Return a small sheet that lies a little turned on a dark desk."""
    paper = Image.fromarray(grey_picture(sheet.draw()))
    around = Image.new("L", (round(SIDE * 1.5),) * 2, int(rng.integers(30, 80)))
    mask = Image.new("L", around.size)
    corner = (around.width - SIDE) // 2
    mask.paste(255, (corner, corner, corner + SIDE, corner + SIDE))
    degrees = rng.uniform(-6, 6)
    moved = Image.new("L", around.size, PAPER)
    moved.paste(paper, (corner, corner))
    moved = moved.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=PAPER)
    around.paste(moved, mask=mask.rotate(degrees, Image.Resampling.BICUBIC))
    return around


def draw_form_box(sheet, rng):
    picture = Image.fromarray(grey_picture(sheet.draw()))
    low, high = rng.uniform(0.02, 0.1, 2) * SIDE, SIDE - rng.uniform(0.02, 0.1, 2) * SIDE
    width = int(rng.integers(1, 5))
    pen = ImageDraw.Draw(picture)
    pen.rectangle((*low, *high), outline=int(rng.integers(0, 120)), width=width)
    return picture


def depth(convert: Callable[[np.ndarray], object]):
    return lambda sheet, _rng: convert(grey_picture(sheet.draw()))


def saved(form: str, picture: Image.Image, **options) -> io.BytesIO:
    file = io.BytesIO()
    picture.save(file, form, **options)
    file.seek(0)
    return Image.open(file)


def draw_red_on_green(sheet, _rng):
    """Return colours that are equally bright in grey: 0.299 R + 0.587 G + 0.114 B."""
    cover = sheet.draw()[..., None]
    red, green = np.array([220, 40, 40]), np.array([60, 122, 40])
    return (green + (red - green) * cover).round().astype(np.uint8)


def draw_in_a_corner(sheet, _rng):
    cover = np.asarray(Image.fromarray(sheet.draw()).resize((14, 14), Image.Resampling.BOX))
    picture = np.zeros((28, 28), np.uint8)
    picture[1:15, 1:15] = grey_picture(cover, 0, 255)
    return picture


KINDS = {
    "clean": lambda sheet, _rng: grey_picture(sheet.draw()),
    "light on dark": lambda sheet, _rng: 255 - grey_picture(sheet.draw()),
    "cut tightly": lambda sheet, _rng: cut(grey_picture(sheet.draw())),
    "small on a large sheet": lambda sheet, _rng: grey_picture(sheet.draw(1000, share=0.15)),
    "pen of 1 at 500": thin(500, 1, False),
    "pen of 2 at 1000": thin(1000, 2, False),
    "pen of 3 at 2000": thin(2000, 3, False),
    "pen of 6 at 2000": thin(2000, 6, False),
    "smooth pen of 1 at 500": thin(500, 1, True),
    "pen of 1/6": thick(1 / 6),
    "pen of 1/5": thick(1 / 5),
    "gradient of 35%": gradient(0.35),
    "gradient of 50%": gradient(0.5),
    "soft shadow": shadow(0.15),
    "hard shadow": shadow(0),
    "pencil": draw_pencil,
    "ruled, grey 90": ruled(90),
    "ruled, grey 150": ruled(150),
    "ruled, grey 200": ruled(200),
    "squared, grey 90": ruled(90, squared=True),
    "squared, grey 150": ruled(150, squared=True),
    "squared, grey 200": ruled(200, squared=True),
    "ruled, turned a little": ruled(130, degrees=2),
    "specks at 300": specks(300),
    "specks at 800": specks(800),
    "dithered": lambda sheet, _rng: Image.fromarray(grey_picture(sheet.draw(), 245)).convert("1"),
    "one speck": draw_one_speck,
    "desk on 1 side": desk(1, (0.05, 0.2), 50),
    "desk on 2 sides": desk(2, (0.05, 0.15), 50),
    "desk on 3 sides": desk(3, (0.05, 0.15), 50),
    "desk on 4 sides": desk(4, (0.05, 0.15), 50),
    "desk all round, turned": draw_desk_all_round,
    "scanner's border": desk(4, (0.01, 0.04), 0, 0),
    "form box": draw_form_box,
    "1 bit": depth(lambda grey: Image.fromarray(grey > 127)),
    "8 bits, JPEG": depth(lambda grey: saved("JPEG", Image.fromarray(grey), quality=40)),
    "16 bits, PNG": depth(lambda grey: saved("PNG", Image.fromarray(grey.astype(np.uint16) * 257))),
    "16 bits, TIFF, dark": depth(
        lambda grey: saved("TIFF", Image.fromarray(grey.astype(np.uint16) * 40))
    ),
    "32 bits": depth(lambda grey: grey.astype(np.int32) * 8_000_000),
    "32 bits, TIFF": depth(
        lambda grey: saved("TIFF", Image.fromarray(grey.astype(np.int32) * 257))
    ),
    "float to 1, TIFF": depth(lambda grey: saved("TIFF", Image.fromarray(np.float32(grey / 255)))),
    "float to 255": depth(lambda grey: grey.astype(np.float64)),
    "red on green": draw_red_on_green,
    "28x28, in a corner": draw_in_a_corner,
}


def cut(picture: np.ndarray) -> np.ndarray:
    """Return a picture without the paper round the ink."""
    rows, columns = (np.flatnonzero((picture < 127).any(axis)) for axis in (1, 0))
    return picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def draw_kind(kind: str, items: list[Item]) -> list[Item]:
    """Return drawings as pictures of a kind: each drawing has one sheet for all kinds."""
    drawn = []
    for index, (label, strokes) in enumerate(items):
        sheet = Sheet(strokes, np.random.default_rng(index))
        rng = np.random.default_rng([index, *kind.encode()])
        drawn.append(Item(label, KINDS[kind](sheet, rng)))
    return drawn


# Measuring.


def score(reader: Recognizer, items: list[Item], among: str | None = None) -> Score:
    """Return how well items are read.

    Parameters
    ----------
    reader : Recognizer
        What reads them.
    items : list of Item
        Pictures or drawings.
    among : str, optional
        Only these characters are considered.
    """
    images, labels, refused = [], [], 0
    for label, image in items:
        try:
            images.append(prepare(image))
            labels.append(label)
        except LabError:
            refused += 1
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what is measured
            print(f"{label}: {error!r}")
    crashed = len(items) - len(images) - refused
    if not images:
        return Score(len(items), 0.0, 0.0, refused, crashed, 0, float("nan"))
    allowed = torch.tensor([among is None or name in among for name in reader.mapping])
    found = torch.cat([reader.probabilities(part) for part in torch.stack(images).split(1024)])
    found = found * allowed
    confidences, answers = (found / found.sum(1, keepdim=True)).max(1)
    names = [reader.mapping[answer] for answer in answers.tolist()]
    right = np.array([name == label for name, label in zip(names, labels, strict=True)])
    alike = [a.lower() == b.lower() for a, b in zip(names, labels, strict=True)]
    sure = confidences.numpy() > SURE
    return Score(
        len(items),
        right.sum() / len(items),
        sum(alike) / len(items),
        refused,
        crashed,
        int(sure.sum()),
        float(np.mean(np.array(alike)[sure])) if sure.any() else float("nan"),
    )


def measure_sources(
    people: Path | None, photos: Path | None, cases: Path | None
) -> dict[str, Score]:
    """Return how well each source is read, by its name."""
    reader = Recognizer.pretrained(equal_classes=True)
    scores = {}
    if people is not None:
        for name in ("ujipenchars1", "pendigits"):
            scores[name] = score(reader, read_strokes(people / f"{name}.zip"))
        digits = read_strokes(people / "pendigits.zip")
        scores["pendigits, among digits"] = score(reader, digits, DIGITS)
        scores["students"] = score(reader, read_pictures(people / "students.zip"))
    if photos is not None:
        scores["photos"] = score(reader, read_pictures(photos))
    if cases is not None:
        scores["cases"] = score(reader, read_cases(cases / "pictures"))
    return scores


def measure_kinds(people: Path, count: int, kinds: list[str]) -> dict[str, Score]:
    """Return how well each kind of picture is read, drawn from so many of the people's strokes."""
    reader = Recognizer.pretrained(equal_classes=True)
    items = read_strokes(people / "ujipenchars1.zip")
    digits = read_strokes(people / "pendigits.zip")
    # As many of each digit as there are of each letter.
    items += random.Random(0).sample(digits, len(items) // 5)
    random.Random(0).shuffle(items)
    return {
        kind: score(reader, draw_kind(kind, items[:count]))
        for kind in tqdm(kinds, desc="Kinds of picture", delay=2)
    }


# Lines.


class LineScore(NamedTuple):
    """What came of a number of lines; one that is refused counts as read as nothing."""

    count: int
    error_rate: float  # of characters, without case
    refused: int
    crashed: int
    milliseconds: float


def read_lines(people: Path, name: str) -> list[Item]:
    """Return the lines or words of a source, as pictures or strokes."""
    path = people / f"{name}.zip"
    with zipfile.ZipFile(path) as archive:
        has_strokes = "strokes.jsonl" in archive.namelist()
    return read_strokes(path) if has_strokes else read_pictures(path)


def draw_cover(
    strokes: list, pen: float = LINE_PEN, height: int = LINE_INK, margin: int = LINE_MARGIN
) -> np.ndarray:
    """Return how much ink of a line covers each pixel: float64 (H, W) from 0 to 1."""
    curves = [np.array(stroke, float)[:, :2] for stroke in strokes if len(stroke)]
    points = np.concatenate(curves)
    low, extent = points.min(0), np.ptp(points, axis=0)
    scale = height / max(extent[1], extent[0] / 30, 1e-9)
    width, tall = (np.ceil(extent * scale) + 2 * margin).astype(int)
    fine = 3
    sheet = Image.new("L", (int(width) * fine, int(tall) * fine))
    brush, radius = ImageDraw.Draw(sheet), pen * fine / 2
    for curve in curves:
        path = [tuple(point) for point in ((curve - low) * scale + margin) * fine]
        brush.line(path, fill=255, width=round(pen * fine))
        for x, y in path:
            brush.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return np.asarray(sheet.reduce(fine)) / 255


def rule(cover: np.ndarray, grey: int, rng) -> np.ndarray:
    paper = np.full(cover.shape, float(PAPER))
    first = int(rng.integers(0, 20))
    for place in range(first, len(paper), 36):
        paper[place : place + 2] = grey
    return grey_picture(cover, paper)


def add_specks(cover: np.ndarray, rng) -> np.ndarray:
    return grey_picture(np.where(rng.random(cover.shape) < 0.001, 1, cover))


def add_shadow(cover: np.ndarray) -> np.ndarray:
    """Return a picture that is half as bright on its right."""
    light = np.ones(cover.shape[1])
    light[cover.shape[1] // 2 :] = 0.5
    return shade(cover, light)


LINE_KINDS = {
    "clean": lambda strokes, _rng: grey_picture(draw_cover(strokes)),
    "light on dark": lambda strokes, _rng: 255 - grey_picture(draw_cover(strokes)),
    "pen of 1 at 64": lambda strokes, _rng: grey_picture(draw_cover(strokes, 1)),
    "pen of 2 at 400": lambda strokes, _rng: grey_picture(draw_cover(strokes, 2, 400, 100)),
    "pen of 8 at 64": lambda strokes, _rng: grey_picture(draw_cover(strokes, 8)),
    "gradient of 50%": lambda strokes, _rng: shade(
        cover := draw_cover(strokes), np.linspace(1, 0.5, cover.shape[1])
    ),
    "hard shadow": lambda strokes, _rng: add_shadow(draw_cover(strokes)),
    "specks": lambda strokes, rng: add_specks(draw_cover(strokes), rng),
    "ruled, grey 150": lambda strokes, rng: rule(draw_cover(strokes), 150, rng),
    "ruled, grey 200": lambda strokes, rng: rule(draw_cover(strokes), 200, rng),
    "1 bit": lambda strokes, _rng: draw_cover(strokes) < 0.5,
    "16 bits": lambda strokes, _rng: grey_picture(draw_cover(strokes)).astype(np.uint16) * 257,
}


def score_lines(read: Callable[[object], str], items: list[Item]) -> LineScore:
    """Return how well lines are read by a function that returns the text of a picture."""
    texts, refused, crashed = [], 0, 0
    start = time.perf_counter()
    for _, image in items:
        try:
            texts.append(read(image))
        except LabError:
            refused += 1
            texts.append("")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what is measured
            print(repr(error))
            crashed += 1
            texts.append("")
    taken = (time.perf_counter() - start) / len(items) * 1000
    return LineScore(len(items), count_wrong(texts, items), refused, crashed, taken)


def count_wrong(texts: list[str], items: list[Item]) -> float:
    """Return the character error rate without case."""
    written = [item.label.lower() for item in items]
    return char_error_rate([text.lower() for text in texts], written).item()


def measure_lines(people: Path) -> dict[str, LineScore]:
    """Return how well each source of lines is read, by source."""
    reader = LineRecognizer.pretrained()
    scores = {}
    for name in LINE_SOURCES:
        items = read_lines(people, name)
        scores[name] = score_lines(lambda image: reader.predict_line(image).text, items)
        scores[f"{name}, language"] = score_lines(
            lambda image: reader.predict_line(image, language_model=True).text, items
        )
    return scores


def measure_line_kinds(people: Path, count: int) -> dict[str, LineScore]:
    """Return how well each kind of picture is read, drawn from so many of the people's words."""
    reader = LineRecognizer.pretrained()
    items = read_lines(people, "gw_online")
    items = random.Random(0).sample(items, min(count, len(items)))
    scores = {}
    for kind, draw in tqdm(LINE_KINDS.items(), desc="Kinds of picture", delay=2):
        drawn = [
            Item(label, draw(strokes, np.random.default_rng([i, *kind.encode()])))
            for i, (label, strokes) in enumerate(items)
        ]
        scores[kind] = score_lines(lambda image: reader.predict_line(image).text, drawn)
    return scores


def count_refused_pairs(people: Path) -> int:
    """Return how many of `STACKED` pictures of two lines, one below the other, are refused."""
    reader, refused, rng = LineRecognizer.pretrained(), 0, random.Random(0)
    pictures = [as_dark_ink(image) for _, image in read_lines(people, "iam_lines")]
    for _ in range(STACKED):
        upper, lower = rng.sample(pictures, 2)
        gap = rng.uniform(0, 0.5) * upper.height
        both = Image.new(
            "L", (max(upper.width, lower.width), upper.height + lower.height + int(gap)), 255
        )
        both.paste(upper)
        both.paste(lower, (0, both.height - lower.height))
        try:
            reader.predict_line(both)
        except LabError:
            refused += 1
    return refused


def as_dark_ink(image: Image.Image) -> Image.Image:
    grey = image.convert("L")
    return grey if np.median(np.asarray(grey)) > 127 else grey.point(lambda level: 255 - level)


def draw_for_others(image) -> Image.Image:
    """Return a picture as other programs read them best: dark on light, with a margin."""
    if isinstance(image, list):
        return Image.fromarray(grey_picture(draw_cover(image)))
    grey = as_dark_ink(image)
    framed = Image.new("L", (grey.width + 2 * LINE_MARGIN, grey.height + 2 * LINE_MARGIN), 255)
    framed.paste(grey, (LINE_MARGIN, LINE_MARGIN))
    return framed


RAPIDOCR = """
import json, sys
from rapidocr_onnxruntime import RapidOCR
read = RapidOCR()
for path in sys.argv[1:]:
    found, _ = read(path, use_det=False, use_cls=False, use_rec=True)
    print("text:" + json.dumps(" ".join(text for text, *_ in found or [])))
"""


def read_with_tesseract(paths: list[Path]) -> list[str]:
    """Return what Tesseract reads, each picture as one line."""
    command = ["tesseract", "stdin", "stdout", "--psm", "7", "-l", "eng"]
    return [
        subprocess.run(command, stdin=path.open("rb"), capture_output=True, text=True, check=True)
        .stdout.replace("\n", " ")
        .strip()
        for path in paths
    ]


def read_with_rapidocr(paths: list[Path], python: str) -> list[str]:
    """Return what RapidOCR reads, each picture as one line."""
    command = [python, "-c", RAPIDOCR, *map(str, paths)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [json.loads(line[5:]) for line in printed.splitlines() if line.startswith("text:")]


def measure_others(
    people: Path, programs: dict[str, Callable[[list[Path]], list[str]]]
) -> dict[str, float]:
    """Return character error rates without case of other programs, by program and source."""
    rates = {}
    for source in LINE_SOURCES:
        items = read_lines(people, source)
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder, f"{i:04}.png") for i in range(len(items))]
            for path, (_, image) in zip(paths, items, strict=True):
                draw_for_others(image).save(path)
            for program, read in programs.items():
                rates[f"{program}, {source}"] = count_wrong(read(paths), items)
    return rates


def print_lines(title: str, scores: dict[str, LineScore]) -> None:
    print(f"\n{title:32}  items  wrong  refused  crashed  ms")
    for name, s in scores.items():
        print(
            f"{name:32}  {s.count:5}  {s.error_rate:.3f}  {s.refused:7}  {s.crashed:7}"
            f"  {s.milliseconds:.0f}"
        )


def draw_chart(scores: dict[str, Score], path: Path, before: dict[str, float]) -> None:
    """Draw the share of characters read of each kind of picture, beside an earlier run's."""
    from matplotlib import pyplot as plt

    names = list(scores)[::-1]
    figure, axis = plt.subplots(figsize=(7, 0.2 * len(names) + 1))
    axis.barh(names, [scores[name].caseless for name in names], color="#9db7dd", height=0.7)
    if before:
        axis.plot([before[n] for n in names], names, "o", color="#c55a11", label="before")
        axis.legend(loc="upper left", bbox_to_anchor=(0, -0.04), frameon=False)
    axis.axvline(0.93 * scores["clean"].caseless, color="#44546a", linewidth=1, linestyle="--")
    axis.set(xlim=(-0.01, 1), xlabel="characters read, ignoring letter case")
    axis.tick_params(labelsize=8)
    axis.margins(y=0.01)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def read_table(path: Path) -> dict[str, float]:
    """Return the share read of each kind, ignoring letter case, of what an earlier run printed."""
    rows = re.findall(r"^(\S.*?)  +\d+  [\d.]+ +([\d.]+) ", path.read_text(), re.MULTILINE)
    return {name: float(caseless) for name, caseless in rows}


def print_scores(title: str, scores: dict[str, Score], clean: Score | None = None) -> None:
    print(f"\n{title:28}  items  exact  caseless  refused  crashed  right above {SURE}")
    for name, s in scores.items():
        share = "" if clean is None else f"  {s.caseless / clean.caseless:.3f} of clean"
        print(
            f"{name:28}  {s.count:5}  {s.exact:.3f}     {s.caseless:.3f}  {s.refused:7}"
            f"  {s.crashed:7}  {s.sure_and_right:.3f} of {s.sure}{share}"
        )


def report_lines(options: argparse.Namespace) -> None:
    print_lines("lines", measure_lines(options.people))
    print_lines("kind of picture", measure_line_kinds(options.people, options.drawings))
    print(f"\n{count_refused_pairs(options.people)} of {STACKED} pairs of lines are refused")
    programs = {}
    if options.tesseract:
        programs["Tesseract"] = read_with_tesseract
    if options.rapidocr:
        programs["RapidOCR"] = lambda paths: read_with_rapidocr(paths, options.rapidocr)
    for name, rate in measure_others(options.people, programs).items():
        print(f"{name:32}  {rate:.3f}")


def main() -> None:
    def folder(variable: str) -> Path | None:
        return Path(os.environ[variable]) if os.environ.get(variable) else None

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--people", type=Path, default=folder("PEOPLE"))
    parser.add_argument("--photos", type=Path, default=folder("PHOTOS"))
    parser.add_argument("--cases", type=Path, default=folder("CASES"))
    parser.add_argument("--drawings", type=int, default=744, help="for each kind of picture")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--chart", type=Path, help="where to save the chart of kinds")
    parser.add_argument("--before", type=Path, help="what an earlier run printed, for the chart")
    parser.add_argument("--lines", action="store_true", help="measure lines, not characters")
    parser.add_argument("--tesseract", action="store_true", help="read lines with it, too")
    parser.add_argument("--rapidocr", metavar="PYTHON", help="one that has rapidocr-onnxruntime")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.lines:
        if options.people is None:
            parser.error("--lines needs --people")
        report_lines(options)
        return
    print_scores("source", measure_sources(options.people, options.photos, options.cases))
    if options.people is not None and options.kinds:
        kinds = ["clean", *(kind for kind in options.kinds if kind != "clean")]
        scores = measure_kinds(options.people, options.drawings, kinds)
        print_scores("kind of picture", scores, scores["clean"])
        if options.chart:
            before = read_table(options.before) if options.before else {}
            draw_chart(scores, options.chart, before)


if __name__ == "__main__":
    main()
