"""JSON that every reader takes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from capture.events import EventKind
from capture.strict_json import to_json

BAD = (math.nan, math.inf, -math.inf)


@pytest.mark.parametrize("number", BAD)
@pytest.mark.parametrize("wrap", [lambda it: it, lambda it: [it], lambda it: {"a": ({"b": it}, 1.5, "x", None, True)}])
def test_a_number_that_is_not_finite_becomes_null(number: float, wrap: Any) -> None:
    assert json.loads(to_json(wrap(number)), parse_constant=pytest.fail) == json.loads(json.dumps(wrap(None)))


@pytest.mark.parametrize(
    "value", [{"a": [1, 2.5, None, True, "ü"], EventKind.HOLE: {"b": ()}}, [], "\ud800", 2**70, -0.0, 5e-324]
)
def test_everything_else_is_as_python_writes_it(value: Any) -> None:
    assert to_json(value) == json.dumps(value)
    assert to_json(value, ascii_only=False, indent=2) == json.dumps(value, ensure_ascii=False, indent=2)


def test_default_also_serves_what_is_beside_a_number_that_is_not_finite() -> None:
    assert to_json({"path": Path("a"), "level": math.inf}, default=str) == '{"path": "a", "level": null}'
    assert to_json({EventKind.HOLE: EventKind.MARK, "level": math.nan}) == '{"hole": "mark", "level": null}'
    for value in ({"path": Path("a")}, {"path": Path("a"), "level": math.inf}):
        with pytest.raises(TypeError):
            to_json(value)
