"""Mirrors that misbehave, one or several at a time."""

import os
import threading
import zipfile
from pathlib import Path
from unittest import mock

from helpers import Server, as_source, described, emnist_members, idx, make_images, write_gzip_zip
from of_files import is_same, read_archive
from tries import Kind, pick

from text_recognizer.files import archives, download

FAULTS = ["", "truncated", "stalled", "silent", "busy", "busy for long", "endless"]
TIMEOUT = (0.4, 0.4)  # much less than a student waits


def make_sets(folder: Path) -> dict:
    characters = make_images({"train": 200, "test": 90}, 62, seed=1)
    digits = make_images({"train": 120, "test": 60}, 10, seed=2)
    members = emnist_members(characters)
    path = write_gzip_zip(folder / "gzip.zip", members)
    files = {}
    for part, prefix in (("train", "train"), ("test", "t10k")):
        images, labels = digits[part]
        files[f"{prefix}-images-idx3-ubyte.gz"] = idx(images)
        files[f"{prefix}-labels-idx1-ubyte.gz"] = idx(labels)
    return {
        "zip": path,
        "members": members,
        "files": files,
        "emnist": read_archive(archives.read_emnist(path)),
        "digits": digits,
    }


def fetch(made, random, folder: Path):
    """Fetch a data set from two mirrors, each with a fault or none."""
    del os.environ["LAB_OFFLINE"]
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        with mock.patch.object(download, "TIMEOUT", TIMEOUT):
            return _fetch(made, random, folder, server)
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _misbehave(random, server: Server, path: str, content: bytes) -> str:
    """Put a page with one of many faults, or none; return its address."""
    page = {"ranges": bool(random.integers(2)), "fault": pick(random, FAULTS)}
    page["wait"] = pick(random, ["0", "1", "3600", "x", "", "-1", "Wed, 21 Oct 2015 07:28:00 GMT"])
    match pick(random, ["as is", "as is", "status", "redirect", "other", "changed", "nothing"]):
        case "status":
            page["status"] = pick(random, [403, 404, 416, 429, 500, 503])
        case "redirect":
            page["redirect"] = pick(random, [path, "/gone", "http://127.0.0.1:9/", "x://y", "%%%"])
        case "other":
            content = b"<html>Sign in to this network</html>" * 3000
        case "changed":
            place = int(random.integers(len(content)))
            content = content[:place] + random.bytes(3) + content[place + 3 :]
        case "nothing":
            content = b""
    return server.put(path, content, **page)


def _fetch(made, random, folder: Path, server: Server):
    target = folder / "downloads"
    if random.random() < 0.3:
        files = {name: described(content) for name, content in made["files"].items()}
        for name, content in made["files"].items():
            for mirror in ("/a/", "/b/"):
                server.put(mirror + name, content)
            if random.random() < 0.5:
                _misbehave(random, server, f"/a/{name}", content)
        sources = {"mirrors": [server.url("/a/"), server.url("/b/")], "files": files}
        with mock.patch.dict(download.ADDRESSES, {"mnist": sources}):
            found = download.download_mnist(target)
        return {p.name: p.read_bytes() for p in found.iterdir()} == made["files"]
    mirrors = []
    for i in range(int(random.integers(1, 3))):
        url = _misbehave(random, server, f"/{i}.zip", made["zip"].read_bytes())
        mirrors.append(as_source(url, made["zip"], made["members"]))
    with mock.patch.dict(download.ADDRESSES, {"emnist": mirrors}):
        path = download.download_emnist(target)
    if list(target.iterdir()) != [path] or not zipfile.is_zipfile(path):
        return False
    return is_same(read_archive(archives.read_emnist(path)), made["emnist"])


KINDS = [Kind("downloads", fetch, 3, 300, make_sets, seconds=20)]
