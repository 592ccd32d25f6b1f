# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from clip2depth_ros.camera import Camera, Letterbox
from clip2depth_ros.engines import open_engine
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.frame import Frame
from clip2depth_ros.outputs import PointCloud, PointsSettings
from clip2depth_ros.pipeline import Pipeline
from clip2depth_ros.settings import PipelineSettings, StabilizerSettings

CAMERA = Camera.from_fov(320, 240, 1.1)


def frame_of(image: np.ndarray, camera: Camera | None = CAMERA, stamp: int = 0) -> Frame:
    return Frame(image, stamp, "optical", camera)


def smooth_image(width: int, height: int, seed: int = 0) -> np.ndarray:
    """A picture without fine detail, the same at every size."""
    x = (np.arange(width) + 0.5) / width
    y = (np.arange(height) + 0.5)[:, None] / height
    rng = np.random.default_rng(seed)
    waves = [
        np.sin(rng.uniform(1, 4) * np.pi * x + rng.uniform(0, 6)) * np.cos(rng.uniform(1, 4) * np.pi * y)
        for _ in range(3)
    ]
    return np.clip(128 + 60 * np.stack(waves, -1), 0, 255).astype(np.uint8)


def plane_depth(camera: Camera, normal: np.ndarray, distance: float) -> np.ndarray:
    return (distance / (camera.rays().astype(np.float64) @ normal)).astype(np.float32)


def test_depth_is_the_networks_own(exact_engine, tiny_depth):
    """With image and network of one size, depth is bit for bit what the engine gave."""
    image = smooth_image(64, 48)
    pipeline = Pipeline(exact_engine(), stabilizer=None)
    result = pipeline.process(frame_of(image, Camera.from_fov(64, 48, 1.0), 17))
    assert result.std_dev is None and result.raw is None
    np.testing.assert_array_equal(result.depth, tiny_depth(image))
    np.testing.assert_array_equal(result.image, image)
    assert (result.stamp, result.frame_id) == (17, "optical")
    assert list(result.facts.times) == ["rectify", "fit", "infer", "stabilize", "scale", "unfit"]
    assert all(seconds >= 0 for seconds in result.facts.times.values())
    assert result.facts.valid_fraction == 1.0


def test_through_openvino(tiny_bundle, tiny_depth):
    image = smooth_image(320, 240)
    with open_engine(tiny_bundle) as engine:
        result = Pipeline(engine).process(frame_of(image))
    assert result.depth.shape == (240, 320) and result.depth.dtype == np.float32
    inside = (slice(6, -6), slice(6, -6))
    np.testing.assert_allclose(result.depth[inside], tiny_depth(image)[inside], rtol=0.03)


@given(
    st.floats(-0.5, 0.5),
    st.floats(-0.5, 0.5),
    st.floats(0.5, 6),
    st.sampled_from([(320, 240), (400, 200), (120, 200)]),
)
@settings(max_examples=30)
def test_the_cloud_of_a_plane_is_a_plane(exact_engine, tilt_x, tilt_y, distance, size):
    """From the network's depth of a plane, through letterbox and cloud, to points on that plane."""
    camera = Camera.from_fov(*size, 1.0)
    normal = np.array([tilt_x, tilt_y, 1.0]) / np.sqrt(tilt_x**2 + tilt_y**2 + 1)
    seen = plane_depth(Letterbox(size, 96, 96).camera(camera), normal, distance)
    assume(seen.min() > 0.1 and seen.max() < 40)
    pipeline = Pipeline(exact_engine(seen))
    result = pipeline.process(frame_of(np.zeros((size[1], size[0], 3), np.uint8), camera))
    cloud = PointCloud(PointsSettings(2)).build(result)[4:-4, 4:-4, :3].reshape(-1, 3).astype(np.float64)
    assert np.isfinite(cloud).all()
    np.testing.assert_allclose(cloud @ normal, distance, rtol=2e-3)


@pytest.mark.parametrize("depth_size", [None, (160, 120), (200, 90)])
def test_camera_of_the_depth_projects_the_cloud_onto_the_depths_pixels(exact_engine, depth_size):
    pipeline = Pipeline(exact_engine(), depth_size=depth_size)
    result = pipeline.process(frame_of(smooth_image(320, 240)))
    assert result.camera.size == result.depth.shape[::-1] == result.image.shape[1::-1]
    cloud = PointCloud(PointsSettings(1, edge_threshold=0)).build(result)
    x, y, z = (cloud[..., i].astype(np.float64) for i in range(3))
    rows, columns = np.indices(z.shape)
    np.testing.assert_allclose(result.camera.fx * x / z + result.camera.cx, columns, atol=1e-3)
    np.testing.assert_allclose(result.camera.fy * y / z + result.camera.cy, rows, atol=1e-3)
    # And a point of the world keeps its place: the same pixel in the image's own camera.
    u = (result.camera.cx + 0.5) * 320 / result.camera.width - 0.5
    assert u == pytest.approx(CAMERA.cx)


@pytest.mark.parametrize("canonical", [None, 70.0])
def test_an_image_half_the_size_gives_the_same_metric_depth(exact_engine, canonical):
    pipeline = Pipeline(exact_engine(canonical_focal_px=canonical), depth_size=(160, 120))
    full = pipeline.process(frame_of(smooth_image(640, 480), Camera.from_fov(640, 480, 1.1)))
    depth, scale = full.depth.copy(), full.facts.focal_scale
    half = pipeline.process(frame_of(smooth_image(320, 240), Camera.from_fov(320, 240, 1.1)))
    np.testing.assert_allclose(half.depth, depth, rtol=0.02)
    assert half.facts.focal_scale == pytest.approx(scale)
    assert half.camera.fx == pytest.approx(full.camera.fx)


@given(st.floats(0.5, 1.9), st.floats(0.5, 1.9))
@settings(max_examples=20)
def test_one_bundle_serves_any_field_of_view(exact_engine, first, second):
    """The same picture through a longer lens is proportionally farther away."""
    pipeline = Pipeline(exact_engine(canonical_focal_px=60.0, depth_max=1000.0))
    image = smooth_image(320, 240)
    near, far = Camera.from_fov(320, 240, first), Camera.from_fov(320, 240, second)
    depth = pipeline.process(frame_of(image, near)).depth.copy()
    again = pipeline.process(frame_of(image, far))
    np.testing.assert_allclose(again.depth, depth * (far.fx / near.fx), rtol=1e-4)
    assert again.facts.focal_scale == pytest.approx(far.fx * 64 / 320 / 60.0)


def test_without_canonical_focal_length_no_camera_is_needed(exact_engine):
    result = Pipeline(exact_engine()).process(frame_of(smooth_image(320, 240), None))
    assert result.camera is None and result.facts.focal_scale == 1.0


def test_a_missing_camera_is_said(exact_engine):
    pipeline = Pipeline(exact_engine(canonical_focal_px=60.0))
    assert pipeline.needs_camera
    with pytest.raises(Clip2DepthError, match="camera_info, a camera file or horizontal_fov"):
        pipeline.process(frame_of(smooth_image(320, 240), None))
    # And the pipeline goes on when the camera is known.
    assert pipeline.process(frame_of(smooth_image(320, 240))).facts.valid_fraction == 1.0


def test_depth_out_of_the_networks_range_is_unknown(exact_engine):
    depth = np.full((48, 64), 2.0, np.float32)
    depth[:8], depth[8:16], depth[16:24] = 0.2, 30.0, np.inf
    depth[24:32], depth[32:40] = np.nan, -1.0
    pipeline = Pipeline(exact_engine(depth, depth_min=0.5, depth_max=20.0))
    result = pipeline.process(frame_of(np.zeros((48, 64, 3), np.uint8), Camera.from_fov(64, 48, 1.0)))
    assert np.isnan(result.depth[:40]).all()
    np.testing.assert_array_equal(result.depth[40:], 2.0)
    assert result.facts.valid_fraction == pytest.approx(8 / 48)


def test_the_range_holds_for_the_networks_metres_not_the_cameras(exact_engine):
    depth = np.full((48, 64), 15.0, np.float32)
    camera = Camera.from_fov(64, 48, 1.0)
    pipeline = Pipeline(exact_engine(depth, depth_max=20.0, canonical_focal_px=camera.fx / 2))
    result = pipeline.process(frame_of(np.zeros((48, 64, 3), np.uint8), camera))
    np.testing.assert_allclose(result.depth, 30.0, rtol=1e-5)


def test_the_letterboxs_border_is_never_depth(exact_engine):
    depth = np.full((96, 96), 50.0, np.float32)
    Letterbox((320, 160), 96, 96).inner(depth)[:] = 2.0
    result = Pipeline(exact_engine(depth)).process(
        frame_of(np.zeros((160, 320, 3), np.uint8), Camera.from_fov(320, 160, 1.0))
    )
    np.testing.assert_array_equal(result.depth, 2.0)


def test_a_distorted_camera_is_rectified(exact_engine):
    """What the network sees, and the camera that is told, are the pinhole camera's."""
    bent = Camera(320, 240, 250, 250, 160, 120, (-0.3, 0.1, 0, 0, 0))
    image = np.zeros((240, 320, 3), np.uint8)
    distortion = np.array(bent.distortion)
    point = np.array([[[0.45, -0.3, 1.0]]])
    zero = np.zeros(3)
    pixel = cv2.projectPoints(point, zero, zero, bent.matrix, distortion)[0].reshape(2)
    cv2.circle(image, tuple(round(p) for p in pixel), 8, (255, 255, 255), -1)
    result = Pipeline(exact_engine()).process(frame_of(image, bent))
    assert result.camera == bent.undistorted()
    bright = result.image[..., 0].astype(float)
    rows, columns = np.indices(bright.shape)
    centre = np.array([(columns * bright).sum(), (rows * bright).sum()]) / bright.sum()
    np.testing.assert_allclose(centre, [250 * 0.45 + 160, 250 * -0.3 + 120], atol=1)
    # Bright is near for the tiny network.
    assert result.depth[round(centre[1]), round(centre[0])] < 1.2 < result.depth[5, 5]


def test_what_a_distorted_camera_never_saw_is_unknown(exact_engine):
    bent = Camera(320, 240, 250, 250, 160, 120, (0.6, 0, 0, 0, 0))
    result = Pipeline(exact_engine()).process(frame_of(np.full((240, 320, 3), 99, np.uint8), bent))
    assert np.isnan(result.depth[0, 0]) and np.isfinite(result.depth[120, 160])
    assert 0.5 < result.facts.valid_fraction < 1.0


def test_temporal_error_without_stabilizer(exact_engine):
    engine = exact_engine(np.full((48, 64), 2.0))
    pipeline = Pipeline(engine, stabilizer=None)
    image = np.zeros((240, 320, 3), np.uint8)
    assert np.isnan(pipeline.process(frame_of(image, stamp=0)).facts.temporal_error)
    assert pipeline.process(frame_of(image, stamp=1)).facts.temporal_error == 0.0
    engine.depth = np.full((48, 64), 2.2, np.float32)
    error = pipeline.process(frame_of(image, stamp=2)).facts.temporal_error
    assert error == pytest.approx(np.log(1.1), rel=1e-4)
    pipeline.reset()
    facts = pipeline.process(frame_of(image, stamp=3)).facts
    assert np.isnan(facts.temporal_error) and facts.reset
    assert not pipeline.process(frame_of(image, stamp=4)).facts.reset


def test_the_past_is_forgotten_when_it_is_not_the_past(exact_engine):
    pipeline = Pipeline(exact_engine())
    image = smooth_image(320, 240)

    def facts(image, camera, stamp):
        return pipeline.process(frame_of(image, camera, stamp)).facts

    assert not facts(image, CAMERA, 100).reset
    assert not facts(image, CAMERA, 200).reset
    back = facts(image, CAMERA, 150)
    assert back.reset and np.isnan(back.temporal_error)
    assert not facts(image, CAMERA, 160).reset
    other = facts(image, Camera.from_fov(320, 240, 1.5), 170)
    assert other.reset and np.isnan(other.temporal_error)
    smaller = facts(smooth_image(160, 120), Camera.from_fov(160, 120, 1.5), 180)
    assert smaller.reset and np.isnan(smaller.temporal_error)


def test_a_setting_that_costs_the_past_says_so(exact_engine):
    pipeline = Pipeline(exact_engine())
    image = smooth_image(CAMERA.width, CAMERA.height)
    for index in range(3):
        assert not pipeline.process(frame_of(image, stamp=index * 33_000_000)).facts.reset
    pipeline.configure(PipelineSettings(StabilizerSettings(flow_pixels=5_000)))
    assert pipeline.process(frame_of(image, stamp=100_000_000)).facts.reset
    assert not pipeline.process(frame_of(image, stamp=133_000_000)).facts.reset


def test_allocates_no_depth_per_frame(exact_engine):
    pipeline = Pipeline(exact_engine(), depth_size=(160, 120))
    first = pipeline.process(frame_of(smooth_image(320, 240)))
    second = pipeline.process(frame_of(smooth_image(320, 240, 1)))
    assert np.shares_memory(first.depth, second.depth)
    assert np.shares_memory(first.image, second.image)


def test_takes_read_only_and_strided_images(exact_engine):
    wide = smooth_image(400, 240)
    view = wide[:, 30:350]
    view.flags.writeable = False
    pipeline = Pipeline(exact_engine())
    depth = pipeline.process(frame_of(view)).depth.copy()
    np.testing.assert_array_equal(pipeline.process(frame_of(view.copy())).depth, depth)
    bent = Camera(320, 240, 250, 250, 160, 120, (-0.1, 0, 0, 0, 0))
    assert np.isfinite(Pipeline(exact_engine()).process(frame_of(view, bent)).depth).all()


@pytest.mark.parametrize(
    "image",
    [np.zeros((240, 320), np.uint8), np.zeros((240, 320, 4), np.uint8), np.zeros((240, 320, 3), np.float32)],
)
def test_other_arrays_are_refused(exact_engine, image):
    with pytest.raises(Clip2DepthError, match=r"\(H, W, 3\) uint8"):
        Pipeline(exact_engine()).process(frame_of(image))


def test_image_and_camera_of_different_sizes(exact_engine):
    with pytest.raises(Clip2DepthError, match="image is 64x48, its camera 320x240"):
        Pipeline(exact_engine()).process(frame_of(smooth_image(64, 48)))
    with pytest.raises(Clip2DepthError, match="size must be positive"):
        Pipeline(exact_engine(), depth_size=(0, 3))
