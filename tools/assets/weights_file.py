"""The file of a network that ships: its weights and what it is, written whole."""

import json
from pathlib import Path

from safetensors.torch import save_file
from torch import nn

from text_recognizer.models.weights import compute_checksum


def write_weights(model: nn.Module, described: dict, path: Path) -> None:
    """Write weights as safetensors, with what describes them as JSON in the header.

    Parameters
    ----------
    model : torch.nn.Module
        The trained network.
    described : dict
        What `models.registry.build_network` and the recognizers need: `model_class`,
        `model_arguments`, `input_dims`, `mapping`, `temperature` and more.
    path : Path
        The file, which appears under its name only when it is whole.
    """
    tensors = {name: value.contiguous() for name, value in model.state_dict().items()}
    described = described | {"checksum": compute_checksum(described, tensors)}
    metadata = {name: json.dumps(value) for name, value in described.items()}
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata=metadata)
    partial.replace(path)
    size, temperature = path.stat().st_size, described["temperature"]
    print(f"{path}: {size:,} bytes, temperature {temperature:.2f}")
