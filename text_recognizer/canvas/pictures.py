"""Pictures for the canvas: what the network sees, and a still where there is no browser."""

import base64
import html
import io
import os

import numpy as np
from IPython.display import HTML, display
from PIL import Image, ImageDraw, ImageFont

from text_recognizer.strokes import CANVAS_HEIGHT, Stroke

DATA_URI = "data:image/png;base64,"
INK_COLOUR = "#1f2328"
MAX_TOLD = 200  # characters of a text or an error: more is not seen on a canvas

# An output of its own above the canvas. It shows where a notebook is reopened without its kernel,
# in the place of "Error displaying widget: model not found", and on pages made of the notebook.
STILL = """<div class="hw-still"><style>
.jp-OutputArea-child:has(.hw-still):has(+ .jp-OutputArea-child > .lm-Panel:not(.jupyter-widgets)),
.output_area:has(.hw-still):has(+ .output_area :is(.hw-root, .ex-root)),
.jp-OutputArea-child:has(.hw-still) + .jp-OutputArea-child:has(> .lm-Panel.jupyter-widgets)
{{ display: none }}
</style><img src="{picture}" alt="{name}" style="max-height: 280px"></div>"""


def encode_data_uri(pixels: np.ndarray) -> str:
    """Return an image, uint8 (H, W), as the address of a PNG that holds it."""
    return DATA_URI + base64.b64encode(encode_png(Image.fromarray(pixels))).decode()


def encode_png(image: Image.Image) -> bytes:
    """Return the bytes of a PNG."""
    file = io.BytesIO()
    image.save(file, format="PNG", optimize=True)
    return file.getvalue()


def draw_still(strokes: list[Stroke], width: int, result: dict) -> bytes:
    """Draw a canvas and its result for where no browser shows it: a PNG, 2 pixels per unit."""
    size = (width + 260, CANVAS_HEIGHT) if "answers" in result else (width, CANVAS_HEIGHT + 60)
    # Drawn four times as large and then halved, for smooth edges.
    sheet = Image.new("RGB", (4 * size[0], 4 * size[1]), "white")
    pen, font, large = ImageDraw.Draw(sheet), ImageFont.load_default(60), ImageFont.load_default(96)
    frame = (2, 2, 4 * width - 3, 4 * CANVAS_HEIGHT - 3)
    pen.rounded_rectangle(frame, radius=32, outline="#d0d7de", width=4)
    for stroke in strokes:
        points = [(4 * x, 4 * y) for x, y, *_ in stroke]
        pen.line(points, fill=INK_COLOUR, width=20, joint="curve")
        for x, y in (points[0], points[-1]):
            pen.ellipse((x - 10, y - 10, x + 10, y + 10), fill=INK_COLOUR)
    for row, (character, probability) in enumerate(result.get("answers", [])):
        left, y = 4 * width + 80, 88 + 152 * row
        pen.text((left, y), character, font=font, fill=INK_COLOUR)
        bar = (left + 100, y + 12, left + 108 + 560 * probability, y + 60)
        pen.rounded_rectangle(bar, radius=12, fill="#1f5fbf" if row == 0 else "#a9c5ef")
        share = "<1%" if probability < 0.01 else f"{probability:.0%}"
        pen.text((left + 700, y), share, font=font, fill="#57606a")
    if "answers" not in result:
        told = result.get("error") or result.get("text", "")
        colour = "#b3261e" if "error" in result else INK_COLOUR
        pen.text((32, 4 * CANVAS_HEIGHT + 60), told[:MAX_TOLD], font=large, fill=colour)
    return encode_png(sheet.reduce(2).quantize(64))


def add_still(bundle: tuple | None, picture: bytes, name: str) -> tuple[dict, dict]:
    """Return the output of a widget with its picture, for where no browser shows the widget."""
    data, metadata = bundle or ({}, {})
    if "JPY_SESSION_NAME" not in os.environ:
        return data | {"image/png": picture}, metadata
    # JupyterLab or Notebook, in which the notebook may be reopened without its kernel.
    address = DATA_URI + base64.b64encode(picture).decode()
    display(HTML(STILL.format(picture=address, name=html.escape(name))))
    return data, metadata
