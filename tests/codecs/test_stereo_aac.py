"""Identical channels are encoded once and decode on both sides; switching encoders is inaudible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from av.audio.stream import AudioStream
from av.codec.context import Flags

from capture.codecs import stereo_aac as aac
from capture.codecs.audio_encoder import AudioEncoder
from capture.codecs.bitstream import bits_of
from capture.codecs.null_container import open_null_container
from capture.codecs.sound_cut import decoded as decoded_as_in
from capture.codecs.stereo_aac import FRAME_SAMPLES, StereoAac, as_stereo
from capture.errors import EncoderError
from capture.media import SAMPLE_RATE, SampleArray

Sound = npt.NDArray[np.float64]

#: A whole second is not a whole number of frames.
SECOND = SAMPLE_RATE


def times_s(seconds: float) -> Sound:
    return np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE


def tone(seconds: float, hz: float = 440.0) -> Sound:
    return np.asarray(0.3 * np.sin(2 * np.pi * hz * times_s(seconds)))


def voice(seconds: float) -> Sound:
    moments = times_s(seconds)
    spoken = sum(np.sin(2 * np.pi * 140 * n * moments) / n for n in range(1, 20))
    return np.asarray(0.1 * spoken * np.sin(np.pi * 4 * moments) ** 2)


def clicks(seconds: float) -> Sound:
    samples = np.zeros(round(seconds * SAMPLE_RATE))
    samples[:: SAMPLE_RATE // 3] = 0.8
    return np.convolve(samples, np.exp(-np.arange(300) / 60.0), "same")


def noise(seconds: float) -> Sound:
    return np.random.default_rng(5).normal(0.0, 0.05, round(seconds * SAMPLE_RATE))


def silence(seconds: float) -> Sound:
    return np.zeros(round(seconds * SAMPLE_RATE))


SOUNDS = [tone, voice, clicks, noise, silence]


def same(side: Sound) -> SampleArray:
    return np.stack([side, side], axis=1).astype(np.float32)


class CountedEncoder:
    """An FFmpeg encoder that counts the samples it was fed."""

    def __init__(self, layout: str) -> None:
        self._container = open_null_container()
        options = {"aac_coder": "fast", "aac_tns": "0", "aac_pns": "0", "flags": "+qscale", "global_quality": "236"}
        self.stream: AudioStream = self._container.add_stream("aac", rate=SAMPLE_RATE, options=options)
        context = self.stream.codec_context
        context.layout, context.format = layout, "fltp"
        context.flags |= Flags.global_header
        self._container.start_encoding()
        self.fed = 0

    def encode(self, frame: av.AudioFrame | None) -> list[av.Packet[Any]]:
        self.fed += frame.samples if frame is not None else 0
        return self.stream.encode(frame)

    def close(self) -> None:
        self._container.close()


class Stage:
    def __init__(self) -> None:
        self.both, self.one, self.alone = CountedEncoder("stereo"), CountedEncoder("mono"), CountedEncoder("stereo")
        self.encoder = StereoAac(self.both.encode, self.one.encode)

    def encoded(self, sound: SampleArray, block: int = 9600) -> list[av.Packet[Any]]:
        blocks = [sound[start : start + block] for start in range(0, len(sound), block)]
        return [packet for part in blocks for packet in self.encoder.encode(part)] + self.encoder.finish()

    def encoded_alone(self, sound: SampleArray) -> list[av.Packet[Any]]:
        """Encode everything with a separate stereo encoder."""
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound.T), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = SAMPLE_RATE, 0
        return self.alone.encode(frame) + self.alone.encode(None)

    def decoded(self, packets: list[av.Packet[Any]]) -> Sound:
        return decoded([bytes(packet) for packet in packets], self.both)

    def close(self) -> None:
        for each in (self.both, self.one, self.alone):
            each.close()


def decoded(packets: list[bytes], encoder: CountedEncoder) -> Sound:
    """Decode to (n, channels), without the samples of the first packet, which precede the sound."""
    decoder = av.CodecContext.create("aac", "r")
    decoder.extradata = encoder.stream.codec_context.extradata
    frames = [frame for packet in packets for frame in decoder.decode(av.Packet(packet))]
    return np.concatenate([frame.to_ndarray() for frame in frames], axis=1).T.astype(float)[FRAME_SAMPLES:]


def worst(sound: SampleArray, heard: Sound, begin: int, end: int) -> float:
    """Return the largest RMS error of any quarter of a frame between samples `begin` and `end`."""
    begin, end = max(0, begin), min(end, len(sound), len(heard))
    squares = (heard[begin:end] - sound[begin:end]) ** 2
    step = FRAME_SAMPLES // 4
    means = [float(np.sqrt(squares[at : at + step].mean())) for at in range(0, len(squares) - step + 1, step)]
    return max(means, default=0.0)


@pytest.fixture
def stage() -> Any:
    stage = Stage()
    yield stage
    stage.close()


@pytest.mark.parametrize("make", SOUNDS)
def test_a_mono_packet_decodes_to_both_channels(stage: Stage, make: Callable[..., Sound]) -> None:
    side = make(2.0).astype(np.float32)
    frame = av.AudioFrame.from_ndarray(side.reshape(1, -1), format="fltp", layout="mono")
    frame.sample_rate, frame.pts = SAMPLE_RATE, 0
    packets = [bytes(packet) for packet in (*stage.one.encode(frame), *stage.one.encode(None))]
    alone = decoded(packets, stage.one)
    both = decoded([as_stereo(packet) for packet in packets], stage.both)
    assert np.array_equal(both[:, 0], both[:, 1])
    assert np.array_equal(both[:, :1], alone)


def test_the_test_sounds_use_every_window_sequence(stage: Stage) -> None:
    kinds = set()
    for side in (tone(1.0), clicks(1.0)):
        for packet in stage.encoded_alone(same(side)):
            kinds.add(aac.windows(bytes(packet))[:2])
        stage.alone.close()
        stage.alone = CountedEncoder("stereo")
    assert kinds == {"00", "01", "10", "11"}


@pytest.mark.parametrize("make", SOUNDS)
def test_identical_channels_are_encoded_once(stage: Stage, make: Callable[..., Sound]) -> None:
    sound = same(make(3.0))
    packets = stage.encoded(sound)
    alone = stage.encoded_alone(sound)
    assert stage.both.fed == 0
    # Of silence, only the beginning.
    assert stage.one.fed < SECOND if make is silence else stage.one.fed == len(sound)
    assert [(packet.pts, packet.dts, packet.duration, packet.is_keyframe) for packet in packets] == [
        (packet.pts, packet.dts, packet.duration, packet.is_keyframe) for packet in alone
    ]
    assert [sorted(map(str, packet.iter_sidedata())) for packet in packets[:-1]] == [[]] * (len(packets) - 1)
    assert sum(packet.size for packet in packets) < 1.1 * sum(packet.size for packet in alone)
    heard = stage.decoded(packets)
    assert np.array_equal(heard[:, 0], heard[:, 1])
    assert worst(sound, heard, 0, len(sound)) <= 1.5 * worst(sound, stage.decoded(alone), 0, len(sound)) + 1e-4


@pytest.mark.parametrize("make", [tone, voice, clicks])
@pytest.mark.parametrize("after", [0, 1, 1023, 1024, 1025, 20_000, SECOND, SECOND + 511])
def test_the_switch_to_stereo_is_inaudible(stage: Stage, make: Callable[..., Sound], after: int) -> None:
    sound = same(make(3.0))
    sound[after:, 1] = tone(3.0, 1234.0)[after:]
    packets = stage.encoded(sound)
    heard, alone = stage.decoded(packets), stage.decoded(stage.encoded_alone(sound))
    assert stage.one.fed <= after < stage.one.fed + FRAME_SAMPLES
    assert [packet.pts for packet in packets] == [(n - 1) * FRAME_SAMPLES for n in range(len(packets))]
    here = (after - 4 * FRAME_SAMPLES, after + 4 * FRAME_SAMPLES)
    assert worst(sound, heard, *here) <= 1.5 * worst(sound, alone, *here) + 1e-3
    assert worst(sound, heard, 0, len(sound)) <= 2 * worst(sound, alone, 0, len(sound))


@pytest.mark.parametrize("make", [tone, voice, clicks])
def test_channels_that_become_identical_are_encoded_once_again(stage: Stage, make: Callable[..., Sound]) -> None:
    sound = same(make(8.0))
    sound[: 2 * SECOND, 1] *= 0.5
    sound[6 * SECOND :, 1] *= 0.5
    packets = stage.encoded(sound)
    heard, alone = stage.decoded(packets), stage.decoded(stage.encoded_alone(sound))
    # Mono runs from two seconds after the channels became identical, plus its run-in, until they differ again.
    assert stage.one.fed == pytest.approx(2 * SECOND, abs=0.4 * SECOND)
    assert stage.both.fed == pytest.approx(6 * SECOND, abs=0.8 * SECOND)
    assert worst(sound, heard, 0, len(sound)) <= 1.5 * worst(sound, alone, 0, len(sound)) + 1e-3
    assert [packet.pts for packet in packets] == [(n - 1) * FRAME_SAMPLES for n in range(len(packets))]


def test_there_is_no_switch_to_mono_while_windows_do_not_match(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    # A mono packet never begins like a stereo packet.
    monkeypatch.setattr(aac, "windows", lambda packet: bits_of(packet[:1])[:3])
    sound = same(tone(9.0))
    sound[: 2 * SECOND, 1] *= 0.5
    packets = stage.encoded(sound)
    heard = stage.decoded(packets)
    assert worst(sound, heard, 0, len(sound)) <= 0.01
    # A switch was tried every two seconds.
    tries = (stage.one.fed - stage.one.fed % FRAME_SAMPLES) // (aac._RUN_IN_FRAMES * FRAME_SAMPLES)
    assert tries == 3
    assert stage.both.fed == len(sound)


@pytest.mark.parametrize("length", [0, 1, 1023, 1024, 1025, 9600])
@pytest.mark.parametrize("differs", [False, True])
def test_very_short_sounds_have_the_same_packets(stage: Stage, length: int, differs: bool) -> None:
    sound = same(tone(1.0))[:length]
    if differs:
        sound[:, 1] *= 0.5
    packets = stage.encoded(sound)
    alone = stage.encoded_alone(sound) if length else []
    assert [(packet.pts, packet.duration) for packet in packets] == [(packet.pts, packet.duration) for packet in alone]


def test_block_sizes_make_no_difference_to_packets() -> None:
    sound = same(voice(2.0))
    sound[SECOND : 3 * SECOND // 2, 1] *= 0.5
    found = []
    for block in (1, 480, 1024, 9600, len(sound)):
        stage = Stage()
        found.append([bytes(packet) for packet in stage.encoded(sound, block)])
        stage.close()
    assert all(packets == found[0] for packets in found)


def test_a_stereo_packet_is_refused(stage: Stage) -> None:
    packets = stage.encoded_alone(same(tone(0.2)))
    with pytest.raises(EncoderError, match="did not make a mono packet"):
        as_stereo(bytes(packets[2]))


NOISE_CODEBOOK = 13


def codebooks(packet: bytes) -> set[int]:
    """Return the codebooks of the first channel of a pair with long windows; none for other packets."""
    bits, place = aac._head(packet)
    bits = bits_of(packet)
    if not bits.startswith("001" + "0000" + "1", place) or bits[place + 9 : place + 11] == "10":
        return set()
    place += 8
    bands = int(bits[place + 4 : place + 10], 2)
    place += 11
    place += 2 + (bands if bits[place : place + 2] == "01" else 0)
    place += 8
    found, band = set(), 0
    while band < bands:
        found.add(int(bits[place : place + 4], 2))
        place += 4
        while (part := int(bits[place : place + 5], 2)) == 31:
            band, place = band + 31, place + 5
        band, place = band + part, place + 5
    assert band == bands
    return found


def test_no_decoder_has_to_make_noise_of_its_own() -> None:
    encoder = AudioEncoder("aac", 2)
    hiss = 0.1 * noise(2)
    samples = np.stack([tone(2) + hiss, voice(2) + np.roll(hiss, 500)], axis=1).astype(np.float32)
    used = [codebooks(bytes(packet)) for packet in [*encoder.encode(samples), *encoder.finish()]]
    assert sum(map(bool, used)) > 50
    assert NOISE_CODEBOOK not in set().union(*used)


def test_an_encoder_that_takes_over_is_as_good_as_one_that_always_ran() -> None:
    heard = voice(5) + 0.06 * noise(5)
    sides = np.stack([heard, heard], axis=1).astype(np.float32)
    sides[2 * SECOND :, 1] *= 0.5
    before = sides[: 2 * SECOND].copy()
    before[:, 1] *= 0.5
    errors = []
    for start in (sides, np.concatenate([before, sides[2 * SECOND :]])):
        encoder = AudioEncoder("aac", 2)
        packets = [bytes(packet) for packet in [*encoder.encode(start), *encoder.finish()]]
        decoded_sides = decoded_as_in(encoder.template.codec_context, packets, 2)[FRAME_SAMPLES:]
        after = slice(5 * SECOND // 2, 9 * SECOND // 2)
        errors.append(float(np.sum((decoded_sides[after] - sides[after]) ** 2)))
    assert errors[0] < 1.26 * errors[1]


@pytest.mark.parametrize("left", SOUNDS)
@pytest.mark.parametrize("right", [None, noise])
def test_silence_is_encoded_once(
    left: Callable[[float], Sound],
    right: Callable[[float], Sound] | None,
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    part = same(left(0.7)) if right is None else np.stack([left(0.7), right(0.7)], axis=1).astype(np.float32)
    # Neither the silence nor what follows it begins with a frame.
    sound = np.concatenate((part, same(silence(6.01)), part))
    made = stage.encoded(sound)
    fed = stage.both.fed + stage.one.fed
    monkeypatch.setattr(aac, "_SETTLED_FRAMES", 1_000_000)
    whole = Stage()
    expected = whole.encoded(sound)
    assert [(packet.pts, packet.dts, packet.duration, packet.is_keyframe) for packet in made] == [
        (packet.pts, packet.dts, packet.duration, packet.is_keyframe) for packet in expected
    ]
    # The encoder writes its name into a packet now and then.
    assert np.array_equal(stage.decoded(made), whole.decoded(expected))
    assert fed < whole.both.fed + whole.one.fed - 2 * SECOND
    whole.close()
