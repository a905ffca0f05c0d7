"""Removes what is dark and not writing: rules, boxes of forms, scraps at the edges, specks."""

import numpy as np

from text_recognizer.reading.masks import Components, Ink, draw_runs, find_runs, measure_pen_width

MAX_ROUNDS = 6  # of looking for clutter
MIN_WRITING = 0.1  # of the picture's shorter side: beside less ink, nothing at the edges is clutter
MIN_CHARACTER = 0.3  # of the picture's shorter side: beside more ink, all at the edges is clutter
MAX_STRIP_WIDTH = 0.25  # of the picture's shorter side: wider parts along an edge are no strips
MIN_STRIP_LENGTH = 0.5  # of the picture's shorter side, or of a line's longer one: less is no strip
MAX_SPECK_AREA = 0.5  # of the square of the pen width
MAX_SPECK_LENGTH, MAX_SCRAP_LENGTH = 0.15, 0.25  # of the largest part
MAX_GAP = 0.6  # of the largest part: a small part that is farther from all large ones is a scrap
MIN_BESIDE_RULES = 0.1  # of the picture's shorter side: beside less ink, rules are the writing
RULE_BLOCKS = 16  # side by side: a rule is full in all of them but one at most
MAX_RULE_TILT, MAX_RULE_WIDTH = 0.04, 0.035  # rows a column, up or down; of the picture's height
MAX_SWELLING = 0.3  # of a rule's thickness: where more is added to it, a stroke crosses the rule
MIN_FRAME = 0.4  # of each side of the picture: the box of a form is as long


def remove_clutter(ink: Ink, is_line: bool = False) -> Ink:
    """Remove what is dark and not writing from a line of writing or from one character."""
    # Without its darkest clutter a picture has another threshold, by which more may show.
    for _ in range(MAX_ROUNDS):
        without_rules = _remove_rules(ink.mask)
        if without_rules is not None:
            ink = ink.keep(without_rules)
            continue
        parts = _remove_specks(_remove_frame(_remove_at_edges(ink, is_line)))
        if parts is ink.parts:
            break
        ink = ink.keep(parts.draw(), parts)
    return ink


def _remove_at_edges(ink: Ink, is_line: bool) -> Components:
    """Return the components of ink without a neighbour's, margins and borders at the edges."""
    parts, mask = ink.parts, ink.mask
    at_edge = parts.touch_edge()
    touched = [side.mean() for side in (mask[0], mask[-1], mask[:, 0], mask[:, -1])]
    is_cut_tightly = min(touched) > 0 and max(touched) < 0.5  # it crosses each edge
    if not at_edge.any() or at_edge.all() or is_cut_tightly:
        return parts
    side = min(mask.shape)
    rest = parts.longer[~at_edge].max()
    if rest <= MIN_WRITING * side:
        return parts
    if is_line or rest <= MIN_CHARACTER * side:  # what touches the edges may be writing
        is_long = parts.longer > MIN_STRIP_LENGTH * (max(mask.shape) if is_line else side)
        at_edge &= is_long & (parts.measure_depth() < MAX_STRIP_WIDTH * side)
    return parts.keep(~at_edge) if at_edge.any() else parts


def _remove_specks(parts: Components) -> Components:
    """Return components without specks, and without scraps that are far from all else."""
    if len(parts.area) < 2:
        return parts
    main = parts.longer.argmax()
    size = parts.longer[main]
    inside = slice(parts.top[main], parts.bottom[main]), slice(parts.left[main], parts.right[main])
    pen = measure_pen_width(parts.keep(np.arange(len(parts.area)) == main).draw()[inside])
    dropped = (parts.area <= MAX_SPECK_AREA * pen**2) & (parts.longer <= MAX_SPECK_LENGTH * size)
    large = parts.longer >= MAX_SCRAP_LENGTH * size
    small = np.flatnonzero(~large & ~dropped)
    gaps = [
        np.maximum(first[small, None] - last[large], first[large] - last[small, None])
        for first, last in ((parts.top, parts.bottom), (parts.left, parts.right))
    ]
    dropped[small] = np.maximum(*gaps).min(1) > MAX_GAP * size
    return parts.keep(~dropped) if dropped.any() else parts


def _remove_rules(mask: np.ndarray) -> np.ndarray | None:
    """Return a mask without the rules of ruled or squared paper, or None if there are none."""
    across, count_across = _trace_rules(mask)
    down, count_down = _trace_rules(mask.T)
    if count_across + count_down == 0:
        return None
    rest, least = mask & ~(across | down.T), MIN_BESIDE_RULES * min(mask.shape)
    if count_across + count_down > 1:
        runs = [ends - starts for _, starts, ends in (find_runs(rest), find_runs(rest.T))]
        if np.concatenate(runs).max(initial=0) >= least:
            return rest  # without a search for its components, which is slower
    parts = Components(rest)
    if parts.longer.max(initial=0) < least:
        return None
    if count_across + count_down == 1:
        # One alone may be the bar of a t, an H or an e that is cut tightly.
        main = parts.longer.argmax()
        margins = [parts.top[main], parts.left[main]]
        margins += [mask.shape[0] - parts.bottom[main], mask.shape[1] - parts.right[main]]
        if sum(margin > 1 for margin in margins) < 3:
            return None
    return rest


def _trace_rules(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the pixels of rules from left to right, and how many rules are off the edges."""
    height, width = mask.shape
    if not (lines := _find_lines(mask)):
        return np.zeros_like(mask), 0
    chosen, count = [np.zeros(0, int)], 0
    columns = np.arange(width)
    column_of_run, tops, bottoms = find_runs(mask.T)
    places = column_of_run * height + tops
    for row, drop in lines:
        middle = np.rint(row + drop * ((columns + 0.5) / width - 0.5)).astype(int)
        at = np.full(width, -1)
        for step in (2, -2, 1, -1, 0):  # the nearest ink last
            near = (middle + step).clip(0, height - 1)
            at = np.where(mask[near, columns], near, at)
        x = np.flatnonzero(at >= 0)
        runs = np.searchsorted(places, x * height + at[x], "right") - 1
        lengths = bottoms[runs] - tops[runs]
        thickness = np.median(lengths)
        if thickness > max(3, MAX_RULE_WIDTH * height):
            continue
        # Where a stroke crosses the rule, more ink is on top of each other: that stays.
        chosen.append(runs[lengths <= thickness + max(1, MAX_SWELLING * thickness)])
        count += thickness + 2 < row < height - thickness - 3
    alone = np.concatenate(chosen)
    rules = draw_runs(column_of_run[alone], tops[alone], bottoms[alone], shape=(width, height))
    return rules.T, count


def _find_lines(mask: np.ndarray) -> list[tuple[int, int]]:
    """Return lines of ink from left to right: the row in the middle, and the rows it falls."""
    height, width = mask.shape
    if width < 2 * RULE_BLOCKS or height < RULE_BLOCKS:
        return []
    first = -(-np.arange(RULE_BLOCKS) * width // RULE_BLOCKS)  # column of each block
    least = 0.8 * np.diff(first, append=width)  # columns with ink, of a block that is full
    with_ink = np.add.reduceat(mask.any(0), first, dtype=int) >= least
    if np.count_nonzero(with_ink) < RULE_BLOCKS - 1:
        return []
    thick = mask.copy()
    thick[1:] |= mask[:-1]
    thick[:-1] |= mask[1:]
    is_full = np.add.reduceat(thick, first, axis=1, dtype=np.int16) >= least
    if np.count_nonzero(is_full.any(0)) < RULE_BLOCKS - 1:
        return []
    steepest = round(MAX_RULE_TILT * width)
    drops = np.array(sorted(range(-steepest, steepest + 1), key=abs))
    shifts = np.rint(drops[:, None] * ((np.arange(RULE_BLOCKS) + 0.5) / RULE_BLOCKS - 0.5))
    room = ((0, 0), (steepest, steepest))
    shifted = np.lib.stride_tricks.sliding_window_view(np.pad(is_full.T, room), height, 1)
    # For each drop and row, how many blocks are full along a line that falls so much.
    counts = shifted[np.arange(RULE_BLOCKS), steepest + shifts.astype(int)].sum(1, dtype=np.int8)
    most, drop = counts.max(0), drops[counts.argmax(0)]
    _, starts, stops = find_runs(most[None] >= RULE_BLOCKS - 1)
    lines = []
    for start, stop in zip(starts, stops, strict=True):
        best = start + np.flatnonzero(most[start:stop] == most[start:stop].max())
        middle = best[len(best) // 2]
        if stop - start <= 2 + max(3, 0.05 * height):  # `thick` has added 2; a bar is higher
            lines.append((int(middle), int(drop[middle])))
    return lines


def _remove_frame(parts: Components) -> Components:
    """Return components without the box of a form, and without all that is outside of it."""
    height, width = parts.shape
    for index in np.argsort(-parts.longer)[:3]:  # a box is among the largest parts
        top, bottom = parts.top[index], parts.bottom[index]
        left, right = parts.left[index], parts.right[index]
        shorter = min(bottom - top, right - left)
        is_long = bottom - top >= MIN_FRAME * height and right - left >= MIN_FRAME * width
        if shorter < 16 or not is_long:  # pixels: a smaller box may be a letter
            continue
        band = max(2, round(0.05 * shorter))  # along each side: the line in it may be askew
        mask = parts.draw()
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
        if rest.longer[inside].max(initial=0) > 0.2 * shorter:  # else the box is a D or O
            return rest.keep(inside)
    return parts


def _trace_side(box: np.ndarray, side: np.ndarray, band: int) -> bool:
    """Mark a thin line along the top of a box in `side`; return whether there is one."""
    rows = np.arange(len(box))[:, None]
    has_ink = box[:band].any(0)
    first = box.argmax(0)
    empty = ~box & (rows > first)
    last = np.where(empty.any(0), empty.argmax(0), len(box))
    if has_ink.mean() < 0.9:  # the line has gaps, or is none
        return False
    thickness = np.median((last - first)[has_ink])
    if thickness > max(3, band):
        return False
    # Where writing touches the line, more ink is on top of each other: that stays.
    alone = has_ink & (last - first <= thickness + max(1, MAX_SWELLING * thickness))
    side |= alone & (rows >= first) & (rows < last)
    return True
