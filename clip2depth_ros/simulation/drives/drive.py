# SPDX-License-Identifier: Apache-2.0
"""A robot's camera on a drive through a simulated room with walking people, frame by frame."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.frame import Frame
from clip2depth_ros.simulation.drives.floor import CELL, FloorMap
from clip2depth_ros.simulation.drives.tracks import Gait, Track, plan_track
from clip2depth_ros.simulation.photography.looks import CameraLook, exposure, photograph
from clip2depth_ros.simulation.rendering.renderer import Renderer, shared_renderer
from clip2depth_ros.simulation.rooms import make_room
from clip2depth_ros.simulation.scene.palette import Palette
from clip2depth_ros.simulation.scene.people import Body, add_person
from clip2depth_ros.simulation.scene.scene import Part, Scene
from clip2depth_ros.simulation.views.views import look_pose

START = 1_000_000_000_000
"""Stamp of the first frame, nanoseconds."""
FRAME_ID = "camera_optical_frame"
ROBOT_RADIUS, PERSON_RADIUS = 0.30, 0.32
APART = 0.8
"""Smallest distance between the middles of robot and people, meters."""
STANDING = 0.05
"""Slowest walking speed; a slower person counts as standing. Meters per second."""
_KINDS = (
    "living room",
    "office",
    "kitchen",
    "dining room",
    "workshop",
    "meeting room",
    "hall",
    "bedroom",
    "corridor",
)


class _Walker:
    """A person on a track that crosses neither the robot's track nor those of other people."""

    def __init__(self, scene: Scene, body: Body, track: Track):
        self.body, self.track = body, track
        self.first = len(scene.parts)
        add_person(scene, body, 0.0, 0.0, 0.0)
        self.last = len(scene.parts)

    def speed(self, time: float) -> float:
        """Mean speed over half a second, meters per second."""
        return 2.0 * float(self.track.at(time + 0.25)[3] - self.track.at(time - 0.25)[3])

    def parts(self, time: float) -> list[Part]:
        """The person's parts at a time, in the order of the scene's parts."""
        state = self.track.at(time)
        scratch = Scene("", 0.0, 0.0, 0.0)
        phase = 2 * math.pi * state[3] / (0.8 * self.body.height)
        x, y, yaw = state[:3]
        add_person(scratch, self.body, x, y, yaw, phase, 0.45 * min(1.0, self.speed(time) / 0.5))
        return scratch.parts


class Drive:
    """Frames of one drive. Every iteration gives the same frames.

    Args:
        seed: selects the drive: room, light, camera, path and people.
        width, height: image size, pixels.
        fps: frames per second.
        horizontal_fov: field of view, radians.
        seconds: length of the drive.
        people: whether people walk in the room.
        kind: kind of room (see ROOMS), or None to choose by the seed.
        route: 0 is the seed's own drive; any other number is another drive of the same robot in the same
        room,
            with other people.

    Every Frame has the true depth (meters, NaN where nothing is) and the true pose (optical frame to world: z
    forward, x right, y down; the world has z up, the floor at 0). Raises Clip2DepthError for a size, rate or
    length that is not positive, and if MuJoCo or OpenGL is missing.
    """

    def __init__(
        self,
        seed: int,
        width: int = 320,
        height: int = 240,
        fps: float = 15,
        *,
        horizontal_fov: float = 1.2,
        seconds: float = 30.0,
        people: bool = True,
        kind: str | None = None,
        route: int = 0,
    ):
        if min(width, height) < 8 or fps <= 0 or seconds <= 0 or not 0.1 < horizontal_fov < 2.6:
            raise Clip2DepthError(
                f"the simulator cannot drive with {width}x{height} pixels, {fps:g} frames/s, {seconds:g} s, "
                f"horizontal_fov {horizontal_fov:g} rad; give at least 8x8, positive numbers, 0.1 to 2.6 rad."
            )
        self.seed, self.fps, self.seconds, self.route = seed, fps, seconds, route
        self.camera = Camera.from_fov(width, height, horizontal_fov)
        rng = np.random.default_rng([17, seed])
        self.scene, self._floor, self._robot = self._find_room(rng, seed, seconds, kind)
        self.mount = float(rng.uniform(0.3, 1.2))
        self._pitch = math.radians(float(rng.uniform(-12, 0) if self.mount > 0.6 else rng.uniform(-6, 2)))
        self._look = CameraLook.random(rng)
        if route:
            rng = np.random.default_rng([17, seed, route])
            self._robot = self._another_track(rng)
        self._walkers: list[_Walker] = []
        if people:
            self._add_walkers(Palette(rng))
        self.scene.finish()

    def _another_track(self, rng: np.random.Generator) -> Track:
        """A track on the same floor, independent of the seed's own track."""
        for _ in range(20):
            track = plan_track(
                self._floor, rng, Gait(ROBOT_RADIUS, float(rng.uniform(0.35, 0.7))), self.seconds + 1.0
            )
            if track is not None:
                return track
        raise Clip2DepthError(
            f"no second drive through the room of seed {self.seed} was found; take another seed."
        )

    def _add_walkers(self, palette: Palette) -> None:
        rng = palette.rng
        free = len(self._floor.region(PERSON_RADIUS)) * CELL**2
        tracks = [self._robot]

        def clear(times: np.ndarray, points: np.ndarray) -> bool:
            inside = times < self.seconds
            gaps = [np.hypot(*(points - track.at(times)[:, :2]).T)[inside] for track in tracks]
            return all(gap.min(initial=9.0) > APART for gap in gaps)

        for _ in range(int(rng.integers(1, 2 + min(2, int(free / 12))))):
            gait = Gait(PERSON_RADIUS, float(rng.uniform(0.6, 1.1)), 1.2, 2.5, (0.2, 2.5))
            track = next(
                filter(None, (plan_track(self._floor, rng, gait, self.seconds, clear) for _ in range(5))),
                None,
            )
            if track is not None:
                tracks.append(track)
                self._walkers.append(_Walker(self.scene, Body.random(palette), track))

    @staticmethod
    def _find_room(rng: np.random.Generator, seed: int, seconds: float, kind: str | None):
        for attempt in range(50):
            chosen = kind or _KINDS[int(rng.integers(len(_KINDS)))]
            scene = make_room(seed * 1009 + attempt + 500_000_000, kind=chosen, people=0)
            floor = FloorMap(scene)
            if len(floor.region(ROBOT_RADIUS)) * CELL**2 > (5.0 if attempt < 25 else 2.0):
                gait = Gait(ROBOT_RADIUS, float(rng.uniform(0.35, 0.7)))
                track = plan_track(floor, rng, gait, seconds + 1.0)
                if track is not None:
                    return scene, floor, track
        raise Clip2DepthError(f"no room of seed {seed} has floor to drive on; take another seed.")

    def __len__(self) -> int:
        return max(1, round(self.seconds * self.fps))

    def __iter__(self) -> Iterator[Frame]:
        gain = 0.0
        for index in range(len(self)):
            pose = self._pose(self._robot.at(index / self.fps))
            light, depth = self._prepare_renderer(index).render(self.camera, pose)
            # The exposure adapts within about a second, as in a camera.
            wanted = exposure(light, self._look)
            gain = wanted if index == 0 else gain + min(1.0, 1.5 / self.fps) * (wanted - gain)
            image = photograph(light, self._look, self._grain(index), gain)
            stamp = START + round(index * 1e9 / self.fps)
            yield Frame(image, stamp, FRAME_ID, self.camera, f"{index:06d}", depth, pose)

    def frame(self, index: int) -> Frame:
        """Frame `index` alone: as in the iteration, but with the exposure for this frame's light only."""
        pose = self._pose(self._robot.at(index / self.fps))
        light, depth = self._prepare_renderer(index).render(self.camera, pose)
        image = photograph(light, self._look, self._grain(index))
        stamp = START + round(index * 1e9 / self.fps)
        return Frame(image, stamp, FRAME_ID, self.camera, f"{index:06d}", depth, pose)

    def _grain(self, index: int) -> np.random.Generator:
        """The random generator of a frame's noise."""
        return np.random.default_rng([19, self.seed, index] + ([self.route] if self.route else []))

    def people(self, index: int) -> np.ndarray:
        """Visible people in frame `index`: (H, W) int32, the number of the person, -1 elsewhere."""
        part = self._prepare_renderer(index).identify(
            self.camera, self._pose(self._robot.at(index / self.fps))
        )
        person = np.full(part.shape, -1, np.int32)
        for number, walker in enumerate(self._walkers):
            person[(part >= walker.first) & (part < walker.last)] = number
        return person

    def walking(self, index: int) -> np.ndarray:
        """Which people move in frame `index`: (N,) bool, by the person's number."""
        return np.array([walker.speed(index / self.fps) > STANDING for walker in self._walkers], bool)

    def _prepare_renderer(self, index: int) -> Renderer:
        """This thread's renderer, loaded with the drive's scene and its people at frame `index`."""
        renderer = shared_renderer()
        if renderer.owner is not self:
            renderer.load(self.scene)
            renderer.owner = self
        for walker in self._walkers:
            for number, part in enumerate(walker.parts(index / self.fps), walker.first):
                renderer.move(number, part.position, part.rotation)
        return renderer

    def _pose(self, state: np.ndarray) -> np.ndarray:
        """Camera pose (4, 4): the mounting pose plus a small sway that depends on the driven distance."""
        travelled = state[3]
        sway = 0.003 * math.sin(9.0 * travelled) + 0.002 * math.sin(23.0 * travelled)
        roll = 0.004 * math.sin(7.0 * travelled + 1.0)
        lift = 0.002 * math.sin(31.0 * travelled)
        return look_pose((state[0], state[1], self.mount + lift), float(state[2]), self._pitch + sway, roll)
