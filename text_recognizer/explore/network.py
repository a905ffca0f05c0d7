"""Inside the network, live: the feature maps of each layer and the logits, while you draw."""

from typing import Any

import numpy as np
import torch
from IPython import get_ipython
from IPython.display import display
from matplotlib.figure import Figure
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

from text_recognizer.canvas.widget import HandwritingCanvas
from text_recognizer.errors import LabError, show
from text_recognizer.explore.explorable import Explorable
from text_recognizer.language import _
from text_recognizer.reading.character import prepare
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

    def look(image: torch.Tensor) -> tuple[dict, list[tuple[str, float]]]:
        maps, logits = _run(model, image)
        if len(logits) != len(mapping):
            raise LabError(f"mapping has {len(mapping)} names, the network {len(logits)} logits.")
        values, numbers = logits.topk(min(MAX_SHOWN, len(logits)))
        names = [mapping[number] for number in numbers]
        shown: dict = {"layers": list(map(_describe, maps, maps.values()))}
        shown["logits"] = list(zip(names, values.tolist(), strict=True))
        return shown, list(zip(names, logits.softmax(0)[numbers].tolist(), strict=True))

    def read(image: torch.Tensor, /, **_how: Any) -> list[tuple[str, float]]:
        inside.shown, answers = look(image)
        return answers

    shown, _answers = look(prepare(sample_strokes("R")))
    layers = ", ".join(layer["name"] for layer in shown["layers"])
    name = _("Inside the network: {}, {} logits").format(layers, len(mapping))
    inside = Explorable("network", name, _draw_still(**shown), **shown)
    if get_ipython() is not None:
        display(HandwritingCanvas(read, live=True, strokes=sample_strokes("R")))
    return inside


def _run(model: nn.Module, image: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Return the feature maps that the parts of a network make of an image, and its logits."""
    names = {part: n for n, part in model.named_children() if not isinstance(part, nn.Dropout)}
    maps: dict[str, torch.Tensor] = {}

    def keep(part: nn.Module, _given: object, found: torch.Tensor) -> None:
        if part in names and found.ndim == 4:
            maps[names[part]] = found[0].float().cpu()

    modes = [(part, part.training) for part in model.modules()]
    device = next(model.parameters()).device
    try:
        with torch.no_grad(), register_module_forward_hook(keep):
            logits = model.eval()(image[None, None].to(device).float() / 255)[0]
    finally:
        for part, mode in modes:
            part.training = mode
    return maps, logits.float().cpu()


def _describe(name: str, maps: torch.Tensor) -> dict:
    """Return the strongest maps of a layer as whole numbers from -127 to 127, in one scale."""
    count, height, width = maps.shape
    chosen = maps.abs().mean((1, 2)).topk(min(MAX_SHOWN, count)).indices
    numbers = (maps[chosen] * (STRONGEST / maps.abs().max().clamp(min=1e-9))).round()
    layer = {"name": name, "count": count, "height": height, "width": width}
    return layer | {"chosen": chosen.tolist(), "maps": numbers.to(torch.int8).numpy().tobytes()}


def _draw_still(layers: list[dict], logits: list) -> Figure:
    figure = Figure((9, 1.5 * len(layers) + 0.5), layout="constrained")
    figure.suptitle(", ".join(f"{name} {value:.1f}" for name, value in logits))
    for row, layer in enumerate(layers, 1):
        maps = np.frombuffer(layer["maps"], np.int8).reshape(-1, layer["height"], layer["width"])
        axis = figure.add_subplot(len(layers), 1, row, title=layer["name"], xticks=[], yticks=[])
        axis.imshow(np.concatenate([*maps], 1), "RdBu", vmin=-STRONGEST, vmax=STRONGEST)
    return figure
