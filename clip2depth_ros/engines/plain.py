# SPDX-License-Identifier: Apache-2.0
"""A bundle's network as one plain ONNX file, for other programs: trtexec, DeepStream, Isaac ROS."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from clip2depth_ros.bundle import Bundle
from clip2depth_ros.engines.base import FLOATS
from clip2depth_ros.engines.graph import plain_graph
from clip2depth_ros.engines.half_precision import half_graph
from clip2depth_ros.errors import Clip2DepthError

if TYPE_CHECKING:
    import onnx

LAYOUTS = ("nhwc-uint8", "nchw-float")


def write_plain(bundle: Bundle, folder: Path, *, layout: str = LAYOUTS[0], precision: str = "fp32") -> Path:
    """Write folder/NAME.onnx, which NVIDIA's parser reads directly, and folder/README.md about it.

    layout: "nhwc-uint8", the image as from a camera, (1, H, W, 3) uint8 RGB; or "nchw-float", (1, 3, H, W)
    float32 RGB in 0..1. precision: of the graph's arithmetic; input and output keep their types. Returns the
    path of the ONNX file. Raises EngineUnavailable without the onnx package, Clip2DepthError when the folder
    cannot be written.
    """
    if layout not in LAYOUTS:
        raise Clip2DepthError(f"No layout is called '{layout}'; known are: {', '.join(LAYOUTS)}.")
    if precision not in FLOATS:
        raise Clip2DepthError(f"A plain file can be in {', '.join(FLOATS)}, not in '{precision}'.")
    graph = plain_graph(bundle.model())
    if layout == "nchw-float":
        _take_planes(graph)
    if precision != "fp32":
        graph = half_graph(graph, precision)
    path = folder / f"{bundle.name}.onnx"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(graph.SerializeToString())
        (folder / "README.md").write_text(_readme(bundle, path.name, layout, precision), encoding="utf-8")
    except OSError as error:
        raise Clip2DepthError(f"{folder} cannot be written: {error.strerror}.") from None
    return path


def _take_planes(model: onnx.ModelProto) -> None:
    """Change the graph's input from the bytes of an image to float planes in 0..1."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    (image,) = graph.input
    _, height, width, _ = (dim.dim_value for dim in image.type.tensor_type.shape.dim)
    casts = [node for node in graph.node if image.name in node.input]
    planes = helper.make_tensor_value_info(image.name, TensorProto.FLOAT, [1, 3, height, width])
    nodes = [
        helper.make_node(
            "Mul", [image.name, f"{image.name}/255"], [f"{image.name}/levels"], name="image/Mul"
        ),
        helper.make_node(
            "Transpose", [f"{image.name}/levels"], [f"{image.name}/pixels"], name="image/T", perm=[0, 2, 3, 1]
        ),
    ]
    for cast in casts:  # in a plain graph only casts read the image
        for node in graph.node:
            for i, name in enumerate(node.input):
                if name == cast.output[0]:
                    node.input[i] = f"{image.name}/pixels"
    rest = [node for node in graph.node if node not in casts]
    del graph.node[:], graph.input[:], graph.value_info[:]
    graph.input.append(planes)
    graph.node.extend([*nodes, *rest])
    graph.initializer.append(numpy_helper.from_array(np.array(255, np.float32), f"{image.name}/255"))


def _readme(bundle: Bundle, file: str, layout: str, precision: str) -> str:
    manifest = bundle.manifest
    height, width = manifest.input_height, manifest.input_width
    if layout == "nhwc-uint8":
        given = f"uint8 [1, {height}, {width}, 3]: RGB, rows from the top, 0 to 255"
        scaling = "None: pass the pixels unchanged. Mean and standard deviation are applied inside the graph."
    else:
        given = f"float32 [1, 3, {height}, {width}]: RGB planes, rows from the top, 0 to 1"
        scaling = (
            "Pixels / 255 only: mean and standard deviation are applied inside the graph. "
            "DeepStream: `net-scale-factor=0.00392156862745098`, no offsets, `model-color-format=0`. Isaac "
            "ROS's image encoder: mean 0, standard deviation 1."
        )
    focal = manifest.canonical_focal_px
    if focal is None:
        meters = "Depth is in meters."
    else:
        meters = (
            f"Depth is in meters for a camera with a focal length of {focal:g} pixels *in the network's "
            f"input*. For another camera multiply it by f / {focal:g}, f being the camera's focal length in "
            "pixels times the factor by which its image was resized."
        )
    flags = "" if precision == "fp32" else " --stronglyTyped"
    return f"""# {file}

The depth network `{bundle.name}` ({manifest.backbone}, license {manifest.licence}) as a plain ONNX file in
{precision}, written by `clip2depth export --bundle`. NVIDIA's ONNX parser reads it directly:

    trtexec --onnx={file}{flags} --saveEngine={Path(file).stem}.engine

| | name | type and shape |
|---|---|---|
| input | `image` | {given} |
| output | `depth` | float32 [1, {height}, {width}]: meters along the optical axis, \
{manifest.depth_min:g} to {manifest.depth_max:g} |

**Scaling.** {scaling}

**Size.** Resize the image so that it fits into {width}x{height} without stretching it, center it, and fill
the border with a gray such as (122, 116, 104). Depth in the border is undefined.

**Meters.** {meters}

This file does not contain what the depth node adds: the self-check, fusion over time, standard deviation
and metric scale.
"""
