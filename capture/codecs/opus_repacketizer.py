"""Merges Opus packets of one frame each into packets of several frames, without re-encoding.

Messengers send voice notes this way: three frames of 20 ms in a packet, which is a packet of code 3 (RFC 6716, section
3.2.5). It decodes to the same samples, bit for bit, as the single packets.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import av

__all__ = ["MAX_FRAME_BYTES", "Repacketizer", "are_alike", "guarded", "merged", "split"]

#: The longest frame whose length can be written (RFC 6716, section 3.2.1, requirement R2).
MAX_FRAME_BYTES: Final = 1275

#: A packet lasts at most 120 ms, which is 48 of the shortest frames (requirement R5).
_MAX_FRAMES: Final = 48

#: The last two bits of a packet's first byte say how its frames are packed, the others how they are coded (section
#: 3.1). Code 0 is a single frame that fills the packet; code 3 is any number of frames, here of different lengths.
_CODE: Final = 0b11
_ONE_FRAME: Final = 0
_TWO_ALIKE: Final = 1
_TWO: Final = 2
_ANY_NUMBER: Final = 3
_LENGTHS_DIFFER: Final = 0x80
_PADDED: Final = 0x40
_COUNT: Final = 0x3F

#: Configurations below this are SILK only (section 3.1, table 2).
_SILK_CONFIGS: Final = 12

#: Lengths from this value on take two bytes (section 3.2.1).
_LONG_FROM: Final = 252


def are_alike(first: bytes, second: bytes) -> bool:
    """Whether two packets hold one frame each, coded in the same mode, bandwidth, duration and channels."""
    return len(first) > 0 and len(second) > 0 and first[0] == second[0] and first[0] & _CODE == _ONE_FRAME


def merged(packets: Sequence[bytes]) -> bytes:
    """Return one code-3 packet with the frames of `packets`, which must satisfy `are_alike`.

    A single packet becomes code 3 too, unless it already holds several frames: then it is returned unchanged. Raises
    `ValueError` for packets that are not alike, for none or too many, and for frames longer than `MAX_FRAME_BYTES`.
    """
    if not 0 < len(packets) <= _MAX_FRAMES:
        raise ValueError(f"cannot merge {len(packets)} packets, only 1 to {_MAX_FRAMES}")
    if len(packets) == 1 and not are_alike(packets[0], packets[0]):
        return packets[0]
    if not all(are_alike(packets[0], packet) for packet in packets):
        raise ValueError("cannot merge packets that are coded differently")
    frames = [packet[1:] for packet in packets]
    lengths = b"".join(_length(frame) for frame in frames[:-1])
    head = bytes([packets[0][0] | _ANY_NUMBER, _LENGTHS_DIFFER | len(frames)])
    if len(frames[-1]) > MAX_FRAME_BYTES:
        raise ValueError(f"a frame of {len(frames[-1])} bytes is too long, the most is {MAX_FRAME_BYTES}")
    return head + lengths + b"".join(frames)


def split(packet: bytes) -> list[bytes]:
    """Return a packet of one frame for each frame of `packet`. Raises `ValueError` if it is damaged or padded."""
    if not packet:
        raise ValueError("an empty packet has no frames")
    head, code, rest = bytes([packet[0] & ~_CODE]), packet[0] & _CODE, packet[1:]
    if code == _ONE_FRAME:
        return [packet]
    if code == _TWO_ALIKE:
        count, lengths_differ = 2, False
    elif code == _TWO:
        count, lengths_differ = 2, True
    else:
        if not rest or rest[0] & _PADDED or not rest[0] & _COUNT:
            raise ValueError("cannot split a packet with padding or without frames")
        count, lengths_differ = rest[0] & _COUNT, bool(rest[0] & _LENGTHS_DIFFER)
        rest = rest[1:]
    if not lengths_differ:
        size, remainder = divmod(len(rest), count)
        if remainder:
            raise ValueError("the frames of a packet differ in length")
        return [head + rest[place : place + size] for place in range(0, len(rest), size)] if size else [head] * count
    sizes = []
    for _ in range(count - 1):
        size, rest = _read_length(rest)
        sizes.append(size)
    if sum(sizes) > len(rest):
        raise ValueError("the frames of a packet reach beyond it")
    frames = []
    for size in sizes:
        frames.append(head + rest[:size])
        rest = rest[size:]
    return [*frames, head + rest]


def _read_length(data: bytes) -> tuple[int, bytes]:
    """Return the length at the start of `data`, and what follows it."""
    taken = 2 if data and data[0] >= _LONG_FROM else 1
    if len(data) < taken:
        raise ValueError("a packet ends within the lengths of its frames")
    return (data[0] if taken == 1 else data[0] + 4 * data[1]), data[taken:]


def _length(frame: bytes) -> bytes:
    """Return the length of `frame` in one or two bytes; the second counts in units of four."""
    size = len(frame)
    if size > MAX_FRAME_BYTES:
        raise ValueError(f"a frame of {size} bytes is too long, the most is {MAX_FRAME_BYTES}")
    if size < _LONG_FROM:
        return bytes([size])
    first = _LONG_FROM + (size & 3)
    return bytes([first, (size - first) >> 2])


def guarded(packet: bytes) -> bytes:
    """Return a packet of one SILK frame with a zero byte appended, which changes nothing; any other packet unchanged.

    libopus omits the zeros at the end of a SILK frame, because decoders shall read zeros past its end. FFmpeg's own
    decoder, which many players use, reads on into the next frame instead, so that one packet in four decodes wrongly. A
    zero byte in between prevents that, as it hardly ever reads further. More bytes are not possible: 17 bits or more
    after a SILK frame have a meaning (RFC 6716, section 4.5.1.1). So a frame of a guarded packet, which ends with one,
    gets no second.
    """
    is_silk = len(packet) > 2 and packet[0] >> 3 < _SILK_CONFIGS and packet[0] & _CODE == _ONE_FRAME
    return packet + b"\0" if is_silk and packet[-1] and len(packet) <= MAX_FRAME_BYTES else packet


class Repacketizer:
    """Merges every `frames` packets of a stream into one; fewer where the coding changes and at the end.

    Used by one thread.
    """

    def __init__(self, frames: int) -> None:
        self._frames = frames
        self._group: list[av.Packet[Any]] = []
        self._before = b""

    def add(self, packet: av.Packet[Any]) -> list[av.Packet[Any]]:
        """Take the next packet; return the merged packets that are complete."""
        complete = []
        if self._group and not are_alike(bytes(self._group[0]), bytes(packet)):
            complete += self.finish()
        self._group.append(packet)
        if len(self._group) == self._frames:
            complete += self.finish()
        return complete

    def finish(self) -> list[av.Packet[Any]]:
        """Return the packets collected so far as one."""
        group, self._group = self._group, []
        if not group:
            return []
        *inner, end = [bytes(part) for part in group]
        # At a change of coding, the bytes after a frame hold redundancy for the transition, so leave those unchanged.
        settled = [are_alike(before, part) for before, part in pairwise([self._before, *inner])]
        inner = [guarded(part) if steady else part for part, steady in zip(inner, settled, strict=True)]
        self._before = end
        packet: av.Packet[Any] = av.Packet(merged([*inner, end]))
        packet.pts, packet.dts, packet.time_base = group[0].pts, group[0].dts, group[0].time_base
        packet.duration = sum(part.duration or 0 for part in group)
        packet.is_keyframe = True
        # Side data says how many samples at the end players have to skip.
        for note in group[-1].iter_sidedata():
            packet.set_sidedata(note)
        return [packet]
