# SPDX-License-Identifier: Apache-2.0
"""Imports ONNX files of other depth networks as bundles. Needs onnx and OpenVINO, but no PyTorch."""

from clip2depth_ros.importing.importer import import_model
from clip2depth_ros.importing.kinds import Kind, find_kind, kind_names

__all__ = ["Kind", "find_kind", "import_model", "kind_names"]
