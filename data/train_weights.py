"""Train the network that ships with the lab, and write it with its temperature.

    EMNIST_ARCHIVE=gzip.zip python data/train_weights.py        # or: make weights

It learns from the whole train part of EMNIST and from the bundled sample together. In both, some
characters are far more frequent than others; here each batch is drawn so that characters are as
frequent as in the balanced subset of EMNIST, and a share of it comes from the sample.

The temperature is chosen on images of EMNIST's train part that are set aside before training.
"""

import argparse
import json
from pathlib import Path

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tqdm import trange

from lab_utils import EMNIST, SEED, Recognizer, ResNet, augment
from lab_utils.data import BaseDataModule

WEIGHTS = Path(__file__).with_name("character_weights.safetensors")
WIDTH = 40
STEPS, BATCH = 9_000, 128
MAX_LR, LABEL_SMOOTHING = 6e-3, 0.1
SAMPLE_SHARE = 0.3  # of each batch
SET_ASIDE = 3_000  # images of EMNIST, for the temperature


def train_part(data: BaseDataModule) -> tuple[torch.Tensor, torch.Tensor]:
    """Return all images of the train part, uint8 (N, 28, 28), and their labels, int64 (N,)."""
    data.setup()
    parts = (data.data_train, data.data_val)
    return torch.cat([p.images for p in parts]), torch.cat([p.labels for p in parts])


def image_weights(labels: torch.Tensor, frequencies: torch.Tensor) -> torch.Tensor:
    """Return how often each image is drawn so that its class has its frequency: sum 1."""
    weights = (frequencies / torch.bincount(labels, minlength=len(frequencies)))[labels]
    return weights / weights.sum()


def train(
    images: torch.Tensor,
    labels: torch.Tensor,
    weights: torch.Tensor,
    steps: int,
    mapping: list[str],
) -> ResNet:
    """Train on images that are drawn with the given weights."""
    model = ResNet({"input_dims": (1, 28, 28), "mapping": mapping}, width=WIDTH).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=MAX_LR)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, MAX_LR, total_steps=steps)
    bounds = weights.double().cumsum(0)
    for _ in trange(steps, desc="steps"):
        drawn = torch.searchsorted(bounds, torch.rand(BATCH, dtype=torch.double) * bounds[-1])
        x = augment(images[drawn]).unsqueeze(1).float().div_(255)
        loss = F.cross_entropy(model(x), labels[drawn], label_smoothing=LABEL_SMOOTHING)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def best_temperature(model: ResNet, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the temperature with the lowest cross entropy: Guo et al. 2017."""
    log_probabilities = Recognizer(model, EMNIST.mapping).probabilities(images).log()
    candidates = torch.linspace(0.2, 2, 181)
    losses = [F.cross_entropy(log_probabilities / t, labels) for t in candidates]
    return candidates[torch.stack(losses).argmin()].item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--output", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    pl.seed_everything(SEED, verbose=False)

    balanced = train_part(EMNIST(source="full"))[1]
    frequencies = torch.bincount(balanced, minlength=len(EMNIST.mapping)).double()
    images, labels = train_part(EMNIST(source="full", balance=False))
    weights = image_weights(labels, frequencies)
    aside = torch.multinomial(weights, SET_ASIDE, replacement=False)
    aside_images, aside_labels = images[aside], labels[aside]
    weights[aside] = 0

    sample_images, sample_labels = train_part(EMNIST(source="sample", balance=False))
    sample_weights = image_weights(sample_labels, frequencies)
    images, labels = torch.cat([images, sample_images]), torch.cat([labels, sample_labels])
    weights = torch.cat([weights * (1 - SAMPLE_SHARE), sample_weights * SAMPLE_SHARE])

    model = train(images, labels, weights, options.steps, EMNIST.mapping)
    temperature = best_temperature(model, aside_images, aside_labels)
    described = {
        "model_class": "ResNet",
        "model_arguments": {"width": WIDTH},
        "input_dims": [1, 28, 28],
        "mapping": EMNIST.mapping,
        "temperature": temperature,
        "frequencies": (frequencies / frequencies.sum()).tolist(),
    }
    tensors = {name: value.contiguous() for name, value in model.state_dict().items()}
    metadata = {name: json.dumps(value) for name, value in described.items()}
    partial = options.output.with_suffix(".partial")
    save_file(tensors, partial, metadata=metadata)
    partial.replace(options.output)
    print(
        f"{options.output}: {options.output.stat().st_size:,} bytes, temperature {temperature:.2f}"
    )


if __name__ == "__main__":
    main()
