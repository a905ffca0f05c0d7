"""Phrases: whole words, disjoint parts, the Brown corpus as NLTK stores it, and random numbers."""

import io
import zipfile

import numpy as np
import pytest
from helpers import described

from text_recognizer.counter_rng import draw_random
from text_recognizer.data import sentence_generator
from text_recognizer.data.sentence_generator import SentenceGenerator, restore_spacing
from text_recognizer.errors import LabError
from text_recognizer.files import download
from text_recognizer.files.download import DownloadError
from text_recognizer.mapping import MAPPING, PARTS

SENTENCES = [
    "The/at jury/nn said/vbd ``/`` no/at evidence/nn ''/'' ./.",
    "It/pps cost/vbd $100/nns (/( or/cc more/ap )/) ;/. ;/.",
    "He/pps and\\/or/cc she/pps left/vbd early/rb ,/, too/rb !/. !/.",
] * 40


@pytest.fixture
def brown(tmp_path, monkeypatch):
    """Write a small corpus as NLTK stores it, and name its folder."""
    folder = tmp_path / "nltk_data" / "corpora"
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "brown.zip", "w") as archive:
        archive.writestr("brown/ca01", "\n\n\t" + "\n\n".join(SENTENCES[:60]))
        archive.writestr("brown/cr09", "\n".join(SENTENCES[60:]))
        archive.writestr("brown/CONTENTS", "not a text")
    monkeypatch.setenv("NLTK_DATA", str(tmp_path / "nltk_data"))
    sentence_generator._read.cache_clear()
    yield folder / "brown.zip"
    sentence_generator._read.cache_clear()


@pytest.mark.parametrize("max_length", [4, 16, 32])
def test_a_phrase_is_whole_words_of_the_text_and_fits(max_length):
    sentences = SentenceGenerator()
    phrases = [sentences.generate(max_length) for _ in range(300)]
    assert all(1 <= len(phrase) <= max_length for phrase in phrases)
    assert all(f" {phrase} " in f" {sentences.text} " for phrase in phrases)
    assert len(set(phrases)) > 100
    assert max(map(len, phrases)) == max_length


def test_phrases_come_in_the_same_order_each_time_and_for_each_way_to_ask():
    first, second = SentenceGenerator(), SentenceGenerator()
    phrases = [first.generate(20) for _ in range(50)]
    assert phrases == [second.generate(20) for _ in range(50)]
    labels = second.write_labels(np.arange(49, -1, -1), 20)[::-1]
    assert phrases == ["".join(MAPPING[i] for i in row if i) for row in labels]
    assert phrases != [SentenceGenerator(seed=1).generate(20) for _ in range(50)]


def test_the_parts_share_no_line_and_make_the_whole():
    lines = sentence_generator._read("own")
    texts = [SentenceGenerator(part).text for part in PARTS]
    assert sum(map(len, texts)) == sum(map(len, lines)) + len(lines) - len(PARTS)
    for line in set(lines):
        if len(line) > 40:
            assert sum(line in part for part in texts) == 1
    assert len(texts[0]) > 5 * len(texts[1])


def test_our_own_text_has_every_character_that_a_line_can_have():
    whole = " ".join(SentenceGenerator(part).text for part in PARTS)
    assert set(MAPPING[4:]) == set(whole)


def test_brown_is_read_from_nltks_folder_and_written_as_people_write(brown):
    sentences = SentenceGenerator()
    assert sentences.source == "brown"
    assert sentences.text.startswith('The jury said "no evidence". It cost 100 (or more);')
    assert "left early, too!" in sentences.text
    assert "not a text" not in sentences.text


def test_brown_may_be_unpacked(brown):
    packed = SentenceGenerator().text
    with zipfile.ZipFile(brown) as archive:
        archive.extractall(brown.parent)
    brown.unlink()
    sentence_generator._read.cache_clear()
    assert SentenceGenerator().text == packed


def test_a_damaged_corpus_is_named(brown):
    brown.write_bytes(brown.read_bytes()[:100])
    with pytest.raises(LabError, match=r"brown\.zip is missing or damaged .* get it again"):
        SentenceGenerator(source="brown")


def test_without_brown_our_own_text_stands_in():
    assert SentenceGenerator().source == "own"
    with pytest.raises(DownloadError, match=r"NLTK_DATA .* source='own'"):
        SentenceGenerator(source="brown")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"part": "all"}, "part='all' must be one of train, val, test"),
        ({"source": "bible"}, "source='bible' must be one of auto, brown, own"),
    ],
)
def test_a_wrong_argument_is_named(arguments, says):
    with pytest.raises(LabError, match=says):
        SentenceGenerator(**arguments)


@pytest.mark.parametrize("max_length", [0, -3, 2.5, "9"])
def test_a_wrong_length_is_named(max_length):
    with pytest.raises(LabError, match=r"max_length=.* must be a whole number from 1 to 10000"):
        SentenceGenerator().generate(max_length)


def test_marks_are_joined_to_their_words():
    assert restore_spacing("He said , `` Yes '' ; ( perhaps ) .") == 'He said, "Yes"; (perhaps).'
    assert restore_spacing("A @ b  c -- d") == "A b c - d"


def offered(server, monkeypatch, content: bytes, **page) -> None:
    """Put what is to be the corpus on the server."""
    url = server.put("/brown.zip", content, **page)
    expected = described(brown_bytes())
    monkeypatch.setitem(download.ADDRESSES, "brown", {"url": url, "licence": "free", **expected})


def brown_bytes() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(zipfile.ZipInfo("brown/ca01"), "\n".join(SENTENCES) * 20)
    return stream.getvalue()


def test_brown_is_downloaded_once_and_its_licence_said(server, monkeypatch, capsys):
    offered(server, monkeypatch, brown_bytes())
    sentence_generator._read.cache_clear()
    assert SentenceGenerator().text.startswith("The jury said")
    assert "(3 MB; free)" in capsys.readouterr().out
    asked = len(server.requests)
    SentenceGenerator("val")
    assert len(server.requests) == asked
    sentence_generator._read.cache_clear()


@pytest.mark.parametrize(
    ("content", "page", "says"),
    [
        (b"another file", {}, "sent another file than expected"),
        (brown_bytes(), {"status": 403}, "answered 403"),
        (brown_bytes(), {"fault": "truncated"}, "broke off in the middle"),
    ],
)
def test_a_download_that_fails_says_why_and_leaves_nothing(
    server, monkeypatch, data_folder, content, page, says
):
    offered(server, monkeypatch, content, **page)
    with pytest.raises(DownloadError, match=says):
        SentenceGenerator(source="brown")
    assert not (data_folder / "downloads" / "brown.zip").exists()
    assert SentenceGenerator().source == "own"


def test_random_numbers_depend_on_seed_and_number_alone():
    together = draw_random(7, np.arange(1000), 5)
    assert np.array_equal(together[[900, 3]], draw_random(7, np.array([900, 3]), 5))
    assert np.array_equal(together[:, :2], draw_random(7, np.arange(1000), 2))
    assert not np.isin(together, draw_random(8, np.arange(1000), 5)).any()
    assert together.min() >= 0
    assert together.max() < 1


def test_random_numbers_are_even_and_unrelated():
    numbers = draw_random(1, np.arange(20_000), 4)
    counts = np.histogram(numbers, 20, (0, 1))[0]
    assert abs(counts / numbers.size - 0.05).max() < 0.003
    beside = np.corrcoef(numbers.T) - np.eye(4)
    assert abs(beside).max() < 0.03
    assert abs(np.corrcoef(numbers[:-1, 0], numbers[1:, 0])[0, 1]) < 0.03


def test_phrases_of_a_given_text_are_its_words():
    sentences = SentenceGenerator.from_text("one~ two  three\nfour")
    assert sentences.text == "one two three four"
    assert {sentences.generate(9) for _ in range(50)} <= {
        "one", "one two", "two", "two three", "three", "four", "three four"
    }  # fmt: skip
