# SPDX-License-Identifier: Apache-2.0
"""The pinhole camera: its numbers, how they follow the image, and its rays. Plain floats, no ROS types.

Pixel (0, 0) is the centre of the top-left pixel, as in ROS and OpenCV. An image therefore spans
-0.5 .. width - 0.5, and resizing by s maps a coordinate u to (u + 0.5) * s - 0.5.
"""

from __future__ import annotations

import json
import math
import numbers
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clip2depth_ros.errors import Clip2DepthError, printable
from clip2depth_ros.files.bounded import parse_yaml, read_bounded, reason_of
from clip2depth_ros.files.replacing import write_whole

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)

# Bytes. A calibration takes one or two thousand, and YAML is read slowly.
MAX_CAMERA_FILE = 2**16

# What a camera can be. Numbers beyond come from a wrong unit, a typing error or a damaged file, and depth and
# points that are computed with them are wrong by as much.
MAX_SIDE = 65536
"""Pixels."""
MAX_SLOPE = 20.0
"""Of the ray of any pixel, x / z and y / z: 87 degrees from the optical axis. It bounds the field of view
from above, and how far outside the image the principal point may lie."""
MIN_SLOPE = 1 / 120
"""Between the borders of the image's wider direction: a field of view of half a degree."""
MAX_ASPECT = 5.0
"""Of fx and fy. Images of a camera that were resized to another shape have up to about 3."""

# How many coefficients each distortion model may have, as CameraInfo and OpenCV count them.
DISTORTION_LENGTHS = {"plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,)}


@dataclass(frozen=True, slots=True)
class Camera:
    """A calibrated camera.

    Raises Clip2DepthError when a number is none, not finite or beyond what a camera can be (MAX_SIDE to
    MAX_ASPECT), or the distortion is not one that can be rectified.
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
        for name in ("width", "height"):
            object.__setattr__(self, name, _pixels(name, getattr(self, name)))
        for name in ("fx", "fy", "cx", "cy"):
            object.__setattr__(self, name, _finite(name, getattr(self, name)))
        if self.fx <= 0 or self.fy <= 0:
            raise Clip2DepthError(
                f"Camera: focal lengths must be positive, they are fx={self.fx:g} fy={self.fy:g}; "
                "is the camera calibrated?"
            )
        self._check_view(*self._intrinsics)
        distortion = tuple(_finite("distortion", d) for d in self.distortion)
        object.__setattr__(self, "distortion", distortion if any(distortion) else ())
        if self.distortion:
            lengths = DISTORTION_LENGTHS.get(self.distortion_model)
            if lengths is None:
                raise Clip2DepthError(
                    f"Camera: distortion model '{printable(self.distortion_model)}' is not known; "
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
            if not (np.abs(matrix).max() < 2 and np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-3)):
                raise Clip2DepthError("Camera: rectification is not a rotation matrix.")
            identity = np.allclose(matrix, np.eye(3), atol=1e-9)
            object.__setattr__(self, "rectification", None if identity else rotation)
        if self.projection is not None:
            projection = tuple(_finite("projection", p) for p in self.projection)
            if len(projection) != 4 or projection[0] <= 0 or projection[1] <= 0:
                raise Clip2DepthError("Camera: projection takes fx, fy, cx, cy with positive focal lengths.")
            self._check_view(*projection)
            # Without anything to rectify there is no rectified image that it would be the projection of.
            object.__setattr__(self, "projection", None if self.is_rectified else projection)

    def _check_view(self, fx: float, fy: float, cx: float, cy: float) -> None:
        """Raises Clip2DepthError for intrinsics, in pixels, that no camera with an image of this size has."""
        self._check_rays(fx, fy, cx, cy)
        if not 1 / MAX_ASPECT <= fx / fy <= MAX_ASPECT:
            raise Clip2DepthError(
                f"Camera: fx={fx:g} and fy={fy:g} differ by more than a factor of {MAX_ASPECT:g}; check the "
                "calibration."
            )
        if not max(self.width / fx, self.height / fy) >= MIN_SLOPE:
            raise Clip2DepthError(
                f"Camera: fx={fx:g} fy={fy:g} for {self.width}x{self.height} pixels is a field of view of "
                "less than half a degree; check the calibration."
            )

    def _check_rays(self, fx: float, fy: float, cx: float, cy: float) -> None:
        across = max(abs(-0.5 - cx), abs(self.width - 0.5 - cx)) / fx
        down = max(abs(-0.5 - cy), abs(self.height - 0.5 - cy)) / fy
        if not max(across, down) <= MAX_SLOPE:
            raise Clip2DepthError(
                f"Camera: by fx={fx:g} fy={fy:g} cx={cx:g} cy={cy:g}, in pixels, a part of the {self.width}x"
                f"{self.height} image lies more than 87 degrees from the optical axis; check the calibration."
            )

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
        except Exception as error:  # a field is of another type than a camera's
            raise Clip2DepthError(
                f"The camera file {path} does not describe a camera: {reason_of(error)}."
            ) from None

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

    def to_json(self) -> str:
        """The JSON form that from_file reads."""
        fields = {key: value for key, value in asdict(self).items() if value not in (None, ())}
        return json.dumps(fields, indent=2) + "\n"

    def to_file(self, path: str | Path) -> None:
        """Write the JSON form that from_file reads. Raises Clip2DepthError where it cannot be written."""
        write_whole(path, self.to_json())

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
        """The camera of the same image resized to width x height, which may stretch it by any factor."""
        sx, sy = width / self.width, height / self.height

        def resized(fx: float, fy: float, cx: float, cy: float) -> tuple[float, float, float, float]:
            return fx * sx, fy * sy, (cx + 0.5) * sx - 0.5, (cy + 0.5) * sy - 0.5

        return self._with_intrinsics(width, height, resized)

    def cropped(self, x: int, y: int, width: int, height: int) -> Camera:
        """The camera of the window whose top-left pixel is (x, y); negative x, y mean a border.

        Raises Clip2DepthError for a window that lies where no camera looks.
        """

        def moved(fx: float, fy: float, cx: float, cy: float) -> tuple[float, float, float, float]:
            return fx, fy, cx - x, cy - y

        window = self._with_intrinsics(width, height, moved)
        for intrinsics in (window._intrinsics, window.projection):
            if intrinsics is not None:
                window._check_rays(*intrinsics)
        return window

    @property
    def _intrinsics(self) -> tuple[float, float, float, float]:
        return self.fx, self.fy, self.cx, self.cy

    def _with_intrinsics(self, width: int, height: int, change: Callable[..., tuple]) -> Camera:
        """A copy; not made anew, because what a camera can be does not bound its stretched or cut image."""
        camera = copy(self)
        fields = zip(("fx", "fy", "cx", "cy"), change(*self._intrinsics), strict=True)
        projection = change(*self.projection) if self.projection else None
        sizes = {"width": _pixels("width", width), "height": _pixels("height", height)}
        for name, value in (dict(fields) | sizes | {"projection": projection}).items():
            object.__setattr__(camera, name, value)
        return camera

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
        text = read_bounded(path, MAX_CAMERA_FILE).decode()
    except Clip2DepthError as error:
        raise Clip2DepthError(f"The camera file {error}") from None
    except UnicodeDecodeError:
        raise Clip2DepthError(f"The camera file {path} is no UTF-8 text.") from None
    name, parse = ("YAML", parse_yaml) if path.suffix.lower() in (".yaml", ".yml") else ("JSON", json.loads)
    try:
        fields = parse(text)
    except Exception as error:  # syntax, nesting, numbers and dates that Python has not
        raise Clip2DepthError(f"The camera file {path} is not valid {name}: {reason_of(error)}.") from None
    if not isinstance(fields, Mapping):
        raise Clip2DepthError(f"The camera file {path} does not describe a camera: no named fields in it.")
    return fields


def _pixels(name: str, value: Any) -> int:
    # Comparisons with NaN are false, and those with an integer of any length are exact.
    if not (isinstance(value, numbers.Real) and 1 <= value <= MAX_SIDE and value == int(value)):
        raise Clip2DepthError(
            f"Camera: the size must be positive and whole, at most {MAX_SIDE} pixels a side; its {name} is "
            f"{_shown(value)}."
        )
    return int(value)


def _finite(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise Clip2DepthError(f"Camera: {name} must be a number, it is {_shown(value)}.") from None
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise Clip2DepthError(f"Camera: {name} must be finite, it is {number}.")
    return number


def _shown(value: Any) -> str:
    """A value of a file, or its type where its text may be long."""
    if isinstance(value, (bool, float, str)) or (isinstance(value, int) and abs(value) < 10**18):
        return printable(repr(value))
    return f"of the type {type(value).__name__}"
