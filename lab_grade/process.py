"""The process of one submission: its folder, its environment, its limits and its end."""

import json
import os
import shutil
import site
import subprocess
import sys
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

import nbformat
import psutil

from text_recognizer.errors import LabError

PACKAGE = Path(__file__).resolve().parent
# The rest of the instructor's environment, such as tokens, does not concern a submission.
PASSED_ON = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "SYSTEMROOT",
    "LD_LIBRARY_PATH",
    "VIRTUAL_ENV",
    "LAB_FAST",
)
MAX_STARTUP = 180  # seconds in which a process and its kernels start and end


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
    job: dict, files: dict[str, Path], limits: Limits, threads: int, hidden: list[Path] | None
) -> list[dict]:
    """Run a submission in a process and a temporary folder of its own.

    Parameters
    ----------
    job : dict
        The `steps` and the `prelude`, as `lab_grade.plugin` takes them.
    files : dict[str, Path]
        What is copied next to the notebook.
    limits : Limits
        For cells and notebook.
    threads : int
        Of numerical libraries.
    hidden : list[Path] or None
        For a sandbox: the folders that can't be seen in it. None for no sandbox.

    Returns
    -------
    list[dict]
        What became of each step: shorter than the steps if the process came to an end.
    """
    token = uuid.uuid4().hex
    base = Path(tempfile.mkdtemp(prefix="lab-grade-"))
    try:
        notebook = _fill_folder(base, len(job["steps"]), files)
        kernel = [sys.executable, "-P", str(PACKAGE / "kernel.py"), str(limits.memory)]
        job = {
            **job,
            "base": str(base),
            "notebook": str(notebook),
            "limits": vars(limits),
            "kernel": [*kernel, "-f", "{connection_file}"],
            "fonts": [str(path) for path in _find_font_lists()],
            "secret": uuid.uuid4().hex,
        }
        command = [sys.executable, "-P", str(PACKAGE / "plugin.py")]
        process = subprocess.Popen(
            command if hidden is None else [*_sandbox_command(base, hidden), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=base,
            env=_make_environment(base, token, threads),
            start_new_session=True,
        )
        try:
            written, _ = process.communicate(
                json.dumps(job).encode(), timeout=limits.notebook + MAX_STARTUP
            )
            answer = json.loads(written)
            return answer["results"] if answer["secret"] == job["secret"] else []
        except (subprocess.TimeoutExpired, ValueError, KeyError, TypeError):
            return []
        finally:
            process.kill()
            process.wait()
    finally:
        _end_processes(token)
        _remove(base)


def is_sandbox_available() -> bool:
    """Tell whether bubblewrap works on this machine."""
    try:
        require_sandbox()
    except LabError:
        return False
    return True


def require_sandbox() -> None:
    """Make sure that bubblewrap works on this machine.

    Raises
    ------
    LabError
        If it is not installed, or may not make namespaces.
    """
    if shutil.which("bwrap") is None:
        raise LabError(
            "--sandbox needs bubblewrap, which is not installed "
            "(Debian and Ubuntu: apt install bubblewrap; not for macOS and Windows)."
        )
    base = Path(tempfile.mkdtemp(prefix="lab-grade-"))
    tried = subprocess.run([*_sandbox_command(base, []), "true"], capture_output=True, text=True)
    _remove(base)
    if tried.returncode != 0:
        raise LabError(f"--sandbox: bubblewrap does not work here ({tried.stderr.strip()}).")


def _fill_folder(base: Path, steps: int, files: dict[str, Path]) -> Path:
    """Fill a submission's folder, and return the notebook in it: empty cells."""
    for name in ("work", "data"):
        (base / name).mkdir()
    for name, path in files.items():
        (base / "work" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, base / "work" / name)
    cells = [nbformat.v4.new_code_cell(id=f"step-{i}") for i in range(steps)]
    notebook = base / "work" / "graded.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), notebook)
    (base / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    return notebook


def _make_environment(base: Path, token: str, threads: int) -> dict[str, str]:
    passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    ours = {
        "HOME": base,
        "TMPDIR": base,
        "LAB_DATA_DIR": base / "data",
        "LAB_OFFLINE": 1,  # everybody is graded on the bundled sample
        "LAB_GRADING": token,
        "PYTHONPATH": PACKAGE.parent,
        "PYTHONUSERBASE": site.getuserbase(),
        "PYTHONDONTWRITEBYTECODE": 1,
        "PYTHONHASHSEED": 0,
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": 1,
        "PIP_DRY_RUN": 1,  # whoever calls pip past what `placement` leaves out installs nothing
        "PIP_NO_INDEX": 1,
        "OMP_NUM_THREADS": threads,
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",  # large pages: concurrent trainings wait less
    }
    return passed_on | {name: str(value) for name, value in ours.items()}


def _sandbox_command(base: Path, hidden: list[Path]) -> list[str]:
    """Return the command that runs another one in a sandbox: it sees, but writes only in `base`."""
    command = ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]
    for device in sorted(Path("/dev").glob("nvidia*")):
        command += ["--dev-bind", str(device), str(device)]
    prefixes = sys.prefix, sys.base_prefix, site.getuserbase()
    needed = [PACKAGE, *(Path(prefix).resolve() for prefix in prefixes)]
    # What others hand in is in the folder for temporary files while it is graded.
    for folder in {path.resolve() for path in [*hidden, Path(tempfile.gettempdir())]}:
        if folder.is_dir() and not any(path.is_relative_to(folder) for path in needed):
            command += ["--tmpfs", str(folder)]
    command += ["--bind", str(base), str(base), "--chdir", str(base)]
    return [*command, "--unshare-net", "--unshare-pid", "--unshare-ipc", "--die-with-parent"]


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
            Path(path).parent.chmod(0o700)
            Path(path).chmod(0o700)
            function(path)
        except OSError:
            pass  # what stays is in the system's folder for temporary files

    shutil.rmtree(folder, onerror=make_writable)
