"""What the course consists of, and which checked questions are remembered as passed."""

import html
import json
import re
import xml.etree.ElementTree as ET

import nbformat
import pytest
from nbclient import NotebookClient

from lab_utils.course import COURSE, LINES, read_progress, remember_pass, show_progress
from text_recognizer.paths import bundled, shorten_path

ROOT = bundled("sources.json").parents[1]
EMPTY = {book.number: set() for book in COURSE}


def read_sources(book):
    cells = json.loads((ROOT / "labs" / f"{book.name}.ipynb").read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells]


def test_the_course_is_all_notebooks_after_the_start_page():
    names = [path.stem for path in sorted((ROOT / "labs").glob("[0-9]*.ipynb"))]
    assert [book.name for book in COURSE] == [name for name in names if name[:2] != "00"]


@pytest.mark.parametrize("book", COURSE, ids=lambda book: book.name)
def test_a_notebook_has_its_checked_questions_and_its_times(book):
    sources = read_sources(book)
    checks = [re.match(r"# CHECK (\w+)", source) for source in sources]
    assert [check[1] for check in checks if check] == [f"q{i + 1}" for i in range(book.questions)]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    row = re.search(rf"\*\*\[(\d\. .+)\]\(labs/{book.name}.ipynb\)\*\*.* \| (\S+) \|", readme)
    assert row[1] == f"{int(book.number)}. {LINES[book.number]}"
    assert row[2] == f"{book.minutes[0]}-{book.minutes[1]}"
    assert "computing takes from half a minute to four per notebook" in readme
    assert 30 <= book.seconds <= 240


def test_a_notebook_begins_with_where_it_stands_and_ends_with_what_you_have():
    links = ["[0. Start here](00_start_here.ipynb)"]
    links += [f"[{i}. {LINES[b.number]}]({b.name}.ipynb)" for i, b in enumerate(COURSE, 1)]
    for i, book in enumerate(COURSE, 1):
        first, *_, last = [source for source in read_sources(book) if source.startswith("#")]
        place = f"\n\n**Notebook {i} of {len(COURSE)}** · before it: {links[i - 1]} · "
        assert place + (f"next: {links[i + 1]}" if i < len(COURSE) else "") in first
        end = "\n".join(read_sources(book)[-4:])
        assert "\n\n**What you have now:** " in end
        assert i == len(COURSE) or f"\n\nNext: {links[i + 1]}" in last


def test_a_question_that_passed_is_kept_once_and_only_if_there_is_such_a_one(data_folder):
    path = data_folder / "progress.json"
    for notebook, question in (("02", "q3"), ("02", "q1"), ("02", "q3"), ("07", "q7")):
        remember_pass(notebook, question)
    for notebook, question in (("02", "q4"), ("06", "q1"), ("99", "q1"), ("01", "answer")):
        remember_pass(notebook, question)
    assert json.loads(path.read_text()) == {"02": ["q1", "q3"], "07": ["q7"]}
    assert read_progress(path) == EMPTY | {"02": {"q1", "q3"}, "07": {"q7"}}


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"7", b"\xff", b'{"01": 3}', b'{"01": null}', b"[" * 99_999, None],
    ids=range(9),
)
def test_a_damaged_file_is_none(content, data_folder):
    path = data_folder / "progress.json"
    data_folder.mkdir()
    if content is None:
        path.mkdir()  # a folder of that name
    else:
        path.write_bytes(content)
    assert read_progress(path) == EMPTY
    if content is not None:
        remember_pass("01", "q2")
        assert read_progress(path) == EMPTY | {"01": {"q2"}}


def test_unknown_entries_are_left_out(data_folder):
    data_folder.mkdir()
    path = data_folder / "progress.json"
    path.write_text('{"01": ["q1", "q9", 5, {}], "08": ["q1"], "06": ["q1"]}')
    assert read_progress(path) == EMPTY | {"01": {"q1"}}


def read_rows(page):
    """Return the texts of the cells of a table in HTML, by rows."""
    table = ET.fromstring(page.partition("</table>")[0].replace("<br>", "") + "</table>")
    return [["".join(cell.itertext()) for cell in row] for row in table.iter("tr")]


def test_progress_is_a_bar_for_each_notebook_and_says_where_it_is_kept(data_folder):
    for question in ("q1", "q2"):
        remember_pass("01", question)
    remember_pass("02", "q1")
    page = show_progress()._repr_html_()
    rows = read_rows(page)[1:]
    assert rows[0] == ["1. Look at EMNIST", "2 / 2, all"]
    assert rows[1] == ["2. Train a CNN", "1 / 3"]
    assert rows[5] == ["6. Draw your own", "no checked questions"]
    assert re.findall(r"width: (\d+)%", page) == ["100", "33", "0", "0", "0", "0"]
    targets = re.findall('href="(.+?)"', page)
    assert all((ROOT / "labs" / target).exists() for target in targets)
    assert len(targets) == len(COURSE)
    assert html.escape(shorten_path(data_folder / "progress.json")) in page
    assert "1 / 3" in str(show_progress())


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
    assert read_progress(data_folder / "progress.json") == EMPTY | {"02": {"q1"}}


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


def test_the_map_has_all_notebooks_in_both_languages():
    (tags, english), (korean_tags, korean) = map(
        read_map, ("pictures/course_map.svg", "pictures/course_map.ko.svg")
    )
    translations = json.loads((ROOT / "text_recognizer/language_ko.json").read_text("utf-8"))
    for book in COURSE:
        title = LINES[book.number]
        assert f"{int(book.number)}. {title}" in english
        assert f"{int(book.number)}. {translations[title]}" in korean
    assert tags == korean_tags
    texts = [text for text in korean if text.strip()]
    assert all(re.search("[가-힣]", text) for text in texts if text != "hello")
