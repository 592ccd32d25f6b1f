# SPDX-License-Identifier: Apache-2.0
"""Depth networks of others, as ONNX files, made bundles. Needs the onnx package and OpenVINO; no PyTorch."""

from clip2depth_ros.importing.importer import import_model
from clip2depth_ros.importing.kinds import Kind, find_kind, kind_names

__all__ = ["Kind", "find_kind", "import_model", "kind_names"]
