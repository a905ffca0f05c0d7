"""Explorables under a mouse, a finger and a keyboard, on a page without a kernel."""

import shutil

import build_site
import numpy as np
import pytest
import torch
from axe import MODES, find_violations
from explore_page import show_explorable
from lab import SCREENSHOTS

from lab_utils import (
    CNN,
    EMNIST,
    explore_confusions,
    explore_ctc,
    explore_filter,
    explore_network,
)
from text_recognizer.mapping import MAPPING

PAINTED = """canvas => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height)
  .data.filter((value, i) => i % 4 === 3 && value).length"""


@pytest.fixture(scope="module")
def session_page(browser):
    context = browser.new_context(viewport={"width": 900, "height": 700}, has_touch=True)
    yield context.new_page()
    context.close()


@pytest.fixture
def page(session_page, request):
    errors = []
    session_page.on("pageerror", lambda error: errors.append(str(error)))
    yield session_page
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    session_page.screenshot(path=SCREENSHOTS / f"{request.node.name}.png", full_page=True)
    assert errors == []


def find_violations_light_and_dark(page, explorable):
    found = []
    for mode in MODES[:2]:
        page.emulate_media(**mode)
        show_explorable(page, explorable, dark=mode["color_scheme"] == "dark")
        found += find_violations(page, ".ex-root")
    return found


def read_sum(page):
    return float(page.locator(".ex-sum").inner_text().rpartition(" ")[2].replace("−", "-"))


def test_a_filter_in_your_hand(page):
    image = np.random.default_rng(0).random((8, 10)).round(3)
    explorable = explore_filter(image)
    assert find_violations_light_and_dark(page, explorable) == []
    show_explorable(page, explorable)
    window, feature_map = page.locator(".ex-hand"), page.locator("canvas").nth(1)
    padded = np.pad(image, 1)
    box = window.bounding_box()
    sobel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])

    def go(row, column, by):
        by(
            box["x"] + (column + 0.5) * box["width"] / 10,
            box["y"] + (row + 0.5) * box["height"] / 8,
        )
        return (padded[row : row + 3, column : column + 3] * sobel).sum()

    assert go(2, 1, page.mouse.move) == pytest.approx(read_sum(page), abs=0.006)
    assert go(7, 9, page.touchscreen.tap) == pytest.approx(read_sum(page), abs=0.006)
    window.focus()
    page.keyboard.press("ArrowUp")
    around = padded[6:9, 9:12]
    assert read_sum(page) == pytest.approx((around * sobel).sum(), abs=0.006)
    page.get_by_role("button", name="blur").click()
    assert read_sum(page) == pytest.approx(around.mean(), abs=0.006)
    page.get_by_label("weight 5 of 9").fill("10")
    assert read_sum(page) == pytest.approx(around.mean() + around[1, 1] * (10 - 1 / 9), abs=0.006)
    before = feature_map.evaluate(PAINTED)
    page.get_by_role("button", name="Fill in the rest").click()
    assert feature_map.evaluate(PAINTED) == 80 * 81 > before


def test_ctc_step_by_step(page):
    said = ["<B>", "o", "<B>", "h", "h", "<B>", "<B>"]
    torch.manual_seed(0)
    best = torch.nn.functional.one_hot(torch.tensor([MAPPING.index(name) for name in said]), 83).T
    logits = torch.randn(83, len(said)) + 9 * best
    explorable = explore_ctc(torch.zeros(28, 14), logits)
    assert find_violations_light_and_dark(page, explorable) == []
    show_explorable(page, explorable)
    table, text = page.get_by_role("application"), page.locator(".ex-text")
    loss = page.locator(".ex-help").last

    def expect(word):
        labels = torch.tensor([[MAPPING.index(character) for character in word]])
        lengths = torch.tensor([len(said)]), torch.tensor([len(word)])
        scores = logits.log_softmax(0).T[:, None]
        return torch.nn.functional.ctc_loss(scores, labels, *lengths, reduction="sum").item()

    def read_loss():
        return float(loss.inner_text().rpartition(" ")[2].rstrip("."))

    assert "“oh”" in loss.inner_text()
    assert read_loss() == pytest.approx(expect("oh"), abs=0.006)
    table.focus()
    seen = []
    for _ in said:
        seen.append(text.inner_text().strip())
        page.keyboard.press("ArrowRight")
    assert seen == ["", "o", "o", "oh", "oh", "oh", "oh"]
    box, row = table.bounding_box(), explorable.shown["characters"].index("o")
    page.touchscreen.tap(box["x"] + 9 * 5.5, box["y"] + 17 * (row + 0.5))
    assert "“oho”" in loss.inner_text()
    assert read_loss() == pytest.approx(expect("oho"), abs=0.006)
    for _ in range(row - explorable.shown["characters"].index("h")):
        page.keyboard.press("ArrowUp")
    assert text.inner_text() == "oh"  # h after h is one h
    page.get_by_role("button", name="Likeliest path").click()
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("document.querySelector('[role=status]').innerText.includes('7 of 7')")
    assert text.inner_text() == "oh"


def test_what_is_confused_with_what(page):
    images = np.zeros((40, 28, 28), np.uint8)
    images[:, 5, 5] = range(100, 140)
    truth, read = np.full(40, 10), np.full(40, 10)
    truth[:3], read[30:] = 12, 13  # 6 and 8; 8 and 9
    explorable = explore_confusions(images, truth, read)
    assert find_violations_light_and_dark(page, explorable) == []
    show_explorable(page, explorable)
    said, matrix = page.get_by_role("status"), page.get_by_role("application")
    shown = """canvas => [...Array(12).keys()].map(i =>
      canvas.getContext("2d").getImageData(28 * i + 5, 5, 1, 1).data[0])"""
    strip = page.locator(".ex-images")

    def expect(text, *grey):
        assert said.inner_text() == text
        assert strip.evaluate(shown)[: len(grey)] == [*grey]

    names = [MAPPING[10], MAPPING[12], MAPPING[13]]
    expect(f"{names[0]} read as {names[2]}: 10", *range(130, 140))
    page.get_by_role("button", name=f"{names[1]} → {names[0]} 3").click()
    expect(f"{names[1]} read as {names[0]}: 3", 100, 101, 102, 0)
    matrix.press("ArrowUp")
    expect(f"{names[0]} read as {names[0]}: 27", *range(103, 115))
    box = matrix.bounding_box()
    page.touchscreen.tap(box["x"] + 18 + 25, box["y"] + 18 + 5)
    expect(f"{names[0]} read as {names[2]}: 10", *range(130, 140))
    matrix.hover(position={"x": 18 + 5, "y": 18 + 15})
    assert said.inner_text() == f"{names[1]} read as {names[0]}: 3"  # before it is clicked


def test_inside_the_network(page):
    explorable = explore_network(CNN(EMNIST().config(), conv_dim=4), EMNIST.mapping)
    assert find_violations_light_and_dark(page, explorable) == []
    assert page.locator(".ex-maps canvas").count() == 12
    assert page.locator(".ex-logits strong").first.inner_text() == explorable.shown["logits"][0][0]


SITE = """<!doctype html><html lang="en"><title>Site</title><main class="cell_output">
<img alt="a picture" src="data:,"><div>{}</div></main><script src="_static/site.js"></script>"""


def test_on_the_site_they_run_in_the_place_of_their_pictures(page, tmp_path):
    _, metadata = explore_filter(np.eye(9))._repr_mimebundle_()
    stored = {"output_type": "execute_result", "data": {}, "metadata": metadata}
    (output,) = build_site.find_states({"outputs": [stored]})
    build_site.write_explorables(tmp_path)
    shutil.copy(build_site.HERE / "static" / "site.js", tmp_path)
    (tmp_path / "page.html").write_text(SITE.format(output["data"]["text/html"]))

    def serve(route):
        route.fulfill(path=tmp_path / route.request.url.rpartition("/")[2])

    page.route("http://site.test/**", serve)
    page.goto("http://site.test/page.html")
    page.locator(".ex-hand").press("ArrowUp")
    assert page.get_by_role("status").inner_text().startswith("the sum (row 3, column 2)")
    assert not page.get_by_alt_text("a picture").is_visible()
    page.unroute("http://site.test/**")


NETWORK = """
inside = explore_network(CNN(EMNIST().config(), conv_dim=64), EMNIST.mapping)
inside"""
FIRST_MAP = "document.querySelector('.ex-maps canvas').toDataURL()"


def test_in_jupyterlab_the_maps_follow_the_pen_and_a_picture_is_there_for_later(lab):
    lab.run(NETWORK)
    lab.page.wait_for_selector(".ex-maps canvas")
    before = lab.page.evaluate(FIRST_MAP)
    lab.draw([[(20, 20), (60, 40), (60, 200)]])
    lab.page.wait_for_function(f"before => {FIRST_MAP} !== before", arg=before)
    stills = lab.page.locator(".hw-still img")
    assert stills.count() == 2
    assert not any(still.is_visible() for still in stills.all())
    assert stills.last.get_attribute("alt") == lab.python("repr(inside)")


CURVES = """
import pytorch_lightning as pl
import torch
pairs = torch.utils.data.TensorDataset(torch.rand(64, 1, 28, 28), torch.arange(64))
quiet = dict(logger=False, enable_checkpointing=False, enable_model_summary=False)
trainer = pl.Trainer(accelerator="cpu", max_epochs=3, callbacks=LiveCurves(), **quiet)
loader = torch.utils.data.DataLoader(pairs, 16)
trainer.fit(BaseLitModel(MLP(EMNIST().config())), loader, loader)"""


def test_in_jupyterlab_curves_stand_where_a_bar_would(lab):
    lab.run(CURVES)
    lab.page.wait_for_selector(".live-curves:has-text('3 epochs are done')")
    assert lab.page.locator(".live-curves").count() == 1
    assert lab.page.locator(".live-curves svg").count() == 2
    said = lab.page.locator(".live-curves svg").first.get_attribute("aria-label")
    assert "Loss, training: " in said
    assert lab.page.locator(".jp-OutputArea-output progress").count() == 1
