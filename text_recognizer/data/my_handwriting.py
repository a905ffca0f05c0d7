"""Your own labelled drawings: a text file with one of them a line, and a data module of them.

A line of `my_handwriting.jsonl` is an object in JSON:

    character   what was drawn: one of the 62 letters and digits
    strokes     how: of each stroke its `pointer` and its `points` [x, y, milliseconds, pressure]
    image       what the network saw, as the address of a PNG: a browser shows it
    crc32       of the other three, by which a changed line is noticed

The image is kept because it cannot always be made of the strokes again: a canvas may have a
preparation of its own. Files can be joined line by line, and may hold more than these four.
"""

import base64
import functools
import io
import json
import os
import re
import zlib
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from text_recognizer.data.base_data_module import BaseDataModule, CharacterDataset
from text_recognizer.errors import LabError, cannot_write, check_bool, check_int, show
from text_recognizer.files import whole_file
from text_recognizer.mapping import CHARACTERS, MAPPING
from text_recognizer.paths import data_dir, write_whole
from text_recognizer.strokes import Stroke

FILE = "my_handwriting.jsonl"
PNG_ADDRESS = "data:image/png;base64,"


class Drawing(NamedTuple):
    """A labelled drawing: its character, its strokes, and the image (uint8, 28x28) made of them."""

    character: str
    strokes: list[Stroke]
    image: np.ndarray

    def compute_checksum(self) -> int:
        """Return the CRC-32 of all that a drawing holds, however it is written down."""
        checksum = zlib.crc32(self.image.tobytes(), zlib.crc32(self.character.encode()))
        for stroke in self.strokes:
            checksum = zlib.crc32(stroke.pointer.encode(), checksum)
            checksum = zlib.crc32(np.array(stroke, "<f8").tobytes(), checksum)
        return checksum


def _write_line(drawing: Drawing) -> bytes:
    png = io.BytesIO()
    Image.fromarray(drawing.image).save(png, format="PNG")
    strokes = [
        {
            "pointer": stroke.pointer,
            "points": [[int(v) if v.is_integer() else v for v in point] for point in stroke],
        }
        for stroke in drawing.strokes
    ]
    fields = {
        "character": drawing.character,
        "strokes": strokes,
        "image": PNG_ADDRESS + base64.b64encode(png.getvalue()).decode(),
        "crc32": drawing.compute_checksum(),
    }
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def _read_line(line: bytes) -> Drawing:
    """Return the drawing of a line; whatever error it may be where it is none, or has changed."""
    fields = json.loads(line)
    strokes = [Stroke(stroke["points"], stroke["pointer"]) for stroke in fields["strokes"]]
    png = base64.b64decode(fields["image"].removeprefix(PNG_ADDRESS), validate=True)
    with Image.open(io.BytesIO(png), formats=["PNG"]) as picture:
        if (picture.mode, picture.size) != ("L", (28, 28)):
            raise ValueError("an image of another kind")
        drawing = Drawing(fields["character"], strokes, np.array(picture))
    if drawing.character not in CHARACTERS or fields["crc32"] != drawing.compute_checksum():
        raise ValueError("it has changed")
    return drawing


def handwriting_file(path: str | os.PathLike | None = None) -> Path:
    """Return the file that drawings are kept in: the given one, else `my_handwriting.jsonl`.

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
    """Append a drawing to the file.

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
        The number of lines in the file.

    Raises
    ------
    LabError
        If the character is none of the 62, or the file holds something else or cannot be written.
    """
    if character not in CHARACTERS:
        raise LabError(
            f"{show(character)} is not one of the 62 characters: give a letter or a digit."
        )
    line = _write_line(Drawing(character, strokes, image.numpy()))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file.lock(path), open(path, "a+b", buffering=0) as file:
            file.seek(0)
            before = file.read()
            _check_content(path, before)
            if before and not before.endswith(b"\n"):
                line = b"\n" + line  # the last drawing was cut off
            _append(file, line)
            return (before + line).count(b"\n")
    except OSError as error:
        raise cannot_write(path, error) from None


def _append(file: io.FileIO, line: bytes) -> None:
    """Write a line in one go, so that it stays whole even on a drive without locks."""
    size = os.fstat(file.fileno()).st_size
    try:
        rest = line
        while rest:
            rest = rest[file.write(rest) :]
        os.fsync(file.fileno())
    except OSError:
        file.truncate(size)  # half a line is of no use to anybody
        raise


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
    if strokes is not None and not path.exists():
        return 0
    with whole_file.lock(path):
        lines = _read_lines(path)
        found = [(at, drawing) for at, (_, drawing) in enumerate(lines) if drawing]
        if strokes is not None:
            same = [i for i, (_, drawing) in enumerate(found) if drawing.strokes == strokes]
            if not same:
                return len(found)
            number = same[-1]
        if not found:
            raise _no_drawings(path)
        last = len(found) - 1
        number = last if number is None else check_int("number", number, 0, last)
        del lines[found[number][0]]
        if lines:
            write_whole(path, b"".join(line + b"\n" for line, _ in lines))
            return last
        try:
            path.unlink()
        except OSError as error:
            raise cannot_write(path, error) from None
        return 0


def _read(path: Path) -> list[Drawing]:
    """Return the drawings of a file; say which lines are left out because they are damaged."""
    lines = _read_lines(path)
    damaged = [str(number) for number, (_, drawing) in enumerate(lines, 1) if drawing is None]
    if damaged:
        _say_once(f"{path}: left out, as cut off or damaged: line {', '.join(damaged)}.")
    return [drawing for _, drawing in lines if drawing]


def _read_lines(path: Path) -> list[tuple[bytes, Drawing | None]]:
    """Return the lines of a file with the drawings in them; None stands for one that is damaged."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise LabError(f"{path} cannot be read ({error.strerror or error}).") from None
    _check_content(path, content)
    found: list[tuple[bytes, Drawing | None]] = []
    for line in filter(bytes.strip, content.split(b"\n")):
        try:
            found.append((line, _read_line(line)))
        except Exception:  # noqa: BLE001 - a changed byte makes JSON and Pillow raise many kinds
            found.append((line, None))
    return found


def _check_content(path: Path, content: bytes) -> None:
    """Refuse a file of another kind, which would be lost among drawings, and they in it."""
    if content.strip() and not re.search(rb'^\{.*"character"', content, re.MULTILINE):
        raise LabError(
            f"{path} is damaged (it holds something other than drawings): move it away or delete "
            "it, and draw again."
        )


def _no_drawings(path: Path) -> LabError:
    return LabError(f"{path} holds no drawings yet: draw on a canvas and label it first.")


@functools.cache
def _say_once(message: str) -> None:
    print(message)


class MyHandwriting(BaseDataModule):
    """Your own drawings, those of the canvas that you labelled.

    Of each character the first, third, fifth... drawing are to train on; the second, sixth,
    tenth... are to test and the fourth, eighth... to validate. So a drawing stays on its side
    when others are added.

    Parameters
    ----------
    path : path, optional
        The file, `my_handwriting.jsonl` in `data_dir()` where none is given.
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

    def prepare_data(self) -> None:
        """Do nothing: drawings need no preparation."""

    def setup(self, stage: str | None = None) -> None:
        """Read the drawings into `data_train`, `data_val` and `data_test`.

        Raises
        ------
        LabError
            If there are none, or the file is damaged.
        """
        drawings = _read(self.path)
        if not drawings:
            raise _no_drawings(self.path)
        self.strokes = [drawing.strokes for drawing in drawings]
        self.images = torch.from_numpy(np.stack([drawing.image for drawing in drawings]))
        self.labels = torch.tensor([MAPPING.index(drawing.character) for drawing in drawings])
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
        drawn = Counter(drawing.character for drawing in _read(self.path))
        wanted = dict.fromkeys(characters)
        return "".join(c for turn in range(each) for c in wanted if drawn[c] <= turn)

    def _part(self, chosen: torch.Tensor, augment: bool = False) -> CharacterDataset:
        return CharacterDataset(self.images[chosen], self.labels[chosen], augment)
