# SPDX-License-Identifier: Apache-2.0
"""The logs of a stage: CSV, TensorBoard, and a progress bar on a terminal or plain lines elsewhere."""

from __future__ import annotations

import csv
import io
import sys
import time
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from clip2depth_ros.files.bounded import MAX_TABLE, read_bounded, reading
from clip2depth_ros.files.replacing import write_whole, writing

LINE_SECONDS = 20.0


class StageLog:
    """Writes NAME-training.csv, NAME-validation.csv and tensorboard/NAME in `directory`.

    step    at which the run continues: rows of later steps, which a killed run wrote after its last saved
            state, are removed, so that no step is logged twice
    images  number at which the run ends, for the bar. seen: images before `step`
    """

    def __init__(self, name: str, directory: Path, *, step: int, images: int, seen: int) -> None:
        self.name, self.directory = name, Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        for kind in ("training", "validation"):
            _drop_after(self._csv(kind), step)
        self._board = SummaryWriter(self.directory / "tensorboard" / name, purge_step=step + 1)
        on_terminal = sys.stderr.isatty()
        self._bar = tqdm(total=images, initial=seen, desc=name, unit="image", disable=not on_terminal)
        self._plain = not on_terminal
        self._images, self._started, self._start_images = images, time.monotonic(), seen
        self._seen, self._said = seen, time.monotonic()

    def advance(self, images: int) -> None:
        """Count images that were trained on."""
        self._seen += images
        self._bar.update(images)

    def training(self, row: dict[str, float], *, last: bool = False) -> None:
        """Add a row of the training log. All rows have the same names; "step" is one of them."""
        self._record("training", row)
        shown = {k: v for k, v in row.items() if k not in ("step", "images", "minutes", "lr")}
        self._bar.set_postfix({k: f"{v:.3f}" for k, v in shown.items()})
        if self._plain and (last or time.monotonic() - self._said > LINE_SECONDS):
            self._said = time.monotonic()
            rate = (self._seen - self._start_images) / max(self._said - self._started, 1e-9)
            left = (self._images - self._seen) / max(rate, 1e-9) / 60
            numbers = "  ".join(f"{k} {v:.3f}" for k, v in shown.items())
            share = 100 * self._seen / self._images
            self._say(f"{share:3.0f} %  {self._seen:,} images  {rate:.0f}/s  {numbers}  {left:.0f} min left")

    def validation(self, row: dict[str, float]) -> None:
        """Add a row of the validation log."""
        self._record("validation", row)
        numbers = "  ".join(f"{k} {v:.3f}" for k, v in row.items() if k not in ("step", "images", "minutes"))
        self._say(f"validation after {self._seen:,} images: {numbers}")

    def close(self) -> None:
        """Flush and close all logs. Call it once."""
        self._bar.close()
        self._board.close()

    def _say(self, text: str) -> None:
        with tqdm.external_write_mode():
            print(f"{self.name} {text}", flush=True)

    def _csv(self, kind: str) -> Path:
        return self.directory / f"{self.name}-{kind}.csv"

    def _record(self, kind: str, row: dict[str, float]) -> None:
        path = self._csv(kind)
        new = not path.exists()
        with writing(path), path.open("a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(row)
            writer.writerow(v if isinstance(v, int) else f"{v:.6g}" for v in row.values())
        for name, value in row.items():
            if name != "step":
                self._board.add_scalar(f"{kind}/{name}", value, row["step"])


def _drop_after(path: Path, step: int) -> None:
    """Keep the rows up to `step`; an incomplete last line of a killed run is removed too."""
    if not path.exists():
        return
    text = read_bounded(path, MAX_TABLE).decode(errors="replace")
    whole = text[: text.rfind("\n") + 1]
    with reading(path):
        rows = list(csv.reader(io.StringIO(whole)))
        if not rows:
            path.unlink()
            return
        column = rows[0].index("step")
        kept = [row for row in rows[1:] if int(row[column]) <= step]
    table = io.StringIO()
    csv.writer(table).writerows([rows[0], *kept])
    write_whole(path, table.getvalue())
