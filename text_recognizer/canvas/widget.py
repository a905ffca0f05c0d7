"""A canvas in the notebook that reads what is written on it, while it is written."""

import contextlib
import json
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence

import anywidget
import torch
import traitlets

from text_recognizer.canvas.pictures import draw_still
from text_recognizer.canvas.readers import (
    Readable,
    Reader,
    check_image,
    describe_error,
    make_readers,
    make_sendable,
    read_character,
    read_line,
)
from text_recognizer.canvas.share import LANGUAGES, STATIC
from text_recognizer.data.my_handwriting import handwriting_file, remove_drawing, save_drawing
from text_recognizer.errors import LabError, check_choice, nearest, shorten, show
from text_recognizer.mapping import CHARACTERS
from text_recognizer.reading import character
from text_recognizer.reading.recognizer import Recognizer
from text_recognizer.strokes import (
    BASE_LINE,
    CANVAS_HEIGHT,
    X_LINE,
    Stroke,
    decode,
    encode,
    fit_strokes,
    sample_strokes,
    to_strokes,
)

WIDTHS = {"character": CANVAS_HEIGHT, "line": 4 * CANVAS_HEIGHT}
FULL = "The canvas is full: clear it first."
# What the browser may change; the rest of the state is Python's alone.
OF_INK = ("strokes", "number", "text", "_undone", "_cleared")
FROM_BROWSER = (*OF_INK, "model", "live", "pause", "guides", "language")
NOT_ARGUMENTS = ("comm", "models", "number", "result", "width")
MAX_ASKED, MAX_SAMPLE, MAX_TEXT = 1000, 40, 10_000  # characters
MAX_PAUSE = 3600  # seconds
MAX_INK = 45_000  # letters that all strokes may take (`encode`): some 400 strokes of a hand


def _encode_all(strokes: Iterable[Stroke], _widget: object = None) -> list[str]:
    return [encode(stroke) for stroke in strokes]


def _decode_all(texts: list[str], _widget: object = None) -> list[Stroke]:
    if sum(map(len, texts)) > MAX_INK:  # before the time is spent
        raise LabError(FULL)
    return [decode(text) for text in texts]


def _check_strokes(drawing) -> list[Stroke]:
    """Return a drawing as strokes, no more than a canvas can hold.

    Raises
    ------
    LabError
        If they are more, or it is not a list of strokes.
    """
    with contextlib.suppress(TypeError):  # `to_strokes` says what is wrong
        drawing = list(drawing)
        # A point takes four letters or more: millions of them are refused before they are read.
        if sum(map(len, drawing)) > MAX_INK / 4:
            raise LabError(FULL)
    strokes = to_strokes(drawing)
    if sum(map(len, _encode_all(strokes))) > MAX_INK:
        raise LabError(FULL)
    return strokes


class HandwritingCanvas(anywidget.AnyWidget):
    """Draw by mouse, pen or finger, and see at once what a network reads.

    The browser draws the ink and sends each finished stroke to Python in one message. `strokes`
    is all there is to know; everything else is made from it here.

    Parameters
    ----------
    recognizer : Recognizer, path, callable or dict, optional
        What reads: the shipped network if none is given, anything with a method `predict` (in a
        line `predict_line`), a checkpoint's path, or a function in the place of these methods. In
        "character" mode it gets the prepared image, uint8 (28, 28), and returns a list of
        (character, probability); in "line" mode it gets the strokes and `guides=`, and returns
        what `predict_line` does. A dict of several, by their names, to choose from.
    mode : {"character", "line"}
        Whether one character is read, or a line on a wide canvas.
    prepare : callable
        Makes an image of the strokes, uint8 or float from 0 to 1, (28, 28) or (1, 28, 28), white
        ink on black; `prepare` if none is given. It is what is shown, read and saved.
    keep_in : path, optional
        The file for labelled drawings; `my_handwriting.h5` in `data_dir()` if none is given.
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
    language : bool
        Whether a language model of English has a say in "line" mode: see
        `LineRecognizer.predict_line`.
    lang : str
        The language of the labels, "en" or "ko"; the browser's if empty.
    status : str
        What happened last: a drawing saved, or what went wrong.
    """

    _esm = STATIC / "canvas.js"
    _css = STATIC / "canvas.css"

    mode = traitlets.Unicode(read_only=True).tag(sync=True)
    width = traitlets.Int(read_only=True).tag(sync=True)
    strokes: traitlets.List = traitlets.List().tag(
        sync=True, to_json=_encode_all, from_json=_decode_all
    )
    number = traitlets.Int(0).tag(sync=True)
    result: traitlets.Dict = traitlets.Dict({"number": 0}).tag(sync=True)
    text = traitlets.Unicode("").tag(sync=True)
    ask = traitlets.Unicode("").tag(sync=True)
    among = traitlets.Unicode("")
    models: traitlets.List = traitlets.List().tag(sync=True)
    model = traitlets.Unicode("").tag(sync=True)
    live = traitlets.Bool(False).tag(sync=True)
    pause = traitlets.Float(0.0, min=0.0).tag(sync=True)
    guides = traitlets.Bool(True).tag(sync=True)
    language = traitlets.Bool(False).tag(sync=True)
    lang = traitlets.Unicode("").tag(sync=True)
    status = traitlets.Unicode("").tag(sync=True)
    # For undo and redo: strokes that were undone, and what there was before the last clearing.
    _undone: traitlets.List = traitlets.List().tag(
        sync=True, to_json=_encode_all, from_json=_decode_all
    )
    _cleared = traitlets.Dict().tag(sync=True)
    _guides = traitlets.Tuple((X_LINE, BASE_LINE)).tag(sync=True)
    _max_ink = traitlets.Int(MAX_INK).tag(sync=True)
    # Of each language but English, its labels by the English ones: the browser's is chosen there.
    _words = traitlets.Dict(
        {"ko": json.loads((STATIC / "ko.json").read_text(encoding="utf-8"))}
    ).tag(sync=True)

    def __init__(
        self,
        recognizer: Readable | Mapping[str, Readable] | None = None,
        mode: str = "character",
        prepare: Callable[[list[Stroke]], torch.Tensor] = character.prepare,
        keep_in: str | os.PathLike | None = None,
        **traits,
    ):
        if not isinstance(mode, str) or mode not in WIDTHS:
            raise LabError(f"mode={show(mode)} must be one of {', '.join(WIDTHS)}.")
        if not callable(prepare):
            raise LabError(f"prepare={show(prepare)} must be a function of strokes.")
        known = [n for n in self.traits() if n[0] != "_" and n not in NOT_ARGUMENTS]
        for name in set(traits) - set(known):
            own = set(known) & set(self.class_own_traits())
            raise LabError(f"{name} is not an argument: {nearest(name, own)}")
        self._read_by: dict[str, Reader] = {}
        self._choices: dict[int, tuple[str, str]] = {}
        self._saved: tuple[list[str], str] = [], ""  # the last strokes saved, and `ask` before
        self.prepare, self.keep_in = prepare, handwriting_file(keep_in)
        read_by = make_readers(recognizer, mode)
        first, among = traits.pop("model", next(iter(read_by))), traits.pop("among", "")
        strokes = _check_strokes(traits.pop("strokes", []))
        self.set_trait("mode", mode)
        self.set_trait("width", WIDTHS[mode])
        try:
            super().__init__(models=list(read_by), **traits)
            self._read_by = read_by
            self.among, self.model = among, first
        except traitlets.TraitError as error:
            raise LabError(f"{shorten(error)}.") from None
        self.strokes = strokes
        self.on_msg(self._on_message)

    @property
    def recognizer(self):
        """What reads now. Can be set, to whatever the argument of this name takes."""
        return self._read_by[self.model]

    @recognizer.setter
    def recognizer(self, recognizer):
        read_by = make_readers(recognizer, self.mode)
        with self.hold_sync():
            self._read_by, self.models = read_by, list(read_by)
            if self.model in read_by:
                self._read()
            else:
                self.model = self.models[0]

    # What a hand can do, Python can do, too.

    def draw(self, strokes) -> None:
        """Add strokes, as a hand would; those that reach beyond the canvas are scaled to fit.

        Parameters
        ----------
        strokes : list of strokes
            As for `prepare`, in the canvas's units: see `sample_strokes`.
        """
        drawn = _check_strokes(strokes)
        if drawn:
            self._change([*self.strokes, *fit_strokes(drawn, self.width)])

    def undo(self) -> None:
        """Take the last stroke back, or the last clearing; a drawing that was saved is removed."""
        if self.strokes:
            *strokes, last = self.strokes
            self._change(strokes, [*self._undone, last])
        elif cleared := self._cleared:
            strokes, back = _decode_all(cleared["strokes"]), {"text": cleared["text"]}
            if "is_saved" in cleared:
                count = remove_drawing(self.keep_in, strokes=strokes)
                back |= {"status": f"Taken back: {count} in {self.keep_in.name}."}
                back |= {"ask": self._saved[1]}
            self._change(strokes, **back, _cleared={})

    def redo(self) -> None:
        """Draw the stroke again that was undone last."""
        if self._undone:
            *undone, last = self._undone
            self._change([*self.strokes, last], undone)

    def clear(self) -> None:
        """Take all strokes away; `undo` brings them back."""
        if self.strokes:
            cleared = {"strokes": _encode_all(self.strokes), "text": self.text}
            self._change([], _cleared=cleared)

    def commit(self, label: str | None = None) -> None:
        """Append what was read to `text`, and make room for what comes next.

        Parameters
        ----------
        label : str, optional
            What the character really is. The drawing is then saved with it in `keep_in`; so it is
            where the canvas asks for a character.
        """
        if not self.strokes:
            raise LabError("Nothing is drawn yet.")
        label = label or self.ask[:1]
        read, status = self.result.get("text", ""), ""
        if label:
            if self.mode == "line":
                raise LabError("Only single characters can be saved: take mode='character'.")
            try:
                image = self._prepare_image(self.strokes)
            except LabError:
                raise
            except Exception as error:  # noqa: BLE001 - a preparation of a student's own
                raise LabError(f"prepare= failed: {describe_error(error)}") from None
            count = save_drawing(self.keep_in, label, self.strokes, image)
            seen_as = "" if read == label else f" (read as {read})" if read else " (not read)"
            status = f"Saved as {label}{seen_as}: {count} in {self.keep_in.name}."
        strokes = _encode_all(self.strokes)
        cleared = {"strokes": strokes, "text": self.text} | ({"is_saved": True} if label else {})
        text = self.text + (label or read) + ("\n" if self.mode == "line" else "")
        if label:
            self._saved = strokes, self.ask
        self._change([], text=text, status=status, _cleared=cleared, ask=self.ask[1:])

    def choose(self, index: int, character: str) -> None:
        """Replace a character of the line that was read by one of its alternatives."""
        reading = self.result.get("alternatives", [])
        if not (0 <= index < len(reading) and character in [name for name, _ in reading[index]]):
            raise LabError(f"There is no alternative {character!r} for the character {index}.")
        self._choices[index] = (reading[index][0][0], character)
        self._read()

    def _change(self, strokes: list[Stroke], undone: Sequence[Stroke] = (), **traits) -> None:
        """Set the strokes and what goes with them, in one message to the browser."""
        cleared = traits.get("_cleared", self._cleared)
        ink = [*_encode_all([*strokes, *undone]), *cleared.get("strokes", [])]
        if sum(map(len, ink)) > MAX_INK:
            traits["_cleared"] = {}
        with self.hold_sync():
            self.strokes = strokes  # first, as it fails where the canvas is full
            self._undone = list(undone)
            for name, value in traits.items():
                setattr(self, name, value)

    @traitlets.validate("strokes")
    def _validate_strokes(self, proposal):
        return _check_strokes(proposal["value"])

    @traitlets.validate("ask")
    def _validate_ask(self, proposal):
        wrong = [character for character in proposal["value"] if character not in CHARACTERS]
        if wrong or len(proposal["value"]) > MAX_ASKED:
            what = f"{wrong[0]!r} in it is none" if wrong else f"it has more than {MAX_ASKED:,}"
            raise LabError(f"ask= takes letters A-Z, a-z and digits 0-9, and {what} of them.")
        return proposal["value"]

    @traitlets.validate("among")
    def _validate_among(self, proposal):
        if proposal["value"]:
            if self.mode == "line":
                raise LabError("among= is for single characters: take mode='character'.")
            for reader in self._read_by.values():
                if isinstance(reader, Recognizer):
                    reader.check_among(proposal["value"])
        return proposal["value"]

    @traitlets.validate("text", "status")
    def _validate_text(self, proposal):
        return make_sendable(proposal["value"][-MAX_TEXT:])

    @traitlets.validate("lang")
    def _validate_lang(self, proposal):
        if proposal["value"]:
            check_choice("lang", proposal["value"], LANGUAGES)
        return proposal["value"]

    @traitlets.validate("pause")
    def _validate_pause(self, proposal):
        if not (math.isfinite(proposal["value"]) and proposal["value"] <= MAX_PAUSE):
            raise LabError(f"pause={proposal['value']} must be from 0 to {MAX_PAUSE:,} seconds.")
        return proposal["value"]

    @traitlets.validate("_cleared")
    def _validate_cleared(self, proposal):
        match proposal["value"]:
            case {"strokes": [*strokes], "text": str(text)}:
                _decode_all(strokes)
                cleared = {"strokes": strokes, "text": make_sendable(text[-MAX_TEXT:])}
                is_saved = "is_saved" in proposal["value"] and strokes == self._saved[0]
                return cleared | ({"is_saved": True} if is_saved else {})
        return {}

    def set_state(self, sync_data):
        """Take what the browser has changed; if that makes no sense, nothing changes."""
        changed = {name: sync_data[name] for name in FROM_BROWSER if name in sync_data}
        before = {name: getattr(self, name) for name in changed}
        try:
            super().set_state(changed)
        except (LabError, traitlets.TraitError, TypeError, ValueError, LookupError) as error:
            for name, value in before.items():
                setattr(self, name, value)
            if isinstance(error, LabError):
                self.status = str(error)
            self.send_state()  # so that the browser shows again what there is

    @traitlets.validate("model")
    def _validate_model(self, proposal):
        name = proposal["value"]
        if self._read_by and name not in self._read_by:
            raise LabError(f"model={show(name)}: {nearest(name, self._read_by)}")
        return name

    @traitlets.observe("strokes", "model", "guides", "language", "among")
    def _on_ink(self, change):
        with self.hold_sync():
            # The browser sends a new number with new strokes; strokes from Python get it here.
            if change["name"] == "strokes" and self.number == self.result["number"]:
                self.number += 1
            if not self.strokes:
                self._choices = {}
            self._read()

    def _read(self) -> None:
        if self._read_by:
            self.result = {"number": self.number} | self._read_strokes(self.strokes)

    def _read_strokes(self, strokes: list[Stroke]) -> dict:
        if not strokes:
            return {}
        try:
            if self.mode == "character":
                return read_character(self.recognizer, self._prepare_image(strokes), self.among)
            guides = self._guides if self.guides else None
            return read_line(self.recognizer, list(strokes), guides, self._choices, self.language)
        except Exception as error:  # noqa: BLE001 - a model or preparation of a student's own
            return {"error": describe_error(error)}

    def _prepare_image(self, strokes: list[Stroke]) -> torch.Tensor:
        """Return the image that is shown, read and saved: uint8 (28, 28)."""
        return check_image(self.prepare(list(strokes)))

    def _on_message(self, _widget: object, content: object, _buffers: object) -> None:
        """Do what the browser asks for, unless the strokes have changed since."""
        if not isinstance(content, dict) or content.get("number") != self.number:
            return
        try:
            match content:
                case {"do": "live", "stroke": str(stroke), "number": number}:
                    if len(stroke) > MAX_INK:
                        raise LabError(FULL)
                    result = self._read_strokes([*self.strokes, decode(stroke)])
                    self.send({"live": {"number": number} | result})
                case {"do": "commit"}:
                    label = content.get("label")
                    self.commit(label if isinstance(label, str) else None)
                case {"do": "undo"}:
                    self.undo()
                case {"do": "choose", "index": int(index), "character": str(character)}:
                    self.choose(index, character)
                case {"do": "sample", "text": str(text)}:
                    self.draw(sample_strokes(text[:MAX_SAMPLE]))
        except LabError as error:
            self.status = str(error)
        except (ValueError, LookupError, TypeError):
            return  # not what a browser of ours sends

    def __repr__(self) -> str:
        count = f"{len(self.strokes)} stroke{'s' * (len(self.strokes) != 1)}"
        read = "read as " + repr(self.result["text"]) if "text" in self.result else "not read"
        return f"HandwritingCanvas({self.mode!r}, {count}, {read})"

    def _repr_mimebundle_(self, **kwargs):
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        picture = draw_still(self.strokes, self.width, self.result)
        return data | {"image/png": picture}, metadata
