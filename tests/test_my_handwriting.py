"""Own drawings: appended whole or not at all, and read as a data module."""

import re
from concurrent.futures import ThreadPoolExecutor

import h5py
import pytest
import torch

from lab_utils import MyHandwriting, prepare, sample_strokes
from text_recognizer.data import my_handwriting
from text_recognizer.data.my_handwriting import save_drawing
from text_recognizer.errors import LabError
from text_recognizer.mapping import MAPPING


@pytest.fixture
def path(tmp_path):
    return tmp_path / "my_handwriting.h5"


def save(path, text):
    for i, character in enumerate(text):
        strokes = sample_strokes(character, i)
        count = save_drawing(path, character, strokes, prepare(strokes))
    return count


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
    assert (data_folder / "my_handwriting.h5").exists()
    MyHandwriting().setup()


def test_it_is_a_data_module(path):
    save(path, "abababab")
    data = MyHandwriting(path, batch_size=3, augment=True)
    assert data.config()["input_dims"] == (1, 28, 28)
    data.setup()
    x, y = next(iter(data.train_dataloader()))
    assert (x.shape, x.dtype, y.shape) == ((3, 1, 28, 28), torch.float32, (3,))
    assert data.data_train.augment and not data.data_test.augment
    assert "my_handwriting.h5" in str(data)


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
    save(tmp_path / "stray.h5", "aqbababab")
    parts = []
    for file in (path, tmp_path / "stray.h5"):
        data = MyHandwriting(file)
        data.setup()
        parts.append([read_labels(p) for p in (data.data_train, data.data_val, data.data_test)])
    assert parts == [["abab", "ab", "ab"], ["aqbab", "ab", "ab"]]


def test_single_drawings_are_removed(path, capsys):
    save(path, "abcd")
    data = MyHandwriting(path)
    data.remove_last()
    assert [MAPPING[label] for label in data.labels] == ["a", "b", "c"]
    data.remove(0)
    assert [MAPPING[label] for label in data.labels] == ["b", "c"]
    assert data.strokes == [sample_strokes("b", 1), sample_strokes("c", 2)]
    assert torch.equal(data.images[1], prepare(sample_strokes("c", 2)))
    with pytest.raises(LabError, match="number=2 must be"):
        data.remove(2)
    data.remove(1)
    data.remove_last()
    assert not path.exists()
    assert "only this drawing" in capsys.readouterr().out
    with pytest.raises(LabError, match=r"does not exist yet: draw on a canvas"):
        data.remove_last()
    assert save(path, "x") == 1


def test_an_interrupted_removal_leaves_the_file_as_it_was(path, monkeypatch):
    save(path, "abc")
    before = path.read_bytes()

    def interrupted(dataset, size, axis):
        raise KeyboardInterrupt

    monkeypatch.setattr(h5py.Dataset, "resize", interrupted)
    with pytest.raises(KeyboardInterrupt):
        MyHandwriting(path).remove_last()
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


def test_many_writers_at_once_lose_nothing(path):
    strokes = sample_strokes("a")
    image = prepare(strokes)
    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(lambda _: save_drawing(path, "a", strokes, image), [0] * 40))
    assert sorted(counts) == list(range(1, 41))


def test_an_interrupted_save_leaves_the_file_as_it_was(path, monkeypatch):
    save(path, "ab")
    before = path.read_bytes()

    def interrupted(file, new):
        file["y"].resize(3, axis=0)
        raise KeyboardInterrupt

    monkeypatch.setattr(my_handwriting, "_append", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save(path, "c")
    assert path.read_bytes() == before
    assert not list(path.parent.glob("*.partial"))


@pytest.mark.parametrize("character", ["", "ab", "é", "!", " ", None])
def test_a_label_that_is_none_of_the_62_is_one_error(path, character):
    strokes = sample_strokes("a")
    with pytest.raises(LabError, match=r"is not one of the 62 characters"):
        save_drawing(path, character, strokes, prepare(strokes))
    assert not path.exists()


@pytest.mark.parametrize("content", [b"", b"drawings", "other"])
def test_a_damaged_file_is_one_error_and_stays_as_it_is(path, content):
    if content == "other":
        with h5py.File(path, "w") as file:
            file["x"] = 1
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    for act in (lambda: save(path, "a"), lambda: MyHandwriting(path).setup()):
        with pytest.raises(LabError, match=rf"^{re.escape(str(path))} is damaged"):
            act()
    assert path.read_bytes() == before


def test_a_missing_file_is_one_error_that_says_what_to_do(path):
    with pytest.raises(LabError, match=r"does not exist yet: draw on a canvas"):
        MyHandwriting(path).setup()


def test_a_folder_that_cannot_be_written_is_one_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(LabError, match="cannot be written"):
        save(tmp_path / "file" / "my_handwriting.h5", "a")
