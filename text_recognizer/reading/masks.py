"""Ink and its mask: Otsu's threshold, morphology, connected components."""

import copy
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image


@dataclass(frozen=True, eq=False)
class Ink:
    """Light ink on black, as each stage of the preparation hands it to the next.

    The grey levels of a picture are counted once. What a stage erases or crops is subtracted from
    the counts, so that it leads to a new threshold without another look at all pixels.
    """

    grey: np.ndarray  # uint8, (H, W)
    levels: np.ndarray  # int64, (256,): how many pixels have each grey level

    @classmethod
    def measure(cls, grey: np.ndarray) -> "Ink":
        """Count the grey levels of a picture, uint8 (H, W)."""
        # Pillow counts 5 times as fast as np.bincount.
        return cls(grey, np.array(Image.fromarray(grey).histogram()))

    @cached_property
    def threshold(self) -> int:
        """Otsu's threshold (1979): it splits the levels into two groups as far apart as can be."""
        counts = self.levels.astype(float)
        below, sums = counts.cumsum(), (counts * np.arange(256)).cumsum()
        above = below[-1] - below
        with np.errstate(divide="ignore", invalid="ignore"):
            gap = (sums[-1] * below / below[-1] - sums) ** 2 / (below * above)
        gap = np.where(np.isfinite(gap), gap, 0)
        # All levels between the two of a black and white picture split them equally well.
        best = np.flatnonzero(gap >= gap.max() * (1 - 1e-9))
        return int(best[0] + best[-1]) // 2

    @cached_property
    def mask(self) -> np.ndarray:
        """bool, (H, W): what is lighter than the threshold."""
        return self.grey > self.threshold

    @cached_property
    def parts(self) -> "Components":
        """The connected components of the mask."""
        return Components(self.mask)

    def keep(self, kept: np.ndarray, parts: "Components | None" = None) -> "Ink":
        """Erase all of the mask but `kept`, bool (H, W); `parts` are its components, if known."""
        erased = widen(self.mask & ~kept, 2) & ~kept
        dropped = np.bincount(self.grey[erased], minlength=256)
        dropped[0] -= dropped.sum()  # erased pixels become black
        rest = Ink(self.grey * ~erased, self.levels - dropped)
        if parts is not None and rest.threshold == self.threshold:
            vars(rest)["parts"] = parts  # the mask of the rest is exactly what is kept
        return rest

    def crop(self) -> "Ink":
        """Return the part with ink, and a pixel round it."""
        top, bottom, left, right = find_extent(self.mask)
        inside = slice(max(top - 1, 0), bottom + 1), slice(max(left - 1, 0), right + 1)
        outside = np.ones(self.grey.shape, bool)
        outside[inside] = False
        return Ink(self.grey[inside], self.levels - np.bincount(self.grey[outside], minlength=256))


def find_extent(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Return the rows and columns with ink: top, bottom, left, right, the ends exclusive."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return rows[0], rows[-1] + 1, columns[0], columns[-1] + 1


def measure_pen_width(mask: np.ndarray) -> float:
    """Return how wide the strokes of a mask, bool (H, W), are on average, in pixels."""
    framed = np.pad(mask, 1)
    outline = sum(np.count_nonzero(np.diff(framed, axis=axis)) for axis in (0, 1))
    # A stroke has two sides, and the steps between pixels make them look longer.
    return 2.5 * float(np.count_nonzero(mask)) / max(outline, 1)


def dilate(values: np.ndarray, size: int) -> np.ndarray:
    """Return the maximum over each square that lies wholly inside: (H - size + 1, W - size + 1)."""
    return _pick_in_squares(values, size, np.maximum)


def erode(values: np.ndarray, size: int) -> np.ndarray:
    """Return the minimum over each square that lies wholly inside: (H - size + 1, W - size + 1)."""
    return _pick_in_squares(values, size, np.minimum)


def _pick_in_squares(values: np.ndarray, size: int, pick: np.ufunc) -> np.ndarray:
    for _axis in (0, 1):
        done = 1
        while done < size:  # by doubling: 7 steps for 128 rows
            step = min(done, size - done)
            values = pick(values[:-step], values[step:])
            done += step
        values = values.T
    return values


def widen(mask: np.ndarray, by: int) -> np.ndarray:
    """Return a mask, or grey ink, grown by so many pixels on each side: (H, W)."""
    return dilate(np.pad(mask, by), 2 * by + 1)


def close(grey: np.ndarray, size: int, outside: int | None = None) -> np.ndarray:
    """Fill what is dark and holds no square of `size` pixels, uint8 (H, W): a closing."""
    if outside is None:  # squares may reach beyond the edges, where nothing counts
        size |= 1
        dilated = dilate(np.pad(grey, size // 2), size)
        return erode(np.pad(dilated, size // 2, constant_values=255), size)
    if min(grey.shape) < size:
        return np.full_like(grey, outside)
    return erode(np.pad(dilate(grey, size), size - 1, constant_values=outside), size)


def find_runs(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the row, start and end (exclusive) of each run of ink in a row: int (N,) each."""
    height, width = mask.shape
    framed = np.zeros(height * (width + 1) + 1, bool)  # no run goes on in the next row
    framed[:-1].reshape(height, width + 1)[:, 1:] = mask
    steps = np.flatnonzero(framed[1:] != framed[:-1])
    rows, starts = np.divmod(steps[::2], width + 1)
    return rows, starts, steps[1::2] % (width + 1)


def draw_runs(rows, starts, ends, *, shape: tuple[int, int]) -> np.ndarray:
    """Return the mask, bool (H, W), of some runs of ink."""
    lengths = ends - starts
    first = rows * shape[1] + starts
    mask = np.zeros(shape[0] * shape[1], bool)
    mask[np.repeat(first - lengths.cumsum() + lengths, lengths) + np.arange(lengths.sum())] = True
    return mask.reshape(shape)


def _connect_runs(row, start, end, *, stride: int) -> np.ndarray:
    """Return the component of each run, int (N,); the stride is longer than a row."""
    # Runs of the next row that begin before this one ends, and end after it begins.
    first = np.searchsorted(row * stride + end, (row + 1) * stride + start)
    last = np.searchsorted(row * stride + start, (row + 1) * stride + end, "right")
    counts = np.maximum(last - first, 0)
    above = np.repeat(np.arange(len(counts)), counts)
    below = np.arange(len(above)) + np.repeat(first - counts.cumsum() + counts, counts)
    root = np.arange(len(counts))
    while len(above):
        ends_above, ends_below = root[above], root[below]
        lower = np.minimum(ends_above, ends_below)
        np.minimum.at(root, np.maximum(ends_above, ends_below), lower)
        while not np.array_equal(shorter := root[root], root):
            root = shorter
        apart = root[above] != root[below]
        above, below = above[apart], below[apart]
    return np.unique(root, return_inverse=True)[1]


class Components:
    """The connected parts of a mask, bool (H, W), diagonal neighbours included.

    `area`, `top`, `bottom`, `left`, `right` (ends exclusive) and `longer`, which is the longer
    side, are int, (number of components,).
    """

    def __init__(self, mask: np.ndarray):
        self.shape, runs = mask.shape, np.stack(find_runs(mask))
        of_run = _connect_runs(*runs, stride=mask.shape[1] + 1)
        order = of_run.argsort(kind="stable")  # a component's runs are beside each other
        self._measure(runs[:, order], of_run[order])

    def _measure(self, runs: np.ndarray, of_run: np.ndarray) -> None:
        """Measure the components that runs, int (3, N), belong to by their numbers, int (N,)."""
        self._runs, self._of_run = runs, of_run
        row, start, end = runs
        self.area = self._join(np.add, end - start)
        self.top, self.bottom = self._join(np.minimum, row), self._join(np.maximum, row) + 1
        self.left, self.right = self._join(np.minimum, start), self._join(np.maximum, end)
        self.longer = np.maximum(self.bottom - self.top, self.right - self.left)

    def _join(self, how: np.ufunc, values: np.ndarray) -> np.ndarray:
        """Join what each run has to what each component has."""
        return how.reduceat(values, np.flatnonzero(np.diff(self._of_run, prepend=-1)))

    def touch_edge(self) -> np.ndarray:
        """Return which components touch an edge of the picture: bool (number of components,)."""
        is_first = (self.top == 0) | (self.left == 0)
        return is_first | (self.bottom == self.shape[0]) | (self.right == self.shape[1])

    def measure_depth(self) -> np.ndarray:
        """Return how far from the nearest edge each one reaches: int (number of components,)."""
        height, width = self.shape
        row, start, end = self._runs
        innermost = np.clip(width // 2, start, end - 1)
        depth = np.minimum(row, height - 1 - row)
        depth = np.minimum(depth, np.minimum(innermost, width - 1 - innermost))
        return self._join(np.maximum, depth)

    def keep(self, chosen: np.ndarray) -> "Components":
        """Return the chosen components, bool (number of components,), without a new search."""
        kept, is_kept = copy.copy(self), chosen[self._of_run]
        number = chosen.cumsum() - 1  # of each component among the chosen ones
        kept._measure(self._runs[:, is_kept], number[self._of_run[is_kept]])
        return kept

    def draw(self) -> np.ndarray:
        """Return the mask of all components: bool (H, W)."""
        return draw_runs(*self._runs, shape=self.shape)
