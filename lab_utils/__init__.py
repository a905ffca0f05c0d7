"""What the notebooks of the handwriting lab may import.

Each name is loaded when it is first used, so that `import lab_utils` itself costs next to nothing.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab_utils.canvas.share import share as share
    from lab_utils.canvas.upload import PictureUpload as PictureUpload
    from lab_utils.canvas.widget import HandwritingCanvas as HandwritingCanvas
    from lab_utils.course import show_progress as show_progress
    from lab_utils.data.augment import augment as augment
    from lab_utils.data.emnist import EMNIST as EMNIST
    from lab_utils.data.emnist_lines import EMNISTLines as EMNISTLines
    from lab_utils.data.mnist import MNIST as MNIST
    from lab_utils.data.my_handwriting import MyHandwriting as MyHandwriting
    from lab_utils.errors import LabError as LabError
    from lab_utils.lines.sentence_generator import SentenceGenerator as SentenceGenerator
    from lab_utils.lit_models.base import BaseLitModel as BaseLitModel
    from lab_utils.lit_models.base import TrainingBar as TrainingBar
    from lab_utils.lit_models.lines import LineLitModel as LineLitModel
    from lab_utils.machine import check_machine as check_machine
    from lab_utils.machine import time_notebooks as time_notebooks
    from lab_utils.models.cnn import CNN as CNN
    from lab_utils.models.cnn import ConvBlock as ConvBlock
    from lab_utils.models.ctc import CharacterLanguageModel as CharacterLanguageModel
    from lab_utils.models.ctc import beam_search as beam_search
    from lab_utils.models.ctc import greedy as greedy
    from lab_utils.models.line_cnn import LineCNN as LineCNN
    from lab_utils.models.line_cnn_simple import LineCNNSimple as LineCNNSimple
    from lab_utils.models.mlp import MLP as MLP
    from lab_utils.models.resnet import ResidualBlock as ResidualBlock
    from lab_utils.models.resnet import ResNet as ResNet
    from lab_utils.paths import data_dir as data_dir
    from lab_utils.plots import plot_history as plot_history
    from lab_utils.plots import show_blocks as show_blocks
    from lab_utils.plots import show_images as show_images
    from lab_utils.randomness import SEED as SEED
    from lab_utils.reading.character import prepare as prepare
    from lab_utils.reading.line import prepare_line as prepare_line
    from lab_utils.reading.recognizer import LineRecognizer as LineRecognizer
    from lab_utils.reading.recognizer import Recognizer as Recognizer
    from lab_utils.reading.steps import sample_photo as sample_photo
    from lab_utils.reading.steps import show_preparation as show_preparation
    from lab_utils.strokes import sample_strokes as sample_strokes

# The module of each name, under the notebook that introduces it.
_MODULES = {
    # Start here
    "check_machine": "machine",
    "show_progress": "course",
    "time_notebooks": "machine",
    # 1. Look at EMNIST
    "EMNIST": "data.emnist",
    "MNIST": "data.mnist",
    "SEED": "randomness",
    "LabError": "errors",
    "show_images": "plots",
    # 2. Train a CNN
    "CNN": "models.cnn",
    "ConvBlock": "models.cnn",
    "MLP": "models.mlp",
    "BaseLitModel": "lit_models.base",
    "data_dir": "paths",
    "plot_history": "plots",
    # 3. Overfit on purpose
    "TrainingBar": "lit_models.base",
    # 4. Build lines
    "EMNISTLines": "data.emnist_lines",
    "SentenceGenerator": "lines.sentence_generator",
    "LineCNNSimple": "models.line_cnn_simple",
    "LineLitModel": "lit_models.lines",
    # 5. Read lines
    "LineCNN": "models.line_cnn",
    "greedy": "models.ctc",
    "beam_search": "models.ctc",
    "CharacterLanguageModel": "models.ctc",
    "LineRecognizer": "reading.recognizer",
    "Recognizer": "reading.recognizer",
    "prepare_line": "reading.line",
    "sample_strokes": "strokes",
    # 6. Draw your own
    "HandwritingCanvas": "canvas.widget",
    "MyHandwriting": "data.my_handwriting",
    "augment": "data.augment",
    "prepare": "reading.character",
    "share": "canvas.share",
    "PictureUpload": "canvas.upload",
    "sample_photo": "reading.steps",
    "show_preparation": "reading.steps",
    # 7. Homework: a ResNet
    "ResNet": "models.resnet",
    "ResidualBlock": "models.resnet",
    "show_blocks": "plots",
}
__all__ = sorted(_MODULES)  # noqa: PLE0605 - the names above, which a test holds to both lists


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value  # the next look-up finds it without this function
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _prepare_notebook() -> None:
    """Let checks be calm and remembered where a notebook imports this, and set up Colab."""
    shell = sys.modules["IPython"].get_ipython()
    if shell is not None:
        import_module(f"{__name__}.checks").load_ipython_extension(shell)
        import_module(f"{__name__}.course").remember_passes(shell)
        if "google.colab" in str(shell):
            import_module(f"{__name__}.colab").set_up(shell)


if "IPython" in sys.modules:
    _prepare_notebook()
