"""Screen faults: the X server dies, or the resolution changes."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from typing import Final

from benchmarks.trials.seen import expect_stopped, expect_whole, heard, picture_end_s
from benchmarks.trials.stage import Recorder, desk, kill_server, playing, wait_s
from benchmarks.trials.trial import Fault, Findings, Trial

__all__ = ["FAULTS"]

_WIDTH, _HEIGHT = 800, 600
_SMALL: Final = (400, 300)

#: How much may be on its way when the server dies.
_LOST_S: Final = 0.3


def _display_lost(trial: Trial, findings: Findings) -> None:
    path = trial.folder / ("out.mp4", "out.mkv", "out.webm")[trial.number % 3]
    with (
        desk(trial.folder) as (opened, environment),
        playing(environment, trial.folder, 440.0, opened.sink),
        Recorder(environment, trial.folder, "record", path) as recorder,
    ):
        epoch_s = recorder.until_recorded(path, 1.0)
        wait_s(trial.chance.uniform(0.5, 2.5))
        killed_s = kill_server(environment, "Xvfb")
        code, summary = recorder.wait(), recorder.summary()
        findings.expect(str(path) in recorder.said, "the file is named")
    findings.expect(code == 1, f"exit code 1, not {code}")
    findings.expect(summary.get("stopped_by") == "display_lost", f"stopped_by is {summary.get('stopped_by')}")
    expect_whole(path, findings)
    track = heard(path)
    findings.expect(track.level(440.0, 0.5, track.end_s - 0.2) > 0.1, "the sound is there")
    findings.lose(killed_s - epoch_s - track.end_s)
    findings.lose(killed_s - epoch_s - picture_end_s(path))


def _resized(trial: Trial, findings: Findings) -> None:
    path = trial.folder / "out.mkv"
    with desk(trial.folder, _WIDTH, _HEIGHT) as (_, environment):
        width, height = _SMALL
        timings = [width, width + 1, width + 2, width + 3, height, height + 1, height + 2, height + 3]
        _xrandr(environment, "--newmode", "small", "25", *map(str, timings))
        _xrandr(environment, "--addmode", "screen", "small")
        with Recorder(environment, trial.folder, "record", path) as recorder:
            epoch_s = recorder.until_recorded(path, 1.0)
            for mode in ("small", f"{_WIDTH}x{_HEIGHT}", "small"):
                _xrandr(environment, "--output", "screen", "--mode", mode)
                wait_s(trial.chance.uniform(0.7, 1.2))
            asked_s = time.monotonic()
            summary = recorder.stop()
    expect_stopped(summary, findings)
    video = summary.get("video") or {}
    findings.expect((video.get("width"), video.get("height")) == (_WIDTH, _HEIGHT), "it keeps the size it began with")
    changes = [event for event in summary.get("events", ()) if event["kind"] == "display_changed"]
    findings.expect(len(changes) == 3, f"each change is an event ({len(changes)})")
    expect_whole(path, findings)
    findings.lose(asked_s - epoch_s - picture_end_s(path))


def _xrandr(environment: Mapping[str, str], *arguments: str) -> None:
    subprocess.run(["xrandr", *arguments], env=dict(environment), check=True, timeout=30, capture_output=True)


FAULTS: Final = (
    Fault(
        "the X server dies",
        "the file is finished, sound included, exit 1, display_lost",
        _display_lost,
        most_lost_s=_LOST_S,
    ),
    Fault(
        "the resolution changes",
        "it goes on, scaled to the size it began with",
        _resized,
        most_lost_s=_LOST_S,
    ),
)
