"""`--window` records one window, wherever it moves and whatever happens to it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from conftest import RunCapture
from reopened import Picture, each_picture, pictures
from running import Recorder, kinds
from stage import BLACK, BLUE, FRAME, GREEN, GREY, RED, WHITE, Colour, Pane, Stage, mouse
from xservers import server

from capture.media import Rectangle
from capture.settings.record_settings import RecordSettings
from capture.virtual.desk import VirtualDesk

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

from capture.cli.options import as_option
from capture.errors import SettingError, UsageError
from capture.sources.placement import fitted
from capture.sources.x11.window_list import Window, choose_window, find_window

#: How far the codecs and the conversion to 4:2:0 may change a colour in the middle of an area.
COLOUR_TOLERANCE: Final = 3

QUIETLY: Final = ("--quality", "high", "--audio", "none", "--json")


@pytest.fixture
def stage(desk_environment: dict[str, str]) -> Iterator[Stage]:
    """The green stage behind the windows."""
    with Stage(desk_environment) as opened:
        opened.paint(0, 0, opened.width, opened.height, GREEN)
        mouse(desk_environment, f"mousemove {opened.width - 1} {opened.height - 1}")
        yield opened


def assert_colours(picture: Picture, colours: dict[tuple[int, int], Colour]) -> None:
    found = {(x, y): tuple(int(part) for part in picture[y, x]) for x, y in colours}
    wrong = {
        place: (found[place], colour)
        for place, colour in colours.items()
        if np.abs(np.subtract(found[place], colour)).max() > COLOUR_TOLERANCE
    }
    assert not wrong


def until_seen(recorder: Recorder, path: Path, colours: dict[tuple[int, int], Colour]) -> None:
    def is_seen() -> bool:
        last = pictures(path).last.astype(int)
        return all(np.abs(last[y, x] - colour).max() <= COLOUR_TOLERANCE for (x, y), colour in colours.items())

    recorder.until(is_seen, str(colours))


def marked(environment: dict[str, str], title: str = "Editor", *, framed: bool = False) -> Pane:
    """A red window of 320×240 at 101,51 with white and blue corners."""
    pane = Pane(environment, title, (101, 51, 320, 240), RED, framed=framed)
    pane.mark(0, 0, 32, 32, WHITE)
    pane.mark(288, 208, 32, 32, BLUE)
    return pane


#: The colours at places of the picture of `marked`.
MARKED: Final[dict[tuple[int, int], Colour]] = {
    (10, 10): WHITE,
    (310, 230): BLUE,
    (310, 10): RED,
    (10, 230): RED,
    (160, 120): RED,
}


# Where it is


@pytest.mark.usefixtures("stage")
@pytest.mark.parametrize("framed", [False, True])
def test_a_moved_window_keeps_its_place_in_the_picture(
    framed: bool, capture_environment: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "moved.mkv"
    with (
        marked(capture_environment, framed=framed) as pane,
        Recorder(capture_environment, tmp_path, "record", path, "--window", "Editor", *QUIETLY) as recorder,
    ):
        recorder.until_recording(path)
        for left, top in ((701, 333), (0, 0), (12, 5), (960, 480)):
            pane.move(left, top)
            recorder.until_grown(path, 2)
        summary = recorder.stop()
    assert (summary["video"]["width"], summary["video"]["height"]) == (320, 240)
    shown = [picture for _, picture in each_picture(path)]
    assert len(shown) >= 5
    for picture in shown:
        assert_colours(picture, MARKED)


@pytest.mark.usefixtures("stage")
def test_a_window_is_recorded_whole_whatever_hides_it(capture_environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "whole.mkv"
    with (
        marked(capture_environment, framed=True) as pane,
        Recorder(capture_environment, tmp_path, "record", path, "--window", "Editor", *QUIETLY) as recorder,
    ):
        recorder.until_recording(path)
        # Above it, beside the screen, and rolled up; what is drawn there meanwhile is recorded.
        with Pane(capture_environment, "Above", (101, 51, 200, 150), GREY):
            pane.mark(100, 100, 20, 20, WHITE)
            until_seen(recorder, path, MARKED | {(110, 110): WHITE})
        pane.move(-100, -60)
        pane.mark(130, 100, 20, 20, BLUE)
        until_seen(recorder, path, MARKED | {(110, 110): WHITE, (140, 110): BLUE})
        pane.move(1280 - 200, 720 - 100)
        pane.roll_up(FRAME + 120)
        pane.mark(160, 200, 20, 20, WHITE)
        until_seen(recorder, path, MARKED | {(140, 110): BLUE, (170, 210): WHITE})
        summary = recorder.stop()
    assert (kinds(summary), summary["check"]) == ([], "ok")
    for _, picture in each_picture(path):
        assert_colours(picture, MARKED)


@pytest.mark.usefixtures("stage")
def test_recording_a_window_keeps_the_focus_in_it(capture_environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "focus.mkv"
    with marked(capture_environment) as pane:
        pane.take_focus()
        with Recorder(capture_environment, tmp_path, "record", path, "--window", "Editor", *QUIETLY) as recorder:
            recorder.until_recording(path)
            assert pane.has_focus
            recorder.stop()
        assert pane.has_focus


def test_a_shadow_is_cut_off(in_process_desk: VirtualDesk, capture_environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "shadow.mkv"
    with (
        Pane(capture_environment, "Behind", (0, 0, 1280, 720), GREEN),
        Pane(capture_environment, "Shadowed", (100, 50, 392, 288), GREY) as pane,
    ):
        pane.set_property("_GTK_FRAME_EXTENTS", "CARDINAL", [26, 26, 23, 29])
        pane.mark(26, 23, 340, 236, RED)
        pane.mark(26, 23, 20, 20, WHITE)
        assert find_window(pane.id).area == Rectangle(126, 73, 340, 236)
        with Recorder(capture_environment, tmp_path, "record", path, "--window", pane.id, *QUIETLY) as recorder:
            recorder.until_recording(path)
            inside = {(3, 3): WHITE, (336, 3): RED, (3, 232): RED, (336, 232): RED}
            until_seen(recorder, path, inside)
            # As when it is maximised.
            pane.set_property("_GTK_FRAME_EXTENTS", "CARDINAL", [0, 0, 0, 0])
            until_seen(recorder, path, {(3, 118): BLACK, (20, 118): GREY, (170, 118): RED, (320, 118): GREY})
            summary = recorder.stop()
    assert (summary["video"]["width"], summary["video"]["height"]) == (340, 236)
    assert_colours(next(each_picture(path))[1], inside)


@pytest.mark.parametrize("widths", [[26, 26], [200, 200, 0, 0], [1 << 31, 0, 0, 0]])
def test_a_shadow_that_cannot_be_is_ignored(
    widths: list[int], in_process_desk: VirtualDesk, capture_environment: dict[str, str]
) -> None:
    with Pane(capture_environment, "Odd", (100, 50, 320, 240), RED) as pane:
        pane.set_property("_GTK_FRAME_EXTENTS", "CARDINAL", widths)
        assert find_window("Odd").area == Rectangle(100, 50, 320, 240)


# Where the server keeps no window's contents


@pytest.fixture
def without_composite(capture_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The environment for `capture` on a green screen whose server has no Composite."""
    with server(monkeypatch, "1280x720x24", "-extension", "Composite"):
        environment = {**capture_environment, "DISPLAY": os.environ["DISPLAY"], "XAUTHORITY": os.devnull}
        mouse(environment, "mousemove 1279 719")
        with Pane(environment, "Behind", (0, 0, 1280, 720), GREEN):
            yield environment


def test_without_composite_what_covers_it_is_recorded(without_composite: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "covered.mkv"
    with (
        marked(without_composite) as pane,
        Recorder(without_composite, tmp_path, "record", path, "--window", "Editor", *QUIETLY) as recorder,
    ):
        recorder.until_said("no Composite: what covers the window is recorded")
        recorder.until_recording(path)
        with Pane(without_composite, "Above", (201, 101, 50, 50), GREY):
            until_seen(recorder, path, {(125, 75): GREY, (160, 120): RED})
        pane.move(-100, -60)
        until_seen(recorder, path, {(90, 100): BLACK, (110, 70): RED, (310, 230): BLUE, (310, 50): BLACK})
        pane.move(1280 - 200, 720 - 100)
        until_seen(recorder, path, {(10, 10): WHITE, (190, 90): RED, (210, 50): BLACK, (310, 230): BLACK})
        summary = recorder.stop()
    assert_colours(next(each_picture(path))[1], MARKED | {(125, 75): RED})
    assert kinds(summary) == ["window_not_kept"]


@pytest.mark.usefixtures("stage")
def test_the_cursor_is_drawn_where_it_is_in_the_window(capture_environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "cursor.mkv"
    with (
        marked(capture_environment) as pane,
        Recorder(capture_environment, tmp_path, "record", path, "--window", "Editor", *QUIETLY) as recorder,
    ):
        recorder.until_recording(path)
        pane.move(400, 300)
        # The server's own cursor: a black cross around the hot spot.
        mouse(capture_environment, "mousemove 412 312")
        recorder.until_grown(path, 2)
        recorder.stop()
    assert_colours(pictures(path).last, {(12, 12): BLACK, (28, 28): WHITE})


# Another size


@pytest.mark.usefixtures("stage")
def test_a_new_size_is_fitted_into_the_first(capture_environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "resized.mkv"
    with (
        Pane(capture_environment, "Editor", (100, 50, 320, 240), RED) as pane,
        Recorder(capture_environment, tmp_path, "record", path, "--window", "Editor", *QUIETLY) as recorder,
    ):
        recorder.until_recording(path)
        pane.resize(200, 100)
        recorder.until_grown(path, 2)
        smaller = pictures(path).last
        # Twice as wide: half as large, with bars above and below.
        pane.resize(640, 240)
        pane.mark(320, 0, 320, 240, BLUE)
        recorder.until_grown(path, 2)
        summary = recorder.stop()
    assert (summary["video"]["width"], summary["video"]["height"]) == (320, 240)
    assert_colours(smaller, {(160, 120): RED, (64, 74): RED, (255, 165): RED, (50, 120): BLACK, (160, 60): BLACK})
    larger = {(5, 120): RED, (150, 64): RED, (170, 175): BLUE, (315, 120): BLUE, (160, 50): BLACK, (160, 190): BLACK}
    assert_colours(pictures(path).last, larger)


def test_fitting_keeps_the_shape() -> None:
    white = np.full((100, 300, 4), 255, np.uint8)
    assert fitted(white, 300, 100) is white
    for width, height, box in (
        (400, 200, Rectangle(50, 50, 300, 100)),
        (150, 200, Rectangle(0, 75, 150, 50)),
        (400, 50, Rectangle(125, 0, 150, 50)),
        (2, 200, Rectangle(0, 99, 2, 1)),
    ):
        picture = fitted(white, width, height)
        assert picture.shape == (height, width, 4)
        rows, columns = np.nonzero(picture[..., 0] > 127)
        assert Rectangle(int(columns.min()), int(rows.min()), len(set(columns)), len(set(rows))) == box


@pytest.mark.usefixtures("stage")
def test_an_odd_size_is_cropped_and_reported(
    run_capture: RunCapture, capture_environment: dict[str, str], tmp_path: Path
) -> None:
    with Pane(capture_environment, "Odd", (100, 50, 301, 201), RED):
        done = run_capture("record", "odd.mp4", "--window", "Odd", "--duration", "0.5", *QUIETLY)
    assert done.returncode == 0, done.stderr
    assert "301x201 cropped to 300x200" in done.stderr
    assert_colours(pictures(tmp_path / "odd.mp4").last, {(2, 2): RED, (298, 198): RED})


# Hidden and closed


@pytest.mark.usefixtures("stage")
@pytest.mark.parametrize("framed", [False, True])
def test_a_hidden_window_repeats_its_last_picture(
    framed: bool, capture_environment: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "hidden.mkv"
    with (
        marked(capture_environment, framed=framed) as pane,
        Recorder(capture_environment, tmp_path, "record", path, "--window", "Editor", *QUIETLY) as recorder,
    ):
        recorder.until_recording(path)
        pane.show(False)
        recorder.until_grown(path, 3)
        pane.show(True)
        pane.mark(100, 100, 60, 60, GREY)
        recorder.until_grown(path, 2)
        recorder.stop()
    for _, picture in each_picture(path):
        assert_colours(picture, {place: colour for place, colour in MARKED.items() if place != (160, 120)})
    assert_colours(pictures(path).last, {(130, 130): GREY})


def test_without_composite_a_rolled_up_window_shows_nothing_else(
    without_composite: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "rolled.mkv"
    arguments = ("record", path, "--window", "Editor", "--no-cursor", *QUIETLY)
    with (
        marked(without_composite, framed=True) as pane,
        Recorder(without_composite, tmp_path, *arguments) as recorder,
    ):
        recorder.until_recording(path)
        pane.roll_up(FRAME)
        recorder.until_grown(path, 2)
        pane.roll_up(FRAME + 120)
        until_seen(recorder, path, {(10, 10): WHITE, (310, 116): RED, (10, 124): BLACK, (310, 230): BLACK})
        pane.roll_up(240 + 2 * FRAME)
        until_seen(recorder, path, MARKED)
        recorder.stop()
    for _, picture in each_picture(path):
        assert_colours(picture, {(10, 10): WHITE, (310, 10): RED})
        assert (np.abs(picture.astype(int) - GREEN).max(axis=2) > COLOUR_TOLERANCE).all()


@pytest.mark.usefixtures("stage")
def test_a_recording_ends_with_its_window(capture_environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "closed.mp4"
    arguments = ("record", path, "--window", "Editor", "--quality", "high", "--json")
    with (
        marked(capture_environment) as pane,
        Recorder(capture_environment, tmp_path, *arguments) as recorder,
    ):
        recorder.until_recording(path)
        pane.close()
        summary = recorder.summary()
        assert recorder.wait() == 0, recorder.stderr
    assert (summary["stopped_by"], summary["check"]) == ("window_closed", "ok")
    assert [event["detail"] for event in summary["events"] if event["kind"] == "window_closed"] == [
        "the window 'Editor' was closed"
    ]
    for _, picture in each_picture(path):
        assert_colours(picture, MARKED)


# Which one


def windows(*titles: str) -> list[Window]:
    return [Window(hex(17 + number), title, Rectangle(0, 0, 10, 10), False) for number, title in enumerate(titles)]


@pytest.mark.parametrize(
    ("titles", "wanted", "number"),
    [
        (("Editor", "Editor 2"), "Editor", 0),
        (("Editor", "editor"), "editor", 1),
        (("My Editor - é", "Other"), "EDITOR - É", 0),
        (("Editor", "Editor"), "0x12", 1),
        (("Editor", "0x11"), "0x11", 1),
        (("[a-z]+", "b"), "[a-z]", 0),
    ],
)
def test_a_window_is_selected_by_title_or_id(titles: tuple[str, ...], wanted: str, number: int) -> None:
    there = windows(*titles)
    assert choose_window(there, wanted) is there[number]


@pytest.mark.parametrize(
    ("titles", "wanted", "said"),
    [
        ((), "Editor", r"there is no window 'Editor': no window has a title"),
        (("Shell",), "Editor", r"there is no window 'Editor': choose one of 'Shell' \(0x11, 10x10\+0\+0\)"),
        (("Editor", "Shell", "Editor"), "Editor", r"2 windows match 'Editor': give the id of one: .*0x11.*0x13"),
        (("Editor 1", "Editor 2"), "edit", r"2 windows match 'edit': .*'Editor 1' .*'Editor 2' "),
        (("x",) * 20, "y", r"and 12 more$"),
    ],
)
def test_an_ambiguous_or_unknown_window_is_a_usage_error(titles: tuple[str, ...], wanted: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        choose_window(windows(*titles), wanted)


@pytest.mark.usefixtures("stage")
def test_an_ambiguous_title_lists_ids_to_choose_from(
    run_capture: RunCapture, capture_environment: dict[str, str], tmp_path: Path
) -> None:
    with (
        Pane(capture_environment, "Twin", (0, 0, 64, 64), RED),
        Pane(capture_environment, "Twin", (100, 100, 64, 64), BLUE) as second,
    ):
        unclear = run_capture("record", "twin.mp4", "--window", "Twin", "--duration", "0.3")
        missing = run_capture("record", "twin.mp4", "--window", "Triplet", "--duration", "0.3")
        assert (unclear.returncode, missing.returncode) == (2, 2)
        assert f"{second.id}, 64x64+100+100" in unclear.stderr
        assert "'Twin'" in missing.stderr
        assert "'Stage'" in missing.stderr
        assert not (tmp_path / "twin.mp4").exists()
        done = run_capture("record", "twin.mp4", "--window", second.id, "--duration", "0.3", *QUIETLY)
    assert done.returncode == 0, done.stderr
    assert_colours(pictures(tmp_path / "twin.mp4").last, {(32, 32): BLUE})


@pytest.mark.usefixtures("stage")
def test_the_active_window_is_the_one_with_the_focus(
    run_capture: RunCapture, capture_environment: dict[str, str], tmp_path: Path
) -> None:
    with (
        Pane(capture_environment, "Left", (0, 0, 64, 64), RED, framed=True) as left,
        Pane(capture_environment, "Right", (100, 0, 64, 64), BLUE),
    ):
        left.take_focus()
        found = json.loads(run_capture("devices", "--json").stdout)["windows"]
        done = run_capture("record", "active.mp4", "--window", "active", "--duration", "0.3", *QUIETLY)
    assert {window["title"]: window["active"] for window in found} == {"Stage": False, "Left": True, "Right": False}
    assert done.returncode == 0, done.stderr
    assert_colours(pictures(tmp_path / "active.mp4").last, {(5, 5): RED, (32, 32): RED, (60, 60): RED})


def test_without_any_window_none_is_active(run_capture: RunCapture) -> None:
    done = run_capture("record", "active.mp4", "--window", "active", "--duration", "0.3")
    assert done.returncode == 2
    assert "no window is active" in done.stderr


# What contradicts it


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"region": Rectangle(0, 0, 64, 64)}, "--window Editor and --region 64x64+0+0 exclude each other"),
        ({"screen": "2"}, "--window Editor and --screen 2 exclude each other"),
        ({"screen": None}, "needs a picture"),
        ({"window": " "}, "--window ' ' is not a name or title"),
    ],
)
def test_a_window_excludes_a_screen_or_a_region(more: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError) as caught:
        RecordSettings(tmp_path / "out.mp4", **{"window": "Editor", **more})
    assert said in str(caught.value.named(as_option))


@pytest.mark.parametrize(
    "more", [("--screen", "primary"), ("--screen", "none"), ("--region", "64x64+0+0"), ("--source", "pattern")]
)
def test_a_usage_error_with_windows_names_the_remedy(more: tuple[str, ...], run_capture: RunCapture) -> None:
    done = run_capture("record", "out.mp4", "--window", "Editor", *more)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--window" in done.stderr


@pytest.mark.parametrize(("platform", "system"), [("win32", "Windows"), ("darwin", "macOS")])
def test_other_systems_get_a_remedy(
    platform: str, system: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from capture.clock import MonotonicClock
    from capture.errors import NotReadyError
    from capture.sources.chooser import choose_frames

    monkeypatch.setattr(sys, "platform", platform)
    settings = RecordSettings(tmp_path / "out.mp4", window="Editor")
    with pytest.raises(NotReadyError, match=rf"on {system} yet: record the region"):
        choose_frames(settings, MonotonicClock())
