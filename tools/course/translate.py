"""Builds the notebooks of another language from the English ones and one .po file each.

    python tools/course/translate.py            # updates labs/ko/*.po, builds labs/ko/*.ipynb
    python tools/course/translate.py --check    # writes nothing; fails where something is missing

Code cells are taken over with their outputs, so nothing has to run again. A .po file has one entry
for each Markdown cell: its id (msgctxt), the English text (msgid) and the translation (msgstr),
with links as in the English. checks.po has what check cells say, {} for each value, and what the
code marks with _("..."); it is compiled for gettext. Where there is no translation yet, or the
English has changed since (the entry is then marked "fuzzy": mend msgstr, and delete the mark), the
English stands.
"""

import argparse
import ast
import copy
import json
import re
import sys
from pathlib import Path

import polib
from links import ROOT, make_line, read_address, read_as, set_line, write_changed

from lab_utils.start_page import COURSE, SIGNS
from text_recognizer.explore.explorable import SAID

LANGUAGE = "ko"
COMPILED = f"text_recognizer/locale/{LANGUAGE}/LC_MESSAGES/lab.mo"


def find_lines(root: Path) -> list[str]:
    """Return what the code says in the student's language: what it marks, and two tables."""
    marked = []
    for path in sorted([*root.glob("lab_utils/*.py"), *root.glob("text_recognizer/**/*.py")]):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id="_"), args=[argument]):
                    marked += [
                        (path, part.lineno, part.value)
                        for part in ast.walk(argument)
                        if isinstance(part, ast.Constant) and isinstance(part.value, str)
                    ]
    for path in sorted(root.glob("text_recognizer/explore/static/*.js")):
        said = SAID.findall(path.read_text(encoding="utf-8"))
        marked += [(path, place, line) for place, line in enumerate(said)]
    return [line for *_place, line in sorted(marked)] + [b.title for b in COURSE] + [*SIGNS]


LINES = find_lines(ROOT)
HEADER = {
    "Language": LANGUAGE,
    "MIME-Version": "1.0",
    "Content-Type": "text/plain; charset=UTF-8",
    "Content-Transfer-Encoding": "8bit",
}
# Code comes first, so that brackets in it are not taken for a link.
CODE_OR_LINK = re.compile(r"```.*?```|`[^`\n]*`|(?P<before>\]\(|src=\")(?P<target>[^)\s\"]+)", re.S)


def read_cells(notebook: dict) -> dict[str, str]:
    """Return the Markdown cells of a notebook by their ids, without links to Colab and Binder."""
    return {
        cell["id"]: set_line("".join(cell["source"]), "")
        for cell in notebook["cells"]
        if cell["cell_type"] == "markdown"
    }


def make_template(message: ast.expr) -> str:
    """Return the text of a message in a program, with {} in the place of each value."""
    match message:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(map(make_template, parts))
        case ast.BinOp(left=left, right=right):
            return make_template(left) + make_template(right)
    return "{}"


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
                    hints.append(make_template(message))
                case ast.Assign(targets=[ast.Name(id="hint")], value=message):
                    hints.append(make_template(message))
                case ast.Call(func=ast.Name(id="PictureUpload"), args=[label]):
                    hints.append(make_template(label))
    return hints


def read_translations(path: Path) -> polib.POFile:
    """Read a .po file; where there is none yet, return an empty one."""
    if not path.exists():
        return polib.POFile()
    try:
        return polib.pofile(str(path), encoding="utf-8", check_for_duplicates=True)
    except (OSError, ValueError) as error:
        sys.exit(f"{path} can't be read as a .po file: {error}")


def update_translations(known: polib.POFile, english: dict[str, str]) -> polib.POFile:
    """Return a .po file with one entry for each cell, in the order of the notebook."""
    entries = {entry.msgctxt or entry.msgid: entry for entry in known if not entry.obsolete}
    updated = polib.POFile(wrapwidth=0)  # a line of the file is a line of the text
    updated.metadata = HEADER
    for name, text in english.items():
        context = None if name == text else name
        entry = entries.get(name) or polib.POEntry(msgctxt=context, msgid=text)
        if entry.msgid != text:
            if entry.msgstr and not entry.fuzzy:
                entry.previous_msgid = entry.msgid
                entry.flags.append("fuzzy")
            entry.msgid = text
        elif not entry.fuzzy:
            entry.previous_msgid = None
        updated.append(entry)
    return updated


def adapt_links(text: str, folder: Path) -> str:
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
        translated = re.sub(r"\.(md|svg)$", rf".{LANGUAGE}.\1", path)
        path = translated if (folder / translated).exists() else path
        return f"{match['before']}../{path}{hash_mark}{place}"

    return CODE_OR_LINK.sub(adapt, text)


def build(path: Path, translations: polib.POFile, root: Path) -> str:
    """Return the translated notebook of the English one at `path`, as the text of its file."""
    notebook = copy.deepcopy(json.loads(path.read_text(encoding="utf-8")))
    english = read_cells(notebook)
    texts = english | {entry.msgctxt: entry.msgstr for entry in translations if entry.translated()}
    source = f"{path.stem}.po"
    notebook["metadata"].pop("released_from", None)
    notebook["metadata"]["translated_from"] = source
    for index, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "markdown":
            text = adapt_links(texts[cell["id"]], path.parent)
            if index == 0:
                cell["metadata"].pop("released_from", None)
                cell["metadata"]["translated_from"] = f"{source}: edit it, then make translations"
                repository = read_address(root)
                place = f"{path.parent.relative_to(root).as_posix()}/{LANGUAGE}/{path.name}"
                if repository:
                    text = set_line(text, make_line(repository, place, LANGUAGE, "notebook"))
            cell["source"] = text.splitlines(keepends=True)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def find_missing(translations: polib.POFile) -> list[str]:
    """Return what is missing in a .po file, a line for each cell."""
    return [
        f"{entry.msgctxt or entry.msgid}: "
        + ("the English has changed" if entry.fuzzy else "not translated")
        for entry in translations
        if not entry.translated()
    ]


def main(argv: list[str] | None = None, root: Path = ROOT) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, fail if incomplete")
    options = parser.parse_args(argv)
    folder = root / "labs" / LANGUAGE
    notebooks = {
        path: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted((root / "labs").glob("[0-9][0-9]_*.ipynb"))
    }
    texts = {
        folder / f"{path.stem}.po": read_cells(notebook) for path, notebook in notebooks.items()
    }
    said = [*LINES, *(hint for found in notebooks.values() for hint in find_hints(found))]
    checks = folder / "checks.po"
    complaints = [
        f"{path.relative_to(root)}: there is no English notebook of this name"
        for path in sorted([*folder.glob("*.po"), *folder.glob("*.ipynb")])
        if path.with_suffix(".po") not in {*texts, checks}
    ]
    files: dict[Path, str | bytes] = {}
    for path, english in {**texts, checks: {line: line for line in said}}.items():
        translations = update_translations(read_translations(path), english)
        complaints += [f"{path.relative_to(root)}, {line}" for line in find_missing(translations)]
        files[path] = f"{translations}\n"
        if path == checks:
            files[root / COMPILED] = translations.to_binary()
        else:
            source = root / "labs" / path.with_suffix(".ipynb").name
            files[path.with_suffix(".ipynb")] = build(source, translations, root)
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
