"""What runs and judges checks inside a grading kernel.

`kernel` executes this file in a dict of its own before any code of a student. The key lives
in the frame of a generator, which an audit hook guards. A student's code that shares a process
can always find a way; this makes it hard, and visible.
"""

# ruff: noqa: BLE001, PTH114, PTH119 - what a student's code may raise is not known

import builtins
import operator
import re
import signal
import sys
import types
from binascii import b2a_base64
from hashlib import blake2b
from io import StringIO
from marshal import dumps, loads
from os import fsdecode
from os.path import basename, islink, realpath
from sys import _getframe, addaudithook, setprofile, settrace
from typing import Any

CHECK = "<check>"
COMPARISONS = {
    "Eq": (operator.eq, "__eq__"),
    "NotEq": (operator.ne, "__ne__", "__eq__"),
    "Lt": (operator.lt, "__lt__", "__gt__"),
    "LtE": (operator.le, "__le__", "__ge__"),
    "Gt": (operator.gt, "__gt__", "__lt__"),
    "GtE": (operator.ge, "__ge__", "__le__"),
    "In": (lambda a, b: a in b, "__contains__", "__iter__", "__eq__"),
    "NotIn": (lambda a, b: a not in b, "__contains__", "__iter__", "__eq__"),
    "Is": (operator.is_,),
    "IsNot": (operator.is_not,),
}
CLASS_HOOKS = ["__array_function__", "__array_ufunc__", "__torch_function__", "__torch_dispatch__"]
FRAMES = ("tb_frame", "gi_frame", "cr_frame", "ag_frame")
FRAME_EVENTS = (
    "sys._getframe",
    "sys._current_frames",
    "sys._current_exceptions",
    "sys.settrace",
    "sys.setprofile",
)
MEMORY = re.compile(r"/proc/.*/mem")
SEARCHES = ("gc.get_objects", "gc.get_referrers", "gc.get_referents")
set_handler, interrupted = signal.signal, signal.default_int_handler
mro = type.__dict__["__mro__"].__get__


class ForgedError(BaseException):
    """What is compared, or who looks, is not what an honest answer would be."""


def find_classes() -> set[type]:
    """Return all classes that there are."""
    found: set[type] = set()
    todo: list[type] = [object]
    while todo:
        new: set[type] = set(type.__subclasses__(todo.pop())) - found
        found |= new
        todo += new
    return found


def _is_wrapped_by_library(new, old) -> bool:
    """Tell whether a library has wrapped its own function, as torch does with its optimizers."""
    names = getattr(new, "__globals__", {})
    module = sys.modules.get(names.get("__name__", ""), operator)
    return getattr(new, "__wrapped__", None) is old and vars(module) is names


class Library:
    """The modules that checks use, as they were before the student's code."""

    def __init__(self, namespace: dict):
        named = [
            value.__name__ if isinstance(value, types.ModuleType) else value.__module__
            for value in namespace.values()
            if isinstance(value, types.ModuleType) or hasattr(value, "__module__")
        ]
        # pyplot changes its own functions.
        roots = {str(name).split(".")[0] for name in named} - {"__main__", "matplotlib", "IPython"}
        self.modules = {
            name: module
            for name, module in sys.modules.items()
            if name.split(".")[0] in roots | {"builtins", "math", "operator"}
            and type(module) is types.ModuleType
        }
        self.owners: dict[Any, dict] = {}
        for module in self.modules.values():
            for owner in (module, *(v for v in vars(module).values() if isinstance(v, type))):
                kept = {k: v for k, v in vars(owner).items() if callable(v)}
                self.owners.setdefault(owner, kept)

    def restore(self) -> list[str]:
        """Put back what was replaced, and return its names."""
        replaced = [
            name for name, module in self.modules.items() if sys.modules.get(name) is not module
        ]
        sys.modules.update(self.modules)
        for owner, functions in self.owners.items():
            now = vars(owner)
            for name, function in functions.items():
                new = now.get(name)
                if new is not function and not _is_wrapped_by_library(new, function):
                    try:
                        setattr(owner, name, function)
                        replaced.append(f"{owner.__name__}.{name}")
                    except (TypeError, AttributeError):
                        continue
        return replaced

    def freeze(self, names: dict) -> None:
        """Give a namespace copies of its modules, which changes to the modules don't reach."""
        copies = {}

        def copy(value):
            if type(value) is not types.ModuleType or self.modules.get(value.__name__) is not value:
                return value
            if value not in copies:
                copies[value] = types.ModuleType(value.__name__)
                vars(copies[value]).update({k: copy(v) for k, v in vars(value).items()})
            return copies[value]

        names.update({name: copy(value) for name, value in names.items()})


def run_checker(key: bytes, prelude: bytes):
    """Take signed messages, each with a check, and give signed answers: a generator.

    `prelude` is marshalled code, what checks import; it runs before any code of a student.
    """
    state = blake2b(key=key)
    mine = dict(vars(builtins))
    namespace = {"__builtins__": dict(mine), "__name__": "__main__"}
    exec(loads(prelude), namespace)
    library = Library({k: v for k, v in namespace.items() if k != "__builtins__"})
    classes = find_classes()
    checking: list[int] = []
    seen: list[str] = []
    looked: list[str] = []
    # For as long as the kernel lives: a decoy puts things back before the check that follows it.
    replaced: list[str] = []
    inside: list[int] = []
    own: list[object] = []

    def is_students(names: dict) -> bool:
        """Tell whether code with these globals does not belong to a module."""
        name = names.get("__name__", "")
        return name == "__main__" or vars(sys.modules.get(name, operator)) is not names

    def leads_here(frame: Any) -> bool:
        """Tell whether this checker's frames are among those that called, or had called."""
        while frame is not None and frame.f_globals is not globals():
            frame = frame.f_back
        return frame is not None

    def is_memory(path) -> bool:
        """Tell whether a path is that of a process's memory, by whatever name."""
        if not isinstance(path, str | bytes):
            return False
        name = fsdecode(path)
        return (basename(name) == "mem" or islink(name)) and bool(
            MEMORY.fullmatch(realpath(name)) or name == "mem"
        )

    def watch(event, args):
        if inside or event[0] not in "osg":
            return
        is_frame = event == "object.__getattr__" and args[1] in FRAMES
        if event in SEARCHES or (is_frame and args[0] in own):
            seen.append(event)
            raise RuntimeError("not while a notebook is graded")
        if not (event == "open" or is_frame or (checking and event in FRAME_EVENTS)):
            return
        inside.append(1)
        try:
            if event == "open":
                if not is_memory(args[0]):
                    return
                looked.append(str(args[0])[:100])
            elif checking:
                frame: Any = _getframe(1)
                if frame.f_globals.get("__name__") == "logging":  # its `currentframe`
                    frame = frame.f_back
                while frame.f_globals.get("__name__") in ("inspect", "traceback"):
                    frame = frame.f_back
                if not is_students(frame.f_globals):
                    return
            # What was raised during a check holds on to this checker's frames.
            elif not (args[1] == "tb_frame" and leads_here(args[0].tb_frame)):
                return
        finally:
            inside.pop()
        seen.append(event)
        raise RuntimeError("not while a notebook is graded")

    addaudithook(watch)

    def is_made_here(kind: type, method: str) -> bool:
        """Tell whether a class is a student's, not a library's that was imported since."""
        names = getattr(vars(kind)[method], "__globals__", None)
        if kind.__module__ == "__main__" or (names is not None and is_students(names)):
            return True
        return vars(sys.modules.get(kind.__module__, operator)).get(kind.__name__) is not kind

    def decides_itself(value, other, methods, depth=0) -> bool:
        """Tell whether a student's class says how its objects compare with another kind."""
        kind = type(value)
        if kind in (list, tuple, set, frozenset, dict) and depth < 5:
            items = [*value, *value.values()] if kind is dict else list(value)
            return any(decides_itself(item, None, ("__eq__",), depth + 1) for item in items[:1000])
        if kind in classes:
            if getattr(value, "dtype", None) is not None and str(value.dtype) == "object":
                return any(decides_itself(v, None, methods, 5) for v in value.ravel()[:1000])
            return False
        if kind is type(other):
            return False
        for method in methods:
            owner = next((owner for owner in mro(kind) if method in vars(owner)), object)
            if owner is not object and owner not in classes and is_made_here(owner, method):
                return True
        try:
            return bool(value == object())  # such as unittest.mock.ANY
        except Exception:
            return False

    def compare(names, *values):
        result = True
        for name, left, right in zip(names, values, values[1:], strict=False):
            function: Any
            function, *methods = COMPARISONS[name]
            if decides_itself(left, right, methods) or decides_itself(right, left, methods):
                raise ForgedError("something here decides for itself what it is equal to")
            result = function(left, right)
            if len(names) > 1 and not result:
                return result
        return result

    def calculate(name, left, right):
        methods = (f"__{name}__", f"__r{name}__")
        if decides_itself(left, right, methods) or decides_itself(right, left, methods):
            raise ForgedError("something here decides for itself how it differs from numbers")
        return getattr(operator, name)(left, right)

    def answers_for_libraries() -> bool:
        return any(
            is_students(getattr(vars(kind).get(name), "__globals__", vars(operator)))
            for kind in find_classes() - classes
            for name in CLASS_HOOKS
        )

    def sign(content: bytes) -> str:
        signature = state.copy()
        signature.update(content)
        return signature.hexdigest()

    def attempt(message: dict, user: dict, unsolved: bool) -> tuple[str, str, int]:
        # A student's `len = 5` does not concern a check.
        # Of a subclass of dict, `items` would be a student's code, too.
        items = dict.items(user) if isinstance(user, dict) else ()
        names = {k: v for k, v in items if type(k) is str and k not in mine}
        names |= {"__builtins__": dict(mine), "__name__": "__main__"}
        line = 0
        steps: list[int] = []
        tools = dict(zip(message["tools"], (compare, calculate, steps.append), strict=True))
        names |= tools
        try:
            exec(message["prelude"], names)
            library.freeze(names)
            if unsolved:
                for cell in message["unsolved"]:
                    try:
                        exec(cell, names)
                    except Exception:
                        continue
            exec(message["check"], names)
        except KeyboardInterrupt:
            return "timeout", "", 0
        except ForgedError as error:
            return "forged", f"{error}", 0
        except BaseException as error:
            outcome = "failed" if type(error) is AssertionError else "error"
            inside.append(1)
            trace = error.__traceback__
            while trace:
                if trace.tb_frame.f_code.co_filename == CHECK:
                    line = trace.tb_lineno
                trace = trace.tb_next
            inside.clear()
            try:
                return outcome, f"{type(error).__name__}: {error}"[:2000], line
            except Exception:  # its text is a student's code, too
                return outcome, type(error).__name__, line
        if steps != list(range(message["steps"])) or any(
            names.get(k) is not v for k, v in tools.items()
        ):
            return "forged", "not every line of the check ran as it stands", 0
        return "passed", "", 0

    def judge(message: dict, user: dict) -> tuple:
        seen.clear()
        settrace(None)
        setprofile(None)
        set_handler(signal.SIGINT, interrupted)
        checking.append(1)  # from here on, a student's code may run
        replaced.extend(library.restore())
        streams = sys.stdout, sys.stderr
        sys.stdout = sys.stderr = StringIO()
        passes_unsolved = False
        try:
            outcome, error, line = attempt(message, user, unsolved=True)
            passes_unsolved = outcome == "passed"
            if outcome != "timeout":
                replaced.extend(library.restore())
                seen.clear()
                outcome, error, line = attempt(message, user, unsolved=False)
                meanwhile = library.restore()
                replaced.extend(meanwhile)
                if outcome == "passed" and meanwhile:
                    outcome, error = "forged", f"it replaced {meanwhile[0]} meanwhile"
                if outcome == "passed" and seen:
                    outcome, error = "forged", f"somebody looked at what called it ({seen[0]})"
                if outcome == "passed" and answers_for_libraries():
                    outcome, error = "forged", "a class answers in place of numpy or torch"
        finally:
            sys.stdout, sys.stderr = streams
            checking.clear()
        found = outcome, error, line, replaced[:20], passes_unsolved, looked[:20]
        return message["challenge"], *found

    own.append((yield))  # the generator itself comes first
    answer: dict[str, str] = {}
    while True:
        got = yield answer
        answer = {}
        try:
            content, signature, user = got
            if sign(content) == signature:
                judged = dumps(judge(loads(content), user))
                answer = {"answer": b2a_base64(judged).decode(), "signature": sign(judged)}
        except Exception:
            continue  # nobody but the grader gets an answer
