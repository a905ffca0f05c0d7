"""Reading a line's strokes: groups of strokes, both networks' say, and the best way through."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lab_utils import LineCNN, LineRecognizer, sample_strokes
from text_recognizer.mapping import BLANK, MAPPING, SPACE, decode_labels
from text_recognizer.models.ctc import CharacterLanguageModel, greedy_path
from text_recognizer.reading.lattice import (
    ENGLISH,
    MAX_GROUP,
    RARE,
    SURE,
    Edge,
    Strokes,
    _keep_case,
    _prepare_group,
    find_groups,
    find_likely,
    find_way,
    find_words,
    score_columns,
    sort_strokes,
)
from text_recognizer.reading.line import place_strokes, prepare_line
from text_recognizer.reading.pen import read_curves
from text_recognizer.strokes import BASE_LINE, X_LINE

GUIDES = (X_LINE, BASE_LINE)


@pytest.fixture(scope="module")
def reader():
    return LineRecognizer.pretrained()


def sort(text, steps=100):
    curves = read_curves(list(sample_strokes(text)))
    return sort_strokes(curves, place_strokes(curves, GUIDES), steps)


def write(text, gap=14):
    """Write a word of sample letters in which each l is one straight bar, as on the canvas."""
    x, strokes = 40.0, []
    for character in text:
        written = [[p[:2] for p in stroke] for stroke in sample_strokes(character)]
        if character == "l":
            written = [[(0.0, 60.0 + 10 * i) for i in range(10)]]
        left, right = (side(p[0] for s in written for p in s) for side in (min, max))
        strokes += [[(px - left + x, py) for px, py in s] for s in written]
        x += right - left + gap
    return strokes


# The lattice.


def test_strokes_are_sorted_along_the_line_and_their_steps_part_it():
    curves = read_curves(list(sample_strokes("hello world")))
    layout = place_strokes(curves, GUIDES)
    strokes = sort_strokes(curves[::-1], layout, 120)
    middles = [curve[:, 0].mean() for curve in strokes.curves]
    assert np.corrcoef(middles, np.arange(len(middles)))[0, 1] > 0.98
    assert strokes.cuts[0] == 0 and strokes.cuts[-1] == 120
    assert (np.diff(strokes.cuts) >= 0).all() and len(strokes.cuts) == len(curves) + 1
    assert strokes.top.max() == pytest.approx(1.85, abs=0.2), "an l is almost two x-heights high"


def test_groups_are_neighbours_and_their_number_grows_as_that_of_strokes():
    one, four = (find_groups(sort(text)) for text in ("kitty", " ".join(["kitty"] * 4)))
    assert all(0 < last - first <= MAX_GROUP for first, last in one)
    assert len(four) == 4 * len(one), "no group goes across a space"


def test_groups_far_behind_the_best_way_are_not_read():
    groups = [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3)]
    assert find_likely(groups, [0.0, -1.0, 0.0, -6.0, 0.0]) == [True, True, True, False, True]
    one_way = find_likely(groups, [-20.0, -9.0, -20.0, -20.0, -20.0])
    assert one_way == [False, True, False, False, True], "a way is always left"


def test_columns_are_scored_as_the_ctc_loss_scores_them():
    torch.manual_seed(0)
    logits = torch.randn(len(MAPPING), 9)
    alone, spaced = score_columns(logits, np.array([0, 4, 9]), [(0, 1), (1, 2), (0, 2)])
    label = MAPPING.index("k")
    for row, (start, end) in enumerate(((0, 4), (4, 9), (0, 9))):
        said = logits.double().log_softmax(0).T[start:end, None]
        for scores, text in ((alone, [label]), (spaced, [SPACE, label])):
            loss = F.ctc_loss(
                said, torch.tensor([text]), [end - start], [len(text)], BLANK, reduction="sum"
            )
            assert scores[row, label] == pytest.approx(-loss.item())


def test_a_wide_stroke_that_ctc_reads_as_letters_is_a_part_of_a_word():
    labels, steps = [*map(MAPPING.index, "atom")], [2, 9, 14, 22]
    labels[1:1], steps[1:1] = [SPACE], [6]
    logits = torch.zeros(len(MAPPING), 25)
    logits[labels, steps] = 9.0
    sides = np.array([[0.0, 1.0], [2.0, 3.5], [3.8, 5.0]]).T
    strokes = Strokes([], *sides, np.ones(3), np.zeros(3), np.array([0, 5, 18, 25]))

    def find(strokes):
        edges = find_words(logits, labels, steps, strokes)
        return {(e.first, e.last): decode_labels(e.texts[0][1]) for e in edges}

    words = {(0, 1): "a", (1, 3): " tom"}
    assert find(strokes) == words | {(1, 2): " to"}
    assert find(strokes._replace(right=np.array([1.0, 3.0, 5.0]))) == words, "as wide as one letter"


def test_the_way_is_the_best_one_and_english_may_change_it():
    c, l, d, o = (MAPPING.index(name) for name in "cldo")  # noqa: E741 - its name
    chances = torch.ones(len(MAPPING), 1)

    def edge(first, last, *texts):
        return Edge(first, last, [(score, (label,)) for score, label in texts], [0], chances)

    edges = [
        edge(0, 1, (-1.0, c)),
        edge(1, 2, (-1.0, l)),
        edge(0, 2, (-2.0, d)),
        edge(2, 3, (0, o)),
    ]
    assert decode_labels([n for _, text in find_way(edges, 3) for n in text]) == "clo"
    likes_do = CharacterLanguageModel("do do do do do do do", 3)
    assert decode_labels([n for _, text in find_way(edges, 3, likes_do) for n in text]) == "do"


def test_english_counts_less_where_the_ink_is_sure():
    a, b = (MAPPING.index(name) for name in "ab")
    likes_b = CharacterLanguageModel("b " * 20, 2)
    said = ENGLISH * (likes_b.log_probability(b, ()) - max(likes_b.log_probability(a, ()), RARE))
    texts = [((1 - SURE / 2) * said, (a,)), (0.0, (b,))]  # the ink speaks for an a, a little less
    for sure, expected in ((0.0, "b"), (1.0, "a")):
        edge = Edge(0, 1, texts, [0], torch.ones(len(MAPPING), 1), sure)
        ((_, text),) = find_way([edge], 1, likes_b)
        assert decode_labels(text) == expected


def test_english_decides_on_no_case_against_the_ink():
    f, big_f, k, big_k = (MAPPING.index(name) for name in "fFkK")
    chances = torch.ones(len(MAPPING), 1)
    first = Edge(0, 1, [(-1.0, (f,)), (-0.5, (big_f,))], [0], chances)
    inner = Edge(0, 1, [(-0.5, (SPACE, k)), (-1.0, (SPACE, big_k))], [0], chances)
    assert _keep_case(first, (f,), is_first=True) == (big_f,)
    assert _keep_case(first, (f,), is_first=False) == (f,), "small inside a word is usual"
    assert _keep_case(inner, (SPACE, big_k), is_first=False) == (SPACE, k)
    assert _keep_case(inner, (SPACE, big_k), is_first=True) == (SPACE, big_k)


# Reading.


def test_a_stroke_that_joins_two_letters_of_a_word_in_print_is_read_as_both(reader):
    h_left, h_right, bar, o, *rest = [[p[:2] for p in s] for s in sample_strokes("How are you")]
    joined = [h_left, h_right, bar + o, *rest]
    assert reader.predict_line(joined, GUIDES).text == "How are you"


def test_spaces_are_as_sure_as_their_gaps(reader):
    reading = reader.predict_line(sample_strokes("all is well"), GUIDES)
    assert reading.text == "all is well"
    assert min(reading.confidences[3], reading.confidences[6]) > 0.9
    near = write("all") + [[(px + 120, py) for px, py in stroke] for stroke in write("is")]
    reading = reader.predict_line(near, GUIDES, language_model=True)
    assert reading.text == "all is"
    assert 0.05 < reading.confidences[3] < 0.95, "it may be a gap between letters"


def test_the_same_groups_are_prepared_once(reader):
    strokes = write("hill")
    reader.predict_line(strokes[:-1], GUIDES)
    before = _prepare_group.cache_info().misses
    reader.predict_line(strokes, GUIDES)
    assert _prepare_group.cache_info().misses - before <= MAX_GROUP, "those of the new stroke"


@pytest.mark.parametrize("text", ["ill", "look", "hello", "all", "little"])
@pytest.mark.parametrize("guides", [GUIDES, None])
def test_no_letter_that_is_a_bar_is_dropped(reader, text, guides):
    strokes = write(text)
    assert reader.predict_line(strokes, guides, language_model=True).text == text
    assert len(reader.predict_line(strokes, guides).text) == len(text)


@pytest.mark.parametrize("text", ["Hello World", "look at 42 apples", "1984", "minute kitchen"])
def test_words_capitals_digits_and_spaces_are_read(reader, text):
    read = reader.predict_line(sample_strokes(text), GUIDES, language_model=True)
    assert read.text.lower() == text.lower()
    assert len(read.confidences) == len(read.alternatives) == len(text)
    for character, confidence, likely in zip(*read, strict=True):
        assert likely[0] == (character, confidence) and 0 <= confidence <= 1
        assert sum(p for _, p in likely) < 1.001


def test_what_is_joined_up_is_read_as_by_ctc_alone(reader):
    strokes = [[p for stroke in write("nun", gap=2) for p in stroke]]
    image = prepare_line(strokes, GUIDES)
    alone = LineRecognizer(reader.model, reader.temperature)
    with torch.inference_mode():
        logits = reader.model(image[None, None].float().div(255))[0] / reader.temperature
    assert len(greedy_path(logits)[0]) > 1
    assert reader.predict_line(strokes, GUIDES).text == alone.predict_line(strokes, GUIDES).text


def test_a_network_of_ones_own_reads_alone_and_pictures_are_left_to_ctc(reader):
    torch.manual_seed(0)
    network = LineCNN({"input_dims": (1, 28, 224), "mapping": MAPPING}, width=4, sequence_dim=8)
    strokes = list(sample_strokes("look"))
    image = prepare_line(strokes, GUIDES)
    own = LineRecognizer(network)
    assert own.characters is None
    assert own.predict_line(strokes, GUIDES) == own.predict_line(image)
    alone = LineRecognizer(reader.model, reader.temperature)
    assert alone.predict_line(image) == reader.predict_line(image)
