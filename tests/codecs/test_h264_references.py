"""Decoders keep two references where the encoder keeps one: the same stream as that of an encoder that keeps two."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext

from capture.codecs.h264_references import with_two_references
from capture.codecs.video_encoder import VideoEncoder
from capture.codecs.video_presets import VIDEO_CODECS


def encoder(size: tuple[int, int], fps: int, parameters: str) -> VideoCodecContext:
    """Open x264 with the options of recordings and these parameters of its own in addition."""
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = *size, "yuv420p"
    context.time_base, context.framerate = Fraction(1, 90_000), Fraction(fps)
    options = {**VIDEO_CODECS["libx264"].options, **VIDEO_CODECS["libx264"].quality["medium"]}
    context.options = options | {"x264-params": f"{options['x264-params']}:{parameters}"}
    context.flags |= Flags.global_header
    context.open()
    return context


def parameters_of(context: Any) -> bytes:
    return bytes(context.extradata or b"")


@pytest.mark.parametrize(("size", "fps"), [((64, 48), 30), ((176, 144), 15), ((1920, 1080), 60), ((3840, 2160), 30)])
def test_the_parameters_are_those_of_an_encoder_that_keeps_two(size: tuple[int, int], fps: int) -> None:
    one, two = (parameters_of(encoder(size, fps, f"dpb-size={count}")) for count in (1, 2))
    assert one != two
    assert with_two_references(one) == two
    assert with_two_references(two) is two


def test_the_slices_are_the_same_whether_the_encoder_keeps_one_or_two() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (96, 128), np.uint8)
    found = []
    for count in (1, 2):
        context, packets = encoder((128, 64), 30, f"dpb-size={count}"), []
        for slot in range(8):
            frame = av.VideoFrame.from_ndarray(np.roll(noise, 3 * slot, axis=0), "yuv420p")
            frame.pts, frame.time_base = slot * 3000, context.time_base
            packets += [bytes(packet) for packet in context.encode(frame)]
        found.append(packets)
    # The first one also holds x264's own words about its options.
    assert len(found[0]) == 8
    assert found[0][1:] == found[1][1:]


def test_recordings_say_that_two_are_kept() -> None:
    made = VideoEncoder("h264", 64, 48, 30, encoder="libx264")
    parameters = parameters_of(made.template.codec_context)
    assert with_two_references(parameters) is parameters
    assert len(parameters) > 0
    made.finish()


@pytest.mark.parametrize("data", [b"", b"\0\0\1\x67", b"\0\0\1\x67\x42\xc0\0\xdb\x11", b"\0\0\1\x41\0\0"])
def test_what_is_not_understood_stays(data: bytes) -> None:
    assert with_two_references(data) is data
