"""What all data modules share: a data set in memory, and loaders that fetch whole batches."""

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset, Sampler, random_split

from lab_utils.data import hdf5
from lab_utils.data.augment import augment
from lab_utils.errors import LabError
from lab_utils.randomness import SEED


class CharacterDataset(Dataset):
    """Images and labels in memory, fetched by the batch.

    An item is a float32 tensor (1, 28, 28) in [0, 1] and an int. A `DataLoader` asks for all
    items of a batch at once (`__getitems__`): one indexing of a uint8 tensor and one conversion,
    where the usual data set converts and stacks image by image.

    Parameters
    ----------
    images : torch.Tensor
        uint8, (N, 28, 28).
    labels : torch.Tensor
        int64, (N,).
    augment : bool
        Whether each image is changed at random whenever it is fetched (`lab_utils.augment`).
    """

    def __init__(self, images: torch.Tensor, labels: torch.Tensor, augment: bool = False):
        self.images = images
        self.labels = labels
        self.augment = augment

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        images, labels = self.__getitems__([index])
        return images[0], int(labels)

    def __getitems__(self, indices: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a whole batch: float32 (B, 1, 28, 28) and int64 (B,)."""
        chosen = torch.as_tensor(indices)
        images = self.images.index_select(0, chosen)  # ten times as fast as images[chosen]
        if self.augment:
            images = augment(images)
        return images.unsqueeze(1).float().div_(255), self.labels.index_select(0, chosen)


def _already_a_batch(batch):
    return batch


class BaseDataModule(pl.LightningDataModule):
    """What all data modules share: their loaders, their configuration and how they print.

    Parameters
    ----------
    batch_size : int
        Images a batch.
    num_workers : int
        Processes that fetch batches; 0 is fastest here, since a batch is one indexing.
    """

    mapping: list[str]
    dims: tuple[int, ...]
    output_dims: tuple[int, ...]

    def __init__(self, batch_size: int = 128, num_workers: int = 0):
        super().__init__()
        for name, value, least in (("batch_size", batch_size, 1), ("num_workers", num_workers, 0)):
            if not isinstance(value, int) or value < least:
                raise LabError(f"{name}={value!r} must be a whole number of {least} or more.")
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.data_train = self.data_val = self.data_test = None

    def config(self) -> dict:
        """Return what a model must know of the data: `input_dims`, `output_dims`, `mapping`."""
        return {"input_dims": self.dims, "output_dims": self.output_dims, "mapping": self.mapping}

    def train_dataloader(self) -> DataLoader:
        # Overfitting on purpose takes the same few batches in every epoch.
        overfits = self.trainer is not None and self.trainer.overfit_batches > 0
        return self._loader(self.data_train, shuffle=not overfits)

    def val_dataloader(self) -> DataLoader:
        return self._loader(self.data_val)

    def test_dataloader(self) -> DataLoader:
        return self._loader(self.data_test)

    def _loader(
        self, dataset: Dataset | None, shuffle: bool = False, sampler: Sampler | None = None
    ) -> DataLoader:
        if dataset is None:
            name = type(self).__name__
            raise LabError(f"{name} has no data yet: call prepare_data() and setup() first.")
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            shuffle=shuffle,
            sampler=sampler,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            collate_fn=_already_a_batch,
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
        if self.data_train is None:
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


class _CharacterData(BaseDataModule):
    """Single characters from a prepared file, split into train, val and test."""

    dims = (1, 28, 28)
    output_dims = (1,)

    def __init__(self, source: str = "auto", augment: bool = False, **loading):
        super().__init__(**loading)
        if source not in hdf5.SOURCES:
            raise LabError(f"source={source!r} must be one of {', '.join(hdf5.SOURCES)}.")
        self.source = source
        self.augment = augment
        self.source_name = None
        self.file = None

    def prepare_data(self) -> None:
        """Make sure that the images are there: prepared, fetched, or the bundled sample.

        Raises
        ------
        LabError
            If local files are damaged, or `source="full"` and the download failed.
        """
        self.file = self.file or self._locate()  # Lightning asks again before each fit and test

    def setup(self, stage: str | None = None) -> None:
        """Read the images that were prepared into `data_train`, `data_val` and `data_test`."""
        if self.data_train is not None:  # Lightning calls again before each of fit and test
            return
        self.prepare_data()
        self.source_name = hdf5.read_source(self.file)
        labels, chosen = self._choose("train")
        num_train = self._num_train(len(chosen))
        split = torch.Generator().manual_seed(SEED)
        train, val = random_split(chosen, [num_train, len(chosen) - num_train], split)
        self.data_train = self._read("train", labels, chosen[train.indices], self.augment)
        self.data_val = self._read("train", labels, chosen[val.indices])
        self.data_test = self._read("test", *self._choose("test"))

    def _read(
        self, part: str, labels: np.ndarray, indices: np.ndarray, augment: bool = False
    ) -> CharacterDataset:
        images = hdf5.read_images(self.file, part, indices)
        chosen = torch.from_numpy(labels[indices].astype(np.int64))
        return CharacterDataset(images, chosen, augment)
