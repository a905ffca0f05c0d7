"""Random changes that leave a character what it is: moved, turned, stretched, thickened."""

import math
from functools import partial

import torch
import torch.nn.functional as F

from text_recognizer.errors import LabError, check_int, check_number, show


def augment(
    images: torch.Tensor,
    shift: int = 2,
    share: float = 0.5,
    rotation: float = 7.0,
    scale: float = 0.07,
    slant: float = 0.1,
    thickness: float = 0.3,
    elastic: float = 0.0,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Return a batch with each image changed at random, all at once: uint8, (B, H, W).

    Taught in notebook 3.

    Every image is shifted, by whole pixels, which leaves it as sharp as it was. Some are turned,
    stretched, slanted and thickened too. Each amount is drawn for each image, evenly from
    minus to plus the given limit unless it says otherwise. LabError if `images` is no batch of
    images, or a limit is none.

    Parameters
    ----------
    images : torch.Tensor
        uint8, (B, H, W), white ink on black.
    shift : int
        Pixels to the side, and up or down.
    share : float
        The share of images to which the following happens, 0 to 1.
    rotation : float
        Degrees.
    scale : float
        Logarithm of the factor by which width and height each change; 0.1 is about 10%.
    slant : float
        Pixels to the side for each pixel up.
    thickness : float
        How far each pixel goes towards the brightest (thicker) or darkest (thinner) of itself and
        its four neighbours: 0 not at all, 1 all the way.
    elastic : float
        Pixels by which parts of the image move, each its own way: the standard deviation, on a
        grid of 5x5 points with smooth transitions between them.
    generator : torch.Generator, optional
        What draws; torch's global one where none is given.

    Examples
    --------
    >>> from lab_utils import augment, prepare, sample_strokes
    >>> images = prepare(sample_strokes("R")).repeat(5, 1, 1)
    >>> augment(images).shape
    torch.Size([5, 28, 28])
    """
    amounts = {"rotation": rotation, "scale": scale, "slant": slant}
    _check(images, shift, share, **amounts, thickness=thickness, elastic=elastic)
    images = _shift(images, shift, generator)
    chosen = torch.nonzero(torch.rand(len(images), generator=generator) < share).squeeze(1)
    if len(chosen):
        thickened = _thicken(images[chosen], thickness, generator)
        angle = math.radians(rotation)
        images[chosen] = _warp(thickened, angle, scale, slant, elastic, generator)
    return images


def _check(images: torch.Tensor, shift: int, share: float, **amounts: float) -> None:
    is_batch = isinstance(images, torch.Tensor) and images.ndim == 3
    if not is_batch or images.dtype != torch.uint8 or not images.numel():
        raise LabError(
            f"images={show(images)} must be uint8, (B, H, W): of one image, image[None]."
        )
    check_int("shift", shift, 0, min(images.shape[1:]))
    check_number("share", share, 0, 1, "from 0 to 1")
    for name, amount in amounts.items():
        check_number(name, amount)


def _draw_uniform(limit: float, count: int, generator: torch.Generator | None) -> torch.Tensor:
    return torch.empty(count).uniform_(-limit, limit, generator=generator)


def _shift(images: torch.Tensor, limit: int, generator: torch.Generator | None) -> torch.Tensor:
    """Return uint8 (B, H, W), each image moved by its own whole number of pixels."""
    count, height, width = images.shape
    padded = F.pad(images, (limit,) * 4)
    down, right = torch.randint(0, 2 * limit + 1, (2, count, 1), generator=generator)
    rows, columns = down + torch.arange(height), right + torch.arange(width)
    return padded[torch.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]


def _thicken(images: torch.Tensor, limit: float, generator: torch.Generator | None) -> torch.Tensor:
    """Return float32 (B, H, W), the strokes of each image thicker or thinner."""
    _, height, width = images.shape
    padded = F.pad(images, (1, 1, 1, 1))
    brightest = darkest = images
    for top, left in ((1, 0), (1, 2), (0, 1), (2, 1)):  # the neighbours left, right, above, below
        neighbour = padded[:, top : top + height, left : left + width]
        brightest = torch.maximum(brightest, neighbour)
        darkest = torch.minimum(darkest, neighbour)
    amount = _draw_uniform(limit, len(images), generator)[:, None, None]
    target = torch.where(amount > 0, brightest, darkest)
    return torch.lerp(images.float(), target.float(), amount.abs())


def _warp(
    images: torch.Tensor,
    rotation: float,
    scale: float,
    slant: float,
    elastic: float,
    generator: torch.Generator | None,
) -> torch.Tensor:
    """Return uint8 (B, H, W) of float32 images, turned (radians), stretched, slanted and warped."""
    count, height, width = images.shape
    draw = partial(_draw_uniform, count=count, generator=generator)
    angle, zero = draw(rotation), torch.zeros(count)
    across, down = draw(scale).exp(), draw(scale).exp()
    # Where each pixel is read from, x and then y, of coordinates from -1 to 1.
    x = torch.stack([across * angle.cos(), across * (draw(slant) - angle.sin()), zero], 1)
    y = torch.stack([down * angle.sin(), down * angle.cos(), zero], 1)
    images = images.unsqueeze(1)
    grid = F.affine_grid(torch.stack([x, y], 1), list(images.shape), align_corners=False)
    if elastic:
        pixel = torch.tensor([2 / width, 2 / height]).view(1, 2, 1, 1)
        moves = torch.randn(count, 2, 5, 5, generator=generator) * elastic * pixel
        moves = F.interpolate(moves, (height, width), mode="bicubic", align_corners=True)
        grid = grid + moves.permute(0, 2, 3, 1)
    bent = F.grid_sample(images, grid, mode="bicubic", align_corners=False)
    return bent.squeeze(1).clamp_(0, 255).round_().to(torch.uint8)
