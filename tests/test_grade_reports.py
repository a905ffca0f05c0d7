"""What comes out of grading is safe to open, says what it should, and no more."""

import csv
import io
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest

from lab_utils.grade_reports import clean, message_for_student, page_names, write_reports


def check(question, earned, points=2, hidden=False, message="", outcome=None):
    return {
        "question": question,
        "hidden": hidden,
        "points": float(points),
        "earned": float(earned),
        "outcome": outcome or ("passed" if earned else "failed"),
        "message": message,
        "title": f"# CHECK {question}",
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
        flags=[("running", "cell 3 ran for too long"), ("copy", "the same as kim")],
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
    return (out / "feedback" / page_names([s["student"] for s in CLASS])[name]).read_text("utf-8")


def test_the_gradebook_has_a_row_a_student_and_no_formula(out):
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
    assert "ran for too long" in lee and "1 of 1 hidden checks did not" in lee
    assert "&lt;script&gt;" in lee and "while &lt;True&gt;:" in lee
    assert "<script" not in lee and "<b>lee" not in lee
    assert "the same as kim" not in lee and "tampered" not in page(out, "kim")
    assert "it is empty" in page(out, "김민수")
    assert all("secret" not in file.read_text("utf-8") for file in (out / "feedback").iterdir())


def test_the_report_tells_the_instructor(out):
    report = (out / "report.html").read_text("utf-8")
    for said in ("kim tampered", "the same as kim", "the secret is 42", "<svg", "q2"):
        assert said in report
    links = re.findall(r'href="([^"]+)"', report)
    assert len(set(links)) == len(CLASS) and all((out / link).is_file() for link in links)
    assert "http" not in report


def test_pages_are_well_formed(out):
    class Nesting(HTMLParser):
        stack: list = []  # noqa: RUF012

        def handle_starttag(self, tag, attrs):
            if tag not in ("meta", "br", "rect", "th", "td"):
                self.stack.append(tag)

        def handle_endtag(self, tag):
            if tag not in ("rect",):
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
    secret = "assert area(3) == 28.27"
    told = message_for_student(f"see {secret}!", [secret])
    assert told == "see [withheld]!"
    assert len(message_for_student("x" * 5000, [])) < 1010


def test_names_of_pages_are_safe_and_differ():
    names = ["kim", "Kim", "../kim", "a/b", "a:b", "con", "", "..", "x" * 300, "김민수", "김 민수"]
    pages = page_names(names)
    assert pages["kim"] == "kim.html" and pages["김민수"] == "김민수.html"
    assert len({page.lower() for page in pages.values()}) == len(names)
    for file in pages.values():
        assert re.fullmatch(r"[\w.-]+", file) and not file.startswith(".") and len(file) < 120
        assert file.split(".")[0].lower() != "con"
