"""How long it takes until something happens: imports and commands, in seconds of CPU.

    python benchmarks/start_up.py

Each command runs in a fresh interpreter, in turn with the plain way: importing everything at once.
"""

import os
import statistics
import subprocess
import sys

ROUNDS = 5
PLAIN = ["-c", "from lab_utils import *"]
COMMANDS = {
    "import lab_utils": ["-c", "import lab_utils"],
    "from lab_utils import EMNIST": ["-c", "from lab_utils import EMNIST"],
    "lab-grade --help": ["-m", "lab_grade", "--help"],
    "lab-release --help": [
        "-c",
        "from lab_grade.cli import release_main; release_main(['--help'])",
    ],
}


def measure(arguments: list[str]) -> float:
    """Return the CPU seconds, user and system, of Python with these arguments."""
    before = os.times()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return (
        after.children_user + after.children_system - before.children_user - before.children_system
    )


def main() -> None:
    times = {name: [] for name in ("everything at once", *COMMANDS)}
    for _ in range(ROUNDS):
        times["everything at once"].append(measure(PLAIN))
        for name, arguments in COMMANDS.items():
            times[name].append(measure(arguments))
    plain = statistics.median(times["everything at once"])
    print(f"{'':28}{'CPU s':>8}{'of everything':>16}")
    for name, found in times.items():
        median = statistics.median(found)
        print(f"{name:28}{median:8.2f}{median / plain:15.1%}")


if __name__ == "__main__":
    main()
