"""Merged Opus packets follow RFC 6716 and decode to the same samples as the single packets."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any, cast

import av
import numpy as np
import numpy.typing as npt
import pytest

from capture.codecs.opus_repacketizer import MAX_FRAME_BYTES, Repacketizer, are_alike, guarded, merged, split

RATE = 16_000
SILK_WIDEBAND_20_MS = 9 << 3


def single(content: bytes, head: int = SILK_WIDEBAND_20_MS) -> bytes:
    return bytes([head]) + content


def frames_in(packet: bytes) -> list[bytes]:
    """Return the frames of a code-3 packet without padding, read as in RFC 6716, sections 3.2.1 and 3.2.5."""
    assert packet[0] & 3 == 3
    assert packet[1] & 0xC0 == 0x80, "the packet must have different lengths and no padding"
    count, place = packet[1] & 63, 2
    sizes = []
    for _ in range(count - 1):
        size, place = packet[place], place + 1
        if size >= 252:
            size, place = packet[place] * 4 + size, place + 1
        sizes.append(size)
    sizes.append(len(packet) - place - sum(sizes))
    frames = []
    for size in sizes:
        assert 0 <= size <= MAX_FRAME_BYTES
        frames.append(packet[place : place + size])
        place += size
    assert place == len(packet)
    return frames


def speech_like(seconds: float) -> npt.NDArray[np.float32]:
    """Return a buzz in syllables, with noise in between."""
    times = np.arange(round(seconds * RATE)) / RATE
    buzz = sum(np.sin(2 * np.pi * 110 * number * times) / number for number in range(1, 30))
    noise = np.random.default_rng(3).normal(0, 0.1, len(times))
    return (0.2 * buzz * (times % 0.4 < 0.25) + noise * (times % 0.4 >= 0.3)).astype(np.float32)


def encoded(sound: npt.NDArray[np.float32], **options: str) -> list[av.Packet[Any]]:
    context = av.CodecContext.create("libopus", "w")
    context.sample_rate, context.layout, context.format = RATE, "mono", "flt"
    context.bit_rate, context.options = 24_000, {"application": "voip", "frame_duration": "20", **options}
    context.time_base = Fraction(1, RATE)
    packets: list[av.Packet[Any]] = []
    for start in range(0, len(sound), 320):
        frame = av.AudioFrame.from_ndarray(sound[None, start : start + 320], format="flt", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
        packets += context.encode(frame)
    return [*packets, *context.encode(None)]


def decoded(packets: Sequence[bytes], decoder: str = "libopus") -> npt.NDArray[np.float32]:
    context = cast(av.AudioCodecContext, av.CodecContext.create(decoder, "r"))
    context.sample_rate, context.layout = 48_000, "mono"
    frames = [frame for packet in packets for frame in context.decode(av.Packet(packet))]
    resampler = av.AudioResampler(format="flt", layout="mono", rate=48_000)
    return np.concatenate([part.to_ndarray()[0] for frame in frames for part in resampler.resample(frame)])


@pytest.mark.parametrize(
    ("decoder", "options"),
    [
        ("libopus", {}),
        # FFmpeg's own decoder reads past the end of a frame: without the zeros between frames it fails.
        ("opus", {"application": "audio", "fec": "1", "packet_loss": "9"}),
        ("libopus", {"application": "audio", "fec": "1", "packet_loss": "9"}),
    ],
)
@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_merged_packets_decode_to_the_same_samples(count: int, decoder: str, options: dict[str, str]) -> None:
    singles = encoded(speech_like(2), **options)
    codings = {bytes(packet)[0] for packet in singles}
    assert len(codings) == (1 if options else 2), "without options the encoder must change its mode"
    groups = repacketized(singles, count)
    assert len(groups) <= len(singles) / count + len(codings)
    expected = decoded([bytes(packet) for packet in singles], decoder)
    assert np.array_equal(decoded([bytes(packet) for packet in groups], decoder), expected)


def test_a_zero_is_appended_only_to_silk_frames() -> None:
    silk, hybrid, celt = (single(b"ab", config << 3) for config in (11, 12, 23))
    assert guarded(silk) == silk + b"\0"
    assert guarded(guarded(silk)) == silk + b"\0", "two zeros have a meaning"
    assert guarded(hybrid) == hybrid
    assert guarded(celt) == celt
    assert guarded(single(b"")) == single(b""), "an empty frame stays empty"
    assert guarded(single(b"a")) == single(b"a")
    assert guarded(single(b"a" * 1274)) == single(b"a" * 1274 + b"\0")
    assert guarded(single(b"a" * 1275)) == single(b"a" * 1275)


@pytest.mark.parametrize("size", [0, 1, 2, 251, 252, 253, 254, 255, 256, 257, 511, 1023, 1274, 1275])
def test_frames_of_every_length_can_be_split_again(size: int) -> None:
    frames = [bytes([7]) * size, bytes([8]) * 5, bytes([9]) * size]
    assert frames_in(merged([single(frame) for frame in frames])) == frames


@pytest.mark.parametrize("size", [0, 1, 251, 252, 255, 256, 1275])
def test_a_merged_packet_is_split_into_its_packets(size: int) -> None:
    packets = [single(bytes([7]) * size), single(bytes([8]) * 5), single(bytes([9]) * size)]
    assert split(merged(packets)) == packets
    assert split(packets[0]) == packets[:1]


def test_every_way_to_pack_frames_is_split() -> None:
    head = SILK_WIDEBAND_20_MS
    frames = [single(b"abc"), single(b"def")]
    assert split(bytes([head | 1]) + b"abcdef") == frames
    assert split(bytes([head | 2, 3]) + b"abcdef") == frames
    assert split(bytes([head | 3, 2]) + b"abcdef") == frames
    assert split(bytes([head | 3, 0x82, 3]) + b"abcdef") == frames


DAMAGED = {
    "empty": b"",
    "two of unequal length": b"\x49abc",
    "two without a length": b"\x4a",
    "the first too long": b"\x4a\x09abc",
    "half a length": b"\x4a\xff",
    "no count": b"\x4b",
    "none": b"\x4b\x00",
    "padded": b"\x4b\x42\x01abcd",
    "too few lengths": b"\x4b\x83\x01",
    "unequal": b"\x4b\x02abc",
}


@pytest.mark.parametrize("damaged", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_packet_is_not_split(damaged: bytes) -> None:
    with pytest.raises(ValueError, match="packet"):
        split(damaged)


def test_the_first_bytes_are_those_of_a_voice_note() -> None:
    packet = merged([single(b"abc"), single(b"de"), single(b"f")])
    assert packet == bytes([0x4B, 0x83, 3, 2]) + b"abcdef"


def test_a_single_packet_becomes_code_3() -> None:
    assert merged([single(b"abc")]) == bytes([0x4B, 0x81]) + b"abc"


def test_a_merged_packet_stays_unchanged() -> None:
    packet = merged([single(b"abc"), single(b"de")])
    assert merged([packet]) == packet
    assert not are_alike(packet, packet)


@pytest.mark.parametrize(
    ("packets", "why"),
    [
        ([], "merge 0 packets"),
        ([single(b"a")] * 49, "49 packets"),
        ([single(b"a"), single(b"b", 10 << 3)], "differently"),
        ([single(b"a"), single(b"b", SILK_WIDEBAND_20_MS | 4)], "differently"),
        ([single(b"a"), single(b"b", SILK_WIDEBAND_20_MS | 1)], "differently"),
        ([single(b"a"), b""], "differently"),
        ([single(b"a" * 1276), single(b"b")], "too long"),
        ([single(b"a"), single(b"b" * 1276)], "too long"),
    ],
)
def test_packets_that_cannot_be_merged_are_refused(packets: list[bytes], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        merged(packets)


def repacketized(packets: Sequence[av.Packet[Any]], frames: int = 3) -> list[av.Packet[Any]]:
    repacketizer = Repacketizer(frames)
    groups = [group for packet in packets for group in repacketizer.add(packet)]
    return [*groups, *repacketizer.finish()]


def test_merged_packets_have_the_times_of_their_frames() -> None:
    singles = encoded(speech_like(1.03))
    groups = repacketized(singles)
    assert (groups[0].pts, groups[0].time_base) == (singles[0].pts, singles[0].time_base)
    assert sum(group.duration or 0 for group in groups) == sum(packet.duration or 0 for packet in singles)
    assert all((a.pts or 0) + (a.duration or 0) == b.pts for a, b in pairwise(groups))
    assert all(group.is_keyframe and group.pts == group.dts for group in groups)
    notes = [packet.has_sidedata("skip_samples") for packet in (*groups[:-1], groups[-1])]
    assert notes == [False] * (len(groups) - 1) + [True], "the padding at the end must still be marked"


def test_a_merged_packet_ends_where_the_coding_changes() -> None:
    def packet(head: int, number: int) -> av.Packet[Any]:
        made: av.Packet[Any] = av.Packet(single(bytes([number]), head))
        made.pts = made.dts = 320 * number
        made.duration, made.time_base = 320, Fraction(1, RATE)
        return made

    heads = [SILK_WIDEBAND_20_MS] * 4 + [8] * 2 + [SILK_WIDEBAND_20_MS] * 3
    groups = repacketized([packet(head, number) for number, head in enumerate(heads)])
    assert [bytes(group)[1] & 63 for group in groups] == [3, 1, 2, 3]
    assert [group.pts for group in groups] == [0, 3 * 320, 4 * 320, 6 * 320]
    assert b"".join(frame for group in groups for frame in frames_in(bytes(group))) == bytes(range(9))


def test_finish_without_packets_returns_nothing() -> None:
    assert Repacketizer(3).finish() == []
