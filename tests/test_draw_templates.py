"""The drawings that the shipped network learns from: their shapes, their seed, their templates."""

import json

import pytest
import torch
from draw_templates import draw_templates

from lab_utils import Recognizer
from text_recognizer.mapping import CHARACTER_LABELS, CHARACTERS
from text_recognizer.paths import bundled

TEMPLATES = json.loads(bundled("stroke_templates.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def drawings():
    return draw_templates(4, seed=1)


def test_each_character_is_drawn_as_often(drawings):
    images, labels = drawings
    assert images.shape == (4 * len(CHARACTERS), 28, 28)
    assert images.dtype == torch.uint8
    assert torch.bincount(labels).tolist() == [4] * len(CHARACTERS)


def test_the_seed_decides_the_drawings(drawings):
    assert torch.equal(draw_templates(4, seed=1)[0], drawings[0])
    assert len(torch.cat([draw_templates(4, seed=2)[0], drawings[0]]).unique(dim=0)) > 490


def test_drawings_fill_their_images_as_emnist_s_do(drawings):
    ink = drawings[0] > 40
    longer_side = torch.maximum(ink.any(1).sum(1), ink.any(2).sum(1)).float()
    assert 18 <= longer_side.min() <= longer_side.max() <= 26


def test_most_drawings_are_read_as_what_they_are(drawings):
    images, labels = drawings
    reader = Recognizer.pretrained(equal_classes=True)
    answers = reader.probabilities(images).argmax(1)
    names = [reader.mapping[i].lower() for i in answers.tolist()]
    wanted = [reader.mapping[i].lower() for i in (labels + CHARACTER_LABELS.start).tolist()]
    right = sum(a == b for a, b in zip(names, wanted, strict=True))
    assert right / len(wanted) > 0.8


@pytest.mark.parametrize("kind", ["characters", "rare"])
def test_every_character_has_templates_of_strokes_in_sensible_places(kind):
    for character in CHARACTERS:
        variants = TEMPLATES[kind][character]
        assert len(variants) >= 2
        points = [point for variant in variants for stroke in variant for point in stroke]
        assert all(len(stroke) >= 2 for variant in variants for stroke in variant)
        assert all(-20 <= x <= 120 and -20 <= y <= 150 for x, y, *_ in points), character
