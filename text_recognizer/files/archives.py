"""Reads EMNIST and MNIST as they are published (IDX or MATLAB files) as streams of images."""

import contextlib
import errno
import gzip
import itertools
import math
import os
import re
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from text_recognizer.errors import LabError, WrongFileError, shorten
from text_recognizer.files import matlab
from text_recognizer.files.matlab import Readable, read_exactly
from text_recognizer.mapping import FIRST_CHARACTER
from text_recognizer.paths import open_regular

BLOCK_IMAGES = 8192  # images at a time: 6 MB, whatever the size of the archive
MAX_IMAGES = 2_000_000  # of a part: a header that says more is wrong, and would take memory
MAX_DEPTH, MAX_FOLDERS, MAX_WALKED = 3, 50, 500  # folders in which files are looked for
GZIP_MAGIC = b"\x1f\x8b"
IDX_KINDS = ("images-idx3", "labels-idx1")
MATLAB_MEMBER = "emnist-byclass.mat"
EMNIST_ARCHIVES = r"(gzip|matlab|emnist-byclass)\.zip|emnist-byclass\.mat"


class Part(NamedTuple):
    """One part of a data set, to be read once and in order.

    Attributes
    ----------
    name : str
        `"train"` or `"test"`.
    labels : numpy.ndarray
        uint8, shape (N,), indices into the 83-entry mapping: the archive's own class plus 4.
    images : Iterator[numpy.ndarray]
        Blocks of uint8, shape (up to 8192, 28, 28), upright, white ink on black.
    """

    name: str
    labels: np.ndarray
    images: Iterator[np.ndarray]


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
    """Stream the ByClass parts of NIST's `gzip.zip` or `matlab.zip`, whole or cut.

    Nothing is extracted, so no name inside the archive can lead outside a folder.

    Parameters
    ----------
    path : Path
        The archive, its `emnist-byclass.mat`, or a folder in which either was unpacked or lies.

    Raises
    ------
    WrongFileError
        If the file is missing, unreadable, truncated, damaged or another archive.
    """
    with _name_errors(path, EMNIST):
        if path.is_dir():
            if files := find_idx_files(path, EMNIST):
                yield from _read_folder(path, files, EMNIST)
            elif inner := _find(path, EMNIST_ARCHIVES):
                yield from read_emnist(inner)
            else:
                raise WrongFileError(
                    f"{path} is a folder without {EMNIST.expected}: name the file."
                )
            return
        with open_regular(path) as file:
            is_matlab = file.read(6) == b"MATLAB"
            file.seek(0)
            parts = _read_matlab(file) if is_matlab else _read_zip(zipfile.ZipFile(file))
            for part in parts:
                yield _finish(part, EMNIST, path)


def read_mnist(folder: Path) -> Iterator[Part]:
    """Stream MNIST's four official files, gzip-compressed or not, from `folder` or one in it.

    Raises
    ------
    WrongFileError
        If a file is missing, unreadable, truncated, damaged or another file.
    """
    with _name_errors(folder, MNIST):
        if folder.is_file():
            raise WrongFileError(f"{folder} is a file: name the folder of MNIST's four files.")
    yield from _read_folder(folder, find_idx_files(folder, MNIST), MNIST)


def find_idx_files(folder: Path, form: Form) -> dict[str, Path]:
    """Return the IDX files of a folder or of folders in it, by their official names.

    Browsers, 7-Zip, torchvision and Kaggle change them: `train-images.idx3-ubyte`, unpacked under
    a name in `.gz`, `t10k-labels-idx1-ubyte (1).gz`, and in folders such as `MNIST/raw`.
    """
    found = {}
    for part, kind in itertools.product(form.parts, IDX_KINDS):
        words, copy = f"{part}-{kind}-ubyte".split("-"), r"( ?\(\d+\))?"
        if path := _find(folder, rf"{form.prefix}{'[-_. ]'.join(words)}{copy}(\.gz)?{copy}"):
            found[f"{form.prefix}{part}-{kind}-ubyte"] = path
    return found


def _find(folder: Path, pattern: str) -> Path | None:
    """Return the file of such a name that lies nearest to the folder's top: originals first."""
    found = [
        (len(path.parts), "(" in path.name, path.suffix != ".gz", path)
        for path in walk(folder)
        if re.fullmatch(pattern, path.name, re.IGNORECASE)
    ]
    return min(found)[-1] if found else None


def walk(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder and of folders in it, as far as data sets may lie: not a disk."""
    for place, folders, names in itertools.islice(os.walk(folder), MAX_WALKED):
        depth = len(Path(place).relative_to(folder).parts)
        folders[:] = sorted(folders)[:MAX_FOLDERS] if depth < MAX_DEPTH else []
        yield from (Path(place, name) for name in names)


def _read_folder(folder: Path, files: dict[str, Path], form: Form) -> Iterator[Part]:
    """Stream the parts of a folder, labels first, so that an error names the wrong file."""
    for part, name in zip(form.parts, ("train", "test"), strict=True):
        official = [f"{form.prefix}{part}-{kind}-ubyte" for kind in IDX_KINDS]
        images, labels = (files.get(file, folder / file) for file in official)
        with _name_errors(labels, form), _open_idx(labels) as stream:
            (label_block,) = _read_idx(stream, ndim=1)
            _check_labels(label_block, name, form)
        with _name_errors(images, form), _open_idx(images) as stream:
            yield _finish(Part(name, label_block, _read_idx(stream, ndim=3)), form, images)


@contextlib.contextmanager
def _open_idx(path: Path) -> Iterator[Readable]:
    """Open a file, unpacked while it is read if it is packed, whatever its name says."""
    with open_regular(path) as file:
        is_packed = file.read(2) == GZIP_MAGIC
        file.seek(0)
        if not is_packed:
            yield file
            return
        with gzip.open(file) as unpacked:
            yield unpacked


def _read_zip(archive: zipfile.ZipFile) -> Iterator[Part]:
    members = {info.filename.rsplit("/", 1)[-1]: info for info in archive.infolist()}

    def open_member(name: str):
        if name not in members:
            raise ValueError(f"it holds no {name}")
        if members[name].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"it packs {name} in another way")
        return archive.open(members[name])

    if MATLAB_MEMBER in members:
        with open_member(MATLAB_MEMBER) as stream:
            yield from _read_matlab(stream)
        return
    for name in EMNIST.parts:
        images, labels = (f"{EMNIST.prefix}{name}-{kind}-ubyte.gz" for kind in IDX_KINDS)
        with (
            open_member(images) as packed_images,
            open_member(labels) as packed_labels,
            gzip.open(packed_images) as image_stream,
            gzip.open(packed_labels) as label_stream,
        ):
            (label_block,) = _read_idx(label_stream, ndim=1)
            yield Part(name, label_block, _read_idx(image_stream, ndim=3))


def _finish(part: Part, form: Form, path: Path) -> Part:
    """Turn images upright and labels into those of the mapping; refuse what does not fit."""
    _check_labels(part.labels, part.name, form)

    def images():
        missing = len(part.labels)
        with _name_errors(path, form):
            for block in part.images:
                missing -= len(block)
                if missing < 0:
                    break
                yield np.ascontiguousarray(block.swapaxes(1, 2)) if form.is_transposed else block
            if missing:
                raise ValueError(f"its {part.name} images are not as many as its labels")

    return Part(part.name, part.labels + np.uint8(FIRST_CHARACTER), images())


def _check_labels(labels: np.ndarray, name: str, form: Form) -> None:
    if labels.max() >= form.num_classes:
        raise ValueError(f"its {name} labels are not 0 to {form.num_classes - 1}")


@contextlib.contextmanager
def _name_errors(path: Path, form: Form):
    """Turn whatever a damaged file makes the readers raise into one sentence with its name."""
    try:
        yield
    except FileNotFoundError:
        raise WrongFileError(f"{path} does not exist; it should be {form.expected}.") from None
    except (EOFError, zlib.error, zipfile.BadZipFile, gzip.BadGzipFile) as error:
        raise WrongFileError(
            f"{path} is damaged or cut off ({shorten(error)}): "
            f"it should be {form.expected}; get it again."
        ) from None
    except (ValueError, struct.error, RuntimeError, LookupError, OverflowError, MemoryError) as e:
        raise WrongFileError(
            f"{path} is not {form.expected} ({shorten(e)}): get the right file."
        ) from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise LabError(
                f"{tempfile.gettempdir()}, the folder of temporary files, is full: free some space."
            ) from None
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


def _read_matlab(stream: Readable) -> Iterator[Part]:
    """Yield train and test of `emnist-byclass.mat`: dataset.{train,test}.{images,labels}."""
    with tempfile.TemporaryFile() as spool:
        found, names = {}, []
        for path, shape, dtype, values in matlab.read_arrays(stream):
            if shape[0] > MAX_IMAGES:
                raise ValueError(f"it speaks of {shape[0]:,} items")
            if path[-1:] == ("images",) and dtype == np.uint8 and shape[1] == 784:
                spool.seek(0)
                while chunk := values.read(1 << 20):
                    spool.write(chunk)
                found["images"] = shape[0]
            elif path[-1:] == ("labels",):
                found["labels"] = np.frombuffer(values.read(), dtype).astype(np.uint8)
            if len(found) == 2:
                yield Part(path[-2], found["labels"], _transpose(spool, found["images"]))
                names.append(path[-2])
                found = {}
        if sorted(names) != ["test", "train"]:
            raise ValueError("it holds no train and test images")


def _transpose(spool: BinaryIO, count: int) -> Iterator[np.ndarray]:
    """Yield images from a file that holds pixel 0 of all of them, then pixel 1 and so on."""
    for start in range(0, count, BLOCK_IMAGES):
        size = min(BLOCK_IMAGES, count - start)
        pixels = np.empty((784, size), np.uint8)
        for pixel in range(784):
            spool.seek(pixel * count + start)
            pixels[pixel] = np.frombuffer(read_exactly(spool, size), np.uint8)
        yield pixels.T.reshape(size, 28, 28)
