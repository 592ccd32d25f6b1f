# SPDX-License-Identifier: Apache-2.0
"""Depth, points and scan from several cameras: a node for each, in the camera's namespace.

    ros2 launch clip2depth_ros multi_camera.launch.py cameras:=front,rear
    ros2 launch clip2depth_ros multi_camera.launch.py cameras:=front,rear params_folder:=cameras

This listens to /front/image_raw and /rear/image_raw, and publishes /front/clip2depth/points and so on. What
differs between the cameras, their mounting first of all, stands in front.yaml and rear.yaml of params_folder.
Every other argument of depth.launch.py is for all of them.

The nodes are in one process and share one engine, in turn. With one_process:=false each has a process and an
engine of its own; on a CPU with N cores, threads:=N divided by the number of cameras then keeps them out of
each other's way.
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
    "cameras": (None, "Names of the cameras, with commas between them: the namespaces of their topics."),
    "image_topic": ("image_raw", "Topic of each camera's images, in its namespace unless it begins with /."),
    "namespace": ("", "Namespace before the cameras' own."),
    "one_process": ("true", "false: a process for each camera, with an engine of its own."),
    "params_folder": ("", "Folder with CAMERA.yaml for those cameras that have parameters of their own."),
}


def generate_launch_description():
    """The launch description that `ros2 launch` asks for."""
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
    """One process for all cameras, or one for each, by depth.launch.py."""
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
        # scoped, or the second camera would find the first one's arguments
        actions.append(GroupAction([include], scoped=True, forwarding=True))
    return actions


def _names(text):
    """The cameras' names, which must be names of namespaces and differ."""
    names = [name.strip().strip("/") for name in text.split(",") if name.strip()]
    wrong = [name for name in names if not re.fullmatch(r"[A-Za-z_]\w*(/[A-Za-z_]\w*)*", name)]
    if wrong or not names or len(set(names)) < len(names):
        raise Clip2DepthError(
            f"cameras is '{text}', but must be different names with commas between them, such as front,rear."
        )
    return names


def _file(folder, camera):
    """The camera's own parameter file, "" where it has none; a folder that is none of theirs is an error."""
    if not folder:
        return ""
    if not Path(folder).is_dir():
        raise Clip2DepthError(f"params_folder is '{folder}', and there is no such folder.")
    file = Path(folder) / f"{camera.replace('/', '_')}.yaml"
    return str(file) if file.is_file() else ""
