"""A recording begins when its devices are ready, before anything is loaded that encodes it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from reopened import pictures
from takes import LIMIT_S, Recording, Stage

from capture.clock import Clock, MonotonicClock
from capture.events import Command, State
from capture.session.session import Session
from capture.sources.pattern import PatternFrames

#: How long loading takes.
LOADING_S = 1.0

#: Prints what is loaded once the devices are ready, and whether they keep everything from then on.
LOADED = """
import sys
from capture.pipeline.devices import DeviceSet
settle = DeviceSet.settle
def spy(self, **how):
    settle(self, **how)
    print("loaded:", *sorted({"av", "numpy"} & sys.modules.keys()), self.kept_since_s is not None, file=sys.stderr)
DeviceSet.settle = spy
from capture.cli.main import main
sys.exit(main())
"""


class Kept(PatternFrames):
    """The built-in pattern, which keeps its first picture."""

    def settle(self) -> bool:
        return True


@pytest.fixture
def loads_slowly(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Make loading slow. Returns the list that receives when it has ended."""
    load, ended_s = Session._load_stages, list[float]()

    def slowly(session: Session) -> None:
        load(session)
        clock = MonotonicClock()
        until_s = clock.now_s() + LOADING_S
        while clock.now_s() < until_s:
            pass
        ended_s.append(clock.now_s())

    monkeypatch.setattr(Session, "_load_stages", slowly)
    return ended_s


@pytest.mark.parametrize(("make", "is_early"), [(Kept, True), (PatternFrames, False)])
def test_what_a_source_keeps_is_in_the_recording(
    make: Callable[[Clock], PatternFrames], is_early: bool, loads_slowly: list[float], tmp_path: Path
) -> None:
    path = tmp_path / "out.mp4"
    with Recording(path, video=True, audio=None, duration_s=2.0, sources=Stage(frames=make)) as recording:
        recording.until(State.RECORDING)
        assert recording.session._core.take is not None
        epoch_s = recording.session._core.take.timeline.epoch_s
        recording.send(Command.STOP)
        recording.finished()
    assert (epoch_s < loads_slowly[0]) is is_early
    if is_early:
        assert pictures(path).moments_s[-1] > LOADING_S / 2


@pytest.mark.skipif(sys.platform != "linux", reason="a virtual desk needs Linux")
@pytest.mark.parametrize(("name", "options"), [("out.mp4", []), ("out.mkv", ["--audio", "none"]), ("out.ogg", [])])
def test_devices_are_ready_before_anything_heavy_is_loaded(
    name: str, options: list[str], capture_environment: dict[str, str], tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED, "record", name, "--duration", "0.5", *options],
        cwd=tmp_path,
        env=capture_environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "loaded: True\n" in done.stderr


def test_a_file_that_appears_while_everything_is_loaded_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "out.mp4"
    load = Session._load_stages

    def meanwhile(session: Session) -> None:
        load(session)
        path.write_bytes(b"mine")

    monkeypatch.setattr(Session, "_load_stages", meanwhile)
    with Recording(path, video=True, sources=Stage(frames=Kept)) as recording:
        recording.wait(LIMIT_S)
        assert "exists" in str(recording.raised)
    assert path.read_bytes() == b"mine"
