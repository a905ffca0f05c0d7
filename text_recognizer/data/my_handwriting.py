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

from text_recognizer.data.base_data_module import BaseDataModule, BatchedDataset
from text_recognizer.errors import LabError, cannot_write, check_bool, check_int, show
from text_recognizer.files import whole_file
from text_recognizer.files.prepared import say_once
from text_recognizer.language import _
from text_recognizer.mapping import CHARACTERS, MAPPING
from text_recognizer.paths import own_dir, write_whole
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

    def to_line(self) -> bytes:
        """Return the line of a file that holds a drawing."""
        png = io.BytesIO()
        Image.fromarray(self.image).save(png, format="PNG")
        strokes = []
        for stroke in self.strokes:
            points = [[int(v) if v.is_integer() else v for v in point] for point in stroke]
            strokes.append({"pointer": stroke.pointer, "points": points})
        image = PNG_ADDRESS + base64.b64encode(png.getvalue()).decode()
        fields: dict[str, object] = {"character": self.character, "strokes": strokes}
        fields |= {"image": image, "crc32": self.compute_checksum()}
        return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def _read_line(line: bytes) -> Drawing | None:
    """Return the drawing that a line holds; None where the line has changed since."""
    try:
        fields = json.loads(line)
        strokes = [Stroke(stroke["points"], stroke["pointer"]) for stroke in fields["strokes"]]
        png = base64.b64decode(fields["image"].removeprefix(PNG_ADDRESS), validate=True)
        image = np.array(Image.open(io.BytesIO(png), formats=["PNG"]))
        drawing = Drawing(fields["character"], strokes, image)
        is_right = image.shape == (28, 28) and drawing.character in CHARACTERS
        return drawing if is_right and fields["crc32"] == drawing.compute_checksum() else None
    except Exception:  # noqa: BLE001 - a changed byte makes JSON and Pillow raise many kinds
        return None


def handwriting_file(path: str | os.PathLike | None = None) -> Path:
    """Return the file that drawings are kept in: the given one, else `my_handwriting.jsonl`."""
    if path is None:
        return own_dir() / FILE
    try:
        found = Path(path)
        is_folder, is_file = found.is_dir(), found.is_file() or not found.exists()
    except (OSError, TypeError):  # such as a name that is too long
        raise LabError(f"{show(path)} is not the path of a file.") from None
    if not is_file:
        kind = _("a folder" if is_folder else "a pipe or a device")
        raise LabError(f"{found} is {kind}: give the path of a file, such as {own_dir() / FILE}.")
    return found


def save_drawing(path: Path, character: str, strokes: list[Stroke], image: torch.Tensor) -> int:
    """Append a drawing, with the image (uint8, 28x28) that was read; return the number of lines.

    LabError if the character is none of the 62, or the file is another one or cannot be written.
    """
    if character not in CHARACTERS:
        raise LabError(
            f"{show(character)} is not one of the 62 characters: give a letter or a digit."
        )
    line = Drawing(character, strokes, image.numpy()).to_line()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file.lock(path), open(path, "a+b", buffering=0) as file:
            file.seek(0)
            before = file.read()
            _check_content(path, before)
            if before and not before.endswith(b"\n"):
                line = b"\n" + line  # the last drawing was cut off
            try:
                rest = line  # in one go, so that it stays whole even on a drive without locks
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            except OSError:
                file.truncate(len(before))  # half a line is of no use to anybody
                raise
            return (before + line).count(b"\n")
    except OSError as error:
        raise cannot_write(path, error) from None


def remove_drawing(path: Path, strokes: list[Stroke]) -> int:
    """Remove the last drawing with these strokes, if there is any; return how many are left.

    The file goes with its last line. LabError if it is damaged or cannot be written.
    """
    with whole_file.lock(path):
        lines = _read_lines(path)
        found = [(at, drawing.strokes) for at, (_, drawing) in enumerate(lines) if drawing]
        same = [at for at, drawn in found if drawn == strokes]
        if not same:
            return len(found)
        del lines[same[-1]]
        write_whole(path, b"".join(line + b"\n" for line, _ in lines))
        if not lines:
            path.unlink()
        return len(found) - 1


def _miss_drawings(path: Path) -> LabError:
    return LabError(f"{path} holds no drawings yet: draw on a canvas and label it first.")


def _read(path: Path) -> list[Drawing]:
    """Return the drawings of a file; say which lines are left out because they are damaged."""
    lines = _read_lines(path)
    damaged = [str(number) for number, (_, drawing) in enumerate(lines, 1) if drawing is None]
    if damaged:
        say_once(_(f"Left out of {path}, as cut off or damaged: line {', '.join(damaged)}."))
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
    return [(line, _read_line(line)) for line in content.split(b"\n") if line.strip()]


def _check_content(path: Path, content: bytes) -> None:
    """Refuse a file of another kind before a drawing is written into it."""
    if content.strip() and not re.search(rb'^\{.*"character"', content, re.MULTILINE):
        raise LabError(
            f"{path} is damaged (it holds something other than drawings): move it away or delete "
            "it, and draw again."
        )


class MyHandwriting(BaseDataModule):
    """Your own drawings, those of the canvas that you labelled.

    Taught in notebook 6.

    Of each character the first, third, fifth... drawing are to train on; the second, sixth,
    tenth... are to test and the fourth, eighth... to validate. So a drawing stays on its side
    when others are added.

    Parameters
    ----------
    path : path, optional
        The file, `my_handwriting.jsonl` in `own_dir()`.
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

    Examples
    --------
    >>> from lab_utils import MyHandwriting
    >>> MyHandwriting("new.jsonl").find_missing("4ag", each=2)  # what is still to be drawn
    '4ag4ag'
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
        """Read the drawings; LabError if there are none, or the file is damaged."""
        drawings = _read(self.path)
        if not drawings:
            raise _miss_drawings(self.path)
        self.strokes = [drawing.strokes for drawing in drawings]
        self.images = torch.from_numpy(np.stack([drawing.image for drawing in drawings]))
        self.labels = torch.tensor([MAPPING.index(drawing.character) for drawing in drawings])
        earlier = (self.labels[:, None] == self.labels).tril(-1).sum(1)
        test, val = earlier % 4 == 1, earlier % 4 == 3
        self.data_train = self._part(~(test | val), self.augment)
        self.data_val, self.data_test = self._part(val), self._part(test)

    def find_missing(self, characters: str, each: int) -> str:
        """Return what is still to be drawn until the file holds `each` drawings of each character.

        `HandwritingCanvas(ask=...)` takes it: each round has the characters that are short of it.
        """
        check_int("each", each, 1)
        drawn = Counter(drawing.character for drawing in _read(self.path))
        wanted = dict.fromkeys(characters)
        return "".join(c for turn in range(each) for c in wanted if drawn[c] <= turn)

    def _part(self, chosen: torch.Tensor, augment: bool = False) -> BatchedDataset:
        return BatchedDataset(self.images[chosen], self.labels[chosen], augment)
