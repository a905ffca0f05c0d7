"""What Lightning does around training: its progress bar, and what an interrupt comes to."""

import signal
import sys

import pytorch_lightning as pl
from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.callbacks.progress.tqdm_progress import Tqdm, convert_inf
from tqdm import tqdm

from text_recognizer.errors import LabError

_IS_WIDGET = Tqdm.status_printer is not tqdm.status_printer  # in a notebook


class TrainingBar(TQDMProgressBar):
    """Lightning's progress bar as a notebook needs it; `BaseLitModel` brings it.

    Taught in notebook 3.

    Lightning sets a bar's total after the bar is shown, of which the widget of a notebook learns
    nothing: it would be full from the first batch. And a notebook would keep a bar for each
    validation, so there it has none.

    Examples
    --------
    >>> import pytorch_lightning as pl
    >>> from lab_utils import TrainingBar
    >>> trainer = pl.Trainer(accelerator="cpu", logger=False, callbacks=[TrainingBar()])
    """

    def init_sanity_tqdm(self) -> Tqdm:
        return Tqdm(disable=True) if _IS_WIDGET else super().init_sanity_tqdm()

    def init_train_tqdm(self) -> Tqdm:
        bar = super().init_train_tqdm()
        bar.reset(convert_inf(self.trainer.num_training_batches))
        return bar

    def init_validation_tqdm(self) -> Tqdm:
        return Tqdm(disable=True) if _IS_WIDGET else super().init_validation_tqdm()

    def init_test_tqdm(self) -> Tqdm:
        bar = super().init_test_tqdm()
        bar.reset(convert_inf(sum(self.trainer.num_test_batches)))
        return bar

    def on_exception(self, trainer, pl_module, exception):
        for bar in vars(self).values():
            if isinstance(bar, Tqdm):
                bar.close()  # or it would draw itself once more below the last line


class TrainingInterrupted(LabError):  # noqa: N818 - students read its name
    """Training was interrupted: the message says what is kept, and how to go on."""


class EndOnInterrupt(pl.Callback):
    """Ends an interrupted training with a sentence where Lightning would end all of Python."""

    def on_exception(self, trainer, pl_module, exception):
        if not isinstance(exception, KeyboardInterrupt) or not hasattr(sys, "ps1"):
            return  # a program, and no notebook: that ends, as Lightning sees to it
        trainer._teardown()  # what Lightning would do next
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which it ignores by now
        epochs = len(pl_module.history)
        raise TrainingInterrupted(
            f"The network keeps what it has learned, and history has {epochs} whole "
            f"epoch{'s' * (epochs != 1)}: call fit again to go on, or make a new network "
            "first to start afresh."
        ) from None
