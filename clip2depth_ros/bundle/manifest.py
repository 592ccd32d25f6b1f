# SPDX-License-Identifier: Apache-2.0
"""The metadata of a bundle: manifest.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from clip2depth_ros.errors import Clip2DepthError, printable
from clip2depth_ros.files.bounded import reason_of

FORMAT_VERSION = 1

# Largest width and height of a network's input, pixels. Networks that run on robots have smaller inputs.
MAX_INPUT = 2048

# Largest number of meters, pixels and pixel values; float32 represents it too.
MAX_NUMBER = 1e9

# Largest tolerance of the self-check of int8; an engine that computes wrongly is off by tens of percent.
MAX_INT8_TOLERANCE = 0.15

DEPTH_KINDS = ("metric", "scale_free", "affine_inverse")
"""The kinds of a model's output; see Manifest.depth_kind."""


@dataclass(frozen=True, kw_only=True)
class Quantized:
    """The metadata of model_int8.onnx, the same network in 8 bits. Raises Clip2DepthError for an invalid
    value."""

    sha256: str = ""
    """SHA-256 of model_int8.onnx, hexadecimal; filled by Bundle.write."""
    tolerance: float
    """Largest difference of its depth from the check sample's, relative, 99th percentile."""
    deviation: dict[str, float]
    """Mean of |depth - model.onnx's depth| / model.onnx's depth, by kind of scene, on images that were used
    neither for its calibration nor for the choice of its float32 layers."""
    created_with: str = ""
    """Program, versions and calibration that it was made with."""

    def __post_init__(self) -> None:
        for name in ("sha256", "created_with"):
            if not isinstance(getattr(self, name), str):
                raise Clip2DepthError(f"int8.{name} must be text, it is {_shown(getattr(self, name))}.")
        tolerance = _number("int8.tolerance", self.tolerance)
        if not 0 < tolerance <= MAX_INT8_TOLERANCE:
            raise Clip2DepthError(
                f"int8.tolerance must be above 0 and at most {MAX_INT8_TOLERANCE:g}, it is {tolerance:g}."
            )
        object.__setattr__(self, "tolerance", tolerance)
        if not isinstance(self.deviation, Mapping):
            raise Clip2DepthError(
                f"int8.deviation must be a table of names and numbers, it is {_shown(self.deviation)}."
            )
        values = {str(kind): _number("int8.deviation", value) for kind, value in self.deviation.items()}
        object.__setattr__(self, "deviation", values)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The metadata of a bundle. Raises Clip2DepthError for a missing, unknown or invalid entry."""

    name: str
    """Name of the bundle and of its folder."""
    backbone: str
    """open_clip's name of the image and text towers."""
    pretrained: str
    """open_clip's tag of the towers' weights, or their origin."""
    input_height: int
    """Network input, pixels."""
    input_width: int
    """Network input, pixels."""
    mean: tuple[float, float, float]
    """RGB, 0..1; applied inside the model, listed here for information."""
    std: tuple[float, float, float]
    """RGB, 0..1; applied inside the model, listed here for information."""
    canonical_focal_px: float | None
    """Focal length fx, pixels, of the network's input image for which the model's depth is in meters; None
    when the depth is used unchanged."""
    depth_min: float
    """Meters at the canonical focal length; nearer output is invalid."""
    depth_max: float
    """Meters at the canonical focal length; farther output is invalid."""
    trained_on: str
    """The training data, as text."""
    errors: dict[str, Any] = field(default_factory=dict)
    """Measured errors, by data set."""
    licence: str
    """License of the weights: SPDX identifier or text."""
    model_sha256: str = ""
    """SHA-256 of model.onnx, hexadecimal; filled by Bundle.write."""
    created_with: str = ""
    """Program and versions that wrote the bundle."""
    depth_kind: str = "metric"
    """The kind of output. metric: depth, meters. scale_free: depth up to an unknown factor. affine_inverse: a
    disparity d, larger is nearer, with 1 / meters = factor * d + shift, both unknown; depth_min and depth_max
    then apply to the resulting meters."""
    int8: Quantized | None = None
    """Metadata of model_int8.onnx; None when the bundle has none."""
    format_version: int = FORMAT_VERSION
    """Version of this layout; a reader rejects unknown versions."""

    def __post_init__(self) -> None:
        if self.format_version != FORMAT_VERSION:
            raise Clip2DepthError(
                f"bundle format version {_shown(self.format_version)} is not known, this program reads "
                f"version {FORMAT_VERSION}; update clip2depth_ros or export the bundle again."
            )
        for name in (
            "name",
            "backbone",
            "pretrained",
            "trained_on",
            "licence",
            "model_sha256",
            "created_with",
        ):
            if not isinstance(getattr(self, name), str):
                raise Clip2DepthError(f"{name} must be text, it is {_shown(getattr(self, name))}.")
        if not self.name or "/" in self.name:
            raise Clip2DepthError(f"name must be a plain name, it is {_shown(self.name)}.")
        for name in ("input_height", "input_width"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= MAX_INPUT:
                raise Clip2DepthError(
                    f"{name} must be a positive whole number, at most {MAX_INPUT} pixels, it is "
                    f"{_shown(value)}."
                )
        for name in ("mean", "std"):
            value = tuple(_number(name, v) for v in _sequence(name, getattr(self, name)))
            if len(value) != 3:
                raise Clip2DepthError(f"{name} takes three numbers (red, green, blue), not {len(value)}.")
            object.__setattr__(self, name, value)
        for name in ("depth_min", "depth_max"):
            object.__setattr__(self, name, _number(name, getattr(self, name)))
        if not 0 <= self.depth_min < self.depth_max:
            raise Clip2DepthError(
                f"the depth range must be positive and rising, it is {self.depth_min:g} .. "
                f"{self.depth_max:g} m."
            )
        if self.canonical_focal_px is not None:
            focal = _number("canonical_focal_px", self.canonical_focal_px)
            if focal <= 0:
                raise Clip2DepthError(f"canonical_focal_px must be positive or null, it is {focal:g}.")
            object.__setattr__(self, "canonical_focal_px", focal)
        if self.depth_kind not in DEPTH_KINDS:
            raise Clip2DepthError(
                f"depth_kind must be {', '.join(DEPTH_KINDS[:-1])} or {DEPTH_KINDS[-1]}, it is "
                f"{self.depth_kind!r}."
            )
        if self.depth_kind == "affine_inverse" and self.canonical_focal_px is not None:
            raise Clip2DepthError(
                "a disparity with an unknown factor takes no canonical_focal_px; leave it null."
            )
        if self.int8 is not None and not isinstance(self.int8, Quantized):
            object.__setattr__(self, "int8", _quantized(self.int8))
        if not isinstance(self.errors, Mapping):
            raise Clip2DepthError(f"errors must be a table of names and values, it is {_shown(self.errors)}.")

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Read the text of manifest.json. Raises Clip2DepthError; the caller adds the name of the file."""
        try:
            content = json.loads(text)
        except Exception as error:  # syntax, nesting, numbers with more digits than Python reads
            raise Clip2DepthError(f"not valid JSON: {reason_of(error)}.") from None
        if not isinstance(content, dict):
            raise Clip2DepthError("not a JSON object.")
        # The version is checked first, because the meaning of the other entries depends on it.
        if content.get("format_version") != FORMAT_VERSION:
            raise Clip2DepthError(
                f"bundle format version {_shown(content.get('format_version'))} is not known, this program "
                f"reads version {FORMAT_VERSION}; update clip2depth_ros or export the bundle again."
            )
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(content) - known):
            raise Clip2DepthError(f"unknown entries: {printable(', '.join(unknown), 200)}.")
        optional = {"errors", "model_sha256", "created_with", "depth_kind", "int8"}
        if missing := sorted(known - optional - set(content)):
            raise Clip2DepthError(f"missing entries: {', '.join(missing)}.")
        return cls(**content)

    def to_json(self) -> str:
        """The text of manifest.json."""
        content = {"format_version": self.format_version} | asdict(self)
        if self.int8 is None:  # older programs, which do not know int8, can then read the bundle
            del content["int8"]
        return json.dumps(content, indent=2, allow_nan=False) + "\n"


def _quantized(content: Any) -> Quantized:
    if not isinstance(content, Mapping):
        raise Clip2DepthError(f"int8 must be a table of names and values, it is {_shown(content)}.")
    known = {f.name for f in fields(Quantized)}
    if unknown := sorted(str(name) for name in set(content) - known):
        raise Clip2DepthError(f"unknown entries of int8: {printable(', '.join(unknown), 200)}.")
    if missing := sorted({"sha256", "tolerance", "deviation"} - set(content)):
        raise Clip2DepthError(f"missing entries of int8: {', '.join(missing)}.")
    return Quantized(**content)


def _number(name: str, value: Any) -> float:
    # Comparisons with NaN are false, and comparisons with integers of any length are exact.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= MAX_NUMBER:
        raise Clip2DepthError(f"{name} must be a finite number, it is {_shown(value)}.")
    return float(value)


def _sequence(name: str, value: Any) -> tuple:
    if not isinstance(value, (list, tuple)):
        raise Clip2DepthError(f"{name} must be a list of numbers, it is {_shown(value)}.")
    return tuple(value)


def _shown(value: Any) -> str:
    try:
        return printable(repr(value))
    except (ValueError, RecursionError):  # an integer with more digits than Python writes, or nesting
        return f"a {type(value).__name__} that cannot be written"
