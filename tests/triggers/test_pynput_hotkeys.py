"""Hotkeys on Windows and macOS: keys from pynput have their names, and pynput's failures are reported. With doubles."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from key_presses import Heard

from capture.errors import NotReadyError
from capture.events import Command
from capture.triggers.bindings import ALT_GR, MODIFIERS, NAMED_KEYS, KeyEvent, Matcher
from capture.triggers.pynput_hotkeys import PynputHotkeys, _event_of, _names_of

#: The names in pynput's `Key`, as of 1.8.
NAMES = (
    *("alt", "alt_l", "alt_r", "alt_gr", "backspace", "caps_lock", "cmd", "cmd_l", "cmd_r", "ctrl", "ctrl_l", "ctrl_r"),
    *("delete", "down", "end", "enter", "esc", "home", "insert", "left", "menu", "num_lock", "page_down", "page_up"),
    *("pause", "print_screen", "right", "scroll_lock", "shift", "shift_l", "shift_r", "space", "tab", "up"),
    *("media_next", "media_play_pause", "media_previous", "media_stop"),
    *("media_volume_down", "media_volume_mute", "media_volume_up"),
    *(f"f{number}" for number in range(1, 21)),
)


def code(vk: int | None, char: str | None = None) -> Any:
    return SimpleNamespace(vk=vk, char=char)


def named(name: str, vk: int = 1) -> Any:
    return SimpleNamespace(name=name, value=code(vk))


def same(key: Any) -> Any:
    return key


@pytest.mark.parametrize("name", NAMES)
def test_bindings_use_pynputs_names_of_keys(name: str) -> None:
    found = _names_of(named(name, 17), same)
    assert found[0] in NAMED_KEYS or found[0] in MODIFIERS or found[0] == ALT_GR
    assert found[1] == "<17>"
    if name.endswith(("_l", "_r")):
        assert found[0] == name[:-2]


def test_keys_are_named_by_what_they_type_and_by_their_code() -> None:
    assert _names_of(code(82, "R"), same) == ("r", "<82>")
    assert _names_of(code(65), same) == ("<65>",)


def test_a_key_is_named_by_what_it_types_without_modifiers() -> None:
    listener = SimpleNamespace(canonical=lambda key: code(None, "r"))
    assert _event_of(listener, code(82, "\x12")) == KeyEvent(82, ("r", "<82>"), None)
    assert _event_of(listener, None) is None


class Listener(threading.Thread):
    """pynput's listener as far as it is used here. `presses` and `releases` arrive at once."""

    presses: tuple[Any, ...] = ()
    releases: tuple[Any, ...] = ()
    failure: Exception | None = None

    def __init__(self, on_press: Callable[[Any], None], on_release: Callable[[Any], None]) -> None:
        super().__init__(daemon=True)
        self._on_press, self._on_release = on_press, on_release
        self._ready, self._ended = threading.Event(), threading.Event()

    def run(self) -> None:
        if self.failure is not None:
            raise self.failure
        self._mark_ready()
        for key in self.presses:
            self._on_press(key)
        for key in self.releases:
            self._on_release(key)
        self._ended.wait()

    def canonical(self, key: Any) -> Any:
        return key

    def _mark_ready(self) -> None:
        self._ready.set()

    def wait(self) -> None:
        self._ready.wait()

    def stop(self) -> None:
        self._ended.set()


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> type[Listener]:
    """A pynput whose listener is a double."""

    class Double(Listener):
        pass

    keyboard = ModuleType("pynput.keyboard")
    keyboard.Listener = Double  # type: ignore[attr-defined]
    package = ModuleType("pynput")
    package.keyboard = keyboard  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pynput", package)
    monkeypatch.setitem(sys.modules, "pynput.keyboard", keyboard)
    return Double


def test_pressed_keys_send_their_commands(listener: type[Listener]) -> None:
    listener.presses = (named("ctrl_l", 1), named("alt_r", 2), code(82, "r"), code(82, "r"))
    listener.releases = (code(82, "r"),)
    heard = Heard()
    hotkeys = PynputHotkeys(Matcher({"<ctrl>+<alt>+r": Command.TOGGLE}, "<f8>"), heard)
    hotkeys.start()
    try:
        heard.until(Command.TOGGLE)
        assert hotkeys.notes == ()
    finally:
        hotkeys.stop()
        hotkeys.stop()


def test_a_listener_that_fails_is_reported(listener: type[Listener]) -> None:
    listener.failure = OSError("there is no keyboard")
    with pytest.raises(NotReadyError, match=r"hotkeys do not work here: stop with Ctrl\+C"):
        PynputHotkeys(Matcher({}), Heard()).start()


def test_a_missing_pynput_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynput", None)
    with pytest.raises(NotReadyError, match=r"hotkeys do not work here: stop with Ctrl\+C"):
        PynputHotkeys(Matcher({}), Heard()).start()
