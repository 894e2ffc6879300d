"""Captions as people's videos have them: lower thirds, words that pop up or that a plate follows, names in corners."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from overlay_drawn import Draw, Drawn
from overlay_fonts import Fonts, load
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Made = tuple[Draw, str, dict[str, Any]]
"""How it looks in each of its frames, what it says, and what else is true of it."""
WHITE, BLACK = (252, 252, 252), (0, 0, 0)
BRIGHT: Sequence[Colour] = (WHITE, (255, 230, 40), (60, 255, 90))
PLATES: Sequence[tuple[Colour, Colour]] = ((WHITE, (20, 20, 20)), ((220, 40, 60), WHITE), ((20, 20, 20), WHITE))


class Style(NamedTuple):
    """A kind of captions."""

    draw: Callable[[int, int, int, float, Fonts, np.random.Generator], Made | None]
    """(width, height, frames, fps, fonts, rng) -> a caption, or None without a font."""
    timing: tuple[tuple[float, float], float]
    """Shortest and longest one, and the longest gap between two, seconds."""


class Canvas:
    """Draws letters and plates over frames of one size."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height

    def letters(self, text: str, font: Any, x: float, y: float, *, stroke: int = 0) -> np.ndarray:
        """Return the opacity of a line, [H, W]."""
        picture = Image.new("L", (self.width, self.height))
        ImageDraw.Draw(picture).text((x, y), text, font=font, fill=255, stroke_width=stroke, stroke_fill=255)
        return np.asarray(picture, np.float32) / 255

    def plate(self, x0: float, y0: float, x1: float, y1: float, *, radius: int = 0) -> np.ndarray:
        """Return the opacity of a plate, [H, W]."""
        picture = Image.new("L", (self.width, self.height))
        if x1 > x0:
            ImageDraw.Draw(picture).rounded_rectangle((x0, y0, x1, y1), radius=radius, fill=255)
        return np.asarray(picture, np.float32) / 255

    def size(self, rng: np.random.Generator, least: float, most: float) -> int:
        """Draw a size of letters, shares of the shorter side."""
        return max(9, round(min(self.width, self.height) * float(rng.uniform(least, most))))


def over(layers: Sequence[tuple[np.ndarray, Colour]], letters: np.ndarray) -> Drawn:
    """Lay pictures of one colour each over each other, the first lowest; ``letters`` [H, W] are what must be found."""
    opacity = np.zeros_like(letters)
    colours = np.zeros((*letters.shape, 3), np.float32)
    for own, colour in layers:
        both = own + opacity * (1 - own)
        below = (opacity * (1 - own))[..., None] * colours
        colours = (own[..., None] * np.array(colour, np.float32) / 255 + below) / np.maximum(both, 1e-6)[..., None]
        opacity = both
    return Drawn(np.concatenate([colours, opacity[..., None]], -1), letters > 0.1)


def fitted(path: Path, text: str, size: int, width: float) -> tuple[ImageFont.FreeTypeFont, str]:
    """Return the font, and as many words as fit."""
    font = load(path, size)
    while font.getlength(text) > 0.9 * width and " " in text:
        text = text.rsplit(" ", 1)[0]
    while font.getlength(text) > 0.9 * width and len(text) > 2:
        text = text[:-1]
    return font, text


def two_lines(W: int, H: int, frames: int, fps: float, fonts: Fonts, rng: np.random.Generator) -> Made | None:
    """Two or three outlined lines at the foot."""
    canvas, lines, said = Canvas(W, H), int(rng.integers(2, 4)), []
    size = canvas.size(rng, 0.05, 0.075)
    ink = ring = np.zeros((H, W), np.float32)
    for line in range(lines):
        if (chosen := fonts.draw(rng, int(rng.integers(3, 6)), ("latin",))) is None:
            return None
        font, text = fitted(chosen[0], chosen[1], size, W)
        at = (W - font.getlength(text)) / 2, H - size * 1.25 * (lines - line) - 0.04 * H
        ink = np.maximum(ink, canvas.letters(text, font, *at))
        ring = np.maximum(ring, canvas.letters(text, font, *at, stroke=max(1, size // 11)))
        said.append(text)
    drawn = over([(ring, BLACK), (ink, WHITE)], ring)
    return (lambda k: drawn), " / ".join(said), {"size": size}


def short(W: int, H: int, frames: int, fps: float, fonts: Fonts, rng: np.random.Generator) -> Made | None:
    """One to three large words in capitals, in the lower half of the picture, for less than a second."""
    if (chosen := fonts.draw(rng, int(rng.integers(1, 4)), ("latin",))) is None:
        return None
    canvas = Canvas(W, H)
    size = canvas.size(rng, 0.09, 0.13)
    font, text = fitted(chosen[0], chosen[1].upper(), size, W)
    at = (W - font.getlength(text)) / 2, H * float(rng.uniform(0.55, 0.7))
    ring = canvas.letters(text, font, *at, stroke=max(2, size // 8))
    drawn = over([(ring, BLACK), (canvas.letters(text, font, *at), BRIGHT[int(rng.integers(3))])], ring)
    return (lambda k: drawn), text, {"size": size}


def highlighted(W: int, H: int, frames: int, fps: float, fonts: Fonts, rng: np.random.Generator) -> Made | None:
    """A line under whose words a plate hops along as they are said."""
    if (chosen := fonts.draw(rng, 5, ("latin",))) is None:
        return None
    canvas = Canvas(W, H)
    size = canvas.size(rng, 0.055, 0.08)
    font, text = fitted(chosen[0], chosen[1], size, W)
    x, y = (W - font.getlength(text)) / 2, H * float(rng.uniform(0.6, 0.85))
    words, ink = text.split(" "), canvas.letters(text, font, x, y)
    ring = canvas.letters(text, font, x, y, stroke=max(1, size // 10))

    def draw(k: int) -> Drawn:
        said = k * len(words) // frames
        left = x + font.getlength(" ".join([*words[:said], ""]))
        plate = canvas.plate(left - 4, y - 2, left + font.getlength(words[said]) + 4, y + 1.25 * size, radius=size // 4)
        return over([(plate, (150, 60, 230)), (ring, BLACK), (ink, WHITE)], ring)

    return draw, text, {"size": size}


def rounded(W: int, H: int, frames: int, fps: float, fonts: Fonts, rng: np.random.Generator) -> Made | None:
    """Two lines, each on a rounded plate of its own."""
    canvas, (plate_colour, ink_colour) = Canvas(W, H), PLATES[int(rng.integers(3))]
    size, top = canvas.size(rng, 0.05, 0.07), H * float(rng.uniform(0.1, 0.75))
    ink = plates = np.zeros((H, W), np.float32)
    said = []
    for line in range(2):
        if (chosen := fonts.draw(rng, int(rng.integers(2, 5)), ("latin",))) is None:
            return None
        font, text = fitted(chosen[0], chosen[1], size, 0.9 * W)
        length = font.getlength(text)
        x, y = (W - length) / 2, top + 1.55 * size * line
        box = x - 0.4 * size, y - 0.1 * size, x + length + 0.4 * size, y + 1.4 * size
        plates = np.maximum(plates, canvas.plate(*box, radius=size // 3))
        ink = np.maximum(ink, canvas.letters(text, font, x, y))
        said.append(text)
    drawn = over([(plates, plate_colour), (ink, ink_colour)], ink)
    return (lambda k: drawn), " / ".join(said), {"size": size}


def lower_third(W: int, H: int, frames: int, fps: float, fonts: Fonts, rng: np.random.Generator) -> Made | None:
    """A name over a title on a plate that slides in from the left, stands, and slides out again."""
    if (chosen := fonts.draw(rng, 2, ("latin",))) is None:
        return None
    canvas = Canvas(W, H)
    size, ease = canvas.size(rng, 0.05, 0.07), float(rng.uniform(0.25, 0.5)) * fps
    font, name = fitted(chosen[0], chosen[1].title(), size, 0.5 * W)
    small, title = fitted(chosen[0], "Director of the museum", max(8, size * 2 // 3), 0.5 * W)
    wide, top = max(font.getlength(name), small.getlength(title)) + size, H * float(rng.uniform(0.68, 0.8))

    def draw(k: int) -> Drawn:
        x = 0.04 * W - (wide + 0.04 * W) * (1 - min(1.0, (k + 1) / ease, (frames - k) / ease)) ** 2
        plate = 0.85 * canvas.plate(x, top, x + wide, top + 2.3 * size)
        lines = (name, font, top + 0.1 * size), (title, small, top + 1.35 * size)
        ink = np.maximum(*(canvas.letters(text, own, x + 0.5 * size, y) for text, own, y in lines))
        return over([(plate, (20, 60, 150)), (ink, WHITE)], ink)

    return draw, f"{name} / {title}", {"size": size}


def typewriter(W: int, H: int, frames: int, fps: float, fonts: Fonts, rng: np.random.Generator) -> Made | None:
    """Letters that come one after the other."""
    if (chosen := fonts.draw(rng, 4, ("latin",))) is None:
        return None
    canvas = Canvas(W, H)
    size = canvas.size(rng, 0.05, 0.07)
    font, text = fitted(chosen[0], chosen[1], size, W)
    at = (W - font.getlength(text)) / 2, H * float(rng.uniform(0.1, 0.85))

    def draw(k: int) -> Drawn:
        typed = text[: max(1, int(len(text) * (k + 1) / (0.6 * frames)))]
        ring = canvas.letters(typed, font, *at, stroke=max(1, size // 12))
        return over([(ring, BLACK), (canvas.letters(typed, font, *at), WHITE)], ring)

    return draw, text, {"size": size}


def popup(W: int, H: int, frames: int, fps: float, fonts: Fonts, rng: np.random.Generator) -> Made | None:
    """Large words that grow to their size in a quarter of a second, and go at once."""
    if (chosen := fonts.draw(rng, 2, ("latin",))) is None:
        return None
    canvas = Canvas(W, H)
    size, middle = canvas.size(rng, 0.08, 0.12), H * float(rng.uniform(0.3, 0.7))
    _, text = fitted(chosen[0], chosen[1], size, W)

    def draw(k: int) -> Drawn:
        own = max(6, round(size * min(1.0, 0.4 + 0.6 * (k + 1) / (0.25 * fps))))
        font = load(chosen[0], own)
        at = (W - font.getlength(text)) / 2, middle - own / 2
        ring = canvas.letters(text, font, *at, stroke=max(1, own // 9))
        return over([(ring, BLACK), (canvas.letters(text, font, *at), WHITE)], ring)

    return draw, text, {"size": size}


def handle(W: int, H: int, frames: int, fps: float, fonts: Fonts, rng: np.random.Generator) -> Made | None:
    """A name in small letters that shine through a little, now in one corner, now in another."""
    if (chosen := fonts.draw(rng, 1, ("latin",))) is None:
        return None
    canvas, opacity = Canvas(W, H), float(rng.uniform(0.6, 0.9))
    size = canvas.size(rng, 0.035, 0.05)
    font, text = load(chosen[0], size), f"@user{int(rng.integers(100, 999))}_films"
    places = (0.04 * W, 0.3 * H), (0.96 * W - font.getlength(text), 0.75 * H)
    ink = opacity * canvas.letters(text, font, *places[int(rng.integers(2))])
    drawn = over([(0.5 * np.roll(ink, (1, 1), (0, 1)), BLACK), (ink, WHITE)], ink)
    return (lambda k: drawn), text, {"size": size, "opacity": opacity}


PEOPLE = {
    "two_lines": Style(two_lines, ((1.0, 2.5), 0.8)),
    "short": Style(short, ((0.35, 0.8), 0.05)),
    "highlighted": Style(highlighted, ((1.5, 2.5), 0.6)),
    "rounded": Style(rounded, ((1.0, 2.5), 0.8)),
    "lower_third": Style(lower_third, ((2.2, 3.5), 1.0)),
    "typewriter": Style(typewriter, ((2.0, 3.0), 0.6)),
    "popup": Style(popup, ((0.8, 1.6), 0.5)),
    "handle": Style(handle, ((1.6, 2.6), 0.0)),
}
