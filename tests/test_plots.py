"""Pictures for notebooks: what is drawn, not how it looks."""

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from lab_utils import (
    LabError,
    plot_history,
    show_blocks,
    show_images,
    show_lines,
    show_preparation,
)
from lab_utils.preparation_steps import sample_photo


@pytest.fixture(autouse=True)
def shown(monkeypatch):
    """Return a list of how many figures each call of `plt.show` found; none is left open."""
    counts = []
    monkeypatch.setattr(plt, "show", lambda: counts.append(len(plt.get_fignums())))
    plt.close("all")
    yield counts
    plt.close("all")


@pytest.mark.parametrize(("count", "grid"), [(1, (1, 1)), (3, (1, 3)), (10, (2, 9))])
def test_images_stand_in_rows_and_every_one_is_drawn(shown, count, grid):
    images = torch.randint(0, 256, (count, 1, 28, 28), dtype=torch.uint8)
    show_images(images, titles=[f"no. {i}" for i in range(count)])
    assert shown == [1]
    axes = plt.gcf().axes
    assert len(axes) == grid[0] * grid[1]
    drawn = [axis.images[0].get_array() for axis in axes if axis.images]
    np.testing.assert_array_equal(np.stack(drawn), images[:, 0].numpy())
    assert [axis.get_title() for axis in axes][:count] == [f"no. {i}" for i in range(count)]
    assert not any(axis.axison for axis in axes)


def test_images_may_be_arrays_without_titles(shown):
    show_images(list(np.eye(28)[None].repeat(4, 0)), columns=2)
    assert shown == [1]
    assert len(plt.gcf().axes) == 4


def test_images_may_share_one_scale(shown):
    show_images([np.eye(3), 5 * np.eye(3)], limit=5)
    assert {axis.images[0].get_clim() for axis in plt.gcf().axes} == {(-5, 5)}


def test_lines_lie_close_whatever_their_width(shown):
    show_lines([np.zeros((28, 448), np.uint8), np.zeros((28, 952), np.uint8)], ["a", "b"])
    first, second = (axis.get_position() for axis in plt.gcf().axes)
    assert [axis.get_title(loc="left") for axis in plt.gcf().axes] == ["a", "b"]
    assert 0 < first.y0 - second.y1 < second.height
    with pytest.raises(LabError, match="lines is empty"):
        show_lines([])


@pytest.mark.parametrize(
    ("metrics", "title"),
    [({"train_acc": 0.5, "val_acc": 0.4}, "Accuracy"), ({"val_cer": 0.2}, "Character error rate")],
)
def test_curves_show_the_loss_and_what_else_was_measured(shown, metrics, title):
    history = [{"epoch": i, "train_loss": 2 - i, "val_loss": 3 - i} | metrics for i in range(2)]
    plot_history(history)
    assert shown == [1]
    loss, second = plt.gcf().axes
    assert (loss.get_title(), second.get_title()) == ("Loss", title)
    assert [line.get_label() for line in loss.lines] == ["train", "val"]
    assert loss.lines[0].get_xydata().tolist() == [[1, 2], [2, 1]]
    assert [line.get_label() for line in second.lines] == [name.split("_")[0] for name in metrics]


def test_curves_take_an_epoch_that_was_not_validated():
    first = {"epoch": 0, "train_loss": 2.0, "train_acc": 0.2}
    plot_history([first, {"epoch": 1, "train_loss": 1.0, "train_acc": 0.5, "val_loss": 3.0}])
    loss = plt.gcf().axes[0]
    validation = loss.lines[1].get_ydata()
    assert np.isnan(np.asarray(validation, float)).tolist() == [True, False]


@pytest.mark.parametrize(
    ("show", "says"),
    [
        (lambda: plot_history([]), r"history is empty: train an epoch first"),
        (lambda: show_images([]), "images is empty: give one or more"),
        (lambda: show_images(np.zeros((2, 28, 28)), columns=0), "columns=0 must be a whole number"),
    ],
)
def test_nothing_to_draw_is_one_error(show, says):
    with pytest.raises(LabError, match=says):
        show()


def test_both_blocks_are_drawn_with_their_parts(shown):
    show_blocks()
    assert shown == [1]
    course, residual = plt.gcf().axes
    assert "ReLU" in [text.get_text() for text in course.texts]
    texts = [text.get_text() for text in residual.texts]
    assert texts.count("BatchNorm") == 2
    assert any("1 × 1 convolution" in text for text in texts)


@pytest.mark.parametrize(
    ("show", "said"),
    [
        (lambda: show_images(np.eye(28)[None]), "1 image"),
        (lambda: show_images(np.zeros((2, 28, 28)), titles=["a", 7]), "2 images: a, 7"),
        (
            lambda: plot_history([{"epoch": i, "val_loss": 2 - i, "val_acc": i} for i in (0, 1)]),
            "Learning curves, epochs 1 to 2. Loss, val: from 2 to 1. Accuracy, val: from 0 to 1",
        ),
        (show_blocks, "the course's block: x, 3 × 3 convolution, ReLU, output. a residual block"),
        (lambda: show_preparation(sample_photo()), " images: "),
        (lambda: show_preparation(sample_photo("line"), "line"), " images, one below the other: "),
    ],
)
@pytest.mark.parametrize("backend", ["inline", "module://matplotlib_inline.backend_inline"])
def test_in_a_notebook_a_figure_has_a_description(show, said, backend, monkeypatch, displayed):
    monkeypatch.setattr(plt, "get_backend", lambda: backend)
    show()
    ((figure, metadata),) = displayed
    assert said in metadata["image/png"]["alt"]
    assert not plt.fignum_exists(figure.number)  # or the notebook would show it again


@pytest.fixture
def displayed(monkeypatch):
    """Return what `display` was given."""
    shown = []
    monkeypatch.setattr(
        "IPython.display.display", lambda figure, metadata: shown.append((figure, metadata))
    )
    return shown
