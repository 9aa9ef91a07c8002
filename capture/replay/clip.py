"""What a replay buffer gives for one clip."""

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

#: At most so long before the moment that was asked for does a clip begin.
LEAD_S: Final = 2.0


#: Pictures of a still stretch that come before the asked moment are shown this far from each other, right before it.
SQUEEZED_S: Final = 0.001


#: A squeezed beginning lies at least this far before the asked moment, a frame of AAC at 48 kHz and a little more: the
#: first sound that reaches into the clip begins within this after the clip does.
_SQUEEZED_LEAD_S: Final = 0.022


@dataclass(frozen=True, slots=True)
class TrackPart:
    """The runs of one track that a clip needs, and how much of the last one was there."""

    track: ReplayTrack
    runs: tuple[PacketRun, ...]
    last_count: int
    priming: int
    notes: tuple[PacketSideData, ...]

    def packets_between(self, start: int, end: int) -> list[StoredPacket]:
        """Those with a pts from `start` on and before `end`, in units of the track."""
        return [run.packet(index) for run, places in self._places_between(start, end) for index in places]

    def count_between(self, start: int, end: int) -> int:
        """How many those are; nothing is copied."""
        return sum(len(places) for _, places in self._places_between(start, end))

    def _places_between(self, start: int, end: int) -> Iterator[tuple[PacketRun, range]]:
        for run, count in self._counted():
            yield run, range(bisect_left(run.pts, start, 0, count), bisect_left(run.pts, end, 0, count))

    def last_pts_until(self, limit: int) -> int | None:
        """The greatest pts up to `limit`; None where there is none."""
        for run, count in reversed(self._counted()):
            if place := bisect_right(run.pts, limit, 0, count):
                return run.pts[place - 1]
        return None

    def lead_in(self, limit: int) -> list[StoredPacket]:
        """The packets of the group that is shown at `limit`, up to it."""
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
    """What was in a buffer at one moment, from `asked_s` to `until_s` and what has to come before; never changes.

    Seconds are those of the packets: media time of what is recorded. Holds on to the memory of what it refers to.
    """

    asked_s: float
    until_s: float
    parts: tuple[TrackPart, ...]

    @property
    def tracks(self) -> tuple[ReplayTrack, ...]:
        return tuple(part.track for part in self.parts)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was recorded in that time."""
        return not any(self.counts)

    @property
    def counts(self) -> tuple[int, ...]:
        """How many packets each track has; of what may be hundreds of megabytes only the lead-in is copied for it."""
        start_s = self.start_s
        return tuple(
            self._count_pictures() if part.track.is_picture else part.count_between(*self._sound_range(part, start_s))
            for part in self.parts
        )

    @property
    def start_s(self) -> float:
        """Where the clip begins: at a key frame, at most `LEAD_S` before what was asked and never after.

        Later only where the buffer does not reach back so far. Sound begins up to a packet after this.
        """
        picture = self._picture()
        if picture is None:
            return self._sound_start_s()
        return float(picture[0].pts * self._picture_part().track.time_base)

    def packets(self) -> tuple[list[StoredPacket], ...]:
        """The packets of each track, ready to be written once `start_s` is taken from their times."""
        start_s = self.start_s
        return tuple(
            self._pictures() if part.track.is_picture else self._sounds(part, start_s, floor=False)
            for part in self.parts
        )

    def exact_packets(self) -> tuple[list[StoredPacket], ...]:
        """As `packets`, for a file that can leave its beginning out: whole from `exact_start_s` on.

        The picture of that moment begins with it; what is needed to decode it and the first sound lies before.
        """
        start_s = self.exact_start_s
        return tuple(
            self._exact_pictures(part, start_s) if part.track.is_picture else self._sounds(part, start_s, floor=True)
            for part in self.parts
        )

    @property
    def exact_start_s(self) -> float:
        """The asked moment, or the first one that is there."""
        begins = [
            float((part.first_pts + part.priming) * part.track.time_base)
            for part in self.parts
            if part.first_pts is not None
        ]
        return max(self.asked_s, *begins) if begins else self.asked_s

    def priming(self, track: int) -> int:
        """What the encoder put before the first sample of track number `track`, in units of the track."""
        return self.parts[track].priming

    def notes(self, track: int) -> tuple[PacketSideData, ...]:
        """What the first packet of track number `track` is to say about its priming."""
        return self.parts[track].notes

    def sound_before(self, track: int, pts: int, length_s: float) -> list[StoredPacket]:
        """The packets of track number `track` that begin up to `length_s` before `pts`, as far as they are there."""
        part = self.parts[track]
        return part.packets_between(pts - units(length_s, part.track.time_base), pts)

    def _picture_part(self) -> TrackPart:
        return next(part for part in self.parts if part.track.is_picture)

    def _picture(self) -> list[StoredPacket] | None:
        """The lead-in of the picture, restamped; None without a picture."""
        part = next((part for part in self.parts if part.track.is_picture), None)
        if part is None or part.first_pts is None:
            return None
        unit_s = part.track.time_base
        asked = max(part.first_pts, units(self.asked_s, unit_s))
        return _squeezed(part.lead_in(asked), asked, unit_s)

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
        """Sound whose first packet, whose priming is never played, lets it be heard from `start_s` on.

        With `floor` from there or a little before, else from there or a little after.
        """
        first, end = self._sound_range(part, start_s)
        if floor:
            before = part.last_pts_until(first)
            first = first if before is None else before
        return part.packets_between(first, end)

    def _sound_range(self, part: TrackPart, start_s: float) -> tuple[int, int]:
        return units(start_s, part.track.time_base) - part.priming, self._end(part)

    def _sound_start_s(self) -> float:
        """Where a clip of sound alone begins: with a packet that is heard from the asked moment or before."""
        starts = []
        for part in self.parts:
            if part.first_pts is None:
                continue
            wanted = units(self.asked_s, part.track.time_base) - part.priming
            pts = part.last_pts_until(wanted)
            pts = part.first_pts if pts is None else pts
            starts.append(float((pts + part.priming) * part.track.time_base))
        return min(starts, default=self.asked_s)


def _at(packet: StoredPacket, pts: int) -> StoredPacket:
    moved = pts - packet.pts
    return StoredPacket(pts, packet.dts + moved, packet.duration, packet.data, packet.is_key, packet.is_repeat)


def _squeezed(lead_in: list[StoredPacket], asked: int, time_base: Fraction) -> list[StoredPacket]:
    """The group up to the asked moment, brought so close to it as it can be without being seen.

    Where all of it is one picture that stands still, it is shown just before. Else it stays as it was, but what lies
    more than `LEAD_S` before is shown quickly: so far back only the rare group reaches whose last change came late.
    """
    if not lead_in:
        return []
    count = len(lead_in)
    still = all(packet.is_repeat for packet in lead_in[1:])
    # Thousands of repeats come only with a constant rate.
    step = min(units(SQUEEZED_S, time_base), units(LEAD_S, time_base) // count)
    if still:
        earliest = asked - max(count * step, units(_SQUEEZED_LEAD_S, time_base))
    else:
        earliest = asked - units(LEAD_S, time_base)
    if lead_in[0].pts >= earliest:
        return lead_in
    # Each at least a step after the one before, and the last where it was or, standing still, before the asked moment.
    moved = []
    for number, packet in enumerate(lead_in):
        pts = earliest + number * step
        moved.append(_at(packet, pts if still else max(packet.pts, pts)))
    return moved
