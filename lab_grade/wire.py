"""Plain values on their way between a check and a student's kernel.

JSON for the structure, raw bytes for arrays and tensors. Reading makes nothing but the kinds of
values listed here, so that bytes from a student can be wrong, and no more. A subclass of one of
these kinds becomes the kind itself.
"""

import collections
import datetime
import decimal
import fractions
import json
import math
import struct
import sys
from collections.abc import Callable
from typing import Any

SMALL = 2**63  # whole numbers up to here are JSON's
ALIGNED = 8  # bytes, where parts of a message begin
# Kinds that are made again by calling them; subclasses of the first ones could be anything.
EXACT = {decimal.Decimal, fractions.Fraction, datetime.timedelta}
EXACT |= {datetime.date, datetime.datetime, datetime.time}
MADE = {complex, set, frozenset, bytearray, collections.deque, range, slice}
VALUES: dict[str, Callable] = {kind.__name__: kind for kind in EXACT | MADE}
Refer = Callable[["Packer", Any], Any]


class Packer:
    """Makes one message of a value.

    `refer` gives what stands in JSON for a value that is not plain, and `shared` the number of a
    tensor that both ends have, or None. `buffers` are the contents of arrays and texts of bytes,
    `needing` the tensors that need a gradient, but for shared ones, in the order of the message.
    """

    def __init__(self, refer: Refer, shared: Callable[[Any], Any] = lambda _: None):
        self.refer, self.shared = refer, shared
        self.buffers: list = []
        self.needing: list = []

    def pack(self, value: Any) -> list:
        """Return the parts of a message, which are to be sent before anything is changed."""
        tree = self.write(value)
        head = json.dumps([tree, [len(part) for part in self.buffers]]).encode()
        parts = [struct.pack("<Q", len(head)), head, bytes(-len(head) % ALIGNED)]
        for part in self.buffers:
            parts += [part, bytes(-len(part) % ALIGNED)]
        return parts

    def keep(self, content: Any) -> int:
        """Add bytes to the message, and return their place."""
        self.buffers.append(content)
        return len(self.buffers) - 1

    def write(self, value: Any) -> Any:
        """Return what JSON holds of a value: lists are lists, objects have one key, the kind."""
        kind = type(value)
        if value is None or kind in (bool, str, float):
            return value
        if kind is int:
            return value if -SMALL < value < SMALL else {"int": hex(value)}
        numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
        if torch and isinstance(value, torch.Tensor):
            return self.write_tensor(value, torch)
        if numpy and isinstance(value, numpy.ndarray | numpy.generic):
            return self.write_array(value, numpy)
        if kind in EXACT:
            is_ratio = kind is fractions.Fraction
            arguments = value.as_integer_ratio() if is_ratio else value.__reduce__()[1]
            return {"value": [kind.__name__, self.write_all(arguments)]}
        for base in kind.__mro__:
            if base in WRITERS:
                return WRITERS[base](self, value)
            if base in ARGUMENTS:
                return {"value": [base.__name__, self.write_all(ARGUMENTS[base](value))]}
        if torch and kind is torch.dtype:
            return {"dtype": str(value).removeprefix("torch.")}
        return {"other": self.refer(self, value)}

    def write_all(self, values: Any) -> list:
        return [self.write(value) for value in values]

    def write_tuple(self, value: tuple) -> dict:
        fields = getattr(value, "_fields", None)
        if type(value) is not tuple and isinstance(fields, tuple):
            return {"fields": [type(value).__name__, list(fields), self.write_all(value)]}
        return {"tuple": self.write_all(tuple.__iter__(value))}

    def write_array(self, value: Any, numpy: Any) -> dict:
        array = numpy.asarray(value)
        if array.dtype.kind == "O":
            return {"objects": [list(array.shape), self.write_all(array.ravel().tolist())]}
        if array.dtype.kind not in "biufcSUMm":
            return {"other": self.refer(self, value)}
        place = self.keep(numpy.ascontiguousarray(array).reshape(-1).view(numpy.uint8).data)
        shape = list(array.shape) if isinstance(value, numpy.ndarray) else None
        return {"array": [array.dtype.str, shape, place]}

    def write_tensor(self, tensor: Any, torch: Any) -> dict:
        if (known := self.shared(tensor)) is not None:
            return {"shared": known}
        if tensor.layout is not torch.strided:
            tensor = tensor.to_dense()
        with torch.no_grad():
            plain = tensor.detach()
            if type(plain) is not torch.Tensor:  # PyTorch 2.4 can't while operators are watched
                plain = torch.Tensor.as_subclass(plain, torch.Tensor)
            flat = plain.resolve_conj().resolve_neg().cpu().contiguous().reshape(-1)
            flat = torch.view_as_real(flat).reshape(-1) if flat.is_complex() else flat
        place = self.keep(flat.view(torch.uint8).numpy().data)
        if tensor.requires_grad:
            self.needing.append(tensor)
        kept = tensor.grad if tensor.is_leaf and tensor.requires_grad else None
        flags = [tensor.requires_grad, isinstance(tensor, torch.nn.Parameter)]
        grad = None if kept is None else self.write_tensor(kept, torch)
        return {"tensor": [str(plain.dtype)[6:], list(plain.shape), place, *flags, grad]}


# What a value of these kinds, or of a subclass, is made of: no method of a subclass is called.
ARGUMENTS: dict[type, Callable[[Any], list]] = {
    complex: lambda value: [complex.real.__get__(value), complex.imag.__get__(value)],
    set: lambda value: [list(set.__iter__(value))],
    frozenset: lambda value: [list(frozenset.__iter__(value))],
    bytearray: lambda value: [bytes(memoryview(value))],
    collections.deque: lambda value: [list(collections.deque.__iter__(value)), value.maxlen],
    range: lambda value: [value.start, value.stop, value.step],
    slice: lambda value: [value.start, value.stop, value.step],
}
WRITERS: dict[type, Callable[[Packer, Any], Any]] = {
    str: lambda _, value: str.__str__(value),
    int: lambda packer, value: packer.write(int.__pos__(value)),
    float: lambda _, value: float.__pos__(value),
    list: lambda packer, value: packer.write_all(list.__iter__(value)),
    tuple: Packer.write_tuple,
    dict: lambda p, value: {"dict": [p.write_all(pair) for pair in dict.items(value)]},
    bytes: lambda packer, value: {"bytes": packer.keep(bytes.__add__(value, b""))},
    type(...): lambda *_: {"dots": None},
}


class Unpacker:
    """Reads one message.

    `resolve` gives the object for what `refer` has written, and `shared` the tensor of a number.
    `is_linked` tells that the caller joins tensors that need a gradient to its own graph.
    """

    def __init__(
        self,
        resolve: Callable[["Unpacker", Any], Any],
        shared: Callable[[Any], Any],
        is_linked: bool = False,
    ):
        self.resolve, self.shared, self.is_linked = resolve, shared, is_linked
        self.buffers: list[memoryview] = []
        self.needing: list = []

    def unpack(self, message: bytearray) -> Any:
        """Return the value of a message, in whose memory arrays stay; ValueError if it is none."""
        try:
            (size,) = struct.unpack_from("<Q", message)
            tree, sizes = json.loads(message[8 : 8 + size])
            start = 8 + size + -size % ALIGNED
            for length in sizes:
                self.buffers.append(memoryview(message)[start : start + length])
                start += length + -length % ALIGNED
            return self.read(tree)
        except (LookupError, TypeError, AttributeError, struct.error, RecursionError) as error:
            raise ValueError(f"not a message ({type(error).__name__}: {error})") from None

    def read(self, tree: Any) -> Any:
        if isinstance(tree, list):
            return [self.read(value) for value in tree]
        if not isinstance(tree, dict):
            return tree
        ((kind, held),) = tree.items()
        return READERS[kind](self, held)

    def read_fields(self, held: list) -> tuple:
        name, fields, values = held
        return collections.namedtuple(name, fields)(*self.read(values))

    def read_value(self, held: list) -> Any:
        name, arguments = held[0], self.read(held[1])
        if name == "Fraction":  # of a text it would compute "1e999999999"
            arguments = map(int, arguments)
        if name == "bytearray" and not isinstance(arguments[0], bytes):
            raise ValueError("of a number it would be as long")
        return VALUES[name](*arguments)

    def read_array(self, held: list) -> Any:
        import numpy as np

        name, shape, place = held
        kind = np.dtype(str(name))
        if kind.kind not in "biufcSUMm":
            raise ValueError(f"no array is of {name}")
        flat = np.frombuffer(self.buffers[place], kind) if kind.itemsize else np.empty(0, kind)
        flat = flat.view(np.uint8) != 0 if kind.kind == "b" else flat
        return flat[0] if shape is None else flat.reshape(shape)

    def read_objects(self, held: list) -> Any:
        import numpy as np

        shape, values = held
        array = np.empty(len(values), object)
        array[:] = self.read(values)
        return array.reshape(shape)

    def read_tensor(self, held: list) -> Any:
        import torch

        name, shape, place, needs, is_parameter, grad = held
        kind = self.read_dtype(name)
        content = self.buffers[place]
        if len(content) != math.prod(shape) * kind.itemsize:
            raise ValueError(f"{len(content)} bytes are no tensor of {shape}")
        tensor = torch.frombuffer(content, dtype=kind) if content else torch.empty(0, dtype=kind)
        tensor = tensor.reshape(shape)
        tensor = tensor.view(torch.uint8) != 0 if kind is torch.bool else tensor
        if is_parameter and not self.is_linked:
            tensor = torch.nn.Parameter(tensor, bool(needs))
        elif needs and not self.is_linked:
            tensor.requires_grad_()
        if needs:
            self.needing.append(tensor)
        if grad is not None and tensor.requires_grad:
            tensor.grad = self.read(grad)
        return tensor

    def read_dtype(self, held: str) -> Any:
        import torch

        kind = getattr(torch, held)
        if not isinstance(kind, torch.dtype) or held.startswith(("q", "bits")):
            raise ValueError(f"{held} is no kind of number")
        return kind


READERS: dict[str, Callable[[Unpacker, Any], Any]] = {
    "int": lambda _, held: int(held, 16),
    "tuple": lambda reader, held: tuple(reader.read(held)),
    "fields": Unpacker.read_fields,
    "dict": lambda reader, held: {reader.read(k): reader.read(v) for k, v in held},
    "bytes": lambda reader, held: bytes(reader.buffers[held]),
    "dots": lambda *_: ...,
    "value": Unpacker.read_value,
    "array": Unpacker.read_array,
    "objects": Unpacker.read_objects,
    "tensor": Unpacker.read_tensor,
    "dtype": Unpacker.read_dtype,
    "shared": lambda reader, held: reader.shared(held),
    "other": lambda reader, held: reader.resolve(reader, held),
}
