"""A video track encodes every frame at its pts and fills missing slots of a constant grid."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any, Final, cast

import av
import numpy as np
import pytest
from grabber_stage import part_of

from capture.codecs.video_encoder import VideoEncoder
from capture.formats import CONTAINERS
from capture.media import Rectangle
from capture.pipeline.frame_grabber import FrameJob
from capture.pipeline.video_track import VideoTrack
from capture.pixels.macroblocks import planes_of
from capture.pixels.yuv_part import YuvPart
from capture.threads.mailbox import Mailbox

#: What a frame contains where no encoder looks at it.
PART: Final = part_of(np.zeros((2, 2, 4), np.uint8))


def pictures(jobs: Sequence[FrameJob], codec: str = "h264") -> list[av.Packet[Any]]:
    mailbox: Mailbox[FrameJob] = Mailbox(len(jobs))
    for job in jobs:
        mailbox.put(job)
    mailbox.close()
    packets: list[av.Packet[Any]] = []
    VideoTrack(VideoEncoder(codec, 64, 48, 30), mailbox, packets.extend, fps=30).run()
    return packets


@pytest.mark.parametrize("codec", sorted({kind.video_codec for kind in CONTAINERS.values() if kind.video_codec}))
def test_every_frame_becomes_a_packet_at_its_pts(codec: str) -> None:
    frame = av.VideoFrame(64, 48, "yuv420p")
    grey = YuvPart(planes_of(frame), Rectangle(0, 0, 64, 48), frame)
    jobs = [FrameJob(0, grey, None), FrameJob(900, grey, None), FrameJob(91_000, None, None), FrameJob(95_000, None, 7)]
    packets = pictures(jobs, codec)
    assert [packet.pts for packet in packets] == [0, 900, 91_000, 95_000]
    assert packets[-1].duration == 7


def test_no_packets_come_out_without_a_frame() -> None:
    assert pictures([]) == []
    assert pictures([FrameJob(0, None, None)]) == []


def test_missing_slots_of_a_constant_grid_repeat_the_last_frame() -> None:
    calls: list[tuple[str, int]] = []

    class Encoder:
        def encode_part(self, part: YuvPart, pts: int) -> list[Any]:
            calls.append(("encode", pts))
            return []

        def repeat(self, pts: int) -> list[Any]:
            calls.append(("repeat", pts))
            return []

        def finish(self) -> list[Any]:
            return []

        def close(self) -> None:
            calls.append(("close", 0))

    jobs: Mailbox[FrameJob] = Mailbox(9)
    for slot, part in ((0, PART), (3, PART), (5, None)):
        jobs.put(FrameJob(slot * 3000, part, 3000, slot))
    jobs.close()
    VideoTrack(cast(VideoEncoder, Encoder()), jobs, lambda packet: None, fps=30).run()
    assert calls == [
        ("encode", 0),
        ("repeat", 3000),
        ("repeat", 6000),
        ("encode", 9000),
        ("repeat", 12000),
        ("repeat", 15000),
        ("close", 0),
    ]


def test_no_picture_is_kept_while_the_next_is_awaited() -> None:
    pictures = [np.zeros((48, 64, 4), np.uint8) for _ in range(3)]
    alive = [weakref.ref(picture) for picture in pictures]
    kept: list[int] = []

    class Jobs(Mailbox[FrameJob]):
        def get(self, timeout_s: float | None = None) -> FrameJob:
            kept.append(sum(picture() is not None for picture in alive))
            return super().get(timeout_s)

    class Encoder:
        def encode_part(self, part: YuvPart, pts: int) -> list[Any]:
            return []

        def finish(self) -> list[Any]:
            return []

        def close(self) -> None:
            pass

    jobs = Jobs(8)
    for slot in range(3):
        jobs.put(FrameJob(slot * 3000, part_of(pictures.pop()), None))
    jobs.close()
    VideoTrack(cast(VideoEncoder, Encoder()), jobs, lambda packets: None, fps=30).run()
    assert kept == [3, 2, 1, 0]


def test_an_encoder_that_is_behind_hurries() -> None:
    class Encoder:
        def __init__(self) -> None:
            self.hurried: list[int] = []

        def hurry(self, pts: int) -> None:
            self.hurried.append(pts)

        def encode_part(self, part: YuvPart, pts: int) -> list[Any]:
            return []

        def finish(self) -> list[Any]:
            return []

        def close(self) -> None:
            pass

    mailbox: Mailbox[FrameJob] = Mailbox(8)
    for pts in range(8):
        mailbox.put(FrameJob(pts, PART, None))
    mailbox.close()
    encoder = Encoder()
    VideoTrack(cast(VideoEncoder, encoder), mailbox, lambda packets: None, fps=30).run()
    # Seven to four jobs still wait behind these.
    assert encoder.hurried == [0, 1, 2, 3]
