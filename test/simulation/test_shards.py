# SPDX-License-Identifier: Apache-2.0
"""Shards are complete or absent, resume, and contain the views."""

from __future__ import annotations

import numpy as np
import pytest

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.simulation import shards
from clip2depth_ros.simulation.rooms import make_room
from clip2depth_ros.simulation.views.views import views_of_room


@pytest.mark.slow
def test_render_and_resume(renderer, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(shards, "SCENES_PER_SHARD", 2)
    paths = shards.render_shards(tmp_path, 20, 3, 2, 48, 36, workers=2)
    assert sorted(tmp_path.iterdir()) == sorted(paths), "no partial file is left"
    assert "shard 2 of 2" in capsys.readouterr().err
    shard = shards.load_shard(paths[0])
    assert shard["image"].shape == (4, 36, 48, 3) and shard["image"].dtype == np.uint8
    assert shard["depth"].shape == (4, 36, 48) and shard["depth"].dtype == np.uint16
    assert len(shard["fx"]) == len(shard["caption"]) == 4
    view = next(views_of_room(make_room(20), np.random.default_rng([13, 20]), 2, 48, 36))
    np.testing.assert_array_equal(shard["image"][0], view.image)
    np.testing.assert_allclose(shard["depth"][0] / 1000, np.nan_to_num(view.depth), atol=6e-4)
    assert shard["caption"][0] == view.caption and shard["fx"][0] == pytest.approx(view.camera.fx)

    before = [path.stat().st_mtime_ns for path in paths]
    paths[1].unlink()
    assert shards.render_shards(tmp_path, 20, 3, 2, 48, 36, workers=1) == paths
    assert paths[0].stat().st_mtime_ns == before[0], "what exists is kept"
    assert len(shards.load_shard(paths[1])["image"]) == 2


def test_a_broken_shard_is_named(tmp_path):
    broken = tmp_path / "rooms.npz"
    broken.write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(Clip2DepthError, match="not a readable shard"):
        shards.load_shard(broken)


def test_a_failure_leaves_no_file(renderer, tmp_path, monkeypatch):
    def fail(*_args, **_kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(shards.np, "savez", fail)
    with pytest.raises(Clip2DepthError, match="cannot be written: disk full"):
        shards.render_shard(tmp_path / "rooms.npz", 20, 1, 1, 48, 36)
    assert list(tmp_path.iterdir()) == []


def test_invalid_arguments_are_rejected(tmp_path):
    with pytest.raises(Clip2DepthError, match="at least 1"):
        shards.render_shards(tmp_path, 0, 0, 1, 48, 36)
