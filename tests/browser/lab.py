"""A real JupyterLab with a kernel, driven in headless Chromium: for the tests and the benchmark."""

import contextlib
import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np
import torch
from playwright.sync_api import sync_playwright

from lab_utils import LineRecognizer, sample_strokes
from text_recognizer.mapping import CHARACTERS

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
START = "import json, sys, lab_utils\nfrom lab_utils import *\n"

EXECUTE = """async code => {
  const { kernel } = jupyterapp.shell.currentWidget.sessionContext.session;
  const request = { code: "", store_history: false, user_expressions: { value: code } };
  const reply = await kernel.requestExecute(request).done;
  return reply.content.user_expressions.value;
}"""
RUN = """async code => {
  const { content } = jupyterapp.shell.currentWidget;
  content.activeCellIndex = 0;
  content.activeCell.model.sharedModel.setSource(code);
  await jupyterapp.commands.execute("notebook:run-cell");
}"""


def find_chromium() -> str | None:
    """Return the path of a Chromium or Chrome: what `CHROMIUM` names, else one of the usual."""
    names = [os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"]
    return next((path for name in names if name and (path := shutil.which(name))), None)


class Canvas:
    """A canvas in a page of a browser, written on by mouse.

    Parameters
    ----------
    page : playwright.sync_api.Page
    """

    def __init__(self, page):
        self.page = page

    def read(self) -> str:
        """Wait until all ink is read; return what the canvas shows as the answer."""
        self.page.wait_for_function(
            "() => !document.querySelector('.hw-root').classList.contains('hw-pending')"
        )
        return self.page.evaluate(
            """() => {
              const root = document.querySelector(".hw-root");
              const letters = [...root.querySelectorAll(".hw-letter")];
              if (letters.length) return letters.map(l => l.textContent).join("");
              return root.querySelector(".hw-bars .hw-character")?.textContent ?? "";
            }"""
        )

    def places(self, points, view: int = 0) -> list[tuple[float, float]]:
        """Return where points of the canvas are on the page."""
        box = self.page.locator(".hw-ink").nth(view).bounding_box()
        scale = box["height"] / 220
        return [(box["x"] + point[0] * scale, box["y"] + point[1] * scale) for point in points]

    def draw(self, strokes, view: int = 0) -> None:
        """Draw strokes by mouse, through every third of their points."""
        mouse = self.page.mouse
        for stroke in strokes:
            places = self.places([*stroke[:-1:3], stroke[-1]], view)
            mouse.move(*places[0])
            mouse.down()
            for place in places[1:]:
                mouse.move(*place)
            mouse.up()


class Lab(Canvas):
    """A notebook in JupyterLab, in a page of a browser.

    Attributes
    ----------
    page : playwright.sync_api.Page
    sent : list of str
        The messages to the kernel about widgets, since it was cleared last.
    strangers : list of str
        Requests to other machines.
    errors : list of str
        Exceptions that no script caught.
    """

    def __init__(self, page, url: str):
        super().__init__(page)
        self.url = url
        self.sent, self.strangers, self.errors = [], [], []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", self._on_request)
        page.on("websocket", lambda ws: ws.on("framesent", self._on_frame))
        self.open()

    def open(self) -> None:
        """Open the page, or open it again."""
        self.page.goto(self.url)
        self.page.wait_for_selector(".jp-Notebook", timeout=60_000)
        self.page.wait_for_function(
            "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel",
            timeout=60_000,
        )
        self.page.evaluate("jupyterapp.shell.collapseLeft()")

    def _on_request(self, request):
        if request.url.startswith(("http", "ws")) and "//127.0.0.1:" not in request.url:
            self.strangers.append(request.url)

    def _on_frame(self, payload):
        text = payload.decode("utf-8", "replace") if isinstance(payload, bytes) else payload
        if '"comm_msg"' in text:
            self.sent.append(text)

    def run(self, code: str) -> None:
        """Put code into the notebook's first cell and run it."""
        self.page.evaluate(RUN, code)

    def show(self, code: str) -> None:
        """Run code whose output is a canvas, called `canvas`, and wait for it."""
        self.run(f"canvas = None\n{code}")
        self.page.wait_for_selector(".hw-root[data-theme][data-number]")
        self.sent.clear()

    def python(self, expression: str):
        """Return the value of an expression in the kernel."""
        found = self.page.evaluate(EXECUTE, f"json.dumps({expression})")
        if found["status"] == "error":
            raise AssertionError(f"{found['ename']}: {found['evalue']}")
        text = found["data"]["text/plain"]
        return json.loads(eval(text))  # the repr of a str of JSON


@functools.cache
def line_recognizer() -> LineRecognizer:
    """Return the recogniser of lines that ships, the same for all tests."""
    return LineRecognizer.pretrained()


def find_free_port() -> int:
    """Return a port of this machine that nobody listens to."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextlib.contextmanager
def serve(command: list, port: int, log: Path, **environment: str):
    """Run a Jupyter server with the token "lab" until the end, once it answers."""
    with open(log, "w") as file:
        server = subprocess.Popen(
            command, env=os.environ | environment, stdout=file, stderr=subprocess.STDOUT
        )
        try:
            for _ in range(600):
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/api?token=lab").close()
                    break
                if server.poll() is not None:
                    raise RuntimeError(log.read_text())
                time.sleep(0.1)
            yield
        finally:
            server.terminate()
            server.wait()


@contextlib.contextmanager
def jupyterlab(**environment: str):
    """Start JupyterLab on an empty folder; yield its address, token and folder included."""
    port = find_free_port()
    with tempfile.TemporaryDirectory() as folder:
        notebook = {
            "cells": [{"cell_type": "code", "id": "cell", "source": "", "metadata": {}}],
            "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
            "nbformat": 4,
            "nbformat_minor": 5,
        }
        notebook["cells"][0] |= {"outputs": [], "execution_count": None}
        work = Path(folder) / "work"
        work.mkdir()
        (work / "canvas.ipynb").write_text(json.dumps(notebook))
        quiet = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
        (Path(folder) / "CONFIG/labconfig").mkdir(parents=True)
        (Path(folder) / "CONFIG/labconfig/page_config.json").write_text(json.dumps(quiet))
        own = {"LAB_OFFLINE": "1", "LAB_DATA_DIR": f"{folder}/data", "EMNIST_ARCHIVE": ""}
        own |= {f"JUPYTER_{kind}_DIR": f"{folder}/{kind}" for kind in ("CONFIG", "RUNTIME")}
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
        command += [
            f"--port={port}",
            "--IdentityProvider.token=lab",
            f"--notebook-dir={folder}/work",
        ]
        command += ["--LabApp.expose_app_in_browser=True"]
        with serve(command, port, Path(folder) / "log", **(own | environment)):
            yield f"http://127.0.0.1:{port}/lab/tree/canvas.ipynb?token=lab"


@contextlib.contextmanager
def chromium():
    """Start Chromium; it quits at the end."""
    with sync_playwright() as playwright:
        path = find_chromium()
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS, headless=True)
        yield browser
        browser.close()


def vary_drawings(count: int) -> list[list[list[tuple[float, float]]]]:
    """Return sample strokes of all characters in many sizes, places and slants, as pairs."""
    random = np.random.default_rng(0)
    drawings = []
    for i in range(count):
        scale, slant = random.choice([0.1, 0.5, 1, 3]), random.normal(0, 0.15, (2, 2))
        change = scale * (np.eye(2) + slant)
        strokes = sample_strokes(CHARACTERS[i % len(CHARACTERS)], i // len(CHARACTERS))
        points = [np.array([point[:2] for point in stroke]) for stroke in strokes]
        drawings.append([(curve @ change + 50).round(2).tolist() for curve in points])
    return drawings


def compare_answers(page, recognizer, images) -> tuple[float, int]:
    """Compare a shared page's answers with PyTorch's.

    Parameters
    ----------
    page : playwright.sync_api.Page
        Of `share(recognizer)`.
    recognizer : lab_utils.Recognizer
    images : torch.Tensor
        uint8, (N, 28, 28).

    Returns
    -------
    difference : float
        The largest, of all probabilities.
    other : int
        How many first answers are others.
    """
    script = "all => all.map(pixels => reader.probabilities(pixels))"
    found = torch.tensor(page.evaluate(script, images.flatten(1).tolist()))
    expected = recognizer.probabilities(images)
    other = (found.argmax(1) != expected.argmax(1)).sum()
    return float((found - expected).abs().max()), int(other)
