"""How each kind of overlay is drawn: RGBA pictures over frames, with the mask of letters and of everything burnt in."""

from __future__ import annotations

from typing import Any

import numpy as np
from overlay_drawn import VISIBLE, Burnt, BurntEvent, Draw, Drawn, apply
from overlay_fonts import Fonts, load
from overlay_people import PEOPLE, fitted
from PIL import Image, ImageDraw

KINDS = (
    "outline", "box", "shadow", "plain", "yellow", "karaoke", "moving", "fading", *PEOPLE,
    "watermark", "tiled", "logo", "timecode", "bars", "captioned", "coloured", "dusk", "single", "dark",
)  # fmt: skip
MARKS = ("watermark", "tiled", "logo")
BARS = ("bars", "captioned", "coloured", "dusk", "single", "dark")
"""Bars: a black pair, one with captions in it, of any colour, around a dark picture, on one side; none in the dark."""


def burn(
    frames: np.ndarray, fps: float, kind: str, fonts: Fonts, rng: np.random.Generator, alpha: float
) -> Burnt | None:
    """Burn overlays of one kind into a copy of ``frames`` ("clean": none); None if that cannot be done."""
    burnt = Burnt(frames.copy(), [])
    T, H, W, _ = frames.shape
    if kind == "clean":
        return burnt
    if kind in BARS:
        return _bars(burnt, kind, fps, fonts, rng)
    if kind in MARKS or kind == "timecode":
        draw = _mark(kind, W, H, fps, fonts, rng, alpha)
        if draw is not None:
            apply(burnt, kind, 0, T - 1, draw, moving=kind == "timecode")
        return burnt if burnt.events else None
    first = int(rng.integers(0, max(1, round(0.7 * fps))))
    (shortest, longest), most_gap = PEOPLE[kind].timing if kind in PEOPLE else ((1.2, 3.2), 0.9)
    while first < T - round(0.6 * fps):
        last = min(T - 1, first + round(float(rng.uniform(shortest, longest)) * fps))
        how = W, H, last - first + 1, fps, fonts, rng
        drawn = PEOPLE[kind].draw(*how) if kind in PEOPLE else _text(kind, *how)
        if drawn is None:
            return None
        moving = kind in ("moving", "fading") or kind in PEOPLE
        apply(burnt, kind, first, last, drawn[0], moving=moving, text=drawn[1], note=drawn[2])
        first = last + 1 + round(float(rng.uniform(0.0, most_gap)) * fps)
    return burnt if burnt.events else None


def _text(
    kind: str, W: int, H: int, frames: int, fps: float, fonts: Fonts, rng: np.random.Generator
) -> tuple[Draw, str, dict[str, Any]] | None:
    chosen = fonts.draw(rng, int(rng.integers(2, 7)))
    if chosen is None:
        return None
    path, text, script = chosen
    size = max(9, round(min(W, H) * float(rng.uniform(0.045, 0.085))))
    font, text = fitted(path, text, size, W)
    length = font.getlength(text)
    x = (W - length) / 2
    y = H - size * float(rng.uniform(1.7, 3.2)) if rng.random() < 0.7 else float(rng.uniform(0.05, 0.8)) * H
    style = kind if kind in ("outline", "box", "shadow", "plain", "yellow") else "outline"
    base = _line(text, font, x, y, W, H, style, size)
    note = {"font": path.name, "script": script, "size": size}
    if kind == "fading":
        return _fading(base, frames, fps), text, note
    if kind == "karaoke":
        return _karaoke(base, x, length, frames), text, note
    if kind == "moving":
        return _moving(base, W, frames, fps, rng), text, note
    return (lambda k: base), text, note


def _line(text: str, font: Any, x: float, y: float, W: int, H: int, style: str, size: int) -> Drawn:
    letters = Image.new("L", (W, H))
    stroke = max(1, size // 12) if style in ("outline", "yellow") else 0
    ImageDraw.Draw(letters).text((x, y), text, font=font, fill=255, stroke_width=stroke, stroke_fill=255)
    fill = Image.new("L", (W, H))
    ImageDraw.Draw(fill).text((x, y), text, font=font, fill=255)
    ink, inside = (np.asarray(picture, np.float32) / 255 for picture in (letters, fill))
    colour = np.array([1.0, 0.92, 0.1] if style == "yellow" else [0.97, 0.97, 0.97], np.float32)
    rgba = np.zeros((H, W, 4), np.float32)
    if style == "box":
        x0, y0, x1, y1 = letters.getbbox() or (0, 0, 1, 1)
        pad = size // 4
        rgba[max(0, y0 - pad) : y1 + pad, max(0, x0 - pad) : x1 + pad, 3] = 0.6
    if style == "shadow":
        by = max(1, size // 14)
        rgba[..., 3] = 0.7 * np.roll(ink, (by, by), (0, 1))
    dark = np.maximum(rgba[..., 3], ink) if stroke else rgba[..., 3]
    rgba[..., 3] = np.maximum(dark, inside)
    rgba[..., :3] = inside[..., None] * colour
    return Drawn(rgba, (ink > VISIBLE) | (inside > VISIBLE))


def _fading(base: Drawn, frames: int, fps: float) -> Draw:
    ramp = max(2, round(0.5 * fps))

    def draw(k: int) -> Drawn:
        strength = min(1.0, (k + 1) / ramp, (frames - k) / ramp)
        rgba = base.rgba.copy()
        rgba[..., 3] *= strength
        return Drawn(rgba, base.glyph)

    return draw


def _karaoke(base: Drawn, x: float, length: float, frames: int) -> Draw:
    def draw(k: int) -> Drawn:
        edge = int(x + length * (k + 1) / frames)
        rgba = base.rgba.copy()
        sung = rgba[:, :edge]
        sung[..., :3] *= np.array([1.0, 0.35, 0.15], np.float32)
        return Drawn(rgba, base.glyph)

    return draw


def _moving(base: Drawn, W: int, frames: int, fps: float, rng: np.random.Generator) -> Draw:
    speed = float(rng.choice([-1, 1]) * rng.uniform(0.05, 0.25)) * W / fps

    def draw(k: int) -> Drawn:
        by = round(speed * (k - frames / 2))
        return Drawn(_slid(base.rgba, by), _slid(base.glyph, by))

    return draw


def _slid(picture: np.ndarray, by: int) -> np.ndarray:
    moved = np.zeros_like(picture)
    if by >= 0:
        moved[:, by:] = picture[:, : picture.shape[1] - by]
    else:
        moved[:, :by] = picture[:, -by:]
    return moved


def _mark(kind: str, W: int, H: int, fps: float, fonts: Fonts, rng: np.random.Generator, alpha: float) -> Draw | None:
    chosen = fonts.draw(rng, 1, ("latin",))
    if chosen is None:
        return None
    path, word, _ = chosen
    opacity = alpha or float(rng.uniform(0.25, 0.7))
    corner = int(rng.integers(4))
    if kind == "timecode":
        return _timecode(path, W, H, fps, corner)
    size = round(min(W, H) * float(rng.uniform(0.06, 0.11)))
    font = load(path, size)
    word = (word + "VIDEO")[:8].upper()
    letters = Image.new("L", (W, H))
    if kind == "tiled":
        big = Image.new("L", (2 * max(W, H), 2 * max(W, H)))
        pen = ImageDraw.Draw(big)
        for y in range(0, big.size[1], size * 3):
            for x in range(0, big.size[0], round(font.getlength(word) + size * 2)):
                pen.text((x + (y // (size * 3) % 2) * size * 2, y), word, font=font, fill=255)
        turned = big.rotate(30, resample=Image.Resampling.BICUBIC)
        left, top = (big.size[0] - W) // 2, (big.size[1] - H) // 2
        letters = turned.crop((left, top, left + W, top + H))
    else:
        length = font.getlength(word)
        width = length + (size * 1.4 if kind == "logo" else 0)
        x = 0.04 * W if corner % 2 == 0 else 0.96 * W - width
        y = 0.05 * H if corner < 2 else 0.93 * H - size
        if kind == "watermark" and rng.random() < 0.4:
            x, y = (W - width) / 2, (H - size) / 2
        pen = ImageDraw.Draw(letters)
        if kind == "logo":
            pen.ellipse((x, y, x + size * 1.2, y + size * 1.2), fill=255)
            pen.polygon(
                [(x + size * 0.4, y + size * 0.3), (x + size * 0.4, y + size * 0.9), (x + size * 0.9, y + size * 0.6)],
                fill=0,
            )
            x += size * 1.4
        pen.text((x, y), word, font=font, fill=255)
    ink = np.asarray(letters, np.float32) / 255
    rgba = np.ones((H, W, 4), np.float32)
    rgba[..., 3] = ink * opacity
    drawn = Drawn(rgba, ink > 0.5)
    return lambda k: drawn


def _timecode(path: Any, W: int, H: int, fps: float, corner: int) -> Draw:
    size = max(10, round(min(W, H) * 0.06))
    font = load(path, size)
    width = font.getlength("00:00:00:00")
    x = 0.04 * W if corner % 2 == 0 else 0.96 * W - width
    y = 0.05 * H if corner < 2 else 0.92 * H - size

    def draw(k: int) -> Drawn:
        seconds, frame = divmod(k, round(fps))
        return _line(f"00:00:{seconds:02}:{frame:02}", font, x, y, W, H, "outline", size)

    return draw


def _bars(burnt: Burnt, kind: str, fps: float, fonts: Fonts, rng: np.random.Generator) -> Burnt | None:
    T, H, W, _ = burnt.frames.shape
    upright = rng.random() < 0.4
    share = float(rng.uniform(0.04, 0.16))
    width = max(4, round(share * (W if upright else H)))
    if kind in ("dark", "dusk"):
        burnt.frames[:] = (burnt.frames * float(rng.uniform(0.12, 0.4))).astype(np.uint8)
    if kind == "dark":
        return burnt
    sides = [width * upright, width * (not upright)] * 2  # left, top, right, bottom
    if kind == "single":
        sides[2 * int(rng.integers(2)) + (not upright)] = 0
    left, top, right, bottom = sides
    mask = np.ones((1, H, W), bool)
    mask[:, top : H - bottom, left : W - right] = False
    burnt.frames[:, mask[0]] = rng.integers(0, 256, 3) if kind == "coloured" else 0
    burnt.events.append(BurntEvent(kind, 0, T - 1, mask, mask, note={"sides": sides}))
    if kind == "captioned" and not upright:
        size = max(8, round(0.6 * width))
        path, text, script = fonts.draw(rng, 3) or (None, "", "")
        if path is None:
            return None
        for first in range(round(0.3 * fps), T - round(fps), round(1.5 * fps)):
            line = _line(text, load(path, size), 0.2 * W, H - width + 0.1 * width, W, H, "plain", size)
            last = min(T - 1, first + round(fps))
            apply(burnt, kind, first, last, lambda k, line=line: line, moving=False, text=text, note={"script": script})
    return burnt
