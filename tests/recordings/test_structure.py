"""How files end, from handmade headers: cases that the recorder's own files, even cut ones, do not cover."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture.recordings import structure
from capture.recordings.structure import Ending, read_structure


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "made.bin"


def ending(path: Path, content: bytes) -> Ending:
    path.write_bytes(content)
    return read_structure(path).ending


# MP4


def box(kind: bytes, body: bytes = b"", *, size: int | None = None) -> bytes:
    return struct.pack(">I4s", 8 + len(body) if size is None else size, kind) + body


def long_box(kind: bytes, body: bytes, *, size: int | None = None) -> bytes:
    return struct.pack(">I4sQ", 1, kind, 16 + len(body) if size is None else size) + body


FTYP = box(b"ftyp", b"isomiso2")


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        ([FTYP, box(b"mdat", b"x"), box(b"moov")], Ending.WHOLE),
        ([FTYP, box(b"moov"), box(b"free"), box(b"mdat", b"x")], Ending.WHOLE),
        ([box(b"wide"), box(b"mdat", b"x"), box(b"moov"), box(b"\xa9xyz")], Ending.WHOLE),
        ([FTYP, long_box(b"mdat", b"x" * 50), box(b"moov")], Ending.WHOLE),
        ([FTYP, box(b"moov"), box(b"mdat", b"up to the end", size=0)], Ending.WHOLE),
        ([FTYP, box(b"moov"), box(b"moof"), box(b"mdat", b"x"), box(b"mfra")], Ending.WHOLE),
        ([FTYP, box(b"moov"), box(b"moof"), box(b"mdat", b"x")], Ending.NEVER_CLOSED),
        ([FTYP, box(b"moov"), box(b"moof", size=500)], Ending.NEVER_CLOSED),
        ([FTYP, box(b"moov"), box(b"moof"), b"\1\2\3"], Ending.NEVER_CLOSED),
        ([FTYP, box(b"mdat", b"no index", size=0)], Ending.NEVER_CLOSED),
        ([FTYP, box(b"moov")], Ending.NEVER_CLOSED),
        ([FTYP], Ending.NEVER_CLOSED),
        ([FTYP, box(b"mdat", b"x", size=10)], Ending.CUT_OFF),
        ([FTYP, box(b"moov"), box(b"mdat", b"x", size=10)], Ending.CUT_OFF),
        ([FTYP, box(b"mdat", b"x"), b"\0\0\1"], Ending.CUT_OFF),
        ([FTYP, box(b"moov"), long_box(b"mdat", b"x", size=18)], Ending.CUT_OFF),
        ([FTYP, box(b"moov"), long_box(b"mdat", b"x", size=2**64 - 1)], Ending.CUT_OFF),
        ([FTYP, box(b"moov"), struct.pack(">I4s", 1, b"mdat")], Ending.DAMAGED),
        ([FTYP, box(b"moov"), box(b"mdat", b"x", size=7)], Ending.DAMAGED),
        ([FTYP, box(b"moov"), long_box(b"mdat", b"x", size=15)], Ending.DAMAGED),
        ([FTYP, box(b"moov"), box(b"\0\1\2\3"), box(b"mdat", b"x")], Ending.DAMAGED),
    ],
)
def test_mp4(path: Path, boxes: list[bytes], expected: Ending) -> None:
    assert ending(path, b"".join(boxes)) is expected


# Matroska


def element(number: str, body: bytes = b"", *, size: bytes | None = None) -> bytes:
    return bytes.fromhex(number) + (bytes([0x80 | len(body)]) if size is None else size) + body


EBML = element("1a45dfa3", b"1234")
INFO = element("1549a966", element("4489", b"1234"))
CLUSTER = element("1f43b675", b"blocks")
CUES = element("1c53bb6b", b"places")


def segment(*elements: bytes, longer: int = 0) -> bytes:
    body = b"".join(elements)
    return EBML + element("18538067", body, size=(1 << 56 | len(body) + longer).to_bytes(8, "big"))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (segment(INFO, CLUSTER, CLUSTER, CUES), Ending.WHOLE),
        (segment(INFO, CUES, CLUSTER), Ending.WHOLE),
        (segment(INFO, CLUSTER, CUES) + b"what somebody put behind it", Ending.WHOLE),
        (segment(INFO, CLUSTER), Ending.NEVER_CLOSED),
        (segment(element("1549a966", element("4d80", b"app")), CLUSTER, CUES), Ending.NEVER_CLOSED),
        (EBML + element("18538067", size=b"\x01" + b"\xff" * 7) + INFO + CLUSTER + CUES, Ending.NEVER_CLOSED),
        (EBML + element("18538067", size=b"\xff") + INFO + CLUSTER + CUES, Ending.NEVER_CLOSED),
        (segment(INFO, CLUSTER, CUES)[:-1], Ending.CUT_OFF),
        (segment(INFO, CLUSTER, CUES, longer=1), Ending.CUT_OFF),
        (EBML, Ending.CUT_OFF),
        (EBML[:-1], Ending.CUT_OFF),
        (segment(INFO, element("1f43b675", b"blocks", size=b"\xff"), CUES), Ending.DAMAGED),
        (segment(INFO, element("1f43b675", b"blocks", size=b"\xfe"), CUES), Ending.DAMAGED),
        (segment(INFO, CUES, b"\0\0\0\0"), Ending.DAMAGED),
        (segment(INFO, CUES, b"\x08\x80"), Ending.DAMAGED),
    ],
)
def test_matroska(path: Path, content: bytes, expected: Ending) -> None:
    assert ending(path, content) is expected


# Ogg


def page(stream: int, number: int, flags: int = 0, *, marker: bytes = b"OggS") -> bytes:
    return marker + struct.pack("<BBqIIIB", 0, flags, 0, stream, number, 0, 1) + bytes([5]) + b"sound"


FIRST, LAST = 2, 4


@pytest.mark.parametrize(
    ("pages", "expected"),
    [
        ([page(1, 0, FIRST), page(1, 1), page(1, 2, LAST)], Ending.WHOLE),
        ([page(1, 0, FIRST | LAST)], Ending.WHOLE),
        ([page(1, 0, FIRST), page(2, 0, FIRST), page(1, 1, LAST), page(2, 1), page(2, 2, LAST)], Ending.WHOLE),
        ([page(1, 0, FIRST), page(1, 1)], Ending.NEVER_CLOSED),
        ([page(1, 0, FIRST), page(2, 0, FIRST), page(1, 1, LAST), page(2, 1)], Ending.NEVER_CLOSED),
        ([page(1, 0, FIRST), page(1, 1, LAST)[:-1]], Ending.CUT_OFF),
        ([page(1, 0, FIRST), page(1, 1, LAST)[:27]], Ending.CUT_OFF),
        ([page(1, 0, FIRST), page(1, 1, LAST)[:20]], Ending.CUT_OFF),
        ([page(1, 0, FIRST), page(1, 1, LAST)[:3]], Ending.CUT_OFF),
        ([page(1, 0, FIRST), page(1, 2, LAST)], Ending.DAMAGED),
        ([page(1, 0, FIRST), page(1, 2), page(1, 3, LAST)], Ending.DAMAGED),
        ([page(1, 0, FIRST), b"x", page(1, 1, LAST)], Ending.DAMAGED),
        ([page(1, 0, FIRST), page(1, 1, marker=b"Oggs"), page(1, 1, LAST)], Ending.DAMAGED),
        # The marker straddles two of the chunks that are searched.
        ([page(1, 0, FIRST), b"x" * 65_535, page(1, 1, LAST)], Ending.DAMAGED),
        ([page(1, 0, FIRST), b"x" * 200_000, page(1, 1, LAST)], Ending.DAMAGED),
        ([page(1, 0, FIRST), page(7, 1), page(1, 1, LAST)], Ending.DAMAGED),
        ([page(1, 0, FIRST), b"x" * 200_000], Ending.NEVER_CLOSED),
    ],
)
def test_ogg(path: Path, pages: list[bytes], expected: Ending) -> None:
    assert ending(path, b"".join(pages)) is expected


# WAV

UNSET = 0xFFFFFFFF


def wav(riff: int | None, data: int, sound: bytes, *, long: tuple[int, int] | None = None, after: bytes = b"") -> bytes:
    """Return a WAV file; `riff` None states the true size, `long` makes it an RF64 with these sizes."""
    chunks = b"WAVE"
    if long is not None:
        chunks += struct.pack("<4sIQQQI", b"ds64", 28, *long, 0, 0)
    chunks += struct.pack("<4sI", b"fmt ", 16) + bytes(16) + struct.pack("<4sI", b"LIST", 3) + b"odd\0"
    chunks += struct.pack("<4sI", b"data", data) + sound + after
    return struct.pack("<4sI", b"RIFF" if long is None else b"RF64", len(chunks) if riff is None else riff) + chunks


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (wav(None, 100, bytes(100)), Ending.WHOLE),
        (wav(None, 100, bytes(100), after=b"LIST\4\0\0\0more"), Ending.WHOLE),
        (wav(None, 0, b""), Ending.WHOLE),
        (wav(UNSET, UNSET, bytes(100), long=(2_000, 100)), Ending.WHOLE),
        (wav(0, 0, bytes(100)), Ending.NEVER_CLOSED),
        (wav(UNSET, UNSET, bytes(100)), Ending.NEVER_CLOSED),
        (wav(None, 0, bytes(100)), Ending.NEVER_CLOSED),
        (wav(None, UNSET, bytes(100)), Ending.NEVER_CLOSED),
        (wav(0, 100, bytes(100)), Ending.NEVER_CLOSED),
        (wav(UNSET, UNSET, bytes(100), long=(0, 0)), Ending.NEVER_CLOSED),
        (wav(None, 100, bytes(99)), Ending.CUT_OFF),
        (wav(UNSET, UNSET, bytes(99), long=(2_000, 100)), Ending.CUT_OFF),
        (wav(None, 100, b"")[:40], Ending.CUT_OFF),
        (wav(None, 100, b"")[:12], Ending.CUT_OFF),
    ],
)
def test_wav(path: Path, content: bytes, expected: Ending) -> None:
    assert ending(path, content) is expected


# FLAC


def flac(sample_rate: int, samples: int) -> bytes:
    return (
        b"fLaC\0\0\0\x22"
        + bytes(10)
        + (sample_rate << 44 | 1 << 41 | 15 << 36 | samples).to_bytes(8, "big")
        + bytes(16)
    )


def test_flac(path: Path) -> None:
    path.write_bytes(flac(48_000, 2**36 - 1))
    assert read_structure(path).ending is Ending.WHOLE
    assert read_structure(path).promised_s == (2**36 - 1) / 48_000
    assert ending(path, flac(48_000, 0)) is Ending.NEVER_CLOSED
    assert ending(path, flac(0, 100)) is Ending.DAMAGED
    assert ending(path, flac(48_000, 100)[:25]) is Ending.CUT_OFF


# MP3


def mp3(header: str, side_bytes: int, fields: int, frames: int, size: int, total: int, *, tag: bytes = b"") -> bytes:
    start = bytes.fromhex(header) + bytes(side_bytes) + b"Info" + struct.pack(">III", fields, frames, size)
    return tag + start.ljust(total, b"\0")


MPEG_1_STEREO, MPEG_1_MONO, MPEG_2_STEREO, MPEG_2_MONO = "fffb9064", "fffb90c4", "fff39064", "fff390c4"
TAG = b"ID3\4\0\0\0\0\1\2" + bytes(130)


@pytest.mark.parametrize(
    ("header", "side_bytes"), [(MPEG_1_STEREO, 32), (MPEG_1_MONO, 17), (MPEG_2_STEREO, 17), (MPEG_2_MONO, 9)]
)
@pytest.mark.parametrize("tag", [b"", TAG, TAG + TAG])
def test_mp3_with_a_table(path: Path, header: str, side_bytes: int, tag: bytes) -> None:
    assert ending(path, mp3(header, side_bytes, 3, 10, 500, 500, tag=tag)) is Ending.WHOLE
    assert ending(path, mp3(header, side_bytes, 3, 10, 500, 628, tag=tag)) is Ending.WHOLE
    assert ending(path, mp3(header, side_bytes, 3, 10, 500, 499, tag=tag)) is Ending.CUT_OFF
    assert ending(path, mp3(header, side_bytes, 3, 0, 0, 500, tag=tag)) is Ending.NEVER_CLOSED
    assert ending(path, mp3(header, side_bytes, 0, 0, 0, 500, tag=tag)) is Ending.WHOLE


def test_mp3_without_a_table_counts_as_whole(path: Path) -> None:
    assert ending(path, bytes.fromhex(MPEG_1_STEREO) + bytes(413)) is Ending.WHOLE
    assert ending(path, bytes.fromhex(MPEG_1_STEREO)) is Ending.WHOLE


def test_mp3_that_is_only_a_tag_is_cut_off(path: Path) -> None:
    assert ending(path, TAG) is Ending.CUT_OFF
    assert ending(path, TAG[:20]) is Ending.CUT_OFF
    assert ending(path, TAG + b"no frame at all") is Ending.DAMAGED


# All of them


@pytest.mark.parametrize("content", [b"", b"x", b"GIF89a" + bytes(100), "\ufefftext".encode("utf-16"), bytes(100)])
def test_other_files_are_unknown(path: Path, content: bytes) -> None:
    assert ending(path, content) is Ending.UNKNOWN


def test_a_missing_file_raises_oserror(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_structure(tmp_path / "missing.mp4")


def test_the_samples_of_a_long_recording_are_not_read(path: Path) -> None:
    length = 6_000_000_000
    with path.open("wb") as file:
        file.write(FTYP + struct.pack(">I4sQ", 1, b"mdat", length))
        file.seek(len(FTYP) + length)
        file.write(box(b"moov"))
    tracemalloc.start()
    try:
        assert read_structure(path).ending is Ending.WHOLE
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 200_000


def test_a_file_with_too_many_headers_is_damaged(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(structure, "_MOST_READS", 1_000)
    assert ending(path, FTYP + box(b"free") * 900 + box(b"mdat", b"x") + box(b"moov")) is Ending.WHOLE
    assert ending(path, FTYP + box(b"free") * 1_100 + box(b"mdat", b"x") + box(b"moov")) is Ending.DAMAGED


@settings(max_examples=400)
@given(
    content=st.lists(
        st.one_of(
            st.sampled_from(
                [FTYP, box(b"moov"), box(b"moof"), EBML, segment(INFO, CUES), INFO, CLUSTER, page(1, 0, FIRST)]
            ),
            st.sampled_from([page(1, 1), wav(None, 9, b"x"), flac(48_000, 9), TAG, mp3(MPEG_1_MONO, 17, 3, 1, 9, 60)]),
            st.binary(max_size=12),
        ),
        max_size=6,
    )
)
def test_any_bytes_have_an_ending(path: Path, content: list[bytes]) -> None:
    assert ending(path, b"".join(content)) in Ending
