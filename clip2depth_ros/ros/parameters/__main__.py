# SPDX-License-Identifier: Apache-2.0
"""Prints the files that are generated from the settings classes.

python -m clip2depth_ros.ros.parameters --yaml > config/depth.yaml
python -m clip2depth_ros.ros.parameters --adapt-yaml > config/adapt.yaml
python -m clip2depth_ros.ros.parameters --markdown > docs/parameters.md
"""

from __future__ import annotations

import argparse

from clip2depth_ros.ros.parameters.declaration import adapt_yaml, depth_yaml, parameters_markdown


def main() -> None:
    """Print config/depth.yaml, config/adapt.yaml or docs/parameters.md."""
    parser = argparse.ArgumentParser(prog="python -m clip2depth_ros.ros.parameters", description=main.__doc__)
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("--yaml", action="store_true", help="config/depth.yaml")
    choice.add_argument("--adapt-yaml", action="store_true", help="config/adapt.yaml")
    choice.add_argument("--markdown", action="store_true", help="docs/parameters.md")
    args = parser.parse_args()
    print(depth_yaml() if args.yaml else adapt_yaml() if args.adapt_yaml else parameters_markdown(), end="")


if __name__ == "__main__":
    main()
