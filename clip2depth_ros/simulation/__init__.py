# SPDX-License-Identifier: Apache-2.0
"""A robot with a camera in rooms and places generated from a seed, with true depth and pose.

MuJoCo (the `sim` extra) is imported at first use.
"""

from clip2depth_ros.simulation.drives.drive import Drive
from clip2depth_ros.simulation.places import PLACES, make_place
from clip2depth_ros.simulation.rooms import ROOMS, make_room
from clip2depth_ros.simulation.shards import load_shard, render_drives, render_shards
from clip2depth_ros.simulation.views.views import SimView, look_pose, sample_views

__all__ = [
    "PLACES",
    "ROOMS",
    "Drive",
    "SimView",
    "load_shard",
    "look_pose",
    "make_place",
    "make_room",
    "render_drives",
    "render_shards",
    "sample_views",
]
