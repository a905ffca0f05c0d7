"""Teach the shipped network for characters to say what is no character.

    EMNIST_ARCHIVE=gzip.zip PEOPLE=people python tools/assets/fit_unknown.py

The network's class for `<B>`, which no image has, answers how little an image looks like a
character: one linear function of its last features and of its energy (the logarithm of the sum of
its answers' exponentials, whose share is `refuses`), fitted to tell doodles (shapes, stars,
spirals, houses, two letters side by side, scribbles) from characters. Nothing else in the weights
changes, so that characters are read as before. Its zero is where a share of `REFUSED` of the
characters of UJI's writers is refused, each by a function that has not learned from this writer;
those of `LEFT_OUT` are not among them.
"""

import argparse
import itertools
import json
import math
import os
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from draw_people import draw_again, read_people
from draw_print_lines import LEFT_OUT
from draw_templates import draw_template
from safetensors import safe_open
from shapes import deform, read_templates, write_template
from tqdm import tqdm
from weights_file import write_weights

from lab_utils import EMNIST, SEED, prepare
from text_recognizer.data.emnist_lines import read_glyphs
from text_recognizer.mapping import BLANK, CHARACTERS, FIRST_CHARACTER
from text_recognizer.models.registry import build_network

WEIGHTS = Path(__file__).resolve().parents[2] / "data" / "character_weights.safetensors"
DOODLES, GLYPHS = 3_000, 5_000  # the latter of each source
AGAIN = {"pendigits": 1, "ujipenchars1": 8}  # times each drawing of people is drawn
REFUSED = 0.01
PENALTY = 1e-3  # of large weights
SIZE = 0.1  # of the logit, so that it is never the largest of a character's
KINDS = {"polygon": 4, "star": 2, "spiral": 3, "house": 4, "pair": 6, "scribble": 2, "zigzag": 1}
KINDS |= {"heart": 1, "face": 1}

Curves = list[np.ndarray]


def draw_arc(centre, radii, start: float = 0.0, end: float = 2 * math.pi) -> np.ndarray:
    angles = np.linspace(start, end, 40)
    return np.asarray(centre) + np.stack([np.cos(angles), np.sin(angles)], 1) * radii


def join(*points) -> np.ndarray:
    """Return straight lines through points: float (N, 2)."""
    ends = np.asarray(points, float)
    shares = np.linspace(0, 1, 8)[:, None]
    return np.concatenate([a + (b - a) * shares for a, b in itertools.pairwise(ends)])


def draw_doodle(kind: str, rng: np.random.Generator) -> Curves:
    """Draw something that is no character, of one of `KINDS`."""
    wide, high = rng.uniform(50, 120, 2)
    if kind == "polygon":
        sides, turn = rng.integers(3, 8), rng.uniform(0, 2 * math.pi)
        angles = turn + np.arange(sides + 1) * 2 * math.pi / sides
        if rng.random() < 0.4:
            return [join((0, 0), (wide, 0), (wide, high), (0, high), (0, 0))]
        return [join(*(np.stack([np.cos(angles), np.sin(angles)], 1) * (wide, high)))]
    if kind == "star":
        ends = rng.choice([5, 7])
        angles = -math.pi / 2 + np.arange(ends + 1) * 2 * math.pi * (ends // 2) / ends
        return [join(*(np.stack([np.cos(angles), np.sin(angles)], 1) * 50))]
    if kind == "spiral":
        turned = np.linspace(0.5, rng.uniform(2.2, 5) * 2 * math.pi, 140) * rng.choice([-1, 1])
        return [np.stack([np.cos(turned), np.sin(turned)], 1) * abs(turned)[:, None]]
    if kind == "house":
        house = [join((0, 0), (0, high), (wide, high), (wide, 0))]
        over = rng.uniform(0, 12)
        house.append(join((-over, 0), (wide / 2, -rng.uniform(25, 60)), (wide + over, 0)))
        if rng.random() < 0.7:
            left, right = wide * np.array([0.4, rng.uniform(0.55, 0.7)])
            house.append(join((left, high), (left, high * 0.5), (right, high * 0.5), (right, high)))
        if rng.random() < 0.4:
            house.append(join((0, 0), (wide, 0)))
        return house
    if kind == "pair":
        first, second = (write_random(rng) for _ in range(2))
        start = max(curve[:, 0].max() for curve in first) + rng.uniform(2, 40)
        start -= min(curve[:, 0].min() for curve in second)
        return [*first, *(curve + np.array([start, 0.0]) for curve in second)]
    if kind == "scribble":
        steps = rng.normal(0, 22, (rng.integers(25, 80), 2))
        return [np.clip(50 + steps.cumsum(0), 0, 100)]
    if kind == "zigzag":
        count = rng.integers(6, 12)
        ends = np.stack([np.arange(count) * 20, np.arange(count) % 2 * high], 1)
        return [join(*ends)]
    if kind == "heart":
        t = np.linspace(0, 2 * math.pi, 50)
        y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
        return [np.stack([16 * np.sin(t) ** 3, -y], 1) * 3]
    eyes = [draw_arc((x, 35), (3, 3)) for x in (32, 68)]
    return [draw_arc((50, 50), (50, 50)), *eyes, draw_arc((50, 55), (25, 20), 0.3, 2.8)]  # a face


def write_random(rng: np.random.Generator) -> Curves:
    """Write a random character from our templates."""
    templates = read_templates()
    variants = templates[str(rng.choice(CHARACTERS))]
    return write_template(variants[rng.integers(len(variants))], rng, 2.0, 8)


def draw_doodles(count: int, seed: int) -> torch.Tensor:
    """Return doodles as the network sees them: uint8 (count, 28, 28)."""
    rng = np.random.default_rng(seed)
    shares = np.array(list(KINDS.values())) / sum(KINDS.values())
    drawn = []
    for _ in tqdm(range(count), desc="doodles", delay=2):
        kind = str(rng.choice(list(KINDS), p=shares))
        curves = [curve + rng.normal(0, 1.0, curve.shape) for curve in draw_doodle(kind, rng)]
        lengths = np.cumsum([len(curve) for curve in curves])[:-1]
        bent = deform(np.concatenate(curves), rng, (0.08, 0.08), (0.0, 0.1), (0.0, 0.1))
        drawn.append(prepare(np.split(bent, lengths)))
    return torch.stack(drawn)


def draw_characters(people: Path, seed: int) -> tuple[list[torch.Tensor], list[str]]:
    """Return characters of several sources, uint8 (N, 28, 28) each, and UJI's writers.

    UJI's come last: each drawn again several times, and then as they were drawn.
    """
    rng = np.random.default_rng(seed)
    parts = []
    for source in ("full", "sample"):
        emnist = EMNIST(source)
        emnist.prepare_data()
        images, _ = read_glyphs(emnist.file, "train")
        parts.append(images[torch.from_numpy(rng.permutation(len(images))[:GLYPHS])])
    drawn = []
    for kind in ("characters", "rare", "hands"):
        for character, variants in read_templates(kind).items():
            for variant in variants if character in CHARACTERS else ():
                drawn.append(draw_template(variant, math.exp(rng.uniform(1.6, 2.3)), rng))
                drawn.append(prepare(write_template(variant, rng, 3.0, 8)))
    parts.append(torch.stack(drawn))
    drawings = [d for d in read_people(people) if d.writer not in LEFT_OUT]
    for source, count in AGAIN.items():
        found = [d.strokes for d in drawings if d.source == source]
        parts.append(torch.stack([draw_again(s, rng) for s in found for _ in range(count)]))
    own = [d for d in drawings if d.source == "ujipenchars1"]
    return [*parts, torch.stack([prepare(d.strokes) for d in own])], [d.writer for d in own]


@torch.no_grad()
def find_features(model: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return the last features of images and their energy, float32 (N, 121)."""
    found: list[torch.Tensor] = []
    hook = model.fc.register_forward_pre_hook(lambda _module, given: found.append(given[0]))
    for part in images.split(500):
        logits = model(part.unsqueeze(1).float().div_(255))
        energy = logits[:, FIRST_CHARACTER:].logsumexp(1, keepdim=True)
        found[-1] = torch.cat([found[-1], energy], 1)
    hook.remove()
    return torch.cat(found)


def fit(doodles: torch.Tensor, parts: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the weights and the bias of a logistic regression, all parts equally frequent."""
    characters = torch.cat(parts)
    mean, spread = characters.mean(0), characters.std(0) + 1e-3
    x = (torch.cat([doodles, characters]) - mean) / spread
    y = (torch.arange(len(x)) < len(doodles)).float()
    shares = [torch.full((len(part),), 1 / len(part) / len(parts)) for part in parts]
    share = torch.cat([torch.full((len(doodles),), 1 / len(doodles)), *shares])
    weights = torch.zeros(x.shape[1] + 1, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=300)

    def evaluate() -> torch.Tensor:
        optimizer.zero_grad()
        logits = x @ weights[1:] + weights[0]
        loss = F.binary_cross_entropy_with_logits(logits, y, share, reduction="sum")
        loss = loss + PENALTY * weights[1:].square().sum()
        loss.backward()
        return loss

    optimizer.step(evaluate)
    bias, weights = weights.detach()[0], weights.detach()[1:] / spread
    return weights, bias - weights @ mean


def find_threshold(doodles: torch.Tensor, parts: list[torch.Tensor], writers: list[str]) -> float:
    """Return what all but `REFUSED` of UJI's characters are below, each writer's left out once."""
    *others, again, own = parts
    found = []
    for writer in sorted(set(writers)):
        kept = torch.tensor([name != writer for name in writers])
        kept_again = kept.repeat_interleave(len(again) // len(own))
        weights, bias = fit(doodles, [*others, again[kept_again], own[kept]])
        found.append(own[~kept] @ weights + bias)
    return torch.cat(found).quantile(1 - REFUSED).item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--people", type=Path, default=os.environ.get("PEOPLE"))
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="are changed")
    options = parser.parse_args()
    if not options.people:
        parser.error("--people or PEOPLE must name the folder with ujipenchars1.zip")
    with safe_open(options.weights, framework="pt") as file:
        described = {key: json.loads(text) for key, text in file.metadata().items()}
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    described.pop("checksum")
    model = build_network(described, tensors).eval()
    images, writers = draw_characters(Path(options.people), SEED)
    parts = [find_features(model, part) for part in images]
    doodles = find_features(model, draw_doodles(DOODLES, SEED))
    weights, bias = fit(doodles, parts)
    bias = bias - find_threshold(doodles, parts, writers)
    with torch.no_grad():
        model.fc.weight[BLANK], model.fc.bias[BLANK] = SIZE * weights[:-1], SIZE * bias
    described["refuses"] = SIZE * weights[-1].item()
    print(f"{(doodles @ weights + bias > 0).float().mean():.1%} of the doodles")
    write_weights(model, described, options.weights)


if __name__ == "__main__":
    main()
