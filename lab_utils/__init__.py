"""What the notebooks of the handwriting lab may import."""

from lab_utils.canvas.widget import HandwritingCanvas
from lab_utils.data.augment import augment
from lab_utils.data.emnist import EMNIST
from lab_utils.data.emnist_lines import EMNISTLines
from lab_utils.data.mnist import MNIST
from lab_utils.data.my_handwriting import MyHandwriting
from lab_utils.errors import LabError
from lab_utils.lines.sentence_generator import SentenceGenerator
from lab_utils.lit_models.base import BaseLitModel, TrainingBar
from lab_utils.lit_models.lines import LineLitModel
from lab_utils.models.cnn import CNN, ConvBlock
from lab_utils.models.ctc import CharacterLanguageModel, beam_search, greedy
from lab_utils.models.line_cnn import LineCNN
from lab_utils.models.line_cnn_simple import LineCNNSimple
from lab_utils.models.mlp import MLP
from lab_utils.models.resnet import ResidualBlock, ResNet
from lab_utils.paths import data_dir
from lab_utils.plots import plot_history, show_blocks, show_images
from lab_utils.randomness import SEED
from lab_utils.reading.character import prepare
from lab_utils.reading.line import prepare_line
from lab_utils.reading.recognizer import LineRecognizer, Recognizer
from lab_utils.strokes import sample_strokes

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
