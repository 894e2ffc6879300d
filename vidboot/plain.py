"""Results as JSON can hold them, which knows no number that is none."""

import math
from typing import Any


def plain(value: Any) -> Any:
    """Return dicts, lists and numbers with None for what is not finite."""
    if isinstance(value, dict):
        return {key: plain(of) for key, of in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(of) for of in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
