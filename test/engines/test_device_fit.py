# SPDX-License-Identifier: Apache-2.0
"""The letterbox kernel gives the CPU's image: its source is run on the CPU, a thread after the other."""

import ctypes
import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clip2depth_ros.camera import Letterbox
from clip2depth_ros.engines.tensorrt.device_letterbox import BLOCK, PTX, taps

SHIM = """
#include <cmath>
using std::fminf; using std::rintf;
#define __global__
static struct { int x, y; } blockIdx, blockDim, threadIdx;
#include "%s"
template <class... All> void grid(int grid_x, int grid_y, int block_x, int block_y, All... arguments) {
    blockDim.x = block_x; blockDim.y = block_y;
    for (blockIdx.y = 0; blockIdx.y < grid_y; ++blockIdx.y)
        for (blockIdx.x = 0; blockIdx.x < grid_x; ++blockIdx.x)
            for (threadIdx.y = 0; threadIdx.y < block_y; ++threadIdx.y)
                for (threadIdx.x = 0; threadIdx.x < block_x; ++threadIdx.x) letterbox(arguments...);
}
using pixels = unsigned char *;
using index = const int *;
using share = const float *;
extern "C" void run(int gx, int gy, int bx, int by, pixels image, pixels out, int a, int b, int c, int d,
                    int e, int f, int g, index rows, share row_weights, int h, index columns, share weights,
                    int i, unsigned border) {
    grid(gx, gy, bx, by, image, out, a, b, c, d, e, f, g, rows, row_weights, h, columns, weights, i, border);
}
"""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """The kernel as a function of this process: kernel(letterbox, image) -> image of the network's size."""
    compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler to run the kernel's source on the CPU")
    folder = tmp_path_factory.mktemp("kernel")
    (folder / "shim.cpp").write_text(SHIM % PTX.with_suffix(".cu"))
    command = [compiler, "-O1", "-shared", "-fPIC", "-o", folder / "shim.so", folder / "shim.cpp"]
    subprocess.run(command, check=True)
    run = ctypes.CDLL(str(folder / "shim.so")).run

    def fit(letterbox: Letterbox, image: np.ndarray) -> np.ndarray:
        width, height = letterbox.net_size
        out = np.full((height, width, 3), 201, np.uint8)
        rows = taps(image.shape[0], letterbox.inner_height)
        columns = taps(image.shape[1], letterbox.inner_width)
        red, green, blue = letterbox.border

        def pointer(array):
            return array.ctypes.data_as(ctypes.c_void_p)

        run(
            -(-width // BLOCK[0]), -(-height // BLOCK[1]), *BLOCK, pointer(image), pointer(out),
            image.shape[1], width, height, letterbox.x, letterbox.y, letterbox.inner_width,
            letterbox.inner_height,
            pointer(rows[0]), pointer(rows[1]), rows[0].shape[1], pointer(columns[0]), pointer(columns[1]),
            columns[0].shape[1], red | green << 8 | blue << 16,
        )  # fmt: skip
        return out

    return fit


@pytest.fixture(scope="module")
def compile_ptx():
    """cmake/letterbox_ptx.py as a module."""
    pytest.importorskip("cuda.bindings.nvrtc", reason="NVIDIA's cuda-bindings is not installed")
    path = Path(__file__).parents[2] / "cmake" / "letterbox_ptx.py"
    spec = importlib.util.spec_from_file_location("letterbox_ptx", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    try:
        module.compiled("", "compute_75")
    except RuntimeError as error:
        pytest.skip(f"NVRTC: {error}")
    return module


def image_of(size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)


SIZES = [(320, 240), (640, 480), (1280, 720), (1920, 1080), (1242, 375), (480, 640), (224, 160), (112, 80)]


@pytest.mark.parametrize("size", SIZES)
def test_it_gives_the_letterbox_s_image(kernel, size):
    letterbox = Letterbox(size, 224, 160)
    image = image_of(size)
    expected = letterbox.letterbox(image, np.empty((160, 224, 3), np.uint8))
    difference = np.abs(kernel(letterbox, image).astype(int) - expected)
    assert difference.max() <= 1
    # a grey level is rounding, not another place: noise shifted by a pixel is far off
    assert difference.mean() < 0.2


@given(st.tuples(st.integers(1, 90), st.integers(1, 90)), st.tuples(st.integers(1, 48), st.integers(1, 48)))
def test_any_size_into_any_input(kernel, size, net):
    letterbox = Letterbox(size, *net, border=(3, 250, 90))
    image = image_of(size, 3)
    expected = letterbox.letterbox(image, np.empty((net[1], net[0], 3), np.uint8))
    assert np.abs(kernel(letterbox, image).astype(int) - expected).max() <= 1


@given(st.integers(1, 300), st.integers(1, 300))
def test_weights_are_shares_and_keep_the_middle(size, wanted):
    index, weight = taps(size, wanted)
    assert (index.dtype, weight.dtype) == (np.int32, np.float32)
    assert index.shape == weight.shape and len(index) == wanted
    assert index.flags.c_contiguous and weight.flags.c_contiguous
    assert index.min() >= 0 and index.max() < size
    assert (weight >= 0).all() and weight.sum(1) == pytest.approx(1, abs=1e-6)
    middle = ((index + 0.5) * weight).sum(1)
    inside = (middle > 1) & (middle < size - 1)
    expected = (np.arange(wanted) + 0.5) * size / wanted
    # a partly covered pixel counts as its middle
    assert middle[inside] == pytest.approx(expected[inside], abs=0.25)


def test_a_plain_image_stays_plain(kernel):
    letterbox = Letterbox((633, 457), 224, 160)
    image = np.full((457, 633, 3), (10, 200, 77), np.uint8)
    assert (letterbox.inner(kernel(letterbox, image)) == (10, 200, 77)).all()


@pytest.mark.parametrize("colour", [0, 255])
def test_the_ends_of_the_range_do_not_overflow(kernel, colour):
    letterbox = Letterbox((1919, 1079), 224, 160)
    image = np.full((1079, 1919, 3), colour, np.uint8)
    assert (letterbox.inner(kernel(letterbox, image)) == colour).all()


def test_the_ptx_that_ships_is_the_source_s(compile_ptx):
    shipped = PTX.read_text()
    assert compile_ptx.digest() in shipped, "letterbox.cu has changed: python cmake/letterbox_ptx.py"
    assert ".version 7.0\n.target sm_75\n" in shipped
    if code_of(shipped) != code_of(compile_ptx.written()):
        from cuda.bindings import nvrtc

        pytest.skip(f"NVRTC {nvrtc.nvrtcVersion()[1:]} writes other code than the one that wrote it")


def code_of(ptx: str) -> str:
    return ptx.partition(".version")[2]


@pytest.mark.parametrize("number", [75, 80, 86, 87, 89, 90, 100, 120])
def test_the_source_compiles_for_every_gpu(compile_ptx, number):
    from cuda.bindings import nvrtc

    if number not in nvrtc.nvrtcGetSupportedArchs()[1]:
        pytest.skip(f"this NVRTC does not know compute capability {number}")
    assert f".target sm_{number}" in compile_ptx.compiled(
        PTX.with_suffix(".cu").read_text(), f"compute_{number}"
    )
    with pytest.raises(RuntimeError, match="error"):
        compile_ptx.compiled("no CUDA", f"compute_{number}")


def test_the_assembler_takes_the_ptx(tmp_path):
    """What the driver does with it on a robot; ptxas is the driver's compiler as a program."""
    ptxas = shutil.which("ptxas")
    if ptxas is None:
        pytest.skip("no ptxas here")
    helped = subprocess.run([ptxas, "--help"], capture_output=True, text=True, check=False).stdout
    for target in sorted(set(re.findall(r"sm_(?:75|86|87|89|90|100|120)\b", helped))):
        command = [ptxas, f"-arch={target}", PTX, "-o", tmp_path / "kernel.cubin"]
        subprocess.run(command, check=True)


def test_opencv_does_it_the_same_way_with_any_number_of_threads():
    before = cv2.getNumThreads()
    try:
        images = []
        for threads in (1, 2):
            cv2.setNumThreads(threads)
            out = np.empty((160, 224, 3), np.uint8)
            images.append(Letterbox((640, 480), 224, 160).letterbox(image_of((640, 480)), out))
        np.testing.assert_array_equal(*images)
    finally:
        cv2.setNumThreads(before)
