"""Desktop notifications: a recording has begun, or where it was saved.

On Linux the session bus carries them, on macOS a program of the system; without either, nothing is shown, which is not
an error. On Windows nothing is shown: only programs with an entry in the start menu may show notifications, and this
one has none.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from capture.output.letters import cut
from capture.system.session_bus import bus_address
from capture.threads.mailbox import Closed, Mailbox
from capture.threads.worker import Worker

if TYPE_CHECKING:
    import subprocess

__all__ = ["Notifier"]

#: How long a program that shows a notification may take; some hundredths of a second are normal.
_SHOW_LIMIT_S: Final = 5.0

#: How long `close` waits for notifications that are still queued.
_CLOSE_LIMIT_S: Final = 2.0

#: How many notifications may wait. Beyond that they would be out of date when shown.
_WAITING: Final = 8

#: Longer texts are cut; no desktop shows more.
_LENGTH: Final = 500

#: This AppleScript takes its texts as arguments, so that nothing in them is ever interpreted as script.
_APPLE_SCRIPT: Final = (
    "on run texts",
    "display notification (item 2 of texts) with title (item 1 of texts)",
    "end run",
)


class _Notice(NamedTuple):
    """A notification; `path` is the file that it is about, "" without one."""

    title: str
    body: str
    path: str = ""


#: Shows a notification; whatever it raises, the next one is shown.
_Way: TypeAlias = Callable[[_Notice], None]


class Notifier:
    """Shows notifications one after the other, on its own thread.

    `announce` and `announce_saved` never wait and never fail. Any thread may call them and `close`. `environment` is
    that of the user's desktop, by default a copy of this process's environment.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._way = _way_on(dict(os.environ if environment is None else environment))
        self._waiting = Mailbox[_Notice](_WAITING)
        self._worker = Worker("notifier", self._show_all)
        self._lock = threading.Lock()
        self._started = False

    @property
    def available(self) -> bool:
        """Whether there is a way to show notifications; the desktop may still refuse them."""
        return self._way is not None

    def announce(self, title: str, body: str = "") -> None:
        """Queue a notification with `title` and, below it, `body`. It is dropped when too many are waiting."""
        self._queue(_Notice(_cleaned(title), _cleaned(body)))

    def announce_saved(self, title: str, body: str, path: str) -> None:
        """Queue a notification about the file at `path`, with buttons for it where the desktop has them."""
        self._queue(_Notice(_cleaned(title), _cleaned(body), path))

    def close(self) -> None:
        """Accept no more notifications and wait up to 2 s for the queued ones. May be called twice."""
        self._waiting.close()
        with self._lock:
            started = self._started
        if started:
            self._worker.join(_CLOSE_LIMIT_S)

    def _queue(self, notice: _Notice) -> None:
        if self._way is None:
            return
        with suppress(Closed):
            self._waiting.offer(notice)
        with self._lock:
            if not self._started:
                self._started = True
                self._worker.start()

    def _show_all(self) -> None:
        while True:
            notice = self._waiting.get()
            if self._way is not None:
                with suppress(Exception):
                    self._way(notice)


def _way_on(environment: dict[str, str]) -> _Way | None:
    """Return the way to show notifications on the desktop of `environment`; None if there is none."""
    if sys.platform == "win32":
        return None
    if sys.platform == "darwin":
        import shutil

        return _by_osascript(environment) if shutil.which("osascript", path=environment.get("PATH")) else None
    address = bus_address(environment)
    return None if address is None else _ByBus(address, environment)


def _cleaned(text: str) -> str:
    """Return `text` with control codes replaced and cut to `_LENGTH`."""
    shown = "".join(char if char.isprintable() or char == "\n" else "?" for char in text)
    return shown if len(shown) <= _LENGTH else f"{cut(shown, _LENGTH - 1)}…"


class _ByBus:
    """Shows notifications over the session bus; those about a file through a process that waits for their buttons."""

    def __init__(self, address: str, environment: Mapping[str, str]) -> None:
        self._address = address
        self._environment = {**environment, "DBUS_SESSION_BUS_ADDRESS": address}
        self._processes: list[subprocess.Popen[bytes]] = []

    def __call__(self, notice: _Notice) -> None:
        # Those that have ended, so that they do not stay as zombies.
        self._processes = [process for process in self._processes if process.poll() is None]
        if notice.path:
            from capture.desktop.saved_notice import start_saved_notice

            started = start_saved_notice(notice.title, notice.body, notice.path, self._environment)
            if started is not None:
                self._processes.append(started)
            return
        # Loading it takes 20 ms.
        from capture.desktop.notices import Notices

        with closing(Notices(self._address)) as notices:
            notices.show(notice.title, notice.body)


def _by_osascript(environment: Mapping[str, str]) -> _Way:
    import subprocess

    lines = [word for line in _APPLE_SCRIPT for word in ("-e", line)]

    def show(notice: _Notice) -> None:
        subprocess.run(
            ["osascript", *lines, "--", notice.title, notice.body],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_SHOW_LIMIT_S,
            check=False,
            # The Ctrl+C that ends the recording must not reach it.
            start_new_session=True,
        )

    return show
