"""Peak memory and time of preparing as many images as official EMNIST ByClass has.

Run with `python benchmarks/preparation.py`. It makes archives of the official size and formats
(697,932 train and 116,323 test images) out of the bundled sample, prepares each in a process of
its own, and compares with the plain way: read everything, then write it.
"""

import gzip
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from helpers import matlab

from text_recognizer.files import prepared
from text_recognizer.mapping import CHARACTER_LABELS
from text_recognizer.paths import bundled

COUNTS = {"train": 697_932, "test": 116_323}
BLOCK = 8192

PLAIN = """
import gzip, sys, zipfile
import h5py, numpy as np
from text_recognizer.files import prepared  # what the other way imports, too
with zipfile.ZipFile(sys.argv[1]) as archive, h5py.File(sys.argv[2], "w") as file:
    for part in ("train", "test"):
        for kind, key, header, shape in (
            ("images-idx3", "x", 16, (-1, 28, 28)), ("labels-idx1", "y", 8, (-1,))
        ):
            member = archive.read(f"gzip/emnist-byclass-{part}-{kind}-ubyte.gz")
            values = np.frombuffer(gzip.decompress(member), np.uint8, offset=header).reshape(shape)
            if key == "x":
                values = values.swapaxes(1, 2)
            packing = {"compression": "gzip", "compression_opts": 1}
            file.create_dataset(f"{key}_{part}", data=values, **packing)
"""
STREAMED = """
import sys
from pathlib import Path
from text_recognizer.files import archives, prepared
prepared.write(Path(sys.argv[2]), archives.read_emnist(Path(sys.argv[1])), "benchmark", "benchmark")
"""


def read_blocks(part: str):
    """Yield (images, labels) of a part of official size, the sample over and over."""
    with prepared.open_prepared(bundled("emnist_sample.h5")) as file:
        labels = file.read_labels(part)
        characters = np.flatnonzero(labels < CHARACTER_LABELS.stop)
        images = file.read_images(part, characters).numpy()
    labels = labels[characters] - CHARACTER_LABELS.start
    for start in range(0, COUNTS[part], BLOCK):
        chosen = np.arange(start, min(start + BLOCK, COUNTS[part])) % len(labels)
        yield np.ascontiguousarray(images[chosen].swapaxes(1, 2)), labels[chosen]


def make_gzip_archive(path: Path) -> None:
    """Write an archive of official size in the layout of NIST's gzip.zip."""
    with zipfile.ZipFile(path, "w") as archive:
        for part, count in COUNTS.items():
            for kind, index, magic, dims in (
                ("images-idx3", 0, 2051, (count, 28, 28)),
                ("labels-idx1", 1, 2049, (count,)),
            ):
                name = f"gzip/emnist-byclass-{part}-{kind}-ubyte.gz"
                with (
                    archive.open(name, "w", force_zip64=True) as member,
                    gzip.open(member, "wb", compresslevel=1) as stream,
                ):
                    stream.write(struct.pack(f">{1 + len(dims)}I", magic, *dims))
                    for block in read_blocks(part):
                        stream.write(block[index].tobytes())


def make_matlab_archive(path: Path) -> None:
    """Write an archive of official size in the layout of NIST's matlab.zip."""
    parts = {}
    for part, count in COUNTS.items():
        images = np.empty((count, 784), np.uint8, order="F")
        labels = np.empty((count, 1), np.uint8)
        start = 0
        for x, y in read_blocks(part):
            images[start : start + len(x)] = x.reshape(len(x), 784)
            labels[start : start + len(y), 0] = y
            start += len(x)
        parts[part] = {"images": images, "labels": labels}
    with zipfile.ZipFile(path, "w") as archive:
        content = matlab({"dataset": parts}, do_compression=True)
        archive.writestr("matlab/emnist-byclass.mat", content)


def measure(script: str, archive: Path, target: Path) -> tuple[float, float]:
    """Return the seconds and the peak MiB of a process that runs the script (Linux only)."""
    start = time.perf_counter()
    # VmHWM, because ru_maxrss would count what this process held when it started the other.
    reporting = f"{script}\nprint(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    command = [sys.executable, "-c", reporting, archive, target]
    process = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return time.perf_counter() - start, int(process.stdout.split()[-1]) / 2**10


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        gzip_zip, matlab_zip = Path(folder) / "gzip.zip", Path(folder) / "matlab.zip"
        make_gzip_archive(gzip_zip)
        make_matlab_archive(matlab_zip)
        print(f"{sum(COUNTS.values()):,} images; time and peak memory include importing the lab")
        for name, script, archive in (
            ("gzip.zip, all at once", PLAIN, gzip_zip),
            ("gzip.zip, streamed", STREAMED, gzip_zip),
            ("matlab.zip, streamed", STREAMED, matlab_zip),
        ):
            target = Path(folder) / "prepared.h5"
            seconds, mebibytes = measure(script, archive, target)
            size = target.stat().st_size / 2**20
            print(f"{name:22} {seconds:6.1f} s  {mebibytes:6.0f} MiB peak  {size:5.0f} MiB of HDF5")


if __name__ == "__main__":
    main()
