"""libopus itself makes FFmpeg's packets, and one channel of two that are identical, without a seam between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest

from capture.codecs import libopus
from capture.codecs.audio_encoder import AudioEncoder
from capture.codecs.libopus import FRAME_SAMPLES, OpusEncoder
from capture.codecs.opus_head import priming_of
from capture.media import SAMPLE_RATE, SampleArray

Sound = npt.NDArray[np.float64]

BIT_RATE = 128_000

#: The bit of a packet's first byte that says that it holds two channels (RFC 6716, section 3.1).
TWO_CHANNELS = 0x04


def times_s(seconds: float) -> Sound:
    return np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE


def voice(seconds: float) -> Sound:
    moments = times_s(seconds)
    spoken = sum(np.sin(2 * np.pi * 140 * n * moments) / n for n in range(1, 20))
    return np.asarray(0.1 * spoken * np.sin(np.pi * 4 * moments) ** 2)


def chord(seconds: float) -> Sound:
    return np.asarray(sum(0.06 * np.sin(2 * np.pi * hz * times_s(seconds) + hz) for hz in (220, 277.2, 440, 554, 1318)))


def clicks(seconds: float) -> Sound:
    samples = np.zeros(round(seconds * SAMPLE_RATE))
    samples[:: SAMPLE_RATE // 3] = 0.8
    return np.convolve(samples, np.exp(-np.arange(300) / 60.0), "same")


def noise(seconds: float) -> Sound:
    return np.random.default_rng(5).normal(0.0, 0.05, round(seconds * SAMPLE_RATE))


SOUNDS = [voice, chord, clicks, noise]


def same(side: Sound) -> SampleArray:
    return np.stack([side, side], axis=1).astype(np.float32)


def wide(side: Sound) -> SampleArray:
    return np.stack([side, np.roll(side, 480) * 0.7], axis=1).astype(np.float32)


def nudged(sound: SampleArray, when: npt.NDArray[np.bool_] | bool = True) -> SampleArray:
    """Make the channels differ, by what no one hears: that keeps the encoder at two of them."""
    found = sound.copy()
    found[:, 1] += np.where(when, 1e-7, 0.0).astype(np.float32)
    return found


def packets_of(encoder: OpusEncoder | AudioEncoder, sound: SampleArray, block: int = 12_000) -> list[av.Packet[Any]]:
    blocks = [sound[start : start + block] for start in range(0, len(sound), block)]
    return [packet for part in blocks for packet in encoder.encode(part)] + encoder.finish()


def told(packet: av.Packet[Any]) -> tuple[object, ...]:
    """Return everything that a muxer reads of a packet."""
    notes = [(note.data_type, bytes(note)) for note in packet.iter_sidedata()]
    return bytes(packet), packet.pts, packet.dts, packet.duration, packet.time_base, packet.is_keyframe, notes


def holds_two(packets: Sequence[av.Packet[Any]]) -> list[bool]:
    return [bool(bytes(packet)[0] & TWO_CHANNELS) for packet in packets]


def decoded(packets: Sequence[av.Packet[Any]], decoder: str, priming: int) -> Sound:
    """Decode to (n, 2), from the first sample of the sound on."""
    context = av.CodecContext.create(decoder, "r")
    context.extradata = b"OpusHead\x01\x02" + priming.to_bytes(2, "little") + (48_000).to_bytes(4, "little") + bytes(3)
    assert isinstance(context, av.AudioCodecContext)
    parts = []
    for packet in packets:
        for frame in context.decode(av.Packet(bytes(packet))):
            values = frame.to_ndarray() / (32768 if frame.format.name.startswith("s16") else 1)
            parts.append(values.T if frame.format.is_planar else values.reshape(-1, 2))
    sound = np.concatenate(parts).astype(np.float64)
    # FFmpeg's own decoder leaves the priming out.
    return sound[priming:] if len(sound) == len(packets) * FRAME_SAMPLES else sound


def distance_db(found: Sound, wanted: SampleArray) -> float:
    """Return the signal-to-noise ratio."""
    count = min(len(found), len(wanted))
    error = np.sum((found[:count] - wanted[:count]) ** 2)
    return float(10 * np.log10(np.sum(wanted[:count].astype(float) ** 2) / max(error, 1e-12)))


@pytest.fixture
def without_library(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(libopus, "_PLACES", ())
    libopus._library.cache_clear()
    yield
    libopus._library.cache_clear()


def by_ffmpeg(sound: SampleArray) -> list[av.Packet[Any]]:
    """Encode with FFmpeg's encoder; `without_library` makes it the one that is used."""
    assert not libopus.is_available()
    return packets_of(AudioEncoder("opus", sound.shape[1]), sound)


def test_the_library_of_the_wheel_is_found() -> None:
    assert libopus.is_available()


def test_the_priming_is_that_in_the_header() -> None:
    encoder = AudioEncoder("opus", 2)
    first = packets_of(encoder, wide(voice(0.1)))[0]
    assert first.pts == -priming_of(encoder.template.codec_context.extradata)


@pytest.mark.parametrize("length", [1, 647, 648, 649, 960, 961, 12_000, 48_123])
@pytest.mark.parametrize("channels", [1, 2])
def test_packets_are_those_of_ffmpeg(
    length: int, channels: int, without_library: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = wide(noise(1.1) + chord(1.1))[:length, :channels]
    wanted = [told(packet) for packet in by_ffmpeg(sound)]
    monkeypatch.undo()
    libopus._library.cache_clear()
    assert libopus.is_available()
    assert [told(packet) for packet in packets_of(AudioEncoder("opus", channels), sound)] == wanted


@pytest.mark.parametrize("make", SOUNDS)
@pytest.mark.parametrize("decoder", ["opus", "libopus"])
def test_identical_channels_are_encoded_once_and_no_worse(make: Callable[[float], Sound], decoder: str) -> None:
    sound = same(make(4.0))
    packets = packets_of(OpusEncoder(2, BIT_RATE), sound)
    twice = packets_of(OpusEncoder(2, BIT_RATE), nudged(sound))
    assert not any(holds_two(packets))
    assert all(holds_two(twice)[1:])
    assert sum(packet.size for packet in packets) < 1.1 * sum(packet.size for packet in twice)
    priming = -(packets[0].pts or 0)
    found = decoded(packets, decoder, priming)
    assert np.array_equal(found[:, 0], found[:, 1])
    assert distance_db(found, sound) > distance_db(decoded(twice, decoder, priming), sound) - 0.2


@pytest.mark.parametrize("make", SOUNDS)
@pytest.mark.parametrize("decoder", ["opus", "libopus"])
def test_going_over_makes_no_seam(make: Callable[[float], Sound], decoder: str) -> None:
    """Both ways, again and again: no stretch around a switch is further from the sound than with two channels."""
    sound = same(make(10.0))
    stretch = np.arange(len(sound)) // (41 * FRAME_SAMPLES)
    packets = packets_of(OpusEncoder(2, BIT_RATE), nudged(sound, stretch % 2 == 1))
    twice = packets_of(OpusEncoder(2, BIT_RATE), nudged(sound))
    two = holds_two(packets)
    switches = [number for number in range(1, len(two)) if two[number] != two[number - 1]]
    assert len(switches) > 10
    priming = -(packets[0].pts or 0)
    found, usual = decoded(packets, decoder, priming), decoded(twice, decoder, priming)
    for number in switches:
        here = slice((number - 1) * FRAME_SAMPLES, (number + 2) * FRAME_SAMPLES)
        if np.any(sound[here]):
            error, usual_error = np.abs(found[here] - sound[here]).max(), np.abs(usual[here] - sound[here]).max()
            assert error < 2 * usual_error + 0.002


def test_channels_that_differ_are_encoded_at_once_and_identical_ones_once_again() -> None:
    alike, differs = same(voice(2.0)), wide(voice(2.0))
    two = holds_two(packets_of(OpusEncoder(2, BIT_RATE), np.concatenate((alike, differs, alike))))
    assert not any(two[:100])
    assert all(two[100:224])
    assert not any(two[226:300])


def test_block_sizes_make_no_difference() -> None:
    sound = np.concatenate((same(voice(1.0)), wide(voice(1.0))))
    whole = [told(packet) for packet in packets_of(OpusEncoder(2, BIT_RATE), sound, len(sound))]
    assert [told(packet) for packet in packets_of(OpusEncoder(2, BIT_RATE), sound, 777)] == whole


def test_silence_lies_in_the_memory_of_one_sample() -> None:
    silence = np.broadcast_to(np.zeros((1, 2), np.float32), (SAMPLE_RATE, 2))
    assert len(packets_of(OpusEncoder(2, BIT_RATE), silence)) == 51


def test_without_the_library_ffmpeg_encodes(without_library: None) -> None:
    assert len(by_ffmpeg(same(voice(1.0)))) == 51


def test_an_encoder_can_be_closed_twice() -> None:
    encoder = OpusEncoder(2, BIT_RATE)
    encoder.close()
    encoder.close()
