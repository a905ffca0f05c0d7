"""Runs one submission with nbval, mended: a process of its own, job on stdin, result on stdout.

nbval 0.11 waits out the timeout when a kernel dies and expects all later cells to fail, reads
output only after the cell, and obeys the student's tags. Here each cell has limits for its time,
memory and output while it runs; after a loop or a death the kernel is restarted without the cell
that caused it; and a check counts only with a signed answer of `kernel`.

A script: thirty of them start, and none needs PyTorch.
"""

# ruff: noqa: E402 - some lines must stand before the imports

import contextlib
import ctypes
import json
import os
import secrets
import shutil
import stat
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lab_grade import leave_out_unused_formats

leave_out_unused_formats()
NO_COVERAGE = SimpleNamespace(setup_coverage=None, teardown_coverage=None)
sys.modules["nbval.cover"] = NO_COVERAGE  # type: ignore[assignment]

import psutil
import pytest
import zmq
from jupyter_client.kernelspec import KernelSpec
from nbval.kernel import NbvalKernelspecManager, RunningKernel
from nbval.plugin import IPyNbCell, IPyNbFile

from lab_grade.messages import Signer, Turn, find_turns

MAX_GRACE = 5  # seconds for a cell to end after it was interrupted; at most a third of its limit
MAX_RESTARTS = 5
FIGURES, MAX_FIGURES = "leaderboard.json", 2000  # in the data folder; bytes of it
MIN_PASSED_DECOYS = 4  # in a fresh kernel, before anybody is said to have forged an answer


class GradedNotebook(IPyNbFile):
    """A submission: its steps are run one after the other, in one kernel as long as it lives."""

    kernel: Any

    def collect(self):
        self.job = self.config.lab_job
        self.signer = Signer(self.job)
        self.limits = self.job["limits"]
        self.ends = time.monotonic() + self.limits["notebook"]
        self.done: list[str] = []  # cells to run again in a fresh kernel
        self.starts, self.trouble = 0, ""
        self.sends_decoys, self.decoys_first, self.is_forged = True, True, False
        self.results: list[dict] = self.config.lab_results
        for i, step in enumerate(self.job["steps"]):
            yield GradedCell.from_parent(self, name=f"Step {i}", cell_num=i, cell=step, options={})

    def setup(self):
        pass  # the kernel is started when it is needed

    def run(self, step: dict) -> dict:
        """Run a cell or a check, and return its outcome."""
        if not self.ensure_kernel():
            why = self.trouble or "time was up, or the kernel died too often"
            return {"outcome": "not run", "message": why}
        if not step["is_check"]:
            result, _ = self.execute(step["source"])
            if result["outcome"] in ("ok", "error"):
                self.done.append(step["source"])
            return result
        return self.run_check(step)

    def run_check(self, step: dict) -> dict:
        """Run a check, and a decoy before or after it that no answer passes as well.

        The decoy's answer counts for nothing but itself. Where the two contradict each other,
        which an honest answer that changes from call to call may cause too, a fresh kernel says
        what is so.
        """
        turns = find_turns(step["source"]) if self.sends_decoys else []
        if not turns:
            return self.ask(step)
        turn = secrets.choice(turns)
        first = self.decoys_first and secrets.randbelow(2) == 0
        decoy: dict = {"outcome": ""}
        if first:
            decoy = self.ask(step, turn)
            if decoy["outcome"] != "passed" and not turn.stopped(decoy):
                return decoy  # the check itself would have come to the same end
        result = self.ask(step)
        if result["outcome"] == "passed":
            if not first:
                decoy = self.ask(step, turn)
            if decoy["outcome"] == "passed":
                return self.settle(step, turn, result, first)
            return result
        if decoy["outcome"] == "failed" and result.get("line", 0) <= turn.last:
            # As far as here, the decoy had passed: it may have changed what the check met.
            self.decoys_first = False
            return self.ask(step) if self.renew_kernel() else result
        return result

    def settle(self, step: dict, turn: Turn, result: dict, decoy_first: bool) -> dict:
        """Return what a check is worth that passed, as its decoy did."""
        if self.is_forged or (
            self.renew_kernel()
            and all(self.ask(step, turn)["outcome"] == "passed" for _ in range(MIN_PASSED_DECOYS))
        ):
            self.is_forged = True
            return result | {
                "outcome": "forged",
                "message": "it passes a check and the opposite of it: the answers are forged",
            }
        self.sends_decoys = False
        return self.ask(step) if decoy_first and self.renew_kernel() else result

    def ask(self, step: dict, turn: Turn | None = None) -> dict:
        """Return the answer to a check or to a decoy."""
        message, challenge = self.signer.encode_check(step, turn)
        result, reply = self.execute(message)
        if result["outcome"] != "ok":
            return result
        answer = self.signer.decode_answer(reply, challenge)
        if turn is None and answer.get("passes_unsolved"):
            return answer | {"outcome": "forged", "message": "it passes without a solution, too"}
        return answer

    def renew_kernel(self) -> bool:
        """Bring a fresh kernel to the same state, which does not count as a restart."""
        self.stop()
        self.starts -= 1
        return self.ensure_kernel()

    def ensure_kernel(self) -> bool:
        """Bring a kernel to the state that the notebook has reached, or tell that none can be."""
        while self.kernel is None or not self.kernel.is_alive():
            if self.trouble or self.starts > MAX_RESTARTS or time.monotonic() > self.ends:
                return False
            self.starts += 1
            self.stop()
            folder = self.path.parent
            folder.mkdir(parents=True, exist_ok=True)  # the student's code may have removed it
            self.make_folders()
            try:
                self.kernel = RunningKernel("lab-grading", cwd=str(folder))
            except (RuntimeError, OSError):  # a port was taken, or memory is short
                continue
            result, _ = self.execute(self.signer.greet(), is_greeting=True)
            if result["outcome"] != "ok":  # never the student's doing: nothing of theirs has run
                self.trouble = f"the reference's imports failed: {result['message']}"
                self.stop()
                return False
            for source in list(self.done):
                if self.execute(source)[0]["outcome"] not in ("ok", "error"):
                    self.done.remove(source)
                    self.stop()
                    break
        return True

    def make_folders(self) -> None:
        """Give the next kernel new folders: a student may have put code into the old ones."""
        base = Path(self.job["base"])
        for variable in ("HOME", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR", "TMPDIR"):
            os.environ[variable] = tempfile.mkdtemp(dir=base)
        for fonts in self.job["fonts"]:
            shutil.copy(fonts, os.environ["MPLCONFIGDIR"])  # to list them again takes seconds

    def execute(self, code: str, is_greeting: bool = False) -> tuple[dict, dict]:
        """Run code within the limits; return the outcome, and the reply if there was one."""
        kernel = self.kernel
        limit = 120 if is_greeting else self.limits["cell"]  # imports of a cold machine take long
        message_id = kernel.execute_cell_input(code, allow_stdin=False)
        channels = {"shell": kernel.kc.shell_channel, "iopub": kernel.kc.iopub_channel}
        poller = zmq.Poller()
        for channel in channels.values():
            poller.register(channel.socket, zmq.POLLIN)
        watched = time.monotonic()
        deadline, size, stopped = min(watched + limit, self.ends), 0, ""
        reply: dict | None = None
        while reply is None:
            ready = dict(poller.poll(100))
            if channels["iopub"].socket in ready:
                message = channels["iopub"].get_msg(timeout=0)
                # Not what is left of cells before it, such as an interrupted loop.
                if message["parent_header"].get("msg_id") == message_id:
                    size += _measure_output(message["content"])
            if channels["shell"].socket in ready:
                message = channels["shell"].get_msg(timeout=0)
                if message["parent_header"].get("msg_id") == message_id:
                    reply = message["content"]
                continue
            now = time.monotonic()
            if now > watched + 0.25:
                watched = now
                if not kernel.is_alive():
                    return {"outcome": "died", "message": "the kernel died"}, {}
                if self.measure_memory() > self.limits["memory"]:
                    self.stop()
                    return {"outcome": "memory", "message": "it took too much memory"}, {}
            over = "timeout" if now > deadline else "output" if size > self.limits["output"] else ""
            if over and not stopped:
                stopped, deadline = over, now + min(MAX_GRACE, limit / 3)
                kernel.interrupt()
            elif stopped and now > deadline:
                self.stop()
                break
        if reply is None or (stopped and not (stopped == "output" and reply["status"] == "ok")):
            what = {
                "timeout": f"it ran for more than {limit:g} s",
                "output": "it printed without end",
            }
            return {"outcome": stopped, "message": what[stopped]}, {}
        if any(payload.get("source") == "ask_exit" for payload in reply.get("payload", [])):
            self.stop()
            return {"outcome": "died", "message": "it ended the kernel"}, {}
        if reply["status"] == "error":
            text = f"{reply.get('ename')}: {reply.get('evalue')}"[:2000]
            return {"outcome": "error", "message": text}, reply
        return {"outcome": "ok", "message": ""}, reply

    def take_figures(self) -> dict:
        """Return what a cell has left for the leaderboard, and take it away."""
        file = Path(self.job["base"]) / "data" / FIGURES
        try:
            if not stat.S_ISREG(file.lstat().st_mode):  # a pipe would be waited for
                return {}
            with open(file, "rb") as opened:
                text = opened.read(MAX_FIGURES)
            file.unlink()
        except OSError:
            return {}
        return {"figures": text.decode(errors="replace")}

    def measure_memory(self) -> int:
        """Return the bytes that the kernel and its children hold."""
        try:
            kernel = psutil.Process(self.kernel.km.provisioner.pid)
            return sum(
                process.memory_info().rss for process in [kernel, *kernel.children(recursive=True)]
            )
        except psutil.Error:
            return 0

    def stop(self) -> None:
        """End the kernel, if there is one."""
        if self.kernel is not None and hasattr(self.kernel, "km"):
            self.kernel.stop()
        self.kernel = None

    def teardown(self):
        self.stop()


class GradedCell(IPyNbCell):
    """One step of a submission."""

    def setup(self):
        pass  # nbval would mark all cells after a timeout as expected failures

    def runtest(self):
        start = time.monotonic()
        result = self.parent.run(self.cell) | self.parent.take_figures()
        self.parent.results.append(result | {"seconds": round(time.monotonic() - start, 2)})


class Plugin:
    """Brings the job into pytest, and takes the notebook before nbval does."""

    def __init__(self, job: dict):
        self.job = job
        self.results: list[dict] = []

    def pytest_configure(self, config):
        config.lab_job, config.lab_results = self.job, self.results

    def pytest_collect_file(self, file_path, parent):
        return GradedNotebook.from_parent(parent, path=file_path)


def _measure_output(content: dict) -> int:
    data = content.get("data")
    shown = data.values() if isinstance(data, dict) else [content.get("text", "")]
    return sum(len(text) if isinstance(text, str) else 100 for text in shown)


def adopt_orphans() -> None:
    """Become the parent of processes that kernels leave behind (Linux), to end them."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def main() -> None:
    """Read a job from stdin, run it, and write its results to what was stdout."""
    out = os.dup(1)  # not inherited by kernels
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    job = json.load(sys.stdin)
    os.dup2(null, 0)
    adopt_orphans()
    spec = KernelSpec(argv=job["kernel"], display_name="grading", language="python")
    NbvalKernelspecManager.get_kernel_spec = lambda *_: spec  # no file to be changed
    base = Path(job["base"])
    plugin = Plugin(job)
    where = ["--noconftest", "-c", str(base / "pytest.ini"), "--rootdir", str(base)]
    # The last of them would collect garbage when all is done, for 60 ms.
    plugins = ["-p", "nbval.plugin", "-p", "no:cacheprovider", "-p", "no:unraisableexception"]
    pytest.main([job["notebook"], *where, *plugins, "-q"], plugins=[plugin])
    for process in psutil.Process().children(recursive=True):
        process.kill()
    with os.fdopen(out, "w", encoding="utf-8") as file:
        json.dump({"secret": job["secret"], "results": plugin.results}, file)


if __name__ == "__main__":
    main()
