# SPDX-License-Identifier: Apache-2.0
"""Depth, points and scan from one camera.

    ros2 launch clip2depth_ros depth.launch.py image_topic:=/camera/image_raw
    ros2 launch clip2depth_ros depth.launch.py odometry.topic:=/odom scale.height:=0.31 mounting.pitch:=0.1
    ros2 launch clip2depth_ros depth.launch.py --show-args

    ros2 launch clip2depth_ros depth.launch.py adapt:=true odometry.topic:=/odom mounting.z:=0.31

Every parameter of depth_node is an argument of the same name, and with adapt:=true those of adapt_node, too.
An argument that is not given leaves its parameter to params_file, and what that leaves out has the node's
default.
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
"""Exit codes of a node that was told to end, or that cannot work as it was started (2)."""
RESTART_DELAY = 1.0  # seconds: a process that crashes at once shall not fill the computer

ARGUMENTS = {
    "image_topic": ("image", "Topic of the camera's images, without the transport's ending."),
    "namespace": ("", "Namespace of the node and of every topic that is not absolute."),
    "name": ("clip2depth", "Name of the node, and so the first word of its topics."),
    "params_file": (str(CONFIG / "depth.yaml"), "File with the node's parameters."),
    "use_sim_time": ("", "true: the node's clock is /clock."),
    "log_level": ("info", "debug, info, warn, error or fatal."),
    "adapt": (
        "false",
        "true: adapt_node beside depth_node: it keeps keyframes, has the network learn, offers the result.",
    ),
    "use_rviz": ("false", "true: show camera, depth, points and scan in RViz."),
    "fixed_frame": (
        "camera_optical_frame",
        "RViz's fixed frame: the images' frame_id, or a frame of a tf tree with it.",
    ),
}


def generate_launch_description():
    """The launch description that `ros2 launch` asks for."""
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
    """The parameters of both nodes, those that they share once."""
    return {
        fact.name: fact for settings in (AdaptSettings, DepthSettings) for fact in parameters_of(settings)
    }.values()


def _start(context, cameras=None):
    """The node, and adapt_node and RViz if asked for, from the arguments as they were given.

    cameras: namespaces of several cameras for one process, and their parameter files, "" for params_file.
    """
    given = context.launch_configurations
    name = given["name"]
    extra, reason = large_message_environment(context.environment)
    actions = (
        [LogInfo(msg=f"Fast DDS goes without our profile for large messages: {reason}.")] if reason else []
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
            # Not as the argument `name`: launch would write the parameters for a node of that full name.
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
    """The node, and what starts it again after a kill, a crash or its watchdog."""

    def start_again(event, context):
        if context.is_shutdown or event.returncode in DELIBERATE:
            return None
        reason = f"{options['executable']} ended with {event.returncode} and is started again."
        return [LogInfo(msg=reason), TimerAction(period=RESTART_DELAY, actions=_kept(**options))]

    node = Node(**options)
    return [node, RegisterEventHandler(OnProcessExit(target_action=node, on_exit=start_again))]


def _rviz(given, namespace):
    """RViz for one camera."""
    _require_rviz()
    name = given["name"]
    # The configuration names the topics of a node /clip2depth; relative names follow RViz's namespace.
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
    """The parameter file, if it is one."""
    if not Path(path).is_file():
        raise Clip2DepthError(f"params_file is '{path}', and there is no such file.")
    return path


def _parameters(given, settings=DepthSettings):
    """A node's parameters from those arguments that were given, in the parameters' own types."""
    values = {}
    for fact in parameters_of(settings):
        text = given[fact.name]
        if text:
            values[fact.name] = fact.checked(text if fact.type is str else yaml.safe_load(text))
    if given["use_sim_time"]:
        values["use_sim_time"] = _flag("use_sim_time", given["use_sim_time"])
    # ParameterValue keeps a text a text, where launch would make a number of a bundle called "7".
    return {name: ParameterValue(value, value_type=type(value)) for name, value in values.items()}


def _logging(level):
    """The level for our node's messages; the middleware under it talks too much below `info`."""
    levels = ("debug", "info", "warn", "error", "fatal")
    if level not in levels:
        raise Clip2DepthError(f"log_level is '{level}', but must be one of: {', '.join(levels)}.")
    quiet = [w for part in ("rcl", "rmw_fastrtps_cpp") for w in ("--log-level", f"{part}:=info")]
    return ["--log-level", level, *(quiet if level == "debug" else [])]


def _flag(name, text):
    """True or false from an argument's text; empty is false."""
    if text.lower() not in ("true", "1", "false", "0", ""):
        raise Clip2DepthError(f"{name} is '{text}', but must be true or false.")
    return text.lower() in ("true", "1")
