"""Training with Lightning."""

from text_recognizer.lit_models.base import BaseLitModel as BaseLitModel
from text_recognizer.lit_models.lines import LineLitModel as LineLitModel
