"""What every module shares: the seed, the folders, the switches and the one kind of error."""

import difflib
import os
from collections.abc import Iterable
from pathlib import Path

import pooch

SEED = 42  # the published lab's seed: it picks the balanced subset and the train/val split

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT_DATA = _PACKAGE.parent / "data"
_IN_CHECKOUT = (_CHECKOUT_DATA / "sources.json").exists()


class LabError(Exception):
    """A mistake or a missing file that a student can mend: one sentence, no traceback.

    Raised for bad arguments, unreadable files and failed downloads. The message names the file
    or the argument and says what to do.
    """

    def _render_traceback_(self):
        # IPython shows this instead of a traceback (its documented hook for custom exceptions).
        return [f"{type(self).__name__}: {self}"]


def nearest(name: str, names: Iterable[str]) -> str:
    """Return what to tell somebody who misspelt a name: the nearest right ones, else all."""
    names = sorted(names)
    lower = {known.lower(): known for known in names}
    close = [lower[match] for match in difflib.get_close_matches(name.lower(), lower)]
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"it must be one of {', '.join(names)}."


def data_dir() -> Path:
    """Return the folder of downloads and prepared files, made if it does not exist.

    `LAB_DATA_DIR` where it is set, else `data/` of the checkout, else the user's cache folder.
    """
    keep_here = _IN_CHECKOUT and os.access(_CHECKOUT_DATA, os.W_OK)
    default = _CHECKOUT_DATA if keep_here else pooch.os_cache("handwriting-lab")
    folder = named_path("LAB_DATA_DIR") or default
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from None
    return folder


def named_path(variable: str) -> Path | None:
    """Return the path that an environment variable names, or None where it is not set.

    A relative path counts from the checkout's folder, where `make lab` is called, since the
    working directory of a notebook is `labs/`; outside a checkout from the working directory.
    """
    value = os.environ.get(variable)
    if not value:
        return None
    start = _CHECKOUT_DATA.parent if _IN_CHECKOUT else Path.cwd()
    return start / Path(value).expanduser()


def cannot_write(path: Path, error: OSError) -> LabError:
    """Return the error that says what to do when a file or folder can't be written."""
    return LabError(
        f"{path} cannot be written ({error.strerror or error}): "
        "free some space, or set LAB_DATA_DIR to another folder."
    )


def bundled(name: str) -> Path:
    """Return the path of a file that ships with the lab: `data/` of the checkout or the wheel."""
    in_wheel = _PACKAGE / "data" / name
    return in_wheel if in_wheel.exists() else _CHECKOUT_DATA / name


def is_offline() -> bool:
    """Tell whether `LAB_OFFLINE=1` forbids the network."""
    return _switch("LAB_OFFLINE")


def is_fast() -> bool:
    """Tell whether `LAB_FAST=1` asks the notebooks to cut training short, for tests."""
    return _switch("LAB_FAST")


def _switch(name: str) -> bool:
    return os.environ.get(name, "").strip().lower() not in ("", "0", "false", "no")
