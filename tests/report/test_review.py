"""The review page asks in order of doubt, and what a person clicks and draws on it arrives in the mask files."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import CHROMIUM, opened
from typer.testing import CliRunner

from vidboot import masks, scan
from vidboot.__main__ import app
from vidboot.data.encode import save_tiny
from vidboot.decisions import FOUND
from vidboot.masks import Event, Mask
from vidboot.report.review import by_doubt, render, write_page
from vidboot.report.strips import Card, Still, chosen_frames
from vidboot.review import write_review
from vidboot.synthetic import FolderSizes, write_folder

EVIL = "</script><script>alert('&\"')</script>.mp4"
SIZES = FolderSizes(clips=0, low_res=0, full=0, subtitled=2, truncated=0, held_out=0, long_frames=120)


def card(name: str = "s", *, video: str = "a.mp4", score: float = 0.5, area: float = 0.1, **fields: Any) -> Card:
    where = {} if "layer" in fields else {"box": (2, 6, 9, 8)}
    event = Event.model_validate(
        {"id": name, "kind": "mark", "first_seconds": 1, "last_seconds": 2, "score": score, **where, **fields}
    )
    stills = [Still("before", None, ""), Still("on", 1.0, "data:image/png;base64,AA")]
    return Card(video, "a" * 64, 12, 10, event, (2, 6, 9, 8), area, stills)


def test_the_most_doubtful_comes_first_and_among_equals_the_largest() -> None:
    asked = [card("sure", score=0.9), card("small", score=0.2, area=0.1), card("large", score=0.2, area=0.5)]
    assert [one.event.id for one in by_doubt(asked)] == ["large", "small", "sure"]


def test_the_page_refers_to_nothing_outside_itself_and_no_name_becomes_an_element() -> None:
    html = render([card(video=EVIL), card(EVIL)], title=EVIL)
    assert not re.search(r"https?:|//[a-z]|url\(|@import|<link|<iframe", re.sub(r"data:[^\"]*", "", html))
    assert "default-src 'none'" in html
    assert html.count("<script") == 3
    assert html.count("</script") == 3
    data = re.findall(r'id="data">(.*?)</script>', html, re.S)
    assert json.loads(data[0])["events"][0]["video"] in (EVIL, "a.mp4")


def test_a_picture_that_events_share_is_in_the_page_once() -> None:
    shared, own = "data:image/png;base64,AA", "data:image/png;base64,BB"
    cards = [replace(card(), stills=[Still("on", 1.0, shared), Still("off", 2.0, url)]) for url in (own, shared)]
    html = render(cards, title="t")
    assert (html.count(shared), html.count(own)) == (1, 1)
    assert html.count('data-picture="') == 4


def test_a_name_that_is_not_utf_8_makes_a_page_too(tmp_path: Path) -> None:
    write_page(tmp_path / "page.html", [card(video="caf\udce9.mp4")], title="\udce9")
    assert "<title>?" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_page_without_events_says_so() -> None:
    assert "nothing to review" in render([], title="none")


def test_a_strip_shows_both_sides_of_an_event_where_there_are_any() -> None:
    pts_seconds = np.arange(20) / 10
    inside = Event(id="e", kind="mark", first_seconds=0.5, last_seconds=1.1, box=(0, 0, 1, 1))
    assert chosen_frames(inside, pts_seconds) == [3, 5, 8, 11, 13]
    assert chosen_frames(inside.model_copy(update={"first_seconds": 0.1}), pts_seconds)[0] == 0
    whole = inside.model_copy(update={"first_seconds": -1, "last_seconds": 9})
    assert chosen_frames(whole, pts_seconds) == [None, 0, 9, 19, None]


def vidboot(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds ``videos`` with subtitles, ``work`` with their masks, and ``page.html``."""
    made = tmp_path_factory.mktemp("review")
    videos, work = made / "videos", made / "work"
    write_folder(videos, SIZES, held_out_path=made / "held_out", work=work, encode=save_tiny, workers=1)
    # One of the events is a layer, as glyphs are.
    path = min((work / "masks").glob("*.json"))
    mask = masks.load(path)
    first = mask.events[0].model_copy(update={"box": None, "layer": 0, "score": 0.1})
    layer = np.zeros((1, 32, 32), bool)
    layer[0, 24:30, 4:28:2] = True
    masks.save(path, Mask(mask.sha256, 32, 32, (first, *mask.events[1:]), layer))
    scan.audit(videos, work, workers=1)
    assert write_review(videos, work, made / "page.html", workers=1)["events"] == len(events_of(work)) > 4
    return made


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy"


def events_of(work: Path) -> dict[tuple[str, str], Event]:
    loaded = [masks.load(path) for path in sorted((work / "masks").glob("*.json"))]
    return {(mask.sha256, event.id): event for mask in loaded for event in mask.events}


def apply(folder: Path, decisions: Path) -> Any:
    return vidboot("mask", folder / "videos", "--work", folder / "work", "--apply", decisions, "--json")


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_what_is_clicked_and_drawn_in_a_browser_is_applied(folder: Path) -> None:
    before = events_of(folder / "work")
    with opened(folder / "profile", folder / "saved") as page:
        page.open(folder / "page.html")
        shown = page.run("events.map((event) => [event.sha256, event.id])")
        assert page.run("document.querySelectorAll('.card .still > img:not(.outline)').length") >= 3 * len(before)
        assert page.run("[...document.images].every((i) => !i.src || i.naturalWidth > 0)")
        assert page.run("document.querySelectorAll('#c0 .outline').length") > 0
        page.drag("#c0 figure:nth-child(3) .still", (0.25, 0.5, 0.75, 0.875))
        page.press("ArrowDown", "r")
        page.click("#c2 [data-do=accepted]")
        # By keyboard alone: the box of the fourth one pixel right and one pixel wider.
        page.press("j", "e", "ArrowRight")
        page.press("ArrowRight", shift=True)
        page.press("Enter", "j", "a", "u")
        assert page.run("document.getElementById('counts').textContent").startswith(
            f"{len(before)} events, {len(before)} shown: {len(before) - 4} open, 1 accepted, 1 rejected, 2 redrawn"
        )
        page.press("f")
        assert page.run("cards.filter((card) => !card.hidden).length") == len(before) - 4
        page.press("s")
        page.until("saved")
        page.open(folder / "page.html")  # and it remembers
        assert page.run("events.filter((event) => event.status !== 'auto').length") == 4
    [saved] = (folder / "saved").iterdir()
    result = apply(folder, saved)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["decisions"] == 4
    after = events_of(folder / "work")
    keys = [tuple(key) for key in shown]
    assert after[keys[0]] == before[keys[0]].model_copy(
        update={"layer": None, "box": (8.0, 16.0, 24.0, 28.0), "status": "edited"}
    )
    assert after[keys[1]].status == "rejected"
    assert after[keys[2]].status == "accepted"
    box = before[keys[3]].box
    assert box is not None
    x0, y0, x1, y1 = box
    moved = min(1, 32 - x1)
    assert after[keys[3]].box == (x0 + moved, y0, min(32, x1 + moved + 1), y1)
    assert {key: after[key] for key in keys[4:]} == {key: before[key] for key in keys[4:]}
    assert apply(folder, saved).exit_code == 0
    assert events_of(folder / "work") == after


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_no_key_decides_on_an_event_that_a_filter_hides(tmp_path: Path) -> None:
    write_page(tmp_path / "page.html", [card("s"), card("t")], title="t")
    with opened(tmp_path / "profile", tmp_path / "saved") as page:
        page.open(tmp_path / "page.html")
        page.press("f", "f")
        assert " 0 shown: 2 open" in page.run("document.getElementById('counts').textContent")
        page.press("a", "r", "e")
        assert page.run("[editor.open, ...events.map((event) => event.status)]") == [False, "auto", "auto"]
        page.press("f", "f", "f", "a")  # all are shown again
        assert page.run("events.map((event) => event.status)") == ["accepted", "auto"]


def decided(work: Path) -> dict[str, Any]:
    """A decisions file that rejects the first event of each mask."""
    of_video = {}
    for (sha256, _), event in events_of(work).items():
        of_video.setdefault(sha256, event)
    seen = {"first_seconds", "last_seconds", "id", "kind"}
    return {
        "schema": 1,
        "decisions": [
            event.model_dump(mode="json", include=seen)
            | {"sha256": sha256, "seen": event.box or (4, 24, 27, 30), "status": "rejected"}
            for sha256, event in of_video.items()
        ],
    }


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda d: d["decisions"][1].update(sha256="f" * 64), "of which"),
        (lambda d: d["decisions"][1].update(first_seconds=70, last_seconds=71), "has no event"),
        (lambda d: d["decisions"][1].update(status="edited", box=[0, 0, 99, 99]), "outside the frame"),
        (lambda d: d.update(schema=2), "is not a decisions file"),
    ],
)
def test_one_wrong_decision_and_nothing_is_written(folder: Path, spoil: Any, words: str) -> None:
    content = decided(folder / "work")
    spoil(content)
    (folder / "d.json").write_text(json.dumps(content))
    files = {path: path.read_bytes() for path in (folder / "work" / "masks").glob("[!.]*")}
    result = apply(folder, folder / "d.json")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("vidboot: ")
    assert words in result.stderr
    assert "d.json" in result.stderr
    assert {path: path.read_bytes() for path in (folder / "work" / "masks").glob("[!.]*")} == files


def test_the_page_shows_what_was_decided_and_asks_of_a_redrawn_event_once(folder: Path) -> None:
    content = decided(folder / "work")
    content["decisions"][0] |= {"status": "edited", "box": [1, 2, 9, 9]}
    (folder / "d.json").write_text(json.dumps(content))
    asked = len(events_of(folder / "work"))
    result = apply(folder, folder / "d.json")
    page = folder / "work" / "review.html"
    made = {"page": str(page), "events": asked, "videos": 2, "unread": {}}
    assert json.loads(result.stdout) == {"decisions": 2, "videos": 2, "changed": 2, "review": made}
    html = page.read_text()
    assert FOUND not in html
    assert sorted(re.findall(r'<article[^>]*data-status="(\w+)"', html)) == sorted(
        ["edited", "rejected"] + ["auto"] * (asked - 2)
    )
