# SPDX-License-Identifier: Apache-2.0
"""The pipeline: what happens to a frame, stage by stage, and in which order."""

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
from clip2depth_ros.pipeline.driven import DrivenMotion
from clip2depth_ros.pipeline.geometry import Geometry
from clip2depth_ros.pipeline.lazy_frame import LazyDepthFrame
from clip2depth_ros.scale import Affine, AffineEstimator, Scale, ScaleEstimator, ScaleSettings
from clip2depth_ros.stabilizer import Stabilizer, StabilizerSettings, Stable

DEFAULT_STABILIZER = StabilizerSettings()

# The temporal error without the stabilizer is measured on this many samples per axis; depth is smooth enough.
GRID = 24


NO_METRES = {
    "scale_free": "Bundle '{name}' gives depth up to an unknown factor, and no source of scale has spoken "
    "yet",
    "affine_inverse": "Bundle '{name}' gives inverse depth up to an unknown factor and shift, and what "
    "has been "
    "seen of ranges, floor and driven distance does not tell both yet",
}
"""Why there are no metres, by the manifest's depth_kind."""
NO_SOURCE = ": it needs the camera's height above the floor, odometry or ranges."
STAND_IN = 0.25
"""Of the median disparity: added to it to make something like a depth of it, while metres are unknown."""
OWN_DEVIATION = 0.1
"""Of the network's metres against the robot's where no source of scale has spoken."""


class Pipeline:
    """Turns frames into depth frames: rectify, fit, infer, stabilize, scale, unfit.

    engine: opened; its manifest says the input size, the canonical focal length and the depth range.
    depth_size: (width, height) of the depth, or None for the input's own resolution.
    stabilizer, scale: what these two are to do; None leaves one out. Both work on the network's own pixels,
    the letterbox's border left behind. Afterwards they are the attributes `stabilizer_settings` and
    `scale_settings`, which may be set from any thread at any time and are taken up before the next frame.
    The attribute keep_raw: return the network's own depth as well.

    A bundle whose depth_kind is scale_free is stabilized as it is, since all that the stabilizer does
    holds up to a factor. A disparity of unknown shift is no depth up to a factor, and ego-motion computed
    from it would be wrong: an affine_inverse bundle is brought to metres first, by a factor and a shift
    that move slowly, and stabilized then; until both are known the stabilizer only follows the picture,
    without ego-motion. Either way all depth is NaN, and the facts say why, until there are metres.

    The returned DepthFrame makes its arrays when they are asked for, so ask before the pipeline's next call.
    They belong to the pipeline and hold until then (the image may be the frame's own). One pipeline serves
    one stream and one thread.
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
        self.stabilizer_settings = stabilizer
        self.scale_settings = scale
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

    def _make_buffers(self) -> None:
        manifest = self.engine.manifest
        net = (manifest.input_height, manifest.input_width)
        self._input = np.empty((*net, 3), np.uint8)
        self._metres = np.empty(net, np.float32)
        self._raw = np.empty(net, np.float32)

    @property
    def _kind(self) -> str:
        """What the network's output is."""
        return self.engine.manifest.depth_kind

    @property
    def needs_camera(self) -> bool:
        """True when depth itself, not only points, needs a camera."""
        return self.engine.manifest.canonical_focal_px is not None

    def reset(self, *, keep_scale: bool = False) -> None:
        """Forget the past. The next frame's facts say so, if there was one.

        keep_scale: a pause, a loop or a cut is no reason to forget what is true of the camera.
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
        """Go on with another engine, of another bundle or not, from the next frame on.

        The new network sees the last frame once more. The factor to the robot's metres is divided by what
        its depth is, in the median, over the old network's, so that the published metres go on where they
        are; while no source of scale has spoken the factor stays as it is. A network of another depth_kind,
        or another disparity, begins without a scale. The stabilizer forgets its past:
        kept, it would be wrong by region for a second. The next frame's facts say `reset`.

        Returns the old engine, which the caller closes. Raises what the new engine raises, and
        Clip2DepthError when its bundle needs a camera and the frames have none; then nothing has changed.
        """
        geometry, seen, net_depth, change = self._geometry, None, None, self._change
        if geometry is not None:
            geometry = geometry.for_network(engine.manifest)
            engine.fits(geometry.letterbox)  # what that makes ready does not hold up the next frame then
        if self._net_depth is not None:
            seen = self._last_frame_for(engine.manifest)
            net_depth = engine.infer(seen)
            change = self._change_by(net_depth, engine.manifest, geometry)
        if engine.manifest.depth_kind != self._kind or self._kind == "affine_inverse":
            # What was learned is about another kind of output, or about another disparity.
            self.close()
            self._estimator = self._scale = change = None
        old, self.engine = self.engine, engine
        self._make_buffers()
        self._geometry, self._net_depth, self._change = geometry, net_depth, change
        if seen is not None:
            self._input = seen
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
        """Log of another network's depth of the last frame over this one's: median and robust deviation."""
        old, new = np.empty_like(self._metres), np.empty_like(net_depth)
        _to_metres(self._net_depth, self.engine.manifest, self._geometry.focal_scale, old)
        _to_metres(net_depth, manifest, geometry.focal_scale, new)
        old, new = self._geometry.letterbox.inner(old), geometry.letterbox.inner(new)
        if old.shape != new.shape:
            old = cv2.resize(old, new.shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        ratio = np.log(new / old)
        ratio = ratio[np.isfinite(ratio)]
        # on top of an earlier change that no frame has taken up yet
        before, spread = self._change or (0.0, 0.0)
        if not ratio.size:
            return before, spread
        median = float(np.median(ratio))
        return before + median, math.hypot(spread, 1.4826 * float(np.median(np.abs(ratio - median))))

    def close(self) -> None:
        """Write down the scale, if a file was named for it. Closing twice is allowed."""
        if self._estimator is not None:
            self._estimator.close()

    def process(self, frame: Frame) -> DepthFrame:
        """Depth of one frame.

        The past is forgotten when time runs backwards or when the image's size or camera changes; the
        stabilizer forgets it at a cut or a long gap, too. Depth that is not finite, outside the manifest's
        range or outside the camera's view is NaN. Odometry, gravity or ranges that are broken are not used,
        and the facts' warnings say so.
        Raises Clip2DepthError for an image that is not (H, W, 3) uint8, a camera of another size, and a frame
        without camera when the bundle needs one.
        """
        started = time.perf_counter()
        image = frame.image
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise Clip2DepthError(f"Frames hold (H, W, 3) uint8 images, not {image.dtype} {image.shape}.")
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
        self._take_up_settings()
        self._stamp = frame.stamp
        facts.reset, self._was_reset = self._was_reset, False
        facts.focal_scale = geometry.focal_scale
        clock = _Clock(facts.times, started)

        clock.lap("rectify")  # none: a lens is a part of fit
        # A lens is taken out on the CPU, which then has the small image already.
        resizes = frame.shrink == 1 and not geometry.has_lens
        self._on_device = on_device = resizes and self.engine.fits(geometry.letterbox)
        if not on_device:
            geometry.fit(image, self._input, frame.shrink)
        clock.lap("fit")
        if on_device:
            net_depth = self.engine.infer_image(image, self._input)
        else:
            net_depth = self.engine.infer(self._input)
        clock.lap("infer")
        self._net_depth = net_depth
        if self._kind == "affine_inverse":
            self._invert(frame, geometry, net_depth, facts)
            clock.lap("scale")
        else:
            _to_metres(net_depth, self.engine.manifest, geometry.focal_scale, self._metres)
        keep_raw = self.keep_raw
        if keep_raw:
            np.copyto(self._raw, self._metres)
        stable = self._stabilize(frame, geometry, facts)
        clock.lap("stabilize")
        if self._kind != "affine_inverse":
            self._apply_scale(frame, geometry, stable, facts)
            clock.lap("scale")
        if facts.no_metres:
            self._metres.fill(NAN)
            self._raw.fill(NAN)
            facts.temporal_error = facts.flicker = NAN
        facts.valid_fraction = geometry.known_part(self._metres)
        deviation = None if stable is None else stable.deviation
        result = LazyDepthFrame(
            frame, geometry, facts, self._metres, deviation, facts.scale_deviation, self._buffers
        )
        if stable is not None and stable.motion is not None:
            result.motion = stable.motion.copy()
            result.motion[:3, 3] *= facts.scale
        if keep_raw:
            result.raw = geometry.unfit(self._raw, result.buffer("raw"))
        clock.lap("unfit")
        return result

    def shrink_for(self, size: tuple[int, int]) -> int:
        """So many pixels a side of an image of size (width, height) may a decoder average to one.

        The depth stays what it is, but for rounding; `image` of the result becomes blurred. 1 where the image
        is needed as it is, and for the first image of its size.
        """
        geometry = self._geometry
        if geometry is None or geometry.size != size or geometry.camera is None or self._on_device:
            return 1
        return geometry.shrink

    def _take_up_settings(self) -> None:
        """Make, tell or drop stabilizer and scale as the settings now have it."""
        stabilizer, scale = self.stabilizer_settings, self.scale_settings
        if stabilizer is None:
            self._stabilizer = None
        elif self._stabilizer is None:
            self._stabilizer = Stabilizer(stabilizer)
        elif self._stabilizer.settings != stabilizer:
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
            if self._change is not None:
                self._estimator.carry_over(scale.name, *self._change)
            if self._estimator.settings != scale:
                self._estimator.settings = scale
        self._change = None

    def _invert(self, frame: Frame, geometry: Geometry, disparity: np.ndarray, facts: FrameFacts) -> None:
        """Fill self._metres with the metres of a disparity; with a stand-in while they are not known."""
        if self._estimator is not None:
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
        metres, known = self._metres, self._scale is not None and bool(self._scale.source)
        with np.errstate(all="ignore"):
            if known:
                np.multiply(disparity, np.float32(self._scale.factor), out=metres)
                metres += np.float32(self._scale.shift)
                np.reciprocal(metres, out=metres)
                manifest = self.engine.manifest
                unknown = ~((metres >= manifest.depth_min * 0.999) & (metres <= manifest.depth_max * 1.001))
            else:
                facts.no_metres = self._why_no_metres()
                few = disparity[:: GRID // 2, :: GRID // 2]
                few = few[np.isfinite(few)]
                np.divide(disparity, np.median(few) if few.size else np.float32(1), out=metres)
                np.reciprocal(np.maximum(metres, 0, out=metres) + np.float32(STAND_IN), out=metres)
                unknown = ~(metres > 0)
        np.copyto(metres, NAN, where=unknown)

    def _why_no_metres(self) -> str:
        """The sentence for a frame without metres."""
        text = NO_METRES[self._kind].format(name=self.engine.manifest.name)
        settings = self.scale_settings
        named = settings is not None and (settings.height or settings.odometry or settings.ranges)
        return text + ("." if named else NO_SOURCE)

    def _stabilize(self, frame: Frame, geometry: Geometry, facts: FrameFacts) -> Stable | None:
        """Replace what the image covers of self._metres by the stable depth; None while that is off."""
        depth = geometry.letterbox.inner(self._metres)
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
        # A first frame has no past to forget, and what was asked of the pipeline is in the facts already.
        facts.reset |= stable.reset not in ("", "first frame", "asked")
        return stable

    def _outside_motion(self, frame: Frame, facts: FrameFacts) -> np.ndarray | None:
        """Motion (4, 4) since the last frame by odometry, in the depth's own metres; None where unknown."""
        motion = self._driven.update(frame.odometry)
        if self._kind == "affine_inverse":
            # Its metres are the robot's, or unknown.
            if self._driven.complaint:
                facts.warnings += (self._driven.complaint,)
            return None if facts.no_metres else motion
        if self._estimator is None:
            if self._driven.complaint:
                facts.warnings += (self._driven.complaint,)
            return motion
        # The robot's metres and the depth's may differ by any factor until somebody has said which; and of
        # a broken pose the estimator complains by itself.
        if motion is None or self._scale is None or not self._scale.source:
            return None
        motion[:3, 3] /= self._scale.value
        return motion

    def _apply_scale(
        self, frame: Frame, geometry: Geometry, stable: Stable | None, facts: FrameFacts
    ) -> None:
        """Bring self._metres to the robot's metres."""
        if self._estimator is None:
            if self._kind == "scale_free":
                facts.no_metres = self._why_no_metres()
            return
        depth = geometry.letterbox.inner(self._metres)
        self._scale = scale = self._estimator.update(
            depth,
            geometry.inner_camera,
            frame.stamp,
            visual_odometry=None if stable is None else stable.visual_odometry,
            visual_odometry_std_dev=NAN if stable is None else stable.visual_odometry_std_dev,
            corners=None if stable is None else stable.corners,
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
        """Median |log depth - log previous depth| on a coarse grid; NaN without a past."""
        step_y, step_x = (max(1, n // GRID) for n in depth.shape)
        grid = np.log(depth[step_y // 2 :: step_y, step_x // 2 :: step_x])
        past, self._grid = self._grid, grid
        if past is None:
            return NAN
        change = np.abs(grid - past)
        change = change[np.isfinite(change)]
        return float(np.median(change)) if change.size else NAN


def _to_metres(net_depth: np.ndarray, manifest: Manifest, focal_scale: float, out: np.ndarray) -> np.ndarray:
    """Fill `out` with the camera's metres; NaN where the network's own are out of their range."""
    # One part in a thousand, so that a network that saturates at the end of its range still measures it.
    low, high = manifest.depth_min * 0.999, manifest.depth_max * 1.001
    np.multiply(net_depth, np.float32(focal_scale), out=out)
    if max(low, 0.0) < net_depth.min() and net_depth.max() <= high:  # the usual case; never so with NaN
        return out
    with np.errstate(invalid="ignore"):
        unknown = ~((net_depth >= low) & (net_depth <= high) & (net_depth > 0))
    np.copyto(out, NAN, where=unknown)
    return out


class _Clock:
    """Writes the time since the last lap under a stage's name."""

    def __init__(self, times: dict[str, float], started: float) -> None:
        self._times = times
        self._last = started

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self._times[stage] = now - self._last
        self._last = now
