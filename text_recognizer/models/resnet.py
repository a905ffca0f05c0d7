"""A ResNet that a CPU trains quickly."""

import torch
import torch.nn.functional as F
from torch import nn

from text_recognizer.models.inputs import check_images, check_sizes, read_config


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with BatchNorm, and a shortcut around them.

    Taught in notebook 7.

    Parameters
    ----------
    input_channels, output_channels : int
        Feature maps that go in and come out.
    stride : int
        Of the first convolution; 2 halves the image.

    References
    ----------
    He et al., "Deep residual learning for image recognition", 2015.

    Examples
    --------
    >>> import torch
    >>> from lab_utils import ResidualBlock
    >>> ResidualBlock(16, 32, stride=2)(torch.zeros(5, 16, 28, 28)).shape
    torch.Size([5, 32, 14, 14])
    """

    def __init__(self, input_channels: int, output_channels: int, stride: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(input_channels, output_channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(output_channels)
        self.conv2 = nn.Conv2d(output_channels, output_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(output_channels)
        self.shortcut: nn.Module = nn.Identity()
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

    Taught in notebook 7.

    Half the height and width make a quarter of the work of every layer that follows.

    Parameters
    ----------
    data_config : dict
        As for `CNN`.
    width : int
        Feature maps of the first convolution and block; the others have two and three times as
        many.

    Examples
    --------
    >>> import torch
    >>> from lab_utils import EMNIST, ResNet
    >>> model = ResNet(EMNIST().config())
    >>> model(torch.zeros(5, 1, 28, 28)).shape
    torch.Size([5, 83])
    """

    def __init__(self, data_config: dict | None = None, width: int = 32):
        super().__init__()
        self.input_dims, num_classes = read_config("ResNet", data_config)
        check_sizes(width=width)
        channels = self.input_dims[0]
        self.stem = nn.Conv2d(channels, width, kernel_size=3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.blocks = nn.Sequential(
            ResidualBlock(width, width),
            ResidualBlock(width, 2 * width, stride=2),
            ResidualBlock(2 * width, 3 * width),
        )
        self.fc = nn.Linear(3 * width, num_classes)
        choose_layout(self, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images, float32 (B, C, H, W), to logits, (B, number of classes)."""
        check_images(x, *self.input_dims)
        x = self.blocks(F.relu(self.norm(self.stem(x))))
        return self.fc(x.mean(dim=(2, 3)))


def choose_layout(model: nn.Module, width: int) -> None:
    """Keep a network of so many feature maps in the layout in which a CPU convolves fastest.

    That is channels_last, except with fewer maps than a vector register holds: then oneDNN writes
    past a buffer in the backward pass of a shortcut (its issue 6035), which ends the process.
    """
    if width >= 16:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # torch has it
