"""How fast the lab is beside another process that trains, and with one core of sixteen.

    python benchmarks/in_company.py            # alone, and beside plain PyTorch that trains
    python benchmarks/in_company.py --quota    # Linux, as root: one core, sixteen threads in sight

Run it without OMP_NUM_THREADS, as students do. What is compared is measured in turn.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[1] / "tools" / "course")]

ROUNDS, BLOCK = 5, 250  # lines drawn at once
SEEN = 16  # cores of the machine that a container with one sees
# What OpenMP makes of nothing said: threads wait in a loop.
TRAINER = """
import torch
import torch.nn.functional as F
from text_recognizer.models import CNN
model = CNN({"input_dims": (1, 28, 28), "mapping": [str(i) for i in range(83)]})
model.to(memory_format=torch.contiguous_format)
optimizer = torch.optim.Adam(model.parameters())
x, y = torch.rand(128, 1, 28, 28), torch.randint(83, (128,))
while True:
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    optimizer.step()
    print("trained", flush=True)
"""


@contextlib.contextmanager
def train_beside() -> Iterator[None]:
    """Let plain PyTorch train a CNN meanwhile, in a process with a thread for each core."""
    environment = {name: value for name, value in os.environ.items() if "OMP" not in name}
    command = [sys.executable, "-c", TRAINER]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        process.stdout.readline()  # it has begun
        drain = subprocess.Popen(["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL)
        try:
            yield
        finally:
            process.kill()
            drain.wait()


def build_tasks() -> dict[str, list[Callable[[], float]]]:
    """Return what is measured, by name: functions that return seconds, the second the plain way."""
    import torch
    import torch.nn.functional as F
    from data_loading import make_loaders, measure_rate
    from line_drawing import OneByOne

    from lab_utils import CNN, EMNISTLines, LineRecognizer, Recognizer, sample_strokes

    plain_loader, loader = make_loaders()
    lines = EMNISTLines(source="sample", text="own")
    maker, length = lines.build_maker("train"), lines.settings.max_length
    one_by_one = OneByOne(maker, lines.mapping, lines.settings.max_overlap)
    recognizer, reader = Recognizer.pretrained(), LineRecognizer.pretrained()
    character, word = sample_strokes("R"), sample_strokes("hand")
    model = CNN({"input_dims": (1, 28, 28), "mapping": lines.mapping})
    optimizer = torch.optim.Adam(model.parameters())
    x, y = torch.rand(128, 1, 28, 28), torch.randint(4, 83, (128,))

    def train() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()

    return {
        "a line drawn": [
            lambda: measure(lambda: maker.draw(np.arange(BLOCK)), 60) / BLOCK,
            lambda: measure(lambda: one_by_one.draw_line(length), 500),
        ],
        "an image loaded": [
            lambda: 1 / measure_rate(loader),
            lambda: 1 / measure_rate(plain_loader),
        ],
        "a character read": [lambda: measure(lambda: recognizer.predict(character), 20)],
        "a word of four letters read": [lambda: measure(lambda: reader.predict_line(word), 5)],
        "a step of training": [lambda: measure(train, 2)],
    }


def measure(act: Callable[[], object], times: int) -> float:
    """Return the seconds that something takes, the mean of some times."""
    start = time.perf_counter()
    for _ in range(times):
        act()
    return (time.perf_counter() - start) / times


def measure_all(tasks: dict[str, list[Callable[[], float]]]) -> dict[str, list[float]]:
    """Return the seconds of each."""
    return {name: [act() for act in acts] for name, acts in tasks.items()}


def serve(stand_in: str) -> None:
    """Measure all once for each line that comes in, and answer with a line.

    With a stand-in, PyTorch has counted the cores of a machine of `SEEN`, as it does where it is
    imported before the lab. "lab" lets the lab choose threads then, as in a notebook.
    """
    import torch

    from text_recognizer import threads

    if stand_in != "one":
        torch.set_num_threads(SEEN)
    if stand_in == "lab":
        os.environ.pop("OMP_NUM_THREADS")  # PyTorch has read it
        threads._count_seen_cores = lambda: SEEN
        count_cores = threads.count_cores
        # Control groups of version 1, which the lab does not read, do not tell of the quota.
        threads.count_cores = lambda: min(1.0, count_cores())
        threads.limit_threads()
    tasks = build_tasks()
    measure_all(tasks)
    print(torch.get_num_threads(), flush=True)
    for _ in sys.stdin:
        print(json.dumps(measure_all(tasks)), flush=True)


@contextlib.contextmanager
def start_server(joining: list, stand_in: str, threads: int) -> Iterator[Callable[[], dict]]:
    """Start a process that measures when it is asked; yield what asks."""
    command = [*joining, sys.executable, HERE, "--serve", stand_in]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        print(f"{stand_in}: {process.stdout.readline().strip()} threads", flush=True)

        def ask() -> dict:
            process.stdin.write("\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield ask
        process.stdin.close()


def compare_quota() -> None:
    """Print seconds under a quota of one core: with one thread, as the lab does, with sixteen."""
    from quota import JOIN, make_quota

    with contextlib.ExitStack() as stack:
        joining = [*JOIN, stack.enter_context(make_quota())]
        servers = {
            kind: stack.enter_context(start_server(joining, kind, threads))
            for kind, threads in (("one", 1), ("lab", SEEN), ("sixteen", SEEN))
        }
        rounds = [{kind: ask() for kind, ask in servers.items()} for _ in range(ROUNDS)]
    print("| what | one thread | the lab | 16 threads | the lab / one |\n|---|---|---|---|---|")
    for name in rounds[0]["one"]:
        cells = [show([each[kind][name][0] for each in rounds]) for kind in servers]
        ratios = [each["lab"][name][0] / each["one"][name][0] for each in rounds]
        print(f"| {name} | {' | '.join(cells)} | {statistics.median(ratios):.2f} times |")


def compare_company() -> None:
    """Print seconds alone and beside a process that trains."""
    from text_recognizer.threads import limit_threads

    limit_threads()
    tasks = build_tasks()
    measure_all(tasks)
    rounds = []
    for _ in range(ROUNDS):
        alone = measure_all(tasks)
        with train_beside():
            rounds.append({"alone": alone, "beside": measure_all(tasks)})
    print("| what | alone | beside a process that trains |\n|---|---|---|")
    for name, acts in tasks.items():
        cells = []
        for kind in rounds[0]:
            found = [each[kind][name] for each in rounds]
            cells.append(show([seconds[0] for seconds in found]))
            if len(acts) > 1:
                ratio = statistics.median(plain / ours for ours, plain in found)
                cells[-1] += f", **{ratio:.1f} times** as fast as the plain way"
        print(f"| {name} | {' | '.join(cells)} |")


def show(seconds: list[float]) -> str:
    """Return the median of some times with its unit, as a rate where it is very short."""
    median = statistics.median(seconds)
    return f"{median * 1000:.1f} ms" if median > 1e-3 else f"{1 / median:,.0f} per second"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quota", action="store_true", help="one core, sixteen threads in sight")
    parser.add_argument("--serve", choices=["one", "lab", "sixteen"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
    elif options.quota:
        compare_quota()
    else:
        compare_company()


if __name__ == "__main__":
    main()
