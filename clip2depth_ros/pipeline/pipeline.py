# SPDX-License-Identifier: Apache-2.0
"""The pipeline: the stages of a frame, in order."""

from __future__ import annotations

import math
import time

import cv2
import numpy as np

from clip2depth_ros.bundle import Manifest
from clip2depth_ros.camera import Letterbox
from clip2depth_ros.camera.resampler import shrunk_size
from clip2depth_ros.engines import Engine
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.frame import NAN, DepthFrame, Frame, FrameFacts
from clip2depth_ros.images.origins import ResetReason
from clip2depth_ros.pipeline.driven import DrivenMotion
from clip2depth_ros.pipeline.geometry import Geometry
from clip2depth_ros.pipeline.lazy_frame import LazyDepthFrame
from clip2depth_ros.scale import Affine, AffineEstimator, Scale, ScaleEstimator
from clip2depth_ros.settings import PipelineSettings, ScaleSettings, StabilizerSettings
from clip2depth_ros.stabilizer import Stabilizer, Stable

DEFAULT_STABILIZER = StabilizerSettings()

# Without the stabilizer the temporal error is measured on this many samples per axis.
GRID = 24


NO_METRES = {
    "scale_free": "Bundle '{name}' gives depth up to an unknown factor, and no source of scale has given it "
    "yet",
    "affine_inverse": "Bundle '{name}' gives inverse depth up to an unknown factor and shift, and ranges, "
    "floor and odometry have not determined both yet",
}
"""Why depth is not in meters, by the manifest's depth_kind."""
NO_SOURCE = ": it needs the camera's height above the floor, odometry or ranges."
STAND_IN = 0.25
"""Part of the median disparity that is added to disparity while the shift is unknown, so that the stabilizer
gets a positive depth."""
OWN_DEVIATION = 0.1
"""Relative standard deviation of the network's meters while no source of scale was accepted."""
NO_NEW_RESET = (ResetReason.NONE, ResetReason.FIRST_FRAME, ResetReason.REQUESTED)
"""A first frame has no past to forget, and a requested reset is in the facts already."""


class Pipeline:
    """Turns frames into depth frames: letterbox, infer, stabilize, scale, restore.

    engine: opened; its manifest has the input size, the canonical focal length and the depth range.
    depth_size: (width, height) of the depth, or None for the size of the images.
    stabilizer, scale: their settings; None leaves one out. Both work on the network's own pixels, without the
    letterbox's border. `configure` changes them between two frames; `settings` holds the current ones.
    The attribute keep_raw: return the network's depth before stabilizer and scale as well.

    The depth of a scale_free bundle is stabilized before it is scaled: the stabilizer does not depend on the
    factor. A disparity of unknown shift is not depth up to a factor, and ego-motion computed from it would be
    wrong. Therefore the disparity of an affine_inverse bundle is converted to meters first, by a factor and a
    shift that change slowly, and stabilized then. Until both are known, the stabilizer uses the optical flow
    only, without ego-motion. In both cases all depth is NaN until it is in meters, and the facts have the
    reason.

    The returned DepthFrame computes its arrays on first access. They belong to the pipeline and are valid
    until its next call (the image may be the frame's own). One pipeline serves one stream and one thread.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        depth_size: tuple[int, int] | None = None,
        stabilizer: StabilizerSettings | None = DEFAULT_STABILIZER,
        scale: ScaleSettings | None = None,
    ) -> None:
        if depth_size is not None and min(depth_size) <= 0:
            raise Clip2DepthError(
                f"The depth's size must be positive, it is {depth_size[0]}x{depth_size[1]}."
            )
        self.engine = engine
        self.depth_size = depth_size
        self.keep_raw = False
        self._make_buffers()
        self._net_depth: np.ndarray | None = None
        self._geometry: Geometry | None = None
        self._stabilizer: Stabilizer | None = None
        self._estimator: ScaleEstimator | AffineEstimator | None = None
        self._scale: Scale | Affine | None = None
        self._driven = DrivenMotion()
        self._stamp: int | None = None
        self._was_reset = False
        self._on_device = False
        self._buffers: dict[str, np.ndarray] = {}
        self._grid: np.ndarray | None = None
        self._change: tuple[float, float] | None = None
        self.configure(PipelineSettings(stabilizer, scale))

    def _make_buffers(self) -> None:
        manifest = self.engine.manifest
        net = (manifest.input_height, manifest.input_width)
        self._input = np.empty((*net, 3), np.uint8)
        self._meters = np.empty(net, np.float32)
        self._raw = np.empty(net, np.float32)

    @property
    def _kind(self) -> str:
        """The manifest's depth_kind."""
        return self.engine.manifest.depth_kind

    @property
    def needs_camera(self) -> bool:
        """True when the bundle needs a camera to give meters; points need one always."""
        return self.engine.manifest.canonical_focal_px is not None

    def configure(self, settings: PipelineSettings) -> None:
        """Use these settings from the next frame on; call it between two frames, in the pipeline's thread.

        The temporal state is kept, except where the setting's description says that a change clears it.
        """
        self.settings = settings
        stabilizer, scale = settings.stabilizer, settings.scale
        if stabilizer is None or not stabilizer.enabled:
            self._stabilizer = None
        elif self._stabilizer is None:
            self._stabilizer = Stabilizer(stabilizer)
        else:
            self._stabilizer.settings = stabilizer
        if scale is None:
            self.close()
            self._estimator = self._scale = None
        elif self._estimator is None:
            if self._kind == "affine_inverse":
                self._estimator = AffineEstimator(scale)
            else:
                any_factor = {"any_factor": True} if self._kind == "scale_free" else {}
                self._estimator = ScaleEstimator(scale, **any_factor)
        else:
            if self._change is not None and isinstance(self._estimator, ScaleEstimator):
                self._estimator.carry_over(scale.name, *self._change)
            self._estimator.settings = scale
        self._change = None

    def reset(self, *, keep_scale: bool = False) -> None:
        """Forget the past. The next frame's facts have `reset` set if there was one.

        keep_scale: keep the estimated scale. It stays valid after a pause, a loop or a cut.
        """
        self._was_reset |= self._stamp is not None
        self._stamp = None
        self._grid = None
        self._driven.reset()
        if self._stabilizer is not None:
            self._stabilizer.reset()
        if self._estimator is not None and not keep_scale:
            self._estimator.reset()
            self._scale = self._change = None

    def swap(self, engine: Engine) -> Engine:
        """Use another engine, of the same bundle or another, from the next frame on.

        The new network infers the last frame again. The factor to the robot's meters is divided by the median
        ratio of the new depth to the old one, so that the published scale does not jump; while no source of
        scale was accepted the factor stays as it is. A network of another depth_kind, or another disparity,
        begins without a scale. The stabilizer's temporal state is cleared, because it would make some regions
        wrong for a second. The next frame's facts have `reset` set.

        Returns the old engine, which the caller closes. Raises what the new engine raises, and
        Clip2DepthError when its bundle needs a camera and the frames have none; then nothing is changed.
        """
        geometry, seen, net_depth, change = self._geometry, None, None, self._change
        if geometry is not None:
            geometry = geometry.for_network(engine.manifest)
            engine.prepare(geometry.letterbox.size)  # now, so that the next frame does not wait for it
        if self._net_depth is not None:
            seen = self._last_frame_for(engine.manifest)
            net_depth = engine.infer(seen)
            change = self._change_by(net_depth, engine.manifest, geometry)
        # The estimate is then about another kind of output, or about another disparity.
        without_scale = engine.manifest.depth_kind != self._kind or self._kind == "affine_inverse"
        if without_scale:
            self.close()
            self._estimator = self._scale = change = None
        old, self.engine = self.engine, engine
        self._make_buffers()
        self._geometry, self._net_depth, self._change = geometry, net_depth, change
        if seen is not None:
            self._input = seen
        if without_scale:
            self.configure(self.settings)
        self._was_reset |= self._stamp is not None
        self._grid = None
        if self._stabilizer is not None:
            self._stabilizer.reset()
        return old

    def _last_frame_for(self, manifest: Manifest) -> np.ndarray:
        """The last frame as another network's input."""
        size = (manifest.input_height, manifest.input_width)
        if self._input.shape[:2] == size:
            return self._input
        picture = self._geometry.letterbox.inner(self._input)
        letterbox = Letterbox(picture.shape[1::-1], size[1], size[0])
        return letterbox.letterbox(picture, np.empty((*size, 3), np.uint8))

    def _change_by(
        self, net_depth: np.ndarray, manifest: Manifest, geometry: Geometry
    ) -> tuple[float, float]:
        """Log of another network's depth over this one's, of the last frame: median and robust spread."""
        old, new = np.empty_like(self._meters), np.empty_like(net_depth)
        _to_meters(self._net_depth, self.engine.manifest, self._geometry.focal_scale, old)
        _to_meters(net_depth, manifest, geometry.focal_scale, new)
        old, new = self._geometry.letterbox.inner(old), geometry.letterbox.inner(new)
        if old.shape != new.shape:
            old = cv2.resize(old, new.shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        ratio = np.log(new / old)
        ratio = ratio[np.isfinite(ratio)]
        # Added to an earlier change that no frame has used yet.
        before, spread = self._change or (0.0, 0.0)
        if not ratio.size:
            return before, spread
        median = float(np.median(ratio))
        return before + median, math.hypot(spread, 1.4826 * float(np.median(np.abs(ratio - median))))

    def close(self) -> None:
        """Write the scale to its file, if there is one. Closing twice is allowed."""
        if self._estimator is not None:
            self._estimator.close()

    def process(self, frame: Frame) -> DepthFrame:
        """Depth of one frame.

        The temporal state is cleared when the stamp is before the last one, and when the image's size or
        camera changes; the stabilizer's also at a cut and after a long gap. Depth that is not finite,
        outside the manifest's range or outside the camera's view is NaN. Invalid odometry, gravity or ranges
        are not used, and the facts' warnings say why.
        Raises Clip2DepthError for an image that is not (H, W, 3) uint8, a camera of another size, and a frame
        without camera when the bundle needs one.
        """
        started = time.perf_counter()
        image = frame.image
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise Clip2DepthError(f"A frame's image is (H, W, 3) uint8, not {image.dtype} {image.shape}.")
        size = (image.shape[1], image.shape[0])
        if (
            frame.shrink > 1
            and frame.camera is not None
            and size == shrunk_size(frame.camera.size, frame.shrink)
        ):
            size = frame.camera.size
        facts = FrameFacts()
        geometry = self._geometry
        if geometry is None or geometry.size != size or geometry.camera != frame.camera:
            self._geometry = geometry = Geometry(self.engine.manifest, size, frame.camera, self.depth_size)
            self._net_depth = None
            self.reset(keep_scale=True)
        if self._stamp is not None and frame.stamp < self._stamp:
            self.reset(keep_scale=True)
        if self._change is not None:  # after a swap without a call of configure since
            self.configure(self.settings)
        self._stamp = frame.stamp
        facts.reset, self._was_reset = self._was_reset, False
        facts.focal_scale = geometry.focal_scale
        clock = _Clock(facts.times, started)

        clock.lap("rectify")  # 0: undistortion is a part of fit
        # Undistortion is done on the CPU, which has the small image then.
        resizes = frame.shrink == 1 and not geometry.has_lens
        if resizes:
            self.engine.prepare(geometry.letterbox.size)
        self._on_device = on_device = resizes and self.engine.prepared == geometry.letterbox.size
        if not on_device:
            geometry.to_network(image, self._input, frame.shrink)
        clock.lap("fit")
        if on_device:
            net_depth = self.engine.infer(image)
            np.copyto(self._input, self.engine.network_input)
        else:
            net_depth = self.engine.infer(self._input)
        clock.lap("infer")
        self._net_depth = net_depth
        if self._kind == "affine_inverse":
            self._invert(frame, geometry, net_depth, facts)
            clock.lap("scale")
        else:
            _to_meters(net_depth, self.engine.manifest, geometry.focal_scale, self._meters)
        keep_raw = self.keep_raw
        if keep_raw:
            np.copyto(self._raw, self._meters)
        stable = self._stabilize(frame, geometry, facts)
        clock.lap("stabilize")
        if self._kind != "affine_inverse":
            self._apply_scale(frame, geometry, stable, facts)
            clock.lap("scale")
        if facts.no_metres:
            self._meters.fill(NAN)
            self._raw.fill(NAN)
            facts.temporal_error = facts.flicker = NAN
        facts.valid_fraction = geometry.known_part(self._meters)
        deviation = None if stable is None else stable.deviation
        result = LazyDepthFrame(
            frame, geometry, facts, self._meters, deviation, facts.scale_deviation, self._buffers
        )
        if stable is not None and stable.motion is not None:
            result.motion = stable.motion.copy()
            result.motion[:3, 3] *= facts.scale
        if keep_raw:
            result.raw = geometry.restore(self._raw, result.buffer("raw"))
        clock.lap("unfit")
        return result

    def shrink_for(self, size: tuple[int, int]) -> int:
        """How many pixels a side of an image of size (width, height) a decoder may average to one.

        The depth stays the same except for rounding; `image` of the result becomes blurred. 1 where the full
        image is needed, and for the first image of its size.
        """
        geometry = self._geometry
        if geometry is None or geometry.size != size or geometry.camera is None or self._on_device:
            return 1
        return geometry.shrink

    def _invert(self, frame: Frame, geometry: Geometry, disparity: np.ndarray, facts: FrameFacts) -> None:
        """Fill self._meters with the depth of a disparity; a positive substitute while it is not known."""
        if isinstance(self._estimator, AffineEstimator):
            self._scale = affine = self._estimator.update(
                geometry.letterbox.inner(disparity),
                geometry.inner_camera,
                frame.stamp,
                image=geometry.letterbox.inner(self._input),
                odometry=frame.odometry,
                gravity=frame.gravity,
                ranges=frame.ranges,
            )
            facts.scale, facts.scale_shift = affine.factor, affine.shift
            facts.scale_deviation, facts.scale_source = affine.deviation, affine.source
            facts.scale_age, facts.floor = affine.age, affine.floor
            facts.warnings += tuple(affine.warnings)
        meters, known = self._meters, self._scale is not None and bool(self._scale.source)
        with np.errstate(all="ignore"):
            if known:
                np.multiply(disparity, np.float32(self._scale.factor), out=meters)  # pyright: ignore[reportAttributeAccessIssue]
                meters += np.float32(self._scale.shift)  # pyright: ignore[reportAttributeAccessIssue]
                np.reciprocal(meters, out=meters)
                manifest = self.engine.manifest
                unknown = ~((meters >= manifest.depth_min * 0.999) & (meters <= manifest.depth_max * 1.001))
            else:
                facts.no_metres = self._why_no_metres()
                few = disparity[:: GRID // 2, :: GRID // 2]
                few = few[np.isfinite(few)]
                np.divide(disparity, np.median(few) if few.size else np.float32(1), out=meters)
                np.reciprocal(np.maximum(meters, 0, out=meters) + np.float32(STAND_IN), out=meters)
                unknown = ~(meters > 0)
        np.copyto(meters, NAN, where=unknown)

    def _why_no_metres(self) -> str:
        """The sentence for a frame whose depth is not in meters."""
        text = NO_METRES[self._kind].format(name=self.engine.manifest.name)
        settings = self.settings.scale
        named = settings is not None and (settings.height or settings.odometry or settings.ranges)
        return text + ("." if named else NO_SOURCE)

    def _stabilize(self, frame: Frame, geometry: Geometry, facts: FrameFacts) -> Stable | None:
        """Put stabilized depth into the part of self._meters that the image covers; None while it is off."""
        depth = geometry.letterbox.inner(self._meters)
        motion = self._outside_motion(frame, facts)
        if self._stabilizer is None:
            facts.temporal_error = self._compare_with_past(depth)
            return None
        self._grid = None
        seen = geometry.letterbox.inner(self._input)
        known = self._scale is not None and self._scale.source
        stable = self._stabilizer.update(
            depth,
            seen,
            None if facts.no_metres else geometry.inner_camera,
            frame.stamp,
            motion=motion,
            motion_deviation=self._scale.deviation if known else OWN_DEVIATION,
        )
        np.copyto(depth, stable.depth)
        facts.motion, facts.flicker = stable.source, stable.scale_jitter
        facts.temporal_error = stable.temporal_error
        facts.reset |= stable.reset not in NO_NEW_RESET
        return stable

    def _outside_motion(self, frame: Frame, facts: FrameFacts) -> np.ndarray | None:
        """Motion (4, 4) since the last frame from odometry, in the depth's meters; None while unknown."""
        motion = self._driven.update(frame.odometry)
        if self._kind == "affine_inverse":
            # Its meters are the robot's, or unknown.
            if self._driven.warning is not None:
                facts.warnings += (self._driven.warning,)
            return None if facts.no_metres else motion
        if self._estimator is None:
            if self._driven.warning is not None:
                facts.warnings += (self._driven.warning,)
            return motion
        # The factor between the robot's meters and the depth's is unknown until a source of scale was
        # accepted. The estimator warns of an invalid pose.
        if motion is None or self._scale is None or not self._scale.source:
            return None
        motion[:3, 3] /= self._scale.value  # pyright: ignore[reportAttributeAccessIssue]
        return motion

    def _apply_scale(
        self, frame: Frame, geometry: Geometry, stable: Stable | None, facts: FrameFacts
    ) -> None:
        """Convert self._meters to the robot's meters."""
        if self._estimator is None:
            if self._kind == "scale_free":
                facts.no_metres = self._why_no_metres()
            return
        depth = geometry.letterbox.inner(self._meters)
        self._scale = scale = self._estimator.update(
            depth,
            geometry.inner_camera,
            frame.stamp,
            visual_odometry=None if stable is None else stable.visual_odometry,  # pyright: ignore[reportCallIssue]
            visual_odometry_std_dev=NAN if stable is None else stable.visual_odometry_std_dev,  # pyright: ignore[reportCallIssue]
            corners=None if stable is None else stable.corners,  # pyright: ignore[reportCallIssue]
            odometry=frame.odometry,
            gravity=frame.gravity,
            ranges=frame.ranges,
        )
        depth *= np.float32(scale.value)
        facts.scale, facts.scale_deviation, facts.scale_source = scale.value, scale.deviation, scale.source
        facts.scale_age = scale.age
        facts.floor = scale.floor
        facts.warnings += tuple(scale.warnings)
        if self._kind == "scale_free" and not scale.source:
            facts.no_metres, facts.floor = self._why_no_metres(), None

    def _compare_with_past(self, depth: np.ndarray) -> float:
        """Median |log depth - log previous depth| on a coarse grid; NaN without a previous frame."""
        step_y, step_x = (max(1, n // GRID) for n in depth.shape)
        grid = np.log(depth[step_y // 2 :: step_y, step_x // 2 :: step_x])
        past, self._grid = self._grid, grid
        if past is None:
            return NAN
        change = np.abs(grid - past)
        change = change[np.isfinite(change)]
        return float(np.median(change)) if change.size else NAN


def _to_meters(net_depth: np.ndarray, manifest: Manifest, focal_scale: float, out: np.ndarray) -> np.ndarray:
    """Fill `out` with the camera's meters; NaN where the network's output is out of its range."""
    # A margin of 0.1 %, so that the end of the range of a network that saturates there is valid.
    low, high = manifest.depth_min * 0.999, manifest.depth_max * 1.001
    np.multiply(net_depth, np.float32(focal_scale), out=out)
    if max(low, 0.0) < net_depth.min() and net_depth.max() <= high:  # the usual case; false with NaN
        return out
    with np.errstate(invalid="ignore"):
        unknown = ~((net_depth >= low) & (net_depth <= high) & (net_depth > 0))
    np.copyto(out, NAN, where=unknown)
    return out


class _Clock:
    """Writes the time since the last lap to `times`, under a stage's name."""

    def __init__(self, times: dict[str, float], started: float) -> None:
        self._times = times
        self._last = started

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self._times[stage] = now - self._last
        self._last = now
