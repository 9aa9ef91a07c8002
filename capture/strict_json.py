"""Writes JSON that every reader takes: a number that is not finite becomes null.

Python would write `NaN` and `Infinity`, which are no JSON: most other readers refuse the whole text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

__all__ = ["to_json"]


def to_json(
    value: Any, *, ascii_only: bool = True, indent: int | None = None, default: Callable[[Any], Any] | None = None
) -> str:
    """Return `value` as JSON, numbers that are not finite as null.

    Without `ascii_only`, characters beyond ASCII stay as they are. `default` turns what JSON does not know into what it
    does. Raises `TypeError` for anything else that JSON does not know.
    """
    try:
        return json.dumps(value, allow_nan=False, ensure_ascii=ascii_only, indent=indent, default=default)
    except ValueError:
        finite = _finite(value, default)
        return json.dumps(finite, allow_nan=False, ensure_ascii=ascii_only, indent=indent)


def _finite(value: Any, default: Callable[[Any], Any] | None) -> Any:
    """Return `value` in JSON's own types, with None for every number that is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, dict):
        return {key: _finite(item, default) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item, default) for item in value]
    if default is None:
        raise TypeError(f"{type(value).__name__} is no JSON")
    return _finite(default(value), default)
