"""What notebooks say of numbers is what their outputs show, and no question is left open."""

import json
import re
from pathlib import Path

import pytest

LABS = Path(__file__).parents[1] / "labs"
# Notebook, a phrase of its text, where its outputs have the numbers, and what makes it true.
CLAIMS = [
    ("01", "39% instead of 1.6%", r"average: +([\d.]+)%", lambda right: round(right) == 39),
    ("02", "1,605,760", r"fc1 .*?\) +([\d,]+)", lambda parameters: parameters == 1_605_760),
    ("02", "28.9 of all 31 million", r"conv2 .* ([\d,]+)", lambda n: round(n / 1e6, 1) == 28.9),
    (
        "02",
        "test accuracy is far below validation accuracy",
        r"validation accuracy ([\d.]+)%\s+test accuracy ([\d.]+)%",
        lambda val, test: val - test > 4,
    ),
    (
        "02",
        "Here both are still falling after four epochs",
        r"epoch 3.*?loss ([\d.]+).*?loss ([\d.]+).*\s+epoch 4.*?loss ([\d.]+).*?loss ([\d.]+)",
        lambda train_3, val_3, train_4, val_4: train_4 < train_3 and val_4 < val_3,
    ),
    (
        "02",
        "three times as large as the file of weights",
        r"\.pt: ([\d.]+) MB[\s\S]*\.ckpt: ([\d.]+) MB",
        lambda weights, checkpoint: round(checkpoint / weights) == 3,
    ),
    ("03", "is read correctly", r"two batches: ([\d.]+)", lambda right: right == 1),
    ("03", "only about a third are", r"other images: +([\d.]+)", lambda right: 0.27 < right < 0.4),
    (
        "03",
        "**catches** what keeps the loss",
        r"every step +([\d.]+) +CAUGHT\s.*0 +([\d.]+) +CAUGHT\s.*1 +([\d.]+) +CAUGHT",
        lambda *reached: max(reached) < 0.1,
    ),
    (
        "03",
        "**cannot catch** labels in a wrong order, pixels up to 255 or frozen convolutions",
        r"once +([\d.]+) +passes[\s\S]*255 +([\d.]+) +passes\s.*frozen.* ([\d.]+) +passes",
        lambda *reached: min(reached) > 0.9,
    ),
    (
        "03",
        "Each cure works on something else",
        r"nothing +last: training ([\d.]+), validation ([\d.]+)",
        lambda training, validation: training - validation > 0.4,
    ),
    (
        "03",
        "Augmentation is worth far more than the others here",
        r"nothing .*?validation ([\d.]+)[\s\S]*dropout .*?validation ([\d.]+)"
        r"[\s\S]*decay .*?validation ([\d.]+)[\s\S]*augmentation .*?validation ([\d.]+)",
        lambda *reached: reached[3] > max(reached[:3]) + 0.02,
    ),
    ("03", "about a thousand times", r"s: (\d+) times as long", lambda times: 300 < times < 4000),
    (
        "04",
        "Much worse: characters now begin",
        r"no overlap: CER ([\d.]+)[\s\S]*to 0.33: CER ([\d.]+)",
        lambda apart, overlapping: overlapping > 1.5 * apart,
    ),
    ("04", "About half of all labels are padding", r"y ([\d.]+)\nalways", lambda p: 0.4 < p < 0.6),
    (
        "05",
        "CTC reads better, although nobody told it where a character is",
        r"16 characters: CER ([\d.]+)",
        lambda ctc: ctc < 0.42,  # what windows reach on these lines
    ),
    (
        "06",
        "nearly all of them; without centring, almost none; with a thin pen, most",
        r"prepare +(\d+) of 62[\s\S]*centring +(\d+) of 62[\s\S]*thickness +(\d+) of 62",
        lambda prepared, corner, thin: corner < 6 and 31 < thin < prepared and prepared > 55,
    ),
    (
        "06",
        "reads hardly any of the stand-in's drawings",
        r"my network +: +(\d+)% of the held-out",
        lambda right: right < 20,
    ),
    (
        "06",
        "goes from 60% to 100%",
        r"before +: +(\d+)% of[\s\S]*mixed +: +(\d+)% of",
        lambda before, after: (before, after) == (60, 100),
    ),
]


NOTEBOOKS = sorted(LABS.glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_an_answer_unfolds_under_each_question(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    answered = r"^✏️ .+\n\n<details>\n<summary>Answer</summary>\n\n.+\n\n</details>$"
    questions = re.findall("^✏️ .+", text, re.MULTILINE)
    assert len(questions) == len(re.findall(answered, text, re.MULTILINE))
    assert len(questions) > (1 if path.name.startswith("00") else 5)


@pytest.mark.parametrize(("number", "phrase", "pattern", "is_true"), CLAIMS)
def test_a_text_says_what_the_outputs_show(number, phrase, pattern, is_true):
    (path,) = LABS.glob(f"{number}_*.ipynb")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    shown = "".join("".join(output.get("text", [])) for output in outputs)
    assert phrase in text, f"if {path.name} no longer says it, this test needn't hold it"
    found = re.search(pattern, shown)
    assert found, f"{path.name} shows no {pattern!r}"
    assert is_true(*(float(value.replace(",", "")) for value in found.groups())), found[0]
