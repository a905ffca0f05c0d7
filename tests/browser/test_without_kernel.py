"""The canvas where its kernel is gone or slow: after a restart, in a notebook that is reopened."""

import pytest
from lab import SCREENSHOTS, START

from lab_utils import sample_strokes

CANVAS = "canvas = HandwritingCanvas()\ncanvas"
SILENT = "The kernel does not answer: run this cell again."
RESTART = """async () => {
  const { sessionContext } = jupyterapp.shell.currentWidget;
  await sessionContext.session.kernel.restart();
  await sessionContext.session.kernel.info;
}"""


@pytest.fixture
def restarted(lab):
    """Return a notebook with a canvas on which an R was read before the kernel restarted."""
    lab.show("canvas = HandwritingCanvas(strokes=sample_strokes('R'))\ncanvas")
    assert lab.read() == "R"
    lab.page.evaluate("jupyterapp.commands.execute('docmanager:save')")
    lab.page.evaluate(RESTART)
    yield lab
    lab.open()
    lab.run(START)


def test_after_a_restart_the_canvas_says_so_and_the_ink_stays(restarted):
    page = restarted.page
    restarted.draw([[(20, 200), (60, 200)]])
    page.wait_for_selector(f".hw-error:has-text('{SILENT}')", timeout=6000)
    assert page.locator(".hw-root").get_attribute("data-strokes") == str(
        len(sample_strokes("R")) + 1
    )
    assert page.locator(".hw-bars").count() == 0  # no answer of older ink beside it
    page.keyboard.press("Control+z")  # which needs no kernel
    page.wait_for_selector(f".hw-root[data-strokes='{len(sample_strokes('R'))}']")
    page.screenshot(path=SCREENSHOTS / "canvas_after_a_restart.png")


def test_next_says_so_too_and_a_reopened_notebook_shows_the_picture(restarted):
    restarted.page.click(".hw-next")
    restarted.page.wait_for_selector(f".hw-error:has-text('{SILENT}')", timeout=6000)
    assert restarted.page.locator(".hw-root").get_attribute("data-strokes") != "0"
    restarted.open()
    picture = restarted.page.locator(".hw-still img")
    picture.wait_for(timeout=20_000)
    restarted.page.wait_for_selector("text=model not found", state="attached", timeout=20_000)
    assert not restarted.page.locator("text=model not found").is_visible()
    assert picture.evaluate("image => image.naturalWidth") > 400
    assert picture.get_attribute("alt").startswith("HandwritingCanvas('character'")
    restarted.page.screenshot(path=SCREENSHOTS / "canvas_reopened.png")


def test_beside_a_canvas_there_is_no_picture(lab):
    lab.show(CANVAS)
    lab.page.wait_for_selector(".hw-still", state="attached")
    assert not lab.page.locator(".hw-still img").is_visible()


def test_a_slow_model_is_waited_for(lab):
    lab.show(
        "import time\ncanvas = HandwritingCanvas(lambda image: (time.sleep(4), [('x', 1.0)])[1])\n"
        "canvas"
    )
    lab.draw([[(20, 200), (60, 200)]])
    lab.page.wait_for_timeout(3000)
    assert lab.page.locator(".hw-error").count() == 0
    assert lab.read() == "x"


def test_a_kernel_that_computes_elsewhere_answers_later_and_the_canvas_goes_on(lab):
    lab.show(CANVAS)
    busy = """() => {
      const { kernel } = jupyterapp.shell.currentWidget.sessionContext.session;
      kernel.requestExecute({ code: "import time; time.sleep(4)", store_history: false });
    }"""
    lab.page.evaluate(busy)
    lab.draw(sample_strokes("R"))
    lab.page.wait_for_selector(f".hw-error:has-text('{SILENT}')", timeout=3500)
    assert lab.read() == "R"
    assert lab.page.locator(".hw-error").count() == 0


def test_what_goes_wrong_twice_is_said_twice(lab):
    lab.show("import tempfile\nfrom pathlib import Path\n"
             "own = Path(tempfile.mkdtemp()) / 'own.h5'\nown.write_bytes(b'damaged')\n"
             "canvas = HandwritingCanvas(keep_in=own, ask='ab')\ncanvas")  # fmt: skip
    lab.draw(sample_strokes("a"))
    assert lab.read() == "a"
    for _ in range(2):
        lab.page.click(".hw-next")
        lab.page.wait_for_selector(".hw-status:has-text('own.h5 is damaged')")
    lab.page.wait_for_timeout(2500)
    assert lab.page.locator(".hw-error").count() == 0
