"""Refuses what would keep a reader busy out of all proportion to how long a recording lasts.

A recording takes as long to read as it has sound and pictures. A file that was built to harm has millions of packets in
no time, or claims years.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeAlias

import av
from av.container import InputContainer
from av.stream import Stream

from capture.errors import RecordingError
from capture.media import in_seconds
from capture.recordings.check import CheckReport
from capture.recordings.headers import excess_in
from capture.recordings.headers.bounds import TRUST, most_packets
from capture.recordings.opening import PATIENCE_S

__all__ = ["excess_of", "hold_headers", "hold_length", "paced"]

_Packet: TypeAlias = "av.Packet[Any]"

#: A file can claim to last for years: at a constant rate, each second would take frames. No recording is this long.
_LONGEST_S: Final = 86_400.0

#: The shortest packets of sound last 2.5 ms, and cameras are slower. Each packet takes about 20 µs to decode, however
#: little it plays. Some files do not say how long their packets are: a few are always allowed.
_MOST_PACKETS_PER_S: Final = 1_000
_MOST_PACKETS: Final = 100_000

#: A telephone has 8000 samples a second. Each is made as many as it takes for a rate of 48000.
_LEAST_RATE: Final = 1_000

#: How many packets may come at one moment, where their times are known: cut files begin with some.
_MOST_AT_ONCE: Final = 20_000

#: How many packets to read before looking at the time again.
_UNWATCHED: Final = 1_000

_TOO_LONG: Final = f"it claims to last longer than {_LONGEST_S / 3600:g} hours"


def excess_of(found: CheckReport) -> str:
    """Return what of a checked recording is out of all proportion, as a sentence; "" for nothing."""
    if found.duration_s > _LONGEST_S:
        return _TOO_LONG
    for track in found.streams:
        if track.packets > _MOST_PACKETS + _MOST_PACKETS_PER_S * track.duration_s:
            return _too_many(track.packets, track.duration_s)
        if track.kind == "audio" and 0 < track.sample_rate < _LEAST_RATE:
            return f"its sound has {track.sample_rate:,} samples a second"
    return ""


def paced(container: InputContainer, tracks: Sequence[Stream], *, limits: bool = True) -> Iterator[_Packet]:
    """Yield the packets of these tracks; without `limits` however many there are.

    Raises `RecordingError`, without the path, for more than a recording of this size or this length has, and when
    FFmpeg has looked for one for too long: the container is opened with such a limit.
    """
    packets = container.demux(list(tracks))
    try:
        if not limits:
            yield from packets
            return
        most = most_packets(container.size)
        first_s: float | None = None
        reached_s = 0.0
        for count, packet in enumerate(packets, 1):
            if not count % _UNWATCHED:
                if packet.pts is not None:
                    at_s = in_seconds(packet.pts, packet.time_base)
                    first_s = at_s if first_s is None else first_s
                    reached_s = max(reached_s, at_s - first_s)
                at_once = _MOST_PACKETS if first_s is None else _MOST_AT_ONCE
                if count > most:
                    raise RecordingError(f"it holds more than {most:,} packets", TRUST)
                hold_length(reached_s)
                if count > len(tracks) * (at_once + _MOST_PACKETS_PER_S * reached_s):
                    raise RecordingError(_too_many(count, reached_s), TRUST)
            yield packet
    except av.error.ExitError as error:
        raise RecordingError(f"no packet was found in it for {PATIENCE_S:g} s", "see capture check") from error


def hold_headers(path: Path) -> None:
    """Raise `RecordingError`, without the path, for headers that claim too much.

    A file that cannot be read passes: opening it says why.
    """
    with suppress(OSError):
        if excess := excess_in(path):
            raise RecordingError(excess)


def hold_length(length_s: float) -> None:
    """Raise `RecordingError`, without the path, for a length or a hole that no recording has."""
    if length_s > _LONGEST_S:
        raise RecordingError(_TOO_LONG, TRUST)


def _too_many(packets: int, duration_s: float) -> str:
    return f"a track of {duration_s:.1f} s has {packets:,} packets"
