"""What is found now joins what was found, and decided, before; and what the folder says joins what one video does."""

from typing import Any

import numpy as np
import pytest

from vidboot import masks
from vidboot.boxes import around
from vidboot.corruption.found import Found
from vidboot.data.records import FileRecord
from vidboot.detections import Detected
from vidboot.mask_merge import all_found, merged

RECORD = FileRecord(path="a.mp4", status="usable", sha256="c" * 64, width=40, height=30)


def line(first: float, last: float, x: float = 4) -> Found:
    return Found(kind="subtitle", first_seconds=first, last_seconds=last, box=(x, 20, x + 20, 26))


def test_events_have_the_same_names_when_others_come_and_go() -> None:
    few = merged(RECORD, [line(3, 5)], None, ("subtitle",))
    more = merged(RECORD, [line(0, 1), line(3, 5), line(3, 5, x=5)], None, ("subtitle",))
    assert {event.id for event in few.events} < {event.id for event in more.events}
    assert len({event.id for event in more.events}) == 3


@pytest.mark.parametrize("status", ["accepted", "rejected", "edited"])
def test_what_a_person_decided_is_neither_lost_nor_found_twice(status: str) -> None:
    before = merged(RECORD, [line(0, 2), line(5, 6)], None, ("subtitle",))
    decided = before.events[0].model_copy(update={"status": status})
    kept = masks.Mask(RECORD.sha256, 40, 30, (decided, before.events[1]))
    # It is found again a little off, the other one not at all, and a new one comes.
    after = merged(RECORD, [line(0.1, 2.1, x=5), line(8, 9)], kept, ("subtitle",))
    assert after.events[0] == decided
    assert [(e.first_seconds, e.status) for e in after.events[1:]] == [(8, "auto")]


def test_an_event_beside_a_decided_one_stays_while_its_kind_is_not_looked_for() -> None:
    before = merged(RECORD, [line(0, 2), line(0, 2, x=6)], None, ("subtitle",))
    accepted = before.events[1].model_copy(update={"status": "accepted"})
    decided = masks.Mask(before.sha256, before.width, before.height, (before.events[0], accepted))
    again = merged(RECORD, [], decided, ("bar",))
    assert {event.id: event.status for event in again.events} == {e.id: e.status for e in decided.events}


def test_kinds_that_were_not_looked_for_stay() -> None:
    before = merged(RECORD, [line(0, 2)], None, ("subtitle",))
    layer = np.zeros((30, 40), bool)
    layer[2:5, 3:9] = True
    mark = Found(kind="mark", first_seconds=0, last_seconds=9, box=around(layer), layer=layer)
    after = merged(RECORD, [mark], before, ("mark",))
    assert {event.kind for event in after.events} == {"subtitle", "mark"}
    np.testing.assert_array_equal(after.layers[0], layer)


def test_a_surer_mark_stays_beside_a_doubtful_one_of_the_folder_and_a_surer_one_replaces_it() -> None:
    logo, room = np.zeros((90, 160), bool), np.zeros((90, 160), bool)
    logo[5:20, 5:40], room[:60] = True, True
    file = FileRecord(path="a", status="usable", frames=10, width=160, height=90, fps=10.0, sha256="a" * 64)
    own = Found(kind="mark", first_seconds=0, last_seconds=1, box=around(logo), layer=logo, score=0.6)
    seconds = np.arange(10) / 10
    for by_itself, across, scores in (
        ((own,), [(room, 0.4)], [0.4, 0.6]),
        ((), [(logo, 0.8), (room, 0.4)], [0.4, 0.8]),
        ((own,), [(logo, 0.8)], [0.8]),
    ):
        detected = Detected(found=by_itself, static=None)
        found = all_found(file, seconds, detected, across, ("mark",))
        assert sorted(one.score for one in found) == scores


def test_text_that_is_letters_of_a_sure_mark_of_the_folder_is_hidden_with_the_mark_alone() -> None:
    mark = np.zeros((90, 160), bool)
    mark[20:50:8] = True  # of a box around its letters much is the scene
    file = FileRecord(path="a", status="usable", frames=10, width=160, height=90, fps=10.0, sha256="a" * 64)
    box, strokes = (20.0, 20.0, 80.0, 50.0), mark[20:50, 20:80]
    how: dict[str, Any] = {"kind": "subtitle", "first_seconds": 0.0, "last_seconds": 1.0, "box": box, "score": 0.9}
    caption = np.zeros_like(strokes)
    caption[:, ::2] = True
    moves = Found(**how)
    lines = Found(**how, strokes=strokes), Found(**how, strokes=caption | strokes), moves
    detected = Detected(lines, static=None)
    seconds, kinds = np.arange(10) / 10, ("subtitle", "mark")

    def left(score: float, pixels: np.ndarray) -> list[int]:
        found = all_found(file, seconds, detected, [(pixels, score)], kinds)
        return [k for k, line in enumerate(lines) if any(one is line for one in found)]

    assert left(0.9, mark) == [1, 2]
    assert left(0.4, mark) == [0, 1, 2]
    assert left(0.9, np.roll(mark, 40, 0)) == [0, 1, 2]
