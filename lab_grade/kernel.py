"""The kernel of graded notebooks: what a student hands in runs here, and nothing else.

It can see no check and no reference, and what it says is taken for a student's answers.
"""

# ruff: noqa: E402 - some lines must stand before the imports

import contextlib
import gc
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Nobody debugs a submission, and the debugger takes a quarter of a kernel's start.
sys.modules["debugpy"] = None  # type: ignore[assignment]
if os.getppid() == 1:  # as in a sandbox, which ipykernel takes for the death of its parent
    os.environ.pop("JPY_PARENT_PID", None)

from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp

from lab_grade.bridge import Channel, KernelPeer

STREAMS = ("stdin", "stdout", "stderr", "displayhook", "excepthook")


class QuietChannel(Channel):
    """A channel whose messages no interrupt cuts in two: it is for the student's code."""

    def send(self, kind: int, parts: Sequence = ()) -> None:
        with ignore_interrupts():
            super().send(kind, parts)

    def receive(self) -> tuple[int, bytearray]:
        with ignore_interrupts():
            return super().receive()


@contextlib.contextmanager
def ignore_interrupts():
    """Let no interrupt through."""
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def make_kernel_class(channel: Channel, call: str) -> type[IPythonKernel]:
    """Return a kernel that runs cells; at the code `call`, it serves a check over a channel."""
    streams: dict[str, Any] = {}
    kept: dict[int, dict] = {}

    class GradingKernel(IPythonKernel):
        async def do_execute(self, code, silent, *args, **kwargs):
            if not streams:
                streams.update({name: getattr(sys, name) for name in STREAMS})
                shell: Any = self.shell
                tell = shell.payload_manager.write_payload
                shell.ask_exit = lambda: tell({"source": "ask_exit"})  # what follows goes on
                streams["thread"] = getattr(sys.stdout, "pub_thread")  # noqa: B009
                sys.path.append(str(Path.cwd()))  # last, so that a numpy.py shadows nothing
            try:
                if code != call:
                    return await super().do_execute(code, silent, *args, **kwargs)
                signal.signal(signal.SIGINT, signal.default_int_handler)
                KernelPeer(channel, self.shell.user_ns, kept).serve()  # type: ignore[union-attr]
            except Exception as error:  # noqa: BLE001 - a kernel that raises does not answer
                message = {"ename": type(error).__name__, "evalue": str(error), "traceback": []}
                return {"status": "error", "execution_count": 0, "payload": [], **message}
            finally:  # without its streams a kernel no longer answers
                vars(sys).update({name: streams[name] for name in STREAMS})
                for name in ("stdout", "stderr"):
                    streams[name].pub_thread = streams["thread"]
            return {"status": "ok", "execution_count": 0, "payload": [], "user_expressions": {}}

    return GradingKernel


def limit_resources(memory: int) -> None:
    """Let this process have so many bytes, where the system can limit them."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**30, 2**30))
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


def connect(address: str) -> socket.socket:
    """Return a socket that is connected to a path, or to a port of this machine."""
    if address.isdigit():
        return socket.create_connection(("127.0.0.1", int(address)))
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
    return connection


if __name__ == "__main__":
    gc.set_threshold(10_000, 20, 20)  # with Python's own, a sixth of the time of imports is lost
    limit_resources(int(sys.argv.pop(1)))
    address = sys.argv.pop(1)
    bridge = QuietChannel(connect(address))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    os.dup2(null, 2)
    IPKernelApp.launch_instance(
        kernel_class=make_kernel_class(bridge, f"#{address}"), ignore_cwd=True
    )
