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
from collections.abc import Callable, Iterator
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
NUM_BYCLASS = 62
EMNIST_EXPECTED = "NIST's gzip.zip or matlab.zip"
MNIST_EXPECTED = "one of MNIST's four files"
EMNIST_ARCHIVES = r"(gzip|matlab|emnist-byclass)\.zip|emnist-byclass\.mat"
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

    Parameters
    ----------
    path : Path
        The archive, its `emnist-byclass.mat`, or a folder in which either was unpacked or lies.

    Raises
    ------
    WrongFileError
        If the file is missing, unreadable, truncated, damaged or another archive.
    """
    with _name_errors(path, EMNIST_EXPECTED):
        if path.is_dir():
            files = find_idx_files(path, "emnist-byclass-", ("train", "test"))
            if files:
                for name in ("train", "test"):
                    prefix = f"emnist-byclass-{name}"
                    yield from _read_idx_files(path, files, prefix, _turn_upright, EMNIST_EXPECTED)
            elif inner := _find(path, EMNIST_ARCHIVES):
                yield from read_emnist(inner)
            else:
                raise WrongFileError(
                    f"{path} is a folder without {EMNIST_EXPECTED}: name the file."
                )
            return
        with open_regular(path) as file:
            if file.read(6) == b"MATLAB":
                file.seek(0)
                for part in _read_matlab(file):
                    yield _turn_upright(part, path, EMNIST_EXPECTED)
                return
            with zipfile.ZipFile(file) as archive:
                yield from _read_emnist_zip(archive, path)


def _read_emnist_zip(archive: zipfile.ZipFile, path: Path) -> Iterator[Part]:
    members = {info.filename.rsplit("/", 1)[-1]: info for info in archive.infolist()}

    def open_member(name: str):
        if name not in members:
            raise ValueError(f"it holds no {name}")
        if members[name].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"it packs {name} in another way")
        return archive.open(members[name])

    if "emnist-byclass.mat" in members:
        with open_member("emnist-byclass.mat") as stream:
            for part in _read_matlab(stream):
                yield _turn_upright(part, path, EMNIST_EXPECTED)
        return
    for name in ("train", "test"):
        files = [f"emnist-byclass-{name}-{kind}-ubyte.gz" for kind in IDX_KINDS]
        with (
            open_member(files[0]) as packed_images,
            open_member(files[1]) as packed_labels,
            gzip.open(packed_images) as images,
            gzip.open(packed_labels) as labels,
        ):
            (label_block,) = _read_idx(labels, ndim=1)
            part = Part(name, label_block, _read_idx(images, ndim=3))
            yield _turn_upright(part, path, EMNIST_EXPECTED)


def read_mnist(folder: Path) -> Iterator[Part]:
    """Stream MNIST's four official files, gzip-compressed or not, from `folder` or one in it.

    Raises
    ------
    WrongFileError
        If a file is missing, unreadable, truncated, damaged or another file.
    """
    with _name_errors(folder, MNIST_EXPECTED):
        if folder.is_file():
            raise WrongFileError(f"{folder} is a file: name the folder of MNIST's four files.")
    files = find_idx_files(folder, "", ("train", "t10k"))
    for part in ("train", "t10k"):
        yield from _read_idx_files(folder, files, part, _check_digits, MNIST_EXPECTED)


def find_idx_files(folder: Path, prefix: str, parts: tuple[str, str]) -> dict[str, Path]:
    """Return the IDX files of a folder or of folders in it, by their official names.

    Browsers, 7-Zip, torchvision and Kaggle change them: `train-images.idx3-ubyte`, unpacked under
    a name in `.gz`, `t10k-labels-idx1-ubyte (1).gz`, and in folders such as `MNIST/raw`.
    """
    found = {}
    for part in parts:
        for kind in IDX_KINDS:
            what, idx = kind.split("-")
            copy = r"( ?\(\d+\))?"
            name = rf"{prefix}{part}[-_. ]{what}[-_. ]{idx}[-_. ]ubyte{copy}(\.gz)?{copy}"
            if path := _find(folder, name):
                found[f"{prefix}{part}-{kind}-ubyte"] = path
    return found


def _find(folder: Path, pattern: str) -> Path | None:
    """Return the file of such a name that lies nearest to the folder's top, originals first."""
    found = []
    for path in walk(folder):
        if re.fullmatch(pattern, path.name, re.IGNORECASE):
            depth, is_copy = len(path.parts), "(" in path.name
            # As ever, x.gz is taken before x.
            found.append((depth, is_copy, path.suffix != ".gz", path.name, path))
    return min(found)[-1] if found else None


def walk(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder and of folders in it, as far as data sets may lie: not a disk."""
    for place, folders, names in itertools.islice(os.walk(folder), MAX_WALKED):
        depth = len(Path(place).relative_to(folder).parts)
        folders[:] = sorted(folders)[:MAX_FOLDERS] if depth < MAX_DEPTH else []
        yield from (Path(place, name) for name in names)


def _read_idx_files(
    folder: Path, files: dict[str, Path], part: str, turn: Callable, expected: str
) -> Iterator[Part]:
    """Stream one part of a folder, its labels first, so that an error names the wrong file."""
    names = [f"{part}-{kind}-ubyte" for kind in reversed(IDX_KINDS)]
    if missing := [name for name in names if name not in files]:
        raise WrongFileError(f"{folder / missing[0]} does not exist; it should be {expected}.")
    labels, images = (files[name] for name in names)
    name = "train" if part.endswith("train") else "test"
    with _name_errors(labels, expected), _open_idx(labels) as stream:
        (label_block,) = _read_idx(stream, ndim=1)
        turn(Part(name, label_block, iter(())), labels, expected)  # refuses wrong labels
    with _name_errors(images, expected), _open_idx(images) as stream:
        yield turn(Part(name, label_block, _read_idx(stream, ndim=3)), images, expected)


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


@contextlib.contextmanager
def _name_errors(path: Path, expected: str):
    """Turn whatever a damaged file makes the readers raise into one sentence with its name."""
    try:
        yield
    except FileNotFoundError:
        raise WrongFileError(f"{path} does not exist; it should be {expected}.") from None
    except (EOFError, zlib.error, zipfile.BadZipFile, gzip.BadGzipFile) as error:
        raise WrongFileError(
            f"{path} is damaged or cut off ({shorten(error)}): "
            f"it should be {expected}; get it again."
        ) from None
    except (ValueError, struct.error, RuntimeError, LookupError, OverflowError, MemoryError) as e:
        reason = shorten(e)
        raise WrongFileError(f"{path} is not {expected} ({reason}): get the right file.") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise LabError(
                f"{tempfile.gettempdir()}, the folder of temporary files, is full: free some space."
            ) from None
        raise WrongFileError(
            f"{path} cannot be read ({error.strerror or error}); it should be {expected}."
        ) from None


def _check_digits(part: Part, path: Path, expected: str) -> Part:
    return _check_count(
        part._replace(labels=_shift_labels(part.labels, part.name, num_classes=10)), path, expected
    )


def _turn_upright(part: Part, path: Path, expected: str) -> Part:
    """Turn EMNIST's images, which are stored transposed, upright."""
    images = (np.ascontiguousarray(block.swapaxes(1, 2)) for block in part.images)
    labels = _shift_labels(part.labels, part.name, NUM_BYCLASS)
    return _check_count(Part(part.name, labels, images), path, expected)


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
    if length > MAX_IMAGES:
        raise ValueError(f"its header speaks of {length:,} items")
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
