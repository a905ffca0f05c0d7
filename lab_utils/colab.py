"""Installs the lab on Colab beside what is there, and keeps what students make on their Drive.

    python lab_utils/colab.py https://github.com/NAME/PROJECT
    PYTHONPATH=WHEEL python -m lab_utils.colab WHEEL

The first cell of each notebook runs one of these, before the lab is installed, so this file imports
nothing but Python's own modules until then.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from importlib import import_module, metadata
from pathlib import Path
from types import BuiltinFunctionType
from typing import Any

BRANCH = "main"
DRIVE = Path("/content/drive")
ON_DRIVE = DRIVE / "MyDrive" / "handwriting_lab"
QUESTION = "Keep drawings and prepared data on your Google Drive? [y/N] "
NAME = "handwriting-lab"


def list_versions() -> dict[str, str]:
    """Return the version of each package that is installed, by its name."""
    versions: dict[str, str] = {}
    for package in metadata.distributions():
        name = re.sub(r"[-_.]+", "-", package.metadata["Name"] or "").lower()
        versions.setdefault(name, package.version)  # the first of several is the one in use
    return versions


def install(source: str) -> str:
    """Install the lab and what it needs, and change nothing that is there.

    Parameters
    ----------
    source : str
        The address of the repository, or the path of a wheel.

    Returns
    -------
    str
        One line: what was installed, or why nothing was and what to do.
    """
    started, before = time.monotonic(), list_versions()
    is_address = source.startswith(("http://", "https://"))
    if not is_address and not Path(source).is_file():
        return "The lab is not installed: run this cell again and choose its wheel (a .whl file)."
    wanted = f"{source}/archive/refs/heads/{BRANCH}.zip" if is_address else source
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "kept.txt"
        numbers = {name: version for name, version in before.items() if name not in ("", NAME)}
        is_number = re.compile(r"[\w.!+-]*\d[\w.!+-]*")
        kept.write_text(
            "".join(f"{n}=={v}\n" for n, v in numbers.items() if is_number.fullmatch(v)),
            encoding="utf-8",
        )
        pip = [sys.executable, "-m", "pip", "install", "--constraint", str(kept), wanted]
        # This may run from within the wheel, which pip must not take for an installed lab.
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        done = subprocess.run(
            pip, env=environment, capture_output=True, text=True, errors="replace"
        )
    if done.returncode:
        return explain(source, done.stdout + done.stderr)
    after = list_versions()
    changed = [name for name in before if name != NAME and after.get(name) != before[name]]
    if changed:
        return f"The lab is installed, but {', '.join(changed)} changed: restart the session."
    added = sorted({*after} - {*before, NAME})
    return (
        f"The lab is installed in {time.monotonic() - started:.0f} s"
        + (f", with {', '.join(added)}" if added else "")
        + "; nothing that was there has changed."
    )


def explain(source: str, log: str) -> str:
    """Return one sentence that says why pip failed and what to do."""
    if "ResolutionImpossible" in log or "conflicting dependencies" in log:
        clashes = re.findall(r"The user requested \(constraint\) (\S+)", log)
        versions = ", ".join(dict.fromkeys(clashes)) or "what is there"
        return (
            f"The lab is not installed, since it does not go with {versions}: choose another "
            "runtime version (Runtime, Change runtime type), or get a newer lab."
        )
    network = r"NewConnectionError|NameResolution|Timeout|onnection (?:refused|error)|: none\)"
    if re.search(network, log):
        return "The lab is not installed, as there is no connection: run this cell again later."
    errors = re.findall(r"ERROR: (.+)", log) or log.split("\n")[-2:-1] or ["pip failed"]
    return f"The lab is not installed ({errors[-1].strip().rstrip('.')}): check {source}."


def set_up(shell: Any) -> None:
    """Let Colab show the canvas, and keep data on Drive if the student says yes.

    Called by `import lab_utils`, before anything is read. IPython imports it after a restart, too,
    when nobody can answer yet: the first cell that runs then asks.
    """
    import_module("google.colab.output").enable_custom_widget_manager()

    def ask(*_: object) -> None:
        shell.events.unregister("pre_run_cell", ask)
        choose_folder()

    # A kernel puts its own function in the place of Python's while a cell runs.
    if isinstance(input, BuiltinFunctionType):
        shell.events.register("pre_run_cell", ask)
    else:
        choose_folder()


def choose_folder() -> None:
    """Ask where data are kept, unless `LAB_DATA_DIR` or an earlier answer says it."""
    if "LAB_DATA_DIR" in os.environ:
        return
    if not ON_DRIVE.is_dir():  # it is there where the answer was yes before a restart
        try:
            answer = input(QUESTION).strip().lower()
        except NotImplementedError:  # a program runs the cells
            return
        if answer not in ("y", "yes", "예", "네"):
            return
        try:
            import_module("google.colab.drive").mount(str(DRIVE))
            ON_DRIVE.mkdir(exist_ok=True)
        except Exception as error:  # noqa: BLE001 - whatever Colab raises where access is refused
            reason = " ".join(str(error).split()) or type(error).__name__
            print(f"Drive cannot be used ({reason}): what you make is kept until you disconnect.")
            return
    os.environ["LAB_DATA_DIR"] = str(ON_DRIVE)
    print(f"Drawings and prepared data are kept in {ON_DRIVE}.")


if __name__ == "__main__":
    print(install(" ".join(sys.argv[1:])))
