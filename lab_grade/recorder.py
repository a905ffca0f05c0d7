"""Runs submissions and writes down what becomes of them, outside of the sandbox of their kernels.

nbval starts and ends the kernels. Each cell has limits for its time, memory and output while it
runs; after a loop or a death the kernel is started again without the cell that caused it. A check
runs here, by `examiner`, and asks the kernel. Hidden checks come last: nothing that a notebook
says after it has seen their values is shown.

A script. On Linux it is a server: it imports what the reference does, once, and forks for each
submission.
"""

import contextlib
import functools
import gc
import json
import os
import select
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import psutil
import zmq
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager
from nbval import kernel as nbval_kernel

from lab_grade import sandbox
from lab_grade.bridge import END, Channel, Ended
from lab_grade.examiner import Examiner, compile_check, find_shared, run_check, take_plain
from lab_grade.process import FORKS
from lab_grade.samples import split_sample

MAX_GRACE = 5  # seconds for a cell to end after it was interrupted; at most a third of its limit
MAX_RESTARTS = 5
MAX_START = 120  # seconds until a kernel answers: imports of a cold machine take long
LOOK_EVERY = 0.1  # seconds, for time and output; and this often for memory and life:
WEIGH_EVERY = 0.5
SAY = {
    "timeout": "it ran for more than {cell:g} s",
    "output": "it printed without end",
    "memory": "it took too much memory",
    "died": "the kernel died",
}
ENDED = {"outcome": "died", "message": "it ended the kernel"}  # by exit(): it lives
PORTS = os.name == "nt"  # sockets have no paths there


class Recorder:
    """One submission, in one kernel as long as that lives.

    Parameters
    ----------
    job : dict
        What `process.run_submission` makes.
    prelude : code
        The reference's imports and given functions.
    report : callable
        Gets the number of a step and what became of it.
    """

    def __init__(self, job: dict, prelude: CodeType, report: Callable[[int, dict], None]):
        self.job, self.prelude, self.report = job, prelude, report
        self.limits, self.base = job["limits"], Path(job["base"])
        self.grace = min(MAX_GRACE, self.limits["cell"] / 3)
        self.server = os.getppid()
        self.ends = time.monotonic() + self.limits["notebook"]
        self.kernel: Any = None
        self.channel: Any = None
        self.process: psutil.Process
        self.call = ""  # what asks the kernel to serve
        self.starts = 0
        self.done: list[str | int] = []  # cells, and hidden checks passed by: for a fresh kernel
        self.known: dict[int, dict] = {}  # plain values that hidden checks will use
        self.kept = dict(job["kept"])
        self.deadline, self.stopped = 0.0, ""  # of what runs now

    def run(self) -> None:
        """Run all steps, hidden checks last."""
        later = []
        for number, step in enumerate(self.job["steps"]):
            if step["kind"] == "hidden":
                later.append(number)
                if self.ensure_kernel():
                    self.done.append(number)
                    self.serve(functools.partial(self.keep, number))
            else:
                self.run_step(number)
        if self.kernel is not None:
            ask = Examiner(self.channel).ask
            self.report(-1, self.serve(lambda: {"outcome": "ok", "figures": ask("figures")[0]}))
        for number in later:
            self.run_step(number)
        self.stop()

    def run_step(self, number: int) -> None:
        start = time.monotonic()
        step = self.job["steps"][number]
        if not self.ensure_kernel():
            result = {"outcome": "not run", "message": "time was up, or the kernel died too often"}
        elif step["kind"] == "cell":
            result = self.execute(step["source"])
            if result["outcome"] in ("ok", "error") or result == ENDED:
                self.done.append(step["source"])
        else:
            result = self.serve(lambda: self.check(number, step))
        self.report(number, result | {"seconds": round(time.monotonic() - start, 2)})

    # What a serving kernel is asked

    def keep(self, number: int) -> dict:
        """Let the kernel keep its names for a hidden check, and take their plain values."""
        code = compile_check(self.job["steps"][number]["source"])
        examiner = Examiner(self.channel)
        examiner.ask("keep", number, find_shared(examiner, code))
        self.known[number] = take_plain(examiner, code)
        return {"outcome": "ok"}

    def check(self, number: int, step: dict) -> dict:
        """Run a check: a hidden one with the names as they were at its place."""
        if step["kind"] == "hidden":
            Examiner(self.channel).ask("restore", number)
        known = self.known.get(number, {})
        return run_check(self.channel, step["source"], self.prelude, known, self.kept, self.kept)

    def serve(self, work: Callable[[], dict]) -> dict:
        """Let the kernel serve while something asks it; end it where that does not end well."""
        self.begin(self.call)
        is_served = False
        try:
            # By then, a kernel was ended; a check that computes by itself was not.
            with interrupt_after(self.deadline - time.monotonic() + 2 * self.grace + 1):
                result = work()
            if self.kernel is not None and not self.channel.is_waiting:
                self.channel.send(END)
                self.deadline = max(self.deadline, time.monotonic() + MAX_GRACE)
                while self.look() is None:
                    time.sleep(0.001)
                is_served = True
        except Ended as ended:
            result = {"outcome": ended.outcome, "message": str(ended)}
        if not is_served:
            self.stop()
        if self.stopped == "timeout" or (self.stopped and result["outcome"] != "passed"):
            result = {"outcome": self.stopped}
        return self.explain(result["outcome"]) if result["outcome"] in SAY else result

    def explain(self, outcome: str) -> dict:
        return {"outcome": outcome, "message": SAY[outcome].format(**self.limits)}

    def watch(self) -> None:
        """Look after the kernel while a check waits for it."""
        if time.monotonic() > self.looked + LOOK_EVERY and self.look() is not None:
            raise Ended("died", "")  # it no longer serves

    # Cells

    def execute(self, code: str) -> dict:
        """Run a cell within the limits, and return what became of it."""
        self.begin(code)
        poller = zmq.Poller()
        for channel in (self.kernel.kc.shell_channel, self.kernel.kc.iopub_channel):
            poller.register(channel.socket, zmq.POLLIN)
        try:
            while (reply := self.look()) is None:
                poller.poll(100)
        except Ended as ended:
            return self.explain(ended.outcome)
        if self.stopped and not (self.stopped == "output" and reply["status"] == "ok"):
            return self.explain(self.stopped)
        if any(payload.get("source") == "ask_exit" for payload in reply.get("payload", [])):
            return ENDED
        if reply["status"] == "error":
            text = f"{reply.get('ename')}: {reply.get('evalue')}"[:2000]
            return {"outcome": "error", "message": text}
        return {"outcome": "ok", "message": ""}

    def begin(self, code: str) -> None:
        """Send code to the kernel, with the limits of one cell."""
        now = time.monotonic()
        self.message_id = self.kernel.execute_cell_input(code, allow_stdin=False)
        self.deadline = min(now + self.limits["cell"], self.ends)
        self.looked = self.weighed = now
        self.size, self.stopped = 0, ""

    def look(self) -> dict | None:
        """Return the kernel's reply, if it is there; it is `Ended` where it broke its limits."""
        for channel in (self.kernel.kc.iopub_channel, self.kernel.kc.shell_channel):
            while channel.socket.poll(0):
                message = channel.get_msg(timeout=0)
                # Not what is left of cells before it, such as an interrupted loop.
                if message["parent_header"].get("msg_id") != self.message_id:
                    continue
                if message["msg_type"] == "execute_reply":
                    return message["content"]
                self.size += measure_output(message["content"])
        now = self.looked = time.monotonic()
        if now > self.weighed + WEIGH_EVERY:
            self.weighed = now
            if os.getppid() != self.server and FORKS:  # nobody waits for the result
                os._exit(1)
            if not self.kernel.is_alive():
                self.end("died")
            with contextlib.suppress(psutil.Error):
                if sum(p.memory_info().rss for p in self.list_processes()) > self.limits["memory"]:
                    self.end("memory")
        over = "timeout" if now > self.deadline else ""
        over = over or ("output" if self.size > self.limits["output"] else "")
        if over and not self.stopped:
            self.stopped = over
            self.deadline = now + self.grace
            with contextlib.suppress(psutil.Error):
                self.kernel.interrupt() if PORTS else self.process.send_signal(signal.SIGINT)
        elif self.stopped and now > self.deadline:
            self.end(self.stopped)
        return None

    def end(self, outcome: str) -> None:
        self.stop()
        raise Ended(outcome, "")

    # Kernels

    def ensure_kernel(self) -> bool:
        """Bring a kernel to the state that the notebook has reached, or tell that none can be."""
        while self.kernel is None or not self.kernel.is_alive():
            if self.starts > MAX_RESTARTS or time.monotonic() > self.ends:
                return False
            self.starts += 1
            self.stop()
            try:
                self.start()
            except (RuntimeError, OSError):  # memory is short, or the machine is slow
                continue
            for what in list(self.done):
                if isinstance(what, str):
                    result = self.execute(what)
                else:
                    result = self.serve(functools.partial(self.keep, what))
                if result["outcome"] not in ("ok", "error") and result != ENDED:
                    self.done.remove(what)
                    self.stop()
                    break
        return True

    def start(self) -> None:
        """Start a kernel in a new folder: a student may have put code into the old one."""
        folder, given = self.base / f"kernel{self.starts}", self.base / "given"
        for name in ("work", *sandbox.FOLDERS):
            (folder / name).mkdir(parents=True)
        if given.exists():
            shutil.copytree(given, folder / "work", dirs_exist_ok=True)
        for fonts in self.job["fonts"]:
            shutil.copy(fonts, folder / "MPLCONFIGDIR")  # to list them again takes seconds
        for half in () if self.job["shown"] else self.job["covered"].values():
            shutil.copy(half, folder / "LAB_DATA_DIR" / "emnist.h5")  # found before the whole one
        listener = socket.socket(socket.AF_INET if PORTS else socket.AF_UNIX)
        with contextlib.closing(listener):
            listener.bind(("127.0.0.1", 0) if PORTS else str(folder / "bridge"))
            listener.listen(1)
            listener.settimeout(MAX_START)
            address = str(listener.getsockname()[1] if PORTS else folder / "bridge")
            self.call = f"#{address}"
            memory = str(self.limits["memory"])
            script = str(sandbox.PACKAGE / "kernel.py")
            command = [sys.executable, "-P", script, memory, address, "-f", "{connection_file}"]
            command += ["--HistoryManager.hist_file=:memory:"]  # on a disk, it takes its time
            if self.job["shown"]:
                shown = [Path(path) for path in self.job["shown"]]
                command = sandbox.wrap(command, folder, shown, self.job["covered"])
            own = {name: str(folder / name) for name in sandbox.FOLDERS}
            own |= {"LAB_GRADING": self.job["token"], "MPLBACKEND": ""}  # ipykernel's own
            spec = KernelSpec(argv=command, display_name="grading", language="python", env=own)
            nbval_kernel.NbvalKernelspecManager.get_kernel_spec = lambda *_: spec
            nbval_kernel.KernelManager = functools.partial(
                KernelManager,
                transport="tcp" if PORTS else "ipc",
                connection_file=str(folder / "kernel.json"),
            )
            work = str(folder / "work")
            self.kernel = nbval_kernel.RunningKernel("lab", work, startup_timeout=MAX_START)
            connection, _ = listener.accept()
        self.channel = Channel(connection, self.watch)
        tree = self.list_processes()
        self.process = next((p for p in tree if p.name() != "bwrap"), tree[0])

    def list_processes(self) -> list[psutil.Process]:
        """Return the kernel's processes: in a sandbox, two of bubblewrap's come first."""
        first = psutil.Process(self.kernel.km.provisioner.pid)
        return [first, *first.children(recursive=True)]

    def stop(self) -> None:
        """End the kernel, if there is one."""
        if self.kernel is not None and hasattr(self.kernel, "km"):
            if process := self.kernel.km.provisioner.process:
                process.kill()
                process.wait()  # its manager would look every 0.1 seconds only
            self.kernel.stop()
            self.channel.connection.close()
        self.kernel = None


def measure_output(content: dict) -> int:
    """Return the size of what a message shows."""
    data = content.get("data")
    shown = data.values() if isinstance(data, dict) else [content.get("text", "")]
    return sum(len(text) if isinstance(text, str) else 100 for text in shown)


@contextlib.contextmanager
def interrupt_after(seconds: float) -> Iterator[None]:
    """End whatever runs then by `Ended`, where the system can do that."""

    def give_up(*_: Any) -> None:
        raise Ended("timeout", "")

    if not hasattr(signal, "setitimer"):
        yield
        return
    signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.1))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def serve(listener: socket.socket, prelude: CodeType) -> None:
    """Fork for each submission, as long as the process lives that has started this one."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
        connection, _ = listener.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listener.close()
            with contextlib.suppress(Exception), connection.makefile("rwb") as file:
                run_job(file.readline(), prelude, file)
            os._exit(0)
        connection.close()


def run_job(line: bytes, prelude: CodeType, out: Any) -> None:
    """Run a submission; write a line for each step, and one when all is done."""
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)

    def tell(*what: Any) -> None:
        out.write(json.dumps(what).encode() + b"\n")
        out.flush()

    tell("pid", os.getpid())
    recorder = Recorder(json.loads(line), prelude, tell)
    recorder.run()
    tell("kept", recorder.kept)


def import_all(source: str) -> tuple[CodeType, str]:
    """Import what a reference does; return its code, and what went wrong."""
    prelude = compile(source, "<given>", "exec")
    try:
        exec(prelude, {"__name__": "__main__"})
        if torch := sys.modules.get("torch"):  # the first step of any optimizer imports for seconds
            torch.optim.SGD([torch.zeros(1)]).step()
    except BaseException as error:  # noqa: BLE001 - whatever a reference imports
        return prelude, f"the reference's imports failed: {type(error).__name__}: {error}"
    return prelude, ""


def main() -> None:
    """Read the reference's imports from the first line, and serve, or run the job of the next."""
    folder = Path(sys.argv[1])
    source = json.loads(sys.stdin.buffer.readline())
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    prelude, trouble = import_all(source)
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    told = {
        "trouble": trouble,
        "shown": [str(path) for path in sandbox.list_shown(filter(None, files))],
        "covered": split_sample(folder) if "text_recognizer.data" in sys.modules else {},
    }
    listener = socket.socket(socket.AF_UNIX) if FORKS else None
    if listener:
        listener.bind(str(folder / "server"))
        listener.listen(1000)
    out.write(json.dumps(told).encode() + b"\n")
    out.flush()
    gc.freeze()  # what is imported is not looked through again
    if listener and not trouble:
        serve(listener, prelude)
    elif not trouble:
        run_job(sys.stdin.buffer.readline(), prelude, out)


if __name__ == "__main__":
    main()
