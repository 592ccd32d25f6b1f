# SPDX-License-Identifier: Apache-2.0
"""A camera node that plays a simulated drive, a video, a folder or a recording, and a depth node.

    ros2 launch clip2depth_ros demo.launch.py use_rviz:=true
    ros2 launch clip2depth_ros demo.launch.py odometry.topic:=camera/odometry
    ros2 launch clip2depth_ros demo.launch.py input:=/path/to/video.mp4 horizontal_fov:=1.2

It also accepts the arguments of depth.launch.py, and ends when one of its processes ends.
"""

from pathlib import Path

import yaml
from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
)
from launch.event_handlers import OnProcessExit
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from clip2depth_ros.ros.fastdds import large_message_environment
from clip2depth_ros.ros.parameters.declaration import parameters_of
from clip2depth_ros.ros.parameters.depth_settings import CameraSettings

DEPTH = Path(__file__).resolve().parent / "depth.launch.py"

# Argument: (parameter of camera_node, default). An empty default keeps the node's default. The last two are
# also arguments of depth.launch.py, with the same meaning.
CAMERA_ARGUMENTS = {
    "input": ("source", "sim:1"),
    "loop": ("loop", "true"),
    "rate": ("rate", ""),
    "camera": ("camera", ""),
    "camera_frame": ("frame_id", "camera_optical_frame"),
    "horizontal_fov": ("horizontal_fov", ""),
    "image_transport": ("image_transport", ""),
}


def generate_launch_description():
    """The launch description for `ros2 launch`."""
    facts = {fact.name: fact for fact in parameters_of(CameraSettings)}
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=facts[parameter].description)
        for name, (parameter, default) in CAMERA_ARGUMENTS.items()
    ]
    return LaunchDescription(
        [
            *declared,
            DeclareLaunchArgument("namespace", default_value="", description="Namespace of both nodes."),
            RegisterEventHandler(OnProcessExit(on_exit=Shutdown(reason="a process of the demo has ended"))),
            OpaqueFunction(function=_camera),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(DEPTH)),
                launch_arguments={"image_topic": "camera/image_raw"}.items(),
            ),
        ]
    )


def _camera(context):
    """The node that plays the input as a camera."""
    given = context.launch_configurations
    facts = {fact.name: fact for fact in parameters_of(CameraSettings)}
    values = {}
    for argument, (name, _) in CAMERA_ARGUMENTS.items():
        if text := given[argument]:
            values[name] = facts[name].checked(text if facts[name].type is str else yaml.safe_load(text))
    if not values["loop"]:
        values["wait_for_subscribers"] = 1  # otherwise a short input could end before depth_node runs
    namespace = given["namespace"]
    topic = "/".join(["", *namespace.split("/"), given.get("name", "clip2depth"), "points"]).replace(
        "//", "/"
    )
    return [
        LogInfo(msg=f"To see the result: use_rviz:=true, or `ros2 topic hz {topic}`. Ctrl-C ends it."),
        Node(
            package="clip2depth_ros",
            executable="camera_node",
            namespace=f"{namespace}/camera" if namespace else "camera",
            name="camera",
            parameters=[
                {name: ParameterValue(value, value_type=type(value)) for name, value in values.items()}
            ],
            additional_env=large_message_environment(context.environment)[0],
            output="screen",
            emulate_tty=True,
        ),
    ]
