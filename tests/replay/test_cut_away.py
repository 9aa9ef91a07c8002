"""What is cut away is gone: no packet of a clip holds what was before or after it, even where players skip that."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from buffers import EncodedBuffer
from reopened import everything_heard, everything_shown

from capture.formats import CONTAINERS
from capture.media import SAMPLE_RATE, SampleArray
from capture.recordings.check import check
from capture.replay.buffer import ReplayBuffer
from capture.replay.clip_writer import save
from capture.sources.pattern import draw_pattern, read_clock

FPS = 15
LENGTH_S = 5.0

#: The clip: it begins late in the first group of pictures and in the middle of a packet of sound.
BEGIN_S, END_S = 1.234, 4.321

#: What is heard in the clip, and outside.
KEPT_HZ, CUT_HZ = 440.0, 5000.0


def sound(from_s: float, to_s: float, channels: int) -> SampleArray:
    moments_s = np.arange(round(from_s * SAMPLE_RATE), round(to_s * SAMPLE_RATE)) / SAMPLE_RATE
    is_kept = (moments_s >= BEGIN_S) & (moments_s < END_S)
    wave = 0.3 * np.sin(2 * np.pi * np.where(is_kept, KEPT_HZ, CUT_HZ) * moments_s)
    sides = [wave, wave if channels == 1 else 0.5 * wave]
    return np.stack(sides[:channels], axis=1).astype(np.float32)


def level_db(samples: SampleArray, hz: float) -> float:
    """Return the highest level of a tone in any 20 ms, in dB of full scale."""
    length = SAMPLE_RATE // 50
    wave = np.exp(-2j * np.pi * hz * np.arange(length) / SAMPLE_RATE) * np.hanning(length) * 4 / length
    levels = [abs(np.dot(samples[at : at + length], wave)) for at in range(0, len(samples) - length, length // 4)]
    return float(20 * np.log10(max(levels) + 1e-9))


@cache
def filled(video: str | None, audio: str) -> ReplayBuffer:
    buffer = EncodedBuffer(video, audio, fps=FPS, length_s=LENGTH_S)
    pictures = buffer.pictures
    for slot in range(round(LENGTH_S * FPS)):
        if pictures is not None:
            buffer.add(0, pictures.encode(draw_pattern(slot / FPS, 320, 180), round(slot * 90_000 / FPS)))
        buffer.add_sound(sound(slot / FPS, (slot + 1) / FPS, 2))
    return buffer


@pytest.mark.parametrize("extension", CONTAINERS)
def test_an_exact_clip_holds_nothing_from_outside(extension: str, tmp_path: Path) -> None:
    kind = CONTAINERS[extension]
    clip = filled(kind.video_codec, kind.audio_codec).snapshot(END_S - BEGIN_S, END_S)
    path = tmp_path / f"clip.{extension}"
    save(clip, path, exact=True, quality="high")
    report = check(path)
    assert report.ok, report.problems

    samples = everything_heard(path)
    assert level_db(samples, KEPT_HZ) > -16
    assert level_db(samples, CUT_HZ) < -40
    # MP3 and Matroska cannot leave out the rest of the last packet.
    ends_s = [stream.start_s + stream.duration_s for stream in report.streams]
    tolerance_s = 0.025 if extension in ("mkv", "webm", "mp3", "ogg", "opus") else 0.0005
    assert ends_s == pytest.approx([END_S - BEGIN_S] * len(ends_s), abs=tolerance_s)
    # AAC's packets reach into each other, so the last one holds the next packet's time as well.
    assert len(samples) / SAMPLE_RATE == pytest.approx(END_S - BEGIN_S, abs=0.09)
    if kind.holds_video:
        shown_s = [read_clock(picture[..., ::-1]) / 1000 for picture in everything_shown(path)]
        assert len(shown_s) == round((END_S - BEGIN_S) * FPS) + 1
        assert int(BEGIN_S * FPS) / FPS - 0.002 <= min(shown_s) <= max(shown_s) < END_S

    content = path.read_bytes()
    everything = filled(kind.video_codec, kind.audio_codec).snapshot(LENGTH_S)
    for track, packets in zip(everything.tracks, everything.packets(), strict=True):
        ends_s = [float(packet.pts * track.time_base) for packet in packets[1:]]
        cut = [packet.data for packet, end_s in zip(packets, ends_s, strict=False) if end_s < BEGIN_S]
        cut += [packet.data for packet in packets if packet.pts * track.time_base > END_S]
        assert len(cut) > 10
        assert not any(data in content for data in cut)
