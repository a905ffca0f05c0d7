"""The networks that read lines: windows, CTC, and what padding must not change."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from text_recognizer.errors import LabError
from text_recognizer.lines.render import find_used_columns
from text_recognizer.mapping import MAPPING, PADDING
from text_recognizer.models.ctc import greedy
from text_recognizer.models.registry import NETWORKS, reads_lines

LENGTH, WIDTH = 6, 6 * 28
CONFIG = {"input_dims": (1, 28, WIDTH), "output_dims": (LENGTH, 1), "mapping": MAPPING}
SMALL = {"LineCNN": {"width": 4, "sequence_dim": 16}, "LineCNNSimple": {"conv_dim": 4, "fc_dim": 8}}


def network(name, config=CONFIG, **more):
    torch.manual_seed(0)
    return NETWORKS[name](config, **SMALL[name] | more)


def paper(*used, width=WIDTH):
    """Return lines, float32 (B, 1, 28, width), with ink in so many columns of each."""
    random = torch.Generator().manual_seed(1)
    lines = torch.rand((len(used), 1, 28, width), generator=random)
    return lines * (torch.arange(width) < torch.tensor(used)[:, None, None, None])


def labels_of(*texts, length=LENGTH):
    labels = torch.full((len(texts), length), PADDING)
    for row, text in zip(labels, texts, strict=True):
        row[: len(text)] = torch.tensor([MAPPING.index(name) for name in text])
    return labels


def saying(*texts, steps=LENGTH):
    """Return logits, (B, 83, steps), that are sure of one character a step, and then of nothing."""
    logits = torch.zeros(len(texts), len(MAPPING), steps)
    for line, text in zip(logits, texts, strict=True):
        for step, name in enumerate(text):
            line[MAPPING.index(name), step] = 9.0
    return logits


def test_lines_and_characters_have_networks_of_their_own():
    lines = {name for name, network in NETWORKS.items() if reads_lines(network)}
    assert lines == {"LineCNN", "LineCNNSimple"}
    assert set(NETWORKS) - lines == {"CNN", "MLP", "ResNet"}


@pytest.mark.parametrize("name", SMALL)
def test_the_gradient_of_the_loss_reaches_every_parameter(name):
    model = network(name)
    model.loss(model(paper(WIDTH, 100)), labels_of("abcdef", "Hi")).backward()
    for parameter, weight in model.named_parameters():
        assert weight.grad is not None and weight.grad.abs().sum() > 0, parameter


def test_used_columns_end_with_the_last_ink():
    lines = paper(5, WIDTH, 1, 0)
    assert find_used_columns(lines).tolist() == [5, WIDTH, 1, 0]
    lines[0, 0, 27, 80] = 1e-3  # a single faint pixel, behind a gap
    assert find_used_columns(lines).tolist() == [81, WIDTH, 1, 0]


# Windows.


@pytest.mark.parametrize(
    ("window", "stride", "count"), [(28, 28, 6), (28, 14, 6), (20, 30, 5), (40, 28, 5)]
)
def test_windows_give_what_a_loop_over_them_gives(window, stride, count):
    model = network("LineCNNSimple", window_width=window, window_stride=stride).eval()
    x = paper(WIDTH, 50, 130)
    logits = model(x)
    assert logits.shape == (3, len(MAPPING), count)
    for step in range(count):
        start = step * stride
        expected = model.cnn(x[..., start : start + window])
        torch.testing.assert_close(logits[:, :, step], expected)


@pytest.mark.parametrize("window", [0, 1, WIDTH + 1])
def test_a_window_that_does_not_fit_the_line_is_named(window):
    with pytest.raises(LabError, match=f"^window_width={window} must be .* from 2 to 168"):
        network("LineCNNSimple", window_width=window)


def test_the_loss_of_windows_is_the_mean_over_the_characters_that_were_written():
    torch.manual_seed(0)
    logits, labels = torch.randn(2, len(MAPPING), LENGTH), labels_of("abc", "Z")
    surprise = -logits.log_softmax(1)
    written = [surprise[0, labels[0, i], i] for i in range(3)] + [surprise[1, labels[1, 0], 0]]
    loss = network("LineCNNSimple").loss(logits, labels)
    torch.testing.assert_close(loss, torch.stack(written).mean())


def test_what_windows_say_behind_the_text_does_not_change_their_loss():
    torch.manual_seed(0)
    logits, labels = torch.randn(2, len(MAPPING), LENGTH), labels_of("abc", "Z")
    model = network("LineCNNSimple")
    before = model.loss(logits, labels)
    logits[0, :, 3:], logits[1, :, 1:] = 50 * torch.randn(83, 3), 50 * torch.randn(83, 5)
    assert torch.equal(model.loss(logits, labels), before)
    logits[0, :, 2] += torch.randn(83)
    assert not torch.equal(model.loss(logits, labels), before)


def test_labels_behind_the_last_window_are_left_out():
    torch.manual_seed(0)
    model, logits = network("LineCNNSimple"), torch.randn(1, len(MAPPING), 4)
    assert torch.equal(
        model.loss(logits, labels_of("abcdef")), model.loss(logits, labels_of("abcd", length=4))
    )


@pytest.mark.parametrize(
    ("used", "text"), [(0, ""), (1, "a"), (28, "a"), (29, "ab"), (100, "abcd"), (168, "abcdef")]
)
def test_windows_are_read_up_to_the_last_ink(used, text):
    assert network("LineCNNSimple").read(saying("abcdef"), paper(used)) == [text]


def test_special_tokens_of_windows_are_no_text():
    logits = saying("abcdef")
    logits[0, [0, 1, 2, PADDING], [0, 2, 3, 5]] = 20.0
    assert network("LineCNNSimple").read(logits, paper(WIDTH)) == ["be"]


# CTC.


@pytest.mark.parametrize(("used", "steps"), [(WIDTH, 84), (160, 84), (100, 54), (1, 6), (0, 4)])
def test_there_are_two_answers_for_each_four_columns_up_to_the_last_ink(used, steps):
    # Two steps of empty paper are left behind the ink.
    logits = network("LineCNN").eval()(paper(used, min(used, 20)))
    assert logits.shape == (2, len(MAPPING), steps)


@pytest.mark.parametrize("height", [28, 30, 56])
def test_lines_may_have_another_height(height):
    model = network("LineCNN", CONFIG | {"input_dims": (1, height, WIDTH)})
    assert model(torch.rand(2, 1, height, 100)).shape == (2, len(MAPPING), 50)


@pytest.mark.parametrize("more", [1, 28, 500])
def test_empty_paper_on_the_right_makes_no_difference(more):
    model = network("LineCNN").eval()
    for x in (paper(100, 60), paper(159)):
        torch.testing.assert_close(model(F.pad(x, (0, more))), model(x))


def test_the_other_lines_of_a_batch_make_no_difference():
    model = network("LineCNN").eval()
    alone, together = model(paper(100, 40)), model(paper(100, 40, 80))
    torch.testing.assert_close(together[:2], alone)


def test_a_wider_neighbour_changes_only_what_is_near_the_end():
    # More empty paper follows then, of which a step sees what lies within 32 steps of 4 columns.
    model = network("LineCNN", width=4).eval()
    x = paper(400, width=900)
    far = 2 * (400 // 4 - 32)
    beside = model(torch.cat([x, paper(900, width=900)]))[0]
    torch.testing.assert_close(beside[:, :far], model(x)[0, :, :far])


def test_the_ctc_loss_is_that_of_all_paths_together():
    a, b = MAPPING.index("a"), MAPPING.index("b")
    for seed, text in enumerate(["a", "ab", "aa", "aba"]):
        torch.manual_seed(seed)
        logits = torch.full((1, len(MAPPING), 5), -40.0)
        logits[0, [0, a, b]] = torch.randn(3, 5)
        probabilities = logits[0].softmax(0)
        wanted = [MAPPING.index(name) for name in text]
        total = 0.0
        for path in itertools.product((0, a, b), repeat=5):
            if [label for label, _ in itertools.groupby(path) if label] == wanted:
                total += math.prod(probabilities[k, i].item() for i, k in enumerate(path))
        loss = network("LineCNN").loss(logits, labels_of(text)).item()
        assert loss == pytest.approx(-math.log(total) / len(text), rel=1e-4)


def test_padding_does_not_change_the_ctc_loss():
    torch.manual_seed(0)
    model, logits = network("LineCNN"), torch.randn(2, len(MAPPING), 30)
    short, long = (labels_of("abc", "Zoe?", length=length) for length in (4, 40))
    assert torch.equal(model.loss(logits, short), model.loss(logits, long))


def test_a_text_that_finds_no_room_in_the_steps_leaves_the_weights_finite():
    logits = torch.randn(1, len(MAPPING), 3).requires_grad_()
    network("LineCNN").loss(logits, labels_of("abcdef")).backward()
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_ctc_is_read_greedily():
    torch.manual_seed(0)
    logits = torch.randn(3, len(MAPPING), 20)
    assert network("LineCNN").read(logits, paper(40, 40, 40)) == [greedy(line) for line in logits]
