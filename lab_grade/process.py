"""The processes of submissions: a recorder for each, a folder, an environment, and their end."""

import atexit
import contextlib
import functools
import hashlib
import json
import os
import platform
import shutil
import signal
import site
import socket
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from lab_grade import sandbox
from lab_grade.sandbox import PACKAGE
from text_recognizer.errors import LabError

LIBRARIES = "h5py ipykernel ipython matplotlib nbval numpy pillow pytorch-lightning torch"
LIBRARIES += " torchmetrics"
# The rest of the instructor's environment, such as tokens, does not concern a submission.
PASSED_ON = "PATH LANG LC_ALL TZ SYSTEMROOT LD_LIBRARY_PATH VIRTUAL_ENV LAB_FAST"
MAX_STARTUP = 180  # seconds in which a process and its kernels start and end
REMOVER = "lab-grade-remover"  # threads: a disk takes its time to remove a folder
FORKS = sys.platform == "linux"  # elsewhere, libraries don't survive it


@dataclass(frozen=True)
class Limits:
    """What one submission may take: seconds per cell and notebook, bytes of memory and output.

    Output is thrown away, so that its limit protects nothing but time: it ends loops that print
    early, and is far above what fits into a notebook that anybody can open.
    """

    cell: float = 120
    notebook: float = 900
    memory: int = 4096 * 2**20
    output: int = 64 * 2**20


def run_submission(
    job: dict, files: dict[str, bytes], limits: Limits, is_sandboxed: bool
) -> tuple[list[dict], dict]:
    """Run a submission in a process and a temporary folder of its own, with one thread.

    Parameters
    ----------
    job : dict
        `steps`, each with its `kind` ("cell", "check" or "hidden") and `source`; the `prelude` of
        checks; what cached functions of the reference have returned, `kept`.
    files : dict[str, bytes]
        What lies next to the notebook.

    Returns
    -------
    outcomes : list[dict]
        What became of each step.
    kept : dict
        What cached functions have returned, these ones included.
    """
    token = uuid.uuid4().hex
    base = _make_folder()
    nothing = {"outcome": "not run", "message": "", "seconds": 0.0}
    outcomes: list[dict] = [nothing | {"outcome": "died"} for _ in job["steps"]]
    kept = job["kept"]
    try:
        for name, content in files.items():
            (base / "given" / name).parent.mkdir(parents=True, exist_ok=True)
            (base / "given" / name).write_bytes(content)
        with _borrow_server(job["prelude"]) as server:
            told = {
                "base": str(base),
                "limits": vars(limits),
                "token": token,
                "fonts": [str(path) for path in _find_font_lists()],
                "shown": server.told["shown"] if is_sandboxed else [],
                "covered": server.told["covered"],
            }
            for number, result in server.run(job | told, limits.notebook + MAX_STARTUP):
                if number == "kept":
                    kept = result
                elif number >= 0:
                    outcomes[number] = result
                else:  # by then, all but hidden checks have run
                    last = max(i for i, step in enumerate(job["steps"]) if step["kind"] != "hidden")
                    outcomes[last] |= {"figures": result.get("figures", "")}
    except ChildProcessError as error:
        outcomes = [nothing | {"message": str(error)} for _ in outcomes]
    finally:
        if not is_sandboxed:
            _end_processes(token)
        threading.Thread(target=_remove, args=(base,), name=REMOVER).start()
    return outcomes, kept


def _make_folder() -> Path:
    """Return a new temporary folder, whose sockets have paths of less than 104 characters."""
    is_long = FORKS and len(tempfile.gettempdir()) > 60
    return Path(tempfile.mkdtemp(prefix="lab-grade-", dir="/tmp" if is_long else None))


@functools.cache
def hash_packages() -> str:
    """Return the SHA-256 of what grades depend on: the lab's packages, its data, and libraries."""
    content = hashlib.sha256(sys.version.encode())
    for name in LIBRARIES.split():
        with contextlib.suppress(PackageNotFoundError):
            content.update(f"{name} {version(name)}\n".encode())
    for package in (PACKAGE, *sandbox.find_packages()):
        for path in sorted([package, *package.rglob("*")]):
            if path.is_file() and "__pycache__" not in path.parts:
                name = path.relative_to(package.parent).as_posix()
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                content.update(f"{name} {digest}\n".encode())
    return content.hexdigest()


def run_elsewhere(packages: str, *arguments: Any) -> tuple[list[dict], dict]:
    """Run a submission on another machine, which must have the same lab as the one that asks."""
    _check_machine(packages, arguments[-1])
    return run_submission(*arguments)


@functools.cache
def _check_machine(packages: str, is_sandboxed: bool) -> None:
    if hash_packages() != packages:
        raise LabError(f"{platform.node()} has another version of the lab or of its libraries")
    if is_sandboxed:
        sandbox.require()


class Server:
    """The process that imports what a reference does, once, and then runs submissions."""

    def __init__(self, prelude: str):
        self.folder = _make_folder()
        folders = {name: str(self.folder / name) for name in sandbox.FOLDERS}
        for folder in folders.values():
            Path(folder).mkdir()
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(PACKAGE / "recorder.py"), str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
            env=_make_environment(MPLBACKEND="agg", **folders),
            start_new_session=True,
        )
        self.write(prelude)
        line = self.process.stdout.readline()  # type: ignore[union-attr]
        # What is shown to a kernel, or covered, on this machine; and what went wrong.
        self.told: dict = json.loads(line) if line else {"trouble": "it could not be started"}
        if self.told["trouble"]:
            self.close()
            raise ChildProcessError(self.told["trouble"])

    def write(self, what: Any) -> None:
        stdin: Any = self.process.stdin
        stdin.write(json.dumps(what).encode() + b"\n")
        stdin.flush()

    def run(self, job: dict, limit: float) -> Iterator[tuple[Any, Any]]:
        """Yield what becomes of each step of a submission, until it ends or time is up."""
        with contextlib.ExitStack() as stack:
            pid, lines = self.process.pid, self.process.stdout
            if FORKS:
                connection = stack.enter_context(socket.socket(socket.AF_UNIX))
                connection.connect(str(self.folder / "server"))
                connection.sendall(json.dumps(job).encode() + b"\n")
                lines = stack.enter_context(connection.makefile("rb"))
            else:
                self.write(job)
            timer = threading.Timer(limit, lambda: os.kill(pid, signal.SIGTERM))
            stack.callback(timer.cancel)
            for line in lines or ():
                name, result = json.loads(line)
                if name == "pid":
                    pid = result
                    timer.start()
                else:
                    yield name, result

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        _remove(self.folder)


_servers: dict[str, Server] = {}
_lock = threading.Lock()


@contextlib.contextmanager
def _borrow_server(prelude: str) -> Iterator[Server]:
    """Yield the server for these imports: where it forks, there is one for everybody."""
    if not FORKS:
        with contextlib.closing(Server(prelude)) as server:
            yield server
        return
    with _lock:
        known = _servers.get(prelude)
        if known is None or known.process.poll() is not None:
            known = _servers[prelude] = Server(prelude)
    yield known


def close_servers() -> None:
    """End the processes that wait for submissions; nothing is left of those that have run."""
    with _lock:
        while _servers:
            _servers.popitem()[1].close()
    for thread in threading.enumerate():
        if thread.name == REMOVER:
            thread.join()


atexit.register(close_servers)


def _make_environment(**ours: str) -> dict[str, str]:
    passed_on = {name: os.environ[name] for name in PASSED_ON.split() if name in os.environ}
    ours |= {
        "LAB_OFFLINE": "1",  # everybody is graded on the bundled sample
        "PYTHONPATH": str(PACKAGE.parent),
        "PYTHONUSERBASE": site.getuserbase(),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "PIP_DRY_RUN": "1",  # whoever calls pip past what `placement` leaves out installs nothing
        "PIP_NO_INDEX": "1",
        "TQDM_DISABLE": "1",  # nobody sees the bars, and each of their steps is a message
        "OMP_NUM_THREADS": "1",  # two that wait for one core take hundreds of times as long
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",  # large pages: concurrent trainings wait less
    }
    return passed_on | ours


def _find_font_lists() -> list[Path]:
    """Return matplotlib's lists of fonts, which take it seconds to make, without importing it."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folders = [Path(cache, "matplotlib"), Path.home() / ".matplotlib"]
    if own := os.environ.get("MPLCONFIGDIR"):
        folders.insert(0, Path(own))
    found = [list(folder.glob("fontlist*.json")) for folder in folders]
    return next(filter(None, found), [])


def _end_processes(token: str) -> None:
    """End what a submission has left running, in whatever session."""
    for process in psutil.process_iter():
        try:
            if process.environ().get("LAB_GRADING") == token:
                process.kill()
        except (psutil.Error, OSError):
            continue  # it is somebody else's, or has ended


def _remove(folder: Path) -> None:
    """Remove a folder, whatever permissions its contents were given."""

    def make_writable(function, path, _):
        try:
            for locked in (Path(path).parent, Path(path)):
                if not locked.is_symlink():  # which may lead anywhere
                    locked.chmod(0o700)
            function(path)
        except OSError:
            pass  # what stays is in the system's folder for temporary files

    shutil.rmtree(folder, onerror=make_writable)
