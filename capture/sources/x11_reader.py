"""What is on an X11 screen, and which monitors there are: by the connection that watches it, or else by mss."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from capture.errors import DisplayLostError, NotReadyError
from capture.media import Pixels, Rectangle
from capture.sources.monitors import Screen
from capture.sources.x11 import X11Watch

if TYPE_CHECKING:
    from capture.sources.mss_reader import MssReader

__all__ = ["X11Reader"]


class X11Reader:
    """Reads the screen of an open `X11Watch`, in its thread. Raises `NotReadyError`."""

    def __init__(self, watch: X11Watch) -> None:
        self._watch = watch
        # For servers that share no memory with this process.
        self._slow: MssReader | None = None if watch.memory is not None else _mss_reader()

    def grab(self, area: Rectangle) -> Pixels:
        """What is on the screen in `area`, which must lie on it. Raises `DisplayLostError`."""
        if self._watch.memory is not None:
            return self._watch.memory.grab(area)
        assert self._slow is not None  # noqa: S101 - there is one of both
        return self._slow.grab(area)

    def screens(self) -> list[Screen]:
        """The monitors there are now. Raises `DisplayLostError`."""
        told = self._watch.screens()
        if told is not None:
            return told
        try:
            with closing(_mss_reader()) as reader:
                return reader.screens()
        except NotReadyError as error:
            raise DisplayLostError(f"the monitors cannot be listed ({error.message})") from error

    def renew(self) -> None:
        """The screen has another size, or other monitors. Raises `DisplayLostError`."""
        if self._slow is not None:
            self._slow.reopen()

    def close(self) -> None:
        if self._slow is not None:
            self._slow.close()


def _mss_reader() -> MssReader:
    from capture.sources.mss_reader import MssReader

    return MssReader()
