"""The published network for lines: a CNN slid over the line, window by window."""

import torch
import torch.nn.functional as F
from torch import nn

from text_recognizer.errors import check_int
from text_recognizer.lines.render import find_used_columns
from text_recognizer.mapping import FIRST_CHARACTER, PADDING, decode_labels
from text_recognizer.models.cnn import CNN
from text_recognizer.models.ctc import FoundCharacters
from text_recognizer.models.inputs import check_images, read_config


class LineCNNSimple(nn.Module):
    """Slides a network for single characters over a line, window by window.

    Taught in notebook 4.

    Parameters
    ----------
    data_config : dict
        As for `CNN`, of a data module of lines.
    window_width : int
        Columns of a window.
    window_stride : int
        Columns from one window to the next.
    conv_dim : int
        Feature maps of each convolution of the `CNN`.
    fc_dim : int
        Width of its first linear layer.

    References
    ----------
    Full Stack Deep Learning 2021, lab 2.

    Examples
    --------
    >>> import torch
    >>> from lab_utils import EMNISTLines, LineCNNSimple
    >>> model = LineCNNSimple(EMNISTLines(max_length=16, min_overlap=0, max_overlap=0).config())
    >>> model(torch.zeros(5, 1, 28, 448)).shape  # logits for each of 16 windows
    torch.Size([5, 83, 16])
    """

    def __init__(
        self,
        data_config: dict | None = None,
        window_width: int = 28,
        window_stride: int = 28,
        conv_dim: int = 64,
        fc_dim: int = 128,
    ):
        super().__init__()
        (channels, height, width), _ = read_config("LineCNNSimple", data_config)
        assert data_config is not None
        check_int("window_width", window_width, 2, width)
        check_int("window_stride", window_stride, 1)
        window = data_config | {"input_dims": (channels, height, window_width)}
        self.window_width, self.window_stride = window_width, window_stride
        self.output_length = data_config["output_dims"][0]
        self.cnn = CNN(window, conv_dim, fc_dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map lines, float32 (B, C, H, W), to logits, (B, number of classes, output length)."""
        check_images(x, *self.cnn.input_dims[:2])
        missing = max(0, self.window_width - x.shape[3])  # a line that is narrower than a window
        x = F.pad(x, (0, missing))
        windows = x.unfold(3, self.window_width, self.window_stride)[..., : self.output_length, :]
        batch, length = len(x), windows.shape[3]
        windows = windows.permute(0, 3, 1, 2, 4).flatten(0, 1)  # (B * S, C, H, window_width)
        return self.cnn(windows).unflatten(0, (batch, length)).transpose(1, 2)

    def loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the mean cross entropy of logits (B, classes, S) for labels, padding left out."""
        return F.cross_entropy(logits, labels[:, : logits.shape[2]], ignore_index=PADDING)

    def find_characters(self, logits: torch.Tensor, x: torch.Tensor) -> FoundCharacters:
        """Return labels and windows: a character for each window up to the last ink of `x`."""
        ends = find_used_columns(x).sub(1).div(self.window_stride, rounding_mode="floor") + 1
        best = logits.argmax(1)
        is_character = best >= FIRST_CHARACTER
        found = []
        for row, keep, end in zip(best, is_character, ends.tolist(), strict=True):
            windows = torch.nonzero(keep[:end]).squeeze(1)
            found.append((row[windows].tolist(), windows.tolist()))
        return found

    def read(self, logits: torch.Tensor, x: torch.Tensor) -> list[str]:
        """Return the text of each line."""
        return [decode_labels(labels) for labels, _ in self.find_characters(logits, x)]
