"""Listens to keys and clicks on an X11 desktop, and decides which of them may be shown."""

from __future__ import annotations

import math
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from Xlib import X, error

from capture.errors import NotReadyError
from capture.sources.overlays.key_names import Keyboard, Label
from capture.sources.overlays.password_prompts import PasswordPrompts
from capture.sources.x11.input_record import Button, Key, PressReader
from capture.threads.worker import Worker

__all__ = ["HELD_BACK_S", "InputListener", "KeystrokeFilter"]

#: A program reports only some milliseconds after the focus has changed that it is now in a password field. Keys are
#: held back for this long and shown if no such report came; the delay is too short to notice.
HELD_BACK_S: Final = 0.15

END_LIMIT_S: Final = 2.0


class Secrets(Protocol):
    """Decides whether typing must be hidden: `password_prompts.Prompts`, or a double of it."""

    def hides_typing(self) -> bool: ...


class KeystrokeFilter:
    """Holds keys back until it is safe to show them. Any thread may call `forget`, the rest is for one thread."""

    def __init__(
        self,
        secrets: Secrets,
        show: Callable[[Label], None],
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._secrets = secrets
        self._show = show
        self._now_s = now_s
        self._lock = threading.Lock()
        self._held_back: deque[tuple[float, Label]] = deque()

    def press(self, label: Label) -> None:
        """Handle a key pressed just now. One that may belong to a password is dropped at once."""
        if self._secrets.hides_typing():
            # The keys just before it may have been the first letters of the password.
            self.forget()
            return
        with self._lock:
            self._held_back.append((self._now_s() + HELD_BACK_S, label))

    def due_s(self) -> float:
        """Return when the next key may be shown; infinite if none is held back."""
        with self._lock:
            return self._held_back[0][0] if self._held_back else math.inf

    def show_due(self) -> None:
        """Show the keys that were held back long enough, unless typing must be hidden now."""
        if self.due_s() > self._now_s():
            return
        if self._secrets.hides_typing():
            self.forget()
            return
        with self._lock:
            due = []
            while self._held_back and self._held_back[0][0] <= self._now_s():
                due.append(self._held_back.popleft()[1])
        for label in due:
            self._show(label)

    def forget(self) -> None:
        """Drop all keys that are held back."""
        with self._lock:
            self._held_back.clear()


class InputListener:
    """Listens from construction until `close`. Any thread may call `close` and `forget`.

    Its own thread calls `click` with the place of a pressed button on the screen, and `key` with each key that was held
    back long enough. Without `key` it does not listen to keys. Raises `NotReadyError` if presses cannot be read.
    """

    def __init__(self, click: Callable[[int, int], None], key: Callable[[Label], None] | None) -> None:
        self._click = click
        self._presses = PressReader(keys=key is not None)
        self._keyboard: Keyboard | None = None
        self._prompts: PasswordPrompts | None = None
        self._typing: KeystrokeFilter | None = None
        if key is not None:
            try:
                self._keyboard = Keyboard(self._presses.display)
                self._prompts = PasswordPrompts(self._presses.display, self._presses)
                self._typing = KeystrokeFilter(self._prompts, key)
            except (error.XError, error.ConnectionClosedError, OSError) as lost:
                self._presses.close()
                raise NotReadyError(f"the keyboard cannot be read ({lost})", "see capture doctor") from lost
        # A byte in this pair ends the wait for presses.
        self._wake_out, self._wake_in = socket.socketpair()
        self._worker = Worker("presses", self._run)
        self._worker.start()

    @property
    def knows_fields(self) -> bool:
        """Whether programs can report their password fields here, and still do."""
        return self._prompts is not None and self._prompts.knows_fields

    def forget(self) -> None:
        """Drop every key pressed so far that is not shown yet."""
        if self._typing is not None:
            self._typing.forget()

    def close(self) -> bool:
        """Stop listening, and return whether the thread has ended; may be called twice."""
        with suppress(OSError):
            self._wake_in.send(b"!")
        has_ended = self._worker.join(END_LIMIT_S)
        if has_ended:
            self._wake_in.close()
        return has_ended

    def _run(self) -> None:
        try:
            # If the display is gone, the source that grabs from it reports that.
            with suppress(error.ConnectionClosedError, OSError):
                while not self._is_woken():
                    for press in self._presses.read():
                        self._take_in(press)
                    if self._typing is not None:
                        self._typing.show_due()
        finally:
            if self._prompts is not None:
                self._prompts.close()
            self._presses.close()
            self._wake_out.close()

    def _is_woken(self) -> bool:
        """Wait until a press arrives or a key is due; return whether to end."""
        due_s = self._typing.due_s() if self._typing is not None else math.inf
        wait_s = None if due_s == math.inf else max(0.0, due_s - time.monotonic())
        readable, _, _ = select.select([self._presses, self._presses.display, self._wake_out], [], [], wait_s)
        self._follow_keyboard()
        return self._wake_out in readable

    def _follow_keyboard(self) -> None:
        """Follow changes of the keyboard mapping."""
        display = self._presses.display
        while display.pending_events():
            event = display.next_event()
            if event.type == X.MappingNotify and self._keyboard is not None:
                self._keyboard.refresh(event)

    def _take_in(self, press: Button | Key) -> None:
        if isinstance(press, Button):
            self._click(press.x, press.y)
        elif self._typing is not None and self._keyboard is not None:
            label = self._keyboard.read(press.place, press.state)
            if label is not None:
                self._typing.press(label)
