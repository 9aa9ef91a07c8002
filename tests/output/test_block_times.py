"""The blocks of Matroska and WebM are in the order of their times, as Media Source players demand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from capture.codecs.audio_encoder import AudioEncoder
from capture.codecs.video_encoder import VideoEncoder
from capture.formats import CONTAINERS
from capture.output.muxer import Muxer

SEGMENT, CLUSTER, CLUSTER_TIME, GROUP, BLOCK, SIMPLE_BLOCK = 0x18538067, 0x1F43B675, 0xE7, 0xA0, 0xA1, 0xA3


def number(data: bytes, place: int, *, is_id: bool = False) -> tuple[int, int]:
    """Return the number of variable length at `place`, -1 if unknown, and where it ends."""
    length = 9 - data[place].bit_length()
    value = int.from_bytes(data[place : place + length], "big")
    if not is_id:
        mask = (1 << 7 * length) - 1
        value = -1 if value & mask == mask else value & mask
    return value, place + length


def block_times_ms(data: bytes, cluster_ms: int = 0) -> Iterator[int]:
    place = 0
    while place < len(data) - 12:
        kind, place = number(data, place, is_id=True)
        size, place = number(data, place)
        content = data[place:] if size < 0 else data[place : place + size]
        if kind == CLUSTER_TIME:
            cluster_ms = int.from_bytes(content, "big")
        elif kind in (SEGMENT, CLUSTER, GROUP):
            yield from block_times_ms(content, cluster_ms)
        elif kind in (BLOCK, SIMPLE_BLOCK):
            _, after_track = number(content, 0)
            yield cluster_ms + int.from_bytes(content[after_track : after_track + 2], "big", signed=True)
        place += len(content)


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("extension", ["mkv", "webm"])
def test_block_times_never_run_back(extension: str, closed: bool, tmp_path: Path) -> None:
    kind = CONTAINERS[extension]
    assert kind.video_codec is not None
    video, audio = VideoEncoder(kind.video_codec, 64, 48, 30), AudioEncoder(kind.audio_codec, 2)
    muxer = Muxer(tmp_path / f"made.{extension}", kind)
    muxer.start([video.template, audio.template])
    for slot in range(60):
        for packet in video.encode(np.full((48, 64, 4), 4 * slot, np.uint8), slot * 3000):
            muxer.write(0, packet)
        for packet in audio.encode(np.full((1600, 2), 0.1, np.float32)):
            muxer.write(1, packet)
    content = muxer.path.read_bytes()
    muxer.close()
    times_ms = list(block_times_ms(muxer.path.read_bytes() if closed else content))
    assert len(times_ms) > 130
    assert times_ms == sorted(times_ms)
