"""Checks on their way to a grading kernel: instrumented, compiled, signed; and its answers.

Whoever has found the key can sign any answer, but not tell which is right: decoys go among the
checks, the same with one assert turned round. No answer passes a check and its decoy.
"""

import ast
import hashlib
import marshal
import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass

PREFIX = "#lab-grade "
ARITHMETIC = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.Div: "truediv",
    ast.FloorDiv: "floordiv",
    ast.Mod: "mod",
    ast.Pow: "pow",
    ast.MatMult: "matmul",
}
ANSWERED = ("outcome", "message", "line", "replaced", "passes_unsolved", "looked")
OPPOSITES: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.Lt: ast.GtE,
    ast.Gt: ast.LtE,
    ast.In: ast.NotIn,
    ast.Is: ast.IsNot,
}
OPPOSITES |= {other: one for one, other in OPPOSITES.items()}


@dataclass(frozen=True)
class Turn:
    """An assert to be turned round, and the last line after which a decoy tells no more."""

    line: int
    end: int
    last: int

    def apply(self, tree: ast.Module) -> None:
        """Turn the assert round: a check becomes a decoy."""
        asserts = (node for node in ast.walk(tree) if isinstance(node, ast.Assert))
        node = next(node for node in asserts if node.lineno == self.line)
        node.test = negate(node.test)

    def stopped(self, result: dict) -> bool:
        """Tell whether a decoy ended where it should: at what was turned."""
        return result["outcome"] in ("failed", "error") and self.line <= result["line"] <= self.end


def find_turns(source: str) -> list[Turn]:
    """Return the asserts of a check that run at least once whenever it passes."""
    return [
        Turn(node.lineno, node.end_lineno or node.lineno, last)
        for node, last in _find_sure_asserts(ast.parse(source).body)
    ]


def _find_sure_asserts(body: list[ast.stmt], last: int = 0) -> Iterator[tuple[ast.Assert, int]]:
    for node in body:
        end = last or node.end_lineno or node.lineno
        if isinstance(node, ast.Assert):
            yield node, end
        elif isinstance(node, ast.With) or (
            isinstance(node, ast.For)
            and isinstance(node.iter, ast.Tuple | ast.List)
            and any(not isinstance(item, ast.Starred) for item in node.iter.elts)
            and not any(isinstance(inner, ast.Break | ast.Continue) for inner in ast.walk(node))
        ):
            yield from _find_sure_asserts(node.body, end)


def negate(test: ast.expr) -> ast.expr:
    """Return a condition that is false whenever `test` is true: with one comparison turned."""
    turned: ast.expr
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        turned = ast.Compare(test.left, [OPPOSITES[type(test.ops[0])]()], test.comparators)
    elif isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        turned = ast.BoolOp(test.op, [*test.values[:-1], negate(test.values[-1])])
    elif isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return test.operand
    else:
        turned = ast.UnaryOp(ast.Not(), test)
    return ast.copy_location(turned, test)


class Instrument(ast.NodeTransformer):
    """Sends comparisons and arithmetic through the checker, and marks each statement that ran."""

    def __init__(self, compare: str, arithmetic: str, step: str):
        self.compare, self.arithmetic, self.step = compare, arithmetic, step

    def visit_BinOp(self, node):
        self.generic_visit(node)
        name = ARITHMETIC.get(type(node.op))
        if name is None:
            return node
        operands = [ast.Constant(name), node.left, node.right]
        call = ast.Call(ast.Name(self.arithmetic, ast.Load()), operands, [])
        return ast.copy_location(call, node)

    def visit_Compare(self, node):
        self.generic_visit(node)
        names = ast.Tuple([ast.Constant(type(op).__name__) for op in node.ops], ast.Load())
        values = [node.left, *node.comparators]
        return ast.copy_location(
            ast.Call(ast.Name(self.compare, ast.Load()), [names, *values], []), node
        )

    def mark(self, tree: ast.Module) -> int:
        marked = []
        for i, statement in enumerate(tree.body):
            call = ast.Call(ast.Name(self.step, ast.Load()), [ast.Constant(i)], [])
            marked += [statement, ast.copy_location(ast.Expr(call), statement)]
        count, tree.body = len(tree.body), marked
        return count


class Signer:
    """Signed messages to the grading kernel: each with a challenge that its answer repeats."""

    def __init__(self, job: dict):
        self.job, self.key = job, b""

    def greet(self) -> str:
        """Return the first message of a fresh kernel: a new key, and what checks import."""
        self.key = secrets.token_bytes(32)
        prelude = marshal.dumps(compile(self.job["prelude"], "<given>", "exec"))
        return f"{PREFIX}{b64encode(marshal.dumps((self.key, prelude))).decode()} -"

    def sign(self, content: bytes) -> str:
        return hashlib.blake2b(content, key=self.key).hexdigest()

    def encode_check(self, step: dict, turn: Turn | None = None) -> tuple[str, str]:
        """Return the message that runs a check, or a decoy of it, and its challenge."""
        challenge, names = secrets.token_hex(16), [f"_{secrets.token_hex(8)}" for _ in "cas"]
        instrument = Instrument(*names)

        def compile_source(source: str, filename: str, mark: bool = False):
            tree = ast.parse(source)
            if mark and turn:
                turn.apply(tree)
            tree = instrument.visit(tree)
            count = instrument.mark(tree) if mark else 0
            return compile(ast.fix_missing_locations(tree), filename, "exec"), count

        check, count = compile_source(step["source"], "<check>", mark=True)
        message = {
            "challenge": challenge,
            "tools": names,
            "steps": count,
            "check": check,
            "prelude": compile_source(self.job["prelude"], "<given>")[0],
            "unsolved": [compile(cell, "<unsolved>", "exec") for cell in step["unsolved"]],
        }
        content = marshal.dumps(message)
        return f"{PREFIX}{b64encode(content).decode()} {self.sign(content)}", challenge

    def decode_answer(self, reply: dict, challenge: str) -> dict:
        """Return what a check's reply proves."""
        try:
            signed = reply["user_expressions"]["lab"]
            answer = b64decode(signed["answer"])
            if self.sign(answer) == signed["signature"]:
                told, *found = marshal.loads(answer)
                if told == challenge:
                    return dict(zip(ANSWERED, found, strict=True))
        except (KeyError, TypeError, ValueError, EOFError):
            pass
        return {"outcome": "forged", "message": "the answer was not the grader's"}
