"""What a compositor does that sway without a screen cannot be made to do: other formats, screens off, errors."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from running import eventually
from scripted_compositor import HEIGHT, NAME, WIDTH, Compositor, compositor

from capture.errors import DisplayLostError, NotReadyError
from capture.events import EventKind
from capture.sources.wayland import source as module
from capture.sources.wayland.source import OutputSource

if sys.platform != "linux":
    pytest.skip("Wayland needs Linux", allow_module_level=True)

BLUE, GREEN, RED = 0x20, 0x60, 0xA0


@pytest.fixture
def screen(temporary_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Compositor]:
    with tempfile.TemporaryDirectory(dir=temporary_folder, prefix="w") as folder:
        monkeypatch.setenv("WAYLAND_DISPLAY", str(Path(folder, "screen")))
        with compositor(Path(folder, "screen")) as made:
            yield made


@contextmanager
def opened() -> Iterator[tuple[OutputSource, list[tuple[EventKind, str]]]]:
    events: list[tuple[EventKind, str]] = []
    source = OutputSource(NAME, None, fps=30, cursor=True, report=lambda kind, detail: events.append((kind, detail)))
    try:
        source.open()
        source.begin(time.monotonic())
        yield source, events
    finally:
        source.close()


def filled(value: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint32]]:
    """A picture of one value, but for its first row, which is black."""
    made = np.full((HEIGHT, WIDTH), value, np.uint32)
    made[0] = 0
    return made


def await_value(source: OutputSource, value: int) -> None:
    """Wait for a frame with this blue in its middle."""

    def is_shown() -> bool:
        return source.wait_for_change(time.monotonic() + 0.1) and int(source.grab().pixels[HEIGHT // 2, 0, 0]) == value

    eventually(is_shown, f"a frame with {value}")


@pytest.mark.parametrize("is_inverted", [False, True])
@pytest.mark.parametrize(
    ("layout", "value"),
    [
        (0, BLUE | GREEN << 8 | RED << 16),
        (0x34324258, RED | GREEN << 8 | BLUE << 16),
        (0x30335258, BLUE << 2 | GREEN << 12 | RED << 22),
        (0x30334258, RED << 2 | GREEN << 12 | BLUE << 22),
    ],
)
def test_every_format_has_the_right_colours_and_rows(
    screen: Compositor, layout: int, value: int, is_inverted: bool
) -> None:
    screen.format, screen.is_inverted = layout, is_inverted
    screen.show(filled(value))
    with opened() as (source, _):
        assert source.wait_for_change(time.monotonic() + 5)
        pixels = source.grab().pixels
    assert pixels.shape == (HEIGHT, WIDTH, 4)
    assert not pixels[0, :, :3].any()
    assert (pixels[1:, :, :3] == (BLUE, GREEN, RED)).all()


def test_a_screen_that_is_off_keeps_its_picture_until_it_is_on(
    screen: Compositor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.05)
    screen.show(filled(1))
    with opened() as (source, events):
        await_value(source, 1)
        screen.switch_off()

        def is_reported() -> bool:
            if source.wait_for_change(time.monotonic() + 0.05):
                source.grab()
            return bool(events)

        eventually(is_reported, "the report")
        screen.pixels, screen.fails = filled(2), False
        await_value(source, 2)
    assert [kind for kind, _ in events] == [EventKind.SCREEN_UNREADABLE, EventKind.SCREEN_READABLE]


def test_a_screen_that_is_back_is_recorded_again(screen: Compositor) -> None:
    screen.show(filled(1))
    with opened() as (source, events):
        await_value(source, 1)
        screen.unplug()
        await_value(source, 0)
        screen.plug_in()
        await_value(source, 1)
        screen.show(filled(2))
        await_value(source, 2)
    assert [kind for kind, _ in events] == [EventKind.DISPLAY_CHANGED] * 2


def test_a_screen_that_is_off_from_the_start_is_said(screen: Compositor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.05)
    monkeypatch.setattr(module, "FIRST_PICTURE_S", 0.2)
    screen.fails = True
    with pytest.raises(NotReadyError, match=f"the screen {NAME} gives no picture: switch it on"), opened():
        pass


def test_an_unknown_format_is_said(screen: Compositor) -> None:
    screen.format = 0x36314752
    with pytest.raises(NotReadyError, match="unknown format: use --screen ask"), opened():
        pass


def test_what_a_compositor_refuses_is_quoted(screen: Compositor) -> None:
    with opened() as (source, _):
        screen.refuse("no more pictures")
        with pytest.raises(DisplayLostError, match="refuses a request: no more pictures"):
            eventually(lambda: source.wait_for_change(time.monotonic() + 0.1) and source.grab() is None, "the end")
