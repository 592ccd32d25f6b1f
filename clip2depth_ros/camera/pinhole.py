# SPDX-License-Identifier: Apache-2.0
"""The pinhole camera: its numbers, how they follow the image, and its rays. Plain floats, no ROS types.

Pixel (0, 0) is the centre of the top-left pixel, as in ROS and OpenCV. An image therefore spans
-0.5 .. width - 0.5, and resizing by s maps a coordinate u to (u + 0.5) * s - 0.5.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from clip2depth_ros.errors import Clip2DepthError

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)

# How many coefficients each distortion model may have, as CameraInfo and OpenCV count them.
DISTORTION_LENGTHS = {"plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,)}


@dataclass(frozen=True, slots=True)
class Camera:
    """A calibrated camera.

    Raises Clip2DepthError when a size or a focal length is not positive, a number is not finite, or the
    distortion is not one that can be rectified.
    """

    width: int
    """Pixels."""
    height: int
    """Pixels."""
    fx: float
    """Focal length, pixels."""
    fy: float
    """Focal length, pixels."""
    cx: float
    """Principal point, pixels."""
    cy: float
    """Principal point, pixels."""
    distortion: tuple[float, ...] = ()
    """Coefficients in the order of CameraInfo.d; empty or all zero = none."""
    distortion_model: str = "plumb_bob"
    """plumb_bob, rational_polynomial or equidistant."""
    rectification: tuple[float, ...] | None = None
    """Row-major 3x3 rotation from the camera to its rectified frame (CameraInfo.r); None = identity."""
    projection: tuple[float, float, float, float] | None = None
    """fx, fy, cx, cy of the rectified image (from CameraInfo.p), pixels; None = the camera's own."""

    def __post_init__(self) -> None:
        if (
            not (self.width == int(self.width) and self.height == int(self.height))
            or min(self.width, self.height) <= 0
        ):
            raise Clip2DepthError(f"Camera: the size must be positive, it is {self.width}x{self.height}.")
        object.__setattr__(self, "width", int(self.width))
        object.__setattr__(self, "height", int(self.height))
        for name in ("fx", "fy", "cx", "cy"):
            object.__setattr__(self, name, _finite(name, getattr(self, name)))
        if self.fx <= 0 or self.fy <= 0:
            raise Clip2DepthError(
                f"Camera: focal lengths must be positive, they are fx={self.fx:g} fy={self.fy:g}; "
                "is the camera calibrated?"
            )
        distortion = tuple(_finite("distortion", d) for d in self.distortion)
        object.__setattr__(self, "distortion", distortion if any(distortion) else ())
        if self.distortion:
            lengths = DISTORTION_LENGTHS.get(self.distortion_model)
            if lengths is None:
                raise Clip2DepthError(
                    f"Camera: distortion model '{self.distortion_model}' is not known; "
                    f"known are {', '.join(DISTORTION_LENGTHS)}."
                )
            if len(self.distortion) not in lengths:
                raise Clip2DepthError(
                    f"Camera: {self.distortion_model} takes {' or '.join(map(str, lengths))} distortion "
                    f"coefficients, not {len(self.distortion)}."
                )
        if self.rectification is not None:
            rotation = tuple(_finite("rectification", r) for r in self.rectification)
            if len(rotation) != 9:
                raise Clip2DepthError(f"Camera: rectification takes 9 numbers, not {len(rotation)}.")
            matrix = np.array(rotation).reshape(3, 3)
            if not np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-3):
                raise Clip2DepthError("Camera: rectification is not a rotation matrix.")
            identity = np.allclose(matrix, np.eye(3), atol=1e-9)
            object.__setattr__(self, "rectification", None if identity else rotation)
        if self.projection is not None:
            projection = tuple(_finite("projection", p) for p in self.projection)
            if len(projection) != 4 or projection[0] <= 0 or projection[1] <= 0:
                raise Clip2DepthError("Camera: projection takes fx, fy, cx, cy with positive focal lengths.")
            # Without anything to rectify there is no rectified image that it would be the projection of.
            object.__setattr__(self, "projection", None if self.is_rectified else projection)

    @classmethod
    def from_fov(cls, width: int, height: int, horizontal_fov: float) -> Camera:
        """An ideal camera with square pixels that looks through its image's middle.

        horizontal_fov is the angle between the image's left and right border, radians.
        """
        if not 0 < horizontal_fov < math.pi:
            raise Clip2DepthError(
                f"horizontal_fov must lie between 0 and pi radians, it is {horizontal_fov:g} "
                "(degrees need to be multiplied by 0.01745)."
            )
        focal = width / 2 / math.tan(horizontal_fov / 2)
        return cls(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)

    @classmethod
    def from_file(cls, path: str | Path) -> Camera:
        """Read a JSON file with fx fy cx cy width height, or a ROS camera calibration YAML."""
        fields = _read_fields(Path(path))
        try:
            return cls._from_calibration(fields) if "camera_matrix" in fields else cls._from_fields(fields)
        except Clip2DepthError as error:
            raise Clip2DepthError(f"{path}: {error}") from None
        except KeyError as error:
            raise Clip2DepthError(f"The camera file {path} has no {error.args[0]}.") from None
        except TypeError as error:
            raise Clip2DepthError(f"The camera file {path} does not describe a camera: {error}.") from None

    @classmethod
    def _from_fields(cls, fields: Mapping) -> Camera:
        return cls(
            width=fields["width"],
            height=fields["height"],
            fx=fields["fx"],
            fy=fields["fy"],
            cx=fields["cx"],
            cy=fields["cy"],
            distortion=tuple(fields.get("distortion") or ()),
            distortion_model=fields.get("distortion_model", "plumb_bob"),
            rectification=fields.get("rectification"),
            projection=fields.get("projection"),
        )

    @classmethod
    def _from_calibration(cls, fields: Mapping) -> Camera:
        """The fields of a camera_calibration (camera_info_manager) YAML file."""
        k = fields["camera_matrix"]["data"]
        if len(k) != 9:
            raise Clip2DepthError(f"camera_matrix takes 9 numbers, not {len(k)}.")
        p = (fields.get("projection_matrix") or {}).get("data")
        return cls(
            width=fields["image_width"],
            height=fields["image_height"],
            fx=k[0],
            fy=k[4],
            cx=k[2],
            cy=k[5],
            distortion=tuple((fields.get("distortion_coefficients") or {}).get("data") or ()),
            distortion_model=fields.get("distortion_model", "plumb_bob"),
            rectification=(fields.get("rectification_matrix") or {}).get("data"),
            projection=(p[0], p[5], p[2], p[6]) if p and len(p) == 12 and p[0] and p[5] else None,
        )

    def to_file(self, path: str | Path) -> None:
        """Write the JSON form that from_file reads."""
        fields = {key: value for key, value in asdict(self).items() if value not in (None, ())}
        Path(path).write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")

    @property
    def size(self) -> tuple[int, int]:
        """(width, height), pixels."""
        return self.width, self.height

    @property
    def horizontal_fov(self) -> float:
        """Angle between the left and right border of an undistorted image, radians."""
        left, right = self.cx + 0.5, self.width - 0.5 - self.cx
        return math.atan2(left, self.fx) + math.atan2(right, self.fx)

    @property
    def matrix(self) -> np.ndarray:
        """(3, 3) float64 intrinsic matrix K."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], np.float64)

    @property
    def is_rectified(self) -> bool:
        """True when the image is a pinhole image already: no distortion and no rotation to apply."""
        return not self.distortion and self.rectification is None

    def undistorted(self) -> Camera:
        """The camera of the rectified image: no distortion, no rotation, the same size.

        Its intrinsics are `projection` where given, else the camera's own.
        """
        fx, fy, cx, cy = self.projection or (self.fx, self.fy, self.cx, self.cy)
        return Camera(self.width, self.height, fx, fy, cx, cy)

    def scaled(self, width: int, height: int) -> Camera:
        """The camera of the same image resized to width x height."""
        sx, sy = width / self.width, height / self.height

        def resized(fx: float, fy: float, cx: float, cy: float) -> tuple[float, float, float, float]:
            return fx * sx, fy * sy, (cx + 0.5) * sx - 0.5, (cy + 0.5) * sy - 0.5

        return self._with_intrinsics(width, height, resized)

    def cropped(self, x: int, y: int, width: int, height: int) -> Camera:
        """The camera of the window whose top-left pixel is (x, y); negative x, y mean a border."""

        def moved(fx: float, fy: float, cx: float, cy: float) -> tuple[float, float, float, float]:
            return fx, fy, cx - x, cy - y

        return self._with_intrinsics(width, height, moved)

    def _with_intrinsics(self, width: int, height: int, change) -> Camera:
        fx, fy, cx, cy = change(self.fx, self.fy, self.cx, self.cy)
        projection = change(*self.projection) if self.projection else None
        return replace(self, width=width, height=height, fx=fx, fy=fy, cx=cx, cy=cy, projection=projection)

    def axes(self) -> tuple[np.ndarray, np.ndarray]:
        """x / z of every column, (W,) float32, and y / z of every row, (H,) float32.

        Raises Clip2DepthError for an unrectified camera, whose rays are no such grid.
        """
        if not self.is_rectified:
            raise Clip2DepthError("Rays need a rectified camera; rectify the image and use undistorted().")
        x = (np.arange(self.width) - self.cx) / self.fx
        y = (np.arange(self.height) - self.cy) / self.fy
        return x.astype(np.float32), y.astype(np.float32)

    def rays(self) -> np.ndarray:
        """(H, W, 3) float32: the direction of every pixel, scaled to z = 1, optical frame."""
        x, y = self.axes()
        rays = np.ones((self.height, self.width, 3), np.float32)
        rays[..., 0] = x
        rays[..., 1] = y[:, None]
        return rays


def _read_fields(path: Path) -> Mapping:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Clip2DepthError(f"Cannot read the camera file {path}: {error}.") from None
    if path.suffix.lower() in (".yaml", ".yml"):
        import yaml

        try:
            fields = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise Clip2DepthError(f"The camera file {path} is not valid YAML: {error}.") from None
    else:
        try:
            fields = json.loads(text)
        except json.JSONDecodeError as error:
            raise Clip2DepthError(f"The camera file {path} is not valid JSON: {error}.") from None
    if not isinstance(fields, Mapping):
        raise Clip2DepthError(f"The camera file {path} does not describe a camera: no named fields in it.")
    return fields


def _finite(name: str, value: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise Clip2DepthError(f"Camera: {name} must be a number, it is {value!r}.") from None
    if not math.isfinite(number):
        raise Clip2DepthError(f"Camera: {name} must be finite, it is {number}.")
    return number
