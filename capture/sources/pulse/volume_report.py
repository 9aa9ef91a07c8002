"""Reports a source that is muted or turned down so far that it records next to nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from capture.events import EventKind
from capture.media import Attenuation

__all__ = ["SETTLED_S", "VolumeReport"]

#: A changed volume is reported once it has stayed for this long: a slider that is dragged passes many values.
SETTLED_S: Final = 0.5


class VolumeReport:
    """Takes every attenuation of the source `name` and reports those that matter, by `EventKind.VOLUME`.

    The first one is reported at once. Used by the thread that reads the source.
    """

    def __init__(self, name: str, report: Callable[[EventKind, str], None]) -> None:
        self._name = name
        self._report = report
        self._reported: str | None = None
        self._latest = ""
        #: When to call `settle`; infinite while there is nothing to report.
        self.due_s = math.inf

    def note(self, attenuation: Attenuation, now_s: float) -> None:
        """Take the attenuation that is in effect from now on."""
        latest = attenuation.reason if attenuation.is_low else ""
        if self._reported is None:
            self._latest, self._reported = latest, ""
            self.settle()
        elif latest != self._latest:
            self._latest, self.due_s = latest, now_s + SETTLED_S

    def settle(self) -> None:
        """Report the latest attenuation if it has not been reported."""
        self.due_s = math.inf
        if self._latest != self._reported:
            self._reported = self._latest
            self._report(EventKind.VOLUME, f"{self._name}: {self._latest or 'no longer muted or turned down'}")
