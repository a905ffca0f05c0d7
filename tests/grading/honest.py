"""Honest students, who must not lose a point."""

import json

import nbformat
from cases import ALL, case
from reference import RIGHT


@case("honest", ALL, "")
def just_solved(student):
    """Solve everything, and nothing else."""
    student.solve()


@case("honest", ALL, "")
def talkative(student):
    """Warn, print, write to stderr, show bars, and display thousands of things."""
    student.solve()
    student.start_with(
        """
        import sys, warnings
        import logging
        from tqdm import tqdm
        from tqdm.auto import tqdm as auto

        warnings.warn('the learning rate is high')
        logging.warning('no GPU')
        print('only a note', file=sys.stderr)
        for _ in tqdm(range(100)):
            pass
        for _ in auto(range(100)):
            pass
        for i in range(1200):
            display(i)
        """
    )
    student.answer(
        "q1",
        "import warnings\n\n\n"
        + RIGHT["q1"].replace(
            "    return", "    warnings.warn('large')\n    print('called')\n    return"
        ),
    )


@case("honest", ALL, "")
def with_plots(student):
    """Draw 25 figures and print 2 MB in an answer, with magics, and wait a little."""
    student.solve()
    student.start_with(
        """
        %matplotlib inline
        %load_ext autoreload
        %autoreload 2
        import time
        import matplotlib.pyplot as plt

        plt.rcParams['figure.dpi'] = 40
        plt.rcParams['figure.max_open_warning'] = 0
        plt.plot(np.arange(9))
        plt.show()
        %time time.sleep(0.1)
        """
    )
    student.answer(
        "q2",
        """
        for epoch in range(25):
            print('epoch', epoch, 'loss' * 20_000)
            plt.figure(figsize=(2, 2)).add_axes([0, 0, 1, 1], frameon=False).plot([1, epoch])
        plt.show()
        weights = 208
        """,
    )
    student.add("plt.imshow(np.full((3, 3), 1 / 9))\nplt.title('blur');", before="q4")


@case("honest", ALL, "file")
def from_colab(student):
    """Come from Colab: its metadata, installed packages, its drive."""
    student.solve()
    student.notebook.metadata = {
        "accelerator": "GPU",
        "colab": {"gpuType": "T4", "provenance": [{"file_id": "1x", "timestamp": 1}]},
        "kernelspec": {"name": "python3", "display_name": "Python 3"},
    }
    for i, cell in enumerate(student.cells):
        cell.metadata = {"id": f"x{i}", "outputId": "y", "colab": {"base_uri": "https://localhost"}}
    student.start_with(
        """
        !pip install -q no-such-package-of-ours
        %pip install x
        try:
            from google.colab import drive

            drive.mount('/content/drive')
        except ImportError:
            print('not on Colab')
        """
    )
    student.answer(
        "q1", "# on Colab\nfrom google.colab import drive\n\ndrive.mount('/x')\n" + RIGHT["q1"]
    )
    student.answer("q3", "%matplotlib widget\n" + RIGHT["q3"])


@case("honest", ALL, "")
def another_kernel(student):
    """Name a kernel that only the student has."""
    student.solve()
    student.notebook.metadata.kernelspec = {
        "name": "conda-env-ml-py",
        "display_name": "Python [conda env:ml] *",
        "language": "python",
    }
    student.notebook.metadata.language_info = {"name": "python", "version": "3.7.4"}


@case("honest", ALL, "")
def an_old_tool(student):
    """Write format 4.2 without ids and tags, with Windows line ends and Python 3.7's kernel."""
    student.solve()
    student.notebook.metadata.kernelspec = {"name": "python37", "display_name": "py37"}
    notebook = json.loads(nbformat.writes(student.notebook)) | {"nbformat_minor": 2}
    for cell in notebook["cells"]:
        del cell["id"]
        cell["metadata"] = {}
        cell["source"] = "".join(cell["source"]).replace("\n", "\r\n")
    return json.dumps(notebook, indent=1).replace("\n", "\r\n")


@case("honest", ALL, "")
def rearranged(student):
    """Move given cells, add own ones, split answers, and write helpers and imports again."""
    student.solve()
    cells = student.cells
    cells[1].source = (
        "import math\nimport random\n\nimport numpy\nimport numpy as np\n\n\n"
        "def close(a, b, tolerance=1e-6):\n    return -tolerance <= a - b <= tolerance"
    )
    cells[1], cells[2] = cells[2], cells[1]
    student.add("assert area(1, 1) == 1  # my own test\nnp.random.seed(0)", before="q1")
    student.answer("q2", "kernels = 8")
    student.add("bias = 1", before="q2")
    student.add("weights = kernels * (25 + bias)", before="q2")
    student.add("def middle(images):\n    return images - images.mean()", before="q5")
    student.add("def normalized(images):\n    return middle(images) / images.std()", before="q5")
    student.add("sum, max, len, all = 0, 3, 2, True  # unlucky, but no mistake", before="q4")
    student.end_with("""
        # what I tried
        for n in range(3):
            print(area(n, n))
        """)


@case("honest", ALL, "")
def other_numbers(student):
    """Answer with numbers of other kinds, and with names of built-in functions in use."""
    student.solve("q2", "q5")
    student.start_with("from math import *\nfrom numpy import *")
    student.answer("q1", "def area(*sides):\n    return np.prod(sides)")
    student.answer(
        "q3",
        """
        from dataclasses import dataclass
        from fractions import Fraction


        @dataclass
        class Mean:
            total: int = 0
            count: int = 0

            def add(self, value):
                self.total, self.count = self.total + value, self.count + 1

            def value(self):
                return Fraction(self.total, self.count)
        """,
    )
    student.answer("q4", "blur = np.ones((3, 3), dtype=np.float32) / np.float32(9)")
    student.add("sum, max, len, all = 0, 3, 2, True  # unlucky, but no mistake", before="q4")


@case("honest", ALL, "")
def large_outputs(student):
    """Keep 2 MB of outputs, of which an answer is one that failed at first."""
    student.solve()
    output = nbformat.v4.new_output("stream", text="epoch\n" * 350_000)
    student.cells[student.place("q2") - 1].outputs = [output]
    student.cells[1].outputs = [nbformat.v4.new_output("error", ename="NameError", evalue="np")]


@case("honest", ALL, "")
def with_a_korean_name(student):
    """Have a name and own words in Korean, and blanks."""
    student.solve()
    student.start_with("이름 = '이지은'\nprint(이름, '😀')")


@case("honest", ALL, "")
def with_own_files(student):
    """Import an own module and read an own table, which the instructor allows."""
    student.solve()
    student.files = {"my_tools.py": "def times(a, b):\n    return a * b\n", "sizes.csv": "28,28\n"}
    student.start_with("""
        import my_tools

        sizes = np.loadtxt('sizes.csv', delimiter=',')
        """)
    student.answer("q1", "def area(width, height):\n    return my_tools.times(width, height)")


@case("honest", ALL, "")
def odd_line_ends(student):
    """Paste what is no end of a line to Python: from slides, editors and terminals."""
    student.solve()
    for question, mark in zip(RIGHT, "\u2028\x0b\x0c\x85\x1c", strict=True):
        student.answer(question, f"# from the{mark}slides\ntext = 'a{mark}b'\n{RIGHT[question]}")
    student.answer("q1", "\x0c" + RIGHT["q1"] + f"\n\n\nauthor = {student.name!r}")


@case("honest", ALL, "file")
def cells_that_became_text(student):
    """Turn imports and answers into Markdown or Raw by a stray key."""
    student.solve()
    for cell, kind in [(1, "raw"), (student.place("q1") - 1, "markdown")]:
        student.cells[cell].cell_type = kind
        del student.cells[cell]["outputs"], student.cells[cell]["execution_count"]


@case("honest", ALL, "")
def waits_for_somebody(student):
    """Ask for a name, a key and a window, before what else stands in the cell."""
    student.solve()
    student.cells[1].source = "name = input('Your name: ')\n" + student.cells[1].source
    student.start_with(
        """
        import getpass
        import matplotlib.pyplot as plt
        key = getpass.getpass('key: ')
        plt.switch_backend('TkAgg')
        import no_such_package_of_ours
        kernels = 8
        """
    )
    student.answer("q2", "n = int(input('n? '))\nweights = kernels * 26")


@case("honest", ALL, "file")
def without_given_cells(student):
    """Delete the imports, which have run already."""
    student.solve()
    del student.cells[1]


@case("honest", ALL, "file")
def installs_in_all_forms(student):
    """Install packages in each of IPython's ways, next to what is needed."""
    student.solve()
    for source in (
        "pip install no-such-package-of-ours",
        "%%bash\nmkdir -p data\npip install no-such-package-of-ours",
        "log = !pip install no-such-package-of-ours\nfactor = 1",
        "!cd . && python -m pip -q install no-such-package-of-ours",
    ):
        student.start_with(source)


@case("honest", ALL, "file")
def copies_beside_the_solved_one(student):
    """Leave the notebook as it was handed out beside the solved one."""
    student.files = {"homework (1).ipynb": nbformat.writes(student.notebook)}
    student.files["Untitled.ipynb"] = '{"cells": []}'
    student.solve()


@case("honest", "q1 q3", "")
def half_done(student):
    """Solve some, leave one empty and get the others wrong."""
    student.solve("q1", "q3")
    student.fail("q2", "q5")


@case("honest", "q1 q2 q3 q4", "running")
def a_helper_below(student):
    """Define a helper below the answer that uses it, which ran in another order."""
    student.solve()
    student.answer("q5", "def normalized(images):\n    return centered(images) / images.std()")
    student.end_with("def centered(images):\n    return images - images.mean()")
