"""Reading checkpoints: tensors and plain values, never code."""

import json
import lzma
import os
import pickle
import struct
import zipfile
import zlib
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from text_recognizer.errors import LabError, missing_or_damaged, shorten
from text_recognizer.language import _
from text_recognizer.models.registry import build_network
from text_recognizer.paths import bundled

UNREADABLE = (
    *(OSError, RuntimeError, EOFError, LookupError, TypeError, ValueError, AttributeError),
    *(pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
)


def read_checkpoint(path: str | os.PathLike) -> dict:
    """Read a checkpoint of `run_experiment`; LabError if it is missing, damaged or another file."""
    try:
        if not Path(path).is_file():
            raise FileNotFoundError
        with zipfile.ZipFile(path) as archive:  # torch does not check the CRC-32 of its parts
            if archive.testzip() is not None:
                raise zipfile.BadZipFile
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        described = checkpoint.get("hyper_parameters") if isinstance(checkpoint, dict) else None
        if isinstance(described, dict) and "model_class" in described:
            return checkpoint
        problem = _("it does not say which network it is of")
    except FileNotFoundError:
        problem = _("there is no such file")
    except UNREADABLE:
        problem = _("it is damaged, or holds more than tensors and plain values")
    raise LabError(
        f"{path} is not a checkpoint of run_experiment ({problem}): "
        "give the path that run_experiment printed at its end."
    )


def load_network(path: str | os.PathLike) -> tuple[nn.Module, list[str]]:
    """Return a checkpoint's network and mapping; LabError as for `read_checkpoint`."""
    checkpoint = read_checkpoint(path)
    described = checkpoint["hyper_parameters"]
    try:
        weights = checkpoint["state_dict"].items()
        own = {k.removeprefix("model."): v for k, v in weights if k.startswith("model.")}
        return build_network(described, own), list(described["mapping"])
    except (*UNREADABLE, ArithmeticError, MemoryError, LabError) as error:
        raise LabError(
            f"{path} does not fit the network that it names ({shorten(error)}): "
            "give another checkpoint of run_experiment."
        ) from None


def load_shipped(name: str) -> tuple[nn.Module, dict]:
    """Return a shipped network and what its file says; LabError if not all is as written."""
    path = bundled(name)
    try:
        with safe_open(path, framework="pt") as file:
            described = {key: json.loads(text) for key, text in file.metadata().items()}
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        if described.pop("checksum") != compute_checksum(described, weights):
            raise ValueError("other bytes than were written")
        return build_network(described, weights), described
    except (*UNREADABLE, SafetensorError) as error:
        raise missing_or_damaged(path, error) from None


def compute_checksum(described: dict, weights: dict[str, torch.Tensor]) -> int:
    """Return the CRC-32 of a file's tensors, in any order, and its header without a checksum."""
    texts = json.dumps(described, sort_keys=True)
    checksum = zlib.crc32(texts.encode())
    for name, tensor in sorted(weights.items()):
        checksum = zlib.crc32(f"{name} {tensor.dtype} {list(tensor.shape)}".encode(), checksum)
        checksum = zlib.crc32(tensor.flatten().view(torch.uint8).numpy().tobytes(), checksum)
    return checksum
