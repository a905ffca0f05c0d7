"""Training with Lightning: what one step does, what is logged, and what Lightning may say."""

import logging
import math
import warnings

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.callbacks import TQDMProgressBar
from torch import nn
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy

from text_recognizer.errors import LabError, check_number, nearest, show
from text_recognizer.lit_models.callbacks import EndOnInterrupt, TrainingBar
from text_recognizer.paths import is_fast

# Lightning's advice that does not fit here: the loaders need no workers (a batch is one
# indexing), and its notes on hardware and other products repeat at every call.
warnings.filterwarnings("ignore", ".*does not have many workers.*")
warnings.filterwarnings("ignore", ".*suggested max number of worker.*")  # asked for on purpose
# Training that goes on does so in the folder of its checkpoint.
warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty.*")
# An interrupted epoch goes on with as many batches as were left, drawn again.
warnings.filterwarnings("ignore", ".*ended before the epoch ended and your dataloader is not.*")
warnings.filterwarnings("ignore", ".*is not supported by the model summary.*")  # bfloat16
warnings.filterwarnings("ignore", ".*LeafSpec.*")  # Lightning 2.6 with torch 2.13, its own affair
logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)

OPTIMIZERS = sorted(
    name
    for name, thing in vars(torch.optim).items()
    if isinstance(thing, type)
    and issubclass(thing, torch.optim.Optimizer)
    and name not in ("Optimizer", "Muon", "SparseAdam")  # these take only some parameters
)
MAX_LR = 1000.0
BELOW_ONE = math.nextafter(1, 0)
FAST_BATCHES, FAST_EPOCHS = 2, 5  # under LAB_FAST=1: enough to run through, not to learn


class BaseLitModel(pl.LightningModule):
    """Trains any classifier: cross entropy, and the loss and accuracy of train, val and test.

    Taught in notebook 2.

    Parameters
    ----------
    model : torch.nn.Module
        Maps float32 images (B, C, H, W) to logits (B, number of classes).
    optimizer : str
        The name of an optimiser of `torch.optim`, such as `"Adam"`, `"AdamW"` or `"SGD"`.
    lr : float
        The optimiser's learning rate.
    one_cycle_max_lr : float, optional
        If given, the learning rate follows a one-cycle schedule with this peak: up over the first
        30% of all steps, then down to almost zero.
    label_smoothing : float
        The share of each target that goes evenly to all classes while training, 0 to 1.

    Attributes
    ----------
    history : list[dict]
        One entry per epoch: `epoch`, `train_loss`, `train_acc`, `val_loss`, `val_acc`; for lines
        `val_cer` instead of the accuracies.

    Examples
    --------
    >>> import pytorch_lightning as pl
    >>> from lab_utils import MLP, MNIST, BaseLitModel
    >>> data = MNIST(source="sample")
    >>> lit_model = BaseLitModel(MLP(data.config(), fc1_dim=32), lr=3e-3)
    >>> quick = {"max_epochs": 1, "limit_train_batches": 1, "limit_val_batches": 1}
    >>> quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    >>> trainer = pl.Trainer(accelerator="cpu", **quick, **quiet)
    >>> trainer.fit(lit_model, datamodule=data)
    >>> sorted(lit_model.history[0])
    ['epoch', 'train_acc', 'train_loss', 'val_acc', 'val_loss']
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: str = "Adam",
        lr: float = 1e-3,
        one_cycle_max_lr: float | None = None,
        label_smoothing: float = 0.0,
    ):
        super().__init__()
        if not isinstance(model, nn.Module):
            raise LabError(f"model={show(model)} must be a network, such as CNN(data.config()).")
        if not isinstance(optimizer, str) or optimizer not in OPTIMIZERS:
            raise LabError(f"optimizer={show(optimizer)}: {nearest(str(optimizer), OPTIMIZERS)}")
        check_number("lr", lr, 0, MAX_LR, f"from 0 to {MAX_LR:g}")
        if one_cycle_max_lr is not None:
            check_number("one_cycle_max_lr", one_cycle_max_lr, 0, MAX_LR, f"from 0 to {MAX_LR:g}")
        check_number("label_smoothing", label_smoothing, 0, BELOW_ONE, "from 0 to below 1")
        self.model = model
        self.optimizer = optimizer
        self.lr = lr
        self.one_cycle_max_lr = one_cycle_max_lr
        self.label_smoothing = label_smoothing
        self.history: list[dict] = []
        accuracies = [MulticlassAccuracy(average="micro") for _ in range(3)]
        self.train_acc, self.val_acc, self.test_acc = accuracies

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the model's logits."""
        return self.model(x)

    def configure_callbacks(self):
        # Lightning lets it replace the bar that a trainer has by default.
        has_bar = type(self.trainer.progress_bar_callback) is TQDMProgressBar
        return [EndOnInterrupt(), *([TrainingBar()] if has_bar else [])]

    def setup(self, stage: str) -> None:
        if is_fast():
            trainer = self.trainer
            trainer.fit_loop.max_epochs = min(trainer.max_epochs or FAST_EPOCHS, FAST_EPOCHS)
            batches = trainer.overfit_batches or FAST_BATCHES  # type: ignore[attr-defined]
            for part, count in (("train", batches), ("val", batches), ("test", FAST_BATCHES)):
                if getattr(trainer, f"limit_{part}_batches"):  # where it is 0, there is none
                    setattr(trainer, f"limit_{part}_batches", count)

    def on_fit_start(self):
        for metric in self.modules():
            if isinstance(metric, Metric):
                metric.reset()  # of an epoch that was interrupted

    def configure_optimizers(self):
        optimizer = getattr(torch.optim, self.optimizer)(self.parameters(), lr=self.lr)
        if self.one_cycle_max_lr is None:
            return optimizer
        steps = int(self.trainer.estimated_stepping_batches)
        has_momentum = bool({"momentum", "betas"} & set(optimizer.defaults))
        one_cycle = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.one_cycle_max_lr, steps, cycle_momentum=has_momentum
        )
        schedule = {"scheduler": one_cycle, "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def _loss(self, batch, part: str, accuracy: MulticlassAccuracy) -> torch.Tensor:
        x, y = batch
        logits = self(x).float()  # they may be bfloat16
        is_train = part == "train"
        smoothing = self.label_smoothing if is_train else 0.0
        loss = F.cross_entropy(logits, y, label_smoothing=smoothing)
        accuracy(logits, y)
        self.log(f"{part}_loss", loss, prog_bar=True, sync_dist=True, on_step=False, on_epoch=True)
        self.log(f"{part}_acc", accuracy, prog_bar=not is_train, on_step=False, on_epoch=True)
        return loss

    def training_step(self, batch, batch_idx):
        return self._loss(batch, "train", self.train_acc)

    def validation_step(self, batch, batch_idx):
        self._loss(batch, "val", self.val_acc)

    def test_step(self, batch, batch_idx):
        self._loss(batch, "test", self.test_acc)

    def on_train_epoch_end(self):
        # Runs after validation, so that the epoch's numbers are all there.
        names = ("train_loss", "train_acc", "val_loss", "val_acc", "val_cer")
        metrics = self.trainer.callback_metrics
        epoch = {name: metrics[name].item() for name in names if name in metrics}
        following = self.history[-1]["epoch"] + 1 if self.history else 0
        self.history.append({"epoch": max(self.current_epoch, following), **epoch})
