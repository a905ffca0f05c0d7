"""How well the bundled synthetic sample teaches to read real handwriting.

Run with `EMNIST_ARCHIVE=gzip.zip python benchmarks/sample_quality.py`. A small ResNet (0.2 M
parameters) is trained on the sample alone, on its balanced train and validation part, and tested
on the real, balanced test part of the archive. `--worst 10` lists the classes that lose most
images to other characters.
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn
from tqdm import trange

from lab_utils import EMNIST
from lab_utils.archives import FIRST_CHARACTER

BATCH = 128
MAX_LR = 6e-3
SHIFT = 2  # pixels


class Block(nn.Module):
    """Two 3x3 convolutions with BatchNorm, and a shortcut around them."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity()
        if inputs != outputs or stride != 1:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


def small_resnet(num_classes: int) -> nn.Module:
    """Return a network for (B, 1, 28, 28) whose stem halves the image at once: fast on a CPU."""
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        Block(32, 32, 1),
        Block(32, 64, 2),
        Block(64, 96, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(96, num_classes),
    )
    return model.to(memory_format=torch.channels_last)


def as_input(images: torch.Tensor) -> torch.Tensor:
    """Turn uint8 (B, 28, 28) into what the network takes."""
    x = images.float().div_(255).unsqueeze(1)
    return x.contiguous(memory_format=torch.channels_last)


def shifted(images: torch.Tensor) -> torch.Tensor:
    """Shift each image by up to `SHIFT` pixels in both directions: uint8 (B, 28, 28)."""
    side = torch.arange(images.shape[-1])
    padded = F.pad(images, (SHIFT,) * 4)
    dy, dx = torch.randint(0, 2 * SHIFT + 1, (2, len(images), 1))
    rows, columns = dy + side, dx + side
    return padded[torch.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None, :]]


def train(images: torch.Tensor, labels: torch.Tensor, epochs: int, seed: int) -> nn.Module:
    """Train the small ResNet on uint8 (N, 28, 28) and int64 (N,), labels from 0."""
    torch.manual_seed(seed)
    model = small_resnet(int(labels.max()) + 1).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=MAX_LR)
    steps = len(images) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, MAX_LR, total_steps=epochs * steps)
    for _ in trange(epochs, desc="epochs"):
        for batch in torch.randperm(len(images))[: steps * BATCH].split(BATCH):
            logits = model(as_input(shifted(images[batch])))
            loss = F.cross_entropy(logits, labels[batch], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


@torch.inference_mode()
def predict(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    return torch.cat([model(as_input(part)).argmax(1) for part in images.split(1024)])


def print_worst(guesses: torch.Tensor, labels: torch.Tensor, names: list[str], count: int) -> None:
    """Print the classes that lose most images to other characters, and to which."""
    lower = [name.lower() for name in names]
    rows = []
    for label, name in enumerate(names):
        guessed = torch.bincount(guesses[labels == label], minlength=len(names)).tolist()
        wrong = {names[g]: n for g, n in enumerate(guessed) if n and lower[g] != lower[label]}
        taken_for = sorted(wrong.items(), key=lambda item: -item[1])[:6]
        rows.append((sum(wrong.values()), name, guessed[label] / max(sum(guessed), 1), taken_for))
    for lost, name, accuracy, taken_for in sorted(rows, key=lambda row: -row[0])[:count]:
        print(f"  {name}  accuracy {accuracy:.2f}, {lost} taken for", end=" ")
        print(", ".join(f"{other} ({n})" for other, n in taken_for))


def measure(seed: int, epochs: int = 8, worst: int = 0) -> tuple[float, float]:
    """Train on the sample alone, test on the real archive that `EMNIST_ARCHIVE` names.

    Returns
    -------
    tuple of float
        Accuracy over 62 classes, and accuracy without letter case.
    """
    sample, real = EMNIST(source="sample"), EMNIST(source="full")
    for data in (sample, real):
        data.prepare_data()
        data.setup()
    first = FIRST_CHARACTER  # the special tokens have no images
    parts = (sample.data_train, sample.data_val)
    images = torch.cat([part.images for part in parts])
    labels = torch.cat([part.labels for part in parts]) - first
    test_images, test_labels = real.data_test.images, real.data_test.labels - first
    print(f"train: {len(images):,} synthetic images, test: {len(test_images):,} real ones")

    guesses = predict(train(images, labels, epochs, seed), test_images)
    names = real.mapping[first : first + int(labels.max()) + 1]
    lower = torch.tensor([names.index(name.lower()) for name in names])
    if worst:
        print_worst(guesses, test_labels, names, worst)
    strict = (guesses == test_labels).float().mean().item()
    caseless = (lower[guesses] == lower[test_labels]).float().mean().item()
    return strict, caseless


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=2, help="how many trainings")
    parser.add_argument("--worst", type=int, default=0, help="how many classes to list")
    options = parser.parse_args()
    for seed in range(options.seeds):
        strict, caseless = measure(seed, options.epochs, options.worst)
        print(f"seed {seed}: accuracy {strict:.4f}, without letter case {caseless:.4f}", flush=True)


if __name__ == "__main__":
    main()
