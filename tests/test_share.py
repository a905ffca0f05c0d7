"""A shared page without a browser: what is in it, what is refused, and networks in JavaScript."""

import base64
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lab_utils import (
    CNN,
    MLP,
    LabError,
    LineRecognizer,
    Recognizer,
    ResNet,
    sample_strokes,
    share,
)
from text_recognizer.canvas.script import STATIC, read_labels
from text_recognizer.canvas.to_javascript import describe_network
from text_recognizer.mapping import CHARACTERS, MAPPING
from text_recognizer.reading.lattice import SHARES
from text_recognizer.strokes import BASE_LINE, decode

CONFIG = {"input_dims": (1, 28, 28), "output_dims": (1,), "mapping": MAPPING}
NODE = """
import { loadNetwork, runNetwork } from "./network.mjs";
import { readFileSync } from "node:fs";
const { steps, weights, images } = JSON.parse(readFileSync("network.json", "utf8"));
const network = loadNetwork(steps, weights);
const last = (image) => [...runNetwork(network, image).at(-1).data];
console.log(JSON.stringify(images.map(last)));
"""


def settle(network):
    """Give BatchNorm statistics and weights as after training."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.2)
            nn.init.normal_(module.bias, 0, 0.2)
    with torch.no_grad():
        network.train()(torch.rand(32, 1, 28, 28))
    return network.eval()


class Written(nn.Module):
    """A network whose layers and whose way from one to the next are given."""

    def __init__(self, forward, **layers):
        super().__init__()
        self.layers = nn.ModuleDict(layers)
        self.way = forward

    def forward(self, x):
        return self.way(x, **self.layers)


def residual(x, conv, norm, inner, fc):
    x = F.relu(conv(x))
    y = norm(x).relu_()  # before the convolution, and in place
    x = x + inner(y)
    x += y
    return fc(x.mean((2, 3), keepdim=True).flatten(1))


def means(x, conv, norm, fc):
    x = F.max_pool2d(conv(x), 3, stride=2, padding=1)
    return norm(fc(torch.mean(x, -1).mean(-1)))


NETWORKS = {
    "CNN": lambda: CNN(CONFIG, conv_dim=5, fc_dim=7),
    "MLP": lambda: MLP(CONFIG, 9, 6),
    "ResNet": lambda: ResNet(CONFIG, 6),
    "in place": lambda: Written(
        residual,
        conv=nn.Conv2d(1, 6, 5, stride=2, padding="valid"),
        norm=nn.BatchNorm2d(6),
        inner=nn.Conv2d(6, 6, 3, padding=2, dilation=2, groups=3, bias=False),
        fc=nn.Linear(6, 83, bias=False),
    ),
    "means": lambda: Written(
        means, conv=nn.Conv2d(1, 3, (1, 4)), norm=nn.BatchNorm1d(5), fc=nn.Linear(3, 5)
    ),
    "modules": lambda: nn.Sequential(
        nn.BatchNorm2d(1),
        nn.Conv2d(1, 4, 3, 3),
        nn.Identity(),
        nn.ReLU(inplace=True),
        nn.MaxPool2d((2, 1)),
        nn.Dropout(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 1),
    ),
    "alike": lambda: Written(lambda x: x.view(x.shape[0], -1).reshape(1, 1, -1).squeeze(1)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_browser_s_numbers_are_pytorch_s(name, tmp_path):
    network = settle(NETWORKS[name]()) if name != "alike" else NETWORKS[name]()
    images = torch.randint(0, 256, (3, 28, 28))
    steps, weights = describe_network(network, torch.zeros(1, 1, 28, 28))
    assert network(torch.zeros(1, 1, 28, 28)).requires_grad == (name != "alike")  # as it was
    described = {
        "steps": steps,
        "weights": base64.b64encode(weights).decode(),
        "images": images.flatten(1).tolist(),
    }
    (tmp_path / "network.json").write_text(json.dumps(described))
    shutil.copy(STATIC / "network.js", tmp_path / "network.mjs")
    (tmp_path / "run.mjs").write_text(NODE)
    node = ["node", "run.mjs"]
    answer = subprocess.run(node, cwd=tmp_path, capture_output=True, text=True, check=True)
    found = torch.tensor(json.loads(answer.stdout))
    with torch.no_grad():
        expected = torch.cat([network(image[None, None] / 255) for image in images])
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < 2e-3 * expected.abs().max()


def test_batchnorm_is_part_of_the_convolution_before_it():
    steps, weights = describe_network(ResNet(CONFIG), torch.zeros(1, 1, 28, 28))
    assert {step["do"] for step in steps} == {"convolution", "relu", "add", "mean", "linear"}
    folded = sum(p.numel() for p in ResNet(CONFIG).parameters())
    assert len(weights) < 2 * folded


def test_the_shipped_network_s_page_is_one_small_file(tmp_path):
    file = share(path=tmp_path / "reader.html")
    page = file.read_text(encoding="utf-8")
    assert file.stat().st_size <= 1_500_000
    assert page.count("</script>") == page.count("<script ") == 3
    assert "default-src 'none'" in page
    addresses = re.findall(r"https?://[\w./]+", page)
    assert set(addresses) == {"http://www.w3.org/2000/svg"}  # a name, which is not fetched
    assert not re.search(r"\b(import|export|fetch|XMLHttpRequest|WebSocket)\b[ ({]", page)
    assert list(tmp_path.iterdir()) == [file]


def test_a_page_for_lines_reads_groups_of_strokes_too_and_stays_small(tmp_path):
    shipped = LineRecognizer.pretrained()
    file = share(shipped, tmp_path / "lines.html")
    assert file.stat().st_size <= 6_000_000
    page = file.read_text(encoding="utf-8")
    shared = json.loads(re.search(r'id="reader">(.+?)</script>', page)[1])
    found = shared["characters"]
    assert [found["mapping"][i] for i in found["order"]] == CHARACTERS
    assert np.array_equal(shared["preparation"]["SHARES"], SHARES)
    alone = share(LineRecognizer(shipped.model), tmp_path / "alone.html")
    assert "characters" not in json.loads(
        re.search(r'id="reader">(.+?)</script>', alone.read_text(encoding="utf-8"))[1]
    )


@pytest.mark.parametrize(("text", "width"), [("R", 220), ("Hello 42", 880)])
def test_samples_are_written_as_in_python(text, width, tmp_path):
    page = share(path=tmp_path / "reader.html").read_text(encoding="utf-8")
    shared = json.loads(re.search(r'id="reader">(.+?)</script>', page)[1])
    for name in ("samples", "strokes"):
        script = (STATIC / f"{name}.js").read_text(encoding="utf-8").replace(".js", ".mjs")
        (tmp_path / f"{name}.mjs").write_text(script, encoding="utf-8")
    paper = {"width": width, "line": BASE_LINE}
    given = ", ".join(map(json.dumps, (text, shared["samples"], paper)))
    script = 'import { writeSample } from "./samples.mjs";\n'
    (tmp_path / "run.mjs").write_text(f"{script}console.log(writeSample({given}).join())")
    answer = subprocess.run(["node", "run.mjs"], cwd=tmp_path, capture_output=True, text=True)
    written = [decode(stroke) for stroke in answer.stdout.strip().split(",")]
    expected = sample_strokes(text)
    assert len(written) == len(expected)
    for mine, python in zip(written, expected, strict=True):
        assert mine.pointer == python.pointer
        torch.testing.assert_close(torch.tensor(mine), torch.tensor(python), atol=0.26, rtol=0)


def test_a_page_in_korean_has_no_label_left(tmp_path):
    page = share(path=tmp_path / "reader.html", language="ko").read_text(encoding="utf-8")
    assert '<html lang="ko">' in page
    words = read_labels("ko")
    source = "".join(path.read_text(encoding="utf-8") for path in STATIC.glob("*.js"))
    labels = re.findall(r'\bword\(\s*"([^"]+)"', source)
    labels += ["digit", "small", "capital", "Save the drawing as {}", "Next character", "Pen only"]
    labels += re.findall(r'(?:FULL|SILENT) = "([^"]+)"', source)
    labels += re.findall(r"data-word>([^<]+)<", (STATIC / "page.html").read_text(encoding="utf-8"))
    labels += ["There is no sample of {}: only letters, digits and spaces."]
    assert len(labels) > 20
    assert set(labels) <= set(words)
    for label, said in words.items():
        assert label.count("{}") == said.count("{}")


@pytest.mark.parametrize(
    ("layer", "named"),
    [
        (nn.Sigmoid(), "sigmoid"),
        (nn.GELU(), "gelu"),
        (nn.AvgPool2d(2), "avg_pool2d"),
        (nn.ConvTranspose2d(1, 1, 2), "transposed convolution"),
        (nn.MaxPool2d(2, ceil_mode=True), "max_pool2d with ceil_mode"),
        (nn.BatchNorm2d(1, track_running_stats=False), "batch_norm without running statistics"),
        (Written(lambda x: x + 1), "add of other than two tensors"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_page_cannot_compute_is_named(layer, named, tmp_path):
    network = nn.Sequential(nn.Conv2d(1, 1, 1), layer, nn.Flatten(), nn.LazyLinear(83))
    network(torch.zeros(2, 1, 28, 28))
    with pytest.raises(LabError, match=rf"computes {named}.*convolution, BatchNorm"):
        share(Recognizer(network, MAPPING), tmp_path / "reader.html")
    assert not list(tmp_path.iterdir())


def test_a_network_s_way_may_not_depend_on_what_it_sees():
    network = Written(lambda x: x if x.max() > 0 else -x)
    with pytest.raises(LabError, match="decides by its input"):
        describe_network(network, torch.zeros(1, 1, 28, 28))


@pytest.mark.slow
def test_a_compiled_network_is_shared_as_it_was_written(tmp_path):
    network = CNN(CONFIG, conv_dim=2, fc_dim=4)
    compiled = torch.compile(network, backend="eager")
    texts = [
        share(Recognizer(model, MAPPING), tmp_path / f"{type(model).__name__}.html").read_text()
        for model in (network, compiled)
    ]
    weights = [re.search(r'id="weights"[^>]*>([^<]+)<', text)[1] for text in texts]
    assert weights[0] == weights[1]


@pytest.mark.parametrize("kind", [torch.float16, torch.float64])
def test_a_network_in_another_precision_is_one_sentence(kind):
    with pytest.raises(LabError, match=rf"^model=MLP computes in {kind}: write model.float\(\)"):
        Recognizer(MLP(CONFIG).to(kind), MAPPING)


def test_mistakes_are_one_sentence(tmp_path):
    file, network = tmp_path / "reader.html", CNN(CONFIG)
    with pytest.raises(LabError, match=r"path='reader.txt' must end in \.html"):
        share(path="reader.txt")
    with pytest.raises(LabError, match="language='fr' must be one of en, ko"):
        share(path=file, language="fr")
    with pytest.raises(LabError, match=r"CNN must be a Recognizer, such as Recognizer\(model"):
        share(network, file)
    with pytest.raises(LabError, match="mapping has 2 entries"):
        share(Recognizer(network, ["a", "b"]), file)
    with pytest.raises(LabError, match=r"a page of 7\.\d MB, and 6 MB is the most"):
        share(Recognizer(MLP(CONFIG, 3000, 100), MAPPING), file)
    with pytest.raises(LabError, match=r"no/reader.html cannot be written"):
        share(path=tmp_path / "no" / "reader.html")
    network.fc2.bias.data[0] = 1e6
    with pytest.raises(LabError, match="larger than 65,504"):
        share(Recognizer(network, MAPPING), file)
    assert not list(tmp_path.iterdir())
