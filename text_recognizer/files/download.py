"""Fetches the official archives: several mirrors, SHA-256, and only the bytes that are needed."""

import hashlib
import json
import logging
import math
import time
import zipfile
import zlib
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from threading import Thread

import pooch
import requests
from remotezip import RemoteZip, RemoteZipError
from tqdm.auto import tqdm
from urllib3.exceptions import HTTPError, ProtocolError

from text_recognizer.errors import LabError, cannot_write
from text_recognizer.paths import bundled, check_space, is_offline

ADDRESSES = json.loads(bundled("sources.json").read_text(encoding="utf-8"))
HEADERS = {"User-Agent": ADDRESSES["user_agent"]}  # NIST answers 403 to Python's own

PROBE_SECONDS = 8  # all mirrors are asked at once, so this bounds the wait without a network
READ_SECONDS = 30  # a server that stalls longer than this is given up
SLOW_SECONDS = 60  # and one that sends less than MIN_SPEED for so long
MIN_SPEED = 5000  # bytes a second: the smallest archive takes 10 minutes, the others a day
MAX_WAIT_SECONDS = 60  # that a server may ask for before it is asked again
MAX_TRIES = 3
TOO_MANY_REQUESTS = 429
CHUNK_BYTES = 1 << 16
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
                return _try_patiently(partial(fetch, archive, folder))
            except (requests.RequestException, RemoteZipError, HTTPError, _TooSlowError) as error:
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
                _try_patiently(partial(_retrieve, mirror + name, file, folder / "mnist", name))
                break
            except (requests.RequestException, _TooSlowError) as error:
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
            return _try_patiently(partial(_fetch_whole, corpus, folder))
    except (requests.RequestException, _TooSlowError) as error:
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


class _TooSlowError(Exception):
    pass


class _Bar(tqdm):
    """A bar that tells how much has come, and ends a transfer that was given up."""

    is_given_up = False
    limit = math.inf

    def __bool__(self) -> bool:
        return True  # pooch asks, and a tqdm without a total is false

    def update(self, n: float | None = 1) -> bool | None:
        """Count bytes that have come."""
        if self.is_given_up:
            raise _TooSlowError
        shown = super().update(n)
        if self.n > self.limit:
            raise ValueError("more bytes than the file has")
        return shown


def _try_patiently(fetch: Callable[[_Bar], Path]) -> Path:
    """Fetch, again where a server asks to wait, until it is too slow.

    Raises
    ------
    _TooSlowError, requests.RequestException, RemoteZipError, ValueError, OSError and others
        What `fetch` raises.
    """
    for tries in range(1, MAX_TRIES + 1):
        try:
            return _watch(fetch)
        except (requests.RequestException, RemoteZipError) as error:
            seconds = _read_retry_after(_find_cause(error))
            if seconds is None or seconds > MAX_WAIT_SECONDS or tries == MAX_TRIES:
                raise
            time.sleep(seconds)
    raise AssertionError


def _watch(fetch: Callable[[_Bar], Path]) -> Path:
    """Fetch in a thread, so that neither a slow server nor one that says nothing holds us."""
    bar = _Bar(unit="B", unit_scale=True, delay=2)
    outcome: list[Path | BaseException] = []
    result: Path | BaseException | None = None

    def run():
        try:
            outcome.append(fetch(bar))
        except BaseException as error:  # noqa: BLE001 - raised below
            outcome.append(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    try:
        while not outcome:
            before = bar.n
            thread.join(SLOW_SECONDS)
            is_complete = bar.total and bar.n >= bar.total  # it is being checked
            is_slow = thread.is_alive() and 0 <= bar.n - before < MIN_SPEED * SLOW_SECONDS
            if is_slow and not is_complete and not outcome:
                raise _TooSlowError
        result = outcome.pop()  # no circle holds the connection open
        if isinstance(result, Path):
            return result
        raise result
    finally:
        result = None
        bar.is_given_up = True
        bar.close()


def _fetch_whole(archive: dict, folder: Path, bar: _Bar) -> Path:
    url = archive["url"]
    return _retrieve(url, archive, folder, url.rsplit("/", 1)[-1], bar)


def _retrieve(url: str, file: dict, folder: Path, name: str, bar: _Bar) -> Path:
    bar.set_description(name, refresh=False)
    if "size" in file and not (folder / name).exists():
        bar.limit = file["size"] + CHUNK_BYTES  # pooch counts in chunks
        check_space(folder / name, file["size"])
    downloader = pooch.HTTPDownloader(
        progressbar=bar,
        headers=HEADERS,
        timeout=(PROBE_SECONDS, READ_SECONDS),
        chunk_size=CHUNK_BYTES,
    )
    expected = f"sha256:{file['sha256']}"
    return Path(pooch.retrieve(url, expected, name, folder, downloader=downloader))


def _fetch_members(archive: dict, folder: Path, bar: _Bar) -> Path:
    def download(url, output_file, pooch):  # noqa: ARG001 - the signature of pooch's downloaders
        _copy_members(url, archive["members"], output_file, bar)

    check_space(folder / MEMBERS_ONLY, sum(m["size"] for m in archive["members"].values()))
    # The hash is None because each member is checked by its own, while it is copied.
    return Path(pooch.retrieve(archive["url"], None, MEMBERS_ONLY, folder, downloader=download))


def _copy_members(url: str, members: dict, output_file, bar: _Bar) -> None:
    """Copy the named members of the zip at `url` into a new, uncompressed zip."""
    bar.set_description("EMNIST ByClass", refresh=False)
    timeout = (PROBE_SECONDS, READ_SECONDS)
    with (
        RemoteZip(url, headers=HEADERS, timeout=timeout) as remote,
        zipfile.ZipFile(output_file, "w") as local,
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
                if answer.status_code != TOO_MANY_REQUESTS:  # it is there, and says when
                    answer.raise_for_status()
            answers[url] = None
        except requests.RequestException as error:
            answers[url] = _explain(error)

    # Daemon threads, because a name server that never answers has no time-out of its own.
    threads = [Thread(target=ask, args=(url,), daemon=True) for url in urls]
    deadline = time.monotonic() + PROBE_SECONDS
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    silent = f"no answer within {PROBE_SECONDS} seconds"
    reasons = {url: answers.get(url, silent) for url in urls}
    return {url: reason for url, reason in reasons.items() if reason is not None}


def _find_cause(error: BaseException) -> BaseException:
    """Return what a request failed of, where remotezip tells no more than its text."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, requests.RequestException):
        cause = cause.__cause__ or cause.__context__
    return cause or error


def _read_retry_after(error: BaseException) -> float | None:
    """Return for how many seconds a server asked to be left alone, or None if it did not."""
    if not isinstance(error, requests.HTTPError) or error.response is None:
        return None
    if error.response.status_code not in (TOO_MANY_REQUESTS, 503):
        return None
    text = error.response.headers.get("Retry-After", "").strip()
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return 1.0 if error.response.status_code == TOO_MANY_REQUESTS else None


def _explain(error: BaseException) -> str:
    """Say in a few words why a request failed."""
    error, text = _find_cause(error), str(error)
    if isinstance(error, _TooSlowError):
        return f"sent less than {MIN_SPEED / 1000:g} kB a second"
    if isinstance(error, requests.HTTPError) and error.response is not None:
        waits = _read_retry_after(error)
        later = f", and asks to wait {waits:.0f} seconds" if waits else ""
        return f"answered {error.response.status_code}{later}"
    if isinstance(error, (requests.exceptions.ProxyError, requests.exceptions.InvalidProxyURL)):
        return "no connection through the proxy that HTTP_PROXY or HTTPS_PROXY names"
    if isinstance(error, requests.exceptions.SSLError):
        trust = ": its certificate is not one that this machine trusts"
        return "no secure connection" + (trust if "certificate" in text.lower() else "")
    if isinstance(error, requests.Timeout) or "timed out" in text:
        return "stopped answering"
    if isinstance(error, (requests.exceptions.ChunkedEncodingError, ProtocolError)):
        return "broke off in the middle"
    if isinstance(error, requests.ConnectionError):
        is_unknown = "NameResolution" in text or "getaddrinfo" in text
        return "no connection: its name is not known here" if is_unknown else "no connection"
    return _cut_first_sentence(error)


def _explain_wrong_file(error: BaseException) -> str:
    return f"sent another file than expected ({_cut_first_sentence(error)})"


def _cut_first_sentence(error: BaseException) -> str:
    text = str(error).split("\n")[0].split(". ")[0]
    return text.split(": expected")[0].rstrip(".")  # pooch goes on with two long hashes


def _summarize(name: str, failures: dict[str, str]) -> str:
    answers = "; ".join(f"{url}: {reason}" for url, reason in failures.items())
    return f"{name} could not be downloaded ({answers})."
