"""Builds the notebooks of other languages from the English ones and one .po file each.

    python tools/course/translate.py            # updates labs/ko/*.po, builds labs/ko/*.ipynb
    python tools/course/translate.py --check    # writes nothing; fails where something is missing

A language is a folder in `labs` with .po files. That of a notebook has an entry for each Markdown
cell, under its id (msgctxt), with links as in the English, and for each comment and text of its
code that people read (msgctxt "code"); names, and texts that are data, are translated by
themselves. lab.po has whatever the lab can say (`messages.py`), {} for each value; it is compiled
for gettext. Where there is no translation yet, or the English has changed since (the entry is then
marked "fuzzy": mend msgstr, and delete the mark), the English stands.

Outputs come from the English notebook, unless `make notebook` has run the translated one since.
"""

import argparse
import ast
import copy
import hashlib
import json
import re
import sys
from pathlib import Path

import polib
from code_texts import find_keys, find_texts, translate_code
from links import (
    ROOT,
    find_languages,
    make_line,
    make_setup,
    read_address,
    read_as,
    set_line,
    write_changed,
)
from messages import find_messages, make_templates

MESSAGES = "lab.po"
HEADING = re.compile(
    r"^#+ +(?:\d+\. +)?(.+?)(?: *\([\d.]+ points?\)| *\(\d+점\))?\s*$", re.MULTILINE
)
HEADER = {
    "MIME-Version": "1.0",
    "Content-Type": "text/plain; charset=UTF-8",
    "Content-Transfer-Encoding": "8bit",
}
# Code comes first, so that brackets in it are not taken for a link.
CODE_OR_LINK = re.compile(r"```.*?```|`[^`\n]*`|(?P<before>\]\(|src=\")(?P<target>[^)\s\"]+)", re.S)


def compiled(language: str) -> str:
    """Return where gettext finds the messages of a language."""
    return f"text_recognizer/locale/{language}/LC_MESSAGES/lab.mo"


def read_cells(notebook: dict) -> dict[str, str]:
    """Return the Markdown cells of a notebook by their ids, without links to Colab and Binder."""
    return {
        cell["id"]: set_line("".join(cell["source"]), "")
        for cell in notebook["cells"]
        if cell["cell_type"] == "markdown"
    }


def read_code(notebook: dict) -> list[str]:
    """Return what the code of a notebook says to people, each once."""
    sources = [
        "".join(cell["source"])
        for cell in notebook["cells"]
        if cell["cell_type"] == "code" and cell["id"] != "setup"
    ]
    return list(dict.fromkeys(text for source in sources for text in find_texts(source)))


def find_hints(notebook: dict) -> list[str]:
    """Return what the check cells of a notebook may say: of assertions, and texts named hint.

    Labels of buttons that a cell makes are among them.
    """
    hints = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] != "code" or not re.search(r"^# CHECK|PictureUpload\(", source):
            continue
        for node in ast.walk(ast.parse(source)):
            match node:
                case ast.Assert(msg=ast.expr() as message):
                    hints += make_templates(message)
                case ast.Assign(targets=[ast.Name(id="hint")], value=message):
                    hints += make_templates(message)
                case ast.Call(func=ast.Name(id="PictureUpload"), args=[label]):
                    hints += make_templates(label)
    return hints


def read_translations(path: Path) -> polib.POFile:
    """Read a .po file; where there is none yet, return an empty one."""
    if not path.exists():
        return polib.POFile()
    try:
        return polib.pofile(str(path), encoding="utf-8", check_for_duplicates=True)
    except (OSError, ValueError) as error:
        sys.exit(f"{path} can't be read as a .po file: {error}")


def update_translations(known: polib.POFile, english: dict[str, str], code: list[str], language):
    """Return a .po file with an entry for each cell, or message, and for each text of code."""
    entries = {_name_entry(entry.msgctxt, entry.msgid): entry for entry in known}
    updated = polib.POFile(wrapwidth=0)  # a line of the file is a line of the text
    updated.metadata = {"Language": language} | HEADER
    wanted = [(None if name == text else name, text) for name, text in english.items()]
    for context, text in wanted + [("code", text) for text in code]:
        entry = entries.get(_name_entry(context, text)) or polib.POEntry(
            msgctxt=context, msgid=text
        )
        if entry.msgid != text:
            if entry.msgstr and not entry.fuzzy:
                entry.previous_msgid = entry.msgid
                entry.flags.append("fuzzy")
            entry.msgid = text
        elif not entry.fuzzy:
            entry.previous_msgid = None
        updated.append(entry)
    return updated


def _name_entry(context: str | None, text: str) -> tuple[str | None, str]:
    """Return what an entry is found by: a cell by its id, whatever it says, others by the text."""
    return context or None, text if context in (None, "", "code") else ""


def adapt_links(text: str, folder: Path, language: str) -> str:
    """Return a text of `folder` as it must stand in its subfolder for the language.

    Notebooks lead to their translations, and so do pages and drawings that have one.
    """

    def adapt(match: re.Match) -> str:
        target = match["target"]
        if target is None or re.match(r"[a-z]+:|#|/", target):
            return match[0]
        path, hash_mark, place = target.partition("#")
        if re.fullmatch(r"\d\d_\w+\.ipynb", path):
            return match[0]
        translated = re.sub(r"\.(md|svg)$", rf".{language}.\1", path)
        path = translated if (folder / translated).exists() else path
        return f"{match['before']}../{path}{hash_mark}{place}"

    return CODE_OR_LINK.sub(adapt, text)


def build(path: Path, translations: polib.POFile, root: Path, language: str) -> str:
    """Return the translated notebook of the English one at `path`, as the text of its file."""
    notebook = copy.deepcopy(json.loads(path.read_text(encoding="utf-8")))
    done = [entry for entry in translations if entry.translated()]
    texts = read_cells(notebook) | {e.msgctxt: e.msgstr for e in done if e.msgctxt != "code"}
    code = {entry.msgid: entry.msgstr for entry in done if entry.msgctxt == "code"}
    source, repository = f"{path.stem}.po", read_address(root)
    sources = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    keys = {key for found in sources for key in find_keys(found)}
    earlier = read_as(str, path.parent / language / path.name)
    kept = {cell.get("id"): cell for cell in json.loads(earlier)["cells"]} if earlier else {}
    notebook["metadata"].pop("released_from", None)
    notebook["metadata"] |= {"translated_from": source, "language": language}
    for index, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "markdown":
            text = adapt_links(texts[cell["id"]], path.parent, language)
            if index == 0:
                cell["metadata"].pop("released_from", None)
                cell["metadata"]["translated_from"] = f"{source}: edit it, then make translations"
                place = f"{path.parent.relative_to(root).as_posix()}/{language}/{path.name}"
                if repository:
                    text = set_line(text, make_line(repository, place, language, "notebook"))
            cell["source"] = text.splitlines(keepends=True)
        elif cell["id"] == "setup":
            cell["source"] = make_setup(repository, language).splitlines(keepends=True)
        else:
            text = translate_code("".join(cell["source"]), code, keys)
            cell["source"] = text.splitlines(keepends=True)
            own, english = kept.get(cell["id"]), _name_outputs(cell)
            is_same = own and own["source"] == cell["source"]
            if is_same and own["metadata"].get("outputs_of") == english:
                cell["outputs"], cell["execution_count"] = own["outputs"], own["execution_count"]
            if cell["outputs"]:
                cell["metadata"]["outputs_of"] = english
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"  # as nbformat


def _name_outputs(cell: dict) -> str:
    """Return what changes when the outputs of an English cell do."""
    return hashlib.sha256(json.dumps(cell["outputs"]).encode()).hexdigest()[:8]


def compile_messages(messages: polib.POFile, notebooks: list[polib.POFile]) -> bytes:
    """Return what gettext reads: messages, and headings, by which lab-grade names questions."""
    everything = copy.deepcopy(messages)
    for entry in (entry for book in notebooks for entry in book if entry.msgctxt != "code"):
        pairs = HEADING.findall(entry.msgid), HEADING.findall(entry.msgstr)
        for english, said in zip(*pairs, strict=False):
            if entry.translated() and not everything.find(english):
                everything.append(polib.POEntry(msgid=english, msgstr=said))
    return everything.to_binary()


def find_missing(translations: polib.POFile) -> list[str]:
    """Return what is missing in a .po file, a line for each entry."""
    return [
        f"{entry.msgid if entry.msgctxt in (None, 'code') else entry.msgctxt}: "
        + ("the English has changed" if entry.fuzzy else "not translated")
        for entry in translations
        if not entry.translated()
    ]


def translate(root: Path, language: str) -> tuple[dict[Path, str | bytes], list[str]]:
    """Return what the files of a language must have, and what is to be said about them."""
    folder = root / "labs" / language
    paths = sorted((root / "labs").glob("[0-9][0-9]_*.ipynb"))
    notebooks = {path: json.loads(path.read_text(encoding="utf-8")) for path in paths}
    known = {folder / f"{path.stem}.po" for path in paths} | {folder / MESSAGES}
    complaints = [
        f"{path.relative_to(root)}: there is no English notebook of this name"
        for path in sorted([*folder.glob("*.po"), *folder.glob("*.ipynb")])
        if path.with_suffix(".po") not in known
    ]
    files: dict[Path, str | bytes] = {}
    books = []

    def update(path: Path, english: dict[str, str], code: list[str]) -> polib.POFile:
        translations = update_translations(read_translations(path), english, code, language)
        files[path] = f"{translations}\n"
        missing = find_missing(translations)
        complaints.extend(f"{path.relative_to(root)}, {line}" for line in missing)
        return translations

    for path, notebook in notebooks.items():
        book = update(folder / f"{path.stem}.po", read_cells(notebook), read_code(notebook))
        files[folder / path.name] = build(path, book, root, language)
        books.append(book)
    said = [*find_messages(root), *(h for found in notebooks.values() for h in find_hints(found))]
    messages = update(folder / MESSAGES, {line: line for line in said}, [])
    files[root / compiled(language)] = compile_messages(messages, books)
    return files, complaints


def main(argv: list[str] | None = None, root: Path = ROOT) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, fail if incomplete")
    options = parser.parse_args(argv)
    complaints = []
    for language in find_languages(root):
        files, missing = translate(root, language)
        complaints += missing
        for path, content in files.items():
            if options.check:
                if read_as(type(content), path) != content:
                    complaints.append(f"{path.relative_to(root)}: run  make translations")
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_changed(path, content)
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    if options.check and complaints:
        sys.exit(1)


if __name__ == "__main__":
    main()
