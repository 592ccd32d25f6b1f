# SPDX-License-Identifier: Apache-2.0
"""The image codec: what every encoding becomes, and that malformed messages are refused with a sentence."""

from __future__ import annotations

import array

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clip2depth_ros.errors import Clip2DepthError

pytest.importorskip("rclpy")
from sensor_msgs.msg import CompressedImage, Image

from clip2depth_ros.io.messages.images import ImageCodec, nanoseconds, set_stamp

pytestmark = pytest.mark.ros

# How each encoding stores a picture of (H, W, 3) RGB, as (H, W, bytes a pixel), little endian.
STORED = {
    "rgb8": lambda rgb: rgb,
    "bgr8": lambda rgb: rgb[..., ::-1],
    "8UC3": lambda rgb: rgb[..., ::-1],
    "rgba8": lambda rgb: np.dstack([rgb, np.full(rgb.shape[:2], 7, np.uint8)]),
    "bgra8": lambda rgb: np.dstack([rgb[..., ::-1], np.full(rgb.shape[:2], 7, np.uint8)]),
    "8UC4": lambda rgb: np.dstack([rgb[..., ::-1], np.full(rgb.shape[:2], 7, np.uint8)]),
    "mono8": lambda rgb: rgb[..., :1],
    "8UC1": lambda rgb: rgb[..., :1],
    "mono16": lambda rgb: np.dstack([rgb[..., 1], rgb[..., 0]]),  # low byte noise, high byte the picture
}
GREY = ("mono8", "8UC1", "mono16")


def picture(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def message_of(rgb: np.ndarray, encoding: str, padding: int = 0, big_endian: bool = False) -> Image:
    pixels = np.ascontiguousarray(STORED[encoding](rgb))
    if big_endian and encoding == "mono16":
        pixels = np.ascontiguousarray(pixels[..., ::-1])
    height, width = rgb.shape[:2]
    rows = pixels.reshape(height, -1)
    rows = np.hstack([rows, np.full((height, padding), 0xAB, np.uint8)])
    message = Image(
        height=height, width=width, encoding=encoding, step=rows.shape[1], is_bigendian=int(big_endian)
    )
    message.data = array.array("B", rows.tobytes())
    return message


@settings(deadline=None, max_examples=150)
@given(
    encoding=st.sampled_from(sorted(STORED)),
    width=st.integers(1, 40),
    height=st.integers(1, 30),
    padding=st.integers(0, 17),
    big_endian=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_encoding_becomes_the_same_picture(encoding, width, height, padding, big_endian, seed):
    rgb = picture(width, height, seed)
    expected = np.repeat(rgb[..., :1], 3, axis=2) if encoding in GREY else rgb
    decoded = ImageCodec().decode(message_of(rgb, encoding, padding, big_endian))
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, expected)


@pytest.mark.parametrize("padding", [0, 5])
def test_rgb8_is_a_view_of_the_message(padding):
    message = message_of(picture(16, 9), "rgb8", padding)
    decoded = ImageCodec().decode(message)
    assert np.shares_memory(decoded, np.frombuffer(message.data, np.uint8))


def test_converted_pictures_share_one_buffer_until_the_size_changes():
    codec = ImageCodec()
    first = codec.decode(message_of(picture(16, 9), "bgr8"))
    second = codec.decode(message_of(picture(16, 9, seed=1), "bgr8"))
    assert np.shares_memory(first, second)
    assert not np.shares_memory(first, codec.decode(message_of(picture(9, 16), "bgr8")))


def changed(**changes) -> Image:
    message = message_of(picture(16, 9), "rgb8")
    for name, value in changes.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (changed(data=array.array("B", bytes(16 * 9 * 3 - 1))), "431 bytes"),
        (changed(data=array.array("B")), "0 bytes"),
        (changed(data=array.array("B", bytes(16 * 9 * 3 + 48))), "480 bytes"),
        (changed(width=0), "0x9"),
        (changed(height=0, data=array.array("B")), "16x0"),
        (changed(width=2**32 - 1), "4294967295x9"),
        (changed(step=47, data=array.array("B", bytes(47 * 9))), "takes 48"),
        (changed(encoding="32FC1"), "32FC1"),
        (changed(encoding="16UC1"), "16UC1"),
        (changed(encoding=""), "encoding is ''"),
        (changed(encoding="RGB8"), "RGB8"),
    ],
)
def test_a_malformed_image_is_refused_with_its_reason(message, words):
    with pytest.raises(Clip2DepthError, match=words):
        ImageCodec().decode(message)


@settings(deadline=None, max_examples=200)
@given(
    width=st.integers(0, 2**32 - 1),
    height=st.integers(0, 2**32 - 1),
    step=st.integers(0, 2**32 - 1),
    encoding=st.sampled_from([*sorted(STORED), "bayer_rggb8", "yuv422", "rgb16", "64FC3", "x" * 300]),
    size=st.integers(0, 200),
)
def test_no_header_makes_the_codec_fail_otherwise(width, height, step, encoding, size):
    message = Image(width=width, height=height, step=step, encoding=encoding)
    message.data = array.array("B", bytes(size))
    try:
        decoded = ImageCodec().decode(message)
    except Clip2DepthError:
        return
    assert decoded.shape == (height, width, 3)


@pytest.mark.parametrize("encoding", ["bayer_rgbw8", "yuv444", "nv16", "32FC1"])
def test_an_encoding_that_is_not_read_is_named(encoding):
    with pytest.raises(Clip2DepthError, match=f"encoding is '{encoding}', .*; these are: rgb8, "):
        ImageCodec().decode(changed(encoding=encoding))


def test_text_of_a_message_is_bounded_and_printable_in_the_refusal():
    hostile = "yuv\n\x1b[31m\u202e" + "x" * 50_000
    for message in (changed(encoding=hostile), changed(encoding=hostile[3:])):
        with pytest.raises(Clip2DepthError) as refusal:
            ImageCodec().decode(message)
        assert str(refusal.value).isprintable() and len(str(refusal.value)) < 700
    for coded in (b"no picture", b""):
        message = CompressedImage(format=hostile, data=array.array("B", coded))
        with pytest.raises(Clip2DepthError) as refusal:
            ImageCodec().decode(message)
        assert str(refusal.value).isprintable() and len(str(refusal.value)) < 700


def compressed(rgb: np.ndarray, suffix: str = ".png", **fields) -> CompressedImage:
    _, coded = cv2.imencode(suffix, rgb[..., ::-1])
    message = CompressedImage(format=fields.get("format", suffix[1:]))
    message.data = array.array("B", coded.tobytes()[: fields.get("size")])
    return message


def test_compressed_pictures():
    rgb = picture(64, 48)
    np.testing.assert_array_equal(ImageCodec().decode(compressed(rgb)), rgb)
    smooth = cv2.resize(picture(4, 3), (64, 48), interpolation=cv2.INTER_CUBIC)
    decoded = ImageCodec().decode(compressed(smooth, ".jpg"))
    assert np.abs(decoded.astype(int) - smooth).mean() < 4


def test_a_jpeg_is_decoded_as_small_as_is_allowed():
    asked = []

    def most(number):
        return lambda size: asked.append(size) or number

    codec, jpeg = ImageCodec(), compressed(picture(321, 243), ".jpg")
    for number, shrink, shape in (
        (1, 1, (243, 321)),
        (3, 2, (122, 161)),
        (8, 8, (31, 41)),
        (64, 8, (31, 41)),
    ):
        image, size, done = codec.decode_for(jpeg, most(number))
        assert (image.shape, size, done) == ((*shape, 3), (321, 243), shrink)
    assert set(asked) == {(321, 243)}
    # Nothing else is decoded at another size.
    for message in (compressed(picture(321, 243)), message_of(picture(321, 243), "bgr8")):
        image, size, done = codec.decode_for(message, most(8))
        assert (image.shape, size, done) == ((243, 321, 3), (321, 243), 1)
    with pytest.raises(Clip2DepthError, match="30 bytes"):
        codec.decode_for(compressed(picture(64, 48), ".jpg", size=30), most(8))


def test_compressed_grey_becomes_rgb():
    grey = picture(64, 48)[..., 0]
    _, coded = cv2.imencode(".png", grey)
    message = CompressedImage(format="mono8; png compressed", data=array.array("B", coded.tobytes()))
    np.testing.assert_array_equal(ImageCodec().decode(message), np.repeat(grey[..., None], 3, axis=2))


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (compressed(picture(64, 48), size=0), "0 bytes"),
        (compressed(picture(64, 48), size=30), "30 bytes"),
        (CompressedImage(format="jpeg", data=array.array("B", b"not a picture at all")), "no picture"),
        (compressed(picture(64, 48), format="32FC1; compressedDepth"), "depth image"),
    ],
)
def test_a_malformed_compressed_image_is_refused_with_its_reason(message, words):
    with pytest.raises(Clip2DepthError, match=words):
        ImageCodec().decode(message)


@given(st.integers(0, 2**31 * 1_000_000_000 - 1))
def test_stamps_are_kept_to_the_nanosecond(time):
    stamp = Image().header.stamp
    set_stamp(stamp, time)
    assert nanoseconds(stamp) == time
