"""The data module EMNIST."""

from pathlib import Path

import numpy as np

from text_recognizer.counter_rng import SEED
from text_recognizer.data.base_data_module import CharacterDataModule
from text_recognizer.errors import check_bool
from text_recognizer.files import archives, download, prepared
from text_recognizer.mapping import CHARACTER_LABELS, MAPPING


class EMNIST(CharacterDataModule):
    """EMNIST ByClass: 62 classes of handwritten characters, in the 83 classes of the course.

    Taught in notebook 1.

    Parameters
    ----------
    source : {"auto", "full", "sample"}
        `"auto"`: what is already prepared, else the archive named by `EMNIST_ARCHIVE`, else the
        official download, else the bundled synthetic sample. `"full"` never falls back to the
        sample, `"sample"` never touches the network.
    balance : bool
        Whether to take the balanced subset of Full Stack Deep Learning (260,212 train, 65,054
        validation and 53,988 test images of the official archive), or everything. A part whose
        classes are equal, as the sample's test part, stays whole.
    **loading
        `augment`: whether training images are changed at random (`augment`);
        `batch_size` and `num_workers`, as for `BaseDataModule`.

    References
    ----------
    Cohen et al., "EMNIST: an extension of MNIST to handwritten letters", 2017.

    Examples
    --------
    >>> from lab_utils import EMNIST
    >>> data = EMNIST(source="sample")
    >>> data.prepare_data()
    >>> data.setup()
    >>> x, y = next(iter(data.test_dataloader()))
    >>> x.shape, data.mapping[y[0]]
    (torch.Size([128, 1, 28, 28]), '0')
    """

    mapping = MAPPING
    labels_used = CHARACTER_LABELS  # the sample has punctuation too, for lines

    def __init__(self, source: str = "auto", balance: bool = True, **loading):
        super().__init__(source, **loading)
        self.balance = check_bool("balance", balance)

    def locate(self) -> Path:
        return prepared.locate(
            "EMNIST", self.source, "EMNIST_ARCHIVE", archives.read_emnist, download.download_emnist
        )

    def choose(self, labels: np.ndarray) -> np.ndarray:
        chosen = super().choose(labels)
        if self.balance and np.ptp(np.unique(labels[chosen], return_counts=True)[1]):
            chosen = chosen[choose_balanced(labels[chosen])]
        return chosen


def choose_balanced(labels: np.ndarray) -> np.ndarray:
    """Return the subset of labels, (N,), that Full Stack Deep Learning calls balanced: indices.

    For each class in ascending order, as many indices as the mean class has are drawn with
    replacement and each is kept once; the mean counts the four empty special tokens. So the
    classes come out less unequal, not equal: kept as it is for the published sizes.
    """
    random = np.random.RandomState(SEED)
    mean_count = int(np.bincount(labels).mean())
    chosen = [
        np.unique(random.choice(np.flatnonzero(labels == label), mean_count))
        for label in np.unique(labels)
    ]
    return np.concatenate(chosen)
