# SPDX-License-Identifier: Apache-2.0
"""A bundle as a network that can be trained further. Needs PyTorch and onnx."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from clip2depth_ros.bundle.library import Bundle
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.files.bounded import reading
from clip2depth_ros.network import Clip2Depth

_OPERATORS = {nn.Conv2d: "Conv", nn.ConvTranspose2d: "ConvTranspose", nn.BatchNorm2d: "BatchNormalization"}


@torch.no_grad()
def load_bundle_weights(network: Clip2Depth, bundle: Bundle, images: np.ndarray) -> None:
    """Give image tower and decoder of `network` the bundle's weights, so that it computes the bundle's depth.

    images: (B, H, W, 3) uint8 RGB at any size that the network takes. The export folds most batch norms into
    the convolutions before them. Here these batch norms get the statistics of the images, and weights that
    cancel the normalization; training continues from there. A bundle has no mirror and no text tower: those
    of `network` stay as they are, and FiLM's biases compensate for them.

    Raises Clip2DepthError for a bundle of another architecture, and for image towers that are not purely
    convolutional. The network's weights may have been changed when it raises.
    """
    if network.backbone.name != bundle.manifest.backbone:
        raise Clip2DepthError(
            f"bundle {bundle.path} is of the backbone '{bundle.manifest.backbone}', "
            f"the network of '{network.backbone.name}'"
        )
    with reading(f"The model of bundle {bundle.path}"):
        graph = onnx.load_from_string(bundle.model()).graph
        values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    nodes = _Nodes(bundle, iter([n for n in graph.node if n.op_type in _OPERATORS.values()]), values)
    hooks = [
        module.register_forward_pre_hook(nodes.fill)
        for module in network.modules()
        if type(module) in _OPERATORS
    ]
    training = network.training
    network.eval()
    try:
        _load_film(network, graph, values, bundle)
        network(torch.from_numpy(np.ascontiguousarray(images)))
    finally:
        for hook in hooks:
            hook.remove()
        network.train(training)
    nodes.finish()


@torch.no_grad()
def blend_with_bundle(network: Clip2Depth, bundle: Bundle, part: float, images: np.ndarray) -> None:
    """Set image tower and decoder to `part` times the network's weights plus the rest of the bundle's.

    For a network that was trained further from the bundle: between the two, most of what it learned is kept,
    and little of what it knew before is lost (Wortsman et al., arXiv 2109.01903). images: (B, H, W, 3) uint8
    RGB; the result does not depend on them. Mirror and text tower stay as they are.

    Raises Clip2DepthError for a part outside 0 to 1, and as load_bundle_weights.
    """
    if not 0.0 <= part <= 1.0:
        raise Clip2DepthError(f"the part of the checkpoint's weights must be from 0 to 1, not {part:g}")
    other = copy.deepcopy(network)
    load_bundle_weights(other, bundle, images)
    # The same function with the network's own statistics; otherwise statistics and weights of a batch norm
    # would be averaged separately.
    for own, norm in zip(network.modules(), other.modules(), strict=True):
        if isinstance(norm, nn.BatchNorm2d) and isinstance(own, nn.BatchNorm2d):
            factor = norm.weight / (norm.running_var + norm.eps).sqrt()
            norm.bias.add_(factor * (own.running_mean - norm.running_mean))  # pyright: ignore[reportOperatorIssue]
            norm.weight.copy_(factor * (own.running_var + own.eps).sqrt())
            norm.running_mean.copy_(own.running_mean)
            norm.running_var.copy_(own.running_var)
    others = other.state_dict()
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.lerp(others[name], tensor, part))


class _Nodes:
    """The graph's convolutions and batch norms, assigned to the modules in the order in which these run."""

    def __init__(
        self, bundle: Bundle, nodes: Iterator[onnx.NodeProto], values: dict[str, np.ndarray]
    ) -> None:
        self._bundle, self._nodes, self._values = bundle, nodes, values
        self._folded: torch.Tensor | None = None  # the bias of a convolution with a folded batch norm

    def fill(self, module: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        """Called before `module` runs on `inputs`."""
        if isinstance(module, nn.BatchNorm2d) and self._folded is not None:
            self._neutralize(module, inputs[0])
            return
        node = next(self._nodes, None)
        wanted = [] if node is None else [self._values[name] for name in node.input if name in self._values]
        own: list[Any] = [module.weight, module.bias]
        if isinstance(module, nn.BatchNorm2d):
            own += [module.running_mean, module.running_var]
        else:
            self._folded = None
            if module.bias is None:
                own.pop()
                if len(wanted) == 2:
                    self._folded = torch.tensor(wanted.pop())
        same = [v.shape for v in wanted] == [tuple(o.shape) for o in own]
        if node is None or node.op_type != _OPERATORS[type(module)] or not same:
            raise Clip2DepthError(f"bundle {self._bundle.path} holds a network of another architecture")
        for value, tensor in zip(wanted, own, strict=True):
            tensor.copy_(torch.tensor(value))

    def finish(self) -> None:
        if next(self._nodes, None) is not None or self._folded is not None:
            raise Clip2DepthError(f"bundle {self._bundle.path} holds a network of another architecture")

    def _neutralize(self, norm: nn.BatchNorm2d, x: torch.Tensor) -> None:
        """Set the statistics of `x`, and weights that cancel them and add the folded bias."""
        var, mean = torch.var_mean(x, dim=(0, 2, 3), unbiased=False)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(var)
        norm.weight.copy_((var + norm.eps).sqrt())
        norm.bias.copy_(mean + self._folded)  # pyright: ignore[reportOperatorIssue]
        self._folded = None


def _load_film(
    network: Clip2Depth, graph: onnx.GraphProto, values: dict[str, np.ndarray], bundle: Bundle
) -> None:
    """Set FiLM's biases so that this network's embedding gives the bundle's scale and shift."""
    film = network.decoder.film
    if film is None:
        return
    embedding = network.embedding()
    for layer, name in ((film.scale, "/decoder/film/Mul"), (film.shift, "/decoder/film/Add")):
        inputs = [node.input for node in graph.node if node.name == name]
        held = [values[i] for i in (inputs[0] if inputs else ()) if i in values]
        if len(held) != 1 or held[0].size != layer.out_features:
            raise Clip2DepthError(f"bundle {bundle.path} holds no FiLM constants that fit this network")
        layer.bias.copy_(torch.tensor(held[0]).flatten() - layer.weight @ embedding)
