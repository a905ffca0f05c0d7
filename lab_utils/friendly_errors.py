"""Says in one calm line what a notebook would show as a traceback.

That is what a check cell found, which cell to run first after a restart, and what has become of the
arguments of the 2021 course. In the folder of a translation it is said in its language.
"""

import json
import linecache
import os
import re
import symtable
from pathlib import Path
from types import TracebackType
from typing import Any

from text_recognizer.language import read_translations

UNANSWERED = "your code is still missing"  # what `lab-release` writes in place of an answer
SHOWN = (AssertionError, AttributeError, NameError, NotImplementedError, TypeError)
MAX_FIRST_LINE = 60  # characters of a cell that is named
LINES = {
    "unanswered": "{}: not answered yet",
    "hint": "{}, not yet: {}",
    "nothing returned": "{}, not yet: your function returns None. Does it end with `return`?",
    "undefined": (
        "{} is not defined yet: run the cell that begins with  {}  first, "
        "or all cells above this one."
    ),
    "old argument": "Lightning's Trainer has no {}= any more: write {}.",
}
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


def describe_failure(error: BaseException, trace: TracebackType | None) -> str | None:
    """Return what to tell a student about an error.

    Parameters
    ----------
    error : BaseException
        What was raised.
    trace : TracebackType or None
        Its traceback. The first frame whose code begins with `# CHECK q1` is the check.

    Returns
    -------
    str or None
        One line: that the answer is missing, the hint of the check, that a function returns
        nothing, which cell to run first, or how an argument is written today. None where the
        traceback says more, such as of a mistake inside an answer.
    """
    old = re.search(r"Trainer\.__init__\(\) got an unexpected keyword argument '(\w+)'", str(error))
    if old and old.group(1) in OLD_ARGUMENTS:
        return LINES["old argument"].format(old.group(1), OLD_ARGUMENTS[old.group(1)])
    undefined = re.fullmatch(r"name '(\w+)' is not defined", str(error))
    if undefined and (cell := find_cell(undefined.group(1))):
        return LINES["undefined"].format(undefined.group(1), cell)
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
        return LINES["unanswered"].format(question) if str(error) == UNANSWERED else None
    if is_inside_answer:
        return None
    if isinstance(error, AssertionError):
        return LINES["hint"].format(question, error) if str(error) else None
    if "NoneType" in str(error):
        return LINES["nothing returned"].format(question)
    return None


def find_cell(name: str) -> str | None:
    """Return the first line of the first cell that defines a name; None if none is known to.

    Jupyter says in `JPY_SESSION_NAME` which notebook a kernel belongs to.
    """
    path = Path(os.environ.get("JPY_SESSION_NAME", ""))
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    for source in sources:
        python = re.sub(r"^[!%].*", "", source, flags=re.MULTILINE)  # lines for IPython alone
        try:
            names = symtable.symtable(python, "", "exec").get_symbols()
        except (SyntaxError, ValueError):
            continue
        if any(s.get_name() == name and (s.is_assigned() or s.is_imported()) for s in names):
            line = re.split("[\r\n]", source.strip(), maxsplit=1)[0]
            return line if len(line) <= MAX_FIRST_LINE else line[:MAX_FIRST_LINE].rstrip() + " ..."
    return None


def _folder(path: str) -> str:
    """Return what the paths begin with under which a kernel keeps the code of its cells."""
    return path[: path.rfind("/") + 1] or path[:14]  # "<ipython-input-1-..." has no folder


def translate(line: str, translations: dict[str, str]) -> str:
    """Return a line as its translation has it; as it is, if there is none.

    Of several templates that fit, `LINES` come first, as hints are values in them, and then those
    with more words.
    """

    def rank(template: str) -> tuple[bool, int]:
        return template not in LINES.values(), -len(template.replace("{}", ""))

    for english in sorted(translations, key=rank):
        pattern = "(.*?)".join(map(re.escape, english.split("{}")))
        if found := re.fullmatch(pattern, line, re.DOTALL):
            values = [translate(value, translations) for value in found.groups()]
            return translations[english].format(*values)
    return line


def load_ipython_extension(shell: Any) -> None:
    """Let an IPython shell show these lines instead of tracebacks."""
    translations = read_translations()

    def show(shell, kind, error, trace, tb_offset=None):
        line = describe_failure(error, trace)
        if line is None:
            shell.showtraceback((kind, error, trace), tb_offset=tb_offset)
        else:
            print(translate(line, translations))

    shell.set_custom_exc(SHOWN, show)
