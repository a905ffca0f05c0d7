"""Reads MATLAB 5 files by way of the disk: scipy would want EMNIST whole in memory.

A file is a sequence of nested elements, each a type, a size and its bytes, padded to 8. The
values of arrays are stored column by column.
"""

import io
import itertools
import struct
import zlib
from collections.abc import Iterator
from typing import IO

STRUCT, MATRIX, COMPRESSED = 2, 14, 15
MAX_BYTES = 1 << 30  # of a file, unpacked; EMNIST's has 660 MB
DTYPES = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8"}
Readable = IO[bytes] | io.BufferedIOBase  # of which the second is what gzip gives


def read_arrays(stream: Readable, unpacked: IO[bytes]) -> Iterator[tuple]:
    """Unpack a MATLAB 5 file into an empty one, and yield the numeric arrays in that.

    An array is its names from the outermost struct inwards, its dtype, its place in the file, and
    its shape. A file that is another one, cut off or damaged raises one of `archives.BROKEN`.
    """
    if read_exactly(stream, 128)[126:] != b"IM":
        raise ValueError("not a little-endian MATLAB 5 file")
    while tag := stream.read(8):
        kind, left = struct.unpack("<II", tag)
        inflating = zlib.decompressobj() if kind == COMPRESSED else None
        unpacked.write(b"" if inflating else tag)
        while left:
            values = read_exactly(stream, min(left, 1 << 16))
            left -= len(values)
            unpacked.write(inflating.decompress(values) if inflating else values)
            if unpacked.tell() > MAX_BYTES:
                raise ValueError("it is too large")
        if inflating and not inflating.eof:
            raise EOFError("it ends too early")
    for kind, start, stop in _list_elements(unpacked, 0, unpacked.tell()):
        if kind == MATRIX:
            yield from _list_arrays(unpacked, start, stop, ())


def _list_elements(file: IO[bytes], start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Yield the type of each element between two places, and where its bytes start and stop."""
    while start < stop:
        file.seek(start)
        kind, size = struct.unpack("<II", read_exactly(file, 8))
        start += 8
        if kind >> 16:  # up to four bytes stand in the tag itself
            kind, size, start = kind & 0xFFFF, kind >> 16, start - 4
        if start + size > stop:
            raise EOFError("it ends too early")
        yield kind, start, start + size
        start += size + -(start + size) % 8


def _list_arrays(file: IO[bytes], start: int, stop: int, names: tuple) -> Iterator[tuple]:
    elements = _list_elements(file, start, stop)

    def read(count: int) -> Iterator[bytes]:
        for _, first, last in itertools.islice(elements, count):
            file.seek(first)
            yield file.read(last - first)

    flags, shape, name = read(3)
    names = (*names, name.decode("ascii")) if name else names
    if flags[0] == STRUCT:
        size, joined = read(2)
        fields = struct.iter_unpack(f"{int.from_bytes(size, 'little')}s", joined)
        for (field,), (_, first, last) in zip(itertools.cycle(fields), elements, strict=False):
            inner = (*names, field.rstrip(b"\0").decode("ascii"))
            yield from _list_arrays(file, first, last, inner)
        return
    for kind, first, _ in itertools.islice(elements, 1):
        if kind in DTYPES:
            yield names, DTYPES[kind], first, struct.unpack(f"<{len(shape) // 4}i", shape)


def read_exactly(stream: Readable, size: int) -> bytes:
    """Read `size` bytes; EOFError if the stream ends before."""
    values = stream.read(size)
    if len(values) < size:
        raise EOFError("it ends too early")
    return values
