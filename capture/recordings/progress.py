"""How far work on a file has got, for those who wait for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeAlias

__all__ = ["OnProgress", "part_of", "unwatched", "watched"]

#: How often to report while a file is read. A call for each packet would take as long as reading it.
_REPORTS: Final = 200

#: Called with the share of the work that is done, from 0 to 1.
OnProgress: TypeAlias = Callable[[float], None]


def unwatched(share: float) -> None:
    """Let nobody know."""


def part_of(on_progress: OnProgress, from_share: float, to_share: float) -> OnProgress:
    """Return what reports one step of the work, which begins and ends at these shares of the whole."""
    return lambda share: on_progress(from_share + (to_share - from_share) * min(1.0, max(0.0, share)))


def watched(packets: Iterable[Any], size_bytes: int, on_progress: OnProgress) -> Iterator[Any]:
    """Yield the packets of a file of this size, and report how far into it they have got."""
    due_bytes = 0
    for packet in packets:
        at_bytes = packet.pos
        if at_bytes is not None and at_bytes >= due_bytes:
            on_progress(at_bytes / max(1, size_bytes))
            due_bytes = at_bytes + size_bytes // _REPORTS
        yield packet


def attempt_of(on_progress: OnProgress, number: int) -> OnProgress:
    """Return what reports attempt `number`, counted from 1, of unknown many: each may take half of what is left."""
    return part_of(on_progress, 1.0 - 0.5 ** (number - 1), 1.0 - 0.5**number)
