"""What must hold on real EMNIST and MNIST. Run by `make test-real`, which names the files."""

import gzip
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from lab_utils import CNN, EMNIST, MNIST, SEED, BaseLitModel, LineRecognizer


@pytest.fixture(scope="module")
def emnist():
    data = EMNIST(source="full")
    data.prepare_data()
    data.setup()
    return data


def idx_member(name: str) -> np.ndarray:
    with zipfile.ZipFile(os.environ["EMNIST_ARCHIVE"]) as archive:
        values = gzip.decompress(archive.read(f"gzip/emnist-byclass-{name}-ubyte.gz"))
    header = 4 + 4 * values[3]
    return np.frombuffer(values, np.uint8, offset=header)


def test_the_balanced_subset_is_the_published_procedure(emnist):
    """Written out as it was published, with numpy's global seed, on the archive's own bytes."""
    labels = idx_member("train-labels-idx1") + 4
    np.random.seed(42)  # noqa: NPY002
    count = int(np.bincount(labels.flatten()).mean())
    indices = []
    for label in np.unique(labels.flatten()):
        drawn = np.random.choice(np.where(labels == label)[0], count)  # noqa: NPY002
        indices.append(np.unique(drawn))
    indices = np.concatenate(indices)
    num_train = int(0.8 * len(indices))
    split = torch.Generator().manual_seed(42)
    train, val = torch.utils.data.random_split(
        indices, [num_train, len(indices) - num_train], generator=split
    )
    images = idx_member("train-images-idx3").reshape(-1, 28, 28).swapaxes(1, 2)
    assert torch.equal(emnist.data_train.images, torch.from_numpy(images[list(train)].copy()))
    assert torch.equal(emnist.data_val.labels, torch.from_numpy(labels[list(val)].astype(int)))


def test_everything_is_everything(emnist):
    data = EMNIST(source="full", balance=False)
    data.setup()
    assert len(data.data_train) + len(data.data_val) == len(idx_member("train-labels-idx1"))
    assert len(data.data_test) == len(idx_member("test-labels-idx1"))


def test_the_resnet_passes_the_cnn():
    from resnet import sprint

    cnn, resnet, _ = sprint(cnn_epochs=2)  # five take four minutes
    assert cnn >= 0.70
    assert resnet >= 0.765  # the CNN's best of five epochs is 0.7616


def test_cnn_reads_mnist():
    data = MNIST(source="full")
    data.setup()
    pl.seed_everything(SEED, verbose=False)
    lit_model = BaseLitModel(model=CNN(data.config()), one_cycle_max_lr=3e-3)
    trainer = pl.Trainer(max_epochs=5, logger=False, enable_checkpointing=False)
    trainer.fit(lit_model, datamodule=data)
    (metrics,) = trainer.test(lit_model, datamodule=data, verbose=False)
    print(f"\nMNIST, 5 epochs: {metrics['test_acc']:.4f}")
    assert metrics["test_acc"] >= 0.975


def test_two_batches_are_learned_by_heart(emnist):
    pl.seed_everything(SEED, verbose=False)
    lit_model = BaseLitModel(model=CNN(emnist.config()), one_cycle_max_lr=3e-3)
    options = {"logger": False, "enable_checkpointing": False}
    trainer = pl.Trainer(max_epochs=50, overfit_batches=2, **options)
    trainer.fit(lit_model, datamodule=emnist)
    x, y = emnist.data_train.__getitems__(range(2 * emnist.batch_size))
    with torch.no_grad():
        assert torch.equal(lit_model.eval()(x).argmax(1), y)


def test_the_bundled_sample_teaches_to_read_real_emnist():
    from sample_quality import measure

    found = measure(seed=SEED, epochs=6)
    print(f"\ntrained on the sample, tested on real EMNIST: {found}")
    assert found["accuracy"] >= 0.73
    assert found["caseless"] >= 0.84


def test_the_shipped_weights_read_what_their_card_says():
    from weights import measure

    found = measure(Path(os.environ["PHOTOS"]))
    print(f"\nshipped weights: {found}")
    assert found["EMNIST test"]["accuracy"] >= 0.82
    assert found["EMNIST test"]["caseless"] >= 0.905
    assert found["EMNIST test"]["calibration_error"] < 0.03
    assert found["photos, equal classes"]["accuracy"] >= 0.77
    assert found["photos, equal classes"]["caseless"] >= 0.89


def test_the_shipped_weights_read_lines_as_their_card_says():
    from line_reading import measure

    found = measure(LineRecognizer.pretrained(), lines=40)
    for name, rates in found.items():
        print(f"\n{name}: {rates}")
    assert found["plain", "test", "greedy"]["cer"] <= 0.08
    assert found["plain", "test", "greedy"]["cer_caseless"] <= 0.05
    assert found["plain", "test", "beams, language model"]["cer"] <= 0.06
    assert found["realistic", "test", "greedy"]["cer"] <= 0.08
