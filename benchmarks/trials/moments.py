"""Time faults: the process is stopped, paused often, runs for hours, or the system clock is set."""

from __future__ import annotations

import itertools
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import numpy as np

from benchmarks.process import resident_bytes
from benchmarks.remote import until
from benchmarks.trials.seen import Pairs, beeps_after, expect_stopped, expect_whole, heard, pairs, pattern_offset_s
from benchmarks.trials.stage import Recorder, beacon, desk, wait_s
from benchmarks.trials.trial import Fault, Findings, NotHereError, Trial
from capture.clock import Clock, SteppedClock
from capture.events import State, Summary
from capture.media import SAMPLE_RATE
from capture.session.session import Session
from capture.settings.record_settings import RecordSettings
from capture.sources.chooser import GivenSources
from capture.sources.scripted import ScriptedBlock, ScriptedFrames, ScriptedSamples

__all__ = ["FAULTS"]

_STANDSTILL_S: Final = 5.0

_PAUSES: Final = 100

#: The long take: how fast the device's clock runs, and how often a tone marks the time.
_PPM: Final = 200.0
_MARK_EVERY_S: Final = 30.0
_MARK_S: Final = 0.2
_STEP_S, _BLOCK_S = 0.2, 0.1

#: How much sound may be waiting in and before its encoder.
_BEHIND_S: Final = 0.6
_PATIENCE_S: Final = 30.0
_LONG_SOUND_S, _LONG_PICTURE_S = 2 * 3600.0, 1800.0
_GROWTH_BYTES: Final = 20_000_000


def _stood_still(trial: Trial, findings: Findings) -> None:
    if sys.platform == "win32":
        raise NotHereError("Windows cannot stop and continue a process")
    path, log = trial.folder / "out.mkv", trial.folder / "log"
    with (
        desk(trial.folder) as (_, environment),
        beacon(environment, log),
        Recorder(environment, trial.folder, "record", path) as recorder,
    ):
        recorder.until_recorded(path, 1.0)
        wait_s(trial.chance.uniform(1.5, 2.5))
        recorder.process.send_signal(signal.SIGSTOP)
        stopped_s = time.monotonic()
        continued_s = wait_s(_STANDSTILL_S)
        recorder.process.send_signal(signal.SIGCONT)
        until(lambda: beeps_after(log, continued_s + 0.5) >= 3, "three beeps")
        asked_s = time.monotonic()
        summary = recorder.stop()
    expect_stopped(summary, findings)
    expect_whole(path, findings)
    found, track = Pairs(path, pairs(log)), heard(path)
    found.expect_together(findings, continued_s)
    findings.lose(abs(asked_s - found.epoch_s - track.end_s))
    kinds = {event["kind"] for event in summary["events"]}
    findings.expect(kinds & {"stood_still", "hole", "no_data"}, f"an event reports it ({', '.join(sorted(kinds))})")
    gap = track.between(stopped_s - found.epoch_s + 1.0, continued_s - found.epoch_s - 1.0)
    findings.expect(gap.size > track.rate, "the hole has the right length")


def _date_set(trial: Trial, findings: Findings) -> None:
    """Set the clock only in this process: setting the machine's clock would affect other programs."""
    path, wanted_s = trial.folder / "out.mkv", 2.0
    hours = itertools.cycle((0, 5, -30, 24 * 365, -24 * 3650))
    moment_s = time.time()
    with ExitStack() as patched:
        patched.enter_context(patch("time.time", lambda: moment_s + 3600 * next(hours)))
        patched.enter_context(patch("time.time_ns", lambda: round(1e9 * (moment_s + 3600 * next(hours)))))
        summary = Session(RecordSettings(path, pattern=True, fps=10.0, duration_s=wanted_s)).run()
    findings.expect(summary is not None and summary.check == "ok", "the recording is whole")
    expect_whole(path, findings)
    if summary is not None:
        findings.lose(abs(wanted_s - summary.duration_s))
        findings.apart(pattern_offset_s(path, 0.5))


def _paused(trial: Trial, findings: Findings) -> None:
    path = trial.folder / "out.mkv"
    clips: list[tuple[Path, threading.Thread]] = []
    with desk(trial.folder) as (_, environment):
        arguments = ("record", path, "--source", "pattern", "--replay", "20s")
        with Recorder(environment, trial.folder, *arguments) as recorder:
            recorder.until_recorded(path, 1.0)
            for number in range(_PAUSES):
                for verb in ("pause", "resume"):
                    recorder.order("mark", f"before {verb} {number}")
                    answer = recorder.order(verb)
                    recorder.order("mark", f"after {verb} {number}")
                    if number % 10 == 0:
                        clip = trial.folder / f"clip {number} {verb}.mkv"
                        asking = threading.Thread(target=partial(recorder.order, "clip", output=str(clip), last_s=2.0))
                        asking.start()
                        clips.append((clip, asking))
                    wait_s(trial.chance.uniform(0.0, 0.03))
            for _, asking in clips:
                asking.join()
            wait_s(3.5)
            # How much was recorded when the stop was requested.
            status = recorder.status()
            summary = recorder.stop()
    expect_stopped(summary, findings)
    kinds = [event["kind"] for event in summary["events"]]
    counts = {kind: kinds.count(kind) for kind in ("pause", "resume", "mark")}
    findings.expect(counts == {"pause": _PAUSES, "resume": _PAUSES, "mark": 4 * _PAUSES}, f"all are listed ({counts})")
    findings.expect(abs(summary["paused_s"] - answer["paused_s"]) < 0.01, "the pauses add up")
    expect_whole(path, findings)
    findings.lose(max(0.0, float(status["elapsed_s"]) - heard(path).end_s))
    findings.apart(pattern_offset_s(path, float(summary["duration_s"]) - 3.4))
    for clip, _ in clips:
        expect_whole(clip, findings)


# A long take


def _long(trial: Trial, findings: Findings) -> None:
    """Record on a stepped clock, on which hours pass in a minute."""
    for path, length_s in ((trial.folder / "sound.ogg", _LONG_SOUND_S), (trial.folder / "both.mkv", _LONG_PICTURE_S)):
        summary = _stepped(path, length_s, findings)
        findings.expect(summary is not None and summary.check == "ok", f"{path.name} is intact")
        expect_whole(path, findings)
        track = heard(path)
        findings.lose(abs(length_s - track.end_s))
        moments_s = np.arange(_MARK_EVERY_S, length_s - 1.0, _MARK_EVERY_S)
        loud = np.abs(track.samples) > 0.1
        begins_s = np.flatnonzero(loud[1:] & ~loud[:-1]) / track.rate
        for moment_s in moments_s:
            near_s = begins_s[np.abs(begins_s - moment_s) < 1.0]
            findings.expect(near_s.size, f"{path.name}: the tone at {moment_s:g} s is there")
            if near_s.size:
                findings.apart(float(near_s[0] - moment_s))


def _stepped(path: Path, length_s: float, findings: Findings) -> Summary | None:
    clock = SteppedClock(64.0)
    has_picture = path.suffix == ".mkv"
    settings = RecordSettings(path, screen="primary" if has_picture else None, pattern=True, duration_s=length_s)
    frames = _flashes(clock, length_s) if has_picture else None
    sources = GivenSources(frames, [ScriptedSamples("internal", clock, _drifting(length_s))])
    session = Session(settings, sources=sources, clock=clock)
    found: list[Summary | None] = []
    running = threading.Thread(target=lambda: found.append(session.run()))
    running.start()
    until(lambda: session.state is State.RECORDING, "the recording")
    begun_s, end_s = clock.now_s(), clock.now_s() + length_s
    tee = session._core.feed.tee if session._core.feed is not None else None
    begun_bytes = 0
    while clock.now_s() < end_s:
        clock.await_waiters(1 + has_picture)
        # Go no faster than the encoder: a real device would not either, and waiting data takes memory.
        if tee is not None:
            reached_s = clock.now_s() - begun_s - _BEHIND_S
            tee.await_reached(reached_s, _PATIENCE_S, [1 if has_picture else 0])
        clock.advance(_STEP_S)
        begun_bytes = begun_bytes or (resident_bytes() if clock.now_s() > end_s - 0.9 * length_s else 0)
    while running.is_alive():
        clock.advance(_STEP_S)
        running.join(0.01)
    growth_bytes = resident_bytes() - begun_bytes
    findings.expect(growth_bytes < _GROWTH_BYTES, f"{path.name}: memory is flat ({growth_bytes / 1e6:.1f} MB more)")
    return found[0] if found else None


def _drifting(length_s: float) -> Iterator[ScriptedBlock]:
    """Yield the blocks of a device whose clock runs fast, with a short tone every `_MARK_EVERY_S`."""
    rate = SAMPLE_RATE * (1 + _PPM * 1e-6)
    count = round(_BLOCK_S * SAMPLE_RATE)
    for first in itertools.count(0, count):
        heard_at_s = first / rate
        if heard_at_s > length_s + 10:
            return
        into_s = (first + np.arange(count)) / rate % _MARK_EVERY_S
        sounding = (into_s < _MARK_S) & (heard_at_s > 1.0)
        tone = np.where(sounding, 0.5 * np.sin(2 * np.pi * 1000 * into_s), 0.0).astype(np.float32)
        yield ScriptedBlock(np.repeat(tone[:, None], 2, axis=1), heard_at_s)


def _flashes(clock: Clock, length_s: float) -> ScriptedFrames:
    """Return a source whose picture turns white with each tone."""
    black: Any = np.zeros((48, 64, 4), np.uint8)
    white: Any = np.full((48, 64, 4), 255, np.uint8)
    changes = [(0.0, black)]
    for moment_s in np.arange(_MARK_EVERY_S, length_s, _MARK_EVERY_S):
        changes += [(float(moment_s), white), (float(moment_s) + _MARK_S, black)]
    return ScriptedFrames(clock, changes)


FAULTS: Final = (
    Fault(
        "the process is stopped for 5 s, then continued",
        "in sync afterwards; the hole has the right length",
        _stood_still,
        most_lost_s=0.5,
        most_apart_s=0.04,
    ),
    Fault(
        "100 pauses, with marks and clips",
        "in sync; nothing lost",
        _paused,
        most_lost_s=0.1,
        most_apart_s=0.02,
    ),
    Fault("the system clock is set", "no effect", _date_set, most_lost_s=0.1, most_apart_s=0.04),
    Fault(
        "2 h of sound, 30 min of picture, a device 200 ppm off",
        "in sync, memory flat",
        _long,
        most_lost_s=0.1,
        most_apart_s=0.02,
        tries=1,
    ),
)
