"""Reads the codec and the length of a voice note from its headers, without decoding and without FFmpeg.

The length of an Ogg file is in its last page, that of an MP4 in its index, that of raw AAC in the count of its frames.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from capture.output.mp4_boxes import boxes
from capture.recordings.headers.file import Form, form_of
from capture.recordings.headers.ogg import FIRST_PAGE, MARK

__all__ = ["NoteSound", "Read", "sound_of"]

#: Returns up to so many bytes from a position.
Read: TypeAlias = Callable[[int, int], bytes]

_OPUS_RATE: Final = 48_000
_PAGE_HEADER_BYTES: Final = 27

#: A page has at most 255 pieces of 255 bytes.
_LONGEST_PAGE_BYTES: Final = _PAGE_HEADER_BYTES + 255 + 255 * 255

#: No packet lasts longer, and each has a byte of its own and one that states its size.
_LONGEST_PACKET_S: Final = 0.12
_LEAST_PACKET_BYTES: Final = 2

#: Where a page has no end of a packet.
_NO_TIME: Final = (1 << 64) - 1

#: The longest index of an MP4 that is walked.
_MOST_BOXES: Final = 1000

#: Each frame of raw AAC begins with a header of seven bytes and has this many samples; the header has the number of one
#: of these rates. A file of more than six hours was built to keep readers busy.
_ADTS_HEADER_BYTES: Final = 7
_ADTS_SAMPLES: Final = 1024
_ADTS_RATES: Final = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_MOST_ADTS_FRAMES: Final = 1_000_000

NOT_SOUND: Final = "it is not a sound file, or its start is damaged"
CUT_OFF: Final = "its end is missing"


class NoteSound(NamedTuple):
    """What the headers say. `codec` is "" and the length None where they do not; `problem` is "" for none."""

    codec: str = ""
    channels: int = 0
    duration_s: float | None = None
    problem: str = ""

    @property
    def is_damaged(self) -> bool:
        """Whether it is not worth copying; what only lacks its end is."""
        return self.problem == NOT_SOUND


def sound_of(read: Read, size: int) -> NoteSound:
    """Look at a file of `size` bytes. Raises what `read` raises, and nothing about the content."""
    head = read(0, _PAGE_HEADER_BYTES + 255 + 64)
    form = form_of(head[:12])
    if form is Form.OGG:
        return _ogg(head, read, size)
    if form is Form.MP4:
        return _mp4(read, size)
    if _is_adts(head):
        return _adts(read, size)
    if form in (Form.MP3, Form.WAV, Form.FLAC):
        return NoteSound(form.value)
    return NoteSound(problem=NOT_SOUND)


def _ogg(head: bytes, read: Read, size: int) -> NoteSound:
    body = _PAGE_HEADER_BYTES + head[26] if len(head) > _PAGE_HEADER_BYTES else len(head)
    packet = head[body : body + 19]
    if len(packet) < 16 or not head[5] & FIRST_PAGE:
        return NoteSound(problem=NOT_SOUND)
    if packet.startswith(b"OpusHead"):
        codec, rate, channels = "opus", _OPUS_RATE, packet[9]
        skipped = int.from_bytes(packet[10:12], "little")
    elif packet.startswith(b"\x01vorbis"):
        codec, channels, skipped = "vorbis", packet[11], 0
        rate = int.from_bytes(packet[12:16], "little")
    else:
        return NoteSound(problem=NOT_SOUND)
    last = _last_page(read, size, head[14:18])
    if last is None or not rate:
        return NoteSound(codec, channels, problem=CUT_OFF)
    samples, is_whole = last
    duration_s = max(0, samples - skipped) / rate
    if duration_s > _LONGEST_PACKET_S * size / _LEAST_PACKET_BYTES:
        return NoteSound(codec, channels, problem=NOT_SOUND)
    return NoteSound(codec, channels, duration_s, "" if is_whole else CUT_OFF)


def _last_page(read: Read, size: int, stream: bytes) -> tuple[int, bool] | None:
    """Return up to which sample the last page of `stream` that says so goes, and whether no later page is cut off."""
    start = max(0, size - 2 * _LONGEST_PAGE_BYTES)
    tail = read(start, size - start)
    position, is_whole = len(tail), True
    while (position := tail.rfind(MARK, 0, position)) >= 0:
        page = tail[position : position + _PAGE_HEADER_BYTES + 255]
        if len(page) < _PAGE_HEADER_BYTES or page[4] or page[14:18] != stream:
            is_whole = is_whole and len(page) >= _PAGE_HEADER_BYTES
            continue
        lengths = page[_PAGE_HEADER_BYTES : _PAGE_HEADER_BYTES + page[26]]
        if len(lengths) < page[26] or position + _PAGE_HEADER_BYTES + page[26] + sum(lengths) > len(tail):
            is_whole = False
            continue
        samples = int.from_bytes(page[6:14], "little")
        if samples != _NO_TIME:
            return samples, is_whole
    return None


def _mp4(read: Read, size: int) -> NoteSound:
    index = _first(read, b"moov", 0, size)
    header = None if index is None else _first(read, b"mvhd", *index)
    if header is None:
        return NoteSound("aac", problem=CUT_OFF)
    body = read(header[0], 32)
    form = ">12xII" if body[:1] == b"\0" else ">20xIQ"
    if len(body) < struct.calcsize(form):
        return NoteSound("aac", problem=CUT_OFF)
    rate, length = struct.unpack_from(form, body)
    return NoteSound("aac", duration_s=length / rate if rate and length < rate * size else None)


def _is_adts(header: bytes) -> bool:
    # Twelve ones, and the layer, which is 0.
    return len(header) >= _ADTS_HEADER_BYTES and header[0] == 0xFF and header[1] & 0xF6 == 0xF0


def _adts(read: Read, size: int) -> NoteSound:
    position = frames = rate = channels = 0
    while position < size and frames < _MOST_ADTS_FRAMES:
        header = read(position, _ADTS_HEADER_BYTES)
        length = int.from_bytes(header[3:6], "big") >> 5 & 0x1FFF
        place = header[2] >> 2 & 0x0F if _is_adts(header) else len(_ADTS_RATES)
        if place >= len(_ADTS_RATES) or length < _ADTS_HEADER_BYTES:
            return NoteSound(problem=NOT_SOUND) if not frames else NoteSound("aac", channels, problem=CUT_OFF)
        rate, channels = _ADTS_RATES[place], int.from_bytes(header[2:4], "big") >> 6 & 0x07
        position += length
        frames += 1
    if position < size:
        return NoteSound(problem=NOT_SOUND)
    return NoteSound("aac", channels, frames * _ADTS_SAMPLES / rate, "" if position == size else CUT_OFF)


def _first(read: Read, kind: bytes, position: int, end: int) -> tuple[int, int] | None:
    """Return where the content of the first box of this kind starts and ends."""
    for number, box in enumerate(boxes(read, position, end)):
        if box.kind == kind:
            return box.body, min(box.end, end)
        if number == _MOST_BOXES:
            break
    return None
