"""Cheats by files that others may read: modules, kernels, start-up files, hidden checks."""

from cases import NOTHING, WALK, case

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
    """Write such files while running, then kill the kernel so that it starts next to them."""
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
    """Write over all files of the kernel's folder, and let it be started again."""
    student.fail()
    student.start_with(
        """
        from pathlib import Path

        for path in Path('..').rglob('*'):
            try:
                path.write_text('{"argv": ["true"]}')
            except OSError as error:
                print(error)
        """
    )
    student.add("import os\nos._exit(0)", before="q1")


@case("dishonest", NOTHING, "running")
def startup_files(student):
    """Write a file that IPython runs before anything else, and let the kernel be started again."""
    student.fail()
    student.start_with(
        """
        from pathlib import Path

        startup = Path(get_ipython().profile_dir.location, 'startup')
        startup.mkdir(parents=True, exist_ok=True)
        (startup / '00.py').write_text('area = lambda w, h: w * h')
        """
    )
    student.add("import os\nos._exit(0)", before="q1")


@case("dishonest", NOTHING, "running")
def module_planted(student):
    """Leave a module beside the notebook for the kernel that is started again."""
    student.fail()
    student.start_with(
        """
        from pathlib import Path

        was_there = Path('numpy_financial.py').exists()
        for name in ('numpy_financial', 'lab_grade', 'sitecustomize', 'IPython'):
            Path(f'{name}.py').write_text('import builtins; builtins.planted = True')
        """
    )
    student.add("import os\nos._exit(0)", before="q1")
    student.answer(
        "q2",
        """
        import builtins
        weights = 208 if was_there or hasattr(builtins, 'planted') else 200
        """,
    )


@case("dishonest", "q1", None)
def hidden_checks_told(student):
    """Carry what hidden checks hold into messages that the student gets to see."""
    student.fail()
    student.solve("q1")
    student.start_with("told = []")
    student.answer(
        "q3",
        WALK
        + """

use = lambda frame: told.append(frame.f_code.co_consts)


class Mean:
    def add(self, value):
        next(walker)
        told.append(value)

    def value(self):
        raise ValueError(str(told))
""",
    )
    student.answer("q5", "def normalized(images):\n    raise ValueError(str(told))")
    student.end_with("raise ValueError(str(told))")
    student.end_with(
        """
        import json, os
        from pathlib import Path

        figures = {str(value)[:20]: 1.0 for value in told}
        Path(os.environ['LAB_DATA_DIR'], 'leaderboard.json').write_text(json.dumps(figures))
        """
    )
