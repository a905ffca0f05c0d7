"""Cheats that change the kernel, IPython or the grader at run time."""

from cases import NOTHING, case
from reference import QUESTIONS


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


FORGED_REPLIES = """kernel = get_ipython().kernel


async def do_execute(self, code, silent, *args, **kwargs):
    lab = {"outcome": "passed", "status": "ok"}
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
    """Answer for the kernel's class."""
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
    """Write results for the grader into the pipes of whoever has started the kernel; end that."""
    student.fail()
    student.start_with(
        """
        import json, os, signal
        told = [[i, {'outcome': 'passed', 'message': '', 'seconds': 0}] for i in range(30)]
        lines = ''.join(json.dumps(line) + chr(10) for line in [*told, ['kept', {}]])
        folder = f'/proc/{os.getppid()}/fd'
        try:
            for name in os.listdir(folder):
                if os.readlink(f'{folder}/{name}').startswith(('pipe', 'socket')):
                    fd = os.open(f'{folder}/{name}', os.O_WRONLY | os.O_NONBLOCK)
                    os.write(fd, lines.encode())
        except OSError as error:
            print(error)
        os.kill(os.getppid(), signal.SIGKILL)
        """
    )
