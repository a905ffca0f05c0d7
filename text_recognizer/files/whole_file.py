"""HDF5 files that are whole or not there, with a checksum of every byte.

A file ends in 24 bytes that HDF5 does not look at: a name, the length and the CRC-32 of all
before. They are checked before HDF5 opens the file, since HDF5 reads many a changed byte as other
data, and a few of them without end. A file of an earlier version, which lacks them, is read too.
"""

import contextlib
import errno
import io
import mmap
import os
import secrets
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
from filelock import FileLock, Timeout

from text_recognizer.errors import LabError, cannot_write

SEAL = struct.Struct("<8sQQ")  # name, length, CRC-32
SEAL_NAME = b"labcrc32"
SEALED = "sealed"  # the attribute of a file that must have a checksum
CHUNK_BYTES = 1 << 20
HEAP = b"GCOL\1\0\0\0"  # how a collection of texts begins in an HDF5 file
LOCKS_MISSING = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)  # of network homes

_checked: dict[tuple, bool] = {}  # files that were right, as they were then: have they a seal?


class DamagedFileError(Exception):
    """What a file holds is not what was written."""


@contextlib.contextmanager
def create(target: Path, origin: Path | None = None) -> Iterator[tuple[h5py.File, Callable]]:
    """Write an HDF5 file that gets its name once all of it is on the disk, and checked.

    Parameters
    ----------
    target : Path
        The file.
    origin : Path, optional
        A file to copy and go on with.

    Yields
    ------
    tuple of h5py.File and Callable
        The file to write to, and a function that raises what has gone wrong by then.

    Raises
    ------
    LabError
        If the file cannot be written, such as on a full disk.
    """
    partial = target.with_name(f"{target.name}.{secrets.token_hex(4)}.partial")
    try:
        if origin is not None:
            shutil.copyfile(origin, partial)
            _break_seal(partial)
        with open(partial, "r+b" if origin else "w+b", buffering=0) as raw:
            disk = _Disk(raw)
            try:
                with h5py.File(disk, "r+" if origin else "w") as file:
                    file.attrs[SEALED] = True
                    yield file, disk.check
            except (OSError, RuntimeError):
                disk.check()  # what HDF5 says of it is of no help
                raise
            disk.check()
            raw.seek(0)
            length, checksum = _compute_checksum(raw)
            raw.write(SEAL.pack(SEAL_NAME, length, checksum))
            os.fsync(raw.fileno())
        check(partial)
        partial.replace(target)
    except OSError as error:
        raise cannot_write(target, error) from None
    except DamagedFileError as error:
        raise LabError(f"{target} cannot be written: the disk gives back {error}.") from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


class _Disk(io.RawIOBase):
    """The file as HDF5 writes it: an error is kept for `check` and never told to HDF5.

    HDF5 that could not write keeps the file open, tries again when the process ends, and crashes.
    """

    def __init__(self, raw: io.FileIO):
        self._raw = raw
        self._error: BaseException | None = None

    def check(self) -> None:
        """Raise what has gone wrong so far, if anything has."""
        if self._error is not None:
            raise self._error

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def write(self, data) -> int:
        view = memoryview(data).cast("B")
        try:
            done = 0
            while done < len(view) and self._error is None:
                done += self._raw.write(view[done:])
        except BaseException as error:  # noqa: BLE001 - Ctrl-C too: HDF5 would swallow it
            self._error = self._error or error
        return len(view)

    def readinto(self, buffer) -> int:
        view = memoryview(buffer).cast("B")
        view[:] = bytes(len(view))  # what was not written reads as nothing
        try:
            done = 0
            while done < len(view) and (count := self._raw.readinto(view[done:])):
                done += count
        except BaseException as error:  # noqa: BLE001
            self._error = self._error or error
        return len(view)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        return self._raw.tell()

    def truncate(self, size: int | None = None) -> int:
        try:
            return self._raw.truncate(size)
        except BaseException as error:  # noqa: BLE001
            self._error = self._error or error
            return size or 0


@contextlib.contextmanager
def open_checked(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading once its checksum is right.

    Raises
    ------
    DamagedFileError, OSError
        If its bytes have changed, or it is missing or cannot be read.
    """
    is_sealed = check(path)
    # Without locking, which fails on read-only and network drives: the file never changes.
    with h5py.File(path, "r", locking=False) as file:
        if not is_sealed and SEALED in file.attrs:
            raise DamagedFileError("no checksum any more")
        yield file


def check(path: Path) -> bool:
    """Compare a file with its checksum, once as long as it stays the same; tell if it has one.

    Raises
    ------
    DamagedFileError, OSError
        As for `open_checked`.
    """
    if not path.is_file() and path.exists():
        raise DamagedFileError("something other than a file")
    with open(path, "rb") as file:
        stat = os.fstat(file.fileno())
        known = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
        if known in _checked:
            return _checked[known]
        seal = _read_seal(file, stat.st_size)
        file.seek(0)
        if seal is None:
            _check_heaps(file)
        elif seal != _compute_checksum(file, seal[0]):
            raise DamagedFileError("other bytes than were written")
    _checked[known] = seal is not None
    return _checked[known]


def _read_seal(file, size: int) -> tuple[int, int] | None:
    if size < SEAL.size:
        return None
    file.seek(size - SEAL.size)
    name, length, checksum = SEAL.unpack(file.read(SEAL.size))
    return (length, checksum) if name == SEAL_NAME else None


def _break_seal(path: Path) -> None:
    with open(path, "r+b") as file:
        size = os.fstat(file.fileno()).st_size
        if _read_seal(file, size) is not None:
            file.truncate(size - SEAL.size)


def _compute_checksum(file, length: int | None = None) -> tuple[int, int]:
    """Return how many bytes a file has, up to `length`, and their CRC-32."""
    count = checksum = 0
    while chunk := file.read(CHUNK_BYTES if length is None else min(CHUNK_BYTES, length - count)):
        count += len(chunk)
        checksum = zlib.crc32(chunk, checksum)
    return count, checksum


def _check_heaps(file) -> None:
    """Refuse texts in which HDF5 would read without end: one of size 0 never leads to the next."""
    if not os.fstat(file.fileno()).st_size:
        return
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = data.find(HEAP)
        while start >= 0:
            size = int.from_bytes(data[start + 8 : start + 16], "little")
            place, end = start + 16, min(start + size, len(data))
            while place + 16 <= end:
                number, length = struct.unpack_from("<H6xQ", data, place)
                if number == 0 and length == 0:
                    raise DamagedFileError("a text without an end")
                place += length if number == 0 else 16 + -(-length // 8) * 8
            start = data.find(HEAP, start + 1)


@contextlib.contextmanager
def lock(target: Path) -> Iterator[None]:
    """Let one process at a time write `target`; the lock goes with a process that dies.

    A drive that knows no locks goes without: two processes then do the same work, each in a file
    of its own, and the last one to end gives it its name.

    Raises
    ------
    LabError
        If the folder cannot be written.
    """
    held = FileLock(f"{target}.lock")
    try:
        try:
            held.acquire(timeout=2)
        except Timeout:
            if not os.path.lexists(held.lock_file):  # filelock would try for ever
                raise FileNotFoundError(errno.ENOENT, "no lock can be made beside it") from None
            print(f"Another process is preparing {target.name}: waiting for it.")
            held.acquire()
        for leftover in target.parent.glob(f"{target.name}.*.partial"):
            leftover.unlink(missing_ok=True)  # of a process that was killed
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in LOCKS_MISSING:
            raise cannot_write(target, error) from None
    try:
        yield
    finally:
        held.release()
