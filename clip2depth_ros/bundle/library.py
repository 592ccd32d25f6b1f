# SPDX-License-Identifier: Apache-2.0
"""Where bundles are found, and reading and writing one: a folder or a zip of model, manifest and check."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from clip2depth_ros.bundle.manifest import Manifest
from clip2depth_ros.errors import Clip2DepthError

MODEL, MANIFEST, CHECK = "model.onnx", "manifest.json", "check.npz"

DEFAULT_BUNDLE = "mini"


def bundle_folders() -> list[Path]:
    """Folders that are searched for bundles by name, first hit wins.

    $CLIP2DEPTH_BUNDLE_PATH (colon-separated), the user's data folder, and the package's own.
    """
    named = [
        Path(p).expanduser() for p in os.environ.get("CLIP2DEPTH_BUNDLE_PATH", "").split(os.pathsep) if p
    ]
    data_home = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share")
    return [*named, data_home / "clip2depth" / "bundles", Path(__file__).parent / "bundles"]


def bundle_names() -> list[str]:
    """Names of all bundles that find_bundle finds, sorted."""
    names = set()
    for folder in bundle_folders():
        if folder.is_dir():
            names |= {p.stem if p.suffix == ".zip" else p.name for p in folder.iterdir() if _is_bundle(p)}
    return sorted(names)


def find_bundle(name_or_path: str | Path) -> Path:
    """The folder or zip of a bundle, given by path or by name.

    Raises Clip2DepthError with the names that exist when there is none.
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
    raise Clip2DepthError(
        f"No bundle is called '{text}'; known are: {_names_or_none()}. A path to a folder or zip works too."
    )


def open_bundle(name_or_path: str | Path = DEFAULT_BUNDLE) -> Bundle:
    """Find and open a bundle. Raises Clip2DepthError when it is not there or not whole."""
    return Bundle(find_bundle(name_or_path))


class Bundle:
    """An exported network on disk.

    `path` is its folder or zip, `manifest` its facts. The model is read, and its checksum verified, when
    asked for. Everything that can be wrong with the files is a Clip2DepthError that names the bundle.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise Clip2DepthError(f"There is no bundle at {self.path}.")
        try:
            text = self._read(MANIFEST).decode("utf-8")
            self.manifest = Manifest.from_json(text)
        except UnicodeDecodeError:
            raise Clip2DepthError(f"Bundle {self.path}: {MANIFEST} is not text.") from None
        except Clip2DepthError as error:
            if str(error).startswith("Bundle "):
                raise
            raise Clip2DepthError(f"Bundle {self.path}: {MANIFEST}: {error}") from None

    @property
    def name(self) -> str:
        return self.manifest.name

    def model(self) -> bytes:
        """The ONNX model, after its SHA-256 was found to be the manifest's."""
        content = self._read(MODEL)
        digest = hashlib.sha256(content).hexdigest()
        if digest != self.manifest.model_sha256.lower():
            raise Clip2DepthError(
                f"Bundle {self.path}: {MODEL} is damaged or was exchanged (SHA-256 {digest[:12]}..., the "
                "manifest "
                f"says {self.manifest.model_sha256[:12] or 'nothing'}...); copy or export the bundle again."
            )
        return content

    def check(self) -> tuple[np.ndarray, np.ndarray]:
        """The sample every engine must reproduce.

        Returns image (H, W, 3) uint8 RGB and depth (H, W) float32, metres, at the network's input size.
        """
        content = self._read(CHECK)
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                image, depth = arrays["image"], arrays["depth"]
        except KeyError as error:
            raise Clip2DepthError(f"Bundle {self.path}: {CHECK}: {error.args[0]}.") from None
        except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise Clip2DepthError(f"Bundle {self.path}: {CHECK} cannot be read: {error}.") from None
        size = (self.manifest.input_height, self.manifest.input_width)
        if image.shape != (*size, 3) or image.dtype != np.uint8:
            raise Clip2DepthError(
                f"Bundle {self.path}: {CHECK} holds a {image.dtype} image of shape {image.shape}, "
                f"expected uint8 {(*size, 3)}."
            )
        if depth.shape != size or depth.dtype != np.float32:
            raise Clip2DepthError(
                f"Bundle {self.path}: {CHECK} holds {depth.dtype} depth of shape {depth.shape}, "
                f"expected float32 {size}."
            )
        return np.ascontiguousarray(image), depth

    @classmethod
    def write(
        cls, folder: str | Path, model: bytes, manifest: Manifest, image: np.ndarray, depth: np.ndarray
    ) -> Bundle:
        """Write a bundle folder and open it.

        model: the ONNX file's bytes; the manifest's checksum is filled from them. image (H, W, 3) uint8 and
        depth (H, W) float32, metres, become the check sample.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        manifest = replace(manifest, model_sha256=hashlib.sha256(model).hexdigest())
        (folder / MODEL).write_bytes(model)
        (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
        np.savez_compressed(folder / CHECK, image=image, depth=np.asarray(depth, np.float32))
        bundle = cls(folder)
        bundle.check()
        return bundle

    def _read(self, name: str) -> bytes:
        if self.path.is_dir():
            try:
                return (self.path / name).read_bytes()
            except FileNotFoundError:
                raise Clip2DepthError(f"Bundle {self.path}: {name} is missing.") from None
            except OSError as error:
                raise Clip2DepthError(
                    f"Bundle {self.path}: {name} cannot be read: {error.strerror}."
                ) from None
        try:
            with zipfile.ZipFile(self.path) as archive:
                # A zip of the folder and a zip of its content are equally natural.
                names = [n for n in archive.namelist() if n == name or n.endswith(f"/{name}")]
                if not names:
                    # A cut zip may read as check.npz, which is a zip inside it.
                    raise Clip2DepthError(f"Bundle {self.path}: {name} is missing, or the zip was cut off.")
                return archive.read(min(names, key=len))
        except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
            raise Clip2DepthError(
                f"Bundle {self.path}: the zip is damaged ({error}); copy it again."
            ) from None


def _is_bundle(path: Path) -> bool:
    return (path / MANIFEST).is_file() or (path.suffix == ".zip" and path.is_file())


def _names_or_none() -> str:
    return ", ".join(bundle_names()) or "none"
