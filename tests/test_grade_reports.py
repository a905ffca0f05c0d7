"""What comes out of grading is safe to open, says what it should, and no more."""

import csv
import html
import io
import json
import re
import unicodedata
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest

from lab_grade.adjustments import adjust
from lab_grade.cli import grade_main
from lab_grade.copies import find_near_copies
from lab_grade.exports import format_grades
from lab_grade.report import TEMPLATES, name_pages, write_reports
from lab_grade.results import BY_HAND, MAX_MESSAGE, _read_figures, clean, redact
from text_recognizer.errors import LabError


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


@pytest.mark.parametrize("sandbox", [True, False])
def test_the_report_says_on_top_if_there_was_no_sandbox(tmp_path, sandbox):
    results = {"assignment": "a", "max_points": 5.0, "sandbox": sandbox, "students": CLASS}
    write_reports(results, tmp_path)
    top, _ = read_text(tmp_path / "report.html").split("Questions, the hardest first", 1)
    assert ("without a sandbox" in top) == (not sandbox)


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


@pytest.mark.parametrize("arguments", [["a.ipynb"], []])
def test_a_command_without_what_it_needs_says_so(arguments, capsys):
    with pytest.raises(SystemExit):
        grade_main([*arguments, "-o", "grades"])
    assert "submissions" in capsys.readouterr().err.splitlines()[-1]


def graded(name, *checks, number=""):
    """Return a result as `score` returns it, of a student of Canvas."""
    waits = {"outcome": BY_HAND, "answer": "mine", "pictures": []}
    checks = [check("q1", 1), *checks, check("q2", 0, 3) | waits]
    known = {"platform": "canvas" if number else "", "id": number, "upload": "", "adjustments": []}
    return student(name, *checks) | known


def results_of(*students):
    return {"assignment": "hw", "max_points": 5.0, "students": list(students)}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_points_are_added_from_whatever_a_spreadsheet_writes(tmp_path, encoding, delimiter):
    rows = [
        ["Question", '"student"', "points", "comment", "checked by"],
        ["q2", "김민수", "2,5" if delimiter == ";" else "2.5", "좋아요", "me"],
        ["q1", "'=kim", "-1", "", ""],
        ["late", "77", "-9", "a week", ""],
        ["q2", "lee", "", "", ""],
    ]
    path, kept = tmp_path / "mine.csv", tmp_path / "adjustments.csv"
    path.write_bytes("\r\n".join(delimiter.join(row) for row in rows).encode(encoding))
    results = results_of(graded("김민수"), graded("=kim"), graded("lee", number="77"))
    adjust(results, path, kept)
    assert [s["points"] for s in results["students"]] == [3.5, 0, 0]  # never below 0
    assert results["students"][2]["adjustments"][0]["comment"] == "a week"
    again = list(csv.reader(io.StringIO(kept.read_text("utf-8-sig")), delimiter=delimiter))
    assert again[1:5] == rows[1:] and again[5:] == [["q2", "'=kim", "", "", ""]]
    write_reports(results, tmp_path)
    gradebook = list(
        csv.DictReader(io.StringIO((tmp_path / "gradebook.csv").read_text("utf-8-sig")))
    )
    assert [(row["q2"], row["adjusted"]) for row in gradebook] == [
        ("2.5", "0"),
        ("0", "0"),
        ("0", "-9"),
    ]
    assert {row["id"] for row in gradebook} == {"", "77"}
    report = read_text(tmp_path / "report.html")
    assert "By hand: q2" in report and "to grade by hand2" in report
    assert "김민수: 3 points, graded" in report and "lee: 3 points, to grade" in report
    (page,) = (tmp_path / "feedback").glob("김민수*")
    assert "+2.5 points from your instructor: 좋아요" in read_text(page)
    assert "not graded yet" in read_text(next((tmp_path / "feedback").glob("lee*")))
    results = results_of(graded("김민수"), graded("=kim"), graded("lee", number="77"))
    adjust(results, None, kept)  # as kept
    assert [s["points"] for s in results["students"]] == [3.5, 0, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("student,points\nkim,1", "no column 'question'"),
        ("student,question,points\nkin,q1,1", "row 2: no student 'kin': did you mean kim?"),
        ("student,question,points\nkim,q9,1", "row 2: no question q9"),
        ("sep=;\nstudent;question;points\nkim;2;\u22121", "row 2: no question 2"),
        ("student,question,points\nkim,q1,one", "row 2: points must be a number, not 'one'"),
        ("student,question,points\nkim,q1,nan", "must be a number"),
        ("student,question,points\n,q1,1", "no student ''"),
        ("", "cannot be read"),
        ("student,question,points\nkim,q1,\x001", "points must be a number"),
    ],
)
def test_a_table_with_a_mistake_is_one_sentence_and_not_touched(tmp_path, text, message):
    path = tmp_path / "adjustments.csv"
    path.write_text(text)
    with pytest.raises(LabError, match=re.escape(message)):
        adjust(results_of(graded("kim")), None, path)
    assert path.read_text() == text
    with pytest.raises(LabError, match="cannot be read"):
        adjust(results_of(graded("kim")), tmp_path / "none.csv", path)


def test_canvas_and_moodle_import_what_is_written_for_them():
    results = results_of(graded("kimjane", number="77"), graded("by mail"))
    rows = list(csv.reader(io.StringIO(format_grades(results, "canvas"))))
    assert rows == [
        ["Student", "ID", "SIS Login ID", "Section", "hw"],
        ["    Points Possible", "", "", "", "5"],
        ["kimjane", "77", "", "", "1"],
    ]
    assert format_grades(results, "moodle").count("\n") == 1  # nobody is of Moodle


SOLUTION = """def standardize(X):
    mean, deviation = X.mean(axis=0), X.std(axis=0)
    deviation[deviation == 0] = 1
    return (X - mean) / deviation


def fit(X, y):
    design = np.hstack([X, np.ones((len(X), 1))])
    solution = np.linalg.lstsq(design, y, rcond=None)[0]
    return solution[:-1], float(solution[-1])


def descend(f, x, lr=0.1, steps=100):
    for _ in range(steps):
        x = x.detach().requires_grad_()
        f(x).backward()
        x = x - lr * x.grad
    return x.detach()"""
OTHERS = [
    """def standardize(X):
    columns = []
    for column in X.T:
        spread = column.std()
        columns.append((column - column.mean()) / spread if spread else 0 * column)
    return np.array(columns).T
def fit(X, y):
    center, level = X.mean(0), y.mean()
    moved = X - center
    w = np.linalg.solve(moved.T @ moved, moved.T @ (y - level))
    return w, level - center @ w
def descend(f, x, lr=0.1, steps=100):
    p = torch.nn.Parameter(x.clone())
    optimizer = torch.optim.SGD([p], lr=lr)
    for step in range(steps):
        optimizer.zero_grad()
        f(p).backward()
        optimizer.step()
    return p.data""",
    """def standardize(X):
    s = np.std(X, axis=0)
    return (X - np.mean(X, axis=0)) / np.where(s == 0, 1, s)
def fit(X, y):
    A = np.column_stack([np.ones(len(X)), X])
    b, *w = np.linalg.pinv(A) @ y
    return np.array(w), b
def descend(f, x, lr=0.1, steps=100):
    i = 0
    while i < steps:
        x.requires_grad_(True)
        (g,) = torch.autograd.grad(f(x), x)
        with torch.no_grad():
            x = x - lr * g
        i += 1
    return x""",
]


def rename(code, number):
    for name in ("mean", "deviation", "design", "solution"):
        code = re.sub(rf"(?<!\.)\b{name}\b", f"{name[:2]}{number}", code)
    return code


def test_twelve_that_differ_by_a_line_or_by_names_are_near_copies(tmp_path):
    changes = [
        lambda code: code,
        lambda code: code.replace("    for _", "    print(x)\n    for _"),
        lambda code: code.replace("    return (X", "    # by me\n    result = 0\n    return (X"),
        lambda code: code.replace("deviation[deviation == 0] = 1", "deviation += deviation == 0"),
    ]
    copies = [change(rename(SOLUTION, n)) for n in range(3) for change in changes]
    students = [
        student(f"copy{i:02}", check("q1", 2)) | {"code": code} for i, code in enumerate(copies)
    ]
    students += [
        student(f"own{i}", check("q1", 2)) | {"code": code} for i, code in enumerate(OTHERS)
    ]
    students.append(student("blank", check("q1", 0)) | {"code": ""})
    given = SimpleNamespace(cells=[SimpleNamespace(released="import numpy as np")])
    (group,) = find_near_copies(students, given)
    assert group["students"] == [f"copy{i:02}" for i in range(12)]
    assert all(0.7 <= share <= 1 for *_, share in group["pairs"])
    assert {name for one, other, _ in group["pairs"] for name in (one, other)} == set(
        group["students"]
    )
    results = {"assignment": "hw", "max_points": 2.0, "students": students, "near_copies": [group]}
    write_reports(results, tmp_path)
    report = (tmp_path / "report.html").read_text("utf-8")
    section = report[report.index("Near copies") : report.index("Everybody</h2>")]
    assert section.count("<details") == len(group["pairs"]) and "own0" not in section
    assert "<code>    mean, deviation" in section or "<code>    me1, de1" in section
    assert [s["points"] for s in students][:12] == [2] * 12  # it costs nothing
    assert "alike" not in (tmp_path / "feedback" / "copy00.html").read_text("utf-8")


def test_a_page_speaks_the_language_of_the_notebook(tmp_path):
    wrong = "labels [2] of 'ab' give '?': each label is a place in the mapping given"
    told = student(
        "이지은",
        check("q1", 0, message=f"AssertionError: {wrong}"),
        check("q1", 0, outcome="timeout"),
        check("q2", 2),
        check("q2", 0, 1, hidden=True),
        check("q2", 1, 1, hidden=True),
        flags=[
            ("running", "cell 3 ran for too long"),
            ("file", "the given cell 'data = 1' was missing; it was put back"),
            ("file", "there are 2 attempts; the last with an answer in it was graded"),
        ],
        cells=[{"number": 3, "first_line": "x = 1", "outcome": "memory", "message": ""}],
    )
    unread = "a.ipynb is not a notebook that can be run: it is empty"
    lost = student("김민수", check("q1", 0), problem=unread)
    students = [one | {"language": "ko"} for one in (told, lost)]
    write_reports({"assignment": "과제", "max_points": 5.0, "students": students}, tmp_path)
    for path in (tmp_path / "feedback").iterdir():
        content = path.read_text("utf-8")
        assert '<html lang="ko">' in content
        lines = re.sub(r"<style>.*?</style>|<[^>]+>", "\n", content, flags=re.DOTALL).split("\n")
        lines = [html.unescape(line).strip() for line in lines]
        english = [line for line in lines if re.search("[A-Za-z]{2}", line)]
        assert [line for line in english if not re.search("[가-힣]", line)] in ([], ["x = 1"])
    text = html.unescape(read_text(tmp_path / "feedback" / name_pages(["이지은"])["이지은"]))
    assert "문제 1: Areas" in text and "공개 검사: 너무 오래 걸려서 멈췄습니다." in text
    assert "숨은 검사 2개 가운데 1개를 통과하지 못했습니다." in text
    assert "매핑 'ab': 결과가 '?'입니다." in text
