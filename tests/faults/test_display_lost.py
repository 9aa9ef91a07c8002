"""A display that dies or hangs in any state of the recorder: the recording is kept and the loss is reported."""

from __future__ import annotations

import itertools
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from callers import Control
from conftest import StartCapture
from reopened import loudness, pictures, sound
from running import LIMIT_S, Recorder, eventually, kinds
from stage import BLUE, GREEN, RED, Colour, Stage, playing, write_tone

from benchmarks.trials.servers import server_of
from capture.errors import NotReadyError
from capture.media import Rectangle
from capture.pipeline.device_thread import DeviceThread
from capture.sources.screen_source import ScreenSource
from capture.virtual.desk import VirtualDesk

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

#: How far codecs and 4:2:0 subsampling may change a colour in the middle of an area.
COLOUR_TOLERANCE: Final = 14


@pytest.fixture
def own_desk(capture_environment: dict[str, str]) -> Iterator[VirtualDesk]:
    """A separate desk that plays a tone. `capture_environment` refers to this desk."""
    with VirtualDesk(640, 480, window_manager=False) as opened:
        capture_environment.update(opened.environment)
        tone = write_tone(Path(capture_environment["HOME"]) / "tone.wav", 440.0, 60.0)
        with playing(capture_environment, tone, opened.sink):
            yield opened


@pytest.fixture
def stage(own_desk: VirtualDesk, capture_environment: dict[str, str]) -> Iterator[Stage]:
    """A red window over the whole screen of the separate desk."""
    with Stage(capture_environment) as opened:
        opened.paint(0, 0, opened.width, opened.height, RED)
        # The cursor is red too: move it out of the middle.
        opened.point_at(opened.width - 1, opened.height - 1)
        yield opened


def end_display(environment: dict[str, str]) -> None:
    os.kill(server_of(environment, "Xvfb"), signal.SIGKILL)


def is_seen(path: Path, colour: Colour) -> bool:
    """Whether the middle of the newest frame has this colour."""
    height, width = (last := pictures(path).last).shape[:2]
    return bool(np.abs(last[height // 2, width // 2].astype(int) - colour).max() <= COLOUR_TOLERANCE)


def assert_kept(path: Path, recorder: Recorder, summary: dict[str, Any]) -> None:
    """Assert that the file has picture and sound to its end, and that the last line names it and the reason."""
    complaint = recorder.stderr.splitlines()[-1]
    assert complaint.startswith("capture: the display is gone") or complaint.startswith("capture: the screen")
    assert str(path) in complaint
    assert "Traceback" not in recorder.stderr
    assert "Error" not in recorder.stderr
    # No replay buffer is reported as lost: the file has everything.
    assert "buffer" not in recorder.stderr
    assert (summary["stopped_by"], summary["check"]) == ("display_lost", "ok")
    assert kinds(summary)[-1] == "display_lost"
    shown, track = pictures(path), sound(path)
    assert is_seen(path, RED)
    assert abs(shown.end_s - track.end_s) <= 0.1
    assert loudness(track.between(0.3, track.end_s - 0.2), 440.0, track.rate) > 0.3


@pytest.mark.usefixtures("stage")
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("out.mp4", ()),
        ("out.mkv", ("--constant-fps",)),
        ("out.mkv", ("--region", "400x400+100+40", "--replay", "30s")),
        ("out.mp4", ("--window", "Stage", "--show-clicks", "--show-keys")),
    ],
)
def test_the_display_dies_while_it_records(
    name: str,
    arguments: tuple[str, ...],
    capture_environment: dict[str, str],
    start_capture: StartCapture,
    tmp_path: Path,
) -> None:
    path = tmp_path / name
    with start_capture("record", path, *arguments, "--json") as recorder:
        recorder.until_recording(path)
        recorder.until_grown(path, 2)
        end_display(capture_environment)
        assert recorder.wait() == 1
        assert_kept(path, recorder, recorder.summary())


@pytest.mark.usefixtures("stage")
def test_the_display_dies_in_a_pause(
    capture_environment: dict[str, str], start_capture: StartCapture, tmp_path: Path
) -> None:
    path = tmp_path / "out.mkv"
    with start_capture("record", path, "--json") as recorder:
        recorder.until_recording(path)
        recorder.until_grown(path, 2)
        Control(recorder).ask("pause")
        end_display(capture_environment)
        assert recorder.wait() == 1
        summary = recorder.summary()
        assert_kept(path, recorder, summary)
    assert summary["paused_s"] > 0


@pytest.mark.usefixtures("stage")
@pytest.mark.parametrize(
    ("state", "arguments"),
    [
        ("armed", ("record", "out.mkv", "--audio", "internal", "--wait-for-sound", "--sound-threshold", "-1dB")),
        ("standby", ("standby", "out.mkv")),
        ("standby", ("replay", "--last", "30s")),
    ],
)
def test_the_display_dies_while_it_waits(
    state: str,
    arguments: tuple[str, ...],
    capture_environment: dict[str, str],
    start_capture: StartCapture,
    tmp_path: Path,
) -> None:
    with start_capture(*arguments, "--json") as recorder:
        replays = arguments[0] == "replay"
        Control(recorder).until(state, **({"buffer_s": 1.0} if replays else {}))
        end_display(capture_environment)
        assert recorder.wait() == 1
        assert recorder.stderr.splitlines()[-1].startswith("capture: the display is gone")
        assert "Traceback" not in recorder.stderr
        lost = re.search(r"the replay buffer's last \d+ s were not saved", recorder.stderr)
        assert (lost is not None) == replays
    assert [entry.name for entry in tmp_path.iterdir()] == ["home"]
    assert list(tmp_path.glob("home/Videos/**/*.*")) == []


@pytest.mark.usefixtures("stage")
def test_the_display_dies_during_the_countdown(
    capture_environment: dict[str, str], start_capture: StartCapture, tmp_path: Path
) -> None:
    with start_capture("record", "out.mkv", "--delay", "3s") as recorder:
        Control(recorder).until("armed")
        end_display(capture_environment)
        assert recorder.wait() == 3
        assert "there is no display to record" in recorder.stderr.splitlines()[-1]
        assert "Traceback" not in recorder.stderr
    assert not (tmp_path / "out.mkv").exists()


def test_the_display_dies_between_its_opening_and_the_first_picture(
    own_desk: VirtualDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "XAUTHORITY"):
        monkeypatch.setenv(name, own_desk.environment[name])
    device = DeviceThread("screen", ScreenSource(Rectangle(0, 0, 640, 480), cursor=True), lambda name, error: None)
    device.open()
    device.await_opened()
    end_display(own_desk.environment)
    device.settle()
    with pytest.raises(NotReadyError, match="the display is gone"):
        device.await_settled()
    device.close()
    assert device.join(LIMIT_S)


# A display that hangs


@contextmanager
def hanging_display(environment: dict[str, str], control: Control) -> Iterator[None]:
    """Suspend the display server until the context ends."""
    # Once the recorder answers, it has finished setting up the display.
    eventually(lambda: control.status, "an answer")
    server = server_of(environment, "Xvfb")
    os.kill(server, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server, signal.SIGCONT)


@contextmanager
def painting(stage: Stage) -> Iterator[None]:
    """Repaint the stage as fast as the server allows until the context ends."""
    is_over = threading.Event()

    def paint() -> None:
        for place in itertools.count():
            if is_over.is_set():
                return
            stage.paint(place % 400, 0, 100, 100, BLUE if place // 400 % 2 else RED)

    painter = threading.Thread(target=paint)
    painter.start()
    try:
        yield
    finally:
        is_over.set()
        painter.join()


def until_elapsed(control: Control, more_s: float) -> float:
    """Wait until `more_s` more seconds are recorded; return the elapsed time at the call."""
    begun_s = float(control.status["elapsed_s"])
    control.recorder.until(lambda: control.status["elapsed_s"] > begun_s + more_s, f"{more_s} s more")
    return begun_s


def test_a_display_that_hangs_does_not_block_sound_and_commands(
    stage: Stage, capture_environment: dict[str, str], start_capture: StartCapture, tmp_path: Path
) -> None:
    path = tmp_path / "out.mkv"
    with start_capture("record", path, "--json") as recorder:
        control = Control(recorder)
        with painting(stage):
            recorder.until_recording(path)
            with hanging_display(capture_environment, control):
                # Commands still work meanwhile.
                assert control.ask("mark")["ok"]
                begun_s = until_elapsed(control, 3.0)
            until_elapsed(control, 0.3)
        stage.paint(0, 0, 640, 480, GREEN)
        recorder.until(lambda: is_seen(path, GREEN), "what is painted now")
        summary = recorder.stop()
    assert (summary["check"], kinds(summary)) == ("ok", ["mark"])
    assert summary["video"]["dropped"] > 70
    assert sum(event.get("count", 0) for event in summary["events"]) == summary["video"]["dropped"]
    assert summary["audio"][0]["inserted_silence_s"] == pytest.approx(0.0, abs=0.02)
    shown, track = pictures(path), sound(path)
    assert abs(shown.end_s - track.end_s) <= 0.1
    pieces_s = np.arange(begun_s, begun_s + 3.0, 0.1)
    assert min(loudness(track.between(at_s, at_s + 0.1), 440.0, track.rate) for at_s in pieces_s) > 0.3


def test_a_recording_can_be_stopped_while_the_display_hangs(
    stage: Stage, capture_environment: dict[str, str], start_capture: StartCapture, tmp_path: Path
) -> None:
    path = tmp_path / "out.mp4"
    with start_capture("record", path, "--json") as recorder, painting(stage):
        control = Control(recorder)
        recorder.until_recording(path)
        with hanging_display(capture_environment, control):
            begun_s = until_elapsed(control, 1.0)
            summary = recorder.stop()
    assert (summary["check"], summary["stopped_by"]) == ("ok", "terminate")
    shown, track = pictures(path), sound(path)
    assert shown.end_s > begun_s + 1.0
    assert abs(shown.end_s - track.end_s) <= 0.1
    # The last frame stays on meanwhile.
    assert max(moment_s for moment_s in shown.moments_s[:-1]) < begun_s + 0.2
    assert shown.moments_s[-1] > begun_s + 0.9
