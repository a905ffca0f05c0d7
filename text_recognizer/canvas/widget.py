"""A canvas in the notebook that reads what is written on it, while it is written."""

import os
from collections.abc import Callable, Iterable
from typing import Any

import anywidget
import torch
import traitlets

from text_recognizer.canvas import readers, script
from text_recognizer.canvas.pictures import add_still, draw_still
from text_recognizer.data.my_handwriting import handwriting_file, remove_drawing, save_drawing
from text_recognizer.errors import LabError, check_choice, check_number, nearest, shorten, show
from text_recognizer.language import _
from text_recognizer.mapping import CHARACTERS
from text_recognizer.reading import character
from text_recognizer.strokes import (
    BASE_LINE,
    X_LINE,
    Stroke,
    decode,
    encode,
    fit_strokes,
    sample_strokes,
    to_strokes,
)

# What the browser may change; the rest of the state is Python's alone.
FROM_BROWSER = "strokes", "number", "text", "model", "live", "pause", "guides", "language_model"
NOT_SENSE = LabError, traitlets.TraitError, ArithmeticError, LookupError, TypeError, ValueError
NOT_ARGUMENTS = ("comm", "models", "number", "result", "width")
MAX_ASKED, MAX_PAUSE = 1000, 3600  # characters, seconds


def encode_all(strokes: Iterable[Stroke], _widget: object = None) -> list[str]:
    """Return strokes as texts for the browser."""
    return [encode(stroke) for stroke in strokes]


def check_strokes(drawing) -> list[Stroke]:
    """Return a drawing as strokes; raise where it is none, or more than a canvas can hold."""
    strokes = to_strokes(drawing)
    if sum(map(len, encode_all(strokes))) > script.MAX_INK:
        raise LabError("The canvas is full: clear it first.")
    return strokes


class HandwritingCanvas(anywidget.AnyWidget):
    """Draw by mouse, pen or finger, and see at once what a network reads.

    Taught in notebook 6.

    Parameters
    ----------
    recognizer : Recognizer, path, callable or dict, optional
        What reads: the shipped network if none is given, a checkpoint's path, anything with a
        method `predict` (for lines `predict_line`), or a function in its place, which gets the
        image, uint8 (28, 28), and returns a list of (character, probability); for lines, it gets
        the strokes and `guides=`, and returns a `LineReading`. Or a dict of several, by name.
    mode : {"character", "line"}
        Whether one character is read, or a line on a wide canvas.
    prepare : callable
        Makes an image of the strokes, uint8 or float from 0 to 1, (28, 28) or (1, 28, 28), white
        ink on black; `prepare` if none is given. It is what is shown, read and saved.
    keep_in : path, optional
        The file for labelled drawings; `my_handwriting.jsonl` in `data_dir()` if none is given.
    **traits
        Initial values of the attributes below.

    Attributes
    ----------
    strokes : list of Stroke
        The ink, x from 0 to `width` and y from 0 (above) to 220. Can be set, to whatever
        `prepare` takes as strokes.
    result : dict
        What was read: `number`, which strokes it belongs to; `text`; in "character" mode
        `answers`, in "line" mode `confidences` and `alternatives`; or `error`.
    text : str
        What has been accepted so far, by `commit`.
    ask : str
        Characters to ask for, one after the other; each is saved under its label.
    among : str
        The only characters to consider in "character" mode, such as "0123456789"; all if empty.
    model : str
        The name of the recogniser that reads.
    live : bool
        Whether it also reads while the pen moves.
    pause : float
        Seconds after which what is read is accepted; 0 waits for the button.
    guides : bool
        Whether a line is written between guide lines.
    language_model : bool
        Whether a language model of English has a say in "line" mode, with what reads lines by CTC:
        see `LineRecognizer.predict_line`.
    language : str
        The language of the labels, "en" or "ko": that of the notebook; if empty, the browser's.
    status : str
        What happened last: a drawing saved, or what went wrong.

    Examples
    --------
    >>> from lab_utils import HandwritingCanvas, sample_strokes
    >>> canvas = HandwritingCanvas()
    >>> canvas.draw(sample_strokes("R"))  # or by mouse, pen or finger
    >>> canvas.result["text"]
    'R'
    """

    _esm = script.join_modules("canvas.js")
    _css = script.read_static("controls.css") + script.read_static("canvas.css")

    mode = traitlets.Unicode(read_only=True).tag(sync=True)
    width = traitlets.Int(read_only=True).tag(sync=True)
    strokes: Any = traitlets.List().tag(
        sync=True, to_json=encode_all, from_json=lambda texts, _widget: list(map(decode, texts))
    )
    number = traitlets.Int(0).tag(sync=True)
    result: traitlets.Dict = traitlets.Dict({"number": 0}).tag(sync=True)
    text = traitlets.Unicode("").tag(sync=True)
    ask = traitlets.Unicode("").tag(sync=True)
    among = traitlets.Unicode("")
    models: traitlets.List = traitlets.List().tag(sync=True)
    model = traitlets.Unicode("").tag(sync=True)
    live = traitlets.Bool(False).tag(sync=True)
    pause = traitlets.Float(0.0).tag(sync=True)
    guides = traitlets.Bool(True).tag(sync=True)
    language_model = traitlets.Bool(True).tag(sync=True)
    language = traitlets.Enum(("", *script.LANGUAGES), "").tag(sync=True)
    status = traitlets.Unicode("").tag(sync=True)
    _english: traitlets.List = traitlets.List().tag(sync=True)  # the models that know it
    _saved: Any = traitlets.List().tag(sync=True, to_json=encode_all)  # the strokes saved last
    _constants = traitlets.Dict(script.describe_canvas()).tag(sync=True)

    def __init__(
        self,
        recognizer: Any = None,
        mode: str = "character",
        prepare: Callable[[list[Stroke]], torch.Tensor] = character.prepare,
        keep_in: str | os.PathLike | None = None,
        **traits,
    ):
        check_choice("mode", mode, script.WIDTHS)
        if not callable(prepare):
            raise LabError(f"prepare={show(prepare)} must be a function of strokes.")
        known = [n for n in self.traits() if n[0] != "_" and n not in NOT_ARGUMENTS]
        for name in set(traits) - set(known):
            own = set(known) & set(self.class_own_traits())
            raise LabError(f"{name} is not an argument: {nearest(name, own)}")
        self._readers: dict[str, Any] = {}
        self._choices: dict[int, tuple[str, str]] = {}  # by hand, of characters of a line
        self._before_saving = "", ""  # `text` and `ask`
        self.prepare, self.keep_in = prepare, handwriting_file(keep_in)
        model, strokes = traits.pop("model", None), check_strokes(traits.pop("strokes", []))
        self.set_trait("mode", mode)
        self.set_trait("width", script.WIDTHS[mode])
        named = os.environ.get("LAB_LANGUAGE", "")
        try:
            super().__init__(**{"language": named if named in script.LANGUAGES else ""} | traits)
            self.recognizer = recognizer
            self.model = self.model if model is None else model
        except traitlets.TraitError as error:
            raise LabError(f"{shorten(error)}.") from None
        self.strokes = strokes
        self.on_msg(self._on_message)

    @property
    def recognizer(self):
        """What reads now. Can be set, to whatever the argument of this name takes."""
        return self._readers[self.model]

    @recognizer.setter
    def recognizer(self, recognizer):
        read_by = readers.make_readers(recognizer, self.mode)
        with self.hold_sync():
            self._readers, self.models = read_by, list(read_by)
            self._english = [name for name in read_by if readers.knows_english(read_by[name])]
            if self.model in read_by:
                self._read()
            else:
                self.model = self.models[0]

    # What a hand can do, from Python.

    def draw(self, strokes) -> None:
        """Add strokes, such as `sample_strokes("R")`; they are scaled if they would not fit."""
        if drawn := check_strokes(strokes):
            with self.hold_sync():  # one message, with what is read of them
                self.strokes = [*self.strokes, *fit_strokes(drawn, self.width)]

    def clear(self) -> None:
        """Take all strokes away; in the browser, they can be brought back."""
        with self.hold_sync():
            self.strokes = []

    def commit(self, label: str | None = None) -> None:
        """Append what was read to `text`, and make room for what comes next.

        With a label, which is what the character really is, the drawing is saved in `keep_in`; so
        it is where the canvas asks for a character.
        """
        if not self.strokes:
            raise LabError("Nothing is drawn yet.")
        label = label or self.ask[:1]
        status = self._save(label) if label else ""
        read = label or self.result.get("text", "")
        text = self.text + read + ("\n" if self.mode == "line" else "")
        with self.hold_sync():
            self.strokes, self.text, self.ask, self.status = [], text, self.ask[1:], status

    def _save(self, label: str) -> str:
        """Save the drawing with its label; return a sentence that says so."""
        if self.mode == "line":
            raise LabError("Only single characters can be saved: take mode='character'.")
        try:
            image = self._prepare_image(self.strokes)
        except LabError:
            raise
        except Exception as error:  # noqa: BLE001 - a preparation of a student's own
            raise LabError(f"prepare= failed: {readers.describe_error(error)}") from None
        count = save_drawing(self.keep_in, label, self.strokes, image)
        self._saved, self._before_saving = self.strokes, (self.text, self.ask)
        name, read = self.keep_in.name, self.result.get("text", "")
        if read == label:
            return _(f"Saved as {label}: {count} in {name}.")
        if read:
            return _(f"Saved as {label} (read as {read}): {count} in {name}.")
        return _(f"Saved as {label} (not read): {count} in {name}.")

    def _take_back(self) -> None:
        """Remove the drawing that was saved last from its file, and show it again."""
        count = remove_drawing(self.keep_in, self._saved)
        with self.hold_sync():
            self.strokes, self._saved = self._saved, []
            self.text, self.ask = self._before_saving
            self.status = _(f"Taken back: {count} in {self.keep_in.name}.")

    def choose(self, index: int, character: str) -> None:
        """Replace a character of the line that was read by one of its alternatives."""
        reading = self.result.get("alternatives", [])
        if not (0 <= index < len(reading) and character in [name for name, _ in reading[index]]):
            raise LabError(f"There is no alternative {character!r} for the character {index}.")
        self._choices[index] = (reading[index][0][0], character)
        self._read()

    # What is set, from Python or by the browser.

    @traitlets.validate("strokes", "ask", "among", "model", "pause")
    def _validate(self, proposal):
        name, value = proposal["trait"].name, proposal["value"]
        if name == "strokes":
            return check_strokes(value)
        if name == "ask" and (len(value) > MAX_ASKED or not set(value) <= set(CHARACTERS)):
            raise LabError(
                f"ask={show(value)} must be at most {MAX_ASKED:,} letters A-Z, a-z and digits 0-9."
            )
        if name == "among" and value and self.mode == "line":
            raise LabError("among= is for single characters: take mode='character'.")
        if name == "model" and value not in self._readers:
            raise LabError(f"model={show(value)}: {nearest(value, self._readers)}")
        if name == "pause":
            return check_number(name, value, 0, MAX_PAUSE, _(f"from 0 to {MAX_PAUSE:,} seconds"))
        return value

    def set_state(self, sync_data):
        """Take what the browser has changed; if that makes no sense, nothing changes."""
        before = {name: getattr(self, name) for name in FROM_BROWSER if name in sync_data}
        try:
            super().set_state({name: sync_data[name] for name in before})
        except NOT_SENSE as error:
            for name, value in before.items():
                setattr(self, name, value)
            self.status = str(error) if isinstance(error, LabError) else ""
            self.send_state()  # so that the browser shows again what there is

    def _on_message(self, _widget: object, content: object, _buffers: object) -> None:
        """Do what the browser asks for, unless the strokes have changed since."""
        if not isinstance(content, dict) or content.get("number") != self.number:
            return
        try:
            match content:
                case {"do": "live", "stroke": str(stroke), "number": number}:
                    result = self._read_strokes([*self.strokes, decode(stroke)])
                    self.send({"live": {"number": number} | result})
                case {"do": "commit"}:
                    self.commit(content.get("label"))
                case {"do": "take back"} if self._saved and not self.strokes:
                    self._take_back()
                case {"do": "choose", "index": int(index), "character": str(character)}:
                    self.choose(index, character)
                case {"do": "sample", "text": str(text)}:
                    self.draw(sample_strokes(text))
        except NOT_SENSE as error:
            self.status = ""  # so that the browser hears the same sentence twice
            self.status = str(error) if isinstance(error, LabError) else ""

    # Reading.

    @traitlets.observe("strokes", "model", "guides", "language_model", "among")
    def _on_ink(self, change):
        with self.hold_sync():
            # The browser sends a new number with new strokes; strokes from Python get it here.
            if change["name"] == "strokes" and self.number == self.result["number"]:
                self.number += 1
            if not self.strokes:
                self._choices = {}
            self._read()

    def _read(self) -> None:
        self.result = {"number": self.number} | self._read_strokes(self.strokes)

    def _read_strokes(self, strokes: list[Stroke]) -> dict:
        if not strokes:
            return {}
        try:
            if self.mode == "character":
                image = self._prepare_image(strokes)
                return readers.read_character(self.recognizer, image, self.among, strokes)
            guides = (X_LINE, BASE_LINE) if self.guides else None
            settings = guides, self._choices, self.language_model
            return readers.read_line(self.recognizer, list(strokes), *settings)
        except Exception as error:  # noqa: BLE001 - a model or preparation of a student's own
            return {"error": readers.describe_error(error)}

    def _prepare_image(self, strokes: list[Stroke]) -> torch.Tensor:
        """Return the image that is shown, read and saved: uint8 (28, 28)."""
        return readers.check_image(self.prepare(list(strokes)))

    def __repr__(self) -> str:
        count = f"{len(self.strokes)} stroke{'s' * (len(self.strokes) != 1)}"
        read = "read as " + repr(self.result["text"]) if "text" in self.result else "not read"
        return f"HandwritingCanvas({self.mode!r}, {count}, {read})"

    def _repr_mimebundle_(self, **kwargs):
        picture = draw_still(self.strokes, self.width, self.result)
        return add_still(super()._repr_mimebundle_(**kwargs), picture, repr(self))
