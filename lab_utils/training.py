"""Training with Lightning: what one step does, what is logged, and what Lightning may say."""

import logging
import warnings

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import nn
from torchmetrics.classification import MulticlassAccuracy

from lab_utils.settings import LabError, is_fast

# Lightning's advice that does not fit here: the loaders need no workers (a batch is one
# indexing), and its notes on hardware and other products repeat at every call.
warnings.filterwarnings("ignore", ".*does not have many workers.*")
warnings.filterwarnings("ignore", ".*LeafSpec.*")  # Lightning 2.6 with torch 2.13, its own affair
logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)

FAST_BATCHES = 4  # an epoch under LAB_FAST=1: enough to run through, not to learn


class BaseLitModel(pl.LightningModule):
    """Trains any classifier: Adam, cross entropy, and the accuracy of train, val and test.

    Parameters
    ----------
    model : torch.nn.Module
        Maps float32 images (B, C, H, W) to logits (B, number of classes).
    lr : float
        Adam's learning rate.
    one_cycle_max_lr : float, optional
        If given, the learning rate follows a one-cycle schedule with this peak: up over the first
        30% of all steps, then down to almost zero.

    Attributes
    ----------
    history : list[dict]
        One entry an epoch: `epoch`, `train_loss`, `train_acc`, `val_loss`, `val_acc`.
    """

    def __init__(self, model: nn.Module, lr: float = 1e-3, one_cycle_max_lr: float | None = None):
        super().__init__()
        if not isinstance(model, nn.Module):
            raise LabError(f"model={model!r} must be a network, such as CNN(data.config()).")
        self.model = model
        self.lr = lr
        self.one_cycle_max_lr = one_cycle_max_lr
        self.history = []
        self.train_acc = MulticlassAccuracy(average="micro")
        self.val_acc = MulticlassAccuracy(average="micro")
        self.test_acc = MulticlassAccuracy(average="micro")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the model's logits."""
        return self.model(x)

    def setup(self, stage: str) -> None:
        if is_fast():
            trainer = self.trainer
            trainer.limit_train_batches = FAST_BATCHES
            trainer.limit_val_batches = trainer.limit_test_batches = FAST_BATCHES

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=self.lr)
        if self.one_cycle_max_lr is None:
            return optimizer
        steps = int(self.trainer.estimated_stepping_batches)
        one_cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.one_cycle_max_lr, steps)
        schedule = {"scheduler": one_cycle, "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def _loss(self, batch, part: str, accuracy: MulticlassAccuracy) -> torch.Tensor:
        x, y = batch
        logits = self(x)
        loss = F.cross_entropy(logits, y)
        accuracy(logits, y)
        on_bar = part != "train"
        self.log(f"{part}_loss", loss, on_step=False, on_epoch=True, prog_bar=True)
        self.log(f"{part}_acc", accuracy, on_step=False, on_epoch=True, prog_bar=on_bar)
        return loss

    def training_step(self, batch, batch_idx):
        return self._loss(batch, "train", self.train_acc)

    def validation_step(self, batch, batch_idx):
        self._loss(batch, "val", self.val_acc)

    def test_step(self, batch, batch_idx):
        self._loss(batch, "test", self.test_acc)

    def on_train_epoch_end(self):
        # Runs after validation, so that the epoch's four numbers are all there.
        names = ("train_loss", "train_acc", "val_loss", "val_acc")
        metrics = self.trainer.callback_metrics
        epoch = {name: metrics[name].item() for name in names if name in metrics}
        self.history.append({"epoch": self.current_epoch, **epoch})
