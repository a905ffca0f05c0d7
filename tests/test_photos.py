"""Photographs: those that ship, and those that a student chooses."""

import io

import cv2
import make_sample_photos
import numpy as np
import pytest
from PIL import Image

from lab_utils import (
    LabError,
    LineRecognizer,
    PictureUpload,
    Recognizer,
    prepare,
    sample_photo,
    sample_strokes,
)


def file_of(picture, form="PNG"):
    buffer = io.BytesIO()
    picture.save(buffer, form)
    return buffer.getvalue()


def choose(name, content):
    """Return an upload after the browser's message with a file."""
    upload = PictureUpload()
    about = {"name": name, "type": "", "size": len(content), "last_modified": 0}
    upload.set_state({"value": [about | {"content": memoryview(content)}]})
    return upload


@pytest.fixture
def photo():
    return Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4))


def test_the_sample_photos_are_read():
    character = Recognizer.pretrained(equal_classes=True).predict(sample_photo())
    assert character[0][0] == "R"
    assert LineRecognizer.pretrained().predict_line(sample_photo("line"))[0] == "read my hand"


def test_the_script_draws_the_photos_that_ship(monkeypatch, tmp_path):
    monkeypatch.setattr(make_sample_photos, "DATA", tmp_path)
    make_sample_photos.main()
    for mode in ("character", "line"):
        mine, kept = (
            cv2.imread(str(path)).astype(int)
            for path in (tmp_path / sample_photo(mode).name, sample_photo(mode))
        )
        assert np.abs(mine - kept).mean() < 1


def test_a_photo_of_another_kind_is_one_clear_error():
    with pytest.raises(LabError, match="mode='page'"):
        sample_photo("page")


def test_the_button_is_in_the_student_s_language(monkeypatch):
    assert PictureUpload("A line").description == "A line"
    monkeypatch.setenv("LAB_LANGUAGE", "ko")
    assert PictureUpload("A line").description == "글 한 줄"
    assert PictureUpload("Mine").description == "Mine"


def test_nothing_is_chosen_at_first():
    assert PictureUpload().picture is None


def test_what_is_chosen_is_a_picture(photo):
    assert np.array_equal(choose("r.png", file_of(photo)).picture, photo)


def test_what_is_chosen_in_ipywidgets_7_is_a_picture(photo, monkeypatch):
    upload = PictureUpload()
    value = {"r.png": {"metadata": {}, "content": file_of(photo)}}
    monkeypatch.setattr(PictureUpload, "value", property(lambda _self: value))
    assert np.array_equal(upload.picture, photo)


@pytest.mark.parametrize("content", [b"", b"%PDF-1.7", None], ids=["empty", "PDF", "truncated"])
def test_what_is_no_picture_is_one_clear_error(content, photo):
    upload = choose("r.pdf", file_of(photo, "BMP")[:60] if content is None else content)
    with pytest.raises(LabError, match=r"r\.pdf cannot be read as a picture"):
        _ = upload.picture


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1", "HEIC pictures: export it as JPEG"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0heic", "HEIC pictures: export it as JPEG"),
        (b"%PDF-1.7\n", "it is a PDF: take a screenshot of it"),
        (b"hello", "give a JPEG or PNG file"),
    ],
    ids=["HEIC", "of a phone", "PDF", "text"],
)
def test_what_is_given_for_a_picture_gets_advice(content, advice, tmp_path):
    path = tmp_path / "r.jpg"
    path.write_bytes(content)
    with pytest.raises(LabError, match=f"r.jpg cannot be read as a picture: .*{advice}\\.$"):
        prepare(path)


def test_faint_rules_beside_a_dark_desk_are_removed():
    """Rules below the threshold that the desk leads to used to come back when it was gone."""
    expected = prepare(sample_strokes("R")).float()
    found = prepare(sample_photo()).float()
    inked = expected > 127
    assert (found > 127)[~inked].float().mean() < 0.1
    assert (found > 127)[inked].float().mean() > 0.6
