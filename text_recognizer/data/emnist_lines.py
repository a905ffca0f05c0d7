"""The data module EMNISTLines: lines of handwriting, of single characters or joined up."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch.utils.data import Sampler

from text_recognizer.counter_rng import SEED
from text_recognizer.data.base_data_module import BaseDataModule, BatchedDataset, Reshuffle
from text_recognizer.data.emnist import EMNIST
from text_recognizer.data.sentence_generator import TEXT_SOURCES, SentenceGenerator
from text_recognizer.errors import LabError, check_bool, check_choice, check_int, check_number
from text_recognizer.files import prepared
from text_recognizer.files.archives import Part
from text_recognizer.lines.batches import STYLES, LineMaker, LineSettings
from text_recognizer.lines.glyphs import GLYPH_SIZE, GlyphPool
from text_recognizer.lines.joined import JoinedLineMaker
from text_recognizer.lines.render import find_used_columns
from text_recognizer.mapping import CHARACTERS, MAPPING, PARTS, PUNCTUATION
from text_recognizer.paths import bundled

ALIKE_BATCHES = 20  # lines are sorted by width within so many batches
BLOCK_LINES = 500  # lines drawn at a time
MAX_LENGTH, MAX_LINES = 1000, 10_000_000
MAX_BYTES = 16_000_000_000  # of all lines in memory
MAX_GLYPHS = 4000  # of a class, in train: more would take memory and add little


class LineDataset(BatchedDataset):
    """Lines in memory, which augmentation only shifts."""

    amounts: ClassVar[dict] = {"share": 0}

    def measure_widths(self, numbers: torch.Tensor) -> torch.Tensor:
        """Return how many columns lines have, or about so many: int64 (B,)."""
        return find_used_columns(self.images[numbers % len(self)].unsqueeze(1))


class FreshLines(LineDataset):
    """New lines in each epoch, drawn when they are fetched; number n is always the same line."""

    num_recurring = 0  # each epoch has new ones

    def __init__(self, maker: LineMaker | JoinedLineMaker, count: int, augment: bool = False):
        self.maker = maker
        self.count = count
        self.augment = augment

    def __len__(self) -> int:
        return self.count

    def fetch(self, numbers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.maker.draw(numbers.numpy())

    def measure_widths(self, numbers: torch.Tensor) -> torch.Tensor:
        return self.maker.measure_widths(numbers.numpy())


class ByWidth(Reshuffle):
    """Shuffles lines so that those of a batch are about equally wide: fewer columns to compute.

    Fresh lines, and those that are changed at random, get other numbers in each epoch.
    """

    def __init__(self, dataset: LineDataset, batch_size: int):
        super().__init__(len(dataset), SEED)
        self.dataset = dataset
        self.batch_size = batch_size

    def __iter__(self) -> Iterator[int]:
        random = torch.Generator().manual_seed(self.seed + self.epoch)
        numbers = torch.randperm(self.count, generator=random)
        if isinstance(self.dataset, FreshLines) or self.dataset.augment:
            numbers += self.epoch * self.count + self.dataset.num_recurring
        self.epoch += 1
        batches = []
        for group in numbers.split(self.batch_size * ALIKE_BATCHES):
            sorted_group = group[torch.argsort(self.dataset.measure_widths(group), stable=True)]
            batches += sorted_group.split(self.batch_size)
        # A batch that is not full stays at the end, where a loader expects it.
        full = self.count // self.batch_size
        order = torch.randperm(full, generator=random).tolist()
        for i in [*order, *range(full, len(batches))]:
            yield from batches[i].tolist()


class EMNISTLines(BaseDataModule):
    """Lines of synthetic handwriting: phrases, written with characters of EMNIST.

    Taught in notebook 4.

    As in lab 2 of Full Stack Deep Learning 2021, but number n of a part is the same line on every
    machine. Glyphs and phrases of train, val and test are disjoint. Punctuation, which EMNIST
    lacks, is of the bundled sample.

    Joined-up lines are bundled: 2,000, 300 and 300 lines of up to 32 characters, rendered from
    script fonts, with fonts and texts of the parts disjoint. Those that fit into `max_length` come
    one after the other; what follows are variations of them, wider or narrower, slanted, thicker
    or thinner, fainter. For them `min_overlap`, `max_overlap`, `fresh_glyphs`, `source` and `text`
    mean nothing.

    Parameters
    ----------
    max_length : int
        Characters of a line at most, with `<S>` and `<E>` if there are any.
    min_overlap : float
        How much of a glyph lies under the next one, at least; drawn for each line, in plain style.
    max_overlap : float
        The same, at most.
    num_train : int
        Lines to train on.
    num_val : int
        Lines for validation.
    num_test : int
        Lines for the test.
    with_start_end_tokens : bool
        Whether labels begin with `<S>` and end with `<E>`.
    fresh_glyphs : bool
        Whether each character of a line has an image of its own, or, as in the published lab, the
        same for all its occurrences.
    style : {"plain", "realistic", "both", "joined"}
        `"plain"`: glyphs fill the height of the line, as published. `"realistic"`: as one writer
        would, with small and tall letters on a baseline. `"both"`: every second line each.
        `"joined"`: joined-up writing.
    on_the_fly : bool
        Whether each epoch trains on new lines, drawn by the loader; otherwise on those of a file.
    source : {"auto", "full", "sample"}
        Where images come from, as for `EMNIST`.
    text : {"auto", "brown", "own"}
        Where text comes from, as for `SentenceGenerator`.
    augment : bool
        Whether training lines are shifted at random by up to two pixels.
    **loading
        `batch_size` and `num_workers`, as for `BaseDataModule`.

    Examples
    --------
    >>> from lab_utils import EMNISTLines
    >>> data = EMNISTLines(max_length=16, num_train=20, num_val=10, num_test=10, source="sample")
    >>> data.prepare_data()
    >>> data.setup()
    >>> x, y = data.data_train[0]
    >>> x.shape, len(y)
    (torch.Size([1, 28, 448]), 16)
    """

    mapping = MAPPING

    def __init__(
        self,
        max_length: int = 32,
        min_overlap: float = 0,
        max_overlap: float = 0.33,
        num_train: int = 10000,
        num_val: int = 2000,
        num_test: int = 2000,
        with_start_end_tokens: bool = False,
        fresh_glyphs: bool = True,
        style: str = "plain",
        on_the_fly: bool = False,
        source: str = "auto",
        text: str = "auto",
        augment: bool = False,
        **loading,
    ):
        super().__init__(**loading)
        self.sizes = dict(zip(PARTS, (num_train, num_val, num_test), strict=True))
        for part, size in self.sizes.items():
            check_int(f"num_{part}", size, 1, MAX_LINES)
        least = 3 if check_bool("with_start_end_tokens", with_start_end_tokens) else 1
        check_int("max_length", max_length, least, MAX_LENGTH)
        check_bool("fresh_glyphs", fresh_glyphs)
        check_number("max_overlap", max_overlap, 0, 0.99, "from 0 to 0.99")
        wanted = f"from 0 to max_overlap={max_overlap}"
        check_number("min_overlap", min_overlap, 0, max_overlap, wanted)
        check_choice("style", style, STYLES)
        check_choice("text", text, TEXT_SOURCES)
        self.settings = LineSettings(
            max_length, min_overlap, max_overlap, with_start_end_tokens, fresh_glyphs, style
        )
        self.on_the_fly = check_bool("on_the_fly", on_the_fly)
        self.augment = check_bool("augment", augment)
        size = GLYPH_SIZE * self.settings.width * sum(self.sizes[p] for p in self._list_stored())
        if size > MAX_BYTES:
            raise LabError(
                f"Lines of max_length={max_length} take {size / 1e9:.0f} GB of memory, and "
                f"{MAX_BYTES / 1e9:.0f} is the limit: lower num_train or max_length."
            )
        self.dims = (1, GLYPH_SIZE, self.settings.width)
        self.output_dims = (max_length, 1)
        self._emnist = EMNIST(source)
        self._text = text

    def locate(self) -> Path:
        origin, text = bundled(prepared.JOINED_FILE), ""
        if self.settings.style != "joined":
            self._text = SentenceGenerator(source=self._text).source
            self._emnist.prepare_data()
            origin, text = self._emnist.file, f"; text: {self._text}"
        with prepared.open_prepared(origin) as file:
            source = file.source + text
        made_from = json.dumps(
            self.settings._asdict()
            | {"sizes": self.sizes, "on_the_fly": self.on_the_fly, "text": self._text}
            | {"characters": prepared.fingerprint(origin)}
        )
        digest = hashlib.sha256(made_from.encode()).hexdigest()[:8]
        name = f"lines_{self.settings.max_length}_{self.settings.style}_{digest}.h5"
        path, parts = prepared.find_place(name), self._draw_parts()
        prepared.prepare_once(
            path, made_from, lambda: prepared.write(path, parts, source, made_from)
        )
        return path

    def read(self, file: prepared.PreparedFile) -> None:
        if self.on_the_fly:
            maker = self.build_maker("train")
            self.data_train = FreshLines(maker, self.sizes["train"], self.augment)
        for part in self._list_stored():
            labels = torch.from_numpy(file.read_labels(part)).long()
            is_augmented = self.augment and part == "train"
            setattr(self, f"data_{part}", LineDataset(file.read_images(part), labels, is_augmented))

    def _list_stored(self) -> tuple[str, ...]:
        """Return the parts that are kept in a file."""
        return PARTS[1:] if self.on_the_fly else PARTS

    def _shuffle(self) -> Sampler:
        if isinstance(self.data_train, LineDataset):
            return ByWidth(self.data_train, self.batch_size)
        return super()._shuffle()

    def build_maker(self, part: str) -> LineMaker | JoinedLineMaker:
        """Return what draws the lines of a part."""
        if self.settings.style == "joined":
            return JoinedLineMaker(self.settings, part, *read_joined_lines(part))
        self._emnist.prepare_data()
        pool = GlyphPool(*read_glyphs(self._emnist.file, part))
        return LineMaker(self.settings, part, pool, SentenceGenerator(part, self._text))

    def _draw_parts(self) -> Iterator[Part]:
        for part in self._list_stored():
            maker, numbers = self.build_maker(part), np.arange(self.sizes[part])
            blocks = np.split(numbers, range(BLOCK_LINES, len(numbers), BLOCK_LINES))
            images = (maker.draw(block)[0].numpy() for block in blocks)
            yield Part(part, maker.write_labels(numbers), images)

    def __str__(self) -> str:
        lines = [
            "EMNIST Lines Dataset",
            f"Min overlap: {self.settings.min_overlap}",
            f"Max overlap: {self.settings.max_overlap}",
            f"Num classes: {len(self.mapping)}",
            f"Dims: {self.dims}",
            f"Output dims: {self.output_dims}",
        ]
        return "\n".join(lines + self._describe_data())

    __repr__ = __str__


def read_joined_lines(part: str) -> tuple[torch.Tensor, np.ndarray]:
    """Return the bundled joined-up lines: images, uint8 (N, 28, W), and labels, uint8 (N, 32)."""
    with prepared.open_prepared(bundled(prepared.JOINED_FILE)) as file:
        return file.read_images(part), file.read_labels(part)


def read_glyphs(characters: Path, part: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the glyphs of a part: images, uint8 (N, 28, 28), and labels, int64 (N,).

    They are of a prepared file, of EMNIST or of the bundled sample, which adds its punctuation to
    EMNIST; those of val are set aside from its train part. A class has 4,000 glyphs at most.
    """
    sample = bundled(prepared.SAMPLE_FILE)
    wanted_of = {characters: CHARACTERS, sample: PUNCTUATION}  # EMNIST has no punctuation
    if characters == sample:
        wanted_of = {sample: CHARACTERS + PUNCTUATION}
    stored_part = "test" if part == "test" else "train"
    images, labels = [], []
    for path, wanted in wanted_of.items():
        with prepared.open_prepared(path) as file:
            known = file.read_labels(stored_part)
            random, shares = np.random.default_rng(SEED), []
            for name in wanted:
                indices = random.permutation(np.flatnonzero(known == MAPPING.index(name)))
                cut = len(indices) * 4 // 5
                share = {"train": indices[:cut], "val": indices[cut:], "test": indices}[part]
                shares.append(share[:MAX_GLYPHS])
            chosen = np.concatenate(shares)
            images.append(file.read_images(stored_part, chosen))
            labels.append(torch.from_numpy(known[chosen].astype(np.int64)))
    return torch.cat(images), torch.cat(labels)
