import numpy as np
import pytest

from vidboot.data.times import fill, frame_rate, frame_seconds, nearest_frames, repair, same_clock

NAN = float("nan")


def test_sane_times_stay_as_they_are() -> None:
    seconds = np.array([5.0, 5.04, 5.2, 5.21, 7.0])
    np.testing.assert_array_equal(repair(seconds, 1000.0), seconds)


def test_a_file_without_times_plays_at_its_average_rate() -> None:
    np.testing.assert_allclose(repair(np.full(4, NAN), 10.0), [0, 0.1, 0.2, 0.3])


def test_an_absurd_average_rate_is_not_believed() -> None:
    np.testing.assert_allclose(repair(np.full(3, NAN), 90000.0), [0, 0.04, 0.08])


def test_missing_times_lie_between_their_neighbours() -> None:
    np.testing.assert_allclose(repair(np.array([NAN, 0.1, NAN, 0.3, NAN]), None), [0, 0.1, 0.2, 0.3, 0.4], atol=1e-9)


def test_times_in_decoding_order_are_sorted() -> None:
    stored = np.array([1, 2, 4, 3, 5, 7, 6, 8]) / 25
    np.testing.assert_allclose(repair(stored, 25.0), np.arange(1, 9) / 25)


def test_a_restarted_clock_runs_on() -> None:
    seconds = np.concatenate([np.arange(30) / 30, np.arange(30) / 30])
    np.testing.assert_allclose(repair(seconds, None), np.arange(60) / 30, atol=1e-9)


def test_a_leap_of_a_day_is_one_frame_long() -> None:
    seconds = np.array([0, 0.1, 0.2, 90000.3, 90000.4])
    np.testing.assert_allclose(repair(seconds, None), np.arange(5) / 10, atol=1e-6)


def test_a_time_lapse_is_not_a_broken_clock() -> None:
    seconds = np.arange(10) * 4.0
    np.testing.assert_array_equal(repair(seconds, 0.25), seconds)


def test_a_clock_that_mostly_stands_is_replaced() -> None:
    seconds = np.tile([0.0, 0.0, 0.125, 0.0], 25)
    np.testing.assert_allclose(repair(seconds, 24.0), np.arange(100) / 24)


@pytest.mark.parametrize(
    ("raw_seconds", "same"),
    [
        ([5.0, 5.04, 5.2, 5.21, 7.0], True),
        ([1.0, 2.0, 4.0, 3.0, 5.0], True),  # in decoding order
        ([NAN, 1.0, NAN, 1.5, NAN], True),
        ([NAN, NAN, NAN], True),
        ([0.0, 0.1, 0.2, 300.3, 300.4], False),
        ([300.0, 300.1, 300.2, 0.0, 0.1, 0.2], False),
        ([0.0, 0.0, 0.0, 0.0], False),
    ],
)
def test_other_things_still_fit_a_clock_that_was_not_moved(raw_seconds: list[float], same: bool) -> None:
    raw = np.array(raw_seconds)
    assert same_clock(raw, repair(raw, 8.0)) == same


@pytest.mark.parametrize("seed", range(20))
def test_repaired_times_always_increase(seed: int) -> None:
    rng = np.random.default_rng(seed)
    seconds = np.cumsum(rng.choice([0.0, 0.04, -3.0, 1e6, NAN], 200, p=[0.1, 0.8, 0.03, 0.02, 0.05]))
    seconds = np.where(np.isnan(seconds), rng.normal(size=200), seconds)
    seconds[rng.random(200) < 0.2] = NAN
    assert (np.diff(repair(seconds, 25.0)) > 0).all()


@pytest.mark.parametrize("T", [0, 1, 2])
def test_very_short_files_have_times(T: int) -> None:
    assert len(repair(np.zeros(T), None)) == T


@pytest.mark.parametrize(("source_fps", "fps"), [(24, 8), (25, 8), (30, 8), (8, 8), (23.976, 24), (59.94, 25)])
def test_sixteen_seconds_give_sixteen_seconds_of_frames(source_fps: float, fps: float) -> None:
    pts_seconds = 3.7 + np.arange(round(16 * source_fps)) / source_fps
    assert len(nearest_frames(pts_seconds, fps)) == 16 * fps


def test_each_frame_shown_is_the_nearest_in_time() -> None:
    rng = np.random.default_rng(0)
    pts_seconds = 2 + np.cumsum(rng.uniform(0.01, 0.3, 200))
    shown = nearest_frames(pts_seconds, 8)
    wanted = pts_seconds[0] + np.arange(len(shown)) / 8
    best = np.abs(pts_seconds[:, None] - wanted).min(axis=0)
    np.testing.assert_allclose(np.abs(pts_seconds[shown] - wanted), best)


def test_times_between_known_ones_lie_evenly_and_beyond_them_a_step_apart() -> None:
    filled = fill(np.array([2, 3, 6]), np.array([1.0, 1.1, 1.7]), 8, 0.25)
    np.testing.assert_allclose(filled, [0.5, 0.75, 1.0, 1.1, 1.3, 1.5, 1.7, 1.95])


def test_one_frame_can_be_shown() -> None:
    np.testing.assert_array_equal(nearest_frames(np.array([3.0]), 8), [0])


def test_seconds_of_frames_add_up_to_the_whole() -> None:
    assert frame_seconds(np.arange(25) / 25).sum() == pytest.approx(1.0)
    assert frame_rate(np.arange(25) / 25) == pytest.approx(25.0)
