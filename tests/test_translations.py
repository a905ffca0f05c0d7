"""Notebooks in other languages: code as in English, every text translated and nothing left out."""

import ast
import gettext
import json
import re
import shutil
from collections import Counter

import links
import messages
import polib
import pytest
import translate
from code_texts import find_keys, find_texts, simplify, translate_code

from text_recognizer import language

ROOT = translate.ROOT
LABS = ROOT / "labs"
NOTEBOOKS = sorted(LABS.glob("[0-9]*.ipynb"))
TRANSLATED = [LABS / "ko" / path.name for path in NOTEBOOKS]
BLOCK = re.compile(r"```.*?```", re.DOTALL)
SPAN = re.compile(r"`[^`\n]+`")
TARGET = re.compile(r"(?:\]\(|src=\")((?![a-z]+:|#)[^)#\"]+)")


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def read_entries(path):
    return polib.pofile(str(path.with_suffix(".po")), encoding="utf-8")


def count_numbers(text):
    """Count the numbers of a text outside code and links; "3,100만" is 31 (million) as well."""
    prose = re.sub(r"\]\([^)]*\)", "]", SPAN.sub(" ", BLOCK.sub(" ", text)))
    large = [f"{int(n.replace(',', '')) / 100:g}" for n in re.findall(r"([\d,]+)만", prose)]
    return Counter(re.findall(r"\d+(?:[.,]\d+)*", prose) + large)


def find_stray_marks(text):
    """Return emphasis marks that Markdown shows as asterisks: **"word"**라고, for example.

    A closing mark between punctuation and a letter closes nothing; Korean particles follow so.
    """
    stray = []
    for line in SPAN.sub("`x`", BLOCK.sub("", text)).splitlines():
        marks = [m for m in re.finditer(r"\*{1,2}", line) if line[: m.start()].strip()] or []
        opened = line.lstrip().startswith("*")
        for mark in marks:
            before, after = line[mark.start() - 1], line[mark.end() : mark.end() + 1]
            outer, inner = (after, before) if opened else (before, after)
            if re.match(r"\w", outer) and not re.match(r"\w", inner):
                stray.append(line[max(0, mark.start() - 12) : mark.end() + 5])
            opened = not opened
    return stray


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """Return a checkout with one English notebook, one page in two languages and no address."""
    monkeypatch.setattr(translate, "find_messages", lambda root: [])
    (tmp_path / "labs" / "ko").mkdir(parents=True)
    (tmp_path / "labs" / "ko" / "lab.po").touch()  # which makes it a language
    (tmp_path / "docs").mkdir()
    (tmp_path / "pyproject.toml").write_text("[project.urls]\n", encoding="utf-8")
    for name in ("both.md", "both.ko.md", "english.md"):
        (tmp_path / "docs" / name).write_text("# A page\n", encoding="utf-8")
    output = {"name": "stdout", "output_type": "stream", "text": ["1\n"]}
    code = {"cell_type": "code", "execution_count": 1, "id": "c", "source": ["print(1)"]}
    code |= {"metadata": {"tags": ["raises-exception"]}, "outputs": [output]}
    write_english(tmp_path, {"title": "# A lab", "text": "See [it](01_a.ipynb)."}, code)
    return tmp_path


def write_english(root, texts, *code):
    path = root / "labs" / "01_a.ipynb"
    cells = list(code) or [c for c in read(path)["cells"] if c["cell_type"] == "code"]
    kind = {"cell_type": "markdown", "metadata": {"tags": ["t"]}}
    cells = [kind | {"id": name, "source": [text]} for name, text in texts.items()] + cells
    metadata = {"kernelspec": {"name": "python3"}, "released_from": "instructor/01_a.ipynb"}
    notebook = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(notebook, indent=1), encoding="utf-8")


def set_translations(root, **texts):
    path = root / "labs" / "ko" / "01_a.po"
    known = read_entries(path)
    for entry in known:
        if entry.msgctxt in texts:
            entry.msgstr = texts[entry.msgctxt]
            entry.flags = []
    known.save(str(path))


def read_korean(root):
    cells = read(root / "labs" / "ko" / "01_a.ipynb")["cells"]
    return {cell["id"]: "".join(cell["source"]) for cell in cells}


def test_a_new_notebook_gets_entries_to_fill_in(checkout, capsys):
    translate.main([], checkout)
    entries = read_entries(checkout / "labs" / "ko" / "01_a.po")
    found = [(entry.msgctxt, entry.msgid, entry.msgstr) for entry in entries]
    assert found == [("title", "# A lab", ""), ("text", "See [it](01_a.ipynb).", "")]
    errors = capsys.readouterr().err
    assert "01_a.po, title: not translated" in errors.replace("\\", "/")
    assert read_korean(checkout)["title"] == "# A lab"
    set_translations(checkout, title="# 실습", text="[이것](01_a.ipynb)을 보세요.")
    translate.main([], checkout)
    translate.main(["--check"], checkout)
    assert capsys.readouterr().err == ""
    assert read_korean(checkout) == {
        "title": "# 실습",
        "text": "[이것](01_a.ipynb)을 보세요.",
        "c": "print(1)",
    }


def test_code_and_metadata_stay_and_say_which_file_to_edit(checkout):
    translate.main([], checkout)
    english, korean = read(checkout / "labs" / "01_a.ipynb"), read(checkout / "labs/ko/01_a.ipynb")
    assert korean["cells"][-1]["metadata"].pop("outputs_of")
    assert korean["cells"][-1] == english["cells"][-1]
    assert [cell["id"] for cell in korean["cells"]] == ["title", "text", "c"]
    assert korean["cells"][0]["metadata"]["tags"] == ["t"]
    assert korean["cells"][0]["metadata"]["translated_from"].startswith("01_a.po: edit it")
    assert korean["metadata"] == {
        "kernelspec": {"name": "python3"},
        "translated_from": "01_a.po",
        "language": "ko",
    }


def test_where_the_english_has_changed_it_stands_until_somebody_has_looked(checkout, capsys):
    translate.main([], checkout)
    set_translations(checkout, title="# 실습", text="글")
    translate.main([], checkout)
    write_english(checkout, {"title": "# A new lab", "text": "See [it](01_a.ipynb)."})
    capsys.readouterr()
    with pytest.raises(SystemExit) as failed:
        translate.main(["--check"], checkout)
    assert failed.value.code == 1
    errors = capsys.readouterr().err.splitlines()
    assert errors[0].endswith("01_a.po, title: the English has changed")
    stale = [line.partition(": ")[0][-10:] for line in errors if line.endswith("translations")]
    ends = ("01_a.po", "01_a.ipynb", "lab.mo")
    assert [name.endswith(end) for name, end in zip(stale, ends, strict=True)]
    assert read_korean(checkout)["title"] == "# 실습"  # --check writes nothing
    translate.main([], checkout)
    assert read_korean(checkout) == {"title": "# A new lab", "text": "글", "c": "print(1)"}
    entry = read_entries(checkout / "labs" / "ko" / "01_a.po")[0]
    assert (entry.msgstr, entry.previous_msgid, entry.fuzzy) == ("# 실습", "# A lab", True)
    set_translations(checkout, title="# 새 실습")
    translate.main([], checkout)
    assert read_korean(checkout)["title"] == "# 새 실습"
    translate.main(["--check"], checkout)
    assert read_entries(checkout / "labs" / "ko" / "01_a.po")[0].previous_msgid is None


def test_what_checks_say_is_translated_for_lab_utils(checkout, capsys, monkeypatch):
    monkeypatch.setattr(translate, "find_messages", lambda root: ["{}: not answered yet"])
    check = """# CHECK q1 (1 point)
hint = "look again"
assert x == 1, f"{x:.2f} is not {y!r}: " + hint
assert x
print("q1: passed")"""
    code = {"cell_type": "code", "execution_count": 1, "id": "c", "source": check}
    write_english(checkout, {"title": "# A lab"}, code | {"metadata": {}, "outputs": []})
    translate.main([], checkout)
    path = checkout / "labs" / "ko" / "lab.po"
    known = read_entries(path)
    assert [entry.msgid for entry in known] == [
        "{}: not answered yet",
        "look again",
        "{} is not {}: {}",
    ]
    assert "lab.po, look again: not translated" in capsys.readouterr().err.replace("\\", "/")
    known[-1].msgstr = "{1}이어야 하는데 {0}입니다. {2}"
    known.save(str(path))
    translate.main([], checkout)
    with (checkout / translate.compiled("ko")).open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    assert compiled.gettext(known[-1].msgid) == known[-1].msgstr
    assert compiled.gettext("look again") == "look again"
    capsys.readouterr()
    translate.main([], checkout)
    assert capsys.readouterr().out == ""


def test_what_the_code_can_say_is_found(tmp_path):
    for package in messages.PACKAGES:
        (tmp_path / package).mkdir()
    (tmp_path / "lab_utils" / "a.py").write_text(
        'NO = "none there"\n_(f"bb {x:.2f}")\n_(name)\nprint("not this")\n'
        "raise LabError(f\"{path} {'is' if one else 'are'} lost: {NO}\")\n"
    )
    (tmp_path / "text_recognizer" / "b.js").write_text(
        'this.labels.word("Pen only");\nconst NEXT = ["Next", "one"]; // labels\nf("no label");\n'
    )
    (tmp_path / "lab_grade" / "report.py").write_text(
        's.flag("file", f"late {d}")\ns.flag("c", "d")'
    )
    (tmp_path / "lab_grade" / "page.html").write_text('{{ _("Good to know") }}')
    assert messages.find_messages(tmp_path)[:8] == [
        "Pen only",
        "Next",
        "one",
        "bb {}",
        "{} are lost: none there",
        "{} is lost: none there",
        "late {}",
        "Good to know",
    ]


def test_a_cell_that_is_gone_takes_its_entry_along(checkout):
    translate.main([], checkout)
    write_english(checkout, {"text": "Alone."})
    translate.main([], checkout)
    entries = read_entries(checkout / "labs" / "ko" / "01_a.po")
    assert [entry.msgctxt for entry in entries] == ["text"]


def test_links_lead_out_of_the_folder_and_to_what_is_translated(checkout):
    (checkout / "labs" / "map.ko.svg").touch()
    translate.main([], checkout)
    set_translations(
        checkout,
        text="[다음](02_b.ipynb#a), [둘](../docs/both.md#b), [하나](../docs/english.md), "
        '![그림](a.png), <img src="b.png">, ![지도](map.svg), '
        "[밖](https://example.org/a.png), [위](#top), `f[0](x)`",
    )
    translate.main([], checkout)
    assert read_korean(checkout)["text"] == (
        "[다음](02_b.ipynb#a), [둘](../../docs/both.ko.md#b), [하나](../../docs/english.md), "
        '![그림](../a.png), <img src="../b.png">, ![지도](../map.ko.svg), '
        "[밖](https://example.org/a.png), [위](#top), `f[0](x)`"
    )


def test_links_to_colab_are_those_of_the_korean_notebook(checkout, capsys):
    translate.main([], checkout)
    set_translations(checkout, title="# 실습", text="글")
    links.main(["--repository", "https://github.com/somebody/handwriting"], checkout)
    translate.main([], checkout)
    title = read_korean(checkout)["title"]
    assert title.startswith("# 실습\n\n[Colab에서 열기](https://colab.research.google.com/")
    assert "/blob/main/labs/ko/01_a.ipynb)" in title
    capsys.readouterr()
    links.main([], checkout)
    translate.main(["--check"], checkout)
    assert capsys.readouterr() == ("", "")


def test_a_file_without_a_notebook_and_a_broken_one_are_named(checkout, capsys):
    folder = checkout / "labs" / "ko"
    folder.mkdir(exist_ok=True)
    (folder / "02_gone.po").write_text("", encoding="utf-8")
    translate.main([], checkout)
    assert "02_gone.po: there is no English notebook of this name" in capsys.readouterr().err
    (folder / "01_a.po").write_text('msgid "\nmsgstr', encoding="utf-8")
    with pytest.raises(SystemExit, match=r"01_a\.po can't be read as a \.po file: .*line 2"):
        translate.main([], checkout)


def test_what_is_committed_is_complete_and_built(capsys):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(translate, "write_changed", lambda *_, **__: pytest.fail("it writes"))
        try:
            translate.main(["--check"])
        except SystemExit:
            pytest.fail(f"run  make translations, and translate:\n{capsys.readouterr().err}")


def test_building_again_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(translate, "find_messages", lambda root: messages.find_messages(ROOT))
    for path in [ROOT / "pyproject.toml", *ROOT.glob("README*.md")]:
        shutil.copy(path, tmp_path)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    for path in [*ROOT.glob("data/*.md"), *ROOT.glob("benchmarks/*.md")]:
        (tmp_path / path.parent.name).mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / path.parent.name)
    for folder in (LABS, LABS / "ko", LABS / "pictures"):
        target = tmp_path / folder.relative_to(ROOT)
        target.mkdir()
        for path in [*folder.glob("*.ipynb"), *folder.glob("*.po"), *folder.glob("*.svg")]:
            shutil.copy(path, target)
    before = {path: path.read_bytes() for path in (tmp_path / "labs").rglob("*.*")}
    assert len(before) == 3 * len(NOTEBOOKS) + 3  # lab.po, and the map in two languages
    translate.main([], tmp_path)
    assert {path: path.read_bytes() for path in (tmp_path / "labs").rglob("*.*")} == before


@pytest.mark.parametrize("path", TRANSLATED, ids=lambda path: path.stem)
def test_code_cells_are_the_same_program(path):
    korean, english = read(path)["cells"], read(LABS / path.name)["cells"]
    assert [cell["id"] for cell in korean] == [cell["id"] for cell in english]
    for own, other in zip(korean, english, strict=True):
        if own["cell_type"] == "code" and own["id"] != "setup":
            source = "".join(own["source"])
            assert simplify(source) == simplify("".join(other["source"])), own["id"]
            if source.startswith("# CHECK"):  # but for what it prints in the end
                assert own["source"][:-1] == other["source"][:-1]


@pytest.mark.parametrize("path", TRANSLATED, ids=lambda path: path.stem)
def test_outputs_show_the_same_numbers(path):
    def numbers(cell):
        texts = ["".join(output.get("text", "")) for output in cell["outputs"]]
        return Counter(re.findall(r"\d+(?:\.\d+)?", "".join(texts)))

    korean, english = read(path)["cells"], read(LABS / path.name)["cells"]
    for own, other in zip(korean, english, strict=True):
        tags = own["metadata"].get("tags", [])
        if own["cell_type"] == "code" and "nbval-ignore-output" not in tags:
            assert numbers(own) == numbers(other), own["id"]


def test_texts_of_code_are_found_and_another_program_is_refused():
    source = """names = {"vertical edges": 1, "blur": 2}  # two filters
print("image", f"{names['blur']} {len(names)} of them", key, sep="-")
%pip install "what is this"
for name in names:
    open("a.txt").read("r") == "blur" or history["blur"]
    plt.plot(label=name, color="red")"""
    texts = find_texts(source)
    assert texts == [
        "# two filters",
        "vertical edges",
        "blur",
        "image",
        "{names['blur']} {len(names)} of them",
    ]
    said = {"blur": "흐림", "{names['blur']} {len(names)} of them": "{len(names)}, {names['흐림']}"}
    keys = find_keys(source)
    assert keys == {"vertical edges", "blur"}
    translated = translate_code(source, said, keys)
    assert 'history["blur"]' in translate_code(source, said, set())  # another's dictionary
    assert '"흐림": 2' in translated and '== "흐림"' in translated  # whatever is called so
    assert "f\"{len(names)}, {names['흐림']}\"" in translated
    with pytest.raises(ValueError, match="another program"):
        translate_code(source, {"{names['blur']} {len(names)} of them": "{names} of them"}, keys)
    with pytest.raises(ValueError, match="another program"):
        translate_code(source, {"# two filters": "\nnames = {}"}, keys)


def test_a_third_language_takes_one_file(tmp_path, monkeypatch):
    ten = messages.find_messages(ROOT)[:10]
    catalogue = polib.POFile()
    catalogue.metadata = {"Content-Type": "text/plain; charset=UTF-8"}
    catalogue.extend(polib.POEntry(msgid=text, msgstr=f"¿{text}?") for text in ten)
    folder = tmp_path / "labs" / "xx"
    folder.mkdir(parents=True)
    catalogue.save(str(folder / "lab.po"))
    (tmp_path / "pyproject.toml").write_text("[project.urls]\n", encoding="utf-8")
    monkeypatch.setattr(translate, "find_messages", lambda root: ten)
    translate.main([], tmp_path)
    monkeypatch.setattr(language, "LOCALE", tmp_path / "text_recognizer" / "locale")
    for text in ten:
        assert language._(text.replace("{}", "3 x"), "xx") == f"¿{text}?".replace("{}", "3 x")
    assert language._("passed", "xx") == "passed"


def test_everything_that_is_printed_is_marked():
    for package in ("text_recognizer", "lab_utils"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                name = isinstance(node, ast.Call) and getattr(node.func, "id", "")
                if name in ("print", "say", "say_once") and node.args:
                    said = messages.make_templates(node.args[0])
                    assert not [text for text in said if " " in text], (path, node.lineno)


@pytest.mark.parametrize("path", TRANSLATED, ids=lambda path: path.stem)
def test_every_text_is_korean_and_has_what_the_english_has(path):
    entries = [entry for entry in read_entries(path) if entry.msgctxt != "code"]
    assert len(entries) == sum(c["cell_type"] == "markdown" for c in read(path)["cells"])
    for entry in entries:
        english, korean, cell = entry.msgid, entry.msgstr, entry.msgctxt
        assert re.search("[가-힣]", korean), cell
        assert not count_numbers(english) - count_numbers(korean), cell
        assert Counter(SPAN.findall(BLOCK.sub("", korean))) == Counter(
            SPAN.findall(BLOCK.sub("", english))
        ), cell
        uncommented = [
            [re.sub(r" *#.*", "", block) for block in BLOCK.findall(text)]
            for text in (english, korean)
        ]
        assert uncommented[0] == uncommented[1], cell
        for mark in ("<details>", "</details>", "<summary>", "✏️", "\n- ", "\n| ", "\n#"):
            assert korean.count(mark) == english.count(mark), (cell, mark)
        assert TARGET.findall(korean) == TARGET.findall(english), cell
        assert find_stray_marks(korean) == [], cell


@pytest.mark.parametrize("path", [*NOTEBOOKS, *TRANSLATED], ids=lambda path: str(path.stem))
def test_no_cell_says_a_sentence_twice(path):
    for cell in read(path)["cells"]:
        said = Counter(re.findall(r"[^.?!`\n]{20,}[.?!]", "".join(cell["source"])))
        repeated = [sentence for sentence, count in said.items() if count > 1]
        assert cell["cell_type"] == "code" or not repeated, (path.name, cell["id"])


def test_the_lab_is_imported_before_pytorch_so_that_its_threads_sleep_while_they_wait():
    for path in [*NOTEBOOKS, *TRANSLATED]:
        code = "\n".join("".join(c["source"]) for c in read(path)["cells"])
        first = re.search(r"^(?:import|from) (lab_utils|torch|pytorch_lightning)\b", code, re.M)
        assert first[1] == "lab_utils", path.name


def test_stray_marks_are_found():
    assert find_stray_marks("이것은 **합성곱**이고 *낱말*도 있습니다.\n**시간:** 1분") == []
    assert find_stray_marks("이것은 **합성곱(convolution)**이라고 합니다.")
    assert find_stray_marks("**`code`**를 봅니다.")
    assert find_stray_marks('이것이**"합성곱"** 입니다.')


@pytest.mark.parametrize("path", TRANSLATED, ids=lambda path: path.stem)
def test_links_lead_somewhere(path):
    texts = ["".join(c["source"]) for c in read(path)["cells"] if c["cell_type"] == "markdown"]
    targets = [t for text in texts for t in TARGET.findall(SPAN.sub("", BLOCK.sub("", text)))]
    assert [target for target in targets if not (path.parent / target).exists()] == []


def test_every_message_is_korean_and_has_its_values():
    """Each message, with values in it, is found again as it is shown."""

    def fill(text, values):
        left = iter(values)
        return language.VALUE.sub(lambda v: values[int(v[1])] if v[1] else next(left), text)

    entries = polib.pofile(str(LABS / "ko" / "lab.po"), encoding="utf-8")
    assert len(entries) > 500
    for entry in entries:
        values = [f"<{i}>" for i in range(entry.msgid.count("{}"))]
        said = language._(fill(entry.msgid, values), "ko")
        assert said == fill(entry.msgstr, values), entry.msgid
        assert sorted(re.findall(r"<\d>", said)) == values, entry.msgid
        assert re.search("[가-힣]", said) or "{}: {}" in entry.msgid, entry.msgid
        assert not count_numbers(entry.msgid) - count_numbers(entry.msgstr), entry.msgid
