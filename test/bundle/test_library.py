# SPDX-License-Identifier: Apache-2.0
import json
import shutil
import zipfile

import numpy as np
import pytest

from clip2depth_ros.bundle import Bundle, bundle_names, find_bundle, open_bundle
from clip2depth_ros.errors import Clip2DepthError


@pytest.fixture
def folder(tiny_bundle, tmp_path):
    """A copy of the tiny bundle, to damage."""
    return shutil.copytree(tiny_bundle.path, tmp_path / "tiny")


def zipped(folder, target, prefix=""):
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, prefix + file.name)
    return target


@pytest.mark.parametrize("prefix", ["", "tiny/"])
def test_a_zip_is_as_good_as_a_folder(folder, tmp_path, prefix):
    bundle = open_bundle(zipped(folder, tmp_path / "tiny.zip", prefix))
    same = open_bundle(folder)
    assert bundle.manifest == same.manifest
    assert bundle.model() == same.model()
    for ours, theirs in zip(bundle.check(), same.check(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_found_by_name(folder, tmp_path, monkeypatch):
    with pytest.raises(Clip2DepthError, match="No bundle is called 'tiny'; known are"):
        find_bundle("tiny")
    monkeypatch.setenv("CLIP2DEPTH_BUNDLE_PATH", f"/nowhere:{tmp_path}")
    assert find_bundle("tiny") == folder
    assert "tiny" in bundle_names()
    with pytest.raises(Clip2DepthError, match=r"No bundle is called 'huge'; known are: .*tiny"):
        find_bundle("huge")


def test_a_file_or_folder_that_is_no_bundle_is_named_as_such(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "README.md").write_text("words")
    (tmp_path / "empty").mkdir()
    for name in ("README.md", "empty"):
        with pytest.raises(Clip2DepthError, match=f"^{name} is not a bundle, .* known by name: .*mini"):
            find_bundle(name)


def test_a_zip_is_found_by_name(folder, tmp_path, monkeypatch):
    (tmp_path / "shelf").mkdir()
    zipped(folder, tmp_path / "shelf" / "small.zip")
    monkeypatch.setenv("CLIP2DEPTH_BUNDLE_PATH", str(tmp_path / "shelf"))
    assert find_bundle("small").name == "small.zip"
    assert "small" in bundle_names()


def test_the_users_own_folder(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    shutil.copytree(folder, tmp_path / "share/clip2depth/bundles/mine")
    assert find_bundle("mine") == tmp_path / "share/clip2depth/bundles/mine"


def test_nothing_at_the_path(tmp_path):
    with pytest.raises(Clip2DepthError, match="There is no bundle at"):
        find_bundle(tmp_path / "nothing")
    with pytest.raises(Clip2DepthError, match="There is no bundle at"):
        find_bundle("nothing.zip")


@pytest.mark.parametrize("name", ["model.onnx", "manifest.json", "check.npz"])
@pytest.mark.parametrize("as_zip", [False, True])
def test_a_missing_file_is_named(folder, tmp_path, name, as_zip):
    (folder / name).unlink()
    path = zipped(folder, tmp_path / "tiny.zip") if as_zip else folder
    with pytest.raises(Clip2DepthError, match=f"Bundle .*{name} is missing"):
        bundle = Bundle(path)
        bundle.model()
        bundle.check()


def test_a_changed_model_is_refused(folder):
    content = bytearray((folder / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.onnx").write_bytes(content)
    with pytest.raises(Clip2DepthError, match=r"model.onnx is damaged or was replaced \(SHA-256"):
        Bundle(folder).model()


def test_a_truncated_model_is_refused(folder):
    (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes()[:100])
    with pytest.raises(Clip2DepthError, match="damaged"):
        Bundle(folder).model()


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_a_truncated_zip_is_refused(folder, tmp_path, kept):
    path = zipped(folder, tmp_path / "tiny.zip")
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(Clip2DepthError, match=r"the zip is damaged|or the zip is truncated"):
        Bundle(path)


def test_a_zip_with_a_flipped_bit_is_refused(folder, tmp_path):
    path = zipped(folder, tmp_path / "tiny.zip")
    content = bytearray(path.read_bytes())
    content[content.index(b"model_sha256") + 3] ^= 1
    path.write_bytes(content)
    with pytest.raises(Clip2DepthError, match="the zip is damaged"):
        Bundle(path)


def test_an_unknown_format_version_names_the_bundle(folder):
    content = json.loads((folder / "manifest.json").read_text()) | {"format_version": 9}
    (folder / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(Clip2DepthError, match=r"Bundle .*tiny: manifest.json: .*version 9 is not known"):
        Bundle(folder)


def test_a_manifest_that_is_no_text(folder):
    (folder / "manifest.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Clip2DepthError, match=r"manifest.json is not text"):
        Bundle(folder)


def test_damaged_check_samples(folder):
    good = dict(np.load(folder / "check.npz"))
    path = folder / "check.npz"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(Clip2DepthError, match=r"check.npz cannot be read"):
        Bundle(folder).check()
    np.savez(path, image=good["image"])
    with pytest.raises(Clip2DepthError, match=r"check.npz.*depth"):
        Bundle(folder).check()
    np.savez(path, image=good["image"][:-1], depth=good["depth"])
    with pytest.raises(Clip2DepthError, match=r"uint8 image of shape \(47, 64, 3\)"):
        Bundle(folder).check()
    np.savez(path, image=good["image"], depth=good["depth"].astype(np.float64))
    with pytest.raises(Clip2DepthError, match="float64 depth"):
        Bundle(folder).check()


def test_a_pickle_is_never_loaded(folder):
    np.savez(folder / "check.npz", image=np.array([{"a": 1}], object), depth=np.zeros(3, np.float32))
    with pytest.raises(Clip2DepthError, match="cannot be read"):
        Bundle(folder).check()


def test_a_model_that_names_another_file_for_its_weights_is_refused(tiny_bundle, tmp_path):
    """Engines would read any file of the computer by it, and the checksum covers none of that."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(tiny_bundle.model())
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], "/etc/hostname")
    model.graph.initializer[0].ClearField("raw_data")
    image, depth = tiny_bundle.check()
    bundle = Bundle.write(tmp_path / "b", model.SerializeToString(), tiny_bundle.manifest, image, depth)
    with pytest.raises(Clip2DepthError, match="refers to another file for its weights"):
        bundle.model()


@pytest.mark.parametrize("as_zip", [False, True])
def test_the_int8_model_is_checked_as_the_plain_one(make_bundle, tmp_path, as_zip):
    folder = shutil.copytree(make_bundle(int8=1.0).path, tmp_path / "tiny")

    def opened():
        return Bundle(zipped(folder, tmp_path / "tiny.zip") if as_zip else folder)

    content = (folder / "model_int8.onnx").read_bytes()
    assert opened().int8_model() == content != opened().model()
    (folder / "model_int8.onnx").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(Clip2DepthError, match=r"model_int8.onnx is damaged or was replaced \(SHA-256"):
        opened().int8_model()
    (folder / "model_int8.onnx").unlink()
    with pytest.raises(Clip2DepthError, match=r"model_int8.onnx is missing"):
        opened().int8_model()


def test_an_int8_model_with_weights_elsewhere_is_refused(make_bundle, tmp_path):
    onnx = pytest.importorskip("onnx")
    bundle = make_bundle(int8=1.0)
    model = onnx.load_from_string(bundle.int8_model())
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], "/etc/hostname")
    model.graph.initializer[0].ClearField("raw_data")
    moved = Bundle.write(
        tmp_path / "b", bundle.model(), bundle.manifest, *bundle.check(), int8_model=model.SerializeToString()
    )
    with pytest.raises(Clip2DepthError, match=r"model_int8.onnx refers to another file for its weights"):
        moved.int8_model()


def test_a_bundle_written_over_one_with_int8_has_none(make_bundle, tmp_path):
    bundle = make_bundle(int8=1.0)
    folder = shutil.copytree(bundle.path, tmp_path / "tiny")
    plain = Bundle.write(folder, bundle.model(), bundle.manifest, *bundle.check())
    assert plain.manifest.int8 is None
    assert sorted(path.name for path in folder.iterdir()) == ["check.npz", "manifest.json", "model.onnx"]
    with pytest.raises(Clip2DepthError, match="contains no int8 model; clip2depth export"):
        plain.int8_model()
