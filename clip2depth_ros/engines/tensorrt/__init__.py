# SPDX-License-Identifier: Apache-2.0
"""TensorRT and TensorRT RTX through cuda-bindings; no PyTorch."""
