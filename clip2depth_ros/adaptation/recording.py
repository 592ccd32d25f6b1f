# SPDX-License-Identifier: Apache-2.0
"""Keyframes of a recording: images that differ, at the network's input size, with their poses."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from clip2depth_ros.bundle import Manifest
from clip2depth_ros.camera import Camera
from clip2depth_ros.camera.transforms import is_pose
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.files.replacing import replacing, writing
from clip2depth_ros.images.frame import Frame
from clip2depth_ros.metrics.ground_truth import GroundTruth
from clip2depth_ros.pipeline.geometry import Geometry

STEP, TURN = 0.01, np.radians(1.0)
"""Meters and radians: a frame that moved less since the last kept one is left out."""
DARK, BRIGHT = 16, 239
"""Gray levels below and above which a pixel is underexposed or overexposed."""
BLIND = 0.6
"""Part of such pixels above which an image is not used."""
BLURRED = 0.35
"""Sharpness, as a part of the recording's median, below which an image is not used."""


class Refusal(Clip2DepthError):
    """The recording is readable, but gives no better bundle; no bundle is written.

    reason: one word for programs: odometry_missing, too_short, parallax, texture, odometry_contradicts,
    height_contradicts, no_gain, worse_elsewhere.
    """

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


@dataclass
class Keyframes:
    """N images of a recording in the order of time, at the network's input size.

    camera, inner, focal_scale: of the letterbox that all images went through.
    """

    images: np.ndarray
    """(N, H, W, 3) uint8 RGB, letterboxed to the network's input."""
    poses: np.ndarray
    """(N, 4, 4) float64, optical frame to a fixed frame, meters of the odometry."""
    seconds: np.ndarray
    """(N,) float64, since the first frame."""
    names: list[str]
    truth: np.ndarray | None
    """(N, h, w) float32 meters at the inner size, NaN unknown; None where the recording has none."""
    camera: Camera
    """Of the pixels that the image covers, (w, h)."""
    inner: tuple[slice, slice]
    """Rows and columns of the network's input that the image covers."""
    focal_scale: float
    """Factor from the network's meters to the camera's."""
    seen: int = 0
    """Frames of the recording."""
    left_out: dict[str, int] | None = None
    """Number of frames that were left out, by reason."""

    def __len__(self) -> int:
        return len(self.images)

    def only(self, chosen: np.ndarray) -> Keyframes:
        """The keyframes with these numbers."""
        return Keyframes(
            self.images[chosen],
            self.poses[chosen],
            self.seconds[chosen],
            [self.names[i] for i in chosen],
            None if self.truth is None else self.truth[chosen],
            self.camera,
            self.inner,
            self.focal_scale,
            self.seen,
            self.left_out,
        )

    def write(self, path: Path) -> None:
        """Write them to a file, whole or not at all. Raises Clip2DepthError."""
        camera = self.camera
        with writing(path), replacing(path) as part, part.open("wb") as file:
            np.savez(
                file,
                images=self.images,
                poses=self.poses,
                seconds=self.seconds,
                names=np.array(self.names),
                camera=np.array([camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy]),
                inner=np.array([[s.start, s.stop] for s in self.inner]),
                focal_scale=self.focal_scale,
                seen=self.seen,
                left_out=json.dumps(self.left_out),
                **({} if self.truth is None else {"truth": self.truth.astype(np.float16)}),
            )

    @classmethod
    def read(cls, path: Path) -> Keyframes:
        """Those that `write` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(
                arrays["images"],
                arrays["poses"],
                arrays["seconds"],
                [str(name) for name in arrays["names"]],
                arrays["truth"].astype(np.float32) if "truth" in arrays else None,
                Camera(*arrays["camera"].tolist()),
                tuple(slice(int(a), int(b)) for a, b in arrays["inner"]),
                float(arrays["focal_scale"]),
                int(arrays["seen"]),
                json.loads(str(arrays["left_out"])),
            )


class Recorder:
    """Reads a recording frame by frame and keeps the frames that show something new.

    manifest: of the bundle that is adapted. most: largest number of keyframes; where there are more, the step
    between them is increased. Frames come with `odometry`; those without are left out.
    """

    def __init__(self, manifest: Manifest, most: int) -> None:
        self._manifest, self._most = manifest, most
        self._step = 1.0
        self._geometry: Geometry | None = None
        self._truth = GroundTruth()
        self._kept: list[tuple[np.ndarray, np.ndarray, int, str, np.ndarray | None, float]] = []
        self._sharp: list[float] = []
        self._seen = 0
        self._left_out = {
            "no pose": 0,
            "dark or bright": 0,
            "no motion": 0,
            "blurred": 0,
            "another camera": 0,
        }
        self.path = 0.0
        """Meters: length of the camera's path over all frames, by its poses."""
        self._last: np.ndarray | None = None

    def add(self, frame: Frame) -> None:
        """Add the next frame. Raises Clip2DepthError for a camera that does not fit."""
        self._seen += 1
        pose = frame.odometry
        if pose is None or not is_pose(pose):
            self._left_out["no pose"] += 1
            return
        size = (frame.image.shape[1], frame.image.shape[0])
        if self._geometry is None:
            self._geometry = Geometry(self._manifest, size, frame.camera, None)
        elif (self._geometry.size, self._geometry.camera) != (size, frame.camera):
            self._left_out["another camera"] += 1
            return
        if self._last is not None:
            self.path += float(np.linalg.norm(pose[:3, 3] - self._last[:3, 3]))
        self._last = pose
        geometry = self._geometry
        image = np.empty((self._manifest.input_height, self._manifest.input_width, 3), np.uint8)
        geometry.to_network(frame.image, image)
        gray = cv2.cvtColor(np.ascontiguousarray(geometry.letterbox.inner(image)), cv2.COLOR_RGB2GRAY)
        sharp = _sharpness(gray)
        self._sharp.append(sharp)
        if np.mean((gray < DARK) | (gray > BRIGHT)) > BLIND:
            self._left_out["dark or bright"] += 1
            return
        if self._kept and not _moved(self._kept[-1][1], pose, self._step):
            self._left_out["no motion"] += 1
            # Of two images of the same view, the sharper one is kept.
            if (
                sharp <= self._kept[-1][5]
                or len(self._kept) < 2
                or not _moved(self._kept[-2][1], pose, self._step)
            ):
                return
            self._kept.pop()
        truth = self._truth.rectified(frame)
        if truth is not None:
            inner = geometry.letterbox.inner(image).shape[1::-1]
            truth = cv2.resize(truth, inner, interpolation=cv2.INTER_NEAREST_EXACT).astype(np.float32)
        self._kept.append((image, np.array(pose, np.float64), frame.stamp, frame.name, truth, sharp))
        if len(self._kept) > 2 * self._most:
            self._thin()

    def finish(self) -> Keyframes:
        """The keyframes. Raises Refusal where there are too few."""
        typical = float(np.median(self._sharp)) if self._sharp else 0.0
        sharp = [k for k in self._kept if k[5] >= BLURRED * typical]
        self._left_out["blurred"] = len(self._kept) - len(sharp)
        self._kept = sharp
        while len(self._kept) > self._most:
            self._thin()
        if not self._kept:
            if self._left_out["no pose"] == self._seen:
                raise Refusal(
                    "odometry_missing",
                    "none of the frames has a pose; the recording needs the camera's odometry.",
                )
            raise Refusal(
                "too_short", f"none of the {self._seen} frames can be used: they are too dark or too bright."
            )
        images, poses, stamps, names, truths, _ = zip(*self._kept, strict=True)
        geometry, letterbox = self._geometry, self._geometry.letterbox
        known = [t for t in truths if t is not None]
        truth = None
        if known:
            nothing = np.full_like(known[0], np.nan)
            truth = np.stack([nothing if t is None else t for t in truths])
        camera = geometry.inner_camera
        if camera is None:
            raise Refusal("odometry_missing", "the camera's calibration is not known; give it with --camera.")
        return Keyframes(
            np.stack(images),
            np.stack(poses),
            (np.array(stamps, np.int64) - stamps[0]) * 1e-9,
            list(names),
            truth,
            camera,
            (
                slice(letterbox.y, letterbox.y + letterbox.inner_height),
                slice(letterbox.x, letterbox.x + letterbox.inner_width),
            ),
            geometry.focal_scale,
            self._seen,
            {reason: count for reason, count in self._left_out.items() if count},
        )

    def _thin(self) -> None:
        """Increase the step between keyframes, which removes about half of them."""
        self._step *= 1.4
        kept = self._kept[:1]
        for one in self._kept[1:]:
            if _moved(kept[-1][1], one[1], self._step):
                kept.append(one)
        self._kept = kept


def recording_identity(path: str) -> dict:
    """Identity of a recording: its name, and a digest of its files' paths and sizes."""
    file = Path(path)
    if not file.exists():
        return {"input": path}
    files = [file] if file.is_file() else sorted(p for p in file.rglob("*") if p.is_file())
    digest = hashlib.sha256()
    for each in files:
        digest.update(f"{each.relative_to(file)} {each.stat().st_size}\n".encode())
    return {"input": file.name, "files": digest.hexdigest()[:16]}


def angle_between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Radians (...) between the rotations of poses (..., 4, 4)."""
    trace = np.einsum("...ij,...ij->...", first[..., :3, :3], second[..., :3, :3])
    return np.arccos(np.clip((trace - 1) / 2, -1, 1))


def _moved(last: np.ndarray, pose: np.ndarray, step: float) -> bool:
    """Whether the camera has moved enough to show something new."""
    return bool(
        np.linalg.norm(pose[:3, 3] - last[:3, 3]) >= step * STEP or angle_between(last, pose) >= step * TURN
    )


def _sharpness(gray: np.ndarray) -> float:
    """Contrast of the finest detail relative to the total contrast."""
    fine = cv2.Laplacian(gray, cv2.CV_32F)
    return float(fine.std() / max(float(gray.std()), 1.0))
