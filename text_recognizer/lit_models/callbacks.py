"""What Lightning does around training: its progress bar, and what an interrupt comes to."""

import math
import os
import signal
import threading
import time
from collections.abc import Callable

import pytorch_lightning as pl
from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.callbacks.progress.tqdm_progress import Tqdm
from tqdm import tqdm

from text_recognizer.errors import LabError

MIN_PAUSE = 2  # seconds between two interrupts that are meant as two
_IS_WIDGET = Tqdm.status_printer is not tqdm.status_printer  # in a notebook


class TrainingBar(TQDMProgressBar):
    """Lightning's progress bar as a notebook needs it; `BaseLitModel` brings it.

    Lightning sets a bar's total after the bar is shown, of which the widget of a notebook learns
    nothing: it would be full from the first batch. And a notebook would keep a bar for each
    validation, so there it has none.
    """

    def init_sanity_tqdm(self) -> Tqdm:
        return Tqdm(disable=True) if _IS_WIDGET else super().init_sanity_tqdm()

    def init_train_tqdm(self) -> Tqdm:
        return _tell_total(super().init_train_tqdm(), self.trainer.num_training_batches)

    def init_validation_tqdm(self) -> Tqdm:
        return Tqdm(disable=True) if _IS_WIDGET else super().init_validation_tqdm()

    def init_test_tqdm(self) -> Tqdm:
        return _tell_total(super().init_test_tqdm(), sum(self.trainer.num_test_batches))

    def on_exception(self, trainer, pl_module, exception):
        for bar in vars(self).values():
            if isinstance(bar, Tqdm):
                bar.close()  # or it would draw itself once more below the last line


def _tell_total(bar: Tqdm, total: float) -> Tqdm:
    if math.isfinite(total):
        bar.reset(total)
    return bar


class TrainingInterrupted(LabError):  # noqa: N818 - students read its name
    """Training was interrupted: the message says what is kept, and how to go on."""


class InterruptHandler:
    """Lets an interrupt raise an exception, but once where several follow each other closely.

    Parameters
    ----------
    make_error : callable
        Returns the exception.
    """

    def __init__(self, make_error: Callable[[], BaseException]):
        self.make_error = make_error
        self.process = os.getpid()
        self.last = -math.inf  # when it was called, in seconds

    @property
    def was_called(self) -> bool:
        return self.last > 0

    def __call__(self, *_):
        if os.getpid() != self.process:  # a data loader's worker, which ends with this process
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # and what breaks then says nothing
            return
        before, self.last = self.last, time.monotonic()
        if self.last - before > MIN_PAUSE:
            raise self.make_error()


class EndOnInterrupt(pl.Callback):
    """Ends training with `TrainingInterrupted` where Lightning would end a notebook's cell by exit.

    A program that handles interrupts itself goes on doing so.
    """

    def arm(self, lit_model) -> None:
        """Take care of interrupts from now on, until Lightning is done."""
        is_main = threading.current_thread() is threading.main_thread()
        self.is_armed = is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler

        def make_error() -> TrainingInterrupted:
            epochs = len(lit_model.history)
            return TrainingInterrupted(
                f"The network keeps what it has learned, and history has {epochs} whole "
                f"epoch{'s' * (epochs != 1)}: call fit again to go on, or make a new network "
                "first to start afresh."
            )

        if self.is_armed:
            signal.signal(signal.SIGINT, InterruptHandler(make_error))

    def on_train_batch_start(self, *_):
        handler = signal.getsignal(signal.SIGINT)
        if isinstance(handler, InterruptHandler) and handler.was_called:
            raise handler.make_error()  # again: a library has swallowed it

    on_validation_batch_start = on_test_batch_start = on_train_batch_start

    def teardown(self, trainer, pl_module, stage):
        if self.is_armed:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def on_exception(self, trainer, pl_module, exception):
        self.teardown(trainer, pl_module, "")
