"""Preparation of lines: any picture of a line, or its strokes, becomes one as for training."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageOps

from lab_utils import EMNISTLines, sample_strokes
from text_recognizer.errors import LabError
from text_recognizer.reading.line import prepare_line

# "Hog x" with straight strokes: capitals from 0 to 60, small letters from 24, a g down to 84.
X_TOP, BASELINE = 24, 60
CAPITAL = [[(0, 0), (0, 60)], [(28, 0), (28, 60)], [(0, 30), (28, 30)]]
ROUND = [[(50, 24), (72, 24), (72, 60), (50, 60), (50, 24)]]
HANGING = [[(110, 24), (90, 24), (90, 60), (110, 60)], [(110, 24), (110, 84), (92, 84)]]
CROSS = [[(150, 24), (175, 60)], [(175, 24), (150, 60)]]
NARROW = [[(0, 60), (0, 0), (28, 60), (28, 0)]]
WIDE = [*NARROW, [(x + 40, y) for x, y in NARROW[0]]]
LINE = [*CAPITAL, *ROUND, *HANGING, *CROSS]


def draw(strokes=LINE, scale=2.0, at=(20, 20), paper=255, ink=0, pen=4):
    """Return a picture of strokes, without smooth edges, with some paper round it."""
    points = np.concatenate([np.array(stroke, float) for stroke in strokes])
    size = [int((side + 2 * edge) * scale) for side, edge in zip(points.max(0), at, strict=True)]
    picture = Image.new("L", size, paper)
    for stroke in strokes:
        path = [((x + at[0]) * scale, (y + at[1]) * scale) for x, y in stroke]
        ImageDraw.Draw(picture).line(path, fill=ink, width=max(1, round(pen * scale)))
    return picture


def rows(line):
    """Return the first row with ink and the one behind the last."""
    inked = torch.nonzero(line.amax(1) > 60).squeeze(1)
    return inked[0].item(), inked[-1].item() + 1


def alike(one, other):
    """Return the correlation of two lines, which may differ a little in width."""
    width = max(one.shape[1], other.shape[1])
    assert min(one.shape[1], other.shape[1]) > 0.93 * width
    same = [
        np.array(Image.fromarray(line.numpy()).resize((width, 28), Image.Resampling.BILINEAR))
        for line in (one, other)
    ]
    return np.corrcoef(*(line.ravel() for line in same))[0, 1]


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# One line, in many forms.

USUAL = prepare_line(draw())
FORMS = {
    "half": lambda: draw(scale=1),
    "threefold": lambda: draw(scale=3),
    "fivefold": lambda: draw(scale=5),
    "tenfold": lambda: draw(scale=10),
    "twentyfold": lambda: draw(scale=20),
    "pencil on grey": lambda: draw(paper=200, ink=120),
    "light on dark": lambda: ImageOps.invert(draw()),
    "light on grey": lambda: draw(paper=60, ink=230),
    "thin": lambda: draw(pen=2),
    "cut out": lambda: draw().crop(ImageOps.invert(draw()).getbbox()),
    "much paper": lambda: draw(at=(150, 90)),
    "array": lambda: np.array(draw()),
    "tensor": lambda: torch.tensor(np.array(draw()) / 255),
    "strokes": lambda: LINE,
    "small strokes": lambda: [[(x / 999 + 5, y / 999 - 7) for x, y in s] for s in LINE],
    "strokes with time": lambda: [[(x, y, 0.1, 1) for x, y in s] for s in LINE],
}


@pytest.mark.parametrize("form", FORMS)
def test_size_contrast_and_form_hardly_make_a_difference(form):
    line = prepare_line(FORMS[form]())
    assert line.dtype == torch.uint8
    assert line.shape[0] == 28
    assert alike(line, USUAL) > 0.85


def test_that_measure_tells_lines_apart():
    fallen = [[(x, 84 - y) for x, y in stroke] for stroke in LINE]
    backwards = [[(175 - x, y) for x, y in stroke] for stroke in LINE]
    for other in (fallen, backwards):
        assert alike(prepare_line(other), USUAL) < 0.75


@pytest.mark.parametrize("as_text", [True, False])
def test_a_line_may_be_a_file(as_text):
    draw().save("line.png")
    line = prepare_line("line.png" if as_text else Path("line.png"))
    assert torch.equal(line, USUAL)


def test_lines_of_the_data_pass_unchanged():
    images, _ = EMNISTLines(source="sample", text="own").build_maker("test").draw(np.arange(4))
    for image in images:
        assert torch.equal(prepare_line(image), image)
        assert torch.equal(prepare_line(image[None].float() / 255), image)


# Where letters stand.


@pytest.mark.parametrize("form", ["picture", "strokes"])
@pytest.mark.parametrize("guides", [(X_TOP, BASELINE), None], ids=["guided", "estimated"])
def test_small_letters_stand_on_the_baseline_and_a_g_hangs_below_it(form, guides):
    if guides and form == "picture":
        guides = tuple(2 * (y + 20) for y in guides)
    line = prepare_line(draw() if form == "picture" else LINE, guides)
    unit = (line.shape[1] - 8) / 175  # columns by unit; 4 columns of margin on either side
    letters = [
        line[:, int(4 + a * unit) : int(4 + b * unit)]
        for a, b in ((-10, 38), (40, 80), (82, 120), (140, 180))
    ]
    (capital, _), (small, foot), (_, hanging), (cross, end) = map(rows, letters)
    assert small == pytest.approx(10, abs=1.5)
    assert cross == pytest.approx(10, abs=1.5)
    assert foot == pytest.approx(20, abs=1.5)
    assert end == pytest.approx(20, abs=1.5)
    assert capital < small - 4
    assert hanging > foot + 4


@pytest.mark.parametrize("strokes", [NARROW, WIDE, ROUND], ids=["N", "NN", "o"])
@pytest.mark.parametrize("drawn", [True, False], ids=["picture", "strokes"])
def test_a_line_of_one_height_alone_is_neither_huge_nor_tiny(strokes, drawn):
    top, bottom = rows(prepare_line(draw(strokes) if drawn else strokes))
    assert 14 <= bottom - top <= 18
    assert bottom == pytest.approx(20, abs=2)


def test_guides_tell_small_letters_from_capitals():
    """The same box, written between the guides, or from the top of capitals to the baseline."""
    small = rows(prepare_line(ROUND, (24, 60)))
    tall = rows(prepare_line(ROUND, (40, 60)))
    low = rows(prepare_line(ROUND, (24, 48)))
    assert small[1] - small[0] == pytest.approx(11, abs=1.5)
    assert tall[1] - tall[0] > 1.5 * (small[1] - small[0])
    assert low[1] > tall[1]


@pytest.mark.parametrize("guides", [(0, 1), (-536, -500), (500, 536), (30, 30.001)], ids=str)
@pytest.mark.parametrize("drawn", [True, False], ids=["picture", "strokes"])
def test_guides_that_nothing_was_written_on_do_not_count(guides, drawn):
    picture = draw() if drawn else LINE
    assert torch.equal(prepare_line(picture, guides), prepare_line(picture))


def test_far_apart_guides_make_small_letters():
    top, bottom = rows(prepare_line(LINE, (0, 500)))
    assert bottom - top <= 6  # the pen alone is 2 rows wide


# Joined-up writing: its size, slope and slant, and other lines in the picture.


def write_line(words=6, loop=60, height=36):
    """Return strokes of words of three small letters, with a loop below the first one."""
    strokes = [
        [(x, 0), (x, height), (x + 16, height), (x + 16, 0)]
        for word in range(words)
        for x in np.arange(3) * 34 + word * 140
    ]
    return [*strokes, [(16, height), (16, height + loop)]]


@pytest.mark.parametrize("loop", [20, 60, 150])
@pytest.mark.parametrize("drawn", [True, False], ids=["picture", "strokes"])
def test_a_long_loop_does_not_make_the_letters_small(loop, drawn):
    strokes = write_line(loop=loop)
    line = prepare_line(draw(strokes, pen=6) if drawn else strokes)
    letters = line[:, line.shape[1] // 2 :]
    top, bottom = rows(letters)
    assert 9 <= bottom - top <= 14
    assert bottom == pytest.approx(21, abs=1.5)
    assert rows(line)[1] > bottom + 1


def change(strokes, slope=0.0, slant=0.0):
    return [[(x - slant * y, y + slope * x) for x, y in stroke] for stroke in strokes]


@pytest.mark.parametrize("slope", [-0.08, 0.08])
@pytest.mark.parametrize("drawn", [True, False], ids=["picture", "strokes"])
def test_a_line_that_rises_or_falls_is_made_level(slope, drawn):
    level, sloping = write_line(), change(write_line(), slope)
    if drawn:
        level, sloping = draw(level, at=(20, 120)), draw(sloping, at=(20, 120))
    assert alike(prepare_line(sloping), prepare_line(level)) > 0.8


@pytest.mark.parametrize("drawn", [True, False], ids=["picture", "strokes"])
def test_letters_that_lean_are_made_more_upright(drawn):
    leaning = change(write_line(), slant=0.6)
    moved = [[(x + 80, y) for x, y in stroke] for stroke in leaning]
    line = prepare_line(draw(moved) if drawn else leaning)
    first = [int(np.flatnonzero(row > 60)[0]) for row in line.numpy()[12:19]]
    assert 0 <= first[0] - first[-1] < 0.4 * (len(first) - 1) + 1


def stack(strokes, other, by):
    return [*strokes, *([(x, y + by) for x, y in stroke] for stroke in other)]


@pytest.mark.parametrize("by", [90, 140])
@pytest.mark.parametrize("drawn", [True, False], ids=["picture", "strokes"])
def test_two_lines_in_one_picture_are_an_error(by, drawn):
    strokes = stack(write_line(loop=15), write_line(words=5, loop=15), by)
    with pytest.raises(LabError, match=r"^image shows several lines of text, .* cut out one of"):
        prepare_line(draw(strokes) if drawn else strokes)


@pytest.mark.parametrize("text", ["iiii jjj iii", "minimum", "HELLO", "100", "l", "ooo ooo"])
def test_dots_and_capitals_are_not_taken_for_a_second_line(text):
    assert prepare_line(sample_strokes(text)).shape[0] == 28


def test_ink_keeps_its_margin_left_and_right():
    for line in (USUAL, prepare_line(LINE)):
        assert line[:, :2].max() <= 60
        assert line[:, -2:].max() <= 60
        inked = torch.nonzero(line.amax(0) > 60).squeeze(1)
        assert 2 <= inked[0] <= 4
        assert 2 <= line.shape[1] - 1 - inked[-1] <= 5


@pytest.mark.parametrize("pen", [1, 2, 4])
def test_strokes_are_as_thick_as_a_pen_s_whatever_the_picture_s(pen):
    assert 0.7 < prepare_line(draw(pen=pen)).float().sum() / prepare_line(LINE).float().sum() < 1.5


@pytest.mark.parametrize(
    "strokes",
    [[[(5, 5)]], [[(0, 0), (900, 0)]], [[(0, 0), (0, 900)]], [[(0, 0), (99_999, 40)]]],
    ids=["dot", "dash", "bar", "very long"],
)
def test_odd_strokes_are_lines_too(strokes):
    line = prepare_line(strokes)
    assert line.shape[0] == 28
    assert 8 <= line.shape[1] <= 28 * 120 + 10
    assert line.max() > 60


@pytest.mark.parametrize("size", [(3, 3), (2, 400), (400, 2), (1, 30), (400, 1), (1, 1)])
def test_a_patch_of_ink_is_a_line_too(size):
    picture = Image.new("L", (450, 450), 255)
    picture.paste(0, (20, 20, 20 + size[0], 20 + size[1]))
    line = prepare_line(picture)
    assert line.shape[0] == 28
    assert line.shape[1] < 1000
    assert line.max() > 60


# What cannot be read.


@pytest.mark.parametrize(
    "guides",
    [(60, 24), (24, 24), (24,), (1, 2, 3), (), (np.nan, 3), (0, np.inf), ("a", "b"), 5, "ab"],
)
def test_guides_that_are_no_two_heights_are_one_error(guides):
    with pytest.raises(
        LabError, match=f"^guides={re.escape(repr(guides))} must be the top of small"
    ):
        prepare_line(LINE, guides)


UNREADABLE = {
    "blank": lambda: Image.new("L", (300, 60), 255),
    "black": lambda: np.zeros((28, 300), np.uint8),
    "none": lambda: None,
    "number": lambda: 3,
    "no strokes": lambda: [],
    "no points": lambda: [[], []],
    "points for strokes": lambda: [(1, 2), (3, 4)],
    "nan": lambda: [[(0, 0), (np.nan, 1)]],
    "one row": lambda: np.zeros((1, 40), np.uint8),
    "faint": lambda: draw(paper=200, ink=190),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_shows_no_line_is_one_error(kind):
    with pytest.raises(LabError, match=r"^image .*[.]$"):
        prepare_line(UNREADABLE[kind]())


@pytest.mark.parametrize("content", [None, b"", b"a picture"])
def test_a_file_that_is_no_picture_is_named(content):
    if content is not None:
        Path("line.png").write_bytes(content)
    with pytest.raises(LabError, match=r"^line\.png cannot be read as a picture"):
        prepare_line("line.png")
