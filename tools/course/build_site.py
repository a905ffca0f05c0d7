"""Builds the site of the course from the pages of the repository, in English and in Korean.

    python tools/course/build_site.py    # or: make site, which installs Sphinx first

Pages are collected in `build/site-source`, a folder per language in which each page has the same
path, and Sphinx makes `build/site` of them, Korean in `ko/`. Nothing is executed or fetched. Where
a link, an anchor or a picture leads nowhere on the built pages, it ends with an error.
"""

import json
import multiprocessing
import os
import posixpath
import re
import shutil
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import links

ROOT = links.ROOT
HERE = ROOT / "docs"
SOURCE, OUT = ROOT / "build" / "site-source", ROOT / "build" / "site"
READER = "my_reader.html"
RECORDING = re.compile(r"^!\[[^\]]*\]\(labs/pictures/canvas\.webp\)$", re.MULTILINE)

# Captions of the contents, and what stands below each: pages, and where they lie in Korean.
CONTENTS = {
    "Notebooks": ["labs/[0-9]*.ipynb"],
    "Using the lab": [
        *("docs/using.md", "docs/from_fsdl_2021.md", "docs/teaching.md", "docs/grading.md"),
    ],
    "Reference": ["api.md", "data/MODEL_CARD.md", "data/README.md", "benchmarks/README.md"],
    "Contributing": ["CONTRIBUTING.md", "labs/README.md", "CHANGELOG.md"],
}
WORDS = {
    "Notebooks": "노트북",
    "Using the lab": "실습 활용하기",
    "Reference": "참고",
    "Contributing": "개발에 참여하려면",
}
FRAME = {
    "en": "Write a character: the network runs in this page, and nothing leaves it",
    "ko": "글자를 써 보세요. 신경망이 이 페이지 안에서 읽고, 쓴 글씨는 밖으로 나가지 않습니다",
}
API = """# The package

Everything that `lab_utils` offers to notebooks, in the order in which they introduce it.
"""
NOT_FOUND = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>Page not found</title>
<body style="font-family: sans-serif; max-width: 40em; margin: 4em auto; padding: 0 1em">
<h1>This page does not exist</h1>
<p><a href="{top}">To the first page of the course</a></p>
<p lang="ko"><a href="{top}ko/">없는 페이지입니다. 첫 페이지로 가기</a></p>
</html>
"""
SEED_TEXT = "What all random numbers of the course begin with. Taught in notebook 1."
GRADER = {
    "lab_grade.grader": ["grade"],
    "lab_grade.notebook": ["Assignment", "Check"],
    "lab_grade.submissions": ["find_submissions"],
}
LINK = re.compile(r"(!?)\[((?:!\[[^\]]*\]\([^)]*\)|[^\[\]])*)\]\(([^)\s]+)\)")
PICTURE = re.compile(r'(<img\b[^>]*\bsrc=")([^"]+)')
PREVIEW = re.compile(r'<a href="([^"]+)"><img src="([^"]+)"[^>]* alt="([^"]*)"></a>')
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
BADGE = re.compile(r"\[!\[([^\]]*)\]\(https?://[^)]*\)\]")
OTHER_LANGUAGE = re.compile(r"^\[(?:한국어|English)\]\([^)]*\)\n\n", re.MULTILINE)


def find_pages(language: str) -> dict[str, str]:
    """Return the pages of a language: path in the repository -> path in the site."""
    if language == "ko":
        found = {
            **{p: ROOT / "labs" / p.name for p in ROOT.glob("labs/ko/[0-9]*.ipynb")},
            **{p: p.with_name(p.name.replace(".ko.md", ".md")) for p in ROOT.glob("docs/*.ko.md")},
            ROOT / "labs/ko/README.md": ROOT / "labs/README.md",
            ROOT / "README.ko.md": ROOT / "index.md",
        }
    else:
        names = ["data/MODEL_CARD.md", "data/README.md", "benchmarks/README.md"]
        names += ["CONTRIBUTING.md", "CHANGELOG.md"]
        plain = [*ROOT.glob("labs/[0-9]*.ipynb"), *(ROOT / name for name in names)]
        plain += [path for path in ROOT.glob("docs/*.md") if not path.name.endswith(".ko.md")]
        found = {path: path for path in plain} | {ROOT / "README.md": ROOT / "index.md"}
    return {
        path.relative_to(ROOT).as_posix(): place.relative_to(ROOT).as_posix()
        for path, place in found.items()
    }


def to_html(page: str) -> str:
    """Return the path of a page as it is published."""
    return posixpath.splitext(page)[0] + ".html"


def find_top(repository: str) -> str:
    """Return the address at which GitHub Pages publishes the site; "/" where it is not known."""
    owner, _, project = repository.removeprefix("https://github.com/").partition("/")
    return f"https://{owner.lower()}.github.io/{project}/" if project else "/"


class Stage:
    """The pages of one language, with links that lead somewhere within the site or to GitHub.

    Parameters
    ----------
    language : {"en", "ko"}
    folder : Path
        Where they are written.
    repository : str
        The address of the repository; without one, a link to a file that is not a page becomes
        plain text.
    """

    def __init__(self, language: str, folder: Path, repository: str):
        self.language, self.folder, self.repository = language, folder, repository
        self.pages = find_pages(language)
        self.others = find_pages("en" if language == "ko" else "ko")

    def find_address(self, target: str, page: str) -> str | None:
        """Return what a link of a page is here, or None if it leads nowhere."""
        if re.match(r"[a-z]+:|#", target):
            return target
        path, hash_, anchor = target.partition("#")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page), path))
        here = posixpath.dirname(self.pages[page])
        if path in self.pages:
            return posixpath.relpath(self.pages[path], here or ".") + hash_ + anchor
        if path in self.others:
            top = "../" if self.language == "ko" else "ko/"
            up = posixpath.relpath(".", here or ".")
            return f"site:{posixpath.normpath(f'{up}/{top}')}/{to_html(self.others[path])}" + (
                hash_ + anchor
            )
        if path.endswith((".png", ".jpg", ".webp", ".svg")):
            target = self.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, target)
            return posixpath.relpath(path, here or ".")
        return f"{self.repository}/blob/{links.BRANCH}/{path}" if self.repository else None

    def set_links(self, text: str, page: str) -> str:
        """Return Markdown whose links are those of the site; code stays as it is."""

        def replace(match: re.Match) -> str:
            mark, text, target = match.groups()
            text = LINK.sub(replace, text)
            address = self.find_address(target, page)
            return text if address is None else f"{mark}[{text}]({address})"

        def place(match: re.Match) -> str:
            return f"{match[1]}{self.find_address(match[2], page)}"

        text = OTHER_LANGUAGE.sub("", text)
        text = BADGE.sub(r"[\1]", text)  # words: no picture is loaded from elsewhere
        text = PREVIEW.sub(r"[![\3](\2)](\1)", text)
        text = re.sub(rf"^(?=[^\n]*{re.escape(links.MARK)}$)", "{.launch}\n", text, flags=re.M)
        parts = re.split(r"(^````?.*?^````?$)", text, flags=re.MULTILINE | re.DOTALL)
        return "".join(
            part if part.startswith("```") else PICTURE.sub(place, LINK.sub(replace, part))
            for part in parts
        )

    def write(self, place: str, text: str) -> None:
        path = self.folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")

    def write_pages(self) -> None:
        """Write all pages; those of the package and of the grader in English."""
        for page, place in self.pages.items():
            text = (ROOT / page).read_text(encoding="utf-8")
            if page.endswith(".ipynb"):
                notebook = json.loads(text)
                notebook["cells"] = [c for c in notebook["cells"] if c["id"] != "setup"]
                heading = ""
                for cell in notebook["cells"]:
                    if cell["cell_type"] == "markdown":
                        source = "".join(cell["source"])
                        heading = (HEADING.findall(source) or [heading])[-1]
                        cell["source"] = self.set_links(source, page)
                    elif described := describe_pictures(cell, heading):
                        cell["metadata"]["mystnb"] = {"image": {"alt": described}}
                        cell["outputs"] += find_states(cell)
                # Jupyter adds this itself; Sphinx colours `!` and `%` lines by it.
                notebook["metadata"]["language_info"]["pygments_lexer"] = "ipython3"
                text = json.dumps(notebook, ensure_ascii=False)
            else:
                text = self.set_links(text, page)
            self.write(place, text)
        if self.language == "en":
            self.write("api.md", make_api())
        index = self.folder / "index.md"
        text = index.read_text(encoding="utf-8")
        label = FRAME[self.language]
        frame = f'<iframe class="reader" src="{READER}" title="{label}"></iframe>\n\n*{label}.*'
        text, count = RECORDING.subn(frame, text)
        if count != 1:
            sys.exit(
                f"README for {self.language} must have one line ![...](labs/pictures/canvas.webp)."
            )
        index.write_text(text + self.make_contents(), encoding="utf-8", newline="\n")

    def make_contents(self) -> str:
        """Return the contents at the left of each page."""
        text = ""
        for caption, patterns in CONTENTS.items():
            found = [path for pattern in patterns for path in sorted(self.folder.glob(pattern))]
            names = [path.relative_to(self.folder).with_suffix("").as_posix() for path in found]
            title = WORDS[caption] if self.language == "ko" else caption
            if names:
                lines = "\n".join(names)
                text += f"\n```{{toctree}}\n:hidden:\n:caption: {title}\n\n{lines}\n```\n"
        return text


def describe_pictures(cell: dict, heading: str) -> str:
    """Return what the pictures of a cell show: what it says itself, else the heading above it."""
    outputs = [each for each in cell["outputs"] if "image/png" in each.get("data", {})]
    found = []
    for output in outputs:
        said = output["metadata"].get("image/png", {}).get("alt")
        plain = "".join(output["data"].get("text/plain", "<"))  # of a canvas, what is on it
        found.append(said or (heading if plain.startswith("<") else plain))
    return "; ".join(dict.fromkeys(found))


def find_states(cell: dict) -> list[dict]:
    """Return outputs with what the explorables of a cell show, for `site.js` to run them."""
    outputs = []
    for output in cell["outputs"]:
        if state := output.get("metadata", {}).get("explorable", "").replace("<", "\\u003c"):
            page = f'<script type="application/json" class="explorable">{state}</script>'
            data = {"text/html": page}
            outputs.append({"output_type": "display_data", "data": data, "metadata": {}})
    return outputs


def write_explorables(folder: Path) -> None:
    """Write the scripts of those explorables that need no kernel."""
    from text_recognizer.canvas.script import join_modules
    from text_recognizer.explore.explorable import ALONE, STATIC

    for name in ALONE:
        script = join_modules(f"{STATIC}/{name}.js")
        (folder / f"{name}.js").write_text(script, encoding="utf-8", newline="\n")


def make_api() -> str:
    """Return the page of the public names, from the list in `lab_utils/__init__.pyi`."""
    import lab_utils

    text = API
    listed = (ROOT / "lab_utils" / "__init__.pyi").read_text(encoding="utf-8")
    for title, name in re.findall(r"^# (\d.+)$|^from .* as (\w+)$", listed, re.MULTILINE):
        if title:
            text += f"\n## {title}\n"
            continue
        value = getattr(lab_utils, name)
        kind = "data"
        if isinstance(value, type):
            kind = "exception" if issubclass(value, Exception) else "class"
        elif callable(value):
            kind = "function"
        if kind == "data":
            text += f"\n```{{eval-rst}}\n.. py:data:: lab_utils.{name}\n   :value: {value!r}\n\n"
            text += f"   {SEED_TEXT}\n```\n"
        else:
            text += make_entry(f"lab_utils.{name}", kind)
    text += "\n## The grader\n\nWhat stands behind `lab-grade` and `lab-release`.\n"
    for module, names in GRADER.items():
        for name in names:
            text += make_entry(f"{module}.{name}", "class" if name[0].isupper() else "function")
    return text


def make_entry(name: str, kind: str) -> str:
    members = "   :members:\n" if kind == "class" else ""
    return f"\n```{{eval-rst}}\n.. auto{kind}:: {name}\n{members}```\n"


class Page(HTMLParser):
    """What a built page has that something may link to, and what it links to."""

    def __init__(self, path: Path):
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            elif name in ("href", "src") and value:
                self.links.append(value)


def find_dead_links(folder: Path) -> list[str]:
    """Return the links, anchors and pictures of built pages that lead nowhere in the site."""
    pages = {
        path.resolve(): Page(path) for path in folder.rglob("*.html") if path.name != "404.html"
    }
    dead = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            anchor = unquote(parts.fragment)
            is_there = not anchor or target not in pages or anchor in pages[target].anchors
            if not target.exists() or not is_there:
                dead.append(f"{path.relative_to(folder.resolve())}: {link}")
    return dead


def run_sphinx(options: list[str]) -> None:
    from sphinx.cmd.build import main

    sys.exit(main(options))


def main() -> None:
    begun = time.perf_counter()
    import myst_nb  # noqa: F401 - once for both languages, where processes fork

    from lab_utils import share

    os.environ["LAB_OFFLINE"] = "1"
    for folder in (SOURCE, OUT):
        shutil.rmtree(folder, ignore_errors=True)
    repository = links.check_address(links.read_address(ROOT))
    for language, out in (("en", OUT), ("ko", OUT / "ko")):
        folder = SOURCE / language
        Stage(language, folder, repository).write_pages()
        out.mkdir(parents=True)
        options = ["-q", "-E", "-W", "--keep-going", "-c", str(HERE), "-D", f"language={language}"]
        options += ["-d", str(ROOT / "build" / "site-doctrees" / language), str(folder), str(out)]
        process = multiprocessing.Process(target=run_sphinx, args=[options])  # of its own settings
        process.start()
        process.join()
        if process.exitcode:
            sys.exit(process.exitcode)
        share(path=out / READER, language=language)
        write_explorables(out / "_static")
        # No page links to them; MyST-NB puts its folder beside that of the pages.
        for path in (out.parent / "jupyter_execute", out / "_sources"):
            shutil.rmtree(path, ignore_errors=True)
        for path in [*out.rglob("*.map"), *out.rglob("*webpack-macros.html")]:
            path.unlink()
    (OUT / "404.html").write_text(NOT_FOUND.format(top=find_top(repository)), encoding="utf-8")
    if dead := find_dead_links(OUT):
        sys.exit("These lead nowhere:\n" + "\n".join(dead))
    size = sum(path.stat().st_size for path in OUT.rglob("*") if path.is_file())
    print(f"{OUT.relative_to(ROOT)}: {size / 1e6:.0f} MB in {time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
