# SPDX-License-Identifier: Apache-2.0
"""A stand-in for TensorRT, or TensorRT RTX, on a GPU: computes on the CPU, and misbehaves when told to.

It has the interface that the real module of that version has, as far as the engine uses it. What NVIDIA's
compiler takes is judged by that compiler itself, in test_compiler.py; but the parsers of 8.5 and 8.6, which
cannot be had there, are held to their tables of operators here. `calls` records what was called, in order.
"""

from __future__ import annotations

import ctypes
import enum
import json
import sys
import time
import types
from importlib import machinery, util
from pathlib import Path

import numpy as np

from clip2depth_ros.system.offline import openvino_core

FAULTS = {
    "old_driver": "neither builder nor runtime is made, as with a driver older than TensorRT's CUDA",
    "build_none": "the build fails",
    "slow_build": "the build takes two and a half seconds",
    "deserialize_none": "no serialised engine is taken",
    "context_none": "no execution context is made",
    "execute_false": "no frame is run",
    "stream_error": "the GPU fails while it runs",
    "large_garbage": "an image resized on the GPU is told right, and the network sees another",
    "no_large_image": "the GPU does not resize images",
    "no_graph": "nothing can be captured as a CUDA graph",
    "garbage": "depth is 30 % too far at one end of the image and too near at the other",
    "garbage_fp16": "garbage in half precision only",
    "jumps": "every third frame is 20 % too far",
    "stale": "a frame's depth is that of the frame before",
    "nan": "a tenth of the depth is not a number",
}
GPU = {
    "name": "Stand-in GPU",
    "compute_capability": "8.7",
    "memory": 8 << 30,
    "driver": "540.4.0",
    "cuda": "12.6",
}


def _fake_driver():
    """fake_driver.py as a module; test folders are no packages."""
    name = "clip2depth_fake_driver"
    if name not in sys.modules:
        spec = util.spec_from_file_location(name, Path(__file__).parent / "fake_driver.py")
        sys.modules[name] = module = util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


_PLAN = b"stand-in plan\n"
_OPERATORS = json.loads((Path(__file__).parent / "tensorrt_operators.json").read_text(encoding="utf-8"))


def install(
    set_module=None, set_attribute=None, version: str = "10.3.0", fault: str = "", library: str = "tensorrt"
) -> types.ModuleType:
    """Put stand-ins of this version, with this fault ("" or of FAULTS), and of a GPU where the real ones are.

    library: "tensorrt", or "tensorrt_rtx"; the other one is not installed. set_module(name, module) and
    set_attribute(object, name, value) default to plain assignment, for a process that ends afterwards.
    """
    from clip2depth_ros.engines import probe, pytorch
    from clip2depth_ros.engines.base import EngineUnavailable
    from clip2depth_ros.engines.tensorrt import cuda

    assert fault in ("", *FAULTS), fault
    trt = FakeTensorRt(version, fault, library)

    def no_torch_on_cuda():
        raise EngineUnavailable("PyTorch sees no CUDA device")

    put_module = set_module or sys.modules.__setitem__
    for name in ("tensorrt", "tensorrt_rtx"):
        put_module(name, trt if name == library else None)
    put = set_attribute or setattr
    put(
        probe,
        "gpu_facts",
        lambda index=0: probe.GpuFacts(**trt.gpu) if index == 0 else "there is one device",
    )
    put(cuda, "import_driver", lambda: trt.driver)
    put(pytorch, "import_torch", no_torch_on_cuda)
    if fault == "large_garbage":
        # the image that comes back is right, the network's input is not
        take = cuda.LargeImage.upload

        def garbled(large) -> None:
            take(large)
            image = large._buffers.device_image
            trt.driver.stream(large._buffers.stream).put(lambda: _turn(image.address, image.nbytes))

        put(cuda.LargeImage, "upload", garbled)
    return trt


def _turn(address: int, size: int) -> None:
    """Reverse the bytes at an address."""
    array = np.frombuffer((ctypes.c_uint8 * size).from_address(address), np.uint8)
    array[:] = array[::-1].copy()


class FakeTensorRt(types.ModuleType):
    """The module. `calls` holds (name, ...) of every call, `builds` how many engines were built."""

    def __init__(self, version: str, fault: str = "", library: str = "tensorrt") -> None:
        super().__init__(library)
        self.__spec__ = machinery.ModuleSpec(library, None)  # others look for it, torch among them
        self.__version__ = version
        self.fault = fault
        self.gpu = dict(GPU)
        self.calls: list[tuple] = []
        self.driver = _fake_driver().FakeDriver()
        if fault == "no_graph":
            self.driver.fail["cuStreamBeginCapture"] = 900
        if fault == "no_large_image":
            self.driver.fail["cuModuleLoadData"] = 2
        self.rtx = library == "tensorrt_rtx"
        self.numbers = tuple(int(n) for n in version.split(".")[:2])
        major = 11 if self.rtx else self.numbers[0]
        self.major = major
        self.uint8, self.float32 = "uint8", "float32"
        flags = ["TF32", "DEBUG"] + (["FP16", "PREFER_PRECISION_CONSTRAINTS"] if major < 11 else [])
        self.BuilderFlag = enum.IntEnum("BuilderFlag", flags, start=0)
        network = {8: {"EXPLICIT_BATCH": 0}, 9: {"EXPLICIT_BATCH": 0, "STRONGLY_TYPED": 2}}
        network |= {10: {"EXPLICIT_BATCH": 0, "STRONGLY_TYPED": 1}, 11: {"STRONGLY_TYPED": 0}}
        self.NetworkDefinitionCreationFlag = enum.IntEnum(
            "NetworkDefinitionCreationFlag", network[min(major, 11)]
        )
        self.MemoryPoolType = enum.IntEnum("MemoryPoolType", ["WORKSPACE"], start=0)
        self.TensorIOMode = enum.IntEnum("TensorIOMode", ["NONE", "INPUT", "OUTPUT"], start=0)
        self.ILogger = _Logger
        if self.rtx:
            targets = ["NONE", "CURRENT", "SM75", "SM80", "SM86", "SM89", "SM120", "SM121"]
            self.ComputeCapability = enum.Enum("ComputeCapability", targets)
        if major >= 9:
            self.IProgressMonitor = _Monitor
        self.Builder = lambda logger: self._made(logger, lambda: _Builder(self, logger))
        self.OnnxParser = lambda network, logger: _Parser(self, network)
        self.Runtime = lambda logger: self._made(logger, lambda: _Runtime(self))

    def _made(self, logger, make):
        if self.fault == "old_driver":  # to the letter what 8.5.3.1 does
            logger.log(logger.WARNING, "CUDA initialization failure with error: 35. Please check")
            raise TypeError("pybind11::init(): factory function returned nullptr")
        return make()

    @property
    def builds(self) -> int:
        return self.count("build_serialized_network")

    def count(self, name: str) -> int:
        return sum(call[0] == name for call in self.calls)

    def record(self, name: str, *arguments) -> None:
        self.calls.append((name, *arguments))


class _Logger:
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class _Monitor:
    pass


class _Layer:
    def __init__(self, name: str) -> None:
        self.name = name
        self.precision = None
        self.output_type = None

    def set_output_type(self, index: int, kind) -> None:
        assert index == 0
        self.output_type = kind


class _Network:
    def __init__(self, flags: int, typed: bool) -> None:
        self.flags, self.typed = flags, typed
        self.model = b""
        self.layers: list[_Layer] = []

    @property
    def num_layers(self) -> int:
        return len(self.layers)

    def get_layer(self, index: int) -> _Layer:
        assert not self.typed, "a strongly typed network's layers have no precision of their own"
        return self.layers[index]


class _Error:
    def __init__(self, text: str) -> None:
        self.text = text

    def desc(self) -> str:
        return self.text


class _Parser:
    """Refuses what the parser of that version refuses."""

    def __init__(self, trt: FakeTensorRt, network: _Network) -> None:
        self.trt, self.network = trt, network
        self.errors: list[_Error] = []

    num_errors = property(lambda self: len(self.errors))

    def get_error(self, index: int) -> _Error:
        return self.errors[index]

    def parse(self, model: bytes) -> bool:
        import onnx

        graph = onnx.load_from_string(model)
        if self.trt.major < 10:
            table = "8.5" if self.trt.numbers < (8, 6) else "8.6"
            self.errors = [_Error(text) for text in unsupported(graph, table)]
        self.network.model = model
        self.network.layers = [_Layer(node.name) for node in graph.graph.node]
        return not self.errors


def unsupported(graph, table: str) -> list[str]:
    """What TensorRT's ONNX parser of version "8.5" or "8.6" would not take of a graph, in words."""
    from onnx import TensorProto, shape_inference

    inferred = shape_inference.infer_shapes(graph, strict_mode=True).graph
    bytes_ = {
        v.name
        for v in (*inferred.input, *inferred.value_info)
        if v.type.tensor_type.elem_type == TensorProto.UINT8
    }
    found = []
    for node in graph.graph.node:
        if node.op_type not in _OPERATORS["versions"][table]:
            found.append(f"{node.name}: {node.op_type} is not supported")
        elif bytes_.intersection(node.input) and node.op_type != "Cast":
            found.append(f"{node.name}: {node.op_type} takes no UINT8")
    return found


class _Config:
    def __init__(self, trt: FakeTensorRt) -> None:
        self.trt = trt
        self.flags = {trt.BuilderFlag.TF32}
        self.timing = None
        self.progress_monitor = None

    def set_flag(self, flag) -> None:
        self.trt.record("set_flag", flag.name)
        self.flags.add(flag)

    def clear_flag(self, flag) -> None:
        self.trt.record("clear_flag", flag.name)
        self.flags.discard(flag)

    def set_memory_pool_limit(self, pool, size: int) -> None:
        self.trt.record("set_memory_pool_limit", pool.name, size)

    def set_compute_capability(self, capability, index: int) -> bool:
        assert index < self.num_compute_capabilities
        self.trt.record("set_compute_capability", capability.name, index)
        return True

    def create_timing_cache(self, content: bytes) -> _Timing:
        self.trt.record("create_timing_cache", content)
        return _Timing(content)

    def set_timing_cache(self, cache: _Timing, ignore_mismatch: bool) -> bool:
        assert ignore_mismatch is False
        self.timing = cache
        return True

    def get_timing_cache(self):
        return self.timing


class _Timing:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def serialize(self) -> bytes:
        return self.content + b"+"


class _Builder:
    def __init__(self, trt: FakeTensorRt, logger: _Logger) -> None:
        self.trt, self.logger = trt, logger

    def create_network(self, flags: int = 0) -> _Network:
        self.trt.record("create_network", flags)
        names = self.trt.NetworkDefinitionCreationFlag
        major = self.trt.major
        typed = major >= 11 or (major >= 9 and bool(flags >> int(names.STRONGLY_TYPED) & 1))
        assert major >= 10 or flags & 1, "implicit batch is not for ONNX"
        return _Network(flags, typed)

    def create_builder_config(self) -> _Config:
        return _Config(self.trt)

    def build_serialized_network(self, network: _Network, config: _Config) -> bytes | None:
        self.trt.record("build_serialized_network", [layer for layer in network.layers if layer.precision])
        half = any(flag.name == "FP16" for flag in config.flags)
        assert not (half and network.typed), "a strongly typed network takes no precision flag"
        monitor = config.progress_monitor
        if monitor is not None:
            monitor.phase_start("Building", None, 10)
            for step in range(10):
                monitor.phase_start(f"inner {step}", "Building", 2)
                time.sleep(0.25 if self.trt.fault == "slow_build" else 0)
                monitor.step_complete(f"inner {step}", 0)
                monitor.phase_finish(f"inner {step}")
                if not monitor.step_complete("Building", step):
                    return None
            monitor.phase_finish("Building")
        elif self.trt.fault == "slow_build":
            time.sleep(2.5)
        if self.trt.fault == "build_none":
            self.logger.log(self.logger.ERROR, "Could not find any implementation for node")
            return None
        facts = {"version": self.trt.__version__, "half": half or b"/half" in network.model}
        return _PLAN + json.dumps(facts).encode() + b"\n" + network.model


class _Runtime:
    def __init__(self, trt: FakeTensorRt) -> None:
        self.trt = trt

    def deserialize_cuda_engine(self, plan: bytes) -> _Engine | None:
        self.trt.record("deserialize_cuda_engine", bytes(plan))
        if self.trt.fault == "deserialize_none" or not plan.startswith(_PLAN):
            return None
        facts, model = plan[len(_PLAN) :].split(b"\n", 1)
        facts = json.loads(facts)
        if facts["version"] != self.trt.__version__:
            return None
        try:
            return _Engine(self.trt, model, facts["half"])
        except RuntimeError:  # half a plan
            return None


class _Engine:
    def __init__(self, trt: FakeTensorRt, model: bytes, half: bool) -> None:
        import onnx

        self.trt, self.half = trt, half
        core = openvino_core()
        options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
        self.compiled = core.compile_model(core.read_model(model), "CPU", options)
        graph = onnx.load_from_string(model).graph  # whose names OpenVINO may add others to
        self.inputs = [value.name for value in graph.input]
        names = [*self.inputs, *(value.name for value in graph.output)]
        self.ports = dict(zip(names, (*self.compiled.inputs, *self.compiled.outputs), strict=True))

    num_io_tensors = property(lambda self: len(self.ports))

    def get_tensor_name(self, index: int) -> str:
        return list(self.ports)[index]

    def get_tensor_mode(self, name: str):
        return self.trt.TensorIOMode.INPUT if name in self.inputs else self.trt.TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> str:
        return {"u8": "uint8", "f32": "float32"}[self.ports[name].element_type.get_type_name()]

    def get_tensor_shape(self, name: str) -> list[int]:
        return list(self.ports[name].shape)

    def create_runtime_config(self) -> _RuntimeConfig:
        assert self.trt.rtx
        return _RuntimeConfig(self.trt)

    def create_execution_context(self, config: _RuntimeConfig | None = None) -> _Context | None:
        assert (config is not None and config.cache is not None) == self.trt.rtx
        if self.trt.rtx and not config.cache.content:
            self.trt.record("compile_kernels")
            config.cache.content = b"kernels"
        return None if self.trt.fault == "context_none" else _Context(self)


class _RuntimeConfig:
    def __init__(self, trt: FakeTensorRt) -> None:
        self.trt, self.cache = trt, None

    def create_runtime_cache(self) -> _RuntimeCache:
        return _RuntimeCache(self.trt)

    def set_runtime_cache(self, cache: _RuntimeCache) -> bool:
        self.cache = cache
        return True


class _RuntimeCache:
    def __init__(self, trt: FakeTensorRt) -> None:
        self.trt, self.content = trt, b""

    def deserialize(self, blob: bytes) -> bool:
        self.trt.record("deserialize_kernels", blob)
        if blob != b"kernels":
            return False
        self.content = blob
        return True

    def serialize(self) -> bytes:
        assert self.trt.driver.pushed, "no context is current"
        return self.content


class _Context:
    def __init__(self, engine: _Engine) -> None:
        self.engine, self.trt = engine, engine.trt
        self.addresses: dict[str, int] = {}
        self.frames = 0
        self.before = None

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.trt.record("set_tensor_address", name)
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        self.trt.record("execute_async_v3", stream)
        if self.trt.fault == "execute_false":
            return False
        self.trt.driver.launches.append("network")
        self.trt.driver.stream(stream).put(self._run)
        return True

    def _array(self, name: str) -> np.ndarray:
        shape = self.engine.get_tensor_shape(name)
        kind = {"uint8": ctypes.c_uint8, "float32": ctypes.c_float}[self.engine.get_tensor_dtype(name)]
        buffer = (kind * int(np.prod(shape))).from_address(self.addresses[name])
        return np.ctypeslib.as_array(buffer).reshape(shape)

    def _run(self) -> None:
        fault = self.trt.fault
        if fault == "stream_error":
            raise _fake_driver().IllegalAccess
        depth = np.array(self.engine.compiled(self._array("image"))[0])
        self.frames += 1
        if fault == "garbage" or (fault == "garbage_fp16" and self.engine.half):
            depth *= np.linspace(0.7, 1.3, depth.shape[-1], dtype=np.float32)
        elif fault == "jumps" and self.frames % 3 == 0:
            depth *= np.float32(1.2)
        elif fault == "nan":
            depth[..., ::10] = np.nan
        elif fault == "stale":
            depth, self.before = (depth if self.before is None else self.before), depth
        self._array("depth")[:] = depth
