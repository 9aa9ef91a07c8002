"""Windows of a Wayland desktop, by ext-image-copy-capture: on a double of a compositor, and on sway where it has that.

Debian 12 has no such compositor; CONTRIBUTING.md says how these tests run on a newer one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from numbered import HEIGHT, WIDTH, numbered
from running import Recorder, eventually, kinds
from scripted_compositor import Compositor, compositor
from watching import SECRET, Seen, watched
from wayland_desk import Sway, Window, has_sway, sway_desk

from capture.errors import UsageError
from capture.events import EventKind
from capture.sources.wayland.subjects import OneWindow
from capture.sources.wayland.windows import active_window, choose_window, list_windows

if sys.platform != "linux":
    pytest.skip("Wayland needs Linux", allow_module_level=True)

EDITOR: Final = "0f"
TERMINAL: Final = "1e"

QUIET: Final = ("--audio", "none", "--quality", "high", "--no-hotkeys", "--json")

_Values = np.ndarray[tuple[int, int], np.dtype[np.uint32]]


def shown(number: int, width: int = WIDTH, height: int = HEIGHT) -> _Values:
    """What a window of this size shows: a number, and grey beside it."""
    pixels = np.full((height, width, 4), 90, np.uint8)
    pixels[:HEIGHT, :WIDTH] = numbered(number)
    return pixels.view(np.uint32)[..., 0]


@pytest.fixture
def double(temporary_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Compositor]:
    """A compositor with two windows; nothing but the first one may be recorded."""
    with tempfile.TemporaryDirectory(dir=temporary_folder, prefix="w") as folder:
        monkeypatch.delenv("DISPLAY", raising=False)
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        monkeypatch.setenv("WAYLAND_DISPLAY", "screen")
        with compositor(Path(folder, "screen"), copies=True) as made:
            made.show(shown(SECRET))
            made.open_window(EDITOR, "Text Editor", shown(1))
            made.open_window(TERMINAL, "Terminal", shown(SECRET))
            yield made


def watched_window(wanted: str, *, with_cursor: bool = False) -> AbstractContextManager[Seen]:
    return watched(
        lambda report, end: OneWindow(
            lambda windows: choose_window(windows, wanted), with_cursor=with_cursor, report=report, end=end
        )
    )


def test_windows_are_listed_and_chosen(double: Compositor) -> None:
    double.active = TERMINAL
    windows = list_windows()
    assert windows is not None
    assert [(window.id, window.title, window.app, window.active) for window in windows] == [
        (EDITOR, "Text Editor", "program", False),
        (TERMINAL, "Terminal", "program", True),
    ]
    for wanted in ("Text Editor", EDITOR, "editor"):
        assert choose_window(windows, wanted).id == EDITOR
    assert active_window(windows).id == TERMINAL
    with pytest.raises(
        UsageError, match=r"there is no window 'Browser': choose one of 'Text Editor' \(0f, program\), '"
    ):
        choose_window(windows, "Browser")
    with pytest.raises(UsageError, match="2 windows match 'T': give the id of one"):
        choose_window(windows, "T")


def test_no_window_is_taken_for_the_active_one(double: Compositor) -> None:
    # The protocols give the active one by title and program only.
    double.open_window("2d", "Terminal", shown(SECRET))
    double.active = TERMINAL
    windows = list_windows()
    assert windows is not None
    with pytest.raises(UsageError, match="no window is active, or others have the same title: choose one of 'Text"):
        active_window(windows)


def test_a_window_keeps_its_first_size_in_the_picture(double: Compositor) -> None:
    with watched_window("Text Editor") as seen:
        seen.until(1)
        assert seen.picture.shape == (HEIGHT, WIDTH, 4)
        double.show(shown(2), EDITOR)
        seen.until(2)
        # A smaller one is in the middle, a larger one is scaled down.
        double.show(shown(0xFFFF)[:32, :128], EDITOR)
        eventually(lambda: seen.look(0.1) and (seen.picture[16:48, 64:192, 1] == 255).all(), "the smaller window")
        assert not seen.picture[:16, :, :3].any()
        double.show(shown(3, 2 * WIDTH, 2 * HEIGHT), EDITOR)
        eventually(lambda: seen.look(0.1) and int(seen.picture[-1, -1, 1]) == 90, "the larger window")
        double.show(shown(4), EDITOR)
        seen.until(4)
        assert (seen.events, seen.ended) == ([], [])


def test_a_window_that_is_closed_ends_the_recording_with_its_last_picture(double: Compositor) -> None:
    with watched_window(EDITOR) as seen:
        seen.until(1)
        double.show(shown(5), EDITOR)
        seen.until(5)
        double.close_window(EDITOR)
        eventually(lambda: (seen.look(0.1), seen.ended)[1], "the end")
        assert seen.ended == ["window_closed"]
        assert seen.events == [(EventKind.WINDOW_CLOSED, "the window 'Text Editor' was closed")]
        seen.source.begin(time.monotonic())
        assert seen.look(5)
        assert seen.number == 5
        assert not seen.look(0.1)


@pytest.mark.parametrize("is_shown", [True, False])
def test_a_cursor_that_is_not_shown_is_said(double: Compositor, is_shown: bool) -> None:
    double.shows_cursor = is_shown
    with watched_window(EDITOR, with_cursor=True) as seen:
        seen.until(1)
        words = [] if is_shown else [(EventKind.NO_CURSOR, "this compositor does not show the mouse cursor in windows")]
        assert seen.events == words


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "capture", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.usefixtures("own_home")
def test_a_window_is_recorded_from_the_command_line(double: Compositor, folder: Path) -> None:
    found = json.loads(run("devices", "--json").stdout)["windows"]
    assert found[0] == {"id": EDITOR, "title": "Text Editor", "app": "program", "active": False}
    missing = run("record", folder / "out.mkv", "--window", "Browser", *QUIET)
    assert (missing.returncode, list(folder.iterdir())) == (2, [])
    picked = run("record", folder / "out.mkv", "--window", "select", *QUIET)
    assert (picked.returncode, "use --window TITLE or --window active" in picked.stderr) == (3, True)
    with Recorder(
        os.environ, folder, "record", folder / "out.mkv", "--window", "editor", "--no-cursor", *QUIET
    ) as recorder:
        recorder.until_recording(folder / "out.mkv")
        double.close_window(EDITOR)
        summary = recorder.summary()
    assert (summary["stopped_by"], summary["check"], kinds(summary)) == ("window_closed", "ok", ["window_closed"])
    assert (summary["video"]["width"], summary["video"]["height"]) == (WIDTH, HEIGHT)


@pytest.fixture
def real_desk(temporary_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sway]:
    if not has_sway():
        pytest.skip("sway is not installed, or must not make a user namespace")
    with (
        tempfile.TemporaryDirectory(dir=temporary_folder, prefix="w") as folder,
        sway_desk(Path(folder), "resolution 640x360 position 0 0") as made,
    ):
        made.move_here(monkeypatch)
        if list_windows() is None:
            pytest.skip("this sway gives no windows")
        yield made


def test_a_real_window_is_recorded_whatever_covers_it(real_desk: Sway) -> None:
    editor = Window(title="Text Editor", ground=50)
    editor.draw(1)
    with watched_window("Text Editor") as seen:
        seen.until(1)
        assert seen.picture.shape == (360, 640, 4)
        other = Window(title="Other")
        other.draw(SECRET)
        real_desk.tell('[title="Other"] fullscreen enable')
        other.await_size(640, 360)
        other.draw(SECRET)
        # It is narrower now, beside the other one.
        editor.await_size(320, 360)
        editor.draw(2)
        seen.until(2, left=160)
        assert (seen.picture[HEIGHT:, 160:480, 1] == 50).all()
        assert not seen.picture[:, :160, :3].any()
        windows = list_windows()
        assert windows is not None
        assert active_window(windows).title == "Other"
        editor.close()
        eventually(lambda: (seen.look(0.1), seen.ended)[1], "the end")
        assert seen.ended == ["window_closed"]
        other.close()
