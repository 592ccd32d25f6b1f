# SPDX-License-Identifier: Apache-2.0
"""The demo's child processes: start, monitoring, and termination in every case."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.ros.fastdds import large_message_environment
from clip2depth_ros.system.processes import tied_to_parent

DOMAINS = range(70, 102)


def free_domain() -> int:
    """A ROS domain without participants on this machine; rarely used, and valid on every platform."""
    for domain in random.sample(DOMAINS, len(DOMAINS)):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
            probe.bind(("", 7410 + 250 * domain))  # the RTPS port that a domain's first participant takes
            return domain
    return random.choice(DOMAINS)


def private_environment(environ: Mapping[str, str], log_folder: Path) -> tuple[dict[str, str], str]:
    """The environment for a private ROS graph: this machine only, own domain, our DDS profile.

    The user's choices (a middleware, a Fast DDS profile) are kept. Also returns the reason why our profile is
    not used, or ''.
    """
    result = dict(environ)
    result["ROS_DOMAIN_ID"] = str(free_domain())
    result["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    result.pop("ROS_STATIC_PEERS", None)
    # Humble has no discovery ranges; later distributions warn about this variable.
    if result.get("ROS_DISTRO") == "humble":
        result["ROS_LOCALHOST_ONLY"] = "1"
    result.setdefault("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp")
    profile, reason = large_message_environment(result)
    result.update(profile)
    result["ROS_LOG_DIR"] = str(log_folder)
    result["PYTHONUNBUFFERED"] = "1"
    return result, reason


class Child:
    """One process with its output in a file. It ends with the demo, however the demo ends."""

    def __init__(self, name: str, command: Sequence[str], environ: Mapping[str, str], log: Path):
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "wb") as output:
            try:
                # Own session: Ctrl-C on the terminal reaches only the demo, which then stops its children in
                # order.
                self._process = subprocess.Popen(
                    list(command),
                    env=dict(environ),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=tied_to_parent(signal.SIGTERM),
                )
            except OSError as error:
                raise Clip2DepthError(f"cannot start {name} ({command[0]}): {error.strerror}") from error

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Exit code, negative for a signal; None while the process runs."""
        return self._process.poll()

    def last_lines(self, count: int = 12) -> str:
        """The last lines of its output, indented."""
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return "\n".join(f"    {line}" for line in lines[-count:]) or "    (it wrote nothing)"

    def check(self, may_have_ended: bool = False, interrupted: bool = False) -> None:
        """Raise Clip2DepthError with the last lines of output if the process has ended.

        may_have_ended: an exit without error is allowed. interrupted: so is an exit by SIGINT.
        """
        code = self.code
        if code is None or (may_have_ended and code == 0) or (interrupted and code == -signal.SIGINT):
            return
        killed = f"was killed by {signal.Signals(-code).name}" if code < 0 else ""
        how = killed or f"ended early with exit code {code}"
        raise Clip2DepthError(f"{self.name} {how}; the last lines of {self.log}:\n{self.last_lines()}")

    def interrupt(self) -> None:
        """Send SIGINT, as Ctrl-C does."""
        if self.code is None:
            self._signal(signal.SIGINT)

    def end(self, timeout: float = 5.0) -> None:
        """End the process and its children: SIGINT, then SIGTERM, then SIGKILL, `timeout` seconds apart."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            if self.code is None:
                self._signal(number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(timeout)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


class Children:
    """The child processes: a context manager that ends all of them.

    While it is open, signals that would end the demo at once (SIGTERM, SIGHUP) raise SystemExit, so that
    cleanup runs.
    """

    def __init__(self) -> None:
        self._children: list[Child] = []
        self._handlers: dict[int, object] = {}

    def start(self, name: str, command: Sequence[str], environ: Mapping[str, str], log: Path) -> Child:
        child = Child(name, command, environ, log)
        self._children.append(child)
        return child

    def __enter__(self) -> Children:
        with contextlib.suppress(ValueError):  # not in the main thread, which owns the signals
            for number in (signal.SIGTERM, signal.SIGHUP):
                self._handlers[number] = signal.signal(number, lambda n, _: sys.exit(128 + n))
        return self

    def __exit__(self, *_: object) -> None:
        # A second Ctrl-C must not leave a child running.
        with contextlib.suppress(ValueError):
            self._handlers[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            for child in self._children:
                child.interrupt()
            deadline = time.monotonic() + 5.0
            for child in self._children:
                child.end(max(0.5, deadline - time.monotonic()))
        finally:
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
            self._handlers.clear()
