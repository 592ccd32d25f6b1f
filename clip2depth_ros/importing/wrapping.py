# SPDX-License-Identifier: Apache-2.0
"""Adds the nodes before and after an imported network that give it a bundle's input and output."""

from __future__ import annotations

import math

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from clip2depth_ros.importing.kinds import Kind

SAMPLES = 64
"""Points per axis for estimating the shift of a point map; the same as in the published code."""
ITERATIONS = 12
"""Gauss-Newton iterations; after the tenth, nothing changes."""


class Writer:
    """Appends nodes to a graph, each with a unique name.

    Only operators whose definition is the same from operator set 13 on. Methods return the name of the
    output.
    """

    def __init__(self, graph: onnx.GraphProto, prefix: str = "bundle") -> None:
        self.nodes: list[onnx.NodeProto] = []
        self._graph, self._prefix = graph, prefix
        self._count = 0

    def node(self, op_type: str, *inputs: str, output: str | None = None, **attributes) -> str:
        self._count += 1
        output = output or f"{self._prefix}/{self._count}/{op_type}"
        name = f"{self._prefix}/{self._count}/{op_type}"
        self.nodes.append(helper.make_node(op_type, list(inputs), [output], name=name, **attributes))
        return output

    def constant(self, value) -> str:
        self._count += 1
        name = f"{self._prefix}/{self._count}/constant"
        value = np.asarray(value)
        if value.dtype == np.float64:
            value = value.astype(np.float32)
        self._graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def reshape(self, x: str, shape: list[int]) -> str:
        return self.node("Reshape", x, self.constant(np.array(shape, np.int64)))

    def sum(self, x: str) -> str:
        """Sum over all elements, as a scalar tensor."""
        return self.node("ReduceSum", x, keepdims=0)

    def resize(self, x: str, shape: list[int], mode: str) -> str:
        """Resize x (four axes) to `shape`, like PyTorch's interpolate without align_corners."""
        nearest = {"nearest_mode": "floor"} if mode == "nearest" else {}
        way = "asymmetric" if mode == "nearest" else "half_pixel"
        sizes = self.constant(np.array(shape, np.int64))
        return self.node("Resize", x, "", "", sizes, mode=mode, coordinate_transformation_mode=way, **nearest)


def write_input(
    writer: Writer, kind: Kind, image: str, shape: list[int], element_type: int, output: str
) -> None:
    """Convert (1, H, W, 3) uint8 RGB to the network's input of `shape` and type.

    The image is cast to float first, because NVIDIA's parser accepts no other operation on bytes.
    """
    x = writer.node("Cast", image, to=TensorProto.FLOAT)
    if kind.channels == "bgr":
        x = writer.node("Gather", x, writer.constant(np.array([2, 1, 0], np.int64)), axis=3)
    order = slice(None, None, -1 if kind.channels == "bgr" else 1)
    mean, std = np.array(kind.mean)[order], np.array(kind.std)[order]
    planes = shape[-1] != 3
    if planes:
        x = writer.node("Transpose", x, perm=[0, 3, 1, 2])
    if kind.input_scale != 255 or mean.any() or (std != 1).any():
        form = (1, 3, 1, 1) if planes else (1, 1, 1, 3)
        x = writer.node("Mul", x, writer.constant((kind.input_scale / 255 / std).reshape(form)))
        if mean.any():
            x = writer.node("Sub", x, writer.constant((mean / std).reshape(form)))
    if len(shape) == 5:
        x = writer.reshape(x, shape)
    if element_type != TensorProto.FLOAT:
        writer.node("Cast", x, output=output, to=element_type)
    else:
        writer.node("Identity", x, output=output)


def write_output(
    writer: Writer,
    kind: Kind,
    size: tuple[int, int],
    result: str,
    inner: tuple[int, int],
    channels_last: bool,
    factor: str | None,
    mask: tuple[str, tuple[int, int]] | None,
    given: tuple[float, float] | None,
    output: str,
) -> None:
    """Convert the network's output to (1, H, W) float32.

    size: (H, W) of the input. result: the output; inner: its (h, w). channels_last: whether points are
    (h, w, 3) or (3, h, w). factor: name of a scalar output, or None. mask: name and (h, w) of an output, or
    None. given: known factor and shift, or None.
    """
    x = writer.node("Cast", result, to=TensorProto.FLOAT)
    known = None
    if mask is not None:
        name, mask_size = mask
        known = writer.reshape(writer.node("Cast", name, to=TensorProto.FLOAT), [1, 1, *mask_size])
        if mask_size != inner:
            known = writer.resize(known, [1, 1, *inner], "nearest")
        compare = "Greater" if kind.mask_keeps == "above" else "Less"
        known = writer.node(compare, known, writer.constant(np.float32(kind.mask_threshold)))
        known = writer.reshape(known, [1, *inner])
    if kind.meaning == "affine_points":
        x = _depth_of_points(writer, x, inner, channels_last, known)
    else:
        x = writer.reshape(x, [1, *inner])
    if factor is not None:
        x = writer.node("Mul", x, writer.reshape(factor, [1, 1, 1]))
    if kind.meaning == "inverse_metres":
        x = writer.node("Reciprocal", x)
    if given is not None:
        x = writer.node("Mul", x, writer.constant(np.float32(given[0])))
        if kind.meaning == "disparity":
            x = writer.node("Reciprocal", writer.node("Add", x, writer.constant(np.float32(given[1]))))
    if inner != size:
        x = writer.reshape(
            writer.resize(writer.reshape(x, [1, 1, *inner]), [1, 1, *size], "linear"), [1, *size]
        )
        if known is not None:
            seen = writer.reshape(writer.node("Cast", known, to=TensorProto.FLOAT), [1, 1, *inner])
            seen = writer.reshape(writer.resize(seen, [1, 1, *size], "nearest"), [1, *size])
            known = writer.node("Greater", seen, writer.constant(np.float32(0.5)))
    if known is not None:
        x = writer.node("Where", known, x, writer.constant(np.full((1, 1, 1), np.nan, np.float32)))
    writer.node("Identity", x, output=output)


def _depth_of_points(
    writer: Writer, points: str, size: tuple[int, int], channels_last: bool, known: str | None
) -> str:
    """Depth (1, h, w) of points that are correct up to one shift along the optical axis.

    The shift is the one with which the points project best onto their own pixels, for any focal length. It is
    found by Gauss-Newton over a grid of points, unrolled as nodes.
    """
    height, width = size
    axis = 3 if channels_last else 1
    points = writer.reshape(points, [1, height, width, 3] if channels_last else [1, 3, height, width])
    x, y, z = (
        writer.reshape(
            writer.node("Gather", points, writer.constant(np.array([i], np.int64)), axis=axis), [1, *size]
        )
        for i in range(3)
    )
    rows, columns = _grid(height), _grid(width)

    def sampled(tensor: str) -> str:
        tensor = writer.node("Gather", tensor, writer.constant(rows), axis=1)
        return writer.node("Gather", tensor, writer.constant(columns), axis=2)

    xs, ys, zs = (sampled(tensor) for tensor in (x, y, z))
    diagonal = math.hypot(width, height)
    u = np.broadcast_to(((2 * columns + 1) / width - 1) * width / diagonal, (len(rows), len(columns)))
    v = np.broadcast_to((((2 * rows + 1) / height - 1) * height / diagonal)[:, None], u.shape)
    us, vs = writer.constant(u[None].astype(np.float32)), writer.constant(v[None].astype(np.float32))
    weight = None
    if known is not None:
        weight = sampled(writer.node("Cast", known, to=TensorProto.FLOAT))

    def total(a: str, b: str, c: str, d: str) -> str:
        """Sum of a c + b d over the valid points."""
        product = writer.node("Add", writer.node("Mul", a, c), writer.node("Mul", b, d))
        return writer.sum(product if weight is None else writer.node("Mul", product, weight))

    least = writer.constant(np.float32(1e-3))
    shift = writer.constant(np.zeros(1, np.float32))
    for _ in range(ITERATIONS):
        near = writer.node("Max", writer.node("Add", zs, shift), least)
        px, py = writer.node("Div", xs, near), writer.node("Div", ys, near)
        # d(p)/d(shift) = -p / (z + shift); the sign is included in the step.
        qx, qy = writer.node("Div", px, near), writer.node("Div", py, near)
        square = total(px, py, px, py)
        focal = writer.node("Div", total(px, py, us, vs), square)
        # d(focal)/d(shift), with the same sign.
        change = writer.node(
            "Div",
            writer.node(
                "Sub",
                total(qx, qy, us, vs),
                writer.node(
                    "Mul", focal, writer.node("Mul", total(qx, qy, px, py), writer.constant(np.float32(2)))
                ),
            ),
            square,
        )
        miss_x = writer.node("Sub", writer.node("Mul", focal, px), us)
        miss_y = writer.node("Sub", writer.node("Mul", focal, py), vs)
        slope_x = writer.node("Add", writer.node("Mul", focal, qx), writer.node("Mul", change, px))
        slope_y = writer.node("Add", writer.node("Mul", focal, qy), writer.node("Mul", change, py))
        step = writer.node(
            "Div",
            total(miss_x, miss_y, slope_x, slope_y),
            writer.node("Add", total(slope_x, slope_y, slope_x, slope_y), writer.constant(np.float32(1e-12))),
        )
        shift = writer.node("Add", shift, step)
    return writer.node("Add", z, shift)


def _grid(length: int) -> np.ndarray:
    """At most SAMPLES indices, evenly spaced along an axis."""
    count = min(SAMPLES, length)
    return np.floor((np.arange(count) + 0.5) * length / count).astype(np.int64)
