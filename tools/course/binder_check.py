"""Runs the notebooks as Binder would, on one core, and prints the memory and time of each.

    python tools/course/binder_check.py labs/*.ipynb

Linux only. The core is a quota of a control group, as in Binder's containers, where this process
may make one, and otherwise one of those of the machine. Memory is that of all processes together,
each shared page counted once. The limit is 1.5 GB, since JupyterLab itself needs some of Binder's
2 GB.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from quota import IS_V2, JOIN, make_quota

MAX_MEMORY = 1500  # MB
EVERY = 0.1  # seconds


def measure_memory(process: psutil.Process) -> float:
    """Return the megabytes of a process and all that it has started."""
    total = 0
    for each in [process, *process.children(recursive=True)]:
        try:
            total += each.memory_full_info().pss
        except psutil.Error:
            continue  # it has ended
    return total / 1e6


def run(notebook: Path, folder: str, joining: list) -> tuple[float, float, bool]:
    """Return the most memory in MB that a notebook took, its seconds, and whether it ended well.

    `joining` is what stands before the command.
    """
    execute = Path(__file__).with_name("execute.py")
    started, peak = time.monotonic(), 0.0
    process = psutil.Popen(
        [*joining, sys.executable, execute, "--to", folder, notebook],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None:
        peak = max(peak, measure_memory(process))
        time.sleep(EVERY)
    return peak, time.monotonic() - started, process.returncode == 0


def limit_to_one_core(stack: contextlib.ExitStack) -> list:
    """Return what stands before a command that gets one core; say how it gets that."""
    try:
        if not IS_V2:  # an earlier quota would hold, but the lab could not see it
            raise OSError("its control groups are of version 1")
        joining = [*JOIN, stack.enter_context(make_quota())]
    except OSError as error:
        print(f"Bound to one core, for want of a quota: {error}.", flush=True)
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        return []
    print("With a quota of one core.", flush=True)
    return joining


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("notebooks", nargs="+", type=Path)
    options = parser.parse_args()
    fine = True
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        joining = limit_to_one_core(stack)
        print("| notebook | MB | seconds |\n|---|---|---|", flush=True)
        for notebook in options.notebooks:
            peak, seconds, ended_well = run(notebook, folder, joining)
            is_fine = ended_well and peak <= MAX_MEMORY
            fine &= is_fine
            told = "" if is_fine else ": too much" if ended_well else ": it failed"
            print(f"| {notebook.stem} | {peak:,.0f}{told} | {seconds:.0f} |", flush=True)
    sys.exit(not fine)


if __name__ == "__main__":
    main()
