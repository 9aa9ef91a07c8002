"""Two key frames in a row can be told apart, and show what they showed."""

from __future__ import annotations

import av
import numpy as np
import pytest
from numbered import HEIGHT, WIDTH, numbered

from capture.codecs.h264_key_numbers import told_apart
from capture.codecs.video_encoder import VideoEncoder

#: Encoders of 4K write several slices.
SIZES = [(WIDTH, HEIGHT), (3840, 2160)]


def key_frame(size: tuple[int, int], number: int) -> tuple[bytes, bytes]:
    """Return a key frame of an encoder of its own, and the parameter sets of that."""
    encoder = VideoEncoder("h264", *size, 60.0)
    image = np.zeros((size[1], size[0], 4), np.uint8)
    image[:HEIGHT, :WIDTH] = numbered(number)
    parameters = bytes(encoder.template.codec_context.extradata or b"")
    (packet,) = encoder.encode(image, 0)
    encoder.close()
    return bytes(packet), parameters


def decoded(parameters: bytes, *packets: bytes) -> list[bytes]:
    decoder = av.CodecContext.create("h264", "r")
    decoder.extradata = parameters
    frames = [frame for packet in packets for frame in decoder.decode(av.Packet(packet))]
    return [bytes(frame.to_ndarray()) for frame in [*frames, *decoder.decode(None)]]


@pytest.mark.parametrize("size", SIZES)
def test_a_key_frame_gets_another_number_than_the_one_before(size: tuple[int, int]) -> None:
    one, parameters = key_frame(size, 1)
    other, _ = key_frame(size, 2)
    second = told_apart(other, one, parameters)
    assert len(second) > len(other)
    third = told_apart(second, second, parameters)
    assert third not in (second, other)
    assert told_apart(other, second, parameters) == other
    assert told_apart(one, third, parameters) == one
    shown = decoded(parameters, one, second, third)
    assert shown == [*decoded(parameters, one), *decoded(parameters, other, other)]
    assert len(shown) == 3


def test_what_is_no_key_frame_or_not_supported_stays() -> None:
    key, parameters = key_frame(SIZES[0], 1)
    assert told_apart(key, b"", parameters) == key
    assert told_apart(key, b"\0\0\0\1\x41\x9a", parameters) == key
    assert told_apart(key, key, b"") == key
    assert told_apart(key, key, parameters[:8]) == key
    assert told_apart(b"\0\0\0\1\x65", b"\0\0\0\1\x65", parameters) == b"\0\0\0\1\x65"
