"""The networks, and how the answers of a line network become text."""

from text_recognizer.models.cnn import CNN as CNN
from text_recognizer.models.line_cnn import LineCNN as LineCNN
from text_recognizer.models.line_cnn_simple import LineCNNSimple as LineCNNSimple
from text_recognizer.models.mlp import MLP as MLP
from text_recognizer.models.resnet import ResNet as ResNet
