# SPDX-License-Identifier: Apache-2.0
"""Converts an ONNX file into a bundle."""

from __future__ import annotations

import hashlib
import platform
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, compose, helper

from clip2depth_ros import __version__
from clip2depth_ros.bundle import Bundle, Manifest, open_bundle
from clip2depth_ros.camera import Letterbox
from clip2depth_ros.engines import open_engine
from clip2depth_ros.engines.base import first_line
from clip2depth_ros.engines.graph import fold_constants
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.files.replacing import make_folder, writing
from clip2depth_ros.importing.graph_file import LARGEST, described, fix_shapes, read_graph_file, shape_of
from clip2depth_ros.importing.kinds import Kind
from clip2depth_ros.importing.wrapping import Writer, write_input, write_output
from clip2depth_ros.system.offline import openvino_core

_PREFIX = "network/"
_IMAGES = (TensorProto.FLOAT, TensorProto.UINT8, TensorProto.DOUBLE)


@dataclass(frozen=True)
class Imported:
    """Result of an import."""

    bundle: Bundle
    notes: list[str]
    """Changes to the file and other remarks, one sentence each."""


def import_model(
    path: str | Path,
    kind: Kind,
    folder: str | Path,
    *,
    check_image: np.ndarray | None = None,
    name: str | None = None,
    size: tuple[int, int] | None = None,
    given: tuple[float, float] | None = None,
) -> Imported:
    """Write the ONNX file at `path` as a bundle in `folder`.

    size: (height, width) of the image; None: from the file or the kind. check_image: (h, w, 3) uint8 RGB of
    any size for the bundle's check sample; None: the check image of the included bundle. given: known factor
    and shift that convert scale-free depth or disparity to meters, or None.

    Raises Clip2DepthError, in one sentence, for a file that does not match the kind.
    """
    path = Path(path)
    model, notes = read_graph_file(path)
    image = _the_image(path, model, kind)
    size = _size(path, image, kind, size)
    shapes, values = _inputs(path, model, image, kind, size)
    fix_shapes(path, model, shapes, values)
    wrapped = _wrap(path, model, kind, image.name, shapes[image.name], size, given)
    content = wrapped.SerializeToString()
    if len(content) > LARGEST:
        raise Clip2DepthError(f"{path} gives a model of more than 2 GB, protobuf's limit for one file.")
    sample = _fitted(check_image, size)
    depth = _depth_of_sample(path, content, sample, kind if given is None else None)
    depth_kind = "metric" if given is not None else kind.depth_kind
    std, scale = np.array(kind.std), kind.input_scale
    manifest = Manifest(
        name=name or Path(folder).resolve().name,
        backbone=f"imported: {kind.title}",
        pretrained=f"{path.name}, SHA-256 {_digest(path)}",
        input_height=size[0],
        input_width=size[1],
        mean=tuple((np.array(kind.mean) / scale).tolist()),
        std=tuple((std / scale).tolist()),
        canonical_focal_px=kind.canonical_focal_px,
        depth_min=kind.depth_min,
        depth_max=kind.depth_max,
        trained_on=kind.trained_on,
        licence=kind.licence,
        depth_kind=depth_kind,
        created_with=(
            f"clip2depth_ros {__version__} import, onnx {onnx.__version__}, "
            f"Python {platform.python_version()}"
        ),
    )
    folder = Path(folder).resolve()
    with writing(folder):
        make_folder(folder.parent)
    # Write to a temporary folder first, so that a bundle that fails its self-check leaves the existing folder
    # unchanged. The self-check infers several times, with another image between.
    with (
        tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as trial,
        open_engine(Bundle.write(trial, content, manifest, sample, depth), "openvino"),
    ):
        pass
    return Imported(Bundle.write(folder, content, manifest, sample, depth), notes)


def _the_image(path: Path, model: onnx.ModelProto, kind: Kind) -> onnx.ValueInfoProto:
    """The image input of the model."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    # Old files list their weights as inputs too.
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    listed = ", ".join(described(value) for value in inputs) or "none"
    found = [value for value in inputs if value.name in kind.input]
    if not kind.input and len(inputs) == 1:
        found = inputs
    if not found:
        wanted = " or ".join(kind.input) or "its only input"
        raise Clip2DepthError(
            f"{path} has the inputs {listed}, but the image input of {kind.title} is {wanted}; name it with "
            "--input-name."
        )
    image = found[0]
    # Not from `inputs`: the element in the graph will be changed.
    image = next(value for value in model.graph.input if value.name == image.name)
    shape, kind_of_data = shape_of(image), image.type.tensor_type.elem_type
    planes = len(shape) in (4, 5) and shape[-3] in (3, None) and not (shape[-3] is None and shape[-1] == 3)
    last = len(shape) == 4 and shape[3] == 3
    if not (planes or last) or kind_of_data not in _IMAGES:
        raise Clip2DepthError(
            f"{path} takes {described(image)}, which is not an image with three channels, (1, 3, H, W) or "
            "(1, H, W, 3)."
        )
    return image


def _size(
    path: Path, image: onnx.ValueInfoProto, kind: Kind, asked: tuple[int, int] | None
) -> tuple[int, int]:
    """(height, width) of the image: requested, or from the file, or from the kind."""
    shape = shape_of(image)
    fixed = shape[1:3] if shape[-1] == 3 and len(shape) == 4 else shape[-2:]
    usual = (kind.height or None, kind.width or None)
    height, width = (a or b or c for a, b, c in zip(asked or (None, None), fixed, usual, strict=True))
    if height is None or width is None:
        raise Clip2DepthError(f"{path} accepts images of any size: choose one with --size WxH.")
    size = (height, width)
    for own, wanted in zip(fixed, size, strict=True):
        if own is not None and own != wanted:
            raise Clip2DepthError(
                f"{path} has a fixed image size of {fixed[1]}x{fixed[0]} pixels, not {size[1]}x{size[0]}; "
                "omit --size, or export the network with the size that you need."
            )
    if size[0] % kind.multiple or size[1] % kind.multiple:
        near = [max(1, round(side / kind.multiple)) * kind.multiple for side in size]
        raise Clip2DepthError(
            f"{kind.title} needs sizes that are multiples of {kind.multiple}, not {size[1]}x{size[0]}; "
            f"the nearest is {near[1]}x{near[0]}."
        )
    return size


def _inputs(
    path: Path, model: onnx.ModelProto, image: onnx.ValueInfoProto, kind: Kind, size: tuple[int, int]
) -> tuple[dict[str, list[int]], dict[str, float]]:
    """Shape of the image input by name, and the values of all other inputs."""
    own = shape_of(image)
    last = own[-1] == 3 and len(own) == 4
    shape = [1, *size, 3] if last else [1] * (len(own) - 3) + [3, *size]
    for have, want in zip(own[:-3], shape[:-3], strict=True):
        if have not in (None, want):
            raise Clip2DepthError(
                f"{path} has a batch size of {have} ({described(image)}); export it with batch size 1."
            )
    others = [value for value in model.graph.input if value.name != image.name]
    unknown = [value for value in others if value.name not in kind.constants]
    if unknown:
        raise Clip2DepthError(
            f"{path} has another input, {described(unknown[0])}, that {kind.title} does not define; "
            f"give it a value with --constant {unknown[0].name}=VALUE, or export the network without it."
        )
    return {image.name: shape}, {value.name: kind.constants[value.name] for value in others}


def _wrap(
    path: Path,
    model: onnx.ModelProto,
    kind: Kind,
    image: str,
    shape: list[int],
    size: tuple[int, int],
    given: tuple[float, float] | None,
) -> onnx.ModelProto:
    """The bundle's graph, with the network inside."""
    outputs = {value.name: _static_shape(path, model, value) for value in model.graph.output}
    result = _output(path, outputs, kind.output, "depth", kind)
    factor = _output(path, outputs, kind.factor_output, "a factor", kind) if kind.factor_output else None
    mask = next((name for name in kind.mask if name in outputs), None)
    points = kind.meaning == "affine_points"
    inner, channels_last = _image_size(path, result, outputs[result], points, size)
    masked = None
    if mask is not None:
        masked = (_PREFIX + mask, _image_size(path, mask, outputs[mask], False, size)[0])
    element_type = next(v for v in model.graph.input if v.name == image).type.tensor_type.elem_type
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    compose.add_prefix(model, _PREFIX, inplace=True)
    graph = model.graph
    before = Writer(graph, "bundle/in")
    write_input(before, kind, "image", shape, element_type, _PREFIX + image)
    after = Writer(graph, "bundle/out")
    write_output(
        after,
        kind,
        size,
        _PREFIX + result,
        inner,
        channels_last,
        None if factor is None else _PREFIX + factor,
        masked,
        given,
        "depth",
    )
    nodes = [*before.nodes, *graph.node, *after.nodes]
    del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]
    graph.node.extend(_needed(nodes, "depth"))
    graph.input.append(helper.make_tensor_value_info("image", TensorProto.UINT8, [1, *size, 3]))
    graph.output.append(helper.make_tensor_value_info("depth", TensorProto.FLOAT, [1, *size]))
    graph.doc_string = ""
    used = {name for node in graph.node for name in node.input}
    weights = [tensor for tensor in graph.initializer if tensor.name in used]
    if not any(entry.type in (onnx.AttributeProto.GRAPH,) for node in graph.node for entry in node.attribute):
        del graph.initializer[:]
        graph.initializer.extend(weights)
    model.ir_version = max(8, model.ir_version) if opset <= 20 else model.ir_version
    fold_constants(model)
    try:
        onnx.checker.check_model(model)
    except Exception as error:
        raise Clip2DepthError(f"{path} does not give a valid bundle ({first_line(error)}).") from None
    return model


def _needed(nodes: list[onnx.NodeProto], output: str) -> list[onnx.NodeProto]:
    """The nodes that the output depends on, in their order; other outputs of the network are dropped."""
    wanted, kept = {output}, []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted.update(node.input)
            for entry in node.attribute:
                for inner in [entry.g] if entry.type == onnx.AttributeProto.GRAPH else []:
                    wanted.update(name for n in inner.node for name in n.input)
    return kept[::-1]


def _static_shape(path: Path, model: onnx.ModelProto, value: onnx.ValueInfoProto) -> list[int | None]:
    """An output's shape from onnx, or from OpenVINO if onnx cannot infer it."""
    if value.type.tensor_type.HasField("shape") and None not in (shape := shape_of(value)):
        return shape
    try:
        read = openvino_core().read_model(model.SerializeToString())
    except RuntimeError as error:
        raise Clip2DepthError(f"OpenVINO cannot read {path} ({_last_line(error)}).") from None
    port = next(port for port in read.outputs if value.name in port.get_names())
    return [n.get_length() if n.is_static else None for n in port.partial_shape]


def _output(path: Path, outputs: dict, names: tuple[str, ...], what: str, kind: Kind) -> str:
    found = next((name for name in names if name in outputs), None)
    if found is None and not names and len(outputs) == 1:
        found = next(iter(outputs))
    if found is None:
        listed = ", ".join(f"{name} {shape}" for name, shape in outputs.items())
        raise Clip2DepthError(
            f"{path} has the outputs {listed}, but {kind.title} has {what} in "
            f"{' or '.join(names) or 'its only output'}; "
            "name it with --output-name."
        )
    return found


def _image_size(
    path: Path, name: str, shape: list[int | None], points: bool, size: tuple[int, int]
) -> tuple[tuple[int, int], bool]:
    """(h, w) of an output, and whether the three coordinates are the last axis."""
    sides = [n for n in shape if n != 1]
    what = "points (1, H, W, 3) or (1, 3, H, W)" if points else "depth (1, H, W)"
    channels_last = False
    if points and len(sides) == 3 and 3 in (sides[0], sides[2]):
        channels_last = sides[2] == 3
        sides = sides[:2] if channels_last else sides[1:]
    elif points:
        sides = []
    height, width = sides if len(sides) == 2 else (None, None)
    if height is None or width is None:
        raise Clip2DepthError(
            f"{path}: output {name} has the shape {shape}, which is not {what}: this is not a depth network, "
            "or the depth is another output (--output-name)."
        )
    if abs(height / width * size[1] / size[0] - 1) > 0.1:
        raise Clip2DepthError(
            f"{path}: output {name} has the shape {shape}, whose aspect ratio differs from the image's, "
            f"{size[1]}x{size[0]}."
        )
    return (height, width), channels_last


def _depth_of_sample(path: Path, content: bytes, sample: np.ndarray, kind: Kind | None) -> np.ndarray:
    """(H, W) float32, computed by OpenVINO on the CPU in float32."""
    core = openvino_core()
    try:
        read = core.read_model(content, b"")
        compiled = core.compile_model(read, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        depth = np.array(compiled(sample[None])[0])[0]
    except RuntimeError as error:
        raise Clip2DepthError(f"OpenVINO cannot run {path} ({_last_line(error)}).") from None
    known = np.isfinite(depth) & (depth > 0)
    if not known.any():
        raise Clip2DepthError(
            f"{path} gives no depth on the check sample: every pixel is masked, zero, negative or not a "
            "number; does --as name the correct kind of network?"
        )
    if kind is not None and kind.meaning in ("metres", "inverse_metres", "affine_points"):
        inside = known & (depth >= kind.depth_min * 0.99) & (depth <= kind.depth_max * 1.01)
        if not inside.any():
            raise Clip2DepthError(
                f"{path} gives {np.median(depth[known]):.3g} on the check sample, but {kind.title} gives "
                f"{kind.depth_min:g} to {kind.depth_max:g} meters: this is another kind of network."
            )
    return depth.astype(np.float32)


def _fitted(image: np.ndarray | None, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8: the check image letterboxed to the network's size."""
    if image is None:
        image = open_bundle(Path(__file__).parents[1] / "bundle" / "bundles" / "mini").check()[0]
    box = Letterbox((image.shape[1], image.shape[0]), size[1], size[0])
    return box.letterbox(image, np.empty((*size, 3), np.uint8))


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else type(error).__name__
