"""Pictures as people make them: each kind is read like a clean one, and nothing crashes."""

import io
import os
import random

import numpy as np
import pytest
import torch
from people import KINDS, Item, draw_kind
from PIL import Image

from lab_utils import LabError, Recognizer, prepare, sample_strokes

pytestmark = pytest.mark.slow

TRIES = int(os.environ.get("LAB_FUZZ", "400"))  # LAB_FUZZ=5000 for a longer look
WRITTEN = "ABDEGHKMNQRTYabdefghkmnqrty234567"


@pytest.fixture(scope="module")
def reader():
    return Recognizer.pretrained(equal_classes=True)


@pytest.fixture(scope="module")
def drawings():
    return [Item(character, sample_strokes(character)) for character in WRITTEN]


def read(reader, pictures):
    answers = reader.probabilities(torch.stack([prepare(picture) for picture in pictures]))
    return [reader.mapping[i].lower() for i in answers.argmax(1).tolist()]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "2000" not in kind])
def test_a_kind_of_picture_is_read_like_a_clean_one(kind, drawings, reader):
    found = read(reader, [item.image for item in draw_kind(kind, drawings)])
    right = sum(name == item.label.lower() for name, item in zip(found, drawings, strict=True))
    assert right >= 0.93 * len(drawings)


# What nothing can be made of.


def draw_at_random(rng: np.random.Generator):
    """Return an array or a picture of any mode, size and content, or a damaged file."""
    height, width = rng.integers(1, 60, 2)
    content = rng.integers(0, 256, (height, width, 4))
    if rng.random() < 0.3:
        content[...] = rng.choice([0, 1, 127, 255])
    match rng.integers(4):
        case 0:
            dtype = rng.choice(["u1", "u2", "i4", "i8", "f4", "f8", "?", "c8", "O", "U1"])
            shape = [(height, width), (height, width, 1), (3, height, width), (height,), ()]
            values = (
                content.astype(dtype) * rng.choice([1, 1, 1, 200])
                if dtype not in "OU1"
                else (content.astype(dtype))
            )
            return np.resize(values, shape[rng.integers(len(shape))])
        case 1:
            values = torch.from_numpy(content[..., 0].astype(np.float32))
            values[rng.random(values.shape) < 0.1] = float(rng.choice([0, -1, np.nan, np.inf]))
            return values
        case 2:
            mode = str(rng.choice(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV"]))
            return Image.fromarray(content.astype(np.uint8), "RGBA").convert("RGB").convert(mode)
        case _:
            file = io.BytesIO()
            form = str(rng.choice(["PNG", "JPEG", "TIFF", "GIF", "BMP"]))
            Image.fromarray(content[..., :3].astype(np.uint8)).save(file, form)
            damaged = bytearray(file.getvalue())
            for place in rng.integers(0, len(damaged), 5):
                damaged[place] = rng.integers(256)
            return bytes(damaged[: rng.integers(1, len(damaged) + 1)])


@pytest.mark.filterwarnings("ignore")  # Pillow and NumPy warn of what is damaged
def test_whatever_is_given_is_an_image_or_one_sentence(tmp_path):
    rng, refused = np.random.default_rng(0), 0
    random.seed(0)
    for number in range(TRIES):
        image = draw_at_random(rng)
        if isinstance(image, bytes):
            path = tmp_path / f"{number % 7}.png"
            path.write_bytes(image)
            image = path
        try:
            prepared = prepare(image)
            assert prepared.shape == (28, 28)
            assert prepared.dtype == torch.uint8
        except LabError as error:
            refused += 1
            assert "\n" not in str(error)  # noqa: PT017 - or none
    assert 0.1 * TRIES < refused < 0.9 * TRIES


# Only some characters.


def test_among_digits_only_digits_are_answers(reader):
    circle = sample_strokes("O")
    answers = reader.predict(circle, top_k=62, among="0123456789")
    assert sorted(name for name, _ in answers) == list("0123456789")
    assert answers[0][0] == "0"
    assert sum(p for _, p in answers) == pytest.approx(1)
    every = dict(reader.predict(circle, top_k=62))
    shares = [every[name] / p for name, p in answers]
    assert shares == pytest.approx([shares[0]] * 10, rel=1e-3)


@pytest.mark.parametrize(("among", "says"), [("", "no characters"), ("0é", "é")])
def test_among_takes_characters_that_the_network_knows(reader, among, says):
    with pytest.raises(LabError, match=f"^among=.* has .*{says}"):
        reader.predict(sample_strokes("0"), among=among)
