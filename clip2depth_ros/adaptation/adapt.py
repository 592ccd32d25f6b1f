# SPDX-License-Identifier: Apache-2.0
"""One adaptation, from a recording to a bundle or a refusal. An interrupted one is resumed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from clip2depth_ros.adaptation.agreement import check_odometry, check_texture
from clip2depth_ros.adaptation.floor import FloorPixels, find_floor_pixels
from clip2depth_ros.adaptation.objective import Objective, Views, Weights, choose_views
from clip2depth_ros.adaptation.recording import Keyframes, Recorder, Refusal, angle_between
from clip2depth_ros.adaptation.refinement import refined_motions
from clip2depth_ros.adaptation.rehearsal import Rehearsal, growth
from clip2depth_ros.adaptation.taps import stored_taps, tower_taps
from clip2depth_ros.adaptation.trainable import open_trainable, what_trains
from clip2depth_ros.adaptation.views import (
    BLOCK,
    FARTHEST,
    NEAREST,
    SOURCES,
    find_overlapping,
    hold_out,
)
from clip2depth_ros.bundle import Bundle
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.export.exporter import export_bundle
from clip2depth_ros.files.replacing import write_whole
from clip2depth_ros.images.frame import Floor, Frame
from clip2depth_ros.metrics.depth import depth_errors, mean_errors
from clip2depth_ros.network.checkpoint import read_tensors, write_tensors
from clip2depth_ros.training.configuration import Phase, Stage
from clip2depth_ros.training.trainer import Trainer

RUN = "adapt"
"""Name of the run in its logs."""
FEWEST = 12
"""Fewest keyframes with another view, both for training and held out."""
LEAST_PATH = 0.5
"""Meters from its start beyond which a camera did not just stand or turn."""
STANDING = 10.0
"""Degrees that a standing camera may turn."""
JUDGED = 90
"""Largest number of held-out keyframes that are evaluated, evenly picked."""
HALVINGS = 4
"""Steps of the search for the largest interpolation factor between the old weights and the best ones."""
MOST_ELSEWHERE = 1.05
"""Factor by which the error in other places may grow; it limits the interpolation, or leads to a refusal."""
ALIKE = 0.002
"""Relative difference of the measure of two steps that says nothing; the later one is trained better."""
LEAST_GAIN = 0.01
"""Least reduction of the photometric residual of a held-out image, as a part of it; geometric mean."""
LEAST_RESIDUAL = 1e-3
"""Photometric residual and geometric inconsistency of an image below which a ratio of them is noise."""
MOST_APART = 1.02
"""Factor by which the geometric inconsistency there may grow."""
MOST_SCALED = 1.2
"""Factor, or its inverse, by which odometry and the camera's height may contradict each other."""


@dataclass(frozen=True)
class Settings:
    """How an adaptation trains.

    pairs         of two keyframes that see each other, in each of `steps` steps
    alone         keyframes that no other one sees with parallax, in each step
    average       decay of the moving average of the weights
    keyframes     largest number
    rehearsed     views of other places in each step
    block         seconds of a held-out stretch
    save_minutes  between two states on disk
    """

    steps: int = 300
    pairs: int = 3
    alone: int = 4
    learning_rate: float = 2e-4
    average: float = 0.97
    keyframes: int = 600
    validate_steps: int = 60
    rehearsed: int = 6
    block: float = BLOCK
    save_minutes: float = 0.25
    seed: int = 0
    weights: Weights = field(default_factory=Weights)


class Adaptation:
    """Adapts a bundle to a recording.

    bundle: to adapt. checkpoint: of that bundle, where there is one. output: folder of the new bundle. State
    is kept in OUTPUT.adapting until the bundle is written or refused; a new call with the same arguments
    resumes it. rehearsal: makes views of other places, for training and for measuring that the network gets
    no worse there; without them, only the loss term of the old depth's shape prevents that. floor: under the
    camera, as it is mounted on its robot, with its height in meters, if known; it corrects the odometry's
    scale. identity: of the recording, as JSON content.
    """

    def __init__(
        self,
        bundle: Bundle,
        output: Path,
        *,
        settings: Settings = Settings(),
        checkpoint: Path | None = None,
        rehearsal: Callable[[], Rehearsal | None] | None = None,
        floor: Floor | None = None,
        identity: dict | None = None,
        say: Callable[[str], None] = print,
    ) -> None:
        self.bundle, self.output, self.settings = bundle, Path(output), settings
        self.checkpoint, self.say, self._floor = checkpoint, say, floor
        self._make_rehearsal, self.rehearsal = rehearsal, None
        self.work = self.output.with_name(self.output.name + ".adapting")
        self.identity = json.loads(
            json.dumps(
                {
                    "bundle": bundle.manifest.model_sha256,
                    "checkpoint": None if checkpoint is None else str(checkpoint.resolve()),
                    "settings": asdict(settings),
                    "floor": None if floor is None else [floor.height, *floor.normal.tolist()],
                    "recording": identity or {},
                }
            )
        )
        self._done = self.work / "done.json"
        if self.output.exists() and not self._done.is_file():
            raise Clip2DepthError(f"{self.output} exists already; name another --output, or move it away.")
        self.summary: dict = {"outcome": "refused", "bundle": bundle.name}
        self.after_depths: np.ndarray | None = None
        self._begin()

    def _begin(self) -> None:
        """Create the work folder, or check that it belongs to this adaptation."""
        file = self.work / "identity.json"
        try:
            self.work.mkdir(parents=True, exist_ok=True)
            if not file.is_file():
                write_whole(file, json.dumps(self.identity, indent=2))
            then = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise Clip2DepthError(
                f"{self.work} cannot be used for the adaptation's state: {error}."
            ) from None
        for key in self.identity:
            if then.get(key) != self.identity[key]:
                raise Clip2DepthError(
                    f"{self.work} is the state of an adaptation with another {key}; remove it to "
                    f"start again, or name another --output."
                )

    @property
    def has_recording(self) -> bool:
        """True where the keyframes are already on disk, and the recording need not be read again."""
        return (self.work / "recording.npz").is_file()

    def run(
        self,
        frames: Callable[[], Iterable[Frame]],
        report: Callable[[Adaptation], None] = lambda adaptation: None,
    ) -> dict:
        """Read, check, train, evaluate, write. Returns the summary, which is also the attribute `summary`.

        frames: opens the recording; called only where its keyframes are not on disk yet. report: called when
        the results are complete, before the bundle is moved to `output`. Raises Refusal, with outcome, reason
        and sentence in the summary.
        """
        if self.output.exists():  # killed between the last two lines of this function
            self.summary = json.loads(self._done.read_text(encoding="utf-8"))
            return self.summary
        try:
            if not self.has_recording:
                try:
                    self._read(frames())
                except Exception:  # no state yet: the folder would only be in the way of the next call
                    self.close()
                    raise
            part = self._run()
        except Refusal as refusal:
            self.summary |= {"reason": refusal.reason, "sentence": str(refusal)}
            raise
        self.summary["outcome"] = "adapted"
        report(self)
        write_whole(self._done, json.dumps(self.summary, indent=2))
        os.replace(part, self.output)
        return self.summary

    def _read(self, frames: Iterable[Frame]) -> None:
        recorder = Recorder(self.bundle.manifest, self.settings.keyframes)
        for frame in frames:
            recorder.add(frame)
        found = recorder.finish()
        found.write(self.work / "recording.npz")
        self.say(
            f"{len(found)} keyframes of {found.seen} frames, {found.seconds[-1]:.0f} s, {recorder.path:.1f} "
            "m driven"
        )

    def _run(self) -> Path:
        """Train and decide; returns the new bundle's folder in the work folder."""
        frames = self.frames = Keyframes.read(self.work / "recording.npz")
        self.summary["recording"] = {
            "frames": frames.seen,
            "keyframes": len(frames),
            "seconds": float(frames.seconds[-1]),
            "left_out": frames.left_out,
        }
        check_texture(frames)
        self._divide()
        network = self.network = open_trainable(
            self.bundle, self.checkpoint, frames.images[:: max(1, len(frames) // 16)][:16]
        )
        self.summary["trains"] = what_trains(network)
        taps, self.old_depths = stored_taps(network, frames, self.work / "taps")
        self.summary["odometry"] = check_odometry(frames, self._sources, self.old_depths)
        if self._make_rehearsal is not None:
            self.rehearsal = self._make_rehearsal()
        elsewhere = None
        if self.rehearsal is not None:
            images, depth = self.rehearsal.trained
            elsewhere = tower_taps(network, images), depth
        objective = Objective(
            network,
            frames,
            taps,
            self.old_depths,
            self.settings.weights,
            refined=refined_motions(frames, self._sources),
            elsewhere=elsewhere,
            floor=self._floor_pixels(self.old_depths),
        )
        accelerator = Accelerator(mixed_precision="no")
        objective.to(accelerator.device)
        errors_elsewhere = None if self.rehearsal is None else self.rehearsal.errors(network)
        self.before = self._judge(objective)
        objective.level = max(float(self.before["photometric"].mean()), LEAST_RESIDUAL)
        began_with = {name: value.clone() for name, value in trained_tensors(objective).items()}
        self._train(objective, accelerator)
        self._take_best(objective, began_with, errors_elsewhere)
        after = self._judge(objective)
        if "floor" in self.summary:
            self.summary["floor"]["odometry_factor"] = objective.odometry_factor
        self.after_depths = objective.depths(np.arange(len(frames)))
        self._summarize(after)
        self._decide(after)
        return self._write()

    def _divide(self) -> None:
        """Divide the keyframes into those for training and the held-out ones. Raises Refusal."""
        frames = self.frames
        block, self._sources = hold_out(frames.poses, frames.seconds, self.settings.block, FEWEST)
        self._overlapping = find_overlapping(frames.poses, frames.seconds, block, self._sources)
        paired = np.array([len(s) > 0 for s in self._sources])
        self.trained, self.kept_out = (
            np.flatnonzero(paired & (block < 0)),
            np.flatnonzero(paired & (block >= 0)),
        )
        self._turned = np.flatnonzero(np.array([len(o) > 0 for o in self._overlapping]) & (block < 0))
        self.summary["recording"] |= {
            "trained": len(self.trained),
            "overlapping": len(self._turned),
            "kept_out": len(self.kept_out),
        }
        if min(len(self.trained), len(self.kept_out)) < FEWEST:
            self._refuse_parallax()
        self._judged = _spread(self.kept_out, min(JUDGED, len(self.kept_out)))

    def _train(self, objective: Objective, accelerator: Accelerator) -> None:
        """Train, and write the best weights to a file."""
        settings = self.settings
        rehearsed = 0 if objective.elsewhere_count == 0 else settings.rehearsed
        images = 2 * settings.pairs

        def make_batch(step: int, phase: Phase) -> Views:
            return choose_views(
                self._sources,
                self._overlapping,
                self.trained,
                self._turned,
                settings.pairs,
                settings.alone,
                rehearsed,
                objective.elsewhere_count,
                np.random.default_rng([53, settings.seed, step]),
            )

        def validate() -> dict[str, float]:
            found = self._judge(objective)
            row = {name: float(values.mean()) for name, values in found.items()}
            row["measure"] = self._measure(found)
            if self.frames.truth is not None:
                depths = np.full_like(self.old_depths, np.nan)
                depths[self.kept_out] = objective.depths(self.kept_out)
                row["abs_rel"] = self._errors(depths, only=self.kept_out)["abs_rel"]
            return row

        def keep_best(errors: dict[str, float]) -> None:
            write_tensors(
                self.work / "best.safetensors", trained_tensors(objective), {"measure": json.dumps(errors)}
            )

        trainer = Trainer(
            RUN,
            objective,
            Stage(
                images=settings.steps * images,
                learning_rate=settings.learning_rate,
                final_learning_rate=0.1 * settings.learning_rate,
                phases=(Phase(1.0, self.network.size, images),),
                weight_decay=0.0,
                warmup_share=0.05,
                average=settings.average,
                validate_images=settings.validate_steps * images,
                report_steps=10,
                save_minutes=settings.save_minutes,
            ),
            self.work,
            accelerator=accelerator,
            make_batch=make_batch,
            validate=validate,
            keep_best=keep_best,
            identity=self.identity,
            seed=settings.seed,
            measure="measure",
            alike=ALIKE,
        )
        trainer.run()

    def _take_best(
        self, objective: Objective, began_with: dict[str, torch.Tensor], elsewhere: np.ndarray | None
    ) -> None:
        """Set the best weights, interpolated with the old ones so that other places get no worse.

        Halfway between two sets of weights of one origin, most of the gain is kept and little is forgotten
        (Wortsman et al., arXiv 2109.01903).
        """
        best, _ = read_tensors(self.work / "best.safetensors")

        def take(part: float) -> bool:
            """Set the weights with this part of the best ones. False where other places got worse."""
            mixed = {name: torch.lerp(old.cpu(), best[name], part) for name, old in began_with.items()}
            # The odometry's factor is a measurement, of which there is no part.
            mixed |= {name: value for name, value in best.items() if not name.startswith("network.")}
            objective.load_state_dict(mixed, strict=False)
            if elsewhere is None:
                return True
            found = growth(elsewhere, self.rehearsal.errors(objective.network))
            self.summary["elsewhere"] = found | {"part": part}
            return found["growth_bound"] <= MOST_ELSEWHERE

        if take(1.0):
            return
        low, high = 0.0, 1.0
        for _ in range(HALVINGS):
            part = (low + high) / 2
            low, high = (part, high) if take(part) else (low, part)
        if low not in (0.0, part):
            take(low)

    def _refuse_parallax(self) -> None:
        poses = self.frames.poses
        away = float(np.linalg.norm(poses[:, :3, 3] - poses[0, :3, 3], axis=1).max())
        turned = float(np.degrees(angle_between(poses, poses[0]).max()))
        if away > LEAST_PATH:
            raise Refusal(
                "too_short",
                f"only {len(self.trained)} keyframes for training and {len(self.kept_out)} held-out ones are "
                f"seen again from {NEAREST * 100:.0f} to {FARTHEST * 100:.0f} cm away ({FEWEST} of each are "
                f"needed); record a longer or slower drive.",
            )
        how = "the camera only turned" if turned > STANDING else "the camera stood still"
        raise Refusal(
            "parallax",
            f"too little parallax: by the odometry {how} (at most {away:.2f} m and {turned:.0f} degrees from "
            f"its start), which gives no information about depth; record while driving.",
        )

    def _floor_pixels(self, old: np.ndarray) -> FloorPixels | None:
        """The pixels whose depth the camera's height determines; None without a height or a floor."""
        if self._floor is None:
            return None
        found = find_floor_pixels(self._floor, self.frames.camera, old)
        if found is None:
            self.say(
                f"No floor was found {self._floor.height:g} m below the camera; the meters are odometry's."
            )
        self.summary["floor"] = {"keyframes": 0 if found is None else found.views}
        return found

    def _judge(self, objective: Objective) -> dict[str, np.ndarray]:
        """The objective's measures of the held-out keyframes that are evaluated."""
        chosen = np.stack([_spread(self._sources[i], SOURCES) for i in self._judged])
        numbers = np.unique(np.concatenate([self._judged, chosen.ravel()]))
        found = objective.depths(numbers)
        depths = np.full((len(self.frames), *found.shape[1:]), np.nan, np.float32)
        depths[numbers] = found
        return objective.judge(self._judged, chosen, depths)

    def _measure(self, found: dict[str, np.ndarray]) -> float:
        """The measure that selects the step: the parts of the loss that do not use the old depth."""
        photometric = _typical_ratio(found["photometric"], self.before["photometric"])
        weights = self.settings.weights
        measure = photometric + weights.consistency * float(found["consistency"].mean())
        return measure + weights.floor * float(found["floor"].mean()) if "floor" in found else measure

    def _errors(self, depths: np.ndarray, only: np.ndarray | None = None) -> dict[str, float]:
        """Mean errors against the recording's depth; empty where it has none."""
        if self.frames.truth is None:
            return {}
        found = [
            depth_errors(depths[i], self.frames.truth[i]) for i in (self.trained if only is None else only)
        ]
        found = [errors for errors in found if errors is not None]
        return mean_errors(found) if found else {}

    def _summarize(self, after: dict[str, np.ndarray]) -> None:
        self.summary["kept_out"] = {
            name: {"before": float(self.before[name].mean()), "after": float(after[name].mean())}
            for name in after
        }
        if self.frames.truth is not None:
            self.summary["errors"] = {
                where: {
                    when: {
                        k: round(v, 5)
                        for k, v in self._errors(depths, numbers).items()
                        if k.startswith("abs_rel")
                    }
                    for when, depths in (("before", self.old_depths), ("after", self.after_depths))
                }
                for where, numbers in (("trained", self.trained), ("kept_out", self.kept_out))
            }

    def _decide(self, after: dict[str, np.ndarray]) -> None:
        """Raises Refusal where the held-out images did not improve, or height contradicts odometry."""
        before = self.before
        factor = self.summary.get("floor", {}).get("odometry_factor", 1.0)
        if not 1 / MOST_SCALED <= factor <= MOST_SCALED:
            raise Refusal(
                "height_contradicts",
                f"the camera's height of {self._floor.height:g} m and the odometry contradict each other: by "
                f"the floor, the odometry measures {factor:.2f} times the true distance; check the camera's "
                "height and tilt, and the wheel size.",
            )
        gain = 1 - _typical_ratio(after["photometric"], before["photometric"])
        apart = _typical_ratio(after["consistency"], before["consistency"])
        self.summary["gain"] = gain
        if not (gain >= LEAST_GAIN and apart <= MOST_APART):
            raise Refusal(
                "no_gain",
                f"no gain on the held-out images: the photometric residual improved by {gain:+.1%} (at least "
                f"{LEAST_GAIN:.0%} is required), and the geometric inconsistency is {apart:.2f} times the "
                "old one.",
            )
        elsewhere = self.summary.get("elsewhere")
        if elsewhere and elsewhere["growth_bound"] > MOST_ELSEWHERE:
            raise Refusal(
                "worse_elsewhere",
                f"the network would get worse in other places: AbsRel {elsewhere['before']:.3f} before and "
                f"{elsewhere['after']:.3f} after on simulated views, a growth of up to "
                f"{elsewhere['growth_bound'] - 1:.0%}; record a longer or more varied drive.",
            )

    def _write(self) -> Path:
        """Write the bundle into the work folder."""
        frames, manifest, part = self.frames, self.bundle.manifest, self.work / "bundle"
        shutil.rmtree(part, ignore_errors=True)
        measures = {
            name: self.summary[name]
            for name in ("kept_out", "errors", "gain", "elsewhere", "floor")
            if name in self.summary
        }
        adapted = {
            "from": {"name": manifest.name, "model_sha256": manifest.model_sha256},
            "on": self.identity["recording"],
            "seconds": self.summary["recording"]["seconds"],
            "keyframes": len(frames),
            "steps": self.settings.steps,
            **measures,
        }
        export_bundle(
            self.network.cpu(),
            part,
            name=self.output.name,
            trained_on=(
                f"{manifest.trained_on} Then adapted without true depth to a recording of "
                f"{frames.seconds[-1]:.0f} s ({len(frames)} keyframes) of the place where it is used."
            ),
            check_image=frames.images[len(frames) // 2],
            errors={**manifest.errors, "adaptation": adapted},
            licence=manifest.licence,
            pretrained=manifest.pretrained,
        )
        return part

    def close(self) -> None:
        """Remove the state, after a bundle or a refusal."""
        shutil.rmtree(self.work, ignore_errors=True)


def trained_tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    """The parameters that training changes."""
    return {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}


def _typical_ratio(after: np.ndarray, before: np.ndarray) -> float:
    """Geometric mean over keyframes of after / before.

    Keyframes count the same: where people walk or the exposure changes, the residual is several times as high
    whatever the depth is, and a ratio of means would be that of these keyframes.
    """
    ratios = np.maximum(after, LEAST_RESIDUAL) / np.maximum(before, LEAST_RESIDUAL)
    return float(np.exp(np.log(ratios).mean()))


def _spread(numbers: np.ndarray, count: int) -> np.ndarray:
    """`count` of the numbers, evenly picked."""
    return numbers[np.linspace(0, len(numbers) - 1, count).round().astype(int)]
