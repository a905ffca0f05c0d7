"""Reading checkpoints: tensors and plain values, never code."""

import os
import pickle

import torch
from torch import nn

from lab_utils.errors import LabError
from lab_utils.models.registry import NETWORKS


def read_checkpoint(path: str | os.PathLike) -> dict:
    """Read a checkpoint of `lab_utils.run_experiment`: tensors and plain values, never code.

    Raises
    ------
    LabError
        If the file is missing, damaged, or no such checkpoint.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        described = checkpoint.get("hyper_parameters") if isinstance(checkpoint, dict) else None
        if isinstance(described, dict) and "model_class" in described:
            return checkpoint
        problem = "it does not say which network it is of"
    except FileNotFoundError:
        problem = "there is no such file"
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, LookupError):
        problem = "it is damaged, or holds more than tensors and plain values"
    raise LabError(
        f"{path} is no checkpoint of run_experiment ({problem}): "
        "give the path that run_experiment printed at its end."
    )


def load_network(path: str | os.PathLike) -> tuple[nn.Module, list[str]]:
    """Rebuild the network of a checkpoint that `lab_utils.run_experiment` saved.

    Returns
    -------
    tuple of torch.nn.Module and list[str]
        The network with its weights, and the mapping of its classes.

    Raises
    ------
    LabError
        As for `read_checkpoint`.
    """
    checkpoint = read_checkpoint(path)
    described = checkpoint["hyper_parameters"]
    model = NETWORKS[described["model_class"]](described, **described["model_arguments"])
    weights = checkpoint["state_dict"].items()
    model.load_state_dict(
        {k.removeprefix("model."): v for k, v in weights if k.startswith("model.")}
    )
    return model.eval(), described["mapping"]
