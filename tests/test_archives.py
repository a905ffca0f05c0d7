"""The readers of NIST's and MNIST's files: the same images from each, and one sentence if not."""

import contextlib
import gzip
import os
import re
import struct
import zipfile

import numpy as np
import pytest
from helpers import emnist_members, idx, matlab, write_gzip_zip, write_matlab_zip, write_mnist

from text_recognizer.errors import LabError
from text_recognizer.files import archives
from text_recognizer.files.archives import find_files, read_emnist, read_mnist

TRAIN_IMAGES = "emnist-byclass-train-images-idx3-ubyte.gz"
TRAIN_LABELS = "emnist-byclass-train-labels-idx1-ubyte.gz"
TEST_IMAGES = "emnist-byclass-test-images-idx3-ubyte.gz"


def read(parts):
    """Return {part: (images, labels)} of a whole stream."""
    with contextlib.closing(parts):
        return {part.name: (np.concatenate(list(part.images)), part.labels) for part in parts}


def assert_same(parts, expected):
    parts = read(parts)
    assert list(parts) == ["train", "test"]
    for name, (images, labels) in parts.items():
        assert images.dtype == labels.dtype == np.uint8
        np.testing.assert_array_equal(images, expected[name][0])
        np.testing.assert_array_equal(labels, expected[name][1] + 4)


def assert_refused(path, reader=read_emnist, reason=None, named=None):
    """Reading must end in one LabError of one line that has the file's path."""
    with pytest.raises(LabError, match=reason) as caught:
        read(reader(path))
    message = str(caught.value)
    assert str(named or path) in message
    assert message.endswith(".")
    assert "\n" not in message
    assert not re.search(r"\. |\(\)", message)


@pytest.fixture
def members(characters):
    return emnist_members(characters)


def test_stored_images_come_out_upright_with_labels_from_4(gzip_zip, characters):
    assert_same(read_emnist(gzip_zip), characters)


def test_the_stroke_of_a_stored_image_is_transposed(tmp_path):
    stored = np.zeros((1, 28, 28), np.uint8)
    stored[0, 3, 20] = 255  # stored at row 3, column 20: upright that is row 20, column 3
    label = np.array([61], np.uint8)
    members = {}
    for part in ("train", "test"):
        members[f"emnist-byclass-{part}-images-idx3-ubyte.gz"] = idx(stored)
        members[f"emnist-byclass-{part}-labels-idx1-ubyte.gz"] = idx(label)
    images, labels = read(read_emnist(write_gzip_zip(tmp_path / "gzip.zip", members)))["test"]
    assert np.argwhere(images).tolist() == [[0, 20, 3]]
    assert labels.tolist() == [65]


@pytest.mark.parametrize("do_compression", [True, False])
def test_the_matlab_archive_gives_the_same_as_gzip(tmp_path, characters, do_compression):
    path = write_matlab_zip(tmp_path / "matlab.zip", characters, do_compression)
    assert_same(read_emnist(path), characters)


def test_an_archive_without_folders_is_read_too(tmp_path, members, characters):
    assert_same(read_emnist(write_gzip_zip(tmp_path / "x.zip", members, folder="")), characters)


@pytest.mark.parametrize("block", [1, 45, 64, 1000])
@pytest.mark.parametrize("kind", ["gzip_zip", "matlab_zip"])
def test_blocks_are_bounded_and_add_up(kind, block, characters, monkeypatch, request):
    path = request.getfixturevalue(kind)
    monkeypatch.setattr(archives, "BLOCK_IMAGES", block)
    for part in read_emnist(path):
        images = list(part.images)
        assert {len(i) for i in images[:-1]} <= {block}
        assert 0 < len(images[-1]) <= block
        np.testing.assert_array_equal(np.concatenate(images), characters[part.name][0])


def test_mnist_is_read_as_it_is_stored(mnist_folder, digits):
    assert_same(read_mnist(mnist_folder), digits)


def test_mnist_without_gzip_is_read_too(mnist_folder, digits):
    for path in list(mnist_folder.iterdir()):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert_same(read_mnist(mnist_folder), digits)


def test_member_names_that_lead_outside_write_nothing(tmp_path, members, characters):
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    path = write_gzip_zip(inside / "x.zip", members, folder="../../../")
    assert_same(read_emnist(path), characters)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [path]


# Whatever is wrong with a file: one LabError, one line, with its path.


def test_a_missing_archive(tmp_path):
    assert_refused(tmp_path / "gzip.zip", reason="No such file or directory")


def test_a_folder_instead_of_an_archive(tmp_path):
    assert_refused(tmp_path, reason="it is a folder")


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\3\4" + bytes(500)])
def test_a_file_that_is_no_zip(tmp_path, content):
    path = tmp_path / "gzip.zip"
    path.write_bytes(content)
    assert_refused(path, reason="is damaged, or not")


@pytest.mark.parametrize("kind", ["gzip_zip", "matlab_zip"])
@pytest.mark.parametrize("kept", [0.01, 0.5, 0.99])
def test_a_truncated_zip(kind, kept, request):
    path = request.getfixturevalue(kind)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    assert_refused(path, reason="is damaged, or not")


def test_a_zip_of_something_else(tmp_path):
    path = tmp_path / "holiday.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("photo.jpg", b"x")
    assert_refused(path, reason=f"or not NIST's .* holds no {TRAIN_IMAGES}")


@pytest.mark.parametrize("name", [TRAIN_LABELS, TEST_IMAGES])
def test_a_zip_that_lacks_a_file(tmp_path, members, name):
    del members[name]
    assert_refused(write_gzip_zip(tmp_path / "x.zip", members), reason=f"holds no {name}")


@pytest.mark.parametrize("name", [TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES])
@pytest.mark.parametrize("kept", [0, 5, 20, -9, -1])
def test_a_truncated_member_in_a_whole_zip(tmp_path, members, name, kept):
    members[name] = members[name][:kept]
    assert_refused(write_gzip_zip(tmp_path / "x.zip", members), reason="is damaged, or not")


@pytest.mark.parametrize("kind", ["gzip_zip", "matlab_zip"])
def test_a_flipped_bit_anywhere_in_the_images(kind, request):
    path = request.getfixturevalue(kind)
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        suffix = "train-images-idx3-ubyte.gz" if kind == "gzip_zip" else ".mat"
        info = next(
            i
            for i in archive.infolist()
            if i.filename.endswith(f"byclass-{suffix}") or i.filename.endswith(f"byclass{suffix}")
        )
    for where in np.linspace(0.1, 0.9, 9):
        flipped = bytearray(content)
        flipped[info.header_offset + 100 + int(where * (info.compress_size - 200))] ^= 4
        path.write_bytes(flipped)
        assert_refused(path)


def test_a_flipped_bit_in_a_member_that_only_gzip_s_own_crc_shows(tmp_path, members):
    plain = bytearray(members[TRAIN_IMAGES])
    plain[-6] ^= 1  # the CRC at the end
    members[TRAIN_IMAGES] = bytes(plain)
    assert_refused(write_gzip_zip(tmp_path / "x.zip", members), reason="CRC")


def test_a_member_that_is_not_gzip(tmp_path, members):
    members[TRAIN_IMAGES] = b"<html></html>"
    assert_refused(write_gzip_zip(tmp_path / "x.zip", members), reason="is damaged, or not")


@pytest.mark.parametrize(
    "plain",
    [
        b"",
        b"\0\0\x08\x03",
        bytes([0, 0, 13, 3]) + bytes(12),  # floats
        bytes([0, 0, 8, 1]) + bytes(12),  # labels
        bytes([0, 0, 8, 3]) + b"\xff" * 12,  # 4 billion images of 4 billion pixels squared
        bytes([0, 0, 8, 3, 0, 0, 0, 200, 0x80, 0, 0, 0, 0, 0, 0, 2]) + bytes(5000),
        bytes([0, 0, 8, 3, 0, 0, 0, 200, 0, 0, 0, 0, 0, 0, 0, 28]),  # no pixels
        bytes([0, 0, 8, 3, 0, 0, 0, 200, 0, 0, 0, 14, 0, 0, 0, 56]) + bytes(200 * 784),
        bytes([0, 0, 8, 3, 0, 0, 0, 200, 0, 0, 0, 28, 0, 0, 0, 28]) + bytes(200 * 784 + 1),
    ],
)
def test_a_foreign_idx_header(tmp_path, members, plain):
    members[TRAIN_IMAGES] = gzip.compress(plain)
    assert_refused(write_gzip_zip(tmp_path / "x.zip", members))


@pytest.mark.parametrize("num_labels", [0, 199, 201])
@pytest.mark.parametrize("kind", ["gzip", "matlab"])
def test_other_numbers_of_images_than_labels(tmp_path, characters, kind, num_labels):
    images, labels = characters["train"]
    parts = characters | {"train": (images, np.resize(labels, num_labels))}
    if kind == "gzip":
        path = write_gzip_zip(tmp_path / "x.zip", emnist_members(parts))
    else:
        path = write_matlab_zip(tmp_path / "x.zip", parts)
    assert_refused(path)


def test_fewer_labels_than_images_end_before_the_surplus_images(tmp_path, characters):
    images, labels = characters["train"]
    parts = characters | {"train": (images, labels[:-1])}
    path = write_gzip_zip(tmp_path / "x.zip", emnist_members(parts))
    with contextlib.closing(read_emnist(path)) as parts:
        train = next(parts)
        with pytest.raises(LabError, match="train images are not as many as its labels"):
            next(train.images)


@pytest.mark.parametrize("label", [62, 251, 252, 255])
@pytest.mark.parametrize("kind", ["gzip", "matlab"])
def test_a_label_out_of_range(tmp_path, characters, kind, label):
    images, labels = characters["test"]
    labels = labels.copy()
    labels[7] = label
    parts = characters | {"test": (images, labels)}
    if kind == "gzip":
        path = write_gzip_zip(tmp_path / "x.zip", emnist_members(parts))
    else:
        path = write_matlab_zip(tmp_path / "x.zip", parts)
    assert_refused(path, reason="test labels are not 0 to 61")


def zip_of(path, mat):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("matlab/emnist-byclass.mat", mat)
    return path


def mat_of(archive):
    with zipfile.ZipFile(archive) as opened:
        return opened.read("matlab/emnist-byclass.mat")


@pytest.mark.parametrize(
    "header",
    [b"MATLAB 5.0".ljust(124) + b"\1\0MI", b"\x89HDF\r\n\x1a\n".ljust(128), b"", b"x" * 127],
)
def test_a_foreign_matlab_header(tmp_path, matlab_zip, header):
    mat = mat_of(matlab_zip)
    assert_refused(zip_of(tmp_path / "x.zip", header + (mat[128:] if len(header) == 128 else b"")))


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"x": np.arange(9)},
        {"images": np.zeros((3, 5), "u1")},
        {"labels": np.arange(3.0)},
        {"dataset": {"train": 5}},
        {"images": np.zeros((3, 784)), "labels": np.arange(3.0)},
        {"dataset": "text"},
        {"dataset": np.array([[1, "a"]], object)},
    ],
)
def test_a_matlab_file_of_something_else(tmp_path, values):
    assert_refused(zip_of(tmp_path / "x.zip", matlab(values)))


@pytest.mark.parametrize("do_compression", [True, False])
def test_a_truncated_matlab_file(tmp_path, characters, do_compression):
    mat = mat_of(write_matlab_zip(tmp_path / "matlab.zip", characters, do_compression))
    for kept in (100, 128, 131, 150, 1000, len(mat) // 2, len(mat) - 1):
        assert_refused(zip_of(tmp_path / "x.zip", mat[:kept]))


@pytest.mark.parametrize("do_compression", [True, False])
def test_a_garbled_matlab_file_never_shows_a_traceback(tmp_path, characters, do_compression):
    mat = mat_of(write_matlab_zip(tmp_path / "matlab.zip", characters, do_compression))
    random = np.random.default_rng(5)
    for position in random.integers(120, 700, 100):
        garbled = bytearray(mat)
        garbled[position] = random.integers(256)
        path = zip_of(tmp_path / "x.zip", bytes(garbled))  # its CRC is right
        try:
            read(read_emnist(path))  # what does not matter may be garbled
        except LabError as error:
            assert str(path) in str(error)  # noqa: PT017 - or none


@pytest.mark.parametrize(
    "name", [f"{p}-{k}" for p in ("train", "t10k") for k in archives.IDX_KINDS]
)
@pytest.mark.parametrize("fault", ["missing", "truncated", "html"])
def test_a_faulty_mnist_file_is_named_itself(mnist_folder, name, fault):
    path = mnist_folder / f"{name}-ubyte.gz"
    content = path.read_bytes()
    if fault == "missing":
        path.unlink()
    elif fault == "truncated":
        path.write_bytes(content[:-9])
    else:
        path.write_bytes(b"<html></html>")
    assert_refused(mnist_folder, read_mnist, named=path.with_suffix(""))


def test_an_mnist_label_out_of_range(tmp_path, digits):
    images, labels = digits["test"]
    folder = write_mnist(tmp_path / "m", digits | {"test": (images, labels + np.uint8(1))})
    named = folder / "t10k-labels-idx1-ubyte"
    assert_refused(folder, read_mnist, reason="test labels are not 0 to 9", named=named)


@pytest.mark.parametrize("named", ["missing", "file"])
def test_an_mnist_folder_that_is_none(tmp_path, named):
    (tmp_path / "file").touch()
    assert_refused(tmp_path / named, read_mnist)


# Names and places that people's files really have.


def lay_out(folder, digits, rename):
    folder.mkdir()
    for path in list(write_mnist(folder / "official", digits).iterdir()):
        target = folder / rename(path.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        content = path.read_bytes()
        target.write_bytes(content if target.name.endswith("gz") else gzip.decompress(content))
        path.unlink()
    (folder / "official").rmdir()


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: name.removesuffix(".gz").replace("-idx", ".idx"),  # 7-Zip
        lambda name: name.removesuffix(".gz"),
        lambda name: "raw/" + name.removesuffix(".gz"),  # torchvision, at MNIST
        lambda name: "MNIST/raw/" + name,  # torchvision, at its root
        lambda name: f"{name[:-3]}/{name[:-3]}",  # Kaggle
        lambda name: name.replace(".gz", " (1).gz"),
        lambda name: name.upper().replace(".GZ", ".gz"),
    ],
)
def test_mnist_is_found_under_the_names_that_programs_give_it(tmp_path, digits, rename):
    lay_out(tmp_path / "m", digits, rename)
    assert_same(read_mnist(tmp_path / "m"), digits)


def test_a_file_that_the_browser_has_unpacked_keeps_its_name(mnist_folder, digits):
    for path in mnist_folder.iterdir():
        path.write_bytes(gzip.decompress(path.read_bytes()))
    assert_same(read_mnist(mnist_folder), digits)


def test_the_original_is_taken_before_a_copy(mnist_folder):
    name = "train-images-idx3-ubyte.gz"
    (mnist_folder / name.replace(".gz", " (1).gz")).write_bytes(b"half a download")
    assert find_files(mnist_folder)[name[:-3]].name == name


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("place", ["", "EMNIST/raw/gzip"])
def test_an_unpacked_emnist_folder_is_taken(tmp_path, characters, packed, place):
    folder = tmp_path / "e" / place
    folder.mkdir(parents=True)
    for name, content in emnist_members(characters).items():
        path = folder / (name if packed else name.removesuffix(".gz"))
        path.write_bytes(content if packed else gzip.decompress(content))
    assert_same(read_emnist(tmp_path / "e"), characters)


def test_an_unpacked_matlab_file_and_a_folder_with_the_archive_are_taken(
    tmp_path, matlab_zip, characters
):
    with zipfile.ZipFile(matlab_zip) as archive:
        archive.extract("matlab/emnist-byclass.mat", tmp_path / "e")
    for path in (tmp_path / "e" / "matlab" / "emnist-byclass.mat", tmp_path / "e", tmp_path):
        assert_same(read_emnist(path), characters)


# What has no end, or claims to be huge.


@pytest.mark.parametrize("kind", ["labels", "images"])
def test_a_header_that_speaks_of_billions_takes_no_memory(mnist_folder, kind):
    ndim = 1 if kind == "labels" else 3
    header = bytes([0, 0, 8, ndim]) + struct.pack(">3I", 3 * 10**9, 28, 28)[: 4 * ndim]
    name = f"train-{kind}-idx{ndim}-ubyte.gz"
    with gzip.open(mnist_folder / name, "wb", 1) as file:
        file.write(header)
        file.write(bytes(10**6))
    assert_refused(mnist_folder, read_mnist, reason="its header speaks of 3,000,000,000 items")


@pytest.mark.parametrize("what", ["fifo", "/dev/zero"] if hasattr(os, "mkfifo") else [])
def test_what_never_ends_is_refused_at_once(tmp_path, mnist_folder, what):
    for path in (tmp_path / "archive.zip", mnist_folder / "train-labels-idx1-ubyte.gz"):
        path.unlink(missing_ok=True)
        if what == "fifo":
            os.mkfifo(path)
        else:
            path.symlink_to(what)
    assert_refused(tmp_path / "archive.zip", reason="it is not a file")
    assert_refused(mnist_folder, read_mnist, reason="it is not a file")


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_zip_that_was_packed_in_another_way_is_refused(tmp_path, characters, method):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in emnist_members(characters).items():
            archive.writestr(name, content)
    assert_refused(path, reason="holds no")


def test_a_file_in_place_of_mnist_s_folder_says_what_to_name(tmp_path):
    path = tmp_path / "archive.zip"
    path.write_bytes(b"PK")
    assert_refused(path, read_mnist, reason="name the folder")
