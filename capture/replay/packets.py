"""Stores encoded packets in memory, in runs: key-frame groups of the picture, about a second of sound.

Each run is one block of bytes and a few numbers for each packet.
"""

from __future__ import annotations

import mmap
from array import array
from contextlib import suppress
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from capture.codecs.h264_slices import SliceWriter
from capture.codecs.null_container import StreamCopy
from capture.codecs.video_encoder import is_repeat
from capture.media import as_fraction
from capture.output.frame_times import closest_s, half_slot_s, rate_of

if TYPE_CHECKING:
    import av
    from av.stream import Stream
    from av.video.stream import VideoStream

__all__ = [
    "LONGEST_PACKET_UNITS",
    "RUN_BYTES",
    "RUN_S",
    "PacketRun",
    "ReplayTrack",
    "StoredPacket",
    "as_packet",
    "copy_of",
    "units",
]

#: The length of a run of sound. The buffer drops whole runs, so it keeps up to this much more than asked.
RUN_S: Final = 1.0

#: The memory that a run takes beside its packets, and a packet beside its payload: pts, dts, duration, end, flags.
RUN_BYTES: Final = 1_000
_PACKET_BYTES: Final = 4 * 8 + 1

#: From this size on, a run that is closed gets memory of its own from the system. What is freed to the allocator leaves
#: gaps between smaller pieces, which the process keeps: 350 MB after a minute of full motion. More than a second of
#: stereo PCM has, so that a day of sound stays far below the 65,530 mappings that Linux lets a process have.
_OWN_MEMORY_BYTES: Final = 262_144

#: The length of the longest audio packet, one of FLAC, in samples.
LONGEST_PACKET_UNITS: Final = 4608

#: The frame rate of a track whose template states none.
_DEFAULT_FPS: Final = 30

#: Bits of a packet's flags.
_KEY: Final = 1
_REPEAT: Final = 2


class ReplayTrack(NamedTuple):
    """One track: its kind and the unit of its times. A muxer creates its stream from `template`."""

    is_picture: bool
    time_base: Fraction
    stream_copy: StreamCopy | None = None

    def first_pts(self, start_s: float, priming: int) -> int:
        """Return the pts of a packet that is heard from `start_s` on: the `priming` before it is never played."""
        return units(start_s, self.time_base) - priming

    @classmethod
    def of(cls, template: Stream | StreamCopy) -> ReplayTrack:
        """Return the track for the packets of an encoder with this `template`, or with a copy of it.

        For the template itself, the encoder is still open.
        """
        copy = template if isinstance(template, StreamCopy) else StreamCopy(template)
        return cls(copy.stream.type == "video", as_fraction(copy.stream.time_base), copy)

    @property
    def template(self) -> Stream:
        """The stream for a muxer, also after the encoder is closed. Keep the track while you use it."""
        assert self.stream_copy is not None  # noqa: S101 - only tests make tracks without one
        return self.stream_copy.stream

    @property
    def closest_s(self) -> float:
        """The least distance of two frames in a file."""
        return closest_s(self._rate)

    @property
    def half_slot_s(self) -> float:
        """How long every frame of a file lasts at least."""
        return half_slot_s(self._rate)

    @property
    def _rate(self) -> Fraction:
        rate = rate_of(cast("VideoStream", self.template)) if self.stream_copy is not None else None
        return rate or Fraction(_DEFAULT_FPS)

    @property
    def repeats_can_go(self) -> bool:
        """Whether repeats can be left out of a finished clip: in H.264 whose frames can be renumbered."""
        context = self.template.codec_context if self.stream_copy is not None else None
        if context is None or context.codec.canonical_name != "h264":
            return False
        return SliceWriter.of(bytes(context.extradata or b""), from_last_alone=True) is not None


class StoredPacket(NamedTuple):
    """A packet read back from a run. Times are in units of its track, on the time line of the recording."""

    pts: int
    dts: int
    duration: int
    data: bytes
    is_key: bool
    is_repeat: bool


def as_packet(stored: StoredPacket, time_base: Fraction, origin: int = 0) -> av.Packet[Any]:
    """Return `stored` as a packet for a muxer, with times relative to `origin`, both in units of `time_base`."""
    import av

    packet: av.Packet[Any] = av.Packet(stored.data)
    packet.pts, packet.dts, packet.time_base = stored.pts - origin, stored.dts - origin, time_base
    packet.is_keyframe = stored.is_key
    if stored.duration:
        packet.duration = stored.duration
    return packet


def copy_of(packet: av.Packet[Any]) -> av.Packet[Any]:
    """Return a copy of an encoder's packet, which others may have as well; without its side data."""
    run = PacketRun(0.0)
    run.add(packet)
    return as_packet(run.packet(0), as_fraction(packet.time_base))


class PacketRun:
    """Stores consecutive packets of one track. One thread adds; stored packets never change, so any thread may read."""

    __slots__ = ("begins_s", "dts", "durations", "ends", "flags", "payload", "pts", "size_bytes")

    def __init__(self, begins_s: float) -> None:
        self.begins_s = begins_s
        self.pts = array("q")
        self.dts = array("q")
        self.durations = array("q")
        self.ends = array("Q")
        self.flags = bytearray()
        self.payload: bytearray | bytes | mmap.mmap = bytearray()
        self.size_bytes = RUN_BYTES

    def add(self, packet: av.Packet[Any]) -> int:
        """Append a copy of `packet`; return by how many bytes the run grew."""
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
        """Release the memory reserved for growth, an eighth; nothing may be added afterwards."""
        self.payload = _settled(self.payload)

    def packet(self, index: int) -> StoredPacket:
        """Return a copy of packet number `index`."""
        start = self.ends[index - 1] if index else 0
        flags = self.flags[index]
        data = bytes(self.payload[start : self.ends[index]])
        return StoredPacket(
            self.pts[index], self.dts[index], self.durations[index], data, bool(flags & _KEY), bool(flags & _REPEAT)
        )


def _settled(payload: bytearray | bytes | mmap.mmap) -> bytes | mmap.mmap:
    """Return a copy that takes no more memory than it needs."""
    if len(payload) >= _OWN_MEMORY_BYTES:
        with suppress(OSError):  # The system has no more mappings for this process.
            own = mmap.mmap(-1, len(payload), access=mmap.ACCESS_COPY)
            own.write(payload)
            return own
    return bytes(payload)


def units(at_s: float, time_base: Fraction) -> int:
    """Return `at_s` in units of `time_base`, rounded."""
    return round(at_s * time_base.denominator / time_base.numerator)
