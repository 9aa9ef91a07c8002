"""Ctrl+C, a polite kill and a closed terminal: all of them mean "stop, and finish the file"."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from capture.events import Command, Send

__all__ = ["Signals"]

#: By name, since not every system has every signal; the second part is what `stopped_by` says.
_MEANINGS: Final = {
    "SIGINT": "interrupt",
    "SIGTERM": "terminate",
    "SIGHUP": "hangup",
    "SIGBREAK": "interrupt",
}


class Signals:
    """Stops the recording on a signal. `start` and `stop` belong to the main thread, as Python demands.

    The handlers stay until `stop`, so a second Ctrl+C while the file is being finished does not break it.
    """

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}

    def start(self, send: Send) -> None:
        for name, given_by in _MEANINGS.items():
            number = getattr(signal, name, None)
            # nohup has the hang-up ignored on purpose.
            if number is not None and number not in self._before and signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._handler(send, given_by))

    def stop(self, *, ignoring: bool = False) -> None:
        """Put back what was there before, or let the signals change nothing from now on.

        The latter is for a process that is about to end: one that gives them back could yet die of an impatient Ctrl+C,
        and whoever started it would take the saved recording for a failure.
        """
        while self._before:
            number, before = self._before.popitem()
            signal.signal(number, signal.SIG_IGN if ignoring else before)

    @staticmethod
    def _handler(send: Send, given_by: str) -> Callable[[int, FrameType | None], None]:
        return lambda number, frame: send(Command.QUIT, given_by)
