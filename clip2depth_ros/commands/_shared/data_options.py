# SPDX-License-Identifier: Apache-2.0
"""Arguments that select a training data set, and the function that opens it."""

from __future__ import annotations

import argparse
from pathlib import Path

from clip2depth_ros.commands.train import find_config
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.files.bounded import load_yaml, parse_yaml
from clip2depth_ros.training.datasets import KINDS, DataSet, below, open_data_set


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --config, --data and the options that belong to them."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="RECIPE",
        help="in place of --input: the test set of a training recipe, each image on its own, without "
        "stabilizer",
    )
    parser.add_argument(
        "--data", metavar="KIND", help=f"in place of --input: a training data set ({', '.join(KINDS)})"
    )
    parser.add_argument(
        "--root", type=Path, metavar="DIR", help="folder of the data set, or of all data sets of the recipe"
    )
    parser.add_argument("--split", help="split of the data set (default: test)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another setting of the data set, such as depth_root=DIR; may be repeated",
    )
    parser.add_argument("--cache", type=Path, help="folder for rendered views (default: ~/.cache/clip2depth)")


def open_data(args: argparse.Namespace) -> DataSet:
    """The data set that the arguments select, ready for reading. Raises Clip2DepthError."""
    entry = _of_recipe(args) if args.config is not None else _of_arguments(args)
    if args.split is not None:
        entry["split"] = args.split
    for text in args.set:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise Clip2DepthError(f"--set takes NAME=VALUE, not '{text}'.")
        try:
            entry[name] = parse_yaml(value)
        except Exception:  # syntax errors, deep nesting, numbers and dates out of Python's range
            raise Clip2DepthError(f"--set {name}: '{value}' is not a valid YAML value.") from None
    data = open_data_set(entry, cache=args.cache)
    data.prepare()
    return data


def _of_arguments(args: argparse.Namespace) -> dict:
    if args.root is None and args.data in KINDS and "root" in KINDS[args.data].arguments():
        raise Clip2DepthError(f"--data {args.data} needs --root: the folder of the data set.")
    root = {} if args.root is None else {"root": str(args.root)}
    return {"kind": args.data, "split": "test"} | root


def _of_recipe(args: argparse.Namespace) -> dict:
    path = find_config(args.config)
    recipe = load_yaml(path)
    data = recipe.get("data") if isinstance(recipe, dict) else None
    tests = (data.get("test") if isinstance(data, dict) else None) or []
    if not isinstance(tests, list) or len(tests) != 1 or not isinstance(tests[0], dict):
        count = len(tests) if isinstance(tests, list) else 0
        what = f"names {count} test sets" if count else "names no test set (data: test)"
        raise Clip2DepthError(f"{path} {what}; select the data set with --data and --root.")
    return below(tests[0], args.root)
