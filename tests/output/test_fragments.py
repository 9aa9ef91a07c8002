"""The fragments of an MP4 that was cut off: a key frame begins one, and Media Source players take them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from capture.codecs.audio_encoder import AudioEncoder
from capture.codecs.video_encoder import VideoEncoder
from capture.formats import CONTAINERS
from capture.output.muxer import Muxer

#: Flags of a `tfhd` and of a sample: ISO/IEC 14496-12, 8.8.7 and 8.8.3.
OFFSET_GIVEN, OFFSET_FROM_FRAGMENT, NO_KEY_FRAME = 0x000001, 0x020000, 0x00010000

KEY_FRAMES = (0, 20, 40)


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    while len(data) >= 8:
        size, kind = struct.unpack(">I4s", data[:8])
        yield kind, data[8:size]
        data = data[size:]


def write(path: Path) -> tuple[bytes, bytes]:
    """Record two seconds; return the file as a kill leaves it, and when it is closed."""
    kind = CONTAINERS[path.suffix[1:]]
    video = VideoEncoder("h264", 64, 48, 30) if kind.holds_video else None
    audio = AudioEncoder(kind.audio_codec, 2)
    muxer = Muxer(path, kind)
    muxer.start([audio.template] if video is None else [video.template, audio.template])
    for slot in range(60):
        if video is not None:
            if slot in KEY_FRAMES:
                video._last_key_pts = -(1 << 40)
            for packet in video.encode(np.full((48, 64, 4), 4 * slot, np.uint8), slot * 3000):
                muxer.write(0, packet)
        for packet in audio.encode(np.full((1600, 2), 0.1, np.float32)):
            muxer.write(int(video is not None), packet)
        muxer.update_header()
    cut_off = path.read_bytes()
    muxer.close()
    return cut_off, path.read_bytes()


def first_flags(fragment: dict[bytes, bytes]) -> int | None:
    """Return the sample flags that a track's part of a fragment states for its first sample."""
    flags = int.from_bytes(fragment[b"trun"][1:4], "big")
    if not flags & 0x000004:
        return None
    return int.from_bytes(fragment[b"trun"][12 if flags & 1 else 8 :][:4], "big")


@pytest.mark.parametrize("extension", ["mp4", "mov", "m4a"])
def test_offsets_count_from_the_fragment(extension: str, tmp_path: Path) -> None:
    cut_off, _ = write(tmp_path / f"made.{extension}")
    fragments = [content for kind, content in boxes(cut_off) if kind == b"moof"]
    assert len(fragments) > 4
    for fragment in fragments:
        for track in (dict(boxes(content)) for kind, content in boxes(fragment) if kind == b"traf"):
            flags = int.from_bytes(track[b"tfhd"][1:4], "big")
            assert flags & OFFSET_FROM_FRAGMENT
            assert not flags & OFFSET_GIVEN


def test_a_key_frame_begins_a_fragment(tmp_path: Path) -> None:
    cut_off, _ = write(tmp_path / "made.mp4")
    begins = []
    for fragment in (content for kind, content in boxes(cut_off) if kind == b"moof"):
        pictures = dict(boxes(next(content for kind, content in boxes(fragment) if kind == b"traf")))
        first = first_flags(pictures)
        if first is not None and not first & NO_KEY_FRAME:
            begins.append(round(int.from_bytes(pictures[b"tfdt"][4:], "big") / 3000))
    assert begins == list(KEY_FRAMES)


@pytest.mark.parametrize("extension", ["mp4", "mov", "m4a"])
def test_a_closed_file_has_the_brands_of_an_ordinary_one(extension: str, tmp_path: Path) -> None:
    _, closed = write(tmp_path / f"made.{extension}")
    kind, brands = next(boxes(closed))
    assert kind == b"ftyp"
    assert {brands[:4], brands[8:12]} == {{"mp4": b"isom", "mov": b"qt  ", "m4a": b"M4A "}[extension]}
    assert b"iso5" not in brands
    assert b"iso6" not in brands
