"""How often somebody asks for the end of a recording before its file is waited for no longer."""

from __future__ import annotations

from enum import Enum
from typing import Final

__all__ = ["Impatience", "StopEscalation"]

#: Who asks again sooner than this is only quick: nearly all files are finished in a moment, and none is to be given up
#: for a key that was pressed three times.
INSISTS_AFTER_S: Final = 3.0


class Impatience(Enum):
    """What asking once more comes to."""

    NONE = "it is being done"
    #: To be told what the next time means.
    WARNED = "the next time it is left"
    LEFT = "it is waited for no longer"


class StopEscalation:
    """With a file that takes long to be finished, as one does whose disk stands still; begins to count at `since_s`.

    Whoever ended the recording has asked once; the second time they are told, at the third it is left.
    """

    def __init__(self, since_s: float) -> None:
        self._since_s = since_s
        self._warned = False

    def ask(self, at_s: float) -> Impatience:
        """Somebody wants the end at `at_s`."""
        if at_s - self._since_s < INSISTS_AFTER_S:
            return Impatience.NONE
        if self._warned:
            return Impatience.LEFT
        self._since_s, self._warned = at_s, True
        return Impatience.WARNED
