"""Finds what a student can be told: in the library, the lab, the grader, the canvas, the checks.

A message that is put together of values is one message, with {} in the place of each value.
"""

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

from lab_grade.report import FOR_STUDENTS
from lab_utils.friendly_errors import UNANSWERED
from lab_utils.start_page import COURSE, SIGNS

# Calls whose texts are shown as errors, or become part of one.
ERRORS = re.compile(r"(?!Attribute|Key|Name|NotImplemented)\w*Error|TrainingInterrupted")
PARTS_OF_ERRORS = {"cannot_write", "missing_or_damaged", "check_number", "_wrong_value"}
SHOWN = {"_", "Step", "Form"}
GRADERS = {"grader", "placement", "reading", "recorder", "report", "results", "submissions"}
GRADED = {"EXPLAINED", "TROUBLE", "BEGINNINGS", "SAY"}  # tables of what the grader says
PACKAGES = ("text_recognizer", "lab_utils", "lab_grade")
# In scripts and templates: what is looked up, and lines that say so of all their texts.
SCRIPT = re.compile(
    r'\b(?:word\(|say\(|makeBox\("\w+",|makeButton\("\w+",|Error\()\s*"([^"\n]+)"|data-word>([^<]+)<',
    re.DOTALL,
)
MARKED = re.compile(r"^.*// labels?\b.*$", re.MULTILINE)
# Labels that scripts choose from; a comment beside them would make each canvas larger.
LABELS = (
    "The canvas is full: clear it first.",
    "The kernel does not answer: run this cell again.",
    "digit",
    "small",
    "capital",
    "Save the drawing as {}",
    "Take {}",
    "Write a word or a line",
    "Write a letter or a digit",
    "1 stroke",
    "{} strokes",
    "Next character",
    "Next",
    "Next line",
)
TEMPLATE = re.compile(r'\b_\(\s*"([^"]+)"')
# What operating systems say, as part of a message of ours.
REASONS = (
    "[Errno {}] {}: {}",
    "[Errno {}] {}",
    "No space left on device",
    "Permission denied",
    "No such file or directory",
    "Is a directory",
    "Not a directory",
    "File name too long",
    "Read-only file system",
    "Disk quota exceeded",
    "File too large",
)


def find_messages(root: Path) -> list[str]:
    """Return what the code of a checkout can say, in the order of its files, each once."""
    found = []
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            if package == "lab_grade" and path.stem not in GRADERS:
                continue
            found += _find_in_python(path.read_text(encoding="utf-8"), package != "lab_grade")
        for path in sorted((root / package).rglob("*.[jh][st]*")):
            found += _find_in_page(path.read_text(encoding="utf-8"))
    titles = [b.title for b in COURSE] + [*SIGNS]
    return list(dict.fromkeys([*found, *titles, UNANSWERED, *REASONS]))


def _find_in_page(text: str) -> list[str]:
    """Return the labels of a script or of a page, and what a template of Jinja marks."""
    found = [first or second for first, second in SCRIPT.findall(text)] + TEMPLATE.findall(text)
    found += [label for label in LABELS if f'"{label}"' in text]
    for line in MARKED.findall(text):
        found += [text for text in re.findall(r'"([^"\n]+)"', line) if re.search("[a-z]{2}", text)]
    return found


def _find_in_python(source: str, with_errors: bool) -> list[str]:
    """Return what a module marks with `_`, and what its errors say."""
    tree = ast.parse(source)
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    found: list[tuple[int, str]] = []
    if isinstance(reasons := constants.get("REASONS"), ast.Tuple):
        pairs = [part.elts[-1] for part in reasons.elts if isinstance(part, ast.Tuple)]
        found += [(reasons.lineno, text) for part in pairs for text in make_templates(part)]
    for node in ast.walk(tree):
        parts = list(_list_told(node) if with_errors else _list_graded(node))
        found += [(node.lineno, text) for part in parts for text in make_templates(part, constants)]
    return [text for _line, text in sorted(found) if re.search(r"[A-Za-z]{2}", text)]


def _list_told(node: ast.AST) -> Iterator[ast.expr]:
    """Yield what the library and the lab tell: what is marked, and errors."""
    match node:
        case ast.FunctionDef(name=name, args=arguments) if name in PARTS_OF_ERRORS:
            yield from arguments.defaults
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=given):
            if name in PARTS_OF_ERRORS:
                yield from [*given[1:], *(keyword.value for keyword in node.keywords)]
            elif name in SHOWN or ERRORS.fullmatch(name):
                yield from given[:1]


def _list_graded(node: ast.AST) -> Iterator[ast.expr]:
    """Yield what the grader tells students: flags for them, problems, and tables of both."""
    match node:
        case ast.Call(func=ast.Attribute(attr="flag"), args=[ast.Constant(value=kind), text]):
            if kind in FOR_STUDENTS:
                yield text
        case ast.Call(func=ast.Name(id="_" | "ValueError"), args=given):
            yield from given[:1]
        case ast.Assign(
            targets=[ast.Name(id="text" | "why" | "last") | ast.Attribute(attr="problem")],
            value=value,
        ):
            yield value
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Dict(values=values)):
            if name in GRADED:
                yield from values
        case ast.FunctionDef(name="_explain" | "_name_kind" | "explain_failure"):
            yield from (part.value for part in ast.walk(node) if isinstance(part, ast.Return))


def make_templates(message: ast.expr, constants: dict[str, ast.expr] | None = None) -> list[str]:
    """Return the texts of a message in a program, with {} in the place of each value.

    There are several where a part of it depends on a condition.
    """
    constants = constants or {}
    match message:
        case ast.Constant(value=str(text)):
            return [re.sub(r"\{\w+:\w+\}", "{}", text)]  # what str.format will fill in
        case ast.Name(id=name) if name in constants:
            return make_templates(constants[name], constants)
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="get")) if name in constants:
            table = constants[name]  # a dict of sentences
            values = table.values if isinstance(table, ast.Dict) else []
            return [text for value in values for text in make_templates(value, constants)]
        case ast.JoinedStr(values=parts):
            ways = [make_templates(part, constants) or ["{}"] for part in parts]
            return ["".join(way) for way in itertools.product(*ways)]
        case ast.FormattedValue(value=value):
            return make_templates(value, constants)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            ways = [make_templates(part, constants) or ["{}"] for part in (left, right)]
            return ["".join(way) for way in itertools.product(*ways)]
        case ast.BinOp(left=ast.Constant(value=str(text)), op=ast.Mult()):
            return ["", text]
        case ast.IfExp(body=body, orelse=orelse):
            ways = [make_templates(part, constants) or ["{}"] for part in (body, orelse)]
            return [*ways[0], *ways[1]] if ways != [["{}"], ["{}"]] else []
        case ast.BoolOp(values=values):
            ways = [make_templates(part, constants) or ["{}"] for part in values]
            return [text for way in ways for text in way] if ways != [["{}"]] * len(ways) else []
    return []
