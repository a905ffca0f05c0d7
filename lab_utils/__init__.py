"""What the notebooks of the handwriting lab may import.

Each name is loaded when it is first used, so that `import lab_utils` itself costs next to nothing.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab_utils.course import show_progress as show_progress
    from lab_utils.machine import check_machine as check_machine
    from lab_utils.machine import time_notebooks as time_notebooks
    from lab_utils.plots import plot_history as plot_history
    from lab_utils.plots import show_blocks as show_blocks
    from lab_utils.plots import show_images as show_images
    from lab_utils.preparation_steps import sample_photo as sample_photo
    from lab_utils.preparation_steps import show_preparation as show_preparation
    from text_recognizer.canvas.share import share as share
    from text_recognizer.canvas.upload import PictureUpload as PictureUpload
    from text_recognizer.canvas.widget import HandwritingCanvas as HandwritingCanvas
    from text_recognizer.counter_rng import SEED as SEED
    from text_recognizer.data.augment import augment as augment
    from text_recognizer.data.emnist import EMNIST as EMNIST
    from text_recognizer.data.emnist_lines import EMNISTLines as EMNISTLines
    from text_recognizer.data.mnist import MNIST as MNIST
    from text_recognizer.data.my_handwriting import MyHandwriting as MyHandwriting
    from text_recognizer.data.sentence_generator import SentenceGenerator as SentenceGenerator
    from text_recognizer.errors import LabError as LabError
    from text_recognizer.lit_models.base import BaseLitModel as BaseLitModel
    from text_recognizer.lit_models.base import TrainingBar as TrainingBar
    from text_recognizer.lit_models.lines import LineLitModel as LineLitModel
    from text_recognizer.models.cnn import CNN as CNN
    from text_recognizer.models.cnn import ConvBlock as ConvBlock
    from text_recognizer.models.ctc import CharacterLanguageModel as CharacterLanguageModel
    from text_recognizer.models.ctc import beam_search as beam_search
    from text_recognizer.models.ctc import greedy as greedy
    from text_recognizer.models.line_cnn import LineCNN as LineCNN
    from text_recognizer.models.line_cnn_simple import LineCNNSimple as LineCNNSimple
    from text_recognizer.models.mlp import MLP as MLP
    from text_recognizer.models.resnet import ResidualBlock as ResidualBlock
    from text_recognizer.models.resnet import ResNet as ResNet
    from text_recognizer.paths import data_dir as data_dir
    from text_recognizer.reading.character import prepare as prepare
    from text_recognizer.reading.line import prepare_line as prepare_line
    from text_recognizer.reading.recognizer import LineRecognizer as LineRecognizer
    from text_recognizer.reading.recognizer import Recognizer as Recognizer
    from text_recognizer.strokes import sample_strokes as sample_strokes

# The module of each name, under the notebook that introduces it.
_MODULES = {
    # Start here
    "check_machine": "lab_utils.machine",
    "show_progress": "lab_utils.course",
    "time_notebooks": "lab_utils.machine",
    # 1. Look at EMNIST
    "EMNIST": "text_recognizer.data.emnist",
    "MNIST": "text_recognizer.data.mnist",
    "SEED": "text_recognizer.counter_rng",
    "LabError": "text_recognizer.errors",
    "show_images": "lab_utils.plots",
    # 2. Train a CNN
    "CNN": "text_recognizer.models.cnn",
    "ConvBlock": "text_recognizer.models.cnn",
    "MLP": "text_recognizer.models.mlp",
    "BaseLitModel": "text_recognizer.lit_models.base",
    "data_dir": "text_recognizer.paths",
    "plot_history": "lab_utils.plots",
    # 3. Overfit on purpose
    "TrainingBar": "text_recognizer.lit_models.base",
    # 4. Build lines
    "EMNISTLines": "text_recognizer.data.emnist_lines",
    "SentenceGenerator": "text_recognizer.data.sentence_generator",
    "LineCNNSimple": "text_recognizer.models.line_cnn_simple",
    "LineLitModel": "text_recognizer.lit_models.lines",
    # 5. Read lines
    "LineCNN": "text_recognizer.models.line_cnn",
    "greedy": "text_recognizer.models.ctc",
    "beam_search": "text_recognizer.models.ctc",
    "CharacterLanguageModel": "text_recognizer.models.ctc",
    "LineRecognizer": "text_recognizer.reading.recognizer",
    "Recognizer": "text_recognizer.reading.recognizer",
    "prepare_line": "text_recognizer.reading.line",
    "sample_strokes": "text_recognizer.strokes",
    # 6. Draw your own
    "HandwritingCanvas": "text_recognizer.canvas.widget",
    "MyHandwriting": "text_recognizer.data.my_handwriting",
    "augment": "text_recognizer.data.augment",
    "prepare": "text_recognizer.reading.character",
    "share": "text_recognizer.canvas.share",
    "PictureUpload": "text_recognizer.canvas.upload",
    "sample_photo": "lab_utils.preparation_steps",
    "show_preparation": "lab_utils.preparation_steps",
    # 7. Homework: a ResNet
    "ResNet": "text_recognizer.models.resnet",
    "ResidualBlock": "text_recognizer.models.resnet",
    "show_blocks": "lab_utils.plots",
}
__all__ = sorted(_MODULES)  # noqa: PLE0605 - the names above, which a test holds to both lists


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value  # the next look-up finds it without this function
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _prepare_notebook() -> None:
    """Let checks be calm and remembered where a notebook imports this, and set up Colab."""
    shell = sys.modules["IPython"].get_ipython()
    if shell is not None:
        import_module(f"{__name__}.friendly_errors").load_ipython_extension(shell)
        import_module(f"{__name__}.course").remember_passes(shell)
        if "google.colab" in str(shell):
            import_module(f"{__name__}.colab").set_up(shell)


if "IPython" in sys.modules:
    _prepare_notebook()
