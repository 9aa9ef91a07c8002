"""Keeps the last seconds of every track, encoded, in memory, and takes clips out of them.

The buffer drops the picture in whole groups, each starting with a key frame, and with a group the sound before the next
one. Stored packets never change, so a `Clip` is only a few references, and stays as it is while the buffer fills on.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from capture.replay.clip import LEAD_S, SQUEEZED_S, Clip, TrackPart
from capture.replay.packets import LONGEST_PACKET_UNITS, RUN_BYTES, RUN_S, PacketRun, ReplayTrack, units

if TYPE_CHECKING:
    import av
    from av.packet import PacketSideData

__all__ = ["ReplayBuffer"]


class _Lane:
    """One track in the buffer."""

    def __init__(self, track: ReplayTrack) -> None:
        self.track = track
        self.runs: deque[PacketRun] = deque()
        self.unit_s = float(track.time_base)
        self.run_units = round(RUN_S / track.time_base)
        #: The priming that an audio encoder puts before its first sample, in units of the track; None before the first
        #: packet.
        self.priming: int | None = None
        #: The side data of the first packet. LAME describes its priming there, and the MP3 muxer needs it.
        self.notes: tuple[PacketSideData, ...] = ()
        #: The end of the newest packet on the common time line.
        self.end_s = 0.0
        # After the current group was dropped, packets are useless up to the next key frame.
        self.awaits_key = track.is_picture

    def starts_run(self, packet: av.Packet[Any]) -> bool:
        """Whether `packet` begins a new run."""
        if not self.runs:
            return True
        if self.track.is_picture:
            return packet.is_keyframe
        return (packet.pts or 0) - self.runs[-1].pts[0] >= self.run_units


class ReplayBuffer:
    """Keeps the last `last_s` seconds of `tracks`, at most one of them a picture, in at most `limit_bytes`.

    One thread fills each track; any thread may call everything else.
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
        """The memory in use, without what the current runs have reserved for growth."""
        return self._size_bytes

    @property
    def seconds(self) -> float:
        """How many seconds could be saved now, at most `last_s`."""
        with self._lock:
            begins = self._begins_s()
            return 0.0 if begins is None else min(self._last_s, max(0.0, self._end_s() - begins))

    def add(self, track: int, packets: Sequence[av.Packet[Any]]) -> None:
        """Append copies of the next packets of track number `track`."""
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
                lane.runs.append(PacketRun(pts * lane.unit_s))
                self._size_bytes += RUN_BYTES
            self._size_bytes += lane.runs[-1].add(packet)
            lane.end_s = (pts + (packet.duration or 0)) * lane.unit_s
            self._drop_old()
        if closed is not None:
            closed.close()

    def snapshot(self, last_s: float, until_s: float | None = None) -> Clip:
        """Return the `last_s` seconds before `until_s`, by default before the newest packet's end.

        The clip holds references, not copies, and keeps that memory alive as long as it lives.
        """
        with self._lock:
            end_s = self._end_s() if until_s is None else min(until_s, self._end_s())
            asked_s = max(0.0, end_s - last_s)
            return Clip(asked_s, end_s, tuple(_part(lane, asked_s, end_s) for lane in self._lanes))

    def snapshot_since(self, asked_s: float) -> Clip:
        """Return everything from `asked_s` on."""
        with self._lock:
            # The newest frame has no duration yet: without this, it would lie at the end instead of before it.
            end_s = self._end_s() + SQUEEZED_S
            return Clip(asked_s, end_s, tuple(_part(lane, asked_s, end_s) for lane in self._lanes), goes_on=True)

    def sound_start(self, track: int, start_s: float) -> int:
        """Return the pts of the first packet of a sound track that is heard from `start_s` on: its priming goes before.

        Both are counted from the start of the recording; the pts in units of the track.
        """
        lane = self._lanes[track]
        return lane.track.first_pts(start_s, lane.priming or 0)

    def notes(self, track: int) -> tuple[PacketSideData, ...]:
        """Return the side data of the first packet of a track, on its priming: that of a file needs it, too."""
        return self._lanes[track].notes

    def _end_s(self) -> float:
        return max((lane.end_s for lane in self._lanes), default=0.0)

    def _begins_s(self) -> float | None:
        """Return the time from which on all tracks are there, or None if the buffer is empty.

        With a picture, that alone decides.
        """
        if self._pictures is not None:
            return self._pictures.runs[0].begins_s if self._pictures.runs else None
        begins = [max(0.0, lane.runs[0].begins_s) for lane in self._lanes if lane.runs]
        return max(begins, default=None)

    def _drop_old(self) -> None:
        """Drop runs older than `last_s`, then the oldest ones while the buffer is over its limit."""
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
        """Drop the runs of sound that end before the oldest frame, or without a picture before `begin_s`."""
        if self._pictures is not None and self._pictures.runs:
            # A group may start before `begin_s`: keep its sound as well, and a packet for the priming.
            begin_s = self._pictures.runs[0].begins_s
        for lane in self._lanes:
            if lane.track.is_picture:
                continue
            margin_s = ((lane.priming or 0) + LONGEST_PACKET_UNITS) * lane.unit_s
            while len(lane.runs) > 1 and lane.runs[1].begins_s <= begin_s - margin_s:
                self._drop_first(lane)

    def _drop_first(self, lane: _Lane) -> None:
        self._size_bytes -= lane.runs.popleft().size_bytes


def _part(lane: _Lane, asked_s: float, end_s: float) -> TrackPart:
    """Return the runs that overlap `asked_s` to `end_s`, and the earlier ones that they need."""
    # Compare units, as for packets: in seconds, rounding might include a run that starts at the very end.
    begins = [run.pts[0] for run in lane.runs]
    # Sound may have to start with the picture, two seconds and a little earlier.
    start_s = asked_s if lane.track.is_picture else asked_s - LEAD_S - RUN_S
    first = max(0, bisect_right(begins, units(start_s, lane.track.time_base)) - 1)
    runs = tuple(lane.runs)[first : bisect_left(begins, units(end_s, lane.track.time_base))]
    return TrackPart(lane.track, runs, len(runs[-1].pts) if runs else 0, lane.priming or 0, lane.notes)
