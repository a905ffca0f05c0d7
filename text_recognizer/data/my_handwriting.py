"""Your own labelled drawings: kept one by one in an HDF5 file, and a data module of them.

Layout of `my_handwriting.h5`, in the order in which they were drawn:

    x         uint8, (N, 28, 28), as the network saw them
    y         uint8, (N,), indices into the 83-entry mapping
    strokes   text, (N,), the strokes, from which everything else can be made again
"""

import os
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import torch

from text_recognizer.data.base_data_module import BaseDataModule, CharacterDataset
from text_recognizer.errors import LabError, cannot_write, check_bool, check_int, shorten, show
from text_recognizer.files import whole_file
from text_recognizer.mapping import CHARACTER_LABELS, CHARACTERS, MAPPING
from text_recognizer.paths import data_dir
from text_recognizer.strokes import Stroke, decode, encode

FILE = "my_handwriting.h5"
UNREADABLE = (KeyError, OSError, RuntimeError, TypeError, ValueError, AttributeError)


def handwriting_file(path: str | os.PathLike | None = None) -> Path:
    """Return the file that drawings are kept in: the given one, else `my_handwriting.h5`.

    Raises
    ------
    LabError
        If it is not a path, or that of a folder.
    """
    if path is None:
        return data_dir() / FILE
    if not isinstance(path, str | os.PathLike):
        raise LabError(f"{show(path)} is not the path of a file.")
    path = Path(path)
    try:
        is_folder, is_other = path.is_dir(), path.exists() and not path.is_file()
    except OSError as error:  # such as a name that is too long
        raise LabError(f"{path} is not the path of a file ({error.strerror}).") from None
    if not path.name or is_folder:
        raise LabError(f"{path} is a folder: give the path of a file in it, such as {path / FILE}.")
    if is_other:
        raise LabError(f"{path} is a pipe or a device: give the path of a file.")
    return path


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
        raise LabError(
            f"{show(character)} is not one of the 62 characters: give a letter or a digit."
        )
    new = (image.numpy(), MAPPING.index(character), " ".join(map(encode, strokes)))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file.lock(path):
            is_new = not path.exists()
            if not is_new:
                _read(path)
            with whole_file.create(path, None if is_new else path) as (file, _):
                return _append(file, new)
    except OSError as error:
        raise cannot_write(path, error) from None


def remove_drawing(
    path: Path, number: int | None = None, strokes: list[Stroke] | None = None
) -> int:
    """Remove one drawing from the file, which always holds all of its drawings or one less.

    Parameters
    ----------
    path : Path
        The file; it is deleted along with its last drawing.
    number : int, optional
        Which drawing, in the order in which they were drawn; the last one if none is given.
    strokes : list of Stroke, optional
        The last drawing with these strokes, instead; where there is none, nothing is removed.

    Returns
    -------
    int
        The number of drawings that are left.

    Raises
    ------
    LabError
        If there is no such drawing, or the file is missing, damaged or cannot be written.
    """
    try:
        if strokes is not None and not path.exists():
            return 0
        with whole_file.lock(path):
            _, labels, drawings = _read(path)
            count = len(labels)
            if strokes is not None:
                same = [i for i, drawing in enumerate(drawings) if drawing == strokes]
                if not same:
                    return count
                number = same[-1]
            number = count - 1 if number is None else check_int("number", number, 0, count - 1)
            if count == 1:
                path.unlink()
                return 0
            with whole_file.create(path, path) as (file, _):
                for name in ("x", "y", "strokes"):
                    after = file[name][number + 1 :]
                    file[name].resize(count - 1, axis=0)
                    if len(after):
                        file[name][number:] = after
            return count - 1
    except OSError as error:
        raise cannot_write(path, error) from None


def _append(file: h5py.File, new: tuple) -> int:
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


def _read(path: Path) -> tuple[np.ndarray, np.ndarray, list[list[Stroke]]]:
    """Return the images, labels and strokes of a file, checked."""
    if not path.exists():
        raise LabError(f"{path} does not exist yet: draw on a canvas and label it first.")
    try:
        with whole_file.open_checked(path) as file:
            stored = [file[name] for name in ("x", "y", "strokes")]
            count = len(stored[1])
            shapes = [thing.shape for thing in stored]
            if shapes != [(count, 28, 28), (count,), (count,)] or count > path.stat().st_size:
                raise ValueError(f"arrays in the shapes {', '.join(map(str, shapes))}")
            images, labels, texts = stored[0][:], stored[1][:], stored[2].asstr()[:]
        if images.dtype != np.uint8 or not set(labels.tolist()) <= set(CHARACTER_LABELS):
            raise ValueError("labels that are no letter or digit")
        return images, labels, [[decode(stroke) for stroke in text.split()] for text in texts]
    except (*UNREADABLE, whole_file.DamagedFileError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception | str) -> LabError:
    reason = error if isinstance(error, str) else shorten(error)
    return LabError(f"{path} is damaged ({reason}): move it away or delete it, and draw again.")


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
        Whether training images are changed at random (`augment`).
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
        self.augment = check_bool("augment", augment)
        self.path = handwriting_file(path)
        self.source_name = f"drawings in {self.path.name}"

    def setup(self, stage: str | None = None) -> None:
        """Read the drawings into `data_train`, `data_val` and `data_test`.

        Raises
        ------
        LabError
            If there are none, or the file is damaged.
        """
        images, labels, self.strokes = _read(self.path)
        self.images = torch.from_numpy(images)
        self.labels = torch.from_numpy(labels.astype(np.int64))
        earlier = (self.labels[:, None] == self.labels).tril(-1).sum(1)
        test, val = earlier % 4 == 1, earlier % 4 == 3
        self.data_train = self._part(~(test | val), self.augment)
        self.data_val, self.data_test = self._part(val), self._part(test)

    def remove(self, number: int) -> None:
        """Delete a drawing from the file: the one at this place in `images`."""
        self._remove(check_int("number", number, 0))

    def remove_last(self) -> None:
        """Delete the drawing from the file that was saved last."""
        self._remove(None)

    def _remove(self, number: int | None) -> None:
        if remove_drawing(self.path, number):
            self.setup()
        else:
            print(f"{self.path.name} is deleted: there was only this drawing in it.")

    def find_missing(self, characters: str, each: int) -> str:
        """Return what is still to be drawn until the file holds `each` drawings of each character.

        Parameters
        ----------
        characters : str
            The characters wanted.
        each : int
            How many drawings of each.

        Returns
        -------
        str
            As for `HandwritingCanvas(ask=...)`: each round has the characters that are short of it.
        """
        check_int("each", each, 1)
        labels = _read(self.path)[1].tolist() if self.path.exists() else []
        drawn = Counter(MAPPING[label] for label in labels)
        wanted = dict.fromkeys(characters)
        return "".join(c for turn in range(each) for c in wanted if drawn[c] <= turn)

    def _part(self, chosen: torch.Tensor, augment: bool = False) -> CharacterDataset:
        return CharacterDataset(self.images[chosen], self.labels[chosen], augment)
