"""What each network checks of what it is given, so that a slip is one sentence."""

from typing import Any

import torch

from text_recognizer.errors import LabError, check_int
from text_recognizer.language import _

MAX_SIZE = 4096  # features of a layer: a convolution of more would not fit a student's memory
HINTS = {  # by the dimensions of what is no batch
    2: "one image is image[None, None]",
    3: "images without channels are images[:, None]",
    4: "give images as its data module does",
}


def read_config(network: str, data_config: Any) -> tuple[tuple[int, int, int], int]:
    """Return the input's (C, H, W) and the number of classes of a `config()`; else LabError."""
    try:
        channels, height, width = (int(size) for size in data_config["input_dims"])
        return (channels, height, width), len(data_config["mapping"])
    except (TypeError, KeyError, ValueError, IndexError):
        given = _("nothing") if data_config is None else type(data_config).__name__
        raise LabError(
            f"{network} needs to know the data, but got {given}: write {network}(data.config())."
        ) from None


def check_sizes(**sizes: Any) -> None:
    """Raise a LabError unless numbers of features are whole, from 1 to 4096."""
    for name, size in sizes.items():
        check_int(name, size, 1, MAX_SIZE)


def check_images(x: torch.Tensor, channels: int, height: int, width: int | None = None) -> None:
    """Raise a LabError unless images are float, (B, C, H, W), of a width where one is given."""
    if not isinstance(x, torch.Tensor):
        raise LabError(
            f"The network got {type(x).__name__}, but reads a tensor: "
            "write torch.as_tensor(images).float()."
        )
    if x.ndim != 4 or x.shape[1:3] != (channels, height) or width not in (None, x.shape[3]):
        wanted = f"(B, {channels}, {height}, {'W' if width is None else width})"
        hint = _(HINTS.get(x.ndim, HINTS[4]))
        raise LabError(
            f"The network got images of the shape {tuple(x.shape)}, but reads {wanted}: {hint}."
        )
    if not x.is_floating_point():
        raise LabError(
            f"The network got {str(x.dtype).removeprefix('torch.')}, but reads float from 0 to 1: "
            "write images.float() / 255."
        )
