"""What a line of text looks like: its strokes, averaged over the frames that show it, and how like them a frame is."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vidboot.boxes import IntBox
from vidboot.corruption.fade import QUARTERS
from vidboot.corruption.row import NEW, field, strength_of
from vidboot.corruption.static import correlation

ABRUPT_DROP = 0.45  # a line comes or goes at once if its correlation one frame outside is below this,
ABRUPT_LEFT = 0.5  # or its strokes are weaker than this share of theirs there, in each quarter of the line
DENSE = 0.15  # of the strokes of the fullest row, or column: more may be letters that stay for the next line
LEAST_NEW = 0.25  # share of the strokes of a line that come or go with it: else nothing is known of it
MOSTLY = 0.25  # of a pixel, that strokes of a line made smaller fill
LEAST_IN_ROW = 3  # strokes that come or go with the line


@dataclass(frozen=True)
class Pattern:
    """What a line looks like in its place, and how like it a frame is there, beside it, or where it is larger."""

    box: IntBox
    mean: np.ndarray
    """Signed gradients, float32 [h, w, 2]."""
    strokes: np.ndarray
    """Where they are those of letters, bool [h, w]."""

    def match(self, grey: np.ndarray, dx: int = 0, dy: int = 0) -> float:
        """Return the correlation of a frame with it at its strokes, moved by (dx, dy) pixels, -1 to 1.

        Where it leaves the frame only the rest counts; a rest of less than a third is no match.
        """
        x0, y0, x1, y1 = self.box
        height, width = grey.shape
        left, top = max(0, -x0 - dx), max(0, -y0 - dy)
        right, bottom = min(x1 - x0, width - x0 - dx), min(y1 - y0, height - y0 - dy)
        if right - left < (x1 - x0) / 3 or bottom - top < (y1 - y0) / 3:
            return 0.0
        inside = (slice(top, bottom), slice(left, right))
        moved = (x0 + dx + left, y0 + dy + top, x0 + dx + right, y0 + dy + bottom)
        strokes = self.strokes[inside]
        return correlation(field(grey, moved)[strokes], self.mean[inside][strokes])

    def shifted(self, grey: np.ndarray, reach: int) -> tuple[float, int, int]:
        """Return the best correlation within ``reach`` pixels of its place, and how far from it (x, y)."""
        x0, y0, x1, y1 = self.box
        height, width = grey.shape
        window = (max(0, x0 - reach), max(0, y0 - reach), min(width, x1 + reach), min(height, y1 + reach))
        there, mean = field(grey, window), self._letters
        hits = sum(_slide(there[..., k], mean[..., k]) for k in (0, 1))
        energy = _slide((there**2).sum(-1), self.strokes.astype(np.float32))
        score = hits / np.sqrt(np.maximum(energy, 1e-6) * float((mean**2).sum()))
        _, best, _, (x, y) = cv2.minMaxLoc(score)
        return float(best), x + window[0] - x0, y + window[1] - y0

    def scaled(self, size: float) -> Pattern:
        """Return what it looks like ``size`` times as large, about the middle of its box."""
        x0, y0, x1, y1 = self.box
        w, h = max(1, round(size * (x1 - x0))), max(1, round(size * (y1 - y0)))
        left, top = (x0 + x1 - w) // 2, (y0 + y1 - h) // 2
        mean, strokes = (
            cv2.resize(x, (w, h), interpolation=cv2.INTER_AREA)
            for x in (self._letters, self.strokes.astype(np.float32))
        )
        return Pattern((left, top, left + w, top + h), mean, strokes > MOSTLY)

    @property
    def _letters(self) -> np.ndarray:
        return np.where(self.strokes[..., None], self.mean, np.float32(0))


class Template:
    """Signed gradients of a box at the strokes of its text, averaged over the frames shown so far.

    The picture behind moves and averages out; the strokes stay.

    Args:
        grey: the first frame it is learned from.
        box: where it lies, within the frame.
        ink: which pixels of the frame are letters, or are beside one, bool [H, W]; default: any may be.
    """

    def __init__(self, grey: np.ndarray, box: IntBox, ink: np.ndarray | None = None) -> None:
        self.box = box
        self._ink = np.ones((box[3] - box[1], box[2] - box[0]), bool)
        if ink is not None:
            own = ink[box[1] : box[3], box[0] : box[2]].astype(np.uint8)
            self._ink = cv2.dilate(own, np.ones((3, 3), np.uint8)) > 0
        self._sum = np.zeros((box[3] - box[1], box[2] - box[0], 2), np.float32)
        self._seen = 0
        self._without: list[np.ndarray] = []
        self.learn(grey)

    def without(self, grey: np.ndarray) -> None:
        """Take note of a frame just before the line came, or just after it went, in a picture that goes on."""
        self._without.append(field(grey, self.box))

    def learn(self, grey: np.ndarray) -> None:
        """Average one more frame in."""
        self._sum += field(grey, self.box)
        self._seen += 1
        mean = self._sum / self._seen
        strength = strength_of(mean) * self._ink
        strokes = strength > max(24.0, 0.3 * float(np.percentile(strength, 97)))
        # What fades away keeps the strokes it had.
        strokes = strokes if strokes.any() or self._seen == 1 else self.pattern.strokes
        self.pattern = Pattern(self.box, mean, strokes)

    @property
    def strokes(self) -> np.ndarray:
        """Where its letters are, bool [h, w] of its box."""
        return self.pattern.strokes

    @property
    def tight(self) -> IntBox:
        """The box around the strokes, but for sparse ones that stay as the line comes and as it goes: the scene's."""
        strokes, new = self.strokes, self._new()
        along = strokes.sum(1)
        rows = np.flatnonzero((along > DENSE * along.max()) | (new.sum(1) >= LEAST_IN_ROW))
        first, last = int(rows[0]), int(rows[-1]) + 1
        across = strokes[first:last].sum(0)
        columns = np.flatnonzero((across > DENSE * across.max()) | new[first:last].any(0))
        x0, y0, _, _ = self.box
        return x0 + int(columns[0]), y0 + first, x0 + int(columns[-1]) + 1, y0 + last

    def strokes_in(self, box: IntBox) -> np.ndarray:
        """Return the strokes that lie in another box, bool [h, w] of it."""
        x0, y0, x1, y1 = self.box
        a, b, c, d = box
        strokes = np.zeros((d - b, c - a), bool)
        left, top, right, bottom = max(x0, a), max(y0, b), min(x1, c), min(y1, d)
        if left < right and top < bottom:
            own = self.strokes[top - y0 : bottom - y0, left - x0 : right - x0]
            strokes[top - b : bottom - b, left - a : right - a] = own
        return strokes

    def _new(self) -> np.ndarray:
        """Which strokes change as the line comes or goes; all, where too few do to tell."""
        if not self._without:
            return self.strokes
        mean = self.pattern.mean
        changed = np.max([strength_of(mean - without) for without in self._without], axis=0)
        new = self.strokes & (changed > NEW * strength_of(mean))
        return new if new.sum() > LEAST_NEW * self.strokes.sum() else self.strokes

    def look(self, grey: np.ndarray) -> tuple[float, np.ndarray]:
        """Return `Pattern.match` in its place, and how strong its strokes are there by quarters of the line, [4]."""
        there, mean = field(grey, self.box)[self.strokes], self.pattern.mean[self.strokes]
        along = (there * mean).sum(-1) / np.maximum(np.hypot(mean[:, 0], mean[:, 1]), 1e-6)
        quarter = np.nonzero(self.strokes)[1] * QUARTERS // self.strokes.shape[1]
        count = np.bincount(quarter, minlength=QUARTERS)
        return correlation(there, mean), np.bincount(quarter, along, minlength=QUARTERS) / np.maximum(count, 1)

    def at_once(self, shown: np.ndarray, without: np.ndarray, *, quiet: bool) -> bool:
        """Whether one of two neighbouring frames shows the line and the other nothing of it, or, where the picture
        around it is ``quiet``, in each quarter of it little more than what edges of the scene have."""
        match, left = self.look(without)
        _, whole = self.look(shown)
        little = left <= ABRUPT_LEFT * np.maximum(whole, 0)
        return match < ABRUPT_DROP or (quiet and bool(little.all()))


def _slide(there: np.ndarray, template: np.ndarray) -> np.ndarray:
    return cv2.matchTemplate(np.ascontiguousarray(there), np.ascontiguousarray(template), cv2.TM_CCORR)
