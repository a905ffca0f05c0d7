"""What the notebooks of the handwriting lab may import."""

from lab_utils.augmentation import augment
from lab_utils.data import EMNIST, MNIST
from lab_utils.models import CNN, MLP, ConvBlock, ResidualBlock, ResNet
from lab_utils.plots import plot_history, show_images
from lab_utils.preparation import prepare
from lab_utils.recognizer import Recognizer
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
    "Recognizer",
    "ResNet",
    "ResidualBlock",
    "augment",
    "data_dir",
    "plot_history",
    "prepare",
    "show_images",
]
