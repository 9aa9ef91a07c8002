"""The verbs that record: the hint about keys that ends the live line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from capture.cli.record import _keys
from capture.events import Command
from capture.settings.record_settings import RecordSettings
from capture.triggers.bindings import DEFAULT_HOTKEYS


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
    assert _keys(settings, DEFAULT_HOTKEYS) == with_hotkeys
    assert _keys(settings, {}) == without


def test_the_hint_has_the_keys_that_the_user_set() -> None:
    bindings = {"<f8>": Command.TOGGLE, "<f9>": Command.CLIP}
    settings = RecordSettings(Path("out.mp4"), replay_s=60.0)
    assert _keys(settings, bindings) == "F9 saves a clip, F8 or Ctrl+C stops"
