"""What is after the end of a cut recording is gone."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from reopened import everything_heard, everything_shown, loudness

from capture.codecs.audio_encoder import AudioEncoder
from capture.codecs.video_encoder import VideoEncoder
from capture.formats import CONTAINERS
from capture.media import SAMPLE_RATE
from capture.output.muxer import Muxer
from capture.recordings.cut import cut_end

FPS = 15
END_S = 1.234
KEPT_HZ, CUT_HZ = 440.0, 5000.0


@pytest.mark.parametrize("extension", [name for name in CONTAINERS if name != "flac"])
def test_what_comes_after_the_end_is_gone(extension: str, tmp_path: Path) -> None:
    kind = CONTAINERS[extension]
    video = VideoEncoder(kind.video_codec, 64, 48, FPS) if kind.video_codec else None
    audio = AudioEncoder(kind.audio_codec, 2)
    muxer = Muxer(tmp_path / f"made.{extension}", kind)
    muxer.start([audio.template] if video is None else [video.template, audio.template])
    for slot in range(2 * FPS):
        if video is not None:
            for packet in video.encode(np.full((48, 64, 4), 8 * slot, np.uint8), round(slot * 90_000 / FPS)):
                muxer.write(0, packet)
        moments_s = slot / FPS + np.arange(SAMPLE_RATE // FPS) / SAMPLE_RATE
        wave = np.sin(2 * np.pi * np.where(moments_s < END_S, KEPT_HZ, CUT_HZ) * moments_s)
        for packet in audio.encode(np.stack([0.3 * wave, 0.2 * wave], axis=1).astype(np.float32)):
            muxer.write(int(video is not None), packet)
    muxer.close()
    assert cut_end(muxer.path, END_S).ok

    samples = everything_heard(muxer.path)
    if kind.audio_codec == "aac":
        # The last packet holds the next one's time as well.
        assert len(samples) / SAMPLE_RATE == pytest.approx(END_S, abs=0.05)
    last = samples[-SAMPLE_RATE // 10 :]
    assert loudness(last, KEPT_HZ, SAMPLE_RATE) > 0.05
    assert loudness(last, CUT_HZ, SAMPLE_RATE) < 0.002
    if video is not None:
        assert len(list(everything_shown(muxer.path))) == int(END_S * FPS) + 1
    with av.open(str(muxer.path)) as container:
        assert float((container.duration or 0) / av.time_base) == pytest.approx(END_S, abs=0.04)


@pytest.mark.parametrize("end_s", [2.333, 4.5, 4.85])
def test_a_voice_note_is_the_same_up_to_the_end(end_s: float, tmp_path: Path) -> None:
    encoder = AudioEncoder("opus", 1, voice=True)
    muxer = Muxer(tmp_path / "note.ogg", CONTAINERS["ogg"])
    muxer.start([encoder.template])
    moments_s = np.arange(6 * SAMPLE_RATE) / SAMPLE_RATE
    voice = 0.2 * np.sin(2 * np.pi * 300 * moments_s) * (1 + 0.5 * np.sin(2 * np.pi * 3 * moments_s))
    # Around a pause, packets hold fewer than three frames.
    voice[(moments_s > 3.97) & (moments_s < 4.13)] = 0
    for packet in [*encoder.encode(voice.astype(np.float32)[:, None]), *encoder.finish()]:
        muxer.write(0, packet)
    muxer.close()
    muxer.keep()
    whole = everything_heard(muxer.path)
    assert cut_end(muxer.path, end_s).ok
    cut = everything_heard(muxer.path)
    assert len(cut) / SAMPLE_RATE == pytest.approx(end_s, abs=0.03)
    within = round((end_s - 0.01) * SAMPLE_RATE)
    assert np.abs(whole[:within] - cut[:within]).max() < 0.15
    assert np.abs(cut[round((end_s + 0.01) * SAMPLE_RATE) :]).max(initial=0) < 0.01
