"""Encoded packets in memory, in whole key-frame groups."""

from __future__ import annotations

from array import array
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from capture.codecs.video_encoder import is_repeat

if TYPE_CHECKING:
    import av
    from av.stream import Stream

__all__ = ["FRAME_UNITS", "RUN_BYTES", "RUN_S", "PacketRun", "ReplayTrack", "StoredPacket", "as_packet", "units"]

#: How long a run of sound is: what is dropped at once, and by how much more than asked is kept.
RUN_S: Final = 1.0


#: What a run takes beside its packets, and a packet beside its payload: pts, dts, duration, end, flags.
RUN_BYTES: Final = 1_000


_PACKET_BYTES: Final = 4 * 8 + 1


#: The longest packet of sound, one of FLAC, in samples.
FRAME_UNITS: Final = 4608


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


class StoredPacket(NamedTuple):
    """A packet taken out again. Times are in units of its track and on the time line of what was recorded."""

    pts: int
    dts: int
    duration: int
    data: bytes
    is_key: bool
    is_repeat: bool


def as_packet(kept: StoredPacket, time_base: Fraction, origin: int = 0) -> av.Packet[Any]:
    """`kept` as a muxer takes it; its times, and the `origin` they are to count from, are in units of `time_base`."""
    import av

    packet: av.Packet[Any] = av.Packet(kept.data)
    packet.pts, packet.dts, packet.time_base = kept.pts - origin, kept.dts - origin, time_base
    packet.is_keyframe = kept.is_key
    if kept.duration:
        packet.duration = kept.duration
    return packet


class PacketRun:
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
        self.size_bytes = RUN_BYTES

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

    def packet(self, index: int) -> StoredPacket:
        start = self.ends[index - 1] if index else 0
        flags = self.flags[index]
        data = bytes(self.payload[start : self.ends[index]])
        return StoredPacket(
            self.pts[index], self.dts[index], self.durations[index], data, bool(flags & _KEY), bool(flags & _REPEAT)
        )


def units(at_s: float, time_base: Fraction) -> int:
    return round(at_s * time_base.denominator / time_base.numerator)
