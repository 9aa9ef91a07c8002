"""Reads the codec and the length of a voice note from its headers, without decoding and without FFmpeg.

The length of an Ogg file is in its last page, that of an MP4 in its index, that of raw AAC in the count of its frames.
"""

from __future__ import annotations

from typing import Final

from capture.recordings.headers.file import Form, form_of
from capture.recordings.headers.ogg import FIRST_PAGE, MARK
from capture.recordings.messengers import asf, caf
from capture.recordings.messengers.amr import amr_sound, is_amr
from capture.recordings.messengers.mp4_sound import mp4_sound
from capture.recordings.messengers.note_sound import CUT_OFF, NOT_SOUND, NoteSound, Read

__all__ = ["sound_of"]

_OPUS_RATE: Final = 48_000
_PAGE_HEADER_BYTES: Final = 27

#: A page has at most 255 pieces of 255 bytes.
_LONGEST_PAGE_BYTES: Final = _PAGE_HEADER_BYTES + 255 + 255 * 255

#: No packet lasts longer, and each has a byte of its own and one that states its size.
_LONGEST_PACKET_S: Final = 0.12
_LEAST_PACKET_BYTES: Final = 2

#: Where a page has no end of a packet.
_NO_TIME: Final = (1 << 64) - 1

#: A codec of which FFmpeg has no decoder. Its files are called `.amr`, though they are none.
_SILK: Final = (b"#!SILK_V3", b"\x02#!SILK_V3")

#: Each frame of raw AAC begins with a header of seven bytes and has this many samples; the header has the number of one
#: of these rates. A file of more than six hours was built to keep readers busy.
_ADTS_HEADER_BYTES: Final = 7
_ADTS_SAMPLES: Final = 1024
_ADTS_RATES: Final = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_MOST_ADTS_FRAMES: Final = 1_000_000


def sound_of(read: Read, size: int) -> NoteSound:
    """Look at a file of `size` bytes. Raises what `read` raises, and nothing about the content."""
    head = read(0, _PAGE_HEADER_BYTES + 255 + 64)
    form = form_of(head[:12])
    if form is Form.OGG:
        return _ogg(head, read, size)
    if form is Form.MP4:
        return mp4_sound(read, size)
    if is_amr(head):
        return amr_sound(read, size)
    if head.startswith(caf.MARK):
        return caf.caf_sound(read, size)
    if head.startswith(asf.MARK):
        return asf.asf_sound(read, size)
    if head.startswith(_SILK):
        return NoteSound("silk", "silk", 1)
    if _is_adts(head):
        return _adts(read, size)
    if form in (Form.MP3, Form.WAV, Form.FLAC):
        return NoteSound(form.value, form.value)
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
        return NoteSound("ogg", codec, channels, problem=CUT_OFF)
    samples, is_whole = last
    duration_s = max(0, samples - skipped) / rate
    if duration_s > _LONGEST_PACKET_S * size / _LEAST_PACKET_BYTES:
        return NoteSound("ogg", codec, channels, problem=NOT_SOUND)
    return NoteSound("ogg", codec, channels, duration_s, "" if is_whole else CUT_OFF)


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
            return NoteSound(problem=NOT_SOUND) if not frames else NoteSound("aac", "aac", channels, problem=CUT_OFF)
        rate, channels = _ADTS_RATES[place], int.from_bytes(header[2:4], "big") >> 6 & 0x07
        position += length
        frames += 1
    if position < size:
        return NoteSound(problem=NOT_SOUND)
    return NoteSound("aac", "aac", channels, frames * _ADTS_SAMPLES / rate, "" if position == size else CUT_OFF)
