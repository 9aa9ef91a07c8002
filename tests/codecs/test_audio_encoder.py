"""Sound in every audio codec is encoded, written, read back and compared with the input."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest

from capture.codecs.audio_encoder import AudioEncoder
from capture.codecs.video_encoder import VideoEncoder
from capture.formats import CONTAINERS
from capture.media import SAMPLE_RATE, VIDEO_TICKS_PER_S, SampleArray
from capture.output.muxer import Muxer

WITH_PICTURE = [name for name, kind in CONTAINERS.items() if kind.holds_video]
LOSSLESS = {"flac", "pcm_s16le"}
AUDIO_CODECS = sorted({kind.audio_codec for kind in CONTAINERS.values()})


def music(seconds: float, channels: int) -> SampleArray:
    """Return tones that come and go, float32 (n, channels): no two moments and no two channels are alike."""
    times = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    left = 0.4 * np.sin(2 * np.pi * (300 + 200 * times) * times) * (1 + np.sin(2 * np.pi * 1.7 * times)) / 2
    right = 0.3 * np.sin(2 * np.pi * 1100 * times) * (times % 0.5 > 0.2)
    return np.stack([left, right][:channels], axis=1).astype(np.float32)


def write_sound(path: Path, sound: SampleArray, *, block: int = 960, with_picture: bool = False) -> None:
    """Encode `sound` and write it to `path` in the format of its suffix, with a picture if `with_picture`."""
    kind = CONTAINERS[path.suffix[1:]]
    encoder = AudioEncoder(kind.audio_codec, sound.shape[1])
    video = None
    if with_picture and kind.video_codec is not None:
        video = VideoEncoder(kind.video_codec, 64, 48, 30)
    muxer = Muxer(path, kind)
    muxer.start([encoder.template] if video is None else [encoder.template, video.template])
    for number, start in enumerate(range(0, len(sound), block)):
        for packet in encoder.encode(sound[start : start + block]):
            muxer.write(0, packet)
        if video is not None and number % 5 == 0:
            grey = np.full((48, 64, 4), number % 256, np.uint8)
            for packet in video.encode(grey, round(start / SAMPLE_RATE * VIDEO_TICKS_PER_S)):
                muxer.write(1, packet)
    for packet in encoder.finish():
        muxer.write(0, packet)
    if video is not None:
        for packet in video.finish():
            muxer.write(1, packet)
    muxer.close()


@dataclass(frozen=True)
class Heard:
    """A decoded track: float (n, channels), and when its first sample plays, from the start of the file."""

    samples: npt.NDArray[np.float64]
    start_s: float


def read_sound(path: Path) -> Heard:
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        assert stream.rate == SAMPLE_RATE
        # Players count from here: MP3 does not record how many of its first samples are encoder delay.
        zero_s = (container.start_time or 0) / av.time_base if container.format.name == "mp3" else 0.0
        frames = list(container.decode(stream))
        resampler = av.AudioResampler(format="fltp", layout=stream.layout, rate=SAMPLE_RATE)
        parts = [converted.to_ndarray() for frame in [*frames, None] for converted in resampler.resample(frame)]
        first_s = frames[0].time
        assert first_s is not None
        return Heard(np.concatenate(parts, axis=1).T.astype(float), first_s - zero_s)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("extension", CONTAINERS)
def test_sound_survives_encoding_and_writing(extension: str, channels: int, tmp_path: Path) -> None:
    path = tmp_path / f"made.{extension}"
    sound = music(2.05, channels)
    write_sound(path, sound)
    heard = read_sound(path)
    codec = CONTAINERS[extension].audio_codec
    assert heard.samples.shape[1] == channels
    assert heard.start_s == pytest.approx(0, abs=0.001)
    # AAC ends with a whole frame.
    assert 0 <= len(heard.samples) - len(sound) <= (1023 if codec == "aac" else 0)
    decoded = heard.samples[: len(sound)]
    if codec in LOSSLESS:
        assert np.abs(decoded - sound).max() < 1 / 32767
        return
    for channel in range(channels):
        assert np.corrcoef(decoded[:, channel], sound[:, channel])[0, 1] > 0.995
        # LAME lowers everything by 5 % as headroom against clipping.
        loudness = np.std(decoded[:, channel]) / (0.95 if codec == "mp3" else 1.0)
        assert loudness == pytest.approx(np.std(sound[:, channel]), rel=0.03)


def test_aac_keeps_a_voice_40_db_above_the_noise(tmp_path: Path) -> None:
    times = np.arange(3 * SAMPLE_RATE) / SAMPLE_RATE
    overtones = [np.sin(2 * np.pi * 140 * n * times + n / 2 * np.sin(6 * np.pi * times)) / n for n in range(1, 20)]
    voice = (0.05 * sum(overtones) * (1 + np.sin(4 * np.pi * times))).astype(np.float32)
    write_sound(tmp_path / "voice.m4a", np.stack([voice, voice], axis=1))
    heard = read_sound(tmp_path / "voice.m4a").samples[: len(voice), 0]
    noise = (heard - voice)[SAMPLE_RATE // 10 : -SAMPLE_RATE // 10]
    assert 10 * np.log10(np.mean(voice**2) / np.mean(noise**2)) > 40


@pytest.mark.parametrize(
    ("extension", "with_picture"),
    [*((extension, False) for extension in CONTAINERS), *((extension, True) for extension in WITH_PICTURE)],
)
def test_a_click_at_half_a_second_plays_at_half_a_second(extension: str, with_picture: bool, tmp_path: Path) -> None:
    path = tmp_path / f"made.{extension}"
    sound = np.zeros((SAMPLE_RATE, 2), np.float32)
    sound[SAMPLE_RATE // 2 : SAMPLE_RATE // 2 + 3] = 0.9
    write_sound(path, sound, with_picture=with_picture)
    heard = read_sound(path)
    peak = int(np.argmax(np.abs(heard.samples[:, 0])))
    assert np.abs(heard.samples[peak, 0]) > 0.2
    assert heard.start_s + peak / SAMPLE_RATE == pytest.approx(0.5, abs=0.001)
    if with_picture:
        with av.open(str(path)) as container:
            first = next(container.decode(video=0))
        assert first.time == pytest.approx(0, abs=0.001)


@pytest.mark.parametrize("codec", AUDIO_CODECS)
def test_block_sizes_make_no_difference_to_sound(codec: str) -> None:
    sound = music(1.03, 2)
    streams = []
    for block in (1, 999, len(sound)) if codec == "pcm_s16le" else (777, len(sound)):
        encoder = AudioEncoder(codec, 2)
        packets = [p for start in range(0, len(sound), block) for p in encoder.encode(sound[start : start + block])]
        assert encoder.duration_s == pytest.approx(1.03)
        packets += encoder.finish()
        # PCM packets are as long as the input blocks, so compare only the samples in them.
        contents = [(packet.pts, bytes(packet)) for packet in packets]
        streams.append([(0, b"".join(data for _, data in contents))] if codec == "pcm_s16le" else contents)
        assert encoder.duration_s == pytest.approx(1.03)
    assert all(stream == streams[0] for stream in streams)


@pytest.mark.parametrize("codec", AUDIO_CODECS)
def test_audio_packets_have_no_gaps_between_them(codec: str) -> None:
    encoder = AudioEncoder(codec, 2)
    packets = [*encoder.encode(music(1, 2)), *encoder.finish()]
    # FLAC's last packet holds no sound, only the checksum of the stream.
    spans = [(packet.pts or 0, packet.duration or 0) for packet in packets if packet.size]
    assert all(pts + length == next_pts for (pts, length), (next_pts, _) in pairwise(spans))
    assert all(length > 0 for _, length in spans)


@pytest.mark.parametrize("codec", AUDIO_CODECS)
def test_encoder_delay_is_below_a_tenth_of_a_second(codec: str) -> None:
    encoder = AudioEncoder(codec, 2)
    packets: list[av.Packet[Any]] = []
    for start in range(0, SAMPLE_RATE, 960):
        packets += encoder.encode(np.zeros((960, 2), np.float32))
        ends = max(((packet.pts or 0) + (packet.duration or 0) for packet in packets), default=0)
        assert (start + 960 - ends) / SAMPLE_RATE < 0.1


def test_sound_above_full_scale_is_clipped() -> None:
    encoder = AudioEncoder("pcm_s16le", 1)
    packets = encoder.encode(np.array([[2.0], [-2.0], [1.0], [-1.0], [0.5]] * 960, np.float32))
    samples = np.frombuffer(b"".join(bytes(packet) for packet in packets), "<i2")
    assert samples[:5].tolist() == [32767, -32767, 32767, -32767, 16384]


def test_no_samples_make_at_most_one_packet() -> None:
    for codec in AUDIO_CODECS:
        encoder = AudioEncoder(codec, 2)
        assert encoder.encode(np.zeros((0, 2), np.float32)) == []
        assert encoder.duration_s == 0.0
        assert len(encoder.finish()) <= 1
