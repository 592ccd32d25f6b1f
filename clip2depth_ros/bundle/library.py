# SPDX-License-Identifier: Apache-2.0
"""Finding, reading and writing bundles. A bundle is a folder or a zip of model, manifest and check sample."""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import os
import stat
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from clip2depth_ros.bundle.manifest import Manifest
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.files.bounded import read_bounded, reason_of
from clip2depth_ros.files.replacing import PartialFile
from clip2depth_ros.system.paths import user_folder

MODEL, MANIFEST, CHECK = "model.onnx", "manifest.json", "check.npz"
INT8 = "model_int8.onnx"

DEFAULT_BUNDLE = "mini"
OWN_LICENCE = "Apache-2.0"

EXTERNAL = b"\x0a\x08location"
"""How a tensor in an ONNX file names another file that contains its data (external_data, key "location").
With it, an engine would read any file on the computer."""
# Bytes. The limit of ONNX itself is 2 GiB; the largest CLIP image tower that runs on robots, ViT-L in
# float32, has 1.3 GB. The check sample of the largest input, 2048 x 2048 pixels, has 29 MB.
LIMITS = {MODEL: 2**31, INT8: 2**31, MANIFEST: 2**20, CHECK: 2**26}


def bundle_folders() -> list[Path]:
    """Folders that are searched for bundles by name; the first match is used.

    $CLIP2DEPTH_BUNDLE_PATH (separated by colons), the user's data folder, and the folder in this package.
    """
    named = [
        Path(p).expanduser() for p in os.environ.get("CLIP2DEPTH_BUNDLE_PATH", "").split(os.pathsep) if p
    ]
    return [*named, user_folder("data", "bundles"), Path(__file__).parent / "bundles"]


def bundle_names() -> list[str]:
    """Names of all bundles that find_bundle finds, sorted."""
    names = set()
    for folder in bundle_folders():
        if folder.is_dir():
            names |= {p.stem if p.suffix == ".zip" else p.name for p in folder.iterdir() if _is_bundle(p)}
    return sorted(names)


def find_bundle(name_or_path: str | Path) -> Path:
    """The folder or zip of a bundle, given by path or by name.

    Raises Clip2DepthError, which lists the existing names, when there is none.
    """
    text = str(name_or_path)
    given = Path(text).expanduser()
    if os.sep in text or text.startswith(("~", ".")) or given.suffix == ".zip" or _is_bundle(given):
        if not given.exists():
            raise Clip2DepthError(f"There is no bundle at {given}; known by name: {_names_or_none()}.")
        return given
    for folder in bundle_folders():
        for candidate in (folder / text, folder / f"{text}.zip"):
            if _is_bundle(candidate):
                return candidate
    if given.exists():
        raise Clip2DepthError(
            f"{given} is not a bundle, a folder or zip with {MANIFEST}; known by name: {_names_or_none()}."
        )
    raise Clip2DepthError(
        f"No bundle is called '{text}'; known are: {_names_or_none()}. A path to a folder or zip works too."
    )


def open_bundle(name_or_path: str | Path = DEFAULT_BUNDLE) -> Bundle:
    """Find and open a bundle. Raises Clip2DepthError when it is missing or incomplete."""
    return Bundle(find_bundle(name_or_path))


class Bundle:
    """An exported network on disk.

    `path` is its folder or zip, `manifest` its metadata. `model` reads the model and verifies its checksum.
    Every error in the files is a Clip2DepthError that names the bundle.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise Clip2DepthError(f"There is no bundle at {self.path}.")
        content = self._read(MANIFEST)
        try:
            self.manifest = Manifest.from_json(content.decode("utf-8"))
        except UnicodeDecodeError:
            raise Clip2DepthError(f"Bundle {self.path}: {MANIFEST} is not text.") from None
        except Clip2DepthError as error:
            raise Clip2DepthError(f"Bundle {self.path}: {MANIFEST}: {error}") from None

    @property
    def name(self) -> str:
        return self.manifest.name

    def terms(self) -> str:
        """A sentence about the license of the weights; "" when it is the license of this package."""
        licence = self.manifest.licence
        if licence == OWN_LICENCE:
            return ""
        return f"Bundle '{self.name}': license of the weights: {licence}."

    def model(self) -> bytes:
        """The ONNX model with all weights. Raises Clip2DepthError unless its SHA-256 is the manifest's."""
        return self._network(MODEL, self.manifest.model_sha256)

    def int8_model(self) -> bytes:
        """The same network in 8 bits, verified likewise. Raises Clip2DepthError also if there is none."""
        if self.manifest.int8 is None:
            raise Clip2DepthError(
                f"Bundle {self.path} contains no int8 model; clip2depth export --int8 creates one."
            )
        return self._network(INT8, self.manifest.int8.sha256)

    def _network(self, name: str, sha256: str) -> bytes:
        content = self._read(name)
        digest = hashlib.sha256(content).hexdigest()
        if digest != sha256.lower():
            raise Clip2DepthError(
                f"Bundle {self.path}: {name} is damaged or was replaced (SHA-256 {digest[:12]}..., the "
                f"manifest says {sha256[:12] or 'nothing'}...); copy or export the bundle again."
            )
        if EXTERNAL in content:
            raise Clip2DepthError(
                f"Bundle {self.path}: {name} refers to another file for its weights, which has no checksum; "
                "export it with its weights inside."
            )
        return content

    def check(self) -> tuple[np.ndarray, np.ndarray]:
        """The sample that every engine must reproduce.

        Returns image (H, W, 3) uint8 RGB and depth (H, W) float32, meters, at the network's input size.
        Raises Clip2DepthError when it is damaged.
        """
        content = self._read(CHECK)
        height, width = self.manifest.input_height, self.manifest.input_width
        # Larger than needed, for a header and for arrays of another type, which have their own message below.
        limit = 16 * height * width + 4096
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                image, depth = (_array(archive, name, limit) for name in ("image", "depth"))
        except Clip2DepthError as error:
            raise Clip2DepthError(f"Bundle {self.path}: {CHECK}: {error}") from error
        except Exception as error:  # zipfile, zlib, lzma and bz2 raise different exceptions
            raise Clip2DepthError(
                f"Bundle {self.path}: {CHECK} cannot be read: {reason_of(error)}."
            ) from error
        size = (height, width)
        if image.shape != (*size, 3) or image.dtype != np.uint8:
            raise Clip2DepthError(
                f"Bundle {self.path}: {CHECK} contains a {image.dtype} image of shape {image.shape}, "
                f"expected uint8 {(*size, 3)}."
            )
        if depth.shape != size or depth.dtype != np.float32:
            raise Clip2DepthError(
                f"Bundle {self.path}: {CHECK} contains {depth.dtype} depth of shape {depth.shape}, "
                f"expected float32 {size}."
            )
        return np.ascontiguousarray(image), depth

    @classmethod
    def write(
        cls,
        folder: str | Path,
        model: bytes,
        manifest: Manifest,
        image: np.ndarray,
        depth: np.ndarray,
        *,
        int8_model: bytes | None = None,
    ) -> Bundle:
        """Write a bundle folder and open it. An older bundle stays intact until the new one is complete.

        model: the bytes of the ONNX file; their checksum is written into the manifest. image (H, W, 3)
        uint8 and depth (H, W) float32, meters, become the check sample. int8_model: the same network in 8
        bits, with its metadata in manifest.int8; without it the manifest gets no such entry. Raises
        Clip2DepthError when the folder cannot be written.
        """
        folder = Path(folder)
        manifest = replace(manifest, model_sha256=hashlib.sha256(model).hexdigest())
        if int8_model is None:
            manifest = replace(manifest, int8=None)
        elif manifest.int8 is None:
            raise ValueError("an int8 model needs its metadata in manifest.int8")
        else:
            digest = hashlib.sha256(int8_model).hexdigest()
            manifest = replace(manifest, int8=replace(manifest.int8, sha256=digest))
        check = io.BytesIO()
        np.savez_compressed(check, image=image, depth=np.asarray(depth, np.float32))
        files = [(CHECK, check.getvalue()), (MODEL, model), (MANIFEST, manifest.to_json().encode())]
        if int8_model is not None:
            files.insert(2, (INT8, int8_model))
        with contextlib.ExitStack() as stack:
            partials = []
            try:
                for name, content in files:
                    partials.append(PartialFile(folder / name))
                    stack.callback(partials[-1].discard)
                    partials[-1].write(content)
                    partials[-1].sync()
                # All data is on the disk now, and the old bundle is still intact. Between the first and the
                # last renaming the files are mixed, so only the last renaming waits for the disk.
                for partial in partials:
                    partial.put_in_place(sync=partial is partials[-1])
            except OSError as error:
                raise Clip2DepthError(
                    f"Bundle {folder} cannot be written: {error.strerror or error}; an older bundle there "
                    "is unchanged."
                ) from error
        if int8_model is None:
            with contextlib.suppress(OSError):  # of the previous bundle; the manifest no longer names it
                (folder / INT8).unlink(missing_ok=True)
        bundle = cls(folder)
        bundle.check()
        return bundle

    def _read(self, name: str) -> bytes:
        limit = LIMITS[name]
        if self.path.is_dir():
            if not (self.path / name).exists():
                raise Clip2DepthError(f"Bundle {self.path}: {name} is missing.")
            try:
                return read_bounded(self.path / name, limit)
            except Clip2DepthError as error:
                raise Clip2DepthError(f"Bundle {self.path}: {error}") from error
        try:
            with _regular(self.path) as file, zipfile.ZipFile(file) as archive:
                # The zip may contain the folder, or the content of the folder.
                names = [n for n in archive.namelist() if n == name or n.endswith(f"/{name}")]
                if not names:
                    # The end of a truncated zip can be the end of check.npz, which is a zip itself.
                    raise Clip2DepthError(f"{name} is missing, or the zip is truncated.")
                return _unpack(archive, min(names, key=len), limit)
        except Clip2DepthError as error:
            raise Clip2DepthError(f"Bundle {self.path}: {error}") from error
        except Exception as error:  # zipfile, zlib, lzma and bz2 raise different exceptions
            raise Clip2DepthError(
                f"Bundle {self.path}: the zip is damaged ({reason_of(error)}); copy it again."
            ) from error


def _regular(path: Path) -> BinaryIO:
    """The opened file. Raises Clip2DepthError for a device or a pipe."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    file = open(descriptor, "rb")  # noqa: SIM115 - the caller closes it
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise Clip2DepthError("it is neither a folder nor a regular file.")
    return file


def _unpack(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """An entry of at most `limit` bytes, whatever size the zip claims."""
    declared = archive.getinfo(name).file_size
    if declared > limit:
        raise Clip2DepthError(
            f"{name} claims to have {declared} bytes unpacked; at most {limit} are allowed."
        )
    with archive.open(name) as entry:
        content = entry.read(declared + 1)
    if len(content) != declared:
        raise Clip2DepthError(f"{name} does not have the {declared} bytes unpacked that the zip claims.")
    return content


def _array(archive: zipfile.ZipFile, name: str, limit: int) -> np.ndarray:
    """An array of an .npz file. Its size is checked by its header before it is read. No pickles."""
    if f"{name}.npy" not in archive.namelist():
        raise Clip2DepthError(f"'{name}' is missing.")
    content = io.BytesIO(_unpack(archive, f"{name}.npy", limit))
    version = np.lib.format.read_magic(content)
    read_header = (
        np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    )
    shape, _, kind = read_header(content)
    if math.prod(shape) * kind.itemsize > limit:
        raise Clip2DepthError(f"'{name}' claims to be a {kind} array of shape {shape}.")
    content.seek(0)
    return np.lib.format.read_array(content, allow_pickle=False)


def _is_bundle(path: Path) -> bool:
    return (path / MANIFEST).is_file() or (path.suffix == ".zip" and path.is_file())


def _names_or_none() -> str:
    return ", ".join(bundle_names()) or "none"
