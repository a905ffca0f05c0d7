"""Reading checkpoints: tensors and plain values, never code."""

import os
import pickle

import torch
from torch import nn

from lab_utils.errors import LabError
from lab_utils.models.registry import build_network


def read_checkpoint(path: str | os.PathLike) -> dict:
    """Read a checkpoint of `lab_utils.run_experiment`: tensors and plain values, never code.

    Raises
    ------
    LabError
        If the file is missing, damaged, or not such a checkpoint.
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
        f"{path} is not a checkpoint of run_experiment ({problem}): "
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
    try:
        weights = checkpoint["state_dict"].items()
        own = {k.removeprefix("model."): v for k, v in weights if k.startswith("model.")}
        return build_network(described, own), list(described["mapping"])
    except (LookupError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise LabError(
            f"{path} does not fit the network that it names ({str(error).splitlines()[0]}): "
            "give another checkpoint of run_experiment."
        ) from None
