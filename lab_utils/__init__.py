"""What the notebooks of the handwriting lab may import."""

from lab_utils.data import EMNIST, MNIST
from lab_utils.models import CNN, MLP, ConvBlock
from lab_utils.plots import plot_history, show_images
from lab_utils.settings import SEED, LabError, data_dir
from lab_utils.training import BaseLitModel

__all__ = [
    "CNN",
    "EMNIST",
    "MLP",
    "MNIST",
    "SEED",
    "BaseLitModel",
    "ConvBlock",
    "LabError",
    "data_dir",
    "plot_history",
    "show_images",
]
