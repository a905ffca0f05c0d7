"""Small archives made on the spot, and a server on this machine that misbehaves on request."""

import gzip
import hashlib
import multiprocessing
import os
import runpy
import shlex
import struct
import sys
import threading
import warnings
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

PREFIXES = {"train": "train", "test": "t10k"}  # of MNIST's files
NOTICEABLE = 40_000  # bytes: the server's faults hit only answers larger than that


def make_images(counts, num_classes, seed):
    """Return {part: (images, labels)}: noise, upright, and labels of every class."""
    random = np.random.default_rng(seed)
    return {
        part: (
            random.integers(0, 256, (count, 28, 28), np.uint8),
            random.permutation(np.arange(count) % num_classes).astype(np.uint8),
        )
        for part, count in counts.items()
    }


def idx(array):
    """Return the bytes of a gzip-compressed IDX file."""
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(header + array.tobytes(), mtime=0)


def emnist_members(characters):
    """Return {name: bytes} of the four files of ByClass: transposed, as NIST stores them."""
    members = {}
    for part, (images, labels) in characters.items():
        members[f"emnist-byclass-{part}-images-idx3-ubyte.gz"] = idx(images.swapaxes(1, 2))
        members[f"emnist-byclass-{part}-labels-idx1-ubyte.gz"] = idx(labels)
    return members


def write_gzip_zip(path, members, folder="gzip/"):
    """Write a zip in the layout of NIST's gzip.zip, where ByClass is one split of several."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        noise = np.random.default_rng(3).bytes(300_000)
        archive.writestr(f"{folder}emnist-balanced-train-images-idx3-ubyte.gz", noise)
        for name, content in members.items():
            archive.writestr(folder + name, content)
        archive.writestr(f"{folder}emnist-letters-train-images-idx3-ubyte.gz", noise)
    return path


def matlab(variables, do_compression=False):
    """Return the bytes of a MATLAB 5 file: after the header, those that scipy.io.savemat writes.

    SciPy is not installed for it, because TorchMetrics imports it wherever the lab starts.
    """
    header = struct.pack("<116s8xH2s", b"MATLAB 5.0 MAT-file".ljust(116), 0x0100, b"IM")
    matrices = [_matrix(name, value) for name, value in variables.items()]
    if do_compression:
        packed = [zlib.compress(matrix) for matrix in matrices]
        matrices = [struct.pack("<II", 15, len(matrix)) + matrix for matrix in packed]
    return header + b"".join(matrices)


def _matrix(name, value):
    """Return a struct (of a dict), text, a cell array (of objects) or numbers as one element."""
    if isinstance(value, dict):
        width = 1 + max(map(len, value))
        names = b"".join(name.encode().ljust(width, b"\0") for name in value)
        parts = [_element(5, struct.pack("<i", width)), _element(1, names)]
        parts += [_matrix("", field) for field in value.values()]
        array_class, shape = 2, (1, 1)
    elif isinstance(value, str):
        array_class, shape, parts = 4, (1, len(value)), [_element(16, value.encode())]
    else:
        values = np.atleast_2d(value)
        shape = values.shape
        if values.dtype == object:
            array_class, parts = 1, [_matrix("", cell) for cell in values.ravel("F")]
        else:
            # MATLAB's numbers of the class of an array and of the type of its values.
            array_class, kind = {"u1": (9, 2), "i8": (14, 12), "f8": (6, 9)}[values.dtype.str[1:]]
            parts = [_element(kind, values.tobytes("F"))]
    flags = _element(6, struct.pack("<II", array_class, 0))
    where = [flags, _element(5, struct.pack("<2i", *shape)), _element(1, name.encode())]
    content = b"".join(where + parts)
    return struct.pack("<II", 14, len(content)) + content


def _element(kind, content):
    if len(content) <= 4:
        return struct.pack("<HH4s", kind, len(content), content)
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def write_matlab_zip(path, characters, do_compression=True):
    """Write a zip in the layout of NIST's matlab.zip: one struct, one row for each image."""
    dataset = {
        part: {
            "images": images.swapaxes(1, 2).reshape(len(images), 784),
            "labels": labels[:, None].astype(np.float64),
            "writers": np.arange(len(labels), dtype=np.float64)[:, None],
        }
        for part, (images, labels) in characters.items()
    }
    dataset["mapping"] = np.array([[i, 48 + i] for i in range(62)], np.float64)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        content = matlab({"dataset": dataset}, do_compression)
        archive.writestr("matlab/emnist-byclass.mat", content)
        archive.writestr("matlab/emnist-digits.mat", b"another split")
    return path


def write_mnist(folder, digits):
    folder.mkdir()
    for part, (images, labels) in digits.items():
        (folder / f"{PREFIXES[part]}-images-idx3-ubyte.gz").write_bytes(idx(images))
        (folder / f"{PREFIXES[part]}-labels-idx1-ubyte.gz").write_bytes(idx(labels))
    return folder


@dataclass
class Page:
    """What the server has under one path, and what goes wrong with it."""

    content: bytes = b""
    wait: str = "0"  # Retry-After
    ranges: bool = True  # whether range requests are answered with the range
    status: int = 200
    redirect: str = ""
    # "truncated" or "stalled" in the middle, "silent" at the start, "busy" (429) to the first
    # question, "endless".
    fault: str = ""


class Server(ThreadingHTTPServer):
    """A server on this machine that counts what it sends."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages, self.sent, self.requests = {}, Counter(), []
        self.released = threading.Event()  # ends what stalls

    def put(self, path, content=b"", **page) -> str:
        """Put a page under a path (a file's content where it is a `Path`); return its address."""
        content = content.read_bytes() if isinstance(content, Path) else content
        self.pages[path] = Page(content, **page)
        return self.url(path)

    def url(self, path):
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.requests.append((self.path, self.headers.get("Range")))
        page = server.pages.get(self.path, Page(status=404))
        if self.headers["User-Agent"].startswith("python"):  # as NIST does
            page = Page(status=403)
        if page.fault == "silent":
            server.released.wait(20)
            return
        if page.redirect:
            self.answer(302, {"Location": page.redirect})
            return
        if page.fault.startswith("busy"):
            page.fault = page.fault.removesuffix("busy")
            status = page.status if page.status != 200 else 429
            self.answer(status, {"Retry-After": page.wait})
            return
        if page.fault == "endless":
            self.answer(200, {})
            while not server.released.is_set() and self.send(bytes(100_000)):
                pass
            return
        body, status, headers = page.content, page.status, {}
        if page.ranges and status == 200 and "Range" in self.headers:
            first, last = self.headers["Range"].removeprefix("bytes=").split("-")
            start = int(first) if first else max(0, len(body) - int(last))
            stop = int(last) + 1 if first and last else len(body)
            headers["Content-Range"] = f"bytes {start}-{min(stop, len(body)) - 1}/{len(body)}"
            body, status = body[start:stop], 206
        faulty = page.fault and len(body) > NOTICEABLE
        self.answer(status, headers | {"Content-Length": len(body)})
        self.send(body[: len(body) // 2] if faulty else body)
        if faulty and page.fault == "stalled":
            server.released.wait(20)

    def answer(self, status, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()

    def send(self, body):
        try:
            for start in range(0, len(body), 4096):
                self.wfile.write(body[start : start + 4096])
                self.server.sent[self.path] += len(body[start : start + 4096])
        except OSError:
            return False  # the client, which only wanted to know whether the file is there, hung up
        return True

    def log_message(self, *args):
        pass


def described(content):
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def as_source(url, archive, members):
    """Return an entry of sources.json for an archive: its own hash and its members'."""
    return {
        "url": url,
        **described(archive.read_bytes()),
        "members": {name: described(content) for name, content in members.items()},
    }


def run_in_fork(command, folder):
    """Run `python ...` as a terminal does, but in a fork, which need not import PyTorch again.

    Its output and its errors are written to two files in a folder.

    Returns
    -------
    status : int
    stdout, stderr : str
    """

    def run():
        for number, name in enumerate(names, 1):
            os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            setattr(sys, name, os.fdopen(number, "w", buffering=1))
        warnings.resetwarnings()
        flag, *sys.argv = shlex.split(command)[1:]
        if flag == "-m":
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        else:
            sys.argv.insert(0, flag)
            runpy.run_path(flag, run_name="__main__")

    names = ("stdout", "stderr")
    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join()
    return process.exitcode, *((folder / name).read_text(encoding="utf-8") for name in names)


def run_here(job, *_):
    """Return what becomes of a submission, without a kernel, where no more is asked for."""
    names: dict = {}
    outcomes = []
    for step in job["steps"]:
        what, message = "ok" if step["kind"] == "cell" else "passed", ""
        try:
            exec(step["source"], names)
        except Exception as error:  # noqa: BLE001 - whatever it is
            what, message = "error", str(error)
        outcomes.append({"outcome": what, "message": message, "seconds": 0.0})
    return outcomes, {}
