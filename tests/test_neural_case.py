"""The neural half of the data-efficiency instrument: what is chosen never sees what it is measured on."""

import json
from pathlib import Path

import neural_case as case
import neural_learner as learning
import neural_table as table
import pytest
import torch
from torch import Tensor

SMALL = case.Case(partial=16, test=4, budgets={0: case.Budget(2, 2), 8: case.Budget(1, 3)}, batch=2, width=16)


@pytest.fixture
def learner(tmp_path: Path) -> learning.Learner:
    return learning.Learner(SMALL, tmp_path, seed=0)


def scenes(videos: Tensor) -> set[bytes]:
    return {video.numpy().tobytes() for video in videos}


def test_test_videos_partial_videos_and_full_ones_share_no_scene_and_fewer_are_among_more(
    learner: learning.Learner,
) -> None:
    test = case.videos(learning.TEST_WORLD, 0, 16, SMALL)
    assert len(scenes(test)) == 16
    assert not scenes(test) & scenes(learner.full(16))
    starts = [{video[0].numpy().tobytes() for video in part} for part in (learner.full(16), learner.clips)]
    assert not starts[0] & starts[1]
    assert scenes(learner.full(4)) < scenes(learner.full(16))


def test_each_cross_fitted_correction_is_measured_on_the_videos_it_was_learned_without(
    learner: learning.Learner, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[set[bytes]] = []

    def sums(corrected: object, video: Tensor, *, seed: int) -> Tensor:
        measured.append(scenes(video))
        return torch.zeros(2, learning.KNOTS)

    monkeypatch.setattr(learning, "gate_sums", sums)
    learned: list[set[bytes]] = []

    def learn(fold: int, seen: Tensor) -> learning.Correction:
        learned.append(scenes(case.as_float(seen)))
        return lambda y, D_views, sigma: y

    learner.cross_fitted(8, lambda y, sigma: y, learn)
    everything = scenes(case.as_float(learner.full(8)))
    for species in range(4):  # what a scene shows takes turns with its number
        of_species = scenes(case.as_float(learner.full(8)[species::4]))
        assert all(of_species & videos for videos in (*learned, *measured))
    assert len(learned) == len(measured) == 2
    for seen, unseen in zip(learned, measured, strict=True):
        assert not seen & unseen
        assert seen | unseen == everything


def test_how_long_to_train_is_told_by_videos_left_out(
    learner: learning.Learner, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[set[bytes]] = []
    losses = case.losses

    def watched(denoise: learning.Denoise, test: Tensor, *, seed: int) -> Tensor:
        told.append(scenes(test))
        return losses(denoise, test, seed=seed)

    trained: list[set[bytes]] = []
    batches = case.batches
    monkeypatch.setattr(learning, "losses", watched)
    monkeypatch.setattr(
        learning,
        "batches",
        lambda frames, *a, **k: trained.append(scenes(case.as_float(frames))) or batches(frames, *a, **k),
    )
    steps = learner.chosen_steps("x", lambda: learner.net(8, 1), 8, 4, lr=1.0)
    assert 1 <= steps <= 4
    assert told
    assert all(not videos & trained[0] for videos in told)
    assert trained[0] | told[0] == scenes(case.as_float(learner.full(8)))


def test_no_way_spends_more_tokens_than_direct_training() -> None:
    chosen = case.Case()
    a_frame = 1 / chosen.frames
    direct = chosen.direct_steps * chosen.batch
    for budget in chosen.budgets.values():
        views = budget.views * (chosen.batch + 2 * chosen.batch * chosen.window * a_frame)
        assert views + budget.tuning * chosen.batch <= direct + chosen.batch


def test_a_correction_that_is_not_trusted_leaves_the_composition_as_it_is() -> None:
    denoise = learning._corrected(lambda y, sigma: y / 2, lambda y, D, sigma: y, torch.zeros(learning.KNOTS))
    y = torch.randn(2, 3, 3, 4, 4)
    assert torch.equal(denoise(y, torch.tensor([0.1, 2.0])), y / 2)


def test_worth_is_linear_in_ln_n_and_bounded_by_what_was_measured() -> None:
    direct = {2: 4.0, 8: 3.0, 32: 2.0, 128: 2.5}
    assert table.worth(3.0, direct) == pytest.approx(8)
    assert table.worth(2.5, direct) == pytest.approx(16)
    assert table.worth(9.0, direct) == pytest.approx(2)
    assert table.worth(1.0, direct) == pytest.approx(128)


def test_the_table_says_what_its_cells_say(tmp_path: Path) -> None:
    """Direct training has loss 10 - log2 n; the composition is worth 32, and each full video adds two."""
    for seed in (0, 1):
        for way, n in table.cells():
            worth = {table.COMPOSITION: 32.0, table.DIRECT: float(n), table.TUNED: n / 2}.get(way, 32.0 + 2 * n)
            loss = 10 - torch.tensor(max(2.0, worth)).log2().item()
            row = {"losses": [[loss + video + seed] * len(case.SIGMAS) for video in range(5)]}
            table._cell(tmp_path, way, n, seed).write_text(json.dumps(row))
        for way in table.ALONE:
            table._memory(tmp_path, way, seed).write_text("{}")
    result = table.table(tmp_path, [0, 1])
    rows = {(row["way"], row["n"]): row for row in result["rows"]}
    between = {(row["way"], row["n"]): row for row in result["between"]}
    assert between[table.BLEND, "n0"]["factor"]["value"] == pytest.approx(3)
    assert between[table.BLEND, "n0/4"]["n_eq"]["value"] == pytest.approx(32 + 2 * 8)
    assert rows[table.COMPOSITION, 0]["n_eq"]["value"] == pytest.approx(32)
    # Videos and seeds differ in the same way for every cell, so drawing them again in pairs changes nothing.
    assert rows[table.COMPOSITION, 0]["n_eq"]["interval"] == pytest.approx([32, 32])
    assert rows[table.BLEND, 32]["c"]["value"] == pytest.approx(2)
    assert rows[table.BLEND, 32]["factor"]["value"] == pytest.approx(3)
    assert rows[table.BLEND, 128]["over_tuned"]["value"] == pytest.approx(288 / 64)
    kept = [way for way in table.WAYS if way in {table.POOLED, *table.YARDSTICKS}]
    of_few = table.table(tmp_path, [0, 1], kept)
    assert of_few["rows"] == [row for row in result["rows"] if row["way"] in kept]
    assert of_few["between"] == [row for row in result["between"] if row["way"] == table.POOLED]
