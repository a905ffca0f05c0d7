"""What the start page says of this machine and of the course, in a notebook and in a terminal."""

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import nbformat
import pytest
import torch
from helpers import run_in_fork
from nbclient import NotebookClient

from lab_utils import check_machine, show_progress, start_page, time_notebooks
from lab_utils.start_page import (
    COURSE,
    Table,
    count_cores,
    describe_seconds,
    inspect_machine,
    measure_memory,
    read_progress,
    remember_pass,
)
from text_recognizer.files import archives, prepared
from text_recognizer.language import LOCALE, _
from text_recognizer.paths import bundled, shorten_path

ROOT = bundled("sources.json").parents[1]
GB = 10**9


def read_cells(table):
    """Return the cells of a table as it stands in a notebook, by rows, without its header."""
    lines = [line for line in table._repr_markdown_().splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def test_a_table_is_markdown_in_a_notebook_and_lines_where_it_is_printed():
    rows = [("[1. A](01_a.ipynb)", "2 / 2 ✓"), ("🔴 problem", r"\_x\_<br>C:\\y"), ("b", "1")]
    table = Table("A title", ["what", "passed"], rows, "A foot.")
    assert table._repr_markdown_() == (
        "**A title**\n\n| what | passed |\n| --- | --- |\n| [1. A](01_a.ipynb) | 2 / 2 ✓ |\n"
        "| 🔴 problem | \\_x\\_<br>C:\\\\y |\n| b | 1 |\n\nA foot."
    )
    assert str(table) == "A title\n1. A  2 / 2 ✓\nproblem  _x_\n    C:\\y\nb  1\nA foot."


def find(name):
    (found,) = (finding for finding in inspect_machine() if finding.name == name)
    return found


def test_here_nothing_is_in_the_way(data_folder):
    found = inspect_machine()
    names = ["Python", "memory", "CPU cores", "PyTorch"]
    names += ["data folder", "free disk space", "EMNIST", "MNIST"]
    assert [finding.name for finding in found] == names
    assert {finding.status for finding in found} <= {"ok", "note"}
    assert list(data_folder.iterdir()) == []  # nothing was downloaded or prepared
    rows = read_cells(check_machine())
    signs = {"ok": "🟢 ok", "note": "🟡 note"}
    assert [row[:2] for row in rows] == [[signs[f.status], f.name] for f in found]


@pytest.mark.parametrize(
    ("size", "status"), [(8 * GB, "ok"), (2**31, "ok"), (1.2 * GB, "note"), (0.5 * GB, "problem")]
)
def test_memory(size, status, monkeypatch):
    monkeypatch.setattr(start_page, "measure_memory", lambda: size)
    found = find("memory")
    assert found.status == status
    assert found.advice.endswith(".") == (status != "ok")


@pytest.mark.parametrize(("free", "status"), [(9e9, "ok"), (1e9, "note"), (1e6, "problem")])
def test_disk(free, status, monkeypatch):
    monkeypatch.setattr(start_page.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    assert find("free disk space").status == status


@pytest.mark.parametrize(("cores", "status"), [(8, "ok"), (2, "ok"), (0.5, "note")])
def test_cores(cores, status, monkeypatch):
    monkeypatch.setattr(start_page, "count_cores", lambda: cores)
    assert find("CPU cores").status == status


def make_files(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_in_a_container_its_own_limits_count(tmp_path):
    make_files(
        tmp_path,
        {
            "proc/self/cgroup": "0::/kube/pod/it\n",
            "sys/fs/cgroup/kube/pod/it/memory.max": "max\n",
            "sys/fs/cgroup/kube/pod/memory.max": f"{10**8}\n",  # that of the pod
            "sys/fs/cgroup/kube/memory.max": f"{10**10}\n",
            "sys/fs/cgroup/kube/pod/it/cpu.max": "50000 100000\n",
            "sys/fs/cgroup/kube/cpu.max": "max 100000\n",
        },
    )
    assert measure_memory(tmp_path) == 10**8
    assert count_cores(tmp_path) == 0.5


def test_a_container_that_sees_only_itself_has_its_limits_at_the_top(tmp_path):
    top = "sys/fs/cgroup"
    limits = {f"{top}/memory.max": f"{10**8}\n", f"{top}/cpu.max": "25000 100000\n"}
    make_files(tmp_path, limits | {"proc/self/cgroup": "0::/\n"})
    assert measure_memory(tmp_path) == 10**8
    assert count_cores(tmp_path) == 0.25


def test_without_limits_it_is_the_machine(tmp_path):
    import psutil

    whole, cores = psutil.virtual_memory().total, len(psutil.Process().cpu_affinity())
    assert (measure_memory(tmp_path), count_cores(tmp_path)) == (whole, cores)
    make_files(tmp_path, {"proc/self/cgroup": "4:memory:/\n0::/\n"})
    assert (measure_memory(tmp_path), count_cores(tmp_path)) == (whole, cores)


def test_a_torch_that_does_not_load_is_a_problem(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    found = start_page._check_torch()
    assert (found.status, found.advice) == ("problem", "Install the lab again.")
    assert "torch" in found.found


def test_a_gpu_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "A GPU")
    assert find("PyTorch").found.endswith("with A GPU")


def test_where_nothing_can_be_written_one_sentence_says_so(data_folder):
    data_folder.write_text("no folder")
    found = inspect_machine()[-1]
    assert (found.name, found.status) == ("data folder", "problem")
    assert "LAB_DATA_DIR" in found.advice
    assert "🔴 problem" in check_machine()._repr_markdown_()
    assert f"\n    {found.advice}" in str(check_machine())


def test_the_data_come_from_where_the_data_module_finds_them(
    gzip_zip, mnist_folder, data_folder, monkeypatch, tmp_path
):
    assert find("EMNIST").found == "the bundled sample, as LAB_OFFLINE=1 forbids downloads"
    monkeypatch.delenv("LAB_OFFLINE")
    assert find("MNIST").found.startswith("the download, when first used")
    monkeypatch.setenv("EMNIST_ARCHIVE", str(gzip_zip))
    monkeypatch.setenv("MNIST_DIR", str(mnist_folder))
    assert find("EMNIST").found == "from gzip.zip, when first used"
    assert find("MNIST").found == "from mnist-files, when first used"
    target = data_folder / "emnist.h5"
    prepared.write(
        target, archives.read_emnist(gzip_zip), "real EMNIST", prepared.fingerprint(gzip_zip)
    )
    assert find("EMNIST").found == "prepared: real EMNIST"
    monkeypatch.setenv("EMNIST_ARCHIVE", str(tmp_path / "none.zip"))
    assert (find("EMNIST").status, find("EMNIST").found[-14:]) == ("problem", "does not exist")
    monkeypatch.delenv("EMNIST_ARCHIVE")
    assert find("EMNIST").found == "prepared: real EMNIST"
    target.write_bytes(target.read_bytes()[:-100])
    assert find("EMNIST").found.startswith("the download, when first used")  # it is made again


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoding", "language", "said"),
    [
        ("utf-8", "ko", "이 컴퓨터에서 실습이 돌아가나요?"),
        ("ascii", "ko", "Does the lab run"),
        ("ascii", "", "Does the lab run"),
    ],
)
def test_a_terminal_says_the_same(encoding, language, said, tmp_path):
    environment = {"PYTHONIOENCODING": encoding, "LAB_LANGUAGE": language, "PYTHONUTF8": "0"}
    environment |= {"LAB_DATA_DIR": str(tmp_path / "한")}
    process = subprocess.run(
        [sys.executable, "-m", "lab_utils"], capture_output=True, env=os.environ | environment
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.decode(encoding).startswith(said)


@pytest.mark.slow
def test_a_terminal_ends_with_1_if_something_is_in_the_way(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LAB_DATA_DIR", str(tmp_path / "file"))
    status, said, errors = run_in_fork("python -m lab_utils", tmp_path)
    assert (status, errors) == (1, "")
    assert "problem  data folder  no file can be written\n    " in said


@pytest.mark.parametrize(
    ("slowness", "words", "speed"),
    [
        (1, ["some seconds", "50 seconds", "60 seconds"], "about as fast"),
        (4, ["30 seconds", "3 minutes", "4 minutes"], "4.0 times as slow"),
        (0.5, ["some seconds", "30 seconds", "30 seconds"], "2.0 times as fast"),
    ],
)
def test_times_follow_from_the_speed(slowness, words, speed, monkeypatch):
    monkeypatch.setattr(start_page, "measure_step", lambda: slowness * start_page.STEP_SECONDS)
    table = time_notebooks()
    rows = read_cells(table)
    assert [row[2] for row in rows[:3]] == words
    assert [row[1] for row in rows] == [book.minutes for book in COURSE]
    assert speed in table.foot


def test_measuring_leaves_the_random_numbers_alone(monkeypatch):
    monkeypatch.setattr(start_page, "FAST_SECONDS", 0.01)
    monkeypatch.setenv("LAB_FAST", "1")
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    assert 0.001 < start_page.measure_step() < 60
    assert torch.equal(torch.rand(2), wanted)


def test_durations_are_told_no_more_exactly_than_they_are_known():
    told = [describe_seconds(seconds) for seconds in (3, 24, 88, 91, 500)]
    assert told == ["some seconds", "20 seconds", "90 seconds", "2 minutes", "8 minutes"]


def read_sources(book):
    cells = json.loads((ROOT / "labs" / f"{book.file}.ipynb").read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells]


def test_the_course_is_all_notebooks_after_the_start_page():
    names = [path.stem for path in sorted((ROOT / "labs").glob("[0-9]*.ipynb"))]
    assert [book.file for book in COURSE] == [name for name in names if name[:2] != "00"]


@pytest.mark.parametrize("book", COURSE, ids=lambda book: book.file)
def test_a_notebook_has_its_checked_questions_and_its_times(book):
    sources = read_sources(book)
    checks = [re.match(r"# CHECK (\w+)", source) for source in sources]
    assert [check[1] for check in checks if check] == [f"q{i + 1}" for i in range(book.questions)]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    row = re.search(rf"\*\*\[(\d\. .+)\]\(labs/{book.file}.ipynb\)\*\*.* \| (\S+) \|", readme)
    assert row[1] == f"{int(book.number)}. {book.title}"
    assert row[2] == book.minutes
    assert "computing takes from some seconds to two minutes per notebook" in readme
    assert 5 <= book.seconds <= 120


def test_a_notebook_begins_with_where_it_stands_and_ends_with_what_you_have():
    links = ["[0. Start here](00_start_here.ipynb)", *(book.link for book in COURSE)]
    for i, book in enumerate(COURSE, 1):
        first, *_cells, last = [source for source in read_sources(book) if source.startswith("#")]
        place = f"\n\n**Notebook {i} of {len(COURSE)}** · before it: {links[i - 1]} · "
        assert place + (f"next: {links[i + 1]}" if i < len(COURSE) else "") in first
        end = "\n".join(read_sources(book)[-4:])
        assert "\n\n**What you have now:** " in end
        assert i == len(COURSE) or f"\n\nNext: {links[i + 1]}" in last


def test_a_question_that_passed_is_kept_once_and_only_if_there_is_such_a_one(data_folder):
    path = data_folder / "progress.json"
    for question in ("02 q3", "02 q1", "02 q3", "07 q7", "02 q4", "06 q3", "99 q1", "01 answer"):
        remember_pass(question)
    assert json.loads(path.read_text()) == ["02 q1", "02 q3", "07 q7"]
    assert read_progress(path) == {"02 q1", "02 q3", "07 q7"}


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"{}", b"7", b"\xff", b"[3, null]", b'["01 q9", []]', b"[" * 99_999, None],
    ids=range(9),
)
def test_a_damaged_file_is_none(content, data_folder):
    path = data_folder / "progress.json"
    data_folder.mkdir()
    if content is None:
        path.mkdir()  # a folder of that name
    else:
        path.write_bytes(content)
    assert read_progress(path) == set()
    if content is not None:
        remember_pass("01 q2")
        assert read_progress(path) == {"01 q2"}


def test_progress_counts_for_each_notebook_and_says_where_it_is_kept(data_folder):
    for question in ("01 q1", "01 q2", "02 q1"):
        remember_pass(question)
    rows = read_cells(show_progress())
    assert rows[0] == ["[1. Look at EMNIST](01_look_at_emnist.ipynb)", "2 / 2 ✓"]
    assert rows[1] == ["[2. Train a CNN](02_train_cnn.ipynb)", "1 / 3"]
    assert rows[5] == ["[6. Draw your own](06_draw_your_own.ipynb)", "0 / 2"]
    assert len(rows) == len(COURSE)
    for name, _passed in rows:
        assert (ROOT / "labs" / re.search(r"\((.+)\)$", name)[1]).exists()
    printed = str(show_progress())
    assert shorten_path(data_folder / "progress.json") in printed
    assert "2. Train a CNN  1 / 3\n" in printed


def run(cells, tmp_path, name):
    """Run cells in a kernel to which Jupyter has told the notebook's name, or nothing."""
    path = f"os.environ['JPY_SESSION_NAME'] = {str(tmp_path / name)!r}" if name else "0"
    cells = [f"import os; {path}", "import lab_utils", *cells]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    NotebookClient(notebook, allow_errors=True, timeout=60).execute()
    return [cell.outputs for cell in notebook.cells[2:]]


PASSED = "# CHECK q1 (1 point)\nassert True"
FAILED = "# CHECK q2 (1 point)\nassert False, 'a hint'"
OTHER = "# no CHECK q3"


@pytest.mark.slow
def test_in_jupyter_a_check_that_passes_is_remembered_in_silence(data_folder, tmp_path):
    outputs = run([PASSED, FAILED, OTHER], tmp_path, "02_train_cnn-Copy1.ipynb")
    assert outputs[0] == []
    assert read_progress(data_folder / "progress.json") == {"02 q1"}


@pytest.mark.slow
def test_a_full_disk_is_no_matter_of_a_check(data_folder, tmp_path):
    data_folder.write_text("no folder")
    assert run([PASSED], tmp_path, "02_train_cnn.ipynb") == [[]]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["", "my_notebook.ipynb"])
def test_what_programs_run_is_not_remembered(name, data_folder, tmp_path):
    assert run([PASSED], tmp_path, name) == [[]]
    assert not (data_folder / "progress.json").exists()


def read_map(name):
    """Return the tags of the map of the course, and its texts."""
    root = ET.parse(ROOT / "labs" / name).getroot()
    return [each.tag for each in root.iter()], [each.text for each in root.iter() if each.text]


def test_the_map_has_all_notebooks_in_both_languages(monkeypatch):
    tags, english = read_map("pictures/course_map.svg")
    korean_tags, korean = read_map("pictures/course_map.ko.svg")
    monkeypatch.setenv("LAB_LANGUAGE", "ko")
    for book in COURSE:
        assert f"{int(book.number)}. {book.title}" in english
        assert _(book.title) != book.title
        assert f"{int(book.number)}. {_(book.title)}" in korean
    assert tags == korean_tags
    texts = [text for text in korean if text.strip()]
    assert all(re.search("[가-힣]", text) for text in texts if text != "hello")


def test_translations_are_read_once(monkeypatch):
    monkeypatch.setenv("LAB_LANGUAGE", "ko")
    assert _("memory") == "메모리"
    assert _("no line of ours") == "no line of ours"
    monkeypatch.setattr("builtins.open", lambda *_, **__: pytest.fail("it reads again"))
    assert str(show_progress()).startswith("통과한 검사 문제")
    assert LOCALE.is_dir()
