"""SIGKILL at any moment: the file keeps all but the last moments, plays, and can be repaired.

The long run kills fifty times as many, several recorders at once:
`python -m pytest -m long tests/faults/test_crash.py`.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from callers import Control
from conftest import PROJECT
from reopened import Track, ledger_lines, pictures, probe, sound
from running import Recorder

from capture.output.naming import ledger_of
from capture.recordings.check import check
from capture.recordings.repair import repair
from capture.remote.protocol import as_line
from capture.remote.runtime_folder import RuntimeFolder
from capture.sources.pattern import BEEP_HZ, BEEP_S, read_clock
from capture.system import unix_socket
from capture.virtual.desk import VirtualDesk

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

#: The most that a crash may cost, in seconds of recording.
LOST_LIMIT_S: Final = 1.5

#: How long the test sleeps at once until the kill, and from when on it counts that it was woken late.
NAP_S: Final = 0.01
LATE_S: Final = 0.2

EARLIEST_KILL_S: Final = 1.2
LATEST_KILL_S: Final = 5.0

KILLS: Final = {"mp4": 5, "mkv": 5, "ogg": 5, "mov": 2, "webm": 2, "m4a": 2}

WITH_PICTURE: Final = ("mp4", "mkv", "mov", "webm")

#: How many recorders two cores run at once without dropping frames.
AT_ONCE: Final = 3

#: Formats and rounds of the long run, which also kills recorders while they save clips.
MATRIX: Final = ("mp4", "mkv", "webm", "ogg", "m4a")
ROUNDS: Final = 50

#: Saving a clip of a few seconds takes less than this.
LONGEST_SAVE_S: Final = 0.3


@dataclass(frozen=True)
class Kill:
    """A recording to kill after `after_s`. `number` counts within its format; even ones record the test pattern."""

    extension: str
    number: int
    after_s: float

    @property
    def of_pattern(self) -> bool:
        return self.number % 2 == 0

    def __str__(self) -> str:
        return f"{self.extension}-{'pattern' if self.of_pattern else 'still'}-{self.after_s:.2f}s"


def planned() -> list[Kill]:
    moments = random.Random(20)
    return [
        Kill(extension, number, moments.uniform(EARLIEST_KILL_S, LATEST_KILL_S))
        for extension, count in KILLS.items()
        for number in range(count)
    ]


@dataclass(frozen=True)
class Wreck:
    """The file that a kill left behind, and how much had been recorded by then: while a machine ran at all."""

    path: Path
    recorded_s: float


@pytest.fixture(scope="module")
def wrecks(desk: VirtualDesk, tmp_path_factory: pytest.TempPathFactory) -> dict[Kill, Wreck]:
    environment = desk.environment_of(os.environ)

    def wreck(kill: Kill) -> Wreck:
        (found,) = killed_together(environment, tmp_path_factory.mktemp(str(kill)), [kill])
        return found

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(planned(), pool.map(wreck, planned()), strict=True))


@contextmanager
def recorders(
    environment: Mapping[str, str], folder: Path, commands: Sequence[Sequence[str | Path]]
) -> Iterator[list[Recorder]]:
    """Run recorders in one process group, each in its own folder, and kill them all at the end of the context."""
    with ExitStack() as running:
        found: list[Recorder] = []
        for number, command in enumerate(commands):
            place = folder / str(number)
            place.mkdir()
            own = {**environment, "PYTHONPATH": str(PROJECT), "HOME": str(place)}
            group = found[0].process.pid if found else 0
            found.append(running.enter_context(Recorder(own, place, *command, group=group)))
        yield found
        os.killpg(found[0].process.pid, 9)
        for recorder in found:
            assert recorder.wait() == -9, recorder.stderr


def killed_together(environment: Mapping[str, str], folder: Path, kills: Sequence[Kill]) -> list[Wreck]:
    """Run recorders, kill all of them once the last has recorded long enough, and return what is left."""
    paths = [folder / str(number) / f"killed.{kill.extension}" for number, kill in enumerate(kills)]
    commands = []
    for number, (path, kill) in enumerate(zip(paths, kills, strict=True)):
        # With several at once, each gets less work.
        fps = str(30 if len(kills) == 1 else 10)
        source = ("--source", "pattern", "--fps", fps) if kill.of_pattern else ()
        commands.append(("record", path, "--log", "--name", f"{folder.name}-{number}", *source))
    began_s: list[float] = []
    with recorders(environment, folder, commands) as running:
        for path, recorder in zip(paths, running, strict=True):
            recorder.until(ledger_of(path).exists, "the file and its ledger")
            # A recording starts when its files appear; the mtime of the folder says when that was.
            began_s.append(path.parent.stat().st_mtime - time.time() + time.monotonic())
        stood_still_s = sleep_until(max(began_s) + kills[0].after_s)
        killed_s = time.monotonic() - stood_still_s
    return [Wreck(path, killed_s - at_s) for path, at_s in zip(paths, began_s, strict=True)]


def sleep_until(due_s: float) -> float:
    """Sleep until `due_s`; return for how long this process did not run meanwhile, and so hardly any other did."""
    stood_still_s = 0.0
    while (from_s := time.monotonic()) < due_s:
        time.sleep(min(NAP_S, due_s - from_s))
        late_s = time.monotonic() - from_s - NAP_S
        stood_still_s += late_s if late_s > LATE_S else 0.0
    return stood_still_s


@pytest.mark.parametrize("kill", planned(), ids=str)
def test_a_kill_costs_at_most_a_second_and_a_half(kill: Kill, wrecks: dict[Kill, Wreck]) -> None:
    assert_kept(kill, wrecks[kill])


@pytest.mark.long
@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_kill_costs_at_most_a_second_and_a_half_in_the_long_run(
    number: int, seed: int, desk: VirtualDesk, tmp_path: Path
) -> None:
    after_s = random.Random(seed + number).uniform(EARLIEST_KILL_S, LATEST_KILL_S)
    kills = [Kill(extension, number, after_s) for extension in MATRIX]
    for kill, wreck in zip(kills, killed_together(desk.environment_of(os.environ), tmp_path, kills), strict=True):
        assert_kept(kill, wreck)


def assert_kept(kill: Kill, wreck: Wreck) -> None:
    """Assert that nearly everything is there, that repair loses nothing, and that the ledger has a start but no end."""
    track = sound(wreck.path)
    assert track.end_s > wreck.recorded_s - LOST_LIMIT_S
    if kill.extension in WITH_PICTURE:
        found = pictures(wreck.path)
        assert found.end_s > wreck.recorded_s - LOST_LIMIT_S
        assert found.moments_s[0] <= 0.02
        if kill.of_pattern:
            # Frames that come closer to each other are moved half a slot apart, which is 17 ms, and the first of an MP4
            # up to two places of its grid. The clock in the pattern counts whole milliseconds, and so does Matroska.
            moved_s = 0.037 if kill.extension in ("mp4", "mov") else 0.02
            assert read_clock(found.last_bgr) / 1000 == pytest.approx(found.moments_s[-1], abs=moved_s)
    if kill.of_pattern:
        assert_beeps(track)
    else:
        assert abs(track.samples).max() == 0.0
    assert_repaired(wreck.path, track.end_s)
    begun, *others = ledger_lines(ledger_of(wreck.path))
    assert (begun["kind"], begun["detail"]) == ("begun", str(wreck.path))
    assert "ended" not in [line["kind"] for line in others]


def assert_repaired(path: Path, length_s: float) -> None:
    whole = path.with_stem("whole")
    done = repair(path, whole)
    assert done.was_needed
    report = check(whole)
    assert report.ok, report.problems
    # Repair brings tracks that end at different times to one end.
    assert report.duration_s > length_s - 0.5
    assert float(probe(whole)["format"]["duration"]) == pytest.approx(report.duration_s, abs=0.1)


# While a clip is saved


def test_a_killed_recorder_leaves_no_partial_clip(desk: VirtualDesk, tmp_path: Path) -> None:
    assert_no_half_clips(desk.environment_of(os.environ), tmp_path, ("mp4", "mkv", "ogg"), random.Random(7))


@pytest.mark.long
@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_killed_recorder_leaves_no_partial_clip_in_the_long_run(
    number: int, seed: int, desk: VirtualDesk, tmp_path: Path
) -> None:
    assert_no_half_clips(desk.environment_of(os.environ), tmp_path, MATRIX, random.Random(seed + number))


def assert_no_half_clips(
    environment: Mapping[str, str], folder: Path, extensions: Sequence[str], chance: random.Random
) -> None:
    """Kill recorders while they save a clip, and assert that every clip left behind plays."""
    meeting = Path(environment["XDG_RUNTIME_DIR"], "capture")
    names = [f"{folder.name}-{extension}" for extension in extensions]
    commands = [
        ("replay", f"take.{extension}", "--last", "10s", "--source", "pattern", "--fps", "10", "--name", name)
        for extension, name in zip(extensions, names, strict=True)
    ]
    clips = [folder / str(number) / f"clip.{extension}" for number, extension in enumerate(extensions)]
    with ExitStack() as callers, recorders(environment, folder, commands) as running:
        for name, recorder in zip(names, running, strict=True):
            Control(recorder, name).until("standby", buffer_s=2.0)
        with RuntimeFolder(meeting) as opened:
            peers = [
                callers.enter_context(unix_socket.connect(opened.address(name), time.monotonic() + 30.0))
                for name in names
            ]
        for peer, clip in zip(peers, clips, strict=True):
            peer.sendall(as_line({"verb": "clip", "options": {"output": str(clip)}}))
        time.sleep(chance.uniform(0.0, LONGEST_SAVE_S))
    for clip in clips:
        if clip.exists():
            report = check(clip)
            assert report.ok, (clip, report.problems)
            assert report.duration_s > 1.5
        # No other file has a name that looks like a recording.
        assert {path for path in clip.parent.iterdir() if not path.name.startswith(".")} <= {clip}


def assert_beeps(track: Track) -> None:
    """Assert that there is a beep at each whole second and silence between."""
    loud = np.flatnonzero(np.abs(track.samples) > 0.2) / track.rate + track.start_s
    assert len(loud) > 0
    into_second_s = (loud + 0.01) % 1.0
    assert into_second_s.max() < BEEP_S + 0.02
    heard = set((loud + 0.01).astype(int))
    # If the file ends just after a beep starts, little of that beep is left.
    assert set(range(int(track.end_s - 0.02) + 1)) <= heard <= set(range(int(track.end_s + 0.01) + 1))
    middle = track.between(0.02, 0.08)
    crossings = np.count_nonzero(np.diff(np.signbit(middle)))
    assert crossings == pytest.approx(2 * BEEP_HZ * len(middle) / track.rate, abs=2)
