"""Several outputs of a Wayland desktop in one picture, on a real compositor."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from numbered import HEIGHT, WIDTH, numbered
from running import eventually
from watching import Seen, watched
from wayland_desk import Sway, Window, has_sway, sway_desk

from capture.events import EventKind
from capture.media import Rectangle
from capture.sources.wayland.subjects import SeveralOutputs

if sys.platform != "linux":
    pytest.skip("Wayland needs Linux", allow_module_level=True)
if not has_sway():
    pytest.skip("sway is not installed, or must not make a user namespace", allow_module_level=True)

#: The second output lies to the left of the first, and lower.
FIRST = "resolution 640x360 position 0 0 scale 1 transform normal"
SECOND = "resolution 400x300 position -400 100 scale 1 transform normal"


@pytest.fixture(scope="module")
def shared_desk(temporary_folder: Path) -> Iterator[Sway]:
    with (
        tempfile.TemporaryDirectory(dir=temporary_folder, prefix="w") as folder,
        sway_desk(Path(folder), FIRST, SECOND) as desk,
    ):
        yield desk


@pytest.fixture
def desk(shared_desk: Sway, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sway]:
    shared_desk.move_here(monkeypatch)
    yield shared_desk
    shared_desk.tell("output HEADLESS-1", FIRST)
    shared_desk.tell("output HEADLESS-2", SECOND)


@pytest.fixture
def windows(desk: Sway) -> Iterator[tuple[Window, Window]]:
    """A window on each output, as large as that."""
    made = []
    for number in (1, 2):
        desk.tell(f"focus output HEADLESS-{number}")
        made.append(Window(ground=50 * number))
        made[-1].draw(number)
    # The first one draws itself again because it is not the active one any more.
    made[0].draw(1)
    yield made[0], made[1]
    for window in made:
        window.close()


def watched_desktop(region: Rectangle | None = None) -> AbstractContextManager[Seen]:
    return watched(lambda report, end: SeveralOutputs(region, with_cursor=False))


def test_outputs_lie_where_the_desktop_has_them(windows: tuple[Window, Window]) -> None:
    first, second = windows
    with watched_desktop() as seen:
        assert seen.picture.shape == (400, 1040, 4)
        seen.until(1, 400, 0)
        seen.until(2, 0, 100)
        # Nothing lies above the second one, or below the first.
        assert not seen.picture[:100, :400, :3].any()
        assert not seen.picture[360:, 400:, :3].any()
        for number in range(0xA0, 0xA4):
            second.draw(number)
            seen.until(number, 0, 100)
            first.draw(number)
            seen.until(number, 400, 0)
        # What changes on one of them comes alone, but for the whole picture now and then.
        changed = [(frame.left, frame.top, *frame.pixels.shape[:2]) for frame in seen.frames]
        assert (0, 100, HEIGHT, WIDTH) in changed
        assert (400, 0, HEIGHT, WIDTH) in changed
        assert (seen.picture[100 + HEIGHT : 400, :400, 1] == 100).all()
        assert (seen.picture[HEIGHT:360, 400:, 1] == 50).all()
        assert seen.events == []


def test_a_region_reaches_across_outputs(windows: tuple[Window, Window]) -> None:
    with watched_desktop(Rectangle(-WIDTH, 0, 2 * WIDTH, 200)) as seen:
        assert seen.picture.shape == (200, 2 * WIDTH, 4)
        seen.until(1, WIDTH, 0)
        # Of the second one, the right part is in it, from 100 on.
        shown = numbered(2)[:, 400 - WIDTH :, 1]
        place = seen.picture[100 : 100 + HEIGHT, : shown.shape[1], 1]
        eventually(lambda: (seen.look(0.1), (place == shown).all())[1], "the part of the number")
        assert not seen.picture[:100, :WIDTH, :3].any()


def test_outputs_of_other_scales_are_as_large_as_on_the_desktop(desk: Sway, windows: tuple[Window, Window]) -> None:
    first, second = windows
    desk.tell("output HEADLESS-1 scale 2")
    first.await_size(320, 180)
    first.draw(3)
    with watched_desktop() as seen:
        # Two pixels for each unit, also on the second one.
        assert seen.picture.shape == (2 * 400, 2 * (400 + 320), 4)
        second.draw(4)

        first_shown = seen.picture[: 2 * HEIGHT : 2, 800 : 800 + 2 * WIDTH : 2, 1]
        enlarged = seen.picture[200 : 200 + 2 * HEIGHT, : 2 * WIDTH, 1]
        right = numbered(4).repeat(2, axis=0).repeat(2, axis=1)[..., 1]

        def are_shown() -> bool:
            seen.look(0.1)
            # Enlarged, the edges of the cells are smooth.
            is_enlarged = ((enlarged > 128) == (right > 128)).mean() > 0.95
            return bool(is_enlarged and (first_shown == numbered(3)[..., 1]).all())

        eventually(are_shown, "both numbers")


def test_an_output_that_is_moved_is_moved_in_the_picture(desk: Sway, windows: tuple[Window, Window]) -> None:
    with watched_desktop() as seen:
        assert seen.look(5)
        desk.tell("output HEADLESS-2 position 0 360")

        def is_fitted() -> bool:
            seen.look(0.1)
            return bool(seen.events)

        eventually(is_fitted, "the new place")
        assert seen.events == [
            (EventKind.DISPLAY_CHANGED, "the screen is now 640x660+0+0, scaled down to fit 1040x400")
        ]


def test_an_output_that_is_turned_is_turned_in_one_step(desk: Sway, windows: tuple[Window, Window]) -> None:
    _, second = windows
    with watched_desktop() as seen:
        assert seen.look(5)
        desk.tell("output HEADLESS-2 transform 90")
        second.await_size(300, 400)
        second.draw(0xFFFF)

        def is_upright() -> bool:
            # 1040x500 in a picture of 1040x400 is 0.8 times as large, and 104 from the left.
            seen.look(0.1)
            return bool((seen.picture[90:125, 110:300, 1] > 200).all())

        eventually(is_upright, "the second output")
        assert [words for _, words in seen.events] == ["the screen is now 1040x500-400+0, scaled down to fit 1040x400"]
