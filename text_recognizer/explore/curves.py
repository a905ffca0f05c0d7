"""Learning, live: loss and accuracy as curves that grow while training runs."""

import math
import secrets
import time
from collections import defaultdict

import torch
from IPython import get_ipython
from IPython.display import HTML, display
from pytorch_lightning.callbacks import ProgressBar

from text_recognizer.explore.explorable import STATIC
from text_recognizer.language import _

PAUSE, MAX_SHARE = 0.4, 0.01  # seconds between two drawings; their share of the time
MAX_POINTS = 300  # of a curve that is drawn
PANEL = (STATIC / "panel.svg").read_text("utf-8")
PAGE = (STATIC / "curves.html").read_text("utf-8")


class LiveCurves(ProgressBar):
    """Loss and accuracy as curves that grow while training runs, in place of a progress bar.

    Taught in notebook 2.

    A callback for Lightning's trainer: the training loss is that of each batch, all else that of
    an epoch. For a training loop of one's own, `log` adds a point, of `total` in the end.

    Examples
    --------
    >>> import pytorch_lightning as pl
    >>> from lab_utils import LiveCurves
    >>> trainer = pl.Trainer(accelerator="cpu", logger=False, callbacks=LiveCurves())
    >>> curves = LiveCurves(total=2)  # for a loop of one's own
    >>> curves.log(loss=2.5)
    >>> curves.log(loss=1.5)
    >>> curves.curves["train_loss"]
    [[1, 2.5], [2, 1.5]]
    """

    def __init__(self, total: int | None = None):
        super().__init__()
        self._start(total)

    def _start(self, end: int | None) -> None:
        self.curves: dict[str, list] = defaultdict(list)  # points [x, y] by name
        self._end, self._id, self._is_shown = end, secrets.token_hex(8), False
        self._waiting: list[tuple[float, torch.Tensor]] = []
        self._next = 0.0  # when to draw again

    def log(self, **values: float) -> None:
        """Add a point to curves: of one step, its `loss`, `acc` (accuracy) or both."""
        for name, value in values.items():
            curve = self.curves[f"train_{name}"]
            curve.append([len(curve) + 1, float(value)])
        step = max(map(len, self.curves.values()))
        if step == self._end or time.monotonic() >= self._next:
            self._draw(_("step {} of {}").format(step, self._end or "…"))

    def on_fit_start(self, trainer, pl_module):
        self._start(trainer.max_epochs)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        count = trainer.num_training_batches
        now = trainer.current_epoch + (batch_idx + 1) / count
        self._waiting.append((now, outputs["loss"]))
        if time.monotonic() >= self._next:
            accuracy = getattr(pl_module, "train_acc", None)
            if accuracy is not None and accuracy.update_called and trainer.world_size == 1:
                self.curves["train_acc"].append([now, accuracy.compute().item()])  # so far
            place = trainer.current_epoch + 1, self._end or "…", batch_idx + 1, count
            self._draw(_("epoch {} of {}, batch {} of {}").format(*place))

    def on_train_epoch_end(self, trainer, pl_module):
        for name in ("train_acc", "val_loss", "val_acc", "val_cer"):
            if name in (metrics := trainer.callback_metrics):
                self.curves[name].append([trainer.current_epoch + 1, metrics[name].item()])

    def on_fit_end(self, trainer, pl_module):
        self._draw(_("{} epochs are done").format(trainer.current_epoch))

    def on_exception(self, trainer, pl_module, exception):
        self.on_fit_end(trainer, pl_module)

    def _draw(self, status: str) -> None:
        """Take what waits into the curves and, in a notebook, show them."""
        start = time.monotonic()
        if self._waiting:  # one synchronisation with a GPU for all of them
            places, losses = zip(*self._waiting, strict=True)
            points = zip(places, torch.stack(losses).tolist(), strict=True)
            self.curves["train_loss"] += map(list, points)
            self._waiting.clear()
        if get_ipython() is not None:
            unit = _("step") if self._trainer is None else _("epoch")
            page = HTML(draw_curves(self.curves, self._end, unit, status))
            display(page, display_id=self._id, update=self._is_shown)
            self._is_shown = True
        now = time.monotonic()
        self._next = now + max(PAUSE, (now - start) / MAX_SHARE)


def draw_curves(curves: dict, end: int | None, unit: str, status: str) -> str:
    """Return curves as HTML, in the colours of the page; x goes to `end`, if that is known."""
    reached = max((curve[-1][0] for curve in curves.values()), default=0)
    most, panels = max(end or 1, reached), ""
    names = {"train": _("training"), "val": _("validation")}
    titles = {"loss": _("Loss"), "acc": _("Accuracy"), "cer": _("Character error rate")}
    for metric, title in titles.items():
        named = {part: curves.get(f"{part}_{metric}", []) for part in names}
        found = {part: [p for p in curve if math.isfinite(p[1])] for part, curve in named.items()}
        ends = {names[part]: (c[0][1], c[-1][1]) for part, c in found.items() if c}
        # Up to where training began, or a share: what is above runs along the top.
        begun = [math.ceil(first) for first, _last in ends.values()]
        top = max([1, *begun]) if metric == "loss" else 1
        shown: dict = {"title": title, "unit": unit, "most": most, "top": top, "middle": top / 2}
        for part, curve in found.items():
            few = [*curve[:1], *curve[:: -(-len(curve) // MAX_POINTS) or 1], *curve[-1:]]
            shown[part] = " ".join(f"{x / most:.4f},{min(1, y / top):.4f}" for x, y in few)
        said = [f"{title}, {name}: {a:.3g} → {b:.3g}" for name, (a, b) in ends.items()]
        if said:
            panels += PANEL.format(**shown, names=names, said="; ".join(said))
    return PAGE.format(panels=panels, share=reached / most, status=status)
