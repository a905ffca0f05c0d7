"""What is confused with what: a confusion matrix, each cell of which shows its images."""

import numpy as np
from matplotlib.figure import Figure

from text_recognizer.errors import LabError
from text_recognizer.explore.explorable import Explorable, check_array
from text_recognizer.language import _
from text_recognizer.mapping import MAPPING

MAX_IMAGES = 24  # of a cell
MAX_PAIRS = 8  # that have a button


def explore_confusions(images, labels, predictions) -> Explorable:
    """Show which characters were read as which, and the images behind each number.

    Taught in notebook 2.

    Parameters
    ----------
    images : array or tensor
        uint8, (N, 28, 28).
    labels, predictions : array or tensor
        Which class each image is, and which was read: whole numbers below 83, (N,).

    Examples
    --------
    >>> from lab_utils import EMNIST, explore_confusions
    >>> data = EMNIST(source="sample")
    >>> data.setup()
    >>> test = data.data_test
    >>> explore_confusions(test.images[:50], test.labels[:50], test.labels[:50].roll(1))
    What is confused with what: 50 images, ... mistakes
    """
    pixels = check_array("images", images, "(N, 28, 28)").astype(np.uint8)
    truth = _check_classes("labels", labels, len(pixels))
    read = _check_classes("predictions", predictions, len(pixels))
    classes = np.union1d(truth, read)
    rows, columns = np.searchsorted(classes, truth), np.searchsorted(classes, read)
    cells = rows * len(classes) + columns
    counts = np.bincount(cells, minlength=len(classes) ** 2).reshape(len(classes), -1)
    in_cells = (np.flatnonzero(cells == cell)[:MAX_IMAGES] for cell in np.unique(cells))
    kept = np.concatenate([*in_cells])
    wrong = np.where(np.eye(len(classes), dtype=bool), 0, counts).ravel()
    pairs = [int(cell) for cell in np.argsort(-wrong, kind="stable")[:MAX_PAIRS] if wrong[cell]]
    names = [MAPPING[number] for number in classes]
    return Explorable(
        "confusions",
        _("What is confused with what: {} images, {} mistakes").format(len(pixels), wrong.sum()),
        _draw_still(counts, names),
        names=names,
        counts=counts.ravel().tolist(),
        pairs=pairs,
        cells=cells[kept].tolist(),
        pixels=pixels[kept].tobytes(),
    )


def _check_classes(name: str, value: object, count: int) -> np.ndarray:
    classes = check_array(name, value, "(N,)").astype(int)
    if len(classes) != count or not ((classes >= 0) & (classes < len(MAPPING))).all():
        raise LabError(f"{name} must be {count} whole numbers below {len(MAPPING)}.")
    return classes


def _draw_still(counts: np.ndarray, names: list[str]) -> Figure:
    figure = Figure((10, 9), layout="constrained")
    axis = figure.subplots()
    matrix = axis.imshow(counts, cmap="magma", norm="symlog")
    axis.set_xticks(range(len(names)), names, fontsize=9)
    axis.set_yticks(range(len(names)), names, fontsize=9)
    axis.set(xlabel=_("read as"), ylabel=_("truth"))
    figure.colorbar(matrix, shrink=0.8)
    return figure
