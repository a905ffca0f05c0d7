"""Makes the pictures of the README and the site: a word written and read, and one of each notebook.

    python tools/course/make_pictures.py            # all
    python tools/course/make_pictures.py previews   # those of the notebooks' outputs, in a second

The word is written by mouse on a canvas in JupyterLab in headless Chromium, which is the machinery
of `tests/browser`; each frame is a screenshot.
"""

import argparse
import base64
import io
import json
import sys
import time
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "labs" / "pictures"
RECORDING = PICTURES / "canvas.webp"
WORD, VARIANT = "Handwriting", 1  # fits on the canvas
WIDTH = 720  # pixels of the recording: sharp on a phone
SPEED = 1100  # of the pen, in units of the canvas (220 high) per second
FRAME = 40  # milliseconds of a frame while the pen moves
PAUSE, END = 220, 2500  # milliseconds between strokes, and with the answer at the end
PREVIEW = (300, 180)  # pixels

# What shows a notebook in one picture: which of its pictures, and a part of it, from 0 to 1.
PREVIEWS = {
    "01_look_at_emnist": (4, (0.0, 0.0, 0.495, 0.73)),
    "02_train_cnn": (9, (0.0, 0.0, 0.445, 1.0)),
    "03_overfit": (3, (0.0, 0.0, 0.38, 1.0)),
    "04_build_lines": (4, (0.0, 0.0, 1.0, 1.0)),
    "05_read_lines": (2, (0.0, 0.0, 0.605, 0.96)),
    "06_draw_your_own": (0, (0.0, 0.0, 1.0, 1.0)),
    "07_homework_resnet": (0, (0.0, 0.0, 1.0, 1.0)),
}


def find_pictures(notebook: Path) -> list[Image.Image]:
    """Return all pictures among the outputs of a notebook, on white."""
    pictures = []
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            if content := output.get("data", {}).get("image/png"):
                picture = Image.open(io.BytesIO(base64.b64decode(content))).convert("RGBA")
                paper = Image.new("RGBA", picture.size, "white")
                pictures.append(Image.alpha_composite(paper, picture).convert("RGB"))
    return pictures


def make_preview(picture: Image.Image, part: tuple[float, float, float, float]) -> Image.Image:
    """Return a part of a picture, as large as fits, in the middle of a white one."""
    width, height = picture.size
    picture = picture.crop([round(p * s) for p, s in zip(part, (width, height) * 2, strict=True)])
    picture.thumbnail(PREVIEW, Image.Resampling.LANCZOS)
    preview = Image.new("RGB", PREVIEW, "white")
    place = [(whole - own) // 2 for whole, own in zip(PREVIEW, picture.size, strict=True)]
    preview.paste(picture, place)
    return preview


def keep(path: Path, picture: Image.Image, **options) -> None:
    """Write a picture, whole or not at all, and print its size."""
    partial = path.with_name(path.name + ".partial")
    picture.save(partial, path.suffix[1:], **options)
    partial.replace(path)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")


def record() -> tuple[list[Image.Image], list[int]]:
    """Write the word on a canvas, stroke by stroke.

    Returns
    -------
    frames : list of PIL.Image.Image
    durations : list of int
        Milliseconds.
    """
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "browser")]
    from lab import START, Lab, chromium, jupyterlab

    from lab_utils import sample_strokes

    frames, durations = [], []
    with jupyterlab(PYTHONPATH=str(ROOT)) as url, chromium() as browser:
        screen = {"viewport": {"width": 1100, "height": 800}, "device_scale_factor": 1}
        lab = Lab(browser.new_context(**screen).new_page(), url)
        lab.run(START)
        lab.show("canvas = HandwritingCanvas(mode='line', language='en')\ncanvas")
        canvas = lab.page.locator(".hw-root")
        below = lab.page.locator(".hw-root details").first
        mouse = lab.page.mouse

        def shoot(duration: int) -> None:
            picture = Image.open(io.BytesIO(canvas.screenshot())).convert("RGB")
            height = below.bounding_box()["y"] - canvas.bounding_box()["y"]
            frames.append(picture.crop((0, 0, picture.width, round(height))))
            durations.append(duration)

        shoot(PAUSE)
        for stroke in sample_strokes(WORD, VARIANT):
            places = lab.places(stroke)
            mouse.move(*places[0])
            mouse.down()
            way = 0.0
            for before, point, place in zip(stroke, stroke[1:], places[1:], strict=False):
                mouse.move(*place)
                way += ((point[0] - before[0]) ** 2 + (point[1] - before[1]) ** 2) ** 0.5
                if way > SPEED * FRAME / 1000:
                    shoot(FRAME)
                    way = 0.0
            mouse.up()
            lab.read()
            time.sleep(0.3)  # until what the answer fades in with is over
            shoot(PAUSE)
        mouse.move(0, 0)
        shoot(END)
        if (found := lab.read()) != WORD:
            raise SystemExit(f"The network reads {found!r}, not {WORD!r}: write another word.")
    return frames, durations


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("which", nargs="?", choices=["all", "previews"], default="all")
    options = parser.parse_args()
    PICTURES.mkdir(exist_ok=True)
    for name, (which, part) in PREVIEWS.items():
        picture = find_pictures(ROOT / "labs" / f"{name}.ipynb")[which]
        keep(PICTURES / f"{name}.webp", make_preview(picture, part), quality=85, method=6)
    if options.which == "previews":
        return
    frames, durations = record()
    height = max(frame.height for frame in frames)
    same = []
    for frame in frames:  # the answer makes it higher
        paper = Image.new("RGB", (frame.width, height), "white")
        paper.paste(frame)
        size = (WIDTH, round(height * WIDTH / frame.width))
        same.append(paper.resize(size, Image.Resampling.LANCZOS))
    more = {"append_images": same[1:], "duration": durations, "loop": 0}
    keep(RECORDING, same[0], save_all=True, quality=80, method=4, **more)
    print(f"{len(same)} frames, {sum(durations) / 1000:.1f} s")


if __name__ == "__main__":
    main()
