"""How long `predict` takes for a picture of 2,000 pixels, in milliseconds of CPU.

    python benchmarks/predict_pictures.py [--before FOLDER]

The sample photograph and a clean character, enlarged, as a PIL image, an array, a JPEG and a PNG
file. With another checkout of the project, both read the same pictures in turn, each in processes
of its own, so that what counts is the ratio.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from lab_utils import prepare, sample_photo, sample_strokes

ROOT = Path(__file__).resolve().parents[1]
SIDE = 2000  # pixels: the longer side of each picture
ROUNDS, REPEATS = 3, 7  # processes for each checkout, and readings of a picture in each
READ = """
import json, sys, time
import numpy as np
import torch
from PIL import Image
from lab_utils import Recognizer

torch.set_num_threads(1)
reader, taken = Recognizer.pretrained(), {}
for path in sys.argv[2:]:
    image = Image.open(path).convert("RGB")
    for form, given in {"PIL": image, "array": np.asarray(image), "file": path}.items():
        times = []
        for _ in range(int(sys.argv[1])):
            start = time.process_time()
            reader.predict(given)
            times.append(time.process_time() - start)
        taken[f"{path.rpartition('/')[2]}, {form}"] = 1000 * min(times[1:])
print(json.dumps(taken))
"""


def draw_pictures(folder: Path) -> list[Path]:
    """Write the pictures that are read, and return their paths."""
    photo = Image.open(sample_photo())
    clean = Image.fromarray(255 - np.asarray(prepare(sample_strokes("R"))))
    paths = []
    for name, picture in (("photo", photo), ("clean", clean)):
        scale = SIDE / max(picture.size)
        large = picture.resize([round(side * scale) for side in picture.size])
        for ending in ("jpg", "png"):
            paths.append(folder / f"{name}.{ending}")
            large.save(paths[-1])
    return paths


def read(checkout: Path, pictures: list[Path]) -> dict[str, float]:
    """Return the least milliseconds that each picture in each form takes in a new process."""
    alone = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(checkout)}
    command = [sys.executable, "-c", READ, str(REPEATS), *map(str, pictures)]
    answer = subprocess.run(
        command, cwd=checkout, env=os.environ | alone, check=True, capture_output=True, text=True
    )
    return json.loads(answer.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--before", type=Path, help="another checkout, to compare with")
    options = parser.parse_args()
    checkouts = [ROOT] if options.before is None else [options.before.resolve(), ROOT]
    with tempfile.TemporaryDirectory() as folder:
        pictures = draw_pictures(Path(folder))
        rounds = [[read(checkout, pictures) for checkout in checkouts] for _ in range(ROUNDS)]
    print(f"{'':20}{'before':>9}" * (len(checkouts) - 1) + f"{'now':>9}")
    for name in rounds[0][0]:
        least = [min(found[name] for found in each) for each in zip(*rounds, strict=True)]
        ratio = f"  {least[0] / least[-1]:.1f} times" if len(least) > 1 else ""
        print(f"{name:20}" + "".join(f"{value:6.1f} ms" for value in least) + ratio)


if __name__ == "__main__":
    main()
