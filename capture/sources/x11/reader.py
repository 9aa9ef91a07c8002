"""What is on an X11 screen, and which monitors there are: by our own connection, or else by mss."""

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
    """Reads the screen of a `Connection`, in its thread. Raises `NotReadyError`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._memory = SharedMemory.of(connection)
        # For servers that share no memory with this process.
        self._slow: MssReader | None = None if self._memory is not None else _mss_reader()

    def grab(self, area: Rectangle) -> Pixels:
        """What is on the screen in `area`, which must lie on it. Raises `DisplayLostError`."""
        if self._memory is not None:
            return self._memory.grab(area)
        assert self._slow is not None  # noqa: S101 - there is one of both
        return self._slow.grab(area)

    def screens(self) -> list[Screen]:
        """The monitors there are now. Raises `DisplayLostError`."""
        try:
            return screens_of(self._connection)
        except NotReadyError as error:
            raise DisplayLostError(f"the monitors cannot be listed ({error.message})") from error

    def renew(self) -> None:
        """The screen has another size, or other monitors. Raises `DisplayLostError`."""
        if self._slow is not None:
            self._slow.reopen()

    def close(self) -> None:
        if self._slow is not None:
            self._slow.close()


def screens_of(connection: Connection) -> list[Screen]:
    """The monitors of an X11 desktop, in its order. Raises `DisplayLostError`, and `NotReadyError`."""
    told = monitors_of(connection)
    if told is not None:
        return told
    with closing(_mss_reader()) as reader:
        return reader.screens()


def _mss_reader() -> MssReader:
    from capture.sources.mss_reader import MssReader

    return MssReader()
