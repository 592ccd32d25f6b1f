# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E402  # the package is not imported if PyTorch is missing
import pytest

torch = pytest.importorskip("torch", reason="the network needs PyTorch")

from clip2depth_ros.network import create_network
from clip2depth_ros.network.costs import _macs, costs

pytestmark = pytest.mark.torch


def test_a_convolution_by_hand():
    _, macs = _macs(torch.nn.Conv2d(3, 8, 5, stride=2, padding=2), torch.empty(1, 3, 20, 30))
    assert macs == 10 * 15 * 8 * 3 * 25
    _, macs = _macs(torch.nn.ConvTranspose2d(4, 6, 4, stride=2, padding=1), torch.empty(1, 4, 5, 7))
    assert macs == 5 * 7 * 4 * 6 * 16


def test_attention_is_counted():
    layer = torch.nn.MultiheadAttention(16, 2, batch_first=True).eval()
    tokens = torch.empty(1, 10, 16)
    _, macs = _macs(lambda x: layer(x, x, x, need_weights=False), tokens)
    assert macs == 4 * 10 * 16 * 16 + 2 * 10 * 10 * 16


def test_parts_of_mini_add_up_and_macs_grow_with_the_image():
    small, large = (create_network("mini", weights=None, size=size) for size in ((64, 96), (128, 192)))
    cost = costs(small)
    assert cost.trained == sum(p.numel() for p in small.parameters() if p.requires_grad)
    assert cost.mirror == small.mirror.tokens.numel()
    assert cost.trained + cost.image_tower + cost.text_tower == sum(p.numel() for p in small.parameters())
    assert costs(large).macs == pytest.approx(4 * cost.macs, rel=0.01)
    assert small.text_tower is not None, "the network itself is left as it was"
    assert costs(create_network("mini", weights=None, size=(64, 96), condition="none")).text_tower == 0
