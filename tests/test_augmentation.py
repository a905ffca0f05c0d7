"""Augmentation: each change does what it says, within its limit, and the seed repeats it."""

import pytest
import torch

from text_recognizer.data.augment import augment

NOTHING = {"shift": 0, "share": 1.0, "rotation": 0, "scale": 0, "slant": 0, "thickness": 0}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def bars(count=400):
    """Return images of an upright bar: 4 by 16 pixels with soft edges, in the middle."""
    images = torch.zeros(count, 28, 28, dtype=torch.uint8)
    images[:, 5:23, 11:17] = 120
    images[:, 6:22, 12:16] = 255
    return images


def moments(images):
    """Return each image's ink, its centre, its spread, and how far x moves for each y."""
    ink = images.double()
    mass = ink.sum((1, 2))
    grid = torch.arange(28.0, dtype=torch.double)
    columns, rows = ink.sum(1), ink.sum(2)
    x, y = (columns @ grid) / mass, (rows @ grid) / mass
    dx, dy = grid - x[:, None], grid - y[:, None]
    var_x, var_y = (columns * dx**2).sum(1) / mass, (rows * dy**2).sum(1) / mass
    slope = torch.einsum("bij,bj,bi->b", ink, dx, dy) / mass / var_y
    return {
        **{"mass": mass, "x": x, "y": y, "slope": slope},
        **{"width": var_x.sqrt(), "height": var_y.sqrt()},
    }


def changes(**limits):
    """Return what changed: the differences or, of sizes, the ratios."""
    before, after = moments(bars()), moments(augment(bars(), **NOTHING | limits))
    return {
        name: after[name] - before[name] if name in "x y slope" else after[name] / before[name]
        for name in before
    }


def reaches(values, limit, tolerance=0.0):
    """Tell whether values spread from minus to plus a limit and not beyond."""
    return (
        -limit - tolerance <= values.min() < -0.7 * limit
        and 0.7 * limit < values.max() <= limit + tolerance
    )


def test_images_stay_uint8_of_their_shape():
    images = torch.randint(0, 256, (3, 28, 28), dtype=torch.uint8)
    changed = augment(images)
    assert changed.dtype == torch.uint8
    assert changed.shape == images.shape


def test_the_given_images_are_not_modified():
    images = bars()
    augment(images)
    assert torch.equal(images, bars())


def test_limits_of_zero_change_nothing():
    images = torch.randint(0, 256, (50, 28, 28), dtype=torch.uint8)
    assert (augment(images, **NOTHING).int() - images.int()).abs().max() <= 1


def test_the_seed_decides_every_change():
    first = augment(bars())
    torch.manual_seed(0)
    assert torch.equal(augment(bars()), first)
    assert not torch.equal(augment(bars()), first)


def test_each_image_of_a_batch_is_changed_differently():
    assert len(augment(bars(50), share=1.0).unique(dim=0)) == 50


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_share_says_how_many_images_change_beside_their_place(share):
    changed = augment(bars(), **NOTHING | {"share": share, "rotation": 10, "thickness": 0.5})
    found = (changed != bars()).any(2).any(1).float().mean()
    assert found == pytest.approx(share, abs=0.1 if 0 < share < 1 else 0.01)


def test_shift_moves_by_whole_pixels_up_to_its_limit():
    change = changes(shift=2)
    for name in ("x", "y"):
        assert set(change[name].round(decimals=6).abs().tolist()) == {0, 1, 2}
        assert reaches(change[name], 2, 1e-6)
    assert not torch.equal(change["x"], change["y"])
    assert (change["mass"] - 1).abs().max() < 1e-9


def test_rotation_turns_both_ways_up_to_its_limit_and_keeps_the_ink():
    change = changes(rotation=10)
    angles = torch.atan(change["slope"]).rad2deg()
    assert reaches(angles, 10, 1)
    assert (change["mass"] - 1).abs().max() < 0.05
    assert change["x"].abs().max() < 0.1


def test_scale_stretches_width_and_height_each_up_to_its_limit():
    change = changes(scale=0.2)
    for name in ("width", "height"):
        assert reaches(change[name].log(), 0.2, 0.03)
    assert torch.corrcoef(torch.stack([change["width"], change["height"]]))[0, 1].abs() < 0.2


def test_slant_leans_both_ways_up_to_its_limit_and_keeps_the_height():
    change = changes(slant=0.2)
    assert reaches(change["slope"], 0.2, 0.02)
    assert (change["height"] - 1).abs().max() < 0.02


def test_thickness_adds_and_takes_ink_and_keeps_the_place():
    change = changes(thickness=0.5)
    assert change["mass"].min() < 0.85
    assert change["mass"].max() > 1.15
    assert change["x"].abs().max() < 0.01
    assert change["y"].abs().max() < 0.01


def test_elastic_moves_each_part_its_own_way_and_keeps_most_of_the_ink():
    images = torch.zeros(400, 28, 28, dtype=torch.uint8)
    for row in (5, 21):
        for column in (5, 21):
            images[:, row : row + 2, column : column + 2] = 255
    changed = augment(images, **NOTHING | {"elastic": 0.8}).double()
    quarters = changed.unflatten(1, (2, 14)).unflatten(3, (2, 14))
    middles = (quarters.sum(4) * torch.arange(14.0).view(1, 1, 14, 1)).sum(2) / quarters.sum((2, 4))
    assert 0.3 < middles.std(0).min() <= middles.std(0).max() < 1.3
    upper_left, lower_right = middles[:, 0, 0], middles[:, 1, 1]
    assert torch.corrcoef(torch.stack([upper_left, lower_right]))[0, 1].abs() < 0.3
    assert changed.sum((1, 2)).mean() == pytest.approx(16 * 255, rel=0.1)


@pytest.mark.parametrize("level", [0, 255])
def test_blank_paper_stays_blank_and_white_never_overflows(level):
    images = torch.full((50, 28, 28), level, dtype=torch.uint8)
    changed = augment(images, shift=0)
    assert changed[:, 6:22, 6:22].unique().tolist() == [level]
