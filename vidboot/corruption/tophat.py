"""Text boxes without a model: thin bright or dark strokes in rows. The fallback where no [ocr] package is installed."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from vidboot.boxes import Box, IntBox, grow, share_in

TextDetector = Callable[[np.ndarray, int], np.ndarray]
"""Finds text in a frame (uint8 RGB [H, W, 3]), looking at it at a short side of so many pixels: boxes x0, y0, x1, y1 in
pixels of the frame, float32 [n, 4]."""

STROKE = 26  # a stroke is at most this part of the short side wide
CONTRASTS = 112, 64  # of ink, levels: the higher one tells bright letters from the texture they stand in
LEAST_STROKES = 4
LEAST_CLEAR = 40  # levels by which the letters of a line stand out, less the spread of their own brightness,
CLEARER = 350  # and so many more for each shorter side of the picture that it is high: large letters are not blurred
COVERED = 0.6  # of a row, by one that was found at a higher contrast: it is the same
MOST_BESIDE = 0.2  # of the ink of a line is above or below it: more is texture


def tophat_boxes(frame: np.ndarray, side: int) -> np.ndarray:
    """Return boxes of rows of strokes: a `TextDetector`."""
    height, width = frame.shape[:2]
    scale = min(1.0, side / min(height, width))
    size = max(8, round(width * scale)), max(8, round(height * scale))
    grey = cv2.cvtColor(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    kernel = np.ones((max(3, min(size) // STROKE),) * 2, np.uint8)
    found = [_rows(cv2.morphologyEx(grey, op, kernel), grey) for op in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT)]
    return np.concatenate(found) * np.array([width / size[0], height / size[1]] * 2, np.float32)


def _rows(strokes: np.ndarray, grey: np.ndarray) -> np.ndarray:
    height, width = strokes.shape
    boxes: list[Box] = []
    for level in CONTRASTS:
        ink = strokes > level
        for row in legible_rows(ink):
            if any(share_in(row, box) > COVERED for box in boxes):
                continue
            x0, y0, x1, y1 = row
            own = ink[y0:y1, x0:x1]
            contrast, brightness = strokes[y0:y1, x0:x1][own], grey[y0:y1, x0:x1][own]
            # Letters are of one brightness, but for their edges, which are blurred: only the stronger half tells.
            spread = brightness[contrast >= np.median(contrast)].std()
            if contrast.mean() - spread >= LEAST_CLEAR + CLEARER * (y1 - y0) / min(height, width):
                boxes.append(grow(row, 2, width, height))
    return np.array(boxes, np.float32).reshape(-1, 4)


def legible_rows(ink: np.ndarray) -> list[IntBox]:
    """Return the boxes of rows of ink, bool [H, W], that may be lines of text."""
    height, width = ink.shape
    ink = ink.astype(np.uint8)
    gap = max(3, min(height, width) // 16)
    rows = cv2.morphologyEx(ink, cv2.MORPH_CLOSE, np.ones((1, gap), np.uint8))
    rows = cv2.morphologyEx(rows, cv2.MORPH_OPEN, np.ones((max(2, min(height, width) // 100), 3), np.uint8))
    count, _, stats, _ = cv2.connectedComponentsWithStats(rows)
    boxes: list[IntBox] = []
    for x, y, w, h, _ in stats[1:count].tolist():
        own = ink[y : y + h, x : x + w]
        # Strokes of a line of text follow each other: ink comes and goes along its middle.
        changes = np.abs(np.diff(own.astype(np.int8), axis=1)).sum(1)
        share = own.mean()
        legible = 4 <= h <= 0.25 * height and w >= 1.5 * h and 0.15 <= share <= 0.75
        beside = ink[max(0, y - h // 2) : y, x : x + w], ink[y + h : y + h + h // 2, x : x + w]
        alone = min((strip.mean() for strip in beside if strip.size), default=0) < MOST_BESIDE * share
        if legible and alone and np.median(changes) >= 2 * LEAST_STROKES:
            boxes.append((x, y, x + w, y + h))
    return boxes
