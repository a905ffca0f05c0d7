"""What people drew on tablets, drawn again for the shipped network: who drew it, and the seed."""

import json
import zipfile

import numpy as np
import pytest
import torch
from draw_people import SOURCES, draw_people, read_people

from lab_utils import Recognizer, sample_strokes
from text_recognizer.mapping import CHARACTER_LABELS, CHARACTERS


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Return drawings as the archives have them: of all characters, and of digits."""
    folder = tmp_path_factory.mktemp("people")
    for source, labels in zip(SOURCES, (CHARACTERS, CHARACTERS[:10]), strict=True):
        items = [
            {"label": label, "writer": "w1", "strokes": [[p[:2] for p in s] for s in strokes]}
            for label in labels
            for strokes in [sample_strokes(label)]
        ]
        with zipfile.ZipFile(folder / f"{source}.zip", "w") as archive:
            archive.writestr("strokes.jsonl", "\n".join(map(json.dumps, items)))
    return read_people(folder)


def test_both_sources_are_read(people):
    assert [drawing.source for drawing in people].count("pendigits") == 10
    assert len(people) == 72 and people[0].writer == "w1"
    assert all(stroke.shape[1] == 2 for drawing in people for stroke in drawing.strokes)


def test_each_character_is_drawn_as_often_and_the_seed_decides_how(people):
    images, labels = draw_people(people, 3, seed=1)
    assert images.shape == (3 * len(CHARACTERS), 28, 28) and images.dtype == torch.uint8
    assert torch.bincount(labels).tolist() == [3] * len(CHARACTERS)
    assert torch.equal(draw_people(people, 3, seed=1)[0], images)
    assert len(images.unique(dim=0)) > 0.95 * len(images)


@pytest.mark.slow
def test_most_are_read_as_what_they_are(people):
    images, labels = draw_people(people, 6, seed=2)
    reader = Recognizer.pretrained(equal_classes=True)
    answers = reader.probabilities(images).argmax(1).tolist()
    names = np.array([reader.mapping[i].lower() for i in answers])
    wanted = np.array(
        [reader.mapping[i].lower() for i in (labels + CHARACTER_LABELS.start).tolist()]
    )
    assert (names == wanted).mean() > 0.85
