"""How well the bundled synthetic sample teaches to read real handwriting.

Run with `EMNIST_ARCHIVE=gzip.zip python benchmarks/sample_quality.py`. The lab's ResNet is trained
on the sample alone, on its balanced train and validation part, and tested on the real, balanced
test part of the archive. `--worst 10` lists the classes that lose most images to other characters.
"""

import argparse

import pytorch_lightning as pl
import torch
from resnet import RECIPE
from scores import score

from lab_utils import EMNIST, BaseLitModel, Recognizer, ResNet
from text_recognizer.data.base_data_module import BatchedDataset


def train(epochs: int, seed: int) -> Recognizer:
    """Train the ResNet on all of the balanced sample."""
    pl.seed_everything(seed, verbose=False)
    sample = EMNIST(source="sample")
    sample.setup()
    parts = (sample.data_train, sample.data_val)
    images, labels = torch.cat([p.images for p in parts]), torch.cat([p.labels for p in parts])
    sample.data_train = BatchedDataset(images, labels, augment=True)
    print(f"train: {len(images):,} synthetic images")
    trainer = pl.Trainer(
        max_epochs=epochs,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    model = ResNet(sample.config())
    trainer.fit(BaseLitModel(model, **RECIPE), datamodule=sample)
    return Recognizer(model, sample.mapping)


def print_worst(recognizer: Recognizer, test: BatchedDataset, count: int) -> None:
    """Print the classes that lose most images to other characters, and to which."""
    names, labels = recognizer.mapping, test.labels
    guesses = torch.cat([recognizer.probabilities(p).argmax(1) for p in test.images.split(1024)])
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


def measure(seed: int, epochs: int = 8, worst: int = 0) -> dict[str, float]:
    """Train on the sample alone, and return the scores on the archive of `EMNIST_ARCHIVE`."""
    real = EMNIST(source="full")
    real.setup()
    recognizer = train(epochs, seed)
    if worst:
        print_worst(recognizer, real.data_test, worst)
    return score(recognizer, real.data_test.images, real.data_test.labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=2, help="how many trainings")
    parser.add_argument("--worst", type=int, default=0, help="how many classes to list")
    options = parser.parse_args()
    for seed in range(options.seeds):
        found = measure(seed, options.epochs, options.worst)
        print(f"seed {seed}: {found['accuracy']:.4f}, without letter case {found['caseless']:.4f}")


if __name__ == "__main__":
    main()
