"""Writes the tables of an MP4's index (ISO/IEC 14496-12, section 8.6 to 8.7)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from capture.output.mp4_boxes import box, boxes_in

__all__ = ["sample_tables", "with_chunks"]

_Whole = npt.NDArray[np.int64]

#: What a track may leave out. Which pictures no other one needs (`sdtp`) is a hint that few players read.
_LEFT_OUT: Final = (b"sdtp",)

#: The tables that say where samples are.
_OF_CHUNKS: Final = (b"stsc", b"stco", b"co64")

_SMALL: Final = 2**32

#: How FFmpeg writes the descriptor of a decoder (ISO/IEC 14496-1, section 7.2.6.6), and where its rates end.
_DECODER: Final = b"\x04\x80\x80\x80"
_DECODER_RATES_END: Final = 14

#: The box with the rates, which end it.
_RATES_BYTES: Final = 20


def sample_tables(
    old: bytes, sizes: _Whole, durations: _Whole, is_key: npt.NDArray[np.bool_], units_per_s: int
) -> bytes:
    """Return the content of `stbl` for these samples, but for the tables of the chunks (`with_chunks`).

    `old` is that content for fewer samples of the track, as FFmpeg wrote it. Raises `ValueError` for a table that is
    not known.
    """
    bits_per_s = int(sizes.sum()) * 8 * units_per_s // max(1, int(durations.sum()))
    begins, lengths = _runs(durations)
    made: Mapping[bytes, bytes] = {
        b"stts": _table(np.stack([lengths, durations[begins]], axis=1)),
        b"stss": _table(np.flatnonzero(is_key) + 1),
        b"stsz": bytes(8) + struct.pack(">I", len(sizes)) + sizes.astype(">u4").tobytes(),
    }
    parts = []
    for kind, content in boxes_in(old):
        if kind == b"stsd":
            content = _at_rate(content, bits_per_s)
        elif kind == b"sbgp":
            content = _grouped(content, len(sizes))
        elif kind in made:
            content = made[kind]
        elif kind not in (*_OF_CHUNKS, b"sgpd", *_LEFT_OUT):
            raise ValueError(f"an unknown table {kind!r}")
        if kind not in _LEFT_OUT:
            parts.append(box(kind, content))
    return b"".join(parts)


def with_chunks(old: bytes, places: _Whole, per_chunk: _Whole) -> bytes:
    """Return the content `old` of `stbl` with chunks at these places; `per_chunk` is how many samples each has.

    The places have 64 bits where that is needed.
    """
    is_large = int(places.max(initial=0)) >= _SMALL
    firsts, _ = _runs(per_chunk)
    kept = [box(kind, content) for kind, content in boxes_in(old) if kind not in _OF_CHUNKS]
    rows = np.stack([firsts + 1, per_chunk[firsts], np.ones_like(firsts)], axis=1)
    table = box(b"co64", _table(places, ">u8")) if is_large else box(b"stco", _table(places))
    return b"".join([*kept, box(b"stsc", _table(rows)), table])


def _runs(values: npt.NDArray[Any]) -> tuple[_Whole, _Whole]:
    """Return where runs of equal values begin, and how long they are."""
    begins = np.flatnonzero(np.concatenate(([True], values[1:] != values[:-1])))
    return begins, np.diff(begins, append=len(values))


def _table(rows: _Whole, dtype: str = ">u4") -> bytes:
    return bytes(4) + struct.pack(">I", len(rows)) + rows.astype(dtype).tobytes()


def _grouped(old: bytes, count: int) -> bytes:
    """Return a table of groups with all `count` samples in the one that all have. Raises `ValueError` for several."""
    at = 12 if old[0] else 8
    entries, _, group = struct.unpack_from(">III", old, at)
    if entries != 1:
        raise ValueError("several groups of samples")
    return old[:at] + struct.pack(">III", 1, count, group)


def _at_rate(descriptions: bytes, bits_per_s: int) -> bytes:
    """Return the descriptions of a track with this average rate, wherever they state one."""
    made = bytearray(descriptions)
    ends = []
    if (at := descriptions.find(_DECODER)) >= 0 and b"esds" in descriptions[:at]:
        ends.append(at + len(_DECODER) + _DECODER_RATES_END)
    at = descriptions.find(b"btrt") - 4
    if at >= 0 and int.from_bytes(descriptions[at : at + 4], "big") == _RATES_BYTES:
        ends.append(at + _RATES_BYTES)
    for end in ends:
        # The highest one, then the average.
        (most,) = struct.unpack_from(">I", made, end - 8)
        struct.pack_into(">II", made, end - 8, *(min(rate, _SMALL - 1) for rate in (max(most, bits_per_s), bits_per_s)))
    return bytes(made)
