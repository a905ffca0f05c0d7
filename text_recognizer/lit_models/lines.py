"""Training networks that read lines: CTC loss and character error rates."""

from typing import cast

import torch
from torch import nn
from torchmetrics import MeanMetric
from torchmetrics.text import CharErrorRate, WordErrorRate

from text_recognizer.errors import LabError
from text_recognizer.lit_models.base import BaseLitModel
from text_recognizer.mapping import decode_labels
from text_recognizer.models.registry import LineNetwork, reads_lines


class LineLitModel(BaseLitModel):
    """Trains a network for lines: its own loss, and error rates that leave padding out.

    Taught in notebook 4.

    Logged are `val_cer` and `test_cer` (edits to mend a line, by characters it has), and of the
    test also `test_cer_caseless`, `test_wer` (the same by words) and `test_exact` (lines without
    any mistake).

    Parameters
    ----------
    model : torch.nn.Module
        `LineCNN`, `LineCNNSimple`, or another that offers what `LineNetwork` says.
    optimizer : str
        The name of an optimiser of `torch.optim`.
    lr : float
        The optimiser's learning rate, without a schedule.
    one_cycle_max_lr : float, optional
        The peak of a one-cycle schedule, as for `BaseLitModel`; None for none.

    Examples
    --------
    >>> from lab_utils import EMNISTLines, LineCNN, LineLitModel
    >>> lit_model = LineLitModel(LineCNN(EMNISTLines().config()), one_cycle_max_lr=3e-3)
    >>> lit_model.history  # filled by trainer.fit(lit_model, datamodule=...)
    []
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: str = "AdamW",
        lr: float = 1e-3,
        one_cycle_max_lr: float | None = 3e-3,
    ):
        super().__init__(model, optimizer, lr, one_cycle_max_lr)
        if not reads_lines(model):
            raise LabError(f"model={type(model).__name__} reads characters: take BaseLitModel.")
        self.val_cer = CharErrorRate()
        self.test_cer, self.test_cer_caseless = CharErrorRate(), CharErrorRate()
        self.test_wer, self.test_exact = WordErrorRate(), MeanMetric()

    def configure_gradient_clipping(
        self, optimizer, gradient_clip_val=None, gradient_clip_algorithm=None
    ):
        # The CTC loss of a network that knows nothing yet has steep gradients.
        self.clip_gradients(optimizer, 5.0, "norm")

    def training_step(self, batch, batch_idx):
        return self._log_loss(batch, "train")[0]

    def validation_step(self, batch, batch_idx):
        _, read, written = self._log_loss(batch, "val")
        self.val_cer(read, written)
        self.log("val_cer", self.val_cer, prog_bar=True)

    def test_step(self, batch, batch_idx):
        _, read, written = self._log_loss(batch, "test")
        self.test_cer(read, written)
        self.test_cer_caseless([t.lower() for t in read], [t.lower() for t in written])
        self.test_wer(read, written)
        self.test_exact([float(r == w) for r, w in zip(read, written, strict=True)])
        for name in ("test_cer", "test_cer_caseless", "test_wer", "test_exact"):
            self.log(name, getattr(self, name))

    def _log_loss(self, batch, part: str) -> tuple[torch.Tensor, list[str], list[str]]:
        """Return the loss, and but for training what was read and what was written."""
        x, y = batch
        logits = self(x)
        network = cast(LineNetwork, self.model)
        loss = network.loss(logits, y)
        self.log(f"{part}_loss", loss, prog_bar=True, sync_dist=True, on_step=False, on_epoch=True)
        if part == "train":
            return loss, [], []
        read = [decode_labels(labels) for labels, _ in network.find_characters(logits, x)]
        return loss, read, [decode_labels(line) for line in y.tolist()]
