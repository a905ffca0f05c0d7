"""Says in a terminal whether the lab runs on this machine: `python -m lab_utils`."""

import os
import sys

from lab_utils.machine import check_machine


def main() -> int:
    """Print what `check_machine` finds; return 1 if something is in the way, else 0."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of folders
    try:
        "가".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        os.environ["LAB_LANGUAGE"] = "en"  # what this terminal can show
    findings = check_machine()
    print(findings)
    return int(findings.is_in_the_way)


if __name__ == "__main__":
    sys.exit(main())
