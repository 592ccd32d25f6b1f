# SPDX-License-Identifier: Apache-2.0
"""Bundles: an exported network with everything that is needed to run it and to check it."""

from clip2depth_ros.bundle.library import Bundle, bundle_names, find_bundle, open_bundle
from clip2depth_ros.bundle.manifest import Manifest, Quantized

__all__ = ["Bundle", "Manifest", "Quantized", "bundle_names", "find_bundle", "open_bundle"]
