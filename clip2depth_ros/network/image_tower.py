# SPDX-License-Identifier: Apache-2.0
"""CLIP image towers as feature extractors: a normalized image in, feature maps at named taps out.

Three families: plain ViT ("block0", "block1", ...), ResNets of CLIP or timm ("stem", "layer1" .. "layer4"),
and timm pyramids ("stem", "stage0", "stage1", ...). A tower keeps only the layers that its deepest tap needs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from timm.models.resnet import ResNet as TimmResNet
from torch import nn
from torch.nn import functional

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.network.frozen import Freezable


class ImageTower(Freezable):
    """Base of the towers.

    taps      names, shallow to deep
    channels  of each tap
    strides   of each tap: input pixels per feature cell
    """

    taps: tuple[str, ...]
    channels: tuple[int, ...]
    strides: tuple[int, ...]

    def features(self, image: torch.Tensor) -> list[torch.Tensor]:
        raise NotImplementedError

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """image: (B, 3, H, W) normalized float. Returns a (B, C, H / stride, W / stride) map for each tap."""
        if self.frozen:
            with torch.no_grad():
                return self.features(image)
        return self.features(image)


class VitTower(ImageTower):
    """A plain vision transformer up to its deepest tapped block, for one fixed input size.

    The position embedding is interpolated once (bicubic, antialiased) for `size` = (height, width), any
    multiple of the patch size, square or not. The maps do not contain the class token.
    """

    def __init__(self, visual: VisionTransformer, taps: Sequence[str], size: tuple[int, int]) -> None:
        super().__init__()
        if visual.attn_pool is not None or not isinstance(visual.patch_dropout, nn.Identity):
            raise Clip2DepthError(
                "this vision transformer has attention pooling or patch dropout: not supported"
            )
        blocks = list(visual.transformer.resblocks)
        self.taps = tuple(taps)
        self.indices = [_tap_index(tap, "block", len(blocks)) for tap in taps]
        patch_height, patch_width = visual.patch_size
        height, width = size
        if height % patch_height or width % patch_width:
            raise Clip2DepthError(
                f"network input {width}x{height} is not a multiple of the patch size "
                f"{patch_width}x{patch_height}"
            )
        self.grid = (height // patch_height, width // patch_width)
        self.batch_first = visual.transformer.batch_first
        self.channels = (visual.conv1.out_channels,) * len(taps)
        self.strides = (patch_height,) * len(taps)
        self.conv1 = visual.conv1
        self.class_embedding = visual.class_embedding
        self.positional_embedding = nn.Parameter(
            _interpolate_positions(visual.positional_embedding.detach(), visual.grid_size, self.grid)
        )
        self.ln_pre = visual.ln_pre
        self.blocks = nn.ModuleList(blocks[: max(self.indices) + 1])

    def features(self, image: torch.Tensor) -> list[torch.Tensor]:
        x = self.conv1(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.to(x.dtype).expand(x.shape[0], 1, -1), x], dim=1)
        x = self.ln_pre(x + self.positional_embedding.to(x.dtype))
        if not self.batch_first:
            x = x.transpose(0, 1)
        found = {}
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.indices:
                tokens = x if self.batch_first else x.transpose(0, 1)
                found[index] = tokens[:, 1:].transpose(1, 2).unflatten(2, self.grid)
        return [found[index] for index in self.indices]


class _StagedTower(ImageTower):
    """A tower that is a sequence of stages, each of which can be tapped by name."""

    def __init__(self, stages: dict[str, nn.Module], taps: Sequence[str]) -> None:
        super().__init__()
        for tap in taps:
            if tap not in stages:
                raise Clip2DepthError(f"no tap '{tap}' in this image tower; known taps: {', '.join(stages)}")
        names = list(stages)
        deepest = max(names.index(tap) for tap in taps)
        self.taps = tuple(taps)
        self.stages = nn.ModuleDict({name: stages[name] for name in names[: deepest + 1]})
        was_training = [(module, module.training) for module in self.modules()]
        self.eval()
        with torch.no_grad():
            maps = self.features(torch.zeros(1, 3, 128, 128))
        for module, training in was_training:
            module.training = training
        self.channels = tuple(m.shape[1] for m in maps)
        self.strides = tuple(128 // m.shape[2] for m in maps)

    def features(self, image: torch.Tensor) -> list[torch.Tensor]:
        x, found = image, {}
        for name, stage in self.stages.items():
            x = stage(x)
            found[name] = x
        return [found[tap] for tap in self.taps]


class _ResNetStem(nn.Module):
    """The three-convolution stem of CLIP's ResNet; open_clip keeps it as a method of the tower."""

    def __init__(self, visual: ModifiedResNet) -> None:
        super().__init__()
        for name in ("conv1", "bn1", "act1", "conv2", "bn2", "act2", "conv3", "bn3", "act3", "avgpool"):
            setattr(self, name, getattr(visual, name))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return ModifiedResNet.stem(self, image)


def create_image_tower(visual: nn.Module, taps: Sequence[str], size: tuple[int, int]) -> ImageTower:
    """The image tower of an open_clip model's `visual`; shares its weights (a ViT's position embedding is
    copied).

    size: (height, width) of the network input in pixels.
    """
    if isinstance(visual, VisionTransformer):
        return VitTower(visual, taps, size)
    if isinstance(visual, ModifiedResNet):
        stages: dict[str, nn.Module] = {"stem": _ResNetStem(visual)}
        stages.update((name, getattr(visual, name)) for name in ("layer1", "layer2", "layer3", "layer4"))
    elif isinstance(visual, TimmModel) and isinstance(visual.trunk, TimmResNet):
        trunk = visual.trunk
        stages = {"stem": nn.Sequential(trunk.conv1, trunk.bn1, trunk.act1, trunk.maxpool)}
        stages.update((name, getattr(trunk, name)) for name in ("layer1", "layer2", "layer3", "layer4"))
    elif isinstance(visual, TimmModel) and hasattr(visual.trunk, "stages") and hasattr(visual.trunk, "stem"):
        stages = {"stem": visual.trunk.stem}  # pyright: ignore[reportAssignmentType]
        stages.update((f"stage{i}", stage) for i, stage in enumerate(visual.trunk.stages))
    else:
        kind = type(getattr(visual, "trunk", visual)).__name__
        raise Clip2DepthError(
            f"an image tower of type {kind} is not supported: ViT, ModifiedResNet, timm pyramids are"
        )
    tower = _StagedTower(stages, taps)
    if any(side % max(tower.strides) for side in size):
        raise Clip2DepthError(
            f"network input {size[1]}x{size[0]} is not a multiple of {max(tower.strides)}, "
            f"the deepest tap's stride"
        )
    return tower


def _tap_index(tap: str, prefix: str, count: int) -> int:
    number = tap.removeprefix(prefix)
    if not (tap.startswith(prefix) and number.isdecimal() and int(number) < count):
        raise Clip2DepthError(
            f"no tap '{tap}' in this image tower; known taps: {prefix}0 .. {prefix}{count - 1}"
        )
    return int(number)


def _interpolate_positions(
    embedding: torch.Tensor, old: tuple[int, int], new: tuple[int, int]
) -> torch.Tensor:
    """Interpolate (1 + old grid, C) to (1 + new grid, C); the class token's row is kept."""
    if tuple(old) == tuple(new):
        return embedding.clone()
    grid = embedding[1:].T.unflatten(1, tuple(old))[None]
    grid = functional.interpolate(grid, size=new, mode="bicubic", align_corners=False, antialias=True)
    return torch.cat([embedding[:1], grid[0].flatten(1).T])
