"""When the mouse of an X11 desktop is taken in hand, as the extension SYNC tells.

No event says that the pointer moves. But the server counts for how long it has not been used, and gives alarm when that
falls back to nothing: when a hand moves it, and when a program does.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from capture.sources.x11.xcb import Connection

__all__ = ["Activity"]

#: Requests of SYNC 3, and its second event.
_INITIALIZE: Final = 0
_LIST_COUNTERS: Final = 1
_CREATE_ALARM: Final = 8
_ALARM_NOTIFY: Final = 1
_VERSION: Final = (3, 0)

#: What counts the milliseconds: of the pointer that all mice move, which is always the second device, or of everything
#: that people use. Servers older than ten years have the latter alone.
_COUNTERS: Final = ("DEVICEIDLETIME 2", "IDLETIME")

#: Where the list of counters begins, and what stands in it before a name.
_COUNTERS_AT: Final = 32
_COUNTER: Final = struct.Struct("=I8xH")

#: What is told of an alarm: its number, that all of this follows, the counter, how its value is meant, the value in two
#: halves, the test, by how much the value grows after it in two halves, and whether there is an event.
_ALARM: Final = struct.Struct("=IIIIiIIiII")
_ALL_OF_IT: Final = 0x3F
_ABSOLUTE: Final = 0
_FALLS_TO: Final = 1

#: What has rested for less is still in use.
_RESTED_MS: Final = 100


class Activity:
    """Has a connection told when the mouse is used after a rest. Make it by `of`."""

    def __init__(self, event: int, alarm: int) -> None:
        self._event = event
        self._alarm = alarm

    @classmethod
    def of(cls, connection: Connection) -> Self | None:
        """None where the server does not tell. Raises `DisplayLostError`."""
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
        connection.tell(extension.request(_CREATE_ALARM, how))
        return cls(extension.first_event + _ALARM_NOTIFY, alarm)

    def is_told_by(self, event: bytes) -> bool:
        """Whether one of the connection's events says so."""
        return event[0] & 0x7F == self._event and struct.unpack_from("=I", event, 4)[0] == self._alarm


def _counters(answer: bytes) -> dict[str, int]:
    """What is counted, by name."""
    found = {}
    place = _COUNTERS_AT
    (count,) = struct.unpack_from("=I", answer, 8)
    for _ in range(count):
        number, length = _COUNTER.unpack_from(answer, place)
        place += _COUNTER.size
        found[answer[place : place + length].decode(errors="replace")] = number
        place += length + -(_COUNTER.size + length) % 4
    return found
