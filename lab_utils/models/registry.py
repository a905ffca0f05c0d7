"""The networks that the command line, checkpoints and weights know by name."""

from lab_utils.models.cnn import CNN
from lab_utils.models.line_cnn import LineCNN
from lab_utils.models.line_cnn_simple import LineCNNSimple
from lab_utils.models.mlp import MLP
from lab_utils.models.resnet import ResNet

CHARACTER_NETWORKS = {network.__name__: network for network in (CNN, MLP, ResNet)}
LINE_NETWORKS = {network.__name__: network for network in (LineCNN, LineCNNSimple)}
NETWORKS = CHARACTER_NETWORKS | LINE_NETWORKS
