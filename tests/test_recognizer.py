"""The recogniser: honest probabilities, a student's own networks, and the one that ships."""

import json

import numpy as np
import pytest
import shapes
import torch
from safetensors.torch import save_file

from lab_utils import (
    EMNISTLines,
    LineCNN,
    LineCNNSimple,
    LineRecognizer,
    prepare_line,
    sample_strokes,
)
from text_recognizer.data.emnist import EMNIST
from text_recognizer.errors import LabError
from text_recognizer.lit_models.base import BaseLitModel
from text_recognizer.mapping import MAPPING, SPECIAL_TOKENS, decode_labels
from text_recognizer.models import weights
from text_recognizer.models.cnn import CNN
from text_recognizer.models.ctc import greedy, greedy_path
from text_recognizer.paths import bundled
from text_recognizer.reading.character import mark_prepared
from text_recognizer.reading.recognizer import CHARACTER_WEIGHTS, LINE_WEIGHTS, Recognizer
from text_recognizer.reading.unread import UNREAD
from text_recognizer.training.run_experiment import main

SEVEN = [[(0, 0), (50, 0), (20, 90)]]


def network():
    torch.manual_seed(0)
    return CNN(EMNIST().config(), conv_dim=4, fc_dim=8)


@pytest.fixture
def reader():
    return Recognizer(network(), MAPPING)


# What it answers.


@pytest.mark.parametrize("top_k", [1, 5, 79])
def test_predict_gives_the_likeliest_characters_in_order(reader, top_k):
    answers = reader.predict(SEVEN, top_k)
    names, probabilities = zip(*answers, strict=True)
    assert len(set(names)) == top_k
    assert set(names) <= set(MAPPING) - set(SPECIAL_TOKENS)
    assert list(probabilities) == sorted(probabilities, reverse=True)
    assert all(type(p) is float and 0 < p < 1 for p in probabilities)
    assert sum(probabilities) == pytest.approx(1) if top_k == 79 else sum(probabilities) < 1


def test_five_answers_are_the_usual_number(reader):
    assert reader.predict(SEVEN) == reader.predict(SEVEN, 79)[:5]


def test_probabilities_are_those_of_the_logits_without_the_special_tokens(reader):
    images = torch.randint(0, 256, (3, 28, 28), dtype=torch.uint8)
    found = reader.probabilities(images)
    assert found.dtype == torch.float32
    assert found[:, :4].abs().max() == 0  # the special tokens come first
    with torch.no_grad():
        logits = reader.model.eval()(images[:, None] / 255)[:, 4:]
    torch.testing.assert_close(found[:, 4:], logits.softmax(1))


def test_special_tokens_are_never_the_answer_however_likely():
    model = network()
    with torch.no_grad():
        model.fc2.bias[:4] = 100
    answers = Recognizer(model, MAPPING).predict(SEVEN)
    assert not {name for name, _ in answers} & set(SPECIAL_TOKENS)
    assert answers[0][1] > 0.01


def test_temperature_changes_how_sure_it_is_and_not_the_order(reader):
    cold = Recognizer(reader.model, MAPPING, temperature=0.2).predict(SEVEN, 79)
    warm = Recognizer(reader.model, MAPPING, temperature=5).predict(SEVEN, 79)
    usual = reader.predict(SEVEN, 79)
    assert [name for name, _ in cold] == [name for name, _ in warm] == [name for name, _ in usual]
    assert cold[0][1] > usual[0][1] > warm[0][1] > 1 / 79


def test_expected_weighs_each_class_by_how_frequent_it_is(reader):
    expected = torch.rand(83)
    expected[10] = 0
    weighed = Recognizer(reader.model, MAPPING, expected=expected.tolist())
    images = torch.randint(0, 256, (3, 28, 28), dtype=torch.uint8)
    wanted = reader.probabilities(images) * expected
    torch.testing.assert_close(weighed.probabilities(images), wanted / wanted.sum(1, keepdim=True))
    assert MAPPING[10] not in [name for name, _ in weighed.predict(SEVEN, 78)]


def test_what_is_prepared_is_read_as_it_is(reader):
    odd = torch.full((28, 28), 100, dtype=torch.uint8)
    answers = reader.predict(mark_prepared(odd), 79)
    found = reader.probabilities(odd[None])[0].sort(descending=True).values[:79]
    assert [p for _, p in answers] == pytest.approx(found.tolist())


def test_fewer_characters_than_are_usual_are_all_answered():
    answers = Recognizer(CNN(EMNIST().config() | {"mapping": ["a", "b"]}), ["a", "b"]).predict(
        SEVEN
    )
    assert sorted(name for name, _ in answers) == ["a", "b"]


def test_a_network_that_was_being_trained_answers_without_dropout(reader):
    reader.model.train()
    first = reader.predict(SEVEN)
    reader.model.train()
    assert reader.predict(SEVEN) == first


# Mistakes.


@pytest.mark.parametrize("model", [None, 3, CNN, {"weight": torch.ones(1)}])
def test_a_model_that_is_no_network_is_one_error(model):
    with pytest.raises(LabError, match=r"^model=.* must be a network or the path of a checkpoint"):
        Recognizer(model, MAPPING)


@pytest.mark.parametrize("mapping", [None, [], (), torch.ones(2)])
def test_a_missing_mapping_is_one_error(mapping):
    with pytest.raises(LabError, match=r"^mapping=.* must be a list of names: give data.mapping"):
        Recognizer(network(), mapping)


@pytest.mark.parametrize("mapping", [MAPPING[:-1], [*MAPPING, "~"], list("0123456789")])
def test_a_mapping_of_another_length_is_one_error(mapping):
    with pytest.raises(LabError, match=rf"^mapping has {len(mapping)} entries, but .* \(1, 83\)"):
        Recognizer(network(), mapping).predict(SEVEN)


@pytest.mark.parametrize("temperature", [0, -1.0])
def test_a_temperature_that_is_not_positive_is_one_error(temperature):
    with pytest.raises(LabError, match=r"^temperature="):
        Recognizer(network(), MAPPING, temperature)


def test_expected_of_another_length_is_one_error():
    with pytest.raises(LabError, match=r"^expected"):
        Recognizer(network(), MAPPING, expected=[1.0] * 62)


@pytest.mark.parametrize("top_k", [0, -1, 80, 2.0, "5", None])
def test_a_bad_top_k_is_one_error(reader, top_k):
    with pytest.raises(LabError, match=f"^top_k={top_k!r} must be a whole number from 1 to 79"):
        reader.predict(SEVEN, top_k)


def test_an_image_without_ink_is_one_error(reader):
    with pytest.raises(LabError, match="shows no ink"):
        reader.predict(np.zeros((28, 28), np.uint8))


# A student's own checkpoint.


@pytest.mark.parametrize("as_text", [True, False])
def test_a_checkpoint_reads_as_the_network_that_was_trained(tmp_path, monkeypatch, as_text):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAB_FAST", "1")
    trained = []
    monkeypatch.setattr(BaseLitModel, "on_test_end", lambda self: trained.append(self.model))
    argv = ["--model_class=ResNet", "--width=4", "--data_class=EMNIST", "--source=sample"]
    main([*argv, "--max_epochs=1", "--gpus=0", "--enable_progress_bar=false"])
    (path,) = tmp_path.rglob("best.ckpt")
    own = Recognizer(str(path) if as_text else path)
    assert own.mapping == MAPPING
    images = torch.randint(0, 256, (5, 28, 28), dtype=torch.uint8)
    expected = Recognizer(trained[0], MAPPING).probabilities(images)
    assert torch.equal(own.probabilities(images), expected)
    assert not torch.allclose(expected[:, 4:], torch.full((5, 79), 1 / 79))


@pytest.mark.parametrize("content", [None, b"", b"a checkpoint", b"PK\x03\x04 and so on"])
def test_a_missing_or_damaged_checkpoint_is_one_error(tmp_path, content):
    path = tmp_path / "best.ckpt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LabError, match=r"best\.ckpt is not a checkpoint of run_experiment"):
        Recognizer(path)


# A line.


def line_network():
    torch.manual_seed(0)
    return LineCNN(EMNISTLines().config(), width=4, sequence_dim=16)


WORD = sample_strokes("Hello you")


def test_a_line_has_a_confidence_and_five_alternatives_for_each_character():
    reading = LineRecognizer(line_network()).predict_line(WORD)
    assert len(reading.text) == len(reading.confidences) == len(reading.alternatives) > 0
    for name, sure, others in zip(*reading, strict=True):
        names, probabilities = zip(*others, strict=True)
        assert (names[0], probabilities[0]) == (name, sure)
        assert len(set(names)) == 5
        assert not set(names) & set(SPECIAL_TOKENS)
        assert list(probabilities) == sorted(probabilities, reverse=True)
        assert all(type(p) is float and 0 < p < 1 for p in probabilities)


def test_a_line_reads_as_what_its_network_answers_greedily():
    model = line_network().eval()
    with torch.no_grad():
        logits = model(prepare_line(WORD)[None, None].float() / 255)[0]
    reading = LineRecognizer(model).predict_line(WORD)
    labels, steps = greedy_path(logits)
    assert reading.text == greedy(logits) == decode_labels(labels)
    sure = logits[4:, steps].softmax(0).amax(0)
    assert reading.confidences == pytest.approx(sure.tolist(), abs=1e-6)


def test_temperature_changes_how_sure_a_line_is_and_not_its_text():
    model = line_network()
    cold, usual, warm = (LineRecognizer(model, t).predict_line(WORD) for t in (0.3, 1, 5))
    assert cold.text == usual.text == warm.text
    assert np.mean(cold.confidences) > np.mean(usual.confidences) > np.mean(warm.confidences)


def test_a_network_for_lines_that_was_being_trained_answers_the_same_each_time():
    reader = LineRecognizer(line_network())
    first = reader.predict_line(WORD)
    reader.model.train()
    assert reader.predict_line(WORD) == first


def test_a_line_in_which_the_network_sees_nothing_is_all_marks():
    model = line_network()
    with torch.no_grad():
        model.fc.bias.view(len(MAPPING), -1)[0] = 1000  # blank
    reading = LineRecognizer(model).predict_line(WORD)
    assert set(reading.text) == {UNREAD} and reading.confidences == [1.0] * len(reading.text)


@pytest.mark.parametrize("model", [None, network()])
def test_a_network_for_characters_reads_no_lines(model):
    with pytest.raises(LabError, match=r"^model=\w+ does not read lines: give a LineCNN, "):
        LineRecognizer(model)


def test_windows_read_a_line_too_even_one_narrower_than_a_window():
    reader = LineRecognizer(LineCNNSimple(EMNISTLines().config() | {"input_dims": (1, 28, 896)}))
    assert len(reader.predict_line(WORD).text) <= 32
    narrow = torch.zeros(28, 12, dtype=torch.uint8)
    narrow[8:20, 5:7] = 255
    assert len(reader.predict_line(narrow).text) <= 1


# The network that ships.


def templates(character):
    """Return each way to write a character: strokes whose pen ran smoothly between corners."""
    unique = {json.dumps(each): each for each in shapes.read_templates()[character]}.values()
    return [[smooth(stroke) for stroke in template] for template in unique]


def smooth(stroke):
    points = np.array([point[:2] for point in stroke], float)
    return shapes.trace(stroke, points, steps=8).tolist()


def share_read(characters):
    """Return the share of their templates whose first answer is right, be it capital or small."""
    reader = Recognizer.pretrained()
    answers = [
        reader.predict(strokes, top_k=1)[0][0].lower() == character.lower()
        for character in characters
        for strokes in templates(character)
    ]
    return sum(answers) / len(answers)


def test_the_shipped_network_reads_strokes_of_digits():
    assert share_read("0123456789") >= 0.8


@pytest.mark.parametrize("character", "23AHRx")
def test_the_shipped_network_reads_strokes_of_a_character(character):
    assert share_read(character) >= 0.75


def test_the_shipped_network_reads_the_sample_s_test_images():
    data = EMNIST(source="sample")
    data.setup()
    images, labels = data.data_test.images[::8], data.data_test.labels[::8]
    answers = Recognizer.pretrained().probabilities(images).argmax(1)
    assert (answers == labels).float().mean() > 0.6


def test_the_shipped_network_answers_with_the_62_characters_and_sound_probabilities():
    answers = Recognizer.pretrained().predict(SEVEN, top_k=62)
    assert answers[0][0] == "7"
    assert sum(p for _, p in answers) == pytest.approx(1, abs=0.05)
    assert all(name.isalnum() for name, _ in answers[:10])


def test_the_shipped_network_can_take_all_62_characters_as_equally_frequent():
    reader = Recognizer.pretrained(equal_classes=True)
    names, probabilities = zip(*reader.predict(SEVEN, top_k=62), strict=True)
    assert names[0] == "7"
    assert sorted(names) == MAPPING[4:66]
    assert sum(probabilities) == pytest.approx(1)


def test_the_shipped_weights_are_small():
    assert bundled(CHARACTER_WEIGHTS).stat().st_size < 3_000_000
    assert bundled(LINE_WEIGHTS).stat().st_size < 8_000_000


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    return content


WEIGHT_FILES = {
    "missing": lambda path: None,
    "empty": lambda path: path.touch(),
    "text": lambda path: path.write_text("weights, once"),
    "one bit changed": lambda path: path.write_bytes(flip_a_bit(bundled(CHARACTER_WEIGHTS))),
    "truncated": lambda path: path.write_bytes(bundled(CHARACTER_WEIGHTS).read_bytes()[:50_000]),
    "not described": lambda path: save_file({"weight": torch.ones(1)}, path),
    "of something else": lambda path: save_file(
        {"weight": torch.ones(1)}, path, {"model_class": '"CNN"'}
    ),
}


@pytest.mark.parametrize("kind", WEIGHT_FILES)
def test_damaged_weights_are_one_error_that_names_the_file(tmp_path, monkeypatch, kind):
    path = tmp_path / "weights.safetensors"
    WEIGHT_FILES[kind](path)
    monkeypatch.setattr(weights, "bundled", lambda name: path)
    with pytest.raises(LabError, match=r"weights\.safetensors is missing or damaged"):
        Recognizer.pretrained()
