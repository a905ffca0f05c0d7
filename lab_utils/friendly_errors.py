"""Says in one calm line what a notebook would show as a traceback.

That is what a check cell found, which cell to run first after a restart, and what has become of the
arguments of the 2021 course, in the student's language.
"""

import itertools
import json
import linecache
import os
import re
import symtable
from pathlib import Path
from types import TracebackType
from typing import Any

from text_recognizer.language import LANGUAGES, _

UNANSWERED = "your code is still missing"  # what `lab-release` writes in place of an answer
SHOWN = (AssertionError, AttributeError, NameError, NotImplementedError, TypeError)
MAX_FIRST_LINE = 60  # characters of a cell that is named
# Arguments of Lightning's Trainer in 2021, and what to write today.
OLD_ARGUMENTS = {
    "auto_select_gpus": 'accelerator="auto"',
    "checkpoint_callback": "enable_checkpointing=False",
    "gpus": 'accelerator="auto", devices=1',
    "progress_bar_refresh_rate": "enable_progress_bar=False",
    "resume_from_checkpoint": "trainer.fit(..., ckpt_path=...)",
    "tpu_cores": 'accelerator="auto"',
    "weights_summary": "enable_model_summary=False",
}


def set_up(shell: Any) -> None:
    """Let an IPython shell show these lines instead of tracebacks."""

    def show(shell, kind, error, trace, tb_offset=None):
        running = shell.history_manager.input_hist_raw[-1]
        line = describe_failure(error, trace, running)
        if line is None:
            shell.showtraceback((kind, error, trace), tb_offset=tb_offset)
        else:
            print(line)

    shell.set_custom_exc(SHOWN, show)


def describe_failure(
    error: BaseException, trace: TracebackType | None, running: str = ""
) -> str | None:
    """Return what to tell a student about an error; None where the traceback says more.

    That is, in one line, that the answer is missing, the hint of the check, that a function returns
    nothing, which cell to run first (before `running`, the source of the cell that was run), or how
    an argument is written today.
    """
    text = str(error)
    old = re.search(r"Trainer\.__init__\(\) got an unexpected keyword argument '(\w+)'", text)
    if old and old[1] in OLD_ARGUMENTS:
        return _(f"Lightning's Trainer has no {old[1]}= any more: write {OLD_ARGUMENTS[old[1]]}.")
    undefined = re.fullmatch(r"name '(\w+)' is not defined", text)
    if undefined and (cell := find_cell(undefined[1], running)):
        return _(
            f"{undefined[1]} is not defined yet: run the cell that begins with  {cell}  first, "
            "or all cells above this one."
        )
    question, is_inside_answer = find_check(trace)
    if question is None:
        return None
    if isinstance(error, NotImplementedError) and text == UNANSWERED:
        if is_code_below(trace):
            return _(
                f"{question}, not yet: delete the line `raise ...`. What is below it never runs."
            )
        return _(f"{question}: not answered yet")
    if isinstance(error, NotImplementedError) or is_inside_answer:
        return None
    if "NoneType" in text:
        return _(
            f"{question}, not yet: your function returns None. Does it end with `return`? "
            "`print` shows a value, and returns none."
        )
    if isinstance(error, AssertionError):
        return _(f"{question}, not yet: {text}") if text else None
    return None


def is_code_below(trace: TracebackType | None) -> bool:
    """Tell whether an answer stands below the `raise` that it should have replaced."""
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return False
    lines = linecache.getlines(trace.tb_frame.f_code.co_filename)[trace.tb_lineno - 1 :]
    indent = len(lines[0]) - len(lines[0].lstrip()) if lines else 0
    below = itertools.takewhile(lambda line: line[:indent].isspace() or not line.strip(), lines[1:])
    return any(not re.fullmatch(r"\s*(#.*|return \w+)?\s*", line) for line in below)


def find_check(trace: TracebackType | None) -> tuple[str | None, bool]:
    """Return the question of the check in a traceback, and whether an answer that it called failed.

    A kernel keeps the code of all cells in one folder; IPython before 8 has no folder, but
    names such as `<ipython-input-1-...`.
    """
    question, is_inside_answer, cells = None, False, ""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if check := re.match(r"# CHECK (\w+)", linecache.getline(file, 1)):
            question, cells = check[1], file[: file.rfind("/") + 1] or file[:14]
        elif question is not None and file.startswith(cells):
            is_inside_answer = True
        trace = trace.tb_next
    return question, is_inside_answer


def read_notebook() -> dict:
    """Return the notebook of this kernel, of which Jupyter says the path; else an empty one."""
    try:
        text = Path(os.environ.get("JPY_SESSION_NAME", "")).read_text(encoding="utf-8")
        notebook = json.loads(text)
    except (OSError, ValueError):
        return {}
    return notebook if isinstance(notebook, dict) else {}


def choose_language() -> str:
    """Let this kernel, and what it starts, speak the language of its notebook; return it.

    Where Jupyter does not say which notebook that is, its first cell has set it.
    """
    metadata = read_notebook().get("metadata")
    if isinstance(metadata, dict) and metadata.get("language") in LANGUAGES:
        os.environ["LAB_LANGUAGE"] = metadata["language"]
    return os.environ.get("LAB_LANGUAGE", "")


def find_cell(name: str, running: str = "") -> str | None:
    """Return the first line of the cell that defines a name; None if none is known to.

    It is the nearest above the cell that was run or, if there is none, the first.
    """
    try:
        cells = read_notebook()["cells"]
        sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (LookupError, TypeError):
        return None
    if running in sources:
        place = sources.index(running)
        sources = [*reversed(sources[:place]), *sources[place + 1 :]]
    for source in sources:
        python = re.sub(r"^(\s*)[!%].*", r"\1pass", source, flags=re.MULTILINE)  # IPython's lines
        try:
            names = symtable.symtable(python, "", "exec").get_symbols()
        except (SyntaxError, ValueError):
            continue
        if any(s.get_name() == name and (s.is_assigned() or s.is_imported()) for s in names):
            line = re.split("[\r\n]", source.strip(), maxsplit=1)[0]
            return line if len(line) <= MAX_FIRST_LINE else line[:MAX_FIRST_LINE].rstrip() + " ..."
    return None
