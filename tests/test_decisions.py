"""What a person decided stays decided: whatever is applied twice, found again, or named anew."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidboot import decisions, visibility
from vidboot.decisions import FOUND, Decision, applied, merge
from vidboot.masks import Event, Mask

SHA = "a" * 64


def event(name: str = "s", **fields: Any) -> Event:
    where = {} if "layer" in fields else {"box": (20, 60, 90, 80)}
    return Event.model_validate(
        {"id": name, "kind": "subtitle", "first_seconds": 1, "last_seconds": 3, **where, **fields}
    )


def mask(*events: Event, layers: np.ndarray | None = None) -> Mask:
    return Mask(SHA, 120, 100, events, np.zeros((0, 0, 0), bool) if layers is None else layers)


def decision(name: str = "s", status: str = "accepted", **fields: Any) -> Decision:
    seen = {"kind": "subtitle", "first_seconds": 1, "last_seconds": 3, "seen": (20, 60, 90, 80)}
    return Decision.model_validate({"sha256": SHA, "id": name, **seen, "status": status, **fields})


def status_of(mask: Mask) -> dict[str, str]:
    return {event.id: event.status for event in mask.events}


@pytest.mark.parametrize("status", ["accepted", "rejected"])
def test_a_decision_sets_the_status_of_its_event_and_of_no_other(status: str) -> None:
    before = mask(event("s"), event("t", first_seconds=5, last_seconds=6))
    after = applied(before, [decision("s", status)])
    assert status_of(after) == {"s": status, "t": "auto"}
    assert [e.box for e in after.events] == [e.box for e in before.events]


def test_a_redrawn_event_hides_its_new_box_and_no_longer_what_was_found() -> None:
    layer = np.zeros((1, 100, 120), bool)
    layer[0, 60:80, 20:90] = True
    after = applied(mask(event(layer=0), layers=layer), [decision(status="edited", box=(0, 0, 10, 5))])
    hidden = visibility.visible(after, [2.0], (0, 0, 120, 100), 100, 120, dilation=0)[0] == 0
    expected = np.zeros((100, 120), bool)
    expected[:5, :10] = True
    np.testing.assert_array_equal(hidden, expected)
    assert status_of(after) == {"s": "edited", "s" + FOUND: "rejected"}


@pytest.mark.parametrize("status", ["auto", "accepted", "rejected"])
def test_taking_a_redrawing_back_restores_what_was_found(status: str) -> None:
    before = mask(event())
    redrawn = applied(before, [decision(status="edited", box=(0, 0, 10, 5))])
    assert applied(redrawn, [decision(status=status)]) == applied(before, [decision(status=status)])


def test_applying_twice_is_applying_once() -> None:
    before = mask(event("s"), event("t", box=(0, 0, 30, 20)), event("u", first_seconds=5, last_seconds=6))
    both = [
        decision("s", "edited", box=(1, 2, 3, 4)),
        decision("t", "edited", seen=(0, 0, 30, 20), box=(5, 6, 7, 8)),
        decision("u", "rejected", first_seconds=5, last_seconds=6),
    ]
    once = applied(before, both)
    assert applied(once, both) == once
    assert once != before


@pytest.mark.parametrize(
    ("change", "known"),
    [
        ({}, True),
        ({"first_seconds": 1.2, "last_seconds": 3.2, "box": (24, 61, 93, 81)}, True),
        ({"first_seconds": 2.5, "last_seconds": 4.5}, False),
        ({"last_seconds": 9}, False),
        ({"box": (60, 60, 120, 80)}, False),
        ({"box": (20, 60, 90, 100)}, False),
        ({"kind": "mark"}, False),
    ],
)
@pytest.mark.parametrize("status", ["accepted", "rejected"])
def test_an_event_found_again_is_known_by_kind_time_and_place(status: str, change: dict[str, Any], known: bool) -> None:
    merged = merge(mask(event("new", **change)), mask(event("old", status=status)))
    assert status_of(merged) == ({"old": status} if known else {"old": status, "new": "auto"})


def test_a_redrawn_event_is_known_by_what_had_been_found() -> None:
    decided = applied(mask(event()), [decision(status="edited", box=(100, 0, 110, 5))])
    assert merge(mask(event("other")), decided) == decided


def test_undecided_events_of_before_are_forgotten_and_decided_ones_stay_though_not_found() -> None:
    merged = merge(mask(), mask(event("a"), event("b", status="accepted"), event("c", status="rejected")))
    assert status_of(merged) == {"b": "accepted", "c": "rejected"}


def test_an_id_that_a_decided_event_has_is_not_given_again() -> None:
    later = {"first_seconds": 7, "last_seconds": 8}
    found = mask(event("s", **later), event("s.2", first_seconds=10, last_seconds=11))
    merged = merge(found, mask(event("s", status="accepted")))
    assert status_of(merged) == {"s": "accepted", "s.3": "auto", "s.2": "auto"}
    assert merge(found, merged) == merged


def test_one_decision_stands_for_one_event_found_and_it_is_the_likest() -> None:
    near, nearer = event("near", last_seconds=3.9), event("nearer", last_seconds=3.1)
    merged = merge(mask(near, nearer), mask(event("old", status="rejected")))
    assert status_of(merged) == {"old": "rejected", "near": "auto"}


def test_only_events_that_meet_in_time_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    overlap = decisions.overlap
    compared: list[tuple[float, float]] = []

    def noted(a: decisions.Seen, b: decisions.Seen) -> float:
        compared.append((a.first_seconds, b.first_seconds))
        return overlap(a, b)

    monkeypatch.setattr(decisions, "overlap", noted)
    lines = [event(str(i), first_seconds=i, last_seconds=i + 0.5) for i in range(30)]
    kept = [line.model_copy(update={"id": f"old {line.id}", "status": "rejected"}) for line in lines]
    assert status_of(merge(mask(*lines), mask(*kept))) == {line.id: "rejected" for line in kept}
    assert compared == [(i, i) for i in range(30)]


def test_layers_follow_their_events_through_a_merge() -> None:
    rng = np.random.default_rng(0)
    a, b, c = rng.random((3, 100, 120)) < 0.01
    b[50:] = False
    c[:60] = False
    decided = mask(event("x", layer=0), event("kept", layer=1, status="rejected", kind="mark"), layers=np.stack([a, b]))
    found = mask(event("new", layer=1), event("twin", layer=1, kind="other"), layers=np.stack([a, c]))
    merged = merge(found, decided)
    layer_of = {e.id: merged.layers[e.layer] for e in merged.events if e.layer is not None}
    for name, layer in {"kept": b, "new": c, "twin": c}.items():
        np.testing.assert_array_equal(layer_of[name], layer)
    assert len(merged.layers) == 2


def test_masks_of_two_videos_are_not_merged() -> None:
    with pytest.raises(ValueError, match="different videos"):
        merge(mask(), Mask("b" * 64, 120, 100))


def test_a_decision_finds_an_event_that_was_named_anew_and_not_another_of_its_name() -> None:
    after = applied(mask(event("s", first_seconds=8, last_seconds=9), event("t")), [decision("s", "rejected")])
    assert status_of(after) == {"s": "auto", "t": "rejected"}


@pytest.mark.parametrize(
    "asked", [decision(first_seconds=8, last_seconds=9), decision(seen=(0, 0, 9, 9)), decision("s" + FOUND, kind="bar")]
)
def test_a_decision_on_what_is_not_there_is_refused(asked: Decision) -> None:
    with pytest.raises(ValueError, match="has no event"):
        applied(mask(event()), [asked])


CONTENT = {"schema": 1, "decisions": [decision().model_dump(mode="json")]}


def changed(**fields: Any) -> str:
    return json.dumps({"schema": 1, "decisions": [CONTENT["decisions"][0] | fields]})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not a decisions file"),
        (json.dumps(CONTENT)[:-30], "is not a decisions file"),
        (json.dumps(CONTENT | {"schema": 2}), "schema: Input should be 1"),
        (json.dumps({"decisions": []}), "schema: Field required"),
        ("[]", "is not a decisions file"),
        (changed(status="maybe"), "decisions.0.status"),
        (changed(status="edited"), "has a box if it is 'edited'"),
        (changed(box=[0, 0, 1, 1]), "has a box if it is 'edited'"),
        (changed(colour=1), "Extra inputs"),
        (changed(sha256="x"), "decisions.0.sha256"),
        (json.dumps({"schema": 1, "decisions": CONTENT["decisions"] * 2}), "decides twice on event 's'"),
    ],
)
def test_what_is_not_a_decisions_file_is_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "d.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"d\.json") as caught:
        decisions.read(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="there is no decisions file"):
        decisions.read(tmp_path / "none.json")
