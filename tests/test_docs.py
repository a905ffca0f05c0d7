"""What the docs promise: links, and what the page on the 2021 course says is called what here."""

import re
import shlex
from collections import Counter
from pathlib import Path

import pytest
import torch

from lab_utils import Recognizer, prepare, sample_strokes
from text_recognizer.data.my_handwriting import save_drawing
from text_recognizer.paths import bundled
from text_recognizer.training import run_experiment

DOCS = bundled("sources.json").parents[1] / "docs"
PAGE = DOCS / "from_fsdl_2021.md"
ROOT = DOCS.parent
PAGES = [
    path
    for path in sorted(ROOT.rglob("*.md"))
    if not {"build", "dist", "logs"} & {*path.parts} and ".venv" not in path.parts
]
SHORTER = ROOT / "benchmarks" / "README.ko.md"
TRANSLATED = [p for p in PAGES if p.name.endswith(".ko.md") and p != SHORTER]


def read_rows(path: Path) -> list[tuple[str, ...]]:
    """Return the cells of all tables of a page."""
    rows = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    return [tuple(cell.strip() for cell in row.strip("|").split(" | ")) for row in rows]


HERE = [code for row in read_rows(PAGE) for code in re.findall(r"`([^`]+)`", row[-1])]


@pytest.mark.parametrize("code", [code for code in HERE if code.startswith("from ")])
def test_every_import_works(code):
    exec(code, {})


COMMANDS = re.findall(
    r"\bpython3? (?:-m lab_utils\.run_experiment|training/run_experiment\.py) (--[^`\n]+)",
    PAGE.read_text(encoding="utf-8") + (DOCS / "using.md").read_text(encoding="utf-8"),
)


@pytest.mark.parametrize("code", COMMANDS)
def test_every_command_is_understood(code):
    options = run_experiment.parse(shlex.split(code), run_experiment.experiment)
    wanted = dict(re.findall(r"--(\w+)=(\w+)", code))
    assert {name: str(options[name]) for name in ("model_class", "data_class")} == {
        name: wanted[name] for name in ("model_class", "data_class")
    }


@pytest.mark.filterwarnings("ignore:.*tensorboardX")
@pytest.mark.parametrize(
    "code", [code for code in HERE if re.match(r"(pl\.)?[A-Z]\w+\(", code) and "there" not in code]
)
def test_every_call_takes_these_arguments(code):
    import pytorch_lightning as pl

    import lab_utils

    known = {name: getattr(lab_utils, name) for name in lab_utils.__all__}
    data, lines = known["EMNIST"](), known["EMNISTLines"]()
    model = known["CNN"](data.config())
    if code.startswith("LineCNNSimple"):
        data = lines
    assert eval(code, known | {"pl": pl, "data": data, "model": model})


def test_the_sizes_of_the_sample_are_those_that_it_has():
    from lab_utils import EMNIST, MNIST

    page = PAGE.read_text(encoding="utf-8")
    for data in (EMNIST(source="sample"), MNIST(source="sample")):
        data.setup()
        sizes = ", ".join(str(len(d)) for d in (data.data_train, data.data_val, data.data_test))
        assert f"{sizes} on the bundled sample" in page
    assert EMNIST.mapping.index("A") == 14
    assert data.data_train.images.shape[1:] == (28, 28)


def show_name(path):
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", PAGES, ids=show_name)
def test_links_lead_somewhere(path):
    text = re.sub(r"`[^`\n]+`", "", path.read_text(encoding="utf-8"))
    targets = re.findall(r"(?:\]\(|(?:src|href)=\")(?!https?://|#)([^)#\"]+)", text)
    assert [target for target in targets if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("path", [p for p in PAGES if p.name != "CHANGELOG.md"], ids=show_name)
def test_files_that_are_named_exist(path):
    """Paths in code count from the checkout; what is made only there is not in it."""
    folders = "benchmarks|docs|lab_grade|lab_utils|labs|tests|text_recognizer|tools|training"
    text = path.read_text(encoding="utf-8")
    named = re.findall(rf"(?<![\w/.])((?:{folders})/[\w./*-]*\w\*?)(?=[`\s,;):])", text)
    there = "notebooks/", "my_net.py", "training/logs", "NN_*.po"
    named = [name for name in named if not name.endswith(there)]
    assert [name for name in named if not any(ROOT.glob(name))] == []


@pytest.mark.parametrize("path", TRANSLATED, ids=lambda path: path.name)
def test_a_translated_page_has_what_the_english_one_has(path):
    korean = path.read_text(encoding="utf-8")
    english = path.with_name(path.name.replace(".ko.md", ".md")).read_text(encoding="utf-8")
    assert len(re.findall("[가-힣]", korean)) > 900
    for line_of in (r"^## ", r"^\|", r"^- ", r"^\d+\. ", r"^```"):
        count = [len(re.findall(line_of, text, re.MULTILINE)) for text in (english, korean)]
        assert count[0] == count[1], line_of
    for equal in (
        r"\]\((https?://[^)]+)",
        r"^(?:python|pip|make|lab-\w+) .*?(?=  +#|$)",
        r"`[^`\n]+`",
    ):
        texts = [re.sub(r"(?<=labs/)ko/| LAB_LANGUAGE=ko", "", text) for text in (english, korean)]
        found = [Counter(re.findall(equal, text, re.MULTILINE)) for text in texts]
        assert not found[0] - found[1], equal


def test_an_instructor_collects_the_hands_of_a_class(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = (DOCS / "teaching.md").read_text(encoding="utf-8")
    number, rank = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    for name, character in (("Ann Lee.jsonl", "a"), ("bo/my_handwriting.jsonl", "7")):
        strokes = sample_strokes(character)
        save_drawing(Path("collected", name), character, strokes, prepare(strokes))
    exec(number, {})
    assert sorted(path.name for path in Path("our_class").iterdir()) == ["01.jsonl", "02.jsonl"]
    Path("our_class").rename("held_back")
    Path("readers").mkdir()
    model = Recognizer.pretrained().model
    torch.save(model.state_dict(), "readers/good.pt")
    torch.save({k: torch.zeros_like(v) for k, v in model.state_dict().items()}, "readers/bad.pt")
    exec(rank, {})
    good, bad = capsys.readouterr().out.splitlines()
    assert " ".join(good.split()) == "good mean of the writers 100.0%, the worst 100.0%"
    assert bad.startswith("bad") and bad.endswith(" 0.0%")
