"""Train the network for lines that ships with the lab, and write it with its temperature.

    EMNIST_ARCHIVE=gzip.zip NLTK_DATA=nltk_data python data/train_line_weights.py

It learns from endless lines of both styles: phrases of the Brown corpus, written with characters of
EMNIST's train part and of the bundled sample.

    EMNIST_ARCHIVE=gzip.zip NLTK_DATA=nltk_data python data/train_line_weights.py --joined FOLDER

Then it learns to read joined-up writing, too, from the lines that `draw_joined_lines.py` has put
into a folder, among lines of both styles. The mean of the weights before and after keeps what each
of them reads (Wortsman et al., "Robust fine-tuning of zero-shot models", 2022).
This goes on where it was interrupted.

The temperature is chosen on lines of the val part, which has its own glyphs and its own text.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader
from tqdm import tqdm
from weights_file import write_weights

from lab_utils import EMNIST, SEED, EMNISTLines, LineCNN, Recognizer, SentenceGenerator
from lab_utils.data.augment import augment
from lab_utils.data.emnist_lines import ByWidth, FreshLines, read_glyphs
from lab_utils.lines.glyphs import GlyphPool
from lab_utils.models.ctc import greedy_path

WEIGHTS = Path(__file__).with_name("line_weights.safetensors")
ARGUMENTS = {"width": 32, "sequence_dim": 128}
STEPS, BATCH = 4_200, 64
MAX_LR, MAX_GRADIENT = 3e-3, 5.0
SAMPLE_SHARE = 0.5  # of the sample's glyphs: about a third of all
VAL_LINES = 400

Batch = tuple[torch.Tensor, torch.Tensor]
CHECKPOINT = Path(__file__).with_name("joined_lines.pt")
SAVED_EVERY = 100  # steps
AVERAGED = 100  # steps, about: the weights' running mean is what counts


class Round(NamedTuple):
    """A part of learning to read joined-up writing."""

    steps: int
    max_lr: float
    warm_up: int  # steps until then
    flat: float  # of the steps, before the rate falls
    kinds: dict[str, int]  # how many of 20 batches are of which kind
    share: float  # of the new weights in the mean with those before


ROUNDS = (Round(1500, 1e-3, 100, 0.3, {"joined": 13, "realistic": 4, "plain": 3}, 0.55),)
SMALL_BATCH = 32


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


class JoinedLines:
    """The lines of a folder that `draw_joined_lines.py` has written.

    Parameters
    ----------
    folder : Path
        Its files.
    """

    def __init__(self, folder: Path):
        self.columns, starts, widths, labels = [], [], [], []
        for number, path in enumerate(sorted(folder.glob("*.npz"))):
            with np.load(path) as file:
                self.columns.append(file["columns"])
                width = file["widths"]
                labels.append(file["labels"])
            starts.append(np.stack([np.full(len(width), number), width.cumsum() - width], 1))
            widths.append(width)
        if not widths:
            raise SystemExit(f"{folder} has no lines: run draw_joined_lines.py first.")
        self.starts, self.widths = np.concatenate(starts), np.concatenate(widths)
        self.labels = np.concatenate(labels)

    def draw(self, rng: np.random.Generator, count: int) -> Batch:
        """Return lines of about the same width, wider or narrower and higher or lower at random."""
        some = rng.integers(len(self.widths), size=12 * count)
        first = rng.integers(12) * count
        chosen = some[np.argsort(self.widths[some], kind="stable")][first : first + count]
        lines = np.zeros((count, self.widths[chosen].max(), 28), np.uint8)
        for line, number in zip(lines, chosen, strict=True):
            file, start = self.starts[number]
            width = self.widths[number]
            line[:width] = self.columns[file][start : start + width]
        x = torch.from_numpy(lines).transpose(1, 2).unsqueeze(1).float()
        width = max(16, int(x.shape[-1] * np.exp(rng.normal(0, 0.12)).clip(0.8, 1.3)))
        x = F.interpolate(x, size=(28, width), mode="bilinear")
        if rng.random() < 0.5:
            height, down = rng.uniform(0.9, 1.1), rng.uniform(-0.08, 0.08)
            change = torch.tensor([[[1, 0, 0], [0, height, down]]]).float().expand(count, 2, 3)
            grid = F.affine_grid(change, list(x.shape), align_corners=False)
            x = F.grid_sample(x, grid, align_corners=False)
        x *= torch.from_numpy(rng.uniform(0.7, 1.15, (count, 1, 1, 1)).astype(np.float32))
        images = x.clamp(0, 255).to(torch.uint8).squeeze(1)
        return images, torch.from_numpy(self.labels[chosen]).long()


def make_batches(folder: Path) -> dict[str, Callable[[int, np.random.Generator], Batch]]:
    """Return what draws a batch of each kind, given the number of a step."""
    pool, joined = merge_pools(), JoinedLines(folder)
    sentences = SentenceGenerator.from_text((folder / "text.txt").read_text(encoding="ascii"))

    def draw_from(maker) -> Callable[[int, np.random.Generator], Batch]:
        def draw(step: int, rng: np.random.Generator) -> Batch:
            numbers = np.arange(step * 1024, step * 1024 + 6 * SMALL_BATCH)
            order = torch.argsort(maker.widths(numbers), stable=True).numpy()
            first = rng.integers(6) * SMALL_BATCH
            return maker.draw(numbers[order[first : first + SMALL_BATCH]])

        return draw

    makers = {"joined": lambda _step, rng: joined.draw(rng, SMALL_BATCH)}
    for style in ("plain", "realistic"):
        maker = EMNISTLines(style=style, source="full", text="own").maker("train")
        maker.pool, maker.sentences = pool, sentences
        makers[style] = draw_from(maker)
    return makers


def learn_joined(model: LineCNN, folder: Path, rounds=ROUNDS, has_bfloat16=False) -> LineCNN:
    """Let a network that reads separate letters read joined-up writing, too."""
    makers = make_batches(folder)
    for number, part in enumerate(rounds):
        before = {name: value.clone() for name, value in model.state_dict().items()}
        path = CHECKPOINT.with_name(f"{CHECKPOINT.stem}_{number}.pt")
        after = run_round(model, makers, part, number, path, has_bfloat16)
        model.load_state_dict({name: _mix(before[name], after[name], part.share) for name in after})
    return model.eval()


def _mix(before: torch.Tensor, after: torch.Tensor, share: float) -> torch.Tensor:
    return torch.lerp(before, after, share) if before.is_floating_point() else after


def run_round(
    model: LineCNN,
    makers: dict,
    part: Round,
    number: int,
    path: Path,
    has_bfloat16: bool,
) -> dict[str, torch.Tensor]:
    """Train for a round, from a checkpoint if there is one, and return the mean weights."""
    optimizer = torch.optim.AdamW(model.parameters(), part.max_lr, weight_decay=0.01)
    mean, first = {k: v.clone() for k, v in model.state_dict().items()}, 0
    if path.exists():
        saved = torch.load(path, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        mean, first = saved["mean"], saved["step"]
    kinds = [kind for kind, count in part.kinds.items() for _ in range(count)]
    for step in tqdm(range(first, part.steps), desc=f"round {number}", initial=first):
        rng = np.random.default_rng([9 + number, step])
        torch.manual_seed(step)
        images, y = makers[kinds[rng.integers(len(kinds))]](number * 5000 + step, rng)
        x = augment(images, share=0).unsqueeze(1).float().div_(255)
        left = (part.steps - step) / ((1 - part.flat) * part.steps)
        for group in optimizer.param_groups:
            group["lr"] = part.max_lr * min(1, (step + 1) / part.warm_up) * min(1, max(left, 0.01))
        with torch.autocast("cpu", torch.bfloat16, enabled=has_bfloat16):
            logits = model.train()(x)
        loss = model.loss(logits, y)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT)
        optimizer.step()
        newest = 1 - min(1 - 1 / AVERAGED, (step + 1) / (step + 20))
        mean = {k: _mix(mean[k], v.detach(), newest) for k, v in model.state_dict().items()}
        if (step + 1) % SAVED_EVERY == 0 or step + 1 == part.steps:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save(state | {"mean": mean, "step": step + 1}, path.with_suffix(".part"))
            path.with_suffix(".part").replace(path)
    return mean


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
    parser.add_argument("--joined", type=Path, help="folder of joined-up lines: learn from these")
    options = parser.parse_args()
    pl.seed_everything(SEED, verbose=False)
    data = EMNISTLines(style="both", source="full", text="brown")
    started = time.perf_counter()
    if options.joined:
        model = Recognizer.pretrained("line").model
        model = learn_joined(model, options.joined, has_bfloat16=options.bfloat16)
    else:
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
