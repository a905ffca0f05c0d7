"""Reads a picture or a drawing of one character, with the shipped network or a student's own."""

import json
import os

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from lab_utils.data import SPECIAL_TOKENS
from lab_utils.models import NETWORKS
from lab_utils.preparation import prepare
from lab_utils.settings import LabError, bundled
from lab_utils.training import load_network

WEIGHTS = "character_weights.safetensors"


class Recognizer:
    """Tells which character a picture shows, and how sure it is.

    Parameters
    ----------
    model : torch.nn.Module or path
        A network that maps float32 (B, 1, 28, 28) in [0, 1] to logits (B, number of classes), or a
        checkpoint of `lab_utils.run_experiment`.
    mapping : list of str, optional
        The character of each class; a checkpoint brings its own.
    temperature : float
        What logits are divided by, so that a probability of 0.8 is right in 8 cases of 10.
    expected : list of float, optional
        How many times as frequent each class is in what is read as it was in what was trained on.

    References
    ----------
    Guo et al., "On calibration of modern neural networks", 2017, for the temperature.
    """

    def __init__(
        self,
        model: nn.Module | str | os.PathLike,
        mapping: list[str] | None = None,
        temperature: float = 1.0,
        expected: list[float] | None = None,
    ):
        if isinstance(model, str | os.PathLike):
            model, own_mapping = load_network(model)
            mapping = mapping or own_mapping
        if not isinstance(model, nn.Module):
            raise LabError(f"model={model!r} must be a network or the path of a checkpoint.")
        if not mapping:
            raise LabError("mapping is missing: give the one of the data, such as data.mapping.")
        if not temperature > 0:
            raise LabError(f"temperature={temperature!r} must be more than 0.")
        if expected is not None and len(expected) != len(mapping):
            raise LabError(f"expected has {len(expected)} entries, but mapping has {len(mapping)}.")
        self.model = model
        self.mapping = list(mapping)
        self.temperature = temperature
        is_character = torch.tensor([float(name not in SPECIAL_TOKENS) for name in self.mapping])
        self._expected = is_character * torch.tensor(expected or [1.0] * len(self.mapping))

    @classmethod
    def pretrained(cls, equal_classes: bool = False) -> "Recognizer":
        """Return a recogniser with the network that ships with the lab.

        It reads the 62 characters of EMNIST; `data/MODEL_CARD.md` says how well.

        Parameters
        ----------
        equal_classes : bool
            Whether all characters are equally frequent in what is read. Otherwise they are as
            frequent as in EMNIST, where O is more likely than o before anything is seen.
        """
        path = bundled(WEIGHTS)
        try:
            with safe_open(path, framework="pt") as file:
                described = {name: json.loads(text) for name, text in file.metadata().items()}
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            model = NETWORKS[described["model_class"]](described, **described["model_arguments"])
            model.load_state_dict(weights)
            temperature, shares = described["temperature"], described["frequencies"]
        except (OSError, SafetensorError, AttributeError, LookupError, RuntimeError) as error:
            raise LabError(f"{path} is missing or damaged ({error}): get the lab anew.") from None
        expected = [1 / share if share else 0.0 for share in shares] if equal_classes else None
        return cls(model, described["mapping"], temperature, expected)

    def predict(self, image, top_k: int = 5) -> list[tuple[str, float]]:
        """Read one character.

        Parameters
        ----------
        image : path, PIL.Image.Image, array, tensor, or list of strokes
            As for `lab_utils.prepare`.
        top_k : int
            How many of the likeliest characters to return.

        Returns
        -------
        list of tuple[str, float]
            Characters with their probabilities, the likeliest first.

        Raises
        ------
        LabError
            If the image cannot be read or shows no ink, or the mapping does not fit the network.
        """
        most = int(self._expected.count_nonzero())
        if not isinstance(top_k, int) or not 1 <= top_k <= most:
            raise LabError(f"top_k={top_k!r} must be a whole number from 1 to {most}.")
        best = self.probabilities(prepare(image).unsqueeze(0))[0].topk(top_k)
        return [
            (self.mapping[i], p) for p, i in zip(*(part.tolist() for part in best), strict=True)
        ]

    @torch.inference_mode()
    def probabilities(self, images: torch.Tensor) -> torch.Tensor:
        """Return how likely each class is.

        Parameters
        ----------
        images : torch.Tensor
            uint8, (B, 28, 28), as `lab_utils.prepare` returns one.

        Returns
        -------
        torch.Tensor
            float32, (B, number of classes), each row with sum 1; special tokens have 0.
        """
        self.model.eval()
        device = next((p.device for p in self.model.parameters()), torch.device("cpu"))
        logits = self.model(images.to(device).unsqueeze(1).float().div_(255)).float().cpu()
        if logits.shape != (len(images), len(self.mapping)):
            raise LabError(
                f"mapping has {len(self.mapping)} entries, but the network's output has the shape "
                f"{tuple(logits.shape)}: give the mapping it was trained with."
            )
        return torch.softmax(logits / self.temperature + self._expected.log(), dim=1)
