"""Train the network for lines that ships with the lab, and write it with its temperature.

    EMNIST_ARCHIVE=gzip.zip NLTK_DATA=nltk_data python data/train_line_weights.py

It learns from endless lines of both styles: phrases of the Brown corpus, written with characters of
EMNIST's train part and of the bundled sample.

The temperature is chosen on lines of the val part, which has its own glyphs and its own text.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader
from tqdm import tqdm
from weights_file import write_weights

from lab_utils import EMNIST, SEED, EMNISTLines, LineCNN
from lab_utils.data.emnist_lines import ByWidth, FreshLines, read_glyphs
from lab_utils.lines.glyphs import GlyphPool
from lab_utils.models.ctc import greedy_path

WEIGHTS = Path(__file__).with_name("line_weights.safetensors")
ARGUMENTS = {"width": 32, "sequence_dim": 128}
STEPS, BATCH = 4_200, 64
MAX_LR, MAX_GRADIENT = 3e-3, 5.0
SAMPLE_SHARE = 0.5  # of the sample's glyphs: about a third of all
VAL_LINES = 400


def merge_pools() -> GlyphPool:
    """Return the train glyphs of EMNIST and some of the bundled sample's."""
    glyphs = []
    for source, share in (("full", 1.0), ("sample", SAMPLE_SHARE)):
        emnist = EMNIST(source)
        emnist.prepare_data()
        images, labels = read_glyphs(emnist.file, "train")
        kept = torch.rand(len(labels)) < share
        glyphs.append((images[kept], labels[kept]))
    return GlyphPool(*(torch.cat(both) for both in zip(*glyphs, strict=True)))


def train(data: EMNISTLines, steps: int, has_bfloat16: bool) -> LineCNN:
    """Train on fresh lines, wide ones in other batches than narrow ones."""
    model = LineCNN(data.config(), **ARGUMENTS).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=MAX_LR)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, MAX_LR, steps, pct_start=0.2)
    maker = data.maker("train")
    maker.pool = merge_pools()
    lines = FreshLines(maker, steps * BATCH, augment=True)
    loader = DataLoader(lines, BATCH, sampler=ByWidth(lines, BATCH), collate_fn=lambda batch: batch)
    for x, y in tqdm(loader, desc="steps"):
        with torch.autocast("cpu", torch.bfloat16, enabled=has_bfloat16):
            logits = model(x)
        loss = model.loss(logits, y)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT)
        optimizer.step()
        schedule.step()
    return model.eval()


@torch.no_grad()
def choose_temperature(model: LineCNN, data: EMNISTLines) -> float:
    """Return the temperature at which characters are on average as sure as they are often right.

    Counted are the lines of val whose number of characters was read rightly.
    """
    images, labels = data.maker("val").draw(np.arange(VAL_LINES))
    logits, right = [], []
    for image, label in zip(images, labels, strict=True):
        written = label[label != data.mapping.index("<P>")]
        answer = model(image[None, None].float().div_(255))[0]
        read, steps = greedy_path(answer)
        if len(read) == len(written):
            logits.append(answer[4:, steps])
            right.append(torch.tensor(read) == written)
    logits, accuracy = torch.cat(logits, 1), torch.cat(right).float().mean()
    candidates = torch.linspace(0.5, 4, 351)
    sure = torch.stack([(logits / t).softmax(0).amax(0).mean() for t in candidates])
    return candidates[(sure - accuracy).abs().argmin()].item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--output", type=Path, default=WEIGHTS)
    parser.add_argument("--bfloat16", action="store_true", help="faster on CPUs that have it")
    options = parser.parse_args()
    pl.seed_everything(SEED, verbose=False)
    data = EMNISTLines(style="both", source="full", text="brown")
    started = time.perf_counter()
    model = train(data, options.steps, options.bfloat16)
    described = {
        "model_class": "LineCNN",
        "model_arguments": ARGUMENTS,
        "input_dims": data.dims,
        "mapping": data.mapping,
        "temperature": choose_temperature(model, data),
    }
    write_weights(model, described, options.output)
    print(f"{(time.perf_counter() - started) / 60:.0f} minutes")


if __name__ == "__main__":
    main()
