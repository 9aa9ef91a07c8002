"""Sound faults: servers that die, outputs that are removed, sources that deliver nothing."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Final

import numpy as np

from benchmarks.remote import until
from benchmarks.trials.seen import Heard, Pairs, beeps_after, expect_stopped, expect_whole, heard, pairs
from benchmarks.trials.servers import MICROPHONE_HZ, sound_server
from benchmarks.trials.stage import (
    Recorder,
    beacon,
    desk,
    kill_server,
    microphone,
    output,
    pactl,
    playing,
    wait_s,
)
from benchmarks.trials.trial import Fault, Findings, Trial

__all__ = ["FAULTS"]

_SYNC_S: Final = 0.04

#: How soon sound must be back after the server returns, and after another output becomes the default.
_RETURN_S, _FOLLOW_S = 2.0, 1.0

#: Loud enough to be found, and quiet enough not to be mistaken for a beep.
_TONE_HZ, _TONE_LEVEL = 600.0, 0.1
_OTHER_HZ: Final = 900.0


def _server_killed(trial: Trial, findings: Findings) -> None:
    path, logs = trial.folder / "out.mkv", [trial.folder / "before", trial.folder / "after"]
    with desk(trial.folder) as (opened, environment), ExitStack() as running:
        running.enter_context(beacon(environment, logs[0]))
        recorder = running.enter_context(Recorder(environment, trial.folder, "record", path))
        recorder.until_recorded(path, 1.0)
        wait_s(trial.chance.uniform(2.0, 3.0))
        before = pairs(logs[0])
        killed_s = kill_server(environment, "pulseaudio")
        wait_s(3.0)
        with (
            sound_server(opened, "again") as served_s,
            playing(environment, trial.folder, _TONE_HZ, "again", _TONE_LEVEL),
            beacon(environment, logs[1]),
        ):
            until(lambda: beeps_after(logs[1], served_s + _RETURN_S) >= 3, "three beeps")
            summary = recorder.stop()
    expect_stopped(summary, findings)
    expect_whole(path, findings)
    found, track = Pairs(path, np.concatenate((before, pairs(logs[1])))), heard(path)
    gap = track.between(killed_s - found.epoch_s + 0.3, served_s - found.epoch_s)
    findings.expect(gap.size and np.abs(gap).max() < 0.001, "the gap is silent")
    again_s = served_s + _RETURN_S - found.epoch_s
    level = track.level(_TONE_HZ, again_s, again_s + 0.5)
    findings.expect(level > 0.8 * _TONE_LEVEL, f"sound again within {_RETURN_S:g} s ({level:.3f})")
    findings.lose(max(0.0, float(summary["audio"][0]["inserted_silence_s"]) - (served_s - killed_s)))
    _expect_no_microphone(track, findings)
    found.expect_together(findings, served_s)


def _default_changed(trial: Trial, findings: Findings) -> None:
    """Make other outputs the default in turn, then remove the one being recorded."""
    path = trial.folder / "out.wav"
    with desk(trial.folder) as (opened, environment), microphone(environment), ExitStack() as running:
        unload = running.enter_context(output(environment, "other"))
        running.enter_context(playing(environment, trial.folder, _TONE_HZ, opened.sink))
        running.enter_context(playing(environment, trial.folder, _OTHER_HZ, "other"))
        with Recorder(environment, trial.folder, "record", path) as recorder:
            epoch_s = recorder.until_recorded(path, 1.0)
            moves: list[tuple[float, float]] = []
            for name, hz in (("other", _OTHER_HZ), (opened.sink, _TONE_HZ), ("other", _OTHER_HZ)):
                pactl(environment, "set-default-sink", name)
                moves.append((time.monotonic() - epoch_s, hz))
                wait_s(trial.chance.uniform(2.0, 2.5))
            unload()
            moves.append((time.monotonic() - epoch_s, _TONE_HZ))
            wait_s(2.0)
            summary = recorder.stop()
    expect_stopped(summary, findings)
    expect_whole(path, findings)
    track = heard(path)
    for at_s, hz in moves:
        level = track.level(hz, at_s + _FOLLOW_S, at_s + _FOLLOW_S + 0.5)
        findings.expect(level > 0.1, f"the new output is heard within {_FOLLOW_S:g} s ({hz:g} Hz at {level:.3f})")
    findings.lose(float(summary["audio"][0]["inserted_silence_s"]) / len(moves))
    _expect_no_microphone(track, findings)


def _named_removed(trial: Trial, findings: Findings) -> None:
    path = trial.folder / "out.wav"
    with desk(trial.folder) as (_, environment), microphone(environment), ExitStack() as running:
        unload = running.enter_context(output(environment, "named"))
        with playing(environment, trial.folder, _TONE_HZ, "named"):
            recorder = running.enter_context(
                Recorder(environment, trial.folder, "record", path, "--audio", "named.monitor")
            )
            epoch_s = recorder.until_recorded(path, 1.5)
            unload()
            removed_s = time.monotonic() - epoch_s
        wait_s(trial.chance.uniform(1.5, 2.5))
        back_s = time.monotonic() - epoch_s
        running.enter_context(output(environment, "named"))
        running.enter_context(playing(environment, trial.folder, _TONE_HZ, "named"))
        wait_s(3.0)
        summary = recorder.stop()
    expect_stopped(summary, findings)
    expect_whole(path, findings)
    track = heard(path)
    findings.expect(track.level(_TONE_HZ, 0.5, removed_s - 0.3) > 0.1, "it is audible before")
    findings.expect(np.abs(track.between(removed_s + 0.3, back_s)).max(initial=0.0) < 0.001, "it is silent meanwhile")
    findings.expect(track.level(_TONE_HZ, back_s + _RETURN_S, back_s + _RETURN_S + 0.5) > 0.1, "it is audible again")
    _expect_no_microphone(track, findings)


def _suspended(trial: Trial, findings: Findings) -> None:
    path = trial.folder / "out.wav"
    with (
        desk(trial.folder) as (opened, environment),
        microphone(environment),
        playing(environment, trial.folder, _TONE_HZ, opened.sink),
        Recorder(environment, trial.folder, "record", path) as recorder,
    ):
        epoch_s = recorder.until_recorded(path, 1.5)
        pactl(environment, "suspend-sink", opened.sink, "1")
        suspended_s = time.monotonic() - epoch_s
        wait_s(trial.chance.uniform(2.0, 3.0))
        asked_s = time.monotonic()
        summary = recorder.stop()
        ended_s = time.monotonic()
    findings.expect(ended_s - asked_s < 3.0, f"it stops at once ({ended_s - asked_s:.1f} s)")
    findings.expect(summary.get("check") == "ok", "the recording is whole")
    kinds = {event["kind"] for event in summary.get("events", ())}
    findings.expect(kinds & {"device_lost", "no_data"}, f"an event reports it ({', '.join(sorted(kinds))})")
    track = heard(path)
    findings.expect(np.abs(track.between(suspended_s + 0.4, track.end_s)).max(initial=0.0) < 0.001, "it is silent")
    findings.lose(abs(asked_s - epoch_s - track.end_s))
    _expect_no_microphone(track, findings)


def _expect_no_microphone(track: Heard, findings: Findings) -> None:
    starts_s = np.arange(0.0, max(0.0, track.end_s - 0.25), 0.25)
    loudest = max((track.level(MICROPHONE_HZ, at_s, at_s + 0.25) for at_s in starts_s), default=0.0)
    # Even a moment of the microphone would be ten times as loud. A switch between two tones contains a little of every
    # frequency.
    findings.expect(loudest < 0.01, f"the microphone is not recorded ({loudest:.4f})")


FAULTS: Final = (
    Fault(
        "the sound server is killed, and back after 3 s",
        "it goes on; silence for the gap; sound again within 2 s, in sync",
        _server_killed,
        most_lost_s=_RETURN_S,
        most_apart_s=_SYNC_S,
    ),
    Fault(
        "the default output changes, and is removed",
        "capture follows within 1 s; never the microphone",
        _default_changed,
        most_lost_s=_FOLLOW_S,
    ),
    Fault("a named device is removed", "silence until it is back; never the microphone", _named_removed),
    Fault("the source is suspended", "silence and an event; it stops at once", _suspended, most_lost_s=0.5),
)
