#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# One proof for a machine with an NVIDIA GPU: no network, at most 6 minutes, with whatever engines are there.
#
#   benchmark/gpu_proof.sh --prepare FOLDER      beforehand, where PyTorch is: the benchmark's networks as bundles
#   benchmark/gpu_proof.sh [FOLDER]              on the GPU machine; PYTHON=... names another interpreter
#
# Python 3.10 to 3.12 with NumPy, OpenCV, PyYAML, onnx, filelock and cuda-bindings; TensorRT, TensorRT RTX, PyTorch
# with onnx2torch, OpenVINO and pytest with hypothesis are used where they are. Where TensorRT comes without cuBLAS
# and cuDNN, set CLIP2DEPTH_TACTIC_SOURCES=0. Writes benchmark/results/engines_GPU.md and engines_GPU.log, and copies
# both into $OUT where that is set. Without a GPU it says so, row by row: that is its rehearsal.
set -uo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-$(command -v python3.12 || command -v python3.10 || command -v python3)}
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONDONTWRITEBYTECODE=1
exec "$python" benchmark/gpu_proof.py "$@"
