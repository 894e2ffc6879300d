"""Text boxes without a model: thin bright or dark strokes in rows. The fallback where no [ocr] package is installed."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

TextBoxes = tuple[np.ndarray, np.ndarray]
"""Boxes float32 [n, 4] as x0, y0, x1, y1, and scores [n]."""
TextDetector = Callable[[np.ndarray, int], TextBoxes]
"""Finds text in a frame (uint8 RGB [H, W, 3]), looking at it at a short side of so many pixels."""

STROKE = 26  # a stroke is at most this part of the short side wide
LEAST_CONTRAST = 40
LEAST_STROKES = 4


def tophat_boxes(frame: np.ndarray, side: int) -> TextBoxes:
    """Return boxes of rows of strokes, in pixels of ``frame``."""
    height, width = frame.shape[:2]
    scale = min(1.0, side / min(height, width))
    size = max(8, round(width * scale)), max(8, round(height * scale))
    grey = cv2.cvtColor(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    kernel = np.ones((max(3, min(size) // STROKE),) * 2, np.uint8)
    found = [_rows(cv2.morphologyEx(grey, op, kernel)) for op in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT)]
    boxes = np.concatenate([boxes for boxes, _ in found])
    scores = np.concatenate([scores for _, scores in found])
    return boxes * np.array([width / size[0], height / size[1]] * 2, np.float32), scores


def _rows(strokes: np.ndarray) -> TextBoxes:
    height, width = strokes.shape
    ink = (strokes > LEAST_CONTRAST).astype(np.uint8)
    gap = max(3, min(height, width) // 16)
    rows = cv2.morphologyEx(ink, cv2.MORPH_CLOSE, np.ones((1, gap), np.uint8))
    rows = cv2.morphologyEx(rows, cv2.MORPH_OPEN, np.ones((max(2, min(height, width) // 100), 3), np.uint8))
    count, _, stats, _ = cv2.connectedComponentsWithStats(rows)
    boxes, scores = [], []
    for x, y, w, h, _ in stats[1:count]:
        own = ink[y : y + h, x : x + w]
        # Strokes of a line of text follow each other: ink comes and goes along its middle.
        changes = np.abs(np.diff(own.astype(np.int8), axis=1)).sum(1)
        share = own.mean()
        legible = 4 <= h <= 0.25 * height and w >= 1.5 * h and 0.15 <= share <= 0.75
        if legible and np.median(changes) >= 2 * LEAST_STROKES:
            boxes.append((max(0, x - 2), max(0, y - 2), min(width, x + w + 2), min(height, y + h + 2)))
            scores.append(min(1.0, strokes[y : y + h, x : x + w][own > 0].mean() / 128))
    return np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32)
