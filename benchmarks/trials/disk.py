"""Disk faults: the disk fills while recording, finishing or saving, or it stalls."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from benchmarks.process import high_water_bytes
from benchmarks.trials.orders import expect_beeps
from benchmarks.trials.seen import expect_stopped, expect_whole, heard
from benchmarks.trials.stage import Recorder, desk, wait_s
from benchmarks.trials.trial import Fault, Findings, NotHereError, Trial
from capture.errors import CaptureError

__all__ = ["FAULTS"]

_MB: Final = 1_000_000
_SMALL_BYTES: Final = 16 * _MB
_BLOCK_BYTES: Final = 64 * _MB

_PATTERN: Final = ("--source", "pattern", "--fps", "10")
_EXTENSIONS: Final = ("mp4", "mkv", "ogg", "webm", "m4a")

_STALL_S: Final = 3.0

#: Most memory that may be used for data waiting for a stalled disk.
_GROWTH_BYTES: Final = 100 * _MB


@contextmanager
def _small_disk(folder: Path) -> Iterator[Path]:
    with _mounted(folder, "-t", "tmpfs", "-o", f"size={_SMALL_BYTES},mode=700", "tmpfs") as place:
        yield place


@contextmanager
def _freezable_disk(folder: Path) -> Iterator[Path]:
    """Mount an ext4 file system from a separate block device, which can be frozen."""
    image = folder / "image"
    with image.open("wb") as file:
        file.truncate(_BLOCK_BYTES)
    _run("mkfs.ext4", "-q", "-m", "0", image)
    with _mounted(folder, "-o", "loop", image) as place:
        yield place


@contextmanager
def _mounted(folder: Path, *arguments: str | Path) -> Iterator[Path]:
    if sys.platform != "linux" or os.geteuid() != 0:
        raise NotHereError("only root can mount a disk")
    place = folder / "disk"
    place.mkdir()
    try:
        _run("mount", *arguments, place)
    except (OSError, subprocess.CalledProcessError) as error:
        raise NotHereError("no disk can be mounted here") from error
    try:
        yield place
    finally:
        _run("umount", "--lazy", place)


def _run(*arguments: str | Path) -> None:
    subprocess.run(list(map(str, arguments)), check=True, timeout=60, capture_output=True)


def _fill(place: Path) -> Path:
    path = place / "filler"
    with path.open("ab", buffering=0) as file, suppress(OSError):
        while file.write(bytes(_MB // 4)):
            pass
    return path


def _filled_while_recording(trial: Trial, findings: Findings) -> None:
    extension = _EXTENSIONS[trial.number % len(_EXTENSIONS)]
    with _small_disk(trial.folder) as place, desk(trial.folder) as (_, environment):
        path = place / f"out.{extension}"
        with Recorder(environment, trial.folder, "record", path, *_PATTERN) as recorder:
            recorder.until_recorded(path, 1.0)
            recorder.until(lambda: _fill(place) and recorder.process.poll() is not None, "the recorder to end")
            code, summary = recorder.wait(), recorder.summary()
            findings.expect(str(path) in recorder.said, "the file is named")
        findings.expect(code == 1, f"exit code 1, not {code}")
        findings.expect(summary.get("stopped_by") == "disk_full", f"stopped_by is {summary.get('stopped_by')}")
        expect_whole(path, findings)
        findings.lose(float(summary["duration_s"]) - heard(path).end_s)


def _filled_while_finishing(trial: Trial, findings: Findings) -> None:
    extension = _EXTENSIONS[trial.number % len(_EXTENSIONS)]
    with _small_disk(trial.folder) as place, desk(trial.folder) as (_, environment):
        path = place / f"out.{extension}"
        with Recorder(environment, trial.folder, "record", path, *_PATTERN) as recorder:
            recorder.until_recorded(path, 1.5)
            recorder.process.terminate()
            _fill(place)
            code, summary = recorder.wait(), recorder.summary()
        findings.expect(code in (0, 1), f"exit code 0 or 1, not {code}")
        expect_whole(path, findings)
        findings.lose(max(0.0, 1.5 - heard(path).end_s))
        findings.expect(summary.get("path") == str(path), "the file is named")


def _filled_while_a_clip_is_saved(trial: Trial, findings: Findings) -> None:
    with _small_disk(trial.folder) as place, desk(trial.folder) as (_, environment):
        take, clip = place / "take.mkv", place / "clip.mkv"
        with Recorder(environment, trial.folder, "replay", take, "--last", "20s", *_PATTERN) as recorder:
            recorder.until(lambda: (recorder.status().get("buffer_s") or 0.0) > 2.0, "two seconds in memory")
            filler = _fill(place)
            try:
                recorder.order("clip", output=str(clip))
                findings.expect(False, "a clip that does not fit is reported")
            except CaptureError as error:
                findings.expect("free" in str(error), f"the error says what to do ({error})")
            findings.expect({path.name for path in place.iterdir()} == {"filler"}, "nothing is left of the clip")
            filler.unlink()
            answer = recorder.order("clip", output=str(clip))
            findings.expect(answer.get("check") == "ok", "the next try saves the whole clip")
            expect_whole(clip, findings)
            findings.lose(max(0.0, 2.0 - float(answer["duration_s"])))
            recorder.stop()


def _stalled(trial: Trial, findings: Findings) -> None:
    with _freezable_disk(trial.folder) as place, desk(trial.folder) as (_, environment):
        path = place / "out.mkv"
        with Recorder(environment, trial.folder, "record", path, "--source", "pattern") as recorder:
            recorder.until_recorded(path, 1.5)
            before_bytes = high_water_bytes(recorder.process.pid)
            try:
                _run("fsfreeze", "--freeze", place)
                wait_s(_STALL_S)
            finally:
                _run("fsfreeze", "--unfreeze", place)
            wait_s(2.0)
            growth_bytes = high_water_bytes(recorder.process.pid) - before_bytes
            summary = recorder.stop()
        expect_stopped(summary, findings)
        findings.expect(growth_bytes < _GROWTH_BYTES, f"memory is bounded ({growth_bytes / _MB:.0f} MB more)")
        expect_whole(path, findings)
        findings.lose(float(summary["audio"][0]["inserted_silence_s"]))
        expect_beeps(path, findings)
        video = summary["video"]
        listed = sum(event.get("count", 0) for event in summary["events"] if event["kind"] == "dropped")
        findings.expect(listed == video["dropped"], f"the ledger lists {video['dropped']} dropped frames ({listed})")


FAULTS: Final = (
    Fault(
        "the disk fills while it records",
        "it stops by itself with a finished, playable file, exit 1, disk_full",
        _filled_while_recording,
        most_lost_s=0.6,
        tries=5,
    ),
    Fault(
        "the disk fills while it finishes",
        "the file is finished and playable",
        _filled_while_finishing,
        most_lost_s=0.6,
    ),
    Fault(
        "the disk fills while a clip is saved",
        "an error; nothing is left of the clip, and the buffer is kept",
        _filled_while_a_clip_is_saved,
        most_lost_s=0.2,
    ),
    Fault(
        "the disk stalls for 3 s",
        "no sound lost, dropped frames counted, memory bounded",
        _stalled,
        most_lost_s=0.05,
    ),
)
