"""The networks: the published CNN, an MLP to compare it with, and a ResNet made for a CPU."""

import math

import torch
import torch.nn.functional as F
from torch import nn


class ConvBlock(nn.Module):
    """A 3x3 convolution, padded by 1 so that the image keeps its size, and a ReLU.

    Parameters
    ----------
    input_channels, output_channels : int
        Feature maps that go in and come out.
    """

    def __init__(self, input_channels: int, output_channels: int):
        super().__init__()
        self.conv = nn.Conv2d(input_channels, output_channels, kernel_size=3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map float32 (B, input_channels, H, W) to (B, output_channels, H, W)."""
        return F.relu(self.conv(x))


class CNN(nn.Module):
    """The course's first CNN: two `ConvBlock`s, max-pooling, dropout and two linear layers.

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
    """

    def __init__(self, data_config: dict, conv_dim: int = 64, fc_dim: int = 128):
        super().__init__()
        channels, height, width = data_config["input_dims"]
        num_classes = len(data_config["mapping"])
        self.conv1 = ConvBlock(channels, conv_dim)
        self.conv2 = ConvBlock(conv_dim, conv_dim)
        self.max_pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(0.25)
        self.fc1 = nn.Linear(conv_dim * (height // 2) * (width // 2), fc_dim)
        self.fc2 = nn.Linear(fc_dim, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images, float32 (B, C, H, W), to logits, (B, number of classes)."""
        x = self.conv2(self.conv1(x))
        x = self.dropout(self.max_pool(x))
        x = F.relu(self.fc1(torch.flatten(x, 1)))
        return self.fc2(x)


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


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with BatchNorm, and a shortcut around them.

    Parameters
    ----------
    input_channels, output_channels : int
        Feature maps that go in and come out.
    stride : int
        Of the first convolution; 2 halves the image.

    References
    ----------
    He et al., "Deep residual learning for image recognition", 2015.
    """

    def __init__(self, input_channels: int, output_channels: int, stride: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(input_channels, output_channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(output_channels)
        self.conv2 = nn.Conv2d(output_channels, output_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(output_channels)
        self.shortcut = nn.Identity()
        if stride != 1 or input_channels != output_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(input_channels, output_channels, 1, stride, bias=False),
                nn.BatchNorm2d(output_channels),
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map float32 (B, input_channels, H, W) to (B, output_channels, H/stride, W/stride)."""
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class ResNet(nn.Module):
    """A ResNet that a CPU trains quickly: its first convolution halves the image at once.

    Half the height and width make a quarter of the work of every layer that follows, and
    channels_last is the layout in which a CPU convolves fastest.

    Parameters
    ----------
    data_config : dict
        As for `CNN`.
    width : int
        Feature maps of the first convolution and block; the others have two and three times as
        many.
    """

    def __init__(self, data_config: dict, width: int = 32):
        super().__init__()
        channels = data_config["input_dims"][0]
        self.stem = nn.Conv2d(channels, width, kernel_size=3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.blocks = nn.Sequential(
            ResidualBlock(width, width),
            ResidualBlock(width, 2 * width, stride=2),
            ResidualBlock(2 * width, 3 * width),
        )
        self.fc = nn.Linear(3 * width, len(data_config["mapping"]))
        self.to(memory_format=torch.channels_last)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images, float32 (B, C, H, W), to logits, (B, number of classes)."""
        x = self.blocks(F.relu(self.norm(self.stem(x))))
        return self.fc(x.mean(dim=(2, 3)))


CHARACTER_NETWORKS = {network.__name__: network for network in (CNN, MLP, ResNet)}
