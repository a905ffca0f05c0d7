"""Writes a page that reads handwriting in any browser, without Python and without the network."""

import base64
import json
import os
from pathlib import Path
from string import Template

import torch

from text_recognizer.canvas import script
from text_recognizer.canvas.to_javascript import describe_network
from text_recognizer.errors import LabError, check_choice
from text_recognizer.mapping import BLANK, CHARACTERS, MAPPING, SPECIAL_TOKENS
from text_recognizer.models.line_cnn import LineCNN
from text_recognizer.paths import write_whole
from text_recognizer.reading.recognizer import LineRecognizer, Recognizer
from text_recognizer.strokes import LETTER_GAP, SAMPLE_MARGIN, WORD_GAP, read_samples

STYLES = "controls.css", "canvas.css", "maps.css", "page.css"
MAX_BYTES = 6_000_000  # of a page: mail and messengers take that


def share(
    recognizer: Recognizer | LineRecognizer | str | os.PathLike | None = None,
    path: str | os.PathLike = "my_reader.html",
    language: str | None = None,
) -> Path:
    """Write one HTML file that reads handwriting in any browser, and return its path.

    Taught in notebook 6.

    Send it to your phone: it has the canvas and the network with its weights, and needs neither
    Python nor the internet; nothing that is written on it leaves it.

    Parameters
    ----------
    recognizer : Recognizer, LineRecognizer or path, optional
        What reads: the shipped network if none is given, or a checkpoint's path. Of networks for
        lines, it must be a `LineCNN`.
    path : path
        The file, whose name ends in .html; one that exists is replaced.
    language : {"en", "ko"}, optional
        Of the page's labels; the reader's browser chooses if it is not given.

    Raises
    ------
    LabError
        If the network computes what a page cannot (`static/network.js` is all that runs it), is too
        large, or the file cannot be written.

    Examples
    --------
    >>> from lab_utils import data_dir, share
    >>> page = share(path=data_dir() / "my_reader.html")
    >>> page.name
    'my_reader.html'
    """
    if language is not None:
        check_choice("language", language, script.LANGUAGES)
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise LabError(f"path={str(path)!r} must end in .html, so that a browser opens it.")
    if recognizer is None:
        recognizer = Recognizer.pretrained(equal_classes=True)
    elif isinstance(recognizer, str | os.PathLike):
        recognizer = Recognizer(recognizer)
    if isinstance(recognizer, LineRecognizer) and not isinstance(recognizer.model, LineCNN):
        raise LabError(
            f"recognizer's network is a {type(recognizer.model).__name__}: a page reads lines "
            "with a LineCNN."
        )
    if not isinstance(recognizer, Recognizer | LineRecognizer):
        raise LabError(
            f"recognizer={type(recognizer).__name__} must be a Recognizer, such as "
            "Recognizer(model, data.mapping), or a checkpoint's path."
        )
    page = _make_page(recognizer, language)
    if len(page.encode()) > MAX_BYTES:
        raise LabError(
            f"recognizer's network would make a page of {len(page) / 1e6:,.1f} MB, and "
            f"{MAX_BYTES / 1e6:.0f} MB is the most: make it narrower."
        )
    write_whole(path, page)
    return path


def _describe(recognizer: Recognizer | LineRecognizer) -> tuple[dict, bytes]:
    """Return what reads, but for the weights of its network, and these."""
    described: dict = {"temperature": recognizer.temperature}
    if isinstance(recognizer, Recognizer):
        image = torch.zeros(1, 28, 28, dtype=torch.uint8)
        recognizer.probabilities(image)  # which says what is wrong
        model = getattr(recognizer.model, "_orig_mod", recognizer.model)  # of torch.compile
        described["steps"], weights = describe_network(model, image[None].float())
        described["expected"] = recognizer.expected.tolist()
        return described | {"mapping": recognizer.mapping, "refuses": recognizer.refuses}, weights
    lines = [torch.zeros(1, 1, 28, width) for width in (64, 100)]
    described["steps"], weights = describe_network(recognizer.model, *lines, method="convolve")
    if recognizer.characters:
        found, more = _describe(recognizer.characters)
        found["order"] = [found["mapping"].index(name) for name in CHARACTERS]
        described["characters"] = found | {"weights": base64.b64encode(more).decode()}
    return described | {"mapping": MAPPING}, weights


def _make_page(recognizer: Recognizer | LineRecognizer, language: str | None) -> str:
    described, weights = _describe(recognizer)
    reads = "line" if isinstance(recognizer, LineRecognizer) else "character"
    languages = script.LANGUAGES if language is None else (language,)
    shared = described | {
        "name": type(recognizer.model).__name__,
        "reads": reads,
        "special": len(SPECIAL_TOKENS),
        "blank": BLANK,
        "language": language,
        "width": script.WIDTHS[reads],
        "preparation": script.list_constants(reads),
        "samples": {
            "characters": {name: ways[0] for name, ways in read_samples().items()},
            "margin": SAMPLE_MARGIN,
            "gap": LETTER_GAP,
            "word_gap": WORD_GAP,
        },
        "canvas": script.describe_canvas(False, languages),
    }
    return Template(script.read_static("page.html")).substitute(
        language=language or "en",
        style="".join(map(script.read_static, STYLES)),
        # In a script, "</script>" would end it, whatever it is part of.
        reader=json.dumps(shared, ensure_ascii=False).replace("<", "\\u003c"),
        weights=base64.b64encode(weights).decode(),
        script=script.join_modules("page.js"),
    )
