"""Reads EMNIST and MNIST as they are published (IDX or MATLAB files) as streams of images."""

import contextlib
import gzip
import itertools
import math
import os
import re
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from text_recognizer.errors import WrongFileError, shorten
from text_recognizer.files import matlab
from text_recognizer.files.matlab import Readable, read_exactly
from text_recognizer.mapping import FIRST_CHARACTER
from text_recognizer.paths import open_regular

BLOCK_IMAGES = 8192  # images at a time: 6 MB, whatever the size of the archive
MAX_IMAGES = 2_000_000  # of a part: a header that says more is wrong, and would take memory
MAX_DEPTH, MAX_FOLDERS, MAX_WALKED = 3, 50, 500  # folders in which files are looked for
IDX_KINDS = ("images-idx3", "labels-idx1")
MATLAB_MEMBER = "emnist-byclass.mat"
EMNIST_ARCHIVES = ("gzip-zip", "matlab-zip", "emnist-byclass-zip", "emnist-byclass-mat")
# What readers raise at the bytes of a wrong file, or of a right one that has changed.
BROKEN = (
    *(ValueError, LookupError, RuntimeError, OverflowError, EOFError, MemoryError),
    *(struct.error, zlib.error, zipfile.BadZipFile, gzip.BadGzipFile),
)


class Part(NamedTuple):
    """One part of a data set, to be read once and in order."""

    name: str  # "train" or "test"
    labels: np.ndarray  # uint8, (N,), indices into the mapping: the archive's own class plus 4
    images: Iterator[np.ndarray]  # blocks of uint8, (up to 8192, 28, 28), white ink on black


class Form(NamedTuple):
    """How a data set is published."""

    expected: str  # what its files are, in words
    prefix: str  # of the names of its IDX files
    parts: tuple[str, str]  # train and test, in these names
    num_classes: int
    is_transposed: bool


EMNIST = Form("NIST's gzip.zip or matlab.zip", "emnist-byclass-", ("train", "test"), 62, True)
MNIST = Form("one of MNIST's four files", "", ("train", "t10k"), 10, False)


def read_emnist(path: Path) -> Iterator[Part]:
    """Stream the ByClass parts of NIST's `gzip.zip` or `matlab.zip`.

    The path is that of the archive, of its `emnist-byclass.mat`, or of a folder in which either was
    unpacked or lies. Nothing is extracted, so no name inside the archive can lead outside a folder.
    A file that is missing, unreadable, truncated, damaged or another one raises WrongFileError.
    """
    with _name_errors(path, EMNIST):
        files = find_files(path)
        if f"{EMNIST.prefix}train-images-idx3-ubyte" in files:
            yield from _read_folder(path, files, EMNIST)
        elif inner := next(filter(None, map(files.get, EMNIST_ARCHIVES)), None):
            yield from read_emnist(inner)
        else:
            with open_regular(path) as file:
                is_matlab = path.suffix.lower() == ".mat"
                yield from _read_matlab(path, file) if is_matlab else _read_zip(path, file)


def read_mnist(folder: Path) -> Iterator[Part]:
    """Stream MNIST's four official files, gzip-compressed or not, from `folder` or one in it."""
    with _name_errors(folder, MNIST):
        if folder.is_file():
            raise WrongFileError(f"{folder} is a file: name the folder of MNIST's four files.")
    yield from _read_folder(folder, find_files(folder), MNIST)


def find_files(folder: Path) -> dict[str, Path]:
    """Return the files of a folder and of folders in it, by their official names in one spelling.

    Browsers, 7-Zip, torchvision and Kaggle change them: `train-images.idx3-ubyte`, unpacked under
    a name in `.gz`, `t10k-labels-idx1-ubyte (1).gz`, and in folders such as `MNIST/raw`.
    """
    found: dict[str, Path] = {}
    # Those near the top come first, and originals before copies.
    for path in sorted(walk(folder), key=lambda path: (len(path.parts), "(" in path.name, path)):
        name = re.sub(r"( ?\(\d+\)|\.gz)+$", "", path.name.lower())
        found.setdefault(re.sub("[_. ]", "-", name), path)
    return found


def walk(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder and of folders in it, as far as data sets may lie: not a disk."""
    for place, folders, names in itertools.islice(os.walk(folder), MAX_WALKED):
        depth = len(Path(place).relative_to(folder).parts)
        folders[:] = sorted(folders)[:MAX_FOLDERS] if depth < MAX_DEPTH else []
        yield from (Path(place, name) for name in names)


def _read_parts(form: Form, open_idx: Callable) -> Iterator[Part]:
    for official, name in zip(form.parts, ("train", "test"), strict=True):
        images, labels = (f"{form.prefix}{official}-{kind}-ubyte" for kind in IDX_KINDS)
        with open_idx(images) as (path, image_stream):
            with open_idx(labels) as (_, label_stream):
                (label_block,) = _read_idx(label_stream, ndim=1)
                part = _finish(name, label_block, _read_idx(image_stream, ndim=3), form, path)
            yield part


def _read_folder(folder: Path, files: dict[str, Path], form: Form) -> Iterator[Part]:
    @contextlib.contextmanager
    def open_idx(name: str):
        path = files.get(name, folder / name)
        with _name_errors(path, form), open_regular(path) as file:
            is_packed = file.read(2) == b"\x1f\x8b"  # whatever its name says
            file.seek(0)
            with gzip.open(file) if is_packed else contextlib.nullcontext(file) as stream:
                yield path, stream

    return _read_parts(form, open_idx)


def _read_zip(path: Path, file: BinaryIO) -> Iterator[Part]:
    archive, usual = zipfile.ZipFile(file), (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    packed_as_usual = [info for info in archive.infolist() if info.compress_type in usual]
    members = {info.filename.rsplit("/", 1)[-1]: info for info in packed_as_usual}

    @contextlib.contextmanager
    def open_idx(name: str):
        if (member := f"{name}.gz") not in members:
            raise ValueError(f"it holds no {member}")
        with archive.open(members[member]) as packed, gzip.open(packed) as stream:
            yield path, stream

    if MATLAB_MEMBER in members:
        return _read_matlab(path, archive.open(members[MATLAB_MEMBER]))
    return _read_parts(EMNIST, open_idx)


def _finish(
    name: str, labels: np.ndarray, blocks: Iterator[np.ndarray], form: Form, path: Path
) -> Part:
    """Turn images upright and labels into those of the mapping; refuse what does not fit."""
    if labels.max() >= form.num_classes:
        raise ValueError(f"its {name} labels are not 0 to {form.num_classes - 1}")

    def images():
        missing = len(labels)
        with _name_errors(path, form):
            for block in blocks:
                missing -= len(block)
                if missing < 0:
                    break
                yield np.ascontiguousarray(block.swapaxes(1, 2)) if form.is_transposed else block
            if missing:
                raise ValueError(f"its {name} images are not as many as its labels")

    return Part(name, labels + np.uint8(FIRST_CHARACTER), images())


@contextlib.contextmanager
def _name_errors(path: Path, form: Form):
    """Turn whatever a damaged file makes the readers raise into one sentence with its name."""
    try:
        yield
    except BROKEN as error:
        raise WrongFileError(
            f"{path} is damaged, or not {form.expected} ({shorten(error)}): get it again."
        ) from None
    except OSError as error:
        raise WrongFileError(
            f"{path} cannot be read ({error.strerror or error}); it should be {form.expected}."
        ) from None


# IDX, MNIST's format: a header of two zero bytes, the type (8 is uint8), the number of dimensions
# and each dimension as a big-endian 32-bit number; then the values.


def _read_idx(stream: Readable, ndim: int) -> Iterator[np.ndarray]:
    """Yield the array in blocks along its first dimension (labels: all in one block)."""
    magic = read_exactly(stream, 4)
    if magic != bytes([0, 0, 8, ndim]):
        raise ValueError(f"not an IDX file of {ndim}-dimensional bytes")
    length, *item_shape = struct.unpack(f">{ndim}I", read_exactly(stream, 4 * ndim))
    if item_shape not in ([], [28, 28]):
        raise ValueError("its images are not 28 x 28")
    if length > MAX_IMAGES:
        raise ValueError(f"its header speaks of {length:,} items")
    block = length if ndim == 1 else BLOCK_IMAGES
    for start in range(0, length, max(block, 1)):
        count = min(block, length - start)
        values = read_exactly(stream, count * math.prod(item_shape))
        yield np.frombuffer(values, np.uint8).reshape(count, *item_shape)
    if stream.read(1):  # reading up to the end also makes gzip and zip check their own CRC
        raise ValueError("more values than its header says")


def _read_matlab(path: Path, stream: Readable) -> Iterator[Part]:
    """Yield train and test of `emnist-byclass.mat`: dataset.{train,test}.{images,labels}."""
    with tempfile.TemporaryFile() as file:
        found = {names[-2:]: array for names, *array in matlab.read_arrays(stream, file)}
        for name in EMNIST.parts:
            images, labels = (found.get((name, kind)) for kind in ("images", "labels"))
            if not images or not labels or images[0] != "u1" or images[2][1:] != (784,):
                raise ValueError("it holds no train and test images")
            label_block = np.memmap(file, labels[0], "r", *labels[1:]).reshape(-1).astype(np.uint8)
            yield _finish(name, label_block, _read_rows(file, *images[1:]), EMNIST, path)


def _read_rows(file: BinaryIO, place: int, shape: tuple[int, int]) -> Iterator[np.ndarray]:
    """Yield images from a file that holds pixel 0 of all of them, then pixel 1 and so on."""
    for start in range(0, shape[0], BLOCK_IMAGES):
        pixels = np.empty((784, min(BLOCK_IMAGES, shape[0] - start)), np.uint8)
        for pixel, row in enumerate(pixels):
            file.seek(place + pixel * shape[0] + start)
            row[:] = np.frombuffer(read_exactly(file, len(row)), np.uint8)
        yield pixels.T.reshape(-1, 28, 28)
