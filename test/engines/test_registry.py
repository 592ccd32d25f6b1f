# SPDX-License-Identifier: Apache-2.0
"""A new engine is one file and one line."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from clip2depth_ros.engines import Outcome, open_engine, registry
from clip2depth_ros.engines.kind import DEVICE_NAMES
from clip2depth_ros.errors import Clip2DepthError

# The one file. It answers with the depth of the bundle's check sample.
FILE = """
from clip2depth_ros.engines.base import Engine, EngineUnavailable, check_image
from clip2depth_ros.engines.kind import EngineKind


class RecallEngine(Engine):
    name, device, precision = "recall", "memory", "fp32"

    def __init__(self, bundle, options):
        if options.precision != "fp32":
            raise EngineUnavailable(f"computes in fp32, not in {options.precision}")
        self.manifest = bundle.manifest
        self._depth = bundle.check()[1]

    def infer(self, image):
        check_image(image, self.manifest)
        return self._depth

    def close(self):
        self._depth = None


RECALL = EngineKind(RecallEngine, order={"cpu": PLACE})
"""


@pytest.fixture
def add_engine(tmp_path, monkeypatch):
    """Function that adds the engine "recall", at a place in the order of trying."""

    def add(place: int) -> None:
        (tmp_path / "recall_engine.py").write_text(FILE.replace("PLACE", str(place)))
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "recall_engine", raising=False)
        monkeypatch.setitem(registry.ENGINES, "recall", "recall_engine:RECALL")  # the one line

    yield add
    sys.modules.pop("recall_engine", None)


def test_an_engine_that_was_added_is_opened_by_name(tiny_bundle, add_engine):
    add_engine(9)
    image, depth = tiny_bundle.check()
    with open_engine(tiny_bundle, "recall") as engine:
        assert (engine.name, engine.difference) == ("recall", 0.0)
        np.testing.assert_array_equal(engine.infer(image), depth)
        engine.prepare((640, 480))
        assert engine.prepared is None, "an engine without `prepare` takes the network's input size only"
        (attempt,) = engine.attempts
    assert (attempt.engine, attempt.precision, attempt.outcome) == ("recall", "fp32", Outcome.CHOSEN)
    with pytest.raises(Clip2DepthError, match="recall fp16: computes in fp32, not in fp16"):
        open_engine(tiny_bundle, "recall", precision="fp16")
    with pytest.raises(Clip2DepthError, match="The recall engine runs on the CPU, not on 'cuda'"):
        open_engine(tiny_bundle, "recall", device="cuda")


@pytest.mark.parametrize(("place", "chosen"), [(0, "recall"), (9, "openvino")])
def test_auto_tries_it_at_its_place(tiny_bundle, add_engine, no_gpu, place, chosen):
    add_engine(place)
    with open_engine(tiny_bundle) as engine:
        assert engine.name == chosen


def test_a_name_that_is_not_registered_is_an_error(tiny_bundle):
    with pytest.raises(Clip2DepthError, match="No engine is called 'recall'"):
        open_engine(tiny_bundle, "recall")


def test_every_registered_engine_has_its_place():
    for device in DEVICE_NAMES:
        places = [kind.order[device] for _, kind in registry.engines_for(device)]
        assert places == sorted(set(places)), f"two engines have the same place on {device}"
    assert [name for name, _ in registry.engines_for("cuda")] == ["tensorrt", "tensorrt_rtx", "pytorch"]
    assert [name for name, _ in registry.engines_for("cpu")] == ["openvino", "pytorch", "opencv"]
    for name in registry.ENGINES:
        assert set(registry.engine_kind(name).order) <= set(DEVICE_NAMES)
