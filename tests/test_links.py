"""Links to Colab and Binder: written everywhere from one address, and removed without a trace."""

import json
import shutil
import tomllib
from urllib.parse import parse_qs, urlsplit

import links
import pytest

ROOT = links.ROOT

NAMED = "somebody/handwriting"
REPOSITORY = f"https://github.com/{NAMED}"
SETUP = {
    "cell_type": "code",
    "execution_count": 1,
    "id": "setup",
    "metadata": links.FOLDED,
    "outputs": [],
    "source": links.FROM_WHEEL.splitlines(keepends=True),
}


@pytest.fixture
def checkout(tmp_path):
    """Return a copy of what is linked, with Korean pages."""
    root = tmp_path / "a checkout"
    (root / "labs" / "ko").mkdir(parents=True)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, root)
    shutil.copytree(ROOT / "docs", root / "docs")
    shutil.copytree(ROOT / "labs" / "instructor", root / "labs" / "instructor")
    for path in (ROOT / "labs").glob("*.ipynb"):
        shutil.copy(path, root / "labs")
    (root / "README.ko.md").write_text("# 손글씨\n\n소개\n", encoding="utf-8")
    (root / "docs" / "page.ko.md").write_text("# 안내\n", encoding="utf-8")
    title = {"cell_type": "markdown", "id": "t", "metadata": {}, "source": ["# 1. EMNIST 보기"]}
    korean = {"cells": [title, SETUP], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    text = json.dumps(korean, indent=1, ensure_ascii=False) + "\n"
    (root / "labs" / "ko" / "00_start_here.ipynb").write_text(text, encoding="utf-8")
    links.main(["--repository", ""], root)  # whatever the committed address is
    return root


def read_all(root):
    return {
        path: path.read_bytes()
        for path in root.rglob("*.*")
        if path.suffix in (".ipynb", ".md", ".toml")
    }


def read_title(path):
    return "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"]).split("\n")


def test_all_pages_get_links_and_lose_them_without_a_trace(checkout, capsys):
    before = read_all(checkout)
    links.main(["--repository", REPOSITORY + ".git/"], checkout)
    linked = read_all(checkout)
    assert linked.keys() == before.keys()
    assert {path for path in linked if linked[path] == before[path]} == set()
    assert len(capsys.readouterr().out.splitlines()) >= len(before)
    links.main([], checkout)
    links.main(["--repository", REPOSITORY], checkout)
    assert read_all(checkout) == linked
    assert capsys.readouterr().out == ""
    links.main(["--repository", "https://github.com/another/place"], checkout)
    assert not any(NAMED.encode() in content for content in read_all(checkout).values())
    links.main(["--repository", ""], checkout)
    assert read_all(checkout) == before


def test_a_notebook_links_to_itself_in_words(checkout):
    links.main(["--repository", REPOSITORY], checkout)
    names = {path.name for path in checkout.glob("labs/*.ipynb")}
    assert len(names) >= 6
    for name in names:
        title, empty, line = read_title(checkout / "labs" / name)[:3]
        assert title.startswith("# ")
        assert empty == ""
        assert (
            f"(https://colab.research.google.com/github/somebody/handwriting/blob/main/labs/{name})"
            in line
        )
        binder = urlsplit(line.partition("Binder](")[2].partition(")")[0])
        assert binder.netloc == "mybinder.org"
        assert binder.path == f"/v2/gh/{NAMED}/main"
        assert parse_qs(binder.query) == {"urlpath": [f"lab/tree/labs/{name}"]}
        assert "![" not in line  # no picture that would be loaded from elsewhere


def test_a_reference_has_the_links_of_its_students_notebook(checkout):
    links.main(["--repository", REPOSITORY], checkout)
    for path in (checkout / "labs" / "instructor").glob("*.ipynb"):
        assert read_title(path)[:3] == read_title(checkout / "labs" / path.name)[:3]


def test_korean_pages_are_linked_in_korean(checkout):
    links.main(["--repository", REPOSITORY], checkout)
    notebook = checkout / "labs" / "ko" / "00_start_here.ipynb"
    title, _, line = read_title(notebook)
    assert title == "# 1. EMNIST 보기"
    assert "[Colab에서 열기](" in line
    assert "blob/main/labs/ko/00_start_here.ipynb)" in line
    assert "한" not in line
    page = (checkout / "docs" / "page.ko.md").read_text(encoding="utf-8")
    assert "[GitHub 저장소](" in page
    assert "blob/main/labs/ko/00_start_here.ipynb)" in page
    code = json.loads(notebook.read_text(encoding="utf-8"))["cells"][1]
    assert code == SETUP | {"source": links.make_setup(REPOSITORY, "ko").splitlines(keepends=True)}


def test_the_readme_shows_badges_and_the_address_is_kept_in_one_place(checkout):
    links.main(["--repository", REPOSITORY], checkout)
    lines = (checkout / "README.md").read_text(encoding="utf-8").split("\n")
    assert lines[0].startswith("# ")
    assert lines[2].startswith("[![Open in Colab](https://colab.research.google.com/assets/")
    assert lines[2].endswith(links.MARK)
    assert lines[3] == ""
    kept = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))
    assert kept["project"]["urls"] == {"Repository": REPOSITORY}


@pytest.mark.parametrize(
    "address",
    ["http://github.com/a/b", "github.com/a/b", "https://github.com/a", "https://x.org/a/b"],
)
def test_a_wrong_address_is_one_sentence_and_changes_nothing(checkout, address):
    before = read_all(checkout)
    with pytest.raises(SystemExit, match="must be like https://github"):
        links.main(["--repository", address], checkout)
    assert read_all(checkout) == before


def test_the_committed_pages_have_the_links_of_the_kept_address(tmp_path):
    for path in (ROOT / "pyproject.toml", *links.find_pages(ROOT)):
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    committed = read_all(tmp_path)
    links.main([], tmp_path)
    assert read_all(tmp_path) == committed, "run  make links"
