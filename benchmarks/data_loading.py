"""Images per second: fetched whole, against the usual data set with default collation.

Run with `python benchmarks/data_loading.py`. Both read the same images through an ordinary
`DataLoader` with the same batch size, shuffling and number of workers (none), in turn.
"""

import statistics
import time

import torch
from torch.utils.data import DataLoader, Dataset

from lab_utils import EMNIST

ROUNDS = 5


class PerSample(Dataset):
    """The usual way: convert image by image, and let the loader stack them."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor):
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.images[index].unsqueeze(0).float() / 255, int(self.labels[index])


def measure_rate(loader: DataLoader) -> float:
    """Return how many images per second the loader yields."""
    start = time.perf_counter()
    count = sum(len(y) for _, y in loader)
    return count / (time.perf_counter() - start)


def make_loaders() -> tuple[DataLoader, DataLoader]:
    """Return what loads the bundled sample: the usual way, and the lab's."""
    data = EMNIST(source="sample")
    data.setup()
    usual = PerSample(data.data_train.images, data.data_train.labels)
    return DataLoader(usual, batch_size=data.batch_size, shuffle=True), data.train_dataloader()


def main() -> None:
    plain, ours = make_loaders()
    rates = [(measure_rate(plain), measure_rate(ours)) for _ in range(ROUNDS)]
    plain_rate, our_rate = (statistics.median(column) for column in zip(*rates, strict=True))
    ratio = statistics.median(fast / slow for slow, fast in rates)
    print(
        f"{len(plain.dataset):,} images, batches of {plain.batch_size}, median of {ROUNDS} rounds"
    )
    print(f"per sample, default collation  {plain_rate:12,.0f} images/s")
    print(f"whole batches                  {our_rate:12,.0f} images/s   {ratio:.1f} times")


if __name__ == "__main__":
    main()
