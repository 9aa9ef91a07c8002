"""The monitors of an X11 desktop, from the RANDR extension."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from capture.media import Rectangle

if TYPE_CHECKING:
    from capture.sources.x11.xcb import Connection, Extension

__all__ = ["Screen", "monitors_of"]

#: Requests of RANDR 1.5, the first version with monitors, each of which may have several outputs.
_QUERY_VERSION: Final = 0
_GET_OUTPUT_INFO: Final = 9
_GET_MONITORS: Final = 42
_OLDEST: Final = (1, 5)

#: List only the monitors that are on.
_ACTIVE: Final = 1

#: Where the lists in the replies begin, and a monitor's fields before its outputs: a name, whether it is primary and
#: whether it was made automatically, the number of outputs, place and size.
_MONITORS_AT: Final = 32
_MONITOR: Final = struct.Struct("=I??HhhHH8x")
_OUTPUT_LISTS_AT: Final = 36


class Screen(NamedTuple):
    """A monitor. `id` is its number from 1, `name` the system's name of its output.

    On Wayland, `area` is in the desktop's units, of which each takes `scale` pixels; elsewhere in pixels.
    """

    id: str
    name: str
    area: Rectangle
    primary: bool
    scale: float | None = None


def monitors_of(connection: Connection) -> list[Screen] | None:
    """Return the monitors that are on, in the system's order; exactly one of them is primary.

    Returns None if the server does not list monitors. Raises `DisplayLostError`.
    """
    extension = connection.extension("RANDR")
    if extension is None:
        return None
    version = connection.ask(extension.request(_QUERY_VERSION, struct.pack("=II", *_OLDEST)))
    if version is None or struct.unpack_from("=II", version, 8) < _OLDEST:
        return None
    answer = connection.ask(extension.request(_GET_MONITORS, struct.pack("=IB3x", connection.root, _ACTIVE)))
    if answer is None:
        return None
    (count,) = struct.unpack_from("=I", answer, 12)
    found: list[tuple[bool, Rectangle, int | None]] = []
    place = _MONITORS_AT
    for _ in range(count):
        _, primary, _, outputs, left, top, width, height = _MONITOR.unpack_from(answer, place)
        place += _MONITOR.size
        first = struct.unpack_from("=I", answer, place)[0] if outputs else None
        found.append((primary, Rectangle(left, top, width, height), first))
        place += 4 * outputs
    main = next((number for number, (primary, _, _) in enumerate(found) if primary), 0)
    return [
        Screen(str(number + 1), _name(connection, extension, output) or f"screen {number + 1}", area, number == main)
        for number, (_, area, output) in enumerate(found)
    ]


def _name(connection: Connection, extension: Extension, output: int | None) -> str:
    """Return the name of an output, "" if it does not exist."""
    if output is None:
        return ""
    # Time 0 means the current configuration.
    answer = connection.ask(extension.request(_GET_OUTPUT_INFO, struct.pack("=II", output, 0)))
    if answer is None:
        return ""
    controllers, modes, _, copies, length = struct.unpack_from("=5H", answer, 26)
    begin = _OUTPUT_LISTS_AT + 4 * (controllers + modes + copies)
    return answer[begin : begin + length].decode(errors="replace")
