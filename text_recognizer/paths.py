"""The folders and switches of the lab, and how a file is written whole."""

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from text_recognizer.errors import LabError, cannot_write

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT_DATA = _PACKAGE.parent / "data"
_IN_CHECKOUT = (_CHECKOUT_DATA / "sources.json").exists()


def data_dir() -> Path:
    """Return the folder of downloads and prepared files, made if it does not exist.

    Taught in notebook 2.

    `LAB_DATA_DIR` where it is set, else `data/` of the checkout, else the user's cache folder.

    Examples
    --------
    >>> from lab_utils import data_dir
    >>> data_dir().is_dir()
    True
    """
    folder = named_path("LAB_DATA_DIR")
    if folder is None:
        can_write = _IN_CHECKOUT and os.access(_CHECKOUT_DATA, os.W_OK)
        folder = _CHECKOUT_DATA if can_write else _find_cache()
    return _make(folder)


def own_dir() -> Path:
    """Return the folder for one's own files: `data_dir()`, or the cache if that is read-only."""
    folder = data_dir()
    return folder if os.access(folder, os.W_OK) else _make(_find_cache())


def _find_cache() -> Path:
    import pooch  # here, since it takes longer to import than all of this module's users

    return Path(pooch.os_cache("handwriting-lab"))


def _make(folder: Path) -> Path:
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
    if not (value := os.environ.get(variable)):
        return None
    start = _CHECKOUT_DATA.parent if _IN_CHECKOUT else Path.cwd()
    try:
        path = start / Path(value).expanduser()
        path.resolve()
        path.is_file()
    except (OSError, RuntimeError, ValueError) as error:  # no such user, links in a circle
        reason = getattr(error, "strerror", error)
        raise LabError(f"{variable}={value:.80} cannot be read ({reason}): give a path.") from None
    return path


def shorten_path(path: Path) -> str:
    """Return a path as a student knows it: from the checkout's folder, or from home (`~`)."""
    if _IN_CHECKOUT and path.is_relative_to(_CHECKOUT_DATA.parent):
        return path.relative_to(_CHECKOUT_DATA.parent).as_posix()
    with contextlib.suppress(RuntimeError, ValueError):  # no home, or not in it
        return f"~/{path.relative_to(Path.home()).as_posix()}"
    return str(path)


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading; a pipe or device, which may never end, is an OSError."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is a folder" if path.is_dir() else "it is not a file")
    return open(path, "rb")


def bundled(name: str) -> Path:
    """Return the path of a file that ships with the lab: `data/` of the checkout or the wheel."""
    in_wheel = _PACKAGE / "assets" / name
    return in_wheel if in_wheel.exists() else _CHECKOUT_DATA / name


def is_offline() -> bool:
    """Tell whether `LAB_OFFLINE=1` forbids the network."""
    return _switch("LAB_OFFLINE")


def is_fast() -> bool:
    """Tell whether `LAB_FAST=1` asks the notebooks to cut training short, for tests."""
    return _switch("LAB_FAST")


def _switch(name: str) -> bool:
    return os.environ.get(name, "").strip().lower() not in ("", "0", "false", "no")


@contextlib.contextmanager
def replace_whole(target: Path) -> Iterator[Path]:
    """Give a name to write a file under, which then takes its place: whole, and on the disk."""
    # The name may be as long as names can be, so only its beginning is taken.
    partial = target.with_name(f"{target.name[:50]}.{secrets.token_hex(4)}.partial")
    try:
        yield partial
        with open(partial, "r+b") as file:
            os.fsync(file.fileno())
        partial.replace(target)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file so that it is whole or not there; LabError if it cannot be written."""
    if isinstance(content, str):
        content = content.encode(errors="replace")  # names of files may not be UTF-8
    try:
        with replace_whole(path) as partial:
            partial.write_bytes(content)
    except OSError as error:
        raise LabError(f"{path} cannot be written ({error.strerror or error}).") from None
