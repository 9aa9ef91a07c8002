"""Counts down to the beginning of a recording: over the screen, or in a notification, as on Wayland."""

from __future__ import annotations

import math
import os
import threading
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Final, Protocol

from capture.settings.record_settings import RecordSettings
from capture.sources.chooser import begin_countdown
from capture.system.session_bus import bus_address
from capture.threads.worker import Worker

if TYPE_CHECKING:
    from capture.desktop.notices import Notices

__all__ = ["CountdownNotice", "Shown", "show_countdown"]

#: How long before the beginning it is withdrawn: desktops fade notifications out, and the recording must not show that.
_GONE_BEFORE_S: Final = 1.0

#: How long to wait for the thread to end: a desktop that hangs must not delay the recording.
_END_LIMIT_S: Final = 0.5


class Shown(Protocol):
    """A countdown that is shown."""

    def end(self) -> None:
        """Take it away; returns once it is gone."""
        ...


def show_countdown(settings: RecordSettings) -> Shown | None:
    """Count down `settings.delay_s` where it can be seen; None if there is no delay, no screen, or no time for it."""
    if not settings.delay_s or not settings.wants_video or settings.pattern:
        return None
    from capture.sources.screens import is_wayland

    if is_wayland():
        return CountdownNotice(settings.delay_s) if settings.delay_s > _GONE_BEFORE_S else None
    return begin_countdown(settings)


class CountdownNotice:
    """Counts down from now until `end`, or until shortly before `delay_s` have passed."""

    def __init__(self, delay_s: float) -> None:
        self._begins_at_s = time.monotonic() + delay_s
        self._over = threading.Event()
        self._worker = Worker("countdown", self._run)
        self._worker.start()

    def end(self) -> None:
        """Withdraw the notification, if it is still shown."""
        self._over.set()
        self._worker.join(_END_LIMIT_S)

    def _run(self) -> None:
        from capture.desktop.notices import Notices

        address = bus_address(os.environ)
        # The recording goes on without it.
        with suppress(OSError, RuntimeError, ValueError):
            if address is not None:
                with closing(Notices(address)) as notices:
                    self._show(notices)

    def _show(self, notices: Notices) -> None:
        number = 0
        # Not to be kept in the desktop's list.
        hints = {"transient": ("b", True)}
        try:
            while (left_s := self._begins_at_s - time.monotonic()) > _GONE_BEFORE_S and not self._over.is_set():
                figure = math.ceil(left_s)
                number = notices.show(f"Recording starts in {figure} s", replaces=number, hints=hints)
                # Until the figure changes.
                self._over.wait(self._begins_at_s - time.monotonic() - figure + 1.0)
        finally:
            if number:
                notices.withdraw(number)
