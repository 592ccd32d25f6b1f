# SPDX-License-Identifier: Apache-2.0
"""Metric depth from one camera with CLIP2Depth, as a ROS 2 node and without ROS."""

from pkgutil import extend_path

# The message package has this package's name and may lie elsewhere: a Python started in the source tree finds
# clip2depth_ros.msg in the environment where the messages were built.
__path__ = extend_path(__path__, __name__)

__version__ = "0.1.0"


def __getattr__(name: str):
    # On first use: a node that only wants the version, or a message, does not load OpenCV and NumPy for it.
    if name == "DepthEstimator":
        from clip2depth_ros.estimator import DepthEstimator

        return DepthEstimator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
