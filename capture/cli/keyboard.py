"""Reads single keys from the terminal, without Enter and without showing them."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, Protocol

__all__ = ["Keyboard", "keyboard"]

#: What terminals send for the arrow keys, in their two modes, and Windows after a zero or 0xE0.
_ARROWS: Final = {
    "\x1b[C": "right",
    "\x1b[D": "left",
    "\x1bOC": "right",
    "\x1bOD": "left",
    "\xe0M": "right",
    "\xe0K": "left",
}

#: A key as terminals send it: a character, or what ECMA-48 calls a control sequence.
_KEY: Final = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1bO.|\x1b|[^\x1b]", re.DOTALL)

#: How often Windows is asked for a key.
_POLL_S: Final = 0.05

#: More than the longest name of a key that a terminal sends.
_READ_BYTES: Final = 64


class Keyboard(Protocol):
    """Where keys come from."""

    def key(self, timeout_s: float) -> str | None:
        """Return the next key, waiting at most `timeout_s`: a character, `left` or `right`; None for no key."""
        ...


@contextmanager
def keyboard() -> Iterator[Keyboard | None]:
    """Read keys inside the block; yield None where standard input is no terminal, or not ours as in a background job.

    Afterwards the terminal is as before, also when it was suspended meanwhile (Ctrl+Z). For the main thread.
    """
    if sys.stdin is None or not sys.stdin.isatty():
        yield None
    elif sys.platform == "win32":
        yield _Console()
    elif not _in_foreground(sys.stdin.fileno()):
        yield None
    else:
        keys = _Terminal(sys.stdin.fileno())
        before = signal.signal(signal.SIGCONT, keys.resume)
        try:
            keys.begin()
            yield keys
        finally:
            signal.signal(signal.SIGCONT, before)
            keys.end()


def _in_foreground(descriptor: int) -> bool:
    """Whether this process may read the terminal: a job that was started with `&` would be stopped."""
    if sys.platform == "win32":
        return True
    try:
        return os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:
        # A terminal that no shell controls.
        return True


class _Terminal:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waiting: list[str] = []
        self._before: list[Any] | None = None

    def begin(self) -> None:
        """Let keys come one by one. Ctrl+C stays a signal."""
        if sys.platform != "win32":
            import termios

            with suppress(termios.error):
                self._before = termios.tcgetattr(self._descriptor)
                self._apply()

    def resume(self, number: int, frame: object) -> None:
        """The shell has given the terminal its own modes while this process was stopped."""
        self._apply()

    def _apply(self) -> None:
        if sys.platform != "win32":
            import termios

            if self._before is None or not _in_foreground(self._descriptor):
                return
            modes = list(self._before)
            modes[3] &= ~(termios.ICANON | termios.ECHO)
            with suppress(termios.error):
                termios.tcsetattr(self._descriptor, termios.TCSADRAIN, modes)

    def end(self) -> None:
        """Give the terminal its modes back."""
        if sys.platform != "win32":
            import termios

            if self._before is not None and _in_foreground(self._descriptor):
                with suppress(termios.error):
                    termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)

    def key(self, timeout_s: float) -> str | None:
        import select

        if not self._waiting and _in_foreground(self._descriptor):
            ready, _, _ = select.select([self._descriptor], [], [], timeout_s)
            if ready:
                read = os.read(self._descriptor, _READ_BYTES)
                if not read:
                    # The terminal is gone.
                    raise KeyboardInterrupt
                self._waiting = _keys_in(read.decode(errors="replace"))
        elif not self._waiting:
            time.sleep(timeout_s)
        return self._waiting.pop(0) if self._waiting else None


def _keys_in(text: str) -> list[str]:
    """Return the keys in what a terminal sent; other keys with long names are left out."""
    found = (_ARROWS.get(name, name) for name in _KEY.findall(text))
    return [key for key in found if key.isprintable()]


class _Console:
    """The console of Windows."""

    def key(self, timeout_s: float) -> str | None:
        if sys.platform == "win32":
            import msvcrt

            gives_up_at_s = time.monotonic() + timeout_s
            while not msvcrt.kbhit():
                if time.monotonic() >= gives_up_at_s:
                    return None
                time.sleep(_POLL_S)
            char = msvcrt.getwch()
            return _ARROWS.get(f"\xe0{msvcrt.getwch()}") if char in "\x00\xe0" else char
        return None
