# SPDX-License-Identifier: Apache-2.0
"""The pinhole camera: parameters, their change under resizing and cropping, and rays. No ROS types.

Pixel (0, 0) is the center of the top-left pixel, as in ROS and OpenCV. An image therefore spans
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

# Bytes. A calibration has one or two thousand, and the YAML parser is slow.
MAX_CAMERA_FILE = 2**16

# Limits of a camera's parameters. Values beyond them come from a wrong unit, a typing error or a damaged
# file, and would make depth and points wrong.
MAX_SIDE = 65536
"""Pixels."""
MAX_SLOPE = 20.0
"""Largest x / z and y / z of any pixel's ray: 87 degrees from the optical axis. It limits the field of view,
and the distance of the principal point from the image."""
MIN_SLOPE = 1 / 120
"""Least x / z or y / z between opposite borders, in the wider direction: a field of view of half a degree."""
MAX_ASPECT = 5.0
"""Largest ratio of fx and fy. A camera whose images are resized to another aspect ratio reaches about 3."""

# Number of coefficients of each distortion model, as in CameraInfo and OpenCV.
DISTORTION_LENGTHS = {"plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,)}


@dataclass(frozen=True, slots=True)
class Camera:
    """A calibrated camera.

    Raises Clip2DepthError when a value is not a number, not finite or outside the limits (MAX_SIDE to
    MAX_ASPECT), or when the distortion is not supported.
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
                    f"Camera: distortion model '{printable(self.distortion_model)}' is not supported; "
                    f"supported are {', '.join(DISTORTION_LENGTHS)}."
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
            # A projection belongs to a rectified image; without rectification there is none.
            object.__setattr__(self, "projection", None if self.is_rectified else projection)

    def _check_view(self, fx: float, fy: float, cx: float, cy: float) -> None:
        """Raises Clip2DepthError for intrinsics, in pixels, that are impossible for an image of this size."""
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
                f"Camera: with fx={fx:g} fy={fy:g} cx={cx:g} cy={cy:g}, in pixels, a part of the "
                f"{self.width}x{self.height} image is over 87 degrees from the optical axis; check the "
                "calibration."
            )

    @classmethod
    def from_fov(cls, width: int, height: int, horizontal_fov: float) -> Camera:
        """A camera with square pixels, the principal point in the image's center and no distortion.

        horizontal_fov: angle between the image's left and right border, radians.
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
        """Read a JSON file with fx fy cx cy width height, or a ROS camera calibration YAML.

        Raises Clip2DepthError, which names the file.
        """
        fields = _read_fields(Path(path))
        try:
            return cls._from_calibration(fields) if "camera_matrix" in fields else cls._from_fields(fields)
        except Clip2DepthError as error:
            raise Clip2DepthError(f"{path}: {error}") from None
        except KeyError as error:
            raise Clip2DepthError(f"The camera file {path} has no field {error.args[0]}.") from None
        except Exception as error:  # a field has a wrong type
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
        """The camera of the fields of a camera_calibration (camera_info_manager) YAML file."""
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
        """Write the JSON form that from_file reads. Raises Clip2DepthError when writing fails."""
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
        """True when there is no distortion and no rotation to correct."""
        return not self.distortion and self.rectification is None

    def undistorted(self) -> Camera:
        """The camera of the rectified image: no distortion, no rotation, the same size.

        Its intrinsics are `projection` if given, otherwise the camera's own.
        """
        fx, fy, cx, cy = self.projection or (self.fx, self.fy, self.cx, self.cy)
        return Camera(self.width, self.height, fx, fy, cx, cy)

    def scaled(self, width: int, height: int) -> Camera:
        """The camera of the image resized to width x height; the aspect ratio may change."""
        sx, sy = width / self.width, height / self.height

        def resized(fx: float, fy: float, cx: float, cy: float) -> tuple[float, float, float, float]:
            return fx * sx, fy * sy, (cx + 0.5) * sx - 0.5, (cy + 0.5) * sy - 0.5

        return self._with_intrinsics(width, height, resized)

    def cropped(self, x: int, y: int, width: int, height: int) -> Camera:
        """The camera of the window whose top-left pixel is (x, y); negative x, y add a border.

        Raises Clip2DepthError for a window with rays beyond MAX_SLOPE.
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
        """A copy, without the constructor's checks:
        their limits do not hold for a resized or cropped image."""
        camera = copy(self)
        fields = zip(("fx", "fy", "cx", "cy"), change(*self._intrinsics), strict=True)
        projection = change(*self.projection) if self.projection else None
        sizes = {"width": _pixels("width", width), "height": _pixels("height", height)}
        for name, value in (dict(fields) | sizes | {"projection": projection}).items():
            object.__setattr__(camera, name, value)
        return camera

    def axes(self) -> tuple[np.ndarray, np.ndarray]:
        """x / z of every column, (W,) float32, and y / z of every row, (H,) float32.

        Raises Clip2DepthError for an unrectified camera, whose rays do not form such a grid.
        """
        if not self.is_rectified:
            raise Clip2DepthError("Rays need a rectified camera; rectify the image and use undistorted().")
        x = (np.arange(self.width) - self.cx) / self.fx
        y = (np.arange(self.height) - self.cy) / self.fy
        return x.astype(np.float32), y.astype(np.float32)

    def rays(self) -> np.ndarray:
        """(H, W, 3) float32: the ray of every pixel, scaled to z = 1, optical frame."""
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
        raise Clip2DepthError(f"The camera file {path} is not UTF-8 text.") from None
    name, parse = ("YAML", parse_yaml) if path.suffix.lower() in (".yaml", ".yml") else ("JSON", json.loads)
    try:
        fields = parse(text)
    except Exception as error:  # syntax, nesting, numbers and dates that Python cannot represent
        raise Clip2DepthError(f"The camera file {path} is not valid {name}: {reason_of(error)}.") from None
    if not isinstance(fields, Mapping):
        raise Clip2DepthError(f"The camera file {path} does not describe a camera: it has no named fields.")
    return fields


def _pixels(name: str, value: Any) -> int:
    # Comparisons with NaN are false; comparisons with an integer of any length are exact.
    if not (isinstance(value, numbers.Real) and 1 <= value <= MAX_SIDE and value == int(value)):  # pyright: ignore[reportOperatorIssue]
        raise Clip2DepthError(
            f"Camera: width and height must be whole numbers from 1 to {MAX_SIDE} pixels; the {name} is "
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
    """A value of a file for a message, or its type where its text may be long."""
    if isinstance(value, (bool, float, str)) or (isinstance(value, int) and abs(value) < 10**18):
        return printable(repr(value))
    return f"of the type {type(value).__name__}"
