"""Keeps the length in the header of a WAV or FLAC while it grows.

FFmpeg writes it on closing. Until then the header of a WAV promises hours, that of a FLAC nothing, and several programs
refuse such a file or cannot seek in it. With this, a file that was cut off by a kill is like any other.

The length is that of what was written so far, so a kill costs nothing more. It may reach the disk before the samples
do: a power cut leaves a length that is up to two seconds too large, and programs stop where the file ends.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Final

from capture.output.output_file import OutputFile
from capture.output.wav_header import FIRST_CHUNK, HEADER_BYTES, places_of

__all__ = ["LengthField"]

#: The stream info block of a FLAC, after the signature and the block's own header.
_STREAM_INFO: Final = slice(8, 42)

#: What 36 bits hold.
_MOST_SAMPLES: Final = (1 << 36) - 1

#: Sizes above this are in the `ds64` chunk of an RF64 (EBU Tech 3306), for which FFmpeg leaves room in a `JUNK` chunk.
_LARGEST: Final = 0xFFFFFFFF


class LengthField:
    """The length in the header of `file`, which is in the FFmpeg format `wav` or `flac`; for others it does nothing.

    The thread that writes the file calls it.
    """

    def __init__(self, file: OutputFile, form: str) -> None:
        self._file = file
        self._form = form
        self._starts: int | None = None
        self._samples = 0
        self._written_bytes = 0

    def count(self, at: int, samples: int) -> None:
        """Count a packet that was written, `samples` long, at `at` on its track."""
        if self._starts is None:
            self._starts = at
        self._samples = max(self._samples, at + samples - self._starts)

    def update(self) -> None:
        """Write the length so far, if it has changed. A failure leaves the header as it is."""
        if self._form not in ("wav", "flac") or self._file.size_bytes == self._written_bytes:
            return
        self._written_bytes = self._file.size_bytes
        # Nothing in the header may cost the recording: not even a disk whose every write takes new space.
        with suppress(OSError):
            old = self._file.read_start(HEADER_BYTES)
            new = _wav_header(old, self._written_bytes) if self._form == "wav" else _flac_header(old, self._samples)
            if not old.startswith(new):
                self._file.overwrite_start(new)

    def settle(self) -> None:
        """Write the length into the header of a FLAC that FFmpeg has closed, if that states another.

        FFmpeg writes the header that came with the packets. It is right when an encoder made them, but not when they
        come from a file that was cut off.
        """
        if self._form == "flac":
            self._written_bytes = 0
            self.update()


def _wav_header(head: bytes, file_bytes: int) -> bytes:
    """Return the header up to the samples, with the sizes of a file of `file_bytes`; empty if it is not complete."""
    places = places_of(head)
    if not places:
        return b""
    (frame_bytes,) = struct.unpack_from("<H", head, places[b"fmt "] + 20)
    room = places.get(b"JUNK") or places.get(b"ds64") or 0
    return _with_wav_sizes(bytearray(head[: places[b"data"] + 8]), file_bytes, frame_bytes, room)


def _with_wav_sizes(header: bytearray, file_bytes: int, frame_bytes: int, room: int) -> bytes:
    data_bytes = max(0, file_bytes - len(header)) // frame_bytes * frame_bytes
    riff_bytes = len(header) + data_bytes - 8
    if riff_bytes <= _LARGEST:
        struct.pack_into("<I", header, 4, riff_bytes)
        struct.pack_into("<I", header, len(header) - 4, data_bytes)
    elif room:
        sizes = struct.pack("<4sIQQQI", b"ds64", 28, riff_bytes, data_bytes, data_bytes // frame_bytes, 0)
        struct.pack_into("<4sI", header, 0, b"RF64", _LARGEST)
        # It has to be the first chunk. FFmpeg 9 leaves the room for it behind `fmt `.
        header[FIRST_CHUNK : room + len(sizes)] = sizes + header[FIRST_CHUNK:room]
        struct.pack_into("<I", header, len(header) - 4, _LARGEST)
    return bytes(header)


def _flac_header(head: bytes, samples: int) -> bytes:
    if not head.startswith(b"fLaC\0") and not head.startswith(b"fLaC\x80"):
        return b""
    return head[: _STREAM_INFO.start] + _with_flac_length(head[_STREAM_INFO], samples)


def _with_flac_length(stream_info: bytes, samples: int) -> bytes:
    """Return a FLAC stream info block with the number of samples, which is in the 36 bits after rate and depth."""
    numbers = int.from_bytes(stream_info[10:18], "big") >> 36 << 36 | min(samples, _MOST_SAMPLES)
    changed = stream_info[:10] + numbers.to_bytes(8, "big")
    # A checksum of all samples follows. That of another number is unknown.
    return stream_info if stream_info.startswith(changed) else changed + bytes(len(stream_info) - len(changed))
