"""Several Opus packets of one frame each made into one packet of several frames; nothing is encoded anew.

Messengers send their voice notes so: three frames of 20 ms in a packet, which its first two bits of length call code 3
(RFC 6716, section 3.2.5). What is decoded from it is, sample by sample, what the single packets decode to.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import av

__all__ = ["MAX_FRAME_BYTES", "Repacketizer", "are_alike", "guarded", "merged"]

#: The longest frame that lengths can express (RFC 6716, section 3.2.1, requirement R2).
MAX_FRAME_BYTES: Final = 1275

#: A packet may last 120 ms, 48 of the shortest frames (requirement R5).
_MAX_FRAMES: Final = 48

#: The last two bits of a packet's first byte tell how frames are packed in it, the others how they are coded: section
#: 3.1. Code 0 is one frame that takes the whole packet, code 3 any number, here of lengths that differ.
_CODE: Final = 0b11
_ONE_FRAME: Final = 0
_ANY_NUMBER: Final = 3
_LENGTHS_DIFFER: Final = 0x80

#: Configurations below this are SILK alone (section 3.1, table 2).
_SILK_CONFIGS: Final = 12

#: Lengths from here on take two bytes (section 3.2.1).
_LONG_FROM: Final = 252


def are_alike(first: bytes, second: bytes) -> bool:
    """Whether two packets hold one frame each, coded in the same mode, bandwidth, duration and channels."""
    return len(first) > 0 and len(second) > 0 and first[0] == second[0] and first[0] & _CODE == _ONE_FRAME


def merged(packets: Sequence[bytes]) -> bytes:
    """One packet with the frames of `packets`, which are alike as `are_alike` has it; one alone becomes code 3 as well.

    A packet alone that does not hold one frame is returned as it is. Raises `ValueError` for packets that are not
    alike, for none or too many of them, and for frames longer than `MAX_FRAME_BYTES`.
    """
    if not 0 < len(packets) <= _MAX_FRAMES:
        raise ValueError(f"{len(packets)} packets cannot be merged")
    if len(packets) == 1 and not are_alike(packets[0], packets[0]):
        return packets[0]
    if not all(are_alike(packets[0], packet) for packet in packets):
        raise ValueError("packets that are coded differently cannot be merged")
    frames = [packet[1:] for packet in packets]
    lengths = b"".join(_length(frame) for frame in frames[:-1])
    head = bytes([packets[0][0] | _ANY_NUMBER, _LENGTHS_DIFFER | len(frames)])
    if len(frames[-1]) > MAX_FRAME_BYTES:
        raise ValueError(f"a frame of {len(frames[-1])} bytes is too long")
    return head + lengths + b"".join(frames)


def _length(frame: bytes) -> bytes:
    """The length of `frame` in one byte or two: the second counts in fours."""
    size = len(frame)
    if size > MAX_FRAME_BYTES:
        raise ValueError(f"a frame of {size} bytes is too long")
    if size < _LONG_FROM:
        return bytes([size])
    first = _LONG_FROM + (size & 3)
    return bytes([first, (size - first) >> 2])


def guarded(packet: bytes) -> bytes:
    """A packet of one SILK frame with a zero byte behind it, which changes nothing; any other as it is.

    libopus leaves out the zeros at the end of a SILK frame: decoders shall read zeros where a frame has ended. FFmpeg's
    own decoder, which many players use, goes on into the next frame instead, and one packet in four comes out
    different from what was coded. A zero in between keeps it from that: more than a byte it hardly ever reads. More
    could not be given: from 17 bits on, what follows a SILK frame has a meaning (RFC 6716, section 4.5.1.1).
    """
    is_silk = len(packet) > 2 and packet[0] >> 3 < _SILK_CONFIGS and packet[0] & _CODE == _ONE_FRAME
    return packet + b"\0" if is_silk and len(packet) <= MAX_FRAME_BYTES else packet


class Repacketizer:
    """Merges the packets of one stream, `frames` into one; fewer where their coding changes, and at the end.

    Used by one thread.
    """

    def __init__(self, frames: int) -> None:
        self._frames = frames
        self._group: list[av.Packet[Any]] = []
        self._before = b""

    def add(self, packet: av.Packet[Any]) -> list[av.Packet[Any]]:
        """Take the next packet; return those that are complete now."""
        complete = []
        if self._group and not are_alike(bytes(self._group[0]), bytes(packet)):
            complete += self.finish()
        self._group.append(packet)
        if len(self._group) == self._frames:
            complete += self.finish()
        return complete

    def finish(self) -> list[av.Packet[Any]]:
        """What was begun, as a packet."""
        group, self._group = self._group, []
        if not group:
            return []
        *inner, end = [bytes(part) for part in group]
        # Where the coding changes, frames carry something for the change behind them: these stay as they are.
        settled = [are_alike(before, part) for before, part in pairwise([self._before, *inner])]
        inner = [guarded(part) if steady else part for part, steady in zip(inner, settled, strict=True)]
        self._before = end
        packet: av.Packet[Any] = av.Packet(merged([*inner, end]))
        packet.pts, packet.dts, packet.time_base = group[0].pts, group[0].dts, group[0].time_base
        packet.duration = sum(part.duration or 0 for part in group)
        packet.is_keyframe = True
        # How much of the end is not to be played.
        for note in group[-1].iter_sidedata():
            packet.set_sidedata(note)
        return [packet]
