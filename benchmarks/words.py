"""How well words in print hand are read: composed of single characters that people wrote.

    PEOPLE=people python benchmarks/words.py

`people` is a folder with `ujipenchars1.zip` and `pendigits.zip`, whose strokes keep the heights of
what was written. Words, phrases and numbers are put together from one writer's own characters, at
several widths and gaps, with guide lines and without. By default only of the two writers of each
source whom the line network has never learned from: data/MODEL_CARD.md says what the network for
characters, on which `lattice.py` relies, has learned from.

`--names` measures whether names and numbers keep what is written where English has a say.
"""

import argparse
import itertools
import json
import os
import random
import time
import zipfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torchmetrics.functional.text import char_error_rate
from tqdm import tqdm

from lab_utils import LineRecognizer
from text_recognizer.strokes import BASE_LINE, X_LINE

LEFT_OUT = ("w04", "w05", "test-6", "test-7")  # writers
WIDTHS, GAPS = (0.6, 0.8, 1.0, 1.4), (0.15, 0.35)  # times as wide as written, and x-heights
X_HEIGHT = BASE_LINE - X_LINE
WORD_GAP = 0.9  # x-heights
CAPITALS = 100 / X_HEIGHT  # x-heights: how high digits are
FLAT_LETTERS = "aeonux"  # as high as an x
WORDS = """
look hello ill the and letter happy jump quick brown fox lazy dog river window garden school
little yellow summer winter question number people water before between through another kitchen
wolf zebra mix body fly give have love minute note open very black white university handwriting
""".split()  # noqa: SIM905 - easier to read
PHRASES = (
    "the quick brown fox",
    "look at this",
    "hello world",
    "to be or not to be",
    "a little more time",
    "all is well",
    "we will see",
    "once upon a time",
)
NAMES = """
Anna Bruno Carla Dmitri Elif Fatima Goran Hiroshi Ivana Jorge Kwame Liam Mei Nadia Olga Paulo
Quentin Rosa Stefan Tomas Umberto Vera Wanda Xavier Yuki Zoltan Ayse Bjorn Chiara Dilnoza Emeka
Freja Giulia Hakan Ingrid Jana Kofi Lucia Marek Nils Lopez Novak Schmidt Kim Nguyen Okafor Silva
Rossi Dubois Haddad Ivanov Larsen Murphy Tanaka Varga Weber Yilmaz Zhang Bauer Costa Fischer
Gruber Horvat Jensen Kaya Lehmann Moreau Nagy Petrov Quinn Rao Santos Toth Ueda Vogel Wagner Xu
Yamada Zeman Aoki Brandt Cohen Demir Eriksen Farkas Gomez Hoffmann Ito Jovanovic Klein Lund
Meyer Nowak Olsen Popov Ruiz Suzuki Tran Urban Vidal
""".split()  # noqa: SIM905 - easier to read
GUIDES = (X_LINE, BASE_LINE)


class Sample(NamedTuple):
    """A line that was put together: what it says, how, and its strokes, (N, 2) each."""

    label: str
    writer: str
    kind: str
    width: float
    gap: float
    guides: tuple[float, float] | None
    strokes: list[np.ndarray]


class Hand:
    """One writer's own characters, at their true heights.

    Parameters
    ----------
    drawings : dict of str to list of list of numpy.ndarray
        For each character, the strokes of each time it was written.
    top, base : float
        y of the top of small letters (or of digits) and of the baseline.
    height : float
        How many x-heights there are between them.
    """

    def __init__(self, drawings, top: float, base: float, height: float):
        self.base, self.unit = base, height * X_HEIGHT / (base - top)
        self.drawings = drawings

    def compose(self, text: str, width: float, gap: float, rng: random.Random) -> list[np.ndarray]:
        """Return a text as strokes that stand on the canvas's guide lines."""
        x, written = 40.0, []
        for character in text:
            if character == " ":
                x += (WORD_GAP - gap) * X_HEIGHT
                continue
            strokes = rng.choice(self.drawings[character])
            points = np.concatenate(strokes)
            left, right = points[:, 0].min(), points[:, 0].max()
            scale = np.array([self.unit * width, self.unit])
            written += [(s - (left, self.base)) * scale + (x, BASE_LINE) for s in strokes]
            x += (right - left) * scale[0] + gap * X_HEIGHT
        return written


def read_hands(path: Path) -> dict[str, Hand]:
    """Return the writers of an archive."""
    by_writer: dict = defaultdict(lambda: defaultdict(list))
    with zipfile.ZipFile(path) as archive:
        for entry in map(json.loads, archive.read("strokes.jsonl").decode().splitlines()):
            strokes = [np.array(stroke, float)[:, :2] for stroke in entry["strokes"]]
            by_writer[entry["writer"]][entry["label"]].append(strokes)
    hands = {}
    for writer, drawings in sorted(by_writer.items()):
        has_letters = "a" in drawings
        flat = [np.concatenate(s) for c in FLAT_LETTERS if has_letters for s in drawings[c]]
        flat = flat or [np.concatenate(s) for found in drawings.values() for s in found]
        top, base = (np.median([side(p[:, 1]) for p in flat]) for side in (np.min, np.max))
        hands[writer] = Hand(drawings, top, base, 1.0 if has_letters else CAPITALS)
    return hands


def compose_all(
    hand: Hand, writer: str, texts: dict[str, list[str]], widths=WIDTHS, gaps=GAPS
) -> list[Sample]:
    """Return all texts, by kind, in all ways."""
    samples = []
    for kind, width, gap in itertools.product(texts, widths, gaps):
        for number, text in enumerate(texts[kind]):
            rng = random.Random(f"{writer} {text} {width} {gap}")
            strokes = hand.compose(text, width, gap, rng)
            guides = GUIDES if (number + widths.index(width) + gaps.index(gap)) % 2 else None
            samples.append(Sample(text, writer, kind, width, gap, guides, strokes))
    return samples


def make_samples(people: Path, writers, words: int = len(WORDS)) -> list[Sample]:
    """Return the words and phrases, and the numbers, of some writers; of all without any."""
    samples = []
    for writer, hand in read_hands(people / "ujipenchars1.zip").items():
        if not writers or writer in writers:
            texts = {"words": list(WORDS[:words]), "phrases": list(PHRASES)}
            samples += compose_all(hand, writer, texts)
    for writer, hand in read_hands(people / "pendigits.zip").items():
        if not writers or writer in writers:
            samples += compose_all(hand, writer, {"numbers": draw_numbers(writer, 12)})
    return samples


def draw_numbers(seed: str, count: int) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choices("0123456789", k=rng.randint(2, 6))) for _ in range(count)]


def make_names(people: Path, writers) -> list[Sample]:
    """Return 100 names and 100 numbers, each by one of the writers, of usual width."""
    letters, digits = (
        [
            (w, h)
            for w, h in read_hands(people / f"{name}.zip").items()
            if not writers or w in writers
        ]
        for name in ("ujipenchars1", "pendigits")
    )
    samples = []
    for kind, hands, texts in (
        ("names", letters, NAMES),
        ("numbers", digits, draw_numbers("numbers", 100)),
    ):
        for number, text in enumerate(texts):
            writer, hand = hands[number % len(hands)]
            strokes = hand.compose(text, 1.0, 0.25, random.Random(text))
            guides = GUIDES if number % 4 < 2 else None
            samples.append(Sample(text, writer, kind, 1.0, 0.25, guides, strokes))
    return samples


def read_all(read: Callable[[Sample], str], samples: list[Sample], name: str) -> list[str]:
    return [read(sample) for sample in tqdm(samples, desc=name, delay=2)]


def score(texts: list[str], samples: list[Sample]) -> tuple[float, float]:
    """Return the character error rate, and the share of lines read rightly, both without case."""
    read, written = [t.lower() for t in texts], [s.label.lower() for s in samples]
    right = np.mean([a == b for a, b in zip(read, written, strict=True)])
    return char_error_rate(read, written).item(), float(right)


def print_scores(read: dict[str, list[str]], samples: list[Sample]) -> None:
    """Print how well each group of samples is read, by each way of reading."""
    groups: dict[str, list[int]] = defaultdict(list)
    for i, s in enumerate(samples):
        groups[s.kind].append(i)
        if s.kind == "words":
            for name in (
                f"  of {s.writer}",
                f"  width {s.width}",
                f"  gap {s.gap}",
                f"  {'with' if s.guides else 'without'} guides",
            ):
                groups[name].append(i)
    print(f"{'':18}lines  " + "  ".join(f"{name:>14}" for name in read))
    for name, chosen in groups.items():
        found = [samples[i] for i in chosen]
        scores = [score([texts[i] for i in chosen], found) for texts in read.values()]
        cells = "  ".join(f"{rate:7.3f} {right:6.1%}" for rate, right in scores)
        print(f"{name:18}{len(chosen):5}  {cells}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    people = os.environ.get("PEOPLE")
    parser.add_argument("--people", type=Path, default=people and Path(people))
    parser.add_argument("--writers", nargs="*", default=LEFT_OUT, help="none: all")
    parser.add_argument("--words", type=int, default=len(WORDS), help="of each writer")
    parser.add_argument("--names", action="store_true", help="names and numbers instead")
    options = parser.parse_args()
    if options.people is None:
        parser.error("--people or PEOPLE must name the folder")
    torch.set_num_threads(1)
    reader: LineRecognizer = LineRecognizer.pretrained()
    if options.names:
        samples = make_names(options.people, options.writers)
    else:
        samples = make_samples(options.people, options.writers, options.words)
    read = {}
    for name, language in (("greedy", False), ("English", True)):
        start = time.perf_counter()
        read[name] = read_all(
            lambda s, english=language: (
                reader.predict_line(s.strokes, guides=s.guides, language_model=english).text
            ),
            samples,
            name,
        )
        taken = (time.perf_counter() - start) / len(samples) * 1000
        print(f"{name}: {taken:.0f} ms a line")
    print_scores(read, samples)
    if options.names:
        for i, sample in enumerate(samples):
            plain, english = (texts[i] for texts in read.values())
            if plain == sample.label != english:
                print(f"lost: {sample.label} as {english}")


if __name__ == "__main__":
    main()
