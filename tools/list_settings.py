"""Write docs/settings.md: every setting of a run, what it means, and what each preset makes of it.

python tools/list_settings.py > docs/settings.md
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from vidboot.config import Config, read

PRESETS = ("smoke", "tiny", "real", "base")
HEAD = """# Settings

Every setting of `--config FILE.toml` and `--set NAME=value`, with what each preset sets. Made of the code by
`tools/list_settings.py`.
"""


def settings(model: type[BaseModel], name: str = "") -> Iterator[tuple[str, str]]:
    """Yield the name of each setting and its meaning; of a pair, like height and width, the second one's is both's."""
    waiting: list[str] = []
    for key, field in model.model_fields.items():
        dotted = f"{name}.{key}".lstrip(".")
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from settings(field.annotation, dotted)
            continue
        waiting.append(dotted)
        if field.description:
            yield from ((one, " ".join(field.description.split())) for one in waiting)
            waiting = []
    yield from ((one, "") for one in waiting)


def value(config: BaseModel, name: str) -> Any:
    """Return the value of a dotted name."""
    for part in name.split("."):
        config = getattr(config, part)
    return config


def table() -> str:
    """Return the page."""
    presets = [read(preset=preset) for preset in PRESETS]
    rows = [f"| setting | {' | '.join(PRESETS)} | |", "|---" * (len(PRESETS) + 2) + "|"]
    for name, meaning in settings(Config):
        values = " | ".join(_written(value(preset, name)) for preset in presets)
        rows.append(f"| `{name}` | {values} | {meaning} |")
    return "\n".join([HEAD, *rows]) + "\n"


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"{len(value)} of {', '.join(dict.fromkeys(map(str, value)))}"
    return f"{value:g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    print(table(), end="")
