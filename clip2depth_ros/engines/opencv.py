# SPDX-License-Identifier: Apache-2.0
"""The engine that is tried last: OpenCV's DNN module, which every installation of this package has."""

from __future__ import annotations

import cv2
import numpy as np

from clip2depth_ros.bundle import Bundle
from clip2depth_ros.engines.base import Engine, EngineUnavailable, check_image
from clip2depth_ros.engines.kind import EngineKind, OpenOptions
from clip2depth_ros.engines.squeeze_axes import axes_as_attributes
from clip2depth_ros.errors import Clip2DepthError

TAKES_AXES_AS_INPUT = (4, 7)  # older versions do not read a Squeeze whose axes are an input


class OpenCvEngine(Engine):
    """Runs a bundle on the CPU in fp32 with OpenCV 4.5.4 or later, several times slower than OpenVINO.

    threads: 0 = OpenCV's own setting. The setting applies to OpenCV in the whole process. Raises
    EngineUnavailable for another precision, and for a model that OpenCV cannot read or run.
    """

    name = "opencv"
    precision = "fp32"

    def __init__(self, bundle: Bundle, *, precision: str = "fp32", threads: int = 0) -> None:
        if precision != self.precision:
            raise EngineUnavailable(f"computes in {self.precision}, not in {precision}")
        if threads < 0:
            raise Clip2DepthError(f"threads must be 0 (all cores) or more, it is {threads}.")
        self.manifest = bundle.manifest
        height, width = self.manifest.input_height, self.manifest.input_width
        model = bundle.model()
        try:
            if tuple(int(part) for part in cv2.__version__.split(".")[:2]) < TAKES_AXES_AS_INPUT:
                model = axes_as_attributes(model)
            self._net = cv2.dnn.readNetFromONNX(np.frombuffer(model, np.uint8))
            self._net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
        except (cv2.error, ValueError) as error:
            raise EngineUnavailable(
                f"OpenCV {cv2.__version__} cannot read model.onnx ({_reason(error)})"
            ) from None
        if threads:
            cv2.setNumThreads(threads)
        self.device = f"CPU, {cv2.getNumThreads()} threads, OpenCV {cv2.__version__}"
        depth = self.infer(np.zeros((height, width, 3), np.uint8))
        if depth.shape != (height, width) or depth.dtype != np.float32:
            raise EngineUnavailable(
                f"OpenCV {cv2.__version__} computes {depth.dtype} {depth.shape} from model.onnx, expected "
                f"float32 {(height, width)}"
            )

    def infer(self, image: np.ndarray) -> np.ndarray:
        if self._net is None:
            raise Clip2DepthError("The opencv engine was closed.")
        check_image(image, self.manifest)
        try:
            self._net.setInput(image[None])
            return self._net.forward()[0]
        except cv2.error as error:
            raise EngineUnavailable(
                f"OpenCV {cv2.__version__} cannot run model.onnx ({_reason(error)})"
            ) from None

    def close(self) -> None:
        self._net = None


def _reason(error: Exception) -> str:
    """OpenCV's message, such as the operator that it lacks, without the file and line of its source."""
    message = getattr(error, "err", "") or str(error)
    return message.strip("> \n").partition(": OpenCV(")[0].partition("\n")[0].rstrip(".")


def _open(bundle: Bundle, options: OpenOptions) -> Engine:
    return OpenCvEngine(bundle, precision=options.precision, threads=options.threads)


OPENCV = EngineKind(_open, order={"cpu": 3})
