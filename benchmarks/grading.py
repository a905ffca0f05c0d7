"""How long a class takes to grade: how much is lost between its submissions' own times.

    python benchmarks/grading.py                  # 100 notebooks of one check, on a Dask cluster
    python benchmarks/grading.py --count 1000     # a large class
    python benchmarks/grading.py --local          # without Dask
    python benchmarks/grading.py --homework --count 4

The cluster is of this machine, a worker for each core. A submission's own time is what its cells
and checks take, with the start of its kernel. At best, a class takes their sum divided by the
workers. CPU seconds are those of all processes.
"""

import argparse
import os
import resource
import tempfile
import threading
import time
from contextlib import nullcontext
from pathlib import Path

import nbformat
import psutil
from nbformat.v4 import new_code_cell, new_notebook

from lab_grade import grader, sandbox

HOMEWORK = Path(__file__).resolve().parents[1] / "labs" / "instructor" / "07_homework_resnet.ipynb"
ANSWER = "def area(width, height):\n    ### BEGIN SOLUTION\n    return {}\n    ### END SOLUTION"
CHECK = "# CHECK q1 (1 point)\nassert area(2, 3) == 6"


def write_class(folder: Path, count: int, homework: bool) -> Path:
    """Write a reference and as many submissions, no two the same; return the reference."""
    path = folder / "reference.ipynb"
    cells = [new_code_cell("import math"), new_code_cell(ANSWER.format("width * height"))]
    notebook = new_notebook(cells=[*cells, new_code_cell(CHECK)])
    if homework:
        notebook = nbformat.read(HOMEWORK, as_version=4)
    nbformat.write(notebook, path)
    (folder / "submissions").mkdir()
    for i in range(count):
        if not homework:
            own = f"height * width + {i % 2}"
            notebook.cells[1].source = f"def area(width, height):\n    return {own}"
        notebook.cells[-1].source += f"\n# {i}"
        notebook.cells[0].source += f"  # {i}"
        nbformat.write(notebook, folder / "submissions" / f"student{i:04}.ipynb")
    return path


class Processes:
    """The CPU seconds of this process and of all that it starts and that live for a while."""

    def __init__(self):
        self.used: dict[tuple[int, float], float] = {}
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()

    def watch(self) -> None:
        while not self.ended.wait(0.2):
            for process in psutil.Process().children(recursive=True):
                try:
                    key = process.pid, process.create_time()
                    self.used[key] = sum(process.cpu_times()[:2])
                except psutil.Error:
                    continue

    def count(self) -> float:
        self.ended.set()
        self.thread.join()
        return sum(self.used.values()) + time.process_time()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--local", action="store_true", help="without Dask")
    parser.add_argument("--homework", action="store_true", help="the solved homework")
    options = parser.parse_args()
    pages, write_reports = [], grader.write_reports
    begun, run_all = [], grader.Grader.run_all

    def write_and_time(*arguments):
        start = time.perf_counter()
        write_reports(*arguments)
        pages.append(time.perf_counter() - start)

    def run_and_time(*arguments):
        begun.append(time.perf_counter())
        return run_all(*arguments)

    grader.write_reports = write_and_time
    grader.Grader.run_all = run_and_time
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        path = write_class(folder, options.count, options.homework)
        cluster = nullcontext()
        if not options.local:
            from distributed import LocalCluster

            sizes = {"n_workers": options.workers, "threads_per_worker": 1}
            cluster = LocalCluster(**sizes, dashboard_address=None, local_directory=name)
        with cluster as opened:
            processes, start = Processes(), time.perf_counter()
            results = grader.grade(
                path,
                folder / "submissions",
                folder / "grades",
                options.workers,
                sandbox=sandbox.is_available(),
                scheduler=opened and opened.scheduler_address,
            )
            end, cpu = time.perf_counter(), processes.count()
    students = results["students"]
    own = sum(student["seconds"] for student in students)
    best = own / options.workers
    passed = sum(student["points"] == results["max_points"] for student in students)
    print(f"{options.count} submissions on {options.workers} workers, {passed} with all points")
    wall = end - begun[1]  # the first time, it was the reference
    print(f"wall {wall:.0f} s, {wall / best:.3f} times {own:.0f} s / {options.workers}")
    print(f"before that, {begun[1] - start:.0f} s for the reference and for reading the class")
    if options.homework:  # small ones end before they are counted
        print(f"{cpu / (options.count + 2):.1f} CPU seconds each, the reference's two included")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{memory:.0f} MiB for this process, {pages[0]:.1f} s for the pages")


if __name__ == "__main__":
    main()
