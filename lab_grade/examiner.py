"""Runs a check, in a process that a student's code never sees.

What the check finds in the notebook comes over `bridge`: plain values, and stand-ins for the rest.
Imports and given functions are the reference's own.
"""

import ast
import builtins
import contextlib
import functools
import io
import pickle
import traceback
import types
import zlib
from collections.abc import Callable, Collection, Iterator
from typing import Any

from lab_grade.bridge import Channel, Ended, Peer, Unexpected, get_number
from lab_grade.wire import Packer, Unpacker

CHECK = "<check>"
# What a student's code may do with what a check has handed to it, besides calling it.
ALLOWED = ("iter", "next", "len", "getitem", "bool", "float", "int", "index", "str", "repr")
CACHED = type(functools.cache(len))


class Examiner(Peer):
    """The end of a check, which answers only for what it has handed over itself.

    `places` are those of the check at which objects came from the reference, and names of objects:
    elsewhere, what imitates a number or a tensor would tell the check what it likes. The reference
    itself has none, and tells those that are `found`.
    """

    source = ""  # of the check
    name = ""  # that is looked up

    def __init__(self, channel: Channel, places: Collection[str] | None = None):
        super().__init__(channel)
        self.places, self.found = places, set[str]()

    def act(self, action: str, values: list) -> Any:
        if action == "run" and isinstance(values[0], str):
            name, (value, *others) = values[0], values[1]
            if name == "getattr":
                is_of_check = type(value).__module__ == "__main__"
                if not is_of_check or str(others[0]).startswith("_"):
                    raise AttributeError(others[0])
            elif name not in ALLOWED:
                raise TypeError(f"{name}: not with what a check has handed over")
        elif action not in ("run", "backward"):
            raise ValueError(action)
        return super().act(action, values)

    def resolve(self, reader: Unpacker, held: dict) -> Any:
        if "module" in held:
            import torch  # noqa: F401 - the notebook has it

            self.tensors.build(reader.read(held["module"]))
        value = super().resolve(reader, held)
        if (number := get_number(value)) is not None:
            frames = (f for f, _ in traceback.walk_stack(None) if f.f_code.co_filename == CHECK)
            places = (f"{frame.f_code.co_firstlineno} {frame.f_lasti}" for frame in frames)
            place = self.name or next(places, "")
            self.found.add(place)
            if self.places is not None and place not in self.places:
                return Unexpected(self, number, str(held.get("kind")))
        return value

    def read(self, kind: int, content: bytearray) -> tuple[Any, list, bool]:
        try:
            return super().read(kind, content)
        except ValueError as error:
            raise Ended("error", f"its answer cannot be read: {error}") from None

    def refer(self, packer: Packer, value: Any) -> dict:
        """Hand over networks and what belongs to a library as copies, and others by their names."""
        if get_number(value) is None and id(value) not in self.numbers:
            with contextlib.suppress(Exception):  # not everything can be copied
                pickler: Any = pickle.Pickler(content := io.BytesIO())
                if self.tensors and isinstance(value, self.tensors.module_class):
                    pickler.persistent_id = functools.partial(find_class, self.source)
                pickler.dump(value)
                return {"pickle": packer.keep(content.getvalue())}
        return super().refer(packer, value)


def find_class(source: str, value: Any) -> str | None:
    """Return the code of a class, if it is one of a check's."""
    if not isinstance(value, type) or value.__module__ != "__main__":
        return None
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef)]
    return next(ast.unparse(node) for node in nodes if node.name == value.__name__)


class Names(dict):
    """The names of a check: the reference's, then the notebook's."""

    def __init__(self, peer: Examiner, known: dict[str, Any]):
        shown = {"display": lambda *_, **__: None, "get_ipython": lambda: None}
        super().__init__(shown | known, __builtins__=builtins, __name__="__main__")
        self.peer = peer

    def __missing__(self, name: str) -> Any:
        if hasattr(builtins, name) or name.startswith("__"):
            raise KeyError(name)  # a student's `len = 5` does not concern a check
        self.peer.name = name
        found, _ = self.peer.ask("name", name)
        self.peer.name = ""
        if not found:
            raise KeyError(name)
        self[name] = found[0]
        return found[0]


def keep_results(function: Callable, kept: dict[str, Any]) -> Callable:
    """Return a given function with `functools.cache` that is computed once for a class."""

    def call(*args):
        key = f"{function.__name__}{args!r}"
        if key not in kept:
            kept[key] = function(*args)
        return kept[key]

    return call


def find_names(code: types.CodeType) -> Iterator[str]:
    """Yield the names that code uses."""
    yield from code.co_names
    for part in code.co_consts:
        if isinstance(part, types.CodeType):
            yield from find_names(part)


def find_shared(peer: Peer, code: types.CodeType) -> list[str]:
    """Return the names of a notebook that code uses: it is told no others of a hidden check."""
    known = peer.ask("names")[0]
    return [name for name in dict.fromkeys(find_names(code)) if name in known]


def compile_check(source: str) -> types.CodeType:
    """Return the code of a check, by whose name its lines are found in a traceback."""
    return compile(ast.parse(source), CHECK, "exec")


def take_plain(peer: Examiner, code: types.CodeType) -> dict[str, Any]:
    """Return the plain values that a check uses, which the notebook may still change in place."""
    taken, names = {}, Names(peer, {})
    for name in find_shared(peer, code):
        count = len(peer.stand_ins)
        with contextlib.suppress(KeyError):
            value = names[name]
            if len(peer.stand_ins) == count:
                taken[name] = value
    return taken


def run_check(
    channel: Channel, source: str, prelude: types.CodeType, known: dict, kept: dict, places=None
) -> dict:
    """Return what became of a check, while the notebook's kernel serves.

    The `prelude` has the reference's imports and given functions, of which those with
    `functools.cache` return what is `kept`, and add to it. `known` are names as they were earlier.
    The first to pass a check, the reference, tells `places` where objects may come from others.
    """
    code, places = compile_check(source), {} if places is None else places
    check = f"objects of {zlib.crc32(ast.dump(ast.parse(source)).encode())}"
    examiner, line = Examiner(channel, places.get(check)), 0
    names, examiner.source = Names(examiner, known), source
    try:
        exec(prelude, names)
        for name, value in list(names.items()):
            if type(value) is CACHED:
                names[name] = keep_results(value, kept)
        exec(code, names)
    except Ended as ended:
        return {"outcome": ended.outcome, "message": str(ended)}
    except BaseException as error:  # noqa: BLE001 - whatever a check comes to
        for frame, number in traceback.walk_tb(error.__traceback__):
            line = number if frame.f_code.co_filename == CHECK else line
        outcome = "failed" if isinstance(error, AssertionError) else "error"
        message = f"{type(error).__name__}: {error}"[:2000]
        return {"outcome": outcome, "message": message, "line": line}
    never_asked_for = {name for name in find_names(code) if name not in names}
    places.setdefault(check, sorted(examiner.found | never_asked_for))
    return {"outcome": "passed", "message": ""}
