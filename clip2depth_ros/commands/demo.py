# SPDX-License-Identifier: Apache-2.0
"""`clip2depth demo`: run a camera node and the depth node in two processes, observe them from a third."""

from __future__ import annotations

import argparse
import json
import math
import os
import shlex
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from clip2depth_ros.commands._shared.engine_options import add_engine_choice
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.files.replacing import write_whole

HELP = "run camera and depth node over DDS; write a video, an image sheet and a recording"
VIDEO, SHEET, SUMMARY = "film.webm", "sheet.jpg", "summary.json"
VIEWER_OPTIONS = "--web-viewer --bind 127.0.0.1"  # by default, rerun listens on all interfaces
DRIVE = 30.0  # seconds, a simulated drive's length
DEFAULT_FOV = 1.05  # radians, of an uncalibrated camera: typical of webcams and phones


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--input", help="a video, folder of images, rosbag2 or camera (default: a simulated drive)"
    )
    parser.add_argument("--output", type=Path, default=Path("demo"), help="output folder (default: demo)")
    parser.add_argument(
        "--seconds",
        type=float,
        default=30.0,
        help="duration (default: 30; 0: until the end of the input)",
    )
    parser.add_argument("--rate", type=float, default=10.0, help="maximum images per second (default: 10)")
    parser.add_argument(
        "--seed", type=int, default=16, help="seed of the simulated room and drive (default: 16)"
    )
    parser.add_argument(
        "--camera", type=Path, help="calibration of the input's camera (JSON, or camera_info YAML)"
    )
    parser.add_argument(
        "--horizontal-fov",
        type=float,
        metavar="RADIANS",
        help=f"for an input without calibration (default: {DEFAULT_FOV:g})",
    )
    parser.add_argument("--bundle", default="mini", help="name or path of the depth network (default: mini)")
    add_engine_choice(parser)
    parser.add_argument(
        "--no-stabilize", action="store_true", help="publish each frame's depth as the network gives it"
    )
    parser.add_argument(
        "--range",
        type=float,
        nargs=2,
        metavar=("NEAR", "FAR"),
        default=None,
        help="range of the color scale, meters (default: 0.4 10)",
    )
    parser.add_argument(
        "--view", action="store_true", help="show the recording in a browser afterwards (rerun)"
    )


def run(args: argparse.Namespace) -> int:
    from clip2depth_ros.bundle import find_bundle
    from clip2depth_ros.images.visualization import FAR, NEAR

    if not (args.seconds >= 0 and math.isfinite(args.seconds)):
        raise Clip2DepthError(f"--seconds must be 0 or more, not {args.seconds:g}")
    if not 0 < args.rate <= 1000:
        raise Clip2DepthError(
            f"--rate must be more than 0 and at most 1000 images per second, not {args.rate:g}"
        )
    if args.horizontal_fov is not None and not 0 < args.horizontal_fov < 3.1:
        raise Clip2DepthError(
            f"--horizontal-fov must be between 0 and 3.1 radians, not {args.horizontal_fov:g}"
        )
    near, far = args.range or (NEAR, FAR)
    if not 0 < near < far:
        raise Clip2DepthError(f"--range must be 0 < NEAR < FAR, not {near:g} {far:g}")
    viewer = _viewer()
    if args.view and viewer is None:
        raise Clip2DepthError(
            f"--view needs the rerun viewer: {_beside_python('pip')} install rerun-sdk (the extra 'view')"
        )
    if find_spec("rosbags") is None:
        raise Clip2DepthError("`clip2depth demo` needs rosbags to write its recording: pip install rosbags.")
    bundle = find_bundle(args.bundle)
    camera, described, length, moves = _camera_parameters(args)
    depth: dict[str, object] = {"bundle": str(bundle.resolve()), "engine": args.engine}
    if args.precision is not None:
        depth["precision"] = args.precision
    _clear(args.output)

    from clip2depth_ros.demo.live import Topics
    from clip2depth_ros.demo.report import draw, summary, table
    from clip2depth_ros.demo.session import Plan, run_session
    from clip2depth_ros.system.progress import StatusLine

    if args.no_stabilize:
        depth["stabilizer.enabled"] = False
    elif moves:
        # A robot has odometry, so the demo's node may use it for the scale.
        depth["odometry.topic"] = Topics().odometry
    print(f"{described}: camera_node and depth_node run in their own processes, this one observes them")
    line = StatusLine()

    def say(text: str) -> None:
        line.finish()
        print(text, flush=True)

    try:
        # A source that ends in time is not stopped, so that its last image is processed.
        plan = Plan(0.0 if length <= args.seconds + 0.5 else args.seconds, camera, depth)
        tally, recorder = run_session(plan, args.output, show=line.show, say=say)
        line.finish(tally.line())
        video, sheet = args.output / VIDEO, args.output / SHEET
        errors = draw(recorder.folder, tally, video, sheet, near=near, far=far, progress=line.show)
    except KeyboardInterrupt:
        line.finish()
        print("interrupted; both nodes have ended", file=sys.stderr)
        return 130
    finally:
        line.finish()
    facts = {"input": described} | summary(tally, errors) | {"frames_not_recorded": recorder.thinned}
    write_whole(args.output / SUMMARY, json.dumps(facts, indent=2, allow_nan=False) + "\n")
    print(table(facts))
    if recorder.thinned:
        print(f"  The images are large: recording and video omit {recorder.thinned} frames.")
    print(
        f"\n  {video}   video: image, depth{', true depth' if errors else ''} (opens in a browser)\n"
        f"  {sheet}   the same as an image sheet\n"
        f"  {recorder.file}   recording, for Foxglove, or:"
        f" ros2 bag play {shlex.quote(str(recorder.folder))}\n"
        f"  {args.output / SUMMARY}   these numbers\n"
    )
    command = [str(viewer or _beside_python("rerun")), str(recorder.file), *shlex.split(VIEWER_OPTIONS)]
    if not args.view:
        print("To see it in a browser:")
        if viewer is None:
            print(f"  {_beside_python('pip')} install rerun-sdk")
        print(f"  {shlex.join(command)}")
        return 0
    print("Showing it in a browser; Ctrl-C ends it.", flush=True)
    os.execvp(command[0], command)


def _beside_python(name: str) -> Path:
    """The path of a program in this Python's environment, relative if possible; the program may not exist."""
    folder = Path(sys.executable).parent
    return (folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder) / name


def _viewer() -> str | None:
    """The path of the rerun viewer; None if it is not installed."""
    beside = _beside_python("rerun")
    return str(beside) if os.access(beside, os.X_OK) else shutil.which("rerun")


def _camera_parameters(args: argparse.Namespace) -> tuple[dict[str, object], str, float, bool]:
    """Parameters of camera_node, description of the input, its length in seconds (infinite if unknown), and
    whether the node will publish odometry.

    Opens the input once, so that errors are reported at once.
    """
    from clip2depth_ros.io import open_source

    if args.input is None:
        return {"source": f"sim:{args.seed}", "rate": args.rate}, f"simulated drive {args.seed}", DRIVE, True
    if args.camera is not None:
        from clip2depth_ros.camera import Camera

        given = Camera.from_file(args.camera)
    else:
        given = None
    fov = args.horizontal_fov or DEFAULT_FOV
    with open_source(args.input, camera=given, horizontal_fov=fov) as source:
        frame = next(iter(source), None)
        if frame is None:
            raise Clip2DepthError(f"{args.input} contains no frame")
        height, width = frame.image.shape[:2]
        described, fps, length = f"{args.input} ({width}x{height})", source.fps, source.length
        moves = frame.pose is not None
        if source.assumed:
            described += f", assumed camera: {source.assumed}"
    every = max(1, math.ceil(fps / args.rate - 1e-6)) if fps else 1  # play in real time
    rate = float(min(args.rate, fps / every) if fps else args.rate)
    parameters: dict[str, object] = {
        "source": args.input,
        "horizontal_fov": fov,
        "every": every,
        "rate": rate,
    }
    if args.camera is not None:
        parameters["camera"] = str(args.camera)
    seconds = length / every / rate if length else math.inf
    return parameters, described, seconds, moves


def _clear(output: Path) -> None:
    """Remove the output of an earlier run, and nothing else; the recorder replaces recording/."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        for name in (VIDEO, SHEET, SUMMARY):
            (output / name).unlink(missing_ok=True)
        for log in (output / "logs").glob("**/*.log"):
            log.unlink()
    except OSError as error:
        raise Clip2DepthError(f"cannot use {output} as the output folder: {error.strerror}") from error
