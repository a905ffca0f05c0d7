"""Lines of handwriting: pasted rightly, drawn by their numbers, and kept in a whole file."""

import math
import multiprocessing

import h5py
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from text_recognizer.data.emnist_lines import EMNISTLines, read_glyphs
from text_recognizer.errors import LabError
from text_recognizer.files import prepared
from text_recognizer.lines.glyphs import GLYPH_SIZE, GlyphPool
from text_recognizer.lines.render import _paste, draw_plain_lines
from text_recognizer.mapping import MAPPING, PADDING
from text_recognizer.paths import bundled, data_dir

pytestmark = pytest.mark.slow

SMALL = {"num_train": 40, "num_val": 10, "num_test": 10, "source": "sample", "batch_size": 8}


def small(**more):
    data = EMNISTLines(**SMALL | more)
    data.prepare_data()
    data.setup()
    return data


@pytest.fixture(scope="module")
def pool():
    random = np.random.default_rng(0)
    images = torch.from_numpy(random.integers(0, 256, (60, GLYPH_SIZE, GLYPH_SIZE), np.uint8))
    return GlyphPool(images, torch.arange(60) % 6 + 4)


def characters(labels):
    return "".join(MAPPING[i] for i in labels if i > 3)


# Pasting.


@pytest.mark.parametrize("overlap", [0, 0.1, 0.33, 0.5, 0.75, 0.9])
@pytest.mark.parametrize("length", [1, 2, 9])
def test_ink_adds_up_and_never_wraps_around(pool, overlap, length):
    random = np.random.default_rng(1)
    glyphs = torch.from_numpy(random.integers(0, 61, (20, length)))
    steps = GLYPH_SIZE - torch.from_numpy((random.random(20) * overlap * GLYPH_SIZE).astype(int))
    steps[0] = GLYPH_SIZE - int(overlap * GLYPH_SIZE)
    lines = draw_plain_lines(pool, glyphs, steps, GLYPH_SIZE * length)
    images = pool.columns.transpose(1, 2).int()
    for line, row, step in zip(lines, glyphs, steps.tolist(), strict=True):
        paper = torch.zeros((GLYPH_SIZE, GLYPH_SIZE * (length + 1)), dtype=torch.int)
        for i, glyph in enumerate(row.tolist()):
            paper[:, i * step : i * step + GLYPH_SIZE] += images[glyph]
        assert torch.equal(line.int(), paper[:, : GLYPH_SIZE * length].clamp(max=255))


def test_boxes_are_put_at_any_column(pool):
    left = torch.tensor([[0, 3, 40, 41, 90], [-4, 20, 20, 61, 200]])
    numbers = torch.tensor([[5, 0, 7, 8, 9], [1, 2, 3, 4, 5]])
    lines = _paste(pool.columns, numbers, left, 100)
    for line, xs, boxes in zip(lines, left.tolist(), numbers.tolist(), strict=True):
        paper = torch.zeros((GLYPH_SIZE, 400), dtype=torch.int)
        for x, box in zip(xs, boxes, strict=True):
            paper[:, 50 + x : 50 + x + GLYPH_SIZE] += pool.columns[box].T.int()
        assert torch.equal(line.int(), paper[:, 50:150].clamp(max=255))


def test_a_character_without_an_image_and_a_space_are_blank(pool):
    labels = torch.tensor([[MAPPING.index(name) for name in "01 1qZ"]])
    chosen = pool.choose(labels, torch.zeros(1, 6))
    assert (chosen > 0).tolist() == [[True, True, False, True, False, False]]
    assert not pool.columns[0].any()


# Lines by their numbers.


@pytest.mark.parametrize("style", ["plain", "realistic", "both"])
def test_a_line_is_the_same_whatever_it_is_drawn_with(style):
    maker = EMNISTLines(style=style, source="sample").build_maker("train")
    images, labels = maker.draw(np.arange(70))
    some = np.array([64, 3, 5])
    assert torch.equal(maker.draw(some)[0], images[some])
    assert torch.equal(maker.draw(some)[1], labels[some])
    assert torch.equal(torch.from_numpy(maker.write_labels(np.arange(70))).long(), labels)
    assert not torch.equal(images[0], images[1])


@pytest.mark.slow
@pytest.mark.parametrize("on_the_fly", [False, True])
def test_the_same_lines_come_from_any_number_of_workers(on_the_fly):
    data = small(on_the_fly=on_the_fly)
    order = torch.randperm(40).tolist()
    batches = [
        torch.cat(
            [
                x
                for x, _ in DataLoader(
                    data.data_train, 8, sampler=order, num_workers=n, collate_fn=lambda batch: batch
                )
            ]
        )
        for n in (0, 2)
    ]
    assert torch.equal(*batches)
    fresh = data.build_maker("train").draw(np.array(order))[0].unsqueeze(1).float() / 255
    assert torch.equal(batches[0], fresh)


def test_each_occurrence_has_its_own_glyph_unless_asked_otherwise():
    label = MAPPING.index("e")
    for fresh, wanted in ((True, True), (False, False)):
        maker = EMNISTLines(source="sample", max_overlap=0, fresh_glyphs=fresh).build_maker("train")
        images, labels = maker.draw(np.arange(60))
        differ = []
        for image, row in zip(images, labels, strict=True):
            places = torch.nonzero(row == label).squeeze(1).tolist()
            glyphs = [image[:, p * GLYPH_SIZE : (p + 1) * GLYPH_SIZE] for p in places]
            differ += [not torch.equal(glyphs[0], glyph) for glyph in glyphs[1:]]
        assert len(differ) > 10
        assert np.mean(differ) > 0.95 if wanted else not any(differ)


def test_glyphs_of_the_parts_are_disjoint(tmp_path):
    """Each image is made unique, since dots and straight lines are alike by chance."""
    random = np.random.default_rng(0)
    file = tmp_path / "characters.h5"
    with h5py.File(file, "w") as opened:
        opened.attrs["source"] = np.bytes_(b"random dots")
        for part, count in (("train", 2000), ("test", 500)):
            images = random.integers(0, 256, (count, GLYPH_SIZE, GLYPH_SIZE), np.uint8)
            opened[f"x_{part}"] = images
            opened[f"y_{part}"] = (np.arange(count) % 62 + 4).astype(np.uint8)
    seen = []
    for part in ("train", "val", "test"):
        images, labels = read_glyphs(file, part)
        own = images[labels < 66]
        seen.append({image.numpy().tobytes() for image in own})
        assert len(seen[-1]) == len(own) > 300
    assert not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2])
    assert len(seen[0]) + len(seen[1]) == 2000


def test_every_character_of_the_text_has_glyphs_in_each_part():
    for part in ("train", "val", "test"):
        labels = read_glyphs(bundled(prepared.SAMPLE_FILE), part)[1]
        assert set(range(4, 83)) - {MAPPING.index(" ")} <= set(labels.tolist())


def test_real_emnist_gets_its_punctuation_from_the_sample(gzip_zip, monkeypatch):
    monkeypatch.setenv("EMNIST_ARCHIVE", str(gzip_zip))
    maker = EMNISTLines().build_maker("train")
    assert all(maker.pool.count[MAPPING.index(name)] for name in "!?.,")
    own = read_glyphs(bundled(prepared.SAMPLE_FILE), "train")[1]
    assert maker.pool.count[MAPPING.index("e")] < (own == MAPPING.index("e")).sum()


def test_labels_are_padded_and_framed():
    plain = small(max_length=12).data_train.labels
    assert plain.shape == (40, 12)
    framed = small(max_length=14, with_start_end_tokens=True).data_train.labels
    for row, line in zip(plain, framed, strict=True):
        length = int((row != PADDING).sum())
        assert (row[length:] == PADDING).all()
        assert line.tolist() == [1, *row[:length].tolist(), 2, *[3] * (12 - length)]


def test_it_prints_as_published():
    data = EMNISTLines(source="sample")
    assert str(data).splitlines() == [
        "EMNIST Lines Dataset",
        "Min overlap: 0",
        "Max overlap: 0.33",
        "Num classes: 83",
        "Dims: (1, 28, 896)",
        "Output dims: (32, 1)",
    ]
    assert "Train/val/test sizes: 40, 10, 10" in str(small())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"max_length": 0}, "max_length=0 must be a whole number from 1"),
        ({"max_length": 2, "with_start_end_tokens": True}, "max_length=2 must be .* from 3"),
        ({"num_val": -1}, "num_val=-1"),
        ({"max_overlap": 1}, "max_overlap=1 must be from 0 to 0.99"),
        ({"min_overlap": 0.5}, "min_overlap=0.5 must be from 0 to max_overlap=0.33"),
        ({"style": "cursive"}, "style='cursive' must be one of plain, realistic, both, joined"),
        ({"text": "bible"}, "text='bible' must be one of auto, brown, own"),
        ({"max_overlap": "0.3"}, "max_overlap='0.3' must be from 0 to 0.99"),
        ({"min_overlap": math.nan}, "min_overlap=nan must be from 0 to max_overlap=0.33"),
        ({"on_the_fly": "no"}, "on_the_fly='no' must be True or False"),
        ({"augment": 0}, "augment=0 must be True or False"),
        ({"fresh_glyphs": "false"}, "fresh_glyphs='false' must be True or False"),
        ({"with_start_end_tokens": None}, "with_start_end_tokens=None must be True or False"),
        ({"max_length": 100_000}, "max_length=100000 must be a whole number from 1 to 1000"),
        ({"max_length": 500, "num_train": 100_000}, "take 39 GB .* lower num_train or max_length"),
    ],
)
def test_a_wrong_argument_is_named(arguments, says):
    with pytest.raises(LabError, match=says):
        EMNISTLines(**SMALL | arguments)


# The realistic style.


def rows_with_ink(image):
    return torch.nonzero(image.amax(1) > 60).squeeze(1)


def heights(names, bottom=False):
    """Return the mean top (or bottom) row of lines that are one character each."""
    maker = EMNISTLines(style="realistic", source="sample", max_length=1).build_maker("train")
    found = []
    for name in names:
        labels = np.full((40, 1), MAPPING.index(name), np.uint8)
        maker.write_labels = lambda numbers, labels=labels: labels
        rows = [rows_with_ink(image) for image in maker.draw(np.arange(40))[0]]
        found.append(np.mean([(r[-1] if bottom else r[0]).item() for r in rows if len(r)]))
    return np.array(found)


def test_small_letters_are_small_and_capitals_tall():
    assert heights("aceosz").min() > heights("ACEOSZ").max() + 2


def test_a_g_hangs_below_the_line_and_a_full_stop_stands_low_on_it():
    assert heights("gpy", bottom=True).min() > heights("aeo", bottom=True).max() + 2
    assert heights(".").min() > heights("aeo").max() + 2
    assert heights("'", bottom=True).max() < heights(".").min()


def test_lines_stay_inside_the_paper():
    images, _ = (
        EMNISTLines(style="realistic", source="sample").build_maker("test").draw(np.arange(200))
    )
    inked = images > 100
    assert inked[:, 0].sum() + inked[:, -1].sum() < 0.005 * inked.sum()


# Files and batches.


def test_the_file_is_named_after_the_settings_and_made_once():
    small()
    (file,) = data_dir().glob("lines_*.h5")
    before = file.stat().st_mtime_ns
    small()
    assert file.stat().st_mtime_ns == before
    small(max_overlap=0.2)
    assert len(list(data_dir().glob("lines_*.h5"))) == 2
    assert not list(data_dir().glob("*.partial"))


def test_a_half_written_file_is_never_used(monkeypatch):
    data = EMNISTLines(**SMALL)

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("text_recognizer.lines.batches.draw_plain_lines", fail)
    with pytest.raises(KeyboardInterrupt):
        data.prepare_data()
    assert not list(data_dir().glob("lines_*.h5"))
    monkeypatch.undo()


def test_a_damaged_file_is_made_again(capsys):
    before = small()
    before.file.write_bytes(before.file.read_bytes()[:1000])
    after = small()
    assert f"{before.file.name} is damaged: it is made again." in capsys.readouterr().out
    assert torch.equal(after.data_val.images, before.data_val.images)


def test_damaged_characters_of_lines_are_made_again(gzip_zip, monkeypatch, capsys):
    monkeypatch.setenv("EMNIST_ARCHIVE", str(gzip_zip))
    before = small(source="full")
    characters = data_dir() / "emnist.h5"
    content = bytearray(characters.read_bytes())
    with h5py.File(characters) as file:
        content[file["x_train"].id.get_chunk_info(0).byte_offset + 500] ^= 1
    characters.write_bytes(content)
    stat = characters.stat()
    after = small(source="full", max_overlap=0.3)
    assert "emnist.h5 is damaged: it is made again." in capsys.readouterr().out
    assert characters.stat().st_mtime_ns != stat.st_mtime_ns
    assert len(after.data_train) == len(before.data_train)


def _prepare(folder):
    import os

    os.environ |= {"LAB_OFFLINE": "1", "LAB_DATA_DIR": folder}
    EMNISTLines(**SMALL).prepare_data()


@pytest.mark.slow
def test_two_processes_prepare_the_same_file(data_folder):
    context = multiprocessing.get_context("spawn")
    if "forkserver" in multiprocessing.get_all_start_methods():
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["text_recognizer.data.emnist_lines"])  # seconds, once
    both = [context.Process(target=_prepare, args=(str(data_folder),)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
        assert process.exitcode == 0
    (file,) = data_folder.glob("lines_*.h5")
    with h5py.File(file) as opened:
        assert opened["x_train"].shape == (40, 28, 896)


def test_lines_of_a_batch_are_about_equally_wide_and_none_is_left_out():
    data = small(num_train=300)
    widths, seen = [], []
    for _ in range(2):
        loader = data.train_dataloader()
        numbers = list(loader.sampler)
        assert sorted(numbers) == list(range(300))
        seen.append(numbers)
        used = data.data_train.measure_widths(torch.tensor(numbers))
        widths += [part.float().std() for part in used[:296].split(8)]
    assert np.mean(widths) < 0.4 * used.float().std()
    sampler = loader.sampler
    assert list(sampler) != list(sampler)
    sampler.set_epoch(0)
    assert list(sampler) == seen[1]


def test_each_epoch_of_fresh_lines_has_new_ones():
    data = small(on_the_fly=True)
    sampler = data.train_dataloader().sampler
    assert sorted(sampler) == list(range(40))
    assert sorted(sampler) == list(range(40, 80))
    sampler.set_epoch(5)
    assert sorted(sampler) == list(range(200, 240))


def test_augmented_lines_are_only_shifted():
    data = small(augment=True, max_overlap=0)
    (moved, _), plain = data.data_train.__getitems__([0]), data.data_train.images[:1]
    assert (moved * 255).round().sum() <= plain.sum()
    assert not data.data_val.augment


@pytest.mark.parametrize("on_the_fly", [False, True])
def test_a_batch_that_is_not_full_comes_last(on_the_fly):
    """Elsewhere it would make every later batch of the loader one half of two others."""
    data = small(num_train=83, on_the_fly=on_the_fly)
    sampler = data.train_dataloader().sampler
    for _ in range(3):
        batches = torch.tensor(list(sampler)).split(8)
        assert [len(batch) for batch in batches] == [8] * 10 + [3]
        for batch in batches:  # each was cut out of lines sorted by width
            assert data.data_train.measure_widths(batch).diff().min() >= 0


@pytest.mark.parametrize("style", ["plain", "realistic"])
def test_lines_may_be_longer_than_any_page_is_wide(style):
    data = small(max_length=600, style=style, num_train=2, num_val=1, num_test=1)
    image, labels = data.data_train.images[0], data.data_train.labels[0]
    assert image.shape == (28, 28 * 600)
    assert len(characters(labels)) > 0
    assert image.any()
