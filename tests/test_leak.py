"""The leak score is 0 without the mark, 1 of nothing but the mark, and grows with its opacity in between."""

import hashlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vidboot import config as settings
from vidboot import leak, masks, scan, synthetic
from vidboot.data import cache
from vidboot.data.encode import save_tiny
from vidboot.masks import Event, Mask
from vidboot.metrics import leak_score, mark_template

BOX = (3, 2, 13, 9)
MARK = torch.from_numpy(np.random.default_rng(7).choice([-0.9, 0.2, 1.0], (1, 1, 1, 7, 10))).float()


def scenes(seed: int = 0, *, videos: int = 24) -> Tensor:
    """Videos of smooth noise that stands still: no two alike, none with the mark."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.randn(videos, 3, 6, 6, generator=rng)
    return torch.nn.functional.interpolate(coarse, (16, 16), mode="bilinear")[:, None].repeat(1, 3, 1, 1, 1)


def burnt(videos: Tensor, alpha: float) -> Tensor:
    marked = videos.clone()
    part = marked[..., BOX[1] : BOX[3], BOX[0] : BOX[2]]
    part.lerp_(MARK.expand_as(part), alpha)
    return marked


def exact() -> list[Any]:
    return [mark_template(burnt(scenes(), 1.0), BOX)]


def test_a_frame_that_is_the_mark_scores_one_and_its_negative_minus_one() -> None:
    marked = burnt(scenes(1), 1.0)
    assert leak_score(marked, exact()) == pytest.approx(1, abs=1e-5)
    assert leak_score(-marked, exact()) == pytest.approx(-1, abs=1e-5)


def test_scenes_without_the_mark_score_nothing_in_the_mean_and_grey_exactly_nothing() -> None:
    assert abs(leak_score(scenes(2, videos=400), exact())) < 0.02
    assert leak_score(torch.zeros(2, 3, 3, 16, 16), exact()) == 0


def test_the_score_grows_with_the_opacity_of_the_mark_in_every_video() -> None:
    for video in scenes(3).split(1):
        scores = [leak_score(burnt(video, alpha), exact()) for alpha in (0, 0.1, 0.2, 0.4, 0.7, 1)]
        assert all(a < b for a, b in pairwise(scores))


def test_the_score_tells_the_place_and_takes_the_mark_that_shows_most() -> None:
    marked = burnt(scenes(4, videos=200), 1.0)
    assert abs(leak_score(marked.roll(5, -1), exact())) < 0.2
    other = mark_template(burnt(scenes(), 1.0).flip(-1), (3, 2, 13, 9))
    assert leak_score(marked, [other, *exact()]) == pytest.approx(1, abs=1e-5)
    with pytest.raises(ValueError, match="at least one template"):
        leak_score(marked, [])


@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_a_template_is_what_marked_scenes_have_in_common(alpha: float) -> None:
    found = mark_template(burnt(scenes(5, videos=200), alpha), BOX)
    pure = exact()[0]
    likeness = torch.cosine_similarity(found.gradient.flatten(), pure.gradient.flatten(), dim=0)
    assert likeness > 0.98
    assert found.gradient.norm() / pure.gradient.norm() == pytest.approx(alpha, rel=0.1)


def test_the_marks_of_a_folder_become_templates(tmp_path: Path) -> None:
    config = settings.read(preset="smoke")
    videos, work = tmp_path / "videos", tmp_path / "work"
    videos.mkdir()
    rng = np.random.default_rng(0)
    logo = rng.integers(0, 256, (5, 6, 3), np.uint8)
    for index in range(leak.LEAST_SHOTS):
        frames, _ = synthetic.video(1, index, frames=8, height=16, width=16)
        frames[:, 9:14, 8:14] = logo
        path = videos / f"{index}.mp4"
        save_tiny(path, frames, 8)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        mark = {"id": "m", "kind": "mark", "first_seconds": 0, "last_seconds": 1, "box": (8, 9, 14, 14)}
        rejected = mark | {"id": "r", "status": "rejected", "box": (0, 0, 6, 6)}
        text = mark | {"id": "t", "kind": "subtitle", "box": (0, 0, 6, 6)}
        events = tuple(Event.model_validate(one) for one in (mark, rejected, text))
        masks.save(work / "masks" / f"{sha256}.json", Mask(sha256, 16, 16, events))
    _, shots = scan.audit(videos, work, workers=1)
    spec = cache.Spec(16, 16, 8.0)
    cache.build(shots, videos, work, [spec], workers=1)
    [template] = leak.templates(work, work / "masks", config)
    assert (template.row, template.column, *template.gradient.shape) == (8, 7, 2, 6, 7)
    clean = torch.from_numpy(synthetic.video(1, 99, frames=8, height=16, width=16)[0]).permute(0, 3, 1, 2)[None]
    marked = clean.clone()
    marked[..., 9:14, 8:14] = torch.from_numpy(logo).permute(2, 0, 1)
    scores = [leak_score(x.float() / 127.5 - 1, [template]) for x in (clean, marked)]
    assert scores[0] < 0.3
    assert scores[1] > 0.85
    (next((work / "masks").iterdir())).unlink()
    assert leak.templates(work, work / "masks", config) == []


def test_text_is_counted_per_hundred_frames() -> None:
    videos = -torch.ones(4, 60, 3, 4, 4)
    videos[:2] = 1
    assert leak.text_hits(videos, lambda frame: [1, 2] if frame.max() == 255 else []) == pytest.approx(100)
    assert leak.text_hits(videos[:1, :5], lambda frame: [0]) == 100


def test_text_is_counted_by_the_installed_network_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leak, "find_model", lambda: None)
    assert leak.text_finder() is None
    monkeypatch.setattr(leak, "find_model", lambda: Path("det.onnx"))
    boxes = np.zeros((3, 4), np.float32)
    monkeypatch.setattr(leak, "OcrDetector", lambda model: lambda frame, side: boxes)
    find_text = leak.text_finder()
    assert find_text is not None
    assert leak.text_hits(torch.zeros(2, 5, 3, 8, 8), find_text) == 300
