# SPDX-License-Identifier: Apache-2.0
"""The subcommands of `clip2depth`, a file each.

Each has HELP (one line), add_arguments(parser) and run(args) -> exit code. Importing one is cheap: what a
command needs beyond the run path (PyTorch, MuJoCo, ROS) it imports when it runs.
"""
