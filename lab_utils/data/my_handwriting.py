"""Your own labelled drawings: kept one by one in an HDF5 file, and a data module of them.

Layout of `my_handwriting.h5`, in the order in which they were drawn:

    x         uint8, (N, 28, 28), as the network saw them
    y         uint8, (N,), indices into the 83-entry mapping
    strokes   text, (N,), the strokes, from which everything else can be made again
"""

import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import torch
from filelock import FileLock

from lab_utils.data.base import BaseDataModule, CharacterDataset
from lab_utils.errors import LabError, cannot_write
from lab_utils.mapping import CHARACTERS, MAPPING
from lab_utils.paths import data_dir
from lab_utils.strokes import Stroke, decode, encode

FILE = "my_handwriting.h5"


def handwriting_file(path: str | os.PathLike | None = None) -> Path:
    """Return the file that drawings are kept in: the given one, else `my_handwriting.h5`."""
    return Path(path) if path is not None else data_dir() / FILE


def save_drawing(path: Path, character: str, strokes: list[Stroke], image: torch.Tensor) -> int:
    """Append a drawing to the file, which always holds all of its drawings or one more.

    Parameters
    ----------
    path : Path
        The file; made if it does not exist.
    character : str
        What was drawn: a letter or a digit.
    strokes : list of Stroke
        How it was drawn.
    image : torch.Tensor
        uint8, (28, 28), what was read.

    Returns
    -------
    int
        The number of drawings in the file.

    Raises
    ------
    LabError
        If the character is none of the 62, or the file is damaged or cannot be written.
    """
    if character not in CHARACTERS:
        raise LabError(f"{character!r} is not one of the 62 characters: give a letter or a digit.")
    partial = path.with_name(path.name + ".partial")
    new = (image.numpy(), MAPPING.index(character), " ".join(map(encode, strokes)))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            try:
                if path.exists():
                    if not h5py.is_hdf5(path):
                        raise _damaged(path, "it is not an HDF5 file")
                    shutil.copyfile(path, partial)
                count = _append(partial, new)
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from None
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise _damaged(path, error) from None
    return count


def _append(path: Path, new: tuple) -> int:
    with h5py.File(path, "a") as file:
        if not len(file):
            layout = {"chunks": True, "compression": "gzip"}
            file.create_dataset("x", (0, 28, 28), np.uint8, maxshape=(None, 28, 28), **layout)
            file.create_dataset("y", (0,), np.uint8, maxshape=(None,))
            file.create_dataset("strokes", (0,), h5py.string_dtype(), maxshape=(None,))
        count = len(file["y"])
        for name, value in zip(("x", "y", "strokes"), new, strict=True):
            file[name].resize(count + 1, axis=0)
            file[name][count] = value
    return count + 1


def _damaged(path: Path, error: Exception | str) -> LabError:
    return LabError(f"{path} is damaged ({error}): move it away or delete it, and draw again.")


class MyHandwriting(BaseDataModule):
    """Your own drawings, those of the canvas that you labelled.

    Of each character the first, third, fifth... drawing are to train on; the second, sixth,
    tenth... are to test and the fourth, eighth... to validate. So a drawing stays on its side
    when others are added.

    Parameters
    ----------
    path : path, optional
        The file, `my_handwriting.h5` in `data_dir()` where none is given.
    augment : bool
        Whether training images are changed at random (`lab_utils.augment`).
    **loading
        `batch_size` and `num_workers`, as for `BaseDataModule`.

    Attributes
    ----------
    strokes : list of list of Stroke
        Of each drawing, in the order in which they were drawn.
    images, labels : torch.Tensor
        uint8 (N, 28, 28) and int64 (N,), in the same order.
    """

    mapping = MAPPING
    dims = (1, 28, 28)
    output_dims = (1,)

    def __init__(self, path: str | os.PathLike | None = None, augment: bool = False, **loading):
        super().__init__(**loading)
        self.augment = augment
        self.path = handwriting_file(path)
        self.source_name = f"drawings in {self.path.name}"

    def setup(self, stage: str | None = None) -> None:
        """Read the drawings into `data_train`, `data_val` and `data_test`.

        Raises
        ------
        LabError
            If there are none, or the file is damaged.
        """
        if not self.path.exists():
            raise LabError(f"{self.path} does not exist yet: draw on a canvas and label it first.")
        try:
            with h5py.File(self.path, "r", locking=False) as file:
                self.images = torch.from_numpy(file["x"][:])
                self.labels = torch.from_numpy(file["y"][:].astype(np.int64))
                texts = file["strokes"].asstr()[:]
            self.strokes = [[decode(stroke) for stroke in text.split()] for text in texts]
        except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
            raise _damaged(self.path, error) from None
        earlier = (self.labels[:, None] == self.labels).tril(-1).sum(1)
        test, val = earlier % 4 == 1, earlier % 4 == 3
        self.data_train = self._part(~(test | val), self.augment)
        self.data_val, self.data_test = self._part(val), self._part(test)

    def _part(self, chosen: torch.Tensor, augment: bool = False) -> CharacterDataset:
        return CharacterDataset(self.images[chosen], self.labels[chosen], augment)
