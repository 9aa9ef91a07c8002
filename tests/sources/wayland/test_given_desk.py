"""Recordings on whatever Wayland compositor the environment names, for compositors that the suite cannot start.

`python -m pytest -m desk` runs these, in a session that gives screens without a dialog. They fill its screens.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import av
import pytest
from numbered import HEIGHT, WIDTH, number_of
from running import Recorder, eventually, kinds
from watching import SECRET, watched, watched_output
from wayland_desk import Window

from capture.media import Rectangle
from capture.sources.wayland.desktop import list_outputs
from capture.sources.wayland.subjects import OneWindow, SeveralOutputs
from capture.sources.wayland.windows import active_window, choose_window, list_windows

pytestmark = pytest.mark.desk

QUIET: Final = ("--audio", "none", "--quality", "high", "--no-hotkeys", "--json")
NUMBER: Final = 0x1234


@pytest.fixture(autouse=True)
def given_desk(monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform != "linux" or not os.environ.get("WAYLAND_DISPLAY"):
        pytest.skip("no Wayland compositor is given")
    monkeypatch.delenv("DISPLAY", raising=False)
    if not list_outputs():
        pytest.skip("this compositor gives no screens")


@pytest.fixture
def windows() -> Iterator[list[Window]]:
    """A window that fills each screen, with a number counted from `NUMBER`."""
    made = []
    for number, screen in enumerate(list_outputs(), NUMBER):
        made.append(Window(output=screen.name))
        made[-1].draw(number)
    # All but the last one draw themselves again because they are not active any more.
    for number, window in enumerate(made, NUMBER):
        window.draw(number)
    yield made
    for window in made:
        window.close()


@pytest.mark.usefixtures("own_home")
def test_each_screen_is_recorded_by_its_name(windows: list[Window], folder: Path) -> None:
    for number, screen in enumerate(list_outputs(), NUMBER):
        path = folder / f"{screen.name}.mkv"
        words = ("record", path, "--screen", screen.name, *QUIET, "--duration", "0.5s")
        with Recorder(os.environ, folder, *words) as recorder:
            summary = recorder.summary()
        assert (summary["check"], kinds(summary)) == ("ok", [])
        with av.open(str(path)) as container:
            pictures = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
        if screen.scale == 1:
            assert {number_of(picture[:HEIGHT, :WIDTH]) for picture in pictures} == {number}


def test_pictures_come_with_what_changed_and_when_it_was_shown(windows: list[Window]) -> None:
    screen = list_outputs()[0]
    with watched_output(screen.name) as seen:
        seen.until_still()
        for number in range(20, 30):
            begun_s = time.monotonic()
            windows[0].draw(number)
            seen.until(number)
            assert begun_s < seen.frames[-1].captured_at_s < time.monotonic()
        whole = (screen.area.height, screen.area.width, 4)
        parts = [frame for frame in seen.frames if frame.pixels.shape == (HEIGHT, WIDTH, 4)]
        print(f"{len(parts)} of {len(seen.frames)} frames have what was drawn and no more; the whole is {whole}")
        seen.until_still()
        assert not seen.look(0.3)


def test_all_screens_are_one_picture(windows: list[Window]) -> None:
    screens = list_outputs()
    left, top = (min(edge) for edge in zip(*((each.area.left, each.area.top) for each in screens), strict=True))
    with watched(lambda report, end: SeveralOutputs(None, with_cursor=False)) as seen:
        for number, screen in enumerate(screens, NUMBER):
            if all(each.scale == 1 for each in screens):
                seen.until(number, screen.area.left - left, screen.area.top - top)
    first = screens[0].area
    across = Rectangle(first.left + first.width // 2, first.top, first.width, first.height)
    with watched(lambda report, end: SeveralOutputs(across, with_cursor=False)) as seen:
        assert seen.look(5)


def test_a_window_is_recorded_whatever_covers_it() -> None:
    if list_windows() is None:
        pytest.skip("this compositor gives no windows")
    with ExitStack() as closing:
        editor = Window(title="Text Editor", ground=50)
        editor.draw(1)
        subject = closing.enter_context(
            watched(
                lambda report, end: OneWindow(
                    lambda now: choose_window(now, "text edit"), with_cursor=False, report=report, end=end
                )
            )
        )
        subject.until(1)
        other = Window(title="Other", output=list_outputs()[0].name)
        closing.callback(other.close)
        other.draw(SECRET)
        other.draw(SECRET)
        now = list_windows()
        assert now is not None
        # On another output, it need not have got the focus.
        assert active_window(now).title in ("Other", "Text Editor")
        subject.until_still()
        assert (subject.picture[..., 1] == 50).any()
        editor.close()
        eventually(lambda: (subject.look(0.1), subject.ended)[1], "the end")
        assert subject.ended == ["window_closed"]


@pytest.mark.usefixtures("own_home")
def test_a_recording_is_paused_and_stopped(windows: list[Window], folder: Path) -> None:
    path = folder / "paused.mkv"
    with Recorder(os.environ, folder, "record", path, "--name", "given", *QUIET) as recorder:
        recorder.until_recording(path)
        for verb in ("pause", "resume", "stop"):
            windows[0].draw(7)
            done = subprocess.run(
                [sys.executable, "-m", "capture", verb, "--name", "given", "--json"],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 0, done.stderr
        summary = recorder.summary()
    assert (summary["check"], summary["stopped_by"]) == ("ok", "remote")
