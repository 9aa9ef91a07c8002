"""Protocols for objects outside a session: triggers, which send it commands, and observers of its recordings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from capture.events import EventKind, Send

__all__ = ["TakeObserver", "Trigger"]


class TakeObserver(Protocol):
    """Is informed which file is being recorded. The session's thread calls its methods."""

    def take_began(self, path: str) -> None:
        """Handle the start of a recording into `path`."""
        ...

    def take_ended(self) -> None:
        """Handle the end of that recording: its file is finished or deleted."""
        ...


class Trigger(TakeObserver, Protocol):
    """Sends commands to a session, such as hotkeys do."""

    @property
    def unavailable_event(self) -> EventKind:
        """The kind of the event that reports that this trigger does not work here."""
        ...

    @property
    def notes(self) -> Sequence[tuple[EventKind, str]]:
        """What to report once it has started: the kind and the detail of each event."""
        ...

    def start(self, send: Send) -> None:
        """Start to pass commands to `send`. Raises `CaptureError` if that cannot work; recording continues without."""
        ...

    def stop(self) -> None:
        """Send no more commands. May be called twice."""
        ...
