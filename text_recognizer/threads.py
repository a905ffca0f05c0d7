"""How many cores this process may use, as many threads for PyTorch, and memory that it keeps."""

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from pathlib import Path


def limit_threads() -> None:
    """Let PyTorch compute with no more threads than this process has cores.

    PyTorch counts the cores that it sees, also in a container that may use one of sixteen, where
    its threads then wait for each other. Where others compute, too, threads that wait in a loop
    keep the core from the very thread that they wait for, so they soon sleep. What somebody has
    chosen by `OMP_NUM_THREADS`, `OMP_WAIT_POLICY` or `torch.set_num_threads` stands.
    """
    # Before PyTorch is imported, or in vain; GNU's OpenMP is best asleep after some microseconds.
    if os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE") == "PASSIVE":
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    seen, allowed = _count_seen_cores(), max(1, int(count_cores()))
    if allowed == seen or "OMP_NUM_THREADS" in os.environ:
        return
    if (torch := sys.modules.get("torch")) is None:
        os.environ["OMP_NUM_THREADS"] = str(allowed)  # which PyTorch reads when it is imported
        return
    import psutil

    if torch.get_num_threads() in (seen, psutil.cpu_count(logical=False)):  # PyTorch's own choice
        torch.set_num_threads(allowed)


def keep_freed_memory() -> None:
    """Keep up to 128 MiB for the next step of training, which glibc would return page by page."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(-3, 32 << 20)  # M_MMAP_THRESHOLD: the most that it may be
        libc.mallopt(-1, 128 << 20)  # M_TRIM_THRESHOLD


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Compute in one thread what is short or bound by memory: it would only wait for a second."""
    import torch

    count = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(count)


def count_cores(root: Path = Path("/")) -> float:
    """Return how many cores this process may use: in a container (Linux) perhaps part of one."""
    limits: list[float] = [_count_seen_cores()]
    for text in read_limits(root, "cpu.max"):
        quota, _, period = text.partition(" ")
        if quota.isdigit():  # "max" is no limit
            limits.append(int(quota) / int(period))
    return min(limits)


def read_limits(root: Path, name: str) -> list[str]:
    """Return what a file says in the control group of this process and in those around it."""
    top = root / "sys/fs/cgroup"
    try:
        group = (root / "proc/self/cgroup").read_text(encoding="utf-8").partition("0::/")[2]
    except OSError:
        return []  # not Linux
    inner = top / group.split("\n")[0]
    files = [place / name for place in (inner, *inner.parents) if place.is_relative_to(top)]
    return [file.read_text(encoding="utf-8").strip() for file in files if file.is_file()]


def _count_seen_cores() -> int:
    has_affinity = hasattr(os, "sched_getaffinity")  # Linux
    return len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
