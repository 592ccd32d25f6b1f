# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.frame import DepthFrame, Floor
from clip2depth_ros.outputs import POINT_STEP, FloorLimits, PointCloud, PointsSettings

CAMERA = Camera(160, 120, 150.0, 140.0, 81.5, 57.25)


def frame_of(
    depth: np.ndarray, camera: Camera | None = CAMERA, image: np.ndarray | None = None
) -> DepthFrame:
    if image is None:
        image = np.random.default_rng(3).integers(0, 256, (*depth.shape, 3), np.uint8)
    return DepthFrame(np.asarray(depth, np.float32), image, camera, 0, "camera")


def plane(normal: np.ndarray, distance: float, camera: Camera = CAMERA) -> np.ndarray:
    """Depth of the plane normal . X = distance, (H, W) float32."""
    return (distance / (camera.rays().astype(np.float64) @ normal)).astype(np.float32)


@given(st.floats(-0.6, 0.6), st.floats(-0.6, 0.6), st.floats(0.5, 6), st.integers(1, 5))
@settings(max_examples=50)
def test_the_cloud_of_a_plane_is_a_plane(tilt_x, tilt_y, distance, stride):
    normal = np.array([tilt_x, tilt_y, 1.0]) / np.sqrt(tilt_x**2 + tilt_y**2 + 1)
    depth = plane(normal, distance)
    assume(depth.min() > 0.05 and depth.max() < 50)
    points = (
        PointCloud(PointsSettings(stride)).build(frame_of(depth))[..., :3].reshape(-1, 3).astype(np.float64)
    )
    assert np.isfinite(points).all()
    np.testing.assert_allclose(points @ normal, distance, rtol=1e-4)


@given(st.integers(1, 6))
def test_the_camera_projects_the_cloud_onto_its_own_pixels(stride):
    depth = np.random.default_rng(stride).uniform(0.5, 8, (120, 160)).astype(np.float32)
    points = (
        PointCloud(PointsSettings(stride, edge_threshold=0))
        .build(frame_of(depth))[..., :3]
        .astype(np.float64)
    )
    x, y, z = np.moveaxis(points, -1, 0)
    rows, columns = np.indices(z.shape)
    np.testing.assert_allclose(CAMERA.fx * x / z + CAMERA.cx, columns * stride, atol=1e-3)
    np.testing.assert_allclose(CAMERA.fy * y / z + CAMERA.cy, rows * stride, atol=1e-3)
    np.testing.assert_array_equal(z.astype(np.float32), depth[::stride, ::stride])


def test_the_color_is_the_pixels_without_alpha():
    frame = frame_of(np.full((120, 160), 2.0))
    cloud = PointCloud(PointsSettings(3)).build(frame)
    red, green, blue = (frame.image[::3, ::3, i].astype(np.uint32) for i in range(3))
    np.testing.assert_array_equal(cloud.view(np.uint32)[..., 3], red << 16 | green << 8 | blue)
    # A color with the alpha bits set would be NaN as a float, and readers drop NaN points.
    assert np.isfinite(cloud[..., 3]).all()


def test_fills_a_messages_bytes():
    message = bytearray(40 * 54 * POINT_STEP)
    cloud = PointCloud(PointsSettings(3))
    assert cloud.shape(160, 120) == (40, 54)
    out = np.frombuffer(message, np.float32).reshape(40, 54, 4)
    frame = frame_of(np.full((120, 160), 2.0))
    assert cloud.build(frame, out) is out
    np.testing.assert_array_equal(np.frombuffer(message, np.float32)[2::4], 2.0)


def test_points_out_of_range_are_unknown():
    depth = np.linspace(0.5, 10, 160, dtype=np.float32) * np.ones((120, 1), np.float32)
    cloud = PointCloud(PointsSettings(1, min_range=1.0, max_range=5.0, edge_threshold=0)).build(
        frame_of(depth)
    )
    distance = np.linalg.norm(CAMERA.rays() * depth[..., None], axis=-1)
    expected = (distance >= 1.0) & (distance <= 5.0)
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(np.isfinite(cloud[..., 0]), expected)
    np.testing.assert_array_equal(np.isnan(cloud[..., :3]).any(-1), np.isnan(cloud[..., :3]).all(-1))


def test_no_ghost_points_at_a_depth_edge():
    """Between a box and the wall behind it, the network gives depths at which there is no surface."""
    depth = np.full((120, 160), 4.0, np.float32)
    depth[40:100, 60:100] = 1.5
    ramp = np.linspace(1.5, 4.0, 5)[1:-1]
    for i, value in enumerate(ramp):
        depth[40:100, 100 + i] = value
    ghosts = slice(100, 103)
    kept = np.isfinite(PointCloud(PointsSettings(1, edge_threshold=0)).build(frame_of(depth))[..., 2])
    assert kept.all()
    cut = np.isnan(PointCloud(PointsSettings(1)).build(frame_of(depth))[..., 2])
    assert cut[45:95, ghosts].all()
    # The surfaces themselves stay, but for a rim.
    assert cut.mean() < 0.06
    assert not cut[50:90, 70:90].any() and not cut[:, 115:].any()


def test_thin_objects_are_kept():
    """A chair's leg is narrower than the reach of an edge, but still an obstacle."""
    depth = np.full((120, 160), 4.0, np.float32)
    depth[30:110, 80:82] = 1.5
    cut = np.isnan(PointCloud(PointsSettings(1, edge_reach=0.03)).build(frame_of(depth))[..., 2])
    assert not cut.any()


def test_unknown_depth_gives_unknown_points():
    depth = np.full((120, 160), 2.0, np.float32)
    depth[30, 40] = np.nan
    cloud = PointCloud(PointsSettings(2, max_range=10)).build(frame_of(depth))
    assert np.isnan(cloud[15, 20, :3]).all()
    assert np.isnan(cloud[..., 2]).sum() == 1


def test_a_new_camera_gives_new_rays():
    cloud = PointCloud(PointsSettings(1))
    depth = np.full((120, 160), 2.0)
    before = cloud.build(frame_of(depth)).copy()
    other = Camera(160, 120, 300.0, 280.0, 81.5, 57.25)
    after = cloud.build(frame_of(depth, other))
    np.testing.assert_allclose(after[..., 0] * 2, before[..., 0], rtol=1e-5, atol=1e-6)


def test_wrong_arguments_are_rejected():
    depth = np.full((120, 160), 2.0)
    with pytest.raises(Clip2DepthError, match="camera_info, a camera file or horizontal_fov"):
        PointCloud().build(frame_of(depth, None))
    with pytest.raises(Clip2DepthError, match=r"buffer must be float32 \(60, 80, 4\)"):
        PointCloud().build(frame_of(depth), np.empty((60, 80, 3), np.float32))
    for options in ({"stride": 0}, {"min_range": 3.0, "max_range": 2.0}, {"edge_threshold": 1.5}):
        with pytest.raises(Clip2DepthError):
            PointCloud(PointsSettings(**options))


def test_a_floor_that_short_depth_raises_is_left_out():
    """Depth too short by a quarter: the floor under a camera 0.6 m high seems to be 0.15 m high."""
    floor = Floor.from_mounting(0.6, pitch=0.3)
    depth = plane(floor.normal, -0.6)
    depth[(depth <= 0) | (depth > 6)] = np.nan
    box = (slice(50, 80), slice(60, 100))
    depth[box] = np.minimum(1.2, depth[box])
    short = 0.75 * depth
    found = Floor(floor.normal, 0.45, 1.0)
    cloud = PointCloud(PointsSettings(1, edge_threshold=0))

    def heights(**limits) -> np.ndarray:
        points = cloud.build(frame_of(short), floor=FloorLimits(min_height=0.1, tolerance=0.03, **limits))
        return points[..., :3].astype(np.float64) @ floor.normal + 0.6

    lifted = heights(found=found, expected=floor)
    on_box = np.zeros_like(depth, bool)
    on_box[box] = (depth == np.float32(1.2))[box]
    assert np.isnan(lifted[~on_box]).all()
    tall = on_box & (short * (CAMERA.rays() @ floor.normal) + 0.45 > 0.15)
    assert tall.sum() > 500 and np.isfinite(lifted[tall]).all()
    # Without a known mounting, the floor is not compared, and its points are kept.
    stays = heights(found=found, expected=found)
    assert np.isfinite(stays[~np.isnan(depth)]).mean() > 0.9
    # A floor point with a large standard deviation is not an obstacle either.
    noisy = depth.copy()
    noisy[110:, 20:40] *= 0.6
    limits = FloorLimits(floor, floor, 0.1, 0.03)
    sure = cloud.build(frame_of(noisy), floor=limits)[110:, 20:40, 2]
    assert np.isfinite(sure).all()
    frame = frame_of(noisy)
    frame.std_dev = np.full_like(noisy, 0.3)
    assert np.isnan(cloud.build(frame, floor=limits)[110:, 20:40, 2]).all()
