"""Finds ink of a line that was read as no character, so that nothing is lost in silence."""

import torch

from text_recognizer.mapping import FIRST_CHARACTER, MAPPING, SPACE
from text_recognizer.models.line_cnn import LineCNN
from text_recognizer.reading.masks import find_runs

UNREAD = "\N{WHITE SQUARE}"  # stands in a text for ink that was not read
INK = 100  # of 255
MIN_COLUMNS = 6  # so wide is a narrow letter with the pen around it
REACH = 3  # columns beside its ink at which a character may have been read
COLUMNS_A_STEP = LineCNN.STEP // LineCNN.ANSWERS  # of a line: of each answer

Unread = tuple[int, list[tuple[str, float]]]


def find_unread(
    image: torch.Tensor, logits: torch.Tensor, labels: list[int], steps: list[int], count: int
) -> list[Unread]:
    """Return where ink as wide as a letter, apart from all other ink, got no character.

    A network with CTC has read the line `image`, (28, W), as these labels at these steps of the
    logits, float32 (classes, S). Each place, in the text before which it is, comes with what it
    may be: `count` names with probabilities, `UNREAD` with that of a blank first. The last places
    come first.
    """
    has_ink = (image > INK / 255 * image.max()).any(0, keepdim=True)
    _, starts, ends = (part.tolist() for part in find_runs(has_ink.numpy()))
    found: list[Unread] = []
    read = [COLUMNS_A_STEP * s for n, s in zip(labels, steps, strict=True) if n != SPACE]
    for start, end in zip(starts, ends, strict=True):
        if end - start < MIN_COLUMNS or any(start - REACH <= s <= end + REACH for s in read):
            continue
        said = logits[:, start // COLUMNS_A_STEP : -(-end // COLUMNS_A_STEP)].softmax(0).mean(1)
        likely, best = said[FIRST_CHARACTER:].topk(count - 1)
        names = [UNREAD, *(MAPPING[FIRST_CHARACTER + i] for i in best.tolist())]
        shares = [said[:FIRST_CHARACTER].sum().item(), *likely.tolist()]
        place = sum(COLUMNS_A_STEP * step < start for step in steps)
        found.append((place, list(zip(names, shares, strict=True))))
    return found[::-1]
