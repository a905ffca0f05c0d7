"""Train the network that ships with the lab, and write it with its temperature.

    EMNIST_ARCHIVE=gzip.zip PEOPLE=people python tools/assets/train_weights.py    # make weights

It learns from the whole train part of EMNIST, from the bundled sample and from drawings of our
stroke templates together. Each batch is drawn so that characters are as frequent in all three as in
the balanced subset of EMNIST.

First two teachers are trained on the labels, side by side. Then the network itself learns the
labels and the teachers' soft targets: that an image is an O, but might as well be a 0. Finally it
learns from soft targets of its own, with images that are bent less, which brings it back to EMNIST.

The temperature is chosen on images of EMNIST's train part that are set aside before training.
"""

import argparse
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from draw_people import SOURCES, Drawing, draw_people, read_people
from draw_templates import draw_templates
from tqdm import trange
from weights_file import write_weights

from lab_utils import EMNIST, SEED, Recognizer, ResNet, augment
from text_recognizer.data.base_data_module import BaseDataModule
from text_recognizer.mapping import CHARACTER_LABELS

WEIGHTS = Path(__file__).resolve().parents[2] / "data" / "character_weights.safetensors"
WIDTH = 40
TEACHERS, TEACHER_STEPS = 2, 8_000
STEPS, LAST_STEPS, BATCH = 12_000, 5_000, 128
MAX_LR, LAST_MAX_LR, LABEL_SMOOTHING = 6e-3, 3e-3, 0.1
PEOPLE_STEPS, PEOPLE_MAX_LR = 6_000, 2e-3
SOFT_SHARE = 0.7  # of each target; the rest is the label
ELASTIC = {"share": 0.8, "slant": 0.12, "elastic": 0.8}  # of `augment`, but for the last steps
SAMPLE_SHARE, DRAWN_SHARE = 0.2, 0.15  # of each batch
DRAWN = 600  # drawings of each character
PEOPLE_SHARE, PEOPLE_DRAWN = 0.1, 500  # the same of what people drew, in the last steps
SET_ASIDE = 3_000  # images of EMNIST, for the temperature
SHIFTS = [(0, 0), (1, 1), (-1, -1)]  # pixels; a teacher answers them all


def read_train_part(data: BaseDataModule) -> tuple[torch.Tensor, torch.Tensor]:
    """Return all images of the train part, uint8 (N, 28, 28), and their labels, int64 (N,)."""
    data.setup()
    parts = (data.data_train, data.data_val)
    return torch.cat([p.images for p in parts]), torch.cat([p.labels for p in parts])


def weight_images(labels: torch.Tensor, frequencies: torch.Tensor) -> torch.Tensor:
    """Return how often each image is drawn so that its class has its frequency: sum 1."""
    weights = (frequencies / torch.bincount(labels, minlength=len(frequencies)))[labels]
    return weights / weights.sum()


def read_training_data() -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return what is trained on, and what is set aside.

    Returns
    -------
    tuple of dict
        `images`, uint8 (N, 28, 28), `labels`, int64 (N,), and `weights`, how often each is drawn;
        and of what is set aside `images`, `labels`, and `frequencies`, the share of each class.
    """
    balanced = read_train_part(EMNIST(source="full"))[1]
    frequencies = torch.bincount(balanced, minlength=len(EMNIST.mapping)).double()
    images, labels = read_train_part(EMNIST(source="full", balance=False))
    weights = weight_images(labels, frequencies)
    aside = torch.multinomial(weights, SET_ASIDE, replacement=False)
    kept = {"images": images[aside], "labels": labels[aside]}
    kept["frequencies"] = frequencies / frequencies.sum()
    weights[aside] = 0

    sample, sample_labels = read_train_part(EMNIST(source="sample", balance=False))
    drawn, drawn_labels = draw_templates(DRAWN, seed=SEED)
    drawn_labels += CHARACTER_LABELS.start
    shares = (1 - SAMPLE_SHARE - DRAWN_SHARE, SAMPLE_SHARE, DRAWN_SHARE)
    of_others = [weight_images(part, frequencies) for part in (sample_labels, drawn_labels)]
    parts = zip((weights, *of_others), shares, strict=True)
    data = {
        "images": torch.cat([images, sample, drawn]),
        "labels": torch.cat([labels, sample_labels, drawn_labels]),
        "weights": torch.cat([weights * share for weights, share in parts]),
    }
    return data, kept


def add_people(
    data: dict[str, torch.Tensor],
    soft_targets: torch.Tensor,
    frequencies: torch.Tensor,
    people: list[Drawing],
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Return training data and soft targets with what people drew: its labels, smoothed."""
    drawn, labels = draw_people(people, PEOPLE_DRAWN, seed=SEED)
    labels += CHARACTER_LABELS.start
    smoothed = F.one_hot(labels, len(EMNIST.mapping)) * (1 - LABEL_SMOOTHING)
    smoothed[:, CHARACTER_LABELS] += LABEL_SMOOTHING / len(CHARACTER_LABELS)
    weights = weight_images(labels, frequencies)
    more = {
        "images": torch.cat([data["images"], drawn]),
        "labels": torch.cat([data["labels"], labels]),
        "weights": torch.cat([data["weights"] * (1 - PEOPLE_SHARE), weights * PEOPLE_SHARE]),
    }
    return more, torch.cat([soft_targets, smoothed])


def make_network() -> ResNet:
    """Return an untrained network."""
    return ResNet({"input_dims": (1, 28, 28), "mapping": EMNIST.mapping}, width=WIDTH)


def train(
    model: ResNet,
    data: dict[str, torch.Tensor],
    steps: int,
    bfloat16: bool,
    soft_targets: torch.Tensor | None = None,
    max_lr: float = MAX_LR,
    augmentation: dict[str, float] = ELASTIC,
    desc: str = "steps",
) -> None:
    """Train a network on labels, and on soft targets if they are given."""
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=max_lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr, total_steps=steps)
    bounds = data["weights"].double().cumsum(0)
    for _ in trange(steps, desc=desc, mininterval=2):
        drawn = torch.searchsorted(bounds, torch.rand(BATCH, dtype=torch.double) * bounds[-1])
        x = augment(data["images"][drawn], **augmentation).unsqueeze(1).float().div_(255)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            logits = model(x)
        labels = data["labels"][drawn]
        if soft_targets is None:
            loss = F.cross_entropy(logits.float(), labels, label_smoothing=LABEL_SMOOTHING)
        else:
            targets = F.one_hot(labels, len(EMNIST.mapping)).float()
            targets = torch.lerp(targets, soft_targets[drawn], SOFT_SHARE)
            loss = F.cross_entropy(logits.float(), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    model.eval()


@torch.inference_mode()
def soften(model: ResNet, images: torch.Tensor, bfloat16: bool) -> torch.Tensor:
    """Return the probabilities of each class, the mean over small shifts: float32 (N, classes)."""
    soft_targets = []
    for part in images.split(256):
        shifted = torch.cat([part.roll(shift, dims=(1, 2)) for shift in SHIFTS])
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            logits = model(shifted.unsqueeze(1).float().div_(255))
        soft_targets.append(logits.float().softmax(1).unflatten(0, (len(SHIFTS), -1)).mean(0))
    return torch.cat(soft_targets)


def teach(number: int, steps: int, bfloat16: bool) -> torch.Tensor:
    """Train a teacher on one core, and return its soft targets for all train images."""
    torch.set_num_threads(1)
    pl.seed_everything(SEED, verbose=False)
    data, _ = read_training_data()  # the same for all
    torch.manual_seed(SEED + number)
    teacher = make_network()
    train(teacher, data, steps, bfloat16, desc=f"teacher {number}")
    return soften(teacher, data["images"], bfloat16)


def choose_temperature(model: ResNet, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the temperature with the lowest cross entropy: Guo et al. 2017."""
    log_probabilities = Recognizer(model, EMNIST.mapping).probabilities(images).log()
    candidates = torch.linspace(0.2, 2, 181)
    losses = [F.cross_entropy(log_probabilities / t, labels) for t in candidates]
    return candidates[torch.stack(losses).argmin()].item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--teacher-steps", type=int, default=TEACHER_STEPS)
    parser.add_argument("--last-steps", type=int, default=LAST_STEPS)
    parser.add_argument("--people-steps", type=int, default=PEOPLE_STEPS)
    parser.add_argument("--people", type=Path, default=os.environ.get("PEOPLE"))
    parser.add_argument("--output", type=Path, default=WEIGHTS)
    parser.add_argument("--bfloat16", action="store_true", help="faster on CPUs that have it")
    options = parser.parse_args()
    archives = [f"{source}.zip" for source in SOURCES]
    if not options.people or not all((options.people / name).is_file() for name in archives):
        parser.error(f"--people or PEOPLE must name a folder with {' and '.join(archives)}")
    people = read_people(options.people)
    started = time.perf_counter()

    spawn = multiprocessing.get_context("spawn")  # a fork would share torch's threads
    with ProcessPoolExecutor(TEACHERS, mp_context=spawn) as pool:
        tasks = [
            pool.submit(teach, number, options.teacher_steps, options.bfloat16)
            for number in range(1, TEACHERS + 1)
        ]
        soft_targets = sum(task.result() for task in tasks) / TEACHERS

    pl.seed_everything(SEED, verbose=False)
    data, aside = read_training_data()
    model = make_network()
    train(model, data, options.steps, options.bfloat16, soft_targets)
    own_targets = soften(model, data["images"], options.bfloat16)
    train(
        model,
        data,
        options.last_steps,
        options.bfloat16,
        own_targets,
        max_lr=LAST_MAX_LR,
        augmentation={},
        desc="last steps",
    )
    own_targets = soften(model, data["images"], options.bfloat16)
    more, targets = add_people(data, own_targets, aside["frequencies"], people)
    train(
        model,
        more,
        options.people_steps,
        options.bfloat16,
        targets,
        max_lr=PEOPLE_MAX_LR,
        augmentation={},
        desc="people",
    )
    described = {
        "model_class": "ResNet",
        "model_arguments": {"width": WIDTH},
        "input_dims": [1, 28, 28],
        "mapping": EMNIST.mapping,
        "temperature": choose_temperature(model, aside["images"], aside["labels"]),
        "frequencies": aside["frequencies"].tolist(),
    }
    write_weights(model, described, options.output)
    print(f"{(time.perf_counter() - started) / 60:.0f} minutes")


if __name__ == "__main__":
    main()
