"""Reads EMNIST and MNIST as they are published (IDX or MATLAB files) as streams of images."""

import contextlib
import gzip
import math
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from lab_utils.data import matlab
from lab_utils.data.matlab import Readable, read_exactly
from lab_utils.errors import LabError
from lab_utils.mapping import FIRST_CHARACTER

BLOCK_IMAGES = 8192  # images at a time: 6 MB, whatever the size of the archive
NUM_BYCLASS = 62
EMNIST_EXPECTED = "NIST's gzip.zip or matlab.zip"
MNIST_EXPECTED = "one of MNIST's four files"
IDX_KINDS = ("images-idx3", "labels-idx1")


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


def read_emnist(path: Path) -> Iterator[Part]:
    """Stream the ByClass parts of NIST's `gzip.zip` or `matlab.zip`, whole or cut.

    Nothing is extracted, so no name inside the archive can lead outside a folder.

    Raises
    ------
    LabError
        If the file is missing, unreadable, truncated, damaged or another archive.
    """
    with _name_errors(path, EMNIST_EXPECTED), zipfile.ZipFile(path) as archive:
        members = {name.rsplit("/", 1)[-1]: name for name in archive.namelist()}
        if "emnist-byclass.mat" in members:
            with archive.open(members["emnist-byclass.mat"]) as stream:
                for part in _read_matlab(stream):
                    yield _turn_upright(part, path)
            return
        for name in ("train", "test"):
            files = [f"emnist-byclass-{name}-{kind}-ubyte.gz" for kind in IDX_KINDS]
            if missing := [file for file in files if file not in members]:
                raise ValueError(f"it holds no {missing[0]}")
            with (
                archive.open(members[files[0]]) as packed_images,
                archive.open(members[files[1]]) as packed_labels,
                gzip.open(packed_images) as images,
                gzip.open(packed_labels) as labels,
            ):
                (label_block,) = _read_idx(labels, ndim=1)
                yield _turn_upright(Part(name, label_block, _read_idx(images, ndim=3)), path)


def read_mnist(folder: Path) -> Iterator[Part]:
    """Stream MNIST's four official files, gzip-compressed or not, from `folder`.

    Raises
    ------
    LabError
        If a file is missing, unreadable, truncated, damaged or another file.
    """
    for name, prefix in (("train", "train"), ("test", "t10k")):
        images, labels = (folder / f"{prefix}-{kind}-ubyte" for kind in IDX_KINDS)
        # One file after the other, so that the error names the one that is wrong.
        with _name_errors(labels, MNIST_EXPECTED), _open_idx(labels) as stream:
            (label_block,) = _read_idx(stream, ndim=1)
            label_block = _shift_labels(label_block, name, num_classes=10)
        with _name_errors(images, MNIST_EXPECTED), _open_idx(images) as stream:
            part = Part(name, label_block, _read_idx(stream, ndim=3))
            yield _check_count(part, images, MNIST_EXPECTED)


def _open_idx(path: Path) -> gzip.GzipFile | BufferedReader:
    compressed = path.with_name(path.name + ".gz")
    return gzip.open(compressed) if compressed.exists() else open(path, "rb")


@contextlib.contextmanager
def _name_errors(path: Path, expected: str):
    """Turn whatever a damaged file makes the readers raise into one sentence with its name."""
    try:
        yield
    except FileNotFoundError:
        raise LabError(f"{path} does not exist; it should be {expected}.") from None
    except (EOFError, zlib.error, zipfile.BadZipFile, gzip.BadGzipFile) as error:
        reason = str(error).rstrip(".")
        raise LabError(
            f"{path} is damaged or cut off ({reason}): it should be {expected}; get it again."
        ) from None
    except (ValueError, struct.error, NotImplementedError, RuntimeError) as error:
        raise LabError(f"{path} is not {expected} ({error}): get the right file.") from None
    except OSError as error:
        raise LabError(
            f"{path} cannot be read ({error.strerror or error}); it should be {expected}."
        ) from None


def _turn_upright(part: Part, path: Path) -> Part:
    """Turn EMNIST's images, which are stored transposed, upright."""
    images = (np.ascontiguousarray(block.swapaxes(1, 2)) for block in part.images)
    labels = _shift_labels(part.labels, part.name, NUM_BYCLASS)
    return _check_count(Part(part.name, labels, images), path, EMNIST_EXPECTED)


def _shift_labels(labels: np.ndarray, name: str, num_classes: int) -> np.ndarray:
    """Shift the archive's own classes into the mapping; refuse others."""
    if labels.max() >= num_classes:
        raise ValueError(f"its {name} labels are not 0 to {num_classes - 1}")
    return labels + np.uint8(FIRST_CHARACTER)


def _check_count(part: Part, path: Path, expected: str) -> Part:
    """Refuse more or fewer images than labels, and name the file if it breaks while read."""

    def images():
        missing = len(part.labels)
        with _name_errors(path, expected):
            for block in part.images:
                missing -= len(block)
                if missing < 0:
                    break
                yield block
            if missing:
                raise ValueError(f"its {part.name} images are not as many as its labels")

    return part._replace(images=images())


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
    item_size = math.prod(item_shape)
    block = length if ndim == 1 else BLOCK_IMAGES
    for start in range(0, length, max(block, 1)):
        count = min(block, length - start)
        values = read_exactly(stream, count * item_size)
        yield np.frombuffer(values, np.uint8).reshape(count, *item_shape)
    if stream.read(1):  # reading up to the end also makes gzip and zip check their own CRC
        raise ValueError("more values than its header says")


def _read_matlab(stream: Readable) -> Iterator[Part]:
    """Yield train and test of `emnist-byclass.mat`: dataset.{train,test}.{images,labels}."""
    with tempfile.TemporaryFile() as spool:
        found, names = {}, []
        for path, shape, dtype, values in matlab.read_arrays(stream):
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
