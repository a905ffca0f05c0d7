"""What all explorables share: a script, what it shows, and a picture where no browser runs it."""

import contextlib
import io
import json
import re
from pathlib import Path

import anywidget
import numpy as np
import traitlets
from matplotlib.figure import Figure

from text_recognizer.canvas.pictures import add_still
from text_recognizer.canvas.script import join_modules, read_static
from text_recognizer.errors import LabError
from text_recognizer.language import _

STATIC = Path(__file__).parent / "static"
STYLES = "controls.css", "maps.css", str(STATIC / "explore.css")
ALONE = ("filter", "ctc")  # scripts that need no kernel: the site runs them, too
SAID = re.compile(r"\bsay\(\s*\"([^\"]+)\"")  # what a script says, which is translated


class Explorable(anywidget.AnyWidget):
    """A script of `static` and what it shows; its name and a picture where no browser runs it."""

    _esm = traitlets.Unicode().tag(sync=True)
    _css = "".join(map(read_static, STYLES))
    labels = traitlets.Dict().tag(sync=True)
    shown = traitlets.Dict().tag(sync=True)

    def __init__(self, script: str, name: str, still: Figure, **shown):
        self._script, self._name, self._still = script, name, still
        module = join_modules(str(STATIC / f"{script}.js"))
        labels = {text: _(text) for text in SAID.findall(module)}
        super().__init__(_esm=module, labels=labels | {"": name}, shown=shown)

    def __repr__(self) -> str:
        return self._name

    def _repr_mimebundle_(self, **kwargs):
        file = io.BytesIO()
        self._still.savefig(file, format="png", dpi=110)
        bundle = super()._repr_mimebundle_(**kwargs)
        data, metadata = add_still(bundle, file.getvalue(), repr(self))
        if self._script in ALONE:
            state = {"script": self._script, "labels": self.labels, "shown": self.shown}
            metadata = metadata | {"explorable": json.dumps(state, ensure_ascii=False)}
        return data, metadata


def check_array(name: str, value: object, shape: str, most: int = 0) -> np.ndarray:
    """Return an array or tensor as finite numbers of a shape such as "(H, W)"; else LabError."""
    dimensions, array = len(shape.strip("(,)").split(",")), np.empty(0)
    with contextlib.suppress(TypeError, ValueError, RuntimeError):
        array = np.asarray(value, np.float32)
    if dimensions == 2 and array.ndim == 3 and len(array) == 1:
        array = array[0]  # an image with its channel
    if array.ndim != dimensions or not array.size or not np.isfinite(array).all():
        raise LabError(f"{name} must be an array or tensor of numbers, {shape}.")
    if most and max(array.shape) > most:
        raise LabError(f"{name} has shape {array.shape}: at most {most} each way.")
    return array
