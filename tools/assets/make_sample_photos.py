"""Make the photographs that stand in for a student's: data/sample_character.jpg, sample_line.jpg.

    python tools/assets/make_sample_photos.py

Each shows pencil on ruled paper on a desk, a little turned, in the shadow of a hand: our own
sample strokes, drawn with everything that the preparation has to remove again.
"""

import itertools
from pathlib import Path

import cv2
import numpy as np

from lab_utils import SEED
from text_recognizer.strokes import Stroke, sample_strokes

DATA = Path(__file__).resolve().parents[2] / "data"
PAPER = np.array([206, 219, 224.0])  # blue, green, red, as OpenCV has them
DESK = np.array([58, 74, 92.0])
RULES = np.array([190, 150, 120.0])
PENCIL = 72.0
RULE_SPACING = 74  # pixels
PEN = 7.0  # pixels


def photograph(
    strokes: list[Stroke], size: tuple[int, int], scale: float, degrees: float, desk: float
) -> np.ndarray:
    """Return strokes on paper as uint8 (H, W, 3).

    Parameters
    ----------
    strokes : list of Stroke
        In the canvas's units.
    size : tuple of int
        Width and height in pixels.
    scale : float
        Pixels per unit.
    degrees : float
        How far the paper is turned.
    desk : float
        The share of the width that shows the desk beside the paper.
    """
    width, height = size
    random = np.random.default_rng(SEED)
    rows, columns = np.mgrid[:height, :width]

    paper = np.broadcast_to(PAPER, (height, width, 3)).copy()
    ruled = (rows % RULE_SPACING) < 2
    paper[ruled] = RULES

    points = np.concatenate([[point[:2] for point in stroke] for stroke in strokes]) * scale
    move = np.array([width, height]) / 2 - (points.min(0) + points.max(0)) / 2
    ink = np.zeros((height, width), np.uint8)
    for stroke in strokes:
        for start, end in itertools.pairwise(stroke):
            ends = [
                np.rint((np.array(p[:2]) * scale + move) * 16).astype(int) for p in (start, end)
            ]
            pen = round(PEN * (0.7 + 0.6 * start[3]))
            cv2.line(ink, ends[0], ends[1], 255, pen, cv2.LINE_AA, shift=4)
    # Pencil catches on the grain of the paper.
    grain = cv2.GaussianBlur(random.random((height, width)), (0, 0), 1.2)
    grain = np.clip((grain - grain.mean()) / grain.std() * 0.16 + 0.8, 0.3, 1)
    cover = (cv2.GaussianBlur(ink, (0, 0), 0.8) / 255 * grain)[..., None]
    paper = paper * (1 - cover) + PENCIL * cover

    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    turned = cv2.warpAffine(paper, turn, size, flags=cv2.INTER_AREA, borderValue=PAPER.tolist())
    is_desk = (columns - 0.06 * rows < desk * width)[..., None] & (desk > 0)
    picture = np.where(is_desk, DESK, turned)

    light = 1.06 - 0.28 * (columns + rows) / (width + height)
    hand = 1 / (1 + np.exp(-(columns + 0.5 * rows - 0.86 * width) / 18))
    picture *= (light * (1 - 0.34 * hand))[..., None]
    picture += random.normal(0, 3.5, picture.shape)
    return cv2.GaussianBlur(np.clip(picture, 0, 255).astype(np.uint8), (0, 0), 0.7)


def main() -> None:
    photos = {
        "sample_character.jpg": photograph(sample_strokes("R"), (760, 640), 2.2, 1.6, 0.045),
        "sample_line.jpg": photograph(sample_strokes("read my hand"), (1500, 460), 1.15, 0.7, 0),
    }
    for name, photo in photos.items():
        cv2.imwrite(str(DATA / name), photo, [cv2.IMWRITE_JPEG_QUALITY, 82])
        print(name, f"{(DATA / name).stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
