# SPDX-License-Identifier: Apache-2.0
"""The `clip2depth` command: each subcommand is a file in commands/ with HELP, add_arguments and run."""

from __future__ import annotations

import argparse
import errno
import importlib
import logging
import pkgutil
import shlex
import signal
import sys
from collections.abc import Sequence

from clip2depth_ros import __version__, commands
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.files.replacing import cannot_write
from clip2depth_ros.system.interrupts import Terminated, plain_interrupts, termination_as_exception

# Errors of a disk that accepts no more data. Writers that know the file's name raise their own error; these
# errors come from libraries.
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)


def command_names() -> list[str]:
    """The names of all subcommands."""
    return sorted(module.name for module in pkgutil.iter_modules(commands.__path__) if module.name[0] != "_")


def make_parser(chosen: str | None) -> argparse.ArgumentParser:
    """The parser. It imports only the chosen subcommand's module, or all modules when none is chosen."""
    parser = argparse.ArgumentParser(
        prog="clip2depth", description="Metric depth from one camera.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"clip2depth {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    names = command_names()
    for name in names:
        if chosen in names and name != chosen:
            # Registered without its module, so that argparse lists it in messages.
            subparsers.add_parser(name, add_help=False)
            continue
        module = importlib.import_module(f"{commands.__name__}.{name}")
        subparser = subparsers.add_parser(
            name, help=module.HELP, description=module.__doc__, allow_abbrev=False
        )
        module.add_arguments(subparser)
        subparser.set_defaults(run=module.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    Returns the exit code: 2 for errors in the arguments or inputs, 130 after SIGINT and 143 after SIGTERM
    (the shell convention).
    """
    command = None
    try:
        arguments = list(sys.argv[1:] if arguments is None else arguments)
        command = arguments[0] if arguments else None
        with termination_as_exception():
            with plain_interrupts():
                logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
                parser = make_parser(command)
            args = parser.parse_args(arguments)
            args.command_line = shlex.join(["clip2depth", *arguments])
            return args.run(args)
    except Clip2DepthError as error:
        print(f"clip2depth {command}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno not in DISK:
            raise
        print(f"clip2depth {command}: {cannot_write(error.filename or 'A file', error)}", file=sys.stderr)
        return 2
    except Terminated:
        return 128 + signal.SIGTERM
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
