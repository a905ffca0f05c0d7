"""The networks that the command line, checkpoints and weights know by name; what each must offer.

To add one, write its file in this folder and name it in `NETWORKS`.
"""

import warnings
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from text_recognizer.models.cnn import CNN
from text_recognizer.models.ctc import FoundCharacters
from text_recognizer.models.line_cnn import LineCNN
from text_recognizer.models.line_cnn_simple import LineCNNSimple
from text_recognizer.models.mlp import MLP
from text_recognizer.models.resnet import ResNet


@runtime_checkable
class LineNetwork(Protocol):
    """What a network that reads lines offers beside `forward`, which gives (B, classes, S).

    A network without these two methods reads characters: its `forward` maps images, float32
    (B, C, H, W), to logits, (B, number of classes). Either is made by
    `Network(data.config(), **options)`, where every option is a whole number.
    """

    def loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of logits (B, classes, S) for labels, int64 (B, max_length)."""
        ...

    def find_characters(self, logits: torch.Tensor, x: torch.Tensor) -> FoundCharacters:
        """Return for each line its labels, and the step of the logits at which each stands.

        The logits are float, (B, classes, S), and `x`, float32 (B, 1, 28, W), the lines.
        """
        ...


NETWORKS: dict[str, type[nn.Module]] = {
    network.__name__: network for network in (CNN, MLP, ResNet, LineCNNSimple, LineCNN)
}


def build_network(described: dict, weights: dict[str, torch.Tensor]) -> nn.Module:
    """Return a network with its weights, as checkpoints and weights describe it.

    `described` has `model_class`, `model_arguments`, and the data's `input_dims`, `output_dims` and
    `mapping`. If there is no such network, or the weights are another's, that is a LookupError,
    TypeError, ValueError or RuntimeError.
    """
    network = NETWORKS[described["model_class"]]
    # On "meta" it costs nothing, however large or empty a network the file speaks of.
    with torch.device("meta"), warnings.catch_warnings(action="ignore"):
        network(described, **described["model_arguments"]).load_state_dict(weights, assign=True)
    model = network(described, **described["model_arguments"])
    model.load_state_dict(weights)
    return model.eval()


def reads_lines(network: nn.Module | type[nn.Module]) -> bool:
    """Tell whether a network, or a class of networks, reads lines rather than characters."""
    return issubclass(network if isinstance(network, type) else type(network), LineNetwork)
