"""Real key presses through xdotool, a window that notes what it gets, and the commands that hotkeys send."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from running import eventually

from capture.events import Command

__all__ = ["FocusedWindow", "Heard", "fake_keys", "hold", "let_go", "until_repeated", "xdotool"]


class Heard:
    """The commands that hotkeys sent, and when."""

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.at_s: list[float] = []

    def __call__(self, command: Command, given_by: str, **more: object) -> None:
        assert given_by == "hotkey"
        assert not more
        self.at_s.append(time.monotonic())
        self.commands.append(command)

    def until(self, *commands: Command) -> None:
        """Wait until exactly these commands have been sent since the last call."""
        eventually(lambda: len(self.commands) >= len(commands), f"{commands}, but there are {self.commands}")
        assert self.commands == list(commands)
        self.commands.clear()


def xdotool(environment: Mapping[str, str], *arguments: str) -> float:
    """Run xdotool and return the moment it ended."""
    subprocess.run(["xdotool", *arguments], env=dict(environment), check=True, timeout=30)
    return time.monotonic()


def hold(environment: Mapping[str, str], *keys: str) -> float:
    """Press keys one after the other and keep them down."""
    return xdotool(environment, *(word for key in keys for word in ("keydown", key)))


def let_go(environment: Mapping[str, str], *keys: str) -> float:
    """Release keys one after the other."""
    return xdotool(environment, *(word for key in keys for word in ("keyup", key)))


def fake_keys(*keycodes: int) -> None:
    """Press keys by keycode, and release those that are negative, on the display that DISPLAY names.

    The server handles them as those of a keyboard; xdotool would switch to the first layout for each.
    """
    from Xlib import X
    from Xlib.display import Display
    from Xlib.ext import xtest

    display = Display()
    try:
        for keycode in keycodes:
            xtest.fake_input(display, X.KeyPress if keycode > 0 else X.KeyRelease, abs(keycode))
        display.sync()
    finally:
        display.close()


def until_repeated(keycode: int) -> None:
    """Wait until the server has repeated this key some times."""
    from capture.sources.x11.input_record import Key, PressReader

    presses = PressReader(keys=True)
    repeats: list[object] = []

    def are_enough() -> bool:
        repeats.extend(press for press in presses.read() if isinstance(press, Key) and press.place == keycode)
        return len(repeats) >= 5

    try:
        eventually(are_enough, f"{keycode} to be repeated")
    finally:
        presses.close()


class FocusedWindow:
    """A window with the keyboard focus on the display that DISPLAY names. It notes the keys that reach it."""

    def __init__(self, screen: int | None = None) -> None:
        from Xlib import X
        from Xlib.display import Display

        self._display = Display()
        self._events = (X.KeyPress, X.KeyRelease)
        root = self._display.screen(screen).root
        mask = X.KeyPressMask | X.KeyReleaseMask | X.ExposureMask
        self._window: Any = root.create_window(
            0, 0, 100, 100, 0, X.CopyFromParent, override_redirect=True, event_mask=mask
        )
        self._window.map()
        # Only a window that is visible can have the focus.
        while self._display.next_event().type != X.Expose:
            pass
        self._window.set_input_focus(X.RevertToPointerRoot, X.CurrentTime)
        self._display.sync()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        from Xlib.error import ConnectionClosedError

        with suppress(ConnectionClosedError):
            self._display.close()

    def until(self, keycode: int) -> list[int]:
        """Wait until this key is released; return the keys pressed since the last call, and minus those released."""
        press, release = self._events
        got: list[int] = []

        def has_arrived() -> bool:
            while -keycode not in got and self._display.pending_events():
                event = self._display.next_event()
                if event.type in (press, release):
                    got.append(event.detail if event.type == press else -event.detail)
            return -keycode in got

        eventually(has_arrived, f"the release of {keycode} in the window, which got {got}")
        return got
