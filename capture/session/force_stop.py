"""When repeated stop requests mean "abandon the file": the second warns, the third abandons."""

from __future__ import annotations

from enum import Enum
from typing import Final

__all__ = ["Impatience", "StopEscalation"]

#: Requests closer together than this count as one: nearly all files are finished in a moment, and none may be abandoned
#: because Ctrl+C was pressed three times in a row.
INSISTS_AFTER_S: Final = 3.0


class Impatience(Enum):
    """What one more stop request means."""

    NONE = "wait on"
    #: Say what the next request will mean.
    WARNED = "the next one abandons the file"
    ABANDONED = "abandon the file"


class StopEscalation:
    """Counts stop requests while a file takes long to finish, as on a disk that stalls.

    `since_s` is when the first request ended the recording.
    """

    def __init__(self, since_s: float) -> None:
        self._since_s = since_s
        self._warned = False

    def ask(self, at_s: float) -> Impatience:
        """Count a stop request that came at `at_s`."""
        if at_s - self._since_s < INSISTS_AFTER_S:
            return Impatience.NONE
        if self._warned:
            return Impatience.ABANDONED
        self._since_s, self._warned = at_s, True
        return Impatience.WARNED
