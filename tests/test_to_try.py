"""What notebooks suggest to try can be tried, and shows what the text says: at reduced length."""

import json
import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import torch

from text_recognizer.lit_models.base import FAST_EPOCHS

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("to_try")]

LABS = Path(__file__).parents[1] / "labs"


def read_cells(number, folder=LABS):
    (path,) = folder.glob(f"{number}_*.ipynb")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return {cell["id"]: "".join(cell["source"]) for cell in cells}


class Notebook(dict):
    """The names of a notebook, some of whose cells have been run.

    Parameters
    ----------
    number : str
        Which notebook, such as "04".
    folder : Path
        Where it lies: that of the references for a solved one.
    """

    def __init__(self, number, folder=LABS):
        super().__init__(__name__="notebook")
        self.cells = read_cells(number, folder)

    def run(self, *cells, **changes):
        """Run cells by their ids, or code; each change is made in the one place where it fits."""
        for cell in cells:
            code = self.cells.get(cell, cell)
            for old, new in changes.get("changes", {}).items():
                code = code.replace(old, new)
            exec(compile(code, f"<{cell}>", "exec"), self)
            plt.close("all")
        return self


@pytest.fixture(autouse=True)
def quickly(monkeypatch, tmp_path):
    monkeypatch.setenv("LAB_FAST", "1")  # four batches per epoch
    monkeypatch.setenv("LAB_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(plt, "show", lambda: None)


def list_suggestions(number):
    """Return what a notebook suggests, each by its number."""
    text = "\n".join(read_cells(number).values())
    _, _, end = text.partition("\n## To try\n")
    return dict(re.findall(r"^(\d)\. (.*)", end, re.MULTILINE))


@pytest.mark.parametrize(
    ("number", "count"), [("02", 6), ("03", 7), ("04", 4), ("05", 5), ("06", 6)]
)
def test_each_suggestion_is_tried_below(number, count):
    assert len(list_suggestions(number)) == count
    source = Path(__file__).read_text(encoding="utf-8")
    for name in list_suggestions(number):
        assert f"def test_{number}_{name}_" in source


def suggested(number, name):
    """Return the pieces of code in a suggestion."""
    return re.findall(r"`([^`]+)`", list_suggestions(number)[name])


def test_01_similar_averages_are_those_of_twins():
    book = Notebook("01").run("code-01", "code-04", "classes = range(4, 66)", "code-27")
    means = torch.nn.functional.normalize(book["means"].flatten(1).float())
    mapping, likeness = book["data"].mapping[4:66], means @ means.T
    pairs = torch.triu(likeness, 1).flatten().topk(3).indices.tolist()
    assert [mapping[p // 62] + mapping[p % 62] for p in pairs] == ["1I", "1l", "Oo"]


SMALL = {"EMNIST()": "EMNIST(batch_size=16)"}


def train_characters(*cells, **changes):
    book = Notebook("02").run("code-01", "code-02", changes=SMALL).run(*cells, **changes)
    assert len(book["lit_model"].history) == 4
    return book


def test_02_1_mnist():
    mnist = "from lab_utils import MNIST\ndata = MNIST(batch_size=16)"
    mnist += "\ndata.prepare_data()\ndata.setup()"
    book = train_characters(mnist, "code-10", "code-13", "code-15", "code-17")
    assert book["data"].mapping == list("0123456789")


def test_02_2_an_mlp():
    _, model, lit_model = suggested("02", "2")
    train_characters("from lab_utils import MLP", model, lit_model, "code-15")


def test_02_3_fewer_filters():
    (network,) = suggested("02", "3")
    train_characters("code-10", "code-15", changes={"CNN(data.config())": network})


def test_02_4_a_rate_that_rises_and_falls():
    (module,) = suggested("02", "4")
    train_characters("code-10", "code-15", changes={"BaseLitModel(model=model)": module})


def test_02_5_more_epochs():
    (trainer,) = suggested("02", "5")
    book = Notebook("02").run("code-01", "code-02", "code-10", changes=SMALL)
    book.run("code-15", changes={"new_trainer(max_epochs=4)": trainer})
    assert len(book["lit_model"].history) == FAST_EPOCHS > 4


def test_02_6_shifted_test_images():
    book = train_characters("code-10", "code-15")
    (roll,) = suggested("02", "6")
    x = book["x"] = book["data"].data_test.images[:8].unsqueeze(1)
    assert torch.equal(eval(roll, book)[..., 2:], x[..., :-2])


def overfit(code, **changes):
    return Notebook("03").run("code-01", "code-02", "code-04", "code-11", **changes).run(code)


QUICK = {"max_epochs=50, validate_every=1": "max_epochs=1, validate_every=1", "=50)": "=1)"}


def test_03_1_more_batches():
    first = suggested("03", "1")[0]
    book = overfit("overfit('two')", changes=QUICK | {"overfit_batches=2": first})
    assert book["new_trainer"]().overfit_batches == 4


def test_03_2_without_dropout():
    (without,) = suggested("03", "2")
    book = overfit("model = CNN(data.config(), conv_dim=16)", changes=QUICK)
    book.run(without, "new_trainer().fit(BaseLitModel(model=model), datamodule=data)")


def test_03_3_a_mistake_of_your_own():
    upside_down = {"x * self.scale": "x.flip(2) * self.scale"}
    book = overfit("overfit('upside down')", changes=QUICK | upside_down)
    assert 0 <= book["histories"]["upside down"][-1]["train_acc"] <= 1


def run_experiment(monkeypatch, tmp_path, command, *more):
    from text_recognizer.training.run_experiment import main

    monkeypatch.chdir(tmp_path)
    main([*command.removeprefix("python -m lab_utils.run_experiment ").split(), *more])


def test_03_4_a_number_or_a_fraction():
    book = Notebook("03").run("code-01", "code-02")
    total = len(book["data"].train_dataloader())
    assert int(0.01 * total) == 2 and int(1.0 * total) == total > 2


def test_03_5_workers():
    book = Notebook("03").run("code-01", "code-02", "code-25")
    book.run("data.num_workers = 2\nbatches = data.train_dataloader()")
    assert eval("seconds(fetch, batches)", book) > 0
    book.run("del batches")


def test_03_6_the_flags_of_the_resnet(monkeypatch, tmp_path, capsys):
    (command,) = suggested("03", "6")
    with pytest.raises(SystemExit) as end:
        run_experiment(monkeypatch, tmp_path, command)
    assert end.value.code == 0 and "--width" in capsys.readouterr().out


def test_03_7_a_run_that_can_go_on(monkeypatch, tmp_path, capsys):
    (command,) = suggested("03", "7")
    run_experiment(monkeypatch, tmp_path, command, "--max_epochs=1", "--width=4")
    assert "Best checkpoint" in capsys.readouterr().out


LINES = {
    'show_lines([paste("balloon", 0.45, torch.uint8)], width=5)': "",
    "num_train=4000": "num_train=64",
    "num_val=500": "num_val=32",
    "num_test=500": "num_test=32",
}


def build_lines(*cells):
    return Notebook("04").run("cell-01", "cell-03", "cell-05", "cell-06", *cells)


def test_04_1_more_overlap():
    (show,) = suggested("04", "1")
    build_lines(show)


def test_04_2_words_instead_of_characters():
    book = Notebook("04").run(*suggested("04", "2")[:1])
    assert eval(suggested("04", "2")[1], book) == 1


def try_windows(data, network):
    book = Notebook("04").run("cell-01", "cell-06", "cell-16", "cell-17", "cell-27", changes=LINES)
    book.run(f"data = {data}", "data.prepare_data()\ndata.setup()", changes=LINES)
    book.run(f"lit_model = train({network}, data)")
    assert 0 <= book["lit_model"].history[-1]["val_cer"] <= 2


def test_04_3_the_same_overlap_everywhere():
    data, network, stride = suggested("04", "3")
    for each in (network, network.replace("window_stride=19", stride)):
        try_windows(data, each)


def test_04_4_the_realistic_and_the_joined_style():
    realistic, data, joined = suggested("04", "4")
    for each in (data, data.replace(realistic, joined)):
        try_windows(each, "lambda: LineCNNSimple(data.config(), conv_dim=16)")


@pytest.fixture(scope="module")
def answers():
    """Return notebook 5 with the answers of the shipped network to its lines."""
    book = Notebook("05")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plt, "show", lambda: None)
        few = {"num_train=6000": "num_train=64", "num_val=500": "num_val=32"}
        few |= {"num_test=500": "num_test=60", "range(100)": "range(60)"}
        book.run("imports", "lines-data", changes=few)
        book.run("recognizer = LineRecognizer.pretrained()\nreader = recognizer.model")
        book.run("cell-44", "cell-45", "join-up", changes=few)
    return book


def read_all(book, search):
    return [
        eval(search.replace("answers[0]", "answer"), book, {"answer": a}) for a in book["answers"]
    ]


def test_05_1_more_beams_change_hardly_any_line(answers):
    (search,) = suggested("05", "1")
    more = read_all(answers, search)
    assert sum(a != b for a, b in zip(more, answers["with_english"], strict=True)) <= 3


def test_05_2_too_much_english_makes_it_worse(answers):
    (search,) = suggested("05", "2")
    rate = answers["char_error_rate"]
    worse, better = (
        rate(read_all(answers, search), answers["written"]),
        rate(answers["with_english"], answers["written"]),
    )
    assert worse > 1.2 * better


def test_05_3_a_language_of_digits_spoils_words(answers):
    answers["digits"] = eval(suggested("05", "3")[0], answers)
    read = read_all(answers, "beam_search(answers[0], digits)")
    rate = answers["char_error_rate"]
    assert rate(read, answers["written"]) > rate(answers["with_english"], answers["written"])


def test_05_4_a_name_joined_up(answers):
    assert eval(suggested("05", "4")[0].replace("your name", "ann"), answers).text


def test_05_5_letters_close_together_and_apart(answers):
    near, far = suggested("05", "5")
    strokes = [eval(near, answers), eval(near.replace("gap=4", far), answers)]
    read = [answers["recognizer"].predict_line(s).text for s in strokes]
    widths = [max(x for stroke in s for x, *_ in stroke) for s in strokes]
    assert widths[0] < widths[1] and all(read)


@pytest.fixture(scope="module")
def own():
    """Return notebook 6 as far as one can fine-tune."""
    book = Notebook("06")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plt, "show", lambda: None)
        patch.setenv("LAB_FAST", "1")
        book.run("code-01", "code-03", "reader = Recognizer.pretrained(equal_classes=True)")
        few = {"fine_tuned(reader)": "reader", "fine_tuned(reader, mixed=False)": "reader"}
        few |= {"limit_train_batches=60": "limit_train_batches=2", "// 2000": "// 300"}
        few |= {"CNN(data.config())": "CNN(data.config(), conv_dim=8)"}
        book.run("code-13", "code-16", "code-21", "code-22", "code-24", changes=few)
        book.run("code-28", "code-29", changes=few)
    return book


def test_06_1_own_drawings_count_once_all_of_them_are_there(own, capsys):
    few = {'"2479aefgkr", 4': '"2", 2'}
    own.run("code-21", "code-22", changes=few)
    assert "2 of your 2 drawings are still missing" in capsys.readouterr().out
    for number in range(2):
        own["collect"].draw(own["sample_strokes"]("2", number))
        own["collect"].commit()
    try:
        own.run("code-22")
        assert own["own"].path == own["yours"].path
    finally:
        own["yours"].path.unlink()
        own.run("code-21", "code-22", "code-24")


def test_06_2_twenty_steps_teach_the_drawings(own):
    quick, long = suggested("06", "2")
    assert long == "500"
    own["tuned"] = eval(quick, own)
    assert own["accuracy"](own["tuned"], own["held_out"], own["held_out_labels"]) > 0.9


def test_06_3_the_other_network_can_be_fine_tuned(own):
    assert eval("fine_tuned(mine, steps=2)", own) is not own["mine"]


def test_06_4_somebody_else_writes(own):
    own.run("code-33", changes={"tuned": "reader"})


def test_06_5_a_canvas_that_reads_live(own):
    canvas = eval(suggested("06", "5")[0], own)
    assert canvas.live and canvas.keep_in.name == "play.jsonl"


def test_06_6_any_function_reads(own):
    canvas = eval(suggested("06", "6")[0], own)
    canvas.draw(own["sample_strokes"]("1"))
    assert canvas.result["text"] == "?"


def test_07_averaging_twenty_blocks_and_a_page_to_take_home(tmp_path):
    book = Notebook("07", LABS / "instructor").run("cell-01", "cell-18", "cell-23", "cell-28")
    text = book.cells["cell-41"]
    assert "`x.mean(dim=(2, 3))`" in text and "`build_deep(NoSkipBlock, num_blocks=5)`" in text
    book.run("cell-33", "build-deep", "build_deep(NoSkipBlock, num_blocks=5)")
    averaged = {"torch.flatten(x, 1)": "x.mean(dim=(2, 3))", "2 * width * pixels": "2 * width"}
    book.run("cell-23", "resnet = ResNet(data.config(), num_blocks=20).eval()", changes=averaged)
    page = re.search(r"`share\((.*?), \"my_resnet.html\"\)`", text)[1]
    book["file"] = tmp_path / "a.html"
    book.run(f"from lab_utils import Recognizer, share\npage = share({page}, file)")
    assert book["page"].stat().st_size < 1.5e6
