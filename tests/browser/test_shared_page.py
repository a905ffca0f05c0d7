"""A shared page in a real browser: its answers, its canvas on a phone, and no request."""

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from lab import compare_answers, line_recognizer, vary_drawings
from playwright.sync_api import Error

from lab_utils import (
    CNN,
    EMNIST,
    SEED,
    LabError,
    LineRecognizer,
    Recognizer,
    explore_network,
    prepare,
    prepare_line,
    sample_strokes,
)
from text_recognizer.strokes import BASE_LINE, X_LINE

GUIDES = (X_LINE, BASE_LINE)
SAMPLES = (
    ("Hello", GUIDES),
    ("a 42", None),
    ("i", None),
    ("look ill", GUIDES),
    ("The 3 kits", None),
)
PICTURE = "() => document.querySelector('#inside canvas').toDataURL()"
READ = "() => document.querySelector('.hw-bars .hw-character')?.textContent"


def write(page, strokes):
    """Write strokes with a finger, through the browser's own input."""
    devtools = page.context.new_cdp_session(page)
    box = page.locator(".hw-ink").bounding_box()
    scale = box["height"] / 220

    def send(name, *points):
        touches = [{"x": box["x"] + x * scale, "y": box["y"] + y * scale} for x, y, *_ in points]
        event = {"type": f"touch{name}", "touchPoints": touches}
        devtools.send("Input.dispatchTouchEvent", event)

    for stroke in strokes:
        send("Start", stroke[0])
        for point in [*stroke[3:-1:3], stroke[-1]]:
            send("Move", point)
        send("End")
    page.wait_for_function("() => !document.querySelector('.hw-pending')")


def text(page, selector):
    return page.locator(selector).first.text_content()


def test_strokes_are_prepared_as_in_python(open_page):
    drawings = vary_drawings(100)
    found = open_page().evaluate("all => all.map(d => [...reader.prepare(d)])", drawings)
    expected = torch.stack([prepare(drawing).flatten() for drawing in drawings]).int()
    assert (torch.tensor(found) - expected).abs().max() <= 2


def test_what_is_no_character_is_said_as_in_python(open_page):
    recognizer, page = Recognizer.pretrained(equal_classes=True), open_page()
    turns = np.linspace(0.5, 18, 120)
    spiral = np.stack([100 + 5 * turns * np.cos(turns), 100 + 5 * turns * np.sin(turns)], 1)
    corners = [[(50, 70), (50, 150), (140, 150), (140, 70)], [(40, 70), (95, 30), (150, 70)]]
    house = [[p for ends in pairwise(c) for p in np.linspace(*ends, 9).tolist()] for c in corners]
    drawings = [house, [spiral.tolist()], [[(100, 100)]], [[(100, 100), (104, 103)]]]
    drawings += vary_drawings(40)
    found = page.evaluate("all => all.map(d => reader.read(d).unknown)", drawings)
    assert found == [not recognizer.is_known(prepare(d), d) for d in drawings]
    assert all(found[:4]) and sum(found) < 10
    for strokes, said in ((house, True), (sample_strokes("R"), False)):
        write(page, strokes)
        assert page.get_by_text("Not a character that I know").first.is_visible() == said
        assert page.locator(".hw-spoken").text_content().startswith("Not a") == said
        page.locator(".hw-clear").tap()


@pytest.mark.parametrize("network", ["shipped", "CNN"])
def test_answers_are_pytorch_s(network, open_page):
    data = EMNIST(source="sample")
    data.setup()
    recognizer = Recognizer.pretrained(equal_classes=True)
    if network == "CNN":
        torch.manual_seed(SEED)
        model = CNN(data.config())
        model.fc2.weight.data *= 30  # as sure of its answers as a trained one
        recognizer = Recognizer(model, data.mapping, 0.5)
    count = 100 if network == "shipped" else 20
    images = data.data_test.images[:: len(data.data_test) // count][:count]
    difference, other = compare_answers(open_page(recognizer), recognizer, images)
    assert difference < 0.01
    assert other == 0


def test_a_character_is_written_with_a_finger_and_read(open_page):
    page = open_page()
    write(page, sample_strokes("R"))
    assert page.evaluate(READ) == "R"
    assert text(page, ".hw-percent").endswith("%")
    seen = page.locator("img.hw-pixels").first
    assert seen.get_attribute("src").startswith("data:image/png")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator(".hw-bars li").last.bounding_box()["y"] < 800  # all without scrolling


def test_characters_make_a_text_and_can_be_corrected_undone_and_cleared(open_page):
    page = open_page()
    write(page, sample_strokes("A"))
    page.locator(".hw-next").tap()
    write(page, sample_strokes("5"))
    second = page.locator(".hw-bars button").nth(1)
    other = second.get_attribute("data-character")
    second.tap()
    assert text(page, ".hw-text").endswith(f"A{other}")
    page.locator(".hw-undo").tap()  # of the last one
    page.wait_for_function(f"() => ({READ})() === '5'")
    page.locator(".hw-clear").tap()
    assert page.locator(".hw-root").get_attribute("data-strokes") == "0"
    page.locator(".hw-undo").tap()
    page.wait_for_function(f"() => ({READ})() === '5'")
    assert not page.locator(".hw-other").is_visible()  # nothing can be saved


def test_it_reads_while_the_pen_moves(open_page):
    page = open_page()
    page.locator(".hw-more summary").tap()
    page.get_by_label("Read while the pen moves").check()
    page.evaluate("scrollTo(0, 0)")
    devtools, box = page.context.new_cdp_session(page), page.locator(".hw-ink").bounding_box()
    for i in range(30):
        point = {"x": box["x"] + 180, "y": box["y"] + 40 + 9 * i}
        event = {"type": "touchMove" if i else "touchStart", "touchPoints": [point]}
        devtools.send("Input.dispatchTouchEvent", event)
    page.wait_for_function(READ)
    assert page.evaluate(READ) in "1lI"
    devtools.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_inside_the_network_are_the_maps_that_python_shows(open_page):
    torch.manual_seed(SEED)
    model = CNN(EMNIST().config(), conv_dim=4)
    wanted = explore_network(model, EMNIST.mapping).shown
    page = open_page(Recognizer(model, EMNIST.mapping))
    page.locator("#inside summary").tap()
    page.locator(".hw-more summary").tap()
    page.get_by_label("Sample to insert").fill("R")
    page.keyboard.press("Enter")
    maps = page.locator("#inside canvas")
    maps.first.wait_for()
    found = maps.evaluate_all("all => all.map(map => map.ariaLabel)")
    assert found == [f"map {n}" for layer in wanted["layers"] for n in layer["chosen"]]
    logits = page.locator(".ex-logits > *").all_text_contents()
    assert logits[::3] == [name for name, _ in wanted["logits"]]
    values = [float(value.replace("−", "-")) for value in logits[2::3]]
    assert values == pytest.approx([value for _, value in wanted["logits"]], abs=0.06)
    page.evaluate("scrollTo(0, 0)")
    before, box = maps.first.evaluate(PICTURE), page.locator(".hw-ink").bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    for i in range(1, 9):
        page.mouse.move(box["x"] + 20 + 30 * i, box["y"] + 20 + 9 * i)
    page.wait_for_function(f"before => ({PICTURE})() !== before", arg=before)  # while it is down
    page.mouse.up()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_in_korean_and_follows_the_theme(open_page, scheme):
    page = open_page(language="ko", color_scheme=scheme)
    write(page, sample_strokes("g"))
    assert page.locator(".hw-root").get_attribute("data-theme") == scheme
    assert text(page, ".hw-next") == "다음"
    shown = page.evaluate("document.body.innerText")
    assert "손글씨" in shown
    shared = json.loads(page.evaluate("document.getElementById('reader').textContent"))
    words = shared["canvas"]["labels"]["ko"]
    assert not [label for label in words if label != "ReLU" and label in shown.split("\n")]


def test_it_speaks_the_language_of_the_browser_unless_told_otherwise(open_page):
    for language, locale, shown in (
        (None, "ko-KR", "ko"),
        (None, "fr-FR", "en"),
        ("en", "ko-KR", "en"),
        ("ko", "en-US", "ko"),
    ):
        page = open_page(language=language, locale=locale)
        assert page.locator("html").get_attribute("lang") == shown
        assert page.locator(".hw-root").get_attribute("lang") == shown
        assert page.title() == text(page, "h1")
        assert page.title() == ("My handwriting reader", "내 손글씨 인식기")[shown == "ko"]


def test_nothing_can_leave_the_page(open_page):
    page = open_page()
    blocked = page.evaluate(
        """async () => {
          const policies = [];
          const note = (event) => policies.push(event.effectiveDirective);
          document.addEventListener("securitypolicyviolation", note);
          await fetch("https://example.org/").catch(() => {});
          document.body.append(Object.assign(new Image(), { src: "https://example.org/a.png" }));
          try { new WebSocket("wss://example.org/"); } catch {}
          navigator.sendBeacon("https://example.org/", "ink");
          await new Promise((done) => setTimeout(done, 100));
          return policies;
        }"""
    )
    assert set(blocked) == {"connect-src", "img-src"}
    assert blocked.count("connect-src") == 3
    open_page.requests.clear()  # Chromium tells of those that it has stopped, too


def test_lines_are_read_as_in_python(open_page):
    recognizer = line_recognizer()
    page = open_page(recognizer, viewport={"width": 844, "height": 390})
    read = "([ink, guides]) => [reader.prepareLine(ink, guides), reader.read(ink, guides)]"
    lines = [(sample_strokes(line), guides) for line, guides in SAMPLES]
    lines += [([[(40, 60 + 9 * i) for i in range(11)]], None)]  # a bar
    lines += [([[(40 + 9 * i, 150 - 9 * j * i % 40) for i in range(9)] for j in (3, 5)], None)]
    h_left, h_right, bar, o, *rest = sample_strokes("How are you")
    lines += [([h_left, h_right, bar + o, *rest], GUIDES)]  # a stroke that joins two letters
    for drawing, guides in lines:
        strokes = [[point[:2] for point in stroke] for stroke in drawing]
        seen, found = page.evaluate(read, [strokes, guides])
        image = prepare_line(strokes, guides)
        assert seen["width"] == image.shape[1]
        difference = torch.tensor(seen["data"]) - image.flatten().int()
        assert difference.abs().max() <= 2
        expected = recognizer.predict_line(strokes, guides)
        assert found["text"] == expected.text
        assert found["confidences"] == pytest.approx(expected.confidences, abs=0.01)
        for answers, others in zip(found["alternatives"], expected.alternatives, strict=True):
            assert len(answers) == len(others) and answers[0][0] == others[0][0]
            likely = {name: p for name, p in others if p > 0.02}
            assert likely.items() <= {n: pytest.approx(p, abs=0.01) for n, p in answers}.items()
    page.evaluate("() => { reader.shared.characters = null; }")  # what a network of one's own has
    alone = LineRecognizer(recognizer.model, recognizer.temperature).predict_line(strokes)
    assert page.evaluate(read, [strokes, None])[1]["text"] == alone.text
    line = [[(x / 3, y / 3) for x, y, *_ in stroke] for stroke in sample_strokes("minimum")]
    two = line + [[(x, y + 100) for x, y in stroke] for stroke in line]
    with pytest.raises(LabError, match="several lines of text, one below the other"):
        prepare_line(two)
    with pytest.raises(Error, match="several lines of text, one below the other"):
        page.evaluate("ink => reader.prepareLine(ink)", two)


def test_a_line_is_written_corrected_and_accepted_on_a_phone(open_page):
    page = open_page(line_recognizer())
    write(page, [[(x / 2, y / 2 + 40) for x, y, *_ in s] for s in sample_strokes("Hello")])
    letters = page.locator(".hw-letter")
    letters.first.wait_for()
    read = "".join(letters.all_text_contents())
    letters.first.tap()
    other = page.locator(".hw-alternatives button").nth(1)
    chosen = other.get_attribute("data-character")
    other.tap()
    page.wait_for_function(f"() => document.querySelector('.hw-letter').textContent === {chosen!r}")
    page.locator(".hw-next").tap()
    assert text(page, ".hw-text").endswith(f"{chosen}{read[1:]}\n")
