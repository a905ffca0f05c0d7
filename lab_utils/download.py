"""Fetches the official archives: several mirrors, SHA-256, and only the bytes that are needed."""

import hashlib
import json
import logging
import threading
import time
import zipfile
import zlib
from pathlib import Path

import pooch
import requests
from remotezip import RemoteZip, RemoteZipError
from tqdm.auto import tqdm
from urllib3.exceptions import HTTPError, ProtocolError

from lab_utils.errors import LabError, cannot_write
from lab_utils.paths import bundled, is_offline

ADDRESSES = json.loads(bundled("sources.json").read_text(encoding="utf-8"))
HEADERS = {"User-Agent": ADDRESSES["user_agent"]}  # NIST answers 403 to Python's own

PROBE_SECONDS = 8  # all mirrors are asked at once, so this bounds the wait without a network
READ_SECONDS = 30  # a server that stalls longer than this is given up
CHUNK_BYTES = 1 << 20
MEMBERS_ONLY = "emnist-byclass.zip"

pooch.get_logger().setLevel(logging.WARNING)


class DownloadError(LabError):
    """No mirror gave the expected file; the message says what each one answered."""


def download_emnist(folder: Path) -> Path:
    """Fetch EMNIST ByClass and return a zip archive that holds it.

    Each mirror is first asked for the ByClass members alone (HTTP range requests: a third of the
    archive), then for the whole archive. What comes back is checked by SHA-256 before it gets
    its name, so a file of that name is always whole.

    Parameters
    ----------
    folder : Path
        Where the archive is kept, `emnist-byclass.zip` or the mirror's own name.

    Raises
    ------
    DownloadError
        If no mirror gave a file with the expected hash, or `LAB_OFFLINE=1`.
    """
    members_only = folder / MEMBERS_ONLY
    if members_only.exists():  # fetched before, and not prepared to the end
        return members_only
    archives = ADDRESSES["emnist"]
    failures = _find_unreachable([archive["url"] for archive in archives])
    for archive in archives:
        url = archive["url"]
        if url in failures:
            continue
        for fetch in (_fetch_members, _fetch_whole):
            try:
                return fetch(archive, folder)
            except (requests.RequestException, RemoteZipError, HTTPError) as error:
                failures[url] = _explain(error)
            except (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
                failures[url] = _explain_wrong_file(error)
            except OSError as error:
                raise cannot_write(folder, error) from None
    raise DownloadError(_summarize("EMNIST", failures))


def download_mnist(folder: Path) -> Path:
    """Fetch MNIST's four files into `folder`/mnist and return that folder.

    Raises
    ------
    DownloadError
        If a file came from no mirror with the expected hash, or `LAB_OFFLINE=1`.
    """
    mirrors, files = ADDRESSES["mnist"]["mirrors"], ADDRESSES["mnist"]["files"]
    if all((folder / "mnist" / name).exists() for name in files):
        return folder / "mnist"
    failures = _find_unreachable([mirror + next(iter(files)) for mirror in mirrors])
    silent = [mirror for mirror in mirrors if mirror + next(iter(files)) in failures]
    for name, file in files.items():
        for mirror in mirrors:
            if mirror in silent:
                continue
            try:
                _retrieve(mirror + name, file["sha256"], folder / "mnist", name)
                break
            except requests.RequestException as error:
                failures[mirror + name] = _explain(error)
            except ValueError as error:
                failures[mirror + name] = _explain_wrong_file(error)
            except OSError as error:
                raise cannot_write(folder, error) from None
        else:
            raise DownloadError(_summarize("MNIST", failures))
    return folder / "mnist"


def download_brown(folder: Path) -> Path:
    """Fetch the Brown corpus as NLTK stores it, and return the zip archive.

    Raises
    ------
    DownloadError
        If it did not come with the expected hash, or `LAB_OFFLINE=1`.
    """
    corpus = ADDRESSES["brown"]
    url = corpus["url"]
    if (folder / "brown.zip").exists():  # pooch gives a file its name once its hash is right
        return folder / "brown.zip"
    failures = _find_unreachable([url])
    try:
        if not failures:
            print(f"Fetching the Brown corpus (3 MB; {corpus['licence']}).")
            return _fetch_whole(corpus, folder)
    except requests.RequestException as error:
        failures[url] = _explain(error)
    except ValueError as error:
        failures[url] = _explain_wrong_file(error)
    except OSError as error:
        raise cannot_write(folder, error) from None
    raise DownloadError(_summarize("The Brown corpus", failures))


def delete(fetched: Path) -> None:
    """Delete a kept download, a file or a folder of files, so that it is fetched again."""
    try:
        for file in list(fetched.iterdir()) if fetched.is_dir() else [fetched]:
            file.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(fetched, error) from None


def _fetch_whole(archive: dict, folder: Path) -> Path:
    url = archive["url"]
    return _retrieve(url, archive["sha256"], folder, url.rsplit("/", 1)[-1])


def _retrieve(url: str, sha256: str, folder: Path, name: str) -> Path:
    # pooch sets the real total; it asks for the truth of the bar before, which needs a total.
    bar = tqdm(total=1, desc=name, unit="B", unit_scale=True, delay=2)
    downloader = pooch.HTTPDownloader(
        progressbar=bar,
        headers=HEADERS,
        timeout=(PROBE_SECONDS, READ_SECONDS),
        chunk_size=CHUNK_BYTES,
    )
    with bar:
        return Path(pooch.retrieve(url, f"sha256:{sha256}", name, folder, downloader=downloader))


def _fetch_members(archive: dict, folder: Path) -> Path:
    def download(url, output_file, pooch):  # noqa: ARG001 - the signature of pooch's downloaders
        _copy_members(url, archive["members"], output_file)

    # The hash is None because each member is checked by its own, while it is copied.
    return Path(pooch.retrieve(archive["url"], None, MEMBERS_ONLY, folder, downloader=download))


def _copy_members(url: str, members: dict, output_file) -> None:
    """Copy the named members of the zip at `url` into a new, uncompressed zip."""
    timeout = (PROBE_SECONDS, READ_SECONDS)
    with (
        RemoteZip(url, headers=HEADERS, timeout=timeout) as remote,
        zipfile.ZipFile(output_file, "w") as local,
        tqdm(desc="EMNIST ByClass", unit="B", unit_scale=True, delay=2) as bar,
    ):
        infos = {info.filename.rsplit("/", 1)[-1]: info for info in remote.infolist()}
        for name, expected in members.items():
            if infos[name].file_size != expected["size"]:
                raise ValueError(f"{name} has another size")
        bar.reset(sum(expected["size"] for expected in members.values()))
        for name, expected in members.items():
            digest = hashlib.sha256()
            with remote.open(infos[name]) as source, local.open(name, "w") as target:
                while chunk := source.read(CHUNK_BYTES):
                    digest.update(chunk)
                    target.write(chunk)
                    bar.update(len(chunk))
            if digest.hexdigest() != expected["sha256"]:
                raise ValueError(f"{name} has another SHA-256")


def _find_unreachable(urls: list[str]) -> dict[str, str]:
    """Ask all addresses at once; return those that gave no file in time, with the reason."""
    if is_offline():
        raise DownloadError("LAB_OFFLINE=1 forbids downloads.")
    answers: dict[str, str | None] = {}

    def ask(url):
        headers = HEADERS | {"Range": "bytes=0-0"}
        try:
            with requests.get(url, headers=headers, stream=True, timeout=PROBE_SECONDS) as answer:
                answer.raise_for_status()
            answers[url] = None
        except requests.RequestException as error:
            answers[url] = _explain(error)

    # Daemon threads, because a name server that never answers has no time-out of its own.
    threads = [threading.Thread(target=ask, args=(url,), daemon=True) for url in urls]
    deadline = time.monotonic() + PROBE_SECONDS
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    silent = f"no answer within {PROBE_SECONDS} seconds"
    reasons = {url: answers.get(url, silent) for url in urls}
    return {url: reason for url, reason in reasons.items() if reason is not None}


def _explain(error: Exception) -> str:
    """Say in a few words why a request failed."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"answered {error.response.status_code}"
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return "stopped answering"
    if isinstance(error, (requests.exceptions.ChunkedEncodingError, ProtocolError)):
        return "broke off in the middle"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return _cut_first_sentence(error)


def _explain_wrong_file(error: Exception) -> str:
    return f"sent another file than expected ({_cut_first_sentence(error)})"


def _cut_first_sentence(error: Exception) -> str:
    text = str(error).split("\n")[0].split(". ")[0]
    return text.split(": expected")[0].rstrip(".")  # pooch goes on with two long hashes


def _summarize(name: str, failures: dict[str, str]) -> str:
    answers = "; ".join(f"{url}: {reason}" for url, reason in failures.items())
    return f"{name} could not be downloaded ({answers})."
