"""The test images that are nearest to what was drawn: the canvas shows them beside the answer."""

import functools
from pathlib import Path

import numpy as np

from text_recognizer.files import prepared
from text_recognizer.mapping import MAPPING
from text_recognizer.paths import bundled, data_dir

MAX_NEAREST = 5
MAX_EXAMPLES = 100  # images of each class, among which the nearest are looked for


def find_nearest_examples(image: np.ndarray, character: str) -> np.ndarray:
    """Return the test images of a character that differ least from an image, pixel by pixel.

    They are EMNIST's where it has been prepared, else the bundled sample's: uint8 (N, 28, 28), the
    nearest first, none where the data has no such character.
    """
    real = data_dir() / "emnist.h5"  # nothing is fetched for a canvas
    images, names = _read_examples(real if real.exists() else bundled(prepared.SAMPLE_FILE))
    # In NumPy: torch would wake its threads for this, which takes longer on a busy machine.
    chosen = images[names == character]
    distance = np.square(chosen.astype(np.int32) - image).sum((1, 2))
    return chosen[distance.argsort(kind="stable")[:MAX_NEAREST]]


@functools.lru_cache(maxsize=1)
def _read_examples(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return some test images of each class, uint8 (N, 28, 28), and their characters, (N,)."""
    with prepared.open_prepared(path) as file:
        labels = file.read_labels("test")
        indices = [np.flatnonzero(labels == label)[:MAX_EXAMPLES] for label in np.unique(labels)]
        chosen = np.concatenate(indices)
        return file.read_images("test", chosen).numpy(), np.array(MAPPING)[labels[chosen]]
