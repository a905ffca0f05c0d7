"""Inside the network, live: the feature maps of each layer and the logits, while you draw."""

import math
from typing import Any

import numpy as np
import torch
from IPython import get_ipython
from IPython.display import display
from matplotlib.figure import Figure
from torch import nn

from text_recognizer.canvas.widget import HandwritingCanvas
from text_recognizer.errors import LabError, show
from text_recognizer.explore.explorable import Explorable
from text_recognizer.language import _
from text_recognizer.strokes import sample_strokes

MAX_SHOWN = 8  # maps of a layer, the strongest, and logits, the highest
STRONGEST = 127  # a map's number with the fullest colour


def explore_network(model: nn.Module, mapping: list[str]) -> Explorable:
    """Draw, and see at once what each layer of a network makes of it, down to the logits.

    Taught in notebook 2.

    Parameters
    ----------
    model : torch.nn.Module
        Maps float32 (B, 1, 28, 28) in [0, 1] to logits (B, number of classes). Shown are the
        strongest feature maps, (B, C, H, W), that its parts return, and the highest logits.
    mapping : list of str
        The character of each class.

    Examples
    --------
    >>> from lab_utils import CNN, EMNIST, explore_network
    >>> data = EMNIST()
    >>> explore_network(CNN(data.config(), conv_dim=8), data.mapping)
    Inside the network: conv1, conv2, max_pool, 83 logits
    """
    if not isinstance(model, nn.Module):
        raise LabError(f"model={show(model)} must be a network, such as CNN(data.config()).")
    seen: dict = {}
    inside: list[Explorable] = []

    def read(image: Any, /, **_how: Any) -> list[tuple[str, float]]:
        maps, logits = _run(model, image)
        if len(logits) != len(mapping):
            raise LabError(f"mapping has {len(mapping)} names, the network {len(logits)} logits.")
        values, numbers = logits.topk(min(MAX_SHOWN, len(logits)))
        names = [mapping[number] for number in numbers]
        seen.update(_describe(maps), logits=list(zip(names, values.tolist(), strict=True)))
        for widget in inside:
            widget.shown = dict(seen)
        return list(zip(names, logits.softmax(0)[numbers].tolist(), strict=True))

    canvas = HandwritingCanvas(read, live=True)
    canvas.draw(sample_strokes("R"))
    if error := canvas.result.get("error"):
        raise LabError(error)
    layers = ", ".join(layer["name"] for layer in seen["layers"])
    name = _("Inside the network: {}, {} logits").format(layers, len(mapping))
    inside.append(Explorable("network", name, _draw_still(**seen), **seen))
    if get_ipython() is not None:
        display(canvas)
    return inside[0]


def _run(model: nn.Module, image: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Return the feature maps that the parts of a network make of an image, and its logits."""
    returned: dict[str, torch.Tensor] = {}
    handles = [
        part.register_forward_hook(lambda _p, _g, found, name=name: returned.update({name: found}))
        for name, part in model.named_children()
        if not isinstance(part, nn.Dropout)
    ]
    was_training, device = model.training, next(model.parameters()).device
    try:
        with torch.no_grad():
            logits = model.eval()(image[None, None].to(device).float() / 255)[0]
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    maps = {name: found[0].float().cpu() for name, found in returned.items() if found.ndim == 4}
    return maps, logits.float().cpu()


def _describe(maps: dict[str, torch.Tensor]) -> dict:
    """Return the strongest maps of each layer; their numbers are whole, from -127 to 127."""
    layers, numbers = [], []
    for name, found in maps.items():
        count, height, width = found.shape
        chosen = found.abs().mean((1, 2)).topk(min(MAX_SHOWN, count)).indices
        scale = STRONGEST / found.abs().max().clamp(min=1e-9)  # one scale for a layer
        numbers.append((found[chosen] * scale).round().to(torch.int8).numpy().tobytes())
        layer = {"name": name, "count": count, "height": height, "width": width}
        layers.append(layer | {"chosen": chosen.tolist()})
    return {"layers": layers, "maps": b"".join(numbers)}


def _draw_still(layers: list[dict], maps: bytes, logits: list) -> Figure:
    figure = Figure((9, 1.5 * len(layers) + 0.5), layout="constrained")
    figure.suptitle(", ".join(f"{name} {value:.1f}" for name, value in logits))
    numbers = np.frombuffer(maps, np.int8)
    for row, layer in enumerate(layers, 1):
        shape = len(layer["chosen"]), layer["height"], layer["width"]
        shown, numbers = np.split(numbers, [math.prod(shape)])
        axis = figure.add_subplot(len(layers), 1, row, title=layer["name"], xticks=[], yticks=[])
        axis.imshow(
            np.concatenate([*shown.reshape(shape)], 1), "RdBu", vmin=-STRONGEST, vmax=STRONGEST
        )
    return figure
