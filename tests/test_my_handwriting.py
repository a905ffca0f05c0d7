"""Own drawings: appended a line at a time, and read as a data module."""

import errno
import json
import multiprocessing
import os
import re
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from lab_utils import MyHandwriting, prepare, sample_strokes
from text_recognizer.data import my_handwriting
from text_recognizer.data.my_handwriting import remove_drawing, save_drawing
from text_recognizer.errors import LabError
from text_recognizer.mapping import MAPPING


@pytest.fixture
def path(tmp_path):
    return tmp_path / "my_handwriting.jsonl"


def save(path, text):
    for i, character in enumerate(text):
        strokes = sample_strokes(character, i)
        count = save_drawing(path, character, strokes, prepare(strokes))
    return count


def read(path):
    data = MyHandwriting(path)
    data.setup()
    return "".join(MAPPING[label] for label in data.labels)


def read_labels(part):
    return "".join(MAPPING[label] for label in part.labels)


def test_drawings_are_kept_in_order_with_everything(path):
    assert save(path, "a7a") == 3
    data = MyHandwriting(path)
    data.setup()
    assert [MAPPING[label] for label in data.labels] == ["a", "7", "a"]
    assert data.strokes == [sample_strokes(c, i) for i, c in enumerate("a7a")]
    assert data.strokes[1][0].pointer == "pen"
    assert torch.equal(data.images[1], prepare(sample_strokes("7", 1)))
    assert [p.name for p in path.parent.iterdir() if not p.name.endswith(".lock")] == [path.name]


def test_the_usual_file_lies_in_the_data_folder(data_folder):
    strokes = sample_strokes("q")
    save_drawing(my_handwriting.handwriting_file(), "q", strokes, prepare(strokes))
    assert (data_folder / "my_handwriting.jsonl").exists()
    MyHandwriting().setup()


def test_it_is_a_data_module(path):
    save(path, "abababab")
    data = MyHandwriting(path, batch_size=3, augment=True)
    assert data.config()["input_dims"] == (1, 28, 28)
    data.setup()
    x, y = next(iter(data.train_dataloader()))
    assert (x.shape, x.dtype, y.shape) == ((3, 1, 28, 28), torch.float32, (3,))
    assert data.data_train.augment and not data.data_test.augment
    assert "my_handwriting.jsonl" in str(data)


def test_drawings_stay_on_their_side_when_others_are_added(path):
    sides = {}
    for i, character in enumerate("aabaacaaaabbccaaa"):
        image = torch.full((28, 28), i, dtype=torch.uint8)
        save_drawing(path, character, sample_strokes(character), image)
        data = MyHandwriting(path)
        data.setup()
        for name in ("data_train", "data_val", "data_test"):
            for image in getattr(data, name).images:
                assert sides.setdefault(image.max().item(), name) == name
    assert len(sides) == 17


def test_a_stray_drawing_shifts_no_other_character(path, tmp_path):
    save(path, "abababab")
    save(tmp_path / "stray.jsonl", "aqbababab")
    parts = []
    for file in (path, tmp_path / "stray.jsonl"):
        data = MyHandwriting(file)
        data.setup()
        parts.append([read_labels(p) for p in (data.data_train, data.data_val, data.data_test)])
    assert parts == [["abab", "ab", "ab"], ["aqbab", "ab", "ab"]]


def test_single_drawings_are_removed(path):
    save(path, "abc")
    save_drawing(path, "d", sample_strokes("a", 0), prepare(sample_strokes("d")))
    assert remove_drawing(path, sample_strokes("a", 0)) == 3  # the last with these strokes
    assert read(path) == "abc"
    assert remove_drawing(path, sample_strokes("a", 0)) == 2
    data = MyHandwriting(path)
    data.setup()
    assert data.strokes == [sample_strokes("b", 1), sample_strokes("c", 2)]
    assert torch.equal(data.images[1], prepare(sample_strokes("c", 2)))
    assert remove_drawing(path, sample_strokes("x")) == 2
    assert remove_drawing(path, sample_strokes("c", 2)) == 1
    assert remove_drawing(path, sample_strokes("b", 1)) == 0
    assert not path.exists()
    assert save(path, "x") == 1


def test_an_interrupted_removal_leaves_the_file_as_it_was(path, monkeypatch):
    save(path, "abc")
    before = path.read_bytes()

    def interrupted(file):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        remove_drawing(path, sample_strokes("b", 1))
    assert path.read_bytes() == before
    assert not list(path.parent.glob("*.partial"))


def test_what_is_missing_is_asked_for_round_by_round(path):
    data = MyHandwriting(path)
    assert data.find_missing("ab", 2) == "abab"
    save(path, "bxbbz")
    assert data.find_missing("ab", 2) == "aa"
    assert data.find_missing("ba", 4) == "aaaba"
    save(path, "aaa")
    assert data.find_missing("aab", 3) == ""


def test_each_character_is_trained_on_before_it_is_tested(path):
    save(path, "aaaabbbc")
    data = MyHandwriting(path)
    data.setup()
    assert read_labels(data.data_train) == "aabbc"
    assert read_labels(data.data_test) == "ab"
    assert read_labels(data.data_val) == "a"


def test_a_line_is_json_that_anybody_can_read(path):
    save(path, "a")
    (line,) = path.read_text(encoding="ascii").splitlines()
    fields = json.loads(line)
    assert list(fields) == ["character", "strokes", "image", "crc32"]
    assert fields["character"] == "a"
    stroke, expected = fields["strokes"][0], sample_strokes("a")[0]
    assert stroke["pointer"] == "pen"
    assert [tuple(point) for point in stroke["points"]] == list(expected)
    with urllib.request.urlopen(fields["image"]) as file, Image.open(file) as picture:
        np.testing.assert_array_equal(picture, prepare(sample_strokes("a")))


def test_an_image_that_no_preparation_made_comes_back_bit_for_bit(path):
    image = torch.randint(256, (28, 28), generator=torch.Generator().manual_seed(0))
    save_drawing(path, "a", sample_strokes("a"), image.to(torch.uint8))
    data = MyHandwriting(path)
    data.setup()
    assert torch.equal(data.images[0], image.to(torch.uint8))


def test_files_of_a_class_can_be_joined(path, tmp_path):
    save(path, "ab")
    save(tmp_path / "other.jsonl", "cd")
    joined = tmp_path / "class.jsonl"
    joined.write_bytes(path.read_bytes() + (tmp_path / "other.jsonl").read_bytes())
    assert read(joined) == "abcd"
    # Programs that write the lines in their own way, and with more in them.
    lines = [json.loads(line) for line in joined.read_bytes().splitlines()]
    again = [json.dumps({"writer": "Anna"} | dict(reversed(line.items()))) for line in lines]
    joined.write_text("\r\n\r\n".join(again), encoding="utf-8")
    assert read(joined) == "abcd"
    assert save(joined, "e") == 8 and read(joined) == "abcde"


def test_the_last_line_may_be_cut_off(path, capsys):
    save(path, "abc")
    path.write_bytes(path.read_bytes()[:-300])
    assert read(path) == "ab"
    expected = f"Left out of {path}, as cut off or damaged: line 3.\n"
    assert capsys.readouterr().out == expected
    assert read(path) == "ab"
    assert capsys.readouterr().out == ""  # once is enough
    assert save(path, "d") == 4
    assert read(path) == "abd"
    remove_drawing(path, sample_strokes("b", 1))
    assert read(path) == "ad"


@pytest.mark.parametrize(
    "change",
    [
        lambda line: line.replace(b'"b"', b'"d"'),
        lambda line: line.replace(b"[", b"[1,", 1),
        lambda line: line.replace(b",50,", b",51,"),
        lambda line: line.replace(b"pen", b"mouse"),
        lambda line: line.replace(b"base64,i", b"base64,j"),
        lambda line: line.replace(b'"crc32":', b'"crc32":1'),
        lambda line: line[: len(line) // 2],
        lambda line: b"[" * 100_000,
        lambda line: b"\xff\xfe",
        lambda line: b"3",
    ],
)
def test_a_changed_line_is_left_out_and_named(path, change, capsys):
    save(path, "abc")
    lines = path.read_bytes().splitlines()
    changed = change(lines[1])
    assert changed != lines[1]
    path.write_bytes(b"\n".join([lines[0], changed, lines[2], b""]))
    assert read(path) == "ac"
    assert capsys.readouterr().out == f"Left out of {path}, as cut off or damaged: line 2.\n"
    remove_drawing(path, sample_strokes("c", 2))
    assert path.read_bytes().splitlines() == [lines[0], changed]


def test_many_threads_at_once_lose_nothing(path):
    strokes = sample_strokes("a")
    image = prepare(strokes)
    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(lambda _: save_drawing(path, "a", strokes, image), [0] * 40))
    assert sorted(counts) == list(range(1, 41))


def save_many(path, character, count):
    strokes = sample_strokes(character)
    image = prepare(strokes)
    for _ in range(count):
        save_drawing(path, character, strokes, image)


@pytest.mark.parametrize("has_locks", [True, False])
def test_two_processes_at_once_lose_nothing(path, monkeypatch, has_locks):
    if not has_locks:  # as on a network drive: a line is written in one go

        def fail(*args, **options):
            raise NotImplementedError

        monkeypatch.setattr("filelock.FileLock.acquire", fail)
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=save_many, args=(path, c, 200)) for c in "ab"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert sorted(read(path)) == ["a"] * 200 + ["b"] * 200


def test_saving_does_not_slow_down_as_the_file_grows(path):
    strokes, seconds = sample_strokes("a"), []
    image = prepare(strokes)
    save_drawing(path, "a", strokes, image)
    path.write_bytes(path.read_bytes() * 1000)
    for _ in range(20):
        started = time.process_time()
        save_drawing(path, "a", strokes, image)
        seconds.append(time.process_time() - started)
    assert np.median(seconds) < 0.01


def test_a_full_disk_leaves_no_half_line(path, monkeypatch):
    save(path, "ab")
    before = path.read_bytes()

    def fail(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(LabError, match=r"cannot be written .* free some space"):
        save(path, "c")
    assert path.read_bytes() == before


@pytest.mark.parametrize("character", ["", "ab", "é", "!", " ", None])
def test_a_label_that_is_none_of_the_62_is_one_error(path, character):
    strokes = sample_strokes("a")
    with pytest.raises(LabError, match=r"is not one of the 62 characters"):
        save_drawing(path, character, strokes, prepare(strokes))
    assert not path.exists()


@pytest.mark.parametrize(
    "content", [b"drawings", b"\x89HDF\r\n\x1a\n" + bytes(500), b'{"passed": {"1": 2}}', b"\xff"]
)
def test_a_file_of_another_kind_is_one_error_and_stays_as_it_is(path, content):
    path.write_bytes(content)
    for act in (
        lambda: save(path, "a"),
        lambda: MyHandwriting(path).setup(),
        lambda: remove_drawing(path, sample_strokes("a")),
    ):
        with pytest.raises(LabError, match=rf"^{re.escape(str(path))} is damaged"):
            act()
    assert path.read_bytes() == content


def test_a_file_with_nothing_in_it_is_as_good_as_none(path):
    path.touch()
    data = MyHandwriting(path)
    assert data.find_missing("ab", 1) == "ab"
    with pytest.raises(LabError, match=r"holds no drawings yet: draw on a canvas"):
        data.setup()
    assert save(path, "a") == 1


def test_a_missing_file_is_one_error_that_says_what_to_do(path):
    with pytest.raises(LabError, match=r"holds no drawings yet: draw on a canvas"):
        MyHandwriting(path).setup()


def test_a_folder_that_cannot_be_written_is_one_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(LabError, match="cannot be written"):
        save(tmp_path / "file" / "my_handwriting.jsonl", "a")
