"""A multilayer perceptron, to compare the CNN with."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from text_recognizer.models.inputs import check_images, check_sizes, read_config


class MLP(nn.Module):
    """A multilayer perceptron, which sees an image as a bag of pixels.

    Taught in notebook 2.

    Parameters
    ----------
    data_config : dict
        As for `CNN`.
    fc1_dim : int
        Width of the first hidden layer.
    fc2_dim : int
        Width of the second.

    References
    ----------
    Full Stack Deep Learning 2021, lab 1.

    Examples
    --------
    >>> import torch
    >>> from lab_utils import EMNIST, MLP
    >>> model = MLP(EMNIST().config(), fc1_dim=256)
    >>> model(torch.zeros(5, 1, 28, 28)).shape
    torch.Size([5, 83])
    """

    def __init__(self, data_config: dict | None = None, fc1_dim: int = 1024, fc2_dim: int = 128):
        super().__init__()
        self.input_dims, num_classes = read_config("MLP", data_config)
        check_sizes(fc1_dim=fc1_dim, fc2_dim=fc2_dim)
        self.fc1 = nn.Linear(math.prod(self.input_dims), fc1_dim)
        self.fc2 = nn.Linear(fc1_dim, fc2_dim)
        self.fc3 = nn.Linear(fc2_dim, num_classes)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images, float32 (B, C, H, W), to logits, (B, number of classes)."""
        check_images(x, *self.input_dims)
        x = self.dropout(F.relu(self.fc1(torch.flatten(x, 1))))
        x = self.dropout(F.relu(self.fc2(x)))
        return self.fc3(x)
