"""How fast a shared page answers, beside onnxruntime-web, and whether its answers are PyTorch's.

    python benchmarks/share_latency.py            # --count 1000: test images, and drawings

In headless Chromium on one core: the shipped network and the course's CNN, trained for a moment.
An answer is the time from strokes to the five likeliest characters, without what Chromium needs to
paint them. onnxruntime-web runs the same network by WebAssembly, on one thread; it comes from npm
(into build/npm), and the package onnx writes the network for it: without these it is left out.
"""

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch

from lab_utils import CNN, EMNIST, SEED, BaseLitModel, Recognizer, prepare, share

HERE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(HERE / "tests" / "browser"))

from lab import chromium, compare_answers, vary_drawings  # noqa: E402

TIMED, WARM_UP = 100, 10
NPM = HERE / "build" / "npm"
RUNTIME = NPM / "node_modules" / "onnxruntime-web" / "dist"
TIME = """([inputs, warmUp]) => {
  const time = (run) => inputs.map((input) => {
    const start = performance.now();
    run(input);
    return performance.now() - start;
  }).slice(warmUp);
  const images = new Map(inputs.map((strokes) => [strokes, reader.prepare(strokes)]));
  return [time((strokes) => reader.probabilities(images.get(strokes))),
    time((strokes) => reader.read(strokes))];
}"""
TIME_RUNTIME = """async ([images, warmUp]) => {
  const ort = await import("/ort.wasm.min.mjs");
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = "/";
  const session = await ort.InferenceSession.create("/network.onnx");
  const times = [];
  for (const image of images) {
    const x = new ort.Tensor("float32", Float32Array.from(image, (v) => v / 255), [1, 1, 28, 28]);
    const start = performance.now();
    await session.run({ x });
    times.push(performance.now() - start);
  }
  return times.slice(warmUp);
}"""


def train_cnn(data: EMNIST) -> Recognizer:
    """Return the course's CNN after a few batches, which is sure enough of its answers."""
    pl.seed_everything(SEED, verbose=False)
    model = CNN(data.config())
    trainer = pl.Trainer(
        max_epochs=1, limit_train_batches=60, limit_val_batches=0, logger=False,
        enable_checkpointing=False, enable_model_summary=False, enable_progress_bar=False,
    )  # fmt: skip
    trainer.fit(BaseLitModel(model=model, one_cycle_max_lr=3e-3), datamodule=data)
    return Recognizer(model.eval(), data.mapping)


def find_runtime(folder: Path, model: torch.nn.Module) -> str:
    """Write the network for onnxruntime-web, fetched if need be; return why not, or nothing."""
    if shutil.which("npm") is None:
        return "there is no npm"
    try:
        import onnx  # noqa: F401
    except ImportError:
        return "there is no onnx: pip install onnx"
    if not RUNTIME.exists():
        install = ["npm", "install", "--silent", "--prefix", str(NPM), "onnxruntime-web"]
        if subprocess.run(install).returncode:
            return "npm could not fetch onnxruntime-web"
    names = {"input_names": ["x"], "output_names": ["y"]}
    with contextlib.redirect_stdout(None):
        torch.onnx.export(
            model, (torch.zeros(1, 1, 28, 28),), folder / "network.onnx", dynamo=False, **names
        )
    return ""


def time_runtime(browser, folder: Path, images: torch.Tensor) -> list[float]:
    """Return the milliseconds of each answer by onnxruntime-web, in a page without a server."""
    page = browser.new_page()

    def answer(route):
        name = route.request.url.rsplit("/", 1)[-1]
        place = folder if name == "network.onnx" else RUNTIME
        kinds = {".mjs": "text/javascript", ".wasm": "application/wasm"}
        if name:
            path = place / name
            route.fulfill(path=path, content_type=kinds.get(path.suffix, "text/plain"))
        else:
            route.fulfill(body="<!DOCTYPE html>", content_type="text/html")

    page.route("**/*", answer)
    page.goto("http://localhost/")
    times = page.evaluate(TIME_RUNTIME, [images.flatten(1).tolist(), WARM_UP])
    page.close()
    return times


def describe(times: list[float]) -> str:
    """Return the least, the median and the 95th percentile, in words."""
    least, median, p95 = np.percentile(times, [0, 50, 95])
    return f"median {median:.1f} ms (least {least:.1f}), 95% within {p95:.1f} ms"


def measure(name: str, recognizer: Recognizer, images, drawings, prepared) -> None:
    """Print what a shared page of a recogniser does."""
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        file = share(recognizer, Path(folder) / "reader.html")
        page = browser.new_page()
        page.goto(file.as_uri())
        page.wait_for_selector("#steps li", state="attached")
        alone, whole = page.evaluate(TIME, [drawings[: TIMED + WARM_UP], WARM_UP])
        print(f"{name}: {file.stat().st_size / 1e6:.2f} MB")
        print(f"  an answer: {describe(whole)}; the network alone: {describe(alone)}")
        missing = find_runtime(Path(folder), recognizer.model)
        times = [] if missing else time_runtime(browser, Path(folder), prepared[: len(alone)])
        print(f"  onnxruntime-web: {f'left out, as {missing}' if missing else describe(times)}")
        for what, seen in (("test images", images), ("drawings", prepared)):
            difference, other = compare_answers(page, recognizer, seen)
            print(
                f"  {len(seen)} {what}: {difference:.5f} off at most, {other} other first answers"
            )
        found = page.evaluate("all => all.map(d => [...reader.prepare(d)])", drawings)
        off = (torch.tensor(found) - prepared.flatten(1).int()).abs().amax(1)
        print(f"  {len(drawings)} drawings prepared: {int(off.max())} grey levels off at most")


def main() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # and so for Chromium
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=1000, help="test images, and drawings")
    count = parser.parse_args().count
    data = EMNIST(source="sample")
    data.setup()
    images = data.data_test.images[:: len(data.data_test) // count][:count]
    drawings = vary_drawings(count)
    prepared = torch.stack([prepare(drawing) for drawing in drawings])
    shipped = Recognizer.pretrained(equal_classes=True)
    measure("shipped network", shipped, images, drawings, prepared)
    measure("CNN", train_cnn(data), images, drawings, prepared)


if __name__ == "__main__":
    main()
