"""One JupyterLab and one Chromium for all tests in here; a page of its own for each test."""

import os
from pathlib import Path

import pytest
from lab import SCREENSHOTS, START, Lab, chromium, find_chromium, jupyterlab

HERE = str(Path(__file__).parent)
CHECKOUT = str(Path(__file__).parents[2])  # not another one that is installed


def pytest_collection_modifyitems(items):
    items = [item for item in items if Path(HERE) in item.path.parents]
    for item in items:
        item.add_marker(pytest.mark.xdist_group("browser"))
    if find_chromium() is None:
        reason = "no Chromium or Chrome found: install one, or set CHROMIUM to its path"
        for item in items:
            item.add_marker(pytest.mark.skip(reason=reason))


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
    """Return the notebook; what it shows at the end is kept as a picture."""
    session_lab.errors.clear()
    yield session_lab
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    session_lab.page.screenshot(path=SCREENSHOTS / f"{request.node.name}.png")
    session_lab.page.keyboard.up("Control")
    assert session_lab.errors == []
    assert session_lab.strangers == []
