"""Random changes that leave a character what it is: moved, turned, stretched, thickened."""

import math

import torch
import torch.nn.functional as F


def augment(
    images: torch.Tensor,
    shift: float = 2.0,
    rotation: float = 10.0,
    scale: float = 0.1,
    slant: float = 0.15,
    thickness: float = 0.5,
) -> torch.Tensor:
    """Change each image of a batch at random, all images at once.

    Every amount is drawn anew for each image, evenly between minus and plus the given limit, from
    torch's global generator.

    Parameters
    ----------
    images : torch.Tensor
        uint8, (B, H, W), white ink on black.
    shift : float
        Pixels to the side and up or down.
    rotation : float
        Degrees.
    scale : float
        Logarithm of the factor by which width and height each change; 0.1 is about 10%.
    slant : float
        Pixels to the side for each pixel up.
    thickness : float
        How far each pixel goes towards the brightest (thicker) or darkest (thinner) of itself and
        its four neighbours: 0 not at all, 1 all the way.

    Returns
    -------
    torch.Tensor
        uint8, (B, H, W).
    """
    changed = _thickened(images, thickness) if thickness else images.float()
    count, height, width = images.shape

    def uniform(limit: float) -> torch.Tensor:
        return torch.empty(count).uniform_(-limit, limit)

    # Each row maps a pixel of the result, in coordinates from -1 to 1, to where it is read from.
    angle = uniform(math.radians(rotation))
    across, down = uniform(scale).exp(), uniform(scale).exp()
    cos, sin = angle.cos(), angle.sin()
    to_x = [across * cos, across * (uniform(slant) - sin), uniform(2 * shift / width)]
    to_y = [down * sin, down * cos, uniform(2 * shift / height)]
    affine = torch.stack([torch.stack(to_x, 1), torch.stack(to_y, 1)], 1)
    grid = F.affine_grid(affine, (count, 1, height, width), align_corners=False)
    moved = F.grid_sample(changed.unsqueeze(1), grid, align_corners=False)
    return moved.squeeze(1).clamp_(0, 255).to(torch.uint8)


def _thickened(images: torch.Tensor, limit: float) -> torch.Tensor:
    """Return float32 (B, H, W) in which each image's strokes are thicker or thinner."""
    padded = F.pad(images, (1, 1, 1, 1))
    brightest = darkest = images
    for rows, columns in ((1, 0), (1, 2), (0, 1), (2, 1)):  # left, right, above, below
        neighbours = padded[:, rows:, columns:][:, : images.shape[1], : images.shape[2]]
        brightest = torch.maximum(brightest, neighbours)
        darkest = torch.minimum(darkest, neighbours)
    amount = torch.empty(len(images), 1, 1).uniform_(-limit, limit)
    target = torch.where(amount > 0, brightest, darkest)
    return torch.lerp(images.float(), target.float(), amount.abs())
