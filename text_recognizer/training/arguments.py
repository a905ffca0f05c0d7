"""What the command line understands: the arguments of a network, its data and its training."""

import argparse
import inspect
import re
import sys
from collections.abc import Callable, Mapping

import pytorch_lightning as pl
from jsonargparse import ArgumentParser

from text_recognizer.data.emnist import EMNIST
from text_recognizer.data.emnist_lines import EMNISTLines
from text_recognizer.data.mnist import MNIST
from text_recognizer.errors import LabError, nearest
from text_recognizer.language import _
from text_recognizer.lit_models import BaseLitModel, LineLitModel
from text_recognizer.models.registry import NETWORKS, reads_lines

DATA_MODULES: dict[str, type] = {module.__name__: module for module in (EMNIST, MNIST, EMNISTLines)}
# The arguments of Lightning's Trainer that are offered, with Lightning's own help.
TRAINER_ARGUMENTS = {
    *("accelerator", "devices", "num_nodes", "strategy", "precision", "max_epochs", "max_time"),
    *("overfit_batches", "limit_train_batches", "limit_val_batches", "limit_test_batches"),
    "enable_progress_bar",
}


def parse(argv: list[str], experiment: Callable) -> dict:
    """Return the arguments of `experiment` from the command line.

    Each argument is defined once: in the signature and the docstring of the class it belongs to.

    Parameters
    ----------
    argv : list of str
        The command line, without the program's name.
    experiment : callable
        Takes its own arguments, and those of each class in a dict under the name of the class.

    Raises
    ------
    LabError
        If a class or a flag is misspelt or a value has the wrong type.
    """
    usual = {name: p.default for name, p in inspect.signature(experiment).parameters.items()}
    model_class = _choose_class("model_class", NETWORKS, argv, usual["model_class"])
    data_class = _choose_class("data_class", DATA_MODULES, argv, usual["data_class"])
    spec = sys.modules["__main__"].__spec__  # of `python -m`; a script has none
    typed = f"-m {spec.name}" if spec else sys.argv[0]
    parser = ArgumentParser(prog=f"python {typed}", allow_abbrev=False, exit_on_error=False)
    own = parser.add_function_arguments(experiment, skip={"groups"})
    trainer_names = set(inspect.signature(pl.Trainer).parameters)
    groups = [
        (data_class, set()),
        (model_class, {"data_config"}),
        (choose_lit_class(model_class.__name__), {"model"}),
        (pl.Trainer, trainer_names - TRAINER_ARGUMENTS),
    ]
    added = {cls.__name__: parser.add_class_arguments(cls, skip=skip) for cls, skip in groups}
    parser.set_defaults(max_epochs=5)
    try:
        options = parser.parse_args(argv)
    except argparse.ArgumentError as error:
        names = [*own, *(name for names in added.values() for name in names)]
        raise LabError(_explain(str(error), names)) from None
    named = {group: {name: options[name] for name in names} for group, names in added.items()}
    for name in named["Trainer"]:  # 1 is one batch and 1.0 all, and the parser returns either
        if name.startswith("limit_") and re.search(rf"--{name}[= ]1( |$)", " ".join(argv)):
            named["Trainer"][name] = 1
    return {name: options[name] for name in own} | named


def choose_lit_class(model_class: str) -> type[BaseLitModel]:
    """Return what trains a network of that name."""
    return LineLitModel if reads_lines(NETWORKS[model_class]) else BaseLitModel


def _choose_class(name: str, known: Mapping[str, type], argv: list[str], default: str) -> type:
    """Return the class that --model_class or --data_class names: it brings its own arguments."""
    chosen = [default, *re.findall(rf"--{name}[= ](\S*)", " ".join(argv))][-1]
    if chosen not in known:
        raise LabError(f"--{name}={chosen}: {nearest(chosen, known)}")
    return known[chosen]


def _explain(problem: str, names: list[str]) -> str:
    """Return what to tell the user of a problem that the parser found."""
    if problem.lower().startswith("unrecognized arguments:"):
        wrong = problem.split()[2].split("=", maxsplit=1)[0]
        if not wrong.startswith("--"):
            return _(f"{wrong}: arguments are given as --name=value.")
        return _(f"{wrong}: it is not an argument here; {nearest(wrong[2:], names)}")
    named = re.match(r'Parser key "(\w+)"', problem)
    value = re.search(r"[Gg](?:ot|iven) value: (.*)", problem)
    if not (named and value):
        return problem
    types = re.findall(
        r"<class '(?!NoneType)(\w+)'>|Literal\[(.*?)\]", problem.partition("Given")[0]
    )
    wanted = " or ".join(dict.fromkeys(plain or choices for plain, choices in types))
    return _(f"--{named[1]}={value[1]}: it must be {wanted}.")
