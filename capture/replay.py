"""The last seconds of every track, encoded and in memory, and what is taken out of them to be saved.

The picture is kept in groups that begin with a key frame, the sound in runs of about a second, each as one block of
bytes and a few numbers a packet. Old groups go whole, the sound before the oldest of them with them. What was added is
never changed, so that a `Clip` is a handful of references and stays what it was while the buffer goes on filling.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from capture.encoder import is_repeat

if TYPE_CHECKING:
    import av
    from av.packet import PacketSideData
    from av.stream import Stream

__all__ = ["Clip", "KeptPacket", "ReplayBuffer", "ReplayTrack", "as_packet"]

#: How long a run of sound is: what is dropped at once, and by how much more than asked is kept.
_RUN_S: Final = 1.0

#: At most so long before the moment that was asked for does a clip begin.
LEAD_S: Final = 2.0

#: Pictures of a still stretch that come before the asked moment are shown this far from each other, right before it.
SQUEEZED_S: Final = 0.001

#: A squeezed beginning lies at least this far before the asked moment, a frame of AAC at 48 kHz and a little more: the
#: first sound that reaches into the clip begins within this after the clip does.
_SQUEEZED_LEAD_S: Final = 0.022

#: What a run takes beside its packets, and a packet beside its payload: pts, dts, duration, end, flags.
_RUN_BYTES: Final = 1_000
_PACKET_BYTES: Final = 4 * 8 + 1

#: The longest packet of sound, one of FLAC, in samples.
_FRAME_UNITS: Final = 4608

_KEY: Final = 1
_REPEAT: Final = 2


class ReplayTrack(NamedTuple):
    """One track: what it is made of, and the unit of its times. `template` is what a muxer makes its track from."""

    is_picture: bool
    time_base: Fraction
    template: Stream | None = None

    @classmethod
    def of(cls, template: Stream) -> ReplayTrack:
        """The track that an encoder with this `template` fills."""
        return cls(template.type == "video", Fraction(template.time_base or 1), template)


class KeptPacket(NamedTuple):
    """A packet taken out again. Times are in units of its track and on the time line of what was recorded."""

    pts: int
    dts: int
    duration: int
    data: bytes
    is_key: bool
    is_repeat: bool


def as_packet(kept: KeptPacket, time_base: Fraction, origin: int = 0) -> av.Packet[Any]:
    """`kept` as a muxer takes it; its times, and the `origin` they are to count from, are in units of `time_base`."""
    import av

    packet: av.Packet[Any] = av.Packet(kept.data)
    packet.pts, packet.dts, packet.time_base = kept.pts - origin, kept.dts - origin, time_base
    packet.is_keyframe = kept.is_key
    if kept.duration:
        packet.duration = kept.duration
    return packet


class _Run:
    """Packets of one track, one after the other. One thread adds; what is there already never changes."""

    __slots__ = ("begins_s", "dts", "durations", "ends", "flags", "payload", "pts", "size_bytes")

    def __init__(self, begins_s: float) -> None:
        self.begins_s = begins_s
        self.pts = array("q")
        self.dts = array("q")
        self.durations = array("q")
        self.ends = array("Q")
        self.flags = bytearray()
        self.payload: bytearray | bytes = bytearray()
        self.size_bytes = _RUN_BYTES

    def add(self, packet: av.Packet[Any]) -> int:
        """Keep a copy of `packet`; return by how many bytes this grew."""
        assert isinstance(self.payload, bytearray)  # noqa: S101 - nothing is added to a run that was closed
        self.payload += memoryview(packet)
        pts = packet.pts or 0
        self.pts.append(pts)
        self.dts.append(packet.dts if packet.dts is not None else pts)
        self.durations.append(packet.duration or 0)
        self.ends.append(len(self.payload))
        self.flags.append(_KEY * packet.is_keyframe | _REPEAT * is_repeat(packet))
        grown = packet.size + _PACKET_BYTES
        self.size_bytes += grown
        return grown

    def close(self) -> None:
        """Give back what was reserved for growing, an eighth."""
        self.payload = bytes(self.payload)

    def packet(self, index: int) -> KeptPacket:
        start = self.ends[index - 1] if index else 0
        flags = self.flags[index]
        data = bytes(self.payload[start : self.ends[index]])
        return KeptPacket(
            self.pts[index], self.dts[index], self.durations[index], data, bool(flags & _KEY), bool(flags & _REPEAT)
        )


class _Lane:
    """One track in the buffer."""

    def __init__(self, track: ReplayTrack) -> None:
        self.track = track
        self.runs: deque[_Run] = deque()
        self.unit_s = float(track.time_base)
        self.run_units = round(_RUN_S / track.time_base)
        #: What an encoder of sound puts before its first sample, in units of the track; None before the first packet.
        self.priming: int | None = None
        #: What the first packet said about the priming; LAME's does, and the muxer of MP3 wants to hear it.
        self.notes: tuple[PacketSideData, ...] = ()
        #: The end of the newest packet on the common time line.
        self.end_s = 0.0
        # After a whole group had to go only the next one can be kept.
        self.awaits_key = track.is_picture

    def starts_run(self, packet: av.Packet[Any]) -> bool:
        if not self.runs:
            return True
        if self.track.is_picture:
            return packet.is_keyframe
        return (packet.pts or 0) - self.runs[-1].pts[0] >= self.run_units


@dataclass(frozen=True, slots=True)
class _Part:
    """The runs of one track that a clip needs, and how much of the last one was there."""

    track: ReplayTrack
    runs: tuple[_Run, ...]
    last_count: int
    priming: int
    notes: tuple[PacketSideData, ...]

    def packets_between(self, start: int, end: int) -> list[KeptPacket]:
        """Those with a pts from `start` on and before `end`, in units of the track."""
        return [run.packet(index) for run, places in self._places_between(start, end) for index in places]

    def count_between(self, start: int, end: int) -> int:
        """How many those are; nothing is copied."""
        return sum(len(places) for _, places in self._places_between(start, end))

    def _places_between(self, start: int, end: int) -> Iterator[tuple[_Run, range]]:
        for run, count in self._counted():
            yield run, range(bisect_left(run.pts, start, 0, count), bisect_left(run.pts, end, 0, count))

    def last_pts_until(self, limit: int) -> int | None:
        """The greatest pts up to `limit`; None where there is none."""
        for run, count in reversed(self._counted()):
            if place := bisect_right(run.pts, limit, 0, count):
                return run.pts[place - 1]
        return None

    def lead_in(self, limit: int) -> list[KeptPacket]:
        """The packets of the group that is shown at `limit`, up to it."""
        for run, count in reversed(self._counted()):
            if run.pts[0] <= limit:
                return [run.packet(index) for index in range(bisect_right(run.pts, limit, 0, count))]
        return []

    @property
    def first_pts(self) -> int | None:
        return self.runs[0].pts[0] if self.runs else None

    def _counted(self) -> list[tuple[_Run, int]]:
        return [(run, len(run.pts)) for run in self.runs[:-1]] + [(run, self.last_count) for run in self.runs[-1:]]


@dataclass(frozen=True, slots=True)
class Clip:
    """What was in a buffer at one moment, from `asked_s` to `until_s` and what has to come before; never changes.

    Seconds are those of the packets: media time of what is recorded. Holds on to the memory of what it refers to.
    """

    asked_s: float
    until_s: float
    parts: tuple[_Part, ...]

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

    def packets(self) -> tuple[list[KeptPacket], ...]:
        """The packets of each track, ready to be written once `start_s` is taken from their times."""
        start_s = self.start_s
        return tuple(
            self._pictures() if part.track.is_picture else self._sounds(part, start_s, floor=False)
            for part in self.parts
        )

    def exact_packets(self) -> tuple[list[KeptPacket], ...]:
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

    def sound_before(self, track: int, pts: int, length_s: float) -> list[KeptPacket]:
        """The packets of track number `track` that begin up to `length_s` before `pts`, as far as they are there."""
        part = self.parts[track]
        return part.packets_between(pts - _units(length_s, part.track.time_base), pts)

    def _picture_part(self) -> _Part:
        return next(part for part in self.parts if part.track.is_picture)

    def _picture(self) -> list[KeptPacket] | None:
        """The lead-in of the picture, restamped; None without a picture."""
        part = next((part for part in self.parts if part.track.is_picture), None)
        if part is None or part.first_pts is None:
            return None
        unit_s = part.track.time_base
        asked = max(part.first_pts, _units(self.asked_s, unit_s))
        return _squeezed(part.lead_in(asked), asked, unit_s)

    def _pictures(self) -> list[KeptPacket]:
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
        asked = max(part.first_pts or 0, _units(self.asked_s, part.track.time_base))
        return asked + 1, self._end(part)

    def _exact_pictures(self, part: _Part, start_s: float) -> list[KeptPacket]:
        start = _units(start_s, part.track.time_base)
        lead_in = part.lead_in(start)
        if lead_in:
            lead_in[-1] = _at(lead_in[-1], start)
        return lead_in + part.packets_between(start + 1, self._end(part))

    def _end(self, part: _Part) -> int:
        return _units(self.until_s, part.track.time_base)

    def _sounds(self, part: _Part, start_s: float, *, floor: bool) -> list[KeptPacket]:
        """Sound whose first packet, whose priming is never played, lets it be heard from `start_s` on.

        With `floor` from there or a little before, else from there or a little after.
        """
        first, end = self._sound_range(part, start_s)
        if floor:
            before = part.last_pts_until(first)
            first = first if before is None else before
        return part.packets_between(first, end)

    def _sound_range(self, part: _Part, start_s: float) -> tuple[int, int]:
        return _units(start_s, part.track.time_base) - part.priming, self._end(part)

    def _sound_start_s(self) -> float:
        """Where a clip of sound alone begins: with a packet that is heard from the asked moment or before."""
        starts = []
        for part in self.parts:
            if part.first_pts is None:
                continue
            wanted = _units(self.asked_s, part.track.time_base) - part.priming
            pts = part.last_pts_until(wanted)
            pts = part.first_pts if pts is None else pts
            starts.append(float((pts + part.priming) * part.track.time_base))
        return min(starts, default=self.asked_s)


def _units(at_s: float, time_base: Fraction) -> int:
    return round(at_s * time_base.denominator / time_base.numerator)


def _at(packet: KeptPacket, pts: int) -> KeptPacket:
    moved = pts - packet.pts
    return KeptPacket(pts, packet.dts + moved, packet.duration, packet.data, packet.is_key, packet.is_repeat)


def _squeezed(lead_in: list[KeptPacket], asked: int, time_base: Fraction) -> list[KeptPacket]:
    """The group up to the asked moment, brought so close to it as it can be without being seen.

    Where all of it is one picture that stands still, it is shown just before. Else it stays as it was, but what lies
    more than `LEAD_S` before is shown quickly: so far back only the rare group reaches whose last change came late.
    """
    if not lead_in:
        return []
    count = len(lead_in)
    still = all(packet.is_repeat for packet in lead_in[1:])
    # Thousands of repeats come only with a constant rate.
    step = min(_units(SQUEEZED_S, time_base), _units(LEAD_S, time_base) // count)
    if still:
        earliest = asked - max(count * step, _units(_SQUEEZED_LEAD_S, time_base))
    else:
        earliest = asked - _units(LEAD_S, time_base)
    if lead_in[0].pts >= earliest:
        return lead_in
    # Each at least a step after the one before, and the last where it was or, standing still, before the asked moment.
    moved = []
    for number, packet in enumerate(lead_in):
        pts = earliest + number * step
        moved.append(_at(packet, pts if still else max(packet.pts, pts)))
    return moved


class ReplayBuffer:
    """The last `last_s` seconds of `tracks`, of which at most one is a picture, in at most `limit_bytes`.

    Each track is filled by one thread; everything else is for any.
    """

    def __init__(self, last_s: float, limit_bytes: int, tracks: Sequence[ReplayTrack]) -> None:
        self._last_s = last_s
        self._limit_bytes = limit_bytes
        self._lanes = [_Lane(track) for track in tracks]
        self._pictures = next((lane for lane in self._lanes if lane.track.is_picture), None)
        self._size_bytes = 0
        self._lock = threading.Lock()

    @property
    def size_bytes(self) -> int:
        """Memory of what is kept, what a group still being filled has reserved for growing left out."""
        return self._size_bytes

    @property
    def seconds(self) -> float:
        """How much could be saved now: at most `last_s`."""
        with self._lock:
            begins = self._begins_s()
            return 0.0 if begins is None else min(self._last_s, max(0.0, self._end_s() - begins))

    def add(self, track: int, packets: Sequence[av.Packet[Any]]) -> None:
        """Keep copies of the next packets of track number `track`, in their order."""
        lane = self._lanes[track]
        for packet in packets:
            if packet.size:
                self._add(lane, packet)

    def _add(self, lane: _Lane, packet: av.Packet[Any]) -> None:
        pts = packet.pts or 0
        if lane.priming is None:
            lane.priming = 0 if lane.track.is_picture else max(0, -pts)
            lane.notes = tuple(packet.iter_sidedata())
        closed = None
        with self._lock:
            if lane.awaits_key and not packet.is_keyframe:
                return
            lane.awaits_key = False
            if lane.starts_run(packet):
                closed = lane.runs[-1] if lane.runs else None
                lane.runs.append(_Run(pts * lane.unit_s))
                self._size_bytes += _RUN_BYTES
            self._size_bytes += lane.runs[-1].add(packet)
            lane.end_s = (pts + (packet.duration or 0)) * lane.unit_s
            self._drop_old()
        if closed is not None:
            closed.close()

    def snapshot(self, last_s: float, until_s: float | None = None) -> Clip:
        """What is kept of the `last_s` seconds before `until_s`, by default before the end of what came so far.

        Takes references and no copies; as long as the clip lives, so does the memory that it refers to.
        """
        with self._lock:
            end_s = self._end_s() if until_s is None else min(until_s, self._end_s())
            asked_s = max(0.0, end_s - last_s)
            return Clip(asked_s, end_s, tuple(_part(lane, asked_s, end_s) for lane in self._lanes))

    def snapshot_since(self, asked_s: float) -> Clip:
        """What is kept from `asked_s` on, and all that was added so far."""
        with self._lock:
            # The newest picture has no length yet, and would lie at the end instead of before it.
            end_s = self._end_s() + SQUEEZED_S
            return Clip(asked_s, end_s, tuple(_part(lane, asked_s, end_s) for lane in self._lanes))

    def _end_s(self) -> float:
        return max((lane.end_s for lane in self._lanes), default=0.0)

    def _begins_s(self) -> float | None:
        """From when on everything is there; the sound alone, where there is no picture."""
        if self._pictures is not None:
            return self._pictures.runs[0].begins_s if self._pictures.runs else None
        begins = [max(0.0, lane.runs[0].begins_s) for lane in self._lanes if lane.runs]
        return max(begins, default=None)

    def _drop_old(self) -> None:
        """Let go of what is older than wanted, and of the oldest while it is too much."""
        oldest_s = self._end_s() - self._last_s
        main = self._pictures
        if main is not None:
            while len(main.runs) > 1 and main.runs[1].begins_s <= oldest_s:
                self._drop_first(main)
        self._drop_sound_before(oldest_s)
        while self._size_bytes > self._limit_bytes and any(lane.runs for lane in self._lanes):
            if main is not None and main.runs:
                self._drop_first(main)
                main.awaits_key = not main.runs
                self._drop_sound_before(main.runs[0].begins_s if main.runs else oldest_s)
            else:
                filled = [lane for lane in self._lanes if lane.runs]
                self._drop_first(min(filled, key=lambda lane: lane.runs[0].begins_s))

    def _drop_sound_before(self, begin_s: float) -> None:
        """Let go of the runs of sound that end before `begin_s` and before the oldest picture."""
        if self._pictures is not None and self._pictures.runs:
            # A group may begin before what is wanted: its sound is kept as well, with a packet for the priming.
            begin_s = self._pictures.runs[0].begins_s
        for lane in self._lanes:
            if lane.track.is_picture:
                continue
            margin_s = ((lane.priming or 0) + _FRAME_UNITS) * lane.unit_s
            while len(lane.runs) > 1 and lane.runs[1].begins_s <= begin_s - margin_s:
                self._drop_first(lane)

    def _drop_first(self, lane: _Lane) -> None:
        self._size_bytes -= lane.runs.popleft().size_bytes


def _part(lane: _Lane, asked_s: float, end_s: float) -> _Part:
    """The runs that reach into the time from `asked_s` to `end_s`, and those before that they need."""
    # In units, as their packets are chosen: in seconds, a run that begins at the very end might still be within it.
    begins = [run.pts[0] for run in lane.runs]
    # Sound may have to begin two seconds and a little earlier, with the picture.
    start_s = asked_s if lane.track.is_picture else asked_s - LEAD_S - _RUN_S
    first = max(0, bisect_right(begins, _units(start_s, lane.track.time_base)) - 1)
    runs = tuple(lane.runs)[first : bisect_left(begins, _units(end_s, lane.track.time_base))]
    return _Part(lane.track, runs, len(runs[-1].pts) if runs else 0, lane.priming or 0, lane.notes)
