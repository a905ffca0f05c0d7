"""The course's first network: two convolutions, max-pooling and two linear layers."""

import torch
import torch.nn.functional as F
from torch import nn

from text_recognizer.models.inputs import check_images, check_sizes, read_config
from text_recognizer.models.resnet import choose_layout


class ConvBlock(nn.Module):
    """A 3x3 convolution, padded by 1 so that the image keeps its size, and a ReLU.

    Taught in notebook 2.

    Parameters
    ----------
    input_channels, output_channels : int
        Feature maps that go in and come out.

    Examples
    --------
    >>> import torch
    >>> from lab_utils import ConvBlock
    >>> ConvBlock(1, 64)(torch.zeros(5, 1, 28, 28)).shape
    torch.Size([5, 64, 28, 28])
    """

    def __init__(self, input_channels: int, output_channels: int):
        super().__init__()
        self.conv = nn.Conv2d(input_channels, output_channels, kernel_size=3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map float32 (B, input_channels, H, W) to (B, output_channels, H, W)."""
        return F.relu(self.conv(x))


class CNN(nn.Module):
    """The course's first CNN: two layers `ConvBlock`, max-pooling, dropout and two linear layers.

    Taught in notebook 2.

    Parameters
    ----------
    data_config : dict
        A data module's `config()`: `input_dims` (C, H, W) and `mapping`, one entry a class.
    conv_dim : int
        Feature maps of each convolution.
    fc_dim : int
        Width of the first linear layer.

    References
    ----------
    Full Stack Deep Learning 2021, lab 2.

    Examples
    --------
    >>> import torch
    >>> from lab_utils import CNN, EMNIST
    >>> model = CNN(EMNIST().config())
    >>> model(torch.zeros(5, 1, 28, 28)).shape  # logits, one for each class
    torch.Size([5, 83])
    """

    def __init__(self, data_config: dict | None = None, conv_dim: int = 64, fc_dim: int = 128):
        super().__init__()
        self.input_dims, num_classes = read_config("CNN", data_config)
        check_sizes(conv_dim=conv_dim, fc_dim=fc_dim)
        channels, height, width = self.input_dims
        self.conv1 = ConvBlock(channels, conv_dim)
        self.conv2 = ConvBlock(conv_dim, conv_dim)
        self.max_pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(0.25)
        self.fc1 = nn.Linear(conv_dim * (height // 2) * (width // 2), fc_dim)
        self.fc2 = nn.Linear(fc_dim, num_classes)
        choose_layout(self, conv_dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images, float32 (B, C, H, W), to logits, (B, number of classes)."""
        check_images(x, *self.input_dims)
        x = self.conv2(self.conv1(x))
        x = self.dropout(self.max_pool(x))
        x = F.relu(self.fc1(torch.flatten(x, 1)))
        return self.fc2(x)
