"""Lines by the batch: those of a file or fresh ones, wide ones apart from narrow ones."""

from collections.abc import Iterator

import torch
from torch.utils.data import Dataset, Sampler

from lab_utils.data.augment import augment as augmented
from lab_utils.lines.line_maker import LineMaker
from lab_utils.lines.render import used_columns
from lab_utils.randomness import SEED

ALIKE_BATCHES = 20  # lines are sorted by width within so many batches


class LineDataset(Dataset):
    """Lines in memory, fetched by the batch: float32 (B, 1, 28, W) and int64 (B, max_length).

    Parameters
    ----------
    images : torch.Tensor
        uint8, (N, 28, W).
    labels : torch.Tensor
        int64, (N, max_length), padded.
    augment : bool
        Whether each line is shifted at random whenever it is fetched.
    """

    def __init__(self, images: torch.Tensor, labels: torch.Tensor, augment: bool = False):
        self.images = images
        self.labels = labels
        self.augment = augment

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        images, labels = self.__getitems__([index])
        return images[0], labels[0]

    def __getitems__(self, numbers: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        chosen = torch.as_tensor(numbers)
        images, labels = self._lines(chosen)
        if self.augment:
            images = augmented(images, share=0)
        return images.unsqueeze(1).float().div_(255), labels

    def _lines(self, chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.images.index_select(0, chosen), self.labels.index_select(0, chosen)

    def widths(self, numbers: torch.Tensor) -> torch.Tensor:
        """Return how many columns lines have, or about so many: int64 (B,)."""
        return used_columns(self.images[numbers].unsqueeze(1))


class FreshLines(LineDataset):
    """Lines without end, drawn when they are fetched; number n is always the same line.

    Parameters
    ----------
    maker : LineMaker
        What draws them.
    count : int
        How many make an epoch.
    augment : bool
        As for `LineDataset`.
    """

    def __init__(self, maker: LineMaker, count: int, augment: bool = False):
        self.maker = maker
        self.count = count
        self.augment = augment

    def __len__(self) -> int:
        return self.count

    def _lines(self, chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.maker.draw(chosen.numpy())

    def widths(self, numbers: torch.Tensor) -> torch.Tensor:
        return self.maker.widths(numbers.numpy())


class ByWidth(Sampler):
    """Shuffles lines so that those of a batch are about equally wide: fewer columns to compute.

    Parameters
    ----------
    dataset : LineDataset
        The lines; of `FreshLines`, each epoch takes the next ones.
    batch_size : int
        Lines a batch.
    """

    def __init__(self, dataset: LineDataset, batch_size: int):
        self.dataset = dataset
        self.batch_size = batch_size
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.dataset)

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next; Lightning does, also when training goes on."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        count = len(self.dataset)
        random = torch.Generator().manual_seed(SEED + self.epoch)
        numbers = torch.randperm(count, generator=random)
        if isinstance(self.dataset, FreshLines):
            numbers += self.epoch * count
        self.epoch += 1
        batches = []
        for group in numbers.split(self.batch_size * ALIKE_BATCHES):
            sorted_group = group[torch.argsort(self.dataset.widths(group), stable=True)]
            batches += sorted_group.split(self.batch_size)
        # A batch that is not full stays at the end, where a loader expects it.
        full = sum(len(batch) == self.batch_size for batch in batches)
        order = torch.randperm(full, generator=random).tolist()
        for batch in [batches[i] for i in order] + batches[full:]:
            yield from batch.tolist()
