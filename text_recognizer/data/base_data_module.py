"""What all data modules share: a data set in memory, and loaders that fetch whole batches."""

import os
import signal
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset, RandomSampler, Sampler

from text_recognizer.counter_rng import SEED
from text_recognizer.data.augment import augment
from text_recognizer.errors import LabError, check_bool, check_choice, check_int
from text_recognizer.files import prepared
from text_recognizer.mapping import MAPPING
from text_recognizer.threads import one_thread

MAX_WORKERS = max(16, os.cpu_count() or 1)  # more would only take memory, and a thousand hang


class BatchedDataset(Dataset):
    """Images, uint8 (N, 28, W), and labels, int64 (N,) or (N, max_length), fetched by the batch.

    A `DataLoader` asks for all items of a batch at once (`__getitems__`): one indexing of a uint8
    tensor and one conversion, where the usual data set converts and stacks image by image. With
    `augment`, an image is changed at random whenever it is fetched, and by the numbers that
    `Reshuffle` gives in the same way in any process.
    """

    amounts: ClassVar[dict] = {}  # of `augment`

    def __init__(self, images: torch.Tensor, labels: torch.Tensor, augment: bool = False):
        self.images = images
        self.labels = labels
        self.augment = augment

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple:
        """Return an image, float32 (1, 28, W) from 0 to 1, and its label: an int, or a line's."""
        images, labels = self.__getitems__([index])
        return images[0], labels[0] if labels.ndim > 1 else int(labels)

    @one_thread()
    def __getitems__(self, indices: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a whole batch: float32 (B, 1, 28, W) from 0 to 1, and its labels, int64."""
        numbers = torch.from_numpy(np.asarray(indices, np.int64))  # quicker than from a list
        images, labels = self.fetch(numbers)
        if self.augment:
            images = augment(images, generator=self._seed_by(numbers), **self.amounts)
        return images.unsqueeze(1).float().div_(255), labels

    def fetch(self, numbers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the images, uint8 (B, 28, W), and labels of some numbers."""
        chosen = numbers % len(self)
        # index_select is ten times as fast as images[chosen].
        return self.images.index_select(0, chosen), self.labels.index_select(0, chosen)

    @property
    def num_recurring(self) -> int:
        """How many numbers, from 0 on, stand for the same images in each epoch."""
        return len(self)

    def _seed_by(self, numbers: torch.Tensor) -> torch.Generator | None:
        """Return a generator of the numbers of a batch alone; torch's (None) if they recur."""
        if not len(numbers) or numbers.min() < self.num_recurring:
            return None
        return torch.Generator().manual_seed(zlib.crc32(numbers.to(torch.int64).numpy().tobytes()))


class Reshuffle(Sampler[int]):
    """Shuffles a data set of that length, and gives its images new numbers in each epoch.

    Image i has the number i + n * count, with an n from 1 that depends on torch's seed and epoch.
    """

    def __init__(self, count: int, seed: int | None = None):
        self.count = count
        self.seed = int(torch.randint(1, 2**31, ())) if seed is None else seed
        self.epoch = 0

    def __len__(self) -> int:
        return self.count

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next; Lightning does, also when training goes on."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        seed = self.seed + self.epoch
        self.epoch += 1
        order = torch.randperm(self.count, generator=torch.Generator().manual_seed(seed))
        yield from (order + seed * self.count).tolist()


def _ignore_interrupts(_worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that trains ends its workers


class BaseDataModule(pl.LightningDataModule):
    """What all data modules share: their loaders, their configuration and how they print.

    One whose data are prepared in a file has `locate()`, which returns that file, made if it is not
    there yet, and `read(file)`, which reads it into `data_train`, `data_val` and `data_test`.

    Parameters
    ----------
    batch_size : int
        Images per batch.
    num_workers : int
        Processes that fetch batches; 0 is fastest here, since a batch is one indexing.
    """

    mapping: list[str]
    dims: tuple[int, ...]
    output_dims: tuple[int, ...]
    data_train: BatchedDataset
    data_val: BatchedDataset
    data_test: BatchedDataset
    source_name: str  # what the images are, in words, once they are read
    file: Path  # where they are prepared, once that is known

    def __init__(self, batch_size: int = 128, num_workers: int = 0):
        super().__init__()
        self.batch_size = check_int("batch_size", batch_size, 1)
        self.num_workers = check_int("num_workers", num_workers, 0, MAX_WORKERS)

    def __getattr__(self, name: str):
        """Explain what is missing: Python calls this for names that it has not found."""
        if name in ("data_train", "data_val", "data_test"):
            name = type(self).__name__
            raise LabError(f"{name} has no data yet: call prepare_data() and setup() first.")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def prepare_data(self) -> None:
        """Make sure that the data are there: prepared, fetched, or those that ship with the lab."""
        # Lightning asks again before each fit and test.
        if "file" not in vars(self) or prepared.is_damaged(self.file):
            try:
                self.file = self.locate()
            except prepared.DamagedFileError:  # of what it is made from: now known, and made again
                self.file = self.locate()

    def setup(self, stage: str | None = None) -> None:
        """Read the images that were prepared into `data_train`, `data_val` and `data_test`."""
        if "data_test" not in vars(self):  # Lightning calls again before each of fit and test
            try:
                self._prepare_and_read()
            except prepared.DamagedFileError:  # which is now known, and made again
                self._prepare_and_read()

    def _prepare_and_read(self) -> None:
        self.prepare_data()
        with prepared.open_prepared(self.file) as file:
            self.source_name = file.source
            self.read(file)

    def config(self) -> dict:
        """Return what a model must know of the data: `input_dims`, `output_dims`, `mapping`."""
        return {"input_dims": self.dims, "output_dims": self.output_dims, "mapping": self.mapping}

    def train_dataloader(self) -> DataLoader:
        # To overfit on purpose, the same few batches come in every epoch.
        overfits = self.trainer is not None and self.trainer.overfit_batches > 0  # type: ignore[attr-defined]
        return self._loader(self.data_train, None if overfits else self._shuffle())

    def _shuffle(self) -> Sampler:
        """Return what puts the images to train on in another order in each epoch."""
        is_augmented = getattr(self.data_train, "augment", False)
        return Reshuffle(len(self.data_train)) if is_augmented else RandomSampler(self.data_train)

    def val_dataloader(self) -> DataLoader:
        return self._loader(self.data_val)

    def test_dataloader(self) -> DataLoader:
        return self._loader(self.data_test)

    def _loader(self, dataset: Dataset, sampler: Sampler | None = None) -> DataLoader:
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            sampler=sampler,
            num_workers=self.num_workers,
            worker_init_fn=_ignore_interrupts,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            collate_fn=tuple,  # which leaves what `__getitems__` has made as it is
        )

    def __str__(self) -> str:
        lines = [
            f"{type(self).__name__} Dataset",
            f"Num classes: {len(self.mapping)}",
            f"Mapping: {self.mapping}",
            f"Dims: {self.dims}",
        ]
        return "\n".join(lines + self._describe_data())

    def _describe_data(self) -> list[str]:
        if "data_test" not in vars(self):
            return []
        sizes = ", ".join(str(len(d)) for d in (self.data_train, self.data_val, self.data_test))
        # The first batch, not a random one, so that printing never disturbs the seed.
        x, y = self.data_train.__getitems__(range(min(self.batch_size, len(self.data_train))))
        return [
            f"Train/val/test sizes: {sizes}",
            f"Batch x stats: {(x.shape, x.dtype, x.min(), x.mean(), x.std(), x.max())}",
            f"Batch y stats: {(y.shape, y.dtype, y.min(), y.max())}",
            f"Source: {self.source_name}",
        ]

    __repr__ = __str__


class CharacterDataModule(BaseDataModule):
    """Single characters from a prepared file, split into train, val and test.

    Parameters
    ----------
    source : {"auto", "full", "sample"}
        As for `EMNIST`.
    augment : bool
        Whether training images are changed at random (`augment`).
    **loading
        `batch_size` and `num_workers`, as for `BaseDataModule`.
    """

    dims = (1, 28, 28)
    output_dims = (1,)
    labels_used: range  # of those of the file

    def __init__(self, source: str = "auto", augment: bool = False, **loading: int):
        super().__init__(**loading)
        self.source = check_choice("source", source, prepared.IMAGE_SOURCES)
        self.augment = check_bool("augment", augment)

    def choose(self, labels: np.ndarray) -> np.ndarray:
        """Return which images of a part are used, by their labels, uint8: int64 (N,)."""
        return np.flatnonzero(np.isin(labels, self.labels_used))

    def count_train(self, count: int) -> int:
        """Return how many of the train part's images are to train on; the rest validates."""
        return int(0.8 * count)

    def read(self, file: prepared.PreparedFile) -> None:
        chosen, labels = self._choose_from(file, "train")
        order = torch.randperm(len(chosen), generator=torch.Generator().manual_seed(SEED))
        # Split as by torch's random_split.
        images, labels = file.read_images("train", chosen[order]), labels[order]
        num_train = self.count_train(len(chosen))
        self.data_train = BatchedDataset(images[:num_train], labels[:num_train], self.augment)
        self.data_val = BatchedDataset(images[num_train:], labels[num_train:])
        chosen, labels = self._choose_from(file, "test")
        self.data_test = BatchedDataset(file.read_images("test", chosen), labels)

    def _choose_from(self, file: prepared.PreparedFile, part: str) -> tuple:
        """Return which images of a part are used, int64 (N,), and their classes, int64 (N,)."""
        labels = file.read_labels(part)
        chosen = self.choose(labels)
        classes = labels[chosen].astype(np.int64) - MAPPING.index(self.mapping[0])
        return chosen, torch.from_numpy(classes)
