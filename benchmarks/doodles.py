"""What the shipped network takes for no character: 200 doodles, and people's characters.

    PEOPLE=people python benchmarks/doodles.py

The doodles are drawn here by other code than those that the network learned from
(`tools/assets/fit_unknown.py`); pairs of letters are of the two writers from whom it learned
nothing in this.
"""

import argparse
import itertools
import json
import math
import os
import random
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from people import read_pictures
from words import LEFT_OUT, Hand, read_hands

from lab_utils import Recognizer, prepare

KINDS = {"rectangle": 15, "triangle": 10, "star": 15, "heart": 10, "spiral": 30, "house": 35}
KINDS |= {"pair": 45, "dot": 10, "scribble": 15, "face": 10, "zigzag": 5}
LETTERS = "abcdefghjkmnopqrstuvwxyzABDEFGHKMNPRSTWXZ23456789"


def join(*points) -> list:
    """Return straight lines through points."""
    return [
        (a + (c - a) * t, b + (d - b) * t)
        for (a, b), (c, d) in itertools.pairwise(points)
        for t in np.linspace(0, 1, 8)
    ]


def draw_ring(x: float, y: float, radius: float, share: tuple[float, float] = (0, 1)) -> list:
    turns = np.linspace(2 * math.pi * share[0], 2 * math.pi * share[1], 40)
    return [(x + radius * math.cos(t), y + radius * math.sin(t)) for t in turns]


def draw_doodle(kind: str, hands: list[Hand], rng: random.Random) -> list:
    """Return strokes of one of `KINDS`."""
    w, h = rng.uniform(60, 120), rng.uniform(60, 120)
    if kind == "rectangle":
        strokes = [join((0, 0), (w, 0), (w, h), (0, h), (0, 0))]
    elif kind == "triangle":
        strokes = [join((w / 2, 0), (w, h), (0, h), (w / 2, 0))]
    elif kind == "star":
        turns = [-math.pi / 2 + i * 4 * math.pi / 5 for i in range(6)]
        strokes = [join(*((50 * math.cos(t), 50 * math.sin(t)) for t in turns))]
    elif kind == "heart":
        turns = np.linspace(0, 2 * math.pi, 50)
        y = -13 * np.cos(turns) + 5 * np.cos(2 * turns) + 2 * np.cos(3 * turns) + np.cos(4 * turns)
        strokes = [list(zip(48 * np.sin(turns) ** 3, 3 * y, strict=True))]
    elif kind == "spiral":
        way, turns = rng.choice([-3, 3]), np.linspace(0.5, rng.uniform(2.2, 4.5) * 2 * math.pi, 120)
        strokes = [[(3 * t * math.cos(t), way * t * math.sin(t)) for t in turns]]
    elif kind == "house":
        strokes = [join((0, 0), (0, h), (w, h), (w, 0)), join((-8, 0), (w / 2, -40), (w + 8, 0))]
        if rng.random() < 0.7:
            strokes.append(join((w * 0.4, h), (w * 0.4, h - 40), (w * 0.6, h - 40), (w * 0.6, h)))
        if rng.random() < 0.4:
            strokes.append(join((10, 20), (30, 20), (30, 40), (10, 40), (10, 20)))
    elif kind == "pair":
        text = "".join(rng.choice(LETTERS) for _ in range(2))
        written = rng.choice(hands).compose(text, 1.0, rng.uniform(0.1, 0.5), rng)
        strokes = [stroke.tolist() for stroke in written]
    elif kind == "scribble":
        steps = [(rng.gauss(0, 22), rng.gauss(0, 22)) for _ in range(60)]
        strokes = [np.clip(50 + np.cumsum(steps, 0), 0, 100).tolist()]
    elif kind == "face":
        strokes = [draw_ring(50, 50, 50), draw_ring(32, 35, 3), draw_ring(68, 35, 3)]
        strokes.append(draw_ring(50, 55, 22, (0.05, 0.45)))
    elif kind == "zigzag":
        ends = range(rng.randint(5, 9))
        strokes = [join(*((i * 20, i % 2 * rng.uniform(30, 70)) for i in ends))]
    else:
        return [[(50 + rng.gauss(0, 1), 50 + rng.gauss(0, 1)) for _ in range(rng.randint(1, 4))]]
    return [[(x + rng.gauss(0, 1.2), y + rng.gauss(0, 1.2)) for x, y in s] for s in strokes]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    people = os.environ.get("PEOPLE")
    parser.add_argument("--people", type=Path, default=people and Path(people))
    options = parser.parse_args()
    if options.people is None:
        parser.error("--people or PEOPLE must name the folder")
    torch.set_num_threads(1)
    reader, rng = Recognizer.pretrained(equal_classes=True), random.Random(0)
    found = read_hands(options.people / "ujipenchars1.zip")
    hands = [hand for writer, hand in found.items() if writer in LEFT_OUT]
    unknown: Counter = Counter()
    for kind, count in KINDS.items():
        drawn = [draw_doodle(kind, hands, rng) for _ in range(count)]
        unknown[kind] = sum(not reader.is_known(prepare(d), d) for d in drawn)
        print(f"{kind:20} {unknown[kind]:4} of {count} are no character")
    print(f"{'all doodles':20} {sum(unknown.values()) / sum(KINDS.values()):.1%}")

    sources: dict[str, list] = {}
    for name in ("ujipenchars1", "pendigits"):
        with zipfile.ZipFile(options.people / f"{name}.zip") as archive:
            lines = archive.read("strokes.jsonl").decode().splitlines()
        entries = [entry for entry in map(json.loads, lines) if entry["writer"] in LEFT_OUT]
        sources[f"{name}, left out"] = [entry["strokes"] for entry in entries]
    sources["students"] = [item.image for item in read_pictures(options.people / "students.zip")]
    for name, images in sources.items():
        drawn = [image if isinstance(image, list) else () for image in images]
        known = [reader.is_known(prepare(i), d) for i, d in zip(images, drawn, strict=True)]
        refused = known.count(False)
        print(f"{name:22} {refused:4} of {len(images)} refused: {refused / len(images):.1%}")


if __name__ == "__main__":
    main()
