#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Test for a machine with an NVIDIA GPU: no network, at most 6 minutes, with the installed engines.
#
#   benchmark/gpu_proof.sh --prepare FOLDER      beforehand, on a machine with PyTorch: the networks as bundles
#   benchmark/gpu_proof.sh [FOLDER]              on the GPU machine; PYTHON=... names another interpreter
#
# Needs Python 3.10 to 3.12 with NumPy, OpenCV, PyYAML, onnx, filelock and cuda-bindings. TensorRT, TensorRT RTX,
# PyTorch with onnx2torch, OpenVINO and pytest with hypothesis are used if they are installed. If TensorRT comes without
# cuBLAS and cuDNN, set CLIP2DEPTH_TACTIC_SOURCES=0. Writes benchmark/results/engines_GPU.md and engines_GPU.log, and
# copies both to $OUT if it is set. Without a GPU, every row states this.
set -uo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-$(command -v python3.12 || command -v python3.10 || command -v python3)}
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONDONTWRITEBYTECODE=1
exec "$python" benchmark/gpu_proof.py "$@"
