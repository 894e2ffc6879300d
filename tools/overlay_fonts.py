"""Fonts of the machine by script, and what to write in each; the rest of make_overlays asks for (font, text)."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

WORDS = {
    "latin": "we will never know what happened that night before the storm came over hills and took light away "
    "nobody could Quite Explain How Far The River Had Gone 1984 yes! wait, where are you going?",
    "cyrillic": "мы никогда не узнаем что случилось той ночью пока буря шла над холмами и унесла свет никто не мог "
    "объяснить как далеко ушла река Подожди, куда ты идёшь?",
    "greek": "δεν θα μάθουμε ποτέ τι έγινε εκείνη τη νύχτα πριν έρθει η καταιγίδα πάνω από τους λόφους",
    "arabic": "لن نعرف أبدا ما حدث في تلك الليلة قبل أن تأتي العاصفة فوق التلال وتأخذ الضوء بعيدا",
    "hebrew": "לעולם לא נדע מה קרה באותו לילה לפני שהסערה הגיעה מעל הגבעות ולקחה את האור",
    "han": "我们 永远 不会 知道 那天 晚上 发生 什么 暴风雨 越过 山丘 带走 光明 没有 人能 解释 河流 去了 哪里",
    "kana": "あの夜 何が あった のか 私たちは 決して 知る ことは ない 嵐が 丘を 越えて やって きた まで",
    "hangul": "우리는 그날 밤 무슨 일이 있었는지 결코 알지 못할 것이다 폭풍이 언덕을 넘어 왔다",
}
SPACELESS = ("han", "kana")
TESTED = {script: "".join(sorted(set(words) - {" "}))[-6:] for script, words in WORDS.items()}


def find_fonts(more: Sequence[Path]) -> list[Path]:
    """Return every font file of the system's font folders and of ``more``."""
    home = Path.home()
    folders = [Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), home / ".fonts", home / ".local/share/fonts"]
    folders += [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts"]
    folders += [Path(os.environ.get("WINDIR", "C:/Windows"), "Fonts")] if sys.platform == "win32" else []
    found = {p for folder in [*folders, *more] for end in ("ttf", "otf", "ttc") for p in folder.rglob(f"*.{end}")}
    return sorted(p for p in found if "Math" not in p.stem and "Quran" not in p.stem)


class Fonts:
    """Which fonts write which script, those of one split only where there are two."""

    def __init__(self, paths: Sequence[Path], split: str, say: Callable[[str], None]) -> None:
        self.of: dict[str, list[Path]] = {}
        for script, characters in TESTED.items():
            able = sorted((p for p in paths if _writes(p, characters)), key=lambda p: (p.stem, str(p)))
            own = able if split == "all" or len(able) < 2 else able[split == "final" :: 2]
            if not able:
                say(f"no font writes {script}: it is left out")
            elif len(able) == 1:
                say(f"one font writes {script}, so both splits use it: {able[0].name}")
            if own:
                self.of[script] = own

    def draw(self, rng: np.random.Generator, words: int, scripts: Sequence[str] = ()) -> tuple[Path, str, str] | None:
        """Return (font, text, script), or None if no font writes any of ``scripts`` (default all)."""
        there = [s for s in (scripts or tuple(WORDS)) if s in self.of]
        if not there:
            return None
        # Latin is what most videos carry: half of the lines.
        script = "latin" if "latin" in there and rng.random() < 0.4 else there[rng.integers(len(there))]
        font = self.of[script][rng.integers(len(self.of[script]))]
        vocabulary = WORDS[script].split()
        first = int(rng.integers(len(vocabulary)))
        chosen = [vocabulary[(first + k) % len(vocabulary)] for k in range(words)]
        return font, ("" if script in SPACELESS else " ").join(chosen), script


def load(path: Path, size: int) -> ImageFont.FreeTypeFont:
    """Return a font at a size in pixels."""
    return ImageFont.truetype(str(path), size)


def _writes(path: Path, characters: str) -> bool:
    try:
        font = load(path, 24)
    except OSError:
        return False
    missing = _picture(font, "\U0010fffe")
    return all(_picture(font, c) not in (missing, bytes(48 * 48)) for c in characters)


def _picture(font: ImageFont.FreeTypeFont, character: str) -> bytes:
    picture = Image.new("L", (48, 48))
    ImageDraw.Draw(picture).text((8, 4), character, font=font, fill=255)
    return picture.tobytes()
