"""The kernel of graded notebooks: runs checks past what a notebook can change in IPython.

Started as a script, so that neither the package nor this folder is on the notebook's path. What
it is told is signed with a key that it keeps nowhere but inside a hash object; so are its
answers. It shares the process with the student's code, which a determined student can search:
this makes forging hard and visible, not impossible.
"""

import builtins
import contextlib
import io
import operator
import os
import signal
import sys
import threading
import types
from binascii import a2b_base64, b2a_base64
from hashlib import blake2b
from marshal import dumps, loads
from pathlib import Path

from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp

PRISTINE = dict(vars(builtins))
__builtins__ = PRISTINE  # what functions below find, whatever happens to the module `builtins`
PREFIX = "#lab-grade "
FILENAME = "<check>"
OPERATORS = {
    "Eq": operator.eq,
    "NotEq": operator.ne,
    "Lt": operator.lt,
    "LtE": operator.le,
    "Gt": operator.gt,
    "GtE": operator.ge,
    "In": lambda a, b: a in b,
    "NotIn": lambda a, b: a not in b,
    "Is": operator.is_,
    "IsNot": operator.is_not,
}
PLAIN = {int, float, complex, bool, str, bytes, type(None), types.FunctionType}


def compare(names, *values):
    """Compare as `a < b < c` does, but not with objects that are equal to everything."""
    result = True
    for name, left, right in zip(names, values, values[1:], strict=False):
        if _is_forged(left, right) or _is_forged(right, left):
            raise AssertionError("something here claims to be equal to everything")
        result = OPERATORS[name](left, right)
        if len(names) > 1 and not result:
            return result
    return result


def _is_forged(value, other) -> bool:
    if type(value) in PLAIN:
        return False
    if type(value) in (list, tuple, set, frozenset, dict):
        items = [*value, *value.values()] if type(value) is dict else value
        return any(_is_forged(item, other) for item in list(items)[:1000])
    probes = [object()]
    if type(other) in (int, float):
        probes += [other + 12345.678, -other - 54321]
    elif type(other) is str:
        probes.append(other + "\0")
    elif type(other) in (tuple, list):
        probes.append([*other, object()] if type(other) is list else (*other, object()))
    for probe in probes:
        # Honest comparisons with something foreign are false or raise.
        with contextlib.suppress(Exception):
            if value == probe or (value < probe and value > probe):
                return True
    return False


class Library:
    """The functions of the modules that checks use, as they were before the student's code."""

    def __init__(self, namespace: dict):
        modules = [builtins]
        for thing in namespace.values():
            name = thing.__name__ if isinstance(thing, types.ModuleType) else None
            modules.append(sys.modules.get(name or getattr(thing, "__module__", None)))
        self.owners = {}
        for module in modules:
            root = getattr(module, "__name__", "__main__").split(".")[0]
            if root in ("__main__", "matplotlib", "IPython"):  # pyplot changes its own functions
                continue
            for owner in (module, *vars(module).values()):
                if owner is module or (isinstance(owner, type) and owner not in self.owners):
                    self.owners[owner] = {k: v for k, v in vars(owner).items() if callable(v)}
        PLAIN.update(owner for owner in self.owners if isinstance(owner, type))

    def restore(self) -> list[str]:
        """Put back what was replaced, and return its names."""
        replaced = []
        for owner, functions in self.owners.items():
            now = vars(owner)
            for name, function in functions.items():
                if now.get(name) is not function:
                    with contextlib.suppress(TypeError, AttributeError):
                        setattr(owner, name, function)
                        replaced.append(f"{owner.__name__}.{name}")
        return replaced


def checker(key: bytes, prelude: bytes):
    """Return the function that runs a signed message and signs its answer.

    Only functions written in C, bound before the student's code, stand between an outcome and
    its signature.
    """
    state = blake2b(key=key)
    namespace = {"__builtins__": dict(PRISTINE), "__name__": "__main__"}
    exec(loads(prelude), namespace)
    library = Library({k: v for k, v in namespace.items() if k != "__builtins__"})

    def sign(content: bytes) -> str:
        signature = state.copy()
        signature.update(content)
        return signature.hexdigest()

    def attempt(message: dict, user: dict, unsolved: bool) -> tuple[str, str, int]:
        names = {**user, "__builtins__": dict(PRISTINE), "__name__": "__main__"}
        steps = []
        names[message["compare"]], names[message["step"]] = compare, steps.append
        line = 0
        try:
            exec(message["prelude"], names)
            if unsolved:
                for cell in message["unsolved"]:
                    try:
                        exec(cell, names)
                    except Exception:
                        continue
            exec(message["check"], names)
        except KeyboardInterrupt:
            return "timeout", "", 0
        except BaseException as error:
            outcome = "failed" if type(error) is AssertionError else "error"
            trace = error.__traceback__
            while trace:
                if trace.tb_frame.f_code.co_filename == FILENAME:
                    line = trace.tb_lineno
                trace = trace.tb_next
            return outcome, f"{type(error).__name__}: {error}"[:2000], line
        if steps != list(range(message["steps"])):
            return "forged", "not every line of the check ran", 0
        return "passed", "", 0

    def run(content: bytes, signature: str, user: dict) -> dict:
        if sign(content) != signature:
            raise ValueError("this is not from the grader")
        message = loads(content)
        sys.settrace(None)
        sys.setprofile(None)
        threading.settrace(None)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        replaced = library.restore()
        streams = sys.stdout, sys.stderr
        sys.stdout = sys.stderr = io.StringIO()
        try:
            outcome, error, line = attempt(message, user, unsolved=True)
            if outcome == "passed":
                outcome, error, line = "forged", "it passes without a solution, too", 0
            elif outcome != "timeout":
                replaced += library.restore()
                outcome, error, line = attempt(message, user, unsolved=False)
        finally:
            sys.stdout, sys.stderr = streams
        answer = dumps((message["challenge"], outcome, error, line, replaced[:20]))
        return {"answer": b2a_base64(answer).decode(), "signature": sign(answer)}

    return run


def kernel_class() -> type[IPythonKernel]:
    """Return a kernel that takes its checker from the first message, and keeps it to itself."""
    run = None

    class GradingKernel(IPythonKernel):
        async def do_execute(self, code, silent, *args, **kwargs):
            nonlocal run
            if not code.startswith(PREFIX):
                return await super().do_execute(code, silent, *args, **kwargs)
            content, signature = code.removeprefix(PREFIX).split()
            if run is None:
                run = checker(*loads(a2b_base64(content)))
                answer = {}
            else:
                answer = run(a2b_base64(content), signature, self.shell.user_ns)
            return {
                "status": "ok",
                "execution_count": 0,
                "payload": [],
                "user_expressions": {"lab": answer},
            }

    return GradingKernel


def limit_resources(memory: int) -> None:
    """Let this process have so many bytes, where the system can limit them."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**30, 2**30))
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


if __name__ == "__main__":
    limit_resources(int(sys.argv.pop(1)))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    os.dup2(null, 2)
    sys.path.append(str(Path.cwd()))  # last, so that a numpy.py shadows nothing
    IPKernelApp.launch_instance(kernel_class=kernel_class(), ignore_cwd=True)
