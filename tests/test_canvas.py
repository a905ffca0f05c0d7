"""The canvas without a browser: its messages, what it reads and keeps, and what goes wrong."""

import base64
import io
import json
import math
import re
import subprocess
from collections import deque

import numpy as np
import pytest
import torch
from PIL import Image

from lab_utils import (
    CNN,
    EMNISTLines,
    HandwritingCanvas,
    LineCNN,
    LineCNNSimple,
    LineRecognizer,
    MyHandwriting,
    Recognizer,
    prepare,
    sample_strokes,
)
from text_recognizer import strokes as strokes_module
from text_recognizer.canvas.script import MAX_INK, STATIC, join_modules, read_static
from text_recognizer.data.emnist import EMNIST
from text_recognizer.data.my_handwriting import remove_drawing
from text_recognizer.errors import LabError
from text_recognizer.mapping import MAPPING
from text_recognizer.reading.character import mark_prepared
from text_recognizer.reading.unread import UNREAD
from text_recognizer.strokes import BASE_LINE, X_LINE, Stroke, encode

DOT = Stroke([(100, 100)])
TICK = Stroke([(10, 10), (20, 30, 40)], "pen")


class Counting:
    """A recogniser that answers with how often it was asked."""

    def __init__(self):
        self.images = []

    def predict(self, image):
        self.images.append(image)
        return [(str(len(self.images)), 0.9), ("x", 0.1)]


class Lines:
    def __init__(self):
        self.asked = []

    def predict_line(self, strokes, guides=None):
        self.asked.append((strokes, guides))
        alternatives = [[("l", 0.5), ("1", 0.3)], [("o", 0.9), ("0", 0.1)]]
        return "lo", [0.5, 0.9], alternatives


@pytest.fixture
def reader():
    return Counting()


@pytest.fixture
def canvas(reader, tmp_path):
    return HandwritingCanvas(reader, keep_in=tmp_path / "own.h5")


@pytest.fixture
def line():
    return HandwritingCanvas(Lines(), mode="line")


@pytest.fixture
def sent(canvas, monkeypatch):
    """Return the messages to the browser, from now on."""
    messages = []
    monkeypatch.setattr(
        canvas.comm, "send", lambda data=None, **rest: messages.append(json.loads(json.dumps(data)))
    )
    return messages


def send_state(canvas, **state):
    canvas._handle_msg({"content": {"data": {"method": "update", "state": state}}})


def send_message(canvas, **content):
    data = {"method": "custom", "content": content}
    canvas._handle_msg({"content": {"data": data}, "buffers": []})


def find_updates(messages):
    return [message["state"] for message in messages if message["method"] == "update"]


# Reading.


def test_what_is_drawn_is_read_at_once():
    canvas = HandwritingCanvas()
    canvas.draw(sample_strokes("R"))
    assert canvas.result["text"] == "R"
    reader = Recognizer.pretrained(equal_classes=True)
    answers = reader.predict(canvas.strokes)
    assert [tuple(answer) for answer in canvas.result["answers"]] == answers


def read_pixels(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,"))))


@pytest.mark.parametrize(
    ("drawn", "is_known"),
    [
        (list(sample_strokes("R")), True),
        ([[(100, 100)]], False),  # a tap
        ([[(100, 100), (103, 104), (101, 99)]], False),
        ([[(60, 60 + 10 * i) for i in range(9)]], True),
        (
            [
                *sample_strokes("k"),
                *([(x + 60, y, *r) for x, y, *r in s] for s in sample_strokes("g")),
            ],
            False,
        ),
    ],
    ids=["R", "dot", "dots", "bar", "two letters"],
)
def test_what_is_no_character_is_said(drawn, is_known):
    canvas = HandwritingCanvas(strokes=drawn)
    assert canvas.result.get("unknown", False) == (not is_known)
    assert canvas.result["text"], "what it looks like most is there all the same"
    canvas.recognizer = Recognizer(canvas.recognizer.model, canvas.recognizer.mapping)
    assert "unknown" not in canvas.result, "a network that has not learned it"


def test_it_shows_what_the_network_sees_and_the_nearest_images_of_the_class():
    canvas = HandwritingCanvas()
    canvas.draw(sample_strokes("a"))
    seen = prepare(sample_strokes("a"))
    assert list(read_pixels(canvas.result["seen"]).tobytes()) == seen.flatten().tolist()
    data = EMNIST(source="sample", balance=False)
    data.setup()
    of_class = data.data_test.images[data.data_test.labels == MAPPING.index("a")]
    distance = (of_class.float() - seen).square().sum((1, 2))
    nearest = of_class[distance.argsort()[:5]]
    found = read_pixels(canvas.result["nearest"])
    assert found.size == (140, 28)
    assert found.tobytes() == torch.cat(list(nearest), 1).numpy().tobytes()


def test_only_some_characters_are_considered():
    answers = [("O", 0.5), ("o", 0.2), ("0", 0.2), ("8", 0.05)]
    canvas = HandwritingCanvas(lambda image: answers, strokes=[DOT], among="0123456789")
    assert canvas.result["answers"] == [["0", pytest.approx(0.8)], ["8", pytest.approx(0.2)]]
    canvas.among = "x"
    assert "none of among='x'" in canvas.result["error"]
    reader = Recognizer.pretrained(equal_classes=True)
    canvas = HandwritingCanvas(reader, among="0123456789", strokes=sample_strokes("O"))
    assert canvas.result["text"] == "0"
    canvas.among = "é"
    assert canvas.result["error"].startswith("among='é' has 'é'")


def test_a_preparation_of_one_s_own_is_what_the_network_gets(reader):
    black = torch.zeros(28, 28, dtype=torch.uint8)
    canvas = HandwritingCanvas(reader, prepare=lambda strokes: black + len(strokes))
    canvas.draw([DOT, TICK])
    assert torch.equal(reader.images[-1], black + 2)
    assert set(read_pixels(canvas.result["seen"]).tobytes()) == {2}


def test_a_function_and_a_checkpoint_read_too(tmp_path):
    canvas = HandwritingCanvas(lambda image: [("é", 1)], strokes=[DOT])
    assert canvas.result["answers"] == [["é", 1.0]]
    torch.manual_seed(0)
    settings = {"model_class": "CNN", "model_arguments": {"conv_dim": 2, "fc_dim": 4}}
    config = EMNIST().config()
    model = CNN(config, conv_dim=2, fc_dim=4)
    weights = {f"model.{name}": value for name, value in model.state_dict().items()}
    path = tmp_path / "best.ckpt"
    torch.save({"hyper_parameters": settings | config, "state_dict": weights}, path)
    canvas.recognizer = path
    expected = Recognizer(model, MAPPING).predict([DOT])
    assert [tuple(answer) for answer in canvas.result["answers"]] == expected


def test_another_model_reads_the_ink_that_is_there():
    canvas = HandwritingCanvas(
        {"one": lambda image: [("1", 1.0)], "two": lambda image: [("2", 1.0)]}, strokes=[DOT]
    )
    assert (canvas.models, canvas.model, canvas.result["text"]) == (["one", "two"], "one", "1")
    canvas.model = "two"
    assert canvas.result == canvas.result | {"text": "2", "number": 1}
    canvas.recognizer = {"two": lambda image: [("zwei", 1.0)]}
    assert (canvas.model, canvas.result["text"]) == ("two", "zwei")
    canvas.recognizer = lambda image: [("3", 1.0)]
    assert (canvas.models, canvas.result["text"]) == (["model"], "3")


def test_a_line_is_read_between_its_guide_lines_or_without(line):
    line.draw([DOT, TICK])
    strokes, guides = line.recognizer.asked[-1]
    assert strokes == [DOT, TICK]
    assert guides == (X_LINE, BASE_LINE)
    assert line.result["text"] == "lo"
    assert line.result["alternatives"][0] == [["l", 0.5], ["1", 0.3]]
    line.guides = False
    assert line.recognizer.asked[-1][1] is None
    assert (line.width, HandwritingCanvas(Counting()).width) == (880, 220)


def test_english_has_a_say_unless_it_is_switched_off():
    reader = LineRecognizer.pretrained()
    canvas = HandwritingCanvas(reader, mode="line")
    canvas.draw(sample_strokes("Hello you"))
    for is_on in (True, False):
        canvas.language_model = is_on
        expected = reader.predict_line(canvas.strokes, (X_LINE, BASE_LINE), language_model=is_on)
        assert canvas.result["text"] == expected.text
        assert canvas.result["confidences"] == expected.confidences


def test_a_model_that_knows_no_language_model_is_read_without_it_and_has_no_switch(line):
    line.draw([[(10, 10), (20, 30)]])
    assert line.language_model and line.result["text"] == "lo"

    config = EMNISTLines().config()
    windows, knowing = LineRecognizer(LineCNNSimple(config)), LineRecognizer(LineCNN(config))
    line.recognizer = {"windows": windows, "knowing": knowing, "own": Lines()}
    assert line._english == ["knowing"]


@pytest.mark.parametrize("guides", [True, False])
def test_the_line_recogniser_of_the_lab_reads_the_canvas(guides):
    torch.manual_seed(0)
    reader = LineRecognizer(LineCNN(EMNISTLines().config()))
    canvas = HandwritingCanvas(reader, mode="line", guides=guides)
    canvas.draw(sample_strokes("hi"))
    lines = (X_LINE, BASE_LINE) if guides else None
    expected = reader.predict_line(canvas.strokes, lines, language_model=True)
    assert canvas.result["text"] == expected.text
    assert canvas.result["confidences"] == expected.confidences
    assert [a[0][0] for a in canvas.result["alternatives"]] == list(expected.text)


def test_a_chosen_alternative_stays_while_the_line_grows(line):
    line.draw([DOT])
    line.choose(0, "1")
    assert (line.result["text"], line.result["confidences"]) == ("1o", [1.0, 0.9])
    line.draw([TICK])
    assert line.result["text"] == "1o"
    line.clear()
    line.draw([TICK])
    assert line.result["text"] == "lo"
    for index, character in ((0, "x"), (5, "l"), (-1, "o")):
        with pytest.raises(LabError, match="There is no alternative"):
            line.choose(index, character)


def test_ink_that_was_not_read_can_be_chosen_what_it_is():
    reading = f"{UNREAD}o", [0.9, 0.9], [[(UNREAD, 0.9), ("l", 0.1)], [("o", 0.9)]]
    canvas = HandwritingCanvas(lambda strokes, guides: reading, mode="line", strokes=[DOT])
    assert canvas.result["text"] == "□o" and canvas._constants["unread"] == "□"
    canvas.choose(0, "l")
    assert (canvas.result["text"], canvas.result["confidences"][0]) == ("lo", 1.0)


# What a hand can do, from Python.


def test_clear_takes_all_strokes_away(canvas):
    canvas.draw([DOT, TICK])
    canvas.clear()
    assert (canvas.strokes, canvas.result) == ([], {"number": 2})


def test_with_nothing_to_clear_nothing_happens(canvas, reader):
    canvas.clear()
    assert (canvas.strokes, canvas.number, reader.images) == ([], 0, [])


def test_commit_takes_the_character_over(canvas):
    canvas.draw([DOT])
    canvas.commit()
    canvas.draw([TICK])
    canvas.commit()
    assert (canvas.text, canvas.strokes) == ("12", [])


def test_a_line_that_is_taken_over_ends(line):
    line.draw([DOT])
    line.commit()
    assert line.text == "lo\n"


def test_strokes_can_be_set_in_any_form_that_can_be_prepared(canvas):
    canvas.strokes = [[(1, 2), (3, 4)], torch.tensor([[5.0, 6.0]])]
    assert canvas.strokes == [((1, 2, 0, 0.5), (3, 4, 0, 0.5)), ((5, 6, 0, 0.5),)]
    assert canvas.result["text"] == "1"


def test_strokes_that_are_made_on_the_way_are_drawn(canvas):
    canvas.draw(stroke for stroke in [DOT, TICK])
    assert canvas.strokes == [DOT, TICK]


def test_what_lies_far_off_has_a_picture(canvas):
    canvas.strokes = [[(1.3e8, -1.3e8), (-1.3e8, 1.3e8)]]
    assert canvas._repr_mimebundle_()[0]["image/png"]


def test_a_drawing_that_is_too_large_is_fitted(canvas):
    canvas.draw([[(0, 0), (5000, 9000)]])
    assert all(0 <= value <= 220 for point in canvas.strokes[0] for value in point[:2])


# Messages.


def test_a_stroke_from_the_browser_is_read_and_answered_in_one_message(canvas, sent):
    send_state(canvas, strokes=[encode(TICK)], number=1)
    assert canvas.strokes == [TICK]
    assert canvas.strokes[0].pointer == "pen"
    (answer,) = find_updates(sent)
    assert (answer["result"]["number"], answer["result"]["text"]) == (1, "1")
    assert "strokes" not in answer  # the browser has them


def test_what_python_draws_reaches_the_browser_in_one_message_with_its_number(canvas, sent):
    canvas.draw([DOT, TICK])
    (message,) = find_updates(sent)
    assert message["strokes"] == [encode(DOT), encode(TICK)]
    assert message["number"] == message["result"]["number"] == 1
    canvas.strokes = [DOT]
    assert find_updates(sent)[-1]["number"] == find_updates(sent)[-1]["result"]["number"] == 2


def test_numbers_never_repeat_whoever_changes_the_strokes(canvas):
    numbers = [canvas.number]
    canvas.draw([DOT])
    numbers.append(canvas.number)
    send_state(canvas, strokes=[encode(DOT), encode(TICK)], number=canvas.number + 1)
    numbers.append(canvas.number)
    for act in (canvas.clear, lambda: canvas.draw([DOT]), canvas.commit):
        act()
        numbers.append(canvas.number)
        assert canvas.result["number"] == canvas.number
    assert numbers == list(range(6))


def test_what_the_browser_asks_for_of_older_strokes_is_not_done(canvas, sent):
    canvas.draw([DOT])
    canvas.draw([TICK])
    sent.clear()
    for content in ({"do": "commit"}, {"do": "live", "stroke": encode(DOT)}):
        send_message(canvas, number=1, **content)
    assert (canvas.strokes, canvas.text, sent) == ([DOT, TICK], "", [])


def test_a_stroke_under_the_pen_is_read_but_not_kept(canvas, sent, reader):
    canvas.draw([DOT])
    sent.clear()
    send_message(canvas, do="live", stroke=encode(TICK), number=1)
    (message,) = sent
    assert message["content"]["live"] == message["content"]["live"] | {"number": 1, "text": "2"}
    assert torch.equal(reader.images[-1], prepare([DOT, TICK]))
    assert (canvas.strokes, canvas.result["text"]) == ([DOT], "1")


def test_the_browser_can_take_over_choose_and_insert_samples(line):
    send_message(line, do="sample", text="hi", number=0)
    assert line.strokes == sample_strokes("hi")
    send_message(line, do="choose", index=1, character="0", number=1)
    assert line.result["text"] == "l0"
    send_message(line, do="commit", number=1)
    assert line.text == "l0\n"
    send_message(line, do="sample", text="é", number=line.number)
    assert "no sample of 'é'" in line.status


# Collecting.


def test_a_corrected_drawing_is_saved_with_its_label(canvas):
    canvas.draw(sample_strokes("q"))
    send_message(canvas, do="commit", label="q", number=1)
    assert canvas.status == "Saved as q (read as 1): 1 in own.h5."
    assert (canvas.text, canvas.strokes) == ("q", [])
    data = MyHandwriting(canvas.keep_in)
    data.setup()
    assert data.strokes == [sample_strokes("q")]
    assert torch.equal(data.images[0], prepare(sample_strokes("q")))
    assert MAPPING[data.labels[0]] == "q"


def count_saved(canvas):
    data = MyHandwriting(canvas.keep_in)
    data.setup()
    return [MAPPING[label] for label in data.labels]


def take_back(canvas):
    send_message(canvas, do="take back", number=canvas.number)


def test_what_was_saved_can_be_taken_back(canvas):
    canvas.ask = "a7"
    for character in "a7":
        canvas.draw(sample_strokes(character))
        canvas.commit()
    assert count_saved(canvas) == ["a", "7"]
    take_back(canvas)
    assert count_saved(canvas) == ["a"]
    assert canvas.status == "Taken back: 1 in own.h5."
    assert (canvas.strokes, canvas.text, canvas.ask) == (sample_strokes("7"), "a", "7")
    canvas.commit("1")
    assert count_saved(canvas) == ["a", "1"]


def test_a_canvas_takes_back_its_own_drawing_and_no_other(canvas):
    canvas.draw(sample_strokes("a"))
    canvas.commit("a")
    other = HandwritingCanvas(Counting(), keep_in=canvas.keep_in, strokes=sample_strokes("b"))
    other.commit("b")
    take_back(canvas)
    assert count_saved(canvas) == ["b"]
    remove_drawing(canvas.keep_in, sample_strokes("b"))
    take_back(other)  # it is gone already
    assert other.strokes == sample_strokes("b")
    assert not canvas.keep_in.exists()


def test_only_what_was_saved_last_is_taken_back(canvas):
    canvas.draw(sample_strokes("a"))
    canvas.commit("a")
    take_back(canvas)
    assert (canvas.strokes, canvas.keep_in.exists()) == (sample_strokes("a"), False)
    canvas.clear()
    take_back(canvas)
    assert canvas.strokes == []


def test_what_cannot_be_taken_back_is_one_sentence(canvas):
    canvas.draw([DOT])
    canvas.commit("a")
    canvas.keep_in.write_bytes(b"damaged")
    take_back(canvas)
    assert "own.h5 is damaged" in canvas.status
    assert canvas.strokes == []


def test_characters_that_are_asked_for_are_saved_one_after_the_other(canvas):
    canvas.ask = "a7"
    for character in "a7R":
        canvas.draw(sample_strokes(character))
        canvas.commit()
    assert canvas.ask == ""
    data = MyHandwriting(canvas.keep_in)
    data.setup()
    assert [MAPPING[label] for label in data.labels] == ["a", "7"]
    assert canvas.text == "a73"


def test_what_cannot_be_saved_stays_on_the_canvas(canvas, line):
    canvas.draw([DOT])
    send_message(canvas, do="commit", label="é", number=1)
    assert "'é' is not one of the 62 characters" in canvas.status
    canvas.keep_in.write_bytes(b"damaged")
    send_message(canvas, do="commit", label="i", number=1)
    assert "own.h5 is damaged" in canvas.status
    assert canvas.strokes == [DOT]
    line.draw([DOT])
    with pytest.raises(LabError, match="Only single characters"):
        line.commit("a")


def test_nothing_can_be_taken_over_before_it_is_drawn(canvas):
    with pytest.raises(LabError, match="Nothing is drawn"):
        canvas.commit("a")


# What goes wrong.


def test_a_model_that_raises_shows_its_message_and_the_canvas_lives_on(canvas):
    def broken(image):
        raise RuntimeError("out of ideas")

    canvas.recognizer = broken
    canvas.draw([DOT])
    assert canvas.result == {"number": 1, "error": "RuntimeError: out of ideas"}
    canvas.recognizer = lambda image: [("i", 1.0)]
    assert canvas.result["text"] == "i"


def test_a_preparation_that_raises_or_leaves_no_ink_shows_its_message():
    blank = torch.zeros(28, 28, dtype=torch.uint8)
    canvas = HandwritingCanvas(prepare=lambda strokes: blank, strokes=[DOT])
    assert "shows no ink" in canvas.result["error"]
    canvas = HandwritingCanvas(prepare=lambda strokes: 1 / 0, strokes=[DOT])
    assert canvas.result["error"] == "ZeroDivisionError: division by zero"
    with pytest.raises(LabError, match="prepare= failed: ZeroDivisionError"):
        canvas.commit("a")
    assert not canvas.keep_in.exists()


def test_what_is_shown_is_what_the_network_gets():
    turned = lambda strokes: 255 - prepare(strokes)  # noqa: E731
    canvas = HandwritingCanvas(prepare=turned, strokes=sample_strokes("R"))
    seen = torch.frombuffer(
        bytearray(read_pixels(canvas.result["seen"]).tobytes()), dtype=torch.uint8
    )
    reader = Recognizer.pretrained(equal_classes=True)
    expected = reader.predict(mark_prepared(seen.reshape(28, 28)))
    assert [tuple(answer) for answer in canvas.result["answers"]] == expected
    assert torch.equal(seen.reshape(28, 28), turned(canvas.strokes))


GREY = prepare([[(0, 0), (10, 30), (20, 0)]])


@pytest.mark.parametrize(
    "form",
    [
        lambda image: image,
        lambda image: image.numpy(),
        lambda image: image[None],
        lambda image: image.float() / 255,
        lambda image: image.double()[None] / 255,
        lambda image: image.numpy().astype(np.float64) / 255,
    ],
)
def test_an_image_may_be_uint8_or_from_0_to_1_and_is_kept_right(form, data_folder):
    reader = Counting()
    canvas = HandwritingCanvas(reader, prepare=lambda strokes: form(GREY), strokes=[DOT])
    assert torch.equal(reader.images[-1], GREY)
    canvas.commit("V")
    data = MyHandwriting()
    data.setup()
    assert torch.equal(data.images[-1], GREY)


@pytest.mark.parametrize(
    "image",
    [
        None,
        3,
        "image",
        [[0] * 28] * 28,
        GREY.float(),
        GREY.long(),
        GREY[:27],
        GREY[None, None],
        GREY.float() / 255 - 0.1,
        torch.full((28, 28), torch.nan),
        torch.full((28, 28), torch.inf),
        np.full((28, 28), "a"),
    ],
    ids=lambda image: type(image).__name__,
)
def test_any_other_image_is_one_sentence_and_nothing_is_saved(image, data_folder):
    reader = Counting()
    canvas = HandwritingCanvas(reader, prepare=lambda strokes: image, strokes=[DOT])
    assert re.fullmatch(r"prepare= returned .*: it must return an image.*", canvas.result["error"])
    assert not reader.images
    with pytest.raises(LabError, match="prepare= returned"):
        canvas.commit("V")
    assert not canvas.keep_in.exists()
    assert canvas._repr_mimebundle_()[0]["image/png"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1, 7.5])
def test_logits_are_not_probabilities(value):
    canvas = HandwritingCanvas(lambda image: [("a", value), ("b", 0.1)], strokes=[DOT])
    assert "give logits to softmax first" in canvas.result["error"]
    answer = ("a", [value], [[("a", 0.5)]])
    canvas = HandwritingCanvas(lambda s, guides: answer, mode="line", strokes=[DOT])
    assert "probabilities, as softmax gives them" in canvas.result["error"]
    assert canvas._repr_mimebundle_()[0]["image/png"]


def test_probabilities_sum_to_no_more_than_1():
    canvas = HandwritingCanvas(lambda image: [("a", 0.9), ("b", 0.8)], strokes=[DOT])
    assert "probabilities that sum to 1 at most" in canvas.result["error"]


@pytest.mark.parametrize(
    "answer",
    [
        *(None, "a", [], 3, ["a"], [("a",)], [("a", "b")], {"a": 1}),
        *([(None, 1.0)], [("\ud800", 1.0)], [("a" * 100, 1.0)], torch.ones(83, 2)),
    ],
    ids=lambda answer: f"{answer!r:.20}".encode("ascii", "replace").decode(),
)
def test_an_answer_of_another_form_is_one_error(answer):
    canvas = HandwritingCanvas(lambda image: answer, strokes=[DOT])
    assert "not a list of (character, probability)" in canvas.result["error"]


@pytest.mark.parametrize(
    "answer",
    [
        *(None, "ab", ("ab", [1.0], []), ("a", [1.0], [3]), ("a", ["x"], [[("a", 1.0)]])),
        *((None, [], []), (5, [], []), ("\ud800", [1.0], [[("a", 1.0)]])),
    ],
)
def test_a_reading_of_another_form_is_one_error(answer):
    canvas = HandwritingCanvas(lambda strokes, guides: answer, mode="line", strokes=[DOT])
    assert "not a text of at most 1,000 characters with a conf" in canvas.result["error"]


def test_a_line_has_its_limit():
    answer = "a" * 1001, [1.0] * 1001, [[("a", 1.0)]] * 1001
    canvas = HandwritingCanvas(lambda strokes, guides: answer, mode="line", strokes=[DOT])
    assert "not a text of at most 1,000 characters" in canvas.result["error"]
    answer = tuple(part[:1000] for part in answer)
    canvas.draw([DOT])
    assert canvas.result["text"] == "a" * 1000
    assert canvas._repr_mimebundle_()[0]["image/png"]


BAD = {
    "a network": ({"recognizer": torch.nn.Flatten()}, r"^recognizer=Flatten cannot read"),
    "no reader": ({"recognizer": 3}, r"^recognizer=int cannot read in 'character' mode"),
    "no line reader": ({"recognizer": Counting(), "mode": "line"}, "a method predict_line"),
    "no checkpoint": ({"recognizer": "missing.ckpt"}, r"^missing\.ckpt is not a checkpoint"),
    "none of them": ({"recognizer": {}}, "^recognizer is empty"),
    "mode": ({"mode": "word"}, r"^mode='word' must be one of character, line"),
    "pause": ({"recognizer": Counting(), "pause": "long"}, "pause"),
    "negative pause": ({"recognizer": Counting(), "pause": -1.0}, "pause"),
    "misspelt": ({"recognizer": Counting(), "pauze": 1.0}, r"^pauze is not an argument: .* pause"),
    "strokes": ({"recognizer": Counting(), "strokes": [3]}, "^strokes must be a list of strokes"),
    "model": ({"recognizer": {"a": Counting()}, "model": "b"}, "^model='b'"),
    "no model": ({"recognizer": Counting(), "model": 5}, "model"),
    "no preparation": ({"prepare": None}, "^prepare=None must be a function"),
    "endless pause": ({"recognizer": Counting(), "pause": math.inf}, "^pause=inf must be from 0"),
    "no pause": ({"recognizer": Counting(), "pause": math.nan}, "^pause=nan must be from 0"),
    "ours": ({"recognizer": Counting(), "models": ["a"]}, "^models is not an argument"),
    "private": ({"recognizer": Counting(), "_saved": [3]}, "^_saved is not an argument"),
    "a number for strokes": ({"recognizer": Counting(), "strokes": np.float64(3)}, "^strokes must"),
    "far away": ({"recognizer": Counting(), "strokes": [[(1e9, 0)]]}, "number of a point is too"),
    "no file": ({"keep_in": 5}, "^5 is not the path of a file"),
    "a folder": ({"keep_in": "."}, r"^\. is a folder: give the path of a file"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_argument_is_one_error(kind):
    arguments, message = BAD[kind]
    with pytest.raises(LabError, match=message):
        HandwritingCanvas(**arguments)


def test_bad_strokes_are_one_error_and_leave_the_ink_alone(canvas):
    canvas.draw([DOT])
    for act in (lambda: canvas.draw([3]), lambda: setattr(canvas, "strokes", [3])):
        with pytest.raises(LabError, match="must be a list of strokes"):
            act()
    assert canvas.strokes == [DOT]


# State, and where there is no browser.


def dump_state(canvas):
    return json.dumps(canvas.get_state())


def test_stored_state_stays_small_however_much_is_drawn():
    canvas = HandwritingCanvas(lambda image: [("x", 1.0)], prepare=lambda strokes: GREY)
    stroke = Stroke([(10 + i % 50 * 4, 10 + i % 37 * 5, 9 * i, i % 10 / 10) for i in range(60)])
    fill = (canvas.draw([stroke]) for _ in range(2000))
    with pytest.raises(LabError, match="The canvas is full"):
        deque(fill)
    assert len(dump_state(canvas)) < 120_000
    count = len(canvas.strokes)
    assert MAX_INK / len(encode(stroke)) - count < 1


def test_script_and_style_are_small_and_load_nothing():
    texts = [join_modules("canvas.js"), read_static("controls.css"), read_static("canvas.css")]
    assert sum(map(len, texts)) <= 55_000
    for text in texts:
        assert not any(
            word in text for word in ("http", "import ", "import(", "url(", "fetch(", "eval(")
        )


def test_no_file_of_the_script_is_long():
    for path in STATIC.glob("*.js"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 350, path.name


def run_in_node(folder, script, *names):
    """Return what a script prints as JSON, beside modules of the canvas."""
    for name in names:
        (folder / name).write_text(read_static(name), encoding="utf-8")
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "test.js").write_text(script)
    node = ["node", "test.js"]
    return json.loads(subprocess.run(node, cwd=folder, capture_output=True, check=True).stdout)


def test_its_modules_become_one_that_anywidget_takes(tmp_path):
    (tmp_path / "joined.js").write_text(join_modules("canvas.js"), encoding="utf-8")
    script = 'import canvas from "./joined.js"; console.log(JSON.stringify(typeof canvas.render))'
    assert run_in_node(tmp_path, script) == "function"
    (tmp_path / "page.js").write_text(join_modules("page.js"), encoding="utf-8")
    subprocess.run(["node", "--check", "page.js"], cwd=tmp_path, check=True)


HISTORY = """
import { History } from "./history.js";
const values = { strokes: ["a"], text: "", _saved: [] };
const history = new History({ get: (name) => values[name] });
const told = [];
const set = (state) => {
  Object.assign(values, state);
  history.record();
};
const step = (name) => {
  const state = history[name]();
  set(state ?? {});
  told.push(state && `${state.strokes.join("")}|${state.text}`);
};
set({ strokes: ["a", "b"] });
set({ strokes: [], text: "x" }); // what Next does
step("undo");
step("undo");
step("undo"); // what was there from the start
step("undo");
step("redo");
step("redo");
set({ strokes: ["a", "b", "c"] });
step("redo"); // something else was drawn since
set({ strokes: [], _saved: ["a", "b", "c"] });
told.push(history.wasSaved());
set({ strokes: ["d"] });
told.push(history.wasSaved());
console.log(JSON.stringify(told));
"""


def test_each_change_can_be_undone_and_done_again(tmp_path):
    told = run_in_node(tmp_path, HISTORY, "history.js")
    assert told[:6] == ["ab|", "a|", "|", None, "a|", "ab|"]
    assert told[6:] == [None, True, False]


def test_a_canvas_that_was_saved_and_reopened_can_take_it_back(tmp_path):
    script = """import { History } from "./history.js";
    const values = { strokes: [], text: "a", _saved: ["a"] };
    console.log(JSON.stringify(new History({ get: (name) => values[name] }).wasSaved()));"""
    assert run_in_node(tmp_path, script, "history.js") is True


def test_where_there_is_no_browser_a_picture_shows_ink_and_result():
    canvas = HandwritingCanvas()
    bundle, _ = canvas._repr_mimebundle_()
    empty = Image.open(io.BytesIO(bundle["image/png"])).convert("L")
    canvas.draw(sample_strokes("R"))
    bundle, _ = canvas._repr_mimebundle_()
    drawn = Image.open(io.BytesIO(bundle["image/png"])).convert("L")
    left, right = (np.asarray(drawn.crop((x, 0, x + 400, 440))) for x in (20, 470))
    assert left.min() < 60  # ink
    assert len(np.unique(right)) > 3  # bars and letters
    assert np.asarray(empty.crop((20, 20, 400, 400))).min() > 250
    assert bundle["text/plain"] == repr(canvas)
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert len(bundle["image/png"]) < 20_000


@pytest.mark.parametrize("drawn", [[], [DOT], [TICK, DOT]])
@pytest.mark.parametrize("model", [Lines(), lambda strokes, guides: 1 / 0], ids=["line", "broken"])
def test_a_line_has_its_picture_too(drawn, model):
    canvas = HandwritingCanvas(model, mode="line", strokes=drawn)
    data, _ = canvas._repr_mimebundle_()
    assert Image.open(io.BytesIO(data["image/png"])).width == 1760


def test_repr_is_stable(canvas, line):
    assert repr(canvas) == "HandwritingCanvas('character', 0 strokes, not read)"
    canvas.draw([DOT])
    assert repr(canvas) == "HandwritingCanvas('character', 1 stroke, read as '1')"
    line.draw([DOT, TICK])
    assert repr(line) == "HandwritingCanvas('line', 2 strokes, read as 'lo')"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda x: torch.full((len(x), len(MAPPING)), torch.nan), "The model returned [('"),
        (lambda x: torch.zeros(len(x), 3), "mapping has 83 entries"),
        (lambda x: None, "AttributeError"),
        (lambda x: 1 / 0, "ZeroDivisionError: division by zero"),
    ],
)
def test_a_recogniser_whose_network_fails_is_shown(answer, message):
    model = torch.nn.Flatten()
    model.forward = answer
    canvas = HandwritingCanvas(Recognizer(model, MAPPING), strokes=[DOT])
    assert canvas.result["error"].startswith(message)
    assert canvas._repr_mimebundle_()[0]["image/png"]


def test_a_network_of_two_classes_reads():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 2))
    canvas = HandwritingCanvas(Recognizer(model, ["yes", "no"]), strokes=[DOT])
    assert {name for name, _ in canvas.result["answers"]} == {"yes", "no"}


def test_a_kind_of_recogniser_with_its_own_predict_reads_with_that():
    class Sure(Recognizer):
        def predict(self, image, top_k=5):
            return [("q", 1.0)]

    canvas = HandwritingCanvas(Sure(torch.nn.Flatten(), MAPPING), strokes=[DOT])
    assert canvas.result["answers"] == [["q", 1.0]]


def test_what_a_model_does_to_its_image_changes_neither_picture_nor_drawing(data_folder):
    canvas = HandwritingCanvas(lambda image: [(str(image.zero_().max().item()), 1.0)])
    canvas.draw(sample_strokes("V"))
    seen = prepare(sample_strokes("V"))
    assert read_pixels(canvas.result["seen"]).tobytes() == seen.numpy().tobytes()
    canvas.prepare = lambda strokes: (strokes.clear(), seen)[1]
    canvas.commit("V")
    data = MyHandwriting()
    data.setup()
    assert torch.equal(data.images[-1], seen)
    assert data.strokes[-1] == sample_strokes("V")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("x" * 1_000_000), "ValueError: " + "x" * 300 + "..."),
        (ValueError("two\nlines"), "ValueError: two lines"),
        (ValueError("half of a character: \ud800"), "ValueError: half of a character: ?"),
        (ValueError(), "ValueError"),
    ],
    ids=["long", "lines", "surrogate", "empty"],
)
@pytest.mark.parametrize("mode", ["character", "line"])
def test_any_error_is_one_line_that_can_be_shown(error, said, mode):
    def fail(*given, **more):
        raise error

    canvas = HandwritingCanvas(fail, mode=mode, strokes=[DOT])
    assert canvas.result["error"] == said
    json.dumps(canvas.get_state(), ensure_ascii=False, allow_nan=False).encode()
    assert canvas._repr_mimebundle_()[0]["image/png"]


class Vowels:
    """Reads nothing but an a: has the method that is asked for, and no more."""

    def predict(self, image):
        return [("a", image.float().mean().item() / 255)]


def test_anything_with_the_method_reads():
    assert HandwritingCanvas(Vowels(), strokes=[TICK]).result["text"] == "a"


def test_a_new_stroke_is_decoded_and_encoded_once(canvas, monkeypatch):
    made, new = [], strokes_module.Stroke.__new__
    monkeypatch.setattr(
        strokes_module.Stroke,
        "__new__",
        lambda *given, **more: made.append(1) or new(*given, **more),
    )
    strokes_module.decode.cache_clear()
    texts = []
    for i in range(5):
        texts.append(f"mAAAA{'CBAC' * (i + 3)}")
        canvas.set_state({"strokes": list(texts), "number": i + 1})
        assert canvas.get_state("strokes")["strokes"] == texts
    assert len(made) == 5  # from the browser: decoded, and its text kept
    canvas.draw([[(5.0, 5.0), (60.0, 70.0)]])
    shown = [canvas.get_state("strokes")["strokes"][-1] for _ in range(2)]
    assert shown[0] is shown[1]


# What no browser of ours sends.


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        "do",
        {},
        {"do": "live"},
        {"do": "live", "stroke": 3},
        {"do": "live", "stroke": "m!"},
        {"do": "live", "stroke": "m" + "g" * 500},
        {"do": "live", "stroke": "xAAAA"},
        {"do": "live", "stroke": "mAAA"},
        {"do": "commit", "label": 7},
        {"do": "commit", "label": "\uac00"},
        {"do": "choose", "index": "a", "character": "b"},
        {"do": "choose", "index": 0, "character": ["b"]},
        {"do": "sample", "text": 3},
        {"do": "sample", "text": "\uac00"},
        {"do": "sample", "text": "a" * 100_000},
        {"do": ["sample"]},
    ],
)
def test_a_malformed_message_is_ignored_or_answered_with_a_sentence(canvas, content):
    canvas.draw([DOT])
    if isinstance(content, dict):
        content = content | {"number": canvas.number}
    canvas._on_message(canvas, content, [])
    assert canvas.result["number"] == canvas.number
    assert not canvas.keep_in.exists()
    assert len(canvas.strokes) < 200


@pytest.mark.parametrize(
    "state",
    [
        {"strokes": 3},
        {"strokes": [3]},
        {"strokes": ["m!"]},
        {"strokes": ["m"]},
        {"strokes": ["m" + "g" * 40_000]},
        {"strokes": ["mAAAA" * 100_000]},
        {"strokes": [None]},
        {"strokes": ["mAAAA"] * 100_000},
        {"strokes": [""] * 1000},
        {"_saved": ["mAAAA"]},
        {"_constants": {}},
        {"number": "a"},
        {"pause": "x"},
        {"pause": -3},
        {"pause": math.nan},
        {"pause": 1e9},
        {"model": "other"},
        {"live": 3},
        {"ask": "\uac00"},
        {"ask": "a" * 100_000},
        {"text": 5},
        {"mode": "page"},
        {"unknown": 5},
    ],
)
def test_a_malformed_state_changes_nothing(canvas, state):
    canvas.draw([DOT])
    shown = ["strokes", "model", "pause", "live", "ask", "mode", "_saved", "_constants"]
    before = canvas.get_state(shown)
    canvas.set_state(state)
    assert canvas.get_state(shown) == before
    canvas.clear()
    assert canvas._repr_mimebundle_()[0]["image/png"]


@pytest.mark.parametrize("ask", ["\uac00", "a b", "!", "a" * 2000])
def test_only_characters_can_be_asked_for(ask):
    with pytest.raises(LabError, match="must be at most 1,000 letters A-Z, a-z and digits 0-9"):
        HandwritingCanvas(Counting(), ask=ask)


def test_what_it_says_can_be_said_in_korean(tmp_path):
    canvas = HandwritingCanvas(
        lambda image: [("a", 0.9)], keep_in=tmp_path / "mine.h5", language="ko"
    )
    said = []
    for label in ("a", "b"):
        canvas.draw([DOT])
        canvas.commit(label)
        said.append(canvas.status)
    take_back(canvas)
    said.append(canvas.status)
    canvas.recognizer = lambda image: []
    canvas.commit("c")
    said += [canvas.status, "The canvas is full: clear it first."]
    canvas.clear()
    with pytest.raises(LabError) as nothing:
        canvas.commit()
    said.append(str(nothing.value))
    assert len(set(said)) == 6
    patterns = [
        re.escape(label).replace(r"\{\}", ".+?") for label in canvas._constants["labels"]["ko"]
    ]
    for sentence in said:
        assert any(re.fullmatch(pattern, sentence) for pattern in patterns), sentence


def test_a_language_that_it_has_not_is_named():
    with pytest.raises(LabError, match=r"'language' trait .* any of \['', 'en', 'ko'\]"):
        HandwritingCanvas(language="fr")
    assert HandwritingCanvas().language == ""  # the browser's
