# SPDX-License-Identifier: Apache-2.0
"""For every kind a graph with the same interface, whose result a few lines of NumPy also compute."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
WEIGHTS = np.array([0.9, -0.5, 0.2])  # of red, green and blue, all different
BLUR = 3
FOCAL, POINT_SHIFT, POINT_SCALE = 0.9, 0.7, 2.5  # of the point maps


@dataclass
class Interface:
    """The interface in the exporter's file: see docs/import.md for the source of each."""

    image: str
    shape: list  # of the image; text = a dynamic size
    outputs: dict[str, list] = field(default_factory=dict)  # shapes; depth is the first
    scale: float = 1.0  # white
    mean: tuple = (0.0, 0.0, 0.0)
    std: tuple = (1.0, 1.0, 1.0)
    opset: int = 17
    inside: bool = False  # the graph normalizes by ImageNet itself
    focal: float | None = None  # focal length for its meters, pixels
    extra: list[str] = field(default_factory=list)


H, W = "height", "width"
INTERFACES = {
    "depth_anything_v2": Interface(
        "pixel_values", ["batch", 3, H, W], {"predicted_depth": ["batch", H, W]}, 1, *IMAGENET
    ),
    "depth_anything_v2_metric_indoor": Interface("image", [1, 3, H, W], {"depth": [1, H, W]}, 1, *IMAGENET),
    "depth_anything_v2_metric_outdoor": Interface(
        "image", [1, 3, 252, 336], {"depth": [1, 252, 336]}, 1, *IMAGENET, opset=18
    ),
    "depth_anything_v3_mono": Interface(
        "image", [1, "N", 3, 504, 504], {"depth": [1, "N", 504, 504], "sky": [1, "N", 504, 504]}, 1, *IMAGENET
    ),
    "depth_anything_v3_metric": Interface(
        "image", [1, "N", 3, 504, 504], {"depth": [1, "N", 504, 504]}, 1, *IMAGENET, focal=300.0
    ),
    "metric3d_v2": Interface(
        "image",
        [1, 3, 616, 1064],
        {"pred_depth": [1, 1, 616, 1064]},
        255,
        opset=11,
        inside=True,
        focal=1000.0,
    ),
    "unidepth_v2": Interface(
        "image",
        ["batch", 3, 462, 616],
        {"depth": ["batch", 1, 462, 616], "confidence": ["batch", 1, 462, 616]},
        1,
        *IMAGENET,
        opset=14,
    ),
    "moge2": Interface(
        "image",
        ["batch_size", 3, H, W],
        {"points": ["batch_size", H, W, 3], "mask": ["batch_size", H, W], "metric_scale": ["batch_size"]},
        opset=14,
        extra=["num_tokens"],
    ),
    "midas_v21": Interface("0", [1, 3, 384, 384], {"797": [1, 384, 384]}, opset=9, inside=True),
    "dpt": Interface(
        "pixel_values",
        ["batch", 3, 384, 384],
        {"predicted_depth": ["batch", 384, 384]},
        1,
        (0.5,) * 3,
        (0.5,) * 3,
    ),
}
SIZES = {"depth_anything_v2": (252, 336), "depth_anything_v2_metric_indoor": (252, 336), "moge2": (252, 336)}
"""Size given at import, height and width, if the file has dynamic sizes: the shape of the frames."""


def build(
    name: str, path: Path, *, half: bool = False, opset: int | None = None, external: bool = False
) -> Path:
    """Write the stand-in of the kind. half: in fp16, as onnx-community's model_fp16.onnx."""
    face = INTERFACES[name]
    opset = opset or face.opset
    size = SIZES.get(name) or tuple(face.shape[-2:])
    kind = HALF if half else FLOAT
    nodes, weights = [], []

    def constant(name: str, value, dtype=None) -> str:
        value = np.asarray(value, dtype or (np.float16 if half else np.float32))
        weights.append(numpy_helper.from_array(value, name))
        return name

    def node(op: str, *inputs: str, out: str, **attributes) -> str:
        nodes.append(helper.make_node(op, list(inputs), [out], name=f"{op}_{out}", **attributes))
        return out

    x = face.image
    if len(face.shape) == 5:  # batch and views together, as the backbone has them
        x = node("Reshape", x, constant("flat", [-1, 3, *size], np.int64), out="views")
    if face.inside:
        white = face.scale
        x = node("Sub", x, constant("m", white * np.reshape(IMAGENET[0], (1, 3, 1, 1))), out="centered")
        x = node("Div", x, constant("s", white * np.reshape(IMAGENET[1], (1, 3, 1, 1))), out="normal")
    x = node("Conv", x, constant("kernel", WEIGHTS.reshape(1, 3, 1, 1)), out="mixed")
    blur = np.full((1, 1, BLUR, BLUR), 1 / BLUR**2)
    x = node("Conv", x, constant("blur", blur), out="smooth", pads=[BLUR // 2] * 4)
    x = node("Exp", node("Mul", x, constant("gain", 0.3), out="small"), out="answer")
    first, *others = face.outputs
    graph_outputs = {first: kind}

    def shaped(tensor: str, shape: list, out: str) -> None:
        """Reshape to the output's shape; dynamic sizes are read from the image, as exporters do."""
        if all(isinstance(n, int) for n in shape):
            node("Reshape", tensor, constant(f"{out}_shape", shape, np.int64), out=out)
            return
        parts = []
        node("Shape", face.image, out=f"{out}_size")
        for i, n in enumerate(shape):
            if isinstance(n, int):
                parts.append(constant(f"{out}_{i}", [n], np.int64))
            else:
                at = constant(f"{out}_at_{i}", [face.shape.index(n)], np.int64)
                parts.append(node("Gather", f"{out}_size", at, out=f"{out}_n_{i}"))
        node("Reshape", tensor, node("Concat", *parts, out=f"{out}_shape", axis=0), out=out)

    if name == "moge2":
        height, width = size
        diagonal = np.hypot(width, height)
        u = ((2 * np.arange(width) + 1) / width - 1) * width / diagonal
        v = ((2 * np.arange(height) + 1) / height - 1) * height / diagonal
        px = node("Mul", x, constant("u", (u / FOCAL).reshape(1, 1, 1, -1)), out="px")
        py = node("Mul", x, constant("v", (v / FOCAL).reshape(1, 1, -1, 1)), out="py")
        pz = node("Sub", x, constant("shift", POINT_SHIFT), out="pz")
        stacked = node("Concat", px, py, pz, out="stacked", axis=1)
        node("Transpose", stacked, out="points", perm=[0, 2, 3, 1])
        bright = node("Sub", "mixed", constant("dark", 0.0), out="bright")
        shaped(node("Sigmoid", bright, out="probable"), face.outputs["mask"], "mask")
        tokens = node("Cast", "num_tokens", out="tokens", to=kind)
        scale = node("Div", tokens, constant("tokens_usual", 1800.0 / POINT_SCALE), out="scale_of_tokens")
        node("Reshape", scale, constant("one", [1], np.int64), out="metric_scale")
        graph_outputs |= {"mask": kind, "metric_scale": kind}
    else:
        shaped(x, face.outputs[first], first)
        for other in others:
            graph_outputs[other] = kind
            bright = node("Sub", "mixed", constant(f"{other}_level", 1.0), out=f"{other}_bright")
            shaped(node("Sigmoid", bright, out=f"{other}_raw"), face.outputs[other], other)
    inputs = [helper.make_tensor_value_info(face.image, kind, face.shape)]
    inputs += [helper.make_tensor_value_info(extra, TensorProto.INT64, []) for extra in face.extra]
    outputs = [helper.make_tensor_value_info(n, t, face.outputs[n]) for n, t in graph_outputs.items()]
    graph = helper.make_graph(nodes, name, inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model)
    if external:
        onnx.save(
            model, str(path), save_as_external_data=True, location=f"{path.name}_data", size_threshold=0
        )
    else:
        onnx.save(model, str(path))
    return path


def reference(name: str, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The documented pre- and postprocessing and the graph above, applied to an image of the network's size.

    image: (H, W, 3) uint8 RGB. Returns (H, W) float64: meters (for the network's focal length), depth up to a
    factor, or disparity; NaN where masked.
    """
    face = INTERFACES[name]
    x = image.astype(np.float64) / 255
    mean, std = IMAGENET if face.inside else (face.mean, face.std)
    mixed = ((x - mean) / std) @ WEIGHTS
    padded = np.pad(mixed, BLUR // 2)
    smooth = cv2.boxFilter(padded, -1, (BLUR, BLUR), borderType=cv2.BORDER_CONSTANT)[1:-1, 1:-1]
    answer = np.exp(0.3 * smooth)
    if name == "moge2":
        return np.where(mixed > 0, POINT_SCALE * answer, np.nan)
    if "sky" in face.outputs:
        return np.where(1 / (1 + np.exp(1 - mixed)) < 0.3, answer, np.nan)
    return answer


class Networks:
    """This module's functions for tests, which cannot import it."""

    INTERFACES, SIZES = INTERFACES, SIZES
    build, reference = staticmethod(build), staticmethod(reference)


@pytest.fixture(scope="session")
def networks() -> type[Networks]:
    return Networks


@pytest.fixture(scope="session")
def imported(tmp_path_factory):
    """Function (kind) -> Imported: its stand-in, imported once."""
    from clip2depth_ros.importing import find_kind, import_model

    made = {}

    def make(name: str):
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            path = build(name, folder / "theirs.onnx")
            made[name] = import_model(path, find_kind(name), folder / name, size=SIZES.get(name))
        return made[name]

    return make
