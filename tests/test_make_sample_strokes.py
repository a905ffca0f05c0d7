"""The strokes that ship with the lab are our own templates, written as a hand would."""

import itertools
import json

import pytest
from make_sample_strokes import MAX_VARIANTS, SPACING, SPEED, write_stroke
from shapes import read_templates

from text_recognizer.mapping import CHARACTERS
from text_recognizer.paths import bundled
from text_recognizer.strokes import CAP_LINE, encode

SHIPPED = json.loads(bundled("sample_strokes.json").read_text(encoding="utf-8"))["characters"]


def test_every_shipped_drawing_is_a_template_of_its_character():
    assert list(SHIPPED) == CHARACTERS
    for character, drawings in SHIPPED.items():
        written = [[encode(write_stroke(s)) for s in v] for v in read_templates()[character]]
        assert 1 <= len(drawings) <= MAX_VARIANTS
        assert all(drawing in written for drawing in drawings), character


def test_a_stroke_goes_at_one_speed_through_points_at_equal_distances():
    stroke = write_stroke([[0, 0], [60, 80]])
    x, y, time, pressure = zip(*stroke, strict=True)
    assert (x[0], y[0], x[-1], y[-1]) == (0, CAP_LINE, 60, CAP_LINE + 80)
    steps = [after - before for before, after in itertools.pairwise(time)]
    assert steps == pytest.approx([SPACING / SPEED] * len(steps), abs=1)
    assert len(stroke) == 100 / SPACING + 1
    assert pressure[0] < max(pressure) > pressure[-1]
