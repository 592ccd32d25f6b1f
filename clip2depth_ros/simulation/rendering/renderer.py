# SPDX-License-Identifier: Apache-2.0
"""Images and true depth of a Scene from MuJoCo's renderer.

One small template model, compiled once per process, contains only texture slots and materials. A scene is
written directly into MuJoCo's abstract scene (geoms, lights, camera), so that no scene needs compiling.
"""

from __future__ import annotations

import atexit
import os
import threading
from functools import lru_cache

import cv2
import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.simulation.rendering.gl import import_mujoco, make_context
from clip2depth_ros.simulation.rendering.sky import SKY, sky_texture
from clip2depth_ros.simulation.scene.scene import BOX, CAPSULE, CYLINDER, Paint, Part, Scene
from clip2depth_ros.simulation.surfaces.textures import CUBE_SIZE, SIZE, cube_texture, flat_texture

FLAT_SLOTS, CUBE_SLOTS = 44, 16
MATERIALS = 200
MAX_PARTS = 1500
NEAR, FAR = 0.05, 60.0
OPEN_AIR = 40.0
"""Depth is unknown beyond this distance under a sky, meters: MuJoCo draws the sky itself at 41 to 59 m."""
_LIGHTS = 7


def _template() -> str:
    assets = []
    for slot in range(FLAT_SLOTS):
        assets.append(f'<texture name="f{slot}" type="2d" builtin="flat" width="{SIZE}" height="{SIZE}"/>')
    for slot in range(CUBE_SLOTS):
        assets.append(
            f'<texture name="c{slot}" type="cube" builtin="flat" width="{CUBE_SIZE}"'
            f' height="{6 * CUBE_SIZE}"/>'
        )
    assets.append(f'<texture name="sky" type="skybox" builtin="flat" width="{SKY}" height="{6 * SKY}"/>')
    assets.extend(f'<material name="m{number}" texture="f0"/>' for number in range(MATERIALS))
    return (
        '<mujoco><visual><global offwidth="64" offheight="64"/>'
        '<quality offsamples="0" shadowsize="1024" numquads="2" numslices="14" numstacks="8"/></visual>'
        f'<asset>{"".join(assets)}</asset><worldbody><geom size="1"/></worldbody></mujoco>'
    )


class Renderer:
    """Draws a Scene. It owns an OpenGL context of the thread that created it: see shared_renderer."""

    def __init__(self):
        self._mujoco = mujoco = import_mujoco()
        self._gl = make_context(64, 64)
        self._gl.make_current()
        self._model = mujoco.MjModel.from_xml_string(_template())
        self._context = mujoco.MjrContext(self._model, mujoco.mjtFontScale.mjFONTSCALE_50)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        self._scene = mujoco.MjvScene(self._model, maxgeom=MAX_PARTS)
        self._scene.flags[:] = 0
        self._shapes = {
            name: getattr(mujoco.mjtGeom, f"mjGEOM_{name.upper()}").value
            for name in ("box", "cylinder", "sphere", "capsule", "ellipsoid")
        }
        self._flat: dict[tuple[str, int], int] = {}
        self._cube: dict[tuple[str, int], int] = {}
        self._materials: dict[tuple, int] = {}
        self._held: list[tuple[str, int] | None] = [None] * (FLAT_SLOTS + CUBE_SLOTS)
        self._sky: int | None = None
        self._size = (64, 64)
        self._color = np.zeros((64, 64, 3), np.uint8)
        self._depth = np.zeros((64, 64), np.float32)
        self.owner: object = None
        """The user that loaded the scene; any other user must load its scene again."""

    def close(self) -> None:
        """Release the OpenGL context. Closing twice is harmless."""
        if self._gl is not None:
            self._context.free()
            self._gl.free()
            self._gl = None

    # -- scene ---------------------------------------------------------------------------------------------

    def load(self, scene: Scene) -> None:
        """Write the whole scene: textures, parts and lights."""
        self._gl.make_current()
        self.owner = None
        self._assign_textures(scene)
        target = self._scene
        target.ngeom = min(len(scene.parts), MAX_PARTS)
        self._materials.clear()
        init = self._mujoco.mjv_initGeom
        for index in range(target.ngeom):
            part, geom = scene.parts[index], target.geoms[index]
            paint = part.paint
            rgba = np.array([*paint.rgb, paint.alpha], np.float32)
            # mjv_initGeom takes a model's sizes: (radius, half length) for round bodies with an axis.
            size = (part.size[0], part.size[2], 0.0) if part.shape in (CYLINDER, CAPSULE) else part.size
            init(geom, self._shapes[part.shape], size, part.position, part.rotation.ravel(), rgba)
            geom.category = self._mujoco.mjtCatBit.mjCAT_STATIC.value
            geom.specular, geom.shininess = paint.specular, paint.shininess
            geom.emission, geom.reflectance = paint.emission, paint.reflectance
            geom.transparent = int(paint.alpha < 1.0)
            geom.segid = index
            if paint.texture is not None:
                geom.matid = self._material(paint)
        self._kinds = np.array([self._shapes[p.shape] for p in scene.parts[: target.ngeom]])
        self._centres = np.array([p.position for p in scene.parts[: target.ngeom]], np.float64).reshape(-1, 3)
        self._radii = np.array([_bounding_radius(p) for p in scene.parts[: target.ngeom]])
        self._drawn = np.ones(target.ngeom, bool)
        self._load_lights(scene)
        if scene.sky is not None and scene.sky != self._sky:
            self._upload(FLAT_SLOTS + CUBE_SLOTS, sky_texture(scene.sky))
            self._sky = scene.sky
        self._scene.flags[self._mujoco.mjtRndFlag.mjRND_SKYBOX] = int(scene.sky is not None)

    def move(self, index: int, position: np.ndarray, rotation: np.ndarray) -> None:
        """Move part `index` of the loaded scene."""
        geom = self._scene.geoms[index]
        geom.pos[:] = position
        geom.mat[:] = rotation
        self._centres[index] = position

    def _assign_textures(self, scene: Scene) -> None:
        flat = list(
            dict.fromkeys(p.paint.texture for p in scene.parts if p.paint.texture and not p.paint.cube)
        )
        cube = list(dict.fromkeys(p.paint.texture for p in scene.parts if p.paint.texture and p.paint.cube))
        flats, cubes = scene.texture_slots
        self._flat = self._fill(flat, 0, min(flats, FLAT_SLOTS), flat_texture)
        self._cube = self._fill(cube, FLAT_SLOTS, min(cubes, CUBE_SLOTS), cube_texture)

    def _material(self, paint: Paint) -> int:
        """The material that applies a paint's texture at its scale; one for each combination in the scene."""
        key = (paint.texture, paint.cube, paint.fit, 0.0 if paint.fit else paint.scale)
        if key not in self._materials:
            number = len(self._materials) % MATERIALS
            self._materials[key] = number
            context = self._context
            slot = self._cube[paint.texture] + FLAT_SLOTS if paint.cube else self._flat[paint.texture]
            role = self._mujoco.mjtTextureRole.mjTEXROLE_RGB.value
            context.mat_texid[number * (len(context.mat_texid) // len(context.mat_texuniform)) + role] = slot
            context.mat_texuniform[number] = not paint.fit
            # Stretched textures repeat per part, uniform ones per two meters.
            context.mat_texrepeat[2 * number : 2 * number + 2] = 1.0 if paint.fit else 2.0 / paint.scale
        return self._materials[key]

    def _fill(self, wanted: list, first: int, count: int, draw) -> dict:
        """Assign slots to the requested textures, draw changed ones; textures above `count` share slots."""
        slots = {}
        for order, texture in enumerate(wanted):
            slot = order % count
            slots[texture] = slot
            if order < count and self._held[first + slot] != texture:
                self._upload(first + slot, draw(*texture))
                self._held[first + slot] = texture
        return slots

    def _upload(self, slot: int, pixels: np.ndarray) -> None:
        address = self._model.tex_adr[slot]
        self._model.tex_data[address : address + pixels.size] = pixels.ravel()
        self._mujoco.mjr_uploadTexture(self._model, self._context, slot)

    def _load_lights(self, scene: Scene) -> None:
        target = self._scene
        head = target.lights[0]
        target.nlight = 1 + min(len(scene.lights), _LIGHTS)
        head.headlight, head.castshadow = 1, 0
        head.type = self._mujoco.mjtLightType.mjLIGHT_DIRECTIONAL.value
        head.ambient[:], head.diffuse[:], head.specular[:] = scene.ambient, 0.0, 0.0
        head.attenuation[:] = 1.0, 0.0, 0.0
        shadows = False
        for index, source in enumerate(scene.lights[:_LIGHTS]):
            light = target.lights[index + 1]
            kind = "DIRECTIONAL" if source.parallel else "SPOT"
            light.type = getattr(self._mujoco.mjtLightType, f"mjLIGHT_{kind}").value
            light.headlight, light.castshadow = 0, int(source.shadow)
            light.pos[:], light.dir[:] = source.position, source.direction
            light.ambient[:], light.diffuse[:] = 0.0, source.colour
            light.specular[:] = 0.4 * np.asarray(source.colour)
            light.attenuation[:] = source.attenuation
            light.cutoff, light.exponent = 85.0 if source.shadow else 180.0, 0.0
            shadows |= source.shadow
        flags = self._mujoco.mjtRndFlag
        target.flags[flags.mjRND_SHADOW] = int(shadows)
        target.flags[flags.mjRND_CULL_FACE] = 1
        target.flags[flags.mjRND_REFLECTION] = int(any(p.paint.reflectance > 0 for p in scene.parts))

    # -- picture -------------------------------------------------------------------------------------------

    def render(self, camera: Camera, pose: np.ndarray, supersample: int = 2) -> tuple[np.ndarray, np.ndarray]:
        """Render the loaded scene.

        Args:
            camera: square pixels (fx = fy) and a centered principal point, no distortion.
            pose: (4, 4) camera (optical: x right, y down, z forward) to world, meters.
            supersample: samples per pixel and axis.

        Returns:
            color (H, W, 3) float32 RGB 0..255, and depth (H, W) float32, distance along the optical axis in
            meters, NaN where nothing is.
        """
        self._draw(camera, pose, supersample)
        inverse = (1.0 / NEAR - self._depth[::-1] * np.float32(1.0 / NEAR - 1.0 / FAR)).astype(np.float32)
        color = self._color[::-1]
        if supersample == 1:
            image, depth = color.astype(np.float32), 1.0 / inverse
        else:
            image = cv2.resize(color, (camera.width, camera.height), interpolation=cv2.INTER_AREA).astype(
                np.float32
            )
            depth = _reduce(inverse, supersample)
        depth[depth > 0.99 * FAR] = np.nan
        if self._scene.flags[self._mujoco.mjtRndFlag.mjRND_SKYBOX]:
            depth[depth * _stretch(camera) > OPEN_AIR] = np.nan
        return image, depth

    def identify(self, camera: Camera, pose: np.ndarray) -> np.ndarray:
        """Index of the part of the loaded scene at every pixel: (H, W) int32, -1 where nothing is.

        camera, pose: as in render.
        """
        flags = self._mujoco.mjtRndFlag
        # Colors encode part numbers here, so shading and reflections must be off.
        ordinary = np.array(self._scene.flags)
        self._scene.flags[flags.mjRND_SHADOW] = self._scene.flags[flags.mjRND_REFLECTION] = 0
        self._scene.flags[flags.mjRND_SEGMENT] = self._scene.flags[flags.mjRND_IDCOLOR] = 1
        try:
            self._draw(camera, pose, 1)
        finally:
            self._scene.flags[:] = ordinary
        number = self._color[::-1].astype(np.int32) @ np.array([1, 1 << 8, 1 << 16], np.int32)
        return number - 1

    def _draw(self, camera: Camera, pose: np.ndarray, supersample: int) -> None:
        """Fill self._color and self._depth, both upside down."""
        self._gl.make_current()
        width, height = camera.width * supersample, camera.height * supersample
        if self._size != (width, height):
            self._mujoco.mjr_resizeOffscreen(width, height, self._context)
            self._size = (width, height)
            self._color = np.zeros((height, width, 3), np.uint8)
            self._depth = np.zeros((height, width), np.float32)
        self._aim(camera, pose)
        self._cull(camera, pose)
        viewport = self._mujoco.MjrRect(0, 0, width, height)
        self._mujoco.mjr_render(viewport, self._scene, self._context)
        self._mujoco.mjr_readPixels(self._color, self._depth, viewport, self._context)

    def _cull(self, camera: Camera, pose: np.ndarray) -> None:
        """Skip the parts outside the image: software OpenGL spends most of its time on vertices."""
        local = (self._centres - pose[:3, 3]) @ pose[:3, :3]
        x, y, z = np.abs(local[:, 0]), np.abs(local[:, 1]), local[:, 2]
        a, b = camera.width / (2.0 * camera.fx), camera.height / (2.0 * camera.fy)
        drawn = (z > -self._radii) & (x - a * z < self._radii * np.hypot(1.0, a))
        drawn &= y - b * z < self._radii * np.hypot(1.0, b)
        if self._scene.flags[self._mujoco.mjtRndFlag.mjRND_SHADOW]:
            drawn[:] = True
        hidden = self._mujoco.mjtGeom.mjGEOM_NONE.value
        for index in np.flatnonzero(drawn != self._drawn):
            self._scene.geoms[index].type = int(self._kinds[index]) if drawn[index] else hidden
        self._drawn = drawn

    def _aim(self, camera: Camera, pose: np.ndarray) -> None:
        for eye in self._scene.camera:
            eye.pos[:] = pose[:3, 3]
            eye.forward[:] = pose[:3, 2]
            eye.up[:] = -pose[:3, 1]
            top = NEAR * camera.height / (2.0 * camera.fy)
            eye.orthographic = 0
            eye.frustum_center = 0.0
            eye.frustum_width = NEAR * camera.width / (2.0 * camera.fx)
            eye.frustum_bottom, eye.frustum_top = -top, top
            eye.frustum_near, eye.frustum_far = NEAR, FAR


@lru_cache(maxsize=2)
def _stretch(camera: Camera) -> np.ndarray:
    """(H, W) float32: distance from the camera over distance along the optical axis, per pixel."""
    x = (np.arange(camera.width) - camera.cx) / camera.fx
    y = (np.arange(camera.height) - camera.cy) / camera.fy
    return np.sqrt(1.0 + x[None, :] ** 2 + y[:, None] ** 2).astype(np.float32)


def _bounding_radius(part: Part) -> float:
    """Radius of a sphere around the part's middle that contains it."""
    if part.shape == BOX:
        return float(np.linalg.norm(part.size))
    if part.shape == CYLINDER:
        return float(np.hypot(part.size[0], part.size[2]))
    return float(part.size[0] + part.size[2]) if part.shape == CAPSULE else max(part.size)


def _reduce(inverse: np.ndarray, n: int) -> np.ndarray:
    """One depth from n x n samples of inverse depth.

    Exact on planes, where inverse depth is linear; never a mixture across edges.
    """
    samples = [inverse[r::n, c::n] for r in range(n) for c in range(n)]
    near, far = samples[0].copy(), samples[0].copy()
    total = np.zeros_like(near)
    for sample in samples:
        np.maximum(near, sample, out=near)
        np.minimum(far, sample, out=far)
        total += sample
    depth = (n * n) / total
    edge = near > 1.1 * far
    if edge.any():
        corner = np.sort(np.stack([sample[edge] for sample in samples]), axis=0)
        depth[edge] = 1.0 / corner[n * n // 2]
    return depth


_local = threading.local()


def shared_renderer() -> Renderer:
    """This thread's renderer, created at first use (an OpenGL context belongs to one thread).

    Raises Clip2DepthError in a process that was forked from one that has already rendered.
    """
    if not hasattr(_local, "renderer"):
        _local.renderer, _local.process = Renderer(), os.getpid()
        # Before the interpreter shuts down, because OpenGL bindings raise errors during shutdown.
        atexit.register(_local.renderer.close)
    if _local.process != os.getpid():
        # OpenGL's own threads do not exist in the forked process: it would wait for them forever.
        raise Clip2DepthError(
            "the simulator cannot draw in a process forked from one that has drawn: start it by 'spawn', or "
            "draw in one process only."
        )
    return _local.renderer
