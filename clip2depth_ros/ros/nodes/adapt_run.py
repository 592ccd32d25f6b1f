# SPDX-License-Identifier: Apache-2.0
"""Runs `clip2depth adapt` as a child process, one run at a time, and keeps its files. No ROS."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clip2depth_ros.bundle import Bundle
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.files.bounded import read_bounded
from clip2depth_ros.keyframes import write_whole
from clip2depth_ros.system.processes import tied_to_parent

REFUSED = 3
"""Exit code of a command that found no gain."""
ATTEMPTS = 3
"""A run that was killed, for example by a power cut, is started at most so many times."""
LONGEST = 3 * 3600.0
"""Seconds after which a run is stopped."""
LINE = 300
"""Largest number of characters of a reported line."""
MOST_BYTES = 2**20
"""Largest size of a JSON file."""
MEASURED = ("kept_out", "gain", "errors", "floor")
"""Entries of the command's summary that are reported."""
MOST_MEASURES = 20
"""Largest number of values that are reported."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    kind: str
    """better, refused or failed."""
    text: str
    """One sentence."""
    bundle: str = ""
    """Path of the adapted bundle, "" for none."""
    measures: dict[str, float] = field(default_factory=dict)
    """Measurements of the command, before and after."""


class AdaptRun:
    """The folder run/ of a run that has begun, and its process.

    Everything is prepared under another name and renamed, so that after a crash run/ and each bundle are
    either complete or absent. The child ends with this process, even by SIGKILL; the run is then restarted.

    Args:
        folder: of run/ and of the adapted bundles.
        command: the program; `--input`, `--output`, `--bundle`, `--report` and more options are appended.
    """

    def __init__(self, folder: Path, command: Sequence[str]) -> None:
        self.folder = folder
        self._command = list(command)
        self._work = folder / "run"
        self._process: subprocess.Popen | None = None
        self._started = 0.0
        for left in folder.glob(".run*"):
            shutil.rmtree(left, ignore_errors=True)

    @property
    def is_running(self) -> bool:
        """True from start() until poll() has returned the outcome."""
        return self._process is not None

    @property
    def is_pending(self) -> bool:
        """True when a run was prepared and has not ended, in this process or an earlier one."""
        return (self._work / "request.json").is_file()

    @property
    def newest(self) -> int:
        """Number of the newest keyframe of the prepared run; -1 if unknown."""
        return (self._request() or {"newest": -1})["newest"]

    @property
    def seconds(self) -> float:
        """How long the process has run."""
        return time.monotonic() - self._started

    def prepare(
        self, bundle: str, newest: int, snapshot: Callable[[Path], Any], options: Sequence[str] = ()
    ) -> None:
        """Write the files that a run needs.

        bundle: name or path of the bundle to adapt. newest: number of the newest keyframe, for `newest`.
        snapshot: writes the recording into the folder that it is given. options: more arguments of the
        command. Raises Clip2DepthError when they cannot be written.
        """
        fresh = self.folder / ".run"
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(self._work, ignore_errors=True)
        try:
            fresh.mkdir(parents=True)
            snapshot(fresh / "recording")
            request = {"bundle": bundle, "name": self._next_name(bundle), "newest": newest}
            request |= {"attempts": 0, "options": list(options)}
            (fresh / "request.json").write_text(json.dumps(request), encoding="utf-8")
            os.replace(fresh, self._work)
        except OSError as error:
            raise Clip2DepthError(f"{fresh} cannot be written: {error.strerror or error}.") from error

    def start(self) -> Outcome | None:
        """Start the prepared run's process. Returns an outcome, like poll(), if nothing is left to start."""
        request = self._request()
        if request is None:
            return self._ended(Outcome("failed", "The files of the prepared run cannot be read."))
        if (self.folder / request["name"]).is_dir():  # it had completed before it was killed
            return self._ended(self._better(self.folder / request["name"]))
        if request["attempts"] >= ATTEMPTS:
            return self._ended(Outcome("failed", f"Killed {ATTEMPTS} times, so it is not started again."))
        request["attempts"] += 1
        try:
            write_whole(self._work / "request.json", json.dumps(request).encode())
            with open(self._log, "ab") as log:
                self._process = subprocess.Popen(
                    [
                        *self._command,
                        *("--input", str(self._work / "recording"), "--output", str(self._output(request))),
                        *("--bundle", request["bundle"], "--report", str(self._work / "report")),
                        *map(str, request["options"]),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, "PYTHONUNBUFFERED": "1"},
                    start_new_session=True,
                    preexec_fn=tied_to_parent(signal.SIGKILL, idle=True),
                )
        except (OSError, subprocess.SubprocessError) as error:
            return self._ended(Outcome("failed", f"{self._command[0]} cannot be started: {error}."))
        self._started = time.monotonic()
        return None

    def poll(self) -> Outcome | None:
        """The outcome, once the process has ended; then call :meth:`clear`."""
        if self._process is None:
            return None
        code = self._process.poll()
        if code is None:
            if self.seconds > LONGEST:
                self._kill()
                return self._ended(Outcome("failed", f"The run took more than {LONGEST / 3600:g} hours."))
            return None
        self._kill()  # its remaining child processes
        request = self._request()
        if code == 0 and request is not None:
            return self._ended(self._take_bundle(request))
        reason = self._reason() or self.last_line.removeprefix("error: ")
        if code == REFUSED:
            return self._ended(Outcome("refused", reason or "No reason was given.", "", self._measures()))
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return self._ended(Outcome("failed", f"The command {how}: {reason or 'it printed no reason'}"))

    def stop(self) -> None:
        """Kill the process, if one runs. The next start() restarts the run."""
        if self._process is not None:
            self._kill()
            self._process = None

    @property
    def last_line(self) -> str:
        """The last line that the command wrote."""
        try:
            with open(self._log, "rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - 4096))
                lines = re.split(r"[\r\n]+", log.read().decode("utf-8", "replace"))
        except OSError:
            return ""
        return next((line.strip()[:LINE] for line in reversed(lines) if line.strip()), "")

    def bundles(self) -> list[Path]:
        """The adapted bundles, oldest first."""
        found = [path for path in self.folder.glob("*-[0-9][0-9][0-9][0-9]") if path.is_dir()]
        return sorted(found, key=lambda path: path.name[-4:])

    def remove_bundles(self, keep: set[str], newest: int) -> None:
        """Remove all but the newest ones, and those whose path is in `keep`."""
        for path in self.bundles()[:-newest]:
            if str(path) not in keep:
                shutil.rmtree(path, ignore_errors=True)

    @property
    def _log(self) -> Path:
        return self._work / "log.txt"

    def _output(self, request: dict[str, Any]) -> Path:
        return self._work / request["name"]

    def _request(self) -> dict[str, Any] | None:
        try:
            request = json.loads(read_bounded(self._work / "request.json", MOST_BYTES))
            return {kind: type_(request[kind]) for kind, type_ in _REQUEST.items()}
        except (Clip2DepthError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return None

    def _next_name(self, bundle: str) -> str:
        """mini-0002 after mini and mini-0001; numbers are unique."""
        stem = re.sub(r"-\d{4}$", "", Path(bundle).name.removesuffix(".zip")) or "bundle"
        numbers = [int(path.name[-4:]) for path in self.bundles()]
        return f"{stem}-{max(numbers, default=0) + 1:04d}"

    def _take_bundle(self, request: dict[str, Any]) -> Outcome:
        """Check the command's bundle, and move it to the other bundles."""
        made, place = self._output(request), self.folder / request["name"]
        try:
            bundle = Bundle(made)
            bundle.model()
            bundle.check()
            for path in made.iterdir():  # so that the bundle survives a power cut
                with open(path, "rb") as file:
                    os.fsync(file.fileno())
            os.replace(made, place)
        except Clip2DepthError as error:
            return Outcome("failed", f"The command succeeded, but left no valid bundle: {error}")
        except OSError as error:
            return Outcome("failed", f"{place} cannot be written: {error.strerror or error}.")
        return self._better(place)

    def _better(self, place: Path) -> Outcome:
        text = self._reason() or "The adapted network is better on the held-out keyframes."
        return Outcome("better", text, str(place), self._measures())

    def _ended(self, outcome: Outcome) -> Outcome:
        self._process = None
        return outcome

    def clear(self) -> None:
        """Keep report and log of the run that has ended, and remove the rest.

        Call it after the outcome is saved: until then the outcome is found again after a crash.
        """
        report = self.folder / "report"
        shutil.rmtree(report, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.replace(self._work / "report", report)
        with contextlib.suppress(OSError):
            report.mkdir(exist_ok=True)
            os.replace(self._log, report / "log.txt")
        with contextlib.suppress(OSError):
            (self._work / "request.json").unlink()  # from here on there is no pending run
        shutil.rmtree(self._work, ignore_errors=True)

    def _summary(self) -> dict[str, Any]:
        try:
            summary = json.loads(read_bounded(self._work / "report" / "summary.json", MOST_BYTES))
        except (Clip2DepthError, ValueError, RecursionError):
            return {}
        return summary if isinstance(summary, dict) else {}

    def _reason(self) -> str:
        """The command's own sentence about the result, "" for none."""
        summary = self._summary()
        return _text(summary.get("sentence")) or _text(summary.get("reason"))

    def _measures(self) -> dict[str, float]:
        """The summary's measurements by name, such as "kept out photometric before"."""
        measured = {key: value for key, value in self._summary().items() if key in MEASURED}
        return dict(itertools.islice(_numbers(measured, ""), MOST_MEASURES))

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


_REQUEST = {"bundle": str, "name": str, "newest": int, "attempts": int, "options": list}


def _numbers(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _numbers(inner, f"{name} {str(key).replace('_', ' ')}".strip())
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield name, value


def _text(value: Any) -> str:
    return " ".join(value.split())[:LINE] if isinstance(value, str) else ""
