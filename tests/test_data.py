"""The data modules: what they hold, how they print, and that the seed decides everything."""

import os
import re
import string
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from helpers import emnist_members, make_images, write_gzip_zip
from torch.utils.data import DataLoader, DistributedSampler, random_split

from text_recognizer.data.base_data_module import BatchedDataset
from text_recognizer.data.emnist import EMNIST, choose_balanced
from text_recognizer.data.emnist_lines import EMNISTLines
from text_recognizer.data.mnist import MNIST
from text_recognizer.errors import LabError
from text_recognizer.paths import bundled

MAPPING = [
    *("<B>", "<S>", "<E>", "<P>"),
    *"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
    *(" ", "!", '"', "#", "&", "'", "(", ")", "*", "+", ",", "-", ".", "/", ":", ";", "?"),
]


@pytest.fixture(scope="module")
def parts():
    """Return 3,000 train and 700 test images whose classes are as unequal as ByClass's."""
    parts = make_images({"train": 3000, "test": 700}, 62, seed=4)
    random = np.random.default_rng(5)
    for images, labels in parts.values():
        labels[62:] = np.minimum(random.exponential(12, len(images) - 62), 61)
        labels[:62] = range(62)
    return parts


@pytest.fixture(scope="module")
def archive(parts, tmp_path_factory):
    path = tmp_path_factory.mktemp("archive") / "gzip.zip"
    return write_gzip_zip(path, emnist_members(parts))


@pytest.fixture
def emnist(archive, monkeypatch):
    """Return a function that makes an EMNIST data module of the local archive, set up."""
    monkeypatch.setenv("EMNIST_ARCHIVE", str(archive))
    return lambda **arguments: ready(EMNIST(**arguments))


def ready(data):
    data.prepare_data()
    data.setup()
    return data


def splits(data):
    return data.data_train, data.data_val, data.data_test


def published_subset(labels):
    """Choose the balanced subset exactly as Full Stack Deep Learning publishes it."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(42)  # noqa: NPY002
    n = int(np.bincount(labels).mean())
    chosen = []
    for label in np.unique(labels.flatten()):
        of_label = np.where(labels == label)[0]
        chosen.append(np.unique(np.random.choice(of_label, n)))  # noqa: NPY002
    np.random.set_state(state)  # noqa: NPY002
    return np.concatenate(chosen)


# How they print.


def test_before_setup_it_prints_what_is_known(capsys):
    print(EMNIST(source="sample"))
    assert capsys.readouterr().out.splitlines() == [
        "EMNIST Dataset",
        "Num classes: 83",
        f"Mapping: {MAPPING}",
        "Dims: (1, 28, 28)",
    ]


def test_after_setup_it_prints_sizes_and_a_batch_too(emnist):
    data = emnist()
    sizes = ", ".join(str(len(split)) for split in splits(data))
    items = first(data.data_train, 128)
    x, y = torch.stack([x for x, _ in items]), torch.tensor([y for _, y in items])
    assert str(data).splitlines() == [
        "EMNIST Dataset",
        "Num classes: 83",
        f"Mapping: {MAPPING}",
        "Dims: (1, 28, 28)",
        f"Train/val/test sizes: {sizes}",
        "Batch x stats: (torch.Size([128, 1, 28, 28]), torch.float32, "
        f"tensor(0.), {x.mean()!r}, {x.std()!r}, tensor(1.))",
        f"Batch y stats: (torch.Size([128]), torch.int64, {y.min()!r}, {y.max()!r})",
        "Source: real EMNIST from gzip.zip",
    ]


def first(dataset, count):
    return [dataset[i] for i in range(count)]


def test_the_batch_statistics_have_the_published_form(emnist):
    number = r"tensor\(\d\.\d*\)"
    x_stats, y_stats = str(emnist()).splitlines()[5:7]
    assert re.fullmatch(
        r"Batch x stats: \(torch\.Size\(\[128, 1, 28, 28\]\), torch\.float32, "
        rf"tensor\(0\.\), {number}, {number}, tensor\(1\.\)\)",
        x_stats,
    )
    assert re.fullmatch(
        r"Batch y stats: \(torch\.Size\(\[128\]\), torch\.int64, tensor\(\d+\), tensor\(\d+\)\)",
        y_stats,
    )


def test_the_repr_is_what_is_printed(emnist):
    data = emnist()
    assert repr(data) == str(data)


def test_printing_leaves_torch_s_random_state_alone(emnist):
    data = emnist()
    before = torch.get_rng_state()
    assert str(data) == f"{data}"
    assert torch.equal(torch.get_rng_state(), before)


def test_setup_leaves_the_global_random_states_alone(emnist):
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    emnist()
    assert torch.equal(torch.get_rng_state(), torch_before)
    for before, after in zip(numpy_before, np.random.get_state(), strict=True):  # noqa: NPY002
        np.testing.assert_array_equal(before, after)


# What they hold.


def test_the_mapping_has_its_83_entries_in_order():
    assert EMNIST.mapping == MAPPING
    assert len(set(EMNIST.mapping)) == 83
    assert MNIST.mapping == list(string.digits)


def test_config_says_what_a_model_must_know():
    assert EMNIST(source="sample").config() == {
        "input_dims": (1, 28, 28),
        "output_dims": (1,),
        "mapping": MAPPING,
    }


def test_items_are_scaled_images_and_plain_labels(emnist):
    for split in splits(emnist()):
        x, y = split[0]
        assert x.shape == (1, 28, 28)
        assert x.dtype == torch.float32
        assert 0 <= x.min() < 0.1
        assert 0.9 < x.max() <= 1
        assert type(y) is int
        assert 4 <= y <= 65


def test_pixel_255_is_exactly_1():
    images = torch.tensor([0, 51, 255] + 781 * [0], dtype=torch.uint8).reshape(1, 28, 28)
    x, y = BatchedDataset(images, torch.tensor([7]))[0]
    assert x.flatten()[:3].tolist() == [0, pytest.approx(0.2), 1]
    assert y == 7


def test_a_batch_equals_its_items_stacked(emnist):
    data = emnist(batch_size=50)
    for loader, split in zip(
        (data.val_dataloader(), data.test_dataloader()), splits(data)[1:], strict=True
    ):
        x, y = next(iter(loader))
        items = first(split, 50)
        assert torch.equal(x, torch.stack([x for x, _ in items]))
        assert y.tolist() == [y for _, y in items]
        assert y.dtype == torch.int64


def test_all_images_are_there_without_balancing(emnist):
    assert [len(split) for split in splits(emnist(balance=False))] == [2400, 600, 700]


def test_split_and_order_are_the_published_ones(emnist, parts):
    data = emnist()
    images, labels = parts["train"]
    chosen = published_subset(labels.astype(np.int64) + 4)
    sizes = [int(0.8 * len(chosen)), len(chosen) - int(0.8 * len(chosen))]
    expected = random_split(chosen, sizes, torch.Generator().manual_seed(42))
    for split, subset in zip(splits(data), expected, strict=False):
        indices = chosen[subset.indices]
        assert torch.equal(split.images, torch.from_numpy(images[indices]))
        assert split.labels.tolist() == (labels[indices] + 4).tolist()
    images, labels = parts["test"]
    chosen = published_subset(labels.astype(np.int64) + 4)
    assert torch.equal(data.data_test.images, torch.from_numpy(images[chosen]))
    assert data.data_test.labels.tolist() == (labels[chosen] + 4).tolist()


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_the_balanced_subset_is_the_published_one(parts, dtype):
    for _, labels in parts.values():
        shifted = (labels + 4).astype(dtype)
        chosen = choose_balanced(shifted)
        np.testing.assert_array_equal(chosen, published_subset(shifted))
        assert len(labels) / 3 < len(chosen) < len(labels)


def test_the_balanced_subset_leaves_numpy_s_random_state_alone(parts):
    before = np.random.get_state()  # noqa: NPY002
    choose_balanced(parts["test"][1] + 4)
    for old, new in zip(before, np.random.get_state(), strict=True):  # noqa: NPY002
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("make", [EMNIST, MNIST])
def test_two_setups_give_equal_bits(archive, mnist_folder, monkeypatch, make):
    monkeypatch.setenv("EMNIST_ARCHIVE", str(archive))
    monkeypatch.setenv("MNIST_DIR", str(mnist_folder))
    one, other = ready(make()), ready(make())
    for split, same in zip(splits(one), splits(other), strict=True):
        assert torch.equal(split.images, same.images)
        assert torch.equal(split.labels, same.labels)


def test_a_second_setup_keeps_what_is_there(emnist):
    data = emnist()
    before = splits(data)
    data.setup("test")
    assert all(split is same for split, same in zip(splits(data), before, strict=True))


def test_setup_alone_finds_what_is_prepared(emnist):
    emnist()
    data = EMNIST()  # as on another node, where prepare_data ran in another process
    data.setup()
    assert len(data.data_train) > 0


# The loaders.


def samples(batches):
    """Return the samples of some batches as a sorted list: first pixels and label."""
    return sorted(
        (*x[0, 0, :6].tolist(), y.item()) for xs, ys in batches for x, y in zip(xs, ys, strict=True)
    )


def test_only_training_is_shuffled_and_the_seed_decides_how(emnist):
    data = emnist()
    orders = []
    for _ in range(2):
        torch.manual_seed(7)
        orders.append(torch.cat([y for _, y in data.train_dataloader()]))
    assert torch.equal(*orders)
    assert not torch.equal(orders[0], data.data_train.labels)
    assert torch.equal(orders[0].sort().values, data.data_train.labels.sort().values)
    for loader, split in ((data.val_dataloader(), 1), (data.test_dataloader(), 2)):
        assert torch.equal(torch.cat([y for _, y in loader]), splits(data)[split].labels)


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
def test_workers_give_the_same_samples(emnist):
    expected = samples(emnist(batch_size=100).train_dataloader())
    data = emnist(batch_size=100, num_workers=2)
    assert samples(data.train_dataloader()) == expected


def test_two_processes_share_the_samples(emnist):
    data = emnist(batch_size=64)
    loader = data.test_dataloader()
    halves = []
    for rank in range(2):  # as Lightning replaces the sampler for each process
        sampler = DistributedSampler(loader.dataset, 2, rank, shuffle=True, drop_last=True)
        halves += DataLoader(loader.dataset, 64, sampler=sampler, collate_fn=loader.collate_fn)
    expected = samples(loader)
    found = samples(halves)
    assert len(found) == len(expected) // 2 * 2
    assert set(found) <= set(expected)
    assert len(set(found)) == len(found)


def test_augmentation_changes_training_images_only(emnist):
    plain, augmented = emnist(), emnist(augment=True)
    for split, same in zip(splits(plain), splits(augmented), strict=True):
        assert torch.equal(split.images, same.images)
        assert torch.equal(split.labels, same.labels)
    torch.manual_seed(7)
    everything = range(len(plain.data_train))
    (x, y), (changed, labels) = (d.data_train.__getitems__(everything) for d in (plain, augmented))
    assert torch.equal(y, labels)
    assert (x != changed).flatten(1).any(1).float().mean() > 0.9
    assert changed.dtype == torch.float32
    assert 0 <= changed.min() <= changed.max() <= 1
    for loader in ("val_dataloader", "test_dataloader"):
        for (x, y), (same, labels) in zip(
            getattr(plain, loader)(), getattr(augmented, loader)(), strict=True
        ):
            assert torch.equal(x, same)
            assert torch.equal(y, labels)


def test_the_seed_decides_the_augmented_batches_too(emnist):
    data, epochs = emnist(augment=True), []
    for seed in (7, 7, 8):
        torch.manual_seed(seed)
        epochs.append(torch.cat([x for x, _ in data.train_dataloader()]))
    assert torch.equal(epochs[0], epochs[1])
    assert not torch.equal(epochs[0], epochs[2])


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
def test_augmented_batches_are_the_same_from_any_number_of_workers(emnist):
    epochs = []
    for num_workers in (0, 1, 3):
        torch.manual_seed(7)
        loader = emnist(augment=True, num_workers=num_workers).train_dataloader()
        epochs.append([torch.cat([x for x, _ in loader]) for _ in range(2)])
    for found in epochs[1:]:
        for mine, theirs in zip(found, epochs[0], strict=True):
            assert torch.equal(mine, theirs)
    assert not torch.equal(epochs[0][0], epochs[0][1])


def test_an_augmented_item_differs_each_time_it_is_fetched(emnist):
    dataset = emnist(augment=True).data_train
    torch.manual_seed(7)
    assert len({dataset[0][0].numpy().tobytes() for _ in range(20)}) > 1


@pytest.mark.parametrize("loader", ["train_dataloader", "val_dataloader", "test_dataloader"])
def test_a_loader_before_setup_is_an_error(loader):
    with pytest.raises(LabError, match=r"EMNIST has no data yet: call prepare_data\(\)"):
        getattr(EMNIST(), loader)()


@pytest.mark.parametrize("part", ["data_train", "data_val", "data_test"])
def test_data_before_setup_is_an_error(part):
    with pytest.raises(LabError, match=r"EMNIST has no data yet: call prepare_data\(\)"):
        getattr(EMNIST(), part)[0]


@pytest.mark.parametrize(
    "arguments",
    [
        {"source": "internet"},
        {"source": None},
        {"batch_size": 0},
        {"batch_size": 12.5},
        {"batch_size": "128"},
        {"num_workers": -1},
        {"num_workers": 1000},
        {"num_workers": None},
        {"augment": "false"},
        {"augment": 1},
    ],
)
@pytest.mark.parametrize("make", [EMNIST, MNIST])
def test_a_bad_argument_is_named(make, arguments):
    ((name, value),) = arguments.items()
    with pytest.raises(LabError, match=f"^{name}={re.escape(repr(value))} must be .*[.]$"):
        make(**arguments)


@pytest.mark.parametrize("value", ["false", 0, None])
def test_balance_is_true_or_false(value):
    with pytest.raises(LabError, match=f"^balance={value!r} must be True or False"):
        EMNIST(balance=value)


# MNIST and the sample.


def test_mnist_has_the_digits_in_the_published_split(mnist_folder, monkeypatch, digits):
    monkeypatch.setenv("MNIST_DIR", str(mnist_folder))
    data = ready(MNIST())
    assert [len(split) for split in splits(data)] == [110, 10, 60]  # 11 to 1, as 55,000 to 5,000
    images, labels = digits["train"]
    expected = random_split(range(120), [110, 10], torch.Generator().manual_seed(42))
    for split, subset in zip(splits(data), expected, strict=False):
        assert torch.equal(split.images, torch.from_numpy(images[subset.indices]))
        assert split.labels.tolist() == labels[subset.indices].tolist()
    assert str(data).splitlines()[0] == "MNIST Dataset"
    assert "Source: real MNIST from mnist-files" in str(data)


def test_mnist_of_the_sample_has_digits_only():
    data = ready(MNIST(source="sample"))
    for split in splits(data):
        assert split.labels.unique().tolist() == list(range(10))
    with h5py.File(bundled("emnist_sample.h5")) as file:
        count = int((file["y_train"][:] < 14).sum())
    assert len(data.data_train) + len(data.data_val) == count
    assert "synthetic" in str(data).splitlines()[-1]


@pytest.mark.parametrize("balance", [True, False])
def test_emnist_of_the_sample_has_the_62_characters(balance):
    data = ready(EMNIST(source="sample", balance=balance))
    for split in splits(data):
        assert split.labels.min() >= 4
        assert split.labels.max() <= 65
    assert data.data_train.labels.unique().tolist() == list(range(4, 66))
    assert re.match("Source: .*synthetic", str(data).splitlines()[-1])


@pytest.mark.parametrize("make", [EMNIST, MNIST])
def test_without_data_or_network_auto_is_the_sample(make, capsys):
    fallback = ready(make())
    assert capsys.readouterr().out.count("stands in for") == 1
    for split, same in zip(splits(fallback), splits(ready(make(source="sample"))), strict=True):
        assert torch.equal(split.images, same.images)


def test_a_relative_path_counts_from_the_checkout_wherever_a_notebook_runs(
    archive, monkeypatch, tmp_path
):
    checkout = Path(__file__).parents[1]
    monkeypatch.setenv("EMNIST_ARCHIVE", os.path.relpath(archive, checkout))
    monkeypatch.chdir(tmp_path)
    assert "gzip.zip" in str(ready(EMNIST(source="full")))


@pytest.mark.parametrize("module", [EMNIST, MNIST])
def test_a_file_is_opened_once(module, monkeypatch):
    opened, File = [], h5py.File
    monkeypatch.setattr(
        h5py, "File", lambda *path, **how: opened.append(path) or File(*path, **how)
    )
    module(source="sample").setup()
    assert len(opened) == 1


@pytest.mark.parametrize("module", [EMNIST, MNIST, EMNISTLines])
def test_a_namespace_as_in_2021_is_one_line_that_says_what_to_write(module):
    with pytest.raises(LabError, match=r"instead of a Namespace write \*\*vars\(args\)"):
        module(Namespace(max_length=16))


# The names under which the published notes import them.


def test_the_published_imports_work_and_the_package_is_light():
    code = (
        "import sys, text_recognizer.data as data; "
        "assert 'torch' not in sys.modules and 'h5py' not in sys.modules; "
        "assert 'EMNISTLines' in dir(data); "
        "from text_recognizer.data import EMNIST, EMNISTLines, MNIST, SentenceGenerator; "
        "from text_recognizer.data.base_data_module import BaseDataModule; "
        "from text_recognizer.data import emnist, emnist_lines, mnist, sentence_generator; "
        "assert emnist.EMNIST is EMNIST and mnist.MNIST is MNIST; "
        "assert emnist_lines.EMNISTLines is EMNISTLines; "
        "assert sentence_generator.SentenceGenerator is SentenceGenerator; "
        "assert issubclass(EMNIST, BaseDataModule); "
        "assert not hasattr(data, 'EMINST')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_first_lines_of_the_notes_run_as_written(capsys):
    from text_recognizer.data.emnist import EMNIST

    data = EMNIST()
    data.prepare_data()
    data.setup()
    print(data)
    x, y = next(iter(data.test_dataloader()))
    assert (x.shape, x.dtype, x.min(), x.max()) == ((128, 1, 28, 28), torch.float32, 0, 1)
    assert (y.shape, y.dtype) == ((128,), torch.int64)
    assert data.mapping[y[0]] in MAPPING and x[0].reshape(28, 28).shape == (28, 28)
    assert "Train/val/test sizes: " in capsys.readouterr().out
    assert data.config()["mapping"] == MAPPING
