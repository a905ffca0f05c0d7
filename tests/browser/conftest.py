"""One JupyterLab for all tests that use one, one Chromium for them and one for the others."""

import functools
import os
from pathlib import Path

import pytest
from lab import SCREENSHOTS, START, Lab, chromium, find_chromium, jupyterlab

from lab_utils import share

VIEWPORT = {"width": 390, "height": 844}
PHONE = {"viewport": VIEWPORT, "device_scale_factor": 2, "has_touch": True, "is_mobile": True}
HERE = str(Path(__file__).parent)
CHECKOUT = str(Path(__file__).parents[2])  # not another one that is installed


def pytest_collection_modifyitems(items):
    items = [item for item in items if Path(HERE) in item.path.parents]
    for item in items:
        has_lab = "lab" in item.fixturenames or item.path.name == "test_under_hands.py"
        item.add_marker(pytest.mark.xdist_group("jupyterlab" if has_lab else "browser"))
    if find_chromium() is None:
        reason = "no Chromium or Chrome found: install one, or set CHROMIUM to its path"
        for item in items:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    item.has_failed = report.failed
    return report


def keep_picture(page, item):
    """Keep what a page shows at the end of a test that failed; `SCREENSHOTS=1`: of any test."""
    if item.has_failed or os.environ.get("SCREENSHOTS"):
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"{item.name}.png")


@pytest.fixture(scope="session")
def notebook():
    """Return the address of a notebook in a running JupyterLab."""
    with jupyterlab(PYTHONPATH=os.pathsep.join([HERE, CHECKOUT])) as url:
        yield url


@pytest.fixture(scope="session")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def context(browser):
    screen = {"viewport": {"width": 1100, "height": 800}, "device_scale_factor": 2}
    context = browser.new_context(**screen, has_touch=True)
    yield context
    context.close()


@pytest.fixture(scope="session")
def session_lab(context, notebook):
    lab = Lab(context.new_page(), notebook)
    lab.run(START)
    return lab


@pytest.fixture
def lab(session_lab, request):
    """Return the notebook."""
    session_lab.errors.clear()
    yield session_lab
    keep_picture(session_lab.page, request.node)
    session_lab.page.keyboard.up("Control")
    assert session_lab.errors == []
    assert session_lab.strangers == []


@pytest.fixture(scope="session")
def share_once(tmp_path_factory):
    """Return a function that shares a recogniser; the same one again is the same file."""
    folder = tmp_path_factory.mktemp("shared")

    @functools.cache
    def share_once(recognizer, language):
        return share(recognizer, folder / f"{id(recognizer)}_{language}.html", language)

    return share_once


@pytest.fixture(scope="session")
def phone(browser):
    """Return a page on a phone, offline: to load it again takes a third of what a new one does."""
    context = browser.new_context(**PHONE, offline=True)
    yield context.new_page()
    context.close()


@pytest.fixture
def open_page(browser, phone, share_once, request):
    """Return a function that shares a recogniser and opens its file on a phone, offline."""
    opened, errors, requests = [], [], []
    note_error = lambda error: errors.append(str(error))  # noqa: E731 - to take away again
    note_request = lambda request: requests.append(request.url)  # noqa: E731

    def open_page(recognizer=None, language="en", locale=None, viewport=VIEWPORT, **colors):
        page = phone
        if locale:
            page = browser.new_context(**PHONE, offline=True, locale=locale).new_page()
        opened.append(page)
        page.set_viewport_size({"width": 1100, "height": 800})  # what a test has set is undone
        page.set_viewport_size(viewport)
        page.emulate_media(**({"color_scheme": "light", "forced_colors": "none"} | colors))
        page.on("pageerror", note_error)
        page.on("request", note_request)
        page.goto(share_once(recognizer, language).as_uri())
        page.wait_for_selector("#steps li", state="attached")
        return page

    open_page.requests = requests
    yield open_page
    keep_picture(opened[-1], request.node)
    for page in opened:
        page.remove_listener("pageerror", note_error)
        page.remove_listener("request", note_request)
        if page is not phone:
            page.context.close()
    assert errors == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
