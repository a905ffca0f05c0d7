"""Reads MATLAB 5 files as streams, which scipy cannot: it would want EMNIST whole in memory.

A file is a sequence of nested elements, each a type, a size and its bytes, padded to 8. The
values of arrays are stored column by column.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Protocol

import numpy as np

STRUCT, MATRIX, COMPRESSED = 2, 14, 15
MAX_ELEMENT = 1 << 30  # bytes; EMNIST's largest has 660 MB
MAX_SMALL, MAX_FIELDS = 1 << 16, 1000  # bytes of a name or shape, arrays of a struct
DTYPES = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8"}


class Readable(Protocol):
    """What can be read forwards: a file, or a part of one while it is unpacked."""

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` bytes, or all that are left."""
        ...


def read_arrays(stream: Readable) -> Iterator[tuple]:
    """Yield every numeric array of a MATLAB 5 file, in file order.

    An array is its names from the outermost struct inwards, its shape, its dtype, and its values as
    a stream, which must be read, if at all, before the next array is asked for. A file that is
    another one, cut off or damaged raises ValueError, EOFError, zlib.error or struct.error.
    """
    if read_exactly(stream, 128)[126:] != b"IM":
        raise ValueError("not a little-endian MATLAB 5 file")
    while tag := stream.read(8):
        kind, size = struct.unpack("<II", tag)
        element = _Limited(stream, size)
        if kind == COMPRESSED:
            inflated = io.BufferedReader(_Inflated(element))
            yield from _read_matrix(_read_element(inflated)[1], ())
        elif kind == MATRIX:
            yield from _read_matrix(element, ())
        element.finish()


def _read_matrix(stream: Readable, names: tuple) -> Iterator[tuple]:
    flags, shape_bytes, name_bytes = (_read_small(stream) for _ in range(3))
    shape = np.frombuffer(shape_bytes, "<i4")
    name = name_bytes.decode("ascii")
    if len(shape) < 2 or (shape < 0).any():
        raise ValueError("an array without a shape")
    names = (*names, name) if name else names
    if flags[0] == STRUCT:
        (width,) = struct.unpack("<i", _read_small(stream))
        names_of_fields = _read_small(stream)
        starts = range(0, len(names_of_fields), width)
        fields = [names_of_fields[i : i + width] for i in starts]
        if np.prod(shape, dtype=float) * len(fields) > MAX_FIELDS:
            raise ValueError("a struct with too many fields")
        for field in fields * int(np.prod(shape)):
            matrix = _read_element(stream)[1]
            yield from _read_matrix(matrix, (*names, field.rstrip(b"\0").decode("ascii")))
            matrix.finish()
    else:
        kind, values = _read_element(stream)
        if kind in DTYPES:
            yield names, shape, np.dtype(DTYPES[kind]), values
        values.finish()


def _read_small(stream: Readable) -> bytes:
    element = _read_element(stream)[1]
    if element.left > MAX_SMALL:
        raise ValueError("a name or a shape that is too long")
    return element.read()


def _read_element(stream: Readable) -> tuple[int, "_Limited"]:
    tag = read_exactly(stream, 8)
    kind, size = struct.unpack("<II", tag)
    if kind >> 16:  # up to four bytes stand in the tag itself
        return kind & 0xFFFF, _Limited(io.BytesIO(tag[4:]), kind >> 16)
    if size > MAX_ELEMENT:
        raise ValueError("an array that is too large")
    return kind, _Limited(stream, size, padding=-size % 8)


class _Limited:
    """Read at most `size` bytes of a stream; the padding goes with the last of them."""

    def __init__(self, stream: Readable, size: int, padding: int = 0):
        self.stream, self.left, self.padding = stream, size, padding

    def read(self, size: int = -1) -> bytes:
        size = self.left if size < 0 else min(size, self.left)
        values = read_exactly(self.stream, size)
        self.left -= size
        if not self.left:
            read_exactly(self.stream, self.padding)
            self.padding = 0
        return values

    def finish(self) -> None:
        while self.read(1 << 20):
            pass


class _Inflated(io.RawIOBase):
    """The zlib-compressed bytes of a stream, inflated a little at a time."""

    def __init__(self, stream: Readable):
        self.stream, self.inflate = stream, zlib.decompressobj()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        values = b""
        while not values and not self.inflate.eof:
            compressed = self.inflate.unconsumed_tail or self.stream.read(1 << 16)
            if not compressed:
                raise EOFError("it ends too early")
            values = self.inflate.decompress(compressed, len(buffer))
        buffer[: len(values)] = values
        return len(values)


def read_exactly(stream: Readable, size: int) -> bytes:
    """Read `size` bytes; EOFError if the stream ends before."""
    values = stream.read(size)
    if len(values) < size:
        raise EOFError("it ends too early")
    return values
