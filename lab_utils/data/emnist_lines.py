"""The data module EMNISTLines: lines of handwriting put together from single characters."""

import hashlib
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader
from tqdm.auto import trange

from lab_utils.data import hdf5
from lab_utils.data.archives import Part
from lab_utils.data.base import BaseDataModule
from lab_utils.data.emnist import EMNIST
from lab_utils.data.line_batches import ByWidth, FreshLines, LineDataset
from lab_utils.errors import LabError
from lab_utils.lines.glyphs import SIZE, GlyphPool
from lab_utils.lines.line_maker import LineMaker
from lab_utils.lines.sentence_generator import PARTS, SentenceGenerator
from lab_utils.mapping import CHARACTER_LABELS, CHARACTERS, FIRST_CHARACTER, MAPPING, PUNCTUATION
from lab_utils.paths import bundled, data_dir
from lab_utils.randomness import SEED

STYLES = ("plain", "realistic")
BLOCK = 500  # lines drawn at a time
MOST_GLYPHS = 4000  # of a class, in train: more would take memory and add little


class EMNISTLines(BaseDataModule):
    """Lines of synthetic handwriting: phrases, written with characters of EMNIST.

    Line number n of a part is the same line on every machine. Glyphs and phrases of train, val and
    test are disjoint. Punctuation, which EMNIST lacks, is of the bundled sample.

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
    style : {"plain", "realistic", "both"}
        `"plain"`: glyphs fill the height of the line, as published. `"realistic"`: as one writer
        would, with small and tall letters on a baseline. `"both"`: every second line each.
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

    References
    ----------
    Full Stack Deep Learning 2021, lab 2.
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
        counts = {"num_train": num_train, "num_val": num_val, "num_test": num_test}
        least = 3 if with_start_end_tokens else 1
        for name, value in {"max_length": max_length, **counts}.items():
            lowest = least if name == "max_length" else 1
            if not isinstance(value, int) or value < lowest:
                raise LabError(f"{name}={value!r} must be a whole number of {lowest} or more.")
        if not 0 <= min_overlap <= max_overlap < 1:
            raise LabError(
                f"min_overlap={min_overlap!r} and max_overlap={max_overlap!r} must be from 0 to "
                "below 1, and the first no larger than the second."
            )
        if style not in (*STYLES, "both"):
            raise LabError(f"style={style!r} must be one of {', '.join(STYLES)}, both.")
        self.max_length = max_length
        self.min_overlap = min_overlap
        self.max_overlap = max_overlap
        self.sizes = dict(zip(PARTS, counts.values(), strict=True))
        self.with_start_end_tokens = with_start_end_tokens
        self.fresh_glyphs = fresh_glyphs
        self.style = style
        self.on_the_fly = on_the_fly
        self.augment = augment
        self.dims = (1, SIZE, SIZE * max_length)
        self.output_dims = (max_length, 1)
        self.source_name = None
        self._emnist = EMNIST(source)
        self._text = text
        self._files = None

    def prepare_data(self) -> None:
        """Make sure that the lines are there: the file of these settings is made if need be.

        Raises
        ------
        LabError
            As for `EMNIST` and `SentenceGenerator`, or if the file cannot be written.
        """
        if self._files is not None:
            return
        self._emnist.prepare_data()
        self._text = SentenceGenerator(source=self._text).source
        characters = self._emnist.file
        self.source_name = f"{hdf5.read_source(characters)}; text: {self._text}"
        settings = {
            "max_length": self.max_length,
            "overlap": [self.min_overlap, self.max_overlap],
            "sizes": self.sizes,
            "tokens": self.with_start_end_tokens,
            "fresh_glyphs": self.fresh_glyphs,
            "style": self.style,
            "on_the_fly": self.on_the_fly,
            "text": self._text,
            "characters": hdf5.identity(characters),
        }
        made_from = json.dumps(settings)
        digest = hashlib.sha256(made_from.encode()).hexdigest()[:8]
        target = data_dir() / f"lines_{self.max_length}_{self.style}_{digest}.h5"
        write = partial(hdf5.write, target, self._parts(), self.source_name, made_from)
        hdf5.once(target, made_from, write)
        self._files = characters, target

    def setup(self, stage: str | None = None) -> None:
        """Read the lines into `data_train`, `data_val` and `data_test`."""
        if self.data_train is not None:  # Lightning calls again before each of fit and test
            return
        self.prepare_data()
        target = self._files[1]
        found = {}
        for part in PARTS[1:] if self.on_the_fly else PARTS:
            labels = hdf5.read_labels(target, part)
            images = hdf5.read_images(target, part, np.arange(len(labels)))
            is_augmented = self.augment and part == "train"
            found[part] = LineDataset(images, torch.from_numpy(labels).long(), is_augmented)
        if self.on_the_fly:
            found["train"] = FreshLines(self.maker("train"), self.sizes["train"], self.augment)
        self.data_train, self.data_val, self.data_test = (found[part] for part in PARTS)

    def train_dataloader(self) -> DataLoader:
        overfits = self.trainer is not None and self.trainer.overfit_batches > 0
        if overfits or self.data_train is None:
            return self._loader(self.data_train)
        return self._loader(self.data_train, sampler=ByWidth(self.data_train, self.batch_size))

    def maker(self, part: str) -> LineMaker:
        """Return what draws the lines of a part."""
        self._emnist.prepare_data()
        pool = GlyphPool(*read_glyphs(self._emnist.file, part))
        return LineMaker(self, part, pool, SentenceGenerator(part, self._text))

    def _parts(self) -> Iterator[Part]:
        for part in PARTS[1:] if self.on_the_fly else PARTS:
            maker, count = self.maker(part), self.sizes[part]
            starts = trange(0, count, BLOCK, desc=f"Writing {part} lines", unit=" blocks", delay=2)
            labels = maker.labels(np.arange(count))
            blocks = (maker.draw(np.arange(s, min(s + BLOCK, count)))[0].numpy() for s in starts)
            yield Part(part, labels, blocks)

    def __str__(self) -> str:
        lines = [
            "EMNIST Lines Dataset",
            f"Min overlap: {self.min_overlap}",
            f"Max overlap: {self.max_overlap}",
            f"Num classes: {len(self.mapping)}",
            f"Dims: {self.dims}",
            f"Output dims: {self.output_dims}",
        ]
        return "\n".join(lines + self._describe_data())

    __repr__ = __str__


def read_glyphs(characters: Path, part: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the glyphs of a part; those of val are set aside from the train part of the file.

    Parameters
    ----------
    characters : Path
        The prepared file of EMNIST, or of the bundled sample, which adds its punctuation.
    part : {"train", "val", "test"}
        Which glyphs.

    Returns
    -------
    tuple of torch.Tensor
        Images, uint8 (N, 28, 28), and labels, int64 (N,); at most 4,000 of a class.
    """
    sample = bundled(hdf5.SAMPLE)
    labels_of = {characters: FIRST_CHARACTER + np.arange(len(CHARACTERS) + len(PUNCTUATION))}
    if characters != sample:  # EMNIST has no punctuation
        labels_of = {characters: CHARACTER_LABELS, sample: labels_of[characters][len(CHARACTERS) :]}
    name = "test" if part == "test" else "train"
    images, labels = [], []
    for file, wanted in labels_of.items():
        known = hdf5.read_labels(file, name)
        random, chosen = np.random.default_rng(SEED), []
        for label in wanted:
            indices = random.permutation(np.flatnonzero(known == label))
            cut = len(indices) * 4 // 5
            share = {"train": indices[:cut], "val": indices[cut:], "test": indices}[part]
            chosen.append(share[:MOST_GLYPHS])
        chosen = np.concatenate(chosen)
        images.append(hdf5.read_images(file, name, chosen))
        labels.append(torch.from_numpy(known[chosen].astype(np.int64)))
    return torch.cat(images), torch.cat(labels)
