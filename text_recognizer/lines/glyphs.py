"""The images of characters that lines are made of, grouped by class."""

import torch

from text_recognizer.mapping import FIRST_CHARACTER, MAPPING, SPACE

GLYPH_SIZE = 28  # pixels: height and width of a glyph, and height of a line
NO_GLYPH = 0  # the index of the glyph without ink


class GlyphPool:
    """The images that lines are made of, uint8 (N, 28, 28), grouped by their labels, int64 (N,)."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor):
        order = torch.argsort(labels, stable=True)
        # Columns first, since a line is put together column by column; glyph 0 is blank.
        self.columns = torch.zeros((len(images) + 1, GLYPH_SIZE, GLYPH_SIZE), dtype=torch.uint8)
        torch.index_select(images.transpose(1, 2), 0, order, out=self.columns[1:])
        self.count = torch.bincount(labels, minlength=len(MAPPING))
        self.first = 1 + self.count.cumsum(0) - self.count

    def choose(self, labels: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
        """Return a glyph for each character: an index, int64 (B, L); NO_GLYPH where it has none.

        The labels are int64, (B, L); the random numbers, float64 (B, L) from 0 to below 1, say
        which of the glyphs of its class each takes.
        """
        has_ink = (labels >= FIRST_CHARACTER) & (labels != SPACE) & (self.count[labels] > 0)
        chosen = self.first[labels] + (draws * self.count[labels]).long()
        return torch.where(has_ink, chosen, NO_GLYPH)
