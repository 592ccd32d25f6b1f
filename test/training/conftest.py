# SPDX-License-Identifier: Apache-2.0
import pytest


@pytest.fixture(autouse=True)
def _one_thread_and_one_seed():
    torch = pytest.importorskip("torch", reason="the network needs PyTorch")
    torch.set_num_threads(1)
    torch.manual_seed(0)
