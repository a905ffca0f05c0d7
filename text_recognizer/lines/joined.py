"""Joined-up lines by their numbers: those of a file first, then variations of them without end."""

import numpy as np
import torch
from numpy.typing import ArrayLike

from text_recognizer.counter_rng import SEED, draw_random
from text_recognizer.errors import LabError
from text_recognizer.lines.batches import CACHED_LINES, LineSettings, finish_labels
from text_recognizer.lines.glyphs import GLYPH_SIZE
from text_recognizer.lines.render import find_used_columns
from text_recognizer.mapping import PADDING, PARTS

# How a variation differs from its line, drawn evenly from low to high.
VARIATION = (
    (0.9, 1.12),  # width
    (-0.15, 0.15),  # slant: pixels to the side for each pixel up
    (-0.4, 0.6),  # thickness: how far each pixel goes towards the brightest of its neighbours
    (0.65, 1.0),  # brightness of the ink
)
MAX_STRETCH, MAX_SLANT = VARIATION[0][1], VARIATION[1][1]


class JoinedLineMaker:
    """Draws the joined-up lines of one part, any numbers of them at once.

    The images are uint8, (N, 28, W), and the labels uint8, (N, length), padded. LabError if none of
    the lines is as short as `settings.max_length` asks for.
    """

    def __init__(self, settings: LineSettings, part: str, images: torch.Tensor, labels: np.ndarray):
        self.settings = settings
        self.seed = SEED + 401 + PARTS.index(part)
        used = find_used_columns(images.unsqueeze(1)).numpy()
        lengths = (labels != PADDING).sum(1)
        fits = (lengths <= settings.text_length) & (
            _vary_widths(used, MAX_STRETCH, MAX_SLANT) <= settings.width
        )
        if not fits.any():
            raise LabError(
                f"max_length={settings.max_length}: no joined-up line of {part} is so short. "
                "Make it longer."
            )
        self.used, length = used[fits], min(labels.shape[1], settings.text_length)
        self.images = images[torch.from_numpy(fits), :, : self.used.max()].numpy()
        self.text = np.zeros((len(self.used), settings.text_length), np.uint8)
        self.text[:, :length] = np.where(labels == PADDING, 0, labels)[fits, :length]

    def write_labels(self, numbers: np.ndarray) -> np.ndarray:
        """Return the labels of lines, padded: uint8, (B, max_length)."""
        return finish_labels(self.text[numbers % len(self.text)], self.settings)

    def draw(self, numbers: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the lines of the given numbers, as `LineMaker.draw` does."""
        chosen = numbers % len(self.used)
        lines = np.zeros((len(numbers), GLYPH_SIZE, self.settings.width), np.uint8)
        lines[:, :, : self.images.shape[2]] = self.images[chosen]
        later = np.flatnonzero(numbers >= len(self.used))
        for start in range(0, len(later), CACHED_LINES):
            some = later[start : start + CACHED_LINES]
            columns = int(self.measure_widths(numbers[some]).max())
            variations = self._draw_variations(numbers[some])
            lines[some] = 0
            lines[some, :, :columns] = _vary(self.images[chosen[some]], variations, columns)
        return torch.from_numpy(lines), torch.from_numpy(self.write_labels(numbers)).long()

    def measure_widths(self, numbers: np.ndarray) -> torch.Tensor:
        """Return about how many columns lines have, without drawing them: int64 (B,)."""
        used = self.used[numbers % len(self.used)]
        stretch, slant = self._draw_variations(numbers)[:2]
        return torch.from_numpy(
            np.where(numbers < len(self.used), used, _vary_widths(used, stretch, slant))
        )

    def _draw_variations(self, numbers: np.ndarray) -> np.ndarray:
        """Return how lines differ from those of the file, by `VARIATION`: float64 (4, B)."""
        low, high = np.array(VARIATION).T
        return (low + (high - low) * draw_random(self.seed, numbers, len(VARIATION))).T


def _vary_widths(used: np.ndarray, stretch: ArrayLike, slant: ArrayLike) -> np.ndarray:
    lean = np.abs(slant) * (GLYPH_SIZE - 1)
    return np.ceil((used + 1) * stretch + lean).astype(np.int64) + 1  # strokes may get thicker


def _vary(images: np.ndarray, variation: np.ndarray, columns: int) -> np.ndarray:
    """Return variations, float64 (4, B) as of VARIATION, of lines: uint8 (B, 28, columns)."""
    stretch, slant, thickness, brightness = variation[..., None, None]
    # In whole numbers of 1/256, so that no last bit depends on the machine.
    padded = np.pad(images, ((0, 0), (1, 1), (2, 3))).astype(np.int32)
    ink = padded[:, 1:-1, 1:-1]
    cross = [ink, padded[:, :-2, 1:-1], padded[:, 2:, 1:-1], padded[:, 1:-1, :-2]]
    cross.append(padded[:, 1:-1, 2:])
    goal = np.where(thickness > 0, np.maximum.reduce(cross), np.minimum.reduce(cross))
    ink = ink + ((goal - ink) * _to_256ths(np.abs(thickness)) >> 8)
    ink = ink * _to_256ths(brightness) >> 8

    # Where each pixel is read from; nothing is pushed out at the left.
    up = np.arange(GLYPH_SIZE - 1, -1, -1)[:, None]
    lean = slant * up - np.minimum(slant, 0) * (GLYPH_SIZE - 1)
    there = _to_256ths((np.arange(columns) - lean) / stretch)
    there = there.clip(-256, 256 * images.shape[2])
    left, share = there >> 8, there & 255
    ink_left = np.take_along_axis(ink, left + 1, 2)  # one column of ink is before the first
    ink_right = np.take_along_axis(ink, left + 2, 2)
    return (ink_left + ((ink_right - ink_left) * share >> 8)).astype(np.uint8)


def _to_256ths(values: np.ndarray) -> np.ndarray:
    return np.rint(values * 256).astype(np.int64)
