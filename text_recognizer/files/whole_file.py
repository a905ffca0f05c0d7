"""HDF5 files that are whole or not there, and locks for what two processes may write at once.

HDF5 checks all of a file by itself if its format is that of HDF5 1.10 or later, whose metadata have
checksums; if each data set is written with `fletcher32=True`; and if texts have a fixed length,
since the heap of the others has no checksum. Images are compressed with gzip besides, which has a
stronger checksum: to Fletcher's, two bytes of 0 and two of 255 are the same.
"""

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
from filelock import FileLock, Timeout

from text_recognizer.errors import cannot_write
from text_recognizer.language import _
from text_recognizer.paths import replace_whole

FORMAT = ("v110", "v110")  # the oldest with checksums, which all versions of h5py can read


@contextlib.contextmanager
def create(target: Path) -> Iterator[tuple[h5py.File, Callable[[], None]]]:
    """Write an HDF5 file that gets its name once all of it is on the disk.

    Yields the file, and a function that raises what has gone wrong by then; a LabError if it cannot
    be written, such as on a full disk.
    """
    try:
        with replace_whole(target) as partial, _Disk(partial, "w+") as disk:
            try:
                with h5py.File(disk, "w", libver=FORMAT) as file:
                    yield file, disk.check
            finally:
                disk.check()  # which says more than HDF5 does
    except OSError as error:
        raise cannot_write(target, error) from None


class _Disk(io.FileIO):
    """The file that HDF5 writes to; an error is kept for `check` and never told to HDF5.

    An HDF5 that could not write keeps the file open, tries again when Python ends, and crashes.
    """

    _error: BaseException | None = None

    def check(self) -> None:
        """Raise what has gone wrong so far, if anything has."""
        if self._error is not None:
            raise self._error

    def write(self, data) -> int:
        rest = memoryview(data).cast("B")
        try:
            while rest and self._error is None:
                rest = rest[super().write(rest) :]
        except BaseException as error:  # noqa: BLE001 - Ctrl-C too: HDF5 would swallow it
            self._error = error
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except BaseException as error:  # noqa: BLE001
            self._error = self._error or error
            return 0


@contextlib.contextmanager
def lock(target: Path) -> Iterator[None]:
    """Let one process at a time write `target`; the lock goes with a process that dies.

    Where no lock can be made, as on some network drives and in a folder of somebody else's, it goes
    without: each process writes a file of its own, and the last one gives it its name.
    """
    held = FileLock(f"{target}.lock")
    with contextlib.suppress(OSError, NotImplementedError):
        try:
            held.acquire(timeout=2)  # in silence
        except Timeout:
            if os.path.lexists(held.lock_file):  # else there is none to wait for
                print(_(f"Another process is writing {target.name}: waiting for it."))
                held.acquire()
    try:
        if held.is_locked:
            for leftover in target.parent.glob(f"{target.name}.*.partial"):
                leftover.unlink(missing_ok=True)  # of a process that was killed
        yield
    finally:
        held.release()
