# SPDX-License-Identifier: Apache-2.0
"""adapt_node: stores keyframes of the drive, adapts the network to them, offers the result.

It runs in a separate process beside depth_node, at low priority. Two threads: the executor's thread answers
services, watches the adaptation and calls the depth node; the worker thread selects and writes keyframes.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from std_srvs.srv import Trigger

from clip2depth_ros.camera import Camera, Rectifiers
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.io.messages.images import ImageCodec, nanoseconds
from clip2depth_ros.keyframes import KeyframeChooser, KeyframeStore
from clip2depth_ros.ros.inputs.camera_input import CameraInput
from clip2depth_ros.ros.inputs.extrinsics import Extrinsics
from clip2depth_ros.ros.inputs.odometry_input import OdometryInput
from clip2depth_ros.ros.nodes.adapt_run import AdaptRun, Outcome
from clip2depth_ros.ros.nodes.adapt_state import AdaptState
from clip2depth_ros.ros.outputs.diagnostics import diagnostic_array
from clip2depth_ros.ros.outputs.throttled_log import Notices
from clip2depth_ros.ros.parameters.adapt_settings import AdaptSettings
from clip2depth_ros.ros.parameters.declaration import ParameterTable
from clip2depth_ros.ros.parameters.remote_parameter import RemoteParameter
from clip2depth_ros.ros.spinning import run_node
from clip2depth_ros.system.paths import user_folder

COMMAND = (sys.executable, "-m", "clip2depth_ros", "adapt")

WATCH_PERIOD = 0.2
DIAGNOSTICS_PERIOD = 1.0
# Seconds between two requests for the depth node's bundle.
LOOK_PERIOD = 2.0
# How long an image waits for the odometry of its stamp, seconds: an interpolated pose is more accurate than
# an extrapolated one.
ODOMETRY_TIMEOUT = 0.15
# Seconds between two attempts to start a run.
RETRY_PERIOD = 30.0
# A run needs at least so many keyframes.
LEAST_KEYFRAMES = 30
# Adapted bundles that are kept in addition to those in use.
KEPT_BUNDLES = 5
# Radians by which a camera that does not move on its robot may seem to: tf is rounded, and shakes.
TILTED = 0.02
# Niceness of this process.
NICE = 10


class AdaptNode(Node):
    """The node `clip2depth_adapt`. Keyword arguments are those of rclpy's Node.

    command: replaces `clip2depth adapt`; the same arguments are appended.
    Raises Clip2DepthError at construction if a parameter is invalid, if no odometry is configured, or if the
    folder cannot be used.
    """

    def __init__(self, *, command: Sequence[str] = COMMAND, **kwargs: Any) -> None:
        super().__init__("clip2depth_adapt", **kwargs)
        self._table = ParameterTable(self, AdaptSettings)
        settings = self.settings
        if not settings.odometry.topic:
            raise Clip2DepthError(
                "adapt_node needs camera poses: set the parameter odometry.topic, and provide the camera's "
                "mounting by tf or mounting.*."
            )
        self._notices = Notices(self.get_logger())
        self._depth_node = RemoteParameter(self, settings.adapt.depth_node, "bundle")
        self._folder = _folder(settings.adapt.folder, self._depth_node.other)
        self._lock_file = _locked(self._folder)
        self._state_file = self._folder / "state.json"
        self._state = AdaptState.read(self._state_file)
        self._store = KeyframeStore(self._folder / "keyframes", settings.adapt.max_megabytes * 1_000_000)
        self._store_lock = threading.Lock()
        self._run = AdaptRun(self._folder, command)
        self._asked_now = self._run.is_pending  # an interrupted run is restarted
        self._running = ""
        self._known: set[bytes] = set()
        self._changes = 0
        self._next_look = self._not_before = 0.0
        self._busy = False
        self._chooser = KeyframeChooser(settings.adapt.spacing)
        self._rectifiers = Rectifiers()
        self._codec = ImageCodec()
        self._height = 0.0
        self._tilt: tuple[float, float] | None = None
        self._tilts = 0
        self._breaks = 0
        self._stamp = 0
        self._input = CameraInput(self, lambda: self.settings, self._notices)
        self._extrinsics = Extrinsics(self, lambda: self.settings, self._notices)
        self._odometry = OdometryInput(
            self, settings.odometry.topic, lambda: self.settings, self._notices, self._extrinsics
        )
        self._worker = threading.Thread(target=self._work, name="keyframes", daemon=True)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # These wait for the depth node's responses, and must not block other callbacks meanwhile.
        waiting = ReentrantCallbackGroup()
        for name, do in (
            ("adapt_now", self._on_adapt_now),
            ("apply", self._on_apply),
            ("revert", self._on_revert),
        ):
            self.create_service(Trigger, f"~/{name}", do, callback_group=waiting)
        self.create_timer(WATCH_PERIOD, self._watch, clock=self._steady, callback_group=waiting)
        self.create_timer(DIAGNOSTICS_PERIOD, self._publish_diagnostics, clock=self._steady)

    @property
    def settings(self) -> AdaptSettings:
        """The parameters' current values."""
        return self._table.settings

    def start(self) -> None:
        """Subscribe, and start to store keyframes."""
        self._extrinsics.open()
        self._odometry.open()
        self._input.open()
        self._worker.start()
        self.get_logger().info(
            f"Keyframes of {self._input.image_topic} with {self._odometry.topic} are stored in "
            f"{self._store.folder}: it holds {len(self._store.frames)}, {self._new_keyframes()} of them new"
        )

    def stop(self) -> None:
        """Stop. An interrupted run is restarted by the next start."""
        self._run.stop()
        self._input.close()
        self._input.mailbox.close()
        self._odometry.close()
        self._extrinsics.close()
        if self._worker.is_alive():
            self._worker.join()
        self._lock_file.close()

    # The worker thread.

    def _work(self) -> None:
        mailbox = self._input.mailbox
        while (message := mailbox.take()) is not None:
            try:
                mailbox.count("processed" if self._one_image(message) else "dropped")
            except Clip2DepthError as error:
                mailbox.count("bad")
                self._notices.count("image", f"Image not stored: {error}")
            except Exception:
                if not self.context.ok():
                    return
                mailbox.count("bad")
                self._notices.count("bug", "Image not stored, unexpected error:", traceback.format_exc())

    def _one_image(self, message: Any) -> bool:
        """Store an image as a keyframe if it adds information; True if it was stored."""
        stamp, frame_id = nanoseconds(message.header.stamp), message.header.frame_id
        if stamp < self._stamp:  # a recording was restarted
            self._odometry.clear()
        self._stamp = stamp
        pose = self._pose_at(stamp, frame_id)
        if self._odometry.breaks != self._breaks:
            self._breaks = self._odometry.breaks
            self._chooser.restart()
            with self._store_lock:
                self._store.begin_segment()
        if pose is None or not self._chooser.has_moved(pose):
            return False
        with self._store_lock:
            if not self._store.wants(pose, stamp):
                return False
        image = self._codec.decode(message)
        camera = self._input.camera_for(image.shape[1], image.shape[0])
        if camera is None or not self._chooser.takes(image, pose):
            return False
        self._hold_mounting(stamp, frame_id)
        image, camera = self._rectified(image, camera)
        with self._store_lock:
            self._store.add(image, pose, stamp, camera)
        return True

    def _hold_mounting(self, stamp: int, frame_id: str) -> None:
        """Keep the camera's height and tilt at an image, and count how many tilts there were."""
        settings = self._extrinsics.settings_at(stamp, frame_id)
        tilt = settings.mounting.roll, settings.mounting.pitch
        self._height = settings.scale.height
        if self._tilt is None or math.dist(tilt, self._tilt) > TILTED:
            self._tilt, self._tilts = tilt, self._tilts + 1

    def _floor_options(self) -> tuple[str, ...]:
        """Options of the command for the floor; none without a height, or if the camera moves on the robot.

        The tilt may change once, because tf can come later than the first image.
        """
        if not self._height or self._tilt is None:
            return ()
        if self._tilts > 2:
            self._notices.say(
                "floor", "The camera moves on the robot: scale.height does not correct the odometry's scale."
            )
            return ()
        roll, pitch = self._tilt
        return (
            *("--scale-height", f"{self._height:g}"),
            *("--mounting", "0", "0", "0", f"{roll:g}", f"{pitch:g}", "0"),
        )

    def _pose_at(self, stamp: int, frame_id: str) -> np.ndarray | None:
        end = time.monotonic() + ODOMETRY_TIMEOUT
        while not self._odometry.reaches(stamp) and time.monotonic() < end:
            time.sleep(0.01)
        return self._odometry.at(stamp, frame_id)

    def _rectified(self, image: np.ndarray, camera: Camera) -> tuple[np.ndarray, Camera]:
        rectifier = self._rectifiers.of(camera)
        if rectifier is None:
            return image, camera
        return rectifier.rectify(image), rectifier.camera

    # The executor's thread.

    async def _on_adapt_now(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._run.is_running or self._asked_now:
            response.message = "The network is already being adapted."
        elif len(self._store.frames) < LEAST_KEYFRAMES:
            response.message = (
                f"There are {len(self._store.frames)} keyframes; adaptation needs at least "
                f"{LEAST_KEYFRAMES}: drive a little."
            )
        elif not self._depth_node.is_there:
            response.message = f"The depth node {self._depth_node.other} is not running."
        else:
            self._asked_now = response.success = True
            response.message = "Adaptation starts; /diagnostics shows its progress."
        return response

    async def _on_apply(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        try:
            response.message = await self._apply()
            response.success = True
        except Clip2DepthError as error:
            response.message = str(error)
        return response

    async def _on_revert(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        try:
            response.message = await self._revert()
            response.success = True
        except Clip2DepthError as error:
            response.message = str(error)
        return response

    async def _apply(self) -> str:
        """Set the offered bundle on the depth node. Raises Clip2DepthError if none is offered or accepted."""
        state, offered = self._state, self._state.offered
        if not offered:
            raise Clip2DepthError("No adapted bundle is offered.")
        before = await self._depth_node.get()
        await self._depth_node.set(offered)
        if before != offered:
            state.before.append(before)
        state.applied, state.offered, self._running = offered, "", offered
        self._changes += 1
        self._save()
        self._notices.clear("bundle")
        return self._said(f"{self._depth_node.other} now uses {offered}; ~/revert returns to '{before}'.")

    async def _revert(self) -> str:
        """Set the previous bundle on the depth node. Raises Clip2DepthError if none exists or is accepted."""
        state = self._state
        if not state.before:
            raise Clip2DepthError("There is no bundle to return to: none was set on the depth node.")
        target = state.before[-1]
        await self._depth_node.set(target)
        state.before.pop()
        state.applied, self._running = target if state.before else "", target
        self._changes += 1
        self._save()
        return self._said(f"{self._depth_node.other} returns to '{target}'.")

    def _said(self, text: str) -> str:
        self.get_logger().info(text)
        return text

    async def _watch(self) -> None:
        self._input.watch()
        self._odometry.watch()
        self._depth_node.watch()
        if self._busy:
            return
        self._busy = True
        try:
            await self._look_at_depth_node()
            outcome = self._run.poll() if self._run.is_running else self._begin_if_due()
            if outcome is not None:
                await self._take(outcome)
        except Clip2DepthError as error:
            self._notices.say("watch", str(error))
        except Exception:
            self._notices.count("bug", "Unexpected error:", traceback.format_exc())
        else:
            self._notices.clear("watch")
        finally:
            self._busy = False

    async def _look_at_depth_node(self) -> None:
        """Ask for its bundle, and set the adapted bundle again on a node that was restarted."""
        state, changes = self._state, self._changes
        if not self._depth_node.is_there:
            self._running, self._known = "", set()
            return
        instances = self._depth_node.instances()
        appeared = bool(instances - self._known)
        if time.monotonic() < self._next_look and not appeared:
            return
        self._next_look = time.monotonic() + LOOK_PERIOD
        running = await self._depth_node.get()
        if changes != self._changes:
            return  # the bundle was changed meanwhile
        self._known, self._running = instances, running
        if not state.applied or self._running == state.applied:
            return
        if appeared and self._running in state.before and Path(state.applied).is_dir():
            await self._depth_node.set(state.applied)
            self._running = state.applied
            self._said(f"{self._depth_node.other} was restarted and uses {state.applied} again.")
            return
        self._notices.say(
            "bundle",
            f"{self._depth_node.other} runs '{self._running}', not the adapted bundle {state.applied}: "
            "the bundle was rejected (see the depth node's log), or the parameter was changed.",
        )
        state.applied, state.before = "", []
        self._save()

    def _begin_if_due(self) -> Outcome | None:
        """Start a run if one is requested or due; returns its outcome if it ended at once."""
        now = time.monotonic()
        if not self._running or now < self._not_before or not (self._asked_now or self._is_due()):
            return None
        self._asked_now = False
        self._not_before = now + RETRY_PERIOD  # for example after a full disk
        if not self._run.is_pending:
            try:
                with self._store_lock:
                    newest = max(self._store.frames, default=-1)
                    self._run.prepare(self._running, newest, self._store.snapshot, self._floor_options())
            except Clip2DepthError as error:
                return Outcome("failed", str(error))
        self._said(f"Adapting '{self._running}' to {len(self._store.frames)} keyframes.")
        return self._run.start()

    def _is_due(self) -> bool:
        wanted = self.settings.adapt.new_keyframes
        return (
            wanted > 0
            and self._new_keyframes() >= max(wanted, LEAST_KEYFRAMES)
            and _load() < self.settings.adapt.max_load
        )

    async def _take(self, outcome: Outcome) -> None:
        """Save the outcome of a run, and offer its bundle."""
        state = self._state
        state.outcome, state.measures = f"{outcome.kind}: {outcome.text}", outcome.measures
        state.learned = max(state.learned, self._run.newest)
        if outcome.bundle and outcome.bundle != state.applied:
            state.offered = outcome.bundle
        self._save()
        self._run.clear()
        in_use = {state.applied, state.offered, self._running, *state.before}
        self._run.remove_bundles(in_use, KEPT_BUNDLES)
        if outcome.kind == "failed":
            self.get_logger().warning(f"Adaptation failed: {outcome.text}")
        else:
            self.get_logger().info(f"Adaptation ended, {state.outcome}")
        if not state.offered:
            return
        if self.settings.adapt.apply:
            await self._apply()
        else:
            self._said(f"A better bundle is available: {state.offered}; ~/apply sets it on the depth node.")

    def _new_keyframes(self) -> int:
        with self._store_lock:
            return sum(number > self._state.learned for number in self._store.frames)

    def _save(self) -> None:
        try:
            self._state.write(self._state_file)
        except OSError as error:
            self._notices.count("state", f"{self._state_file} cannot be written: {error.strerror or error}.")

    def _publish_diagnostics(self) -> None:
        state, new = self._state, self._new_keyframes()
        level, states = DiagnosticStatus.OK, self._notices.states
        wanted = self.settings.adapt.new_keyframes
        if self._run.is_running:
            message = f"Adapting for {self._run.seconds:.0f} s: {self._run.last_line}"
        elif state.offered:
            message = "A better bundle is available: ~/apply sets it on the depth node"
        elif wanted and new >= wanted:
            message = "There are enough new keyframes; adaptation starts when the load is low"
        else:
            message = f"Storing keyframes, {new} new ones of {wanted or LEAST_KEYFRAMES}"
        if states:
            level, message = DiagnosticStatus.WARN, states.get("bundle") or next(iter(states.values()))
        elif state.outcome.startswith("failed"):
            level, message = DiagnosticStatus.WARN, f"Adaptation failed, {state.outcome}"
        facts = {
            "keyframes": len(self._store.frames),
            "new keyframes": new,
            "views": self._store.views,
            "keyframes on disk (MB)": self._store.bytes / 1e6,
            "images left out": ", ".join(f"{n} {why}" for why, n in self._chooser.left_out.items()) or "none",
            "folder": self._folder,
            "depth node": self._depth_node.other if self._depth_node.is_there else "not running",
            "its bundle": self._running or "unknown",
            "bundle before": state.before[-1] if state.before else "none",
            "offered": state.offered or "none",
            "last outcome": state.outcome or "none",
            "load per core": _load(),
        }
        facts |= {f"measured {name}": value for name, value in state.measures.items()}
        name, stamp = self.get_fully_qualified_name(), self.get_clock().now().to_msg()
        self._diagnostics.publish(
            diagnostic_array(stamp, f"{name.strip('/')}: adaptation", name, level, message, facts)
        )


def _folder(given: str, depth_node: str) -> Path:
    """Folder of a depth node's keyframes and bundles."""
    if given:
        return Path(given).expanduser().absolute()
    return user_folder("data", "adapted", depth_node.strip("/").replace("/", "_")).absolute()


def _locked(folder: Path) -> Any:
    """A lock file; the folder belongs to this process while it is open."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / "lock", "w")  # noqa: SIM115 - open as long as the node is
    except OSError as error:
        raise Clip2DepthError(f"The folder {folder} cannot be used: {error.strerror or error}.") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise Clip2DepthError(
            f"Another adapt_node uses the folder {folder}: set a different adapt.folder for each."
        ) from None
    return file


def _load() -> float:
    """Load average of the last minute for each core."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)


def main(args: list[str] | None = None, make: Callable[[], AdaptNode] = AdaptNode) -> int:
    """Run adapt_node until it is interrupted. make: creates the node."""
    with contextlib.suppress(OSError):
        os.nice(NICE)
    return run_node(make, AdaptNode.start, AdaptNode.stop, args)


if __name__ == "__main__":
    raise SystemExit(main())
