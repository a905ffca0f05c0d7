"""Converts a data set once, into one HDF5 file that is either whole or not there, and reads it.

It has the layout of the bundled sample, which `data/README.md` describes, and the attributes
`source` (what the images are, in words) and `made_from` (which file they came from).
"""

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import h5py
import numpy as np
import torch
from tqdm.auto import tqdm

from text_recognizer.errors import LabError, missing_or_damaged
from text_recognizer.files import whole_file
from text_recognizer.files.archives import BLOCK_IMAGES, Part, walk
from text_recognizer.files.download import DownloadError
from text_recognizer.language import _
from text_recognizer.mapping import MAPPING
from text_recognizer.paths import bundled, data_dir, named_path, own_dir

IMAGE_SOURCES = ("auto", "full", "sample")
SAMPLE_FILE = "emnist_sample.h5"
JOINED_FILE = "joined_lines.h5"  # of lines, with a part for validation besides

say_once = functools.cache(print)  # however often a notebook asks for the same data
_damaged: set[Path] = set()  # files that could not be read, and were not made again since


class DamagedFileError(LabError):
    """A file that the lab has made itself has changed since, or is gone."""


def locate(
    name: str,
    source: str,
    variable: str,
    read: Callable[[Path], Iterable[Part]],
    download: Callable[[Path], Path],
) -> Path:
    """Return the HDF5 file of a data set, `"EMNIST"` or `"MNIST"`, preparing it if need be.

    `source` is that of `EMNIST`. The environment variable may name local files, from which it is
    prepared again if it was from others. `read` streams the parts of these, or of what `download`
    fetches; if that fails, the bundled sample stands in, or `source="full"` raises DownloadError.
    """
    if source == "sample":
        return bundled(SAMPLE_FILE)
    target = find_place(f"{name.lower()}.h5")
    local = named_path(variable)
    made_from = fingerprint(local) if local else None

    def prepare():
        files = local or download(own_dir() / "downloads")
        kind = "real" if local else "official"
        write(target, read(files), f"{kind} {name} from {files.name}", made_from or "download")

    try:
        prepare_once(target, made_from, prepare)
    except DownloadError as error:
        files = _("the folder with MNIST's four files")
        if name == "EMNIST":
            files = _("NIST's gzip.zip (www.nist.gov/itl/products-and-services/emnist-dataset)")
        advice = _(
            f"For the real {name}: go online and run this again, "
            f"or set {variable} to the path of {files}."
        )
        if source == "full":
            raise DownloadError(f"{error} {advice}") from None
        notice = _(
            f"The bundled sample stands in for {name}: synthetic handwriting, made from fonts and "
            f"pen strokes.\nReason: {error}"
        )
        say_once(f"{notice}\n{advice}")
        return bundled(SAMPLE_FILE)
    return target


def find_place(name: str) -> Path:
    """Return where a prepared file is, or is to be made: a class may share those it has made."""
    shared = data_dir() / name
    return shared if shared.exists() else own_dir() / name


def prepare_once(target: Path, made_from: str | None, prepare: Callable[[], None]) -> None:
    """Call `prepare`, one process at a time, unless `target` is made from that (None: anything)."""
    if is_current(target, made_from):
        return
    with whole_file.lock(target):
        if is_current(target, made_from):  # prepared by the process that we waited for
            return
        if target.exists() and is_damaged(target):
            print(_(f"{target.name} is damaged: it is made again."))
        prepare()


def is_current(target: Path, made_from: str | None) -> bool:
    """Tell whether a prepared file is there, undamaged as far as is known, and made from that."""
    with contextlib.suppress(DamagedFileError):
        if not is_damaged(target):
            with open_prepared(target) as file:
                return made_from in (None, file.made_from)
    return False


def is_damaged(path: Path) -> bool:
    """Tell whether a prepared file is gone, or reading it has failed before."""
    return path in _damaged or not path.exists()


def write(target: Path, parts: Iterable[Part], source: str, made_from: str) -> None:
    """Stream the parts into `target`, which is whole or not there; LabError if that fails."""
    with whole_file.create(target) as (file, check):
        set_texts(file, source=source, made_from=made_from)
        for part in parts:
            _write_part(file, part, check)
    _damaged.discard(target)


def set_texts(file: h5py.File, **texts: str) -> None:
    """Give a file attributes of fixed length, which its checksums cover."""
    for name, text in texts.items():
        file.attrs[name] = np.bytes_(text.encode(errors="surrogateescape"))


def _write_part(file: h5py.File, part: Part, check: Callable[[], None]) -> None:
    count = len(part.labels)
    file.create_dataset(f"y_{part.name}", data=part.labels, fletcher32=True)
    images, start = None, 0
    with tqdm(total=count, desc=_(f"Preparing {part.name}"), unit=" ×", delay=2) as bar:
        for block in part.images:
            if images is None:
                size = block.shape[1:]
                together = min(count, max(1, 512 * 28 // size[1]))  # are compressed as one
                images = file.create_dataset(
                    f"x_{part.name}",
                    shape=(count, *size),
                    dtype=np.uint8,
                    chunks=(together, *size),
                    compression=1,  # of gzip, whose own checksum is the stronger one
                    fletcher32=True,
                )
            images[start : start + len(block)] = block
            check()
            start += len(block)
            bar.update(len(block))


class PreparedFile:
    """A prepared file, open for reading; `open_prepared` gives one."""

    def __init__(self, file: h5py.File):
        self._file = file
        self.source = file.attrs.get("source", b"").decode()  # what its images are, in words

    @property
    def made_from(self) -> str:
        """Which files they came from, as `fingerprint` names them."""
        return self._file.attrs["made_from"].decode(errors="surrogateescape")

    def read_labels(self, part: str) -> np.ndarray:
        """Return all labels of a part: uint8, (N,), or (N, max_length) of lines."""
        labels = self._file[f"y_{part}"][:]
        if labels.dtype != np.uint8 or not labels.size or labels.max() >= len(MAPPING):
            raise ValueError(f"labels of {part} that are none")
        return labels

    def read_images(self, part: str, indices: np.ndarray | None = None) -> torch.Tensor:
        """Return the chosen images of a part, or all, read by the block: uint8, (N, 28, W)."""
        stored = self._file[f"x_{part}"]
        indices = np.arange(len(stored)) if indices is None else np.asarray(indices)
        order = np.argsort(indices, kind="stable")
        images = np.empty((len(indices), *stored.shape[1:]), np.uint8)
        size = max(1, BLOCK_IMAGES * 28 // stored.shape[2])
        starts = range(0, len(stored), size)
        for start in tqdm(starts, desc=_(f"Reading {part}"), unit=" ×", delay=2):
            low, high = np.searchsorted(indices, [start, start + size], sorter=order)
            if low < high:
                block, places = stored[start : start + size], order[low:high]
                images[places] = block[indices[places] - start]
        return torch.from_numpy(images)


@contextlib.contextmanager
def open_prepared(path: Path) -> Iterator[PreparedFile]:
    """Open a prepared file; LabError if it ships with the lab and can't be read.

    Of one that the lab has made, that is a DamagedFileError: `prepare_once` then makes it again.
    """
    try:
        # Without locking, which fails on read-only and network drives: the file never changes.
        with h5py.File(path, "r", locking=False) as file:
            yield PreparedFile(file)
    except (OSError, LookupError, RuntimeError, TypeError, ValueError, AttributeError) as error:
        if path in (bundled(SAMPLE_FILE), bundled(JOINED_FILE)):
            raise missing_or_damaged(path, error) from None
        _damaged.add(path)
        message = missing_or_damaged(path, error, "setup() of its data makes it again")
        raise DamagedFileError(message) from None


def fingerprint(local: Path) -> str:
    """Name the local files in a way that changes when they do: path, size and time."""
    files = sorted(path for path in walk(local) if "ubyte" in path.name) or [local]
    stats = [file.stat() for file in files if file.exists()]
    return " ".join([str(local.resolve())] + [f"{s.st_size}:{s.st_mtime_ns}" for s in stats])
