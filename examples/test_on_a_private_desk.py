"""A pytest test that records the program under test on a private desktop; no screen or sound is needed."""

import os
from pathlib import Path

import pytest

import capture


def test_what_the_program_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with capture.VirtualDesk(640, 480) as desk:
        for name, value in desk.environment_of(os.environ).items():
            monkeypatch.setenv(name, value)
        with capture.Recorder(tmp_path / "test.mp4") as recorder:
            assert desk.run(["xdotool", "mousemove", "100", "100"]).wait() == 0
            recorder.mark("moved")
    assert recorder.summary is not None
    assert capture.check(tmp_path / "test.mp4").ok
