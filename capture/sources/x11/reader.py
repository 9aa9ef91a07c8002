"""Reads pixels and monitors of an X11 screen, through our own connection or else through mss."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from capture.errors import DisplayLostError, NotReadyError
from capture.media import Pixels, Rectangle
from capture.sources.x11.monitors import Screen, monitors_of
from capture.sources.x11.shared_memory import SharedMemory

if TYPE_CHECKING:
    from capture.sources.mss_reader import MssReader
    from capture.sources.x11.xcb import Connection

__all__ = ["X11Reader", "screens_of"]


class X11Reader:
    """Reads the screen of a `Connection`, on its thread. Raises `NotReadyError` if not even mss can."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._memory = SharedMemory.of(connection)
        # For servers that share no memory with this process.
        self._slow: MssReader | None = None if self._memory is not None else _mss_reader()

    def grab(self, area: Rectangle) -> Pixels:
        """Return the pixels of `area`, which must lie on the screen: (height, width, 4). Raises `DisplayLostError`."""
        if self._memory is not None:
            return self._memory.grab(area)
        assert self._slow is not None  # noqa: S101 - one of the two is set
        return self._slow.grab(area)

    def release(self) -> None:
        """Give back the memory that is not needed while nothing is grabbed. Raises `DisplayLostError`."""
        if self._memory is not None:
            self._memory.release()

    def screens(self) -> list[Screen]:
        """Return the current monitors. Raises `DisplayLostError`."""
        try:
            return screens_of(self._connection)
        except NotReadyError as error:
            raise DisplayLostError(f"the monitors cannot be listed ({error.message})") from error

    def renew(self) -> None:
        """Adapt to a new screen size or new monitors. Raises `DisplayLostError`."""
        if self._slow is not None:
            self._slow.reopen()

    def close(self) -> None:
        if self._slow is not None:
            self._slow.close()


def screens_of(connection: Connection) -> list[Screen]:
    """Return the monitors of an X11 desktop, in its order. Raises `DisplayLostError` and `NotReadyError`."""
    found = monitors_of(connection)
    if found is not None:
        return found
    with closing(_mss_reader()) as reader:
        return reader.screens()


def _mss_reader() -> MssReader:
    from capture.sources.mss_reader import MssReader

    return MssReader()
