"""Pixels in shared memory stay unchanged for as long as they are referenced, and no longer."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from stage import BLACK, GREEN, RED, Colour, Stage

from capture.errors import DisplayLostError, NotReadyError
from capture.media import Pixels, Rectangle
from capture.sources.screen_source import ScreenSource
from capture.sources.x11.change_watch import X11Watch
from capture.sources.x11.shared_memory import SharedMemory
from capture.sources.x11.xcb import Connection

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

AREA = Rectangle(100, 50, 64, 48)


pytestmark = pytest.mark.stage(pointer=(1279, 719))


@pytest.fixture
def connection(stage: Stage) -> Iterator[Connection]:
    opened = Connection()
    yield opened
    opened.close()


@pytest.fixture
def memory(connection: Connection) -> SharedMemory:
    found = SharedMemory.of(connection)
    assert found is not None
    return found


def colour_of(pixels: Pixels) -> Colour:
    """Return the colour that all pixels share: red, green, blue."""
    (colour,) = np.unique(pixels[..., :3].reshape(-1, 3), axis=0)
    blue, green, red = (int(value) for value in colour)
    return red, green, blue


def test_referenced_pixels_stay_unchanged(stage: Stage, memory: SharedMemory) -> None:
    held: list[tuple[Pixels, Colour]] = []
    for colour in (RED, GREEN, BLACK):
        stage.paint(0, 0, stage.width, stage.height, colour)
        # Keep only a row of the last one, not the array that `grab` returned.
        pixels = memory.grab(AREA)
        held.append((pixels[3] if colour == BLACK else pixels, colour))
    del pixels
    assert [colour_of(pixels) for pixels, _ in held] == [colour for _, colour in held]
    memory.grab(AREA)[...] = 77
    assert [colour_of(pixels) for pixels, _ in held] == [colour for _, colour in held]


def test_unreferenced_memory_is_reused(stage: Stage, memory: SharedMemory) -> None:
    for number in range(40):
        memory.grab(Rectangle(number, number, 64 + number % 3, 48))
    gc.collect()
    assert len(memory._segments) == 1
    whole = Rectangle(0, 0, stage.width, stage.height)
    kept = [memory.grab(whole) for _ in range(3)]
    assert len(memory._segments) == 3, "what is too small for what is read now is given back"
    del kept
    for _ in range(20):
        memory.grab(AREA)
        memory.grab(whole)
    assert len(memory._segments) == 3


def test_memory_of_many_grabs_is_given_back(stage: Stage, memory: SharedMemory) -> None:
    whole = Rectangle(0, 0, stage.width, stage.height)
    kept = [memory.grab(whole) for _ in range(5)]
    memory.release()
    assert len(memory._segments) == 5, "all of it is in use"
    before = mapped_segments()
    del kept[1:]
    memory.release()
    assert len(memory._segments) == 2, "one in use, and one for the next grab"
    assert mapped_segments() == before - 3
    memory.grab(whole)
    assert len(memory._segments) == 2


def mapped_segments() -> int:
    return Path("/proc/self/maps").read_text().count("memfd:capture")


def test_an_area_off_the_screen_raises(stage: Stage, memory: SharedMemory) -> None:
    with pytest.raises(DisplayLostError, match="can no longer be read"):
        memory.grab(Rectangle(stage.width - 10, 0, 20, 20))
    assert memory.grab(AREA).shape == (48, 64, 4), "and it goes on"


def test_a_failed_request_has_no_reply(connection: Connection) -> None:
    # QueryPointer of a window that does not exist.
    assert connection.ask(bytes((38, 0)) + (2).to_bytes(2, sys.byteorder) + (99).to_bytes(4, sys.byteorder)) is None
    assert connection.extension("NOT-AN-EXTENSION") is None
    assert connection.extension("DAMAGE") is not None


def test_a_closed_connection_raises(connection: Connection) -> None:
    connection.close()
    with pytest.raises(DisplayLostError):
        connection.send(bytes(4))


def test_no_server_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":4242")
    with pytest.raises(NotReadyError, match="no display"):
        Connection()


@contextmanager
def server(monkeypatch: pytest.MonkeyPatch, depth: int, *options: str) -> Iterator[None]:
    """A separate X server with a screen of 320 x 240."""
    reading, writing = os.pipe()
    argv = [
        "Xvfb",
        "-displayfd",
        str(writing),
        "-screen",
        "0",
        f"320x240x{depth}",
        "-nolisten",
        "tcp",
        "-noreset",
        *options,
    ]
    with subprocess.Popen(argv, pass_fds=[writing], stderr=subprocess.DEVNULL) as process:
        os.close(writing)
        try:
            with os.fdopen(reading) as number:
                monkeypatch.setenv("DISPLAY", f":{number.readline().strip()}")
            monkeypatch.delenv("XAUTHORITY", raising=False)
            yield
        finally:
            process.terminate()


@pytest.mark.parametrize(
    ("options", "monitors"),
    [(["-extension", "MIT-SHM"], 1), (["-extension", "MIT-SHM", "-extension", "RANDR"], 0)],
    ids=["no memory", "no monitors"],
)
def test_a_server_without_shared_memory_is_read_through_mss(
    monkeypatch: pytest.MonkeyPatch, options: list[str], monitors: int
) -> None:
    with server(monkeypatch, 24, *options):
        area = Rectangle(10, 10, 64, 48)
        watch = X11Watch(area, with_cursor=False)
        with closing(Connection()) as another:
            assert SharedMemory.of(another) is None
        assert [screen.area for screen in watch.reader.screens()] == [Rectangle(0, 0, 320, 240)] * monitors
        watch.close()
        source = ScreenSource(area, cursor=False)
        source.open()
        try:
            source.begin(time.monotonic())
            assert source.wait_for_change(time.monotonic() + 5)
            frame = source.grab()
        finally:
            source.close()
        assert frame.pixels.shape == (48, 64, 4)
        assert colour_of(frame.pixels) == BLACK


def test_unusual_pixels_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with server(monkeypatch, 16):
        source = ScreenSource(Rectangle(10, 10, 64, 48), cursor=False)
        with pytest.raises(NotReadyError, match="depth"):
            source.open()
        source.close()
