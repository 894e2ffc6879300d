"""The review page: every event of the masks in one self-contained file, most doubtful first.

A person accepts, rejects or redraws each; the page saves that as a decisions file (see `vidboot.decisions`).
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Sequence
from html import escape
from pathlib import Path

from vidboot.decisions import SCHEMA
from vidboot.files import check_writable, write_text
from vidboot.masks import hides
from vidboot.report.review_script import SCRIPT
from vidboot.report.review_style import REVIEW_STYLE
from vidboot.report.strips import Card, Still
from vidboot.report.style import STYLE

KEYS = (
    ("j k", "next, previous"),
    ("a", "accept: it hides what is under it"),
    ("r", "reject: it hides nothing"),
    ("e", "redraw; or drag a box on any picture"),
    ("u", "undo"),
    ("f", "show the next filter"),
    ("s", "save the decisions file"),
)
EDITOR_KEYS = (
    ("drag", "draw"),
    ("arrows", "move"),
    ("shift arrows", "resize"),
    (", .", "other picture"),
    ("enter", "keep"),
    ("esc", "leave"),
)


def write_page(path: Path, cards: Sequence[Card], *, title: str) -> None:
    """Write the page, whole or not at all.

    Raises:
        ValueError: ``path`` cannot be written.
    """
    check_writable(path)
    write_text(path, render(cards, title=title))


def by_doubt(cards: Sequence[Card]) -> list[Card]:
    """Sort so that what a person should see first comes first: the lowest score, among equals the largest area."""
    return sorted(cards, key=lambda card: (card.event.score, -card.area, card.video, card.event.first_seconds))


def render(cards: Sequence[Card], *, title: str) -> str:
    """Return the page as HTML."""
    ordered = by_doubt(cards)
    content = json.dumps({"schema": SCHEMA, "events": [_data(card) for card in ordered]})
    script = SCRIPT.replace("DIGEST", hashlib.sha256(content.encode()).hexdigest()[:16])
    allowed = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{allowed}'"
    pictures = _Pictures()
    body = "\n".join(_card(number, card, pictures) for number, card in enumerate(ordered))
    empty = "" if ordered else '<p class="lead">No event was found: there is nothing to review.</p>'
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}{REVIEW_STYLE}</style>\n</head>\n"
        f"<body>\n{_bar(title, ordered)}\n<main>{empty}\n{body}\n</main>\n{_EDITOR}\n"
        # Within a script element nothing is escaped but its end: no name may write one.
        f'<script type="application/json" id="data">{content.replace("<", chr(92) + "u003c")}</script>\n'
        f'<script type="application/json" id="pictures">{json.dumps(list(pictures))}</script>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


class _Pictures(dict[str, int]):
    """Pictures by their data URL, numbered: events of one time show the same frames, and the page holds each once."""

    def __missing__(self, url: str) -> int:
        return self.setdefault(url, len(self))


def _data(card: Card) -> dict[str, object]:
    """What the script must know of an event, and the decisions file repeats."""
    event = card.event
    return {
        "sha256": card.sha256,
        "id": event.id,
        "kind": event.kind,
        "first_seconds": event.first_seconds,
        "last_seconds": event.last_seconds,
        "seen": card.seen,
        "status": event.status,
        "box": event.box if event.status == "edited" else None,
        "width": card.width,
        "height": card.height,
        "video": card.video,
    }


def _bar(title: str, cards: Sequence[Card]) -> str:
    kinds = sorted({card.event.kind for card in cards})
    options = "".join(f'<option value="{kind}">{kind}</option>' for kind in ("all kinds", *kinds))
    states = "".join(
        f'<option value="{value}">{name}</option>'
        for value, name in (
            ("", "all"),
            ("auto", "open"),
            ("accepted", "accepted"),
            ("rejected", "rejected"),
            ("edited", "redrawn"),
        )
    )
    return (
        f'<header class="top"><h1>{escape(title)}</h1><p id="counts" role="status"></p>'
        f'<label>show <select id="state">{states}</select></label>'
        f'<label class="unlabelled"><select id="kind" aria-label="kind">{options}</select></label>'
        '<label class="unlabelled"><input id="name" type="search" placeholder="file name" aria-label="file name">'
        "</label>"
        '<button id="rest" title="Accepts every open event that is shown">Accept all shown</button>'
        '<button id="save" class="main">Save decisions <kbd>s</kbd></button>'
        f'<details class="keys"><summary>Keys</summary><dl>{_keys(KEYS)}</dl></details></header>'
    )


def _keys(keys: Sequence[tuple[str, str]]) -> str:
    return "".join(
        f"<div><dt>{' '.join(f'<kbd>{escape(key)}</kbd>' for key in names.split())}</dt><dd>{escape(what)}</dd></div>"
        for names, what in keys
    )


def _card(number: int, card: Card, pictures: _Pictures) -> str:
    event = card.event
    stills = "".join(_still(card, still, pictures) for still in card.stills)
    seconds = f"{event.first_seconds:.2f}–{event.last_seconds:.2f} s"
    now = "hides it already" if hides(event) else "hides nothing until accepted"
    return (
        f'<article class="card" id="c{number}" tabindex="-1" data-number="{number}" data-status="{event.status}">'
        f'<h2><span class="kind">{event.kind}</span> <span class="file">{escape(card.video)}</span></h2>'
        f'<p class="facts"><span>{seconds}</span><span>score {event.score:.2f}</span>'
        f"<span>{100 * card.area:.1f} % of the frame</span>"
        f'<span class="undecided">{now}</span><b class="state"></b></p>'
        f'<div class="strip">{stills}</div>'
        '<div class="acts"><button data-do="accepted">Accept <kbd>a</kbd></button>'
        '<button data-do="rejected">Reject <kbd>r</kbd></button>'
        '<button data-do="redraw">Redraw <kbd>e</kbd></button></div></article>'
    )


def _still(card: Card, still: Still, pictures: _Pictures) -> str:
    away = still.label in ("before", "after")
    if not still.url:
        why = {"before": "on from the first frame", "after": "on to the last frame"}.get(still.label, "no picture")
        inner = f"<span>{why}</span>"
    else:
        outline = f'<img class="outline" data-picture="{pictures[card.outline]}" alt="">' if card.outline else ""
        picture = f'<img data-picture="{pictures[still.url]}" alt="{still.label}" draggable="false">'
        inner = f'{picture}{outline}<div class="region"></div>'
    when = "" if still.seconds is None else f"{still.seconds:.2f} s"
    ratio = f"{card.width}/{card.height}"
    kind = " ".join(["still"] + ["away"] * away + ["none"] * (not still.url) + ["layer"] * bool(card.outline))
    return (
        f'<figure><div class="{kind}" style="aspect-ratio:{ratio};--ratio:calc({ratio})">{inner}</div>'
        f"<figcaption>{still.label} <span>{when}</span></figcaption></figure>"
    )


_EDITOR = (
    '<dialog id="editor"><div class="still"><img alt="" draggable="false"><div class="region"></div></div>'
    f'<p><span id="where"></span></p><dl>{_keys(EDITOR_KEYS)}</dl>'
    '<div class="acts"><button data-do="keep" class="main">Keep <kbd>enter</kbd></button>'
    '<button data-do="leave">Leave <kbd>esc</kbd></button></div></dialog>'
)
