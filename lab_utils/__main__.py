"""Says in a terminal whether the lab runs on this machine: `python -m lab_utils`."""

import os
import sys

from lab_utils.start_page import check_machine, inspect_machine


def main() -> int:
    """Print what `check_machine` finds; return 1 if something is in the way, else 0."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of folders
    try:
        "가".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        os.environ["LAB_LANGUAGE"] = "en"  # what this terminal can show
    print(check_machine())
    return int(any(finding.status == "problem" for finding in inspect_machine()))


if __name__ == "__main__":
    sys.exit(main())
