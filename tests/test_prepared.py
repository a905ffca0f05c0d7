"""Preparing a data set: once, whole or not at all, and from the source that was asked for."""

import multiprocessing
import os
import resource
import signal
import threading
import time

import h5py
import numpy as np
import pytest
import torch
from helpers import as_source, emnist_members, make_images, write_gzip_zip
from tqdm.auto import tqdm

from text_recognizer.data import EMNIST, MNIST, EMNISTLines, MyHandwriting
from text_recognizer.data.my_handwriting import save_drawing
from text_recognizer.errors import LabError
from text_recognizer.files import archives, download, prepared
from text_recognizer.files.download import DownloadError
from text_recognizer.paths import bundled
from text_recognizer.strokes import sample_strokes

FORK = multiprocessing.get_context("fork")


def locate(source="auto", read=archives.read_emnist):
    return prepared.locate("EMNIST", source, "EMNIST_ARCHIVE", read, download.download_emnist)


def read_source(path):
    with prepared.open_prepared(path) as file:
        return file.source


def read_images(path, part, indices):
    with prepared.open_prepared(path) as file:
        return file.read_images(part, indices)


def locate_mnist(source="auto"):
    return prepared.locate(
        "MNIST", source, "MNIST_DIR", archives.read_mnist, download.download_mnist
    )


@pytest.fixture
def local(gzip_zip, monkeypatch):
    """Set EMNIST_ARCHIVE and return its path."""
    monkeypatch.setenv("EMNIST_ARCHIVE", str(gzip_zip))
    return gzip_zip


def assert_holds(path, expected):
    with h5py.File(path) as file:
        assert set(file) == {"x_train", "y_train", "x_test", "y_test"}
        for part, (images, labels) in expected.items():
            assert file[f"x_{part}"].dtype == file[f"y_{part}"].dtype == np.uint8
            np.testing.assert_array_equal(file[f"x_{part}"], images)
            np.testing.assert_array_equal(file[f"y_{part}"], labels + np.uint8(4))


def one_sentence(error, *parts):
    message = str(error.value)
    assert "\n" not in message
    assert message.endswith(".")
    for part in parts:
        assert str(part) in message


def never(*args):
    raise AssertionError("this must not be called")


# What is prepared, and where it goes.


def test_the_local_archive_is_prepared_under_lab_data_dir(local, data_folder, characters):
    path = locate()
    assert path == data_folder / "emnist.h5"
    assert_holds(path, characters)
    assert read_source(path) == "real EMNIST from gzip.zip"
    assert {p.name for p in data_folder.iterdir()} <= {"emnist.h5", "emnist.h5.lock"}


def test_the_matlab_archive_prepares_to_the_same(matlab_zip, monkeypatch, characters):
    monkeypatch.setenv("EMNIST_ARCHIVE", str(matlab_zip))
    assert_holds(locate("full"), characters)


def test_local_mnist_files_are_prepared(mnist_folder, monkeypatch, data_folder, digits):
    monkeypatch.setenv("MNIST_DIR", str(mnist_folder))
    path = locate_mnist()
    assert path == data_folder / "mnist.h5"
    assert_holds(path, digits)


def test_small_blocks_prepare_to_the_same(local, monkeypatch, characters):
    monkeypatch.setattr(archives, "BLOCK_IMAGES", 7)
    assert_holds(locate(), characters)


def test_the_local_archive_may_be_named_from_the_home_folder(gzip_zip, monkeypatch, characters):
    monkeypatch.setenv("HOME", str(gzip_zip.parent))
    monkeypatch.setenv("EMNIST_ARCHIVE", f"~/{gzip_zip.name}")
    assert_holds(locate(), characters)


def test_lab_data_dir_moves_the_files(local, tmp_path, monkeypatch):
    locate()
    monkeypatch.setenv("LAB_DATA_DIR", str(tmp_path / "deep" / "elsewhere"))
    assert locate() == tmp_path / "deep" / "elsewhere" / "emnist.h5"


# When it is prepared again, and when not.


def test_what_is_prepared_is_used_again(local):
    path = locate()
    before = path.stat()
    assert locate(read=never) == path
    assert path.stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize("source", ["auto", "full"])
def test_what_is_prepared_is_used_without_the_archive(local, monkeypatch, source, capsys):
    path = locate()
    monkeypatch.delenv("EMNIST_ARCHIVE")
    local.unlink()
    capsys.readouterr()
    assert locate(source, read=never) == path
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("change", ["content", "time"])
def test_a_changed_archive_is_prepared_again(local, characters, change):
    locate()
    others = make_images({"train": 130, "test": 70}, 62, seed=9)
    stat = local.stat()
    if change == "content":
        write_gzip_zip(local, emnist_members(others))
        os.utime(local, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert_holds(locate(), others)
    else:
        os.utime(local, ns=(stat.st_atime_ns, stat.st_mtime_ns + 10**9))
        read = []
        locate(read=lambda path: read.append(path) or archives.read_emnist(path))
        assert read == [local]


def test_another_archive_is_prepared_again(local, matlab_zip, monkeypatch):
    locate()
    monkeypatch.setenv("EMNIST_ARCHIVE", str(matlab_zip))
    assert read_source(locate()) == "real EMNIST from matlab.zip"


def test_changed_mnist_files_are_prepared_again(mnist_folder, monkeypatch):
    monkeypatch.setenv("MNIST_DIR", str(mnist_folder))
    before = locate_mnist().stat()
    labels = mnist_folder / "t10k-labels-idx1-ubyte.gz"
    os.utime(labels, ns=(0, labels.stat().st_mtime_ns + 10**9))
    assert locate_mnist().stat().st_mtime_ns != before.st_mtime_ns


# What goes wrong leaves no file, or the old one.


@pytest.mark.parametrize("source", ["auto", "full"])
def test_a_damaged_archive_is_an_error_and_leaves_nothing(local, data_folder, source):
    local.write_bytes(local.read_bytes()[:-5000])
    with pytest.raises(LabError) as caught:
        locate(source)
    one_sentence(caught, local)
    assert {p.name for p in data_folder.iterdir()} <= {"emnist.h5.lock"}


def test_an_archive_that_breaks_in_the_middle_leaves_nothing(
    tmp_path, data_folder, characters, monkeypatch
):
    members = emnist_members(characters)
    name = "emnist-byclass-test-images-idx3-ubyte.gz"
    members[name] = members[name][:-5000]
    path = write_gzip_zip(tmp_path / "x.zip", members)
    monkeypatch.setenv("EMNIST_ARCHIVE", str(path))
    with pytest.raises(LabError) as caught:
        locate()
    one_sentence(caught, path)
    assert {p.name for p in data_folder.iterdir()} <= {"emnist.h5.lock"}


def test_a_changed_archive_that_is_damaged_leaves_the_old_file(local, characters, monkeypatch):
    path = locate()
    local.write_bytes(b"damaged")
    with pytest.raises(LabError):
        locate()
    monkeypatch.delenv("EMNIST_ARCHIVE")
    assert locate() == path
    assert_holds(path, characters)


@pytest.mark.parametrize("num_labels", [150, 250])
def test_more_or_fewer_images_than_labels_are_an_error(
    tmp_path, data_folder, characters, monkeypatch, num_labels
):
    images, labels = characters["train"]
    parts = characters | {"train": (images, np.resize(labels, num_labels))}
    path = write_gzip_zip(tmp_path / "x.zip", emnist_members(parts))
    monkeypatch.setenv("EMNIST_ARCHIVE", str(path))
    with pytest.raises(LabError) as caught:
        locate()
    one_sentence(caught, path)
    assert not (data_folder / "emnist.h5").exists()


@pytest.mark.parametrize("source", ["auto", "full"])
def test_a_missing_archive_is_an_error(tmp_path, monkeypatch, source):
    monkeypatch.setenv("EMNIST_ARCHIVE", str(tmp_path / "gone.zip"))
    with pytest.raises(LabError) as caught:
        locate(source)
    one_sentence(caught, tmp_path / "gone.zip", "No such file or directory")


def damage(path, how):
    content = path.read_bytes()
    if how == "truncated":
        path.write_bytes(content[:-1000])
    elif how == "overwritten":
        path.write_bytes(b"x" * 10_000)
    elif how == "emptied":
        path.write_bytes(b"")
    elif how == "another":
        with h5py.File(path, "w") as file:
            file["something"] = 1
    elif how == "images":  # which only reading them reveals
        with h5py.File(path) as file:
            start = file["x_test"].id.get_chunk_info(0).byte_offset + 500
        path.write_bytes(content[:start] + bytes([content[start] ^ 1]) + content[start + 1 :])


DAMAGES = ("truncated", "overwritten", "emptied", "another", "images")


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_prepared_file_is_named(local, how):
    path = locate()
    damage(path, how)
    with pytest.raises(prepared.DamagedFileError) as caught:
        read_images(path, "test", np.arange(1))
    one_sentence(caught, path, "setup() of its data makes it again")


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_prepared_file_is_made_again_with_a_line_that_says_so(
    local, characters, capsys, how
):
    first = EMNIST(balance=False)
    first.setup()
    damage(first.file, how)
    capsys.readouterr()
    again = EMNIST(balance=False)
    again.setup()
    assert capsys.readouterr().out == "emnist.h5 is damaged: it is made again.\n"
    assert torch.equal(again.data_train.images, first.data_train.images)
    assert_holds(first.file, characters)
    EMNIST(balance=False).setup()
    assert capsys.readouterr().out == ""


def test_a_module_that_knows_its_file_makes_it_again_too(local, capsys):
    data = EMNIST()
    data.prepare_data()
    damage(data.file, "images")
    data.setup()
    assert capsys.readouterr().out == "emnist.h5 is damaged: it is made again.\n"
    data = EMNIST()
    data.prepare_data()
    data.file.unlink()
    data.setup()
    assert len(data.data_test) and capsys.readouterr().out == ""


@pytest.fixture
def shared(local, data_folder, tmp_path, monkeypatch):
    """Return a folder of prepared data that a class may only read; the cache is beside it."""
    locate()
    (data_folder / "emnist.h5.lock").unlink(missing_ok=True)
    monkeypatch.delenv("EMNIST_ARCHIVE")
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache" / name)
    monkeypatch.setattr(os, "access", lambda path, mode: path != data_folder)
    return data_folder


def test_a_class_shares_a_folder_that_it_can_only_read(shared, tmp_path):
    small = {"num_train": 5, "num_val": 5, "num_test": 5, "max_length": 4, "text": "own"}
    for data in (EMNIST(), MNIST(), EMNISTLines(**small)):
        data.setup()
        assert "real EMNIST" in data.source_name or isinstance(data, MNIST)
    own = MyHandwriting().path
    assert own.is_relative_to(tmp_path / "cache")
    save_drawing(own, "a", sample_strokes("a"), torch.zeros(28, 28, dtype=torch.uint8))
    assert [path.name for path in shared.iterdir()] == ["emnist.h5"]


@pytest.mark.parametrize("error", [PermissionError(13, "denied"), OSError(37, "no locks")])
def test_where_no_lock_can_be_had_none_is_needed(local, characters, monkeypatch, error):
    def fail(*args, **options):
        raise error

    monkeypatch.setattr("filelock.FileLock.acquire", fail)
    assert_holds(locate(), characters)


def test_what_cannot_be_made_again_stays_and_the_sample_stands_in(local, monkeypatch, capsys):
    path = locate()
    damage(path, "images")
    before = path.read_bytes()
    monkeypatch.delenv("EMNIST_ARCHIVE")
    data = EMNIST()
    data.setup()
    assert "synthetic" in data.source_name
    assert "bundled sample stands in for EMNIST" in capsys.readouterr().out
    assert path.read_bytes() == before  # a network drive that fails now may work later
    with pytest.raises(DownloadError):
        EMNIST(source="full").setup()


def test_a_data_folder_that_cannot_be_made_is_named(local, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LAB_DATA_DIR", str(tmp_path / "file" / "folder"))
    with pytest.raises(LabError) as caught:
        locate()
    one_sentence(caught, tmp_path / "file", "cannot be written", "LAB_DATA_DIR")


def test_a_data_folder_that_cannot_be_written_is_named(local, monkeypatch):
    monkeypatch.setenv("LAB_DATA_DIR", "/sys")  # not even root makes files there
    with pytest.raises(LabError) as caught:
        locate()
    one_sentence(caught, "/sys", "cannot be written", "LAB_DATA_DIR")


def in_child(target, *args):
    """Run a function in a forked process, which may be killed; return the process."""

    def run():
        # The bars' own lock is one of all processes: who is killed while it draws would keep it.
        lock = threading.RLock()
        for bars in tqdm.__mro__[:-2]:  # each may have one: all but `Comparable` and `object`
            bars.set_lock(lock)
        target(*args)

    process = FORK.Process(target=run)
    process.start()
    return process


def wait_for(condition, process):
    for _ in range(600):
        if condition():
            return
        assert process.is_alive()
        time.sleep(0.02)
    raise AssertionError("it did not come about")


def test_a_full_disk_is_an_error_and_leaves_nothing(local, data_folder):
    def prepare_with_little_space(answer):
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            locate()
        except BaseException as error:  # noqa: BLE001 - the parent compares it
            answer.send((type(error).__name__, str(error)))

    receive, send = FORK.Pipe(duplex=False)
    process = in_child(prepare_with_little_space, send)
    assert receive.poll(20)
    kind, message = receive.recv()
    process.join()
    assert kind == "LabError"
    assert str(data_folder / "emnist.h5") in message
    assert "free some space" in message
    assert {p.name for p in data_folder.iterdir()} <= {"emnist.h5.lock"}


def slowly(seconds):
    """Return a reader that pauses behind the first block."""

    def images(part):
        for block in part.images:
            yield block
            time.sleep(seconds)

    def read(path):
        for part in archives.read_emnist(path):
            yield part._replace(images=images(part))

    return read


def test_a_process_killed_while_preparing_leaves_nothing_in_the_way(local, data_folder, characters):
    process = in_child(locate, "auto", slowly(60))
    wait_for(lambda: list(data_folder.glob("emnist.h5.*.partial")), process)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert not (data_folder / "emnist.h5").exists()
    assert_holds(locate(), characters)
    assert not list(data_folder.glob("*.partial"))


@pytest.mark.slow
def test_the_second_process_waits_for_the_first(local, data_folder, capsys, characters):
    process = in_child(locate, "auto", slowly(1.2))
    wait_for(lambda: list(data_folder.glob("emnist.h5.*.partial")), process)
    path = locate(read=never)
    assert "Another process is writing emnist.h5: waiting" in capsys.readouterr().out
    process.join()
    assert process.exitcode == 0
    assert_holds(path, characters)


def test_many_processes_at_once_prepare_once(local, data_folder, tmp_path, characters):
    def prepare(barrier):
        def read(path):
            with (tmp_path / "log").open("a") as log:
                log.write("prepared\n")
            return archives.read_emnist(path)

        barrier.wait(20)
        locate(read=read)

    barrier = FORK.Barrier(4)
    processes = [in_child(prepare, barrier) for _ in range(4)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert (tmp_path / "log").read_text() == "prepared\n"
    assert_holds(data_folder / "emnist.h5", characters)


# Where the images come from: auto, full and sample.


def test_auto_falls_back_to_the_sample_with_one_notice(capsys, data_folder):
    assert locate("auto") == bundled("emnist_sample.h5")
    out, err = capsys.readouterr()
    assert out.count("sample") == 1
    assert "bundled sample stands in for EMNIST: synthetic" in out
    assert "LAB_OFFLINE=1" in out
    assert "EMNIST_ARCHIVE" in out
    assert "go online" in out
    assert err == ""
    assert not list(data_folder.glob("*.h5"))


def test_mnist_falls_back_with_its_own_notice(capsys):
    assert locate_mnist() == bundled("emnist_sample.h5")
    out = capsys.readouterr().out
    assert "stands in for MNIST" in out
    assert "MNIST_DIR" in out
    assert "EMNIST_ARCHIVE" not in out


def test_full_never_falls_back(capsys):
    with pytest.raises(DownloadError) as caught:
        locate("full")
    one_sentence(caught, "LAB_OFFLINE=1", "EMNIST_ARCHIVE")
    assert capsys.readouterr().out == ""


def test_the_sample_touches_neither_network_nor_data_folder(
    server, emnist_sources, local, data_folder, capsys
):
    emnist_sources.append(as_source(server.put("/gzip.zip", local), local, {}))
    assert locate("sample", read=never) == bundled("emnist_sample.h5")
    assert server.requests == []
    assert not data_folder.exists()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("source", ["auto", "full"])
def test_the_download_is_prepared_and_kept(
    server, emnist_sources, gzip_zip, characters, data_folder, source, monkeypatch
):
    url = server.put("/gzip.zip", gzip_zip)
    emnist_sources.append(as_source(url, gzip_zip, emnist_members(characters)))
    path = locate(source)
    assert path == data_folder / "emnist.h5"
    assert_holds(path, characters)
    assert read_source(path) == "official EMNIST from emnist-byclass.zip"
    monkeypatch.setenv("LAB_OFFLINE", "1")
    assert locate(source) == path


def test_a_download_that_fails_falls_back_with_the_reason(server, emnist_sources, gzip_zip, capsys):
    url = server.put("/gzip.zip", status=503)
    emnist_sources.append(as_source(url, gzip_zip, {}))
    assert locate("auto") == bundled("emnist_sample.h5")
    assert f"{url}: answered 503" in capsys.readouterr().out


def test_a_local_archive_is_taken_before_the_download(server, emnist_sources, local, characters):
    emnist_sources.append(as_source(server.put("/gzip.zip", local), local, {}))
    assert_holds(locate(), characters)
    assert server.requests == []


def test_a_local_archive_replaces_what_was_downloaded(
    server, emnist_sources, gzip_zip, characters, matlab_zip, monkeypatch
):
    url = server.put("/gzip.zip", gzip_zip)
    emnist_sources.append(as_source(url, gzip_zip, emnist_members(characters)))
    locate()
    monkeypatch.setenv("EMNIST_ARCHIVE", str(matlab_zip))
    assert read_source(locate()) == "real EMNIST from matlab.zip"


# Reading what is prepared.


@pytest.mark.parametrize("block", [1, 50, 8192])
def test_images_come_in_the_order_of_their_indices(local, characters, monkeypatch, block):
    monkeypatch.setattr(prepared, "BLOCK_IMAGES", block)
    indices = np.random.default_rng(0).integers(0, 200, 300)  # unsorted, some twice
    images = read_images(locate(), "train", indices)
    assert images.dtype == torch.uint8
    np.testing.assert_array_equal(images, characters["train"][0][indices])


def test_no_indices_give_no_images(local):
    assert read_images(locate(), "test", np.arange(0)).shape == (0, 28, 28)


def test_the_bundled_sample_has_the_documented_layout():
    path = bundled("emnist_sample.h5")
    with h5py.File(path) as file:
        assert set(file) == {"x_train", "y_train", "x_test", "y_test"}
        for part in ("train", "test"):
            images, labels = file[f"x_{part}"], file[f"y_{part}"]
            assert images.shape == (len(labels), 28, 28)
            assert images.dtype == labels.dtype == np.uint8
            assert set(labels[:]) == set(range(4, 83))
            assert images[:500].max() == 255
            assert np.median(images[:500]) == 0  # white ink on black
    assert "synthetic" in read_source(path)


# Any file, made once, of images of any width.


def lines(count=50, width=84):
    """Return what `write` takes: one part in two blocks, and its images."""
    images = np.random.default_rng(4).integers(0, 256, (count, 28, width), np.uint8)
    blocks = (images[start : start + 30] for start in range(0, count, 30))
    return [archives.Part("train", np.arange(count, dtype=np.uint8), blocks)], images


@pytest.mark.parametrize("block", [1, 50, 8192])
@pytest.mark.parametrize("width", [28, 84, 28 * 32, 28 * 600])
def test_images_of_any_width_come_in_the_order_of_their_indices(
    tmp_path, monkeypatch, width, block
):
    parts, images = lines(width=width)
    prepared.write(tmp_path / "lines.h5", parts, "lines", "")
    monkeypatch.setattr(prepared, "BLOCK_IMAGES", block)
    indices = np.random.default_rng(0).integers(0, 50, 70)
    found = read_images(tmp_path / "lines.h5", "train", indices)
    np.testing.assert_array_equal(found, images[indices])


def test_a_file_is_prepared_once_and_again_for_other_settings(tmp_path):
    target, prepared_from = tmp_path / "lines.h5", []

    def ask(made_from):
        def prepare():
            prepared_from.append(made_from)
            prepared.write(target, lines()[0], "lines", made_from or "anything")

        prepared.prepare_once(target, made_from, prepare)

    for made_from in ("a", "a", "b", "b", None, "a"):
        ask(made_from)
    assert prepared_from == ["a", "b", "a"]


def test_what_fails_in_the_middle_is_not_taken_for_prepared(tmp_path):
    target = tmp_path / "lines.h5"
    parts, _ = lines()

    def broken():
        yield next(parts[0].images)
        raise LabError("It broke.")

    def prepare():
        prepared.write(target, [parts[0]._replace(images=broken())], "lines", "a")

    with pytest.raises(LabError, match="It broke"):
        prepared.prepare_once(target, "a", prepare)
    assert not list(tmp_path.glob("*.h5*partial")) and not target.exists()
    parts, images = lines()
    prepared.prepare_once(target, "a", lambda: prepared.write(target, parts, "lines", "a"))
    np.testing.assert_array_equal(read_images(target, "train", np.arange(50)), images)


@pytest.mark.parametrize("name", [prepared.SAMPLE_FILE, prepared.JOINED_FILE, "emnist.h5"])
def test_checksums_cover_all_of_a_file(local, name):
    with h5py.File(locate() if name == "emnist.h5" else bundled(name)) as file:
        assert file.id.get_create_plist().get_version()[0] == 3  # whose metadata have checksums
        assert all(dataset.fletcher32 for dataset in file.values())
        for attribute in file.attrs:
            assert file.attrs.get_id(attribute).dtype.kind != "O"  # texts of no fixed length


def test_ctrl_c_while_a_file_is_written_leaves_nothing(local, data_folder):
    def prepare(answer):
        signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it is ignored
        try:
            locate(read=slowly(60))
        except KeyboardInterrupt:
            answer.send("stopped")

    receive, send = FORK.Pipe(duplex=False)
    process = in_child(prepare, send)
    wait_for(lambda: list(data_folder.glob("emnist.h5.*.partial")), process)
    time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    assert receive.poll(20) and receive.recv() == "stopped"
    process.join()
    assert process.exitcode == 0
    assert {p.name for p in data_folder.iterdir()} <= {"emnist.h5.lock"}
