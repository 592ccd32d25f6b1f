# SPDX-License-Identifier: Apache-2.0
"""Compressed images: the size in the header is checked before an image is decoded.

JPEG, PNG, WebP, BMP, PNM and TIFF are decoded. A decoder allocates memory for the size in the header, and a
header of a few bytes can state gigabytes. So an image is rejected from its header alone when it is larger
than a camera's image, when its bytes cannot hold the stated size, or when its format is not supported:
cameras do not send GIF, animations, AVIF, JPEG 2000, OpenEXR and others.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.files.bounded import read_bounded

MAX_SIDE = 16384
MAX_PIXELS = 2**25
"""8192 x 4096, slightly more than 8K video (7680 x 4320). Cameras on robots have at most 20 megapixels, and
the network's input is some hundred pixels wide. At this size the image takes 100 MB, and the pipeline with
its depth and standard deviation 0.7 GB in total (measured); at twice the size it takes more than 1 GB."""
MAX_FILE = 2**28
"""Bytes of an image file: more than MAX_PIXELS in incompressible 16-bit color."""

MAX_SHRINK = 8
"""Largest factor by which a JPEG can be reduced while it is decoded."""

_JPEG_SEGMENTS = 1024
_JPEG_SCANS = 64
_PNG_CHUNKS = 65536
"""Most parts of an image; each takes time, and encoders write far fewer."""

# Most pixels per byte of JPEG: one bit for a block of 8x8, in the coarser of two components.
_JPEG_PIXELS_PER_BYTE = 1024
# Most decompressed bytes per byte of Deflate, LZW and PackBits.
_DEFLATE, _LZW, _PACKBITS = 1032, 2560, 64
_TIFF_COMPRESSIONS = {1: 1, 5: _LZW, 8: _DEFLATE, 32946: _DEFLATE, 32773: _PACKBITS}

_SHRINKING = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PNM_GAP = rb"(?:\s|#[^\n]*\n)+"
_PNM_HEADER = re.compile(rb"P([1-6])" + _PNM_GAP + rb"(\d{1,9})" + _PNM_GAP + rb"(\d{1,9})\s")
# Most samples per byte, and samples per pixel, by the digit after the P.
_PNM_SAMPLES = {b"1": (1, 1), b"2": (1, 1), b"3": (1, 3), b"4": (8, 1), b"5": (1, 1), b"6": (1, 3)}


def check_size(width: int, height: int) -> None:
    """Raises Clip2DepthError for a size outside the limits; the message is a clause that starts with "it"."""
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and width * height <= MAX_PIXELS):
        raise Clip2DepthError(
            f"it says it is {width}x{height} pixels; the limits are 1 to {MAX_SIDE} per side and "
            f"{MAX_PIXELS} in total"
        )


def stated_size(coded: np.ndarray) -> tuple[int, int]:
    """(width, height) in pixels from the header of a compressed image, (N,) uint8.

    Raises Clip2DepthError with the reason, a clause without a full stop, when it must not be decoded.
    """
    data = memoryview(coded).cast("B")
    for signature, reader in _READERS:
        if signature.match(data):
            try:
                width, height = reader(data)
            except (IndexError, struct.error):
                raise Clip2DepthError("it is cut off") from None
            return width, height
    raise Clip2DepthError("it is not a JPEG, PNG, WebP, BMP, PNM or TIFF")


def can_shrink(coded: np.ndarray) -> bool:
    """Whether decode_rgb is faster for this image, (N,) uint8, with a `shrink` above 1: a JPEG."""
    return bytes(coded[:3]) == b"\xff\xd8\xff"


def decode_rgb(coded: np.ndarray, *, as_stored: bool = True, shrink: int = 1) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a compressed image, (N,) uint8; a new array.

    as_stored: ignore the orientation tag (EXIF). shrink: 1, 2, 4 or 8; each pixel is the mean of shrink x
    shrink pixels, the result has ceil(H / shrink) rows. Raises Clip2DepthError as stated_size does.
    """
    flags = _SHRINKING[shrink] | (cv2.IMREAD_IGNORE_ORIENTATION if as_stored else 0)
    image = _decode(coded, flags)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)


def decode_depth(coded: np.ndarray) -> np.ndarray:
    """(H, W) uint16 of a 16-bit gray image (usually PNG), (N,) uint8. Raises as decode_rgb does."""
    raw = _decode(coded, cv2.IMREAD_UNCHANGED)
    if raw.ndim != 2 or raw.dtype != np.uint16:
        raise Clip2DepthError("it is not a 16-bit gray image")
    return raw


def read_rgb(path: Path, *, as_stored: bool = True) -> np.ndarray:
    """decode_rgb of a file. Raises Clip2DepthError, which names the file."""
    return _named(path, lambda coded: decode_rgb(coded, as_stored=as_stored))


def read_depth(path: Path) -> np.ndarray:
    """decode_depth of a file. Raises Clip2DepthError, which names the file."""
    return _named(path, decode_depth)


def _named(path: Path, decode: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    coded = np.frombuffer(read_bounded(path, MAX_FILE), np.uint8)
    try:
        return decode(coded)
    except Clip2DepthError as error:
        raise Clip2DepthError(f"The image {path} cannot be read: {error}.") from None


def _decode(coded: np.ndarray, flags: int) -> np.ndarray:
    if not coded.size:
        raise Clip2DepthError("it is empty")
    check_size(*stated_size(coded))
    try:
        image = cv2.imdecode(coded, flags)
    except (cv2.error, MemoryError):
        image = None
    if image is None:
        raise Clip2DepthError("OpenCV cannot decode it; it is damaged or was cut off")
    return image


def _jpeg(data: memoryview) -> tuple[int, int]:
    at, size = 2, None
    for _ in range(_JPEG_SEGMENTS):
        marker = data[at + 1]
        if data[at] != 0xFF:
            break
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
            check_size(width, height)
            _check_capacity(width * height, len(data) * _JPEG_PIXELS_PER_BYTE)
            size = width, height
            components, progressive = data[at + 9], marker not in (0xC0, 0xC1)
        if marker == 0xDA and size is not None:
            # Only an image whose first scan is incomplete has more scans; counting them takes time.
            several = progressive or data[at + 4] < components
            if several and bytes(data).count(b"\xff\xda") > _JPEG_SCANS:
                raise Clip2DepthError(f"it has more than {_JPEG_SCANS} scans")
            return size
        if not (0xC0 <= marker <= 0xFE) or 0xD0 <= marker <= 0xDA:
            break
        (length,) = struct.unpack_from(">H", data, at + 2)
        at += 2 + length
    raise Clip2DepthError("its JPEG header is damaged")


def _png(data: memoryview) -> tuple[int, int]:
    length, kind, width, height, depth, color = struct.unpack_from(">I4sIIBB", data, 8)
    if (length, kind) != (13, b"IHDR") or color not in _PNG_CHANNELS:
        raise Clip2DepthError("its PNG header is damaged")
    check_size(width, height)
    at, held = 8, 0
    for _ in range(_PNG_CHUNKS):
        length, kind = struct.unpack_from(">I4s", data, at)
        if length > len(data) - at - 12:
            raise Clip2DepthError(
                f"one of its parts states {length} bytes, which is beyond the end of the image"
            )
        if kind == b"acTL":
            raise Clip2DepthError("it is an animation")
        if kind == b"IDAT":
            held += length
        if kind == b"IEND":
            row = (width * _PNG_CHANNELS[color] * depth + 7) // 8 + 1
            _check_capacity(height * row, held * _DEFLATE)
            return width, height
        at += 12 + length
    raise Clip2DepthError(f"it has more than {_PNG_CHUNKS} parts")


def _webp(data: memoryview) -> tuple[int, int]:
    if struct.unpack_from("<I", data, 4)[0] > len(data) - 8:
        raise Clip2DepthError("it is cut off")
    kind = bytes(data[12:16])
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind != b"VP8X":
        raise Clip2DepthError("its WebP header is damaged")
    if data[20] & 2:
        raise Clip2DepthError("it is an animation")
    low_x, high_x, low_y, high_y = struct.unpack_from("<HBHB", data, 24)
    return (high_x << 16 | low_x) + 1, (high_y << 16 | low_y) + 1


def _bmp(data: memoryview) -> tuple[int, int]:
    (header,) = struct.unpack_from("<I", data, 14)
    if header == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    if compression not in (0, 3, 6):
        raise Clip2DepthError("it is a compressed BMP")
    height = abs(height)  # negative: the top row comes first
    check_size(width, height)
    _check_capacity((width * bits + 31) // 32 * 4 * height, len(data))
    return width, height


def _pnm(data: memoryview) -> tuple[int, int]:
    found = _PNM_HEADER.match(data[:4096])
    if found is None:
        raise Clip2DepthError("its PNM header is damaged")
    width, height = int(found[2]), int(found[3])
    check_size(width, height)
    held, samples = _PNM_SAMPLES[found[1]]
    _check_capacity(width * height * samples, len(data) * held)
    return width, height


def _tiff(data: memoryview) -> tuple[int, int]:
    order = "<" if data[0] == 0x49 else ">"
    (directory,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, directory)
    tags = {258: 1, 259: 1, 277: 1, 322: 1, 323: 1}
    for at in range(directory + 2, directory + 2 + 12 * count, 12):
        tag, kind, number = struct.unpack_from(order + "HHI", data, at)
        if kind in (3, 4):  # 16 and 32 bits; values of more than four bytes are stored elsewhere
            size = 2 if kind == 3 else 4
            place = at + 8 if number * size <= 4 else struct.unpack_from(order + "I", data, at + 8)[0]
            (tags[tag],) = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, place)
    if tags[259] not in _TIFF_COMPRESSIONS:
        raise Clip2DepthError("its TIFF compression is not LZW, Deflate or PackBits")
    width, height = tags.get(256, 0), tags.get(257, 0)
    check_size(width, height)
    check_size(tags[322], tags[323])  # of a tile
    _check_capacity(width * height * tags[258] * tags[277] // 8, len(data) * _TIFF_COMPRESSIONS[tags[259]])
    return width, height


def _check_capacity(needed: int, held: int) -> None:
    if needed > held:
        raise Clip2DepthError("it is too short for the size that it states")


_READERS = tuple(
    (re.compile(signature, re.DOTALL), reader)
    for signature, reader in (
        (rb"\xff\xd8\xff", _jpeg),
        (rb"\x89PNG\r\n\x1a\n", _png),
        (rb"RIFF....WEBP", _webp),
        (rb"BM", _bmp),
        (rb"P[1-6]\s", _pnm),
        (rb"II\*\0|MM\0\*", _tiff),
    )
)
