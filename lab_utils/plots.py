"""Pictures for notebooks: a row or grid of images, learning curves, blocks of networks."""

import itertools
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator

from text_recognizer.errors import LabError, check_int, check_number, show
from text_recognizer.language import _

MIN_SIZE, MAX_SIZE = 0.1, 10  # inches of an image
BLUE, ORANGE = "#44546a", "#c55a11"


def show_images(
    images,
    titles=None,
    columns: int = 9,
    cmap: str = "gray",
    size: float = 1.1,
    limit: float | None = None,
):
    """Show images in a grid.

    Taught in notebook 1.

    Parameters
    ----------
    images : sequence of array or tensor
        Each (H, W) or (1, H, W).
    titles : sequence of str, optional
        A title above each image.
    columns : int
        Images per row.
    cmap : str
        matplotlib's colour map.
    size : float
        Inches per image.
    limit : float, optional
        The colours of all images go from -limit to limit; without it, those of each image from its
        own darkest to its own brightest value.

    Raises
    ------
    LabError
        If there is no image, or something else.

    Examples
    --------
    >>> from lab_utils import prepare, sample_strokes, show_images
    >>> images = [prepare(sample_strokes("R", variant)) for variant in range(5)]
    >>> show_images(images, titles=range(5))
    """
    try:
        pictures = [np.asarray(image).squeeze() for image in images]
    except (TypeError, ValueError, RuntimeError):
        pictures = [np.empty(0)]
    if not pictures:
        raise LabError("images is empty: give one or more.")
    if any(picture.ndim != 2 or picture.dtype.kind not in "buif" for picture in pictures):
        raise LabError(
            f"images={show(images)} must be several images, each (H, W) or (1, H, W): "
            "of one, show_images([image])."
        )
    if titles is not None and (not isinstance(titles, Sequence) or len(titles) < len(images)):
        raise LabError(f"titles={show(titles)} must be a list, with a title for each image.")
    check_int("columns", columns, 1)
    check_number("size", size, MIN_SIZE, MAX_SIZE, f"from {MIN_SIZE} to {MAX_SIZE} inches")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    height = rows * (size + (0.35 if titles is not None else 0))
    figure, axes = plt.subplots(rows, columns, figsize=(columns * size, height), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for index, (axis, image) in enumerate(zip(axes.flat, pictures, strict=False)):
        axis.imshow(image, cmap=cmap, vmin=None if limit is None else -limit, vmax=limit)
        if titles is not None:
            axis.set_title(titles[index], fontsize=10)
    figure.tight_layout(pad=0.2, w_pad=0.5, h_pad=0.5)
    named = f": {', '.join(map(str, titles[: len(images)]))}" if titles is not None else ""
    show_figure(figure, _(f"{len(images)} image{'s' * (len(images) > 1)}") + named)


def show_lines(lines, titles=None, width: float = 9):
    """Show lines of handwriting, one below the other.

    Taught in notebook 4.

    Parameters
    ----------
    lines : sequence of array or tensor
        Each uint8 (H, W).
    titles : sequence of str, optional
        A title above each line.
    width : float
        Inches of a line.

    Examples
    --------
    >>> from lab_utils import prepare_line, sample_strokes, show_lines
    >>> show_lines([prepare_line(sample_strokes("R")), prepare_line(sample_strokes("4"))], "R4")
    """
    if not len(lines):
        raise LabError("lines is empty: give one or more.")
    check_number("width", width, 1, 100, "from 1 to 100 inches")
    heights = [
        width * len(line) / len(line[0]) + (0.3 if titles is not None else 0.1) for line in lines
    ]
    size = (width, sum(heights))
    figure, axes = plt.subplots(len(lines), figsize=size, height_ratios=heights, squeeze=False)
    for index, (axis, line) in enumerate(zip(axes.flat, lines, strict=True)):
        axis.imshow(line, cmap="gray", vmin=0, vmax=255)
        axis.axis("off")
        if titles is not None:
            axis.set_title(titles[index], fontsize=9, loc="left", pad=2)
    figure.tight_layout(pad=0.3)
    named = f": {'; '.join(map(str, titles[: len(lines)]))}" if titles is not None else ""
    show_figure(figure, f"{len(lines)} line{'s' * (len(lines) > 1)} of handwriting{named}")


def plot_history(history: list[dict]):
    """Draw the loss of training and validation, and their accuracy or character error rate.

    Taught in notebook 2.

    Parameters
    ----------
    history : list[dict]
        `BaseLitModel.history`, of one epoch or more.

    Raises
    ------
    LabError
        If there is none.

    Examples
    --------
    >>> from lab_utils import plot_history
    >>> history = [
    ...     {"epoch": 0, "train_loss": 2.1, "val_loss": 1.7, "train_acc": 0.4, "val_acc": 0.5},
    ...     {"epoch": 1, "train_loss": 1.2, "val_loss": 1.4, "train_acc": 0.6, "val_acc": 0.6},
    ... ]
    >>> plot_history(history)  # or: lit_model.history
    """
    is_history = isinstance(history, list) and all(
        isinstance(entry, dict) and "epoch" in entry for entry in history
    )
    if not is_history:
        raise LabError(f"history={show(history)} must be the one of a model: lit_model.history.")
    if not history:
        raise LabError("history is empty: train an epoch first, with trainer.fit(...).")
    epochs = [entry["epoch"] + 1 for entry in history]
    figure, axes = plt.subplots(1, 2, figsize=(9, 3))
    is_line = "val_cer" in history[-1]
    second = ("cer", _("Character error rate")) if is_line else ("acc", _("Accuracy"))
    said = [_(f"Learning curves, epochs {epochs[0]} to {epochs[-1]}")]
    for axis, (metric, title) in zip(axes, (("loss", _("Loss")), second), strict=True):
        for part, label in (("train", _("train")), ("val", _("val"))):
            if not any(f"{part}_{metric}" in entry for entry in history):
                continue
            values = [entry.get(f"{part}_{metric}") for entry in history]
            axis.plot(epochs, values, marker="o", label=label)
            known = [value for value in values if value is not None]
            said.append(_(f"{title}, {label}: from {known[0]:.3g} to {known[-1]:.3g}"))
        axis.set(title=title, xlabel=_("epoch"))
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(alpha=0.3)
        axis.legend()
    figure.tight_layout()
    show_figure(figure, ". ".join(said))


def show_blocks():
    """Draw the course's convolution block and a residual block, side by side.

    Taught in notebook 7.

    Examples
    --------
    >>> from lab_utils import show_blocks
    >>> show_blocks()
    """
    figure, axes = plt.subplots(1, 2, figsize=(10, 5.6))
    convolution, output = _("3 × 3 convolution"), _("output")
    twice = ("BatchNorm", "ReLU", convolution, "BatchNorm", "+", "ReLU")
    chains = {
        _("the course's block"): ("x", convolution, "ReLU", output),
        _("a residual block"): ("x", _("3 × 3 convolution, stride"), *twice, output),
    }
    for axis, (title, chain) in zip(axes, chains.items(), strict=True):
        heights = [1 - i / (len(chain) - 1) for i in range(len(chain))]
        for above, below in itertools.pairwise(heights):
            _draw_arrow(axis, (0, above), (0, below), BLUE, shrink=10)
        for part, height in zip(chain, heights, strict=True):
            color = {"x": "white", output: "white", "+": "#f8d7a8"}.get(part, "#dbe9f6")
            _draw_box(axis, 0, height, part, color)
        axis.set(title=title, xlim=(-0.6, 1.35), ylim=(-0.08, 1.08))
        axis.axis("off")
    plus = heights[chain.index("+")]
    axis.plot((0.06, 0.95, 0.95), (1, 1, plus), color=ORANGE, linewidth=2)
    _draw_arrow(axis, (0.95, plus), (0.05, plus), ORANGE, shrink=0)
    _draw_box(axis, 0.95, 0.62, _("the skip:\nx itself, or a\n1 × 1 convolution"), "#fbe5d6")
    said = [f"{title}: {', '.join(chain)}" for title, chain in chains.items()]
    said.append(_("A skip leads x, or a 1 × 1 convolution of it, to the +"))
    show_figure(figure, ". ".join(said))


def show_figure(figure, description: str):
    """Show a figure as `plt.show()` does; in a notebook, with a description as its `alt` text."""
    if "inline" not in plt.get_backend():
        plt.show()
        return
    from IPython.display import display

    display(figure, metadata={"image/png": {"alt": description}})
    plt.close(figure)


def _draw_box(axis, x: float, y: float, text: str, color: str):
    style = {"boxstyle": "round,pad=0.45", "facecolor": color, "edgecolor": BLUE}
    axis.text(x, y, text, ha="center", va="center", fontsize=11, color="black", bbox=style)


def _draw_arrow(axis, start: tuple, end: tuple, color: str, shrink: float):
    style = {"arrowstyle": "-|>", "color": color, "linewidth": 1.8}
    axis.annotate("", end, start, arrowprops=style | {"shrinkA": shrink, "shrinkB": shrink})
