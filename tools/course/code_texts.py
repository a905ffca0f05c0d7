"""Translates what a code cell says, its comments and texts, and leaves the program as it is."""

import ast
import io
import re
import tokenize
import unicodedata
from collections.abc import Iterator, Mapping

from lab_utils.friendly_errors import UNANSWERED

# A check is the grader's, a first cell is of `links.py`; of the first, one line speaks to students.
PASSED = re.compile(r'(?<=^print\()f?"q\d+: passed.*"(?=\)$)', re.MULTILINE)
# Calls and arguments whose texts are read by people, even single words.
SHOWING = re.compile(
    r"print|LabError|(?:set_)?(?:title|[xy]?label)|text|annotate|legend|[xy]ticks|set_[xy]ticks"
    r"|PictureUpload|tqdm|trange"
)
ARGUMENTS = re.compile(r"title|titles|label|labels|[xy]label|desc|description")
MAX_WIDTH = 100  # columns, as in pyproject.toml
NOT_TOLD = ("# YOUR CODE HERE", "# fmt: skip", UNANSWERED)  # the grader and ruff look for them


def find_texts(source: str) -> list[str]:
    """Return what may be translated in a cell: comments, and the content of texts, as written.

    Those are texts with a space in them, and all that figures and printed lines are made of.
    """
    return list(dict.fromkeys(text for _start, _end, text in _locate(source)))


def find_keys(source: str) -> set[str]:
    """Return the keys under which a cell keeps something in a dictionary of its own."""
    keys = set()
    for node in ast.walk(ast.parse(drop_magics(source))):
        if isinstance(node, ast.Dict):
            keys |= {str(_value(key)) for key in node.keys}
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
            keys.add(str(_value(node.slice)))
    return keys


def translate_code(source: str, translations: Mapping[str, str], keys: set[str]) -> str:
    """Return a cell with its texts translated, as far as there are translations.

    Keys are renamed wherever they stand, if they are among those that the notebook chose itself.

    Raises
    ------
    ValueError
        If that would be another program.
    """
    lines = source.encode().split(b"\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    content = source.encode()
    for start, end, text in sorted(_locate(source, keys), reverse=True):
        if said := translations.get(text):
            first, last = (starts[row - 1] + column for row, column in (start, end))
            quoted = content[first:last].decode()
            new = said if quoted.startswith("#") else _quote(said, quoted, start[1])
            content = content[:first] + new.encode() + content[last:]
    translated = content.decode()
    if translated != source and simplify(translated) != simplify(source):
        raise ValueError(f"its translation is another program:\n{translated}")
    return translated


def _quote(text: str, old: str, indent: int) -> str:
    """Return a text between the quotation marks that an old one has, on several lines if it is."""
    found = re.match(r'(\w*)("""|")', old)
    prefix, mark = found.groups() if found else ("", '"')
    if mark == '"' and "\n" in old:
        lines = [""]
        for word in re.findall(r"(?:\{[^}]*\}|[^ {])*(?: +|$)", text):
            if measure(lines[-1] + word) > MAX_WIDTH - indent - len(prefix) - 2:
                lines.append("")
            lines[-1] += word
        return ("\n" + " " * indent).join(f'{prefix}"{line}"' for line in lines)
    return f"{prefix}{mark}{text}{mark}"


def measure(text: str) -> int:
    """Return how many columns a text takes in an editor, in which Hangul is twice as wide."""
    return sum(1 + (unicodedata.east_asian_width(letter) in "WF") for letter in text)


def _locate(
    source: str, keys: set[str] | None = None
) -> Iterator[tuple[tuple[int, int], tuple[int, int], str]]:
    """Yield where each text begins and ends, line and byte of it, and what it says.

    With `keys`, any text of the program but the keys of others' dictionaries.
    """
    if source.startswith("# CHECK"):
        for found in PASSED.finditer(source):
            row = source.count("\n", 0, found.start()) + 1
            column = found.start() - source.rfind("\n", 0, found.start()) - 1
            text = found[0].removeprefix("f")[1:-1]
            yield (row, column), (row, column + len(found[0].encode())), text
        return
    python = drop_magics(source)
    lines = python.split("\n")
    for token in tokenize.generate_tokens(io.StringIO(python).readline):
        if token.type == tokenize.COMMENT and token.string not in NOT_TOLD:
            row, column = token.start
            column = len(lines[row - 1][:column].encode())
            yield (row, column), (row, column + len(token.string.encode())), token.string
    for node in _list_texts(ast.parse(python), keys):
        text = _read_text(ast.get_source_segment(python, node) or "")
        if (
            text
            and text not in NOT_TOLD
            and re.search(r"[A-Za-z]{2}", re.sub(r"\{[^\"']*?\}", "", text))
        ):
            end = node.end_lineno or 0, node.end_col_offset or 0
            yield (node.lineno, node.col_offset), end, text


def _list_texts(tree: ast.AST, keys: set[str] | None) -> Iterator[ast.Constant | ast.JoinedStr]:
    """Yield the texts of a program that are shown, and those of several words."""
    shown, inner = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and _value(node.slice) not in (keys or ()):
            inner.add(id(node.slice))
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            told = node.args if SHOWING.fullmatch(name) else []
            told = [*told, *(k.value for k in node.keywords if ARGUMENTS.fullmatch(k.arg or ""))]
            shown |= {id(part) for one in told for part in _list_parts(one)}
        elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "titles":
            shown |= {id(part) for part in _list_parts(node.value)}
        elif isinstance(node, ast.For):
            shown |= {id(part) for part in _list_names(node.target, node.iter)}
        elif isinstance(node, ast.Dict) and any(" " in str(_value(key)) for key in node.keys):
            shown |= {id(key) for key in node.keys}
        elif isinstance(node, ast.List) and any(" " in str(_value(part)) for part in node.elts):
            shown |= {id(part) for part in node.elts}
        elif isinstance(node, ast.JoinedStr):
            inner |= {id(part) for part in ast.walk(node) if part is not node}
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.JoinedStr) or (
            isinstance(node, ast.Constant) and isinstance(node.value, str)
        )
        if is_text and id(node) not in inner:
            several = isinstance(node, ast.JoinedStr) or " " in node.value.strip()
            if keys is not None or id(node) in shown or several:
                yield node


def _value(node: ast.expr | None) -> object:
    return node.value if isinstance(node, ast.Constant) else ""


def _list_names(target: ast.expr, values: ast.expr) -> list[ast.expr]:
    """Return what a loop calls `name` or `title`: of a zip, or of tuples that stand there."""
    targets = [getattr(part, "id", "") for part in getattr(target, "elts", [])]
    is_zip = isinstance(values, ast.Call) and getattr(values.func, "id", "") == "zip"
    rows = (
        [values.args]
        if is_zip
        else [r.elts for r in getattr(values, "elts", []) if hasattr(r, "elts")]
    )
    named = [i for i, name in enumerate(targets) if name in ("name", "title")]
    return [part for row in rows for i in named if i < len(row) for part in _list_parts(row[i])]


def _list_parts(node: ast.expr) -> list[ast.expr]:
    """Return a value, and those that a list, a tuple, a sum or a choice is made of."""
    match node:
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            return [p for part in parts for p in _list_parts(part)]
        case ast.BinOp(left=left, right=right) | ast.IfExp(body=left, orelse=right):
            return [*_list_parts(left), *_list_parts(right)]
    return [node]


def _read_text(segment: str) -> str | None:
    """Return what stands between quotation marks, of several pieces joined; None if they differ."""
    pieces = re.findall(r'([a-zA-Z]*)("""(?:.*?)"""|"(?:[^"\\\n]|\\.)*")', segment, re.DOTALL)
    bare = re.sub(r'[a-zA-Z]*(?:"""(?:.*?)"""|"(?:[^"\\\n]|\\.)*")', "", segment, flags=re.DOTALL)
    if not pieces or bare.strip() or len({prefix for prefix, _ in pieces if prefix}) > 1:
        return None
    return "".join(piece.removeprefix('"""').removesuffix('"""').strip('"') for _, piece in pieces)


def drop_magics(source: str) -> str:
    """Return a cell as Python, in which each line stays where it is."""
    return re.sub(r"^(\s*)[!%].*", r"\1pass", source, flags=re.MULTILINE)


def simplify(source: str) -> str:
    """Return a program without what its texts say; of a text, the values in it remain."""

    class Emptied(ast.NodeTransformer):
        def visit_Constant(self, node):
            return ast.Constant("") if isinstance(node.value, str) else node

        def visit_JoinedStr(self, node):
            values = [self.visit(v.value) for v in node.values if isinstance(v, ast.FormattedValue)]
            values = [v for v in values if not isinstance(v, ast.Constant)]
            return ast.Tuple(sorted(values, key=ast.dump) or [], ast.Load())

    tree = Emptied().visit(ast.parse(drop_magics(source)))
    return ast.dump(tree).replace("Tuple(ctx=Load())", "Constant(value='')")
