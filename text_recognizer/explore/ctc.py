"""CTC, step by step: a network's answers along a line, and the text that a path collapses to."""

import numpy as np
import torch
from matplotlib.figure import Figure

from text_recognizer.canvas.pictures import encode_data_uri
from text_recognizer.errors import LabError
from text_recognizer.explore.explorable import Explorable, check_array
from text_recognizer.language import _
from text_recognizer.mapping import BLANK, MAPPING
from text_recognizer.models.line_cnn import LineCNN

MIN_PROBABILITY, MAX_ROWS = 0.02, 30  # of a character that is shown, at its best; of them
COLUMNS = LineCNN.STEP // 2  # of a line, for each answer


def explore_ctc(line, logits) -> Explorable:
    """Step along a line with CTC's answers, edit the path, and see which text it stands for.

    Taught in notebook 5.

    Parameters
    ----------
    line : array or tensor
        The image of a line, uint8 (28, W).
    logits : array or tensor
        What a network answers: float (number of classes, S), an answer every two columns.

    Examples
    --------
    >>> import torch
    >>> from lab_utils import explore_ctc
    >>> logits = 9.0 * torch.nn.functional.one_hot(torch.tensor([0, 20, 0]), 83).T
    >>> explore_ctc(torch.zeros(28, 6), logits)  # of a network: model(line)[0]
    CTC, step by step: 3 answers
    """
    image = check_array("line", line, "(28, W)")
    scores = torch.from_numpy(check_array("logits", logits, "(number of classes, S)"))
    if len(scores) != len(MAPPING):
        raise LabError(f"logits={tuple(scores.shape)} must have {len(MAPPING)} rows: logits[0].")
    probabilities, steps = scores.softmax(0), scores.shape[1]
    peaks = probabilities.amax(1)
    peaks[[BLANK, *probabilities.argmax(0).tolist()]] = 1  # what the best path needs
    best = peaks.topk(MAX_ROWS)
    rows = best.indices[best.values >= MIN_PROBABILITY].sort().values
    names = [_("blank"), *(MAPPING[row].replace(" ", _("space")) for row in rows[1:])]
    shown = np.pad(image, ((0, 0), (0, steps * COLUMNS)))[:, : steps * COLUMNS]
    return Explorable(
        "ctc",
        _("CTC, step by step: {} answers").format(steps),
        _draw_still(shown, probabilities[rows].numpy(), names),
        picture=encode_data_uri(shown.astype(np.uint8)),
        names=names,
        characters=["_", *(MAPPING[row] for row in rows[1:])],
        probabilities=[[round(p, 6) for p in row] for row in probabilities[rows].tolist()],
    )


def _draw_still(line: np.ndarray, probabilities: np.ndarray, names: list[str]) -> Figure:
    count = len(probabilities)
    figure = Figure((9, 1.3 + 0.22 * count), layout="constrained")
    top, bottom = figure.subplots(2, 1, height_ratios=(1, 0.25 * count), sharex=True)
    extent = (0, line.shape[1], count, 0)
    top.imshow(line, cmap="gray", aspect="auto")
    top.set_yticks([])
    bottom.imshow(probabilities, aspect="auto", cmap="magma", extent=extent, vmin=0, vmax=1)
    bottom.set_yticks(np.arange(count) + 0.5, names)
    bottom.set_xlabel(_("column of the line"))
    return figure
