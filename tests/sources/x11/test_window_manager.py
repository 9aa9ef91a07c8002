"""`--window` under a window manager, which frames windows, hides them, and may end before they do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pytest
from conftest import PROJECT
from reopened import Picture, each_picture, pictures
from running import Recorder, eventually, kinds
from stage import BLACK, BLUE, GREEN, RED, WHITE, Colour, Pane, colour_at, mouse

from capture.virtual.desk import VirtualDesk

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

from capture.sources.x11.window_list import list_windows

#: How far the codecs and the conversion to 4:2:0 may change a colour in the middle of an area.
COLOUR_TOLERANCE: Final = 3

ARGUMENTS: Final = ("--quality", "high", "--audio", "none", "--no-cursor", "--no-hotkeys", "--json")

#: Two green workspaces, and nothing else on the screen.
CONFIGURATION: Final = """<JWM>
<Desktops width="2" height="1"><Background type="solid">#1EC83C</Background></Desktops>
<WindowStyle><Corner>0</Corner></WindowStyle>
<SnapMode distance="0">none</SnapMode>
</JWM>"""

#: Where the marks of `Manager`'s editor are in its picture.
MARKED: Final[dict[tuple[int, int], Colour]] = {
    **{(x, y): WHITE for x in (3, 16) for y in (3, 16)},
    **{(x, y): BLUE for x in (303, 316) for y in (223, 236)},
    (160, 120): RED,
    (316, 3): RED,
    (3, 236): RED,
}


class Manager:
    """jwm on a desk, and two windows that it manages: `editor`, red with marks in its corners, and `other`."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.environment = environment
        configuration = folder / "jwmrc"
        configuration.write_text(CONFIGURATION)
        self.process = subprocess.Popen(
            ["jwm", "-f", str(configuration)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            eventually(lambda: colour_at(environment, 5, 5) == GREEN, "the window manager")
            self.editor = self._managed("Editor", (0, 0, 320, 240), RED)
            self.editor.mark(0, 0, 20, 20, WHITE)
            self.editor.mark(300, 220, 20, 20, BLUE)
            self.other = self._managed("Other", (0, 0, 100, 80), WHITE)
        except BaseException:
            self.end()
            raise

    def _managed(self, title: str, place: tuple[int, int, int, int], colour: Colour) -> Pane:
        pane = Pane(self.environment, title, place, colour, managed=True)
        eventually(lambda: pane.is_viewable, f"the window {title}")
        return pane

    def go_to_workspace(self, number: int) -> None:
        self.editor.ask_manager("_NET_CURRENT_DESKTOP", number, to_window=False)
        eventually(lambda: self.editor.is_viewable == (number == 0), f"the workspace {number}")

    def end(self) -> None:
        self.process.terminate()
        self.process.wait()


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    with VirtualDesk(800, 600, window_manager=False) as desk:
        for name, value in desk.environment.items():
            monkeypatch.setenv(name, value)
        environment = {**desk.environment_of(os.environ), "HOME": str(tmp_path), "PYTHONPATH": str(PROJECT)}
        mouse(environment, "mousemove 799 599")
        manager = Manager(environment, tmp_path)
        with manager.editor, manager.other:
            yield manager
        manager.end()


def is_so(picture: Picture, colours: dict[tuple[int, int], Colour]) -> bool:
    return all(np.abs(around(picture, x, y) - colour).max() <= COLOUR_TOLERANCE for (x, y), colour in colours.items())


def around(picture: Picture, x: int, y: int) -> npt.NDArray[np.float64]:
    """Return the colour there, averaged with the pixels around: a single one may be off by a little more."""
    return np.asarray(
        np.median(picture[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].reshape(-1, 3), axis=0), np.float64
    )


def until_seen(recorder: Recorder, path: Path, colours: dict[tuple[int, int], Colour]) -> None:
    recorder.until(lambda: is_so(pictures(path).last, colours), str(colours))


def test_the_active_window_is_recorded_without_its_frame(manager: Manager, tmp_path: Path) -> None:
    manager.editor.ask_manager("_NET_ACTIVE_WINDOW", 2)
    eventually(lambda: any(window.active and window.title == "Editor" for window in list_windows()), "the window")
    found = {window.title: (window.area.left, window.area.top) for window in list_windows()}
    assert found == {
        pane: place[:2] for pane, place in (("Editor", manager.editor.place), ("Other", manager.other.place))
    }
    assert min(found["Editor"]) > 0, "there is no frame"
    path = tmp_path / "active.mkv"
    arguments = ("record", path, "--window", "active", "--duration", "0.3", *ARGUMENTS)
    with Recorder(manager.environment, tmp_path, *arguments) as recorder:
        assert recorder.wait() == 0, recorder.stderr
    last = pictures(path).last
    assert last.shape == (240, 320, 3)
    assert is_so(last, MARKED | {(319, 0): RED, (0, 239): RED, (160, 1): RED})


def test_the_window_is_followed_wherever_it_goes(manager: Manager, tmp_path: Path) -> None:
    path = tmp_path / "followed.mkv"
    editor, maximised = manager.editor, ("_NET_WM_STATE_MAXIMIZED_VERT", "_NET_WM_STATE_MAXIMIZED_HORZ")
    with Recorder(manager.environment, tmp_path, "record", path, "--window", "Editor", *ARGUMENTS) as recorder:
        recorder.until_recording(path)
        manager.other.move(500, 20)
        editor.move(301, 203)
        eventually(lambda: editor.place[:2] >= (301, 203), "it has moved")
        editor.mark(100, 100, 20, 20, GREEN)
        until_seen(recorder, path, MARKED | {(110, 110): GREEN})
        editor.ask_manager("_NET_WM_STATE", 1, *maximised)
        eventually(lambda: editor.place[2] > 700, "it is large")
        _, _, width, height = editor.place
        # Scaled down to fit, centred on black.
        high = round(height * 320 / width)
        until_seen(recorder, path, {(160, 120): RED, (2, 120 - high // 2 + 2): WHITE, (160, 117 - high // 2): BLACK})
        editor.ask_manager("_NET_WM_STATE", 0, *maximised)
        until_seen(recorder, path, MARKED)
        summary = recorder.stop()
    assert (summary["video"]["width"], summary["video"]["height"], summary["check"]) == (320, 240, "ok")


def test_the_screen_behind_a_hidden_window_is_not_recorded(manager: Manager, tmp_path: Path) -> None:
    path = tmp_path / "hidden.mkv"
    editor = manager.editor
    left, top, _, _ = editor.place
    with Recorder(manager.environment, tmp_path, "record", path, "--window", "Editor", *ARGUMENTS) as recorder:
        recorder.until_recording(path)
        # It is minimised, and then on another workspace.
        editor.ask_manager("WM_CHANGE_STATE", 3)
        eventually(lambda: not editor.is_viewable, "it is hidden")
        assert colour_at(manager.environment, left + 160, top + 120) != RED
        recorder.until_grown(path, 2)
        editor.ask_manager("_NET_ACTIVE_WINDOW", 2)
        eventually(lambda: editor.is_viewable, "it is shown")
        manager.go_to_workspace(1)
        recorder.until_grown(path, 2)
        manager.go_to_workspace(0)
        editor.mark(100, 100, 20, 20, WHITE)
        until_seen(recorder, path, MARKED | {(110, 110): WHITE})
        summary = recorder.stop()
    assert summary["check"] == "ok"
    for at_s, picture in each_picture(path):
        assert is_so(picture, MARKED), f"at {at_s}"


def test_recording_outlives_the_window_manager(manager: Manager, tmp_path: Path) -> None:
    path = tmp_path / "outlived.mkv"
    arguments = ("record", path, "--window", "Editor", *ARGUMENTS)
    # The cursor belongs to the window manager, and is requested even after its end.
    with Recorder(manager.environment, tmp_path, *(each for each in arguments if each != "--no-cursor")) as recorder:
        recorder.until_recording(path)
        manager.end()
        manager.editor.move(20, 30)
        mouse(manager.environment, "mousemove 400 400")
        manager.editor.mark(100, 100, 20, 20, GREEN)
        until_seen(recorder, path, MARKED | {(110, 110): GREEN})
        manager.editor.close()
        assert recorder.wait() == 0, recorder.stderr
        summary = recorder.summary()
    assert (summary["stopped_by"], summary["check"], kinds(summary)) == ("window_closed", "ok", ["window_closed"])
