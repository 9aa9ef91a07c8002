"""A word on the user's desktop: that a recording began, or where it was saved.

It is the desktop's own notification, shown by a program of the system; where there is none, nothing is shown and
nothing is wrong. On Windows nothing is shown: only programs with an entry in the start menu may, and this has none.
"""

from __future__ import annotations

import html
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import quote

from capture.threads.mailbox import Closed, Mailbox
from capture.threads.worker import Worker

__all__ = ["Notifier"]

_NAME: Final = "Capture"

#: Showing takes some hundredths of a second. A desktop that hangs keeps back what follows for no longer than this.
_SHOW_LIMIT_S: Final = 5.0

#: What is still to be shown at the end may take this long, and is left to itself then.
_CLOSE_LIMIT_S: Final = 2.0

#: More waiting than these are of no use to anybody any more.
_WAITING: Final = 8

#: How long the desktop shows one, where this is told.
_SHOWN_MS: Final = 10_000

#: Longer texts are cut: no desktop shows as much.
_LENGTH: Final = 500

#: The script of AppleScript takes its texts as arguments, so that nothing in them is ever read as script.
_APPLE_SCRIPT: Final = (
    "on run texts",
    "display notification (item 2 of texts) with title (item 1 of texts)",
    "end run",
)

#: The command that shows a title and a body.
_Way: TypeAlias = Callable[[str, str], Sequence[str]]


class Notifier:
    """Shows notifications one after the other, in a thread of its own.

    `announce` never waits and never fails; it and `close` may be called by any thread. `environment` is that of the
    user's desktop, by default this process's as it is now.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = dict(os.environ if environment is None else environment)
        self._way = _way_on(self._environment)
        self._waiting = Mailbox[tuple[str, str]](_WAITING)
        self._worker = Worker("notifier", self._show_all)
        self._lock = threading.Lock()
        self._started = False

    @property
    def available(self) -> bool:
        """Whether there is a way to show something; the desktop may refuse it all the same."""
        return self._way is not None

    def announce(self, title: str, body: str = "") -> None:
        """Show `title`, and `body` below it; when too many are waiting, do not."""
        if self._way is None:
            return
        with suppress(Closed):
            self._waiting.offer((_cleaned(title), _cleaned(body)))
        with self._lock:
            if not self._started:
                self._started = True
                self._worker.start()

    def close(self) -> None:
        """Show nothing more than what is waiting, and wait for that a moment; may be called twice."""
        self._waiting.close()
        with self._lock:
            started = self._started
        if started:
            self._worker.join(_CLOSE_LIMIT_S)

    def _show_all(self) -> None:
        while True:
            title, body = self._waiting.get()
            if self._way is not None:
                self._show(self._way(title, body))

    def _show(self, command: Sequence[str]) -> None:
        with suppress(OSError, subprocess.SubprocessError):
            subprocess.run(
                command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_SHOW_LIMIT_S,
                check=False,
                # The Ctrl+C that ends the recording is not for it.
                start_new_session=True,
            )


def _way_on(environment: dict[str, str]) -> _Way | None:
    """The way to show notifications on the desktop of `environment`, which is given the bus's address."""
    if sys.platform == "win32":
        return None
    path = environment.get("PATH")
    if sys.platform == "darwin":
        return _by_osascript if shutil.which("osascript", path=path) else None
    address = _bus_address(environment)
    if address is None:
        return None
    environment["DBUS_SESSION_BUS_ADDRESS"] = address
    if shutil.which("notify-send", path=path):
        return _by_notify_send
    return _by_gdbus if shutil.which("gdbus", path=path) else None


def _bus_address(environment: Mapping[str, str]) -> str | None:
    """The bus of the user's session, never one that would have to be started."""
    given = environment.get("DBUS_SESSION_BUS_ADDRESS", "").split(";")
    running = [address for address in given if address and not address.startswith(("autolaunch:", "disabled:"))]
    if running:
        return ";".join(running)
    folder = environment.get("XDG_RUNTIME_DIR")
    if folder and not any(given):
        with suppress(OSError):
            if Path(folder, "bus").is_socket():
                return f"unix:path={quote(f'{folder}/bus')}"
    return None


def _cleaned(text: str) -> str:
    shown = "".join(char if char.isprintable() or char == "\n" else "?" for char in text)
    return shown if len(shown) <= _LENGTH else f"{shown[: _LENGTH - 1]}…"


def _by_notify_send(title: str, body: str) -> Sequence[str]:
    # It reads a backslash in the body as the beginning of an escape.
    return ("notify-send", f"--app-name={_NAME}", "--", title, _as_markup(body).replace("\\", "\\\\"))


def _by_gdbus(title: str, body: str) -> Sequence[str]:
    service = "org.freedesktop.Notifications"
    return (
        *("gdbus", "call", "--session", "--timeout", f"{_SHOW_LIMIT_S:.0f}", "--dest", service),
        *("--object-path", "/org/freedesktop/Notifications", "--method", f"{service}.Notify"),
        # The program, what it replaces, its picture, the texts, actions, hints, and how long; with their types, which
        # are guessed wrong where the service does not tell them.
        *(_as_variant(_NAME), "uint32 0", _as_variant(""), _as_variant(title), _as_variant(_as_markup(body))),
        *("@as []", "@a{sv} {}", f"int32 {_SHOWN_MS}"),
    )


def _by_osascript(title: str, body: str) -> Sequence[str]:
    lines = [word for line in _APPLE_SCRIPT for word in ("-e", line)]
    return ("osascript", *lines, "--", title, body)


def _as_markup(body: str) -> str:
    """Desktops take the body for markup (Desktop Notifications Specification): a file may be called `<b>.mp4`."""
    return html.escape(body, quote=False)


def _as_variant(text: str) -> str:
    """Text as gdbus takes it for text, whatever it looks like (GVariant Text Format)."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"
