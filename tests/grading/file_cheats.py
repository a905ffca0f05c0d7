"""Cheats by files that others may read: modules, kernels, start-up files, hidden checks."""

from cases import NOTHING, case

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
