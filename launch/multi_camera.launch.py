# SPDX-License-Identifier: Apache-2.0
"""Depth, points and scan from several cameras: one node for each, in the camera's namespace.

    ros2 launch clip2depth_ros multi_camera.launch.py cameras:=front,rear
    ros2 launch clip2depth_ros multi_camera.launch.py cameras:=front,rear params_folder:=cameras

This subscribes to /front/image_raw and /rear/image_raw, and publishes /front/clip2depth/points and so on.
Settings that differ between the cameras, above all their mounting, belong in front.yaml and rear.yaml of
params_folder. Every other argument of depth.launch.py applies to all of them.

The nodes run in one process and share one engine in turn. With one_process:=false each has its own process
and engine; on a CPU with N cores, set threads to N divided by the number of cameras, so that they do not
compete for cores.
"""

import re
from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.launch_description_sources.python_launch_file_utilities import load_python_launch_file_as_module

from clip2depth_ros.errors import Clip2DepthError

DEPTH = Path(__file__).resolve().parent / "depth.launch.py"

ARGUMENTS = {
    "cameras": (None, "Names of the cameras, separated by commas: the namespaces of their topics."),
    "image_topic": ("image_raw", "Topic of each camera's images, in its namespace unless it begins with /."),
    "namespace": ("", "Namespace that precedes those of the cameras."),
    "one_process": ("true", "false: one process for each camera, with its own engine."),
    "params_folder": ("", "Folder with CAMERA.yaml for the cameras that have their own parameters."),
}


def generate_launch_description():
    """The launch description for `ros2 launch`."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    depths = [
        argument
        for argument in _depth().generate_launch_description().get_launch_arguments()
        if argument.name not in ARGUMENTS
    ]
    return LaunchDescription([*declared, *depths, OpaqueFunction(function=_nodes)])


def _depth():
    """depth.launch.py as a module."""
    return load_python_launch_file_as_module(str(DEPTH))


def _nodes(context):
    """One process for all cameras, or one for each, with depth.launch.py."""
    given, depth = context.launch_configurations, _depth()
    base = given["namespace"].rstrip("/")
    cameras = {
        f"{base}/{camera}": _file(given["params_folder"], camera) for camera in _names(given["cameras"])
    }
    if depth._flag("one_process", given["one_process"]):
        return depth._start(context, cameras)
    actions = []
    for namespace, file in cameras.items():
        arguments = {"namespace": namespace, "image_topic": given["image_topic"]}
        if file:
            arguments["params_file"] = file
        include = IncludeLaunchDescription(
            PythonLaunchDescriptionSource(str(DEPTH)), launch_arguments=arguments.items()
        )
        # scoped, because otherwise the second camera would get the arguments of the first
        actions.append(GroupAction([include], scoped=True, forwarding=True))
    return actions


def _names(text):
    """The names of the cameras, which must be valid namespaces and differ."""
    names = [name.strip().strip("/") for name in text.split(",") if name.strip()]
    wrong = [name for name in names if not re.fullmatch(r"[A-Za-z_]\w*(/[A-Za-z_]\w*)*", name)]
    if wrong or not names or len(set(names)) < len(names):
        raise Clip2DepthError(
            f"cameras is '{text}', but must be different names separated by commas, such as front,rear."
        )
    return names


def _file(folder, camera):
    """The camera's own parameter file, or "". Raises Clip2DepthError if the folder does not exist."""
    if not folder:
        return ""
    if not Path(folder).is_dir():
        raise Clip2DepthError(f"params_folder '{folder}' does not exist.")
    file = Path(folder) / f"{camera.replace('/', '_')}.yaml"
    return str(file) if file.is_file() else ""
