"""No cell that touches a hidden pixel is trusted, and all others are."""

from fractions import Fraction

import numpy as np
import pytest
from masking import mask, subtitle

from vidboot import masks, trust, visibility
from vidboot.boxes import Box

WHOLE = (0, 0, 12, 10)


def test_an_event_hides_its_box_from_its_first_frame_to_its_last() -> None:
    shown = visibility.visible(mask(subtitle()), [0, 0.9, 1, 1.5, 2, 2.1], WHOLE, 10, 12, dilation=0)
    expected = np.ones((10, 12))
    expected[6:8, 2:9] = 0
    assert [bool((frame == 1).all()) for frame in shown] == [True, True, False, False, False, True]
    np.testing.assert_array_equal(shown[2], expected)
    assert shown.dtype == np.uint8


def test_rejected_events_hide_nothing_and_the_others_do() -> None:
    hidden = {
        status: (visibility.visible(mask(subtitle(status=status)), [1.5], WHOLE, 10, 12) == 0).any()
        for status in ("auto", "accepted", "edited", "rejected")
    }
    assert hidden == {"auto": True, "accepted": True, "edited": True, "rejected": False}


def test_without_events_or_frames_nothing_is_hidden() -> None:
    assert visibility.visible(mask(), [0, 1], WHOLE, 5, 6).all()
    assert visibility.visible(mask(subtitle()), [], WHOLE, 5, 6).shape == (0, 5, 6)


@pytest.mark.parametrize("by", [0, 1, 3])
def test_dilation_grows_boxes_and_layers_alike(by: int) -> None:
    layer = np.zeros((1, 10, 12), bool)
    layer[0, 6:8, 2:9] = True
    boxed = visibility.visible(mask(subtitle()), [1], WHOLE, 10, 12, dilation=by)
    layered = visibility.visible(mask(subtitle(layer=0), layers=layer), [1], WHOLE, 10, 12, dilation=by)
    np.testing.assert_array_equal(boxed, layered)
    assert (boxed == 0).sum() == (min(8 + by, 10) - (6 - by)) * (min(9 + by, 12) - max(2 - by, 0))


def test_dilation_follows_the_shorter_side_and_spares_small_pictures() -> None:
    sizes = ((32, 32), (64, 64), (176, 144), (640, 360), (360, 640), (1280, 720), (1920, 1080))
    assert [trust.default_dilation(*size) for size in sizes] == [1, 1, 2, 3, 3, 5, 7]


def test_an_unsure_event_hides_nothing_until_somebody_accepts_it() -> None:
    for status, score, hides in (
        ("auto", 0.49, False),
        ("auto", 0.5, True),
        ("accepted", 0.1, True),
        ("edited", 0.1, True),
        ("rejected", 1.0, False),
    ):
        event = subtitle().model_copy(update={"status": status, "score": score})
        assert masks.hides(event) == hides
        assert (visibility.visible(mask(event), [1], WHOLE, 10, 12).min() == 0) == hides


def trusted_by_definition(hidden: np.ndarray, box: Box, height: int, width: int) -> np.ndarray:
    """Each cell against each source pixel, in exact arithmetic."""
    x0, y0, x1, y1 = map(Fraction, box)
    out = np.ones((height, width), np.uint8)
    for row, column in np.ndindex(height, width):
        top, bottom = (y0 + (y1 - y0) * Fraction(r, height) for r in (row, row + 1))
        left, right = (x0 + (x1 - x0) * Fraction(c, width) for c in (column, column + 1))
        for y, x in zip(*np.nonzero(hidden), strict=True):
            if top < y + 1 and y < bottom and left < x + 1 and x < right:
                out[row, column] = 0
    return out


@pytest.mark.parametrize("box", [WHOLE, (1, 2, 11, 9), (0.5, 0.25, 11.75, 9.5), (3, 3, 4, 4)])
@pytest.mark.parametrize(("height", "width"), [(10, 12), (5, 6), (3, 7), (1, 1), (23, 31)])
def test_a_cell_is_trusted_only_if_every_pixel_it_touches_is(box: Box, height: int, width: int) -> None:
    rng = np.random.default_rng(height)
    x0, x1 = np.sort(rng.uniform(0, 12, 2))
    boxed = visibility.visible(mask(subtitle(box=(x0, 2.5, x1, 7))), [1], box, height, width, dilation=0)
    touched = np.zeros((10, 12), bool)
    touched[2:7, int(x0) : int(np.ceil(x1))] = True
    np.testing.assert_array_equal(boxed[0], trusted_by_definition(touched, box, height, width))
    hidden = rng.random((10, 12)) < 0.04
    shown = visibility.visible(mask(subtitle(layer=0), layers=hidden[None]), [1], box, height, width, dilation=0)
    np.testing.assert_array_equal(shown[0], trusted_by_definition(hidden, box, height, width))


@pytest.mark.parametrize("box", [(0, 0, 13, 10), (-1, 0, 12, 10), (4, 0, 4, 10)])
def test_a_crop_outside_the_source_is_refused(box: Box) -> None:
    with pytest.raises(ValueError, match="crop_box"):
        visibility.visible(mask(subtitle()), [1], box, 5, 6)


def test_overlapping_events_hide_their_union_only_while_both_are_there() -> None:
    events = subtitle("a", first=0, last=2), subtitle("b", first=1, last=3, box=(0, 0, 3, 3))
    together = visibility.visible(mask(*events), [0.5, 1.5, 2.5], WHOLE, 10, 12)
    alone = [visibility.visible(mask(event), [0.5, 1.5, 2.5], WHOLE, 10, 12) for event in events]
    np.testing.assert_array_equal(together, alone[0] & alone[1])


@pytest.mark.parametrize("seed", range(20))
def test_each_frame_hides_what_any_event_of_its_time_hides_and_each_set_of_them_is_drawn_once(seed: int) -> None:
    rng = np.random.default_rng(seed)
    times = rng.choice(np.arange(0, 8, 0.25), (rng.integers(30), 2))  # many begin or end on a frame, or together
    boxes = rng.integers(0, 8, (len(times), 2))
    events = [
        subtitle(str(i), first=min(at), last=max(at), box=(x, y, x + 2, y + 1))
        for i, (at, (x, y)) in enumerate(zip(times.tolist(), boxes.tolist(), strict=True))
    ]
    pts_seconds = rng.permutation(np.arange(0, 10, 0.125) + rng.choice([0, 0.0009, -0.0011], 80))
    distinct, which = visibility.distinct_visible(mask(*events), pts_seconds, WHOLE, 10, 12, dilation=0)
    tolerance = trust.TIME_TOLERANCE_SECONDS
    active = np.array([
        [e.first_seconds - tolerance <= at <= e.last_seconds + tolerance for e in events] for at in pts_seconds
    ])  # fmt: skip
    expected = np.ones((80, 10, 12), np.uint8)
    for frame, present in zip(expected, active, strict=True):
        for x, y in boxes[present]:
            frame[y : y + 1, x : x + 2] = 0
    np.testing.assert_array_equal(distinct[which], expected)
    assert len(distinct) == len(np.unique(active, axis=0))
