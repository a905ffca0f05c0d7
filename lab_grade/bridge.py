"""What a check and a student's kernel say to each other, over a socket.

The check runs in a process of its own, which the student's code never sees. What it takes from a
notebook, it asks for: plain values come as copies, anything else stays where it is, and a
`StandIn` asks it to do what the check does with it. The same class `Peer` is at both ends, since
a check may hand its own functions to those of a student.
"""

import builtins
import contextlib
import copy
import io
import operator
import os
import pickle
import random
import select
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lab_grade.wire import Packer, Unpacker

ASK, REPLY, LINKED, ERROR, END = range(5)
MAX_MESSAGE, MAX_SMALL = 2**28, 2**14  # bytes of a message; of parts that are sent together
MAX_TEXT = 2000  # characters of an error's message
FIGURES, MAX_FIGURES = "leaderboard.json", 2000  # in the data folder; bytes of it
WRONG_KIND = "an object of the class {} stands where a number, text, list or array is looked for"
NO_WAITING = getattr(os, "O_NONBLOCK", 0)  # for the other end of a pipe
ARITHMETIC = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul")
LOGIC = ("and", "or", "xor")
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")


def to_array(value: Any, *kind: Any) -> Any:
    """Return an object as numpy takes it."""
    import numpy as np

    return np.asarray(value, *kind)


OPERATIONS: dict[str, Callable] = {
    **{function.__name__: function for function in (bool, float, int, complex, str, repr, format)},
    **{function.__name__: function for function in (getattr, setattr, len, iter, next)},
    **{function.__name__: function for function in (isinstance, abs)},
    **{name: getattr(operator, name) for name in ("index", "getitem", "setitem", "delitem")},
    **{name: getattr(operator, name) for name in ("neg", "pos", "invert", *COMPARISONS)},
    **{name: getattr(operator, f"__{name}__") for name in (*ARITHMETIC, *LOGIC)},
    "to_array": to_array,
    "deepcopy": copy.deepcopy,
    "enter": lambda manager: type(manager).__enter__(manager),
    "leave": lambda manager, *about: type(manager).__exit__(manager, *about),
}


class Ended(BaseException):
    """A check was stopped, or the other end is gone: `outcome` and a message say why."""

    def __init__(self, outcome: str, message: str):
        super().__init__(message)
        self.outcome = outcome


class Channel:
    """Messages over a socket, each with its kind and its length before it."""

    def __init__(self, connection: socket.socket, watch: Callable[[], None] = lambda: None):
        self.connection, self.watch = connection, watch
        self.is_waiting = False  # for a message, of which a part may be there
        connection.setblocking(True)

    def send(self, kind: int, parts: Sequence = ()) -> None:
        small = [struct.pack("<BQ", kind, sum(map(len, parts)))]
        try:
            for part in parts:
                if len(part) < MAX_SMALL:
                    small.append(part)
                    continue
                self.connection.sendall(b"".join(small))
                self.connection.sendall(part)
                small = []
            self.connection.sendall(b"".join(small))
        except OSError:
            raise Ended("died", "the other end is gone") from None

    def receive(self) -> tuple[int, bytearray]:
        self.is_waiting = True
        kind, size = struct.unpack("<BQ", self._take(9))
        if size > MAX_MESSAGE:
            raise Ended("memory", f"an answer has {size} bytes")
        content = self._take(size)
        self.is_waiting = False
        return kind, content

    def _take(self, size: int) -> bytearray:
        taken = bytearray(size)
        place, view = 0, memoryview(taken)
        while place < size:
            self.watch()
            if not select.select([self.connection], [], [], 0.1)[0]:
                continue
            try:
                count = self.connection.recv_into(view[place:])
            except OSError:
                count = 0
            if count == 0:
                raise Ended("died", "the other end is gone")
            place += count
        return taken


class StandIn:
    """Stands for an object at the other end.

    It is compared and calculated with only beside objects of the other end: who answers with one
    cannot see what a check expects, and is equal to nothing.
    """

    __slots__ = ("_lab_kind", "_lab_number", "_lab_peer")

    def __init__(self, peer: "Peer", number: int, kind: str):
        for name, value in zip(StandIn.__slots__, (kind, number, peer), strict=True):
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in ("__name__", "__doc__", "__qualname__"):
            raise AttributeError(name)  # libraries would believe what they say
        return self._lab_peer.run("getattr", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._lab_peer.run("setattr", self, name, value)

    def __array__(self, dtype=None, copy=None):
        return self._lab_peer.run("to_array", self, *([] if dtype is None else [dtype.str]))

    def __instancecheck__(self, value: Any) -> bool:
        if get_number(value) is None:
            return False
        return self._lab_peer.ask("run", "isinstance", [value, self], {}, False)[0][1]

    def __exit__(self, *about):
        return self._lab_peer.run("leave", self, None, None, None)

    def __deepcopy__(self, memo):
        return self._lab_peer.run("deepcopy", self)

    def __hash__(self):
        return id(self)


class CallableStandIn(StandIn):
    """Stands for a function, a class or another object that can be called."""

    __slots__ = ()

    def __call__(self, *args, **kwargs):
        return self._lab_peer.run(self, *args, **kwargs)


class Unexpected(StandIn):
    """Stands for an object where the reference has a plain value: it may be read as one."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(WRONG_KIND.format(self._lab_kind))


def _ask_for(name: str) -> Callable:
    return lambda self, *args: self._lab_peer.run(name, self, *args)


def _compare_by(name: str) -> Callable:
    def compare(self, other):
        if get_number(other) is not None and type(self) is not Unexpected:
            return self._lab_peer.run(name, self, other)
        if other is None and name in ("eq", "ne"):
            return name == "ne"
        raise TypeError(WRONG_KIND.format(self._lab_kind))

    return compare


ASKED_FOR = "bool float int complex str repr format len iter next abs neg pos invert enter"
for _name in f"{ASKED_FOR} index getitem setitem delitem".split():
    setattr(StandIn, f"__{_name}__", _ask_for(_name))
for _name in (*COMPARISONS, *ARITHMETIC, *LOGIC):
    setattr(StandIn, f"__{_name}__", _compare_by(_name))


def get_number(value: Any) -> int | None:
    """Return the number of an object of the other end, or None for one of this end."""
    if isinstance(value, StandIn):
        return value._lab_number
    held = getattr(value, "__dict__", None)
    return held.get("_lab_number") if isinstance(held, dict) else None


def describe_error(error: BaseException) -> list[str]:
    """Return the name, the text and the built-in base of an error."""
    try:
        text = str(error)[:MAX_TEXT]
    except BaseException:  # noqa: BLE001 - its text is a student's code, too
        text = ""
    base = next(kind for kind in type(error).__mro__ if kind.__module__ == "builtins")
    return [type(error).__name__, text, base.__name__]


def make_error(name: str, text: str, base: str) -> Exception:
    """Return an error as the other end described it."""
    members = {"__str__": lambda _: text, "__init__": lambda *_: None}
    try:
        return type(name, (getattr(builtins, base),), members)()
    except Exception:  # noqa: BLE001 - of a kind that ends a process, or that needs more
        return type(name, (Exception,), members)()


def renew(old: Any, new: Any) -> Any:
    """Bring an argument to what a function at the other end has made of it; return it."""
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if isinstance(old, list) and isinstance(new, list):
        same = len(old) == len(new)
        old[:] = [renew(*pair) for pair in zip(old, new, strict=True)] if same else new
    elif isinstance(old, dict) and isinstance(new, dict):
        renewed = {key: renew(old[key], new[key]) if key in old else new[key] for key in new}
        old.clear()
        old.update(renewed)
    elif isinstance(old, set | deque) and type(old) is type(new):
        old.clear()
        (old.update if isinstance(old, set) else old.extend)(new)
    elif isinstance(old, bytearray):
        old[:] = new
    elif numpy and isinstance(old, numpy.ndarray) and old.shape == getattr(new, "shape", None):
        old[...] = new
    elif torch and isinstance(old, torch.Tensor) and old.shape == getattr(new, "shape", None):
        old.data.copy_(new)
    elif torch and isinstance(old, torch.nn.Module):
        old.load_state_dict(new)
    else:
        return new
    return old


class Randomness:
    """The random numbers of Python, numpy and torch, which go on at the other end."""

    def __init__(self):
        self.known = self.take()

    def take(self) -> list:
        numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
        numbers = None
        if numpy and "numpy.random" in sys.modules:
            kind, key, *others = numpy.random.get_state()
            numbers = (kind, key.tobytes(), *others)
        return [random.getstate(), numbers, torch and torch.get_rng_state().numpy().tobytes()]

    def find_changes(self) -> list:
        """Return the states that have changed since they were last the same at both ends."""
        now = self.take()
        changed = [n if n != k else None for n, k in zip(now, self.known, strict=True)]
        self.known = now
        return changed

    def apply(self, changed: list) -> None:
        python, numbers, tensors = changed
        numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
        if python is not None:
            random.setstate(python)
        if numbers is not None and numpy:
            kind, key, *others = numbers
            numpy.random.set_state((kind, numpy.frombuffer(key, numpy.uint32), *others))
        if tensors is not None and torch:
            torch.set_rng_state(torch.frombuffer(bytearray(tensors), dtype=torch.uint8))
        pairs = zip(changed, self.known, strict=True)
        self.known = [known if new is None else new for new, known in pairs]


class Peer:
    """One end of the connection, for the time of one check."""

    def __init__(self, channel: Channel):
        self.channel = channel
        self.objects: list[Any] = []  # those of this end that the other one may name
        self.numbers: dict[int, int] = {}
        self.stand_ins: dict[int, Any] = {}
        self.randomness = Randomness()
        self._tensors: Any = None

    @property
    def tensors(self) -> Any:
        """What both ends share of torch, or None before either has imported it."""
        if self._tensors is None and "torch" in sys.modules:
            from lab_grade.tensors import Tensors

            self._tensors = Tensors(self)
        return self._tensors

    # Asking

    def run(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a function of the other end, or one of `OPERATIONS`, with these arguments."""
        if self.tensors and self.tensors.is_recording():
            result, changed = self.tensors.run_linked(function, args, kwargs)
        else:
            (_, result, changed), _ = self.ask("run", function, list(args), kwargs, False)
        for key, new in changed.items():
            renew(args[key] if isinstance(key, int) else kwargs[key], new)
        return result

    def ask(self, action: str, *values: Any) -> tuple[Any, list]:
        """Return what the other end answers, and its tensors that need a gradient."""
        self.channel.send(ASK, self.pack([action, *values], action != "backward")[1])
        while True:
            kind, content = self.channel.receive()
            value, needing, grad = self.read(kind, content)
            if kind == ASK:
                self.answer(value[0], value[1:], needing, grad)
            elif kind == ERROR:
                asked_for = [name for name in values[:1] if type(name) is str]
                if value[2] == "StopIteration" and asked_for != ["next"]:  # it would end a loop
                    value[2] = "RuntimeError"
                raise make_error(*map(str, value))
            else:
                return value, needing

    # Answering

    def answer(self, action: str, values: list, needing: list, grad: bool) -> None:
        """Do what the other end asks for, and send what came of it."""
        token = 0
        try:
            with self.tensors.surround(grad) if self.tensors else contextlib.nullcontext():
                found = self.act(action, values)
            token = found[0] if action == "run" else 0
            packer, content = self.pack(found, action != "backward")
            kind = LINKED if token else REPLY
        except Ended:
            raise
        except BaseException as error:  # noqa: BLE001 - what the other end caused
            kind, packer, content = ERROR, *self.pack(describe_error(error))
        if token and kind == LINKED:
            self.tensors.graphs[token] = needing, packer.needing
        self.channel.send(kind, content)

    def act(self, action: str, values: list) -> Any:
        """Return what the other end asks for."""
        if action == "run":
            return self.call(*values)
        if action == "backward":
            return self.tensors.go_back(*values)
        raise ValueError(action)

    def call(self, function: Any, args: list, kwargs: dict, is_linked: bool) -> list:
        function = OPERATIONS[function] if isinstance(function, str) else function
        named = [*enumerate(args), *kwargs.items()]
        before = {key: self.fingerprint(value) for key, value in named if self.is_copy(value)}
        result = function(*args, **kwargs)
        changed = {k: v for k, v in named if k in before and self.fingerprint(v) != before[k]}
        if self.tensors:
            changed = self.tensors.detach(changed)
        token = next(self.tensors.tokens) if is_linked and self.tensors else 0
        return [token, result, changed]

    def is_copy(self, value: Any) -> bool:
        """Tell whether an argument is a copy, and what it is a copy of should change with it."""
        if isinstance(value, list | dict | set | bytearray | deque):
            return True
        numpy = sys.modules.get("numpy")
        if numpy and isinstance(value, numpy.ndarray):
            return True
        return bool(self.tensors and self.tensors.is_copy(value))

    def fingerprint(self, value: Any) -> bytes:
        value = self.tensors.detach({0: value})[0] if self.tensors else value
        return b"".join(Packer(lambda _, other: id(other), self.share).pack(value))

    # Messages

    def pack(self, value: Any, with_tensors: bool = True) -> tuple[Packer, list]:
        """Return a message; with a gradient, no tensors are sent that may have changed as well."""
        tensors = self.tensors if with_tensors else None
        state = [self.randomness.find_changes(), tensors and tensors.find_changes()]
        packer = Packer(self.refer, self.share)
        return packer, packer.pack([value, *state])

    def read(self, kind: int, content: bytearray) -> tuple[Any, list, bool]:
        """Return what a message says, its tensors that need a gradient, and the mode of those."""
        unpacker = Unpacker(self.resolve, lambda n: self.tensors.shared[n], kind == LINKED)
        value, randomness, tensors = unpacker.unpack(content)
        self.randomness.apply(randomness)
        if tensors and self.tensors:
            self.tensors.apply(tensors)
        return value, unpacker.needing, bool(tensors and tensors["grad"])

    def share(self, tensor: Any) -> int | None:
        return self.tensors.numbers.get(id(tensor)) if self.tensors else None

    def number(self, value: Any) -> int:
        """Return the number of an object of this end, which lives as long as the check runs."""
        if id(value) not in self.numbers:
            self.numbers[id(value)] = len(self.objects)
            self.objects.append(value)
        return self.numbers[id(value)]

    def refer(self, packer: Packer, value: Any) -> dict:  # noqa: ARG002 - others write more
        """Return what stands for an object that is not plain: `mine`, or `yours`."""
        number = get_number(value)
        if number is not None:
            return {"yours": number}
        kind = type(value).__name__
        return {"mine": self.number(value), "kind": kind, "is_callable": callable(value)}

    def resolve(self, reader: Unpacker, held: dict) -> Any:  # noqa: ARG002 - others read more
        if "yours" in held:
            return self.objects[held["yours"]]
        number = held["mine"]
        if number not in self.stand_ins:
            kind = CallableStandIn if held["is_callable"] else StandIn
            self.stand_ins[number] = kind(self, int(number), str(held["kind"]))
        return self.stand_ins[number]


class KernelPeer(Peer):
    """The end of a student's notebook: its names, and those kept when a check was passed by."""

    def __init__(self, channel: Channel, names: dict, kept: dict[int, dict]):
        super().__init__(channel)
        self.names, self.kept = names, kept
        self.classes: dict[str, Any] = {}

    def act(self, action: str, values: list) -> Any:
        match action, *values:
            case "name", name:
                return [self.names[name]] if name in self.names else []
            case ("names",):
                return list(self.names)
            case "keep", number, used:
                return self.keep(number, used)
            case "restore", number:
                self.names.clear()
                return self.names.update(self.kept[number])
            case ("figures",):
                return read_figures()
        return super().act(action, values)

    def keep(self, number: int, used: list[str]) -> None:
        """Keep the names for a hidden check; what it uses may be changed in place until then."""
        kept = self.kept[number] = dict(self.names)
        known: dict = {}
        for name in used:
            with contextlib.suppress(Exception):  # not everything can be copied
                kept[name] = copy.deepcopy(self.names[name], known)

    def refer(self, packer: Packer, value: Any) -> dict:
        is_module = self.tensors and isinstance(value, self.tensors.module_class)
        is_new = is_module and id(value) not in self.numbers
        about = super().refer(packer, value)
        if is_new and "mine" in about:
            about["module"] = packer.write(self.tensors.describe(value))
        return about

    def resolve(self, reader: Unpacker, held: dict) -> Any:
        if "pickle" in held:
            unpickler: Any = pickle.Unpickler(io.BytesIO(reader.buffers[held["pickle"]]))
            unpickler.persistent_load = self.make_class
            return unpickler.load()
        return super().resolve(reader, held)

    def make_class(self, source: str) -> Any:
        """Return a class of a check's, whose code comes with a network."""
        if source not in self.classes:
            made: dict[str, Any] = {}
            exec(source, self.names, made)
            self.classes[source] = made.popitem()[1]
        return self.classes[source]

    def serve(self) -> None:
        """Answer until the check has ended."""
        while True:
            kind, content = self.channel.receive()
            if kind == END:
                return
            value, needing, grad = self.read(kind, content)
            self.answer(value[0], value[1:], needing, grad)


def read_figures() -> str:
    """Return what a notebook has left for the leaderboard."""
    try:
        number = os.open(Path(os.environ["LAB_DATA_DIR"], FIGURES), os.O_RDONLY | NO_WAITING)
        with open(number, "rb") as file:
            return file.read(MAX_FIGURES).decode(errors="replace")
    except (OSError, KeyError):
        return ""
