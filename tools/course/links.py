"""Writes where the lab lies into README, docs and notebooks: badges and links to Colab and Binder.

    python tools/course/links.py --repository https://github.com/NAME/PROJECT
    python tools/course/links.py                       # again, with the address that is kept there
    python tools/course/links.py --repository ""       # removes all of them

A line of links stands below the title of each page and ends with a mark, by which it is found
again. Notebooks get words instead of badges, so that opening one loads no picture from elsewhere.
Their first code cell, `setup`, installs the lab on Colab: from the address, or from a wheel.
"""

import argparse
import json
import re
import sys
import tomllib
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[2]
BRANCH = "main"
MARK = "<!-- links -->"  # at the end of the line: at its beginning, it would be no Markdown
ADDRESS = re.compile(r"https://github\.com/[\w.-]+/[\w.-]+?(\.git)?/?")
KEPT = re.compile(r'(^\[project\.urls\]\n)(?:Repository = "[^"\n]*"\n)?', re.MULTILINE)
# The cell that installs the lab on Colab, where its address is known and where it is not.
FROM_ADDRESS = """\
if "google.colab" in str(get_ipython()):  # Colab installs the lab; elsewhere this does nothing
    %pip install --quiet {}/archive/refs/heads/main.zip"""
FROM_WHEEL = """\
if "google.colab" in str(get_ipython()):  # Colab installs the lab; elsewhere this does nothing
    from glob import glob

    from google.colab import files

    for wheel in sorted(glob("*.whl")) or files.upload():
        %pip install --quiet "{wheel}\""""
SPEAK = """\
import os

os.environ["LAB_LANGUAGE"] = "{}"  # errors, checks and figures speak it, too
"""
# What its comments say.
INSTALLS = "Colab installs the lab; elsewhere this does nothing"
SPEAKS = "errors, checks and figures speak it, too"
FOLDED = {"jupyter": {"source_hidden": True}}  # JupyterLab shows three dots, which open it
BADGES = {
    "colab": "https://colab.research.google.com/assets/colab-badge.svg",
    "binder": "https://mybinder.org/badge_logo.svg",
}
WORDS = {
    "en": {"colab": "Open in Colab", "binder": "Open on Binder", "github": "The lab on GitHub"},
    "ko": {
        "colab": "Colab에서 열기",
        "binder": "Binder에서 열기",
        "github": "GitHub 저장소",
        INSTALLS: "Colab에서만 실습을 설치합니다",
        SPEAKS: "오류와 검사, 그림도 한국어로 나옵니다",
    },
}


def check_address(repository: str) -> str:
    """Return an address as it is written into pages, or end with a sentence."""
    repository = repository.strip()
    if repository and not ADDRESS.fullmatch(repository):
        sys.exit(
            f"REPOSITORY={repository} must be like https://github.com/NAME/PROJECT, "
            "or empty to remove all links."
        )
    return repository.removesuffix("/").removesuffix(".git")


def read_address(root: Path) -> str:
    """Return the address that pyproject.toml keeps; empty where it is not known."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    return project["project"]["urls"].get("Repository", "")


def keep_address(root: Path, repository: str) -> None:
    """Write the address into pyproject.toml, the one place where it is kept."""
    path = root / "pyproject.toml"
    line = f'Repository = "{repository}"\n' if repository else ""
    text, count = KEPT.subn(rf"\g<1>{line}", path.read_text(encoding="utf-8"))
    if count != 1:
        sys.exit(f"{path} must have one section [project.urls].")
    write_changed(path, text)


def make_addresses(repository: str, notebook: str) -> dict[str, str]:
    """Return where a notebook, a path within the repository, opens."""
    project = repository.removeprefix("https://github.com/")
    colab = f"https://colab.research.google.com/github/{project}/blob/{BRANCH}/{quote(notebook)}"
    binder = f"https://mybinder.org/v2/gh/{project}/{BRANCH}?urlpath="
    binder += quote(f"lab/tree/{notebook}", safe="")
    return {"colab": colab, "binder": binder, "github": repository}


def make_line(repository: str, notebook: str, language: str, kind: str) -> str:
    """Return the line of links of a page of the given kind: badges, page or notebook."""
    addresses, words = make_addresses(repository, notebook), WORDS.get(language, WORDS["en"])
    if kind == "badges":
        links = [f"[![{words[k]}]({BADGES[k]})]({addresses[k]})" for k in BADGES]
        return f"{' '.join(links)} {MARK}"
    chosen = ("colab", "binder", "github") if kind == "page" else ("colab", "binder")
    return f"{' · '.join(f'[{words[k]}]({addresses[k]})' for k in chosen)} {MARK}"


def make_setup(repository: str, language: str = "en") -> str:
    """Return the first code cell of a notebook; that of a translated one says its language."""
    cell = FROM_ADDRESS.format(repository) if repository else FROM_WHEEL
    if language == "en":
        return cell
    cell, words = SPEAK.format(language) + cell, WORDS.get(language, {})
    return cell.replace(INSTALLS, words.get(INSTALLS, INSTALLS)).replace(
        SPEAKS, words.get(SPEAKS, SPEAKS)
    )


def find_languages(root: Path) -> list[str]:
    """Return the languages besides English: folders with .po files."""
    return sorted({path.parent.name for path in root.glob("labs/*/*.po")})


def set_line(text: str, line: str) -> str:
    """Return a page with this line of links below its title, or with none if it is empty."""
    text = re.sub(rf"\n\n[^\n]*{re.escape(MARK)}(?=\n|$)", "", text)
    title = re.match(r"#\s[^\n]*", text)
    return f"{title[0]}\n\n{line}{text[title.end() :]}" if line and title else text


def set_links(path: Path, root: Path, repository: str, first: str) -> None:
    """Write or remove the links of a page or a notebook.

    Parameters
    ----------
    path : Path
        A Markdown file, which links to the first notebook, or a notebook, which links to itself.
    root : Path
        The checkout.
    repository : str
        Its address; empty to remove the links.
    first : str
        The first notebook, a path within the repository; a page in another language links to
        its translation.
    """
    text, parts = path.read_text(encoding="utf-8"), path.relative_to(root).parts
    found = re.search(r"^labs/(?!instructor/|pictures/)(\w+)/|\.(\w+)\.md$", "/".join(parts))
    language = found[1] or found[2] if found else "en"
    if path.suffix == ".md":
        kind = "badges" if path.name.startswith("README") else "page"
        translated = f"labs/{language}/{Path(first).name}"
        first = translated if (root / translated).exists() else first
        line = make_line(repository, first, language, kind) if repository else ""
        write_changed(path, set_line(text, line))
        return
    # A reference has the links of the notebook that is released from it.
    released = "/".join(part for part in parts if part != "instructor")
    line = make_line(repository, released, language, "notebook") if repository else ""
    notebook = json.loads(text)
    for index, cell in enumerate(notebook["cells"]):
        source = "".join(cell["source"])
        if index == 0 and cell["cell_type"] == "markdown":
            source = set_line(source, line)
        elif cell["id"] == "setup":
            source = make_setup(repository, language)
            cell["metadata"] = FOLDED
        if source != "".join(cell["source"]):
            cell["source"] = source.splitlines(keepends=True)
    write_changed(path, json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")


def read_as(kind: type, path: Path) -> str | bytes:
    """Return what a file has, as text or as bytes; nothing where it is not there."""
    if not path.exists():
        return kind()
    return path.read_bytes() if kind is bytes else path.read_text(encoding="utf-8")


def write_changed(path: Path, content: str | bytes) -> None:
    """Write a file, whole or not at all, if it is another than it was."""
    if content == read_as(type(content), path):
        return
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(content if isinstance(content, bytes) else content.encode())
    partial.replace(path)
    print(path)


def find_pages(root: Path) -> list[Path]:
    """Return the README files, the docs and the notebooks of a checkout, in all languages."""
    found = [*root.glob("README*.md"), *root.glob("docs/**/*.md"), *root.glob("labs/**/*.ipynb")]
    return sorted(path for path in found if ".ipynb_checkpoints" not in path.parts)


def main(argv: list[str] | None = None, root: Path = ROOT) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repository", help="its address on GitHub; empty removes all links")
    options = parser.parse_args(argv)
    if options.repository is not None:
        keep_address(root, check_address(options.repository))
    repository = check_address(read_address(root))
    first = min(root.glob("labs/[0-9]*.ipynb")).relative_to(root).as_posix()
    for path in find_pages(root):
        set_links(path, root, repository, first)


if __name__ == "__main__":
    main()
