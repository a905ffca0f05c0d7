"""Seconds per epoch: Lightning with metrics and validation off, against a bare PyTorch loop.

Run with `python benchmarks/lightning_overhead.py`. Both train the same CNN on the same batches
with Adam and cross entropy; epochs of the two alternate, so that a slow minute hits both.
"""

import statistics
import time

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch.utils.data import Subset

from lab_utils import CNN, EMNIST, SEED, BaseLitModel

ROUNDS = 5
BATCHES = 40


def time_bare_epoch(model: torch.nn.Module, optimizer: torch.optim.Optimizer, loader) -> float:
    start = time.perf_counter()
    model.train()
    for x, y in loader:
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    return time.perf_counter() - start


class Timer(pl.Callback):
    """The seconds from the first to the last moment of a training epoch."""

    def on_train_epoch_start(self, trainer, pl_module):
        self.start = time.perf_counter()

    def on_train_epoch_end(self, trainer, pl_module):
        self.seconds = time.perf_counter() - self.start


def time_lightning_epoch(lit_model: BaseLitModel, loader) -> float:
    timer = Timer()
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        callbacks=timer,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    trainer.fit(lit_model, train_dataloaders=loader)
    return timer.seconds


def main() -> None:
    data = EMNIST(source="sample")
    data.setup()
    data.data_train = Subset(data.data_train, range(BATCHES * data.batch_size))
    loader = data.train_dataloader()

    pl.seed_everything(SEED, verbose=False)
    model = CNN(data.config())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    lit_model = BaseLitModel(model=CNN(data.config()))
    time_bare_epoch(model, optimizer, loader)  # the first epoch also warms up the allocator
    rounds = [
        (time_bare_epoch(model, optimizer, loader), time_lightning_epoch(lit_model, loader))
        for _ in range(ROUNDS)
    ]
    bare, lightning = (statistics.median(column) for column in zip(*rounds, strict=True))
    ratio = statistics.median(slow / fast for fast, slow in rounds)
    print(f"{BATCHES} batches of {data.batch_size}, median of {ROUNDS} rounds")
    print(f"bare PyTorch loop      {bare:6.2f} s")
    print(f"Lightning, progress bar{lightning:6.2f} s   {ratio:.3f} times")


if __name__ == "__main__":
    main()
