"""Pastes glyphs into images of lines, many lines at once: as published, or as people write."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.lib.stride_tricks import as_strided

from text_recognizer.lines.glyphs import GLYPH_SIZE, NO_GLYPH, GlyphPool
from text_recognizer.mapping import CHARACTERS, MAPPING

# The realistic style: what differs from line to line, drawn evenly from low to high, in pixels.
WRITER = (
    (13.0, 19.0),  # the height of capitals
    (0.5, 0.68),  # of small letters, in heights of capitals
    (19.5, 21.0),  # the baseline: rows from the top
    (-0.15, 0.25),  # slant: pixels to the side for each pixel up
    (0.0, 2.5),  # gap between letters
    (5.0, 12.0),  # and between words
    (0.75, 1.0),  # the darkest ink, of white on black
    (0.02, 0.3),  # thickness: the brightness at which ink begins, so less is thicker
    (0.0, 0.08),  # noise of the paper, of full brightness
    *[(0.0, 1.0)] * 3,  # how the baseline drifts, and where the noise is cut out
)
LINE_DRAWS = len(WRITER)
GLYPH_DRAWS = 3  # size, gap and height
DRIFT = 1.0  # pixels by which the baseline moves up or down along the line
JITTER = 0.06  # how far sizes of glyphs vary; gaps vary by 10 and heights by 6 times as many pixels
BOX_MARGIN = 4  # columns left of a glyph in its box, into which it may slant
NOISE_COLUMNS = 4096


def draw_plain_lines(
    pool: GlyphPool, glyphs: torch.Tensor, steps: torch.Tensor, width: int
) -> torch.Tensor:
    """Put glyphs side by side, each line with its own overlap, as the published lab did.

    Where ink overlaps it adds up to white at most; it never wraps around. `glyphs`, int64 (B, L),
    are indices into the pool, and `steps`, int64 (B,), the columns from one glyph to the next, 1
    to 28. The lines are uint8, (B, 28, width), and lie in memory column by column.
    """
    # All glyphs of a line lie equally far apart. So each is cut into pieces one step wide: the
    # first piece falls into the glyph's own slot, the next into the slot to its right.
    paper = np.zeros((len(glyphs), width + GLYPH_SIZE, GLYPH_SIZE), np.uint8)
    lines, slots = torch.nonzero(glyphs, as_tuple=True)
    step_of = steps[lines]
    for step in steps.unique().tolist():
        chosen = torch.nonzero(step_of == step).squeeze(1)
        line, slot = lines[chosen].numpy(), slots[chosen].numpy()
        images = pool.columns.index_select(0, glyphs[line, slot]).flatten(1).numpy()
        # The same memory, seen as slots.
        shape = (len(paper), (width + GLYPH_SIZE) // step, step * GLYPH_SIZE)
        canvas = as_strided(paper, shape, (paper.strides[0], step * GLYPH_SIZE, 1))
        canvas[line, slot] = images[:, : step * GLYPH_SIZE]
        for piece in range(1, -(-GLYPH_SIZE // step)):
            ink = images[:, piece * step * GLYPH_SIZE : (piece + 1) * step * GLYPH_SIZE]
            there = canvas[line, slot + piece, : ink.shape[1]]
            canvas[line, slot + piece, : ink.shape[1]] = there + np.minimum(ink, 255 - there)
    return torch.from_numpy(paper[:, :width]).transpose(1, 2)


# Where the characters of each class stand, in heights of a capital: (83,) each.
_TOP = torch.tensor([{"t": 0.85, "i": 0.9, "j": 0.9}.get(name, 1.0) for name in MAPPING])
_BOTTOM = torch.tensor([-0.33 if name in "gjpqy" else 0.0 for name in MAPPING])
_IS_SMALL = torch.tensor([name in "acegmnopqrsuvwxyz" for name in MAPPING])  # as high as an x
_IS_BOXED = torch.tensor([name not in CHARACTERS for name in MAPPING])  # as in its image
_NOISE = torch.randn(GLYPH_SIZE, NOISE_COLUMNS, generator=torch.Generator().manual_seed(0))


def draw_realistic_lines(
    pool: GlyphPool,
    labels: torch.Tensor,
    glyphs: torch.Tensor,
    line_draws: torch.Tensor,
    glyph_draws: torch.Tensor,
    width: int,
) -> torch.Tensor:
    """Write each line as one writer would: on a baseline, small letters small, a g below it.

    `labels` and `glyphs`, int64 (B, L), are the characters and their glyphs in the pool. What the
    writer is like and how each glyph differs follow from random numbers from 0 to below 1, float64
    (B, LINE_DRAWS) and (B, L, GLYPH_DRAWS). The lines are uint8, (B, 28, width).
    """
    low, high = torch.tensor(WRITER).T
    writer = low + (high - low) * line_draws.float()
    capital, x_height, baseline, slant, letter_gap, word_gap, *rest = writer.unbind(1)
    ink, threshold, noise, wave, phase, noise_start = rest

    # How large each glyph becomes: its ink, from top to bottom, as its class asks for.
    has_ink = glyphs != NO_GLYPH
    line = torch.nonzero(has_ink)[:, 0]  # of each glyph with ink; its columns are below
    images = pool.columns.index_select(0, glyphs[has_ink]).transpose(1, 2)
    left, right, top_row, bottom_row = _find_extents(images)
    top, bottom, is_small, is_boxed = (
        values[labels[has_ink]] for values in (_TOP, _BOTTOM, _IS_SMALL, _IS_BOXED)
    )
    top = torch.where(is_small, x_height[line], top)
    scale = (top - bottom) * capital[line] / (bottom_row - top_row)
    scale = torch.minimum(scale, 22 / (right - left))  # flat ones stay narrow
    scale = torch.where(is_boxed, capital[line] / 24, scale)
    jitter = (glyph_draws[has_ink].float() * 2 - 1) * JITTER
    scale = scale * (1 + jitter[:, 0])

    # Where it stands.
    advance = word_gap[:, None].expand(glyphs.shape).clone()
    advance[has_ink] = (right - left) * scale + letter_gap[line] + 10 * jitter[:, 1]
    advance = advance.clamp_min_(2.0)
    x = BOX_MARGIN + 2 + advance.cumsum(1) - advance
    box = x.floor()
    angle = 6.28 * phase[:, None] + x * (0.002 + 0.02 * wave[:, None])
    # Rounded, since the last bit of a sine depends on how many are computed at once.
    drift = DRIFT * (angle.double().sin() * 1024).round().float() / 1024
    line_row = (baseline[:, None] + drift)[has_ink] + 6 * jitter[:, 2]
    from_box = BOX_MARGIN + (x - box)[has_ink]

    row = line_row - torch.where(is_boxed, 0, bottom) * capital[line]
    from_row = torch.where(is_boxed, 26, bottom_row)
    boxes = _draw_boxes(
        images, scale, (from_box, row), (left, from_row), slant[line], threshold[line]
    )

    numbers = torch.zeros_like(glyphs)
    numbers[has_ink] = torch.arange(1, len(line) + 1)
    ends = ((x * has_ink).amax(1) + GLYPH_SIZE).ceil().clamp_max(width)
    used = int(ends.max())
    inked = _paste(boxes, numbers, box.long() - BOX_MARGIN, used).float() * ink[:, None, None]
    start = (noise_start[:, None] * (NOISE_COLUMNS - width)).long()
    columns = torch.arange(used)
    paper = _NOISE[:, (start + columns) % NOISE_COLUMNS].transpose(0, 1)
    inked += paper * (255 * noise[:, None, None]) * (columns < ends[:, None])[:, None]
    lines = torch.zeros((len(glyphs), GLYPH_SIZE, width), dtype=torch.uint8)
    lines[:, :, :used] = inked.clamp_(0, 255).to(torch.uint8)
    return lines


def _draw_boxes(
    images: torch.Tensor,
    scale: torch.Tensor,
    here: tuple[torch.Tensor, torch.Tensor],
    there: tuple[torch.Tensor, torch.Tensor],
    slant: torch.Tensor,
    threshold: torch.Tensor,
) -> torch.Tensor:
    """Draw glyphs after a blank box, each point `there` at `here`: uint8 (N + 1, columns, rows)."""
    pixels = torch.arange(GLYPH_SIZE) + 0.5
    above = here[1][:, None] - pixels  # (N, 28 rows)
    y = there[1][:, None] - above / scale[:, None]
    offset = pixels[None, None] - (here[0][:, None] + slant[:, None] * above)[..., None]
    x = there[0][:, None, None] + offset / scale[:, None, None]
    grid = torch.stack([x, y[..., None].expand_as(x)], -1).div_(GLYPH_SIZE / 2).sub_(1)
    blurred = F.avg_pool2d(images.float().unsqueeze(1), 3, 1, padding=1)
    ink = F.grid_sample(blurred, grid, align_corners=False).squeeze(1)
    strength = torch.where(scale < 0.55, 2.4, 1.8)  # blurring takes more of small ones
    ink = (ink - 255 * threshold[:, None, None]) * strength[:, None, None]
    boxes = torch.zeros((len(images) + 1, GLYPH_SIZE, GLYPH_SIZE), dtype=torch.uint8)
    boxes[1:] = ink.clamp_(0, 255).round_().to(torch.uint8).transpose(1, 2)
    return boxes


def _find_extents(images: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return left, right, top, bottom of ink, ends exclusive; all of a blank image: float (N,)."""
    ends, position = [], torch.arange(GLYPH_SIZE)
    for axis in (1, 2):
        has_ink = images.amax(axis) > 64
        has_ink |= ~has_ink.any(1, keepdim=True)
        ends.append(torch.where(has_ink, position, GLYPH_SIZE).amin(1))
        ends.append(torch.where(has_ink, position + 1, 0).amax(1))
    return tuple(end.float() for end in ends)


def _paste(
    boxes: torch.Tensor, numbers: torch.Tensor, left: torch.Tensor, width: int
) -> torch.Tensor:
    """Put boxes by number at ascending left columns, both int64 (B, L): uint8 (B, 28, width)."""
    # Each column of a line looks up the boxes that it cuts.
    count = len(numbers)
    columns = torch.arange(width).expand(count, -1).contiguous()
    newest = torch.searchsorted(left.contiguous(), columns, right=True) - 1
    lines = torch.zeros((count, width, GLYPH_SIZE), dtype=torch.uint8)
    for older in range(3):  # ink reaches under the next glyph, and rarely under the one after it
        slot = newest - older
        known = slot.clamp_min(0)
        offset = columns - left.gather(1, known)
        is_cut = (slot >= 0) & (offset >= 0) & (offset < GLYPH_SIZE)
        index = torch.where(is_cut, numbers.gather(1, known) * GLYPH_SIZE + offset, 0)
        found = boxes.view(-1, GLYPH_SIZE).index_select(0, index.flatten())
        lines += torch.minimum(found.view(lines.shape), 255 - lines)
    return lines.transpose(1, 2)


def find_used_columns(x: torch.Tensor) -> torch.Tensor:
    """Return how many columns each line has up to its last ink, of (B, C, H, W): int64 (B,)."""
    inked = x.amax(dim=(1, 2)) > 0
    return torch.where(inked, torch.arange(1, x.shape[-1] + 1, device=x.device), 0).amax(1)
