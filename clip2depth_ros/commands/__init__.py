# SPDX-License-Identifier: Apache-2.0
"""The subcommands of `clip2depth`, one file each.

Each has HELP (one line), add_arguments(parser) and run(args) -> exit code. Importing a subcommand is cheap:
modules that only one command needs (PyTorch, MuJoCo, ROS) are imported when it runs.
"""
