"""The data module MNIST."""

from pathlib import Path

from text_recognizer.data.base_data_module import CharacterDataModule
from text_recognizer.files import archives, download, prepared
from text_recognizer.mapping import DIGIT_LABELS, DIGITS


class MNIST(CharacterDataModule):
    """MNIST: handwritten digits, in ten classes.

    Taught in notebook 1.

    Parameters
    ----------
    source : {"auto", "full", "sample"}
        As for `EMNIST`, with local files in the folder `MNIST_DIR`; the sample's digits stand in.
    **loading
        `augment`: whether training images are changed at random (`augment`);
        `batch_size` and `num_workers`, as for `BaseDataModule`.

    Examples
    --------
    >>> from lab_utils import MNIST
    >>> data = MNIST(source="sample", batch_size=32)
    >>> data.prepare_data()
    >>> data.setup()
    >>> x, y = next(iter(data.val_dataloader()))
    >>> x.shape, len(data.mapping)
    (torch.Size([32, 1, 28, 28]), 10)
    """

    mapping = DIGITS
    labels_used = DIGIT_LABELS

    def locate(self) -> Path:
        return prepared.locate(
            "MNIST", self.source, "MNIST_DIR", archives.read_mnist, download.download_mnist
        )

    def count_train(self, count: int) -> int:
        return round(count * 11 / 12)  # 55,000 of the official 60,000
