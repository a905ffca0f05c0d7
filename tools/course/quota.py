"""A control group of Linux whose processes get one core between them, as in a container."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

TOP, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
IS_V2 = (TOP / "cgroup.controllers").is_file()  # the only version that the lab itself knows
LIMITS = {"cpu.max": "100000 100000"} if IS_V2 else {"cpu.cfs_quota_us": "100000"}  # of 0.1 s
JOIN = ["sh", "-c", 'echo $$ > "$0" && exec "$@"']  # and the file that `make_quota` yields


@contextlib.contextmanager
def make_quota() -> Iterator[Path]:
    """Make a group with one core; yield the file in which a process writes that it joins.

    An OSError tells that this process may not make one.
    """
    controller = "" if IS_V2 else "cpu"
    lines = OWN.read_text(encoding="utf-8").splitlines()
    groups = [line.split(":", 2) for line in lines]
    paths = [path for _, names, path in groups if controller in names.split(",")]
    if not paths:
        raise OSError(f"there is no control group for {controller or 'version 2'}")
    own = TOP / controller / paths[0].strip("/")
    if IS_V2:
        with contextlib.suppress(OSError):  # where it is on already, this may be forbidden
            (own / "cgroup.subtree_control").write_text("+cpu", encoding="utf-8")
    group = own / f"lab-{os.getpid()}"
    group.mkdir()
    try:
        for name, limit in LIMITS.items():
            (group / name).write_text(limit, encoding="utf-8")
        yield group / "cgroup.procs"
    finally:
        group.rmdir()  # its processes have ended
