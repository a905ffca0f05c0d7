"""The networks: shapes, sizes and the published architecture."""

import pytest
import torch
from torch import nn

from lab_utils import CNN, EMNIST, MLP, MNIST, ConvBlock


@pytest.mark.parametrize("network", [CNN, MLP])
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
