"""The verbs that record: the hint about keys that ends the live line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from capture.cli.record import _keys
from capture.settings import RecordSettings


@pytest.mark.parametrize(
    ("values", "with_hotkeys", "without"),
    [
        ({}, "Ctrl+Alt+R or Ctrl+C stops", "Ctrl+C stops"),
        ({"hold": "<f9>"}, "Ctrl+Alt+R or Ctrl+C stops", "Ctrl+C stops"),
        ({"replay_s": 60.0}, "Ctrl+Alt+C saves a clip, Ctrl+Alt+R or Ctrl+C stops", "Ctrl+C stops"),
        ({"standby": True}, "Ctrl+Alt+R records, Ctrl+C quits", "Ctrl+C quits"),
        (
            {"standby": True, "hold": "<ctrl>+<alt>+space"},
            "hold Ctrl+Alt+Space to record, Ctrl+C quits",
            "hold Ctrl+Alt+Space to record, Ctrl+C quits",
        ),
        (
            {"standby": True, "replay_s": 60.0},
            "Ctrl+Alt+C saves a clip, Ctrl+Alt+R records, Ctrl+C quits",
            "Ctrl+C quits",
        ),
    ],
)
def test_the_hint_names_the_keys_that_work(values: dict[str, Any], with_hotkeys: str, without: str) -> None:
    settings = RecordSettings(Path("out.mp4"), **values)
    assert _keys(settings, hotkeys=True) == with_hotkeys
    assert _keys(settings, hotkeys=False) == without
