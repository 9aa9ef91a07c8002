"""How far work on a file has got, for those who wait for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Final, TypeAlias

__all__ = ["OnProgress", "part_of", "unwatched", "watched"]

#: How many packets to read between two reports: one for each of these bytes, up to a limit. Looking at each packet
#: would take a tenth of the time of reading it.
_BYTES_BETWEEN: Final = 100_000
_MOST_BETWEEN: Final = 255

#: Called with the share of the work that is done, from 0 to 1.
OnProgress: TypeAlias = Callable[[float], None]


def unwatched(share: float) -> None:
    """Report to nothing."""


def part_of(on_progress: OnProgress, from_share: float, to_share: float) -> OnProgress:
    """Return what reports one step of the work, which begins and ends at these shares of the whole."""
    return lambda share: on_progress(from_share + (to_share - from_share) * min(1.0, max(0.0, share)))


def watched(packets: Iterable[Any], size_bytes: int, on_progress: OnProgress) -> Iterator[Any]:
    """Yield the packets of a file of this size, and report now and then how far into it they have got."""
    left = iter(packets)
    between = min(_MOST_BETWEEN, size_bytes // _BYTES_BETWEEN)
    for packet in left:
        if packet.pos is not None:
            on_progress(packet.pos / max(1, size_bytes))
        yield packet
        yield from islice(left, between)


def attempt_of(on_progress: OnProgress, number: int) -> OnProgress:
    """Return what reports attempt `number`, counted from 1, of unknown many: each may take half of what is left."""
    return part_of(on_progress, 1.0 - 0.5 ** (number - 1), 1.0 - 0.5**number)
