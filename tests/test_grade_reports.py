"""What comes out of grading is safe to open, says what it should, and no more."""

import csv
import io
import json
import re
import unicodedata
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest

from lab_grade.cli import grade_main
from lab_grade.report import TEMPLATES, name_pages, write_reports
from lab_grade.results import COPY_OF, MAX_MESSAGE, _read_figures, clean, redact


def check(question, earned, points=2, hidden=False, message="", outcome=None):
    return {
        "question": question,
        "hidden": hidden,
        "points": float(points),
        "earned": float(earned),
        "outcome": outcome or ("passed" if earned else "failed"),
        "message": message,
        "title": f"# CHECK {question}",
        "topic": {"q1": "Areas & <sides>", "q2": ""}[question],
    }


def student(name, *checks, flags=(), problem="", cells=()):
    return {
        "student": name,
        "file": f"{name}.ipynb",
        "points": sum(check["earned"] for check in checks),
        "max_points": 5.0,
        "problem": problem,
        "flags": [{"kind": kind, "text": text} for kind, text in flags],
        "checks": list(checks),
        "cells": list(cells),
        "seconds": 1.25,
        "code_hash": "",
    }


HIDDEN = check("q2", 0, 1, hidden=True, message="AssertionError: the secret is 42")
CLASS = [
    student("kim", check("q1", 2), check("q2", 2), HIDDEN, flags=[("tampering", "kim tampered")]),
    student(
        "<b>lee</b>",
        check("q1", 0, message="AssertionError: <script>alert(1)</script>"),
        check("q2", 0, outcome="timeout"),
        HIDDEN,
        flags=[("running", "cell 3 ran for too long"), ("copy", "as kim's \x1b[1m<i>")],
        cells=[{"number": 3, "first_line": "while <True>:", "outcome": "timeout", "message": "m"}],
    ),
    student("=cmd|' /C calc'!A0", check("q1", 2), check("q2", 0), HIDDEN),
    student("김민수", check("q1", 0), check("q2", 0), HIDDEN, problem="it is empty"),
]


@pytest.fixture
def out(tmp_path):
    write_reports({"assignment": "homework", "max_points": 5.0, "students": CLASS}, tmp_path)
    return tmp_path


def page(out, name):
    return (out / "feedback" / name_pages([s["student"] for s in CLASS])[name]).read_text("utf-8")


def read_text(page):
    """Return the text of a page, as it is read."""
    return " ".join(re.sub(r"<[^>]+>", "", page.read_text("utf-8")).split())


def test_the_gradebook_has_a_row_for_each_student_and_no_formula(out):
    text = (out / "gradebook.csv").read_bytes().decode("utf-8-sig")
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == ["student", "points", "of", "q1", "q2", "to look at", "file"]
    assert [row[0] for row in rows[1:]] == ["kim", "<b>lee</b>", "'=cmd|' /C calc'!A0", "김민수"]
    assert [row[1] for row in rows[1:]] == ["4", "0", "2", "0"]
    assert rows[1][3:5] == ["2", "2"]
    assert "it is empty" in rows[4][5] and "ran for too long" in rows[2][5]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t")) for row in rows for cell in row)


def test_a_student_is_told_what_went_wrong_but_nothing_of_hidden_checks(out):
    lee = page(out, "<b>lee</b>")
    assert "Question 1: Areas &amp; &lt;sides&gt; " in lee and "Question 2 " in lee
    assert "Cell 3 ran for too long." in lee and "of this question did not pass" in lee
    assert "&lt;script&gt;" in lee and "while &lt;True&gt;:" in lee
    assert "<script" not in lee and "<b>lee" not in lee
    assert "as kim" not in lee and "tampered" not in page(out, "kim")
    assert "It is empty." in page(out, "김민수")
    assert all("secret" not in file.read_text("utf-8") for file in (out / "feedback").iterdir())


def test_the_report_tells_the_instructor(out):
    report = (out / "report.html").read_text("utf-8")
    for said in ("kim tampered", "as kim&#39;s &lt;i&gt;", "the secret is 42", "<svg", "q2"):
        assert said in report
    links = re.findall(r'href="([^"]+)"', report)
    assert len(set(links)) == len(CLASS) and all((out / link).is_file() for link in links)
    assert not re.search(r"https?:|src=|url\(|@import", report)


def test_the_report_shows_what_many_have_in_common(tmp_path):
    told = check("q1", 0, message="AssertionError: (2, 8) should be (2, 4)")
    alone = check("q1", 0, message="NameError: name 'x' is not defined", outcome="error")
    students = [student(name, told, HIDDEN) for name in ("ada", "bob", "cleo")]
    students += [student("dan", alone, check("q2", 1, 1, hidden=True))]
    students[0]["code_hash"] = students[2]["code_hash"] = "same"
    write_reports({"assignment": "a", "max_points": 3.0, "students": students}, tmp_path)
    report = read_text(tmp_path / "report.html")
    assert "left out. ada, cleo" in report  # identical
    assert report.index("3 failed: ada, bob, cleo (2, 8) should") < report.index("1 error: dan")
    # of the first question nobody has a point, of the second a quarter
    assert re.search(r"Questions, .*q1 Areas \D*0 2 0 .*q2 25 ", report, re.DOTALL)


def test_nobody_handed_in(tmp_path):
    write_reports({"assignment": "a", "max_points": 3.0, "students": []}, tmp_path)
    assert "Everything passed" in (tmp_path / "report.html").read_text("utf-8")


def test_text_has_enough_contrast_in_light_and_dark():
    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    style = (TEMPLATES / "pages.css").read_text("utf-8")
    found = re.findall(r"--(\w+): (#\w{6});", style)
    half = len(found) // 2
    for colours in (dict(found[:half]), dict(found[half:])):
        for paper in ("paper", "card"):
            for text in ("text", "quiet", "link", "good", "bad"):
                pair = sorted([luminance(colours[text]), luminance(colours[paper])])
                assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5


def test_pages_are_well_formed(out):
    class Nesting(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag not in ("meta", "rect", "line"):
                self.stack.append(tag)

        def handle_startendtag(self, tag, attrs):
            pass

        def handle_endtag(self, tag):
            assert self.stack.pop() == tag

    for file in [out / "report.html", *(out / "feedback").iterdir()]:
        parser = Nesting()
        parser.stack = []
        parser.feed(file.read_text("utf-8"))
        assert parser.stack == []


def test_junit_and_json_can_be_read(out):
    root = ET.parse(out / "junit.xml").getroot()
    assert [suite.get("failures") for suite in root] == ["1", "3", "2", "3"]
    assert len(root.findall(".//testcase")) == 12
    assert json.loads((out / "results.json").read_text("utf-8"))["students"] == CLASS


def test_the_same_results_give_the_same_files(out, tmp_path_factory):
    again = tmp_path_factory.mktemp("again")
    write_reports({"assignment": "homework", "max_points": 5.0, "students": CLASS}, again)
    for file in out.rglob("*.*"):
        assert file.read_bytes() == (again / file.relative_to(out)).read_bytes()


def test_messages_are_cleaned_shortened_and_keep_secrets():
    assert clean("\x1b[31mred\x1b[0m \x00\ud800end") == "red end"
    assert clean("\x1b]8;;http://x\x07link\x1b]8;;\x07 \x1b[38;5;1mq\u202e\x9b") == "link q"
    secret = "assert area(3) == 28.27"
    told = redact(f"see {secret}!", [secret])
    assert told == "see [withheld]!"
    assert len(redact("x" * 5000, [])) < MAX_MESSAGE + 10


def test_names_of_pages_are_safe_and_differ():
    names = ["kim", "Kim", "../kim", "a/b", "a:b", "con", "", "..", "x" * 300, "김민수", "김 민수"]
    names += [
        unicodedata.normalize("NFD", "김민수"),
        "COM1.txt",
        "김" * 300,
        "a\udc80b",
        "a_b",
        "-x",
    ]
    pages = name_pages(names)
    assert pages["kim"] == "kim.html" and pages["김민수"] == "김민수.html"
    assert len({page.lower() for page in pages.values()}) == len(names)
    for file in pages.values():
        assert re.fullmatch(r"[\w.-]+", file) and not file.startswith(".")
        assert len(f"{file}.part".encode()) < 255
        assert file.split(".")[0].lower() not in ("con", "com1")
    assert len({unicodedata.normalize("NFC", page) for page in pages.values()}) == len(names)


def write_part(folder, *students, **changes):
    folder.mkdir()
    found = {"assignment": "homework", "max_points": 5.0, "students": list(students)} | changes
    (folder / "results.json").write_text(json.dumps(found), encoding="utf-8")
    return folder


def test_parts_of_a_class_are_merged_and_copies_found_across_them(tmp_path, capsys):
    checks = [check("q1", 2), check("q2", 0)]
    same = {"code_hash": "abc"}
    one = write_part(
        tmp_path / "one",
        student("lee", *checks, flags=[("copy", COPY_OF + "nobody"), ("file", "kept")]) | same,
    )
    two = write_part(tmp_path / "two", student("kim", *checks) | same, student("an", *checks))
    out = tmp_path / "new" / "grades"
    assert grade_main(["--merge", str(one), str(two), "-o", str(out)]) == 0
    assert capsys.readouterr().out.startswith("3 submissions, 2 to look at")
    found = json.loads((out / "results.json").read_text("utf-8"))
    flags = {each["student"]: [f["text"] for f in each["flags"]] for each in found["students"]}
    assert flags == {"an": [], "kim": [COPY_OF + "lee"], "lee": ["kept", COPY_OF + "kim"]}
    assert list(flags) == ["an", "kim", "lee"]
    assert len((out / "gradebook.csv").read_text("utf-8-sig").splitlines()) == 4
    assert len(list((out / "feedback").iterdir())) == 3


def test_the_leaderboard_has_who_left_figures_the_best_first(tmp_path):
    checks = [check("q1", 2), check("q2", 0)]
    figures = {"test images": 0.5, "parameters": 1234567.0}
    students = [
        student("an", *checks) | {"figures": figures},
        student("<b>lee", *checks) | {"figures": {"test images": 0.75}},
        student("kim", *checks) | {"figures": {}},
        student("old", *checks),
    ]
    results = {"assignment": "hw", "max_points": 5.0, "students": students}
    write_reports(results, tmp_path)
    board = (tmp_path / "leaderboard.html").read_text(encoding="utf-8")
    assert board.index("&lt;b&gt;lee") < board.index("an</th>")
    assert "1,234,567" in board and "kim" not in board and "old" not in board
    assert "<b>lee" not in board
    write_reports(results | {"students": students[2:]}, tmp_path)
    assert not (tmp_path / "leaderboard.html").exists()


@pytest.mark.parametrize(
    ("left", "kept"),
    [
        ('{"test images": 0.5, "seconds": 3}', {"test images": 0.5, "seconds": 3.0}),
        ('{"' + "x" * 50 + '\\u0007": "2"}', {"x" * 30: 2.0}),
        ('{"a": NaN}', {}),
        ('{"a": 1' + "0" * 400 + "}", {}),
        ('{"a": [1]}', {}),
        ("[1]", {}),
        ("[" * 100_000, {}),
        ("no JSON", {}),
        ('{"a": 1, "b": 1, "c": 1, "d": 1, "e": 1, "f": 1, "g": 1, "h": 1, "i": 1}', {}),
    ],
)
def test_figures_are_numbers_with_names_or_nothing(left, kept):
    assert _read_figures([{"figures": "{}"}, {"figures": left}, {}]) == kept
    assert _read_figures([{}]) == {}


def test_parts_that_do_not_fit_together_are_one_line(tmp_path, capsys):
    kim = student("kim", check("q1", 2), check("q2", 0))
    lee = kim | {"student": "lee"}
    one = write_part(tmp_path / "one", kim)
    for other, message in [
        (write_part(tmp_path / "twice", lee, kim), "kim is in "),
        (write_part(tmp_path / "other", lee, max_points=6.0), "another reference"),
        (write_part(tmp_path / "fewer", lee | {"checks": []}), "another reference"),
        (write_part(tmp_path / "odd", students=None), "is not what lab-grade writes"),
        (tmp_path / "missing", "cannot be read"),
    ]:
        assert grade_main(["--merge", str(one), str(other), "-o", str(tmp_path / "out")]) == 2
        said = capsys.readouterr().err
        assert said.startswith("lab-grade: ") and message in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [["a.ipynb"], [], ["a.ipynb", "b", "--merge", "c"]])
def test_a_command_without_what_it_needs_says_so(arguments, capsys):
    with pytest.raises(SystemExit):
        grade_main([*arguments, "-o", "grades"])
    assert "submissions" in capsys.readouterr().err.splitlines()[-1]
