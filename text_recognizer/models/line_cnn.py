"""A convolutional network that reads a whole line, trained with CTC."""

import torch
import torch.nn.functional as F
from torch import nn

from text_recognizer.lines.glyphs import GLYPH_SIZE
from text_recognizer.lines.render import find_used_columns
from text_recognizer.mapping import BLANK, PADDING, decode_labels
from text_recognizer.models.ctc import FoundCharacters, greedy_path
from text_recognizer.models.inputs import check_images, check_sizes, read_config
from text_recognizer.models.resnet import ResidualBlock, choose_layout


class LineCNN(nn.Module):
    """Reads a line with convolutions alone, which give an answer every few columns.

    Taught in notebook 5.

    A ResNet as for characters sees the line, a convolution as high as what is left makes it a
    sequence, and dilated convolutions along the sequence let each step see its neighbourhood of
    about four characters. For the CTC loss: a step may also answer blank, `<B>`.

    Parameters
    ----------
    data_config : dict
        As for `LineCNNSimple`.
    width : int
        Feature maps of the first block; the others have two and three times as many.
    sequence_dim : int
        Features of a step.

    References
    ----------
    Graves et al., "Connectionist temporal classification", 2006.

    Examples
    --------
    >>> import torch
    >>> from lab_utils import EMNISTLines, LineCNN
    >>> model = LineCNN(EMNISTLines(max_length=16).config())
    >>> model(torch.ones(5, 1, 28, 448)).shape  # logits, two for every 4 columns
    torch.Size([5, 83, 224])
    """

    STEP = 4  # columns of the line
    uses_ctc = True  # so that its answers can be searched with beams
    ANSWERS = 2  # of each step, so that two narrow letters find room

    def __init__(self, data_config: dict | None = None, width: int = 32, sequence_dim: int = 128):
        super().__init__()
        (channels, height, _), num_classes = read_config("LineCNN", data_config)
        check_sizes(width=width, sequence_dim=sequence_dim)
        self.input_height = height
        self.stem = nn.Conv2d(channels, width, kernel_size=3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.blocks = nn.Sequential(
            ResidualBlock(width, width),
            ResidualBlock(width, 2 * width, stride=2),
            ResidualBlock(2 * width, 3 * width),
        )
        rows = -(-height // self.STEP)
        self.collapse = nn.Conv2d(3 * width, sequence_dim, (rows, 3), padding=(0, 1))
        self.context = nn.Sequential(*(SequenceBlock(sequence_dim, d) for d in (1, 2, 4)))
        self.fc = nn.Conv1d(sequence_dim, self.ANSWERS * num_classes, kernel_size=1)
        choose_layout(self, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map lines, float32 (B, C, H, W), to logits, (B, number of classes, W / 2).

        Columns that are empty in all lines of the batch, on the right, are left out.
        """
        check_images(x, self.stem.in_channels, self.input_height)
        used = int(find_used_columns(x).max()) + 2 * self.STEP
        used += self.training * (-used % GLYPH_SIZE)  # few widths: oneDNN compiles for each
        return self.convolve(x[..., :used])

    def convolve(self, x: torch.Tensor) -> torch.Tensor:
        """Map lines as `forward` does, with all their columns."""
        x = self.blocks(F.relu(self.norm(self.stem(x))))
        x = F.relu(self.collapse(x)).squeeze(2)
        return self.fc(self.context(x)).unflatten(1, (-1, self.ANSWERS)).transpose(2, 3).flatten(2)

    def loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the CTC loss of logits (B, classes, S) for labels, padding left out."""
        # PyTorch has no CTC loss for the GPU of a Mac: there the CPU computes this, and only this.
        device = "cpu" if logits.device.type == "mps" else logits.device
        log_probabilities = logits.float().permute(2, 0, 1).log_softmax(2).to(device)
        labels = labels.to(device)
        steps = torch.full((len(labels),), len(log_probabilities))
        lengths = (labels != PADDING).sum(1)
        loss = F.ctc_loss(log_probabilities, labels, steps, lengths, BLANK, zero_infinity=True)
        return loss.to(logits.device)

    def find_characters(self, logits: torch.Tensor, x: torch.Tensor) -> FoundCharacters:  # noqa: ARG002
        """Return labels and steps of each line, decoded greedily: blanks stand behind its ink."""
        return [greedy_path(line) for line in logits.cpu()]

    def read(self, logits: torch.Tensor, x: torch.Tensor) -> list[str]:
        """Return the text of each line."""
        return [decode_labels(labels) for labels, _ in self.find_characters(logits, x)]


class SequenceBlock(nn.Module):
    """Two convolutions along a sequence, with BatchNorm, and a shortcut around them.

    `channels` features of a step go in and come out; a convolution sees every `dilation`-th step.
    """

    def __init__(self, channels: int, dilation: int):
        super().__init__()

        def convolve() -> nn.Conv1d:
            padding = 2 * dilation  # so that the sequence keeps its length
            return nn.Conv1d(channels, channels, 5, 1, padding, dilation, bias=False)

        self.layers = nn.Sequential(
            convolve(), nn.BatchNorm1d(channels), nn.ReLU(), convolve(), nn.BatchNorm1d(channels)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map float32 (B, channels, S) to the same shape."""
        return F.relu(self.layers(x) + x)
