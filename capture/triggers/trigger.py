"""The protocols of what stands outside a session: what commands it, and what follows its recordings."""

from __future__ import annotations

from typing import Protocol

from capture.event_kinds import EventKind
from capture.events import Send

__all__ = ["TakeObserver", "Trigger"]


class TakeObserver(Protocol):
    """Something that has to know which file is being recorded. Called by the session's thread."""

    def take_began(self, path: str) -> None:
        """A recording into `path` has begun."""
        ...

    def take_ended(self) -> None:
        """It has ended, and its file is finished or gone."""
        ...


class Trigger(TakeObserver, Protocol):
    """Something that gives commands, such as hotkeys."""

    @property
    def absence(self) -> EventKind:
        """The kind of the event that says that it does not work here."""
        ...

    def start(self, send: Send) -> None:
        """Begin to give commands. Raises `CaptureError` where that cannot work; the recording goes on without."""
        ...

    def stop(self) -> None:
        """Give no more commands; may be called twice."""
        ...
