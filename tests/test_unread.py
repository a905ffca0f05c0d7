"""Ink that got no character shows in what is read, and characters that are none are known."""

import json
import subprocess

import numpy as np
import pytest
import torch

from lab_utils import Recognizer, prepare, sample_strokes
from text_recognizer.canvas.script import STATIC, list_constants
from text_recognizer.mapping import BLANK, FIRST_CHARACTER, MAPPING, SPACE
from text_recognizer.models.line_cnn import LineCNN
from text_recognizer.reading.recognizer import LineRecognizer
from text_recognizer.reading.unread import UNREAD, find_unread

A, B = MAPPING.index("a"), MAPPING.index("b")


class Blanks(LineCNN):
    """Reads an a at the left, and nothing else."""

    def forward(self, x):
        logits = torch.zeros(1, len(MAPPING), x.shape[-1] // 2)
        logits[:, BLANK] = 9.0
        logits[:, A, 4:6] = 20.0
        logits[:, B, 12:20] = 8.0
        return logits


def line(*runs):
    image = torch.zeros(28, 60)
    for start, end in runs:
        image[8:20, start:end] = 1.0
    return image


def find(image, steps, labels=None):
    logits = torch.zeros(len(MAPPING), 30)
    logits[B] = 3.0
    return find_unread(image, logits, labels or [A] * len(steps), steps, 5)


def test_ink_as_wide_as_a_letter_that_got_no_character_is_found():
    image = line((5, 14), (20, 29), (40, 43), (47, 56))
    found = find(image, [4, 25])
    assert [place for place, _ in found] == [1], "the third is narrow, the fourth was read"
    (_, likely), *_ = found
    assert likely[0][0] == UNREAD and likely[1][0] == "b" and len(likely) == 5
    assert sum(p for _, p in likely) <= 1


def test_a_space_reads_no_ink_and_the_last_comes_first():
    image = line((5, 14), (20, 29), (40, 49))
    assert [place for place, _ in find(image, [5, 12], [A, SPACE])] == [2, 1]
    assert not find(image, [5, 12, 22])


def test_a_shared_page_finds_the_same(tmp_path):
    image, steps = line((5, 14), (20, 29), (40, 43), (45, 54)), [4, 20]
    logits = torch.zeros(len(MAPPING), 30)
    logits[B], logits[A, 10:16] = 3.0, 2.0
    for name in ("unread", "pen", "pillow"):
        script = (STATIC / f"{name}.js").read_text(encoding="utf-8").replace(".js", ".mjs")
        (tmp_path / f"{name}.mjs").write_text(script, encoding="utf-8")
    picture = {"width": 60, "data": (image * 255).int().flatten().tolist()}
    places = [{"label": A, "step": step} for step in steps]
    given = ", ".join(map(json.dumps, (picture, logits.T.tolist(), places, FIRST_CHARACTER)))
    (tmp_path / "run.mjs").write_text(
        'import { setConstants } from "./pen.mjs";\nimport { findUnread } from "./unread.mjs";\n'
        f"setConstants({json.dumps(list_constants('line'))});\n"
        f"console.log(JSON.stringify(findUnread({given})));"
    )
    answer = subprocess.run(["node", "run.mjs"], cwd=tmp_path, capture_output=True, check=True)
    found, expected = json.loads(answer.stdout), find_unread(image, logits, [A, A], steps, 5)
    assert len(found) == len(expected) == 2
    for mine, (place, likely) in zip(found, expected, strict=True):
        assert mine["place"] == place
        named = dict(zip([UNREAD, *MAPPING[4:]], [mine["blank"], *mine["chances"]], strict=True))
        assert [named[name] for name, _ in likely] == pytest.approx([p for _, p in likely])


def test_the_mark_stands_in_the_text_with_what_it_may_be():
    network = Blanks({"input_dims": (1, 28, 224), "mapping": MAPPING}, width=4, sequence_dim=8)
    image = (line((5, 14), (24, 40)) * 255).to(torch.uint8)
    reading = LineRecognizer(network).predict_line(image)
    assert reading.text == f"a{UNREAD}"
    assert reading.alternatives[1][0] == (UNREAD, reading.confidences[1])
    assert reading.alternatives[1][1][0] == "b"


@pytest.fixture(scope="module")
def reader():
    return Recognizer.pretrained(equal_classes=True)


def test_characters_are_known(reader):
    known = [
        reader.is_known(prepare(sample_strokes(c, v))) for c in MAPPING[4:66] for v in range(2)
    ]
    assert np.mean(known) >= 0.97


def test_doodles_are_no_characters(reader):
    turns = np.linspace(0.5, 18, 120)
    spiral = np.stack([turns * np.cos(turns), turns * np.sin(turns)], 1)
    house = [[(0, 0), (0, 80), (90, 80), (90, 0)], [(-10, 0), (45, -40), (100, 0)]]
    two = [[p[:2] for p in s] for s in sample_strokes("kg")]
    for doodle in ([spiral.tolist()], house, two):
        assert not reader.is_known(prepare(doodle))


def test_a_network_that_has_not_learned_it_refuses_nothing(reader):
    other = Recognizer(reader.model, reader.mapping)
    assert other.refuses is None and other.is_known(torch.zeros(28, 28, dtype=torch.uint8))
