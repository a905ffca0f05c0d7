"""What the benchmarks measure a recogniser by: accuracy, accuracy without case, calibration."""

import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from lab_utils import Recognizer

BINS = 15  # of the expected calibration error


def score(recognizer: Recognizer, images: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    """Return how well images are read.

    Parameters
    ----------
    recognizer : Recognizer
        What reads them.
    images : torch.Tensor
        uint8, (N, 28, 28).
    labels : torch.Tensor
        int64, (N,), indices into the recogniser's mapping.

    Returns
    -------
    dict[str, float]
        `accuracy`; `caseless`, which counts c for C as right; `calibration_error`, the mean
        distance between how sure the answers are and how often they are right.
    """
    probabilities = torch.cat([recognizer.probabilities(part) for part in images.split(1024)])
    answers = probabilities.argmax(1)
    lower = [name.lower() for name in recognizer.mapping]
    same_letter = torch.tensor([lower.index(name) for name in lower])
    error = multiclass_calibration_error(probabilities, labels, len(lower), n_bins=BINS)
    return {
        "accuracy": (answers == labels).float().mean().item(),
        "caseless": (same_letter[answers] == same_letter[labels]).float().mean().item(),
        "calibration_error": error.item(),
    }
