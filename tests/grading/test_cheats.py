"""Ways to points that nobody earned, and to what hidden checks hold: each for networks, in PyTorch.

An assignment of two questions and 8 points; each cheat goes for one of them and answers the other
wrongly, so that it earns nothing.
"""

import contextlib
import html
import json
import os
import signal
import socket
import textwrap

import nbformat
import pytest
from cases import WALK
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from lab_grade import cli, sandbox
from lab_grade.bridge import END, Channel, Ended, KernelPeer
from lab_grade.examiner import Examiner, compile_check, find_names, run_check, take_plain
from lab_grade.notebook import Assignment

pytestmark = pytest.mark.slow

GIVEN = """import functools

import torch
import torch.nn.functional as F
from torch import nn


def make_data(seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(400, 2, generator=generator)
    return x, (x[:, 0] * x[:, 1] > 0).long()


def train(network, x, y, steps=60):
    optimizer = torch.optim.Adam(network.parameters(), 0.05)
    for _ in range(steps):
        loss = F.cross_entropy(network(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def accuracy(network, x, y):
    return float((network.eval()(x).argmax(1) == y).float().mean())


@functools.cache
def plain_accuracy():
    torch.manual_seed(0)
    network = nn.Linear(2, 2)
    train(network, *make_data(1))
    return accuracy(network, *make_data(2))"""
NORM = """class Scaled(nn.Module):
    ### BEGIN SOLUTION
    def __init__(self, inputs, outputs):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs))

    def forward(self, x):
        return self.layers(x)
    ### STUDENT
    # pass
    ### END SOLUTION"""
CHECK_NORM = """# CHECK q1 (3 points)
torch.manual_seed(0)
block, x = Scaled(3, 4), torch.randn(50, 3)
y = block(x).detach()
assert tuple(y.shape) == (50, 4), f"the shape is {tuple(y.shape)}"
assert abs(float(y.mean())) < 1e-3, f"the mean is {float(y.mean()):.3f}"
assert abs(float(y.std()) - 1) < 0.1, "the deviation is not 1"
change = float((block(100 * x) - y).detach().abs().max())
assert change < 0.1, f"100 times as large an input changes it by {change:.2f}"
"""
HIDDEN_NORM = """# CHECK q1 hidden (1 point)
torch.manual_seed(1)
x = 7 + 8765.25 * torch.ones(2, 2).cumsum(0)
y = Scaled(2, 6)(x).detach()
assert tuple(y.shape) == (2, 6) and abs(float(y.mean())) < 1e-3, "a secret of the hidden check"
"""
NETWORK = """def best():
    ### BEGIN SOLUTION
    return nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2))
    ### END SOLUTION"""
CHECK_NETWORK = """# CHECK q2 (4 points)
torch.manual_seed(0)
network = best()
train(network, *make_data(1))
ours, theirs = accuracy(network, *make_data(2)), plain_accuracy()
assert ours > theirs + 0.2, f"yours reads {ours:.2f}, a plain one {theirs:.2f}"
"""
SOLVED = """
class Scaled(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.linear, self.norm = nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs)
    def forward(self, x):
        return self.norm(self.linear(x))
"""
WRONG = """
class Scaled(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        BEFORE
    def forward(self, x):
        return AFTER(self.linear(x))
"""
PLAIN = "def best():\n    BEFORE\n    return nn.Linear(2, 2)"


def scaled(start="", before="pass", after=""):
    """Return a wrong answer to the first question, and what is done to make it pass."""
    return start + "\n" + WRONG.replace("BEFORE", before).replace("AFTER", after), PLAIN


def plain(start, before="pass"):
    """Return a wrong answer to the second question, and what is done to make it pass."""
    return WRONG.replace("BEFORE", "pass").replace("AFTER", ""), (
        start + "\n" + PLAIN.replace("BEFORE", before)
    )


FRAMES = (
    WALK
    + """
wanted = []
use = lambda frame: frame.f_globals.update(wanted[-1])
def change(**names):
    wanted.append(names)
    next(walker)
"""
)
MODE = """
import functools
from torch.overrides import TorchFunctionMode
class Mode(TorchFunctionMode):
    pass
def answer(self, function, types, args=(), kwargs=None):
    if function.__name__ == '__float__':
        return 1.0 if args[0].dim() == 0 and len(calls) % 2 else 0.0
    calls.append(1)
    return function(*args, **(kwargs or {}))
calls = []
setattr(Mode, '__torch_' + 'function__', functools.partialmethod(answer))
Mode().__enter__()
"""
DISPATCH = """
from torch.utils._python_dispatch import TorchDispatchMode
class Mode(TorchDispatchMode):
    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        out = operator(*args, **(kwargs or {}))
        return torch.zeros_like(out) if 'mean' in str(operator) or 'max' in str(operator) else out
Mode().__enter__()
"""
REGISTERED = """
library = torch.library.Library('aten', 'IMPL')
library.impl('abs', lambda x: torch.zeros_like(x), 'CPU')
library.impl('mean', lambda x, dtype=None: torch.zeros(()), 'CPU')
"""
HOOKED = """
nn.modules.module.register_module_forward_hook(
    lambda module, x, y: y * 0 if type(module) is nn.Linear and not module.training else None)
"""
PUT_BACK = """
right = nn.Linear.forward
def wrong(self, x):
    if not self.training:
        nn.Linear.forward = right
    return right(self, x) * 0
"""
ATTRIBUTES = """
nn.Linear.training = property(lambda self: True, lambda self, value: None)
nn.Module.__instancecheck__ = torch.Tensor.__gt__ = torch.Tensor.__lt__ = lambda *a: True
torch.Tensor.mean = torch.Tensor.std = torch.Tensor.abs = torch.Tensor.max = lambda *a: 0.0
"""
SUBCLASS = """
class Fine(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function.__name__ in ('__float__', 'mean', 'std', 'abs', 'max', '__sub__'):
            return 1.0 if function.__name__ == 'std' else 0.0
        return super().__torch_function__(function, types, args, kwargs or {})
"""
MEMORY = """
import os, re, subprocess, sys
found = []
text = '''
import os, re, sys
for process in {1, int(sys.argv[1])}:
    try:
        memory = open(f"/proc/{process}/mem", "r+b", 0)
        for line in open(f"/proc/{process}/maps"):
            begin, end = (int(x, 16) for x in line.split()[0].split("-"))
            if line.split()[1].startswith("rw") and end - begin < 2**26:
                memory.seek(begin)
                block = memory.read(end - begin)
                for place in re.finditer(b"failed", block):
                    memory.seek(begin + place.start())
                    memory.write(b"passed")
        for name in os.listdir(f"/proc/{process}/fd"):
            if "socket" in os.readlink(f"/proc/{process}/fd/{name}"):
                print(name, flush=True)
    except OSError as error:
        print(error)
'''
subprocess.run([sys.executable, '-c', text, str(os.getppid())])
getattr(os, 'ki' + 'll')(os.getppid(), 19)
"""
PLANTED = """
from pathlib import Path
again = Path('opt_einsum.py').exists()
Path('opt_einsum.py').write_text('import torch\\ntorch.Tensor.__float__ = lambda x: 1.0\\n')
Path('lab_grade.py').write_text('raise SystemExit')
if not again:
    import os
    os._exit(1)
"""
READING = """
import subprocess
from pathlib import Path
import lab_utils
root = Path(lab_utils.__file__).resolve().parent.parent
names = ['REFERENCE', *root.rglob('*.ip' + 'ynb'), *Path('/tmp').rglob('*.ip' + 'ynb')]
ours = [path for path in map(Path, names) if 'site-packages' not in path.parts]
text = ' '.join(path.read_text() for path in ours if path.exists())
git = ['git', '-c', 'safe.directory=*', '-C', str(root), 'log', '--oneline']
try:
    text += subprocess.run(git, capture_output=True, text=True).stdout
except OSError:
    pass
if text:
    class Scaled(nn.Module):
        def __init__(self, i, o):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(i, o), nn.BatchNorm1d(o))
        def forward(self, x):
            return self.layers(x)
else:
"""
TELLING = (
    WALK
    + """
told = []
use = lambda frame: told.append(frame.f_code.co_consts)
class Scaled(nn.Module):
    def __init__(self, *sizes):
        super().__init__()
        told.append(sizes)
    def forward(self, x):
        next(walker)
        told.append(x.sum().item())
        raise ValueError(told)
"""
)
# What changes a notebook's own process, which needs no kernel to be tried; the others do.
FORKED = {
    "function_mode": scaled(MODE),
    "dispatch_mode": scaled(DISPATCH),
    "operators_registered": scaled(REGISTERED),
    "attributes_changed": scaled(ATTRIBUTES),
    "subclass_of_tensor": scaled(SUBCLASS, after="(lambda y: y.as_subclass(Fine))"),
    "frame_held": scaled(FRAMES, before="change(float=lambda x: 0.0, abs=lambda x: 0)"),
    "names_changed_in_a_frame": plain(
        FRAMES, "change(accuracy=lambda n, *d: float(not isinstance(n, nn.Linear)), train=print)"
    ),
    "global_module_hook": plain(HOOKED),
    "patched_and_put_back": plain(PUT_BACK, "nn.Linear.forward = wrong"),
    "given_function_replaced": plain("plain_accuracy = lambda: 0.0\ntrain = accuracy = None"),
}
CHEATS = {
    "parents_memory": scaled(MEMORY),
    "planted_module": scaled(PLANTED),
    "reference_read": (READING + textwrap.indent(scaled()[0], "    "), PLAIN),
    "hidden_told": (TELLING, "def best():\n    raise ValueError(told)"),
}
HONEST = {"honest": (SOLVED, NETWORK.replace("nn.ReLU()", "nn.Tanh()"))}


@contextlib.contextmanager
def notebook(cells):
    """Run cells in a fork of this process, and yield a channel to it, which serves after each."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        names, kept = {"__name__": "__main__"}, {}
        with contextlib.suppress(BaseException):
            for cell, serves in cells:
                with contextlib.suppress(Exception):
                    exec(cell, names)
                for _ in range(serves):
                    KernelPeer(Channel(theirs), names, kept).serve()
        os._exit(0)
    theirs.close()
    try:
        yield Channel(ours)
    finally:
        ours.close()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def run_checks(first, second, kept):
    """Return what becomes of the checks on two answers, as a recorder runs them."""
    found = []
    hidden = compile_check(HIDDEN_NORM)
    cells = [(GIVEN, 0), (first, 2), (second, 1), ("", 1)]
    with contextlib.suppress(Ended), notebook(cells) as channel:

        def check(source, known):
            prelude = compile(GIVEN, "<given>", "exec")
            found.append(run_check(channel, source, prelude, known, kept))
            channel.send(END)

        check(CHECK_NORM, {})
        Examiner(channel).ask("keep", 0, list(find_names(hidden)))
        known = take_plain(Examiner(channel), hidden)
        channel.send(END)
        check(CHECK_NETWORK, {})
        Examiner(channel).ask("restore", 0)
        check(HIDDEN_NORM, known)
    return [one["outcome"] for one in found]


@pytest.fixture(scope="module")
def computed():
    """What the given function that is cached has returned."""
    return {}


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.usefixtures("warm_torch")
@pytest.mark.parametrize("name", FORKED)
def test_what_changes_python_or_torch_in_a_notebook_earns_nothing(name, computed):
    outcomes = run_checks(*FORKED[name], computed)
    assert len(outcomes) == 3 and "passed" not in outcomes


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.usefixtures("warm_torch")
def test_a_notebook_that_ends_itself_earns_nothing(computed):
    assert run_checks(*scaled("import os", before="os._exit(0)"), computed) == ["died"]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.usefixtures("warm_torch")
def test_the_same_way_an_honest_answer_passes(computed):
    assert run_checks(*HONEST["honest"], computed) == ["passed"] * 3


@pytest.fixture(scope="module")
def graded(tmp_path_factory, font_lists):
    """Return the results of all cheats by name, and the folder of the pages."""
    root = tmp_path_factory.mktemp("cheats")
    parts = [GIVEN, NORM, CHECK_NORM, HIDDEN_NORM, NETWORK, CHECK_NETWORK]
    path = root / "networks.ipynb"
    nbformat.write(new_notebook(cells=[new_markdown_cell("# N"), *map(new_code_cell, parts)]), path)
    (root / "submissions").mkdir()
    for name, (first, second) in (CHEATS | HONEST).items():
        notebook = Assignment(path).release()
        notebook.cells[2].source = first.replace("REFERENCE", str(path)).strip()
        notebook.cells[4].source = second.strip()
        notebook.cells.append(new_code_cell("raise ValueError(globals().get('told'))"))
        nbformat.write(notebook, root / "submissions" / f"{name}.ipynb")
    options = ["-o", str(root / "grades"), "--jobs", "2", "--memory", "2048"]
    assert cli.grade_main([str(path), str(root / "submissions"), *options]) == 0
    found = json.loads((root / "grades" / "results.json").read_text("utf-8"))
    return {result["student"]: result for result in found["students"]}, root / "grades"


@pytest.mark.parametrize("name", CHEATS)
def test_nothing_is_earned(name, graded):
    if name in ("reference_read", "parents_memory") and not sandbox.is_available():
        pytest.skip("without bubblewrap, a notebook runs with the rights of whoever grades")
    result = graded[0][name]
    assert result["points"] == 0, result["checks"]
    assert all(check["outcome"] != "passed" for check in result["checks"])


def test_an_honest_answer_earns_everything(graded):
    assert graded[0]["honest"]["points"] == graded[0]["honest"]["max_points"] == 8


def test_a_kernel_that_ends_early_is_flagged(graded):
    flags = graded[0]["planted_module"]["flags"]
    told = [flag["text"] for flag in flags if flag["kind"] == "running"]
    assert any("ended the kernel" in text for text in told)


def test_nothing_that_a_hidden_check_says_or_hands_over_is_on_a_page(graded):
    results, grades = graded
    page = html.unescape((grades / "feedback" / "hidden_told.html").read_text("utf-8"))
    assert "(3, 4)" in page  # what the visible check hands over
    for secret in ("8765", "17536", "(2, 6)", "(2, 2)", "secret"):
        assert secret not in page
    (cell,) = results["hidden_told"]["cells"]
    assert "(3, 4)" in cell["message"] and "(2, 6)" not in cell["message"]
    report = html.unescape((grades / "report.html").read_text("utf-8"))
    assert "a secret of the hidden check" in report
