"""Packets at a cut are silent beyond it, and join the others inaudibly."""

from __future__ import annotations

import numpy as np
import pytest

from capture.codecs.audio_encoder import AudioEncoder
from capture.codecs.opus_repacketizer import split
from capture.codecs.sound_cut import CUTTABLE, decoded, silenced
from capture.media import SAMPLE_RATE, SampleArray

LENGTH_S = 4


def music(channels: int) -> SampleArray:
    """Return chords with clicks, for which AAC changes its windows."""
    moments_s = np.arange(LENGTH_S * SAMPLE_RATE) / SAMPLE_RATE
    wave = np.sum([0.05 * np.sin(2 * np.pi * hz * moments_s) for hz in (220, 330, 495, 1200)], axis=0)
    wave[:: SAMPLE_RATE // 7] += 0.6
    sides = [wave, np.roll(wave, 200)]
    return np.stack(sides[:channels], axis=1).astype(np.float32)


def peak(samples: SampleArray) -> float:
    return float(np.abs(samples).max(initial=0))


@pytest.mark.parametrize(
    ("codec", "channels", "voice"),
    [("aac", 2, False), ("aac", 1, False), ("opus", 2, False), ("opus", 1, True)],
    ids=["stereo", "mono", "opus", "voice"],
)
@pytest.mark.parametrize(("begin_s", "end_s"), [(0, 3.3333), (0.5, 2.0), (0.1, 0.2), (1.789, LENGTH_S + 1)])
def test_the_sound_beyond_a_cut_is_gone(codec: str, channels: int, voice: bool, begin_s: float, end_s: float) -> None:
    if begin_s and codec == "opus":
        pytest.skip("only AAC is cut at its beginning")
    encoder = AudioEncoder(codec, channels, voice=voice)
    made = [*encoder.encode(music(channels)), *encoder.finish()]
    packets = [part for packet in made for part in (split(bytes(packet)) if codec == "opus" else [bytes(packet)])]
    length = 960 if codec == "opus" else 1024
    context = encoder.template.codec_context
    begin, end = round(begin_s * SAMPLE_RATE), round(end_s * SAMPLE_RATE)
    cut = silenced(packets, context, length, begin, end)
    assert len(cut) == len(packets)

    skipped = CUTTABLE[codec].samples if codec == "opus" else 0
    before, after = (decoded(context, each, channels) for each in (packets, cut))
    begin, end = max(0, begin - skipped), end - skipped
    # What codecs add around a sudden end.
    assert peak(after[: max(0, begin - 1500)]) < 0.003
    assert peak(after[end + 1500 :]) < 0.003
    within = slice(begin + 200 if begin else 0, end - 200)
    error = float(np.sum((after[within] - before[within]) ** 2))
    assert error < 0.02 * float(np.sum(before[within] ** 2))
    if end_s - begin_s > 1.4:
        same = [new == old for new, old in zip(cut, packets, strict=True)]
        assert sum(same) > len(same) * min(LENGTH_S, end_s - begin_s) / LENGTH_S - 2 * SAMPLE_RATE / length
        assert any(same)


def test_a_cut_outside_changes_nothing() -> None:
    encoder = AudioEncoder("aac", 2)
    packets = [bytes(packet) for packet in [*encoder.encode(music(2)), *encoder.finish()]]
    context = encoder.template.codec_context
    assert silenced(packets, context, 1024, 0, len(packets) * 1024) == packets
