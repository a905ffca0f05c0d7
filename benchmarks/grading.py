"""How long a class takes to grade, compared with running the notebooks alone.

    python benchmarks/grading.py               # --count 30

One notebook's own time is that of the solved homework in a fresh kernel, on one core. Grading it
`count` times, as many at once as there are cores, would at best take count * time / cores.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from lab_grade.grader import grade

REFERENCE = Path(__file__).resolve().parents[1] / "labs" / "instructor" / "07_homework_resnet.ipynb"


def time_notebook(notebook: nbformat.NotebookNode, folder: str) -> float:
    """Return the seconds that a notebook takes, the start of its kernel included."""
    start = time.perf_counter()
    NotebookClient(notebook, timeout=900, resources={"metadata": {"path": folder}}).execute()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=30)
    count, cores = parser.parse_args().count, os.cpu_count()
    os.environ |= {"OMP_NUM_THREADS": "1", "LAB_OFFLINE": "1"}
    notebook = nbformat.read(REFERENCE, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LAB_DATA_DIR"] = folder
        alone = min(time_notebook(nbformat.from_dict(notebook), folder) for _ in range(2))
        submissions = Path(folder) / "submissions"
        submissions.mkdir()
        for i in range(count):
            notebook.cells[-1].source += f"\n<!-- {i} -->"
            nbformat.write(notebook, submissions / f"student{i:02}.ipynb")
        start = time.perf_counter()
        results = grade(REFERENCE, submissions, Path(folder) / "grades")
        graded = time.perf_counter() - start
    best = count * alone / cores
    right = sum(student["points"] == results["max_points"] for student in results["students"])
    print(f"one notebook alone, on one core: {alone:.1f} s")
    print(f"{count} submissions on {cores} cores: {graded:.0f} s, {right} with all points")
    print(f"{graded / best:.2f} times {count} x {alone:.1f} s / {cores} = {best:.0f} s")


if __name__ == "__main__":
    main()
