"""Checks on their way to a grading kernel: instrumented, compiled, signed; and its answers."""

import ast
import hashlib
import marshal
import secrets
from base64 import b64decode, b64encode

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

    def encode_check(self, step: dict) -> tuple[str, str]:
        """Return the message that runs a check, and its challenge."""
        challenge, names = secrets.token_hex(16), [f"_{secrets.token_hex(8)}" for _ in "cas"]
        instrument = Instrument(*names)

        def compile_source(source: str, filename: str, mark: bool = False):
            tree = instrument.visit(ast.parse(source))
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
                told, outcome, message, line, replaced = marshal.loads(answer)
                if told == challenge:
                    return {
                        "outcome": outcome,
                        "message": message,
                        "line": line,
                        "replaced": replaced,
                    }
        except (KeyError, TypeError, ValueError, EOFError):
            pass
        return {"outcome": "forged", "message": "the answer was not the grader's"}
