"""A caption that slides straight to its place and stands is told from what moves a little, and covered on its way."""

import numpy as np
import pytest
from scenes import FPS, burn, covers, letters, panning, shown, texture

from vidboot.corruption.found import Found, Shown
from vidboot.corruption.slide import LONGEST, Slide
from vidboot.corruption.template import Template
from vidboot.corruption.text import find_text
from vidboot.corruption.tophat import tophat_boxes
from vidboot.trust import SURE

INK = letters(14, 100)
H, W = 144, 256
EASED = [24, 14, 8, 4, 2, 1]
FAST = [110, 76, 48, 26, 11, 3]
FEW = [100, 45, 14]  # frames, as of 10 a second


def found(film: np.ndarray) -> list[Found]:
    return find_text(shown(film), tophat_boxes)


def slid(
    film: np.ndarray, aside: list[int], *, since: int = 10, stands: int = 28, plate: bool = False, swerve: int = 0
) -> range:
    """Burn a caption that slides in, stands for some frames and slides out; return the frames that show it."""
    way = [*aside, *[0] * stands, *aside[::-1]]
    for t, by in enumerate(way, start=since):
        left, top = 90 - by, 110 - (swerve if by else 0)
        ink = INK[:, max(0, -left) :]
        if plate:
            film[t, top - 6 : top + 20, max(0, left - 10) : left + 110] = 60
        burn(film, ink, max(0, left), top, t, t)
    return range(since, since + len(way))


@pytest.mark.parametrize(("aside", "since"), [(EASED, 10), (EASED, 14), (FAST, 10), (FEW, 10), ([60, 30, 10, 4], 10)])
@pytest.mark.parametrize("plate", [False, True])
@pytest.mark.parametrize("still", [False, True])
def test_a_caption_that_slides_in_and_out_is_hidden_in_every_frame_that_shows_it(
    aside: list[int], since: int, plate: bool, still: bool
) -> None:
    """Also where a look finds it as it has just come to rest (every fifth frame is looked at)."""
    film = np.repeat(texture(H, W, 4)[None], 60, axis=0) if still else panning(60, H, W)
    showing = slid(film, aside, since=since, plate=plate)
    events = [one for one in found(film) if one.score >= SURE]
    for t, by in zip(showing, [*aside, *[0] * 28, *aside[::-1]], strict=True):
        now = [one for one in events if one.first_seconds - 1e-6 <= t / FPS <= one.last_seconds + 1e-6]
        assert any(covers(one, (max(0, 90 - by), 110, 190 - by, 124)) for one in now), t
    assert min(one.first_seconds for one in events) >= showing[0] / FPS - 0.2 - 1e-6
    assert max(one.last_seconds for one in events) <= showing[-1] / FPS + 0.2 + 1e-6


def test_its_way_is_the_same_in_a_film_that_begins_before_0() -> None:
    film = panning(60, H, W)
    slid(film, EASED)
    events, then = (find_text(shown(film, t), tophat_boxes) for t in (0, -10))
    assert len(events) > 1
    times, times_then = (np.array([(one.first_seconds, one.last_seconds) for one in found]) for found in (events, then))
    np.testing.assert_allclose(times_then, times - 10)


@pytest.mark.parametrize(("stands", "hidden"), [(2, False), (7, True)])
def test_one_that_stands_for_half_a_second_is_hidden_and_one_that_hardly_stands_is_none(
    stands: int, hidden: bool
) -> None:
    film = panning(60, H, W)
    showing = slid(film, EASED, since=13, stands=stands)
    times = [(one.first_seconds * FPS, one.last_seconds * FPS) for one in found(film) if one.score >= SURE]
    assert all(any(first <= t <= last for first, last in times) for t in showing) if hidden else times == []


def test_a_line_that_leaves_its_row_on_the_way_is_only_asked_about() -> None:
    film = panning(60, H, W)
    slid(film, EASED, swerve=3)
    (one,) = [one for one in found(film) if one.last_seconds - one.first_seconds > 1]
    assert one.score < SURE


def way(stands: tuple[float, int, int], first: tuple[float, int, int], *places: tuple[float, int, int]) -> Slide:
    grey = texture(H, W, 1)[..., 0]
    slide = Slide(Template(grey, (60, 100, 160, 114)), Shown(stands[0], grey), Shown(first[0], grey), *first[1:])
    slide.places += places
    return slide


def test_a_way_is_even_if_it_is_straight_goes_one_way_is_far_and_soon_over() -> None:
    straight = [(1.0, 0, 0), (0.96, -4, 0), (0.92, -20, 1), (0.88, -45, 0)]
    assert way(*straight).even
    assert way(*((seconds, y, x) for seconds, x, y in straight)).even
    assert not way(*straight[:3]).even
    assert way(*((1 - 2.5 * (1 - seconds), x, y) for seconds, x, y in straight[:3])).even  # of 10 frames a second
    assert not way(*((seconds, x // 5, y) for seconds, x, y in straight)).even
    assert not way(*((seconds, x, 2 * y) for seconds, x, y in straight)).even
    assert not way(*straight, (0.84, -20, 0)).even
    assert not way(*((1 - (1 + LONGEST) * k, x, y) for k, (_, x, y) in enumerate(straight))).even


def test_its_event_is_all_that_the_box_sweeps_within_the_frame_and_two_frames_beyond() -> None:
    stands = Found(kind="subtitle", first_seconds=1.0, last_seconds=2.0, box=(60.0, 100.0, 160.0, 114.0), score=0.6)
    into = way((1.0, 0, 0), (0.9, -40, 0), (0.8, -90, 0), (0.7, -150, 0)).event(stands, (W, H))
    assert (into.box, into.score, into.kind) == ((0.0, 100.0, 160.0, 114.0), 0.6, "subtitle")
    assert (into.first_seconds, into.last_seconds) == pytest.approx((0.5, 1.0))
    away = way((2.0, 0, 0), (2.1, 0, 10), (2.2, 0, 25), (2.3, 0, 45)).event(stands, (W, H))
    assert away.box == (60.0, 100.0, 160.0, 144.0)
    assert (away.first_seconds, away.last_seconds) == pytest.approx((2.0, 2.5))
