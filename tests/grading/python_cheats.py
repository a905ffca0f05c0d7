"""Cheats that change Python, libraries or names at run time."""

from cases import NOTHING, case
from reference import GIVEN, WRONG

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
    """Replace Python's own functions, as far as the kernel itself can do without them."""
    student.fail()
    student.start_with(
        """
        import builtins


        class Harmless(BaseException):
            pass


        yes = lambda *args, **kwargs: True
        builtins.all = builtins.any = yes
        builtins.abs = builtins.sum = lambda *args: 0
        builtins.len = lambda x, known=len: 3 if hasattr(x, 'shape') else known(x)
        builtins.isinstance = lambda x, kind, known=isinstance: kind is int or known(x, kind)
        builtins.print = lambda *args: None
        builtins.AssertionError = Harmless
        builtins.__debug__ = False
        """
    )
    student.add("__builtins__.exec = __builtins__.eval = lambda *args: None", before="q4")


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


@case("dishonest", NOTHING, None)
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


@case("dishonest", NOTHING, None)
def norm_patched(student):
    """Replace only a function of a module below NumPy; the mean of q5 is right."""
    student.fail()
    student.answer("q5", "def normalized(images):\n    return images - images.mean()")
    student.add("np.linalg.norm = lambda *a, **k: 0.0", before="q5")


@case("dishonest", NOTHING, None)
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
def norm_patched_while_called(student):
    """Do the same in a module below NumPy, for the one call that matters."""
    student.fail()
    student.answer(
        "q5",
        """
        norm = np.linalg.norm


        def zero(*args):
            np.linalg.norm = norm
            return 0.0


        def normalized(images):
            np.linalg.norm = zero
            return images - images.mean()
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
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.2)


        def patch():
            while True:
                np.isclose = lambda *args, **kwargs: True


        threading.Thread(target=patch, daemon=True).start()
        """
    )
