"""What runs when a submission is graded: the student's cells, and the reference's checks."""

import ast
import builtins
import hashlib
import re
import symtable
from dataclasses import dataclass

from IPython.core.inputtransformer2 import TransformerManager

from lab_grade.notebook import (
    ANY_CHECK,
    BEFORE_CHECK,
    NOT_PYTHON,
    Assignment,
    Cell,
    Check,
    drop_magics,
    drop_texts,
    find_definitions,
    find_first_line,
    normalize_check,
    parse_cell,
    strip_spaces,
)
from lab_grade.reading import Submission, strip_stub

# Commands that install packages: in a shell's cell, after ! or % or as a line of their own.
INSTALLER = (
    r"(?:m?pip[\d.]*|pipx|pipenv|conda|mamba|micromamba|uv|poetry|apt|apt-get|apk|brew|dnf|yum"
    r"|setup\.py)['\",\s]+(?:-\S+\s+|pip\s+)*(?:\w*install|add|sync|update|upgrade)\b"
)
INSTALLS = re.compile(
    rf"\s*(?:{INSTALLER}|(?:[\w.,\[\]\"' ]+=)?\s*[!%].*?\b{INSTALLER}"
    rf"|.*get_ipython\(\)\.\w+\(.*?\b{INSTALLER})"
)
SHELL = re.compile(r"\s*%%\s*(?:bash|sh|zsh|script|cmd|system|sx|!)\b|\s*!!")
# What waits for somebody or needs a screen, which fails here, and what a check may find.
MAY_FAIL = re.compile(
    r"\b(?:input|getpass|login|switch_backend|upload|mount|chdir|breakpoint|set_trace)\s*\("
    r"|^\s*assert\b|^%\w",
    re.MULTILINE,
)
NO_DATA = re.compile(r"import |from |@|(?:async )?def |class |(?:print|display|plt .*?) \(|\w*$")
COLAB = re.compile(r"(?:from\s+google\.colab\b.*?\bimport|import\s+google\.colab\b)(.*)")
# The cell that installs the lab on Colab, whatever address it has there: nothing in it runs here.
LANGUAGE = r'(?:import os\s+os\.environ\["LAB_LANGUAGE"\] = "\w+".*\n)?'  # in a translated one
SETUP = re.compile(
    LANGUAGE + r'if "google\.colab" in str\(get_ipython\(\)\):(?:  #.*)?(?:\n(?:[ \t].*)?)*'
)
# Line magics that run in a bare kernel; others would stop the cell.
MAGICS = re.compile(
    r"alias|autoawait|autoreload|cat|cd|config|cp|debug|dirs|env|hist|history|ll|ls|lsmagic|macro"
    r"|mkdir|mv|pdb|pinfo2?|precision|prun|psource|pwd|pylab|rerun|reset|reset_selective|rm|rmdir"
    r"|run|save|set_env|sx|system|time|timeit|unload_ext|who|who_ls|whos|xmode"
)
MAGIC = re.compile(r"%(\w+)[ \t]*(.*)")
MIN_COMPARED = 200  # characters: two students may well write the same few lines


@dataclass(frozen=True)
class Step:
    """What runs next: a cell of the student's, or a check of the reference."""

    number: int  # the student's code cell, counted from 1; 0 for a given one that was put back
    source: str
    check: Check | None = None

    @property
    def kind(self) -> str:
        """What `process.run_submission` makes of it: "cell", "check" or "hidden"."""
        return "cell" if self.check is None else "hidden" if self.check.hidden else "check"


def plan_steps(assignment: Assignment, submission: Submission) -> list[Step]:
    """Return the student's cells with the reference's checks among them, each once.

    A check stands where the student has it, if that is after its answer and in order. Otherwise
    it is put back after the cells that answer it. A changed check runs as the student's own
    code, which earns nothing, and is followed by the reference's. Given cells that are missing,
    or whose data were changed, are put back as well.
    """
    code = [_drop_installs(source, submission) for source in submission.code]
    code = _drop_stubs(assignment, [_drop_foreign_lines(s, submission) for s in code])
    places = _place_checks(assignment, submission, code)
    given = _place_given(assignment, submission, code)
    originals = {normalize_check(check.source) for check in assignment.checks}
    answers = set().union(*_find_answer_names(assignment).values())
    released = {drop_texts(cell.released) for cell in assignment.cells}
    done = [Step(0, source) for source in given.get(-1, [])]
    for i, source in enumerate(code):
        if not (_find_mark(source) and normalize_check(source) in originals):
            bare = strip_spaces(source)
            is_given = drop_texts(source) in released or SETUP.fullmatch(bare)
            parts = [source] if is_given else _split_cell(source, answers)
            done += [Step(i + 1, part) for part in parts]
        done += [Step(0, source) for source in given.get(i, [])]
        done += [Step(i + 1, check.source, check) for check in places.get(i, [])]
    return done


def _drop_stubs(assignment: Assignment, code: list[str]) -> list[str]:
    """Return cells without those that are as handed out, where another one holds the answer."""
    stubs = {strip_stub(cell.released) for cell in assignment.cells if cell.is_answer}
    answers = [frozenset() if strip_stub(s) in stubs else find_definitions(s) for s in code]
    kept = []
    for i, source in enumerate(code):
        others = answers if "raise NotImplementedError" in source else answers[:i]
        names = find_definitions(source) - answers[i]
        kept.append("pass" if names and names <= set().union(*others) else source)
    return kept


def _find_mark(source: str) -> re.Match | None:
    """Return the mark of a check, if that is what a cell is."""
    return ANY_CHECK.match(find_first_line(BEFORE_CHECK.sub("", source, count=1)))


def _place_given(
    assignment: Assignment, submission: Submission, code: list[str]
) -> dict[int, list[str]]:
    """Return for each cell's index the given cells that are put back after it.

    Those are cells without which a check or the student's code lacks a name, and those whose
    data a check needs as they were.
    """
    present = set(map(strip_spaces, code))
    lost = [
        (k, cell)
        for k, cell in enumerate(assignment.cells)
        if cell.is_given and strip_spaces(cell.source) not in present
    ]
    if not lost:
        return {}
    defined = {name for source in code for name in find_definitions(source, imports=True)}
    data = {fact for source in code for fact in _list_data(source)}
    checks = [cell.source for cell in assignment.cells if cell.check]
    checked = _find_needed([*checks, assignment.collect_prelude()])
    needed = checked | _find_needed(code)
    located = [_locate(cell, code) for cell in assignment.cells]
    places: dict[int, list[str]] = {}
    for k, cell in lost:
        names = find_definitions(cell.source, imports=True)
        is_missing = bool((names - defined) & needed)
        changed = {name for name, _ in _list_data(cell.source) - data}
        if is_missing or (names if "" in changed else changed) & checked:
            first = find_first_line(cell.source)[:60]
            text = (
                f"the given cell {first!r} was {'missing' if is_missing else 'changed'}; "
                "it was put back"
            )
            submission.flag("file", text)
            place = next((i for i in reversed(located[:k]) if i is not None), -1)
            end = next((i for i in located[k + 1 :] if i is not None), len(code))
            for i in range(place + 1, end):  # after what the student has made of it
                if names & find_definitions(code[i], imports=True):
                    place = i
            places.setdefault(place, []).append(cell.source)
    return places


def _locate(cell: Cell, code: list[str]) -> int | None:
    """Return where a student has a cell: the first that is the same, or that answers it."""
    names = find_definitions(cell.source) if cell.is_answer else frozenset()
    same = normalize_check(cell.released)
    for i, source in enumerate(code if cell.kind == "code" else []):
        if normalize_check(source) == same or names & find_definitions(source):
            return i
    return None


def _list_data(source: str) -> set[tuple[str, str]]:
    """Return a cell's variables with their statements; "" with its loops, seeds and calls."""
    found, tree = set(), parse_cell(source)
    for node in tree.body if tree else []:
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            stored = [n for n in ast.walk(node) if isinstance(n, ast.Name)]
            found |= {(n.id, ast.dump(node)) for n in stored if isinstance(n.ctx, ast.Store)}
        elif not NO_DATA.match(what := drop_texts(ast.unparse(node))):
            found.add(("", what))
    return found


def _find_needed(sources: list[str]) -> set[str]:
    """Return the names that code takes from elsewhere, other than those local to its functions."""
    names: set[str] = set()
    for source in sources:
        try:
            tables = [symtable.symtable(drop_magics(source), "", "exec")]
        except NOT_PYTHON:
            continue
        for table in tables:  # which grows
            tables += table.get_children()
            used = [s for s in table.get_symbols() if s.is_referenced()]
            is_top = table.get_type() == "module"
            names |= {s.get_name() for s in used if is_top or s.is_global()}
        if _find_mark(source):
            names -= find_definitions(source, imports=True)
    return names - set(vars(builtins))


def _split_cell(source: str, answers: set[str]) -> list[str]:
    """Return a cell in parts, each of which may fail without taking what follows with it.

    Those end with an assert, such as that of a check that was merged with answers, and with what
    waits for somebody; in a cell of imports, other than an answer, with each statement.
    """
    if not MAY_FAIL.search(source) and "import" not in source:
        return [source]
    python = re.sub(r"^\s*%%(?:time|capture)\b.*\n", "\n", source)
    python = TransformerManager().transform_cell(python)
    try:
        body = ast.parse(python).body
    except NOT_PYTHON:
        return [source]
    is_setup = not answers & find_definitions(source) and any(
        isinstance(node, ast.Import | ast.ImportFrom) for node in body
    )
    is_same = source.rstrip("\n").count("\n") == python.rstrip("\n").count("\n")
    lines, cuts, may_fail = (source if is_same else python).split("\n"), [0], False
    for last, node in zip([None, *body], body, strict=False):
        if may_fail and last and last.end_lineno and node.lineno > last.end_lineno:
            cuts.append(last.end_lineno)
        text = "\n".join(lines[node.lineno - 1 : node.end_lineno])
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        may_fail = not is_function and bool(is_setup or MAY_FAIL.search(text))
    parts = ["\n".join(lines[i:j]) for i, j in zip(cuts, [*cuts[1:], len(lines)], strict=True)]
    return parts if len(parts) > 1 else [source]


def find_own_cells(assignment: Assignment, sources: list[str]) -> list[tuple[int, str]]:
    """Return cells that are no checks, not as handed out, nor install the lab; with numbers."""
    given = {drop_texts(cell.released) for cell in assignment.cells}
    return [
        (number, source)
        for number, source in enumerate(sources, start=1)
        if drop_texts(source) not in given
        and not _find_mark(source)
        and not SETUP.fullmatch(strip_spaces(source))
    ]


def hash_code(assignment: Assignment, sources: list[str]) -> str:
    """Return the SHA-256 of what a student wrote but comments and layout; "" where it is little."""
    own = [source for _, source in find_own_cells(assignment, sources)]
    trees = map(parse_cell, own)
    written = [ast.unparse(t) if t else strip_spaces(s) for t, s in zip(trees, own, strict=True)]
    text = "\n".join(written)
    return hashlib.sha256(text.encode()).hexdigest() if len(text) >= MIN_COMPARED else ""


def _place_checks(
    assignment: Assignment, submission: Submission, code: list[str]
) -> dict[int, list[Check]]:
    """Return for each cell's index the checks that run after it."""
    visible = [check for check in assignment.checks if not check.hidden]
    answers = _find_answer_names(assignment)
    located = _locate_checks(visible, answers, submission, code)
    places: dict[int, list[Check]] = {}
    previous = -1
    for k, check in enumerate(visible):
        ahead = [located[c.question] for c in visible[k + 1 :] if c.question in located]
        end = min([place for place in ahead if place > previous], default=len(code))
        names = answers[check.question]
        place = located.get(check.question)
        answered = [i for i in range(previous + 1, end) if names & find_definitions(code[i])]
        if place is not None and (place <= previous or (answered and place < answered[0])):
            submission.flag("tampering", f"the check of {check.question} was moved")
            place = None
        if place is None:
            # After its answer, before anything that belongs to a later question.
            place = answered[0] if answered else max(previous, 0)
            own = [cell.check for cell in assignment.cells].index(check)
            later = {drop_texts(cell.released) for cell in assignment.cells[own + 1 :]}
            others = set().union(*(answers[c.question] for c in visible[k + 1 :]))
            for i in range(place + 1, end):
                if others & find_definitions(code[i]) or drop_texts(code[i]) in later:
                    break
                place = i
        of_question = [c for c in assignment.checks if c.question == check.question]
        places.setdefault(place, []).extend(of_question)
        previous = place
    return places


def _locate_checks(
    visible: list[Check], answers: dict[str, set[str]], submission: Submission, code: list[str]
) -> dict[str, int]:
    """Return the place of each question's check, for those that are in the right order."""
    found: dict[str, list[int]] = {}
    for i, source in enumerate(code):
        marked = _find_mark(source)
        if marked and marked[2]:
            submission.flag("tampering", f"it holds a hidden check of {marked[1]}")
        elif marked:
            found.setdefault(marked[1].lower(), []).append(i)
    known = {check.question: check for check in visible}
    for question in found.keys() - known.keys():
        submission.flag("tampering", f"there is a check of {question}, which is not a question")
    order = []
    for question, check in known.items():
        places = found.get(question, [])
        same = [i for i in places if normalize_check(code[i]) == normalize_check(check.source)]
        if not places:
            submission.flag("tampering", f"the check of {question} was missing; it was put back")
        elif len(same) < len(places):
            submission.flag("tampering", f"the check of {question} was changed; it was put back")
        if len(places) > 1:
            submission.flag("tampering", f"the check of {question} was there more than once")
        answered = [
            i for i, source in enumerate(code) if answers[question] & find_definitions(source)
        ]
        after = [i for i in same or places if i > min(answered, default=-1)]
        if after:
            order.append((question, after[0]))
    kept = _find_longest_increasing(order)
    for question in known:
        if question in found and question not in kept:
            submission.flag("tampering", f"the check of {question} was moved")
    return kept


def _find_longest_increasing(order: list[tuple[str, int]]) -> dict[str, int]:
    """Return the longest subsequence of the places that increases; of several, the first to end."""
    chains: list[list[tuple[str, int]]] = [[("", -1)]]
    for item in order:
        before = [chain for chain in chains if chain[-1][1] < item[1]]
        chains.append([*max(before, key=lambda chain: (len(chain), -chain[-1][1])), item])
    return dict(max(chains, key=lambda chain: (len(chain), -chain[-1][1]))[1:])


def _find_answer_names(assignment: Assignment) -> dict[str, set[str]]:
    """Return for each question the names that its answer cells define."""
    names: dict[str, set[str]] = {}
    new: set[str] = set()
    for cell in assignment.cells:
        if cell.is_answer:
            new |= find_definitions(cell.source)
        elif cell.check and cell.check.question not in names:
            names[cell.check.question], new = new, set()
    return names


def _drop_installs(source: str, submission: Submission) -> str:
    """Leave out lines that install packages: they would change the instructor's machine."""
    if SETUP.fullmatch(strip_spaces(source)):
        return source
    kept, is_shell = [], SHELL.match(source) is not None
    for line in re.split(r"(?<!\\)\n", source):
        if INSTALLS.match(("!" if is_shell else "") + line[:1000].replace("\\\n", " ")):
            indent = line[: len(line) - len(line.lstrip())]
            ours = f"{indent}{':' if is_shell else 'pass'}  # nothing is installed here"
            kept += [ours] * (1 + line.count("\n"))
            submission.flag("file", "lines that install packages were left out")
        else:
            kept.append(line)
    return "\n".join(kept)


def _drop_foreign_lines(source: str, submission: Submission) -> str:
    """Leave out lines at the beginning of a cell that only Colab or another front end knows.

    Only at the beginning, before any other code: further down they may be part of a text, or of
    code that expects them to fail.
    """
    lines = source.split("\n")
    names = {"google.colab"}  # what these lines import
    for i, line in enumerate(lines):
        if colab := COLAB.match(line[:300]):
            names |= set(re.findall(r"\w+", colab[1].partition("#")[0]))
            is_foreign = True
        elif magic := MAGIC.match(line[:300]):
            is_foreign = not _runs_anywhere(*magic.groups())
        else:
            is_foreign = any(line.startswith(f"{name}.") for name in names)
            if not is_foreign and not re.match(r"\s*$|#|!|import |from |pass\b", line):
                break
        if is_foreign:
            text = f"{line.strip()[:60]!r} was left out: it is for Colab or another front end"
            submission.flag("file", text)
            lines[i] = "pass  # left out"
    return "\n".join(lines)


def _runs_anywhere(magic: str, arguments: str) -> bool:
    """Tell whether a line magic needs nothing but a kernel."""
    words = arguments.partition("#")[0].split()
    if magic == "matplotlib":
        return not words or words[0] in ("inline", "agg", "--list", "-l")
    if magic in ("load_ext", "reload_ext"):
        return words == ["autoreload"]
    return MAGICS.fullmatch(magic) is not None
