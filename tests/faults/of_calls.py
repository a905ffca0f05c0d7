"""Arguments that somebody mistypes, and what no browser of ours sends to the canvas."""

import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from matplotlib import pyplot as plt
from tries import Kind, pick

from lab_utils import (
    CNN,
    EMNIST,
    MLP,
    MNIST,
    BaseLitModel,
    CharacterLanguageModel,
    EMNISTLines,
    HandwritingCanvas,
    LineCNN,
    LineCNNSimple,
    LineLitModel,
    LineRecognizer,
    MyHandwriting,
    Recognizer,
    ResNet,
    SentenceGenerator,
    beam_search,
    greedy,
    plot_history,
    prepare,
    prepare_line,
    sample_strokes,
    show_images,
    show_preparation,
)
from text_recognizer.data.augment import augment
from text_recognizer.errors import LabError
from text_recognizer.lit_models.base import OPTIMIZERS
from text_recognizer.mapping import MAPPING
from text_recognizer.strokes import encode

ODD = (
    *(None, True, False, 0, 1, 2, -1, 7, 1.0, 0.5, -0.5, math.nan, math.inf, 1e30, 2**70, 10**9),
    *("", "0", "1", "false", "True", "auto", "가", "A", "\0", "x" * 300, b"1", object(), print),
    *([], [0], [[]], [None], ["a"], (), {}, {"a": 1}, {1, 2}, range(3), np.float64(2), np.int64(2)),
    *(
        np.nan * np.ones(3),
        np.zeros(0),
        np.zeros((28, 28)),
        np.zeros((2, 2, 2, 2, 2)),
        torch.tensor(3),
    ),
    *(torch.zeros(0), torch.rand(1, 28, 28), torch.rand(2, 1, 28, 28), torch.rand(2, 1, 32, 32)),
    *(torch.zeros(28, 28, dtype=torch.uint8), EMNIST, EMNIST(), EMNIST().config, EMNIST().config()),
    *([[(1, 2)]], [[(1, 2), (3, 4)]], [[(1, math.nan)]], [[(1e300, 2)]], [[("a", "b")]], [[(1,)]]),
)


def is_whole(least: int, most: float = math.inf) -> Callable[[object], bool]:
    return lambda v: (
        isinstance(v, int | np.integer) and not isinstance(v, bool) and least <= v <= most
    )


def is_number(least: float, most: float = math.inf) -> Callable[[object], bool]:
    return lambda v: (
        isinstance(v, int | float | np.number)
        and not isinstance(v, bool)
        and least <= v <= most
        and math.isfinite(v)
    )


def is_one_of(*choices) -> Callable[[object], bool]:
    return lambda v: isinstance(v, str) and v in choices


def is_bool(value: object) -> bool:
    return isinstance(value, bool)


def is_text(value: object) -> bool:
    return isinstance(value, str | bytes)


def is_ascii(value: object) -> bool:
    return isinstance(value, str | bytes) and value.isascii()


def is_nothing(value: object) -> bool:
    return False


def is_any(value: object) -> bool:
    return True


def is_config(value: object) -> bool:
    return isinstance(value, dict) and "input_dims" in value


def is_images(value: object) -> bool:
    return isinstance(value, torch.Tensor) and value.shape == (2, 1, 28, 28)


DATA = EMNIST().config()
LINE_DATA = EMNISTLines(max_length=4, source="sample").config()
SIZE, IMAGES = is_whole(1, 4096), {"source": is_one_of("auto", "full", "sample")}
LOADING = {"batch_size": is_whole(1), "num_workers": is_whole(0, 1000), "augment": is_bool}
TRAINING = {
    "optimizer": is_one_of(*OPTIMIZERS),
    "lr": is_number(0, 1000),
    "one_cycle_max_lr": lambda v: v is None or is_number(0, 1000)(v),
}
RATES = {"label_smoothing": is_number(0, 1)}
LINES = {
    **{"max_length": is_whole(1, 1000), "min_overlap": is_number(0, 1)},
    **{name: is_whole(1, 10**7) for name in ("num_train", "num_val", "num_test")},
    **{"max_overlap": is_number(0, 1), "style": is_one_of("plain", "realistic", "both", "joined")},
    **dict.fromkeys(("with_start_end_tokens", "fresh_glyphs", "on_the_fly"), is_bool),
    "text": is_one_of("auto", "brown", "own"),
}


class Networks:
    """What tries share, made once."""

    def __init__(self, folder: Path | None = None):
        torch.manual_seed(0)
        self.cnn, self.line = CNN(DATA, 2, 2).eval(), LineCNN(LINE_DATA, 4, 4).eval()
        self.mlp, self.resnet = MLP(DATA, 2, 2).eval(), ResNet(DATA, 2).eval()
        self.recognizer = Recognizer(self.cnn, MAPPING)
        self.lines = LineRecognizer(self.line)
        self.ink = sample_strokes("a")
        self.logits = torch.randn(len(MAPPING), 6)
        self.sentences = SentenceGenerator(source="own")


# Each: the function, arguments that are right, and what is right of each that may be mistyped.
Call = tuple[Callable, dict, dict]


def list_calls(n: Networks) -> list[Call]:
    history = [{"epoch": 0, "train_loss": 1.0, "val_loss": 1.0}]
    return [
        (EMNIST, {}, IMAGES | LOADING | {"balance": is_bool}),
        (MNIST, {}, IMAGES | LOADING),
        (EMNISTLines, {}, IMAGES | LOADING | LINES),
        (
            CNN,
            {"data_config": DATA},
            {"data_config": is_config, "conv_dim": is_whole(1, 64), "fc_dim": SIZE},
        ),
        (MLP, {"data_config": DATA}, {"data_config": is_config, "fc1_dim": SIZE, "fc2_dim": SIZE}),
        (ResNet, {"data_config": DATA}, {"data_config": is_config, "width": is_whole(1, 64)}),
        (LineCNN, {"data_config": LINE_DATA}, {"data_config": is_config, "width": is_whole(1, 64)}),
        (
            LineCNNSimple,
            {"data_config": LINE_DATA},
            {"window_width": is_whole(2, 112), "window_stride": is_whole(1), "fc_dim": SIZE},
        ),
        *((network, {}, {"x": is_images}) for network in (n.cnn, n.mlp, n.resnet)),
        (BaseLitModel, {"model": n.cnn}, TRAINING | RATES | {"model": is_nothing}),
        (LineLitModel, {"model": n.line}, TRAINING | {"model": is_nothing}),
        (
            SentenceGenerator,
            {"source": "own"},
            {"part": is_one_of("train", "val", "test"), "seed": is_whole(-(2**63), 2**63)},
        ),
        (n.sentences.generate, {}, {"max_length": is_whole(1, 10**4)}),
        (
            CharacterLanguageModel,
            {"text": "abc"},
            {"text": is_text, "order": is_whole(1, 9)},
        ),
        (greedy, {"logits": n.logits}, {"logits": is_nothing}),
        (
            beam_search,
            {"logits": n.logits},
            {
                "logits": is_nothing,
                "weight": is_number(0),
                "bonus": is_number(-math.inf),
                "beams": is_whole(1, 1000),
            },
        ),
        (
            HandwritingCanvas,
            {"recognizer": n.recognizer},
            {
                "recognizer": lambda v: v is None or callable(v),
                "mode": is_one_of("character", "line"),
                "prepare": callable,
                "keep_in": is_any,
                "ask": is_ascii,
                "among": is_ascii,
                "live": is_bool,
                "guides": is_bool,
                "pause": is_number(0, 3600),
                "text": is_text,
                "status": is_text,
                "strokes": is_any,
                "colour": is_nothing,
            },
        ),
        (
            Recognizer,
            {"model": n.cnn, "mapping": MAPPING},
            {
                "model": is_nothing,
                "mapping": is_nothing,
                "temperature": is_number(1e-6),
                "expected": lambda v: v is None,
            },
        ),
        (
            LineRecognizer,
            {"model": n.line},
            {"model": is_nothing, "temperature": is_number(1e-6)},
        ),
        (
            n.recognizer.predict,
            {"image": n.ink},
            {"image": is_any, "top_k": is_whole(1, 62), "among": is_any},
        ),
        (n.lines.predict_line, {"image": n.ink}, {"image": is_any, "guides": is_any}),
        (
            Recognizer.pretrained,
            {},
            {"equal_classes": is_bool},
        ),
        (prepare, {}, {"image": is_any}),
        (prepare_line, {"image": n.ink}, {"image": is_any, "guides": is_any}),
        (
            show_preparation,
            {"image": n.ink},
            {"image": is_any, "mode": is_one_of("character", "line")},
        ),
        (sample_strokes, {"text": "a"}, {"text": is_text, "variant": is_any}),
        (MyHandwriting, {}, {"path": is_any, "augment": is_bool, "batch_size": is_whole(1)}),
        (plot_history, {"history": history}, {"history": is_nothing}),
        (
            show_images,
            {"images": np.zeros((2, 28, 28))},
            {"images": is_any, "columns": is_whole(1), "size": is_number(0), "titles": is_any},
        ),
        (
            augment,
            {"images": torch.zeros(3, 28, 28, dtype=torch.uint8)},
            {
                "images": is_any,
                "shift": is_whole(0),
                "share": is_number(0, 1),
                "rotation": is_number(0),
            },
        ),
    ]


def make_calls(folder: Path) -> list[Call]:
    plt.switch_backend("agg")
    return list_calls(Networks())


def mistype(calls, random, folder: Path) -> bool:
    """Call something with one argument that is odd; it is refused in a sentence, or right."""
    function, right, may_be = pick(random, calls)
    name, value = pick(random, may_be), pick(random, ODD)
    try:
        if name == "x":
            function(value)
        else:
            function(**right | {name: value})
    except LabError:
        raise
    except Exception as error:  # noqa: BLE001 - it says what was called
        called = getattr(function, "__qualname__", type(function).__name__)
        raise type("Raised", (Exception,), {})(
            f"{called}({name}={str(value)[:40]!r}): {type(error).__name__}: {error}"
        ).with_traceback(error.__traceback__) from None
    finally:
        plt.close("all")
    if not may_be[name](value):
        called = getattr(function, "__qualname__", type(function).__name__)
        raise AssertionError(f"{called} takes {name}={str(value)[:60]!r}")
    return True


# The canvas.

STATE = (
    "strokes",
    "number",
    "text",
    "_saved",
    "model",
    "language_model",
    "live",
    "pause",
    "guides",
)
STATE += ("ask", "mode", "width", "result", "status", "models", "unknown", "layout", "_esm")
JUNK = (
    *(None, True, 0, -1, 2**70, 1e308, math.nan, math.inf, "", "m", "mAAAA", "mAAA", "m!", "가"),
    *("\ud800", "a" * 100_000, "mAAAA" * 100_000, "m" + "g" * 40_000, [], {}, [None], [3], ["m"]),
    *(["mAAAA"], ["mAAAA"] * 30_000, ["mAAAA" * 3000], [["mAAAA"]], {"strokes": ["mAAAA"]}),
    *({"strokes": 3, "text": ""}, {"strokes": ["m!"], "text": 3}, {"a": {"b": []}}, [[]] * 1000),
)


def make_canvases(folder: Path) -> tuple[Networks, list[str]]:
    networks = Networks()
    return networks, [encode(stroke) for stroke in sample_strokes("b")]


def confuse_canvas(made, random, folder: Path) -> bool:
    """Send a few malformed messages and states, between right ones; the canvas lives on."""
    networks, ink = made
    mode = pick(random, ["character", "line"])
    reads = networks.recognizer if mode == "character" else networks.lines
    canvas = HandwritingCanvas(reads, mode=mode, keep_in=folder / "mine.h5")
    for _ in range(6):
        started = time.monotonic()
        if random.random() < 0.5:
            state = {pick(random, STATE): _junk(random, ink) for _ in range(random.integers(1, 4))}
            canvas.set_state(state)
        else:
            names = ("do", "stroke", "number", "label", "index", "character", "text")
            content = {name: _junk(random, ink) for name in names if random.random() < 0.6}
            content["do"] = pick(
                random, ["live", "commit", "choose", "sample", "x", None, ["live"]]
            )
            if random.random() < 0.8:
                content["number"] = canvas.number
            buffers = pick(random, [[], None, [b"x"]])
            canvas._on_message(canvas, pick(random, [content] * 8 + list(JUNK)), buffers)
        if time.monotonic() - started > 5:
            raise TimeoutError("a message took more than 5 seconds")
    canvas.get_state()
    canvas.clear()
    canvas.draw(sample_strokes("a"))
    repr(canvas)
    return len(canvas.strokes) > 0


def _junk(random, ink: list[str]):
    return pick(random, (*JUNK, ink, *ink))


KINDS = [
    Kind("arguments", mistype, 300, 6000, make_calls),
    Kind("canvas: messages and state", confuse_canvas, 20, 2000, make_canvases),
]
