"""Only what is hidden is filled: the right frames, the right parts of them, and not one pixel more."""

import itertools

import numpy as np
import pytest
import torch

from vidboot.fill import inner_edge, paste, shrink, spans, tiles


def hidden_at(*frames: int, T: int = 40) -> np.ndarray:
    return np.isin(np.arange(T), frames)


@pytest.mark.parametrize(
    ("hidden", "cuts", "expected"),
    [
        (hidden_at(), [], []),
        (hidden_at(10), [], [(7, 14)]),
        (hidden_at(10, 16), [], [(7, 20)]),
        (hidden_at(10, 18), [], [(7, 14), (15, 22)]),
        (hidden_at(0, 39), [], [(0, 4), (36, 40)]),
        (hidden_at(10), [9, 12], [(9, 12)]),
        (hidden_at(11, 12), [12], [(8, 12), (12, 16)]),
    ],
)
def test_hidden_frames_are_filled_with_what_is_around_them_in_their_shot(
    hidden: np.ndarray, cuts: list[int], expected: list[tuple[int, int]]
) -> None:
    assert spans(hidden, cuts, around=3) == expected


@pytest.mark.parametrize(
    ("size", "model", "count"),
    [((32, 32), (32, 32), 1), ((1280, 720), (32, 32), 2), ((720, 1280), (64, 32), 4), ((641, 640), (8, 8), 1)],
)
def test_tiles_cover_the_frame_in_the_models_shape(size: tuple[int, int], model: tuple[int, int], count: int) -> None:
    boxes = tiles(*size, *model)
    assert len(boxes) == count
    covered = np.zeros(size[::-1], bool)
    for x0, y0, x1, y1 in boxes:
        assert (x1 - x0) / (y1 - y0) == pytest.approx(model[0] / model[1], rel=0.03)
        covered[y0:y1, x0:x1] = True
    assert covered.all()


def test_tiles_leave_no_gap_whatever_the_size() -> None:
    for width, height in itertools.product(range(620, 660), (300, 318, 636, 720, 1280)):
        covered = np.zeros((2, max(width, height)), bool)
        for x0, y0, x1, y1 in tiles(width, height, 32, 32):
            covered[0, x0:x1] = covered[1, y0:y1] = True
        assert covered[0, :width].all(), (width, height)
        assert covered[1, :height].all(), (width, height)


@pytest.mark.parametrize("edge", [0, 1, 4])
def test_no_pixel_outside_the_mask_is_touched_and_the_inside_is_the_fill(edge: int) -> None:
    rng = np.random.default_rng(edge)
    frame = rng.integers(0, 256, (30, 40, 3), np.uint8)
    hidden = np.zeros((30, 40), bool)
    hidden[5:25, 8:30] = True
    fill = torch.full((3, 6, 8), 0.5)
    pasted = paste(frame, inner_edge(hidden, edge), {(0, 0, 40, 30): fill})
    np.testing.assert_array_equal(pasted[~hidden], frame[~hidden])
    inside = pasted[5 + edge : 25 - edge, 8 + edge : 30 - edge]
    assert (np.abs(inside.astype(int) - 191) <= 1).all()
    if edge:
        apart = np.abs(pasted[15, 8 : 8 + edge + 1].astype(float) - frame[15, 8 : 8 + edge + 1])
        full = np.abs(191 - frame[15, 8 : 8 + edge + 1].astype(float))
        np.testing.assert_allclose(apart, full * np.arange(1, edge + 2)[:, None] / (edge + 1), atol=1)


def test_a_fill_of_the_frames_own_size_arrives_as_it_is() -> None:
    levels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    fill = torch.from_numpy(levels).permute(2, 0, 1).float() / 127.5 - 1
    pasted = paste(np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), np.float32), {(0, 0, 8, 8): fill})
    np.testing.assert_array_equal(pasted, levels)


def test_overlapping_fills_are_one_where_they_agree_and_between_where_they_do_not() -> None:
    share = np.ones((4, 10), np.float32)
    ones, halves = torch.ones(3, 2, 3), torch.zeros(3, 2, 3)
    boxes = (0, 0, 6, 4), (4, 0, 10, 4)
    frame = np.zeros((4, 10, 3), np.uint8)
    assert (paste(frame, share, {boxes[0]: ones, boxes[1]: ones}) == 255).all()
    row = paste(frame, share, {boxes[0]: ones, boxes[1]: halves})[1, :, 0]
    assert (row[:4] == 255).all()
    assert (np.abs(row[6:].astype(int) - 127.5) <= 0.5).all()
    assert 127 < row[5] < row[4] < 255


def test_a_part_of_the_frame_shrinks_by_the_mean_of_its_pixels() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 8, 12, 3), np.uint8)
    small = shrink(frames, (4, 0, 12, 8), 2, 4)
    expected = frames[:, :, 4:].reshape(2, 2, 4, 4, 2, 3).mean((2, 4)).transpose(0, 3, 1, 2) / 127.5 - 1
    np.testing.assert_allclose(small.numpy(), expected, atol=1e-5)
