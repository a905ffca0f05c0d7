"""How well and how fast the shipped network reads: the figures of data/MODEL_CARD.md.

    EMNIST_ARCHIVE=gzip.zip python benchmarks/weights.py --photos photos.zip

`photos.zip` holds photographs of single characters and `labels.csv` with the columns file and
label. Neither they nor the test part of EMNIST were trained on.
"""

import argparse
import csv
import io
import time
import zipfile
from pathlib import Path

import torch
from PIL import Image
from scores import score
from tqdm import tqdm

from lab_utils import EMNIST, LabError, Recognizer, prepare

REPEATS = 200


def read_photos(path: Path, mapping: list[str]) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Return prepared photographs, uint8 (N, 28, 28), their labels, and how many are unreadable."""
    images, labels, unreadable = [], [], 0
    with zipfile.ZipFile(path) as archive:
        rows = list(csv.DictReader(io.TextIOWrapper(archive.open("labels.csv"), "utf-8")))
        for row in tqdm(rows, desc="Preparing photos", delay=2):
            with archive.open(row["file"]) as file:
                try:
                    images.append(prepare(Image.open(file)))
                    labels.append(mapping.index(row["label"]))
                except LabError as error:
                    print(f"{row['file']}: {error} It counts as read wrongly.")
                    unreadable += 1
    return torch.stack(images), torch.tensor(labels), unreadable


def time_prediction(recognizer: Recognizer, image) -> float:
    """Return the time of one `predict` on one core."""
    torch.set_num_threads(1)
    recognizer.predict(image)
    start = time.perf_counter()
    for _ in range(REPEATS):
        recognizer.predict(image)
    return (time.perf_counter() - start) / REPEATS * 1000


def measure(photos: Path | None) -> dict[str, dict[str, float]]:
    """Return the scores on the test part of EMNIST and, where they are given, on photographs."""
    recognizer = Recognizer.pretrained()
    data = EMNIST(source="full")
    data.setup()
    measured = {"EMNIST test": score(recognizer, data.data_test.images, data.data_test.labels)}
    if photos is not None:
        images, labels, unreadable = read_photos(photos, recognizer.mapping)
        alike = Recognizer.pretrained(equal_classes=True)
        for name, reader in (("photos", recognizer), ("photos, equal classes", alike)):
            found = measured[name] = score(reader, images, labels)
            for rate in ("accuracy", "caseless"):
                found[rate] *= len(images) / (len(images) + unreadable)
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--photos", type=Path)
    options = parser.parse_args()
    for name, values in measure(options.photos).items():
        print(name, ", ".join(f"{key} {value:.4f}" for key, value in values.items()))
    recognizer = Recognizer.pretrained()
    circle = torch.linspace(0, 6.28, 60)
    strokes = [torch.stack([circle.cos(), circle.sin()], 1).tolist(), [(0.5, 0.5), (1.2, 1.2)]]
    drawing = Image.new("L", (300, 300), "white")
    drawing.paste("black", (100, 60, 120, 240))
    print(f"one core: strokes {time_prediction(recognizer, strokes):.2f} ms", end=", ")
    print(f"a picture of 300x300 {time_prediction(recognizer, drawing):.2f} ms")


if __name__ == "__main__":
    main()
