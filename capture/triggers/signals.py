"""Stops the recording and finishes the file on Ctrl+C, SIGTERM, or a closed terminal."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from capture.events import Command, Send

__all__ = ["Signals"]

#: Signal names, since not every system has every signal, and the value that each gives `stopped_by`.
_MEANINGS: Final = {
    "SIGINT": "interrupt",
    "SIGTERM": "terminate",
    "SIGHUP": "hangup",
    "SIGBREAK": "interrupt",
}


class Signals:
    """Stops the recording on a signal. Only the main thread may call `start` and `stop`, as Python requires.

    The handlers stay until `stop`, so a second Ctrl+C does not kill the process while it finishes the file.
    """

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}

    def start(self, send: Send) -> None:
        """Install the handlers, which pass `Command.QUIT` to `send`."""
        for name, given_by in _MEANINGS.items():
            number = getattr(signal, name, None)
            # nohup sets SIGHUP to be ignored on purpose.
            if number is not None and number not in self._before and signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._handler(send, given_by))

    def stop(self, *, ignoring: bool = False) -> None:
        """Restore the previous handlers or, with `ignoring`, ignore the signals from now on.

        A process that is about to end should ignore them: with the handlers restored, another Ctrl+C could still kill
        it, and its parent would take the saved recording for a failure.
        """
        while self._before:
            number, before = self._before.popitem()
            signal.signal(number, signal.SIG_IGN if ignoring else before)

    @staticmethod
    def _handler(send: Send, given_by: str) -> Callable[[int, FrameType | None], None]:
        return lambda number, frame: send(Command.QUIT, given_by)
