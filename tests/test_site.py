"""The pages of the site: which there are, and where their links lead. Sphinx is not needed."""

import json
import posixpath
import re
from urllib.parse import urlsplit

import build_site
import make_pictures
import numpy as np
import pytest
import yaml
from build_site import ROOT
from PIL import Image, ImageSequence

REPOSITORY = "https://github.com/somebody/handwriting"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return the folder with the pages of both languages, as Sphinx gets them."""
    folder = tmp_path_factory.mktemp("site")
    for language in ("en", "ko"):
        build_site.Stage(language, folder / language, "").write_pages()
    return folder


def read_markdown(path):
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return re.sub(r"^````?.*?^````?$", "", text, flags=re.MULTILINE | re.DOTALL)
    cells = json.loads(text)["cells"]
    return "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


def test_every_notebook_and_page_of_the_docs_is_in_the_contents(site):
    for language, folder, suffix in (
        ("en", ROOT / "labs", ".md"),
        ("ko", ROOT / "labs/ko", ".ko.md"),
    ):
        listed = (site / language / "index.md").read_text(encoding="utf-8").splitlines()
        notebooks = [f"labs/{path.stem}" for path in folder.glob("[0-9]*.ipynb")]
        assert len(notebooks) >= 7
        docs = [f"docs/{p.name.split('.')[0]}" for p in ROOT.glob(f"docs/*{suffix}")]
        assert set(notebooks + docs) <= set(listed)
        pages = [p for p in (site / language).rglob("*") if p.suffix in (".md", ".ipynb")]
        names = {p.relative_to(site / language).with_suffix("").as_posix() for p in pages}
        assert names - {"index"} <= set(listed)


def find_source(site, published):
    """Return the page that is published under this path, or None."""
    language, path = ("ko", published[3:]) if published.startswith("ko/") else ("en", published)
    found = [(site / language / path).with_suffix(suffix) for suffix in (".md", ".ipynb")]
    return next((page for page in found if page.exists()), None)


@pytest.mark.parametrize("language", ["en", "ko"])
def test_every_link_leads_to_a_page_or_a_picture(site, language):
    count = 0
    for path in (site / language).rglob("*"):
        if path.suffix not in (".md", ".ipynb"):
            continue
        folder = path.parent.relative_to(site / language).as_posix()
        published = posixpath.join("ko" if language == "ko" else "", folder)
        links = re.findall(r"\]\(([^)\s]+)\)|<img[^>]* src=\"([^\"]+)", read_markdown(path))
        for link in map("".join, links):
            target = link.partition("#")[0]
            if target.startswith("site:"):
                there = posixpath.normpath(posixpath.join(published, target[5:]))
                assert find_source(site, there), f"{path}: {link}"
            elif target and not urlsplit(target).scheme:
                assert (path.parent / target).exists(), f"{path}: {link}"
            count += 1
    assert count > 30


def test_the_first_page_has_the_reader_and_a_picture_of_each_notebook(site):
    for language in ("en", "ko"):
        text = (site / language / "index.md").read_text(encoding="utf-8")
        assert text.count(f'src="{build_site.READER}"') == 1
        assert "canvas.webp" not in text
        for path in ROOT.glob("labs/0[1-7]_*.ipynb"):
            picture = rf"\[!\[[^]]+\]\(labs/pictures/{path.stem}.webp\)\]\(labs/{path.name}\)"
            assert re.search(picture, text)


def test_the_pictures_of_a_cell_are_described():
    def show(plain, **metadata):
        data = {"image/png": "", "text/plain": [plain]}
        return {"output_type": "display_data", "data": data, "metadata": metadata}

    own = show("<Figure size 9x9>", **{"image/png": {"alt": "2 images: a, b"}})
    canvas, plot = show("HandwritingCanvas('line')"), show("<Figure size 9x9>")
    text = {"output_type": "stream", "name": "stdout", "text": [""]}
    describe = build_site.describe_pictures
    assert describe({"outputs": [text]}, "Averages") == ""
    assert describe({"outputs": [plot, text, plot]}, "Averages") == "Averages"
    assert describe({"outputs": [own, canvas]}, "Averages") == (
        "2 images: a, b; HandwritingCanvas('line')"
    )


def test_the_package_page_has_every_public_name(site):
    import lab_utils

    found = re.findall(
        r"(?:auto\w+|py:data):: lab_utils\.(\w+)$", build_site.make_api(), re.MULTILINE
    )
    assert sorted(found) == sorted(lab_utils.__all__)


def test_a_link_an_anchor_or_a_picture_that_leads_nowhere_is_found(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "index.html").write_text('<h1 id="top">한</h1><img src="../b%20c.png">')
    (tmp_path / "b c.png").touch()
    fine = "https://x.org/a mailto:x@y.z #here a/ a/index.html#top b%20c.png data:,x ?q=1#here"
    dead = "#there a/#bottom c.png ../d.html a/b.ipynb"
    links = "".join(f'<a href="{link}">x</a>' for link in f"{fine} {dead}".split())
    (tmp_path / "page.html").write_text(f'<p id="here">{links}<img src="none.png"></p>')
    found = build_site.find_dead_links(tmp_path)
    assert found == [f"page.html: {link}" for link in [*dead.split(), "none.png"]]


def test_the_address_of_the_site_is_that_of_github_pages():
    assert build_site.find_top(REPOSITORY) == "https://somebody.github.io/handwriting/"
    assert build_site.find_top("") == "/"


def test_files_that_are_not_pages_are_on_github_where_the_address_is_known(tmp_path):
    known = build_site.Stage("en", tmp_path, REPOSITORY)
    text = known.set_links(
        "[licence](../LICENSE) and `[a](b)`[c](using.md#the-data)", "docs/grading.md"
    )
    assert f"[licence]({REPOSITORY}/blob/main/LICENSE)" in text
    assert "[c](using.md#the-data)" in text
    unknown = build_site.Stage("en", tmp_path, "")
    assert unknown.set_links("[licence](../LICENSE)", "docs/grading.md") == "licence"
    assert unknown.set_links("[한국어](using.ko.md)\n\nText", "docs/using.md") == "Text"
    korean = build_site.Stage("ko", tmp_path, "")
    link = korean.set_links("[figures](../benchmarks/README.md#the-canvas)", "docs/using.ko.md")
    assert link == "[figures](site:../../benchmarks/README.html#the-canvas)"


def test_links_to_colab_and_binder_are_marked(tmp_path):
    line = build_site.links.make_line(REPOSITORY, "labs/01_look_at_emnist.ipynb", "en", "notebook")
    text = build_site.Stage("en", tmp_path, "").set_links(
        f"# 1\n\n{line}", "labs/01_look_at_emnist.ipynb"
    )
    assert text == f"# 1\n\n{{.launch}}\n{line}"


def test_the_workflow_publishes_what_make_site_builds():
    workflow = yaml.safe_load((ROOT / ".github/workflows/site.yml").read_text(encoding="utf-8"))
    steps = workflow["jobs"]["build"]["steps"]
    assert any(step.get("run", "").startswith("make site") for step in steps)
    (upload,) = [step for step in steps if "upload-pages-artifact" in step.get("uses", "")]
    assert ROOT / upload["with"]["path"] == build_site.OUT
    assert any(
        "deploy-pages" in step.get("uses", "") for step in workflow["jobs"]["deploy"]["steps"]
    )


def test_badges_become_words(tmp_path):
    line = build_site.links.make_line(REPOSITORY, "labs/01_look_at_emnist.ipynb", "en", "badges")
    text = build_site.Stage("en", tmp_path, "").set_links(f"# Lab\n\n{line}", "README.md")
    assert "![" in line
    assert "![" not in text
    assert "[Open in Colab](https://colab.research.google.com/github/somebody/handwriting" in text


def test_pictures_are_small_and_those_of_the_notebooks_as_they_are_now():
    for name, (which, part) in make_pictures.PREVIEWS.items():
        picture = make_pictures.find_pictures(ROOT / "labs" / f"{name}.ipynb")[which]
        made = np.asarray(make_pictures.make_preview(picture, part), dtype=float)
        path = make_pictures.PICTURES / f"{name}.webp"
        with Image.open(path) as kept:
            difference = np.abs(np.asarray(kept.convert("RGB"), dtype=float) - made).mean()
        assert difference < 12, f"{name} has other outputs: run  make pictures"
        assert path.stat().st_size < 40_000
    with Image.open(make_pictures.RECORDING) as recording:
        durations = []
        for frame in ImageSequence.Iterator(recording):
            frame.load()
            durations.append(frame.info["duration"])
    assert 5000 < sum(durations) < 10_000
    assert make_pictures.RECORDING.stat().st_size < 2_000_000
