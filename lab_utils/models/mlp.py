"""A multilayer perceptron, to compare the CNN with."""

import math

import torch
import torch.nn.functional as F
from torch import nn


class MLP(nn.Module):
    """A multilayer perceptron, which sees an image as a bag of pixels.

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
    """

    def __init__(self, data_config: dict, fc1_dim: int = 1024, fc2_dim: int = 128):
        super().__init__()
        self.fc1 = nn.Linear(math.prod(data_config["input_dims"]), fc1_dim)
        self.fc2 = nn.Linear(fc1_dim, fc2_dim)
        self.fc3 = nn.Linear(fc2_dim, len(data_config["mapping"]))
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images, float32 (B, C, H, W), to logits, (B, number of classes)."""
        x = self.dropout(F.relu(self.fc1(torch.flatten(x, 1))))
        x = self.dropout(F.relu(self.fc2(x)))
        return self.fc3(x)
