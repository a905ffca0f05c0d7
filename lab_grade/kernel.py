"""The kernel of graded notebooks: runs checks past what a notebook can change in IPython.

Started as a script, so that neither the package nor this folder is on the notebook's path. Checks
come as signed messages, and `checker` answers them.
"""

# ruff: noqa: E402 - one line must stand before the imports

import builtins
import contextlib
import os
import sys
from binascii import a2b_base64
from marshal import loads
from pathlib import Path
from typing import Any

# Nobody debugs a submission, and the debugger takes a quarter of a kernel's start.
sys.modules["debugpy"] = None  # type: ignore[assignment]

from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp

PREFIX = "#lab-grade "
STREAMS = ("stdin", "stdout", "stderr", "displayhook", "excepthook")


def start_checker(source: str, key: bytes, prelude: bytes):
    """Return the function that takes a message to a fresh checker, which no module refers to."""
    private: dict[str, Any] = {"__builtins__": dict(vars(builtins)), "__name__": "checker"}
    exec(compile(source, "checker.py", "exec"), private)
    checker = private["run_checker"](key, prelude)
    next(checker)
    checker.send(checker)
    return checker.send


def make_failure(error: Exception) -> dict:
    """Return a reply: a kernel that raises instead does not answer."""
    message = {"ename": type(error).__name__, "evalue": str(error), "traceback": []}
    return {"status": "error", "execution_count": 0, "payload": [], **message}


def make_kernel_class(source: str) -> type[IPythonKernel]:
    """Return a kernel that starts a checker with the first message, before the student's code."""
    send: Any = None
    thread: Any = None
    streams: dict[str, Any] = {}

    class GradingKernel(IPythonKernel):
        async def do_execute(self, code, silent, *args, **kwargs):
            nonlocal send, thread
            if not code.startswith(PREFIX):
                try:
                    return await super().do_execute(code, silent, *args, **kwargs)
                except Exception as error:  # noqa: BLE001 - whatever it is
                    return make_failure(error)
                finally:  # without its streams a kernel no longer answers
                    vars(sys).update(streams)
                    for name in ("stdout", "stderr"):
                        streams[name].pub_thread = thread
            answer: dict[str, str] = {}
            try:
                content, signature = code.removeprefix(PREFIX).split()
                if send is None:
                    streams.update({name: getattr(sys, name) for name in STREAMS})
                    thread = streams["stdout"].pub_thread
                    send = start_checker(source, *loads(a2b_base64(content)))
                else:
                    names = self.shell.user_ns if self.shell else {}
                    answer = send((a2b_base64(content), signature, names))
            except Exception as error:  # noqa: BLE001 - forged messages
                return make_failure(error)
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
    checker_source = Path(__file__).with_name("checker.py").read_text(encoding="utf-8")
    IPKernelApp.launch_instance(kernel_class=make_kernel_class(checker_source), ignore_cwd=True)
