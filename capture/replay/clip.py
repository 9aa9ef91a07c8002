"""Picks the packets of one clip from the runs of a replay buffer: from a key frame or from the exact moment.

A clip starts at a key frame, at or shortly before the requested moment. A still picture before that moment is moved
right up to it, so that the clip does not start early for nothing.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from capture.replay.packets import PacketRun, ReplayTrack, StoredPacket, units

if TYPE_CHECKING:
    from av.packet import PacketSideData

__all__ = ["LEAD_S", "SQUEEZED_S", "Clip", "TrackPart"]

#: A clip starts at most this long before the requested moment.
LEAD_S: Final = 2.0

#: The frames of a still picture before the requested moment are squeezed: moved right before it, this far apart if they
#: are left out of the file, otherwise as close as frames may be.
SQUEEZED_S: Final = 0.001

#: A squeezed start lies at least this far before the requested moment: an AAC frame at 48 kHz and a little more. The
#: first sound that belongs to the clip starts within this after the clip does.
_SQUEEZED_LEAD_S: Final = 0.022


@dataclass(frozen=True, slots=True)
class TrackPart:
    """The runs of one track that a clip needs, and how many packets the last one had at that moment."""

    track: ReplayTrack
    runs: tuple[PacketRun, ...]
    last_count: int
    priming: int
    notes: tuple[PacketSideData, ...]

    def packets_between(self, start: int, end: int) -> list[StoredPacket]:
        """Return the packets with `start` <= pts < `end`, in units of the track."""
        return [run.packet(index) for run, places in self._places_between(start, end) for index in places]

    def count_between(self, start: int, end: int) -> int:
        """Count those packets without copying them."""
        return sum(len(places) for _, places in self._places_between(start, end))

    def _places_between(self, start: int, end: int) -> Iterator[tuple[PacketRun, range]]:
        for run, count in self._counted():
            yield run, range(bisect_left(run.pts, start, 0, count), bisect_left(run.pts, end, 0, count))

    def last_pts_until(self, limit: int) -> int | None:
        """Return the greatest pts up to `limit`, or None."""
        for run, count in reversed(self._counted()):
            if place := bisect_right(run.pts, limit, 0, count):
                return run.pts[place - 1]
        return None

    def lead_in(self, limit: int) -> list[StoredPacket]:
        """Return the packets up to `limit` of the group that is shown at `limit`."""
        for run, count in reversed(self._counted()):
            if run.pts[0] <= limit:
                return [run.packet(index) for index in range(bisect_right(run.pts, limit, 0, count))]
        return []

    @property
    def first_pts(self) -> int | None:
        return self.runs[0].pts[0] if self.runs else None

    def _counted(self) -> list[tuple[PacketRun, int]]:
        return [(run, len(run.pts)) for run in self.runs[:-1]] + [(run, self.last_count) for run in self.runs[-1:]]


@dataclass(frozen=True, slots=True)
class Clip:
    """The content of a buffer from `asked_s` to `until_s`, with the packets needed before that. Never changes.

    Seconds are media time of the recording, like those of the packets. Keeps the memory of its runs alive.
    """

    asked_s: float
    until_s: float
    parts: tuple[TrackPart, ...]
    #: Whether packets from the encoder follow: they count all frames, so that none can be left out.
    goes_on: bool = False

    @property
    def tracks(self) -> tuple[ReplayTrack, ...]:
        return tuple(part.track for part in self.parts)

    @property
    def is_empty(self) -> bool:
        """Whether the clip has no packets."""
        return not any(self.counts)

    @property
    def counts(self) -> tuple[int, ...]:
        """The number of packets of each track. Copies only the lead-in, of what may be hundreds of megabytes."""
        start_s = self.start_s
        return tuple(
            self._count_pictures() if part.track.is_picture else part.count_between(*self._sound_range(part, start_s))
            for part in self.parts
        )

    @property
    def start_s(self) -> float:
        """Where the clip starts: at a key frame, at most `LEAD_S` before the requested moment and never after it.

        It starts later only if the buffer does not reach back that far. Sound starts up to a packet after this.
        """
        picture = self._picture()
        if picture is None:
            return self._sound_start_s()
        return float(picture[0].pts * self._picture_part().track.time_base)

    def packets(self) -> tuple[list[StoredPacket], ...]:
        """Return the packets of each track; subtract `start_s` from their times and write them."""
        start_s = self.start_s
        return tuple(
            self._pictures() if part.track.is_picture else self._sounds(part, start_s, floor=False)
            for part in self.parts
        )

    def exact_packets(self) -> tuple[list[StoredPacket], ...]:
        """Return the packets of each track for a file that can skip its start: complete from `exact_start_s` on.

        The frame shown at that moment starts with it; the packets needed to decode it and the first sound lie before.
        """
        start_s = self.exact_start_s
        return tuple(
            self._exact_pictures(part, start_s) if part.track.is_picture else self._sounds(part, start_s, floor=True)
            for part in self.parts
        )

    @property
    def exact_start_s(self) -> float:
        """The requested moment, or the first one at which all tracks are there."""
        begins = [
            float((part.first_pts + part.priming) * part.track.time_base)
            for part in self.parts
            if part.first_pts is not None
        ]
        return max(self.asked_s, *begins) if begins else self.asked_s

    def priming(self, track: int) -> int:
        """Return the priming of track number `track`, in units of the track."""
        return self.parts[track].priming

    def notes(self, track: int) -> tuple[PacketSideData, ...]:
        """Return the side data that the first packet of track number `track` needs, on its priming."""
        return self.parts[track].notes

    def sound_before(self, track: int, pts: int, length_s: float) -> list[StoredPacket]:
        """Return the packets of track number `track` that start up to `length_s` before `pts`, if they are kept."""
        part = self.parts[track]
        return part.packets_between(pts - units(length_s, part.track.time_base), pts)

    def _picture_part(self) -> TrackPart:
        return next(part for part in self.parts if part.track.is_picture)

    def _picture(self) -> list[StoredPacket] | None:
        """Return the squeezed lead-in of the picture; None without a picture."""
        part = next((part for part in self.parts if part.track.is_picture), None)
        if part is None or part.first_pts is None:
            return None
        unit_s = part.track.time_base
        asked = max(part.first_pts, units(self.asked_s, unit_s))
        closest = units(part.track.closest_s, unit_s)
        brief = closest if self.goes_on or not part.track.repeats_can_go else units(SQUEEZED_S, unit_s)
        return _squeezed(part.lead_in(asked), asked, unit_s, brief, closest)

    def _pictures(self) -> list[StoredPacket]:
        lead_in = self._picture()
        if not lead_in:
            return []
        return lead_in + self._picture_part().packets_between(*self._range_behind_lead_in())

    def _count_pictures(self) -> int:
        lead_in = self._picture()
        if not lead_in:
            return 0
        return len(lead_in) + self._picture_part().count_between(*self._range_behind_lead_in())

    def _range_behind_lead_in(self) -> tuple[int, int]:
        part = self._picture_part()
        asked = max(part.first_pts or 0, units(self.asked_s, part.track.time_base))
        return asked + 1, self._end(part)

    def _exact_pictures(self, part: TrackPart, start_s: float) -> list[StoredPacket]:
        start = units(start_s, part.track.time_base)
        lead_in = part.lead_in(start)
        if lead_in:
            lead_in[-1] = _at(lead_in[-1], start)
        return lead_in + part.packets_between(start + 1, self._end(part))

    def _end(self, part: TrackPart) -> int:
        return units(self.until_s, part.track.time_base)

    def _sounds(self, part: TrackPart, start_s: float, *, floor: bool) -> list[StoredPacket]:
        """Return the packets of sound that is heard from `start_s` on, after the priming, which is never played.

        With `floor`, the first sound is at `start_s` or up to a packet before, otherwise there or up to a packet after.
        """
        first, end = self._sound_range(part, start_s)
        if floor:
            before = part.last_pts_until(first)
            first = first if before is None else before
        return part.packets_between(first, end)

    def _sound_range(self, part: TrackPart, start_s: float) -> tuple[int, int]:
        return part.track.first_pts(start_s, part.priming), self._end(part)

    def _sound_start_s(self) -> float:
        """Return where a clip of sound alone starts: with a packet heard at the requested moment or before."""
        starts = []
        for part in self.parts:
            if part.first_pts is None:
                continue
            pts = part.last_pts_until(part.track.first_pts(self.asked_s, part.priming))
            pts = part.first_pts if pts is None else pts
            starts.append(float((pts + part.priming) * part.track.time_base))
        return min(starts, default=self.asked_s)


def _at(packet: StoredPacket, pts: int) -> StoredPacket:
    moved = pts - packet.pts
    return StoredPacket(pts, packet.dts + moved, packet.duration, packet.data, packet.is_key, packet.is_repeat)


def _squeezed(
    lead_in: list[StoredPacket], asked: int, time_base: Fraction, repeats_apart: int, frames_apart: int
) -> list[StoredPacket]:
    """Return the group up to the requested moment, moved as close to it as is possible unseen.

    If the whole group is one still picture, it moves right before that moment. Otherwise it keeps its times, except
    that frames more than `LEAD_S` before are shown in quick succession: only a rare group, whose last change came late,
    reaches back that far.
    """
    if not lead_in:
        return []
    count = len(lead_in)
    still = all(packet.is_repeat for packet in lead_in[1:])
    # The second bound matters for thousands of repeats, which only a constant frame rate makes.
    step = min(repeats_apart if still else frames_apart, units(LEAD_S, time_base) // count)
    if still:
        earliest = asked - max(count * step, units(_SQUEEZED_LEAD_S, time_base))
    else:
        earliest = asked - units(LEAD_S, time_base)
    if lead_in[0].pts >= earliest:
        return lead_in
    # Each frame comes at least a step after the one before; the last keeps its pts or, in a still picture, moves right
    # before the requested moment.
    moved = []
    for number, packet in enumerate(lead_in):
        pts = earliest + number * step
        moved.append(_at(packet, pts if still else max(packet.pts, pts)))
    return moved
