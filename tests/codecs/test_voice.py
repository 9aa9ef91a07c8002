"""Voice notes have the format of messengers' and still hold the input sound at its time."""

from __future__ import annotations

import shutil
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from reopened import probe

from capture.codecs.audio_encoder import AudioEncoder
from capture.errors import NotReadyError
from capture.formats import CONTAINERS
from capture.media import SAMPLE_RATE, VOICE_SAMPLE_RATE, SampleArray
from capture.output.muxer import Muxer
from capture.recordings.check import check

WITH_OPUS = [name for name, kind in CONTAINERS.items() if kind.audio_codec == "opus"]

#: SILK, wideband, frames of 20 ms, mono, any number per packet (RFC 6716, section 3.1).
VOICE_NOTE = 0x4B


def voice(seconds: float) -> npt.NDArray[np.float32]:
    """Return something like a voice: a gliding buzz in syllables. No two moments are alike."""
    times = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    phase = 2 * np.pi * np.cumsum(130 + 40 * np.sin(2 * np.pi * 0.7 * times)) / SAMPLE_RATE
    buzz = sum(np.sin(number * phase) / number for number in range(1, 20))
    loud: npt.NDArray[np.float32] = (0.2 * buzz * np.clip(np.sin(2 * np.pi * 2.3 * times), 0, 1)).astype(np.float32)
    return loud


def both(sound: npt.NDArray[np.float32]) -> SampleArray:
    return np.stack([sound, sound], axis=1)


def encoded(sound: SampleArray, encoder: AudioEncoder | None = None, block: int = 4800) -> list[av.Packet[Any]]:
    encoder = encoder or AudioEncoder("opus", sound.shape[1], voice=True)
    packets = [p for start in range(0, len(sound), block) for p in encoder.encode(sound[start : start + block])]
    return [*packets, *encoder.finish()]


def write(path: Path, sound: SampleArray) -> Path:
    encoder = AudioEncoder("opus", sound.shape[1], voice=True)
    muxer = Muxer(path, CONTAINERS[path.suffix[1:]])
    muxer.start([encoder.template])
    for packet in encoded(sound, encoder):
        muxer.write(0, packet)
    muxer.close()
    return path


def read(path: Path) -> tuple[npt.NDArray[np.float32], float]:
    """Decode `path` to mono samples at 48 kHz; return them and the time of the first one."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    assert {(frame.sample_rate, frame.layout.name) for frame in frames} == {(SAMPLE_RATE, "mono")}
    return np.concatenate([frame.to_ndarray()[0] for frame in frames]), frames[0].time or 0.0


def likeness(sound: npt.NDArray[np.float32], heard: npt.NDArray[np.float32]) -> tuple[float, int]:
    """Return the largest normalised cross-correlation, and how many samples late `heard` is there."""
    size = 1 << (len(sound) + len(heard)).bit_length()
    spectrum = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(sound, size))
    products = np.fft.irfft(spectrum, size)
    late = int(np.argmax(products))
    return float(products[late] / np.sqrt((sound @ sound) * (heard @ heard))), late if late < size // 2 else late - size


@pytest.mark.parametrize("seconds", [0.5, 1.0, 1.0133, 2.02, 2.04, 2.047])
@pytest.mark.parametrize("extension", WITH_OPUS)
def test_a_voice_survives_at_its_time(extension: str, seconds: float, tmp_path: Path) -> None:
    sound = voice(seconds)
    path = write(tmp_path / f"made.{extension}", both(sound))
    heard, start_s = read(path)
    alike, late = likeness(sound, heard)
    assert alike > 0.97
    assert abs(late) <= SAMPLE_RATE // 1000
    assert start_s == pytest.approx(0, abs=0.001)
    assert 0 <= len(heard) - len(sound) <= 2, "the last packet must say how many samples to skip"
    report = check(path)
    assert report.problems == ()
    assert report.streams[0].start_s == pytest.approx(0, abs=0.001)
    assert report.duration_s == pytest.approx(seconds, abs=0.002)
    assert report.streams[0].silent is False


@pytest.mark.parametrize("extension", WITH_OPUS)
def test_packets_have_the_format_of_messengers(extension: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"made.{extension}", both(voice(4)))
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        head = stream.codec_context.extradata
        packets = [bytes(packet) for packet in container.demux(stream) if packet.size]
    assert head is not None
    assert head[:8] == b"OpusHead"
    assert (head[9], int.from_bytes(head[12:16], "little")) == (1, VOICE_SAMPLE_RATE)
    assert {packet[0] for packet in packets} == {VOICE_NOTE}
    assert {packet[1] for packet in packets[:-1]} == {0x83}
    assert packets[-1][1] in (0x81, 0x82, 0x83)
    assert probe(path)["streams"][0]["codec_name"] == "opus"


@pytest.mark.parametrize("kind", ["music", "noise", "silence"])
def test_packets_have_the_same_format_for_any_sound(kind: str) -> None:
    times = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    sound = {
        "music": 0.2 * np.sin(2 * np.pi * 440 * times) + 0.2 * np.sin(2 * np.pi * 3300 * times),
        "noise": np.random.default_rng(1).normal(0, 0.1, len(times)),
        "silence": np.zeros(len(times)),
    }[kind]
    packets = encoded(both(sound.astype(np.float32)))
    assert {bytes(packet)[0] for packet in packets} == {VOICE_NOTE}


def test_a_voice_note_stays_below_30_kbit_per_second() -> None:
    packets = encoded(both(voice(10)))
    assert sum(packet.size for packet in packets) * 8 / 10 < 30_000


def test_the_encoder_reports_its_output_format() -> None:
    encoder = AudioEncoder("opus", 2, voice=True)
    packets = encoded(both(voice(1.03)), encoder)
    assert (encoder.sample_rate, encoder.channels) == (16_000, 1)
    assert encoder.template.codec_context.sample_rate == 16_000
    assert encoder.duration_s == pytest.approx(1.03)
    assert all((a.pts or 0) + (a.duration or 0) == b.pts for a, b in pairwise(packets))
    ordinary = AudioEncoder("opus", 2)
    assert (ordinary.sample_rate, ordinary.channels) == (48_000, 2)
    ordinary.finish()


def test_voice_encoder_delay_is_below_a_tenth_of_a_second() -> None:
    encoder = AudioEncoder("opus", 2, voice=True)
    ends = 0
    for start in range(0, SAMPLE_RATE, 960):
        for packet in encoder.encode(np.zeros((960, 2), np.float32)):
            ends = (packet.pts or 0) + (packet.duration or 0)
        assert (start + 960) / SAMPLE_RATE - ends / encoder.sample_rate < 0.1


def test_block_sizes_make_no_difference_to_voice_notes() -> None:
    sound = both(voice(0.7))
    streams = [
        [(packet.pts, bytes(packet)) for packet in encoded(sound, block=block)] for block in (7, 961, len(sound))
    ]
    assert streams[0] == streams[1] == streams[2]


@pytest.mark.parametrize("channels", [1, 2])
def test_the_mono_mix_of_identical_channels_keeps_its_level(channels: int, tmp_path: Path) -> None:
    sound = voice(2)
    heard, _ = read(write(tmp_path / "made.ogg", np.repeat(sound[:, None], channels, axis=1)))
    assert 20 * np.log10(np.std(heard) / np.std(sound)) == pytest.approx(0, abs=0.5)


def test_the_mono_mix_of_two_loud_channels_does_not_clip(tmp_path: Path) -> None:
    times = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    sound = np.stack([0.8 * np.sin(2 * np.pi * hz * times) for hz in (400, 440)], axis=1).astype(np.float32)
    heard, _ = read(write(tmp_path / "made.ogg", sound))
    alike, _ = likeness(sound.mean(axis=1), heard)
    assert alike > 0.98


@pytest.mark.parametrize("count", [1, 2, 3, 100, 959, 961])
def test_very_short_sounds_make_a_valid_file(count: int, tmp_path: Path) -> None:
    path = write(tmp_path / "made.ogg", np.full((count, 2), 0.1, np.float32))
    heard, _ = read(path)
    assert 0 <= len(heard) - count <= 2
    assert check(path).problems == ()


def test_no_samples_make_at_most_one_voice_packet() -> None:
    encoder = AudioEncoder("opus", 2, voice=True)
    assert encoder.encode(np.zeros((0, 2), np.float32)) == []
    assert len(encoder.finish()) <= 1
    assert encoder.duration_s == 0.0


def test_voice_notes_need_opus() -> None:
    with pytest.raises(NotReadyError, match="voice notes need Opus"):
        AudioEncoder("aac", 2, voice=True)


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs espeak-ng to speak")
@pytest.mark.parametrize("speaker", ["en-us", "en+f3", "de"])
def test_spoken_sentences_survive(speaker: str, tmp_path: Path) -> None:
    said = tmp_path / "said.wav"
    text = "Please call me back tomorrow at half past nine; I need the figures for Friday."
    subprocess.run(["espeak-ng", "-v", speaker, "-w", said, text], check=True, timeout=60)
    with av.open(str(said)) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
        frames = [part for frame in [*container.decode(audio=0), None] for part in resampler.resample(frame)]
    spoken = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    sound = (0.5 * spoken / np.abs(spoken).max()).astype(np.float32)
    heard, _ = read(write(tmp_path / "made.ogg", both(sound)))
    alike, late = likeness(sound, heard)
    assert alike > 0.95
    assert abs(late) <= SAMPLE_RATE // 1000
