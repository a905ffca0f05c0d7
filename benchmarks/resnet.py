"""The ResNet beside the CNN: test accuracy against training time, in one run.

Run with `EMNIST_ARCHIVE=gzip.zip python benchmarks/resnet.py`; without the variable on what is
prepared, else on the bundled sample. Three trainings with Lightning on the same balanced EMNIST,
one after the other: the CNN as the course trains it, tested after each of 5 epochs; the ResNet for
the one epoch in which it passes the CNN; the ResNet for as long as it goes on learning.
"""

import argparse
import time

import pytorch_lightning as pl
from scores import score
from torch import nn

from lab_utils import CNN, EMNIST, SEED, BaseLitModel, Recognizer, ResNet

RECIPE = {"optimizer": "AdamW", "one_cycle_max_lr": 6e-3, "label_smoothing": 0.1}
CNN_EPOCHS, SPRINT_EPOCHS, LONG_EPOCHS = 5, 1, 20


class Watch(pl.Callback):
    """Adds up the seconds of training, and tests after each epoch, outside of that time."""

    def __init__(self, data: EMNIST, max_epochs: int, each_epoch: bool):
        self.data = data
        self.max_epochs = max_epochs
        self.each_epoch = each_epoch
        self.seconds = 0.0
        self.accuracies = []

    def on_train_epoch_start(self, trainer, pl_module):
        self.start = time.perf_counter()

    def on_train_epoch_end(self, trainer, pl_module):
        self.seconds += time.perf_counter() - self.start
        if self.each_epoch or trainer.current_epoch == self.max_epochs - 1:
            recognizer = Recognizer(pl_module.model, self.data.mapping)
            test = self.data.data_test
            self.accuracies.append(score(recognizer, test.images, test.labels)["accuracy"])
            pl_module.train()


def train(
    network: type[nn.Module],
    max_epochs: int,
    augment: bool = False,
    each_epoch: bool = False,
    **recipe,
) -> tuple[float, float]:
    """Train and return the best test accuracy that was measured, and the seconds of training."""
    pl.seed_everything(SEED, verbose=False)
    data = EMNIST(augment=augment)
    data.setup()
    watch = Watch(data, max_epochs, each_epoch)
    trainer = pl.Trainer(
        max_epochs=max_epochs,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        callbacks=watch,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    trainer.fit(BaseLitModel(network(data.config()), **recipe), datamodule=data)
    return max(watch.accuracies), watch.seconds


def sprint(cnn_epochs: int = CNN_EPOCHS) -> tuple[float, float, float]:
    """Return the CNN's best accuracy, the ResNet's, and the ratio of their times."""
    cnn, cnn_seconds = train(CNN, cnn_epochs, each_epoch=True)
    print(f"CNN, best of {cnn_epochs} epochs: {cnn:.4f} in {cnn_seconds:.0f} s", flush=True)
    # Without augmentation: one epoch is too short to memorize the images.
    resnet, seconds = train(ResNet, SPRINT_EPOCHS, **RECIPE)
    ratio = cnn_seconds / seconds
    print(f"ResNet, {SPRINT_EPOCHS} epoch: {resnet:.4f} in {seconds:.0f} s, ", end="")
    print(f"{ratio:.1f} times as fast", flush=True)
    return cnn, resnet, ratio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=LONG_EPOCHS, help="of the long training")
    options = parser.parse_args()
    sprint()
    resnet, seconds = train(ResNet, options.epochs, augment=True, **RECIPE)
    print(f"ResNet, {options.epochs} epochs: {resnet:.4f} in {seconds:.0f} s")


if __name__ == "__main__":
    main()
