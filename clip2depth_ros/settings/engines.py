# SPDX-License-Identifier: Apache-2.0
"""The table of engines. It imports nothing, because launch files read the names."""

# Name of the engine: module and name of its EngineKind. The module is imported when the engine is considered.
ENGINES = {
    "tensorrt": "clip2depth_ros.engines.tensorrt.engine:TENSORRT",
    "tensorrt_rtx": "clip2depth_ros.engines.tensorrt.engine:TENSORRT_RTX",
    "pytorch": "clip2depth_ros.engines.pytorch:PYTORCH",
    "openvino": "clip2depth_ros.engines.openvino:OPENVINO",
    "opencv": "clip2depth_ros.engines.opencv:OPENCV",
}

ENGINE_NAMES = tuple(ENGINES)
