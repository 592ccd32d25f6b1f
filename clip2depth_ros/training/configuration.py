# SPDX-License-Identifier: Apache-2.0
"""The training configuration: a YAML file read into dataclasses, unknown or missing names refused."""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.training.augmentation import Augmentation
from clip2depth_ros.training.losses import DepthLoss


@dataclass(frozen=True)
class Network:
    """What is trained. size: (height, width) that the bundle will have, also used in validation."""

    backbone: str
    size: tuple[int, int]
    canonical_focal_px: float | None = None
    depth_range: tuple[float, float] = (0.1, 30.0)
    mirror_tokens: int = 64


@dataclass(frozen=True)
class Views:
    """Simulated views. size: (height, width) as rendered. Room seeds count up from `training_seed` and, for
    the rooms that are held out, from `validation_seed`."""

    size: tuple[int, int]
    training_rooms: int
    validation_rooms: int
    views_per_room: int
    training_seed: int = 0
    validation_seed: int = 1_000_000_000
    workers: int = 2


@dataclass(frozen=True)
class Phase:
    """A stretch of a stage: its share of the stage's budget, image size (height, width) and batch size."""

    share: float
    size: tuple[int, int]
    batch: int


@dataclass(frozen=True)
class Stage:
    """One optimisation: AdamW, linear warm-up, cosine to `final_learning_rate`.

    The budget ends at `images` seen or after `minutes` of training, whichever is first; the learning rate
    follows whichever is further on, so that it has come down when the stage ends, however slow the machine.
    """

    images: int
    minutes: float
    learning_rate: float
    phases: tuple[Phase, ...]
    final_learning_rate: float = 1e-6
    weight_decay: float = 0.05
    warmup_share: float = 0.03
    clip_norm: float = 5.0
    caption_weight: float = 0.0
    caption_every: int = 1
    validate_minutes: float = 3.0
    save_minutes: float = 2.0
    augmentation: Augmentation = field(default_factory=Augmentation)
    loss: DepthLoss = field(default_factory=DepthLoss)


@dataclass(frozen=True)
class Recipe:
    """Everything that `clip2depth train` does.

    trained_on  what the bundle's manifest will say about it, in words
    pretrain    makes a CLIP of our own from captions and depth; None where the backbone has published weights
    depth       the paper's training: mirror and decoder on the frozen CLIP
    """

    name: str
    trained_on: str
    network: Network
    views: Views
    depth: Stage
    pretrain: Stage | None = None
    seed: int = 0
    threads: int = 2
    bfloat16: bool = True


def read_recipe(path: str | Path) -> Recipe:
    """Read a recipe; Clip2DepthError names the file and the entry that is wrong."""
    path = Path(path)
    try:
        entries = yaml.safe_load(path.read_text())
    except OSError as error:
        raise Clip2DepthError(f"cannot read the configuration {path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise Clip2DepthError(f"{path} is not YAML: {str(error).splitlines()[0]}") from None
    return _build(Recipe, entries, str(path))


def _build(kind, value, where: str):
    """`value`, as YAML gives it, made into `kind`."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in arguments:
            return None
        return _build(next(a for a in arguments if a is not type(None)), value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise Clip2DepthError(f"{where} must be a list, not {value!r}")
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) != len(value):
            raise Clip2DepthError(f"{where} must have {len(kinds)} entries, not {len(value)}")
        return tuple(_build(k, v, f"{where}[{i}]") for i, (k, v) in enumerate(zip(kinds, value, strict=True)))
    if dataclasses.is_dataclass(kind):
        return _build_dataclass(kind, value, where)
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise Clip2DepthError(f"{where} must be of type {kind.__name__}, not {value!r}")
    return value


def _build_dataclass(kind, value, where: str):
    if not isinstance(value, dict):
        raise Clip2DepthError(f"{where} must be a mapping, not {value!r}")
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(value) - set(hints))
    if unknown:
        raise Clip2DepthError(f"{where} has no entry '{unknown[0]}': known ones are {', '.join(hints)}")
    required = [
        f.name
        for f in dataclasses.fields(kind)
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    missing = [name for name in required if name not in value]
    if missing:
        raise Clip2DepthError(f"{where} lacks '{missing[0]}'")
    return kind(**{name: _build(hints[name], entry, f"{where}: {name}") for name, entry in value.items()})
