# SPDX-License-Identifier: Apache-2.0
"""A simulated drive on ROS topics, and the costmaps that nav2 builds from its depth."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rclpy
from geometry_msgs.msg import TransformStamped, Twist
from nav_msgs.msg import OccupancyGrid, Odometry
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image, LaserScan, PointCloud2

from benchmark.obstacles.truth import APART, CELL, FARTHEST, Comparison, Counts, Truth, View
from clip2depth_ros.camera.transforms import quaternion_of
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.frame import DepthFrame
from clip2depth_ros.outputs import PointCloud
from clip2depth_ros.ros.fastdds import large_message_environment
from clip2depth_ros.ros.inputs.known_floor import KnownFloor
from clip2depth_ros.ros.outputs.outgoing import (
    CameraInfoMessage,
    OdometryMessage,
    PointsMessage,
    RgbMessage,
    filled_header,
)
from clip2depth_ros.ros.outputs.scan_output import ScanOutput
from clip2depth_ros.ros.outputs.throttled_log import Notices
from clip2depth_ros.ros.parameters.depth_settings import DepthSettings
from clip2depth_ros.ros.qos import volatile
from clip2depth_ros.system.processes import tied_to_parent

NODE = "clip2depth"
LETHAL = 100
WAIT = 20.0
"""Timeout for the start of depth_node and the costmaps, seconds."""
BETWEEN = 100.0
"""Distance between drives, meters: a rolling costmap forgets the previous one."""
OLD = 1.0
"""Largest time difference between a costmap and an image of the same drive, seconds."""
AHEAD, ASIDE = 0.6, 0.3
"""The stop zone of config/nav2_costmap.yaml, meters in front of and beside the base."""

START = """No costmap publishes on {topics}. Start one with nav2, each line in a terminal of its own:
    ros2 run nav2_costmap_2d nav2_costmap_2d --ros-args -r __node:=local_costmap -r __ns:=/local_costmap \\
        --params-file config/nav2_costmap.yaml
    ros2 run nav2_lifecycle_manager lifecycle_manager --ros-args -p autostart:=true \\
        -p node_names:="[local_costmap/local_costmap]"
and give its topic with --costmaps; docs/nav2.md has a second one for points, and the collision monitor."""


def open_player(args: Any) -> Player:
    """Create the player of the drives, which also compares the costmaps.

    Raises Clip2DepthError if tf2_msgs is not installed, or if no costmap publishes.
    """
    extra, _ = large_message_environment(os.environ)
    os.environ.update(extra)
    try:
        from tf2_msgs.msg import TFMessage
    except ImportError:
        raise Clip2DepthError(
            "tf2_msgs is not installed: use a ROS installation, or --model without nav2."
        ) from None
    return Player(args, TFMessage)


class Player:
    """Plays drives one after another, each at its own position."""

    def __init__(self, args: Any, tf_message: type) -> None:
        self.args, self._tf_message = args, tf_message
        rclpy.init()
        self.node = node = rclpy.create_node("costmap_benchmark")
        self._image = node.create_publisher(Image, "image", volatile(2))
        self._info = node.create_publisher(CameraInfo, "camera_info", volatile(2))
        self._odometry = node.create_publisher(Odometry, "odometry", volatile(10))
        self._tf = node.create_publisher(tf_message, "/tf", volatile(100))
        self._command = node.create_publisher(Twist, "cmd_vel_smoothed", volatile(1))
        self._true = TrueDepth(node) if args.depth == "truth" else None
        self._grids: list[tuple[str, OccupancyGrid]] = []
        self._stops: list[tuple[float, bool]] = []
        self._lock = threading.Lock()
        qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        for topic in args.costmaps:
            node.create_subscription(OccupancyGrid, topic, lambda grid, t=topic: self._take(t, grid), qos)
        if args.monitor:
            node.create_subscription(Twist, "cmd_vel", self._take_command, volatile(1))
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(node)
        # A costmap becomes active when it has the robot's pose, so tf continues between the drives.
        self._rest: np.ndarray | None = np.eye(4)[[2, 0, 1, 3]] * [1, -1, -1, 1]
        node.create_timer(0.1, self._publish_rest)
        self._spinner = threading.Thread(target=self._spin)
        self._spinner.start()
        self._messages = RgbMessage(), CameraInfoMessage(), OdometryMessage()
        self._played = 0
        missing = [topic for topic in args.costmaps if not self._answers(topic)]
        if missing:
            self.close()
            raise Clip2DepthError(START.format(topics=", ".join(missing)))

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):  # Ctrl-C
            self._executor.spin()

    def close(self) -> None:
        """Shut down ROS in this process."""
        self._executor.shutdown()
        self._spinner.join()
        rclpy.try_shutdown()

    def _publish_rest(self) -> None:
        rest = self._rest
        if rest is not None:
            self._tf.publish(self._transforms(rest, self._now()))

    def _take(self, topic: str, grid: OccupancyGrid) -> None:
        with self._lock:
            self._grids.append((topic, grid))

    def _take_command(self, command: Twist) -> None:
        with self._lock:
            self._stops.append((self._now() * 1e-9, command.linear.x == 0.0))

    def _now(self) -> int:
        return self.node.get_clock().now().nanoseconds

    def play(self, truth: Truth, seed: int) -> dict[str, Counts]:
        """Play one drive in real time; counts by topic. Raises Clip2DepthError if no grid arrives."""
        self._shift = np.array([BETWEEN * self._played, 0.0])
        self._played += 1
        child = None if self._true else self._start_node()
        try:
            self._wait_for_node(truth, child)
            stamps = self._play(truth)
        finally:
            if child is not None:
                child.send_signal(signal.SIGINT)
                child.wait(WAIT)
        time.sleep(0.5)
        with self._lock:
            grids, self._grids = self._grids, []
            stops, self._stops = self._stops, []
        if self.args.monitor:
            print_stops(truth, stamps, stops)
        return {topic: self._compare(truth, stamps, grids, topic) for topic in self.args.costmaps}

    def _answers(self, topic: str) -> bool:
        end = time.monotonic() + WAIT
        while time.monotonic() < end:
            if self.node.count_publishers(topic):
                return True
            time.sleep(0.1)
        return False

    def _start_node(self) -> subprocess.Popen:
        parameters = ("odometry.topic:=odometry", f"bundle:={self.args.depth}")
        command = [sys.executable, "-m", "clip2depth_ros.ros.nodes.depth_node", "--ros-args"]
        command += [word for parameter in parameters for word in ("-p", parameter)]
        return subprocess.Popen(command, preexec_fn=tied_to_parent(signal.SIGINT))

    def _wait_for_node(self, truth: Truth, child: subprocess.Popen | None) -> None:
        """Publish the drive's first pose until depth_node receives images and every costmap publishes grids.

        A costmap becomes active when it receives tf. Raises Clip2DepthError on timeout.
        """
        self._rest, started, end = self._moved(truth.frames[0].pose), self._now(), time.monotonic() + WAIT
        while True:
            time.sleep(0.1)
            taken = child is None or self._image.get_subscription_count()
            with self._lock:
                active = {topic for topic, grid in self._grids if _nanoseconds(grid.header.stamp) > started}
            if taken and active >= set(self.args.costmaps):
                return
            if child is not None and (child.poll() is not None or (not taken and time.monotonic() > end)):
                raise Clip2DepthError("depth_node does not receive images; see its output above.")
            if time.monotonic() > end:
                silent = ", ".join(sorted(set(self.args.costmaps) - active))
                raise Clip2DepthError(f"No grid on {silent}: is the costmap active? See its log.")

    def _moved(self, pose: np.ndarray) -> np.ndarray:
        """A pose of the drive at the position where this drive is played."""
        pose = pose.copy()
        pose[:2, 3] += self._shift
        return pose

    def _play(self, truth: Truth) -> list[int]:
        """Publish the drive; the stamps of the images in order, nanoseconds."""
        stamps, period = [], 1e9 / truth_rate(truth)
        due, self._rest = time.monotonic(), None
        rgb, info, odometry = self._messages
        for frame, depth in zip(truth.frames, self._depth_frames(truth), strict=True):
            time.sleep(max(0.0, due - time.monotonic()))
            due = max(due, time.monotonic() - period * 1e-9) + period * 1e-9
            stamp = self._now()
            stamps.append(stamp)
            pose = self._moved(frame.pose)
            if self.args.tf_delay:
                message = self._transforms(pose, stamp)
                threading.Timer(self.args.tf_delay, self._tf.publish, [message]).start()
            else:
                self._tf.publish(self._transforms(pose, stamp))
            self._odometry.publish(odometry.fill(pose, stamp, "odom", frame.frame_id))
            if depth is None:
                self._info.publish(info.fill(frame.camera, stamp, frame.frame_id))
                self._image.publish(rgb.fill(frame.image, stamp, frame.frame_id))
            else:
                depth.stamp = stamp
                self._true.publish(depth)
            if self.args.monitor:
                command = Twist()
                command.linear.x = 0.2
                self._command.publish(command)
        self._rest = pose
        time.sleep(0.5)
        return stamps

    def _depth_frames(self, truth: Truth):
        from benchmark.costmap import true_frames

        return true_frames(truth) if self._true else [None] * len(truth.frames)

    def _transforms(self, pose: np.ndarray, stamp: int) -> Any:
        """odom -> base_link on the floor under the camera, with its heading, and base_link -> camera."""
        yaw = np.arctan2(pose[1, 2], pose[0, 2])
        base = np.eye(4)
        base[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
        base[:2, 3] = pose[:2, 3]
        return self._tf_message(
            transforms=[
                _transform(base, stamp, "odom", "base_link"),
                _transform(np.linalg.inv(base) @ pose, stamp, "base_link", "camera_optical_frame"),
            ]
        )

    def _compare(self, truth: Truth, stamps: list[int], grids: list, topic: str) -> Counts:
        from benchmark.costmap import SETTLED

        comparison = Comparison(truth)
        for name, grid in grids:
            if name != topic:
                continue
            at = _nanoseconds(grid.header.stamp)
            index = int(np.searchsorted(stamps, at, side="right")) - 1
            if index < 0 or at - stamps[index] > OLD * 1e9:
                continue
            view = truth.views[index]
            lethal = self._on_map(truth, grid)
            false = comparison.add(lethal, view, count=view.stamp >= SETTLED)
            if self.args.picture is not None and index >= 0.6 * len(stamps):
                self._draw(truth, index, lethal, false)
        if not comparison.counts.grids:
            raise Clip2DepthError(
                f"{topic} published no grid during the drive: is it active, and does its log name a missing "
                "tf?"
            )
        return comparison.end()

    def _on_map(self, truth: Truth, grid: OccupancyGrid) -> np.ndarray:
        """The lethal cells on the map of true obstacles."""
        if abs(grid.info.resolution - CELL) > 1e-6:
            raise Clip2DepthError(
                f"The costmap's cells are {grid.info.resolution:g} m wide; set its resolution to {CELL:g}."
            )
        cells = np.asarray(grid.data, np.int8).reshape(grid.info.height, grid.info.width)
        origin = np.array([grid.info.origin.position.x, grid.info.origin.position.y]) - self._shift
        first = np.round(origin / CELL).astype(int) - truth.corner
        rows, columns = np.nonzero(cells == LETHAL)
        rows, columns = rows + first[1], columns + first[0]
        inside = (rows >= 0) & (columns >= 0) & (rows < truth.shape[0]) & (columns < truth.shape[1])
        lethal = np.zeros(truth.shape, bool)
        lethal[rows[inside], columns[inside]] = True
        return lethal

    def _draw(self, truth: Truth, index: int, lethal: np.ndarray, false: np.ndarray) -> None:
        path, self.args.picture = self.args.picture, None
        write_picture(truth, index, lethal, false, path)


class TrueDepth:
    """Publishes scan and points of true depth like depth_node, under its name."""

    def __init__(self, node: Any) -> None:
        self._settings, self._floor = DepthSettings(), KnownFloor()
        self._output = ScanOutput(node, Notices(node.get_logger()))
        self._cloud = PointCloud(self._settings.points)
        self._message = PointsMessage()
        self._scan = node.create_publisher(LaserScan, f"{NODE}/scan", volatile(2))
        self._points = node.create_publisher(PointCloud2, f"{NODE}/points", volatile(2))

    def publish(self, frame: DepthFrame) -> None:
        self._floor.see(frame, self._settings, None)
        scan = self._output.make(frame, self._settings, self._floor)
        if scan is not None:
            self._scan.publish(scan)
        height, width = self._cloud.shape(frame.shape[1], frame.shape[0])
        points = self._message.buffer(height, width).view(np.float32).reshape(height, width, 4)
        self._cloud.build(frame, points, self._floor.limits(self._settings))
        self._points.publish(self._message.finish(frame.stamp, frame.frame_id))


def truth_rate(truth: Truth) -> float:
    """Images per second."""
    return 1e9 / (truth.views[1].stamp - truth.views[0].stamp)


def _nanoseconds(stamp: Any) -> int:
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def _transform(pose: np.ndarray, stamp: int, parent: str, child: str) -> TransformStamped:
    message = TransformStamped()
    filled_header(message.header, stamp, parent)
    message.child_frame_id = child
    position, turn = message.transform.translation, message.transform.rotation
    position.x, position.y, position.z = map(float, pose[:3, 3])
    turn.x, turn.y, turn.z, turn.w = map(float, quaternion_of(pose[:3, :3]))
    return message


def in_zone(view: View) -> float:
    """Depth of the nearest visible obstacle inside the stop zone, meters; negative: outside."""
    ahead = view.pose[:2, 2] / np.linalg.norm(view.pose[:2, 2])
    gaps = view.points - view.pose[:2, 3]
    forward, aside = gaps @ ahead, np.abs(gaps @ [-ahead[1], ahead[0]])
    inside = np.minimum(AHEAD - forward, ASIDE - aside)[forward > 0]
    return float(np.nanmax(inside, initial=-np.inf)) if np.isfinite(inside).any() else -np.inf


def print_stops(truth: Truth, stamps: list[int], stops: list[tuple[float, bool]]) -> None:
    """Print how often the collision monitor stopped the robot, correctly and incorrectly."""
    found = {True: [0, 0], False: [0, 0]}
    for at, stopped in stops:
        index = int(np.searchsorted(stamps, at * 1e9, side="right")) - 1
        if index < 0 or at * 1e9 - stamps[index] > OLD * 1e9:
            continue
        depth = in_zone(truth.views[index])
        if abs(depth) > APART / 2:
            found[depth > 0][stopped] += 1
    (missed, right), (free, wrong) = found[True], found[False]
    print(
        f"        collision monitor: stopped {right} of {right + missed} times that an obstacle was in the "
        f"zone, {wrong} of {wrong + free} that none was near it"
    )


def write_picture(truth: Truth, index: int, lethal: np.ndarray, false: np.ndarray, path: Path) -> None:
    """Camera image; true obstacles, visible ones white; lethal cells, false ones red. Ahead is up."""
    view, scale = truth.views[index], 6
    true = np.full((*truth.shape, 3), 34, np.uint8)
    true[truth.stands] = (110, 110, 116)
    rows, columns = truth._cells(view.points[np.isfinite(view.points[:, 0])])
    true[rows, columns] = (255, 255, 255)
    found = np.full_like(true, 34)
    found[lethal] = (255, 160, 40)
    found[false] = (255, 40, 40)
    half = int(FARTHEST / CELL) + 4
    x, y = np.floor(view.pose[:2, 3] / CELL).astype(int) - truth.corner
    turn = np.degrees(np.arctan2(view.pose[1, 2], view.pose[0, 2]))
    matrix = cv2.getRotationMatrix2D((half * scale, half * scale), 90 - turn, 1.0)
    maps = []
    for picture, title in ((true, "true obstacles"), (found, "costmap")):
        border = cv2.copyMakeBorder(picture, half, half, half, half, cv2.BORDER_CONSTANT, value=(34,) * 3)
        cut = border[y : y + 2 * half, x : x + 2 * half][::-1]
        cut = cv2.resize(cut, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
        cut = cv2.warpAffine(cut, matrix, cut.shape[1::-1], flags=cv2.INTER_NEAREST, borderValue=(34,) * 3)
        eye = np.array([half * scale, half * scale])
        for edge in (truth.edges[0], truth.edges[-1]):
            end = eye + FARTHEST / CELL * scale * np.array([-np.sin(edge), -np.cos(edge)])
            cv2.line(cut, eye.tolist(), np.round(end).astype(int).tolist(), (90, 200, 120), 1, cv2.LINE_AA)
        cv2.putText(cut, title, (8, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (200, 200, 200), 1, cv2.LINE_AA)
        maps.append(np.ascontiguousarray(cut[: (half + 4) * scale]))
    height = maps[0].shape[0]
    image = truth.frames[index].image
    image = cv2.resize(image, (round(image.shape[1] * height / image.shape[0]), height))
    cv2.imwrite(str(path), cv2.hconcat([image, *maps])[..., ::-1])
