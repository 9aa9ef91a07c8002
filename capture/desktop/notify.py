"""Desktop notifications: a recording has begun, or where it was saved.

A program of the system shows them; without one, nothing is shown, which is not an error. On Windows nothing is shown:
only programs with an entry in the start menu may show notifications, and this one has none.
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
from typing import Final, TypeAlias

from capture.output.letters import cut
from capture.system.session_bus import bus_address
from capture.threads.mailbox import Closed, Mailbox
from capture.threads.worker import Worker

__all__ = ["Notifier"]

_NAME: Final = "Capture"

#: How long one notification may take. Showing takes some hundredths of a second; a desktop that hangs delays the next
#: notification by no more than this.
_SHOW_LIMIT_S: Final = 5.0

#: How long `close` waits for notifications that are still queued.
_CLOSE_LIMIT_S: Final = 2.0

#: How many notifications may wait. Beyond that they would be out of date when shown.
_WAITING: Final = 8

#: How long the desktop shows a notification, where the program takes a duration.
_SHOWN_MS: Final = 10_000

#: Longer texts are cut; no desktop shows more.
_LENGTH: Final = 500

#: This AppleScript takes its texts as arguments, so that nothing in them is ever interpreted as script.
_APPLE_SCRIPT: Final = (
    "on run texts",
    "display notification (item 2 of texts) with title (item 1 of texts)",
    "end run",
)

#: Returns the command that shows a title and a body.
_Way: TypeAlias = Callable[[str, str], Sequence[str]]


class Notifier:
    """Shows notifications one after the other, on its own thread.

    `announce` never waits and never fails. Any thread may call `announce` and `close`. `environment` is that of the
    user's desktop, by default a copy of this process's environment.
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
        """Whether there is a program to show notifications; the desktop may still refuse them."""
        return self._way is not None

    def announce(self, title: str, body: str = "") -> None:
        """Queue a notification with `title` and, below it, `body`. It is dropped when too many are waiting."""
        if self._way is None:
            return
        with suppress(Closed):
            self._waiting.offer((_cleaned(title), _cleaned(body)))
        with self._lock:
            if not self._started:
                self._started = True
                self._worker.start()

    def close(self) -> None:
        """Accept no more notifications and wait up to 2 s for the queued ones. May be called twice."""
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
                # The Ctrl+C that ends the recording must not reach it.
                start_new_session=True,
            )


def _way_on(environment: dict[str, str]) -> _Way | None:
    """Return the way to show notifications on the desktop of `environment`; None if there is none.

    On Linux it sets the address of the session bus in `environment`.
    """
    if sys.platform == "win32":
        return None
    path = environment.get("PATH")
    if sys.platform == "darwin":
        return _by_osascript if shutil.which("osascript", path=path) else None
    address = bus_address(environment)
    if address is None:
        return None
    environment["DBUS_SESSION_BUS_ADDRESS"] = address
    if shutil.which("notify-send", path=path):
        return _by_notify_send
    return _by_gdbus if shutil.which("gdbus", path=path) else None


def _cleaned(text: str) -> str:
    """Return `text` with control codes replaced and cut to `_LENGTH`."""
    shown = "".join(char if char.isprintable() or char == "\n" else "?" for char in text)
    return shown if len(shown) <= _LENGTH else f"{cut(shown, _LENGTH - 1)}…"


def _by_notify_send(title: str, body: str) -> Sequence[str]:
    # notify-send treats a backslash in the body as the start of an escape.
    return ("notify-send", f"--app-name={_NAME}", "--", title, _as_markup(body).replace("\\", "\\\\"))


def _by_gdbus(title: str, body: str) -> Sequence[str]:
    service = "org.freedesktop.Notifications"
    return (
        *("gdbus", "call", "--session", "--timeout", f"{_SHOW_LIMIT_S:.0f}", "--dest", service),
        *("--object-path", "/org/freedesktop/Notifications", "--method", f"{service}.Notify"),
        # The program, the notification to replace, the icon, the texts, actions, hints, and the duration. With types:
        # gdbus guesses them wrong when the service does not describe them.
        *(_as_variant(_NAME), "uint32 0", _as_variant(""), _as_variant(title), _as_variant(_as_markup(body))),
        *("@as []", "@a{sv} {}", f"int32 {_SHOWN_MS}"),
    )


def _by_osascript(title: str, body: str) -> Sequence[str]:
    lines = [word for line in _APPLE_SCRIPT for word in ("-e", line)]
    return ("osascript", *lines, "--", title, body)


def _as_markup(body: str) -> str:
    """Escape the body, which is markup (Desktop Notifications Specification): a file may be called `<b>.mp4`."""
    return html.escape(body, quote=False)


def _as_variant(text: str) -> str:
    """Return `text` as a string literal for gdbus (GVariant Text Format), which otherwise guesses its type."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"
