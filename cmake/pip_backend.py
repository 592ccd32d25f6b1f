# SPDX-License-Identifier: Apache-2.0
"""pip's build backend: setuptools, plus the ROS 2 wheels for building the messages."""

import ros_wheels
from setuptools.build_meta import *  # noqa: F403
from setuptools.build_meta import get_requires_for_build_editable as _requires_for_editable
from setuptools.build_meta import get_requires_for_build_wheel as _requires_for_wheel


def get_requires_for_build_wheel(config_settings=None):
    return _requires_for_wheel(config_settings) + ros_wheels.build_requirements()


def get_requires_for_build_editable(config_settings=None):
    return _requires_for_editable(config_settings) + ros_wheels.build_requirements()
