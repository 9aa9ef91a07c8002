"""The source of a Wayland output without a dialog, on a real compositor: pictures, sizes, turns, and what ends it."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pytest
from numbered import HEIGHT, WIDTH, number_of, numbered
from running import eventually
from watching import SECRET, watched_output
from wayland_desk import Sway, Window, has_sway, sway_desk

from capture.errors import DisplayLostError
from capture.events import EventKind
from capture.media import Rectangle
from capture.sources.wayland import source as module
from capture.sources.wayland import tile
from capture.sources.wayland.desktop import list_outputs

if sys.platform != "linux":
    pytest.skip("Wayland needs Linux", allow_module_level=True)
if not has_sway():
    pytest.skip("sway is not installed, or must not make a user namespace", allow_module_level=True)

#: The two outputs, and the grey of the window on the first.
FIRST: Final = "resolution 640x360 position 0 0 scale 1 transform normal"
SECOND: Final = "resolution 320x240 position 640 0"
GROUND: Final = 90


@pytest.fixture(scope="module")
def shared_desk(temporary_folder: Path) -> Iterator[Sway]:
    with opened(temporary_folder) as desk:
        yield desk


@contextmanager
def opened(temporary: Path) -> Iterator[Sway]:
    with (
        tempfile.TemporaryDirectory(dir=temporary, prefix="w") as folder,
        sway_desk(Path(folder), FIRST, SECOND) as desk,
    ):
        yield desk


@pytest.fixture
def desk(shared_desk: Sway, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sway]:
    """The desk, with this process on it; a window on the second output shows what must never be recorded."""
    shared_desk.move_here(monkeypatch)
    shared_desk.tell("focus output HEADLESS-2")
    other = Window()
    other.draw(SECRET)
    shared_desk.tell("focus output HEADLESS-1")
    yield shared_desk
    other.close()
    shared_desk.tell("output HEADLESS-1", FIRST)


@pytest.fixture
def window(desk: Sway) -> Iterator[Window]:
    made = Window(ground=GROUND)
    made.draw(1)
    yield made
    made.close()


@pytest.mark.usefixtures("desk")
def test_outputs_are_listed_with_place_and_scale(desk: Sway) -> None:
    desk.tell("output HEADLESS-1 scale 2")
    eventually(lambda: list_outputs()[0].scale == 2, "the scale")
    first, second = list_outputs()
    assert first == ("1", "HEADLESS-1", Rectangle(0, 0, 320, 180), True, 2.0)
    assert second == ("2", "HEADLESS-2", Rectangle(640, 0, 320, 240), False, 1.0)


def test_pictures_come_with_what_changed_and_when_it_was_shown(window: Window) -> None:
    with watched_output() as seen:
        seen.until(1)
        assert seen.frames[0].pixels.shape == (360, 640, 4)
        for number in range(2, 12):
            while seen.look(0.05):
                pass
            begun_s = time.monotonic()
            window.draw(number)
            seen.until(number)
            frame = seen.frames[-1]
            assert begun_s < frame.captured_at_s < time.monotonic()
            # What was drawn and no more, but for the whole picture now and then.
            assert frame.pixels.shape in ((HEIGHT, WIDTH, 4), (360, 640, 4))
        parts = [frame.pixels for frame in seen.frames if frame.pixels.shape == (HEIGHT, WIDTH, 4)]
        assert len(parts) >= 5
        # They lie where the compositor has put them, which nothing is written over as long as they are used.
        assert not any(part.flags.writeable for part in parts)
        numbers = [number_of(part[..., 1]) for part in parts]
        assert numbers == sorted(numbers)
        assert (seen.picture[HEIGHT:, :, 1] == GROUND).all()
        # A still screen gives nothing.
        while seen.look(0.05):
            pass
        assert not seen.look(0.3)


def test_frames_stay_as_they_were_while_pictures_come(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WHOLE_EVERY_S", 0.0)
    with watched_output() as seen:
        for number in range(10, 18):
            window.draw(number)
            seen.until(number)
        shown = [number_of(frame.pixels[:HEIGHT, :WIDTH, 1]) for frame in seen.frames]
        assert list(dict.fromkeys(number for number in shown if number >= 10)) == list(range(10, 18))
        assert not any(frame.pixels.flags.writeable for frame in seen.frames)


def test_the_picture_at_the_epoch_is_kept_while_the_recorder_loads(window: Window) -> None:
    with watched_output(begins=False) as seen:
        # Since it was opened.
        window.draw(2)
        epoch_s = time.monotonic()
        assert seen.source.settle()
        window.draw(3)
        seen.source.idle()
        drawn_s = time.monotonic()
        seen.source.begin(epoch_s)
        assert seen.look()
        assert (seen.frames[0].pixels.shape, seen.number) == ((360, 640, 4), 2)
        assert seen.look(5)
        assert seen.number == 3
        # It may have been in a picture before that, but has not the time at which numpy is loaded.
        assert seen.frames[1].captured_at_s < drawn_s


def test_a_picture_that_is_kept_is_none_of_a_later_recording(window: Window) -> None:
    with watched_output(begins=False) as seen:
        assert seen.source.settle()
        window.draw(2)
        seen.source.begin(time.monotonic())
        assert seen.look(5)
        assert seen.number == 2


@pytest.mark.parametrize("looks", [True, False])
def test_what_was_drawn_in_a_pause_is_not_shown_late(
    window: Window, looks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not looks:
        # As if a while had passed since.
        monkeypatch.setattr(tile, "FRESH_S", 0.0)
    with watched_output() as seen:
        seen.until(1)
        while seen.look(0.05):
            pass
        for number in (2, 3):
            window.draw(number)
            if looks:
                seen.source.idle()
        assert seen.look(5)
        assert seen.number == 3


@pytest.mark.parametrize("transform", ["90", "180", "270", "flipped", "flipped-90", "flipped-180", "flipped-270"])
def test_a_turned_output_is_recorded_upright(desk: Sway, window: Window, transform: str) -> None:
    desk.tell("output HEADLESS-1 transform", transform)
    width, height = (360, 640) if transform.endswith(("90", "270")) else (640, 360)
    window.await_size(width, height)
    window.draw(2)
    with watched_output() as seen:
        seen.until(2)
        assert seen.picture.shape == (height, width, 4)
        # By the part that changed too.
        window.draw(0xABC)
        seen.until(0xABC)
        eventually(lambda: (seen.look(0.1), (seen.picture[HEIGHT:, :, 1] == GROUND).all())[1], "the ground")


def test_a_region_is_in_the_units_of_the_desktop(desk: Sway, window: Window) -> None:
    desk.tell("output HEADLESS-1 scale 2 position 100 50")
    window.await_size(320, 180)
    window.draw(0xC5)
    # The lower half of the number's right half, of which every pixel takes four.
    with watched_output(region=Rectangle(100 + WIDTH // 2, 50 + HEIGHT // 2, 160, 91)) as seen:
        assert seen.picture.shape == (182, 320, 4)
        right = numbered(0xC5)[:, WIDTH // 2 :].repeat(2, axis=0).repeat(2, axis=1)

        def is_shown() -> bool:
            seen.look(0.1)
            number, rest = seen.picture[:HEIGHT, :WIDTH, 1], seen.picture[HEIGHT:, :, 1]
            return bool((number == right[HEIGHT:, :, 1]).all() and (rest == GROUND).all())

        eventually(is_shown, "the part of the number")
    # What changes beside it is no change. A scaled picture blurs a little further.
    with watched_output(region=Rectangle(100, 50 + HEIGHT + 8, 320, 92)) as seen:
        while seen.look(0.1):
            pass
        window.draw(0xC4)
        assert not seen.look(0.2)


def test_another_resolution_is_fitted_into_the_first(desk: Sway, window: Window) -> None:
    with watched_output() as seen:
        seen.until(1)
        desk.tell("output HEADLESS-1 resolution 400x300")

        def is_fitted() -> bool:
            seen.look(0.1)
            return any(kind is EventKind.DISPLAY_CHANGED for kind, _ in seen.events)

        eventually(is_fitted, "the new size")
        assert seen.events[-1][1] == "the screen is now 400x300+0+0, centred in 640x360"
        window.draw(5)
        eventually(
            lambda: seen.look(0.1) and number_of(seen.picture[30 : 30 + HEIGHT, 120 : 120 + WIDTH, 1]) == 5,
            "the picture in the middle",
        )


def test_an_output_that_is_gone_is_black_and_no_other_is_shown(desk: Sway, monkeypatch: pytest.MonkeyPatch) -> None:
    # A desktop inside the desktop: its outputs are windows, which can be closed.
    folder = Path(desk.environment["XDG_RUNTIME_DIR"], "inner")
    folder.mkdir()
    with sway_desk(folder, "", "", inside=desk) as inner, ExitStack() as closing:
        inner.move_here(monkeypatch)
        # Side by side, each has half of the screen.
        eventually(lambda: [screen.area.width for screen in list_outputs()] == [320, 320], "the outputs")
        first, second = (screen.name for screen in list_outputs())
        windows = {}
        for number, name in enumerate((first, second), 1):
            inner.tell("focus output", name)
            windows[name] = Window()
            closing.callback(windows[name].close)
            windows[name].draw(number)
        with watched_output(first) as seen:
            seen.until(1)
            desk.tell(f'[title="wlroots - {first}"] kill')
            eventually(lambda: seen.look(0.1) and not seen.picture.any(), "a black picture")
            windows[second].draw(3)
            assert not seen.look(0.2)
            assert "on no screen" in seen.events[-1][1]


def test_a_killed_compositor_is_a_lost_display(temporary_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(temporary_folder) as desk:
        desk.move_here(monkeypatch)
        with watched_output() as seen:
            desk.process.kill()
            desk.process.wait()
            with pytest.raises(DisplayLostError, match="the Wayland compositor has ended"):
                seen.source.idle()
