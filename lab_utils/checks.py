"""Says in one calm line what a check cell found, where a notebook would show a traceback."""

import linecache
import re
from types import TracebackType
from typing import Any

UNANSWERED = "your code is still missing"  # what `lab-release` writes in place of an answer
SHOWN = (AssertionError, AttributeError, NotImplementedError, TypeError)


def describe_failure(error: BaseException, trace: TracebackType | None) -> str | None:
    """Return what to tell a student about an error under a check cell.

    Parameters
    ----------
    error : BaseException
        What was raised.
    trace : TracebackType or None
        Its traceback. The first frame whose code begins with `# CHECK q1` is the check.

    Returns
    -------
    str or None
        One line: that the answer is missing, the hint of the check, or that a function returns
        nothing. None where the traceback says more, such as of a mistake inside an answer.
    """
    question, is_inside_answer = None, False
    while trace is not None:
        code = trace.tb_frame.f_code
        check = re.match(r"# CHECK (\w+)", linecache.getline(code.co_filename, 1))
        if check:
            question, path = check.group(1), code.co_filename
        elif question is not None and code.co_filename.startswith(_folder(path)):
            is_inside_answer = True
        trace = trace.tb_next
    if question is None:
        return None
    if isinstance(error, NotImplementedError):
        return f"{question}: not answered yet" if str(error) == UNANSWERED else None
    if is_inside_answer:
        return None
    if isinstance(error, AssertionError):
        return f"{question}, not yet: {error}" if str(error) else None
    if "NoneType" in str(error):
        return f"{question}, not yet: your function returns None. Does it end with `return`?"
    return None


def _folder(path: str) -> str:
    """Return what the paths begin with under which a kernel keeps the code of its cells."""
    return path[: path.rfind("/") + 1] or path[:14]  # "<ipython-input-1-..." has no folder


def show_failures(shell: Any) -> None:
    """Let an IPython shell show these lines instead of tracebacks."""

    def show(shell, kind, error, trace, tb_offset=None):
        line = describe_failure(error, trace)
        if line is None:
            shell.showtraceback((kind, error, trace), tb_offset=tb_offset)
        else:
            print(line)

    shell.set_custom_exc(SHOWN, show)
