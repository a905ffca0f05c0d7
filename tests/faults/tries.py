"""Tries to break the lab, one after the other, and says what became of each.

A try is fine, or one clear sentence (a `LabError`); all else is a fault: a traceback or a crash of
the process, a result that is silently wrong, and a hang. Try number n of a kind depends on the
seed, the kind and n alone, so a fault can be tried again by its number.
"""

import contextlib
import ctypes
import faulthandler
import multiprocessing
import os
import re
import resource
import shutil
import tempfile
import threading
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from text_recognizer import paths
from text_recognizer.errors import LabError

FINE, SENTENCE, TRACEBACK, WRONG, HANG = OUTCOMES = (
    *("fine", "one clear sentence", "traceback", "silently wrong", "hang"),
)
FAULTS = OUTCOMES[2:]
FORK = multiprocessing.get_context("fork")
MAX_SENTENCE = 1500  # letters: paths, and the answers of several mirrors
MAX_MEMORY = 3 << 30  # bytes that a try may take beside what is there already
KEPT = 5  # faults of a kind that are described


@dataclass
class Kind:
    """One way to break something.

    Parameters
    ----------
    name : str
        In words.
    attempt : callable
        One try: gets what `make` returned, random numbers and an empty folder; raises, or returns
        False where the result is wrong, or a sentence that a student would read.
    quick, many : int
        Tries in `make test` and in `make faults`.
    make : callable
        Makes what all tries need, once, in an empty folder.
    seconds : float
        How long a try may take.
    is_alone : bool
        Whether each try has a process of its own, which ends as a whole program does.
    """

    name: str
    attempt: Callable[[Any, np.random.Generator, Path], Any]
    quick: int
    many: int
    make: Callable[[Path], Any] = lambda folder: None
    seconds: float = 20
    is_alone: bool = False


@dataclass
class Tally:
    """What became of the tries of a kind."""

    name: str
    counts: Counter = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0

    @property
    def num_faults(self) -> int:
        return sum(self.counts[outcome] for outcome in FAULTS)


def run(kind: Kind, count: int, seed: int, first: int = 0) -> Tally:
    """Run a number of tries of a kind, in child processes that may crash and hang."""
    tally, started = Tally(kind.name), time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        made = Path(place, "made")
        made.mkdir()
        with _settings(made):
            things = kind.make(made)
        number, stop = first, first + count
        while number < stop:
            for outcome, detail in _run_in_child(kind, things, number, stop, seed, Path(place)):
                tally.counts[outcome] += 1
                if outcome in FAULTS and len(tally.faults) < KEPT:
                    tally.faults.append(f"{kind.name}, try {number}: {outcome}: {detail}")
                number += 1
    tally.seconds = time.monotonic() - started
    return tally


def _run_in_child(kind: Kind, things, first: int, stop: int, seed: int, place: Path):
    """Yield what became of the next tries: all, or as many as one process lived for."""
    receive, send = FORK.Pipe(duplex=False)
    if kind.is_alone:
        stop = first + 1
    child = FORK.Process(target=_work, args=(kind, things, first, stop, seed, place, send))
    child.start()
    send.close()
    last = None
    for _ in range(first, stop):
        if not receive.poll(kind.seconds):
            child.kill()
            child.join()
            yield HANG, f"more than {kind.seconds:g} seconds"
            return
        try:
            last = receive.recv()
        except EOFError:
            child.join()
            yield TRACEBACK, f"the process ended with {child.exitcode}"
            return
        if not kind.is_alone:
            yield last
    child.join(kind.seconds)
    has_ended = child.exitcode is not None
    child.kill()
    child.join()
    if kind.is_alone:
        if not has_ended:
            last = HANG, "at its exit"
        elif child.exitcode:
            last = TRACEBACK, f"the process ended with {child.exitcode}"
        yield last


def _work(kind: Kind, things, first: int, stop: int, seed: int, place: Path, send) -> None:
    with contextlib.suppress(ValueError, OSError):
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MAX_MEMORY,) * 2)
    # The bars' own lock is one of all processes: whoever is killed while it draws would keep it.
    lock = threading.RLock()
    for bars in tqdm.__mro__[:-2]:  # each may have one: all but `Comparable` and `object`
        bars.set_lock(lock)
    faulthandler.disable()  # crashes are counted, not shown
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silence, stream)
    for number in range(first, stop):
        folder = place / f"try{number}"
        folder.mkdir()
        with _settings(folder):
            outcome = _judge(kind, things, number, seed, folder)
        shutil.rmtree(folder, ignore_errors=True)
        send.send(outcome)
    if kind.is_alone:
        ctypes.CDLL(None).exit(0)  # as Python ends, with what C libraries do at exit


def _judge(kind: Kind, things, number: int, seed: int, folder: Path) -> tuple[str, str]:
    random = np.random.default_rng([seed, zlib.crc32(kind.name.encode()), number])
    try:
        result = kind.attempt(things, random, folder)
    except LabError as error:
        return check_sentence(str(error))
    except BaseException as error:  # noqa: BLE001 - that is what is looked for
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(frame.filename).name}:{frame.lineno}"
        return TRACEBACK, f"{type(error).__name__}: {str(error)[:200]!r} ({where})"
    if isinstance(result, str):
        return check_sentence(result)
    return (WRONG, "other data than were written") if result is False else (FINE, "")


def check_sentence(text: str) -> tuple[str, str]:
    """Return whether a message is one clear sentence, in one line."""
    is_clear = (
        len("Stopped.") <= len(text) <= MAX_SENTENCE and "\n" not in text and text[-1] in ".!?"
    )
    if is_clear and not re.search(r"Traceback|Error\((?!s\))|object at 0x", text):
        return SENTENCE, ""
    return TRACEBACK, f"not one clear sentence: {text[:300]!r}"


@contextlib.contextmanager
def _settings(folder: Path):
    """Keep tries off the network, the user's data and the user's settings."""
    before, here = dict(os.environ), Path.cwd()
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in ("LAB_FAST", "EMNIST_ARCHIVE", "MNIST_DIR"):
            del os.environ[name]
    data = folder / "data"
    os.environ.update(LAB_OFFLINE="1", LAB_DATA_DIR=str(data), CUDA_VISIBLE_DEVICES="")
    os.environ.pop("NLTK_DATA", None)
    os.chdir(folder)
    was_in_checkout, paths._IN_CHECKOUT = paths._IN_CHECKOUT, False  # or "CON" would lie there
    try:
        yield
    finally:
        paths._IN_CHECKOUT = was_in_checkout
        os.chdir(here)
        os.environ.clear()
        os.environ.update(before)


def change_bytes(random: np.random.Generator, data: bytes) -> bytes:
    """Return bytes with one of the faults that disks, networks and editors bring about."""
    changed = bytearray(data)
    place = int(random.integers(len(data)))
    length = int(random.choice([1, 1, 1, 2, 8, 512, 4096]))
    match random.choice(["flip", "flip", "flip", "set", "set", "zero", "cut", "add", "swap"]):
        case "flip":
            changed[place] ^= 1 << int(random.integers(8))
        case "set":
            changed[place : place + length] = random.bytes(len(changed[place : place + length]))
        case "zero":
            changed[place : place + length] = bytes(len(changed[place : place + length]))
        case "cut":
            del changed[place:]
        case "add":
            changed[place:place] = random.bytes(length)
        case "swap":
            other = int(random.integers(len(data)))
            changed[place : place + 64], changed[other : other + 64] = (
                changed[other : other + 64],
                changed[place : place + 64],
            )
    return bytes(changed)


def pick(random: np.random.Generator, choices):
    """Return one of several things, whatever they are."""
    choices = list(choices)
    return choices[int(random.integers(len(choices)))]


def write_table(tallies: list[Tally]) -> str:
    """Return the table of all kinds, in Markdown."""
    rows = [["kind", "tries", *OUTCOMES, "seconds"]]
    for tally in tallies:
        counts = [f"{tally.counts[outcome]:,}" for outcome in OUTCOMES]
        rows.append([tally.name, f"{tally.counts.total():,}", *counts, f"{tally.seconds:.0f}"])
    total = sum((tally.counts for tally in tallies), Counter())
    seconds = sum(tally.seconds for tally in tallies)
    sums = [f"{total[outcome]:,}" for outcome in OUTCOMES]
    rows.append(["all", f"{total.total():,}", *sums, f"{seconds:.0f}"])
    rows.insert(1, ["---"] * len(rows[0]))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
