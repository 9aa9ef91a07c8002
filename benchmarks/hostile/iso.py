"""Hostile MP4, MOV and M4A files: boxes, tables, and fragments."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Final

__all__ = ["FILES", "box", "full_box", "movie", "track"]

_UNITY: Final = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_RATE: Final = 48_000
_ENDLESS: Final = 0xFFFFFFFF
_FTYP: Final = b"\0\0\0\x18ftypqt  \0\0\0\0qt  isom"


def box(kind: bytes, *parts: bytes, size: int | None = None) -> bytes:
    """Return a box; `size` states another size than the true one."""
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body) if size is None else size, kind) + body


def full_box(kind: bytes, *numbers: int, table: bytes = b"", flags: int = 0) -> bytes:
    """Return a box with version and flags, numbers of 32 bits, and a table."""
    return box(kind, struct.pack(f">{1 + len(numbers)}I", flags, *numbers), table)


def sample_table(**tables: bytes) -> list[bytes]:
    """Return the tables of one AAC packet; `tables` replaces them, by name, or adds others."""
    found = {
        "stts": full_box(b"stts", 1, 1, 1024),
        "stsc": full_box(b"stsc", 1, 1, 1, 1),
        "stsz": full_box(b"stsz", 1, 1),
        "stco": full_box(b"stco", 1, len(_FTYP) + 8),
    }
    return list((found | tables).values())


def track(
    *tables: bytes, kind: bytes = b"soun", entry: bytes | None = None, extra: bytes = b"", number: int = 1
) -> bytes:
    """Return a track with these tables; its sound is MPEG audio without any configuration."""
    if entry is None:
        entry = box(b".mp3", struct.pack(">IHH8xHHIHH", 0, 0, 1, 2, 16, 0, _RATE, 0)[: 6 + 2 + 8 + 12])
    return box(
        b"trak",
        box(b"tkhd", struct.pack(">10I", 1, 0, 0, number, 0, 0, 0, 0, 0, 0), _UNITY, bytes(8)),
        extra,
        box(
            b"mdia",
            full_box(b"mdhd", 0, 0, _RATE, 0, 0),
            full_box(b"hdlr", 0, table=kind + bytes(13)),
            box(b"minf", full_box(b"smhd", 0), box(b"stbl", full_box(b"stsd", 1, table=entry), *tables)),
        ),
    )


def movie(*boxes: bytes, tail: bytes = b"") -> bytes:
    """Return an index with these boxes in it."""
    header = full_box(b"mvhd", 0, 0, _RATE, 0, 0x10000, 0, 0, 0, table=_UNITY + bytes(24) + struct.pack(">I", 2))
    return box(b"moov", header, *boxes) + tail


def whole(size: int, *boxes: bytes) -> bytes:
    """Return a file with an index of these boxes, after so much content that it has `size` bytes."""
    index = movie(*boxes)
    return _FTYP + box(b"mdat", bytes(max(16, size - len(index) - len(_FTYP) - 8))) + index


def one_size(size: int) -> bytes:
    """Return samples of one byte each, described by a single number."""
    count = size - 1_000
    tables = sample_table(
        stts=full_box(b"stts", 1, count, 1024),
        stsc=full_box(b"stsc", 1, 1, count, 1),
        stsz=full_box(b"stsz", 1, count),
    )
    return whole(size, track(*tables))


def at_the_limit(size: int) -> bytes:
    """Return a file that was never closed, with as many packets as are allowed, in two tracks."""
    packet = b"\xfc".ljust(44, b"\xff")
    count = min(459, size // 2_000 // len(packet))
    body = struct.pack(">IHH8xHHIHH", 0, 0, 1, 2, 16, 0, _RATE, 0)[: 6 + 2 + 8 + 12]
    entry = box(b"Opus", body, box(b"dOps", struct.pack(">BBHIhB", 0, 2, 312, _RATE, 0, 0)))
    empty = [full_box(kind, 0) for kind in (b"stts", b"stsc")] + [full_box(b"stsz", 0, 0), full_box(b"stco", 0)]
    tracks = [track(*empty, entry=entry, number=number) for number in (1, 2)]
    extends = box(b"mvex", *(full_box(b"trex", number, 1, 960, len(packet), 0) for number in (1, 2)))

    def fragment(place: int, data: int) -> bytes:
        runs = [
            box(
                b"traf",
                full_box(b"tfhd", number, flags=0x020000),
                full_box(b"tfdt", place * 1_000 * 960),
                full_box(b"trun", 1_000, data + (number - 1) * 1_000 * len(packet), flags=1),
            )
            for number in (1, 2)
        ]
        return box(b"moof", full_box(b"mfhd", place), *runs)

    data = box(b"mdat", packet * 2_000)
    fragments = [fragment(place, len(fragment(place, 0)) + 8) + data for place in range(count)]
    return _FTYP + movie(*tracks, extends) + b"".join(fragments)


def table(name: str, entry: bytes, claim: int | None = None) -> Callable[[int], bytes]:
    """Return a builder of a table that fills the file with one entry; with `claim`, that has one and claims more."""

    def build(size: int) -> bytes:
        count = 1 if claim is not None else (size - 1_500) // len(entry)
        sizes = {"stsz": (0,), "stz2": (4,)}.get(name, ())
        made = full_box(name.encode(), *sizes, count if claim is None else claim, table=entry * count)
        return whole(size, track(*sample_table(**{name: made})))

    return build


def scattered(size: int) -> bytes:
    """Return chunks of one packet each, all over the file, with a track that ends before it."""
    count = min(918_000, size // 52)
    places = (len(_FTYP) + 8 + 44 * (number * 1_009 % count) for number in range(count))
    tables = sample_table(
        stts=full_box(b"stts", 1, count, 1024),
        stsz=full_box(b"stsz", 44, count),
        stco=full_box(b"stco", count, table=struct.pack(f">{count}I", *places)),
    )
    return whole(size, track(*tables), track(*sample_table(), number=2))


def packed(size: int) -> bytes:
    """Return sizes of four bits each."""
    count = 2 * (size - 1_500)
    tables = sample_table(stsz=full_box(b"stz2", 4, count, table=b"\x11" * (count // 2)))
    tables[:2] = full_box(b"stts", 1, count, 1024), full_box(b"stsc", 1, 1, count, 1)
    return whole(size, track(*tables))


def real_sizes(size: int) -> bytes:
    """Return a true size of one byte for each sample."""
    count = (size - 1_500) // 4
    tables = sample_table(
        stts=full_box(b"stts", 1, count, 1024),
        stsc=full_box(b"stsc", 1, 1, count, 1),
        stsz=full_box(b"stsz", 0, count, table=b"\0\0\0\1" * count),
    )
    return whole(size, track(*tables))


def compressed(size: int) -> bytes:
    """Return a compressed index of zeros, twelve times as long as the file."""
    deflated = zlib.compressobj(1)
    data = b"".join([deflated.compress(bytes(size)) for _ in range(12)]) + deflated.flush()
    moov = box(b"moov", box(b"cmov", box(b"dcom", b"zlib"), box(b"cmvd", struct.pack(">I", 12 * size), data)))
    return _FTYP + box(b"mdat", bytes(max(16, size - len(moov) - len(_FTYP) - 8))) + moov


def fragments(*, samples: int, runs: int = 1) -> Callable[[int], bytes]:
    """Return a builder of fragments, each with runs that claim `samples` of the same default size."""
    extends = box(b"mvex", full_box(b"trex", 1, 1, 1024, 1, 0))
    run = full_box(b"trun", samples)
    fragment = box(
        b"moof",
        full_box(b"mfhd", 1),
        box(b"traf", full_box(b"tfhd", 1, flags=0x020000), full_box(b"tfdt", 0), *[run] * runs),
    )
    empty = [full_box(kind, 0) for kind in (b"stts", b"stsc")] + [full_box(b"stsz", 0, 0), full_box(b"stco", 0)]

    def build(size: int) -> bytes:
        each = fragment + box(b"mdat", b"x")
        start = _FTYP + movie(track(*empty), extends)
        if samples * runs > 1_000:
            return start + each + box(b"mdat", bytes(max(1, size - len(start) - len(each) - 8)))
        return start + each * ((size - len(start)) // len(each))

    return build


def nested(size: int) -> bytes:
    """Return boxes in boxes in boxes."""
    depth = 400_000
    inner = b"".join(struct.pack(">I4s", 8 * (depth - level), b"moov") for level in range(depth))
    return _FTYP + inner + box(b"mdat", bytes(max(1, size - len(inner) - 100)))


def many_tracks(size: int) -> bytes:
    return whole(size, track(*sample_table()) * (size // (2 * len(track(*sample_table())))))


def many(kind: bytes, body: bytes, *, into: bytes = b"moov") -> Callable[[int], bytes]:
    """Return a builder of a file full of small boxes of a kind."""

    def build(size: int) -> bytes:
        boxes = box(kind, body) * ((size - 1_500) // (8 + len(body)))
        if into == b"moov":
            return whole(size, track(*sample_table()), boxes)
        if into == b"file":
            return _FTYP + boxes + box(b"mdat", b"x") + movie(track(*sample_table()))
        if into == b"ilst":
            boxes = box(b"meta", bytes(4), full_box(b"hdlr", 0, table=b"mdirappl" + bytes(9)), box(b"ilst", boxes))
        return whole(size, track(*sample_table()), box(b"udta", boxes))

    return build


def edits(size: int) -> bytes:
    count = (size - 1_500) // 12
    listed = full_box(b"elst", count, table=struct.pack(">IiI", 1, 0, 0x10000) * count)
    return whole(size, track(*sample_table(), extra=box(b"edts", listed)))


def chapter_track(size: int) -> bytes:
    """Return a track of text with one chapter of two bytes a sample."""
    count = size // 3
    tables = sample_table(
        stts=full_box(b"stts", 1, count, 1024),
        stsc=full_box(b"stsc", 1, 1, count, 1),
        stsz=full_box(b"stsz", 2, count),
    )
    text = track(*tables, kind=b"text", entry=box(b"text", bytes(51)))
    refers = box(b"tref", box(b"chap", struct.pack(">I", 1)))
    return whole(size, text, track(*sample_table(), extra=refers))


def large_box(kind: bytes, *, claim: int | None = None) -> Callable[[int], bytes]:
    """Return a builder of a sample entry with one enormous box in it, or one that only claims to be enormous."""

    def build(size: int) -> bytes:
        inner = box(kind, b"\1" * 100 if claim else b"\1" * (size - 1_500), size=claim)
        entry = box(b"avc1", struct.pack(">IHH16xHHIIIH32xHH", 0, 0, 1, 640, 480, 0, 0, 0, 1, 24, 0xFFFF), inner)
        return whole(size, track(*sample_table(), kind=b"vide", entry=entry))

    return build


FILES: Final[dict[str, Callable[[int], bytes]]] = {
    "samples-of-one-byte.mp4": one_size,
    "samples-at-the-limit.mp4": at_the_limit,
    "samples-listed.m4a": real_sizes,
    "samples-of-four-bits.mov": packed,
    "claims-stts.mp4": table("stts", bytes(8), _ENDLESS // 16),
    "claims-ctts.mp4": table("ctts", bytes(8), _ENDLESS // 16),
    "claims-stsc.mp4": table("stsc", bytes(12), _ENDLESS // 16),
    "claims-stsz.mp4": table("stsz", bytes(4), _ENDLESS // 16),
    "claims-stco.mov": table("stco", bytes(4), _ENDLESS // 16),
    "claims-co64.mov": table("co64", bytes(8), _ENDLESS // 16),
    "claims-stss.mp4": table("stss", bytes(4), _ENDLESS // 16),
    "listed-stts.mp4": table("stts", struct.pack(">II", 1, 1024)),
    "listed-ctts.mp4": table("ctts", struct.pack(">II", 1, 1024)),
    "listed-stsc.mp4": table("stsc", struct.pack(">III", 1, 1, 1)),
    "listed-stco.mp4": table("stco", struct.pack(">I", 32)),
    "listed-stss.mp4": table("stss", struct.pack(">I", 1)),
    "scattered-chunks.mp4": scattered,
    "listed-edits.mp4": edits,
    "compressed-index.mov": compressed,
    "run-of-endless-samples.mp4": fragments(samples=200_000_000),
    "many-fragments.mp4": fragments(samples=1),
    "many-runs.mp4": fragments(samples=1_000, runs=200_000),
    "nested-boxes.mp4": nested,
    "many-tracks.mp4": many_tracks,
    "many-free-boxes.mp4": many(b"free", b"", into=b"file"),
    "many-boxes-in-index.mp4": many(b"free", b""),
    "many-titles.mov": many(b"\xa9nam", struct.pack(">HH", 4, 0) + b"name", into=b"udta"),
    "many-tags.m4a": many(b"\xa9nam", box(b"data", struct.pack(">II", 1, 0), b"name"), into=b"ilst"),
    "many-covers.m4a": many(b"covr", box(b"data", struct.pack(">II", 13, 0), bytes(8)), into=b"ilst"),
    "many-chapters.mov": lambda size: whole(
        size, track(*sample_table()), box(b"udta", box(b"HMMT", struct.pack(">I", size // 5), bytes(4 * (size // 5))))
    ),
    "chapter-track.mov": chapter_track,
    "large-configuration.mp4": large_box(b"avcC"),
    "claims-configuration.mp4": large_box(b"avcC", claim=0x7FFFFFF0),
    "large-title.m4a": lambda size: whole(
        size,
        track(*sample_table()),
        box(b"udta", box(b"\xa9nam", struct.pack(">HH", 0xFFFF, 0), b"x" * (size - 1_500))),
    ),
}
