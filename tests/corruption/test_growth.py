"""Words that grow to their size are hidden from the first frame that shows them."""

import cv2
import numpy as np
import pytest
from scenes import FPS, burn, covers, letters, panning, shown, texture

from vidboot.corruption.found import Shown
from vidboot.corruption.growth import growth_of
from vidboot.corruption.template import Template
from vidboot.corruption.text import find_text
from vidboot.corruption.tophat import tophat_boxes
from vidboot.trust import SURE

INK = letters(20, 110)
H, W = 144, 256
MIDDLE = (120, 100)  # x, y
GROWING = [0.44, 0.6, 0.76, 0.92]
BOUNCING = [0.5, 0.8, 1.12, 1.08]


def grown(
    film: np.ndarray, sizes: list[float], *, since: int = 12, stands: int = 20
) -> list[tuple[int, int, int, int]]:
    """Burn words of these sizes, and then at their own; return where they are, frame by frame."""
    boxes = []
    for t, size in enumerate([*sizes, *[1.0] * stands], start=since):
        ink = cv2.resize(INK.astype(np.float32), None, fx=size, fy=size, interpolation=cv2.INTER_AREA) > 0.4
        (height, width), (x, y) = ink.shape, MIDDLE
        left, top = x - width // 2, y - height // 2
        burn(film, ink, left, top, t, t)
        boxes.append((left, top, left + width, top + height))
    return boxes


@pytest.mark.parametrize("sizes", [GROWING, BOUNCING])
@pytest.mark.parametrize("still", [False, True])
def test_words_that_pop_up_are_covered_at_every_size(sizes: list[float], still: bool) -> None:
    film = np.repeat(texture(H, W, 4)[None], 50, axis=0) if still else panning(50, H, W)
    boxes = grown(film, sizes)
    events = find_text(shown(film), tophat_boxes)
    sure = [one for one in events if one.score >= SURE]
    for t, box in enumerate(boxes, start=12):
        assert any(
            covers(one, box) and one.first_seconds <= t / FPS + 1e-6 <= one.last_seconds + 0.01 for one in sure
        ), t
    assert min(one.first_seconds for one in sure) >= 1.2 - 0.2 - 1e-6


def test_a_line_that_comes_at_its_size_did_not_grow_nor_what_a_cut_brought() -> None:
    film = panning(50, H, W)
    *_, box = grown(film, GROWING)
    past = [Shown(t / FPS, frame[..., 0]) for t, frame in enumerate(film)][16::-1]
    pattern = Template(past[0][1], box).pattern
    found = growth_of(pattern, past)
    assert found is not None
    assert found.began == pytest.approx(1.1)
    earlier = growth_of(pattern, [frame._replace(seconds=frame.seconds - 10) for frame in past])
    assert earlier is not None
    assert earlier.began == pytest.approx(-8.9)
    cut = [frame._replace(cut=frame.seconds == 1.6) for frame in past]
    assert growth_of(pattern, cut) is None
    without = [past[0], *(Shown(t / FPS, frame[..., 0]) for t, frame in enumerate(panning(50, H, W)))]
    assert growth_of(pattern, [without[0], *without[16:0:-1]]) is None


@pytest.mark.parametrize("size", GROWING)
def test_a_pattern_made_smaller_is_most_like_the_frame_that_shows_it_so(size: float) -> None:
    film = panning(20, H, W)
    *_, box = grown(film, [*GROWING], stands=1)
    pattern = Template(film[16, ..., 0], box).pattern.scaled(size)
    matches = [pattern.match(frame[..., 0]) for frame in film[12:17]]
    assert int(np.argmax(matches)) == GROWING.index(size)
