"""Where a fill agrees with what was filmed before and after, the film is taken; where it does not, the fill stays."""

import pytest
import torch
from torch import Tensor

from vidboot.inpaint import SAME, settle
from vidboot.sampler import Memory


def settled(fill: Tensor, video: Tensor, visible: Tensor) -> Tensor:
    store = Memory(fill.clone())
    given = torch.cat([torch.where(visible.bool(), video, 0), visible], 2)
    settle(store, Memory(given), Memory(torch.empty_like(given)))
    return store.video


def ramp(T: int = 8) -> tuple[Tensor, Tensor]:
    """A video that brightens evenly, hidden in frames 2 to 5 in its left half."""
    video = torch.linspace(-0.7, 0.7, T).view(1, T, 1, 1, 1).expand(1, T, 3, 2, 4).clone()
    visible = torch.ones(1, T, 1, 2, 4)
    visible[:, 2:6, :, :, :2] = 0
    return video, visible


def test_what_was_filmed_is_put_back_exactly_where_the_fill_vouches_for_it() -> None:
    video, visible = ramp()
    torch.testing.assert_close(settled(video.clone(), video, visible), video)
    near = settled(video + 0.01, video, visible)
    assert (near - video).abs().max() < 0.01 * (0.01 / SAME) ** 2 * 1.1
    far = torch.where(visible.bool(), video, video + 5 * SAME)
    torch.testing.assert_close(settled(far, video, visible), far)


@pytest.mark.parametrize(("hidden", "shown"), [(slice(0, 3), 3), (slice(5, 8), 4)])
def test_at_the_ends_of_a_clip_the_nearest_visible_frame_is_what_was_filmed(hidden: slice, shown: int) -> None:
    video, visible = ramp()
    visible[:] = 1
    visible[:, hidden] = 0
    still = video[:, shown : shown + 1].expand_as(video)
    after = settled(torch.where(visible.bool(), video, still), video, visible)
    torch.testing.assert_close(after[:, hidden], still[:, hidden])


def test_what_is_never_visible_is_left_to_the_fill() -> None:
    video, visible = ramp()
    visible[:, :, :, :, 0] = 0
    fill = torch.randn(video.shape, generator=torch.Generator().manual_seed(0))
    after = settled(fill, video, visible)
    assert torch.equal(after[..., 0], fill[..., 0])
    assert after.isfinite().all()
    assert torch.equal(after[..., 2:], video[..., 2:])
