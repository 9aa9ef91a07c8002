"""What a compositor does that sway without a screen cannot be made to do: other formats, screens off, errors."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from running import eventually
from scripted_compositor import HEIGHT, NAME, OTHER, WIDTH, Compositor, compositor
from watching import Seen, watched, watched_output

from capture.errors import DisplayLostError, NotReadyError
from capture.events import EventKind
from capture.sources.wayland import source as module
from capture.sources.wayland import tile
from capture.sources.wayland.subjects import SeveralOutputs

if sys.platform != "linux":
    pytest.skip("Wayland needs Linux", allow_module_level=True)

BLUE, GREEN, RED = 0x20, 0x60, 0xA0


#: By which protocol the compositor gives its pictures.
BY_COPYING = pytest.mark.parametrize("screen", [True], ids=["image-copy"], indirect=True)
BY_SCREENCOPY = pytest.mark.parametrize("screen", [False], ids=["screencopy"], indirect=True)


@pytest.fixture(params=[False, True], ids=["screencopy", "image-copy"])
def screen(
    request: pytest.FixtureRequest, temporary_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Compositor]:
    with tempfile.TemporaryDirectory(dir=temporary_folder, prefix="w") as folder:
        monkeypatch.delenv("DISPLAY", raising=False)
        monkeypatch.setenv("WAYLAND_DISPLAY", str(Path(folder, "screen")))
        with compositor(Path(folder, "screen"), copies=request.param) as made:
            yield made


def filled(value: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint32]]:
    """A picture of one value, but for its first row, which is black."""
    made = np.full((HEIGHT, WIDTH), value, np.uint32)
    made[0] = 0
    return made


def await_value(seen: Seen, value: int) -> None:
    """Wait for a frame with this blue in its middle."""
    eventually(lambda: seen.look(0.1) and int(seen.picture[HEIGHT // 2, 0, 0]) == value, f"a frame with {value}")


@pytest.mark.parametrize(
    ("layout", "value"),
    [
        (0, BLUE | GREEN << 8 | RED << 16),
        (0x34324258, RED | GREEN << 8 | BLUE << 16),
        (0x30335258, BLUE << 2 | GREEN << 12 | RED << 22),
        (0x30334258, RED << 2 | GREEN << 12 | BLUE << 22),
    ],
)
def test_every_format_has_the_right_colours_and_rows(screen: Compositor, layout: int, value: int) -> None:
    screen.format = layout
    screen.show(filled(value))
    with watched_output(NAME) as seen:
        assert seen.look(5)
        pixels = seen.picture
    assert pixels.shape == (HEIGHT, WIDTH, 4)
    assert not pixels[0, :, :3].any()
    assert (pixels[1:, :, :3] == (BLUE, GREEN, RED)).all()


def test_a_screen_is_opened_and_kept_before_numpy_is_loaded(screen: Compositor) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from capture.settings.record_settings import RecordSettings\n"
        "from capture.sources.wayland.chooser import choose_on_wayland\n"
        "settings = RecordSettings(Path('out.mp4'))\n"
        "source = choose_on_wayland(settings, lambda kind, detail: None, lambda reason: None)\n"
        "source.open()\n"
        "print('open', flush=True)\n"
        "sys.stdin.readline()\n"
        "print(source.settle(), [name for name in ('av', 'numpy', 'jeepney') if name in sys.modules])\n"
        "source.close()\n"
    )
    screen.show(filled(1))
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        # Also if another picture comes meanwhile, of which all may have changed.
        screen.show(filled(2))
        said, _ = process.communicate("\n", timeout=60)
    assert said == "True []\n"


def test_a_picture_wakes_the_compositor_once(screen: Compositor, monkeypatch: pytest.MonkeyPatch) -> None:
    # However slow the machine is, no picture is asked for again.
    monkeypatch.setattr(tile, "FRESH_S", 60.0)
    screen.show(filled(1))
    with watched_output(NAME) as seen:
        seen.until_still()
        before, pictures = screen.arrivals, range(2, 8)
        for value in pictures:
            # Their memory is for the next pictures.
            seen.frames.clear()
            screen.show(filled(value))
            await_value(seen, value)
        seen.until_still()
        assert screen.arrivals - before <= len(pictures)


def test_a_picture_in_which_nothing_has_changed_is_no_frame(screen: Compositor) -> None:
    screen.show(filled(1))
    with watched_output(NAME) as seen:
        seen.until_still()
        # It is drawn again, all of it.
        screen.show(filled(1))
        assert not seen.look(0.2)
        pixels = filled(1)
        pixels[10:12, 20:30] = 7
        screen.show(pixels)
        assert seen.look(5)
        assert (seen.frames[-1].left, seen.frames[-1].top, *seen.frames[-1].pixels.shape) == (20, 10, 2, 10, 4)


@BY_SCREENCOPY
def test_a_picture_that_is_upside_down_is_turned(screen: Compositor) -> None:
    screen.is_inverted = True
    screen.show(filled(3))
    with watched_output(NAME) as seen:
        assert seen.look(5)
        assert not seen.picture[0, :, :3].any()
        assert (seen.picture[1:, :, 0] == 3).all()


@BY_SCREENCOPY
def test_a_screen_that_is_off_keeps_its_picture_until_it_is_on(
    screen: Compositor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tile, "RETRY_S", 0.05)
    screen.show(filled(1))
    with watched_output(NAME) as seen:
        await_value(seen, 1)
        screen.switch_off()

        def is_reported() -> bool:
            seen.look(0.05)
            return bool(seen.events)

        eventually(is_reported, "the report")
        screen.show(filled(2))
        screen.fails = False
        await_value(seen, 2)
    assert [kind for kind, _ in seen.events] == [EventKind.SCREEN_UNREADABLE, EventKind.SCREEN_READABLE]


def test_a_screen_that_is_back_is_recorded_again(screen: Compositor) -> None:
    screen.show(filled(1))
    with watched_output(NAME) as seen:
        await_value(seen, 1)
        screen.unplug()
        await_value(seen, 0)
        screen.plug_in()
        await_value(seen, 1)
        screen.show(filled(2))
        await_value(seen, 2)
    assert [kind for kind, _ in seen.events] == [EventKind.DISPLAY_CHANGED] * 2


def test_a_screen_that_is_off_from_the_start_is_said(screen: Compositor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tile, "RETRY_S", 0.05)
    monkeypatch.setattr(module, "FIRST_PICTURE_S", 0.2)
    screen.fails = True
    with pytest.raises(NotReadyError, match=f"the screen {NAME} gives no picture: switch it on"), watched_output(NAME):
        pass


def test_one_of_two_screens_that_is_off_does_not_hold_up_the_other(
    screen: Compositor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tile, "RETRY_S", 0.05)
    monkeypatch.setattr(tile, "AT_ONCE_S", 0.05)
    screen.plug_in(OTHER)
    screen.show(filled(1))
    screen.off.add(OTHER)
    with watched(lambda report, end: SeveralOutputs(None, with_cursor=True)) as seen:
        assert seen.look(5)
        assert seen.picture.shape == (HEIGHT, 2 * WIDTH, 4)
        seen.source.idle()
        seen.source.begin(time.monotonic())
        screen.show(filled(2))
        await_value(seen, 2)
        assert not seen.picture[:, WIDTH:, :3].any()
        assert seen.events == [
            (EventKind.SCREEN_UNREADABLE, f"the screen {OTHER} gives no picture: it is black until it does")
        ]
        screen.off.clear()
        screen.show(filled(3), OTHER)
        eventually(lambda: seen.look(0.1) and int(seen.picture[-1, -1, 0]) == 3, "the other one")
        assert seen.events[1:] == [(EventKind.SCREEN_READABLE, f"the screen {OTHER} can be read again")]


def test_a_screen_that_is_gone_leaves_the_other_in_the_middle(screen: Compositor) -> None:
    screen.plug_in(OTHER)
    screen.show(filled(1))
    screen.show(filled(2), OTHER)
    with watched(lambda report, end: SeveralOutputs(None, with_cursor=True)) as seen:
        await_value(seen, 1)
        assert int(seen.picture[-1, -1, 0]) == 2
        screen.unplug(NAME)
        middle = slice(WIDTH // 2, WIDTH // 2 + WIDTH)
        eventually(lambda: seen.look(0.1) and (seen.picture[1:, middle, 0] == 2).all(), "the other one")
        assert not seen.picture[:, : WIDTH // 2, :3].any()
        screen.plug_in(NAME)
        await_value(seen, 1)
        screen.show(filled(4), NAME)
        await_value(seen, 4)
    assert {kind for kind, _ in seen.events} == {EventKind.DISPLAY_CHANGED}


def test_an_unknown_format_is_said(screen: Compositor) -> None:
    screen.format = 0x36314752
    with pytest.raises(NotReadyError, match="unknown format: use --screen ask"), watched_output(NAME):
        pass


def test_what_a_compositor_refuses_is_quoted(screen: Compositor) -> None:
    with watched_output(NAME) as seen:
        screen.refuse("no more pictures")
        with pytest.raises(DisplayLostError, match="refuses a request: no more pictures"):
            eventually(lambda: seen.look(0.1) and False, "the end")
