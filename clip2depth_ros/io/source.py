# SPDX-License-Identifier: Apache-2.0
"""The interface of all sources of frames."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.frame import Frame

log = logging.getLogger(__name__)

DEFAULT_FPS = 30.0

# From one image in a quarter of an hour to the fastest cameras. Slower rates give stamps out of a message's
# range.
LOWEST_FPS, HIGHEST_FPS = 1e-3, 1e4


class Source(ABC):
    """Frames in order. Iterating again starts from the beginning, except for a live camera.

    name: for people. fps: frames per second after `every` was applied, None when unknown. length: number of
    frames, None when unknown or endless. camera: known after opening or after the first frame, None when
    unknown.
    assumed: what was assumed about the camera, in words, "" for nothing. bad_images: number of images of the
    last iteration that could not be read; only their frames are left out. live: True for a camera that does
    not wait. has_depth, has_odometry: whether frames have ground-truth depth, and can have odometry.

    A frame's arrays are valid until the next frame is requested.
    """

    name: str
    fps: float | None = None
    length: int | None = None
    live = False
    has_depth = False
    has_odometry = False

    def __init__(
        self,
        *,
        camera: Camera | None = None,
        horizontal_fov: float | None = None,
        fps: float | None = None,
        every: int = 1,
        odometry: bool = False,
    ) -> None:
        self.every = every
        self.wants_odometry = odometry
        self.bad_images = 0
        self.assumed = ""
        self.camera: Camera | None = None
        self._given_camera = camera
        self._horizontal_fov = horizontal_fov
        self._given_fps = fps

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """Frames, every n-th of them."""

    def close(self) -> None:  # noqa: B027 - most sources hold nothing open
        """Close open files. Closing twice is allowed."""

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _resolve_camera(self, width: int, height: int, known: Camera | None) -> Camera | None:
        """The camera of an image of that size: the given one, the known one, or an assumed one."""
        if known is not None and known == self.camera and known.size == (width, height):
            return known
        given = self._given_camera
        if given is not None:
            camera = given
            if given.size != (width, height):
                if abs(given.width * height / (given.height * width) - 1) > 0.01:
                    raise Clip2DepthError(
                        f"The given camera is {given.width}x{given.height}, the images of {self.name} are "
                        f"{width}x{height}, which is another shape; give the camera of these images."
                    )
                camera = given.scaled(width, height)
                self.assumed = f"the given {given.width}x{given.height} camera, scaled to {width}x{height}"
        elif known is not None:
            if known.size != (width, height):
                raise Clip2DepthError(
                    f"{self.name} says its camera is {known.width}x{known.height}, its images are "
                    f"{width}x{height}; give the right camera with --camera."
                )
            camera = known
        elif self._horizontal_fov is not None:
            camera = Camera.from_fov(width, height, self._horizontal_fov)
            self.assumed = (
                f"an ideal camera of {self._horizontal_fov:g} rad horizontal field of view "
                f"(fx = {camera.fx:.1f} pixels)"
            )
        else:
            return None
        self.camera = camera
        return camera

    def _count_bad(self, what: str, reason: str = "") -> None:
        """Count an image that could not be read, with a warning for the first one.

        reason: a whole sentence, "" for the default one.
        """
        self.bad_images += 1
        if self.bad_images == 1:
            log.warning("%s Its frame is left out.", reason or f"{self.name}: {what} cannot be read.")

    def _end(self, frames: int) -> None:
        """Called at the end of an iteration: an error if no image was read, a warning if some were not."""
        if not frames:
            reason = (
                f"none of its {self.bad_images} images can be read" if self.bad_images else "it has no frame"
            )
            raise Clip2DepthError(f"{self.name}: {reason}.")
        if self.bad_images > 1:
            log.warning("%s: %d images could not be read.", self.name, self.bad_images)
