"""Fetches the official archives: several mirrors, SHA-256, and only the bytes that are needed."""

import hashlib
import json
import logging
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

import pooch
import requests
from remotezip import RangeNotSupported, RemoteIOError, RemoteZip, RemoteZipError
from requests import exceptions
from tqdm.auto import tqdm
from urllib3.exceptions import HTTPError, ProtocolError

from text_recognizer.errors import LabError, cannot_write, shorten
from text_recognizer.language import _
from text_recognizer.paths import bundled, is_offline

ADDRESSES = json.loads(bundled("sources.json").read_text(encoding="utf-8"))
HEADERS = {"User-Agent": ADDRESSES["user_agent"]}  # NIST answers 403 to Python's own
TIMEOUT = (5, 30)  # seconds in which a server must accept a connection, and send the next bytes
CHUNK_BYTES = 1 << 16
MEMBERS_ONLY = "emnist-byclass.zip"
WRONG_FILE = (ValueError, LookupError, EOFError, zipfile.BadZipFile, zlib.error)
NO_ANSWER = (requests.RequestException, RemoteZipError, HTTPError)
REASONS = (
    (exceptions.ProxyError, "no connection through the proxy that HTTP_PROXY or HTTPS_PROXY names"),
    (exceptions.SSLError, "no secure connection: is its certificate one that this machine trusts?"),
    ((exceptions.ChunkedEncodingError, ProtocolError), "broke off in the middle"),
    (exceptions.ConnectionError, "no connection"),
)

pooch.get_logger().setLevel(logging.WARNING)


class DownloadError(LabError):
    """No mirror gave the expected file; the message says what each one answered."""


def download_emnist(folder: Path) -> Path:
    """Fetch EMNIST ByClass and return a zip archive that holds it.

    It is kept in the folder, as `emnist-byclass.zip` or under the mirror's own name. Each mirror is
    first asked for the ByClass members alone (HTTP range requests: a third of the archive), then
    for the whole archive.
    """
    kept = folder / MEMBERS_ONLY
    if _is_whole(kept):  # fetched before, and not prepared to the end
        return kept
    mirrors = {a["url"]: partial(_fetch_archive, a, folder) for a in ADDRESSES["emnist"]}
    return _fetch("EMNIST", kept, mirrors)


def download_mnist(folder: Path) -> Path:
    """Fetch MNIST's four files into `folder`/mnist and return that folder."""
    addresses, target = ADDRESSES["mnist"], folder / "mnist"
    for name, file in addresses["files"].items():
        urls = [mirror + name for mirror in addresses["mirrors"]]
        mirrors = {url: partial(_fetch_file, url, file, target) for url in urls}
        _fetch("MNIST", target / name, mirrors)
    return target


def download_brown(folder: Path) -> Path:
    """Fetch the Brown corpus as NLTK stores it, and return the zip archive."""
    corpus = ADDRESSES["brown"]
    target = folder / "brown.zip"
    if not target.exists() and not is_offline():
        print(_(f"Fetching the Brown corpus (3 MB; {corpus['licence']})."))
    mirrors = {corpus["url"]: partial(_fetch_file, corpus["url"], corpus, folder)}
    return _fetch("The Brown corpus", target, mirrors)


def _fetch(name: str, target: Path, mirrors: Mapping[str, Callable[[], Path]]) -> Path:
    """Fetch a file from the first mirror that has it; one that is there is only checked."""
    if not target.exists():
        _check_online()
    failures = []
    for url, fetch in mirrors.items():
        try:
            return fetch()
        except NO_ANSWER as error:
            reason = _explain(error)
        except WRONG_FILE as error:
            reason = _(f"sent another file than expected ({shorten(error)})")
        except OSError as error:
            raise cannot_write(target.parent, error) from None
        failures.append(f"{url}: {reason}")
    raise DownloadError(f"{name} could not be downloaded ({'; '.join(failures)}).")


def _check_online() -> None:
    if is_offline():
        raise DownloadError("LAB_OFFLINE=1 forbids downloads.")


def _is_whole(archive: Path) -> bool:
    with suppress(OSError, RuntimeError, *WRONG_FILE), zipfile.ZipFile(archive) as opened:
        return opened.testzip() is None
    return False


def _fetch_archive(archive: dict, folder: Path) -> Path:
    """Fetch the ByClass members of an archive, or all of it from a server without ranges."""
    (folder / MEMBERS_ONLY).unlink(missing_ok=True)  # one that is there is damaged
    download = partial(_download_members, archive["members"])
    try:
        # The hash is None because each member is checked by its own, while it is copied.
        return Path(pooch.retrieve(archive["url"], None, MEMBERS_ONLY, folder, downloader=download))
    except (*WRONG_FILE, RangeNotSupported):
        return _fetch_file(archive["url"], archive, folder)


def _fetch_file(url: str, file: dict, folder: Path) -> Path:
    name, download = url.rsplit("/", 1)[-1], partial(_download, file)
    return Path(pooch.retrieve(url, file["sha256"], name, folder, downloader=download))


# What pooch calls: with an address, the temporary path of the file, and itself.


def _download(file: dict, url: str, output: str, _) -> None:
    _check_online()
    with (
        requests.get(url, stream=True, headers=HEADERS, timeout=TIMEOUT) as answer,
        open(output, "wb") as target,
    ):
        answer.raise_for_status()
        _copy(answer.iter_content(CHUNK_BYTES), target, file, url)


def _download_members(members: dict, url: str, output: str, _) -> None:
    """Copy the named members of a zip archive into a new, uncompressed one."""
    _check_online()
    with (
        RemoteZip(url, headers=HEADERS, timeout=TIMEOUT) as remote,
        zipfile.ZipFile(output, "w") as local,
    ):
        infos = {info.filename.rsplit("/", 1)[-1]: info for info in remote.infolist()}
        for name, expected in members.items():
            with remote.open(infos[name]) as source, local.open(name, "w") as target:
                _copy(iter(partial(source.read, CHUNK_BYTES), b""), target, expected, name)


def _copy(chunks: Iterable[bytes], target, expected: dict, name: str) -> None:
    """Copy what a server sends, up to the size that it should have; ValueError if it is another."""
    digest, size = hashlib.sha256(), expected.get("size")
    label = name.rsplit("/", 1)[-1]
    with tqdm(total=size, desc=label, unit="B", unit_scale=True, delay=2) as bar:
        for chunk in chunks:
            digest.update(chunk)
            target.write(chunk)
            bar.update(len(chunk))
            if size and bar.n > size:
                raise ValueError(f"{label} has more than {size:,} bytes")
    if digest.hexdigest() != expected["sha256"]:
        raise ValueError(f"{label} has another SHA-256")


def _explain(error: BaseException) -> str:
    """Say in a few words why a request failed."""
    if isinstance(error, RemoteIOError):  # which tells no more than the text of the first one
        error = error.__context__ or error
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return _(f"answered {error.response.status_code}")
    if "Read timed out" in str(error):  # whatever the error is that a library makes of it
        return _("stopped answering")
    return _(next((words for kind, words in REASONS if isinstance(error, kind)), shorten(error)))
