"""The checks of this lab's own notebooks: what is right passes, whatever its form; what isn't, not.

They run here as students run them.
"""

import functools
from pathlib import Path

import pytest

from lab_grade.notebook import Assignment

pytestmark = pytest.mark.usefixtures("warm_torch")

INSTRUCTOR = Path(__file__).parents[2] / "labs" / "instructor"
CNN, RESNET = "02_train_cnn.ipynb", "07_homework_resnet.ipynb"

LOOPS = """
def convolve(image, kernel):
    height, width = image.shape
    padded = torch.zeros(height + 2, width + 2)
    padded[1:-1, 1:-1] = image
    return torch.tensor([
        [float((padded[r : r + 3, c : c + 3] * kernel).sum()) for c in range(width)]
        for r in range(height)
    ])
"""
SHIFTS = """
def convolve(image, kernel):
    padded = F.pad(image, (1, 1, 1, 1))
    h, w = image.shape
    parts = [kernel[i, j] * padded[i : i + h, j : j + w] for i in range(3) for j in range(3)]
    return sum(parts)
"""
UNFOLDED = """
def convolve(image, kernel):
    padded = F.pad(image, (1, 1, 1, 1))
    return (padded.unfold(0, 3, 1).unfold(1, 3, 1) * kernel).sum((2, 3))
"""
IN_NUMPY = """
def convolve(image, kernel):
    padded, found = np.pad(image.numpy(), 1), np.zeros(image.shape, np.float32)
    for r, c in np.ndindex(*image.shape):
        found[r, c] = (padded[r : r + 3, c : c + 3] * kernel.numpy()).sum()
    return torch.from_numpy(found)
"""
GIVEN_CALLS = [
    "F.conv2d(image[None, None], kernel[None, None], padding=1)[0, 0]",
    "torch.conv2d(image[None, None], kernel[None, None], padding=1)[0, 0]",
    "getattr(F, 'conv' + '2d')(image[None, None], kernel[None, None], None, 1, 1)[0, 0]",
    "F.conv_transpose2d(image[None, None], kernel.flip(0, 1)[None, None], padding=1)[0, 0]",
    "sum(F.conv1d(F.pad(image, (0, 0, 1, 1))[i : i + len(image)][:, None], "
    "kernel[i][None, None], padding=1)[:, 0] for i in range(3))",
    "with_layer(image, kernel)",
]
LAYER = """
def with_layer(image, kernel):
    layer = torch.nn.Conv2d(1, 1, 3, padding=1, bias=False)
    layer.weight.data[:] = kernel
    return layer(image[None, None]).detach()[0, 0]
"""
SIZE = "def size_after(size, kernel, padding, pool): return "

BLOCK = """
class ResidualBlock(nn.Module):
    def __init__(self, input_channels, output_channels, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(input_channels, output_channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(output_channels)
        self.conv2 = nn.Conv2d(output_channels, output_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(output_channels)
        nn.init.zeros_(self.norm2.weight)

    def forward(self, x):
        residual = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(x + residual)
"""
IN_A_ROW = """
class ResidualBlock(nn.Module):
    def __init__(self, n, m, stride=1):
        super().__init__()
        last = nn.BatchNorm2d(m)
        last.weight.data.fill_(0)
        self.f = nn.Sequential(
            nn.Conv2d(n, m, 3, stride, 1), nn.BatchNorm2d(m), nn.ReLU(),
            nn.Conv2d(m, m, 3, 1, 1), last,
        )
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.relu(self.f(x) + x)
"""
ZERO = "nn.init.zeros_(self.norm2.weight)"
WRONG_BLOCKS = {
    "the first scale is zero": BLOCK.replace(ZERO, ZERO.replace("norm2", "norm1")),
    "both scales are zero": BLOCK.replace(ZERO, f"{ZERO}\n        {ZERO.replace('2', '1')}"),
    "no last ReLU": BLOCK.replace("return F.relu(x + residual)", "return x + residual"),
    "no block": BLOCK.replace("F.relu(x + residual)", "F.relu(x + 0 * residual)"),
    "no skip": BLOCK.replace("F.relu(x + residual)", "F.relu(x.detach() + residual)"),
    "cut off": BLOCK.replace("F.relu(x + residual)", "F.relu(x + residual.detach())"),
}

LINEAR = """
class ResNet(nn.Module):
    def __init__(self, data_config, width=16, num_blocks=2):
        super().__init__()
        self.blocks = nn.Sequential(*(ResidualBlock(1, 1) for _ in range(num_blocks)))
        self.fc = nn.Linear(784, 83)

    def forward(self, x):
        return self.fc(x.flatten(1))
"""
CALL = "self.fc(x.flatten(1))"
PERCEPTRON = LINEAR.replace(
    "nn.Linear(784, 83)", "nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 83))"
)
NO_RESNETS = {
    "linear": LINEAR,
    "linear, without blocks": LINEAR.replace("range(num_blocks)", "()"),
    "linear, and a ReLU": LINEAR.replace(CALL, f"F.relu({CALL})"),
    "linear, and blocks that hardly count": LINEAR.replace(
        CALL, f"{CALL} + 1e-9 * self.blocks(x).sum()"
    ),
    "a perceptron": PERCEPTRON,
    "a perceptron after blocks": PERCEPTRON.replace(
        CALL, "self.fc((x + 1e-3 * self.blocks(x)).flatten(1))"
    ),
}
DEEP = """
deep = {"ResidualBlock": build_deep(ResidualBlock), "NoSkipBlock": build_deep(NoSkipBlock)}
"""
TRAIN = """
data = load_data().data_train
train(deep["ResidualBlock"], data.images, data.labels, steps=50, batch_size=32)
"""
NO_SKIP = BLOCK.replace("ResidualBlock", "NoSkipBlock").replace("x + residual", "residual")
NO_SKIP = NO_SKIP.replace("        nn.init.zeros_(self.norm2.weight)\n", "")
SKIPS = {
    "a skip": NO_SKIP.replace("F.relu(residual)", "F.relu(x.mean() + residual)"),
    "nothing": NO_SKIP.replace("F.relu(residual)", "0 * F.relu(residual)"),
    "no ReLU": NO_SKIP.replace("F.relu(residual)", "residual"),
}


@functools.cache
def read(name):
    return Assignment(INSTRUCTOR / name)


def find_answers(name):
    """Return the reference's answer cells, by the question that follows them."""
    found, waiting = {}, []
    for cell in read(name).cells:
        if cell.is_answer and cell.kind == "code":
            waiting.append(cell.source.split("### STUDENT")[0].replace("### END SOLUTION", ""))
        elif cell.check and not cell.check.hidden:
            found[cell.check.question], waiting = "\n\n".join(waiting), []
    return found


def attempt(name, question, *answers, hidden=False):
    """Run the check of a question on answers; return the text of what it raises, or None."""
    names: dict = {"__name__": "__main__"}
    exec(read(name).collect_prelude(), names)
    for answer in answers:
        exec(answer, names)
    (check, *others) = [c for c in read(name).checks if c.question == question]
    try:
        exec(others[0].source if hidden else check.source, names)
    except Exception as error:  # noqa: BLE001 - whatever it is
        return f"{type(error).__name__}: {error}"
    return None


@pytest.mark.parametrize("answer", [LOOPS, SHIFTS, UNFOLDED, IN_NUMPY])
def test_a_convolution_may_be_written_in_any_way(answer):
    assert attempt(CNN, "q1", answer) is None


@pytest.mark.parametrize("call", GIVEN_CALLS)
def test_a_convolution_is_not_one_that_pytorch_has(call):
    answer = f"{LAYER}\ndef convolve(image, kernel):\n    return {call}"
    assert "PyTorch's own" in attempt(CNN, "q1", answer)
    names: dict = {}
    exec(f"import torch\nimport torch.nn.functional as F\n{answer}", names)
    image, kernel = names["torch"].rand(5, 8), names["torch"].randn(3, 3)
    names["convolve"](image, kernel)  # which would work


def test_sizes_are_rounded_down():
    right = [
        "(size + 2 * padding - kernel + 1) // pool",
        "int((size + 2*padding - kernel + 1)/pool)",
    ]
    assert [attempt(CNN, "q2", SIZE + formula) for formula in right] == [None, None]
    for wrong in ("round({})", "-(-({}) // 1)", "{}", "int({} + 0.5)"):
        formula = wrong.format("(size + 2 * padding - kernel + 1) / pool")
        assert attempt(CNN, "q2", SIZE + formula)


@pytest.mark.parametrize("answer", [BLOCK, IN_A_ROW])
def test_a_residual_block_may_be_written_in_any_way(answer):
    assert attempt(RESNET, "q2", answer) is None
    assert attempt(RESNET, "q2", answer, hidden=True) is None


@pytest.mark.parametrize("answer", WRONG_BLOCKS.values(), ids=WRONG_BLOCKS)
def test_a_residual_block_is_one_that_learns_and_adds(answer):
    assert attempt(RESNET, "q2", answer)


# Ways to write a residual network otherwise, as replacements in the reference's.
OTHERWISE = {
    "width=16": "width=8",
    "nn.Linear(2 * width * pixels, 128)": "nn.LazyLinear(128)",
    "nn.Sequential(*blocks": "nn.ModuleList([*blocks",
    "width, stride=2))": "width, stride=2)])",
    "self.blocks(F.relu(self.norm(self.stem(x))))": "F.relu(self.norm(self.stem(x)))\n"
    "        for block in self.blocks:\n            x = block(x)",
}


@pytest.mark.slow
@pytest.mark.parametrize("changes", [OTHERWISE, {"nn.Dropout(0.25)": "nn.Dropout(0.5)"}])
def test_residual_networks_memorize_images_and_their_negatives(changes):
    answers = find_answers(RESNET)
    other = answers["q4"]
    for old, new in changes.items():
        assert other.count(old) == 1
        other = other.replace(old, new)
    assert attempt(RESNET, "q5", answers["q3"], other) is None


@pytest.mark.slow
@pytest.mark.parametrize("answer", NO_RESNETS.values(), ids=NO_RESNETS)
def test_no_other_network_passes_for_a_residual_one(answer):
    assert attempt(RESNET, "q5", find_answers(RESNET)["q3"], answer)


@pytest.mark.parametrize("answer", SKIPS.values(), ids=SKIPS)
def test_a_block_without_a_skip_has_none_and_lets_something_through(answer):
    assert attempt(RESNET, "q6", find_answers(RESNET)["q3"], answer)


@pytest.mark.slow
def test_deep_networks_are_of_two_kinds_and_were_trained():
    answers = find_answers(RESNET)
    blocks = [answers["q3"], answers["q6"]]
    assert "were both trained" in attempt(RESNET, "q6", *blocks, DEEP)
    assert attempt(RESNET, "q6", *blocks, DEEP, TRAIN) is None
    alike = DEEP.replace("build_deep(NoSkipBlock)", "build_deep(ResidualBlock)")
    assert "has 0 such blocks" in attempt(RESNET, "q6", *blocks, alike)


@pytest.mark.slow
def test_the_best_network_is_trained_by_the_check():
    answers = find_answers(RESNET)
    early = (
        "def best():\n    network = ResNet(load_data().config())\n    data = load_data().data_train"
    )
    early += "\n    train(network, data.images, data.labels, steps=60)\n    return network"
    given = "def cnn_accuracies():\n    return [0.1, 0.1, 0.1]"
    found = attempt(RESNET, "q7", answers["q3"], answers["q4"], given, early)
    assert "before any training" in found


@pytest.mark.slow
def test_a_table_of_images_reads_no_noisy_ones():
    table = """
table = {}


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        data = load_data()
        for part in (data.data_train, data.data_val, data.data_test):
            table.update(zip((i.tobytes() for i in part.images.numpy()), part.labels.tolist()))

    def forward(self, x):
        images = (x[:, 0] * 255).round().to(torch.uint8).numpy()
        found = torch.tensor([table.get(i.tobytes(), 0) for i in images])
        return F.one_hot(found, 83).float() * self.scale


def best():
    return ResNet()
"""
    assert accuracy_of(table) < 0.1


def accuracy_of(answer):
    names: dict = {"__name__": "__main__"}
    exec(read(RESNET).collect_prelude(), names)
    exec(answer, names)
    network, data = names["best"](), names["load_data"]().data_test
    assert names["accuracy"](network, data) == 1
    return names["noisy_accuracy"](network, data)
