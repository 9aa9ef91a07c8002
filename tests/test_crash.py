"""SIGKILL at any moment: what was recorded until shortly before is in the file, and plays."""

from __future__ import annotations

import os
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from conftest import PROJECT
from reopened import Track, pictures, sound
from running import Recorder

from capture.desktop.virtual import VirtualDesk
from capture.sources.pattern import BEEP_HZ, BEEP_S, read_clock

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

#: What a crash may cost.
LOST_LIMIT_S: Final = 1.5

EARLIEST_KILL_S: Final = 1.2
LATEST_KILL_S: Final = 5.0

KILLS: Final = {"mp4": 5, "mkv": 5, "ogg": 5, "mov": 2, "webm": 2, "m4a": 2}

WITH_PICTURE: Final = ("mp4", "mkv", "mov", "webm")

#: As many recorders at once as two cores carry without dropping frames.
AT_ONCE: Final = 3


@dataclass(frozen=True)
class Kill:
    """One recording that is to be killed: `number` of its kind, `after_s` of it. Even ones record the test pattern."""

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
    """What was left, and how much had been recorded at the kill."""

    path: Path
    recorded_s: float


@pytest.fixture(scope="module")
def wrecks(desk: VirtualDesk, tmp_path_factory: pytest.TempPathFactory) -> dict[Kill, Wreck]:
    environment = {**desk.environment_of(os.environ), "PYTHONPATH": str(PROJECT)}

    def wreck(kill: Kill) -> Wreck:
        folder = tmp_path_factory.mktemp(str(kill))
        path = folder / f"killed.{kill.extension}"
        source = ("--source", "pattern") if kill.of_pattern else ()
        with Recorder({**environment, "HOME": str(folder)}, folder, "record", path, *source) as recorder:
            recorder.until(path.exists, "the file")
            # The recording begins with its file, and the folder tells when that was made.
            began_s = folder.stat().st_mtime - time.time() + time.monotonic()
            time.sleep(max(0.0, began_s + kill.after_s - time.monotonic()))
            recorder.process.kill()
            recorded_s = time.monotonic() - began_s
            assert recorder.wait() == -9, recorder.stderr
        return Wreck(path, recorded_s)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(planned(), pool.map(wreck, planned()), strict=True))


@pytest.mark.parametrize("kill", planned(), ids=str)
def test_at_most_a_second_and_a_half_is_lost(kill: Kill, wrecks: dict[Kill, Wreck]) -> None:
    wreck = wrecks[kill]
    track = sound(wreck.path)
    assert track.end_s > wreck.recorded_s - LOST_LIMIT_S
    if kill.extension in WITH_PICTURE:
        found = pictures(wreck.path)
        assert found.end_s > wreck.recorded_s - LOST_LIMIT_S
        assert found.moments_s[0] <= 0.02
        if kill.of_pattern:
            # The pattern's clock counts whole milliseconds, and so do the time stamps of Matroska.
            assert read_clock(found.last_bgr) / 1000 == pytest.approx(found.moments_s[-1], abs=0.003)
    if kill.of_pattern:
        assert_beeps(track)
    else:
        assert abs(track.samples).max() == 0.0


def assert_beeps(track: Track) -> None:
    """That there is a beep at each whole second, and nothing between."""
    loud = np.flatnonzero(np.abs(track.samples) > 0.2) / track.rate + track.start_s
    assert len(loud) > 0
    into_second_s = (loud + 0.01) % 1.0
    assert into_second_s.max() < BEEP_S + 0.02
    assert set((loud + 0.01).astype(int)) == set(range(int(track.end_s - 0.02) + 1))
    middle = track.between(0.02, 0.08)
    crossings = np.count_nonzero(np.diff(np.signbit(middle)))
    assert crossings == pytest.approx(2 * BEEP_HZ * len(middle) / track.rate, abs=2)
