"""Shows what the preparation makes of a picture, step by step."""

from pathlib import Path

import matplotlib.pyplot as plt

from lab_utils.plots import show_figure, show_images
from text_recognizer.errors import check_choice
from text_recognizer.language import _
from text_recognizer.paths import bundled
from text_recognizer.reading.character import prepare_in_steps
from text_recognizer.reading.line import prepare_line_in_steps

MODES = ("character", "line")


def sample_photo(mode: str = "character") -> Path:
    """Return the path of a photograph of handwriting, to try things without taking one.

    Taught in notebook 6.

    Parameters
    ----------
    mode : {"character", "line"}
        Whether it shows one character or a line.

    References
    ----------
    `tools/assets/make_sample_photos.py` makes them from our own sample strokes.

    Examples
    --------
    >>> from lab_utils import sample_photo
    >>> sample_photo("line").name
    'sample_line.jpg'
    """
    return bundled(f"sample_{check_choice('mode', mode, MODES)}.jpg")


def show_preparation(image, mode: str = "character") -> None:
    """Show each step of the preparation as a picture, up to what the network sees.

    Taught in notebook 6.

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

    Examples
    --------
    >>> from lab_utils import sample_photo, show_preparation
    >>> show_preparation(sample_photo())
    """
    is_line = check_choice("mode", mode, MODES) == "line"
    steps = list(prepare_line_in_steps(image) if is_line else prepare_in_steps(image))
    titles, pictures = [_(step.name) for step in steps], [step.picture for step in steps]
    if not is_line:
        show_images(pictures, titles, columns=len(steps), size=1.7)
        return
    heights = [len(picture) / picture.shape[1] for picture in pictures]
    size = (9, 9 * sum(heights) + 0.35 * len(steps))
    figure, axes = plt.subplots(len(steps), figsize=size, height_ratios=heights, squeeze=False)
    for axis, title, picture in zip(axes.flat, titles, pictures, strict=True):
        axis.imshow(picture, cmap="gray")
        axis.set_title(title, fontsize=10)
        axis.axis("off")
    figure.tight_layout(pad=0.2)
    show_figure(figure, _(f"{len(steps)} images, one below the other: {', '.join(titles)}"))
