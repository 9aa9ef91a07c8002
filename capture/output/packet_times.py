"""Gives the packets of a file their final times, and holds back those whose duration only the next one shows.

If a fragment ends with a packet of unknown duration, FFmpeg guesses it and places everything after it by the guess. So
in a file that is written in fragments, such a packet waits for the next one of its track.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from capture.output.frame_times import FrameTimes
from capture.output.muxer_options import CLUSTERED, FRAGMENTED

if TYPE_CHECKING:
    import av

__all__ = ["PacketTimes"]

#: Matroska counts the priming of Opus, 6.5 ms, into the times of its blocks, but FFmpeg sorts packets without it. So
#: pictures have to be sorted as if they were this much earlier: Media Source players refuse times that run back.
_SORTED_EARLIER_S: Final = 0.007


class PacketTimes:
    """The times of the packets of one file. The thread that writes them uses it; it changes the packets."""

    def __init__(self, form: str, *, crash_safe: bool) -> None:
        """`form` is FFmpeg's name for the format; see `Muxer.start` for `crash_safe`."""
        self._is_fragmented = form in FRAGMENTED
        self._is_clustered = form in CLUSTERED
        self._crash_safe = crash_safe
        self._pictures: set[int] = set()
        # Of the tracks whose frames come from an encoder.
        self._frames: dict[int, FrameTimes] = {}
        self._held: dict[int, av.Packet[Any]] = {}

    def add_picture(self, track: int, rate: Fraction | None) -> None:
        """Note that a track is a picture; `rate` is its frame rate if its frames come from an encoder."""
        self._pictures.add(track)
        if rate is not None:
            self._frames[track] = FrameTimes(rate, guessed=self._is_fragmented)

    def ready(
        self, track: int, packet: av.Packet[Any], before_s: float = math.inf
    ) -> tuple[list[av.Packet[Any]], bool]:
        """Return what can be written once `packet` is there, the next of `track`, and whether that is written at all.

        The last repeat of a recording, right after a change, only says how long the frame before it is shown.
        `before_s` is the end of the file, where it is known: no frame is moved there for the grid (`FrameTimes`).
        """
        times = self._frames.get(track)
        if times is not None:
            if self._is_last_repeat(track, packet, times):
                return self._ended_by(track, packet, times), False
            times.place(packet, before_s)
        if self._is_clustered and track in self._pictures:
            # These containers do not store this time.
            packet.dts = (packet.dts or 0) - round(_SORTED_EARLIER_S / (packet.time_base or 1))
        ready = []
        if (held := self._held.pop(track, None)) is not None:
            held.duration = int(packet.pts or 0) - int(held.pts or 0)
            ready.append(held)
        if not packet.duration and self._crash_safe and self._is_fragmented:
            self._held[track] = packet
        else:
            ready.append(packet)
        return ready, True

    def rest(self, end_s: float) -> list[av.Packet[Any]]:
        """Return the packets that no other follows; they last until `end_s`, the end of the file."""
        held, self._held = self._held, {}
        for track, packet in held.items():
            unit_s = float(packet.time_base or 1)
            packet.duration = max(0, round(end_s / unit_s) - int(packet.pts or 0))
            if track in self._frames:
                packet.duration = self._frames[track].lasting(packet.duration, unit_s)
        return list(held.values())

    def _is_last_repeat(self, track: int, packet: av.Packet[Any], times: FrameTimes) -> bool:
        """Whether `packet` says only how long the frame before it is shown."""
        # Only a last repeat, and frames of a constant rate, have a duration.
        if not packet.duration:
            return False
        unit_s, pts, held = float(packet.time_base or 1), int(packet.pts or 0), self._held.get(track)
        if held is not None:
            return times.is_too_near(pts - int(held.pts or 0), unit_s)
        is_other = self._crash_safe and not self._is_fragmented
        return is_other and times.fills_slot_until((pts + packet.duration) * unit_s)

    def _ended_by(self, track: int, repeat: av.Packet[Any], times: FrameTimes) -> list[av.Packet[Any]]:
        """Return the frame before a last repeat if it waits for that, with its duration."""
        held = self._held.pop(track, None)
        if held is None:
            return []
        shown = int(repeat.pts or 0) - int(held.pts or 0) + (repeat.duration or 0)
        held.duration = times.lasting(shown, float(repeat.time_base or 1))
        return [held]
