"""The networks: shapes, sizes and the published architecture."""

import numpy as np
import pytest
import torch
from torch import nn

from text_recognizer.data.emnist import EMNIST
from text_recognizer.data.mnist import MNIST
from text_recognizer.errors import LabError
from text_recognizer.models.cnn import CNN, ConvBlock
from text_recognizer.models.line_cnn import LineCNN
from text_recognizer.models.line_cnn_simple import LineCNNSimple
from text_recognizer.models.mlp import MLP
from text_recognizer.models.resnet import ResidualBlock, ResNet


@pytest.mark.parametrize("network", [CNN, MLP, ResNet])
@pytest.mark.parametrize("data", [EMNIST(), MNIST()], ids=["EMNIST", "MNIST"])
def test_a_batch_gives_one_logit_a_class(network, data):
    logits = network(data.config())(torch.rand(5, *data.dims))
    assert logits.shape == (5, len(data.mapping))


def test_cnn_has_the_published_size():
    model = CNN(EMNIST().config())
    conv1, conv2 = 64 * (9 + 1), 64 * (64 * 9 + 1)
    fc1, fc2 = 128 * (64 * 14 * 14 + 1), 83 * (128 + 1)
    assert sum(p.numel() for p in model.parameters()) == conv1 + conv2 + fc1 + fc2 == 1_654_035


def test_cnn_dimensions_are_arguments():
    model = CNN(EMNIST().config(), conv_dim=8, fc_dim=16)
    assert model.fc1.in_features == 8 * 14 * 14
    assert model.fc2.in_features == 16


def test_mlp_has_the_published_widths():
    widths = [m.out_features for m in MLP(EMNIST().config()).modules() if isinstance(m, nn.Linear)]
    assert widths == [1024, 128, 83]


def test_conv_block_keeps_the_image_size_and_is_never_negative():
    y = ConvBlock(1, 4)(torch.randn(2, 1, 28, 28))
    assert y.shape == (2, 4, 28, 28)
    assert y.min() == 0


def test_only_training_is_random():
    model, x = CNN(EMNIST().config()), torch.rand(2, 1, 28, 28)
    assert not torch.equal(model(x), model(x))  # dropout
    model.eval()
    assert torch.equal(model(x), model(x))


# The ResNet.


def test_resnet_is_small():
    assert sum(p.numel() for p in ResNet(EMNIST().config()).parameters()) <= 400_000


def test_resnet_s_width_is_an_argument():
    small, usual = (
        sum(p.numel() for p in ResNet(EMNIST().config(), width=width).parameters())
        for width in (16, 32)
    )
    assert small < usual / 3


def test_resnet_convolves_in_the_layout_that_is_fast_on_a_cpu():
    model, layouts = ResNet(EMNIST().config()), []
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.in_channels > 1]
    for conv in convolutions:
        assert conv.weight.is_contiguous(memory_format=torch.channels_last)
        conv.register_forward_hook(
            lambda _, given, __: layouts.append(
                given[0].is_contiguous(memory_format=torch.channels_last)
            )
        )
    model(torch.rand(2, 1, 28, 28))
    assert len(layouts) == len(convolutions) > 0
    assert all(layouts)


@pytest.mark.parametrize("width", [2, 4, 15])
def test_a_narrow_network_trains_on_every_cpu(width):
    # In channels_last, oneDNN corrupts memory here, on CPUs without AVX-512 visibly.
    for model in (ResNet(EMNIST().config(), width=width), LineCNN(LINES, width=width)):
        convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.stride[0] > 1]
        assert all(conv.weight.is_contiguous() for conv in convolutions)
        model(torch.rand(5, 1, 28, 28)).sum().backward()


@pytest.mark.parametrize("network", [CNN, MLP, ResNet])
def test_the_gradient_reaches_every_parameter(network):
    torch.manual_seed(0)
    model = network(EMNIST().config())
    nn.functional.cross_entropy(model(torch.rand(8, 1, 28, 28)), torch.arange(8)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_resnet_answers_alone_as_in_a_batch():
    model, x = ResNet(EMNIST().config()).eval(), torch.rand(4, 1, 28, 28)
    torch.testing.assert_close(model(x)[:1], model(x[:1]))


@pytest.mark.parametrize(
    ("channels", "stride", "shape"),
    [
        ((4, 4), 1, (2, 4, 14, 14)),
        ((4, 6), 1, (2, 6, 14, 14)),
        ((4, 4), 2, (2, 4, 7, 7)),
        ((4, 6), 2, (2, 6, 7, 7)),
    ],
)
def test_residual_block_changes_channels_and_size(channels, stride, shape):
    y = ResidualBlock(*channels, stride=stride)(torch.randn(2, 4, 14, 14))
    assert y.shape == shape
    assert y.min() == 0


@pytest.mark.parametrize("stride", [1, 2])
def test_residual_block_without_convolutions_is_its_shortcut(stride):
    block, x = ResidualBlock(4, 4, stride).eval(), torch.randn(2, 4, 14, 14)
    nn.init.zeros_(block.norm2.weight)
    shortcut = x if stride == 1 else block.shortcut(x)
    assert torch.equal(block(x), shortcut.relu())
    assert isinstance(block.shortcut, nn.Identity) == (stride == 1)


# What a slip says.

LINES = {"input_dims": (1, 28, 280), "output_dims": (10, 1), "mapping": EMNIST.mapping}


@pytest.mark.parametrize("network", [CNN, MLP, ResNet, LineCNN, LineCNNSimple])
@pytest.mark.parametrize(
    ("given", "named"),
    [
        ((), "nothing"),
        ((EMNIST(),), "EMNIST"),
        ((EMNIST().config,), "method"),
        (({},), "dict"),
        (({"input_dims": (1, 28), "mapping": []},), "dict"),
    ],
    ids=["nothing", "data", "config", "empty", "flat"],
)
def test_a_network_says_how_it_learns_of_the_data(network, given, named):
    wanted = rf"{network.__name__}\(data.config\(\)\)"
    with pytest.raises(LabError, match=f"got {named}: write {wanted}"):
        network(*given)


@pytest.mark.parametrize(
    ("network", "option"),
    [
        *((CNN, name) for name in ("conv_dim", "fc_dim")),
        *((MLP, name) for name in ("fc1_dim", "fc2_dim")),
        *((ResNet, "width"), (LineCNN, "width"), (LineCNN, "sequence_dim")),
        *((LineCNNSimple, name) for name in ("window_stride", "conv_dim", "fc_dim")),
    ],
)
@pytest.mark.parametrize("value", [0, -1, 2.5, "8", None, True])
def test_a_size_that_is_none_is_named(network, option, value):
    with pytest.raises(LabError, match=rf"{option}={value!r} must be a whole number"):
        network(LINES, **{option: value})


@pytest.mark.parametrize(
    ("network", "option"),
    [(CNN, "conv_dim"), (MLP, "fc1_dim"), (ResNet, "width"), (LineCNN, "sequence_dim")],
)
def test_a_size_that_no_memory_holds_is_named(network, option):
    with pytest.raises(LabError, match=f"{option}={10**9} must be a whole number from 1 to"):
        network(LINES, **{option: 10**9})


@pytest.mark.parametrize("value", [1, 281, 14.5, "28", None])
def test_a_window_that_is_none_is_named(value):
    with pytest.raises(LabError, match=f"window_width={value!r} must be"):
        LineCNNSimple(LINES, window_width=value)


@pytest.mark.parametrize("network", [CNN, MLP, ResNet, LineCNN, LineCNNSimple])
@pytest.mark.parametrize(
    ("images", "says"),
    [
        (torch.rand(2, 1, 32, 32), r"\(2, 1, 32, 32\), but reads \(B, 1, 28, "),
        (torch.rand(28, 28), r"one image is image\[None, None\]"),
        (torch.rand(5, 28, 28), r"images without channels are images\[:, None\]"),
        (torch.zeros(2, 1, 28, 28, dtype=torch.uint8), r"got uint8.* write images.float\(\) / 255"),
        (np.zeros((2, 1, 28, 28)), r"got ndarray.* write torch.as_tensor\(images\).float\(\)"),
    ],
    ids=["32x32", "28x28", "no channels", "uint8", "array"],
)
def test_an_image_in_another_form_says_what_to_write(network, images, says):
    model = network(LINES if network in (LineCNN, LineCNNSimple) else EMNIST().config())
    with pytest.raises(LabError, match=says):
        model(images)
