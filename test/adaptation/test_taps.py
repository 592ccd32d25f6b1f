# SPDX-License-Identifier: Apache-2.0
import subprocess

import numpy as np
import pytest

pytest.importorskip("torch", reason="adapting needs PyTorch")

from clip2depth_ros.adaptation.taps import stored_taps
from clip2depth_ros.adaptation.trainable import open_trainable
from clip2depth_ros.engines import open_engine
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.pipeline import Pipeline


@pytest.fixture(scope="module")
def given(mini, recorded, wall_frames):
    """Frames, their keyframes, and the network."""
    frames = wall_frames(30, 0.03)
    keyframes = recorded(frames)
    return frames, keyframes, open_trainable(mini, None, keyframes.images[:16])


def test_the_stored_depth_is_the_bundles(mini, given, tmp_path, monkeypatch):
    frames, keyframes, network = given
    taps, depth = stored_taps(network, keyframes, tmp_path / "taps")
    assert all(tap.dtype == np.float16 and len(tap) == len(keyframes) for tap in taps)
    with open_engine(mini, "openvino", precision="fp32") as engine:
        pipeline = Pipeline(engine, stabilizer=None)
        for number in (0, 13, 29):  # of the first, second and last batch
            expected = pipeline.process(frames[number]).depth
            assert np.median(np.abs(depth[number] / expected - 1)) < 0.01
    monkeypatch.setattr("clip2depth_ros.adaptation.taps.tower_taps", None)
    again, depth_again = stored_taps(network, keyframes, tmp_path / "taps")
    assert all((a == b).all() for a, b in zip(again, taps, strict=True)) and (depth_again == depth).all()


def test_on_a_full_disk_there_is_an_error(given, tmp_path):
    """Files that are mapped into memory: without reserved room, a write would kill the process (SIGBUS)."""
    _, keyframes, network = given
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)]
    mounted = subprocess.run(command, capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        with pytest.raises(Clip2DepthError, match=r"taps cannot be written: No space left on device\."):
            stored_taps(network, keyframes, tmp_path / "taps")
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
