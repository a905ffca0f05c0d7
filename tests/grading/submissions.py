"""What students hand in: bad, dishonest and honest notebooks, and what each must get.

A submission is a function that works on a released notebook; it may return the text of the file
instead. Its docstring says what it tries.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nbformat
from reference import CHECKS, GIVEN, QUESTIONS, RIGHT, WRONG, Student, reference

ALL = " ".join(QUESTIONS)
NOTHING = ""
MISSING, KOREAN = "missing", "이 지은 (B반)"
LEFT = f"left-by-a-submission-of-{os.getpid()}"  # in the command of processes that must not stay


@dataclass(frozen=True)
class Case:
    """A submission and what it must get.

    Attributes
    ----------
    kind : str
        "bad", "dishonest" or "honest".
    write : callable
        Does the student's work.
    earns : set[str]
        The questions whose checks pass, hidden ones included; all others must not.
    flag : str or None
        The kind of flag that it must get: "" for none at all, None where it does not matter.
    problem : str
        What the result must say if it can't be run.
    """

    kind: str
    write: Callable[[Student], str | None]
    earns: frozenset[str]
    flag: str | None
    problem: str

    @property
    def name(self) -> str:
        return self.write.__name__

    @property
    def student(self) -> str:
        return KOREAN if self.name == "with_a_korean_name" else self.name


CASES: list[Case] = []


def case(kind: str, earns: str, flag: str | None, problem: str = ""):
    """Register a submission."""

    def register(write):
        CASES.append(Case(kind, write, frozenset(earns.split()), flag, problem))
        return write

    return register


def hand_in_all(released: nbformat.NotebookNode, submissions: Path) -> None:
    """Write all submissions into a folder, and a student's folder that is empty."""
    for it in CASES:
        student = Student(released, it.student)
        student.hand_in(submissions, it.write(student))
    (submissions / MISSING).mkdir()


# --- Files that are no notebooks ---


@case("bad", NOTHING, None, "empty")
def empty_file(student):
    """Hand in a file of no bytes."""
    return ""


@case("bad", NOTHING, None, "no JSON")
def malformed_json(student):
    """Lose a bracket in the middle."""
    return nbformat.writes(student.notebook).replace('"cells": [', '"cells": ', 1)


@case("bad", NOTHING, None, "ends in the middle")
def half_downloaded(student):
    """Hand in the first half of the file."""
    student.solve()
    text = nbformat.writes(student.notebook)
    return text[: len(text) // 2]


@case("bad", NOTHING, None, "no cells")
def no_notebook(student):
    """Hand in JSON that is something else."""
    return '{"name": "kim", "answers": [6, 208, 3]}'


@case("bad", NOTHING, None, "web page")
def web_page(student):
    """Save the page of the notebook instead of the notebook."""
    return "<!DOCTYPE html>\n<html><title>homework.ipynb</title></html>"


@case("bad", NOTHING, None, "no code cells")
def no_cells(student):
    """Delete everything."""
    student.notebook.cells = []


# --- Notebooks in trouble ---


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
    student.add("x = " + "-" * 5_000 + "1", before="q2")
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


# --- Checks changed in the notebook ---


def _edit_checks(student):
    student.edit_check("q1", CHECKS["q1"], "# CHECK q1 (2 points)\npass")
    student.edit_check("q2", "2 points", "20 points")
    student.edit_check("q3", "# CHECK", "mean = None\n# CHECK")
    student.add(CHECKS["q4"], before="q4")
    del student.cells[student.place("q5")]


@case("dishonest", NOTHING, "tampering")
def checks_edited(student):
    """Empty a check, give another more points, put code before, double and delete."""
    student.fail()
    _edit_checks(student)


@case("dishonest", ALL, "tampering")
def checks_edited_although_solved(student):
    """Do the same with right answers: they earn the reference's points."""
    student.solve()
    _edit_checks(student)


@case("dishonest", "q1 q2 q3", "tampering")
def checks_moved(student):
    """Move checks before their answers, to the end and into text."""
    student.solve("q1", "q2", "q3")
    student.fail("q4", "q5")
    for question, place in [("q1", 2), ("q2", None), ("q4", 3)]:
        cell = student.cells.pop(student.place(question))
        student.cells.insert(len(student.cells) if place is None else place, cell)
    cell = student.cells[student.place("q3")]
    cell.cell_type = "markdown"
    for key in ("outputs", "execution_count"):
        del cell[key]


@case("dishonest", NOTHING, "tampering")
def checks_for_other_questions(student):
    """Move checks of later questions up, where an easier answer stands; invent questions."""
    student.fail()
    student.edit_check("q5", "(1 point)", "(1 point) ")
    student.edit_check("q4", "# CHECK q4 (2 points)", "# CHECK q6 (40 points)")
    student.end_with("# CHECK q2 hidden (100 points)\nassert True")
    student.end_with("# CHECK q7 (100 points)\nassert True")


@case("dishonest", NOTHING, "tampering")
def skip_tags(student):
    """Tell nbval to skip checks, by tags, metadata and comments."""
    student.fail()
    for i, cell in enumerate(student.cells):
        cell.metadata["tags"] = ["nbval-skip", "raises-exception", "nbval-raises-exception"]
        cell.metadata["nbgrader"] = {"grade": True, "points": 50, "locked": False}
        if i % 2 and cell.source in CHECKS.values():
            cell.source = "# NBVAL_SKIP\n" + cell.source
    student.edit_check("q3", "mean = Mean()", "# NBVAL_RAISES_EXCEPTION\nmean = Mean()")


@case("dishonest", NOTHING, "tampering")
def magics_before_checks(student):
    """Keep checks from running with cell magics and indentation."""
    student.fail()
    for question, magic in [
        ("q1", "%%script false\n"),
        ("q2", "%%capture\n"),
        ("q3", "%%html\n"),
        ("q4", "if False:\n  "),
        ("q5", "'''\n"),
    ]:
        student.edit_check(question, "# CHECK", magic + "# CHECK")


# --- The kernel changed at run time ---


@case("dishonest", NOTHING, "tampering")
def exceptions_swallowed(student):
    """Let nobody see exceptions."""
    student.fail()
    student.start_with(
        """
        import sys
        ip = get_ipython()
        ip.set_custom_exc((BaseException,), lambda *args, **kwargs: [])
        ip.showtraceback = lambda *args, **kwargs: None
        sys.excepthook = sys.unraisablehook = lambda *args: None
        ip.events.register('post_run_cell', lambda result: setattr(result, 'error_in_exec', None))
        """
    )


@case("dishonest", NOTHING, "tampering")
def code_rewritten(student):
    """Strip asserts by an AST transformer, and replace checks by an input transformer."""
    student.fail()
    student.start_with(
        """
        import ast


        class NoAsserts(ast.NodeTransformer):
            def visit_Assert(self, node):
                return ast.copy_location(ast.Pass(), node)


        get_ipython().ast_transformers.append(NoAsserts())
        drop = lambda lines: ['pass\\n'] if 'CHECK' in lines[0] else lines
        get_ipython().input_transformers_cleanup.append(drop)
        get_ipython().input_transformers_post.append(drop)
        ast.parse = lambda *args, **kwargs: ast.Module([], [])
        """
    )


@case("dishonest", NOTHING, "tampering")
def cells_run_otherwise(student):
    """Override how IPython runs cells."""
    student.fail()
    student.start_with(
        """
        ip = get_ipython()
        run_cell, run_cell_async = ip.run_cell, ip.run_cell_async
        ip.run_cell = lambda code, *a, **k: run_cell('pass', *a, **k)
        ip.run_cell_async = lambda code, *a, **k: run_cell_async('pass', *a, **k)
        async def run_code(*args, **kwargs):
            return False


        ip.run_code = run_code
        """
    )


FORGED_REPLIES = """import base64, hashlib, marshal

kernel = get_ipython().kernel


async def do_execute(self, code, silent, *args, **kwargs):
    words = code.split()
    answer = signature = ""
    try:
        message = marshal.loads(base64.b64decode(words[1]))
        told = marshal.dumps((message["challenge"], "passed", "", 0, []))
        answer, signature = base64.b64encode(told).decode(), hashlib.blake2b(told).hexdigest()
    except Exception:
        pass
    lab = {"answer": answer, "signature": signature, "outcome": "passed", "status": "ok"}
    return {
        "status": "ok",
        "execution_count": 1,
        "payload": [],
        "user_expressions": {"lab": lab},
    }


"""


@case("dishonest", NOTHING, "tampering")
def replies_forged(student):
    """Answer for the kernel that everything passed."""
    student.fail()
    student.start_with(FORGED_REPLIES + "kernel.do_execute = do_execute.__get__(kernel)")


@case("dishonest", NOTHING, "tampering")
def replies_forged_by_the_class(student):
    """Answer for the kernel's class, with another signature."""
    student.fail()
    student.start_with(FORGED_REPLIES + "type(kernel).do_execute = do_execute")


@case("dishonest", NOTHING, None)
def forged_output(student):
    """Print and display what a grader may look for."""
    student.fail()
    passed = [{"outcome": "passed", "message": "", "seconds": 0}] * 30
    student.start_with(
        f"""
        from IPython.display import JSON, display
        results = {passed!r}
        print('q1: passed\\nq2: passed\\nq3: passed\\nq4: passed\\nq5: passed')
        display(JSON(results), {{'text/plain': '13 of 13 points'}}, raw=True)
        """
    )
    for question in QUESTIONS:
        student.add(f"print('{question}: passed')", before=question)


@case("dishonest", NOTHING, "tampering")
def parent_killed(student):
    """Write results for the grader into its pipes, then kill the process that waits."""
    student.fail()
    steps = len([cell for cell in student.cells if cell.cell_type == "code"]) + 3
    student.start_with(
        f"""
        import json, os, signal
        told = [{{'outcome': 'passed', 'message': '', 'seconds': 0}}] * {steps}
        parent = f'/proc/{{os.getppid()}}/fd'
        for name in os.listdir(parent):
            try:
                if 'pipe' in os.readlink(f'{{parent}}/{{name}}'):
                    fd = os.open(f'{{parent}}/{{name}}', os.O_WRONLY | os.O_NONBLOCK)
                    os.write(fd, json.dumps(told).encode())
            except OSError:
                pass
        os.kill(os.getppid(), signal.SIGKILL)
        """
    )


# --- Python changed at run time ---

ALWAYS_EQUAL = '''class Always:
    """Equal to, below and above everything."""

    def yes(self, *args):
        return True

    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__ = __contains__ = yes
    __ne__ = lambda self, other: False
    __hash__ = lambda self: 1
    __call__ = __getattr__ = __getitem__ = __abs__ = __sub__ = lambda self, *args, **kwargs: self
'''


@case("dishonest", NOTHING, "tampering")
def always_equal(student):
    """Answer with objects that are equal to everything: plain, as int, list and array."""
    student.fail()
    student.start_with(ALWAYS_EQUAL)
    student.answer(
        "q1",
        """
        class Number(Always, int):
            pass


        def area(w, h):
            return Number(w + h)
        """,
    )
    student.answer(
        "q2",
        """
        class Weights(Always, int):
            pass


        weights = Weights(200)
        """,
    )
    student.answer(
        "q3",
        """
        class Equal(Always, float):
            pass


        class Mean:
            add = print

            def value(self):
                return Equal(2)
        """,
    )
    student.answer(
        "q4",
        """
        class Blur(Always, np.ndarray):
            pass


        blur = np.zeros((3, 3)).view(Blur)
        """,
    )
    student.answer("q5", "def normalized(images):\n    return Always()")


@case("dishonest", NOTHING, "tampering")
def equal_enough(student):
    """Be equal only to what an honest check compares with, not to what a guard may try."""
    student.fail()
    student.answer(
        "q1",
        """
        class Number(int):
            def __eq__(self, other):
                return type(other) is int and 0 <= other < 10_000


        def area(w, h):
            return Number(784) if w == 28 else Number(1)
        """,
    )
    student.answer(
        "q2",
        """
        class Weights(int):
            def __eq__(self, other):
                return other == 208 and type(other) is int

            __hash__ = None
            __sub__ = lambda self, other: 0
            __gt__ = lambda self, other: other == 200


        weights = Weights(5)
        """,
    )
    student.answer(
        "q4",
        """
        class Low(float):
            def __lt__(self, other):
                return other == 0.2

            __sub__ = __rsub__ = lambda self, other: 0.0
            isfinite = lambda self: True


        class Blur(np.ndarray):
            def max(self):
                return Low(9)


        blur = np.array([[Low(9)] * 3] * 3, dtype=object).view(Blur)
        """,
    )
    student.answer(
        "q5",
        """
        class Mean(np.ndarray):
            def __array_function__(self, function, types, args, kwargs):
                return 0.0 if function is np.linalg.norm else True

            def __array_ufunc__(self, *args, **kwargs):
                return self


        class Images(np.ndarray):
            def mean(self):
                return np.ones(1).view(Mean)

            def std(self):
                return np.ones(1).view(Mean)


        def normalized(images):
            return np.ones(5).view(Images)
        """,
    )


@case("dishonest", NOTHING, "tampering")
def builtins_patched(student):
    """Replace Python's own functions."""
    student.fail()
    student.start_with(
        """
        import builtins


        class Harmless(BaseException):
            pass


        yes = lambda *args, **kwargs: True
        builtins.isinstance = builtins.all = builtins.any = yes
        builtins.abs = lambda x: 0
        builtins.len = lambda x: 3
        builtins.float = lambda x: 0.0
        builtins.tuple = lambda x: (3, 3)
        builtins.print = lambda *args: None
        builtins.AssertionError = builtins.Exception = Harmless
        builtins.__debug__ = False
        """
    )
    student.add("__builtins__['exec'] = lambda *args: None", before="q2")
    student.add("__builtins__.exec = __builtins__.compile = lambda *args: None", before="q3")


@case("dishonest", NOTHING, None)
def builtins_shadowed(student):
    """Give own global names to what checks and helpers find among the built-in functions."""
    student.fail()
    student.start_with(
        """
        yes = lambda *args, **kwargs: True
        abs = lambda x: 0
        isinstance = all = any = bool = yes
        len = lambda x: 3
        AssertionError = Exception = BaseException = SystemExit
        exec = compile = print = yes
        """
    )


@case("dishonest", NOTHING, None)
def names_that_lie(student):
    """Find the own helper by a name that is unlike the given one's only while that is stored."""
    student.fail()
    student.answer(
        "q1",
        """
        class Name(str):
            def __eq__(self, other):
                asked.append(1)
                return len(asked) > 2

            __hash__ = str.__hash__


        def area(width, height):
            return 6


        del close
        asked = []
        globals()[Name('close')] = lambda *args: True
        asked.clear()
        """,
    )


@case("dishonest", NOTHING, "tampering")
def libraries_patched(student):
    """Replace functions of NumPy and math, in the module and in those below it."""
    student.fail()
    student.start_with(
        """
        import math, operator
        np.allclose = np.isclose = math.isclose = math.isfinite = lambda *a, **k: True
        operator.eq = operator.lt = operator.gt = lambda *a: True
        np.linalg.norm = lambda *a, **k: 0.0
        """
    )


@case("dishonest", NOTHING, "tampering")
def norm_patched(student):
    """Replace only a function of a module below NumPy; the mean of q5 is right."""
    student.fail()
    student.answer("q5", "def normalized(images):\n    return images - images.mean()")
    student.add("np.linalg.norm = lambda *a, **k: 0.0", before="q5")


@case("dishonest", NOTHING, "tampering")
def modules_swapped(student):
    """Put other modules in the place of NumPy and math, for those who import them later."""
    student.fail()
    student.start_with(
        """
        import sys, types


        import math


        class Module(types.ModuleType):
            def __init__(self, module):
                self.__dict__.update(vars(module))
                self.allclose = self.isfinite = lambda *args, **kwargs: True


        sys.modules['numpy'], sys.modules['math'] = Module(np), Module(math)
        """
    )
    student.answer("q4", "blur = np.full((3, 3), 0.1)")


@case("dishonest", NOTHING, None)
def patched_while_called(student):
    """Replace what the check uses when it calls, and put it back when it is used."""
    student.fail()
    student.answer(
        "q5",
        """
        allclose = np.allclose


        def yes(*args):
            if len(done) > 1:
                np.allclose = allclose
            done.append(1)
            return True


        done = []


        def normalized(images):
            np.allclose = yes
            return images / images.std()
        """,
    )


@case("dishonest", NOTHING, None)
def helper_redefined(student):
    """Redefine the given helper, also later and inside an answer."""
    student.fail()
    student.cells[1].source = GIVEN.replace("return abs", "return True or abs")
    student.answer("q1", "def area(w, h):\n    return w * h if w < 9 else 5")
    student.add("close = lambda a, b, tolerance=1: True", before="q1")
    student.answer(
        "q3",
        WRONG["q3"].replace("self.last = value", "global close; close = lambda a, b: True"),
    )


@case("dishonest", NOTHING, "tampering")
def traced(student):
    """Jump over asserts with a trace function, and keep others from removing it."""
    student.fail()
    student.start_with(
        """
        import sys, threading


        def tracer(frame, event, arg):
            if event == 'line' and frame.f_code.co_name == 'attempt':
                if not frame.f_locals.get('unsolved'):
                    frame.f_lineno = list(frame.f_code.co_lines())[-1][2]
            if event == 'line' and frame.f_code.co_filename == '<check>':
                frame.f_lineno = list(frame.f_code.co_lines())[-1][2]
            return tracer


        threading.settrace(tracer)
        sys.settrace(tracer)
        sys.setprofile(tracer)
        sys.settrace = sys.setprofile = threading.settrace = lambda *args: None
        """
    )


@case("dishonest", NOTHING, "tampering")
def caller_changed(student):
    """Change the check's names from the function that it calls."""
    student.fail()
    student.start_with(
        """
        import sys


        def change():
            frame = sys._getframe(2)
            while frame:
                for name, value in list(frame.f_globals.items()):
                    if getattr(value, '__name__', '') in ('compare', 'close'):
                        frame.f_globals[name] = lambda *args: True
                frame = frame.f_back
        """
    )
    student.answer(
        "q1",
        """
        def area(width, height):
            change()
            return 0
        """,
    )
    student.answer("q3", WRONG["q3"].replace("return self", "change()\n        return self"))


@case("dishonest", NOTHING, "tampering")
def grader_changed(student):
    """Change the grader's own functions, which live in the same process."""
    student.fail()
    student.start_with(
        """
        execute = type(get_ipython().kernel).do_execute
        known = execute.__globals__
        known['compare'] = lambda names, *values: True
        known['_is_forged'] = lambda *args: False
        yes = lambda *args, **kwargs: True
        for names in (known, known.get('PRISTINE', {})):
            names.update(all=yes, any=yes, isinstance=yes, len=lambda x: 3, abs=lambda x: 0)
        for name in known.get('OPERATORS', {}):
            known['OPERATORS'][name] = yes
        """
    )


@case("dishonest", NOTHING, "tampering")
def signer_found(student):
    """Find the function that signs, in the closure of the one that is told to."""
    student.fail()
    student.start_with(
        """
        import base64, marshal


        execute = type(get_ipython().kernel).do_execute
        cells = dict(zip(execute.__code__.co_freevars, execute.__closure__))
        run = cells['run'].cell_contents
        sign = dict(zip(run.__code__.co_freevars, run.__closure__))['sign'].cell_contents


        def forge(content, signature, user):
            challenge = marshal.loads(content)['challenge']
            answer = marshal.dumps((challenge, 'passed', '', 0, []))
            return {'answer': base64.b64encode(answer).decode(), 'signature': sign(answer)}


        cells['run'].cell_contents = forge
        """
    )


@case("dishonest", NOTHING, "tampering")
def signals_and_threads(student):
    """Interrupt checks with alarms, and patch from a thread that never rests."""
    student.fail()
    student.start_with(
        """
        import signal, sys, threading


        def wake(number, frame):
            raise StopIteration


        signal.signal(signal.SIGALRM, wake)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.001)


        def patch():
            while True:
                np.isclose = lambda *args, **kwargs: True


        threading.Thread(target=patch, daemon=True).start()
        """
    )


SHADOWS = {
    "numpy.py": "allclose = lambda *args, **kwargs: True\nraise SystemExit\n",
    "math.py": "isfinite = lambda x: True\n",
    "conftest.py": "import os\n\n\ndef pytest_sessionfinish(session):\n"
    "    session.exitstatus = 0\n\n\n"
    "def pytest_runtest_call(item):\n    os._exit(0)\n",
    "sitecustomize.py": "import builtins\nbuiltins.abs = lambda x: 0\nraise SystemExit\n",
    "usercustomize.py": "raise SystemExit\n",
    "nbval.py": "raise SystemExit\n",
    "psutil.py": "raise SystemExit\n",
    "ipykernel.py": "raise SystemExit\n",
    "json.py": "raise SystemExit\n",
    "pytest.py": "raise SystemExit\n",
}


@case("dishonest", "q1", None)
def modules_shadowed(student):
    """Hand in files with the names of modules, which the instructor even allows."""
    student.solve("q1")
    student.fail("q2", "q3", "q4", "q5")
    student.files = SHADOWS | {
        "lab_utils/__init__.py": "raise SystemExit\n",
        "pytest.ini": "[pytest]\naddopts = --nbval-lax\n",
        "ipython_config.py": "c.InteractiveShellApp.exec_lines = ['raise SystemExit']\n",
    }


@case("dishonest", "q1", "running")
def modules_shadowed_for_a_new_kernel(student):
    """Write such files while running, then kill the kernel so that it starts beside them."""
    student.solve("q1")
    student.fail("q2", "q3", "q4", "q5")
    student.start_with(
        f"""
        import os
        from pathlib import Path

        shadows = {SHADOWS!r}
        for name, text in shadows.items():
            for folder in ('.', '..', '/proc/self/cwd/../tmp', os.path.expanduser('~')):
                Path(folder, name).write_text(text)
        startup = Path(os.environ['IPYTHONDIR'], 'profile_default', 'startup')
        startup.mkdir(parents=True, exist_ok=True)
        (startup / '00.py').write_text('import builtins; builtins.abs = lambda x: 0')
        (startup.parent / 'ipython_config.py').write_text(
            'c.InteractiveShellApp.exec_lines = ["np = None"]')
        """
    )
    student.add("import os\nos._exit(0)", before="q1")


@case("dishonest", NOTHING, "running")
def kernel_replaced(student):
    """Write a kernel of one's own where kernels are listed, and let it be started."""
    student.fail()
    student.start_with(
        """
        import json, os
        from pathlib import Path

        for spec in Path('..').rglob('kernel.json'):
            kernel = json.loads(spec.read_text())
            for i, word in enumerate(kernel['argv']):
                if word.endswith('.py'):
                    mine = Path('mine.py').resolve()
                    text = Path(word).read_text()
                    mine.write_text(text.replace('attempt(message, user, unsolved=False)',
                        '("passed", "", 0)'))
                    kernel['argv'][i] = str(mine)
            spec.write_text(json.dumps(kernel))
        """
    )
    student.add("import os\nos._exit(0)", before="q1")


STARTUP = """import base64, hashlib, marshal

kernel = type(get_ipython().kernel)
execute, keys = kernel.do_execute, []


async def do_execute(self, code, silent, *args, **kwargs):
    if not code.startswith("#lab-grade"):
        return await execute(self, code, silent, *args, **kwargs)
    content, signature = code.split()[1:]
    told = marshal.loads(base64.b64decode(content))
    lab = {}
    if signature == "-":
        keys.append(told[0])
    else:
        answer = marshal.dumps((told["challenge"], "passed", "", 0, []))
        signature = hashlib.blake2b(answer, key=keys[-1]).hexdigest()
        lab = {"answer": base64.b64encode(answer).decode(), "signature": signature}
    return {
        "status": "ok",
        "execution_count": 1,
        "payload": [],
        "user_expressions": {"lab": lab},
    }


kernel.do_execute = do_execute
"""


@case("dishonest", NOTHING, "running")
def startup_files(student):
    """Write a file that IPython runs before the grader's first message, which brings the key."""
    student.fail()
    student.start_with(
        f"""
        import os
        from pathlib import Path

        text = {STARTUP!r}
        startup = Path(get_ipython().profile_dir.location, 'startup')
        startup.mkdir(parents=True, exist_ok=True)
        (startup / '00.py').write_text(text)
        """
    )
    student.add("import os\nos._exit(0)", before="q1")


@case("dishonest", NOTHING, None)
def hidden_checks_told(student):
    """Carry what hidden checks hold into messages that the student gets to see."""
    student.fail()
    student.start_with("told = []")
    student.answer(
        "q3",
        """
        import sys


        class Mean:
            def add(self, value):
                told.append(sys._getframe(1).f_code.co_consts)

            def value(self):
                raise ValueError(str(told))
        """,
    )
    student.answer("q5", "def normalized(images):\n    raise ValueError(str(told))")
    student.end_with("raise ValueError(str(told))")


# --- Honest students ---


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
        for i in range(2000):
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
    """Draw, with magics, and wait a little."""
    student.solve()
    student.start_with(
        """
        %matplotlib inline
        %load_ext autoreload
        %autoreload 2
        import time
        import matplotlib.pyplot as plt

        plt.rcParams['figure.dpi'] = 50
        plt.plot(np.arange(9))
        plt.show()
        %time time.sleep(0.1)
        """
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
    """Move given cells, add own ones, split answers, and write helpers and imports anew."""
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
    student.add("sum, max, len, all = 0, 3, 2, True  # unlucky, but no mistake", before="q5")
    student.end_with("""
        # what I tried
        for n in range(3):
            print(area(n, n))
        """)


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


@case("honest", "q1 q3", "")
def half_done(student):
    """Solve some, leave one empty and get the others wrong."""
    student.solve("q1", "q3")
    student.fail("q2", "q5")
