"""Decides when repeated stop requests mean "abandon the file": the second warns, the third abandons."""

from __future__ import annotations

from enum import Enum
from typing import Final

__all__ = ["Impatience", "StopEscalation"]

#: Requests closer together than this count as one. Nearly every file is finished in a moment, and pressing Ctrl+C three
#: times in a row must not abandon it.
INSISTS_AFTER_S: Final = 3.0


class Impatience(Enum):
    """What a repeated stop request means."""

    NONE = "wait on"
    #: Warn that the next request abandons the file.
    WARNED = "the next one abandons the file"
    ABANDONED = "abandon the file"


class StopEscalation:
    """Counts stop requests while a file takes long to finish, for example on a disk that stalls.

    `since_s` is the moment of the first request, which ended the recording.
    """

    def __init__(self, since_s: float) -> None:
        self._since_s = since_s
        self._warned = False

    def ask(self, at_s: float) -> Impatience:
        """Count a stop request that was made at `at_s`, and return what it means."""
        if at_s - self._since_s < INSISTS_AFTER_S:
            return Impatience.NONE
        if self._warned:
            return Impatience.ABANDONED
        self._since_s, self._warned = at_s, True
        return Impatience.WARNED
