"""Notebooks in trouble: loops, deaths, memory, output, a wrecked environment."""

import nbformat
from cases import ALL, LEFT, NOTHING, case
from reference import CHECKS, QUESTIONS, RIGHT, reference


@case("bad", ALL, None)
def notebook_of_version_3(student):
    """Use a format from 2014, as old tools write it."""
    student.solve()
    return nbformat.writes(nbformat.convert(student.notebook, 3), version=nbformat.NO_CONVERT)


@case("bad", NOTHING, "file")
def r_code(student):
    """Write it in another language."""
    for question in QUESTIONS:
        student.answer(question, f"{question} <- function(x) {{ x %>% sum() }}\nlibrary(dplyr)")
    student.notebook.metadata.kernelspec = {"name": "ir", "display_name": "R", "language": "R"}


@case("bad", ALL, "tampering")
def colab_without_checks(student):
    """Copy only the answers into a new notebook on Colab."""
    student.solve()
    student.notebook.cells = [
        cell
        for cell in student.cells
        if cell.cell_type == "code" and cell.source not in CHECKS.values()
    ]
    kernel = {"name": "python3", "display_name": "Python 3"}
    student.notebook.metadata = {"colab": {"provenance": []}, "kernelspec": kernel}


@case("bad", "q1 q4 q5", None)
def broken_cells(student):
    """Leave a syntax error in one answer and a package that nobody has in another."""
    student.solve()
    student.answer("q2", "weights = (5 * 5 + 1) * * 8")
    student.answer("q3", "import no_such_package\n\n\n" + RIGHT["q3"])


@case("bad", "q2 q4 q5", None)
def errors_that_cannot_be_shown(student):
    """Raise errors whose texts fail, are huge, or hold what no file can."""
    student.solve()
    student.start_with("raise ValueError('\\ud800 \\x00 \\x1b[31m' + 'x' * 10**6)")
    student.answer(
        "q1",
        """
        class Untold(Exception):
            def __str__(self):
                raise self


        def area(width, height):
            raise Untold
        """,
    )
    student.answer(
        "q3",
        """
        class Mean:
            def add(self, value):
                raise ValueError('\\ud800 \\x00 \\x1b[31m' + 'x' * 10**6)
        """,
    )
    student.end_with("print('\\ud800')")


@case("bad", ALL, None)
def code_that_is_hard_to_read(student):
    """Write lines that parsers and patterns need long for, and nest deeply."""
    student.solve()
    student.start_with("!" + "python" * 2_000)
    student.add("x = " + "+".join("1" * 10_000), before="q2")
    student.add("x = " + "(" * 500 + ")" * 500, before="q3")


@case("bad", ALL, "running")
def endless_loops(student):
    """Loop for ever in own cells, one of them swallowing the interrupt."""
    student.solve()
    student.add("while True:\n    pass", before="q2")
    student.add(
        """
        while True:
            try:
                while True:
                    pass
            except:
                pass
        """,
        before="q3",
    )


@case("bad", "q2 q3 q4", None)
def endless_loops_in_functions(student):
    """Loop for ever where a check calls, one of them swallowing the interrupt."""
    student.solve("q2", "q3", "q4")
    student.answer(
        "q1",
        """
        def area(width, height):
            while True:
                width += 1
        """,
    )
    student.answer(
        "q5",
        """
        def normalized(images):
            while True:
                try:
                    while True:
                        pass
                except BaseException:
                    pass
        """,
    )


@case("bad", "q2 q3 q4 q5", "running")
def endless_output(student):
    """Print for ever, in an own cell and where a check calls."""
    student.solve()
    student.add("while True:\n    print('x' * 1000)", before="q2")
    student.answer(
        "q1",
        """
        def area(width, height):
            while True:
                print('x' * 10**6)
        """,
    )


@case("bad", "q3 q4 q5", "running")
def kernel_deaths(student):
    """End the kernel: in an own cell, in an answer, and where a check calls."""
    student.solve()
    student.answer(
        "q1",
        """
        import os


        def area(width, height):
            os._exit(0)
        """,
    )
    student.answer(
        "q2",
        """
        import os, signal
        os.kill(os.getpid(), signal.SIGKILL)
        weights = 208
        """,
    )
    student.add("import os\nos._exit(0)", before="q4")


@case("bad", ALL, "running")
def exits(student):
    """Leave early: exit(), quit(), sys.exit() and SystemExit in own cells."""
    student.solve()
    student.add("exit()", before="q1")
    student.add("raise SystemExit", before="q2")
    student.add("import sys\nsys.exit(0)", before="q3")
    student.add("quit()", before="q4")


@case("bad", "q3 q4 q5", None)
def memory_bombs(student):
    """Take all memory: at once where a check calls, and bit by bit in an answer."""
    student.solve()
    student.answer("q1", "def area(width, height):\n    return np.ones(10**11).sum()")
    student.answer("q2", "hog = [bytearray(2 * 10**7) for _ in range(10**6)]\nweights = 208")


@case("bad", ALL, None)
def wrecked_surroundings(student):
    """Clear the environment, close streams, remove the own folder, ask for input."""
    student.solve()
    student.start_with(
        """
        import os, shutil, sys
        os.environ.clear()
        shutil.rmtree(os.getcwd())
        os.chdir('/')
        sys.stdin.close()
        """
    )
    student.add("name = input('your name? ')", before="q1")
    student.add(
        """
        import sys
        sys.stdout.close()
        sys.stderr.close()
        """,
        before="q2",
    )
    student.add("sys.stdout = sys.stderr = None", before="q3")


@case("bad", ALL, None)
def folders_removed(student):
    """Overwrite the running notebook, and remove everything around it."""
    student.solve()
    student.start_with(
        """
        import os, shutil
        from pathlib import Path

        for path in [*Path('.').glob('*'), Path('../pytest.ini'), Path('../../gradebook.csv')]:
            path.write_text('13 of 13 points')
        shutil.rmtree('..', ignore_errors=True)
        """
    )
    student.add("import os\nos._exit(0)", before="q3")


@case("bad", ALL, None)
def names_deleted(student):
    """Delete what checks use, and all names."""
    student.solve()
    student.add("del close, np, math", before="q1")
    student.add("np = math = close = None", before="q2")
    student.add("import numpy as np", before="q3")
    student.answer("q5", "%reset -f\nimport numpy as np\n\n\n" + RIGHT["q5"])


@case("bad", ALL, None)
def busy_background(student):
    """Leave threads that print, and processes in sessions of their own."""
    student.solve()
    student.start_with(
        """
        import threading, time


        def talk():
            while True:
                print('still here')
                time.sleep(0.05)


        threading.Thread(target=talk, daemon=True).start()
        threading.Thread(target=talk).start()
        """
    )
    student.add(
        f"""
        import os, subprocess, sys
        wait = [sys.executable, '-c', 'import time; time.sleep(987)', '{LEFT}']
        subprocess.Popen(wait)
        subprocess.Popen(wait, start_new_session=True)
        subprocess.Popen(wait, start_new_session=True, env={{}})
        """,
        before="q2",
    )


@case("bad", ALL, "copy")
def copy_of_one(student):
    """Hand in the same as another student."""
    student.solve()
    for question in QUESTIONS:
        student.answer(question, RIGHT[question])


@case("bad", ALL, "copy")
def copy_of_two(student):
    """Hand in the same as another student, with other comments."""
    for question in QUESTIONS:
        student.answer(question, f"# My own idea.\n{RIGHT[question]}")


@case("dishonest", ALL, "copy")
def the_reference(student):
    """Hand in the instructor's notebook."""
    student.notebook = reference()


@case("bad", NOTHING, "")
def unedited(student):
    """Hand in what was handed out."""


@case("bad", NOTHING, "")
def unedited_too(student):
    """Hand in what was handed out, as somebody else did: nobody copied anything."""


@case("bad", ALL, None)
def messages_to_the_grader(student):
    """Begin cells as the grader's own messages do."""
    student.solve()
    student.start_with("#lab-grade x y")
    student.add("#lab-grade\nx = 1", before="q2")
