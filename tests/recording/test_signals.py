"""One or more signals in every state: the file is finished, nothing else is left, and the exit code is 0."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from callers import Control
from conftest import StartCapture
from running import Recorder

from capture.recordings.check import check

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

#: The signals to send in quick succession. They differ because the kernel merges pending signals of the same kind.
SENT: Final = (
    (signal.SIGTERM,),
    (signal.SIGHUP, signal.SIGINT),
    (signal.SIGINT, signal.SIGTERM, signal.SIGHUP),
)

STOPPED_BY: Final = {"terminate", "hangup", "interrupt"}


@dataclass(frozen=True)
class Subject:
    """A recorder that receives signals, and the folder of its recordings."""

    control: Control
    folder: Path

    @property
    def recorder(self) -> Recorder:
        return self.control.recorder


def reach_delay(subject: Subject) -> None:
    subject.recorder.until(lambda: subject.recorder.handles(signal.SIGINT), "its own handling of Ctrl+C")


def reach_recording(subject: Subject) -> None:
    subject.control.until("recording", elapsed_s=0.3)


def reach_pause(subject: Subject) -> None:
    reach_recording(subject)
    assert subject.control.ask("pause")["state"] == "paused"


def reach_finishing(subject: Subject) -> None:
    reach_recording(subject)
    with ThreadPoolExecutor(1) as pool:
        # After this command, signals arrive while the file is finished.
        pool.submit(subject.control.ask, "stop")
        subject.recorder.process.send_signal(signal.SIGTERM)


def reach_take(subject: Subject) -> None:
    subject.control.until("standby")
    subject.control.ask("toggle")
    reach_recording(subject)


def reach_clip(subject: Subject) -> None:
    subject.control.until("standby", buffer_s=1.5)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(subject.control.ask, "clip", exact=True, last_s=1.2)
        subject.recorder.until(lambda: any(subject.folder.iterdir()), "a clip is begun")
        subject.recorder.process.send_signal(signal.SIGHUP)


@dataclass(frozen=True)
class Case:
    """A state: how to reach it, how many files it leaves, and what may have stopped them besides the signals."""

    arguments: tuple[str, ...]
    reach: Callable[[Subject], None]
    files: int
    stopped_by: str = ""


CASES: Final = {
    "delay": Case(("record", "out.mp4", "--delay", "1h"), reach_delay, 0),
    "armed": Case(("record", "out.mp4", "--hold", "<f9>"), lambda subject: subject.control.until("armed"), 0),
    "recording": Case(("record", "out.mkv"), reach_recording, 1),
    "paused": Case(("record", "out.mp4"), reach_pause, 1),
    "finishing": Case(("record", "out.webm"), reach_finishing, 1, "remote"),
    "standby": Case(("standby", "out.mp4"), lambda subject: subject.control.until("standby"), 0),
    "recording-in-standby": Case(("standby", "out.mp4", "--replay", "5s"), reach_take, 1),
    "replay": Case(
        ("replay", "out.ogg", "--screen", "none"), lambda subject: subject.control.until("standby", buffer_s=0.3), 0
    ),
    "clip": Case(("replay", "out.mkv"), reach_clip, 1, "clip"),
}


@pytest.mark.usefixtures("as_in_a_terminal")
@pytest.mark.parametrize("state", CASES)
def test_signals_finish_the_recording_in_every_state(state: str, start_capture: StartCapture, tmp_path: Path) -> None:
    case = CASES[state]

    def send(numbers: tuple[signal.Signals, ...]) -> None:
        name = f"{state}-{len(numbers)}"
        folder = tmp_path / name
        folder.mkdir()
        verb, output, *more = case.arguments
        more += ["--name", name, "--source", "pattern", "--fps", "10", "--json"]
        with start_capture(verb, folder / output, *more) as recorder:
            case.reach(Subject(Control(recorder, name), folder))
            for number in numbers:
                recorder.process.send_signal(number)
            assert recorder.wait() == 0, recorder.stderr
            files = sorted(folder.iterdir())
            assert len(files) == case.files, files
            found = json.loads(recorder.stdout)
            for file in files:
                assert check(file).problems == ()
            if case.stopped_by != "clip":
                kept = found.get("recordings", [found] if found.get("path") else [])
                assert [summary["path"] for summary in kept] == list(map(str, files))
                assert {summary["stopped_by"] for summary in kept} <= STOPPED_BY | {case.stopped_by}
            assert "Traceback" not in recorder.stderr

    with ThreadPoolExecutor(len(SENT)) as pool:
        list(pool.map(send, SENT))
