# SPDX-License-Identifier: Apache-2.0
"""Depth, points and scan from one camera.

    ros2 launch clip2depth_ros depth.launch.py image_topic:=/camera/image_raw
    ros2 launch clip2depth_ros depth.launch.py odometry.topic:=/odom scale.height:=0.31 mounting.pitch:=0.1
    ros2 launch clip2depth_ros depth.launch.py --show-args

    ros2 launch clip2depth_ros depth.launch.py adapt:=true odometry.topic:=/odom mounting.z:=0.31

Every parameter of depth_node is an argument of the same name; with adapt:=true also every parameter of
adapt_node. If an argument is not given, the value from params_file is used, or else the node's default.
"""

import json
import signal
from pathlib import Path

import yaml
from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction, RegisterEventHandler, TimerAction
from launch.event_handlers import OnProcessExit
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.ros.fastdds import large_message_environment
from clip2depth_ros.ros.parameters.adapt_settings import AdaptSettings
from clip2depth_ros.ros.parameters.declaration import parameters_of
from clip2depth_ros.ros.parameters.depth_settings import DepthSettings

CONFIG = Path(__file__).resolve().parent.parent / "config"

DELIBERATE = (0, 2, -signal.SIGINT, -signal.SIGTERM)
"""Exit codes of a node that was stopped, or that cannot work with its arguments (2)."""
RESTART_DELAY = 1.0  # seconds; limits the load from a process that crashes at once

ARGUMENTS = {
    "image_topic": ("image", "Topic of the camera's images, without the suffix of the transport."),
    "namespace": ("", "Namespace of the node and of every topic that is not absolute."),
    "name": ("clip2depth", "Name of the node, and the prefix of its topics."),
    "params_file": (str(CONFIG / "depth.yaml"), "File with the node's parameters."),
    "use_sim_time": ("", "true: the node's clock is /clock."),
    "log_level": ("info", "debug, info, warn, error or fatal."),
    "adapt": (
        "false",
        "true: also start adapt_node, which stores keyframes, trains the network and offers the result.",
    ),
    "use_rviz": ("false", "true: show camera, depth, points and scan in RViz."),
    "fixed_frame": (
        "camera_optical_frame",
        "Fixed frame of RViz: the images' frame_id, or a frame that tf connects to it.",
    ),
}


def generate_launch_description():
    """The launch description for `ros2 launch`."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    for fact in _facts():
        facts = (fact.range_text().replace("`", ""), fact.unit, f"default {json.dumps(fact.default)}")
        about = "; ".join(text for text in facts if text)
        declared.append(
            DeclareLaunchArgument(fact.name, default_value="", description=f"{fact.description} ({about})")
        )
    return LaunchDescription([*declared, OpaqueFunction(function=_start)])


def _facts():
    """The parameters of both nodes; shared parameters once."""
    return {
        fact.name: fact for settings in (AdaptSettings, DepthSettings) for fact in parameters_of(settings)
    }.values()


def _start(context, cameras=None):
    """Actions for the node, and for adapt_node and RViz if requested, from the given arguments.

    cameras: namespaces of several cameras for one process, each with its parameter file; "" for params_file.
    """
    given = context.launch_configurations
    name = given["name"]
    extra, reason = large_message_environment(context.environment)
    actions = (
        [LogInfo(msg=f"Fast DDS runs without our profile for large messages: {reason}.")] if reason else []
    )
    common = {
        "package": "clip2depth_ros",
        "remappings": [("image", given["image_topic"])],
        "additional_env": extra,
        "output": "screen",
        "emulate_tty": True,
    }
    logging = _logging(given["log_level"])
    if cameras is None:
        files = {given["namespace"]: _file(given["params_file"])}
        actions += _kept(
            executable="depth_node",
            namespace=given["namespace"],
            name=name,
            parameters=[_file(given["params_file"]), _parameters(given)],
            ros_arguments=logging,
            **common,
        )
    else:
        files = {camera: _file(file or given["params_file"]) for camera, file in cameras.items()}
        actions += _kept(
            executable="depth_nodes",
            arguments=[f"{camera}={file}" for camera, file in files.items()],
            parameters=[_parameters(given)],
            # Not as the argument `name`: launch would write the parameters for a node with that full name.
            ros_arguments=["-r", f"__node:={name}", *logging],
            **common,
        )
    for namespace, file in files.items():
        if _flag("adapt", given["adapt"]):
            actions += _kept(
                executable="adapt_node",
                namespace=namespace,
                name=f"{name}_adapt",
                parameters=[
                    {"adapt.depth_node": ParameterValue(name, value_type=str)},
                    file,
                    _parameters(given, AdaptSettings),
                ],
                ros_arguments=logging,
                **common,
            )
        if _flag("use_rviz", given["use_rviz"]):
            actions.append(_rviz(given, namespace))
    return actions


def _kept(**options):
    """The node, and an action that restarts it after a kill, a crash or its watchdog."""

    def start_again(event, context):
        if context.is_shutdown or event.returncode in DELIBERATE:
            return None
        reason = f"{options['executable']} ended with {event.returncode} and is restarted."
        return [LogInfo(msg=reason), TimerAction(period=RESTART_DELAY, actions=_kept(**options))]

    node = Node(**options)
    return [node, RegisterEventHandler(OnProcessExit(target_action=node, on_exit=start_again))]


def _rviz(given, namespace):
    """RViz for one camera."""
    _require_rviz()
    name = given["name"]
    # The configuration uses the topics of a node /clip2depth; relative names follow RViz's namespace.
    topics = ("depth/image_rect", "depth/std_dev", "points", "scan")
    return Node(
        package="rviz2",
        executable="rviz2",
        namespace=namespace,
        name=f"{name}_rviz",
        arguments=["-d", str(CONFIG / "depth.rviz"), "-f", given["fixed_frame"]],
        remappings=[
            ("/image", given["image_topic"]),
            *((f"/clip2depth/{t}", f"{name}/{t}") for t in topics),
        ],
        parameters=[{"use_sim_time": True}] if _flag("use_sim_time", given["use_sim_time"]) else [],
        output="screen",
    )


def _require_rviz():
    try:
        get_package_prefix("rviz2")
    except PackageNotFoundError:
        raise Clip2DepthError("use_rviz is true, but the package rviz2 is not installed here.") from None


def _file(path):
    """The parameter file. Raises Clip2DepthError if it does not exist."""
    if not Path(path).is_file():
        raise Clip2DepthError(f"params_file '{path}' does not exist.")
    return path


def _parameters(given, settings=DepthSettings):
    """A node's parameters from the given arguments, in the parameters' own types."""
    values = {}
    for fact in parameters_of(settings):
        text = given[fact.name]
        if text:
            values[fact.name] = fact.checked(text if fact.type is str else yaml.safe_load(text))
    if given["use_sim_time"]:
        values["use_sim_time"] = _flag("use_sim_time", given["use_sim_time"])
    # ParameterValue keeps a string a string; launch would make a number of a bundle called "7".
    return {name: ParameterValue(value, value_type=type(value)) for name, value in values.items()}


def _logging(level):
    """The log level for our node only: below `info`, the middleware logs too much."""
    levels = ("debug", "info", "warn", "error", "fatal")
    if level not in levels:
        raise Clip2DepthError(f"log_level is '{level}', but must be one of: {', '.join(levels)}.")
    quiet = [w for part in ("rcl", "rmw_fastrtps_cpp") for w in ("--log-level", f"{part}:=info")]
    return ["--log-level", level, *(quiet if level == "debug" else [])]


def _flag(name, text):
    """Parse an argument's text as a boolean; empty is false."""
    if text.lower() not in ("true", "1", "false", "0", ""):
        raise Clip2DepthError(f"{name} is '{text}', but must be true or false.")
    return text.lower() in ("true", "1")
