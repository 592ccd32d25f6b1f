# SPDX-License-Identifier: Apache-2.0
"""Compressed images are checked by their header, in milliseconds and without large allocations."""

from __future__ import annotations

import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.machine.memory import peak_memory, reset_peak_memory
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.compressed import (
    MAX_FILE,
    MAX_PIXELS,
    can_shrink,
    decode_depth,
    decode_rgb,
    read_rgb,
    stated_size,
)

CASES = Path(__file__).parents[3] / "shared" / "cases" / "images"


def picture(width: int = 50, height: int = 40) -> np.ndarray:
    """(H, W, 3) uint8 RGB, smooth."""
    small = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def coded(suffix: str, image: np.ndarray, *options: int) -> np.ndarray:
    return cv2.imencode(suffix, image[..., ::-1] if image.ndim == 3 else image, options)[1]


def png(width: int, height: int, depth: int, color: int, content: bytes) -> bytes:
    """A PNG of one IDAT chunk."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def jpeg(width: int, height: int) -> bytes:
    """A JPEG of 32x32 whose header states another size."""
    data = bytearray(coded(".jpg", picture(32, 32)).tobytes())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def webp(width: int, height: int, flags: int = 0) -> bytes:
    sizes = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<II", 10, flags) + sizes
    return b"RIFF" + struct.pack("<I", len(body)) + body


def bmp(width: int, height: int, compression: int = 0, size: int = 1000) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, compression, 0, 0, 0, 0, 0)
    return (b"BM" + struct.pack("<IHHI", size, 0, 0, 54) + header).ljust(size, b"\0")


def tiff(width: int, height: int, size: int = 1000, **tags: int) -> bytes:
    numbers = {256: width, 257: height, 258: 8, 259: 1, 277: 1} | {int(k[1:]): v for k, v in tags.items()}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(numbers.items()))
    return (b"II*\0" + struct.pack("<IH", 8, len(numbers)) + entries).ljust(size, b"\0")


GIF = b"GIF89a" + struct.pack("<HHBBB", 60000, 60000, 0, 0, 0) + b",".ljust(800, b"\1")

# Rejected images, and a part of the message.
REFUSED = {
    "jpeg of 30000x30000": (jpeg(30000, 30000), "it says it is 30000x30000 pixels"),
    "jpeg of 16000x16000": (jpeg(16000, 16000), "it says it is 16000x16000 pixels"),
    "jpeg of 65535x1": (jpeg(65535, 1), "65535x1"),
    "jpeg without a height": (jpeg(32, 0), "32x0"),
    "jpeg of 5000x5000 in 1 kB": (jpeg(5000, 5000), "too short"),
    "jpeg of many segments": (b"\xff\xd8" + b"\xff\xe0\0\2" * 2000, "header is damaged"),
    "jpeg of fill bytes": (b"\xff\xd8" + b"\xff" * 10**6, "header is damaged"),
    "jpeg without a frame": (b"\xff\xd8\xff\xda\0\2", "header is damaged"),
    "jpeg cut off": (jpeg(32, 32)[:100], "it is cut off"),
    "png of one bit": (png(30000, 30000, 1, 0, zlib.compress(bytes(3751 * 30000))), "30000x30000"),
    "png of 5000x5000 in 10 bytes": (png(5000, 5000, 8, 2, bytes(10)), "too short"),
    "png with a long part": (
        png(64, 64, 8, 0, bytes(10)).replace(b"\0\0\0\nIDAT", b"\x80\0\0\nIDAT"),
        "one of its parts states 2147483658 bytes",
    ),
    "png cut off": (coded(".png", picture()).tobytes()[:-20], "beyond the end of the image"),
    "png of another color": (png(64, 64, 8, 5, b""), "header is damaged"),
    "png of many parts": (png(8, 8, 8, 0, b"")[:33] + b"\0\0\0\0tEXt\0\0\0\0" * 70000, "parts"),
    "animated png": (png(64, 64, 8, 0, b"").replace(b"IDAT", b"acTL"), "animation"),
    "webp of 8192x8192": (webp(8192, 8192), "8192x8192"),
    "webp of 16384x16384": (webp(16384, 16384), "16384x16384"),
    "animated webp": (webp(64, 64, 2), "animation"),
    "webp cut off": (coded(".webp", picture()).tobytes()[:-9], "cut off"),
    "bmp of 30000x30000": (bmp(30000, 30000), "30000x30000"),
    "bmp of 5000x5000 in 1 kB": (bmp(5000, -5000), "too short"),
    "bmp of a negative width": (bmp(-8, 8), "-8x8"),
    "compressed bmp": (bmp(8, 8, compression=1), "compressed BMP"),
    "ppm of 30000x30000": (b"P6\n#\n30000 30000 255\n", "30000x30000"),
    "ppm of 5000x5000 in 17 bytes": (b"P6 5000 5000 255\n", "too short"),
    "pbm of 5000x5000 in 13 bytes": (b"P4 5000 5000\n", "too short"),
    "ppm of a word": (b"P5 wide high 255\n" * 9000, "header is damaged"),
    "tiff of 30000x30000": (tiff(30000, 30000), "30000x30000"),
    "tiff of 5000x5000 in 1 kB": (tiff(5000, 5000), "too short"),
    "tiff of large tiles": (tiff(8, 8, t322=2**31, t323=2**31), "2147483648x2147483648"),
    "tiff without a size": (tiff(0, 0), "0x0"),
    "tiff of fax lines": (tiff(64, 64, t259=4), "compression"),
    "tiff whose tags lie elsewhere": (b"II*\0" + struct.pack("<I", 2**32 - 1), "it is cut off"),
    "gif": (GIF, "not a JPEG, PNG, WebP, BMP, PNM or TIFF"),
    "openexr": (b"v/1\1" + bytes(50), "not a JPEG"),
    "jpeg 2000": (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(50), "not a JPEG"),
    "hdr": (b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 60000 +X 60000\n", "not a JPEG"),
    "text": (b"not a picture", "not a JPEG"),
    "nothing": (b"", "empty"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_unsupported_images_are_rejected_from_their_header(name):
    data, words = REFUSED[name]
    before, start = reset_peak_memory(), time.monotonic()
    for decode in (decode_rgb, decode_depth):
        with pytest.raises(Clip2DepthError, match=words) as refusal:
            decode(np.frombuffer(data, np.uint8))
        assert len(str(refusal.value)) < 200
    assert time.monotonic() - start < 0.5
    assert peak_memory() - before < 20e6


def test_a_jpeg_with_too_many_scans_is_rejected():
    data = coded(".jpg", picture(), cv2.IMWRITE_JPEG_PROGRESSIVE, 1).tobytes()
    first, end = data.index(b"\xff\xda"), len(data) - 2
    assert decode_rgb(np.frombuffer(data, np.uint8)).shape == (40, 50, 3)
    many = data[:end] + data[first:end] * 40 + data[end:]
    with pytest.raises(Clip2DepthError, match="more than 64 scans"):
        decode_rgb(np.frombuffer(many, np.uint8))


@pytest.mark.parametrize("name", ["jpg_30000.jpg", "one_bit.png", "png_30000x30000_depth1_color0.png"])
def test_recorded_cases(name):
    file = CASES / name
    if not file.is_file():
        pytest.skip(f"{file} is not there")
    start = time.monotonic()
    with pytest.raises(Clip2DepthError, match=f"The image .*{name} cannot be read: .*(30000x30000|parts)"):
        read_rgb(file)
    assert time.monotonic() - start < 0.5


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".ppm", ".tiff"])
@pytest.mark.parametrize("size", [(1, 1), (50, 40), (641, 3)])
def test_what_opencv_writes_is_read(suffix, size):
    image = picture(*size)
    data = coded(suffix, image)
    assert stated_size(data) == size
    difference = np.abs(decode_rgb(data).astype(int) - image)
    assert difference.mean() < 25 if suffix in (".jpg", ".webp") else not difference.any()
    gray = coded(suffix.replace("ppm", "pgm"), image[..., 0])
    assert stated_size(gray) == size and decode_rgb(gray).shape == image.shape


@pytest.mark.parametrize("compression", [1, 5, 8, 32946, 32773])
def test_compressed_tiff_is_read(compression):
    for image in (picture(), np.zeros((500, 600, 3), np.uint8)):
        data = coded(".tiff", image, cv2.IMWRITE_TIFF_COMPRESSION, compression)
        np.testing.assert_array_equal(decode_rgb(data), image)


@pytest.mark.parametrize("options", [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_OPTIMIZE, 1)])
def test_a_highly_compressed_large_image_is_read(options):
    """The shortest JPEG and PNG that an encoder makes of 8K video: a covered lens."""
    black = np.zeros((4320, 7680), np.uint8)
    for suffix in (".jpg", ".png"):
        data = coded(suffix, black, *(options if suffix == ".jpg" else ()))
        assert decode_rgb(data).shape == (4320, 7680, 3)


def test_images_of_cameras_are_within_the_limits():
    assert MAX_PIXELS >= 7680 * 4320 and MAX_FILE > 6 * MAX_PIXELS
    for size in ((7680, 4320), (8192, 4096), (5472, 3648), (16000, 2000)):
        assert stated_size(np.frombuffer(webp(*size), np.uint8)) == size


def test_depth_is_sixteen_bits_of_gray():
    depth = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
    np.testing.assert_array_equal(decode_depth(coded(".png", depth)), depth)
    for other in (picture(), picture()[..., 0]):
        with pytest.raises(Clip2DepthError, match="not a 16-bit gray"):
            decode_depth(coded(".png", other))


@settings(deadline=None, max_examples=500)
@given(
    suffix=st.sampled_from([".jpg", ".png", ".webp", ".bmp", ".ppm", ".tiff"]),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.integers(0, 3000),
)
def test_a_damaged_image_gives_one_sentence(suffix, changes, cut):
    data = bytearray(coded(suffix, picture()).tobytes())
    for place, value in changes:
        data[place % len(data)] = value
    data = data[: len(data) - cut // 10] if cut < 1000 else data
    start = time.monotonic()
    try:
        decoded = decode_rgb(np.frombuffer(bytes(data), np.uint8))
        assert decoded.ndim == 3 and decoded.shape[0] * decoded.shape[1] <= MAX_PIXELS
    except Clip2DepthError as error:
        assert str(error).isprintable()
    assert time.monotonic() - start < 2


@pytest.mark.slow
def test_damaged_headers_allocate_no_memory():
    """Thousands of damaged images in a process of 1 GB of address space beyond its own: none fails it."""
    script = """
import numpy as np, cv2
from pathlib import Path
from benchmark.machine.memory import peak_memory, reset_peak_memory
from clip2depth_ros.images.compressed import decode_rgb
from clip2depth_ros.errors import Clip2DepthError
rng = np.random.default_rng(7)
image = cv2.resize(rng.integers(0, 256, (4, 5, 3), np.uint8), (60, 50), interpolation=cv2.INTER_CUBIC)
coded = [cv2.imencode(s, image)[1] for s in (".jpg", ".png", ".webp", ".bmp", ".ppm", ".tiff")]
for data in coded:
    decode_rgb(data)
start = reset_peak_memory()
for n in range(6000):
    data = coded[n % 6].copy()
    places = rng.integers(0, min(len(data), 120), rng.integers(1, 4))
    data[places] = rng.integers(0, 256, len(places))
    try:
        decode_rgb(data)
    except Clip2DepthError:
        pass
print(peak_memory() - start)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=250)
    assert run.returncode == 0, run.stderr[-2000:]
    assert int(run.stdout.split()[-1]) < 700e6


@pytest.mark.parametrize("shrink", [2, 4, 8])
@pytest.mark.parametrize("size", [(640, 480), (321, 243)])
def test_a_jpeg_decoded_smaller_holds_means_of_pixels(size, shrink):
    width, height = size
    rng = np.random.default_rng(0)
    picture = cv2.resize(rng.integers(0, 256, (12, 16, 3), np.uint8), size, interpolation=cv2.INTER_CUBIC)
    coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
    assert can_shrink(coded) and not can_shrink(cv2.imencode(".png", picture)[1])
    whole, small = decode_rgb(coded), decode_rgb(coded, shrink=shrink)
    assert small.shape == (-(-height // shrink), -(-width // shrink), 3)
    rows, columns = height // shrink, width // shrink
    means = whole[: rows * shrink, : columns * shrink].reshape(rows, shrink, columns, shrink, 3).mean((1, 3))
    assert np.abs(small[:rows, :columns] - means).mean() < 1.5
