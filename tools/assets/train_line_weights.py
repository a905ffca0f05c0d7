"""Train the network for lines that ships with the lab, and write it with its temperature.

    EMNIST_ARCHIVE=gzip.zip python tools/assets/train_line_weights.py

It learns from lines without end: of both styles, written with characters of EMNIST's train part and
of the bundled sample, and of joined-up writing, which `draw_joined_lines.py` has put into a folder
together with the texts. Letters come first: joined-up lines join after a quarter of the steps. Each
batch has lines of all kinds and of about one width, so that BatchNorm sees all of them at once.
This goes on where it was interrupted.

The temperature is chosen on lines with glyphs of the val part, and with text that was kept apart.
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from draw_joined_lines import OUTPUT as JOINED
from tqdm import tqdm
from weights_file import write_weights

from lab_utils import EMNIST, SEED, EMNISTLines, LineCNN, SentenceGenerator
from text_recognizer.data.augment import augment
from text_recognizer.data.emnist_lines import read_glyphs
from text_recognizer.lines.batches import LineMaker
from text_recognizer.lines.glyphs import GlyphPool
from text_recognizer.lines.render import find_used_columns
from text_recognizer.mapping import PADDING
from text_recognizer.models.ctc import greedy_path

WEIGHTS = Path(__file__).resolve().parents[2] / "data" / "line_weights.safetensors"
CHECKPOINT = Path(__file__).resolve().parents[2] / "data" / "line_training.pt"
ARGUMENTS = {"width": 32, "sequence_dim": 192}
STEPS = 7_000
LINES = {"joined": 14, "realistic": 16, "plain": 10}  # in each batch
LETTERS_FIRST = 0.25  # of the steps, without joined-up lines
MAX_LR, MAX_GRADIENT = 3e-3, 5.0
WARM_UP = 0.1  # of the steps
STRETCH = 0.8, 1.75  # of joined-up lines: people write on tablets more widely than fonts
CHOICE = 6  # times as many lines are looked at as are taken, for lines of about one width
SAVED_EVERY = 100  # steps
SAMPLE_SHARE = 0.5  # of the sample's glyphs: about a third of all
VAL_LINES = 400

Batch = tuple[torch.Tensor, torch.Tensor]


def merge_pools() -> GlyphPool:
    """Return the train glyphs of EMNIST and some of the bundled sample's."""
    random = torch.Generator().manual_seed(SEED)
    glyphs = []
    for source, share in (("full", 1.0), ("sample", SAMPLE_SHARE)):
        emnist = EMNIST(source)
        emnist.prepare_data()
        images, labels = read_glyphs(emnist.file, "train")
        kept = torch.rand(len(labels), generator=random) < share
        glyphs.append((images[kept], labels[kept]))
    return GlyphPool(*(torch.cat(both) for both in zip(*glyphs, strict=True)))


class SyntheticLines:
    """Endless lines of one of the lab's styles.

    Parameters
    ----------
    maker : LineMaker
        What draws them.
    """

    def __init__(self, maker: LineMaker):
        self.maker = maker

    def choose(self, step: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers of lines that no other step has, and about how wide they are."""
        numbers = np.arange(step * count, (step + 1) * count)
        return numbers, self.maker.measure_widths(numbers).numpy()

    def draw(self, numbers: np.ndarray, _rng: np.random.Generator) -> Batch:
        """Return lines, uint8 (B, 28, W), and their labels, int64 (B, 32)."""
        images, labels = self.maker.draw(numbers)
        return images[..., : int(find_used_columns(images.unsqueeze(1)).max())], labels


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

    def choose(self, step: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers of lines chosen at random, and how wide they are."""
        numbers = np.random.default_rng([SEED, step]).integers(len(self.widths), size=count)
        return numbers, self.widths[numbers]

    def draw(self, numbers: np.ndarray, rng: np.random.Generator) -> Batch:
        """Return lines, all wider or narrower and some higher or lower, and their labels."""
        lines = np.zeros((len(numbers), self.widths[numbers].max(), 28), np.uint8)
        for line, number in zip(lines, numbers, strict=True):
            file, start = self.starts[number]
            width = self.widths[number]
            line[:width] = self.columns[file][start : start + width]
        x = torch.from_numpy(lines).transpose(1, 2).unsqueeze(1).float()
        width = int(x.shape[-1] * np.exp(rng.uniform(*np.log(STRETCH))))
        x = F.interpolate(x, size=(28, width), mode="bilinear")
        if rng.random() < 0.5:
            height, down = rng.uniform(0.9, 1.1), rng.uniform(-0.08, 0.08)
            change = torch.tensor([[[1, 0, 0], [0, height, down]]]).float()
            grid = F.affine_grid(change.expand(len(x), 2, 3), list(x.shape), align_corners=False)
            x = F.grid_sample(x, grid, align_corners=False)
        x *= torch.from_numpy(rng.uniform(0.7, 1.15, (len(x), 1, 1, 1)).astype(np.float32))
        images = x.clamp(0, 255).to(torch.uint8).squeeze(1)
        return images, torch.from_numpy(self.labels[numbers]).long()


def draw_batch(step: int, kinds: dict[str, SyntheticLines | JoinedLines]) -> Batch:
    """Return lines of all kinds, of about one width: float32 (B, 1, 28, W) and int64 (B, 34)."""
    rng = np.random.default_rng([SEED, step])
    chosen = {name: kind.choose(step, CHOICE * LINES[name]) for name, kind in kinds.items()}
    width = rng.choice(np.concatenate([widths for _, widths in chosen.values()]))
    drawn = []
    for name, (numbers, widths) in chosen.items():
        nearest = np.argsort(abs(widths - width), kind="stable")[: LINES[name]]
        drawn.append(kinds[name].draw(numbers[nearest], rng))
    widest, longest = (max(part.shape[-1] for part in parts) for parts in zip(*drawn, strict=True))
    images = [F.pad(image, (0, widest - image.shape[-1])) for image, _ in drawn]
    labels = [F.pad(label, (0, longest - label.shape[-1]), value=PADDING) for _, label in drawn]
    shifted = augment(torch.cat(images), share=0, generator=torch.Generator().manual_seed(step))
    return shifted.unsqueeze(1).float().div_(255), torch.cat(labels)


def make_kinds(folder: Path) -> dict[str, SyntheticLines | JoinedLines]:
    """Return lines of both styles, with the texts of a folder of joined-up lines."""
    pool = merge_pools()
    sentences = SentenceGenerator.from_text((folder / "text.txt").read_text(encoding="ascii"))
    kinds: dict[str, SyntheticLines | JoinedLines] = {}
    for style in ("realistic", "plain"):
        settings = EMNISTLines(style=style).settings
        kinds[style] = SyntheticLines(LineMaker(settings, "train", pool, sentences))
    return kinds


def find_rate(step: int, steps: int) -> float:
    """Return the learning rate of a step: up in a line, then down along a cosine."""
    warm_up = WARM_UP * steps
    if step < warm_up:
        return MAX_LR * (step + 1) / warm_up
    return MAX_LR * (1 + math.cos(math.pi * (step - warm_up) / (steps - warm_up))) / 2


def train(
    model: LineCNN, folder: Path, steps: int, path: Path, has_bfloat16: bool = False
) -> LineCNN:
    """Train on the lines of all kinds, from a checkpoint if there is one."""
    optimizer = torch.optim.AdamW(model.parameters(), MAX_LR)
    first = 0
    if path.exists():
        saved = torch.load(path, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        first = saved["step"]
    kinds = make_kinds(folder)
    steps_seen = tqdm(range(first, steps), desc="steps", initial=first, total=steps)
    for step in steps_seen:
        if step >= LETTERS_FIRST * steps and "joined" not in kinds:
            kinds["joined"] = JoinedLines(folder)
        x, y = draw_batch(step, kinds)
        for group in optimizer.param_groups:
            group["lr"] = find_rate(step, steps)
        with torch.autocast("cpu", torch.bfloat16, enabled=has_bfloat16):
            logits = model.train()(x)
        loss = model.loss(logits, y)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT)
        optimizer.step()
        if (step + 1) % SAVED_EVERY == 0 or step + 1 == steps:
            steps_seen.set_postfix(loss=f"{loss.item():.3f}", width=x.shape[-1])
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save(state | {"step": step + 1}, path.with_suffix(".part"))
            path.with_suffix(".part").replace(path)
    return model.eval()


@torch.no_grad()
def choose_temperature(model: LineCNN, data: EMNISTLines, text: str) -> float:
    """Return the temperature at which characters are on average as sure as they are often right.

    Counted are lines with glyphs of val whose number of characters was read rightly.
    """
    maker = data.build_maker("val")
    maker.sentences = SentenceGenerator.from_text(text)
    images, labels = maker.draw(np.arange(VAL_LINES))
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
    parser.add_argument(
        "--joined", type=Path, default=JOINED, help="what draw_joined_lines.py drew"
    )
    parser.add_argument("--output", type=Path, default=WEIGHTS)
    parser.add_argument("--bfloat16", action="store_true", help="faster on CPUs that have it")
    options = parser.parse_args()
    pl.seed_everything(SEED, verbose=False)
    data = EMNISTLines(style="both", source="full", text="own")
    started = time.perf_counter()
    model = LineCNN(data.config(), **ARGUMENTS)
    model = train(model, options.joined, options.steps, CHECKPOINT, options.bfloat16)
    text = (options.joined / "val_text.txt").read_text(encoding="ascii")
    described = {
        "model_class": "LineCNN",
        "model_arguments": ARGUMENTS,
        "input_dims": data.dims,
        "mapping": data.mapping,
        "temperature": choose_temperature(model, data, text),
    }
    write_weights(model, described, options.output)
    print(f"{(time.perf_counter() - started) / 60:.0f} minutes")


if __name__ == "__main__":
    main()
