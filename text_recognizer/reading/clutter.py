"""Finds what is dark and not writing: rules, boxes of forms, scraps at the edges, specks."""

import numpy as np

from text_recognizer.reading.masks import Components, measure_pen_width, otsu, widen

MAX_ROUNDS = 6  # of looking for clutter
LEAST_SIZE = 0.3  # of the picture's shorter side: what is larger and off the edges is a character
LEAST_STRIPED = 0.1  # ... beside strips along the edges
STRIP = 0.25  # of the shorter side: no strip along an edge is wider
BLOCKS = 16  # that a rule is looked for in, side by side
TILT = 0.04  # of the width: how far a rule rises or falls at most
RULE = 0.035  # of the height: no rule is wider
FRAME = 0.4  # of each side: no frame is smaller
SPECK = 0.5  # of a dot of the pen, as a square: what is smaller is a speck
SPECK_SIZE = 0.15  # of the largest part: no speck is longer
SCRAP_SIZE = 0.25  # of the largest part: what is smaller and far away is a scrap
FAR = 0.6  # of the largest part's size


def remove_clutter(ink: np.ndarray, is_line: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Remove what is dark and not writing.

    Parameters
    ----------
    ink : numpy.ndarray
        uint8, (H, W), light on black.
    is_line : bool
        Whether it is a line of writing, whose letters may touch the edges, or one character.

    Returns
    -------
    found : numpy.ndarray
        bool, (H, W): all that is as light as ink.
    ink : numpy.ndarray
        uint8, (H, W), without the clutter.
    """
    found = mask = ink > otsu(ink)
    # Without its darkest clutter a picture has another threshold, by which more may show.
    for _ in range(MAX_ROUNDS):
        ink, kept = _remove_shown(ink, mask, is_line)
        if kept is mask:
            break
        mask = ink > otsu(ink)
    return found, ink


def _remove_shown(
    ink: np.ndarray, mask: np.ndarray, is_line: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return ink without the clutter that a mask shows, and what is kept of the mask."""
    rules = find_rules(mask)
    if rules is not None:
        kept = mask & ~rules
        return _erase(ink, rules, kept), kept
    kept = _keep_off_edges(mask, is_line)
    frame = find_frame(kept)
    if frame is not None:
        kept = kept & ~frame
    kept = _keep_writing(kept)
    if kept is not mask:
        ink = _erase(ink, mask & ~kept, kept)
    return ink, kept


def _erase(ink: np.ndarray, clutter: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Return ink without clutter and its soft edges, but with all that is kept."""
    return np.where(widen(clutter, 2) & ~kept, 0, ink).astype(np.uint8)


def _keep_off_edges(mask: np.ndarray, is_line: bool) -> np.ndarray:
    """Return a mask without a neighbour's parts, margins and borders that touch the edges."""
    parts = Components(mask)
    at_edge = parts.touch_edge()
    touched = [side.mean() for side in (mask[0], mask[-1], mask[:, 0], mask[:, -1])]
    is_cut_tightly = min(touched) > 0 and max(touched) < 0.5
    if not at_edge.any() or at_edge.all() or is_cut_tightly:
        return mask
    side = min(mask.shape)
    rest = parts.longer[~at_edge].max()
    if rest <= LEAST_STRIPED * side:
        return mask
    if is_line or rest <= LEAST_SIZE * side:
        is_strip = parts.measure_depth() < STRIP * side
        at_edge &= is_strip & (parts.longer > (0.5 * max(mask.shape) if is_line else 0.5 * side))
    return parts.draw(~at_edge) if at_edge.any() else mask


def _keep_writing(mask: np.ndarray) -> np.ndarray:
    """Return a mask without specks, and without scraps that are far from all else."""
    parts = Components(mask)
    if len(parts) < 2:
        return mask
    main = parts.longer.argmax()
    size = parts.longer[main]
    inside = slice(parts.top[main], parts.bottom[main]), slice(parts.left[main], parts.right[main])
    pen = measure_pen_width(parts.draw(np.arange(len(parts)) == main)[inside])
    dropped = (parts.area <= SPECK * pen**2) & (parts.longer <= SPECK_SIZE * size)
    large = parts.longer >= SCRAP_SIZE * size
    small = np.flatnonzero(~large & ~dropped)
    gaps = [
        np.maximum(first[small, None] - last[large], first[large] - last[small, None])
        for first, last in ((parts.top, parts.bottom), (parts.left, parts.right))
    ]
    dropped[small] = np.maximum(*gaps).min(1) > FAR * size
    return parts.draw(~dropped) if dropped.any() else mask


def find_rules(mask: np.ndarray) -> np.ndarray | None:
    """Find the rules of ruled or squared paper.

    Parameters
    ----------
    mask : numpy.ndarray
        bool, (H, W).

    Returns
    -------
    numpy.ndarray or None
        bool, (H, W): the rules, but for where strokes cross them; None where there are none.
    """
    across, count_across = _trace_rules(mask)
    down, count_down = _trace_rules(np.ascontiguousarray(mask.T))
    if count_across + count_down == 0:
        return None
    rules = across | down.T
    rest = Components(mask & ~rules)
    if not len(rest):
        return None
    main = rest.longer.argmax()
    if rest.longer[main] < 0.1 * min(mask.shape):
        return None
    if count_across + count_down == 1:
        # One alone may be the bar of a t, an H or an e that is cut tightly.
        height, width = mask.shape
        room = [rest.top[main], rest.left[main]]
        room += [height - rest.bottom[main], width - rest.right[main]]
        if sum(margin > 1 for margin in room) < 3:
            return None
    return rules


def _trace_rules(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the pixels of rules from left to right, and how many rules are off the edges."""
    height, width = mask.shape
    rules = np.zeros_like(mask)
    lines = _find_lines(mask)
    if not lines:
        return rules, 0
    rows, columns = np.arange(height)[:, None], np.arange(width)
    # For each pixel, the nearest row above and below it that has no ink.
    above = np.maximum.accumulate(np.where(mask, -1, rows))
    below = np.minimum.accumulate(np.where(mask, height, rows)[::-1])[::-1]
    count = 0
    for row, drop in lines:
        middle = np.rint(row + drop * ((columns + 0.5) / width - 0.5)).astype(int)
        at = np.full(width, -1)
        for step in (2, -2, 1, -1, 0):  # the nearest ink last
            near = (middle + step).clip(0, height - 1)
            at = np.where(mask[near, columns], near, at)
        x = np.flatnonzero(at >= 0)
        first, last = above[at[x], x] + 1, below[at[x], x]
        thickness = np.median(last - first)
        if thickness > max(3, RULE * height):
            continue
        # Where a stroke crosses the rule, more ink is on top of each other: that stays.
        alone = last - first <= thickness + max(1, 0.3 * thickness)
        steps = np.zeros((height + 1, width), np.int8)
        steps[first[alone], x[alone]] = 1
        steps[last[alone], x[alone]] -= 1
        rules |= steps.cumsum(0, dtype=np.int8)[:-1] > 0
        count += thickness + 2 < row < height - thickness - 3
    return rules, count


def _find_lines(mask: np.ndarray) -> list[tuple[int, int]]:
    """Return lines of ink from left to right: the row in the middle, and the rows it falls."""
    height, width = mask.shape
    if width < 2 * BLOCKS or height < BLOCKS:
        return []
    thick = mask.copy()
    thick[1:] |= mask[:-1]
    thick[:-1] |= mask[1:]
    # A product of matrices is the fastest way to sum over blocks of columns.
    is_of_block = np.arange(width)[:, None] * BLOCKS // width == np.arange(BLOCKS)
    is_full = thick.astype(np.float32) @ is_of_block.astype(np.float32) >= 0.8 * is_of_block.sum(0)
    if np.count_nonzero(is_full.any(0)) < BLOCKS - 1:
        return []
    places, rows = (np.arange(BLOCKS) + 0.5) / BLOCKS - 0.5, np.arange(height)
    most, drops = np.zeros(height, int), np.zeros(height, int)
    steepest = round(TILT * width)
    for drop in sorted(range(-steepest, steepest + 1), key=abs):
        at = rows[:, None] + np.rint(drop * places).astype(int)
        inside = (at >= 0) & (at < height)
        count = (is_full[at.clip(0, height - 1), np.arange(BLOCKS)] & inside).sum(1)
        drops = np.where(count > most, drop, drops)
        most = np.maximum(most, count)
    steps = np.diff((most >= BLOCKS - 1).astype(np.int8), prepend=0, append=0)
    lines = []
    for start, stop in zip(np.flatnonzero(steps == 1), np.flatnonzero(steps == -1), strict=True):
        best = start + np.flatnonzero(most[start:stop] == most[start:stop].max())
        middle = best[len(best) // 2]
        if stop - start <= 2 + max(3, 0.05 * height):
            lines.append((int(middle), int(drops[middle])))
    return lines


def find_frame(mask: np.ndarray) -> np.ndarray | None:
    """Find the box of a form round what is written: bool (H, W), or None where there is none."""
    height, width = mask.shape
    parts = Components(mask)
    for index in np.argsort(-parts.longer)[:3]:
        top, bottom = parts.top[index], parts.bottom[index]
        left, right = parts.left[index], parts.right[index]
        if bottom - top < max(16, FRAME * height) or right - left < max(16, FRAME * width):
            continue
        band = max(2, round(0.05 * min(bottom - top, right - left)))
        frame = np.zeros_like(mask)
        box, sides = mask[top:bottom, left:right], frame[top:bottom, left:right]
        if not all(_trace_side(np.rot90(box, n), np.rot90(sides, n), band) for n in range(4)):
            continue
        rest = Components(mask & ~frame)
        inside = (rest.top >= top) & (rest.bottom <= bottom)
        inside &= (rest.left >= left) & (rest.right <= right)
        # Pieces of the box itself lie along its sides.
        inside &= (rest.bottom > top + band) & (rest.top < bottom - band)
        inside &= (rest.right > left + band) & (rest.left < right - band)
        if rest.longer[inside].max(initial=0) > 0.2 * min(bottom - top, right - left):
            return frame | rest.draw(~inside)
    return None


def _trace_side(box: np.ndarray, side: np.ndarray, band: int) -> bool:
    """Mark a thin line along the top of a box in `side`; return whether there is one."""
    rows = np.arange(len(box))[:, None]
    has_ink = box[:band].any(0)
    first = box.argmax(0)
    empty = ~box & (rows > first)
    last = np.where(empty.any(0), empty.argmax(0), len(box))
    if has_ink.mean() < 0.9:
        return False
    thickness = np.median((last - first)[has_ink])
    if thickness > max(3, band):
        return False
    # Where writing touches the line, more ink is on top of each other: that stays.
    alone = has_ink & (last - first <= thickness + max(1, 0.3 * thickness))
    side |= alone & (rows >= first) & (rows < last)
    return True
