"""A filter in your hand: a 3x3 window over a character, its products, its sum, its map."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from text_recognizer.explore.explorable import Explorable, check_array
from text_recognizer.language import _

MAX_SIDE = 64  # pixels
SOBEL = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])


def explore_filter(image) -> Explorable:
    """Slide a 3x3 filter over an image by hand: nine products, their sum, the feature map.

    Taught in notebook 2.

    Parameters
    ----------
    image : array or tensor
        Numbers, (H, W) or (1, H, W), at most 64 each way; uint8 counts from 0 to 255.

    Examples
    --------
    >>> from lab_utils import explore_filter, prepare, sample_strokes
    >>> explore_filter(prepare(sample_strokes("A")))
    A filter in your hand: 28 x 28 pixels, 3 x 3 weights
    """
    pixels = check_array("image", image, "(H, W)", MAX_SIDE)
    pixels = pixels / (255 if pixels.max() > 1 else 1)
    filters = {
        _("vertical edges"): SOBEL,
        _("horizontal edges"): SOBEL.T,
        _("outline"): np.where(np.arange(9) == 4, 8, -1).reshape(3, 3),
        _("blur"): np.full((3, 3), 1 / 9),
    }
    return Explorable(
        "filter",
        _("A filter in your hand: {} x {} pixels, 3 x 3 weights").format(*pixels.shape),
        _draw_still(pixels, SOBEL),
        size=pixels.shape,
        pixels=np.round(pixels, 3).ravel().tolist(),
        filters={name: weights.ravel().tolist() for name, weights in filters.items()},
    )


def _draw_still(pixels: np.ndarray, weights: np.ndarray) -> Figure:
    figure = Figure((6, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(pixels, 1), (3, 3))
    left.imshow(pixels, cmap="gray")
    left.add_patch(Rectangle((6.5, 8.5), 3, 3, fill=False, color="orange"))
    right.imshow((around * weights).sum((2, 3)), cmap="RdBu", vmin=-4, vmax=4)
    for axis, title in ((left, _("the image")), (right, _("the feature map"))):
        axis.set(title=title, xticks=[], yticks=[])
    return figure
