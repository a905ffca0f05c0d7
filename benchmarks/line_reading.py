"""How well lines are read: character error rates by network, style, decoder and split.

    EMNIST_ARCHIVE=gzip.zip NLTK_DATA=nltk_data python benchmarks/line_reading.py

Without the variables it measures on the bundled sample and our own text. `--checkpoint` adds a
network that `text_recognizer.training.run_experiment` trained.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torchmetrics.functional.text import char_error_rate, word_error_rate
from tqdm import tqdm

from lab_utils import (
    CharacterLanguageModel,
    EMNISTLines,
    LineRecognizer,
    SentenceGenerator,
    beam_search,
    greedy,
)
from text_recognizer.lines.render import find_used_columns
from text_recognizer.mapping import text_of

LINES = 1000
REPEATS = 50


def count_errors(read: list[str], written: list[str]) -> dict[str, float]:
    """Return character and word error rates, and the share of lines without an error."""
    lower = [[text.lower() for text in texts] for texts in (read, written)]
    exact = [r == w for r, w in zip(read, written, strict=True)]
    return {
        "cer": char_error_rate(read, written).item(),
        "cer_caseless": char_error_rate(*lower).item(),
        "wer": word_error_rate(read, written).item(),
        "exact": sum(exact) / len(exact),
    }


@torch.inference_mode()
def answer_all(recognizer: LineRecognizer, images: torch.Tensor) -> list[torch.Tensor]:
    """Return the logits of each line, (number of classes, S) on the columns that it uses."""
    widths = find_used_columns(images.unsqueeze(1))
    found = [None] * len(images)
    for chosen in tqdm(widths.argsort().split(50), desc="reading", delay=2):
        logits = recognizer.model.eval()(images[chosen].unsqueeze(1).float().div_(255))
        for i, line in zip(chosen.tolist(), logits, strict=True):
            found[i] = line
    return found


def time_reading(recognizer: LineRecognizer, image: torch.Tensor) -> float:
    """Return the time of one `predict_line` on one core."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    recognizer.predict_line(image)
    start = time.perf_counter()
    for _ in range(REPEATS):
        recognizer.predict_line(image)
    taken = (time.perf_counter() - start) / REPEATS * 1000
    torch.set_num_threads(threads)
    return taken


def measure_calibration(
    recognizer: LineRecognizer, images, written: list[str]
) -> tuple[float, float]:
    """Return how sure it is on average, and how often right, where it read as many characters."""
    sure, right = [], []
    for image, text in zip(images, written, strict=True):
        reading = recognizer.predict_line(image)
        if len(reading.text) == len(text):
            sure += reading.confidences
            right += [r == w for r, w in zip(reading.text, text, strict=True)]
    return float(np.mean(sure)), float(np.mean(right))


def measure(recognizer: LineRecognizer, lines: int = LINES, beams: bool = True) -> dict:
    """Return error rates by style, split and decoder."""
    decoders: dict[str, Callable] = {"greedy": greedy}
    if beams:
        language_model = CharacterLanguageModel(SentenceGenerator("train").text)
        decoders["beams"] = beam_search
        decoders["beams, language model"] = lambda answer: beam_search(answer, language_model)
    measured = {}
    for style in ("plain", "realistic"):
        data = EMNISTLines(style=style)
        for part in ("val", "test"):
            images, labels = data.build_maker(part).draw(np.arange(lines))
            written = [text_of(label) for label in labels.tolist()]
            found = answer_all(recognizer, images)
            for name, decode in decoders.items():
                read = [decode(answer) for answer in tqdm(found, desc=name, delay=2)]
                measured[style, part, name] = count_errors(read, written)
    measured["any", "test", "always e"] = count_errors(
        ["e" * len(text) for text in written], written
    )
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--checkpoint", type=Path, help="instead of the shipped network")
    parser.add_argument("--lines", type=int, default=LINES)
    options = parser.parse_args()
    if options.checkpoint:
        recognizer = LineRecognizer(options.checkpoint)
    else:
        recognizer = LineRecognizer.pretrained()
    for (style, part, decoder), rates in measure(recognizer, options.lines).items():
        values = "  ".join(f"{name} {rate:.4f}" for name, rate in rates.items())
        print(f"{style:10} {part:5} {decoder:22} {values}")
    for style in ("plain", "realistic"):
        images, labels = EMNISTLines(style=style).build_maker("test").draw(np.arange(200))
        written = [text_of(label) for label in labels.tolist()]
        sure, right = measure_calibration(recognizer, images, written)
        longest = images[find_used_columns(images.unsqueeze(1)).argmax()]
        taken = time_reading(recognizer, longest)
        print(
            f"{style}: sure {sure:.3f}, right {right:.3f}; {taken:.0f} ms for the longest of 200 "
            "lines on one core"
        )


if __name__ == "__main__":
    main()
