"""Downloads from a real server on this machine that misbehaves in the ways that mirrors do."""

import hashlib
import json
import socket
import zipfile

import h5py
import numpy as np
import pytest
from helpers import PREFIXES, as_source, described, emnist_members

from lab_utils import EMNIST
from text_recognizer.files import archives, download, prepared
from text_recognizer.files.download import DownloadError, download_emnist, download_mnist
from text_recognizer.paths import bundled


@pytest.fixture
def members(characters):
    return emnist_members(characters)


@pytest.fixture
def mirror(server, emnist_sources, gzip_zip, members):
    """Return a function that adds a mirror of EMNIST and returns its address."""

    def add(path, archive=gzip_zip, members=members, **page):
        url = server.put(path, archive, **page)
        emnist_sources.append(as_source(url, archive, members))
        return url

    return add


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", (0.5, 0.5))


@pytest.fixture
def closed_port():
    """Return the address of a port where nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture
def black_hole():
    """Return the address of a port that drops what it gets, as firewalls do."""
    with socket.socket() as listening, socket.socket() as waiting:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        waiting.connect(listening.getsockname())  # the only one for which there is room
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def contents(archive):
    with zipfile.ZipFile(archive) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def failure_of(folder, download=download_emnist):
    """Return the message of the failed download, which must leave nothing behind."""
    with pytest.raises(DownloadError) as caught:
        download(folder)
    assert not [path for path in folder.rglob("*") if path.is_file()]
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(").")
    return message


def test_only_the_byclass_members_are_transferred(mirror, server, gzip_zip, members, tmp_path):
    mirror("/gzip.zip")
    archive = download_emnist(tmp_path / "new")
    assert contents(archive) == members
    # The server counts the end of the archive (64 KiB), which holds the table of contents, too.
    assert server.sent["/gzip.zip"] < sum(map(len, members.values())) + 80_000
    assert server.sent["/gzip.zip"] < gzip_zip.stat().st_size / 2


def test_redirects_are_followed_for_ranges_too(mirror, server, gzip_zip, members, tmp_path):
    server.put("/moved.zip", gzip_zip)
    mirror("/gzip.zip", redirect="/moved.zip")
    assert contents(download_emnist(tmp_path)) == members
    assert server.sent["/moved.zip"] < gzip_zip.stat().st_size / 2


def test_python_s_own_user_agent_is_not_sent(mirror, members, tmp_path, monkeypatch):
    mirror("/gzip.zip")
    monkeypatch.setattr(download, "HEADERS", {})
    assert "answered 403" in failure_of(tmp_path / "new")


@pytest.mark.parametrize("fault", ["", "html", "truncated", "stalled", "silent", "gone"])
def test_a_bad_first_mirror_leads_to_the_second(
    mirror, server, members, tmp_path, impatient, emnist_sources, fault
):
    url = mirror("/first.zip", fault=fault if fault in ("truncated", "stalled", "silent") else "")
    if fault == "html":
        server.put("/first.zip", b"<html>Sign in to this network</html>" * 3000)
    elif fault == "gone":
        server.put("/first.zip", status=404)
    mirror("/second.zip")
    assert contents(download_emnist(tmp_path / "new")) == members
    assert (server.sent["/second.zip"] > 0) == bool(fault)
    assert emnist_sources[0]["url"] == url


@pytest.mark.parametrize("fault", ["html", "truncated", "stalled"])
def test_a_fault_that_shows_only_in_the_whole_archive(
    mirror, server, gzip_zip, tmp_path, impatient, fault
):
    url = mirror("/gzip.zip", ranges=False, fault=fault)
    if fault == "html":
        server.put("/gzip.zip", b"<html></html>", ranges=False)
    reason = {
        "html": "sent another file than expected",
        "truncated": "broke off in the middle",
        "stalled": "stopped answering",
    }
    assert f"{url}: {reason[fault]}" in failure_of(tmp_path / "new")


def test_the_whole_archive_is_fetched_where_ranges_are_not_supported(mirror, gzip_zip, tmp_path):
    mirror("/gzip.zip", ranges=False)
    archive = download_emnist(tmp_path / "new")
    assert archive.name == "gzip.zip"
    assert archive.read_bytes() == gzip_zip.read_bytes()


@pytest.mark.parametrize("wrong", [{"sha256": "0" * 64}, {"size": 5}])
def test_the_whole_archive_is_fetched_where_a_member_is_another_file(
    mirror, emnist_sources, gzip_zip, tmp_path, wrong
):
    mirror("/gzip.zip")
    list(emnist_sources[0]["members"].values())[-1].update(wrong)
    archive = download_emnist(tmp_path / "new")
    assert [path.name for path in archive.parent.iterdir()] == ["gzip.zip"]
    assert archive.read_bytes() == gzip_zip.read_bytes()


def test_a_missing_member_is_named_by_its_archive(mirror, emnist_sources, tmp_path):
    url = mirror("/gzip.zip")
    emnist_sources[0]["members"]["emnist-byclass.mat"] = described(b"")
    emnist_sources[0]["sha256"] = "0" * 64
    assert f"{url}: sent another file than expected" in failure_of(tmp_path / "new")


def test_each_mirror_and_its_reason_are_in_the_message(
    mirror, server, emnist_sources, gzip_zip, closed_port, black_hole, tmp_path, impatient
):
    reasons = {
        mirror("/gone.zip", status=404): "answered 404",
        mirror("/silent.zip", fault="silent"): "stopped answering",
        mirror("/broken.zip", fault="truncated"): "broke off in the middle",
        mirror("/stalled.zip", fault="stalled"): "stopped answering",
        f"{closed_port}/gzip.zip": "no connection",
        f"{black_hole}/gzip.zip": "no connection",
    }
    for url in list(reasons)[-2:]:
        emnist_sources.append(as_source(url, gzip_zip, {}))
    url = mirror("/other.zip")
    reasons[url] = "sent another file than expected"
    emnist_sources[-1].update(sha256="0" * 64, members={"other": described(b"")})
    message = failure_of(tmp_path / "new")
    for url, reason in reasons.items():
        assert f"{url}: {reason}" in message
    assert message.count(". ") == 0


def test_a_file_without_an_end_is_left(mnist_mirrors, server, tmp_path):
    name = "train-images-idx3-ubyte.gz"
    server.pages[f"/a/{name}"].fault = "endless"
    assert downloaded(tmp_path / "new") == mnist_mirrors
    assert server.sent[f"/a/{name}"] < 10_000_000


def test_faults_of_proxies_and_of_tls_have_their_names(
    emnist_sources, gzip_zip, server, closed_port, tmp_path, monkeypatch
):
    server.put("/gzip.zip", gzip_zip)
    url = server.url("/gzip.zip").replace("http:", "https:")
    emnist_sources.append(as_source(url, gzip_zip, {}))
    assert f"{url}: no secure connection" in failure_of(tmp_path / "new")
    monkeypatch.setenv("HTTPS_PROXY", closed_port)
    assert f"{url}: no connection through the proxy" in failure_of(tmp_path / "new")


def test_a_kept_download_that_has_changed_is_fetched_again(mirror, data_folder, characters):
    mirror("/gzip.zip")
    kept = data_folder / "downloads" / "emnist-byclass.zip"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"PK damaged")
    data = EMNIST(source="full", balance=False)
    data.setup()
    assert data.source_name == "official EMNIST from emnist-byclass.zip"
    assert zipfile.is_zipfile(kept)


def test_a_name_that_does_not_resolve_counts_as_no_connection(
    emnist_sources, gzip_zip, online, tmp_path
):
    emnist_sources.append(as_source("http://mirror.invalid/gzip.zip", gzip_zip, {}))
    message = failure_of(tmp_path / "new")
    assert "no connection" in message


@pytest.mark.parametrize("download", [download_emnist, download_mnist])
def test_offline_asks_no_server(mirror, mnist_mirrors, server, tmp_path, monkeypatch, download):
    mirror("/gzip.zip")
    monkeypatch.setenv("LAB_OFFLINE", "1")
    with pytest.raises(DownloadError, match="LAB_OFFLINE=1"):
        download(tmp_path / "new")
    assert server.requests == []
    assert not (tmp_path / "new").exists()


def test_what_was_downloaded_is_not_fetched_again(mirror, server, tmp_path):
    mirror("/gzip.zip")
    first = download_emnist(tmp_path / "new")
    sent = server.sent["/gzip.zip"]
    assert download_emnist(tmp_path / "new") == first
    assert server.sent["/gzip.zip"] == sent


def test_a_folder_that_cannot_be_written_is_named(mirror, tmp_path):
    mirror("/gzip.zip")
    (tmp_path / "file").touch()
    with pytest.raises(Exception, match=r"cannot be written.*LAB_DATA_DIR") as caught:
        download_emnist(tmp_path / "file" / "folder")
    assert type(caught.value).__name__ == "LabError"
    assert str(tmp_path / "file") in str(caught.value)


def arrays(path):
    with h5py.File(path) as file:
        return {name: values[:] for name, values in file.items()}


@pytest.mark.parametrize("ranges", [True, False])
def test_the_download_prepares_to_the_same_images_as_the_local_archive(
    mirror, gzip_zip, tmp_path, ranges
):
    mirror("/gzip.zip", ranges=ranges)
    fetched = download_emnist(tmp_path / "new")
    for name, archive in (("fetched", fetched), ("local", gzip_zip)):
        prepared.write(tmp_path / name, archives.read_emnist(archive), "", "")
    expected = arrays(tmp_path / "local")
    for name, values in arrays(tmp_path / "fetched").items():
        np.testing.assert_array_equal(values, expected.pop(name))
    assert not expected


def test_the_matlab_mirror_can_stand_in(mirror, server, matlab_zip, characters, tmp_path):
    mirror("/gzip.zip", status=500)
    mat = contents(matlab_zip)["matlab/emnist-byclass.mat"]
    mirror("/matlab.zip", matlab_zip, {"emnist-byclass.mat": mat})
    archive = download_emnist(tmp_path / "new")
    for part in archives.read_emnist(archive):
        images = np.concatenate(list(part.images))
        np.testing.assert_array_equal(images, characters[part.name][0])


# MNIST: four files, each from the first mirror that has it.


@pytest.fixture
def mnist_mirrors(server, mnist_folder, monkeypatch):
    """Serve MNIST's four files under /a/ and /b/."""
    files = {path.name: path.read_bytes() for path in mnist_folder.iterdir()}
    ordered = [f"{p}-{kind}-ubyte.gz" for p in PREFIXES.values() for kind in archives.IDX_KINDS]
    for folder in ("/a/", "/b/"):
        for name, content in files.items():
            server.put(folder + name, content)
    mirrors = [server.url("/a/"), server.url("/b/")]
    source = {"mirrors": mirrors, "files": {name: described(files[name]) for name in ordered}}
    monkeypatch.setitem(download.ADDRESSES, "mnist", source)
    return files


def downloaded(folder):
    return {path.name: path.read_bytes() for path in download_mnist(folder).iterdir()}


def test_mnist_comes_from_the_first_mirror(mnist_mirrors, server, tmp_path):
    assert downloaded(tmp_path / "new") == mnist_mirrors
    assert len(server.requests) == 4


@pytest.mark.parametrize("fault", ["gone", "html", "truncated", "stalled"])
@pytest.mark.parametrize("name", ["train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte.gz"])
def test_a_file_that_one_mirror_lacks_comes_from_the_other(
    mnist_mirrors, server, tmp_path, impatient, fault, name
):
    page = server.pages[f"/a/{name}"]
    if fault == "gone":
        page.status = 404
    elif fault == "html":
        page.content = b"<html></html>"
    else:
        page.fault = fault
    assert downloaded(tmp_path / "new") == mnist_mirrors


def test_mirrors_that_each_lack_another_file_make_up_the_set(mnist_mirrors, server, tmp_path):
    server.put("/a/train-labels-idx1-ubyte.gz", b"<html></html>")
    server.put("/b/t10k-labels-idx1-ubyte.gz", b"<html></html>")
    assert downloaded(tmp_path / "new") == mnist_mirrors


def test_mnist_says_what_each_mirror_answered(mnist_mirrors, server, tmp_path):
    for mirror in "ab":
        server.put(f"/{mirror}/train-images-idx3-ubyte.gz", b"<html></html>")
    message = failure_of(tmp_path / "new", download_mnist)
    for mirror in "ab":
        url = server.url(f"/{mirror}/train-images-idx3-ubyte.gz")
        assert f"{url}: sent another file than expected" in message


def test_the_sources_file_is_complete():
    sources = json.loads(bundled("sources.json").read_text(encoding="utf-8"))
    assert not sources["user_agent"].lower().startswith("python")
    hashes = [entry["sha256"] for entry in sources["mnist"]["files"].values()]
    for archive in sources["emnist"]:
        assert archive["url"].startswith("https://")
        hashes += [archive["sha256"], *(m["sha256"] for m in archive["members"].values())]
    for digest in hashes:
        assert len(digest) == hashlib.sha256().digest_size * 2
    assert len(set(hashes)) == 4 + 2 + 5


def test_a_kept_file_of_mnist_that_has_changed_is_fetched_again(
    mnist_mirrors, server, tmp_path, monkeypatch
):
    downloaded(tmp_path)
    kept = tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz"
    kept.write_bytes(b"damaged")
    monkeypatch.setenv("LAB_OFFLINE", "1")
    with pytest.raises(DownloadError, match="LAB_OFFLINE=1"):
        download_mnist(tmp_path)
    monkeypatch.delenv("LAB_OFFLINE")
    assert downloaded(tmp_path) == mnist_mirrors
    assert len(server.requests) == 5
    monkeypatch.setenv("LAB_OFFLINE", "1")
    assert downloaded(tmp_path) == mnist_mirrors
