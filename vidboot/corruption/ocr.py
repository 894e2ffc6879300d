"""Text boxes by a small network (PP-OCR's detector, differentiable binarisation) from a package of the extra [ocr].

The weights lie inside the package, so nothing is downloaded; only the .onnx file is used, run by onnxruntime.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vidboot.boxes import grow

PACKAGES = ("rapidocr_onnxruntime", "rapidocr")
PROBABILITY, BOX_PROBABILITY, UNCLIP = 0.3, 0.5, 1.6
LONGEST = 4  # of a picture's sides, over the side asked for


def find_model() -> Path | None:
    """Return the detector's .onnx inside an installed package; None without one, or without onnxruntime."""
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            models = sorted(Path(folder, "models").glob("*det*.onnx"))
            if models:
                return models[0]
    return None


class OcrDetector:
    """Finds lines of text in a picture.

    Args:
        model: an .onnx with one input [1, 3, H, W] and a probability map [1, 1, H, W] as output.
    """

    def __init__(self, model: Path) -> None:
        onnxruntime: Any = importlib.import_module("onnxruntime")  # of the extra [ocr]
        options = onnxruntime.SessionOptions()
        # Videos run in parallel, one thread each; threads within one only wait for each other.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self._session: Any = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def __call__(self, frame: np.ndarray, side: int) -> np.ndarray:
        """Return boxes of lines: a `TextDetector`."""
        height, width = frame.shape[:2]
        # A strip hundreds of times as long as it is high would not fit the memory.
        scale = min(side / min(height, width), LONGEST * side / max(height, width))
        rows, columns = (max(32, round(n * scale / 32) * 32) for n in (height, width))
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        picture = cv2.resize(frame, (columns, rows), interpolation=way)[..., ::-1].astype(np.float32)
        x = (picture / 127.5 - 1).transpose(2, 0, 1)[None]
        (probability,) = self._session.run(None, {self._input: np.ascontiguousarray(x)})
        return boxes_of(probability[0, 0]) * np.array([width / columns, height / rows] * 2, np.float32)


def boxes_of(probability: np.ndarray) -> np.ndarray:
    """Return the boxes, float32 [n, 4], of a map of text kernels [H, W], grown to the letters' size."""
    height, width = probability.shape
    text = cv2.dilate((probability > PROBABILITY).astype(np.uint8), np.ones((2, 2), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(text)
    total = np.bincount(labels.ravel(), np.where(probability > PROBABILITY, probability, 0).ravel(), count)
    inside = np.maximum(np.bincount(labels.ravel(), (probability > PROBABILITY).ravel(), count), 1)
    boxes = []
    for label in range(1, count):
        x, y, w, h, _ = stats[label]
        if min(w, h) < 3 or total[label] / inside[label] < BOX_PROBABILITY:
            continue
        by = w * h * UNCLIP / (2 * (w + h))
        boxes.append(grow((x, y, x + w, y + h), by, width, height))
    return np.array(boxes, np.float32).reshape(-1, 4)
