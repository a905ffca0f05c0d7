"""Lines drawn per second: glyph after glyph in a Python loop, against many lines at once.

Beside them, how long it takes only to copy the finished pixels: nothing can be faster.
"""

import resource
import sys
import time

import numpy as np
import torch
from tqdm import tqdm

from lab_utils import SEED, EMNISTLines
from text_recognizer.lines.batches import LineMaker
from text_recognizer.lines.glyphs import GLYPH_SIZE

LINES, BLOCK = 14_000, 250
SOME = 2_000  # lines are enough to time the plain way
UNIT = 2**20 if sys.platform == "darwin" else 2**10  # macOS counts bytes, Linux KiB


def measure_peak() -> float:
    """Return the most memory that this process has held so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / UNIT


class OneByOne:
    """The plain way, as the published lab did it: phrase by phrase, glyph by glyph."""

    def __init__(self, maker: LineMaker, mapping: list[str], overlap: float):
        self.text = maker.sentences.text
        self.word_starts = [0, *(i + 1 for i, name in enumerate(self.text) if name == " ")]
        images = maker.pool.columns.transpose(1, 2).contiguous()
        bounds = zip(maker.pool.first.tolist(), maker.pool.count.tolist(), strict=True)
        self.glyphs = {
            name: images[first : first + count]
            for name, (first, count) in zip(mapping, bounds, strict=True)
        }
        self.overlap = overlap
        self.random = np.random.default_rng(SEED)

    def choose_phrase(self, max_length: int) -> str:
        while True:
            first = int(self.random.integers(len(self.word_starts) - 1))
            start, ends = self.word_starts[first], []
            for next_word in range(first + 1, len(self.word_starts)):
                end = self.word_starts[next_word] - 1
                if end - start > max_length:
                    break
                ends.append(end)
            if ends:
                return self.text[start : self.random.choice(ends)]

    def draw_line(self, max_length: int) -> torch.Tensor:
        """Return one line, uint8 (28, 28 * max_length)."""
        step = GLYPH_SIZE - int(self.random.uniform(0, self.overlap) * GLYPH_SIZE)
        paper = torch.zeros((GLYPH_SIZE, GLYPH_SIZE * max_length), dtype=torch.int16)
        for i, name in enumerate(self.choose_phrase(max_length)):
            known = self.glyphs[name]
            if len(known):
                paper[:, i * step : i * step + GLYPH_SIZE] += known[
                    self.random.integers(len(known))
                ]
        return paper.clamp(max=255).to(torch.uint8)


def main() -> None:
    data = EMNISTLines()
    maker = data.build_maker("train")
    width, numbers = data.dims[-1], np.arange(LINES)
    print(f"{LINES:,} lines of {data.settings.max_length} characters at most, {width} columns")
    blocks = np.array_split(numbers, LINES // BLOCK)

    maker.draw(blocks[0])  # once before, as the plain way, too, knows its words beforehand

    before = measure_peak()
    start = time.perf_counter()
    for block in tqdm(blocks, desc="at once", delay=2):
        images, _ = maker.draw(block)
    at_once = time.perf_counter() - start
    print(
        f"many lines at once: {LINES / at_once:,.0f} lines per second; "
        f"at most {measure_peak():.0f} MiB in all, {before:.0f} of them before"
    )

    plain = OneByOne(maker, data.mapping, data.settings.max_overlap)
    start = time.perf_counter()
    for _ in tqdm(range(SOME), desc="one by one", delay=2):
        plain.draw_line(data.settings.max_length)
    one_by_one = (time.perf_counter() - start) * LINES / SOME
    print(f"glyph after glyph: {LINES / one_by_one:,.0f} lines per second")

    start = time.perf_counter()
    for _ in blocks:
        images.clone()
    copied = time.perf_counter() - start
    print(f"copying finished pixels: {LINES / copied:,.0f} lines per second")
    print(f"at once {one_by_one / at_once:.1f} times as fast; copying alone {at_once / copied:.1f}")

    data = EMNISTLines(style="realistic")
    maker = data.build_maker("train")
    start = time.perf_counter()
    for block in tqdm(blocks[: SOME // BLOCK], desc="realistic", delay=2):
        maker.draw(block)
    print(f"realistic: {SOME / (time.perf_counter() - start):,.0f} lines per second")


if __name__ == "__main__":
    main()
