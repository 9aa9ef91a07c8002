"""The keys that are named to the user: in the hint that ends the live line, and in the help."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from capture.cli.parser import parse
from capture.cli.record import _keys
from capture.config import settings_file
from capture.events import Command
from capture.settings.record_settings import RecordSettings
from capture.triggers.hotkeys import DEFAULT_HOTKEYS, Hotkeys


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
    assert _keys(settings, Hotkeys(DEFAULT_HOTKEYS, settings.hold)) == with_hotkeys
    assert _keys(settings, Hotkeys({}, settings.hold)) == without


def test_the_hint_has_the_keys_that_the_user_set() -> None:
    bindings = {"<f8>": Command.TOGGLE, "<f9>": Command.CLIP}
    settings = RecordSettings(Path("out.mp4"), replay_s=60.0)
    assert _keys(settings, Hotkeys(bindings)) == "F9 saves a clip, F8 or Ctrl+C stops"


def test_on_wayland_no_key_is_promised_before_the_desktop_gives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    settings = RecordSettings(Path("out.mp4"), standby=True, hold="<f9>")
    assert _keys(settings, Hotkeys(DEFAULT_HOTKEYS, "<f9>")) == "Ctrl+C quits"


@pytest.mark.parametrize(
    ("file", "keys"),
    [
        (None, {"record": "Ctrl+Alt+R", "mark": "Ctrl+Alt+M", "clip": "Ctrl+Alt+C", "pause": "Ctrl+Alt+P"}),
        (
            'record = "<f9>"\nmark = "<ctrl>+%"\nclip = ""\npause = "<ctrl>+{"',
            {"record": "F9", "mark": "Ctrl+%", "clip": "the key hotkeys.clip (not set)", "pause": "Ctrl+{"},
        ),
        # The defaults; the verb itself reports the mistake.
        (
            'toggle = "<f9>"',
            {"record": "F9", "mark": "Ctrl+Alt+M", "clip": "Ctrl+Alt+C", "pause": "Ctrl+Alt+P"},
        ),
        ("record = 5", {"record": "Ctrl+Alt+R", "mark": "Ctrl+Alt+M", "clip": "Ctrl+Alt+C", "pause": "Ctrl+Alt+P"}),
    ],
)
def test_the_help_names_the_keys_that_are_set(
    file: str | None, keys: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings_file, "settings_path", lambda: tmp_path / "settings.toml")
    if file is not None:
        (tmp_path / "settings.toml").write_text(f"[hotkeys]\n{file}\n")

    def help_of(*verb: str) -> str:
        shown = StringIO()
        with redirect_stdout(shown), pytest.raises(SystemExit):
            parse([*verb, "--help"])
        return " ".join(shown.getvalue().split())

    assert f"until Ctrl+C, {keys['record']} or --duration" in help_of("record")
    assert f"{keys['record']} starts and stops, {keys['pause']} pauses" in help_of("record")
    assert f"{keys['mark']} adds a chapter mark, {keys['clip']} saves a clip;" in help_of("note")
    assert f"memory. {keys['clip']}, or capture clip" in help_of("replay")
    assert f"as {keys['record']} does" in help_of("toggle")
    assert f"start or stop a recording, as {keys['record']} does" in help_of()
    assert f"as {keys['pause']} does" in help_of("pause")


@pytest.mark.parametrize(
    ("content", "key"),
    [
        (b'\xef\xbb\xbf[hotkeys]\nrecord = "<f9>"\n', "F9"),
        (b"a = " + b"[" * 100_000, "Ctrl+Alt+R"),
        (None, "Ctrl+Alt+R"),
    ],
    ids=["with a byte order mark", "nested too deeply", "a pipe"],
)
def test_the_help_never_waits_for_the_settings(
    content: bytes | None, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "settings.toml"
    monkeypatch.setattr(settings_file, "settings_path", lambda: path)
    if content is not None:
        path.write_bytes(content)
    elif sys.platform != "win32":
        os.mkfifo(path)
    assert settings_file.keys_at_a_glance()["record"] == key
