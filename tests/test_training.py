"""Training: it learns, it repeats bit for bit, and it logs what it did."""

import pytest
import pytorch_lightning as pl
import torch

from lab_utils import CNN, MLP, MNIST, SEED, BaseLitModel, LabError


@pytest.fixture
def digits():
    """A few hundred digits of the sample, enough to learn something in seconds."""
    data = MNIST(source="sample", batch_size=64)
    data.setup()
    for name, count in (("data_train", 1024), ("data_val", 128), ("data_test", 256)):
        dataset = getattr(data, name)
        dataset.images, dataset.labels = dataset.images[:count], dataset.labels[:count]
    return data


def fit(data, network=CNN, max_epochs=2, **kwargs):
    pl.seed_everything(SEED, verbose=False)
    lit_model = BaseLitModel(model=network(data.config()), **kwargs)
    trainer = pl.Trainer(
        max_epochs=max_epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(lit_model, datamodule=data)
    return lit_model, trainer


def test_training_learns(digits):
    lit_model, _ = fit(digits)
    first, last = lit_model.history[0], lit_model.history[-1]
    assert last["train_loss"] < first["train_loss"]
    assert last["val_acc"] > 0.5


def test_history_has_one_entry_an_epoch(digits):
    lit_model, _ = fit(digits)
    assert [entry["epoch"] for entry in lit_model.history] == [0, 1]
    names = {"epoch", "train_loss", "train_acc", "val_loss", "val_acc"}
    assert all(set(entry) == names for entry in lit_model.history)


def test_logged_accuracy_is_that_of_all_images_not_the_mean_of_batches(digits):
    digits.batch_size = 100  # 256 test images: the last batch is smaller
    lit_model, trainer = fit(digits, max_epochs=1)
    (metrics,) = trainer.test(lit_model, datamodule=digits, verbose=False)
    x, y = digits.data_test.__getitems__(range(256))
    lit_model.eval()
    with torch.no_grad():
        correct = (lit_model(x).argmax(1) == y).float().mean().item()
    assert metrics["test_acc"] == pytest.approx(correct, abs=1e-6)


def test_same_seed_same_weights(digits):
    first, second = (fit(digits, max_epochs=1)[0].state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_one_cycle_ends_near_zero_after_all_steps(digits):
    _, trainer = fit(digits, network=MLP, one_cycle_max_lr=1e-2)
    (optimizer,) = trainer.optimizers
    assert optimizer.param_groups[0]["lr"] < 1e-2 / 100
    assert trainer.global_step == 2 * 16


def test_saved_weights_give_the_same_answers(digits, tmp_path):
    lit_model, _ = fit(digits, max_epochs=1)
    torch.save(lit_model.model.state_dict(), tmp_path / "weights.pt")
    reloaded = CNN(digits.config())
    reloaded.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    x, _ = next(iter(digits.val_dataloader()))
    with torch.no_grad():
        assert torch.equal(reloaded.eval()(x), lit_model.model.eval()(x))


def test_a_class_instead_of_a_network_is_one_clear_error():
    with pytest.raises(LabError, match="model="):
        BaseLitModel(model=CNN)
