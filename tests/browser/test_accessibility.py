"""No barriers that axe-core finds, in light, dark and forced colours; pictures in `build`."""

import functools
import http.server
import threading

import build_site
import pytest
from axe import MODES, find_violations
from helpers import run_in_fork
from lab import SCREENSHOTS, line_recognizer
from test_grade_reports import CLASS

from lab_grade.report import write_reports

NAMES = ["light", "dark", "forced"]
DRAWN = """() => {
  const canvas = document.querySelector(".hw-ink");
  const colours = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  const ink = [0, 0, 0, 0];
  for (let i = 0; i < colours.length; i += 4) {
    if (colours[i + 3] > ink[3]) ink.splice(0, 4, ...colours.slice(i, i + 4));
  }
  const colour = (selector) => getComputedStyle(document.querySelector(selector)).backgroundColor;
  return [`rgb(${ink.slice(0, 3).join(", ")})`, colour(".hw-paper"), colour("body")];
}"""


def insert_by_keyboard(page, text):
    """Open *Options* and insert a sample, without a mouse."""
    page.keyboard.press("Tab")  # into the page
    page.locator(".hw-more summary").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Sample to insert"
    page.keyboard.press("Control+a")
    page.keyboard.type(text)
    page.keyboard.press("Enter")


@pytest.mark.parametrize("mode", MODES, ids=NAMES)
@pytest.mark.parametrize("reads", ["character", "line"])
def test_a_shared_page(reads, mode, open_page):
    page = open_page(line_recognizer() if reads == "line" else None, **mode)
    insert_by_keyboard(page, "R" if reads == "character" else "Hello")
    page.wait_for_selector(".hw-root[data-number='1'] :is(.hw-bars, .hw-letter)")
    if reads == "line":
        assert "".join(page.locator(".hw-letter").all_text_contents()) == "Hello"
        page.locator(".hw-letter").first.click()
        page.wait_for_selector(".hw-alternatives")
    else:
        assert page.locator(".hw-bars .hw-character").first.text_content() == "R"
        first = page.locator(".hw-bars button").first
        assert first.get_attribute("aria-label") is None  # its name is what is seen
    for summary in page.locator(".inside summary").all():
        summary.click()
    assert page.locator("#inside canvas").count() > 20
    assert find_violations(page) == []
    ink, paper, body = page.evaluate(DRAWN)
    light = [sum(map(int, colour[4:-1].split(", "))) > 382 for colour in (ink, paper, body)]
    assert light == [True, False, False] if mode["color_scheme"] == "dark" else [False, True, True]


def test_samples_are_those_of_python_and_others_a_sentence(open_page):
    page = open_page()
    insert_by_keyboard(page, "ä")
    page.wait_for_selector(".hw-status:has-text(\"no sample of 'ä': only letters\")")
    assert page.locator(".hw-root").get_attribute("data-strokes") == "0"


@pytest.mark.parametrize("options", ["ask='R4'", "mode='line'"])
def test_the_canvas_in_jupyterlab(options, lab):
    text = "Hello" if "line" in options else "R"
    lab.show(
        f"canvas = HandwritingCanvas({options})\ncanvas.draw(sample_strokes({text!r}))\ncanvas"
    )
    lab.read()
    lab.page.locator(".hw-more summary").click()
    if text == "Hello":
        lab.page.locator(".hw-letter").first.click()
    violations = []
    for mode in MODES:
        lab.page.emulate_media(**mode)
        choose_theme(lab.page, mode["color_scheme"])
        violations += find_violations(lab.page, ".hw-frame")
        lab.page.screenshot(path=SCREENSHOTS / f"canvas_{text}_{'_'.join(mode.values())}.png")
    lab.page.emulate_media(color_scheme="light", forced_colors="none")
    choose_theme(lab.page, "light")
    assert violations == []


def choose_theme(page, name):
    """Choose JupyterLab's light or dark theme, and wait until the canvas follows."""
    theme = f"JupyterLab {name.capitalize()}"
    if page.evaluate("document.body.dataset.jpThemeName") != theme:
        page.evaluate(
            f"jupyterapp.commands.execute('apputils:change-theme', {{ theme: '{theme}' }})"
        )
    page.wait_for_function(f"document.body.dataset.jpThemeName === '{theme}'")
    page.wait_for_selector(f".hw-root[data-theme={name}]")


def find_all_violations(page, name, *selectors):
    """Return what axe-core finds in each of the colours, and keep a picture of each."""
    found = []
    for mode in MODES:
        page.emulate_media(**mode)
        found += [(mode, violation) for violation in find_violations(page, *selectors)]
        page.screenshot(path=SCREENSHOTS / f"{name}_{'_'.join(mode.values())}.png")
    return found


def test_pages_of_grading(browser, tmp_path):
    results = {"assignment": "Areas", "max_points": 5.0, "students": CLASS, "leaderboard": {}}
    write_reports(results, tmp_path)
    pages = [tmp_path / "report.html", *sorted((tmp_path / "feedback").glob("*.html"))]
    assert len(pages) == 1 + len(CLASS)
    page = browser.new_page()
    for path in pages:
        page.goto(path.as_uri())
        assert find_all_violations(page, path.stem) == []
    page.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the site; return its address."""
    folder = tmp_path_factory.mktemp("site")
    status, said, errors = run_in_fork(f"python {build_site.__file__}", folder)
    assert status == 0, said + errors
    handler = functools.partial(Quiet, directory=build_site.OUT)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


# What is ours of a page; its frame is the theme's.
OURS = [".bd-article", ".language"]


@pytest.mark.slow
@pytest.mark.parametrize("path", ["index", "ko/index", "labs/01_look_at_emnist", "docs/using"])
def test_the_site(path, site, browser):
    page = browser.new_page()
    page.goto(f"{site}/{path}.html")
    assert find_all_violations(page, f"site_{path.replace('/', '_')}", *OURS) == []
    page.close()


@pytest.mark.slow
def test_no_page_of_the_site_is_wider_than_a_phone(site, browser):
    page = browser.new_page(viewport={"width": 390, "height": 800})
    paths = [path.relative_to(build_site.OUT) for path in build_site.OUT.rglob("0*.html")]
    assert len(paths) == 16
    for path in [*paths, "genindex.html", "ko/docs/using.html"]:
        page.goto(f"{site}/{path}", wait_until="domcontentloaded")
        assert page.evaluate("document.documentElement.scrollWidth") == 390, path
    page.close()


@pytest.mark.slow
def test_the_site_s_dark_darkens_the_reader(site, browser):
    page = browser.new_page(color_scheme="light")
    page.goto(f"{site}/index.html")
    reader = page.frame_locator("iframe.reader").locator(".hw-root")
    assert reader.get_attribute("data-theme") == "light"
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.frame_locator("iframe.reader").locator(".hw-root[data-theme=dark]").wait_for()
    page.locator("iframe.reader").screenshot(path=SCREENSHOTS / "site_reader_dark.png")
    page.close()
