"""A recorder says which of its hotkeys work, by the names that the user gave them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import RunCapture, StartCapture
from stage import press

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

from capture.cli.record import _keys
from capture.events import Command
from capture.settings.record_settings import RecordSettings
from capture.triggers.bindings import DEFAULT_HOTKEYS
from capture.triggers.hotkeys import Hotkeys

RECORD = ("record", "out.wav", "--duration", "0.3s", "--json")
OWN_KEYS = {"<ctrl>+<shift>+F10": Command.TOGGLE, "<f7>": Command.CLIP}


@pytest.mark.parametrize(
    ("bindings", "more", "said"),
    [
        (DEFAULT_HOTKEYS, {}, "Ctrl+Alt+R or Ctrl+C stops"),
        (DEFAULT_HOTKEYS, {"standby": True}, "Ctrl+Alt+R records, Ctrl+C quits"),
        (DEFAULT_HOTKEYS, {"replay_s": 9.0}, "Ctrl+Alt+C saves a clip, Ctrl+Alt+R or Ctrl+C stops"),
        (OWN_KEYS, {}, "Ctrl+Shift+F10 or Ctrl+C stops"),
        (OWN_KEYS, {"standby": True, "replay_s": 9.0}, "F7 saves a clip, Ctrl+Shift+F10 records, Ctrl+C quits"),
        ({"<f7>": Command.CLIP}, {"replay_s": 9.0}, "F7 saves a clip, Ctrl+C stops"),
        ({}, {"standby": True, "replay_s": 9.0}, "Ctrl+C quits"),
        ({}, {}, "Ctrl+C stops"),
    ],
)
def test_the_live_line_has_the_keys_that_the_user_set(
    bindings: Mapping[str, Command], more: dict[str, Any], said: str
) -> None:
    settings = RecordSettings(Path("out.mp4"), **more)
    assert _keys(settings, Hotkeys(bindings)) == said


@contextmanager
def another_program(*keys: str) -> Iterator[None]:
    """A program on the desk that has these keys."""
    hotkeys = Hotkeys(dict.fromkeys(keys, Command.STATUS))
    hotkeys.start(lambda command, given_by, **more: None)
    try:
        yield
    finally:
        hotkeys.stop()


def events_of(done: subprocess.CompletedProcess[str]) -> list[tuple[str, str]]:
    assert done.returncode == 0, done.stderr
    events = json.loads(done.stdout)["events"]
    return [(event["kind"], event["detail"]) for event in events if "hotkeys" in event["kind"]]


@pytest.mark.usefixtures("in_process_desk")
@pytest.mark.parametrize(
    ("taken", "kind", "detail"),
    [
        ("<ctrl>+<alt>+m", "hotkeys", "another program uses Ctrl+Alt+M: choose other keys with capture config"),
        ("<ctrl>+<alt>+r", "no_hotkeys", "another program uses Ctrl+Alt+R: choose other keys with capture config"),
    ],
)
def test_a_key_of_another_program_is_an_event(taken: str, kind: str, detail: str, run_capture: RunCapture) -> None:
    with another_program(taken):
        done = run_capture(*RECORD)
    assert events_of(done) == [(kind, detail)]
    assert detail in done.stderr


@pytest.mark.usefixtures("in_process_desk")
def test_a_recorder_whose_keys_are_all_taken_records_without(run_capture: RunCapture) -> None:
    with another_program(*DEFAULT_HOTKEYS):
        [(kind, detail)] = events_of(run_capture(*RECORD))
    assert kind == "no_hotkeys"
    assert detail.startswith("another program uses Ctrl+Alt+R, Ctrl+Alt+P, ")
    assert detail.endswith(": stop with Ctrl+C, or choose other keys with capture config")


def test_a_recorder_with_its_keys_says_nothing(run_capture: RunCapture) -> None:
    assert events_of(run_capture(*RECORD)) == []
    assert events_of(run_capture(*RECORD, "--no-hotkeys", "--overwrite")) == []


def test_a_key_that_the_user_set_ends_the_recording(
    run_capture: RunCapture, start_capture: StartCapture, capture_environment: dict[str, str], tmp_path: Path
) -> None:
    assert run_capture("config", "hotkeys.record", "<ctrl>+<shift>+F10").returncode == 0
    with start_capture("record", "out.wav", "--json") as recorder:
        recorder.until_recording(tmp_path / "out.wav")

        def ends() -> bool:
            press(capture_environment, "ctrl+shift+F10")
            return recorder.process.poll() is not None

        recorder.until(ends, "the key ended it")
        assert recorder.summary()["stopped_by"] == "hotkey"
