"""Draw lines in print hand, which `train_line_weights.py` learns from.

    apt-get install scowl
    PEOPLE=people python tools/assets/draw_print_lines.py

A hand is one way of writing each character, kept for a whole line: a stroke template of our own, or
what somebody wrote (UJI pen characters and pendigits), bent, with loops, open bowls and exit
strokes as the hand has them. Its letters are put side by side, near or far, narrow or wide, of true
or of careless heights, and go through `prepare_strokes` as any drawing does, half of them with
guide lines. A share of the lines is rendered letter by letter in the fonts for print hand of
`sample_fonts.tsv` instead.

These lines are no style of `EMNISTLines`: its `lines/` would need 80 lines of Python more to draw
only letters and digits (there are no sample strokes of punctuation, which 23% of our text's words
have), in 3 to 5 shapes each, at an eighth of the speed of the realistic style. Train, val and test
would share these shapes: the shipped network reads 98% of their characters as it is.

The writers of `LEFT_OUT` are never drawn, so that `benchmarks/words.py` can measure on them.
"""

import argparse
import collections
import functools
import itertools
import math
import os
import string
from pathlib import Path

import cv2
import numpy as np
from draw_joined_lines import (
    FOLDER,
    LABELS,
    MAX_LENGTH,
    WORDS,
    Texts,
    draw_line,
)
from draw_people import read_people
from make_sample import fetch_fonts, find_font_files, read_font_table
from shapes import read_templates, smooth_field, write_template
from tqdm import tqdm

from lab_utils import LabError
from text_recognizer.mapping import PADDING
from text_recognizer.reading.line import Scale, prepare_strokes

OUTPUT = FOLDER / "print_lines"
FILES, LINES = 20, 2500  # lines in each file
SEED = 79
LEFT_OUT = ("w04", "w05", "test-6", "test-7")  # writers on whom words are measured
FONT_SHARE = 0.15  # of the lines
X_HEIGHT, CAP_HEIGHT = 54, 100  # units of a template, whose baseline is at 100
FLAT_LETTERS = "aeonuxcsvz"  # which are as high as an x
GUIDED = 0.5  # of the lines
WIDEST = 700  # columns of a line

Curves = list[np.ndarray]  # strokes, float (N, 2): in x-heights, y downwards from the baseline


def read_writers(folder: Path) -> list[dict[str, list[Curves]]]:
    """Return what each writer wrote of each character, scaled by their own small letters."""
    drawn: dict = collections.defaultdict(lambda: collections.defaultdict(list))
    for drawing in read_people(folder):
        if drawing.writer not in LEFT_OUT:
            drawn[drawing.writer][drawing.label].append(drawing.strokes)
    writers = []
    for characters in drawn.values():
        flat = [s for c in FLAT_LETTERS for s in characters.get(c, [])]
        height = 1.0 if flat else CAP_HEIGHT / X_HEIGHT  # who wrote digits alone
        flat = flat or [s for found in characters.values() for s in found]
        top, base = (
            np.median([side(np.concatenate(s)[:, 1]) for s in flat]) for side in (np.min, np.max)
        )
        unit = height / (base - top)
        writers.append(
            {
                c: [[(curve - (0, base)) * unit for curve in strokes] for strokes in found]
                for c, found in characters.items()
            }
        )
    return writers


class Hand:
    """One way of writing each character.

    Parameters
    ----------
    writers : list of dict
        As of `read_writers`.
    rng : numpy.random.Generator
        All that is random follows from it.
    """

    def __init__(self, writers: list[dict[str, list[Curves]]], rng: np.random.Generator):
        self.rng = rng
        self.writer = writers[rng.integers(len(writers))] if writers else {}
        self.own = rng.choice([0.0, 0.7, 1.0], p=[0.5, 0.2, 0.3])  # share of the writer's letters
        self.kinds = rng.dirichlet([1.0, 0.6, 1.0])  # of templates: usual, rarer, other hands
        self.exits = rng.uniform(0.1, 0.5) if rng.random() < 0.2 else 0.0  # x-heights
        self.cut = rng.uniform(0, 0.12) if rng.random() < 0.4 else 0.0  # of a bowl that stays open
        self.jitter = rng.uniform(0.5, 2.5)
        self.above, self.below = rng.uniform(0.75, 1.3, 2)  # ascenders and descenders
        self.widths = math.exp(rng.uniform(math.log(0.5), math.log(1.7)))
        self.careless = rng.choice([0.02, rng.uniform(0, 0.13)])
        self.slant = rng.normal(0.05, 0.18)
        self.fields = [smooth_field(rng, rng.uniform(0, 0.06), 0.8) for _ in range(2)]
        self.chosen: dict = {}

    def write(self, character: str) -> Curves:
        """Write a character as this hand does, each time a little differently."""
        if character not in self.chosen:
            self.chosen[character] = self._choose(character)
        kind, found = self.chosen[character]
        rng = self.rng
        if kind == "writer":
            curves = [curve.copy() for curve in found[rng.integers(len(found))]]
        else:
            curves = write_template(found, rng, self.jitter, 6)
            curves = [(curve - (0, 100)) / X_HEIGHT for curve in curves]
        if self.cut and character in "abdegopqABDOPQRU0689":
            longest = max(range(len(curves)), key=lambda i: len(curves[i]))
            count = int(self.cut * len(curves[longest]))
            curves[longest] = curves[longest][: len(curves[longest]) - count]
        end = curves[-1][-1]
        if self.exits and character.islower() and kind != "writer" and abs(end[1]) < 0.15:
            away = np.array([[0.4, 0.03], [0.75, -0.05], [1.0, -0.3]]) * self.exits
            curves[-1] = np.concatenate([curves[-1], end + away])
        return self._bend(curves)

    def _choose(self, character: str):
        rng = self.rng
        if rng.random() < self.own and character in self.writer:
            return "writer", self.writer[character]
        kinds = ("characters", "rare", "hands")
        variants = read_templates(kinds[rng.choice(3, p=self.kinds)]).get(character)
        variants = variants or read_templates("characters")[character]
        template = variants[rng.integers(len(variants))]
        # The hand's own proportions, the same each time.
        moves = rng.normal(0, 3.0, (64, 2))
        return "template", [
            [
                [p[0] + m[0], p[1] + m[1], *p[2:]]
                for p, m in zip(stroke, moves[8 * i :], strict=False)
            ]
            for i, stroke in enumerate(template)
        ]

    def _bend(self, curves: Curves) -> Curves:
        rng = self.rng
        bent = []
        wide = math.exp(rng.normal(0, 2 * self.careless))
        high = math.exp(rng.normal(0, 1.5 * self.careless))
        angle = rng.normal(0, self.careless)
        for curve in curves:
            x, y = curve.T
            y = np.where(y < -1, (y + 1) * self.above - 1, np.where(y > 0, y * self.below, y))
            x, y = x + self.fields[0](x, y), y + self.fields[1](x, y)
            x, y = x * wide - angle * y, y * high + angle * x
            bent.append(np.stack([x, y], 1))
        return bent

    def write_line(self, text: str) -> Curves:
        """Write a text, in x-heights."""
        rng = self.rng
        gap = rng.choice([rng.uniform(-0.02, 0.2), rng.uniform(0.1, 0.5), rng.uniform(0.3, 0.9)])
        space = rng.uniform(0.5, 1.3) + gap
        x, written = 0.0, []
        for character in text:
            if character == " ":
                x += space * math.exp(rng.normal(0, 0.2))
                continue
            curves = self.write(character)
            points = np.concatenate(curves)
            left, right = points[:, 0].min(), points[:, 0].max()
            up = rng.normal(0, self.careless)
            written += [(curve - (left, up)) * (self.widths, 1) + (x, 0) for curve in curves]
            x += (right - left) * self.widths + max(gap * math.exp(rng.normal(0, 0.3)), -0.03)
        drift, phase = rng.normal(0, 0.015), rng.uniform(0, 2 * math.pi)
        wave = rng.uniform(0, 0.06)
        moved = []
        for curve in written:
            x, y = curve.T
            y = y + drift * x + wave * np.sin(phase + 0.4 * x)
            moved.append(np.stack([x - self.slant * y, y], 1))
        return moved


def draw_text(texts: Texts, rng: np.random.Generator) -> str:
    """Return what a line in print hand says: words and numbers, mostly short."""
    kind = rng.random()
    if kind < 0.35:
        text = next(texts._words(rng))
    elif kind < 0.62:
        text = texts.draw(rng)
    elif kind < 0.8:
        text = "".join(rng.choice(list(string.digits), rng.integers(1, 8)))
        if rng.random() < 0.2:
            place = rng.integers(len(text) + 1)
            text = text[:place] + rng.choice(list(".,:-/+ ")) + text[place:]
    elif kind < 0.9:
        text = "".join(rng.choice(list(string.ascii_lowercase), rng.integers(1, 8)))
    elif kind < 0.95:
        known = string.ascii_letters + string.digits
        text = "".join(rng.choice(list(known), rng.integers(1, 7)))
    else:
        text = next(texts._words(rng)).upper()
    return text[:MAX_LENGTH].strip() or draw_text(texts, rng)


@functools.cache
def read_print_fonts() -> list[list[Path]]:
    """Return the files of each family for print hand that no test of the sample needs."""
    fetch_fonts()
    rows = [r for r in read_font_table() if r["part"] == "train" and r["style"] == "print"]
    return [find_font_files(row["family"]) for row in rows]


def draw_print_line(text: str, writers: list, rng: np.random.Generator) -> np.ndarray | None:
    """Return a text as a line in print hand: uint8 (28, W); None where it cannot be placed."""
    if rng.random() < FONT_SHARE:
        families = read_print_fonts()
        return draw_line(text, rng, files=families[rng.integers(len(families))])
    hand = Hand(writers, rng)
    curves = hand.write_line(text)
    guides = None
    if rng.random() < GUIDED:
        guides = -math.exp(rng.normal(0, 0.06)), rng.normal(0, 0.04)
    scale = Scale(
        x_height=10.0 * rng.uniform(0.93, 1.07),
        pen=rng.uniform(3.8, 6.6),
        upright=rng.choice([0.0, 0.7, 0.7, 1.0]),
    )
    try:
        return prepare_strokes(curves, guides, scale).numpy()
    except LabError:
        return None  # it looks like two lines


def draw_file(number: int, texts: Texts, writers: list, path: Path, lines: int = LINES) -> None:
    """Write lines as `draw_joined_lines.draw_file` does."""
    rng = np.random.default_rng([SEED, number])
    drawn, labels = [], np.full((lines, MAX_LENGTH), PADDING, np.uint8)
    while len(drawn) < lines:
        text = draw_text(texts, rng)
        line = draw_print_line(text, writers, rng) if set(text) <= LABELS.keys() else None
        # CTC needs room: a column pair for each character, and one between two that are the same.
        needed = 2 * (len(text) + sum(a == b for a, b in itertools.pairwise(text)))
        if line is None or not needed + 2 <= line.shape[1] <= WIDEST:
            continue
        labels[len(drawn), : len(text)] = [LABELS[character] for character in text]
        drawn.append(line)
    widths = np.array([line.shape[1] for line in drawn])
    part = path.with_suffix(".part.npz")
    np.savez(part, columns=np.concatenate([line.T for line in drawn]), widths=widths, labels=labels)
    part.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--people", type=Path, default=os.environ.get("PEOPLE"))
    parser.add_argument("--words", type=Path, default=WORDS, help="folder of SCOWL's lists")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--files", type=int, default=FILES, help=f"of {LINES} lines each")
    options = parser.parse_args()
    if not options.people:
        parser.error("--people or PEOPLE must name the folder with ujipenchars1.zip")
    cv2.setNumThreads(1)
    options.output.mkdir(exist_ok=True)
    texts, writers = Texts(options.words), read_writers(Path(options.people))
    for number in tqdm(range(options.files), desc="files"):
        path = options.output / f"{number:03}.npz"
        if not path.exists():
            draw_file(number, texts, writers, path)


if __name__ == "__main__":
    main()
