"""A small assignment without PyTorch, and students who work on its released notebook."""

import json
import textwrap
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

NAME = "homework.ipynb"
GIVEN = '''import math

import numpy as np


def close(a, b, tolerance=1e-6):
    """Tell whether two numbers are nearly the same."""
    return abs(float(a) - float(b)) <= tolerance'''
SIDE = """side = 28  # of an image, in pixels


def pixels(height, width=side):
    return height * width"""

# Of each question: the cell with its solution, the visible check and the hidden ones.
QUESTIONS = {
    "q1": [
        '''def area(width, height):
    """Return the pixels of an image."""
    ### BEGIN SOLUTION
    return width * height
    ### END SOLUTION''',
        """# CHECK q1 (2 points)
assert area(2, 3) == 6, f"area(2, 3) is {area(2, 3)}, should be 6"
assert close(area(28, 28), 784), "an image of 28 x 28 has 784 pixels"
print("q1: passed")""",
    ],
    "q2": [
        """### BEGIN SOLUTION
weights = (5 * 5 + 1) * 8
### STUDENT
# weights = None  # of a convolution: 8 kernels of 5 x 5, one bias each
### END SOLUTION""",
        """# CHECK q2 (2 points)
assert weights == 208, f"{weights} weights: did you count the biases?"
print("q2: passed")""",
        """# CHECK q2 hidden (1 point)
assert isinstance(weights, int), "the-hidden-check-of-q2"
assert abs(weights - 208) < 1 and weights > 200""",
    ],
    "q3": [
        '''class Mean:
    """The mean of all numbers so far."""

    def __init__(self):
        self.total, self.count = 0.0, 0

    def add(self, value):
        ### BEGIN SOLUTION
        self.total += value
        self.count += 1
        ### END SOLUTION

    def value(self):
        ### BEGIN SOLUTION
        return self.total / self.count
        ### END SOLUTION''',
        """# CHECK q3 (3 points)
mean = Mean()
for number in (1, 2, 6):
    mean.add(number)
assert close(mean.value(), 3), f"the mean of 1, 2 and 6 is {mean.value()}, should be 3"
print("q3: passed")""",
        """# CHECK q3 hidden (2 points)
first, second = Mean(), Mean()
first.add(4)
second.add(-1)
assert [first.value(), second.value()] == [4, -1], "the-hidden-check-of-q3\"""",
    ],
    "q4": [
        """### BEGIN SOLUTION
blur = np.full((3, 3), 1 / 9)
### STUDENT
# blur = None  # an array of 3 x 3 that takes the mean of nine pixels
### END SOLUTION""",
        """# CHECK q4 (2 points)
assert isinstance(blur, np.ndarray), "make an array"
assert tuple(blur.shape) == (3, 3), f"the shape is {tuple(blur.shape)}, should be (3, 3)"
assert len(blur) == 3 and all(blur.flatten() > 0) and blur.max() < 0.2
assert np.allclose(blur, 1 / 9), "each weight is a ninth"
print("q4: passed")""",
    ],
    "q5": [
        '''def normalized(images):
    """Return images with mean 0 and standard deviation 1."""
    ### BEGIN SOLUTION
    return (images - images.mean()) / images.std()
    ### END SOLUTION''',
        """# CHECK q5 (1 point)
images = np.random.default_rng(0).random((4, 5, 5))
result = normalized(images)
assert np.allclose(result.mean(), 0), "the mean should be 0"
assert np.linalg.norm(result.std() - 1) < 1e-6, "the standard deviation should be 1"
assert math.isfinite(result.sum())
print("q5: passed")""",
    ],
}
# How students solve them: right, and not word for word as the reference.
RIGHT = {
    "q1": "def area(width, height):\n    pixels = height * width\n    return pixels",
    "q2": "weights = 8 * 25 + 8",
    "q3": """class Mean:
    def __init__(self):
        self.numbers = []

    def add(self, value):
        self.numbers.append(value)

    def value(self):
        return sum(self.numbers) / len(self.numbers)""",
    "q4": "blur = np.ones((3, 3)) / 9",
    "q5": "def normalized(images):\n    images = images - np.mean(images)\n"
    "    return images / np.std(images)",
}
WRONG = {
    "q1": "def area(width, height):\n    return width + height",
    "q2": "weights = 200",
    "q3": """class Mean:
    def __init__(self):
        self.last = 0

    def add(self, value):
        self.last = value

    def value(self):
        return self.last + 0.5""",
    "q4": "blur = np.zeros((3, 3))",
    "q5": "def normalized(images):\n    return images * 2 + 1",
}
CHECKS = {question: cells[1] for question, cells in QUESTIONS.items()}


def reference() -> nbformat.NotebookNode:
    """Return the instructor's notebook."""
    cells = [
        new_markdown_cell("# Counting pixels\nFive questions, 13 points."),
        new_code_cell(GIVEN),
        new_code_cell(SIDE),
    ]
    for question, (answer, *checks) in QUESTIONS.items():
        cells += [new_markdown_cell(f"## {question}"), new_code_cell(answer)]
        tags = {"tags": ["raises-exception", "nbval-ignore-output"]}
        cells += [new_code_cell(check, metadata=tags) for check in checks]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


class Student:
    """A student at work: the released notebook's cells, and the files next to it.

    Parameters
    ----------
    released : NotebookNode
        The notebook that students get; it is not changed.
    name : str
        Of the student; it stands in each answer, so that no two are copies.
    """

    def __init__(self, released: nbformat.NotebookNode, name: str):
        self.notebook = nbformat.from_dict(json.loads(json.dumps(released)))
        self.name = name
        self.files: dict[str, str] = {}
        self._checks = {
            question: cell
            for question, source in CHECKS.items()
            for cell in self.cells
            if cell.source == source
        }

    @property
    def cells(self) -> list[nbformat.NotebookNode]:
        return self.notebook.cells

    def place(self, question: str) -> int:
        """Return the index of a question's check."""
        check = self._checks[question]
        return next(i for i, cell in enumerate(self.cells) if cell is check)

    def answer(self, question: str, source: str) -> None:
        """Write the answer to a question."""
        self.cells[self.place(question) - 1].source = _code(source)

    def solve(self, *questions: str) -> None:
        """Answer questions rightly: all, if none is named."""
        for question in questions or QUESTIONS:
            self.answer(question, f"{RIGHT[question]}\n\n\nauthor = {self.name!r}")

    def fail(self, *questions: str) -> None:
        """Answer questions with code that runs and is wrong: all, if none is named."""
        for question in questions or QUESTIONS:
            self.answer(question, f"{WRONG[question]}\n\n\nauthor = {self.name!r}")

    def add(self, source: str, before: str = "q1") -> None:
        """Add a code cell before the check of a question, after its answer."""
        self.cells.insert(self.place(before), new_code_cell(_code(source)))

    def start_with(self, source: str) -> None:
        """Add a code cell after the given ones."""
        self.cells.insert(3, new_code_cell(_code(source)))

    def end_with(self, source: str) -> None:
        """Add a code cell after all others."""
        self.cells.append(new_code_cell(_code(source)))

    def edit_check(self, question: str, old: str, new: str) -> None:
        """Change the text of a check."""
        cell = self.cells[self.place(question)]
        assert old in cell.source
        cell.source = cell.source.replace(old, new)

    def hand_in(self, submissions: Path, content: str | None) -> None:
        """Write the notebook, or what is handed in for one, next to those of the others."""
        content = nbformat.writes(self.notebook) if content is None else content
        path = submissions / f"{self.name}.ipynb"
        if self.files:
            path = submissions / self.name / NAME
            path.parent.mkdir()
            for name, text in self.files.items():
                (path.parent / name).parent.mkdir(parents=True, exist_ok=True)
                (path.parent / name).write_text(text)
        path.write_bytes(content.encode())


def _code(source: str) -> str:
    return textwrap.dedent(source).strip("\n")
