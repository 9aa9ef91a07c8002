"""Reports when the mouse of an X11 desktop is used after a rest, through the SYNC extension.

No event reports that the pointer moves. But the server counts how long it has been idle, and triggers an alarm when
that drops back to zero, whether a hand or a program moved it.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from capture.sources.x11.xcb import Connection

__all__ = ["PointerActivity"]

#: Requests of SYNC 3, and its second event.
_INITIALIZE: Final = 0
_LIST_COUNTERS: Final = 1
_CREATE_ALARM: Final = 8
_ALARM_NOTIFY: Final = 1
_VERSION: Final = (3, 0)

#: The counters of idle milliseconds: of the pointer that all mice move, which is always device 2; or of all input.
#: Servers older than ten years have only the latter.
_COUNTERS: Final = ("DEVICEIDLETIME 2", "IDLETIME")

#: Where the list of counters begins, and a counter's fields before its name.
_COUNTERS_AT: Final = 32
_COUNTER: Final = struct.Struct("=I8xH")

#: The fields of a new alarm: its number, a mask saying that all fields follow, the counter, the value's type, the value
#: in two halves, the test, the value's increment in two halves, and whether to send an event.
_ALARM: Final = struct.Struct("=IIIIiIIiII")
_ALL_OF_IT: Final = 0x3F
_ABSOLUTE: Final = 0
_FALLS_TO: Final = 1

#: A pointer idle for less than this counts as still in use.
_RESTED_MS: Final = 100


class PointerActivity:
    """An alarm that reports on a connection when the mouse is used after a rest. Make it with `of`."""

    def __init__(self, event: int, alarm: int) -> None:
        self._event = event
        self._alarm = alarm

    @classmethod
    def of(cls, connection: Connection) -> Self | None:
        """Set the alarm on `connection`; returns None if the server has no such counter. Raises `DisplayLostError`."""
        extension = connection.extension("SYNC")
        if extension is None:
            return None
        connection.ask(extension.request(_INITIALIZE, struct.pack("=BBxx", *_VERSION)))
        answer = connection.ask(extension.request(_LIST_COUNTERS))
        found = {} if answer is None else _counters(answer)
        counter = next((found[name] for name in _COUNTERS if name in found), None)
        if counter is None:
            return None
        alarm = connection.new_id()
        how = _ALARM.pack(alarm, _ALL_OF_IT, counter, _ABSOLUTE, 0, _RESTED_MS, _FALLS_TO, 0, 0, True)
        connection.send(extension.request(_CREATE_ALARM, how))
        return cls(extension.first_event + _ALARM_NOTIFY, alarm)

    def is_reported_by(self, event: bytes) -> bool:
        """Whether this event of the connection is the alarm."""
        return event[0] & 0x7F == self._event and struct.unpack_from("=I", event, 4)[0] == self._alarm


def _counters(answer: bytes) -> dict[str, int]:
    """Return the counters' numbers by name."""
    found = {}
    place = _COUNTERS_AT
    (count,) = struct.unpack_from("=I", answer, 8)
    for _ in range(count):
        number, length = _COUNTER.unpack_from(answer, place)
        place += _COUNTER.size
        found[answer[place : place + length].decode(errors="replace")] = number
        place += length + -(_COUNTER.size + length) % 4
    return found
