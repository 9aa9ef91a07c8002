"""A program plays values that are no sound: no encoder ever sees one, the recording goes on, and an event says so."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import pytest
from callers import Control
from conftest import StartCapture
from reopened import loudness, sound
from running import LIMIT_S, eventually, kinds
from stage import RATE, playing_raw

import capture
from capture.clock import Clock, MonotonicClock
from capture.media import LOUDEST, SampleArray, Samples
from capture.pipeline.sound_grabber import Heard, SoundGrabber
from capture.recordings.check import check
from capture.settings.audio_tracks import AudioTrack
from capture.settings.record_settings import RecordSettings
from capture.sources.chooser import GivenSources, choose_samples
from capture.sources.protocols import SampleSource
from capture.sources.scripted import ScriptedBlock, ScriptedSamples
from capture.sources.soundcard_source import SoundcardSource
from capture.threads.worker import Worker
from capture.timing.timeline import Timeline
from capture.virtual.desk import VirtualDesk

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="a virtual desk needs Linux")

BEFORE_HZ, AFTER_HZ = 440.0, 660.0
BEFORE_S, AFTER_S = 1.0, 2.0
LEVEL: Final = 0.3

#: How long each bad value is played.
BAD_S: Final = 0.1
BAD: Final = (math.nan, math.inf, -math.inf, 1e30, -1e30)

#: Only one of several recorders gets the hotkeys.
QUIETLY: Final = ("--screen", "none", "--no-hotkeys")

FORMATS: Final = ("mp4", "m4a", "ogg", "flac", "wav", "mp3")


def tone(hz: float, seconds: float) -> SampleArray:
    times_s = np.arange(round(seconds * RATE))[:, None] / RATE
    return np.repeat(LEVEL * np.sin(2 * np.pi * hz * times_s), 2, axis=1).astype(np.float32)


def bad() -> SampleArray:
    return np.repeat(np.array(BAD, np.float32), round(BAD_S * RATE))[:, None].repeat(2, axis=1)


def spoiled() -> SampleArray:
    """Return a tone, the bad values, and another tone: float32 (n, 2)."""
    return np.concatenate((tone(BEFORE_HZ, BEFORE_S), bad(), tone(AFTER_HZ, AFTER_S)))


def spoiled_s() -> float:
    return len(spoiled()) / RATE


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """The same as a file of raw float32."""
    path = tmp_path / "spoiled.raw"
    path.write_bytes(spoiled().tobytes())
    return path


def assert_both_tones(path: Path) -> None:
    """Assert that the file is whole and has both tones."""
    report = check(path)
    assert report.ok, (path, report.problems)
    track = sound(path)
    assert np.isfinite(track.samples).all()
    parts = [track.samples[start : start + RATE // 4] for start in range(0, len(track.samples) - RATE // 4, RATE // 8)]
    for hz in (BEFORE_HZ, AFTER_HZ):
        assert max(loudness(part, hz, track.rate) for part in parts) == pytest.approx(LEVEL, rel=0.1), (path, hz)


def assert_reported(summary: dict[str, Any], name: str = "internal") -> None:
    """Assert that one event covers the whole bad stretch, and that every number is finite."""
    json.dumps(summary, allow_nan=False)
    (event,) = (event for event in summary["events"] if event["kind"] == "bad_samples")
    assert event["detail"] == f"{name}: invalid samples (not finite, or above +18 dBFS) were replaced"
    assert event["to_s"] - event["at_s"] >= len(BAD) * BAD_S
    assert event["count"] == pytest.approx(bad().size, rel=0.01)


@on_linux
def test_every_format_keeps_the_sound_after_bad_samples(
    start_capture: StartCapture, desk: VirtualDesk, raw: Path, tmp_path: Path
) -> None:
    paths = [tmp_path / f"out.{extension}" for extension in FORMATS]
    clip = tmp_path / "clip.m4a"
    with ExitStack() as stack:
        buffering = stack.enter_context(start_capture("replay", "any.m4a", "--name", "replay", *QUIETLY))
        takes = [
            stack.enter_context(start_capture("record", path, "--name", path.suffix[1:], *QUIETLY, "--json"))
            for path in paths
        ]
        replay = Control(buffering, "replay")
        replay.until("standby", buffer_s=0.1)
        for take, path in zip(takes, paths, strict=True):
            take.until_recording(path)
        with playing_raw(buffering.environment, raw, desk.sink) as player:
            eventually(lambda: player.poll() is not None, "the end of the sound")
        summary = replay.ask("clip", output=str(clip))
        assert summary["check"] == "ok"
        assert_reported(summary)
        assert_both_tones(clip)
        for take, path in zip(takes, paths, strict=True):
            summary = take.stop()
            assert (summary["check"], kinds(summary)) == ("ok", ["bad_samples"])
            # The correction of drift comes after the guard, and its filter overshoots a step from one limit to the
            # other by up to 2.13 dB: the largest partial sum of a kernel is 1.139, and 2 * 1.139 - 1 = 1.278.
            assert 0 <= summary["audio"][0]["peak_dbfs"] - 20 * math.log10(LOUDEST) + 0.01 < 2.15
            assert_reported(summary)
            assert_both_tones(path)


def test_sources_of_a_python_program_may_deliver_bad_samples(tmp_path: Path) -> None:
    sources = GivenSources(samples=[scripted(MonotonicClock())])
    path = tmp_path / "out.m4a"
    summary = capture.record(path, sources=sources, screen=None, duration_s=spoiled_s())
    assert_reported(summary.as_json())
    assert_both_tones(path)


# The guard, before any encoder


class Reading:
    """Reads a source with a grabber in a thread of its own and keeps what it passes on."""

    def __init__(self, source: SampleSource, clock: Clock) -> None:
        self._source = source
        self.blocks: list[Samples] = []
        self.watched: list[Samples] = []
        self._grabber = SoundGrabber(source, clock, watch=self.watched.append)
        self._worker = Worker("sound", self._run)
        self._worker.start()

    def _run(self) -> None:
        self._source.open()
        try:
            self._source.begin(0.0)
            self._grabber.begin_take(Timeline(0.0), self._take_in)
            self._grabber.run()
        finally:
            self._source.close()

    def _take_in(self, heard: Heard) -> None:
        if isinstance(heard, Samples):
            self.blocks.append(heard)

    @property
    def values(self) -> SampleArray:
        return np.concatenate([block.data.ravel() for block in tuple(self.blocks)] or [np.zeros(0, np.float32)])

    @property
    def replaced(self) -> int:
        return sum(block.replaced for block in tuple(self.blocks))

    def close(self) -> None:
        self._grabber.close()
        assert self._worker.join(LIMIT_S)


@contextmanager
def heard(source: SampleSource, clock: Clock) -> Iterator[Reading]:
    opened = Reading(source, clock)
    try:
        yield opened
    finally:
        opened.close()


def scripted(clock: Clock) -> SampleSource:
    data = spoiled()
    size = RATE // 50
    script = [ScriptedBlock(data[at : at + size], at / RATE) for at in range(0, len(data), size)]
    return ScriptedSamples("internal", clock, script)


def soundcard() -> SampleSource:
    """Return a source of the soundcard library, with a device that plays the spoiled sound once and is gone."""
    blocks = iter(np.array_split(spoiled(), 100))

    def record(count: int) -> SampleArray:
        for block in blocks:
            return block
        raise RuntimeError("it is gone")

    recorder = SimpleNamespace(record=record, __enter__=lambda: None, __exit__=lambda *error: None)
    device = SimpleNamespace(id="speaker", name="Speaker", isloopback=True, recorder=lambda *of, **more: recorder)
    return SoundcardSource(
        "internal", "speaker", "Speaker", 2, SimpleNamespace(all_microphones=lambda **more: [device])
    )


@pytest.mark.parametrize("make", [lambda: scripted(MonotonicClock()), soundcard], ids=["scripted", "soundcard"])
def test_no_stage_after_the_grabber_sees_a_bad_sample(make: Callable[[], SampleSource]) -> None:
    with heard(make(), MonotonicClock()) as found:
        eventually(lambda: found.replaced == bad().size, "all bad samples")
        eventually(lambda: found.values.size >= spoiled().size, "the sound after them")
    assert_guarded(found)
    assert np.array_equal(found.values[: round(BEFORE_S * RATE) * 2], tone(BEFORE_HZ, BEFORE_S).ravel())
    assert np.array_equal(found.values[-round(AFTER_S * RATE) * 2 :], tone(AFTER_HZ, AFTER_S).ravel())


@on_linux
@pytest.mark.parametrize("name", ["internal", "app:spoiler"])
def test_no_stage_after_the_grabber_sees_a_bad_sample_of_a_sound_server(
    name: str, in_process_desk: VirtualDesk, desk_environment: dict[str, str], raw: Path
) -> None:
    clock = MonotonicClock()
    settings = RecordSettings(Path("out.wav"), audio=(AudioTrack((name,)),), screen=None)
    ((source,),) = choose_samples(settings, clock, lambda kind, detail: None)
    with heard(source, clock) as found:
        eventually(lambda: found.watched, "the first block")
        with playing_raw(desk_environment, raw, in_process_desk.sink, program="spoiler"):
            eventually(lambda: found.replaced >= bad().size, "all bad samples")
            eventually(lambda: after_bad(found.values).size > RATE, "the sound after them")
    assert_guarded(found)
    assert found.replaced == bad().size
    assert np.abs(after_bad(found.values)).max() == pytest.approx(LEVEL, rel=0.01)


def after_bad(values: SampleArray) -> SampleArray:
    """Return what follows the last value that was replaced by the largest one."""
    loudest = np.flatnonzero(np.abs(values) == LOUDEST)
    return values[loudest[-1] + 1 :] if loudest.size else values[:0]


def assert_guarded(found: Reading) -> None:
    for blocks in (found.watched, found.blocks):
        assert blocks
        for block in blocks:
            assert np.isfinite(block.data).all()
            assert not block.data.size or np.abs(block.data).max() <= LOUDEST
    # What is not finite becomes silence, what is too large the largest.
    assert np.count_nonzero(np.abs(found.values) == LOUDEST) == 2 * 2 * round(BAD_S * RATE)
