# ruff: noqa: I001 - in the order in which the notebooks introduce them

# 0. Start here
from lab_utils.start_page import check_machine as check_machine
from lab_utils.start_page import show_progress as show_progress
from lab_utils.start_page import time_notebooks as time_notebooks

# 1. Look at EMNIST
from text_recognizer.data.emnist import EMNIST as EMNIST
from text_recognizer.data.mnist import MNIST as MNIST
from text_recognizer.counter_rng import SEED as SEED
from lab_utils.plots import show_images as show_images

# 2. Train a CNN
from text_recognizer.models.cnn import CNN as CNN
from text_recognizer.models.cnn import ConvBlock as ConvBlock
from text_recognizer.models.mlp import MLP as MLP
from text_recognizer.lit_models.base import BaseLitModel as BaseLitModel
from text_recognizer.paths import data_dir as data_dir
from lab_utils.plots import plot_history as plot_history
from text_recognizer.explore.filter import explore_filter as explore_filter
from text_recognizer.explore.network import explore_network as explore_network
from text_recognizer.explore.curves import LiveCurves as LiveCurves
from text_recognizer.explore.confusions import explore_confusions as explore_confusions

# 3. Overfit on purpose
from text_recognizer.data.augment import augment as augment
from text_recognizer.lit_models.base import TrainingBar as TrainingBar

# 4. Build lines
from lab_utils.plots import show_lines as show_lines
from text_recognizer.data.emnist_lines import EMNISTLines as EMNISTLines
from text_recognizer.data.sentence_generator import SentenceGenerator as SentenceGenerator
from text_recognizer.models.line_cnn_simple import LineCNNSimple as LineCNNSimple
from text_recognizer.lit_models.lines import LineLitModel as LineLitModel

# 5. Read lines
from text_recognizer.models.line_cnn import LineCNN as LineCNN
from text_recognizer.models.ctc import greedy as greedy
from text_recognizer.models.ctc import beam_search as beam_search
from text_recognizer.models.ctc import CharacterLanguageModel as CharacterLanguageModel
from text_recognizer.explore.ctc import explore_ctc as explore_ctc
from text_recognizer.reading.recognizer import LineRecognizer as LineRecognizer
from text_recognizer.reading.line import prepare_line as prepare_line
from text_recognizer.strokes import sample_strokes as sample_strokes

# 6. Draw your own
from text_recognizer.canvas.widget import HandwritingCanvas as HandwritingCanvas
from text_recognizer.data.my_handwriting import MyHandwriting as MyHandwriting
from text_recognizer.reading.character import prepare as prepare
from text_recognizer.reading.recognizer import Recognizer as Recognizer
from text_recognizer.errors import LabError as LabError
from text_recognizer.canvas.share import share as share
from text_recognizer.canvas.upload import PictureUpload as PictureUpload
from lab_utils.preparation_steps import sample_photo as sample_photo
from lab_utils.preparation_steps import show_preparation as show_preparation

# 7. Homework: a ResNet
from text_recognizer.models.resnet import ResNet as ResNet
from text_recognizer.models.resnet import ResidualBlock as ResidualBlock
from lab_utils.plots import show_blocks as show_blocks
