"""Preparation: any picture of a character, or its strokes, becomes what EMNIST would have."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageOps

from lab_utils import prepare_line, sample_photo
from text_recognizer.data.emnist import EMNIST
from text_recognizer.errors import LabError
from text_recognizer.reading.character import convert_to_emnist, mark_prepared, prepare
from text_recognizer.reading.masks import Components, Ink

# An R without its bowl's curve: no flip, turn or swap of x and y maps it to itself.
STROKES = [
    [(10, 90), (10, 0), (50, 0), (55, 25), (45, 45), (10, 45)],
    [(30, 45), (60, 90)],
]
TALL, WIDE = [[(0, 0), (2, 90)]], [[(0, 0), (90, 2)]]


def draw(strokes=STROKES, size=(160, 140), at=(40, 25), scale=1, width=8, paper=255, ink=0):
    """Return a picture of strokes as PIL draws them, without smooth edges."""
    picture = Image.new("L", size, paper)
    for stroke in strokes:
        path = [(at[0] + x * scale, at[1] + y * scale) for x, y in stroke]
        ImageDraw.Draw(picture).line(path, fill=ink, width=width, joint="curve")
    return picture


def alike(one, other):
    """Return the correlation of two prepared images, 1 for equal ones."""
    return np.corrcoef(one.flatten(), other.flatten())[0, 1]


def difference(one, other):
    """Return by how many grey levels two prepared images differ at most."""
    return (one.int() - other.int()).abs().max().item()


def cropped(picture):
    return picture.crop(ImageOps.invert(picture).getbbox())


def white_on_transparent(picture):
    layer = Image.new("RGBA", picture.size)  # transparent black
    layer.paste((255, 255, 255, 255), mask=ImageOps.invert(picture))
    return layer


def transparent(picture):
    """Return black ink on nothing."""
    layer = Image.new("RGBA", picture.size, (0, 0, 0, 0))
    layer.putalpha(ImageOps.invert(picture))
    return layer


def saved(picture, name="picture.png", **how):
    picture.save(name, **how)
    return name


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# One character, in many forms.

PICTURE = draw()
PIXELS = np.array(PICTURE)
FORMS = {
    "path": lambda: Path(saved(PICTURE)),
    "path as text": lambda: saved(PICTURE),
    "BMP": lambda: saved(PICTURE, "picture.bmp"),
    "16 bits": lambda: saved(Image.fromarray(PIXELS.astype(np.uint16) * 257)),
    **{mode: lambda mode=mode: PICTURE.convert(mode) for mode in ("1", "P", "LA", "RGB", "RGBA")},
    "transparent": lambda: transparent(PICTURE),
    "white on transparent": lambda: white_on_transparent(PICTURE),
    "transparent path": lambda: saved(transparent(PICTURE)),
    "uint8": lambda: PIXELS,
    "float": lambda: PIXELS / 255,
    "float32": lambda: np.float32(PIXELS / 255),
    "bool": lambda: PIXELS > 0,
    "transposed twice": lambda: np.ascontiguousarray(PIXELS.T).T,
    "light on dark": lambda: 255 - PIXELS,
    "light on dark, float": lambda: 1 - PIXELS / 255,
    "1 channel last": lambda: PIXELS[..., None],
    "1 channel first": lambda: PIXELS[None],
    "RGB last": lambda: np.stack(3 * [PIXELS], -1),
    "RGB first": lambda: np.stack(3 * [PIXELS]),
    "RGBA last": lambda: np.array(transparent(PICTURE)),
    "RGBA first": lambda: np.moveaxis(np.array(transparent(PICTURE)), -1, 0),
    "tensor": lambda: torch.tensor(PIXELS),
    "tensor (1, H, W)": lambda: torch.tensor(PIXELS / 255, dtype=torch.float32)[None],
    "tensor (3, H, W)": lambda: torch.tensor(PIXELS).expand(3, -1, -1),
    "tensor with gradient": lambda: torch.tensor(PIXELS / 255, requires_grad=True),
    "bfloat16 tensor": lambda: torch.tensor(PIXELS / 255, dtype=torch.bfloat16),
    "elsewhere": lambda: draw(size=(300, 200), at=(200, 80)),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_form_of_a_picture_makes_no_difference(form):
    result = prepare(FORMS[form]())
    assert result.dtype == torch.uint8
    assert difference(result, prepare(PICTURE)) == 0


NEARLY = {
    "pencil": lambda: draw(ink=150),
    "grey paper": lambda: draw(paper=140, ink=90),
    "twofold": lambda: draw(size=(320, 280), at=(80, 50), scale=2, width=16),
    "sixfold": lambda: draw(size=(960, 840), at=(240, 150), scale=6, width=48),
    "huge": lambda: draw(size=(4800, 4200), at=(1200, 750), scale=30, width=240),
    "two thirds": lambda: PICTURE.resize((107, 93), Image.Resampling.LANCZOS),
    "half": lambda: PICTURE.resize((80, 70), Image.Resampling.LANCZOS),
    "blurred": lambda: np.array(PICTURE.resize((480, 420), Image.Resampling.BILINEAR)),
    "cut out": lambda: cropped(PICTURE),
    "strokes": lambda: STROKES,
    "small strokes": lambda: [[(x / 999 + 5, y / 999 - 7) for x, y in s] for s in STROKES],
    "strokes of other size": lambda: [[(x * 0.37 + 1e3, y * 0.37) for x, y in s] for s in STROKES],
    "giant strokes": lambda: [[(x * 1e6, y * 1e6) for x, y in s] for s in STROKES],
}


@pytest.mark.parametrize("form", NEARLY)
def test_size_and_contrast_hardly_make_a_difference(form):
    assert alike(prepare(NEARLY[form]()), prepare(PICTURE)) > 0.92


def test_that_measure_tells_characters_apart():
    for other in (TALL, WIDE, STROKES[:1], [[(y, x) for x, y in stroke] for stroke in STROKES]):
        assert alike(prepare(other), prepare(PICTURE)) < 0.85


STROKE_FORMS = {
    "tuples": tuple(tuple(stroke) for stroke in STROKES),
    "arrays": [np.array(stroke) for stroke in STROKES],
    "tensors": [torch.tensor(stroke) for stroke in STROKES],
    "time and pressure": [[(x, y, 0.1 * i, 0.7) for i, (x, y) in enumerate(s)] for s in STROKES],
    "corners marked, a stroke empty": [[(x, y, 1) for x, y in STROKES[0]], STROKES[1], []],
    "elsewhere": [[(x - 500, y + 3000) for x, y in stroke] for stroke in STROKES],
    "backwards": [stroke[::-1] for stroke in STROKES[::-1]],
}


@pytest.mark.parametrize("form", STROKE_FORMS)
def test_the_form_of_strokes_makes_no_difference(form):
    assert alike(prepare(STROKE_FORMS[form]), prepare(STROKES)) > 0.995


@pytest.mark.parametrize("opened", [False, True], ids=["path", "PIL"])
def test_a_photograph_that_the_camera_held_upright_is_upright(opened):
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: to be turned a quarter to the right
    path = saved(PICTURE.transpose(Image.Transpose.ROTATE_90), exif=exif)
    assert difference(prepare(Image.open(path) if opened else path), prepare(PICTURE)) == 0


def test_what_is_prepared_already_passes_unchanged():
    data = EMNIST(source="sample")
    data.setup()
    for image in data.data_test.images[::40]:
        assert difference(prepare(image), image) == 0
        assert difference(prepare(image[None].float() / 255), image) == 0


def test_what_was_prepared_is_marked_and_passes_unchanged():
    """It may not look like EMNIST's: a thin l, say, or what a preparation of one's own made."""
    for strokes in (TALL, WIDE, STROKES):
        once = prepare(strokes)
        assert prepare(once) is once
    odd = mark_prepared(torch.full((28, 28), 100, dtype=torch.uint8))
    assert prepare(odd) is odd
    with pytest.raises(LabError, match="shows no ink"):
        prepare(odd.clone())  # the mark is on the image alone


# What is found is handed on.


def test_a_photograph_is_searched_few_times(monkeypatch):
    calls = []
    for owner, name in ((Ink, "measure"), (Components, "__init__")):
        real = getattr(owner, name)
        counted = lambda *args, real=real, name=name: (calls.append(name), real(*args))[1]  # noqa: E731
        monkeypatch.setattr(owner, name, counted)
    for mode, prepare_mode in (("character", prepare), ("line", prepare_line)):
        calls.clear()
        prepare_mode(sample_photo(mode))
        assert calls.count("measure") <= 3  # pictures whose grey levels are counted
        assert calls.count("__init__") <= 6  # searches for connected components


def test_what_is_handed_on_is_what_would_be_found_anew():
    random = np.random.default_rng(0)
    for _ in range(200):
        grey = random.integers(0, 256, random.integers(2, 40, 2)) * random.integers(0, 2)
        ink = Ink.measure(grey.astype(np.uint8))
        parts = ink.parts.keep(random.random(len(ink.parts.area)) < 0.5)
        found = [ink.keep(parts.draw(), parts)] + ([ink.crop()] if ink.mask.any() else [])
        for handed_on in found:
            anew = Ink.measure(np.ascontiguousarray(handed_on.grey))
            assert handed_on.threshold == anew.threshold
            assert np.array_equal(handed_on.levels, anew.levels)
            for name in ("area", "top", "bottom", "left", "right", "longer"):
                assert np.array_equal(getattr(handed_on.parts, name), getattr(anew.parts, name))
            assert np.array_equal(handed_on.parts.draw(), anew.mask)


# What comes out.


@pytest.mark.parametrize("strokes", [STROKES, TALL, WIDE], ids=["R", "tall", "wide"])
@pytest.mark.parametrize("drawn", [True, False], ids=["picture", "strokes"])
def test_the_ink_is_centred_spans_the_frame_and_leaves_a_black_border(strokes, drawn):
    result = prepare(draw(strokes) if drawn else strokes)
    assert result.shape == (28, 28)
    ink = (result > 127).nonzero()
    low, high = ink.min(0).values, ink.max(0).values
    assert (high - low + 1).max() in (22, 23, 24)  # 60 pixels of 72, in 28
    assert ((low + high) / 2 - 13.5).abs().max() <= 0.5
    assert result[[0, -1]].max() <= 3
    assert result[:, [0, -1]].max() <= 3
    assert result.max() > 250


@pytest.mark.parametrize("width", [1, 2, 4])
def test_a_thin_line_becomes_as_thick_as_a_pen_s(width):
    pen = prepare(STROKES).float().sum()
    assert 0.75 < prepare(draw(width=width)).float().sum() / pen < 1.25


def test_a_thick_line_stays_thick():
    assert prepare(draw(width=18)).float().sum() > 1.3 * prepare(draw()).float().sum()


@pytest.mark.parametrize("dot", [[[(5, 5)]], [[(5, 5), (5, 5)]], [[(0, 0)], [(0, 0, 3)]]])
def test_a_dot_is_a_round_blob(dot):
    result = prepare(dot)
    assert difference(result, result.T) <= 2
    share = (result > 127).float().mean().item()
    assert share == pytest.approx(np.pi / 4 * (6 / 18) ** 2, rel=0.15)  # a pen's 6 pixels of 18


def test_ruled_lines_and_scraps_at_the_edge_are_dropped():
    picture = draw()
    pen = ImageDraw.Draw(picture)
    pen.line([(0, 8), (160, 9)], fill=60, width=3)
    pen.line([(5, 0), (6, 140)], fill=0, width=2)
    pen.ellipse((130, 125, 150, 150), fill=0)
    assert alike(prepare(picture), prepare(PICTURE)) > 0.98


@pytest.mark.parametrize(
    "character",
    [
        STROKES,
        [[(0, 0), (60, 90)], [(60, 0), (0, 90)]],  # X
        [[(0, 0), (60, 0)], [(30, 0), (30, 90)]],  # T
        [[(0, 0), (0, 90), (60, 90)]],  # L
        [[(0, 0), (0, 90)], [(60, 0), (60, 90)], [(0, 45), (60, 45)]],  # H
        [[(60, 0), (0, 0), (0, 90), (60, 90)], [(0, 45), (50, 45)]],  # E
        [[(0, 0), (0, 90), (60, 90), (60, 0)]],  # U
    ],
    ids=list("RXTLHEU"),
)
@pytest.mark.parametrize("inverted", [False, True], ids=["dark", "light"])
def test_a_character_that_touches_the_edge_is_kept(character, inverted):
    crop = cropped(draw(character))
    crop = ImageOps.invert(crop) if inverted else crop
    similarity = alike(prepare(crop), prepare(draw(character)))
    assert similarity > 0.92


@pytest.mark.parametrize("name", ["R", "blob", "wide"])
def test_the_conversion_follows_the_published_steps(name):
    scans = {
        "R": np.array(draw(size=(60, 60), at=(0, 0), scale=0.6, width=6)) < 128,
        "blob": np.random.default_rng(1).random((60, 41)) < 0.3,
        "wide": np.ones((9, 60), bool),
    }
    scan = scans[name]
    whole = np.zeros((128, 128))  # as NIST's images are
    whole[30 : 30 + scan.shape[0], 20 : 20 + scan.shape[1]] = 255 * scan
    blurred = cv2.GaussianBlur(whole, (9, 9), 1)
    region = blurred[26 : 34 + scan.shape[0], 16 : 24 + scan.shape[1]]
    height, width = region.shape
    side = max(height, width)
    square = np.pad(
        region,
        [
            ((side - height) // 2, side - height - (side - height) // 2),
            ((side - width) // 2, side - width - (side - width) // 2),
        ],
    )
    framed = Image.fromarray(np.pad(square, 2).astype(np.uint8))
    expected = np.array(framed.resize((28, 28), Image.Resampling.BICUBIC), int)
    assert np.abs(convert_to_emnist(scan).numpy() - expected).max() <= 2


# What cannot be read.


def written(content):
    Path("picture.png").write_bytes(content)
    return "picture.png"


BAD_PICTURES = {
    "missing": lambda: "picture.png",
    "text": lambda: written(b"a picture"),
    "empty": lambda: written(b""),
    "truncated": lambda: written(Path(saved(PICTURE)).read_bytes()[:300]),
    "blank": lambda: saved(Image.new("L", (40, 40), 255)),
    "black": lambda: saved(Image.new("RGB", (40, 40))),
    "faint": lambda: saved(draw(paper=200, ink=190)),
    "one pixel": lambda: saved(Image.new("L", (1, 1))),
    "folder": Path.cwd,
}
BAD_IMAGES = {
    "none": lambda: None,
    "number": lambda: 3,
    "bytes": lambda: b"picture.png",
    "set": lambda: {1, 2},
    "nan": lambda: np.full((28, 28), np.nan),
    "complex": lambda: PIXELS.astype(complex),
    "words": lambda: np.array([["ab", "cd"]]),
    "one row": lambda: PIXELS[0],
    "two channels": lambda: np.stack([PIXELS, PIXELS], -1),
    "a batch": lambda: PIXELS[None, None],
    "no pixels": lambda: np.zeros((0, 0), np.uint8),
    "one pixel": lambda: np.zeros((1, 1), np.uint8),
    "blank": lambda: np.zeros((28, 28), np.uint8),
    "white": lambda: Image.new("RGB", (50, 50), "white"),
}
BAD_STROKES = {
    "none at all": [],
    "no points": [[], []],
    "points for strokes": [(1, 2), (3, 4)],
    "rows of pixels": PIXELS.tolist(),
    "one number a point": [[(1,), (2,)]],
    "a number missing": [[(1, 2), (3,)]],
    "strokes that differ": [[(1,)], [(1, 2)]],
    "none": [None],
    "words": [["ab", "cd"]],
    "drawings for strokes": [STROKES[:1]],
    "one drawing of two": [[[(0, 0), (1, 1)], [(2, 2), (3, 3)]]],
    "nan": [[(0, 0), (np.nan, 1)]],
    "infinite": [[(0, 0), (np.inf, 1)]],
    "a dict": [{"x": [1, 2], "y": [3, 4]}],
}


@pytest.mark.parametrize("kind", BAD_PICTURES)
def test_a_file_that_shows_nothing_is_one_error_that_names_it(kind):
    path = BAD_PICTURES[kind]()
    with pytest.raises(LabError, match=f"^{re.escape(str(path))} .*[.]$"):
        prepare(path)


@pytest.mark.parametrize("kind", BAD_IMAGES)
def test_an_image_that_shows_nothing_is_one_error(kind):
    with pytest.raises(LabError, match=r"^image \(\w+\) .*[.]$"):
        prepare(BAD_IMAGES[kind]())


@pytest.mark.parametrize("kind", BAD_STROKES)
def test_strokes_that_are_none_are_one_error(kind):
    with pytest.raises(LabError, match=r"^image (must be|is) .*[.]$"):
        prepare(BAD_STROKES[kind])
