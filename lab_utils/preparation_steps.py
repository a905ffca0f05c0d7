"""Shows what the preparation makes of a picture, step by step."""

from pathlib import Path

import matplotlib.pyplot as plt

from lab_utils.plots import show_images
from text_recognizer.errors import check_choice
from text_recognizer.paths import bundled
from text_recognizer.reading.character import prepare_in_steps
from text_recognizer.reading.line import LARGEST, prepare_line
from text_recognizer.reading.picture import Step, find_ink

MODES = ("character", "line")


def sample_photo(mode: str = "character") -> Path:
    """Return the path of a photograph of handwriting, to try things without taking one.

    Parameters
    ----------
    mode : {"character", "line"}
        Whether it shows one character or a line.

    References
    ----------
    `tools/assets/make_sample_photos.py` makes them from our own sample strokes.
    """
    return bundled(f"sample_{check_choice('mode', mode, MODES)}.jpg")


def show_preparation(image, mode: str = "character") -> None:
    """Show each step of the preparation as a picture, up to what the network sees.

    Parameters
    ----------
    image : path, PIL.Image.Image, array, tensor, or list of strokes
        As for `prepare` or `prepare_line`.
    mode : {"character", "line"}
        Whether the picture shows one character or a line: steps are beside each other or, as lines
        are wide, below each other.

    Raises
    ------
    LabError
        If the image cannot be read, or there is no ink in it.
    """
    if check_choice("mode", mode, MODES) == "character":
        steps = list(prepare_in_steps(image))
        titles = [step.name for step in steps]
        show_images([step.picture for step in steps], titles, columns=len(steps), size=1.7)
        return
    steps = [] if isinstance(image, list | tuple) else list(find_ink(image, LARGEST, is_line=True))
    steps.append(Step("as the network sees it", prepare_line(image).numpy()))
    heights = [len(step.picture) / step.picture.shape[1] for step in steps]
    size = (9, 9 * sum(heights) + 0.35 * len(steps))
    figure, axes = plt.subplots(len(steps), figsize=size, height_ratios=heights, squeeze=False)
    for axis, step in zip(axes.flat, steps, strict=True):
        axis.imshow(step.picture, cmap="gray")
        axis.set_title(step.name, fontsize=10)
        axis.axis("off")
    figure.tight_layout(pad=0.2)
    plt.show()
