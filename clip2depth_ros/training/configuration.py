# SPDX-License-Identifier: Apache-2.0
"""The training configuration: a YAML file read into dataclasses; unknown and missing names are errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.files.bounded import load_yaml, reading
from clip2depth_ros.settings import read
from clip2depth_ros.training.loss.losses import DepthLoss
from clip2depth_ros.training.views.augmentation import Augmentation

PRECISIONS = ("bf16", "fp16", "no")
OPTIMIZERS = ("adamw", "muon")
DECODERS = ("new", "joint")


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise Clip2DepthError(what)


@dataclass(frozen=True)
class Network:
    """The network that is trained. size: (height, width) of the bundle, also used in validation.

    weights     CLIP's: "pretrained", "random" (for experiments), a safetensors file, or a bundle, by name or
                path: its image tower is used, and its decoder is trained further. Not used where the recipe
                pretrains its own CLIP
    condition   the input of the decoder in place of the mirror: see Clip2Depth
    """

    backbone: str
    size: tuple[int, int]
    canonical_focal_px: float | None = None
    depth_range: tuple[float, float] = (0.1, 30.0)
    mirror_tokens: int = 64
    weights: str = "pretrained"
    condition: str = "mirror"
    skips: bool = True

    @property
    def weights_are_a_bundle(self) -> bool:
        return self.weights not in ("pretrained", "random") and not self.weights.endswith(".safetensors")


@dataclass(frozen=True)
class Data:
    """Entries for `open_data_set`; `weight` in an entry is how often it is drawn from, 1 by default.

    The checkpoint is selected by `validation_views` views of validation, evenly picked; test is for tables
    only. workers: processes per device that make the batches.
    """

    training: tuple[dict, ...]
    validation: tuple[dict, ...]
    test: tuple[dict, ...] = ()
    validation_views: int = 256
    workers: int = 2

    def __post_init__(self) -> None:
        _require(self.validation_views > 0, "validation_views must be at least 1")
        _require(self.workers >= 0, "workers must not be negative")


@dataclass(frozen=True)
class Phase:
    """A part of a stage.

    share   of the stage's images
    size    (height, width)
    batch   images per step, over all devices
    """

    share: float
    size: tuple[int, int]
    batch: int

    def __post_init__(self) -> None:
        smallest = min(self.share, self.batch, *self.size)
        _require(smallest > 0, "share, size and batch must be above 0")


@dataclass(frozen=True)
class Stage:
    """One optimization over `images` images: linear warm-up, cosine to `final_learning_rate`.

    optimizer        "adamw", or "muon": orthogonal steps for convolutions and linear maps, else AdamW's
    average          decay of the moving average of the weights; the average is validated and kept
    caption_weight   of the caption loss, where a CLIP is trained; it is computed every `caption_every` steps
    validate_images, report_steps   interval between validations, and between rows of the log
    save_minutes     interval between saved states; does not influence the result
    """

    images: int
    learning_rate: float
    phases: tuple[Phase, ...]
    optimizer: str = "adamw"
    final_learning_rate: float = 1e-6
    weight_decay: float = 0.05
    warmup_share: float = 0.03
    clip_norm: float = 5.0
    average: float = 0.999
    caption_weight: float = 0.0
    caption_every: int = 1
    validate_images: int = 10_000
    report_steps: int = 25
    save_minutes: float = 2.0
    augmentation: Augmentation = field(default_factory=Augmentation)
    loss: DepthLoss = field(default_factory=DepthLoss)

    def __post_init__(self) -> None:
        _require(bool(self.phases), "phases must have an entry")
        every = ("caption_every", "validate_images", "report_steps")
        for name in ("images", "learning_rate", "clip_norm", *every):
            _require(getattr(self, name) > 0, f"{name} must be above 0")
        for name in ("warmup_share", "average"):
            _require(0 <= getattr(self, name) < 1, f"{name} must be at least 0 and below 1")
        _require(self.optimizer in OPTIMIZERS, f"optimizer must be one of {', '.join(OPTIMIZERS)}")


@dataclass(frozen=True)
class Recipe:
    """Everything that `clip2depth train` does.

    trained_on  description of the training data for the bundle's manifest
    pretrain    trains a CLIP from captions and depth; None where the CLIP's weights are given
    depth       the paper's training: mirror and decoder on the frozen CLIP
    decoder     "new", or "joint": mirror and decoder start with those that were trained together with the
                CLIP, and are trained further on the frozen CLIP. Ignored without pretrain
    threads     of PyTorch on a CPU; another number gives other rounding errors
    precision   "bf16" or "fp16" mixed with float32, or "no" for float32 only
    """

    name: str
    trained_on: str
    network: Network
    data: Data
    depth: Stage
    pretrain: Stage | None = None
    decoder: str = "new"
    seed: int = 0
    threads: int = 2
    precision: str = "bf16"

    def __post_init__(self) -> None:
        _require(self.threads > 0, "threads must be at least 1")
        _require(self.seed >= 0, "seed must not be negative")
        _require(self.decoder in DECODERS, f"decoder must be one of {', '.join(DECODERS)}")
        _require(self.precision in PRECISIONS, f"precision must be one of {', '.join(PRECISIONS)}")


def read_recipe(path: str | Path) -> Recipe:
    """Read a recipe. Raises Clip2DepthError, which names the file and the wrong entry."""
    path = Path(path)
    entries = load_yaml(path)
    with reading(path):
        return read(Recipe, entries, str(path))
