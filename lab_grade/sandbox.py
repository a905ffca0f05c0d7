"""What a student's kernel can see and reach: Python, its packages, and its own folder."""

import os
import shutil
import site
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path

from text_recognizer.errors import LabError

PACKAGE = Path(__file__).resolve().parent
# What a kernel runs of ours.
OWN = ("__init__.py", "kernel.py", "bridge.py", "tensors.py", "wire.py")
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
SETTINGS = "alternatives fonts group ld.so.cache ld.so.conf ld.so.conf.d localtime nsswitch.conf"
SETTINGS += " passwd timezone"
# What a kernel has a folder of its own for, by the names of variables.
FOLDERS = ("HOME", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "LAB_DATA_DIR", "MPLCONFIGDIR", "TMPDIR")
ISOLATION = ("user", "pid", "net", "ipc", "uts", "cgroup-try")


def find_packages() -> list[Path]:
    """Return what a notebook of the lab imports, and the files that ship with it."""
    checkout = PACKAGE.parent
    packages = [checkout / "text_recognizer", checkout / "lab_utils"]
    settings = checkout / "pyproject.toml"
    if not settings.exists():
        return packages
    build = tomllib.loads(settings.read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    shipped = build["targets"]["wheel"]["only-include"]
    return [*packages, *(checkout / name for name in shipped if name.startswith("data/"))]


def list_shown(imported: Iterable[str]) -> list[Path]:
    """Return what a kernel needs of this machine, given the files of modules that are imported."""
    prefixes = [Path(prefix) for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix)]
    if site.ENABLE_USER_SITE:
        prefixes.append(Path(site.getusersitepackages()))
    libraries = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    shown = [*map(Path, SYSTEM), *(Path("/etc", name) for name in SETTINGS.split()), *prefixes]
    shown += [Path(folder) for folder in libraries if folder]
    shown += [*find_packages(), *(PACKAGE / name for name in OWN)]
    for file in imported:
        path = Path(file)
        if not any(path.is_relative_to(known) for known in [*shown, PACKAGE]):
            shown.append(path.parent if path.name == "__init__.py" else path)
    return [path for path in dict.fromkeys(shown) if path.exists()]


def wrap(command: list[str], folder: Path, shown: list[Path], covered: dict[str, str]) -> list[str]:
    """Return a command that runs another one in a sandbox, which can write only in its folder.

    It can read what is `shown`; some files are `covered` by others.
    """
    wrapped = ["bwrap", *(f"--unshare-{name}" for name in ISOLATION), "--die-with-parent"]
    wrapped += ["--cap-drop", "ALL", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp"]
    for path in shown:
        if path.is_symlink():  # such as /bin in /usr
            wrapped += ["--symlink", str(path.readlink()), str(path)]
        wrapped += ["--ro-bind", *[str(path.resolve() if path.is_symlink() else path)] * 2]
    for name, other in covered.items():
        wrapped += ["--ro-bind", other, name]
    return [*wrapped, "--bind", str(folder), str(folder), "--remount-ro", "/", *command]


def is_available() -> bool:
    """Tell whether bubblewrap works on this machine."""
    try:
        require()
    except LabError:
        return False
    return True


def require() -> None:
    """Make sure that bubblewrap works on this machine, or raise a `LabError`."""
    if shutil.which("bwrap") is None:
        raise LabError(
            "--sandbox needs bubblewrap, which is not installed "
            "(Debian and Ubuntu: apt install bubblewrap; not for macOS and Windows)."
        )
    with tempfile.TemporaryDirectory(prefix="lab-grade-") as folder:
        command = wrap([sys.executable, "-S", "-c", "1"], Path(folder), list_shown([]), {})
        tried = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if tried.returncode != 0:
        raise LabError(f"--sandbox: bubblewrap does not work here ({tried.stderr.strip()}).")
