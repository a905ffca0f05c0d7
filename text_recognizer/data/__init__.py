"""The data modules, and the files they read."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from text_recognizer.data.emnist import EMNIST as EMNIST
    from text_recognizer.data.emnist_lines import EMNISTLines as EMNISTLines
    from text_recognizer.data.mnist import MNIST as MNIST

_MODULES = {"EMNIST": "emnist", "EMNISTLines": "emnist_lines", "MNIST": "mnist"}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
