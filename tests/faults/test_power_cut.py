"""The power goes while a recording is made, finished or replaced: little is lost, and nothing that was safe.

A disk in memory is copied once a second, and each copy is mounted as after a power cut. Each test prints what its
copies hold: `python -m pytest -m long -s tests/faults/test_power_cut.py`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import av
import pytest
from callers import Control
from conftest import StartCapture
from disks import JournaledDisk, journaled_disk
from reopened import pictures, sound
from running import Recorder
from written import Picture, Sound, write

from capture.recordings.check import check

if sys.platform != "linux":
    pytest.skip("only Linux mounts a file as a disk", allow_module_level=True)

pytestmark = pytest.mark.long

DISK_BYTES: Final = 48_000_000

#: Without a sync nothing reaches a disk for the first 30 s.
RECORDED_S: Final = 40.0

#: How long to watch the disk after the recorder said "saved".
WATCHED_S: Final = 50.0

#: The most that a power cut may cost, in seconds of recording.
LOST_LIMIT_S: Final = 2.0

#: What tracks of one file may end apart.
APART_S: Final = 0.5

PATTERN: Final = ("--source", "pattern", "--fps", "10", "--scale", "640x360")


@dataclass
class Cut:
    """A copy of the disk. `recorded_s` had been recorded by then; it is the full length once that was saved."""

    copy: Path
    at_s: float
    recorded_s: float
    saved: bool


@dataclass
class Watch:
    """Copies a disk once a second."""

    disk: JournaledDisk
    cuts: list[Cut] = field(default_factory=list)
    _began_s: float = field(default_factory=time.monotonic)

    def cut(self, recorded_s: float, *, saved: bool = False) -> None:
        """Copy the disk now."""
        self.cuts.append(Cut(self.disk.cut(), time.monotonic() - self._began_s, recorded_s, saved))

    def until(self, over: Callable[[], bool], recorded_s: Callable[[], float], *, saved: bool = False) -> None:
        """Copy the disk each second until `over`."""
        while not over():
            due_s = time.monotonic() + 1.0
            self.cut(recorded_s(), saved=saved)
            time.sleep(max(0.0, due_s - time.monotonic()))

    def after_saving(self, length_s: float) -> None:
        """Copy the disk for a while after the recorder said that a file is saved."""
        end_s = time.monotonic() + WATCHED_S
        self.until(lambda: time.monotonic() > end_s, lambda: length_s, saved=True)

    def look(self, look: Callable[[Path], Any]) -> Iterator[tuple[Cut, Any]]:
        """Yield each cut with what `look` finds on it."""
        for cut in self.cuts:
            with self.disk.after(cut.copy) as place:
                yield cut, look(place)


@contextmanager
def watched(tmp_path: Path) -> Iterator[Watch]:
    with journaled_disk(tmp_path, DISK_BYTES) as disk:
        yield Watch(disk)


def plays_s(path: Path) -> float:
    """Return how much of a file plays: where the track ends that ends first; 0 when it does not open."""
    ends_s: dict[int, float] = {}
    try:
        with av.open(str(path)) as container:
            for packet in container.demux():
                if packet.pts is not None and packet.size and not packet.is_corrupt:
                    end_s = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                    ends_s[packet.stream_index] = max(ends_s.get(packet.stream_index, 0.0), end_s)
            tracks = len(container.streams)
    except (av.FFmpegError, OSError):
        tracks = len(ends_s)
    return min(ends_s.values()) if ends_s and len(ends_s) == tracks else 0.0


def show(title: str, rows: list[tuple[Cut, str]]) -> None:
    print(f"\n{title}")
    for cut, words in rows:
        state = "saved" if cut.saved else "recording"
        print(f"{cut.at_s:6.1f} s  {state:9}  {cut.recorded_s:5.1f} s recorded  {words}")


def elapsed_s(recorder: Recorder) -> float:
    return float(Control(recorder).status.get("elapsed_s") or 0.0)


def record(watch: Watch, start_capture: StartCapture, path: Path, *more: str) -> dict[str, Any]:
    """Record for a while, and copy the disk meanwhile and after the end; return the summary."""
    with start_capture("record", path, "--json", *PATTERN, *more) as recorder:
        recorder.until_recording(path)
        watch.until(lambda: elapsed_s(recorder) > RECORDED_S, lambda: elapsed_s(recorder))
        summary = recorder.stop()
    assert summary["check"] == "ok"
    watch.after_saving(summary["duration_s"])
    return summary


@pytest.mark.parametrize("extension", ["mp4", "mkv", "ogg", "m4a", "wav"])
def test_a_power_cut_costs_two_seconds(extension: str, start_capture: StartCapture, tmp_path: Path) -> None:
    with watched(tmp_path) as watch:
        name = f"out.{extension}"
        summary = record(watch, start_capture, watch.disk.place / name)
        found = list(watch.look(lambda place: plays_s(place / name)))
        show(name, [(cut, f"{plays:5.1f} s play") for cut, plays in found])
        safe_s = 0.0
        for cut, plays in found:
            assert plays > cut.recorded_s - LOST_LIMIT_S, cut
            assert plays >= safe_s - APART_S, "what was safe is lost"
            safe_s = max(safe_s, plays)
            if cut.saved:
                assert plays > summary["duration_s"] - 0.1
        with watch.disk.after(watch.cuts[-1].copy) as place:
            assert check(place / name).problems == ()
            assert sound(place / name).end_s > RECORDED_S
            if summary["video"]:
                assert pictures(place / name).end_s > RECORDED_S


def test_a_replaced_file_goes_only_when_the_new_one_is_safe(start_capture: StartCapture, tmp_path: Path) -> None:
    with watched(tmp_path) as watch:
        path = write(watch.disk.place / "out.mp4", (Sound(end_s=4.0),), Picture(end_s=4.0))
        old = path.read_bytes()
        os.sync()
        record(watch, start_capture, path, "--overwrite")

        def look(place: Path) -> tuple[bool, float]:
            kept = any(each.read_bytes() == old for each in place.iterdir() if each.is_file())
            new = place / "out.mp4"
            return kept, 0.0 if new.read_bytes() == old else plays_s(new)

        found = list(watch.look(look))
        show(
            "--overwrite", [(c, f"{plays:5.1f} s play, old {'kept' if kept else 'gone'}") for c, (kept, plays) in found]
        )
        for cut, (kept, plays) in found:
            assert kept or plays > cut.recorded_s - 0.1, cut
            assert plays > cut.recorded_s - LOST_LIMIT_S, cut


def test_a_clip_is_safe_when_it_is_saved(start_capture: StartCapture, tmp_path: Path) -> None:
    with watched(tmp_path) as watch:
        path = watch.disk.place / "clip.mp4"
        with start_capture("replay", tmp_path / "out.mp4", "--last", "20s", *PATTERN) as recorder:
            Control(recorder).until("standby", buffer_s=6.0)
            answer = Control(recorder).ask("clip", output=str(path), last_s=5.0)
            assert answer["check"] == "ok"
            watch.after_saving(answer["duration_s"])
        found = list(watch.look(lambda place: plays_s(place / "clip.mp4")))
        show("clip", [(cut, f"{plays:5.1f} s play") for cut, plays in found])
        assert all(plays > cut.recorded_s - 0.1 for cut, plays in found)


def test_a_recording_of_another_loudness_is_safe_when_it_is_saved(start_capture: StartCapture, tmp_path: Path) -> None:
    with watched(tmp_path) as watch:
        record(watch, start_capture, watch.disk.place / "out.mp4", "--loudness", "-23")
        found = list(watch.look(lambda place: plays_s(place / "out.mp4")))
        show("--loudness", [(cut, f"{plays:5.1f} s play") for cut, plays in found])
        for cut, plays in found:
            assert plays > cut.recorded_s - (0.1 if cut.saved else LOST_LIMIT_S), cut
