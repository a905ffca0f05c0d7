"""What the notebooks of the handwriting lab may import."""

from lab_utils.augmentation import augment
from lab_utils.canvas import HandwritingCanvas
from lab_utils.data import EMNIST, MNIST
from lab_utils.decoding import CharacterLanguageModel, beam_search, greedy
from lab_utils.line_models import LineCNN, LineCNNSimple
from lab_utils.line_preparation import prepare_line
from lab_utils.lines import EMNISTLines
from lab_utils.models import CNN, MLP, ConvBlock, ResidualBlock, ResNet
from lab_utils.my_handwriting import MyHandwriting
from lab_utils.plots import plot_history, show_blocks, show_images
from lab_utils.preparation import prepare
from lab_utils.recognizer import LineRecognizer, Recognizer
from lab_utils.settings import SEED, LabError, data_dir
from lab_utils.strokes import sample_strokes
from lab_utils.text import SentenceGenerator
from lab_utils.training import BaseLitModel, LineLitModel, TrainingBar

__all__ = [
    "CNN",
    "EMNIST",
    "MLP",
    "MNIST",
    "SEED",
    "BaseLitModel",
    "CharacterLanguageModel",
    "ConvBlock",
    "EMNISTLines",
    "HandwritingCanvas",
    "LabError",
    "LineCNN",
    "LineCNNSimple",
    "LineLitModel",
    "LineRecognizer",
    "MyHandwriting",
    "Recognizer",
    "ResNet",
    "ResidualBlock",
    "SentenceGenerator",
    "TrainingBar",
    "augment",
    "beam_search",
    "data_dir",
    "greedy",
    "plot_history",
    "prepare",
    "prepare_line",
    "sample_strokes",
    "show_blocks",
    "show_images",
]
