# SPDX-License-Identifier: Apache-2.0
"""The state of a run on disk, to resume it: safetensors and JSON, written atomically.

Weights, their average and the optimizer's moments are stored by the parameter's name, and only those that are
trained: a frozen CLIP is not included. There is no state of random numbers, because every step has its own
seed.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.files.bounded import reading
from clip2depth_ros.network import checkpoint
from clip2depth_ros.network.checkpoint import read_tensors, write_tensors

FORMAT = "clip2depth-run-1"


def write_state(
    path: Path,
    weights: dict[str, torch.Tensor],
    average: dict[str, torch.Tensor],
    optimizer: torch.optim.Optimizer,
    names: dict[torch.nn.Parameter, str],
    facts: dict,
) -> None:
    """Write everything that a resumed run needs. facts: any JSON content."""
    tensors = {f"weights.{name}": value for name, value in weights.items()}
    tensors.update((f"average.{name}", value) for name, value in average.items())
    for parameter, moments in optimizer.state.items():
        for key, value in moments.items():
            tensors[f"optimizer.{key}.{names[parameter]}"] = torch.as_tensor(value)
    write_tensors(path, tensors, {"format": FORMAT, "facts": json.dumps(facts)})


def read_facts(path: Path) -> dict:
    """The facts of a state file. Raises Clip2DepthError if `path` is not a state file."""
    try:
        return checkpoint.read_facts(path, FORMAT)
    except Clip2DepthError as error:
        raise Clip2DepthError(
            f"{path} is not the state of a run of this version ({error}): train in another folder"
        ) from error


@torch.no_grad()
def read_state(
    path: Path,
    weights: dict[str, torch.Tensor],
    average: dict[str, torch.Tensor],
    optimizer: torch.optim.Optimizer,
    names: dict[torch.nn.Parameter, str],
) -> None:
    """Fill weights and average in place, and the optimizer's moments, from `path`."""
    tensors, _ = read_tensors(path)
    wanted = {f"{kind}.{name}" for kind in ("weights", "average") for name in weights}
    found = {name for name in tensors if not name.startswith("optimizer.")}
    shapes = all(
        tensors[f"weights.{n}"].shape == v.shape for n, v in weights.items() if f"weights.{n}" in found
    )
    if wanted != found or not shapes:
        raise Clip2DepthError(f"{path} belongs to another network: train in another folder")
    with reading(path):
        for name in weights:
            weights[name].copy_(tensors[f"weights.{name}"])
            average[name].copy_(tensors[f"average.{name}"])
        parameters = {name: parameter for parameter, name in names.items()}
        for key, value in tensors.items():
            if not key.startswith("optimizer."):
                continue
            _, moment, name = key.split(".", 2)
            parameter = parameters[name]
            if value.shape == parameter.shape:  # in the parameter's memory format, which fused kernels need
                value = torch.empty_like(parameter).copy_(value)
            optimizer.state[parameter][moment] = value.to(parameter.device)
