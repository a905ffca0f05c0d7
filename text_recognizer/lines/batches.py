"""Draws the lines of EMNISTLines by their numbers: the same number is always the same line."""

from typing import Any, NamedTuple

import numpy as np
import torch

from text_recognizer.counter_rng import SEED, draw_random
from text_recognizer.lines.glyphs import GLYPH_SIZE, GlyphPool
from text_recognizer.lines.render import (
    GLYPH_DRAWS,
    LINE_DRAWS,
    draw_plain_lines,
    draw_realistic_lines,
)
from text_recognizer.mapping import END, FIRST_CHARACTER, MAPPING, PADDING, PARTS, START
from text_recognizer.threads import one_thread

STYLES = ("plain", "realistic", "both", "joined")
REALISTIC_STEP = 11  # columns that a character takes, about
CACHED_LINES = 64  # lines that are computed pixel by pixel at a time, so that they stay in cache


class LineSettings(NamedTuple):
    """How lines look; `EMNISTLines` explains each."""

    max_length: int
    min_overlap: float
    max_overlap: float
    with_start_end_tokens: bool
    fresh_glyphs: bool
    style: str

    @property
    def width(self) -> int:
        """The columns of an image of a line."""
        return GLYPH_SIZE * self.max_length

    @property
    def text_length(self) -> int:
        """How many characters of text a line has at most."""
        return self.max_length - 2 * self.with_start_end_tokens


def finish_labels(text: np.ndarray, settings: LineSettings) -> np.ndarray:
    """Return the labels of lines, uint8 (B, max_length), padded and with tokens as settings say.

    The text is uint8, (B, settings.text_length): indices into the mapping, 0 after the end.
    """
    labels = np.where(text, text, PADDING).astype(np.uint8)
    if settings.with_start_end_tokens:
        labels = np.pad(labels, ((0, 0), (1, 1)), constant_values=PADDING)
        labels[:, 0] = START
        labels[np.arange(len(text)), 1 + (text > 0).sum(1)] = END
    return labels


class LineMaker:
    """Draws the lines of one part from its glyphs and its text, any numbers of them at once.

    The text is that of `sentences.write_labels`, as `SentenceGenerator` has it.
    """

    def __init__(self, settings: LineSettings, part: str, pool: GlyphPool, sentences: Any):
        self.settings = settings
        self.sentences = sentences
        self.pool = pool
        self.seed = SEED + 1 + PARTS.index(part)

    def write_labels(self, numbers: np.ndarray) -> np.ndarray:
        """Return the labels of lines, padded: uint8, (B, max_length)."""
        text = self.sentences.write_labels(numbers, self.settings.text_length)
        return finish_labels(text, self.settings)

    @one_thread()
    def draw(self, numbers: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Return lines, uint8 (B, 28, 28 * max_length), and labels, int64 (B, max_length)."""
        labels = torch.from_numpy(self.write_labels(numbers)).long()
        text = labels[:, 1:] if self.settings.with_start_end_tokens else labels
        if self.settings.fresh_glyphs:
            of_glyph = self._draw_random("glyph", numbers, text.shape[1])
        else:
            of_glyph = self._draw_random("glyph", numbers, len(MAPPING)).gather(1, text)
        glyphs = self.pool.choose(text, of_glyph)
        is_plain, steps = self._is_plain(numbers), self._draw_steps(numbers)
        width = self.settings.width
        if is_plain.all():
            return draw_plain_lines(self.pool, glyphs, steps, width), labels
        images = torch.empty((len(text), GLYPH_SIZE, width), dtype=torch.uint8)
        images[is_plain] = draw_plain_lines(self.pool, glyphs[is_plain], steps[is_plain], width)
        of_line = self._draw_random("writer", numbers, LINE_DRAWS)
        more = self._draw_random("more", numbers, text.shape[1] * GLYPH_DRAWS)
        more = more.view(*text.shape, GLYPH_DRAWS)
        for some in torch.nonzero(~is_plain).squeeze(1).split(CACHED_LINES):
            images[some] = draw_realistic_lines(
                self.pool, text[some], glyphs[some], of_line[some], more[some], width
            )
        return images, labels

    def measure_widths(self, numbers: np.ndarray) -> torch.Tensor:
        """Return about how many columns lines have, without drawing them: int64 (B,)."""
        characters = torch.from_numpy((self.write_labels(numbers) >= FIRST_CHARACTER).sum(1))
        return characters * torch.where(
            self._is_plain(numbers), self._draw_steps(numbers), REALISTIC_STEP
        )

    def _is_plain(self, numbers: np.ndarray) -> torch.Tensor:
        if self.settings.style == "both":
            return torch.from_numpy(numbers % 2 == 0)
        return torch.full((len(numbers),), self.settings.style == "plain")

    def _draw_random(self, what: str, numbers: np.ndarray, count: int) -> torch.Tensor:
        """Return the random numbers of lines for one purpose: float64 (B, count)."""
        seed = self.seed + 100 * ("overlap", "glyph", "writer", "more").index(what)
        return torch.from_numpy(draw_random(seed, numbers, count))

    def _draw_steps(self, numbers: np.ndarray) -> torch.Tensor:
        """Return the columns from one glyph to the next, of lines in plain style: int64 (B,)."""
        low, high = self.settings.min_overlap, self.settings.max_overlap
        draws = self._draw_random("overlap", numbers, 1)[:, 0]
        return GLYPH_SIZE - ((low + (high - low) * draws) * GLYPH_SIZE).long()
