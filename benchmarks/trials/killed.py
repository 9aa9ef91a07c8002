"""Crashes: the recorder is killed while it records each kind of file, and while it saves a clip."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.trials.seen import expect_repairable, expect_whole, heard, picture_end_s
from benchmarks.trials.stage import Recorder, desk, playing, wait_s
from benchmarks.trials.trial import Fault, Findings, Trial
from capture.errors import CaptureError

__all__ = ["FAULTS"]

_EARLIEST_S, _LATEST_S = 1.2, 5.0
_LOST_S: Final = 1.5
_CONTAINERS: Final = ("mp4", "mkv", "webm", "ogg", "m4a")
_WITH_PICTURE: Final = ("mp4", "mkv", "webm")

#: Saving a clip of a few seconds takes less than this.
_LONGEST_SAVE_S: Final = 0.3


def _killed(extension: str, trial: Trial, findings: Findings) -> None:
    """Kill a recording of the test pattern or, every second time, of a still screen and a tone."""
    folder = trial.folder / "take"
    folder.mkdir()
    path = folder / f"killed.{extension}"
    source = ("--source", "pattern") if trial.number % 2 else ()
    with (
        desk(trial.folder) as (opened, environment),
        playing(environment, trial.folder, 440.0, opened.sink),
        Recorder(environment, trial.folder, "record", path, *source) as recorder,
    ):
        recorder.until(path.exists, "the file")
        # The recording begins when its file is created, which the folder's mtime records.
        began_s = folder.stat().st_mtime - time.time() + time.monotonic()
        wait_s(max(0.0, began_s + trial.chance.uniform(_EARLIEST_S, _LATEST_S) - time.monotonic()))
        recorded_s = time.monotonic() - began_s
        recorder.process.kill()
        recorder.process.wait()
    findings.lose(recorded_s - heard(path).end_s)
    if extension in _WITH_PICTURE:
        findings.lose(recorded_s - picture_end_s(path))
    expect_repairable(path, findings)


def _killed_in_a_clip(trial: Trial, findings: Findings) -> None:
    extension = _CONTAINERS[trial.number % len(_CONTAINERS)]
    clip = trial.folder / "clips" / f"clip.{extension}"
    clip.parent.mkdir()
    arguments = ("replay", f"take.{extension}", "--last", "10s", "--source", "pattern", "--fps", "10")
    with desk(trial.folder) as (_, environment), Recorder(environment, trial.folder, *arguments) as recorder:
        recorder.until(lambda: (recorder.status().get("buffer_s") or 0.0) > 2.0, "two seconds in memory")

        def ask() -> None:
            with suppress(CaptureError):
                recorder.order("clip", output=str(clip))

        asking = threading.Thread(target=ask)
        asking.start()
        wait_s(trial.chance.uniform(0.0, _LONGEST_SAVE_S))
        recorder.process.kill()
        recorder.process.wait()
        asking.join()
    if clip.exists():
        expect_whole(clip, findings)
    left = {path.name for path in clip.parent.iterdir() if not path.name.startswith(".")}
    findings.expect(left <= {clip.name}, "no other file looks like a clip")


def _left_over(trial: Trial, findings: Findings) -> None:
    path = trial.folder / "left.mkv"
    with desk(trial.folder) as (_, environment):
        with Recorder(environment, trial.folder, "record", path, "--source", "pattern") as recorder:
            recorder.until_recorded(path, 1.0)
        with Recorder(
            environment, trial.folder, "record", "next.ogg", "--source", "pattern", "--duration", "0.3"
        ) as after:
            after.wait()
            said = after.said.replace("\n", "")
    message = f"a crash cut off {path}. To fix it: capture repair"
    findings.expect(message in said, "the next start names the file and capture repair")
    expect_repairable(path, findings)
    expect_whole(Path(trial.folder, "next.ogg"), findings)


FAULTS: Final = (
    *(
        Fault(
            f"SIGKILL while it records {extension}",
            "it opens; at most 1.5 s lost; repair makes it an ordinary file",
            partial(_killed, extension),
            most_lost_s=_LOST_S,
            tries=5,
        )
        for extension in _CONTAINERS
    ),
    Fault("SIGKILL while it saves a clip", "the clip is complete or absent", _killed_in_a_clip, tries=5),
    Fault("a file left over by a crash", "the next start names the file and capture repair", _left_over),
)
