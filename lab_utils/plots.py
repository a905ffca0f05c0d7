"""The pictures that several notebooks draw: a row or grid of images, and learning curves."""

import matplotlib.pyplot as plt
from matplotlib.ticker import MaxNLocator


def show_images(images, titles=None, columns: int = 9, cmap: str = "gray", size: float = 1.1):
    """Show images in a grid.

    Parameters
    ----------
    images : sequence of array or tensor
        Each (H, W) or (1, H, W); every image is stretched to its own darkest and brightest value.
    titles : sequence of str, optional
        A title above each image.
    columns : int
        Images a row.
    cmap : str
        matplotlib's colour map.
    size : float
        Inches an image.
    """
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    height = rows * (size + (0.35 if titles is not None else 0))
    figure, axes = plt.subplots(rows, columns, figsize=(columns * size, height), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for index, (axis, image) in enumerate(zip(axes.flat, images, strict=False)):
        axis.imshow(image.squeeze(), cmap=cmap)
        if titles is not None:
            axis.set_title(titles[index], fontsize=10)
    figure.tight_layout(pad=0.2)
    plt.show()


def plot_history(history: list[dict]):
    """Draw the loss of training and validation, and their accuracy or character error rate.

    Parameters
    ----------
    history : list[dict]
        `BaseLitModel.history`, of one epoch or more.
    """
    epochs = [entry["epoch"] + 1 for entry in history]
    figure, axes = plt.subplots(1, 2, figsize=(9, 3))
    second = ("cer", "Character error rate") if "val_cer" in history[-1] else ("acc", "Accuracy")
    for axis, (metric, title) in zip(axes, (("loss", "Loss"), second), strict=True):
        for part in ("train", "val"):
            if not any(f"{part}_{metric}" in entry for entry in history):
                continue
            values = [entry.get(f"{part}_{metric}") for entry in history]
            axis.plot(epochs, values, marker="o", label=part)
        axis.set(title=title, xlabel="epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(alpha=0.3)
        axis.legend()
    figure.tight_layout()
    plt.show()
