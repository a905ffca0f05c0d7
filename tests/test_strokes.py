"""Strokes: their form, how they travel, the samples, and that size and place make no difference."""

import itertools
import json
import math
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from lab_utils import Recognizer, prepare, prepare_line, sample_strokes
from text_recognizer.canvas.script import list_constants
from text_recognizer.errors import LabError
from text_recognizer.mapping import CHARACTERS
from text_recognizer.strokes import CANVAS_HEIGHT, Stroke, decode, encode, fit_strokes, to_strokes

ROOT = Path(__file__).parents[1]
# Nobody tells these apart without a line around them.
TWINS = ["0Oo", "1Il", "Cc", "Kk", "Mm", "Pp", "Ss", "Uu", "Vv", "Ww", "Xx", "Yy", "Zz2", "9gq"]


def look_alike(one, other):
    return one == other or any({one, other} <= set(group) for group in TWINS)


# Their form.


def test_a_stroke_is_its_points_and_what_drew_it():
    stroke = Stroke([(1, 2, 30, 0.25), (3.1, 4.13, 41.6, 1)], "pen")
    assert stroke == ((1, 2, 30, 0.25), (3, 4.25, 42, 1))
    assert stroke.pointer == "pen"
    assert repr(stroke) == "Stroke(2 points, pointer='pen')"


def test_time_and_pressure_may_be_missing():
    assert Stroke([(1, 2), (3, 4, 50)]) == ((1, 2, 0, 0.5), (3, 4, 50, 0.5))


def test_strokes_are_read_and_prepared_as_they_are():
    assert torch.equal(prepare(sample_strokes("R")), prepare(list(sample_strokes("R"))))
    assert Recognizer.pretrained().predict(sample_strokes("R"))[0][0] == "R"


@pytest.mark.parametrize(
    "drawing",
    [
        None,
        3,
        "ab",
        [3],
        [[(1,)]],
        [[(1, 2, 3, 4, 5)]],
        [[(1, math.nan)]],
        [[("a", "b")]],
        [(1, 2)],
    ],
)
def test_anything_but_a_drawing_is_one_error(drawing):
    with pytest.raises(LabError, match=r"^strokes must be a list of strokes, each a list of poi"):
        to_strokes(drawing)


def test_empty_strokes_are_left_out():
    assert to_strokes([[], [(1, 2)], []]) == [((1, 2, 0, 0.5),)]
    assert to_strokes([]) == []


# How they travel.


def make_random_strokes(count=200):
    random = np.random.default_rng(5)
    for _ in range(count):
        points = random.normal(0, 300, (random.integers(1, 30), 4)) * (1, 1, 10, 0.01)
        yield Stroke(points.tolist(), random.choice(["mouse", "pen", "touch"]))


def test_decoding_gives_what_was_encoded():
    for stroke in make_random_strokes():
        found = decode(encode(stroke))
        assert found == stroke
        assert found.pointer == stroke.pointer


def test_the_encoding_is_base64_vlq():
    # Source maps write 0, 1, -1, 15, 16 and -16 as A, C, D, e, gB and hB.
    assert encode(Stroke([(0, 0.25, -1, 0.15), (4, 0.25, -17, 0.15)])) == "mACDegBAhBA"


def test_a_point_takes_few_letters():
    strokes = [stroke for character in CHARACTERS for stroke in sample_strokes(character)]
    assert sum(map(len, map(encode, strokes))) / sum(map(len, strokes)) < 7


def test_strokes_that_reach_out_of_the_canvas_are_scaled_to_fit():
    inside = [Stroke([(0, 0), (CANVAS_HEIGHT, CANVAS_HEIGHT)])]
    assert fit_strokes(inside, CANVAS_HEIGHT) is inside
    for stroke in ([(-1000, 5), (4000, 900)], [(3, 3), (3, 900)], [(-5, 7)]):
        (found,) = fit_strokes([Stroke(stroke)], CANVAS_HEIGHT)
        points = np.array(found)[:, :2]
        assert points.min() >= 0
        assert points.max() <= CANVAS_HEIGHT
        assert points.min(0) + points.max(0) == pytest.approx(
            [CANVAS_HEIGHT, CANVAS_HEIGHT], abs=0.5
        )


# The samples.


@pytest.fixture(scope="module")
def reader():
    return Recognizer.pretrained(equal_classes=True)


def read(reader, drawings):
    """Return the first answer to each drawing or picture, all read at once."""
    images = torch.stack([prepare(drawing) for drawing in drawings])
    return [reader.mapping[i] for i in reader.probabilities(images).argmax(1).tolist()]


def test_the_shipped_network_reads_the_sample_of_each_character(reader):
    answers = read(reader, [sample_strokes(character) for character in CHARACTERS])
    assert [both for both in zip(answers, CHARACTERS, strict=True) if not look_alike(*both)] == []


@pytest.mark.parametrize("text", ["a", "Q", "hello", "Kim 4"])
def test_samples_lie_on_the_canvas(text):
    points = np.concatenate([np.array(s)[:, :2] for s in sample_strokes(text)])
    assert points.min() >= 0
    assert points[:, 1].max() <= CANVAS_HEIGHT
    assert points[:, 0].max() <= (CANVAS_HEIGHT if len(text) == 1 else 4 * CANVAS_HEIGHT)
    if len(text) == 1:
        assert points[:, 0].min() + points[:, 0].max() == pytest.approx(CANVAS_HEIGHT, abs=1)


def test_a_word_stands_letter_by_letter_and_space_parts_words():
    def widths(text):
        return max(p[0] for s in sample_strokes(text) for p in s)

    assert widths("no") < widths("noo")
    assert widths("nono") < widths("no no")


def test_variants_differ_and_repeat():
    variants = [sample_strokes("b", variant) for variant in range(6)]
    assert all(one != other for one, other in itertools.pairwise(variants))
    assert variants[0] == variants[5]


@pytest.mark.parametrize("text", ["", " ", None, "é", "a-b", 5])
def test_a_text_without_sample_is_one_error(text):
    with pytest.raises(LabError):
        sample_strokes(text)


def test_a_bad_variant_is_one_error():
    with pytest.raises(LabError, match="variant="):
        sample_strokes("a", "b")


# Reading does not depend on size, place or pen.


def render(strokes, size, pen, corner):
    """Return a picture of strokes whose longer side has `size` pixels, in a corner of a sheet."""
    points = np.concatenate([np.array(stroke)[:, :2] for stroke in strokes])
    low = points.min(0)
    scale = (size - pen) / np.ptp(points, axis=0).max()
    side = size + 24
    sheet = Image.new("L", (2 * side, 2 * side), 255)
    draw = ImageDraw.Draw(sheet)
    start = np.array(corner) * side + 12 + pen / 2
    for stroke in strokes:
        path = [tuple((np.array(p[:2]) - low) * scale + start) for p in stroke]
        draw.line(path, fill=0, width=pen, joint="curve")
        for x, y in (path[0], path[-1]):
            draw.ellipse((x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2), fill=0)
    return sheet


def move(strokes, scale, x, y):
    return [[(scale * p[0] + x, scale * p[1] + y) for p in stroke] for stroke in strokes]


CORNERS = list(itertools.product((0, 1), repeat=2))


def turn(items, character):
    """Return an endless round of the items; each character begins at another one."""
    return itertools.islice(itertools.cycle(items), CHARACTERS.index(character) % len(items), None)


def draw_in_sizes(character):
    """Return pictures of a sample in five sizes, with pens and corners that take turns."""
    pens = turn((1 / 12, 1 / 8, 1 / 6), character)
    return [
        render(sample_strokes(character), size, round(size * pen), corner)
        for size, pen, corner in zip(
            (30, 48, 80, 140, 260), pens, turn(CORNERS, character), strict=False
        )
    ]


def move_in_sizes(character):
    """Return the strokes of a sample in five sizes, in corners that take turns."""
    return [
        move(sample_strokes(character), scale, 900 * corner[0], 400 * corner[1])
        for scale, corner in zip((0.1, 0.3, 1, 4, 30), turn(CORNERS, character), strict=False)
    ]


@pytest.mark.parametrize("vary", [draw_in_sizes, move_in_sizes])
def test_a_character_is_the_same_at_all_sizes_pens_and_places(reader, vary):
    expected = read(reader, [sample_strokes(character) for character in CHARACTERS])
    answers = read(reader, [way for character in CHARACTERS for way in vary(character)])
    # A thick pen is that of a small character, so p may follow P: twins count as the same.
    both = list(zip(answers, np.repeat(expected, 5), strict=True))
    assert [one for one in both if not look_alike(*one)] == []


# The same in JavaScript.

NODE = """
import { decode, encode } from "./strokes.mjs";
import { readFileSync } from "node:fs";
const { drawn, texts } = JSON.parse(readFileSync("strokes.json", "utf8"));
const read = texts.map((text) => decode(text));
const written = drawn.map(({ pointer, points }) => encode(pointer, points));
console.log(JSON.stringify({ read, written }));
"""


def test_the_canvas_s_script_encodes_and_decodes_the_same_bit_by_bit(tmp_path):
    random = np.random.default_rng(0)
    halves = [[x / 8, -x / 8, x / 2, x / 200] for x in range(100)]  # between two steps
    far = [[sign * 1.34e8, -sign * 1.34e8, sign * 5e8, sign * 5e6] for sign in (1, -1, 1)]
    drawn = [{"pointer": "pen", "points": points} for points in (halves, far)]
    for i in range(300):
        points = random.uniform(-40, 940, (1 + i % 60, 4))
        points[:, 2] = np.sort(random.uniform(0, 60_000, len(points)))
        points[:, 3] = random.uniform(0, 1, len(points))
        drawn.append({"pointer": ("mouse", "pen", "touch")[i % 3], "points": points.tolist()})
    strokes = [Stroke(stroke["points"], stroke["pointer"]) for stroke in drawn]
    texts = [encode(stroke) for stroke in strokes]
    script = ROOT / "text_recognizer" / "canvas" / "static" / "strokes.js"
    shutil.copy(script, tmp_path / "strokes.mjs")
    (tmp_path / "test.mjs").write_text(NODE, encoding="utf-8")
    (tmp_path / "strokes.json").write_text(json.dumps({"drawn": drawn, "texts": texts}))
    node = ["node", "test.mjs"]
    answer = subprocess.run(node, cwd=tmp_path, capture_output=True, text=True, check=True)
    found = json.loads(answer.stdout)
    assert found["written"] == texts
    for stroke, read in zip(strokes, found["read"], strict=True):
        assert read["pointer"] == stroke.pointer
        assert [tuple(point) for point in read["points"]] == list(stroke)


PREPARE = """
import { prepareCharacter, prepareLine, setConstants } from "./pen.js";
import { readFileSync } from "node:fs";
const { constants, drawings, guides } = JSON.parse(readFileSync("drawings.json", "utf8"));
setConstants(constants);
const characters = drawings.map((drawing) => [...prepareCharacter(drawing)]);
const lines = drawings.map((drawing) => prepareLine(drawing, guides));
console.log(JSON.stringify({ characters, lines: lines.map(({ data }) => [...data]) }));
"""


@pytest.mark.parametrize("guides", [None, (96, 150)])
def test_the_page_s_script_prepares_strokes_as_python_does(guides, tmp_path):
    random = np.random.default_rng(0)
    drawings = [[[(5.0, 5.0)]], [[(0.0, 0.0), (900.0, 0.0)]], [[(0.0, 0.0), (0.0, 900.0)]]]
    for text in [*CHARACTERS[::4], "Hello you", "look at me", "minimum", "100"]:
        change = np.eye(2) + random.normal(0, 0.1, (2, 2))
        points = [np.array([point[:2] for point in stroke]) for stroke in sample_strokes(text)]
        drawings.append([(curve @ change).round(2).tolist() for curve in points])
    for name in ("pen.js", "pillow.js"):
        shutil.copy(ROOT / "text_recognizer" / "canvas" / "static" / name, tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "test.js").write_text(PREPARE, encoding="utf-8")
    given = {"constants": list_constants(), "drawings": drawings, "guides": guides}
    (tmp_path / "drawings.json").write_text(json.dumps(given))
    node = ["node", "test.js"]
    answer = subprocess.run(node, cwd=tmp_path, capture_output=True, text=True, check=True)
    found = json.loads(answer.stdout)
    assert found["characters"] == [prepare(drawing).flatten().tolist() for drawing in drawings]
    for drawing, line in zip(drawings, found["lines"], strict=True):
        expected = prepare_line(drawing, guides).flatten()
        assert (torch.tensor(line) - expected.int()).abs().max() <= 2
